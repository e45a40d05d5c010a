//! The checks on a bundle that could be read: log entries, time, chain, certificate log, signature, artifact.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sigstore_types::bundle::{Rfc3161Timestamp, TransparencyLogEntry, VerificationMaterialContent};
use sigstore_types::{
    ArtifactDigest, Bundle, DerPublicKey, DigestBytes, HashAlgorithm, KindVersion, SignatureContent,
};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use super::authority::{check_chain, next_end};
use super::certificate::Certificate;
use super::note::Checkpoint;
use super::trust_root::{Log, TrustRoot};
use super::{Artifact, Authorities, LogPosition, SigstoreError, VerifiedBundle};
use crate::cosign::bundle::pre_authentication_encoding;
use crate::digest;
use crate::trust_store::PublicKey;

/// How far a proven time may lie ahead of our clock: clocks differ, and a minute gives nobody anything.
const CLOCK_SKEW_SECONDS: i64 = 60;

/// What is asked of a certificate besides its chain and time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirements {
    pub(crate) log_entries: usize,
    pub(crate) certificate_log: bool,
}

/// Which of the two paths is asked. A bundle of the other is refused, never tried (CVE-2022-36056).
pub(crate) enum Signed<'a> {
    ByCertificate(Requirements),
    ByKey { key: &'a PublicKey, log_entries: usize },
}

/// All checks of a bundle against a sigstore instance.
pub(crate) fn by_root(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustRoot,
    signed: Signed<'_>,
    now: i64,
) -> Result<VerifiedBundle, SigstoreError> {
    root.check_lease(now)?;
    let log_entries = match signed {
        Signed::ByCertificate(Requirements { log_entries, .. }) | Signed::ByKey { log_entries, .. } => {
            log_entries
        }
    };
    let certificate = path(bundle, matches!(signed, Signed::ByCertificate(_)))?;
    let bundle = &*drop_unproven_timestamps(bundle, root);
    let entries = check_log_entries(bundle, root, log_entries)?;
    let skip_log = entries.is_empty();
    let input = artifact.prepare()?;
    let result = match signed {
        Signed::ByCertificate(Requirements { certificate_log, .. }) => {
            let mut policy = VerificationPolicy::any_identity();
            if skip_log {
                policy = policy.skip_tlog_unsafe();
            }
            if !certificate_log {
                policy = policy.skip_sct();
            }
            root.verifier.verify(input, bundle, &policy)
        }
        Signed::ByKey { key, .. } => {
            let policy = PublicKeyVerificationPolicy::new(DerPublicKey::new(key.spki_der().to_vec()));
            let policy = if skip_log { policy.skip_tlog_unsafe() } else { policy };
            root.verifier.verify(input, bundle, &policy)
        }
    };
    let result = result.map_err(|error| match error.into() {
        // The artifact is what was signed, so the mismatch is the entry's: it is about something else.
        SigstoreError::Artifact(text) if names(bundle, artifact) => SigstoreError::LogEntry(text),
        other => other,
    })?;
    let times = proven_times(&result, now)?;
    check_log_periods(&entries, &times)?;
    let signer = match &certificate {
        Some((leaf, brought)) => {
            if times.is_empty() {
                return Err(SigstoreError::Time("nothing proves when the signature was made".to_owned()));
            }
            for &time in &times {
                check_chain(leaf, brought, &root.authorities, time)?;
            }
            let leaf = Certificate::parse(leaf)?;
            check_leaf(&leaf)?;
            Some(leaf.signer()?)
        }
        None => None,
    };
    let entries = entries
        .iter()
        .map(|(entry, log)| LogPosition { log: log.origin.clone(), index: entry.log_index.get() });
    let (entries, statement) = (entries.collect(), payload(bundle));
    let valid_until = root.lease().map(|lease| lease.until.saturating_sub(1));
    Ok(VerifiedBundle { signer, times, valid_until, entries, statement })
}

/// All checks of a bundle against own authorities: nothing proves its time, so the certificate must be valid now.
pub(crate) fn by_authority(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    authorities: &Authorities,
    now: i64,
) -> Result<VerifiedBundle, SigstoreError> {
    let (leaf, brought) = certificates(bundle)?;
    let (message, signature) = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            let message = pre_authentication_encoding(&envelope.payload_type, envelope.payload.as_bytes());
            (message, envelope.signature.sig.as_bytes())
        }
        SignatureContent::MessageSignature(signed) => match artifact {
            Artifact::Bytes(bytes) => (bytes.to_vec(), signed.signature.as_bytes()),
            Artifact::Digest(_) => {
                let reason = "a message signature needs the message, not only its digest";
                return Err(SigstoreError::Artifact(reason.to_owned()));
            }
        },
        _ => return Err(SigstoreError::Structure("neither an envelope nor a message signature".to_owned())),
    };
    let signer = certified(&leaf, &brought, authorities, &message, signature, now)?;
    let statement = payload(bundle);
    if let Some(statement) = &statement {
        super::statement::check_subject(statement, artifact)?;
    }
    let valid_until = next_end(&leaf, &brought, authorities.list(), now);
    Ok(VerifiedBundle {
        signer: Some(signer),
        times: Vec::new(),
        valid_until,
        entries: Vec::new(),
        statement,
    })
}

