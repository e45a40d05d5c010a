//! Counts distinct principals, and distinct keys of a role; the only such loops.

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

/// Good signatures of one document by key, and why the others do not count.
pub(crate) struct DistinctKeys<'k, K, F> {
    counted: BTreeMap<&'k [u8], K>,
    faults: Vec<(String, F)>,
}

/// Fewer keys than a role needs.
pub(crate) struct TooFew<F> {
    pub(crate) valid: usize,
    pub(crate) faults: Vec<(String, F)>,
}

/// Sorts the signatures of one document, each given with its key id. Keys are told apart by their material and not by
/// their id, because one key has an id in each form it can be written in (connaisseur#2150); a signature by a key that
/// counted already is `again`.
pub(crate) fn distinct_keys<'k, K, F: Clone>(
    outcomes: impl IntoIterator<Item = (String, Result<(&'k [u8], K), F>)>,
    again: &F,
) -> DistinctKeys<'k, K, F> {
    let mut keys = DistinctKeys { counted: BTreeMap::new(), faults: Vec::new() };
    for (id, outcome) in outcomes {
        match outcome {
            Ok((material, _)) if keys.counted.contains_key(material) => {
                keys.faults.push((id, again.clone()));
            }
            Ok((material, key)) => {
                keys.counted.insert(material, key);
            }
            Err(fault) => keys.faults.push((id, fault)),
        }
    }
    keys
}

impl<K, F> DistinctKeys<'_, K, F> {
    /// The keys, if there are enough; nobody's signature is never enough.
    pub(crate) fn reaching(self, threshold: u64) -> Result<Vec<K>, TooFew<F>> {
        let valid = self.counted.len();
        if threshold > 0 && u64::try_from(valid).is_ok_and(|valid| valid >= threshold) {
            Ok(self.counted.into_values().collect())
        } else {
            Err(TooFew { valid, faults: self.faults })
        }
    }
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
    fn one_key_under_two_ids_counts_once_and_a_threshold_of_none_is_never_reached() {
        type Outcome = Result<u8, &'static str>;
        let outcomes = |materials: &[Outcome]| {
            const BYTES: [&[u8]; 3] = [b"a", b"b", b"c"];
            let outcome = |(at, one): (usize, &Outcome)| {
                (format!("id{at}"), one.map(|key| (BYTES[usize::from(key)], key)))
            };
            materials.iter().enumerate().map(outcome).collect::<Vec<_>>()
        };
        for (materials, threshold, reached) in [
            (&[Ok(0), Ok(1)][..], 2, true),
            (&[Ok(0), Ok(0)], 2, false),
            (&[Err("forged"), Ok(0)], 1, true),
            (&[Err("forged"), Err("forged")], 1, false),
            (&[], 0, false),
            (&[Ok(0)], 0, false),
        ] {
            let keys = distinct_keys(outcomes(materials), &"again");
            assert_eq!(keys.reaching(threshold).is_ok(), reached, "{materials:?} {threshold}");
        }
        let short = distinct_keys(outcomes(&[Ok(0), Ok(0)]), &"again").reaching(2).err().unwrap();
        assert_eq!((short.valid, short.faults), (1, vec![("id1".to_owned(), "again")]));
    }

    #[test]
    fn k_of_n_counts_distinct_principals() {
        let verified = [signature("a/a/1"), signature("a/a/1"), signature("b/b/2"), signature("d/d/4")];
        assert!(at_least(2, &names("a|b|c"), &verified).is_satisfied());
        assert!(!at_least(3, &names("a|b|c"), &verified).is_satisfied());
    }
}
