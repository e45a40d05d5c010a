//! The files of Notary v1: an envelope of signatures around one of four roles.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

use super::error::{RoleFault, SignatureFault};
use super::key::Key;
use super::role::Role;
use super::{Document, NotaryError};
use crate::json::{self, quote};
use crate::{canonical, limits, moment, threshold};

/// A file whose signatures are not checked yet.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    document: Document,
    signed: Value,
    canonical: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, Deserialize)]
struct Signature {
    keyid: String,
    method: String,
    sig: String,
}

/// A key that signed, under both its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SigningKey {
    /// As notary calls it: hex SHA-256 of the file's canonical form of the key, which depends on its certificate.
    pub id: String,
    /// Hex SHA-256 of the public key (SubjectPublicKeyInfo, DER), as keys are called everywhere else.
    pub public_key: String,
}

/// Fields that every role has.
#[derive(Debug, Deserialize)]
struct Common {
    _type: String,
    version: u64,
    expires: String,
}

#[derive(Debug, Deserialize)]
struct UnreadKey {
    keytype: String,
    keyval: UnreadKeyValue,
}

#[derive(Debug, Deserialize)]
struct UnreadKeyValue {
    public: String,
}

#[derive(Debug, Deserialize)]
struct UnreadRole {
    keyids: Vec<String>,
    threshold: u64,
}

#[derive(Debug, Deserialize)]
struct UnreadRoot {
    keys: BTreeMap<String, UnreadKey>,
    roles: BTreeMap<String, UnreadRole>,
}

#[derive(Debug, Deserialize)]
struct UnreadMeta {
    meta: BTreeMap<String, FileMeta>,
}

#[derive(Debug, Deserialize)]
struct UnreadTargets {
    targets: BTreeMap<String, FileMeta>,
    #[serde(default)]
    delegations: Option<UnreadDelegations>,
}

#[derive(Debug, Deserialize)]
struct UnreadDelegations {
    keys: BTreeMap<String, UnreadKey>,
    roles: Vec<UnreadDelegation>,
}

#[derive(Debug, Deserialize)]
struct UnreadDelegation {
    name: String,
    keyids: Vec<String>,
    threshold: u64,
    #[serde(default)]
    paths: Vec<String>,
}

/// Length and digests of a file or an image, as a role signs them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FileMeta {
    pub(super) length: u64,
    hashes: BTreeMap<String, String>,
}

/// The keys that may sign a role, and how many must.
#[derive(Clone, Debug)]
pub(super) struct RoleKeys {
    pub(super) keys: Vec<Key>,
    pub(super) threshold: u64,
}

/// What one role may sign, in one delegation.
#[derive(Clone, Debug)]
pub(super) struct Delegation {
    pub(super) role: Role,
    pub(super) signers: RoleKeys,
    pub(super) paths: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) version: u64,
    pub(super) expires: i64,
    pub(super) root: RoleKeys,
    pub(super) timestamp: RoleKeys,
    pub(super) snapshot: RoleKeys,
    pub(super) targets: RoleKeys,
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
    pub(super) targets: BTreeMap<String, FileMeta>,
    pub(super) delegations: Vec<Delegation>,
}

impl Envelope {
    pub(super) fn read(document: Document, bytes: &[u8]) -> Result<Self, NotaryError> {
        let value = json::parse(bytes, document.bytes_max())
            .map_err(|error| NotaryError::Json { document: document.clone(), error })?;
        let Value::Object(mut fields) = value else {
            return Err(NotaryError::Shape { document, reason: "not an object".to_owned() });
        };
        let signatures: Vec<Signature> = typed(&document, fields.get("signatures").unwrap_or(&Value::Null))?;
        bounded("signatures", signatures.len(), limits::NOTARY_KEYS_MAX)?;
        let signed = fields.remove("signed").unwrap_or(Value::Null);
        let canonical = canonical::encode(&signed)?;
        Ok(Self { document, signed, canonical, signatures })
    }

