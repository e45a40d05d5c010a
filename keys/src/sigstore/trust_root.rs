//! `trusted_root.json`: authorities, logs and timestamp authorities with their validity, checked once when read.
//!
//! The file has no signature of its own. Who hands it over vouches for it; one that was fetched is believed until a day
//! that came with it ([`Lease`]).

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{TimeRange, TsaAuthority};
use sigstore_verify::Verifier;

use super::SigstoreError;
use super::authority::Authority;
use crate::moment::rfc3339;
use crate::trust_store::{KeyAlgorithm, PublicKey};
use crate::{digest, json, limits};

/// The media types of the file (protobuf-specs, sigstore_trustroot.proto).
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
];

/// How far clocks may differ, in seconds.
const CLOCK_TOLERANCE: i64 = 3600;

/// What a sigstore instance is recognised by.
pub struct TrustRoot {
    pub(super) verifier: Verifier,
    pub(super) logs: BTreeMap<[u8; 32], Log>,
    pub(super) authorities: Vec<Authority>,
    pub(super) timestamp_authorities: Vec<TsaAuthority>,
    digest: String,
    lease: Option<Lease>,
}

/// Until when a root that was fetched may be believed: its publisher may since have taken back what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// When it was fetched, in seconds since 1970-01-01 UTC: a clock that stands long before was set back, and would make
    /// what has ended good again.
    pub from: i64,
    /// From this second on it is not believed, in seconds since 1970-01-01 UTC.
    pub until: i64,
    /// What then is to be said, and done.
    pub ended: String,
}

/// A transparency log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: [u8; 32],
    /// Its base URL without the scheme: what a log of the second kind calls itself in checkpoints.
    pub(crate) origin: String,
    pub(crate) key: PublicKey,
    /// Ed25519 keys serve logs of the second kind alone; their key hint covers the name, so the name is compared too.
    pub(crate) signs_notes_by_name: bool,
    pub(super) validity: TimeRange,
}

impl TrustRoot {
    /// Reads the file. Every entry must be usable, every period must say when it starts, and every log's id must be
    /// its key's: one bad entry is a reason to look at the file, not to go on with the rest.
    pub fn parse(bytes: &[u8]) -> Result<Self, SigstoreError> {
        let value = json::parse(bytes, limits::TRUST_ROOT_BYTES_MAX).map_err(root)?;
        let media_type = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        if !MEDIA_TYPES.contains(&media_type) {
            return Err(root(format!("media type `{}` is not known", json::quote(media_type))));
        }
        check_periods(&value)?;
        let text = std::str::from_utf8(bytes).map_err(root)?;
        let parsed = TrustedRoot::from_json(text).map_err(|error| root(json::quote(&error.to_string())))?;
        let verifier = Verifier::new(&parsed).map_err(|error| root(json::quote(&error.to_string())))?;
        let mut logs = BTreeMap::new();
        for log in &parsed.tlogs {
            let log = read_log(log)?;
            logs.insert(log.id, log);
        }
        for log in &parsed.ctlogs {
            check_id(
                &log.base_url,
                log.log_id.key_id.as_bytes(),
                &certificate_log_ids(log.public_key.raw_bytes.as_bytes()),
            )?;
        }
        let authorities = parsed.certificate_authorities.iter().map(|authority| {
            let certificates = authority.cert_chain.certificates.iter();
            let certificates: Vec<&[u8]> = certificates.map(|one| one.raw_bytes.as_bytes()).collect();
            Authority::new(&certificates, authority.valid_for)
        });
        let authorities = authorities.collect::<Result<_, _>>()?;
        let timestamp_authorities = parsed.tsa_authorities();
        let digest = digest::sha256(bytes);
        Ok(Self { verifier, logs, authorities, timestamp_authorities, digest, lease: None })
    }

