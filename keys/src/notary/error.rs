//! What can be wrong with Notary v1 metadata, one variant a check.

use super::Document;
use crate::canonical::NotInteger;
use crate::json::{JsonError, quote};
use crate::moment::rfc3339;

/// The first check that failed. All of them refuse; nothing here is a warning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotaryError {
    /// The trust root pins nothing, and the first root seen is never trusted for being first.
    #[error("no root is pinned for `{gun}`: name the root certificate's id or its authority")]
    NoPin {
        /// Whose root.
        gun: String,
    },
    /// The repository name is empty or not a name.
    #[error("`{0}` is no repository name")]
    Gun(String),
    /// The state machine was given a document it did not ask for, or was used after an error.
    #[error("no document is awaited")]
    NotAwaited,
    /// The clock stands before the last verification, so expiry means nothing.
    #[error("it is {now}, but metadata was verified at {seen} already: set the clock")]
    ClockWentBack {
        /// Seconds since 1970.
        now: Moment,
        /// Seconds since 1970.
        seen: Moment,
    },
    /// The server or folder does not have it.
    #[error("`{0}` is missing")]
    Missing(Document),
    /// Longer than this role ever is.
    #[error("`{document}` has {seen} bytes, at most {max} are read")]
    TooLarge {
        /// Which.
        document: Document,
        /// Its bytes.
        seen: usize,
        /// The bound.
        max: usize,
    },
    /// Its length is not the one that the role above signed.
    #[error("`{document}` has {seen} bytes, signed were {expected}")]
    Length {
        /// Which.
        document: Document,
        /// As signed.
        expected: u64,
        /// As received.
        seen: usize,
    },
    /// Its digest is not the one that the role above signed: another version was mixed in, or the bytes were changed.
    #[error("`{document}` has {algorithm} `{seen}`, signed was `{expected}`")]
    Digest {
        /// Which.
        document: Document,
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// Hex, as signed.
        expected: String,
        /// Hex, as received.
        seen: String,
    },
    /// The role above signed no SHA-256 for it, or one that is none.
    #[error("no usable {algorithm} is signed for `{of}`")]
    DigestAbsent {
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// A file or a tag.
        of: String,
    },
    /// The snapshot or timestamp does not name it.
    #[error("`{by}` signs no entry for `{role}`")]
    NotListed {
        /// `timestamp` or `snapshot`.
        by: &'static str,
        /// Which.
        role: String,
    },
    /// Not strict JSON.
    #[error("`{document}`: {error}")]
    Json {
        /// Which.
        document: Document,
        /// Why.
        error: JsonError,
    },
    /// A number that has more than one spelling.
    #[error("`{0}` is no integer, and only those have one canonical form")]
    NotInteger(String),
    /// JSON of another shape.
    #[error("`{document}`: {reason}")]
    Shape {
        /// Which.
        document: Document,
        /// What was expected.
        reason: String,
    },
    /// Metadata of another role: a good signature does not make a snapshot a targets file.
    #[error("`{document}` says it is `{seen}`, expected `{expected}`")]
    Type {
        /// Which.
        document: Document,
        /// As this role is called.
        expected: &'static str,
        /// As the file says.
        seen: String,
    },
    /// More of something than we handle.
    #[error("{seen} {what}, at most {max} are handled")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many.
        seen: usize,
        /// The bound.
        max: usize,
    },
    /// A key stands under an id that is not its own.
    #[error("a key with id `{computed}` stands under id `{declared}`")]
    KeyId {
        /// As the file says.
        declared: String,
        /// Over the canonical form of the key.
        computed: String,
    },
    /// A role that any number of signatures would satisfy, or a role named twice.
    #[error("role `{role}`: {reason}")]
    Role {
        /// Which.
        role: String,
        /// Why.
        reason: RoleFault,
    },
    /// Too few distinct keys of the role signed.
    #[error(
        "`{role}` is signed by {valid} of {threshold} keys{}",
        faults.iter().map(|(id, fault)| format!("; `{}`: {fault}", quote(id))).collect::<String>()
    )]
    Threshold {
        /// Which role's keys.
        role: String,
        /// How many are needed.
        threshold: u64,
        /// How many distinct keys signed.
        valid: usize,
        /// Why the other signatures do not count, by key id.
        faults: Vec<(String, SignatureFault)>,
    },
    /// No root key is one that the pin names.
    #[error("none of the root certificates is pinned; the root holds {}", ids.join(", "))]
    NotPinned {
        /// Their ids, each with the reason where there is one.
        ids: Vec<String>,
    },
    /// A root between the trusted and the latest was left out.
    #[error("root version {seen} where version {expected} was due")]
    RootVersion {
        /// One above the trusted one.
        expected: u64,
        /// As the file says.
        seen: u64,
    },
    /// Two roots of one version.
    #[error("root version {version} is not the one seen before")]
    RootChanged {
        /// Of both.
        version: u64,
    },
    /// Past its date.
    #[error("`{role}` expired {at}, it is {now}")]
    Expired {
        /// Which.
        role: String,
        /// Seconds since 1970.
        at: Moment,
        /// Seconds since 1970.
        now: Moment,
    },
    /// Older than what was verified before.
    #[error("`{role}` has version {offered}, version {seen} was verified before")]
    Rollback {
        /// Which.
        role: String,
        /// Verified before.
        seen: u64,
        /// Offered now.
        offered: u64,
    },
    /// No role that may sign it signs this tag.
    #[error("`{tag}` is not signed in {}", roles.join(", "))]
    TagAbsent {
        /// Which.
        tag: String,
        /// The roles looked at.
        roles: Vec<String>,
    },
    /// No tag names the image.
    #[error("no tag of `{gun}` names `{digest}` under its signers' keys")]
    NotNamed {
        /// The repository.
        gun: String,
        /// Which image.
        digest: String,
    },
    /// The required role does not exist. Another role is never taken in its place (connaisseur#2151).
    #[error("role `{0}` is required, and the repository delegates to no such role")]
    NotDelegated(String),
    /// The required role exists and never published anything.
    #[error("role `{0}` is required, and nothing was published for it")]
    NotPublished(String),
    /// The required role may not sign this tag.
    #[error("role `{role}` may not sign `{tag}`: none of its path prefixes fits")]
    PathNotDelegated {
        /// Which.
        role: String,
        /// Which.
        tag: String,
    },
    /// Roles that must agree do not.
    #[error("the required roles sign `{tag}` as different images: {}", digests.join(", "))]
    Conflict {
        /// Which.
        tag: String,
        /// Role and digest, each.
        digests: Vec<String>,
    },
}

