//! Everybody whom the trust store knows, each key and each set of anchors once; and the work they may cost.

use sigstore_types::Bundle;

use super::IdentityError;
use super::trace::{Refused, Route, Step};
use crate::notary::NotaryTrust;
use crate::notation::NotationTrust;
use crate::revocation::{self, Revocations};
use crate::sigstore::{
    self, Anchors, Artifact, CertificateIdentity, CertificateSigner, SigstoreError, VerifiedBundle,
};
use crate::trust_store::{Identity, PublicKey, TrustStore, TrustedKey, Vouches};
use crate::{digest, limits};

/// What one verification of a certificate may cost, in units of one P-256 verification; from `cargo bench -p keys`.
const CERTIFICATE_COST: u32 = 24;

/// What it costs to tell a forgery: one signature by a certificate's key, and the certificate's own.
const ORIGIN_COST: u32 = 8;

/// The extension of a certificate that names the build, as [`crate::sigstore::CertificateSigner`] calls it.
const BUILD_RUN: &str = "run-invocation-uri";

/// One identity whose signature it is.
pub(crate) struct Voucher<'a> {
    pub(crate) identity: &'a Identity,
    /// Whose window is still to be looked at.
    pub(crate) key: Option<&'a TrustedKey>,
    pub(crate) key_id: String,
    pub(crate) signer: String,
    pub(crate) certificate: Option<VerifiedBundle>,
    /// Checks that its anchors do not ask for, for the trace.
    pub(crate) unasked: Vec<Step>,
}

impl Voucher<'_> {
    /// The last moment at which it vouches.
    pub(crate) fn valid_until(&self) -> Option<i64> {
        let key = self.key.and_then(|key| key.not_after);
        let certificate = self.certificate.as_ref().and_then(VerifiedBundle::valid_until);
        [key, certificate].into_iter().flatten().min()
    }
}

/// The trust store, turned around.
pub(crate) struct Signers<'a> {
    revocations: &'a Revocations,
    keys: Vec<Key<'a>>,
    certificates: Vec<Certificates<'a>>,
    notary: Vec<(&'a Identity, &'a NotaryTrust)>,
    notation: Vec<(&'a Identity, &'a NotationTrust)>,
    cost_left: u32,
    exhausted: bool,
    rootless: bool,
}

struct Key<'a> {
    key: &'a PublicKey,
    key_id: String,
    trusted_as: Vec<(&'a Identity, &'a TrustedKey)>,
}

struct Certificates<'a> {
    anchors: &'a Anchors,
    identities: Vec<(&'a Identity, &'a CertificateIdentity)>,
}

impl<'a> Signers<'a> {
    pub(crate) fn new(trust_store: &'a TrustStore) -> Self {
        let mut keys: Vec<Key<'a>> = Vec::new();
        let mut certificates: Vec<Certificates<'a>> = Vec::new();
        for identity in &trust_store.identities {
            for trusted in identity.keys() {
                match keys.iter_mut().find(|known| *known.key == trusted.key) {
                    Some(known) => known.trusted_as.push((identity, trusted)),
                    None => keys.push(Key {
                        key: &trusted.key,
                        key_id: trusted.key.key_id(),
                        trusted_as: vec![(identity, trusted)],
                    }),
                }
            }
            if let Vouches::Certificate(trust) = &identity.vouches {
                let named = (identity, &trust.identity);
                match certificates.iter_mut().find(|known| known.anchors.is_same(&trust.anchors)) {
                    Some(known) => known.identities.push(named),
                    None => {
                        certificates.push(Certificates { anchors: &trust.anchors, identities: vec![named] })
                    }
                }
            }
        }
        let revocations = &trust_store.revocations;
        let notation = trust_store.identities.iter().filter_map(|identity| match &identity.vouches {
            Vouches::Notation(trust) => Some((identity, trust.as_ref())),
            _ => None,
        });
        let notary = trust_store.identities.iter().filter_map(|identity| match &identity.vouches {
            Vouches::Notary(trust) => Some((identity, trust.as_ref())),
            _ => None,
        });
        let notary = notary.collect();
        let (notation, cost_left) = (notation.collect(), limits::VERIFICATION_COST_MAX);
        let (exhausted, rootless) = (false, false);
        Self { revocations, keys, certificates, notary, notation, cost_left, exhausted, rootless }
    }

    /// Whether the last candidate was refused for want of time to examine it.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Whether a candidate was refused for want of a root that may be believed: what it says nobody knows.
    pub(crate) fn is_rootless(&self) -> bool {
        self.rootless
    }