/// That `signature` over `message` is of the certificate's key, and the certificate of one of the authorities, now.
pub(crate) fn certified(
    leaf_der: &[u8],
    brought: &[Vec<u8>],
    authorities: &Authorities,
    message: &[u8],
    signature: &[u8],
    now: i64,
) -> Result<super::CertificateSigner, SigstoreError> {
    let leaf = Certificate::parse(leaf_der)?;
    if !leaf.is_valid_at(now) {
        let reason =
            "the certificate is not valid now, and nothing proves that the signature was made when it was";
        return Err(SigstoreError::Time(reason.to_owned()));
    }
    check_chain(leaf_der, brought, authorities.list(), now)?;
    check_leaf(&leaf)?;
    let key = PublicKey::from_der(leaf.spki).map_err(|error| SigstoreError::Chain(error.to_string()))?;
    if !key.verifies(message, signature) {
        return Err(SigstoreError::Signature("not made with the certificate's key".to_owned()));
    }
    leaf.signer()
}

impl<'a> Artifact<'a> {
    fn prepare(self) -> Result<sigstore_types::Artifact<'a>, SigstoreError> {
        let refuse = || SigstoreError::Artifact("not a digest that can be compared".to_owned());
        match self {
            Artifact::Bytes(bytes) => Ok(sigstore_types::Artifact::from_blob(bytes)),
            Artifact::Digest(text) => {
                let (algorithm, hex) = digest::split(text).ok_or_else(refuse)?;
                let algorithm = match algorithm {
                    "sha256" => HashAlgorithm::Sha2256,
                    "sha512" => HashAlgorithm::Sha2512,
                    _ => return Err(refuse()),
                };
                let bytes = hex::decode(hex).map_err(|_| refuse())?;
                let digest = ArtifactDigest::new(algorithm, DigestBytes::new(bytes)).map_err(|_| refuse())?;
                Ok(sigstore_types::Artifact::from_digest(digest))
            }
        }
    }
}

type Chain = (Vec<u8>, Vec<Vec<u8>>);

/// Leaf and what was brought along, or nothing for a key; whichever was asked.
fn path(bundle: &Bundle, wants_certificate: bool) -> Result<Option<Chain>, SigstoreError> {
    let chain = match &bundle.verification_material.content {
        VerificationMaterialContent::Certificate(one) => {
            Some((one.raw_bytes.as_bytes().to_vec(), Vec::new()))
        }
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            let mut certificates = certificates.iter().map(|one| one.raw_bytes.as_bytes().to_vec());
            certificates.next().map(|leaf| (leaf, certificates.collect()))
        }
        _ => None,
    };
    match (chain, wants_certificate) {
        (None, true) => {
            let reason = "made with a key, and a certificate's holder was asked for";
            Err(SigstoreError::Structure(reason.to_owned()))
        }
        (Some(_), false) => {
            Err(SigstoreError::Structure("made with a certificate, and a key was asked for".to_owned()))
        }
        (chain, _) => Ok(chain),
    }
}

/// Every entry is of a trusted log, and its checkpoint signed by that log; and enough distinct logs have one.
/// The proofs, promises and bodies themselves are the foundation's to check.
fn check_log_entries<'a>(
    bundle: &'a Bundle,
    root: &'a TrustRoot,
    log_entries: usize,
) -> Result<Vec<(&'a TransparencyLogEntry, &'a Log)>, SigstoreError> {
    let mut found = Vec::new();
    for entry in &bundle.verification_material.tlog_entries {
        let id = entry.log_id.key_id.as_bytes();
        let log = <[u8; 32]>::try_from(id).ok().and_then(|id| root.logs.get(&id));
        let log = log.ok_or_else(|| refuse(format!("of the unknown log `{}`", hex::encode(id))))?;
        match &entry.inclusion_proof {
            Some(proof) => {
                let checkpoint = Checkpoint::parse(proof.checkpoint.envelope())?;
                if checkpoint.root_hash != proof.root_hash.as_bytes() {
                    return Err(refuse(
                        "the inclusion proof ends in another root than the checkpoint".to_owned(),
                    ));
                }
                if checkpoint.tree_size != proof.tree_size {
                    let (proof, checkpoint) = (proof.tree_size, checkpoint.tree_size);
                    return Err(refuse(format!(
                        "the proof is for `{proof}` entries, the checkpoint for `{checkpoint}`"
                    )));
                }
                checkpoint.check_signer(log)?;
            }
            // Without a proof only a promise binds the log, and only with the time that it covers.
            None if entry.inclusion_promise.is_some() && entry.integrated_time.is_some() => {}
            None => return Err(refuse("neither proven nor promised by the log".to_owned())),
        }
        found.push((entry, log));
    }
    let distinct: BTreeSet<_> = found.iter().map(|(_, log)| log.key.key_id()).collect();
    if distinct.len() < log_entries {
        let seen = distinct.len();
        return Err(refuse(format!("in `{seen}` distinct logs, `{log_entries}` are required")));
    }
    Ok(found)
}

