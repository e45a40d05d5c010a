//! The files of TUF: an envelope of signatures around one of four roles.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

use super::error::{RoleFault, SignatureFault, TufError};
use super::key::Key;
use super::{Role, client};
use crate::json::{self, quote};
use crate::{canonical, limits, moment, threshold};

/// A file whose signatures are not checked yet.
#[derive(Debug)]
pub(super) struct Envelope {
    role: Role,
    signed: Value,
    canonical: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Debug, Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

#[derive(Debug, Deserialize)]
struct Common {
    _type: String,
    spec_version: String,
    version: u64,
    expires: String,
}

#[derive(Debug, Deserialize)]
struct UnreadRole {
    keyids: Vec<String>,
    threshold: u64,
}

#[derive(Debug, Deserialize)]
struct UnreadRoot {
    keys: BTreeMap<String, Value>,
    roles: BTreeMap<String, UnreadRole>,
    #[serde(default)]
    consistent_snapshot: bool,
}

#[derive(Debug, Deserialize)]
struct UnreadListing {
    meta: BTreeMap<String, FileMeta>,
}

#[derive(Debug, Deserialize)]
struct UnreadTargets {
    targets: BTreeMap<String, TargetMeta>,
}

/// What a role signs about another's file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FileMeta {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) length: Option<u64>,
    #[serde(default)]
    hashes: Hashes,
}

/// What the targets role signs about a target file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TargetMeta {
    pub(super) length: u64,
    hashes: Hashes,
}

type Hashes = BTreeMap<String, String>;

/// The keys that may sign a role, and how many must.
#[derive(Clone, Debug)]
pub(super) struct RoleKeys {
    keys: Vec<Key>,
    threshold: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) version: u64,
    pub(super) expires: i64,
    pub(super) consistent_snapshot: bool,
    pub(super) root: RoleKeys,
    pub(super) snapshot: RoleKeys,
    pub(super) targets: RoleKeys,
    pub(super) timestamp: RoleKeys,
}

/// A timestamp or a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) version: u64,
    pub(super) expires: i64,
    pub(super) meta: BTreeMap<String, FileMeta>,
}

#[derive(Clone, Debug)]
pub(super) struct Targets {
    pub(super) version: u64,
    pub(super) expires: i64,
    pub(super) targets: BTreeMap<String, TargetMeta>,
}

impl RoleKeys {
    /// Whether the same keys may sign, and as many must.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let holds = |one: &Self, other: &Self| {
            one.keys.iter().all(|key| other.keys.iter().any(|same| same.is_same(key)))
        };
        self.threshold == other.threshold && holds(self, other) && holds(other, self)
    }
}

impl Envelope {
    pub(super) fn read(role: Role, bytes: &[u8]) -> Result<Self, TufError> {
        let value =
            json::parse(bytes, client::bytes_max(role)).map_err(|error| TufError::Json { role, error })?;
        let Value::Object(mut fields) = value else {
            return Err(TufError::Shape { role, reason: "not an object".to_owned() });
        };
        let signatures: Vec<Signature> = typed(role, fields.get("signatures").unwrap_or(&Value::Null))?;
        bounded("signatures", signatures.len(), limits::TUF_KEYS_MAX)?;
        let signed = fields.remove("signed").unwrap_or(Value::Null);
        // Made from the parsed form and not cut out of the file, so that the fields we act on are those that were signed.
        let canonical = canonical::encode(&signed)?;
        Ok(Self { role, signed, canonical, signatures })
    }

    /// Whether enough distinct keys of `signers` signed.
    pub(super) fn check_signed_by(&self, signers: &RoleKeys) -> Result<(), TufError> {
        let outcomes = self.signatures.iter().map(|signature| {
            let key = signers.keys.iter().find(|key| key.id == signature.keyid);
            let outcome = key.ok_or(SignatureFault::NotOfRole).and_then(|key| {
                let bytes = hex::decode(&signature.sig).map_err(|_| SignatureFault::Invalid)?;
                Ok((key.verify(&self.canonical, &bytes)?, ()))
            });
            (signature.keyid.clone(), outcome)
        });
        let keys = threshold::distinct_keys(outcomes, &SignatureFault::Again);
        keys.reaching(signers.threshold).map(|_| ()).map_err(|short| {
            let (role, threshold) = (self.role, signers.threshold);
            TufError::Threshold { role, threshold, valid: short.valid, faults: short.faults }
        })
    }

