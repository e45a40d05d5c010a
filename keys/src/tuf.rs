//! The Update Framework: from a pinned root to the bytes of one target file.
//!
//! A [`Client`] verifies the metadata of a repository in the order of the specification (TUF 1.0, § 5) and says which
//! file it needs next; the caller fetches it, from wherever, and nothing that it brings is believed before it is checked.
//!
//! 1. The root: the one that is pinned, then each next version, signed by the threshold of the one before and by its own
//!    (§ 5.3). The last one must not be expired.
//! 2. The timestamp: signed, not older than seen before, not expired (§ 5.4).
//! 3. The snapshot: as the timestamp says, signed, nothing in it older than seen before or missing, not expired (§ 5.5).
//! 4. The targets: as the snapshot says, signed, not expired (§ 5.6).
//! 5. The target file: length first, then digest (§ 5.7).
//!
//! Off-spec: delegations are not followed; who publishes a trusted root signs it with the top-level targets role. And a
//! timestamp of a version that was seen before is verified like any other and not passed over unread, because a root may
//! have taken keys away since.

mod client;
mod error;
mod key;
mod metadata;

pub use client::{Client, Seen, VerifiedFile};
pub use error::{KeyFault, RoleFault, SignatureFault, TufError};

use std::fmt;

/// One of the four kinds of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Who may sign what.
    Root,
    /// Which versions belong together.
    Snapshot,
    /// Length and digests of the target files.
    Targets,
    /// Which snapshot is the newest.
    Timestamp,
}

impl Role {
    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Below which address a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// That of the metadata.
    Metadata,
    /// That of the target files.
    Targets,
}

/// The next file to hand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Below which address.
    pub place: Place,
    /// Which file: `5.root.json`, `timestamp.json`, `12.snapshot.json`, `<hex>.trusted_root.json`. Made of versions,
    /// digests and the name that the operator asked for; never of a name that metadata holds.
    pub path: String,
    /// More bytes than this are refused: stop reading there (endless data).
    pub bytes_max: usize,
    /// The file may be absent: there is no newer root.
    pub may_be_absent: bool,
}