fn refuse(reason: String) -> SigstoreError {
    SigstoreError::LogEntry(reason)
}

/// Beside a good timestamp or a log's promise, a bad timestamp says nothing: it is dropped, where the foundation would
/// refuse the bundle. If nothing else proves a time they stay, to be refused by name.
fn drop_unproven_timestamps<'a>(bundle: &'a Bundle, root: &TrustRoot) -> Cow<'a, Bundle> {
    let tokens = &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
    let signature = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => &envelope.signature.sig,
        SignatureContent::MessageSignature(message) => &message.signature,
        _ => return Cow::Borrowed(bundle),
    };
    let entries = &bundle.verification_material.tlog_entries;
    let is_promised = entries.iter().any(|entry| entry.inclusion_promise.is_some());
    if tokens.is_empty() || (tokens.len() == 1 && !is_promised) {
        return Cow::Borrowed(bundle);
    }
    let is_good = |token: &&Rfc3161Timestamp| {
        root.timestamp_authorities.iter().any(|authority| {
            sigstore_tsa::verify_timestamp_for_authority(&token.signed_timestamp, signature, authority)
                .is_ok()
        })
    };
    let good: Vec<_> = tokens.iter().filter(is_good).cloned().collect();
    if good.len() == tokens.len() || (good.is_empty() && !is_promised) {
        return Cow::Borrowed(bundle);
    }
    let mut bundle = bundle.clone();
    bundle.verification_material.timestamp_verification_data.rfc3161_timestamps = good;
    Cow::Owned(bundle)
}

/// Whether the bundle is about the artifact at all, whatever its log entries say.
fn names(bundle: &Bundle, artifact: Artifact<'_>) -> bool {
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            super::statement::check_subject(envelope.payload.as_bytes(), artifact).is_ok()
        }
        SignatureContent::MessageSignature(message) => {
            let Some(stated) = &message.message_digest else { return true };
            let computed;
            let artifact = match artifact {
                Artifact::Digest(digest) => digest,
                Artifact::Bytes(bytes) => {
                    computed = digest::sha256(bytes);
                    &computed
                }
            };
            digest::split(artifact).is_some_and(|(_, hex)| hex == hex::encode(stated.digest.as_bytes()))
        }
        _ => false,
    }
}

/// The times that logs and timestamp authorities proved, none of them in our future.
fn proven_times(result: &VerificationResult, now: i64) -> Result<Vec<i64>, SigstoreError> {
    let times: Vec<i64> = result.verified_timestamps().iter().map(|time| time.as_second()).collect();
    match times.iter().find(|&&time| time > now.saturating_add(CLOCK_SKEW_SECONDS)) {
        Some(&time) => {
            let (time, now) = (crate::moment::rfc3339(time), crate::moment::rfc3339(now));
            Err(SigstoreError::Time(format!("signed at `{time}`, and it is `{now}`")))
        }
        None => Ok(times),
    }
}

/// The log's key belonged to the log when the entry was made: at the time that its promise covers, or else at every
/// proven time. Entries of the second kind have no time of their own.
fn check_log_periods(entries: &[(&TransparencyLogEntry, &Log)], times: &[i64]) -> Result<(), SigstoreError> {
    for (entry, log) in entries {
        let is_promised =
            entry.inclusion_promise.is_some() && entry.kind_version != KindVersion::HashedRekordV002;
        let promised = entry.integrated_time.filter(|_| is_promised).map(|time| time.as_second());
        let outside = match promised {
            Some(time) => (!log.is_valid_at(time)).then_some(time),
            None => times.iter().copied().find(|&time| !log.is_valid_at(time)),
        };
        if let Some(time) = outside {
            let (log, time) = (&log.origin, crate::moment::rfc3339(time));
            return Err(refuse(format!("the key of log `{log}` was not valid at `{time}`")));
        }
    }
    Ok(())
}

fn check_leaf(leaf: &Certificate<'_>) -> Result<(), SigstoreError> {
    let reason = || SigstoreError::Chain("the certificate is not for code signing".to_owned());
    leaf.may_sign().then_some(()).ok_or_else(reason)
}

/// The envelope's payload, byte for byte what its signature covers.
pub(crate) fn payload(bundle: &Bundle) -> Option<Vec<u8>> {
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => Some(envelope.payload.as_bytes().to_vec()),
        _ => None,
    }
}

pub(super) fn certificates(bundle: &Bundle) -> Result<Chain, SigstoreError> {
    path(bundle, true)?.ok_or_else(|| SigstoreError::Structure("no certificate".to_owned()))
}
