//! What can be wrong with a TUF repository, one variant a check.

use super::Role;
use crate::canonical::NotInteger;
use crate::json::{JsonError, quote};
use crate::moment::rfc3339;

/// The first check that failed. All of them refuse; nothing here is a warning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TufError {
    /// The name of the target file could leave its folder, or is none.
    #[error(
        "`{0}` is no name of a target file: segments of letters, digits, `.`, `_` and `-`, with `/` between"
    )]
    TargetName(String),
    /// The state machine was given a file it did not ask for, or was used after an error.
    #[error("no file is awaited")]
    NotAwaited,
    /// The clock stands before the last verification, so expiry means nothing.
    #[error("it is {now}, but metadata was verified at {seen} already: set the clock", now = rfc3339(*now), seen = rfc3339(*seen))]
    ClockWentBack {
        /// Seconds since 1970.
        now: i64,
        /// Seconds since 1970.
        seen: i64,
    },
    /// The repository does not have it.
    #[error("`{0}` is missing")]
    Missing(String),
    /// Longer than this file may be (endless data).
    #[error("`{path}` has {seen} bytes, at most {max} are read")]
    TooLarge {
        /// Which.
        path: String,
        /// Its bytes.
        seen: usize,
        /// The bound.
        max: usize,
    },
    /// Its length is not the one that the role above signed.
    #[error("`{path}` has {seen} bytes, signed were {expected}")]
    Length {
        /// Which.
        path: String,
        /// As signed.
        expected: u64,
        /// As received.
        seen: usize,
    },
    /// Its digest is not the one that the role above signed.
    #[error("`{path}` has {algorithm} `{seen}`, signed was `{expected}`")]
    Digest {
        /// Which.
        path: String,
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// Hex, as signed.
        expected: String,
        /// Hex, as received.
        seen: String,
    },
    /// Neither a SHA-256 nor a SHA-512, or one that is none.
    #[error("no usable digest is signed for `{0}`")]
    DigestAbsent(String),
    /// Not strict JSON.
    #[error("{role}: {error}")]
    Json {
        /// Which.
        role: Role,
        /// Why.
        error: JsonError,
    },
    /// A number that has more than one spelling.
    #[error("`{0}` is no integer, and only those have one canonical form")]
    NotInteger(String),
    /// JSON of another shape.
    #[error("{role}: {reason}")]
    Shape {
        /// Which.
        role: Role,
        /// What was expected.
        reason: String,
    },
    /// Metadata of another role: a good signature does not make a snapshot a targets file.
    #[error("{role} says it is `{seen}`")]
    Type {
        /// Expected.
        role: Role,
        /// As the file says.
        seen: String,
    },
    /// Of a specification that may mean other things by the same words.
    #[error("{role} is of specification `{seen}`, known is 1")]
    Specification {
        /// Which.
        role: Role,
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
    /// A role that any number of signatures would satisfy, or that is not defined.
    #[error("the root's role `{role}`: {reason}")]
    Role {
        /// Which.
        role: Role,
        /// Why.
        reason: RoleFault,
    },
    /// Too few distinct keys of the role signed.
    #[error(
        "{role} is signed by {valid} of {threshold} keys{}",
        faults.iter().map(|(id, fault)| format!("; `{}`: {fault}", quote(id))).collect::<String>()
    )]
    Threshold {
        /// Whose file.
        role: Role,
        /// How many are needed.
        threshold: u64,
        /// How many distinct keys signed.
        valid: usize,
        /// Why the other signatures do not count, by key id.
        faults: Vec<(String, SignatureFault)>,
    },
    /// Not the version that was due: the next root, or the one that the role above signed (mix-and-match).
    #[error("{role} has version {seen}, due is {expected}")]
    Version {
        /// Which.
        role: Role,
        /// Due.
        expected: u64,
        /// As the file says.
        seen: u64,
    },
    /// Older than what was verified before.
    #[error("{by} has `{of}` in version {offered}, version {seen} was verified before")]
    Rollback {
        /// Which says so.
        by: Role,
        /// Of which file.
        of: String,
        /// Verified before.
        seen: u64,
        /// Offered now.
        offered: u64,
    },
    /// A file that was in the snapshot before is not in this one.
    #[error("the snapshot no longer lists `{0}`")]
    NoLongerListed(String),
    /// The role above does not name it.
    #[error("{by} signs no entry for `{of}`")]
    NotListed {
        /// Which role.
        by: Role,
        /// Which file.
        of: String,
    },
    /// Past its date (freeze).
    #[error("{role} expired {at}, it is {now}", at = rfc3339(*at), now = rfc3339(*now))]
    Expired {
        /// Which.
        role: Role,
        /// Seconds since 1970.
        at: i64,
        /// Seconds since 1970.
        now: i64,
    },
}

/// What is wrong with a role's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    /// Anybody would satisfy it.
    #[error("its threshold is 0")]
    ThresholdZero,
    /// A root must define root, targets, snapshot and timestamp.
    #[error("not defined")]
    Undefined,
    /// It lists a key that the file does not hold.
    #[error("lists a key that the file does not hold")]
    UnknownKey,
}

/// Why one signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The key is not one of the role's.
    #[error("not a key of this role")]
    NotOfRole,
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// Another key's signature, over other bytes, or none.
    #[error("the signature does not verify")]
    Invalid,
    /// The same key signed already, here or under another id.
    #[error("this key counted already")]
    Again,
}

/// Why a key cannot be used. It spoils nothing but its own signatures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It stands under an id that is not its own: it would sign for another.
    #[error("its id is `{computed}`")]
    Id {
        /// Over the canonical form of the key.
        computed: String,
    },
    /// A type and scheme that we do not know, or that do not belong together.
    #[error("key type `{key_type}` with scheme `{scheme}` is not known")]
    Type {
        /// As the file says.
        key_type: String,
        /// As the file says.
        scheme: String,
    },
    /// Not the encoding of a key of that type, or too weak.
    #[error("{0}")]
    Material(String),
}

impl From<NotInteger> for TufError {
    fn from(NotInteger(number): NotInteger) -> Self {
        Self::NotInteger(number)
    }
}