    /// The distinct keys of a role that signed, if there are enough of them. Keys are told apart by their
    /// value and not by their id, because one key has an id in each type it can be written as (connaisseur#2150).
    pub(super) fn signed_by(&self, role: &str, signers: &RoleKeys) -> Result<Vec<SigningKey>, NotaryError> {
        let outcomes = self.signatures.iter().map(|signature| {
            let outcome = signers
                .keys
                .iter()
                .find(|key| key.id == signature.keyid)
                .ok_or(SignatureFault::NotOfRole)
                .and_then(|key| {
                    let bytes = STANDARD.decode(&signature.sig).map_err(|_| SignatureFault::Invalid)?;
                    let value = key.verify(&signature.method, &self.canonical, &bytes)?;
                    Ok((value.spki_der(), SigningKey { id: key.id.clone(), public_key: value.key_id() }))
                });
            (signature.keyid.clone(), outcome)
        });
        let keys = threshold::distinct_keys(outcomes, &SignatureFault::Again);
        keys.reaching(signers.threshold).map_err(|short| {
            let (role, threshold) = (role.to_owned(), signers.threshold);
            NotaryError::Threshold { role, threshold, valid: short.valid, faults: short.faults }
        })
    }

    pub(super) fn root(&self) -> Result<Root, NotaryError> {
        let common = self.common("Root")?;
        let UnreadRoot { keys, mut roles } = typed(&self.document, &self.signed)?;
        let keys = read_keys(keys)?;
        let mut take = |name: &str| {
            let role = roles.remove(name).ok_or_else(|| fault(name, RoleFault::Undefined))?;
            role_keys(name, role.keyids, role.threshold, &keys)
        };
        Ok(Root {
            version: common.version,
            expires: self.expires(&common)?,
            root: take("root")?,
            timestamp: take("timestamp")?,
            snapshot: take("snapshot")?,
            targets: take("targets")?,
        })
    }

    pub(super) fn listing(&self, type_: &'static str) -> Result<Listing, NotaryError> {
        let common = self.common(type_)?;
        let UnreadMeta { meta } = typed(&self.document, &self.signed)?;
        Ok(Listing { version: common.version, expires: self.expires(&common)?, meta })
    }

    /// `role` is the role that this file must be of: its delegations must be that role's children.
    pub(super) fn targets(&self, role: &Role) -> Result<Targets, NotaryError> {
        let common = self.common("Targets")?;
        let UnreadTargets { targets, delegations } = typed(&self.document, &self.signed)?;
        bounded("tags in one file", targets.len(), limits::NOTARY_TARGETS_MAX)?;
        let mut seen = BTreeSet::new();
        let mut read = Vec::new();
        let delegations =
            delegations.unwrap_or(UnreadDelegations { keys: BTreeMap::new(), roles: Vec::new() });
        let keys = read_keys(delegations.keys)?;
        bounded("delegations", delegations.roles.len(), limits::NOTARY_ROLES_MAX)?;
        for delegation in delegations.roles {
            let UnreadDelegation { name, keyids, threshold, paths } = delegation;
            let child = Role::parse(&name).ok_or_else(|| fault(&quote(&name), RoleFault::Name))?;
            if child.parent().as_ref() != Some(role) {
                return Err(fault(&name, RoleFault::NotAChild));
            }
            if !seen.insert(child.clone()) {
                return Err(fault(&name, RoleFault::Twice));
            }
            bounded("path prefixes of one delegation", paths.len(), limits::NOTARY_PATHS_MAX)?;
            let signers = role_keys(&name, keyids, threshold, &keys)?;
            read.push(Delegation { role: child, signers, paths });
        }
        let (version, expires) = (common.version, self.expires(&common)?);
        Ok(Targets { version, expires, targets, delegations: read })
    }

    /// As it says, whatever its type.
    pub(super) fn version(&self) -> Result<u64, NotaryError> {
        Ok(typed::<Common>(&self.document, &self.signed)?.version)
    }