    /// The same, believed for a while only.
    #[must_use]
    pub fn leased(self, lease: Lease) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Until when it is believed; `None`: for good.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    pub(super) fn check_lease(&self, now: i64) -> Result<(), SigstoreError> {
        match &self.lease {
            Some(lease) if now >= lease.until => Err(root(&lease.ended)),
            Some(lease) if now < lease.from.saturating_sub(CLOCK_TOLERANCE) => {
                let (now, from) = (rfc3339(now), rfc3339(lease.from));
                Err(root(format!("it is {now}, but it was fetched {from}: set the clock")))
            }
            _ => Ok(()),
        }
    }

    /// `sha256:<hex>` of the file: which root a verdict rests on.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Log {
    /// Whether the key belonged to the log at `time`; both ends do (protobuf-specs, TimeRange).
    pub(crate) fn is_valid_at(&self, time: i64) -> bool {
        Timestamp::from_second(time).is_ok_and(|time| self.validity.contains(time))
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TrustRoot({})", self.digest)
    }
}

fn root(reason: impl fmt::Display) -> SigstoreError {
    SigstoreError::TrustRoot(reason.to_string())
}

/// A period without a start would be read as "always" by some and as "never" by others.
fn check_periods(value: &Value) -> Result<(), SigstoreError> {
    for (list, period) in [
        ("tlogs", "/publicKey/validFor"),
        ("ctlogs", "/publicKey/validFor"),
        ("certificateAuthorities", "/validFor"),
        ("timestampAuthorities", "/validFor"),
    ] {
        for entry in value.get(list).and_then(Value::as_array).into_iter().flatten() {
            let start = entry.pointer(period).and_then(|period| period.get("start"));
            if start.and_then(Value::as_str).is_none() {
                return Err(root(format!("an entry of `{list}` does not say from when it is valid")));
            }
        }
    }
    Ok(())
}

fn read_log(log: &sigstore_trust_root::TransparencyLog) -> Result<Log, SigstoreError> {
    let spki = log.public_key.raw_bytes.as_bytes();
    let key = PublicKey::from_der(spki)
        .map_err(|error| root(format!("`{}`: {error}", json::quote(&log.base_url))))?;
    let origin = log.base_url.split_once("://").map_or(log.base_url.as_str(), |(_, rest)| rest);
    let origin = origin.trim_end_matches('/').to_owned();
    let is_ed25519 = key.algorithm() == KeyAlgorithm::Ed25519;
    let mut ids = vec![Sha256::digest(spki).into()];
    if is_ed25519 {
        // C2SP signed-note: name, newline, 0x01 for Ed25519, the 32 bytes of the key, which end the SPKI.
        let raw = spki.get(spki.len().saturating_sub(32)..).unwrap_or_default();
        ids.insert(0, Sha256::digest([origin.as_bytes(), b"\n\x01", raw].concat()).into());
    }
    let id = check_id(&log.base_url, log.log_id.key_id.as_bytes(), &ids)?;
    let validity = log.public_key.valid_for.ok_or_else(|| root("a log without a period of validity"))?;
    let signs_notes_by_name = is_ed25519 && ids.first() == Some(&id);
    Ok(Log { id, origin, key, signs_notes_by_name, validity })
}

/// SHA-256 of the key. One old log is listed with a bare RSAPublicKey, whose id is that of the wrapped key.
fn certificate_log_ids(key: &[u8]) -> Vec<[u8; 32]> {
    let mut ids = vec![Sha256::digest(key).into()];
    if let Some(spki) = crate::der::wrap_rsa(key) {
        ids.push(Sha256::digest(spki).into());
    }
    ids
}

/// The id that the file gives, if it is one of the key's own.
fn check_id(url: &str, given: &[u8], own: &[[u8; 32]]) -> Result<[u8; 32], SigstoreError> {
    let found = own.iter().find(|own| own.as_slice() == given).copied();
    found.ok_or_else(|| root(format!("the id of log `{}` is not that of its key", json::quote(url))))
}