    pub(super) fn root(&self) -> Result<Root, TufError> {
        let (version, expires) = self.common()?;
        let UnreadRoot { keys, mut roles, consistent_snapshot } = typed(self.role, &self.signed)?;
        bounded("keys", keys.len(), limits::TUF_KEYS_MAX)?;
        let keys = keys.iter().map(|(id, key)| Key::read(id.clone(), key));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        let mut take = |role: Role| {
            let fault = |reason| TufError::Role { role, reason };
            let unread = roles.remove(role.name()).ok_or_else(|| fault(RoleFault::Undefined))?;
            if unread.threshold == 0 {
                return Err(fault(RoleFault::ThresholdZero));
            }
            bounded("keys of one role", unread.keyids.len(), limits::TUF_KEYS_MAX)?;
            let known = unread.keyids.iter().map(|id| keys.iter().find(|key| key.id == *id).cloned());
            let keys: Option<Vec<Key>> = known.collect();
            let keys = keys.ok_or_else(|| fault(RoleFault::UnknownKey))?;
            Ok(RoleKeys { keys, threshold: unread.threshold })
        };
        Ok(Root {
            version,
            expires,
            consistent_snapshot,
            root: take(Role::Root)?,
            snapshot: take(Role::Snapshot)?,
            targets: take(Role::Targets)?,
            timestamp: take(Role::Timestamp)?,
        })
    }

    pub(super) fn listing(&self) -> Result<Listing, TufError> {
        let (version, expires) = self.common()?;
        let UnreadListing { meta } = typed(self.role, &self.signed)?;
        bounded("files in the snapshot", meta.len(), limits::TUF_FILES_MAX)?;
        Ok(Listing { version, expires, meta })
    }

    pub(super) fn targets(&self) -> Result<Targets, TufError> {
        let (version, expires) = self.common()?;
        let UnreadTargets { targets } = typed(self.role, &self.signed)?;
        Ok(Targets { version, expires, targets })
    }

    /// Version and expiry, if it is of this role and of a specification that we know.
    fn common(&self) -> Result<(u64, i64), TufError> {
        let role = self.role;
        let common: Common = typed(role, &self.signed)?;
        if common._type != role.name() {
            return Err(TufError::Type { role, seen: quote(&common._type) });
        }
        if common.spec_version.split('.').next() != Some("1") {
            return Err(TufError::Specification { role, seen: quote(&common.spec_version) });
        }
        if common.version == 0 {
            return Err(TufError::Shape { role, reason: "version 0".to_owned() });
        }
        let expires = moment::parse_rfc3339(&common.expires);
        let reason = || format!("`{}` is no RFC 3339 time", quote(&common.expires));
        Ok((common.version, expires.ok_or_else(|| TufError::Shape { role, reason: reason() })?))
    }
}

impl FileMeta {
    /// Length and digests, as far as they are signed; the version is compared when the file is read.
    pub(super) fn check(&self, path: &str, bytes: &[u8]) -> Result<(), TufError> {
        if let Some(length) = self.length {
            check_length(path, length, bytes)?;
        }
        if self.hashes.is_empty() { Ok(()) } else { check_digests(path, &self.hashes, bytes) }
    }
}

impl TargetMeta {
    /// Length first, then digests: what is too long is not hashed.
    pub(super) fn check(&self, path: &str, bytes: &[u8]) -> Result<(), TufError> {
        check_length(path, self.length, bytes)?;
        check_digests(path, &self.hashes, bytes)
    }

    /// The digest that stands before the file's name where the repository has consistent snapshots, hex.
    pub(super) fn prefix(&self, name: &str) -> Result<&str, TufError> {
        let known = KNOWN.iter().find_map(|(algorithm, hex_chars)| {
            let digest = self.hashes.get(*algorithm)?;
            is_hex(digest, *hex_chars).then_some(digest.as_str())
        });
        known.ok_or_else(|| TufError::DigestAbsent(name.to_owned()))
    }
}

/// Digests we compute, with the length of their hex form.
const KNOWN: [(&str, usize); 2] = [("sha256", 64), ("sha512", 128)];

fn is_hex(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn check_length(path: &str, expected: u64, bytes: &[u8]) -> Result<(), TufError> {
    let seen = bytes.len();
    let path = || path.to_owned();
    let equal = u64::try_from(seen).ok() == Some(expected);
    if equal { Ok(()) } else { Err(TufError::Length { path: path(), expected, seen }) }
}

/// Every digest that we can compute, and at least one.
fn check_digests(path: &str, hashes: &Hashes, bytes: &[u8]) -> Result<(), TufError> {
    let mut checked = 0;
    for (algorithm, hex_chars) in KNOWN {
        let Some(expected) = hashes.get(algorithm) else { continue };
        if !is_hex(expected, hex_chars) {
            return Err(TufError::DigestAbsent(path.to_owned()));
        }
        let seen = match algorithm {
            "sha256" => hex::encode(Sha256::digest(bytes)),
            _ => hex::encode(Sha512::digest(bytes)),
        };
        if seen != *expected {
            return Err(TufError::Digest {
                path: path.to_owned(),
                algorithm,
                expected: expected.clone(),
                seen,
            });
        }
        checked += 1;
    }
    if checked == 0 { Err(TufError::DigestAbsent(path.to_owned())) } else { Ok(()) }
}

fn typed<T: DeserializeOwned>(role: Role, value: &Value) -> Result<T, TufError> {
    T::deserialize(value).map_err(|error| TufError::Shape { role, reason: quote(&error.to_string()) })
}

pub(super) fn bounded(what: &'static str, seen: usize, max: usize) -> Result<(), TufError> {
    if seen > max { Err(TufError::TooMany { what, seen, max }) } else { Ok(()) }
}