    /// What no longer counts.
    pub(crate) fn revocations(&self) -> &'a Revocations {
        self.revocations
    }

    /// The identities that vouch by Notary v1.
    pub(crate) fn notary(&self) -> &[(&'a Identity, &'a NotaryTrust)] {
        &self.notary
    }

    /// The identities that vouch by notation.
    pub(crate) fn notation(&self) -> &[(&'a Identity, &'a NotationTrust)] {
        &self.notation
    }

    /// Takes work from what is left; an error when it is not.
    pub(crate) fn spend(&mut self, cost: u32) -> Result<(), Refused> {
        charge(&mut self.cost_left, &mut self.exhausted, cost)
    }

    pub(crate) fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// The same for a signature by notation.
    pub(crate) fn check_notation_revoked(
        &self,
        identity: &Identity,
        key_id: &str,
        times: &[i64],
    ) -> Result<(), IdentityError> {
        let signed = revocation::Signed { identity: &identity.name, key_id, build_run: None, times };
        match self.revocations.of_signature(signed) {
            Some(revocation) => Err(IdentityError::Revoked(Box::new(revocation.clone()))),
            None => Ok(()),
        }
    }

    /// Whether somebody who vouches has since been revoked.
    pub(crate) fn check_revoked(&self, voucher: &Voucher<'_>) -> Result<(), IdentityError> {
        let certificate = voucher.certificate.as_ref();
        let extensions = certificate.and_then(VerifiedBundle::signer).map(|signer| &signer.extensions);
        let signed = revocation::Signed {
            identity: &voucher.identity.name,
            key_id: &voucher.key_id,
            build_run: extensions.and_then(|named| named.get(BUILD_RUN)).map(String::as_str),
            times: certificate.map_or(&[], VerifiedBundle::times),
        };
        match self.revocations.of_signature(signed) {
            Some(revocation) => Err(IdentityError::Revoked(Box::new(revocation.clone()))),
            None => Ok(()),
        }
    }

    /// 10. Whose signature it is. The algorithm is the key's; nothing in the signature chooses one.
    pub(crate) fn by_key(
        &mut self,
        message: &[u8],
        signature: &[u8],
        hint: Option<&str>,
    ) -> Result<Vec<Voucher<'a>>, Refused> {
        let mut tried = 0usize;
        for known in &self.keys {
            if hint.is_some_and(|hint| hint != known.key_id) {
                continue;
            }
            charge(&mut self.cost_left, &mut self.exhausted, known.key.verification_cost())?;
            if known.key.verifies(message, signature) {
                let voucher = |&(identity, key): &(&'a Identity, &'a TrustedKey)| Voucher {
                    identity,
                    key: Some(key),
                    key_id: known.key_id.clone(),
                    signer: format!("key {}", known.key_id),
                    certificate: None,
                    unasked: Vec::new(),
                };
                return Ok(known.trusted_as.iter().map(voucher).collect());
            }
            tried += 1;
        }
        let reason = match (tried, hint) {
            (0, Some(hint)) => format!("made with key `{hint}`, which the trust store does not hold"),
            _ => format!("the signature verifies with none of the {tried} keys in the trust store"),
        };
        Err(Refused::at(Step::Signature, reason))
    }

    /// 3 to 10. Whose certificate it is, and whether everything that it rests on is proven.
    ///
    /// Whom the certificate claims to be of is compared first, because that costs nothing and sorts strangers out;
    /// it is compared with what was proven again.
    pub(crate) fn by_certificate(
        &mut self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        now: i64,
    ) -> Result<Vec<Voucher<'a>>, Refused> {
        let claimed = sigstore::claimed_signer(bundle)?;
        let mut vouchers = Vec::new();
        let mut refusals = Vec::new();
        for known in &self.certificates {
            let meant = known.identities.iter().map(|(_, identity)| identity.check(&claimed));
            if let Some(refusal) = meant.reduce(Result::or).and_then(Result::err) {
                refusals.push(Refused::at(Step::Identity, refusal));
                continue;
            }
            let unasked = unasked(known.anchors);
            charge(&mut self.cost_left, &mut self.exhausted, ORIGIN_COST)?;
            if let Err(refusal) = sigstore::check_origin(bundle, artifact, known.anchors) {
                self.rootless |= matches!(refusal, SigstoreError::TrustRoot(_));
                refusals.push(Refused { unasked, ..refusal.into() });
                continue;
            }
            charge(&mut self.cost_left, &mut self.exhausted, CERTIFICATE_COST)?;
            match sigstore::by_anchors(bundle, artifact, known.anchors, now) {
                Ok(verified) => vouchers.extend(known.vouchers(&verified, &unasked)),
                Err(error) => {
                    self.rootless |= matches!(error, SigstoreError::TrustRoot(_));
                    refusals.push(Refused { unasked, ..error.into() });
                }
            }
        }
        if vouchers.is_empty() { Err(Refused::furthest(refusals, Route::Certificate)) } else { Ok(vouchers) }
    }
}

impl<'a> Certificates<'a> {
    fn vouchers(&self, verified: &VerifiedBundle, unasked: &[Step]) -> Vec<Voucher<'a>> {
        let Some(signer) = verified.signer() else { return Vec::new() };
        let meant = self.identities.iter().filter(|(_, identity)| identity.check(signer).is_ok());
        let voucher = |(identity, _): &(&'a Identity, &'a CertificateIdentity)| Voucher {
            identity,
            key: None,
            key_id: mark(signer),
            signer: format!("{} of {}", signer.subject, signer.issuer),
            certificate: Some(VerifiedBundle { statement: None, ..verified.clone() }),
            unasked: unasked.to_vec(),
        };
        meant.map(voucher).collect()
    }
}

/// One mark per holder: of one holder's many keys, each of which lives for minutes, two signatures count once.
fn mark(signer: &CertificateSigner) -> String {
    let (issuer, subject) = (&signer.issuer, &signer.subject);
    digest::sha256_hex(format!("certificate\n{}\n{issuer}\n{subject}", issuer.len()).as_bytes())
}

/// Proofs that the anchors do not ask for.
fn unasked(anchors: &Anchors) -> Vec<Step> {
    match anchors {
        Anchors::Absent(_) => Vec::new(),
        Anchors::Authorities(_) => vec![Step::LogEntry, Step::CertificateLog],
        Anchors::Root { log_entries, certificate_log, .. } => {
            let log = (*log_entries == 0).then_some(Step::LogEntry);
            log.into_iter().chain((!certificate_log).then_some(Step::CertificateLog)).collect()
        }
    }
}

fn charge(left: &mut u32, exhausted: &mut bool, cost: u32) -> Result<(), Refused> {
    match left.checked_sub(cost) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => {
            *exhausted = true;
            let reason = "not examined: too many signatures on this digest; remove stale ones";
            Err(Refused::at(Step::Budget, reason))
        }
    }
}