    fn common(&self, type_: &'static str) -> Result<Common, NotaryError> {
        let common: Common = typed(&self.document, &self.signed)?;
        if common._type != type_ {
            let (document, seen) = (self.document.clone(), quote(&common._type));
            return Err(NotaryError::Type { document, expected: type_, seen });
        }
        Ok(common)
    }

    fn expires(&self, common: &Common) -> Result<i64, NotaryError> {
        moment::parse_rfc3339(&common.expires).ok_or_else(|| NotaryError::Shape {
            document: self.document.clone(),
            reason: format!("`{}` is no RFC 3339 time", quote(&common.expires)),
        })
    }
}

impl FileMeta {
    /// Length, SHA-256 and, where it is signed, SHA-512 of a received file.
    pub(super) fn check(&self, document: &Document, bytes: &[u8]) -> Result<(), NotaryError> {
        if u64::try_from(bytes.len()).ok() != Some(self.length) {
            let (document, expected, seen) = (document.clone(), self.length, bytes.len());
            return Err(NotaryError::Length { document, expected, seen });
        }
        let differs = |algorithm, expected: String, seen: String| {
            let document = document.clone();
            if expected == seen {
                Ok(())
            } else {
                Err(NotaryError::Digest { document, algorithm, expected, seen })
            }
        };
        differs("sha256", self.sha256(&document.to_string())?, hex::encode(Sha256::digest(bytes)))?;
        match self.digest("sha512", 64, &document.to_string())? {
            Some(expected) => differs("sha512", expected, hex::encode(Sha512::digest(bytes))),
            None => Ok(()),
        }
    }

    /// Hex. A length alone or another digest alone is no binding.
    pub(super) fn sha256(&self, of: &str) -> Result<String, NotaryError> {
        let digest = self.digest("sha256", 32, of)?;
        digest.ok_or_else(|| NotaryError::DigestAbsent { algorithm: "sha256", of: quote(of) })
    }

    fn digest(&self, algorithm: &'static str, bytes: usize, of: &str) -> Result<Option<String>, NotaryError> {
        let Some(text) = self.hashes.get(algorithm) else { return Ok(None) };
        let digest = STANDARD.decode(text).ok().filter(|digest| digest.len() == bytes);
        let digest = digest.ok_or_else(|| NotaryError::DigestAbsent { algorithm, of: quote(of) })?;
        Ok(Some(hex::encode(digest)))
    }
}

fn read_keys(keys: BTreeMap<String, UnreadKey>) -> Result<BTreeMap<String, Key>, NotaryError> {
    bounded("keys", keys.len(), limits::NOTARY_KEYS_MAX)?;
    keys.into_iter()
        .map(|(id, key)| {
            let key = Key::read(&id, &key.keytype, &key.keyval.public)?;
            Ok((id, key))
        })
        .collect()
}

fn role_keys(
    name: &str,
    keyids: Vec<String>,
    threshold: u64,
    keys: &BTreeMap<String, Key>,
) -> Result<RoleKeys, NotaryError> {
    if threshold == 0 {
        return Err(fault(name, RoleFault::ThresholdZero));
    }
    bounded("keys of one role", keyids.len(), limits::NOTARY_KEYS_MAX)?;
    let known = keyids.iter().map(|id| keys.get(id).cloned());
    let keys: Option<Vec<Key>> = known.collect();
    Ok(RoleKeys { keys: keys.ok_or_else(|| fault(name, RoleFault::UnknownKey))?, threshold })
}

fn fault(role: &str, reason: RoleFault) -> NotaryError {
    NotaryError::Role { role: role.to_owned(), reason }
}

fn typed<T: DeserializeOwned>(document: &Document, value: &Value) -> Result<T, NotaryError> {
    T::deserialize(value)
        .map_err(|error| NotaryError::Shape { document: document.clone(), reason: quote(&error.to_string()) })
}

pub(super) fn bounded(what: &'static str, seen: usize, max: usize) -> Result<(), NotaryError> {
    if seen > max { Err(NotaryError::TooMany { what, seen, max }) } else { Ok(()) }
}
