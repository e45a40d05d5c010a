//! Whether a certificate of a chain was revoked, as far as the operator's lists say.

use super::trust_policy::TrustStores;
use super::verify::NotationError;
use crate::x509::{Certificate, RevocationList};

/// A list that the answer rests on: how old it is, is part of the answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListUsed {
    /// Whose certificates it is about.
    pub issuer: String,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub this_update: i64,
    /// When it ends.
    pub next_update: i64,
    /// Seconds since it was made.
    pub age: i64,
}

/// Every certificate below the root: a root is trusted by name and cannot be revoked. One whose issuer publishes nothing
/// and of which no list is at hand cannot be revoked either. What is revoked proves nothing, whenever it signed: the
/// date in a list is the issuer's word on when the key was lost, not proof.
pub(super) fn check(
    chain: &[Certificate],
    stores: &TrustStores,
    now: i64,
) -> Result<Vec<ListUsed>, NotationError> {
    let mut used = Vec::new();
    for pair in chain.windows(2) {
        let [certificate, issuer] = pair else { continue };
        let subject = || certificate.subject().to_string();
        let lists = stores.lists_about(certificate);
        let signed = |list: &&&RevocationList| list.is_signed_by(issuer);
        let current = lists.iter().filter(|list| list.this_update() <= now).find(signed);
        let Some(list) = current else {
            let publishes = !certificate.crl_urls().is_empty() || !certificate.ocsp_urls().is_empty();
            if publishes || !lists.is_empty() {
                return Err(NotationError::RevocationUnknown(subject()));
            }
            continue;
        };
        if list.next_update() < now {
            return Err(NotationError::RevocationStale { certificate: subject(), ended: list.next_update() });
        }
        if let Some(at) = list.revoked_at(certificate) {
            return Err(NotationError::Revoked { certificate: subject(), at });
        }
        used.push(ListUsed {
            issuer: issuer.subject().to_string(),
            this_update: list.this_update(),
            next_update: list.next_update(),
            age: now.saturating_sub(list.this_update()),
        });
    }
    Ok(used)
}