impl From<NotInteger> for NotaryError {
    fn from(NotInteger(number): NotInteger) -> Self {
        Self::NotInteger(number)
    }
}

/// Seconds since 1970-01-01 UTC, printed as a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl std::fmt::Display for Moment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&rfc3339(self.0))
    }
}

/// What is wrong with a role's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    /// Anybody would satisfy it.
    #[error("its threshold is 0")]
    ThresholdZero,
    /// Two definitions of one name: which one counts depends on the reader.
    #[error("defined twice")]
    Twice,
    /// Only `targets` and its children, one level at a time, may be delegated to.
    #[error("not a child of the role that delegates to it")]
    NotAChild,
    /// Not lower case letters, digits, `_`, `-` and `/`.
    #[error("not a role name")]
    Name,
    /// A root must define root, targets, snapshot and timestamp.
    #[error("not defined in the root")]
    Undefined,
    /// It lists a key that its file does not hold.
    #[error("lists a key that the file does not hold")]
    UnknownKey,
}

/// Why one signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The key is not one of the role's.
    #[error("not a key of this role")]
    NotOfRole,
    /// The method is not one of this type of key (CVE-2015-9259).
    #[error("method `{method}` is not one of key type `{key_type}`")]
    Method {
        /// As the signature says.
        method: String,
        /// As the key says.
        key_type: String,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// Another key's signature, or over other bytes.
    #[error("the signature does not verify")]
    Invalid,
    /// The same key signed already, here or under another id.
    #[error("this key counted already")]
    Again,
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A type we do not know.
    #[error("key type `{0}` is not known")]
    Type(String),
    /// Not base64, PEM or DER, or of another algorithm than its type says, or too weak.
    #[error("{0}")]
    Material(String),
    /// A root key must carry a certificate.
    #[error("a root key of type `{0}` carries no certificate")]
    NoCertificate(String),
    /// Not exactly one certificate that is no authority's.
    #[error("{0} leaf certificates, expected one")]
    Leaves(usize),
    /// The certificate is for another repository.
    #[error("its certificate is for `{common_name}`, not for `{gun}`")]
    CommonName {
        /// As the certificate says.
        common_name: String,
        /// The repository.
        gun: String,
    },
    /// The certificate is not valid now.
    #[error("its certificate is valid from {not_before} until {not_after}, it is {now}")]
    CertificateTime {
        /// First second.
        not_before: Moment,
        /// Last second.
        not_after: Moment,
        /// Now.
        now: Moment,
    },
}
