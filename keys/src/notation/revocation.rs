//! Whether a certificate of a chain was revoked, as far as the operator's lists and responders' answers say.

use super::trust_policy::TrustStores;
use super::verify::NotationError;
use crate::x509::{Certificate, OcspStatus, RevocationList};

/// A list or a responder's answer that the verdict rests on: how old it is, is part of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListUsed {
    /// `crl` or `ocsp`.
    pub form: &'static str,
    /// Whose certificates it is about.
    pub issuer: String,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub this_update: i64,
    /// When it ends.
    pub next_update: i64,
    /// Seconds since it was made.
    pub age: i64,
}

/// What one source says about one certificate.
struct Word {
    form: &'static str,
    status: OcspStatus,
    this_update: i64,
    next_update: i64,
}

/// Every certificate below the root: a root is trusted by name and cannot be revoked. One whose issuer publishes nothing
/// and of which no list and no answer is at hand cannot be revoked either. What is revoked proves nothing, whenever it
/// signed: the date in a list is the issuer's word on when the key was lost, not proof.
pub(super) fn check(
    chain: &[Certificate],
    stores: &TrustStores,
    now: i64,
) -> Result<Vec<ListUsed>, NotationError> {
    let mut used = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let issuers = chain.get(index + 1..).unwrap_or_default();
        let Some(issuer) = issuers.first() else { continue };
        used.extend(check_one(certificate, issuer, issuers, stores, now)?);
    }
    Ok(used)
}

/// Of two sources the worse one counts: a responder may not know yet what the list says, and the reverse.
fn check_one(
    certificate: &Certificate,
    issuer: &Certificate,
    issuers: &[Certificate],
    stores: &TrustStores,
    now: i64,
) -> Result<Option<ListUsed>, NotationError> {
    let subject = || certificate.subject().to_string();
    let words: Vec<Word> =
        [by_responder(certificate, issuer, issuers, stores, now), by_list(certificate, issuer, stores, now)]
            .into_iter()
            .flatten()
            .collect();
    for word in &words {
        if let OcspStatus::Revoked(at) = word.status {
            return Err(NotationError::Revoked { certificate: subject(), at });
        }
    }
    if words.iter().any(|word| word.status == OcspStatus::Unknown) {
        return Err(NotationError::RevocationUnknown(subject()));
    }
    // The one that ends last: the other adds nothing.
    let best = words.into_iter().max_by_key(|word| word.next_update);
    let Some(best) = best else {
        let publishes = !certificate.crl_urls().is_empty() || !certificate.ocsp_urls().is_empty();
        let is_told_of = !stores.lists_about(certificate).is_empty()
            || stores.responses().iter().any(|response| response.about(certificate, issuer).is_some());
        return match publishes || is_told_of {
            true => Err(NotationError::RevocationUnknown(subject())),
            false => Ok(None),
        };
    };
    if best.next_update < now {
        return Err(NotationError::RevocationStale { certificate: subject(), ended: best.next_update });
    }
    Ok(Some(ListUsed {
        form: best.form,
        issuer: issuer.subject().to_string(),
        this_update: best.this_update,
        next_update: best.next_update,
        age: now.saturating_sub(best.this_update),
    }))
}

/// The newest list that the issuer signed. One that has ended counts as far as it refuses.
fn by_list(certificate: &Certificate, issuer: &Certificate, stores: &TrustStores, now: i64) -> Option<Word> {
    let lists = stores.lists_about(certificate);
    let signed = |list: &&&RevocationList| list.is_signed_by(issuer);
    let list = lists.iter().filter(|list| list.this_update() <= now).find(signed)?;
    let status = list.revoked_at(certificate).map_or(OcspStatus::Good, OcspStatus::Revoked);
    let (this_update, next_update) = (list.this_update(), list.next_update());
    Some(Word { form: "crl", status, this_update, next_update })
}

/// The newest answer that the issuer, or whom it appointed, signed.
fn by_responder(
    certificate: &Certificate,
    issuer: &Certificate,
    issuers: &[Certificate],
    stores: &TrustStores,
    now: i64,
) -> Option<Word> {
    let about = stores.responses().iter().filter_map(|response| {
        let answer = response.about(certificate, issuer)?;
        (answer.this_update <= now).then_some((response, answer))
    });
    let mut about: Vec<_> = about.collect();
    about.sort_by_key(|(_, answer)| std::cmp::Reverse(answer.this_update));
    let (_, answer) = about.into_iter().find(|(response, _)| response.is_signed_for(issuers, now))?;
    let (this_update, next_update) = (answer.this_update, answer.next_update);
    Some(Word { form: "ocsp", status: answer.status, this_update, next_update })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::{Certificate, OcspResponse};

    /// 2026-11-25T00:00:00Z, a day after the answers were made.
    const NOW: i64 = 1_795_564_800;

    fn file(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/ocsp");
        std::fs::read(format!("{folder}/{name}")).unwrap()
    }

    fn chain() -> Vec<Certificate> {
        [file("leaf.pem"), file("ca.pem")]
            .iter()
            .flat_map(|pem| Certificate::from_file(pem).unwrap())
            .collect()
    }

    fn verdict(names: &[&str], now: i64) -> Result<Vec<ListUsed>, NotationError> {
        let mut stores = TrustStores::default();
        for name in names {
            stores.add_response(OcspResponse::from_der(&file(name)).unwrap());
        }
        check(&chain(), &stores, now)
    }

    #[test]
    fn an_answer_of_the_issuer_or_of_whom_it_appointed_counts() {
        for name in ["good.der", "sha256.der", "delegated.der"] {
            let used = verdict(&[name], NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((used.len(), used[0].form), (1, "ocsp"), "{name}");
            assert_eq!(used[0].age, NOW - used[0].this_update);
        }
    }

    #[test]
    fn an_answer_of_anybody_else_is_no_answer() {
        use NotationError::RevocationUnknown;
        for names in [&[][..], &["stranger.der"], &["other.der"], &["no-nocheck.der"], &["no-purpose.der"]] {
            let outcome = verdict(names, NOW);
            assert!(matches!(outcome, Err(RevocationUnknown(_))), "{names:?}: {outcome:?}");
            let with_good = verdict(&[names, &["good.der"]].concat(), NOW);
            assert!(with_good.is_ok(), "{names:?} hides a good answer: {with_good:?}");
        }
    }

    #[test]
    fn revoked_unknown_early_and_late_are_refused() {
        use NotationError::{RevocationStale, RevocationUnknown, Revoked};
        let revoked = verdict(&["revoked.der"], NOW).unwrap_err();
        assert!(matches!(revoked, Revoked { at: 1_793_491_200, .. }), "{revoked:?}");
        assert!(matches!(verdict(&["unknown.der"], NOW), Err(RevocationUnknown(_))));
        // 2046-02-01: all have ended; what was revoked still is.
        let late = 2_401_142_400;
        assert!(matches!(verdict(&["good.der"], late), Err(RevocationStale { .. })));
        assert!(matches!(verdict(&["revoked.der"], late), Err(Revoked { .. })));
        // Before it was made it says nothing.
        assert!(matches!(verdict(&["good.der"], NOW - 400_000), Err(RevocationUnknown(_))));
    }
}
