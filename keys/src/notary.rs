//! Notary v1 (Docker content trust): from a pinned root to the image that a tag names.
//!
//! The metadata of a repository ("GUN") is a set of signed JSON files after The Update Framework: root, timestamp,
//! snapshot, targets, and delegations `targets/…`. A [`Client`] verifies them in this order and says which file it needs
//! next; the caller fetches it.
//!
//! 1. The root: pinned by key id or authority, its certificate made for this repository ([`RootPin`]).
//! 2. Each rotation since: one version higher, signed by the old and the new threshold.
//! 3. The last root is not expired, nor are the certificates of the keys that signed it.
//! 4. The timestamp: signed by its role, not expired, not older than seen before ([`Seen`]).
//! 5. The snapshot: length and digests as the timestamp says, then the same checks; it names this root.
//! 6. `targets`: length and digests as the snapshot says, then the same checks.
//! 7. The delegations, pre-order: likewise, each by the keys, the threshold and the path prefixes that the role above
//!    gives it, and the prefixes of every role above that.
//! 8. The tag is looked up in the roles that the policy names, and in no others ([`Lookup`]).
//!
//! Delegation keys may be certificates; their dates are not read. Who delegates vouches for the keys, and renews that
//! with each version; notary's own client does the same.

mod certificate;
mod client;
mod collection;
mod error;
mod key;
mod metadata;
mod repository;
mod role;
mod root;
mod trust;

use std::fmt;

use crate::limits;

pub use client::{Client, Need, Seen, SeenRoot};
pub use collection::{
    COLLECTION_TAG, COLLECTION_TYPE, Collection, CollectionError, CollectionFile, collection_files,
    unverified,
};
pub use error::{KeyFault, Moment, NotaryError, RoleFault, SignatureFault};
pub use metadata::SigningKey;
pub use repository::{Lookup, Repository, RoleReport, VerifiedTarget};
pub use role::Role;
pub use root::{RootPin, RootPinError};
pub use trust::{Gun, NotaryTrust};

/// A file of a repository's metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Document {
    /// The latest root.
    Root,
    /// The root of one version.
    RootVersion(u64),
    /// The snapshot.
    Snapshot,
    /// `targets` or a delegation.
    Targets(Role),
    /// The timestamp.
    Timestamp,
}

impl Document {
    /// More bytes than this are refused.
    pub fn bytes_max(&self) -> usize {
        match self {
            Self::Root | Self::RootVersion(_) | Self::Timestamp => limits::NOTARY_ROOT_BYTES_MAX,
            Self::Snapshot => limits::NOTARY_SNAPSHOT_BYTES_MAX,
            Self::Targets(_) => limits::NOTARY_TARGETS_BYTES_MAX,
        }
    }
}

/// As the file is called on a server and in a client's folder, without `.json`.
impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => formatter.write_str("root"),
            Self::RootVersion(version) => write!(formatter, "{version}.root"),
            Self::Snapshot => formatter.write_str("snapshot"),
            Self::Targets(role) => role.fmt(formatter),
            Self::Timestamp => formatter.write_str("timestamp"),
        }
    }
}

/// A role is good until the second before its date.
fn not_expired(role: &str, at: i64, now: i64) -> Result<(), NotaryError> {
    if now < at {
        return Ok(());
    }
    Err(NotaryError::Expired { role: role.to_owned(), at: Moment(at), now: Moment(now) })
}
