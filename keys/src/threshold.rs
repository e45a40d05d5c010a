//! Counts distinct principals; the only such loop.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::signature::VerifiedSignature;

/// How far verified signatures satisfy a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Satisfaction {
    /// How many clauses there are.
    pub required: usize,
    /// How many of them are filled, each by another principal.
    pub satisfied: usize,
    /// The clauses that are not: one name of each is still to sign.
    pub missing: Vec<Vec<String>>,
}

impl Satisfaction {
    /// Whether every clause is filled. A requirement without clauses is never satisfied: what asks for nothing must not
    /// be taken for what was given everything.
    pub fn is_satisfied(&self) -> bool {
        self.required > 0 && self.satisfied == self.required
    }
}

/// Weighs `require`, an AND of clauses that are each an OR of identity names.
///
/// Every clause must be filled by a principal of its own: `[["a", "b"], ["a", "c"]]` asks for two people, and one
/// signature by `a` fills only one of them. Signatures by one key are one principal, whatever names it was given.
pub fn satisfied(require: &[Vec<String>], verified: &[VerifiedSignature]) -> Satisfaction {
    let principals = principals(verified);
    let fillers: Vec<BTreeSet<usize>> = require
        .iter()
        .map(|names| {
            let named = verified.iter().zip(&principals).filter(|(found, _)| names.contains(&found.identity));
            named.map(|(_, &principal)| principal).collect()
        })
        .collect();
    // Maximum matching of clauses and principals by augmenting paths: a principal moves to another clause it can fill
    // when that lets one more clause be filled, so the order of clauses does not matter.
    let mut clause_of: BTreeMap<usize, usize> = BTreeMap::new();
    for clause in 0..require.len() {
        fill(clause, &fillers, &mut clause_of, &mut BTreeSet::new());
    }
    let filled: BTreeSet<usize> = clause_of.into_values().collect();
    let unfilled = require.iter().enumerate().filter(|(clause, _)| !filled.contains(clause));
    Satisfaction {
        required: require.len(),
        satisfied: filled.len(),
        missing: unfilled.map(|(_, names)| names.clone()).collect(),
    }
}

/// Weighs "`count` distinct principals among `names`".
pub fn at_least(count: usize, names: &[String], verified: &[VerifiedSignature]) -> Satisfaction {
    satisfied(&vec![names.to_vec(); count], verified)
}

/// Gives `clause` a principal, moving others where that helps. `tried` holds the principals of this attempt, so the
/// recursion ends.
fn fill(
    clause: usize,
    fillers: &[BTreeSet<usize>],
    clause_of: &mut BTreeMap<usize, usize>,
    tried: &mut BTreeSet<usize>,
) -> bool {
    for &principal in &fillers[clause] {
        if !tried.insert(principal) {
            continue;
        }
        let moved = match clause_of.get(&principal).copied() {
            Some(other) => fill(other, fillers, clause_of, tried),
            None => true,
        };
        if moved {
            clause_of.insert(principal, clause);
            return true;
        }
    }
    false
}

/// One number per signature, equal for signatures that share the principal or the key, also by way of a third.
fn principals(verified: &[VerifiedSignature]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..verified.len()).collect();
    for (later, signature) in verified.iter().enumerate() {
        for earlier in 0..later {
            let other = &verified[earlier];
            if other.principal == signature.principal || other.key_id == signature.key_id {
                let (keep, drop) = (numbers[earlier], numbers[later]);
                numbers.iter_mut().filter(|number| **number == drop).for_each(|number| *number = keep);
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SignatureForm;

    /// `identity/principal/key` as a verified signature.
    fn signature(text: &str) -> VerifiedSignature {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().expect("three parts");
        VerifiedSignature {
            identity: next(),
            principal: next(),
            key_id: next(),
            form: SignatureForm::CosignSimple,
            subject_digest: String::new(),
            valid_until: None,
            signer: String::new(),
            certificate: None,
            notation: None,
            notary: Vec::new(),
        }
    }

    fn names(text: &str) -> Vec<String> {
        text.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn check(require: &[&str], verified: &[&str], missing: &[&str]) {
        let require: Vec<_> = require.iter().map(|names_| names(names_)).collect();
        let verified: Vec<_> = verified.iter().map(|text| signature(text)).collect();
        let seen = satisfied(&require, &verified);
        let missing: Vec<_> = missing.iter().map(|names_| names(names_)).collect();
        assert_eq!(seen.missing, missing, "{require:?} {verified:?}");
        assert_eq!(seen.is_satisfied(), missing.is_empty() && !require.is_empty());
        assert_eq!(seen.satisfied + missing.len(), seen.required);
    }

    #[test]
    fn every_clause_needs_a_principal_of_its_own() {
        check(&["release"], &["release/r/1"], &[]);
        check(&["release"], &[], &["release"]);
        check(&["release"], &["other/o/2"], &["release"]);
        check(&["release", "jenkins|security"], &["release/r/1", "security/s/2"], &[]);
        check(&["release", "jenkins|security"], &["release/r/1"], &["jenkins|security"]);
        check(&["a|b", "a|c"], &["a/a/1"], &["a|c"]);
        check(&["a|b", "a"], &["a/a/1", "b/b/2"], &[]);
        check(&["a", "a|b"], &["b/b/2", "a/a/1"], &[]);
        check(&["a|b", "b|c", "c|a"], &["a/a/1", "b/b/2", "c/c/3"], &[]);
        check(&["a|b|c", "a|b|c", "a|b|c"], &["a/a/1", "b/b/2"], &["a|b|c"]);
    }

    #[test]
    fn an_empty_requirement_or_clause_is_never_satisfied() {
        assert!(!satisfied(&[], &[signature("a/a/1")]).is_satisfied());
        check(&[""], &["a/a/1"], &[""]);
        assert!(!at_least(0, &names("a"), &[signature("a/a/1")]).is_satisfied());
    }

    #[test]
    fn one_principal_or_one_key_counts_once() {
        // Two keys of one principal.
        check(&["a", "b"], &["a/alice/1", "b/alice/2"], &["b"]);
        // One key under two names.
        check(&["a", "b"], &["a/alice/1", "b/bob/1"], &["b"]);
        // Linked by a third: alice's second key is bob's.
        check(&["a", "b"], &["a/alice/1", "c/alice/2", "b/bob/2"], &["b"]);
        // The same signature twice.
        check(&["a", "a"], &["a/a/1", "a/a/1"], &["a"]);
    }

    #[test]
    fn k_of_n_counts_distinct_principals() {
        let verified = [signature("a/a/1"), signature("a/a/1"), signature("b/b/2"), signature("d/d/4")];
        assert!(at_least(2, &names("a|b|c"), &verified).is_satisfied());
        assert!(!at_least(3, &names("a|b|c"), &verified).is_satisfied());
    }
}
