//! The update of one repository's metadata, step by step, asking for one file at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::TufError;
use super::metadata::{Envelope, FileMeta, Listing, Root, TargetMeta, bounded};
use super::{Need, Place, Role};
use crate::json::quote;
use crate::{digest, limits};

/// How far a clock may have been ahead at an earlier verification without refusing all later ones, in seconds.
const CLOCK_TOLERANCE: i64 = 3600;
/// The snapshot, as a timestamp calls it.
const SNAPSHOT: &str = "snapshot.json";
/// The top-level targets, as a snapshot calls them.
const TARGETS: &str = "targets.json";

/// What earlier verifications of a repository taught: the caller keeps it where outsiders cannot write, also when a
/// verification failed. Without it an old and unexpired state of the repository could be served again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Version of the newest root.
    pub root: u64,
    /// Version of the newest timestamp, under that root.
    pub timestamp: u64,
    /// Versions of the files that the newest snapshot lists, its own included.
    pub files: BTreeMap<String, u64>,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: i64,
}

/// A target file all of whose checks passed. Only a [`Client`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedFile {
    bytes: Vec<u8>,
    digest: String,
    metadata: Vec<(Role, u64, i64)>,
}

impl VerifiedFile {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `sha256:<hex>` of its bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The metadata that it rests on: role, version, and the first second at which it is expired.
    pub fn metadata(&self) -> &[(Role, u64, i64)] {
        &self.metadata
    }

    /// What ends first, and when: from that second on the file may no longer be believed.
    pub fn ends(&self) -> (Role, i64) {
        let ends = self.metadata.iter().map(|&(role, _, expires)| (role, expires));
        ends.min_by_key(|&(_, expires)| expires).unwrap_or((Role::Root, i64::MIN))
    }
}

/// A verification under way. An error ends it; nothing of a repository that failed is handed out but [`Self::seen`].
#[derive(Debug)]
pub struct Client {
    target: String,
    now: i64,
    seen: Seen,
    rotations: usize,
    /// The root under which `seen` was seen.
    before: Option<Root>,
    state: State,
}

#[derive(Debug)]
enum State {
    NextRoot(Root),
    Timestamp(Root),
    Snapshot { root: Root, timestamp: Listing, meta: FileMeta },
    Targets { root: Root, timestamp: Listing, snapshot: Listing, meta: FileMeta },
    Target { meta: TargetMeta, path: String, metadata: Vec<(Role, u64, i64)> },
    Done(VerifiedFile),
    Failed,
}

impl Client {
    /// Begins at a root that the operator pinned, for the file `target`. `now` is seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the root is none, its own threshold did not sign it, the target's name is none, or the clock went back.
    pub fn new(pinned: &[u8], target: &str, seen: Seen, now: i64) -> Result<Self, TufError> {
        if !is_target_name(target) {
            return Err(TufError::TargetName(quote(target)));
        }
        if now < seen.at.saturating_sub(CLOCK_TOLERANCE) {
            return Err(TufError::ClockWentBack { now, seen: seen.at });
        }
        let envelope = Envelope::read(Role::Root, pinned)?;
        let root = envelope.root()?;
        // Whoever pins a root vouches for it; a truncated or edited one is told here and not at the next rotation.
        envelope.check_signed_by(&root.root)?;
        let before = (root.version == seen.root).then(|| root.clone());
        let state = State::NextRoot(root);
        Ok(Self { target: target.to_owned(), now, seen, rotations: 0, before, state })
    }

    /// What to hand in next; `None` when [`Self::finish`] is due.
    pub fn needs(&self) -> Option<Need> {
        let versioned = |root: &Root, version: u64, name: &str| {
            if root.consistent_snapshot { format!("{version}.{name}") } else { name.to_owned() }
        };
        let bounded_by = |role, meta: &FileMeta| {
            let length = meta.length.and_then(|length| usize::try_from(length).ok());
            length.map_or(bytes_max(role), |length| length.min(bytes_max(role)))
        };
        let (path, bytes_max) = match &self.state {
            State::NextRoot(root) => {
                (format!("{}.root.json", root.version.saturating_add(1)), bytes_max(Role::Root))
            }
            State::Timestamp(_) => ("timestamp.json".to_owned(), bytes_max(Role::Timestamp)),
            State::Snapshot { root, meta, .. } => {
                (versioned(root, meta.version, SNAPSHOT), bounded_by(Role::Snapshot, meta))
            }
            State::Targets { root, meta, .. } => {
                (versioned(root, meta.version, TARGETS), bounded_by(Role::Targets, meta))
            }
            State::Target { meta, path, .. } => {
                let bytes_max = usize::try_from(meta.length).unwrap_or(usize::MAX);
                let bytes_max = bytes_max.min(limits::TRUST_ROOT_BYTES_MAX);
                return Some(Need {
                    place: Place::Targets,
                    path: path.clone(),
                    bytes_max,
                    may_be_absent: false,
                });
            }
            State::Done(_) | State::Failed => return None,
        };
        let may_be_absent = matches!(self.state, State::NextRoot(_));
        Some(Need { place: Place::Metadata, path, bytes_max, may_be_absent })
    }

    /// Hands in the file that [`Self::needs`] named; `None`: the repository does not have it. Where it may not be absent
    /// that is an error, like any file that does not verify.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn supply(&mut self, bytes: Option<&[u8]>) -> Result<(), TufError> {
        let Need { path, bytes_max, .. } = self.needs().ok_or(TufError::NotAwaited)?;
        let state = std::mem::replace(&mut self.state, State::Failed);
        if let Some(bytes) = bytes.filter(|bytes| bytes.len() > bytes_max) {
            return Err(TufError::TooLarge { path, seen: bytes.len(), max: bytes_max });
        }
        let received = bytes.ok_or_else(|| TufError::Missing(path.clone()));
        self.state = match state {
            State::NextRoot(root) => match bytes {
                Some(bytes) => State::NextRoot(self.next_root(&root, bytes)?),
                None => State::Timestamp(self.last_root(root)?),
            },
            State::Timestamp(root) => self.timestamp(root, received?)?,
            State::Snapshot { root, timestamp, meta } => {
                self.snapshot(root, timestamp, &meta, (&path, received?))?
            }
            State::Targets { root, timestamp, snapshot, meta } => {
                self.targets(&root, [&timestamp, &snapshot], &meta, (&path, received?))?
            }
            State::Target { meta, path, metadata } => {
                let bytes = received?;
                meta.check(&path, bytes)?;
                let digest = digest::sha256(bytes);
                State::Done(VerifiedFile { bytes: bytes.to_vec(), digest, metadata })
            }
            State::Done(_) | State::Failed => return Err(TufError::NotAwaited),
        };
        Ok(())
    }

    /// What to remember, however far the verification came.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The verified file.
    ///
    /// # Errors
    /// When it is not there yet.
    pub fn finish(self) -> Result<VerifiedFile, TufError> {
        match self.state {
            State::Done(file) => Ok(file),
            _ => Err(TufError::NotAwaited),
        }
    }

    /// § 5.3.4 and 5.3.5: signed by the threshold of the trusted root and by its own, one version higher.
    fn next_root(&mut self, trusted: &Root, bytes: &[u8]) -> Result<Root, TufError> {
        self.rotations += 1;
        bounded(
            "rotations since the pinned root: pin a newer one",
            self.rotations,
            limits::TUF_ROTATIONS_MAX,
        )?;
        let envelope = Envelope::read(Role::Root, bytes)?;
        let root = envelope.root()?;
        let expected = trusted.version.saturating_add(1);
        if root.version != expected {
            return Err(TufError::Version { role: Role::Root, expected, seen: root.version });
        }
        envelope.check_signed_by(&trusted.root)?;
        envelope.check_signed_by(&root.root)?;
        if root.version == self.seen.root {
            self.before = Some(root.clone());
        }
        Ok(root)
    }

    /// § 5.3.10 and 5.3.11: the last root is good now, and who rotated the keys of timestamp or snapshot away wants
    /// the versions forgotten that were signed with them (fast-forward).
    fn last_root(&mut self, root: Root) -> Result<Root, TufError> {
        not_rolled_back(Role::Root, "root.json", self.seen.root, root.version)?;
        self.not_expired(Role::Root, root.expires)?;
        let rotated = self.before.as_ref().is_some_and(|before| {
            !before.timestamp.is_same(&root.timestamp) || !before.snapshot.is_same(&root.snapshot)
        });
        if rotated {
            self.seen.timestamp = 0;
            self.seen.files.clear();
        }
        self.seen.root = root.version;
        self.seen.at = self.seen.at.max(self.now);
        Ok(root)
    }

    /// § 5.4: signed, neither it nor the snapshot it names older than seen, not expired.
    fn timestamp(&mut self, root: Root, bytes: &[u8]) -> Result<State, TufError> {
        let envelope = Envelope::read(Role::Timestamp, bytes)?;
        envelope.check_signed_by(&root.timestamp)?;
        let timestamp = envelope.listing()?;
        let role = Role::Timestamp;
        not_rolled_back(role, "timestamp.json", self.seen.timestamp, timestamp.version)?;
        let meta = listed(role, &timestamp, SNAPSHOT)?.clone();
        let seen = self.seen.files.get(SNAPSHOT).copied().unwrap_or_default();
        not_rolled_back(role, SNAPSHOT, seen, meta.version)?;
        self.not_expired(role, timestamp.expires)?;
        self.seen.timestamp = timestamp.version;
        Ok(State::Snapshot { root, timestamp, meta })
    }

    /// § 5.5: as the timestamp says, signed, nothing in it older than seen or gone, not expired.
    fn snapshot(
        &mut self,
        root: Root,
        timestamp: Listing,
        meta: &FileMeta,
        (path, bytes): (&str, &[u8]),
    ) -> Result<State, TufError> {
        let role = Role::Snapshot;
        meta.check(path, bytes)?;
        let envelope = Envelope::read(role, bytes)?;
        envelope.check_signed_by(&root.snapshot)?;
        let snapshot = envelope.listing()?;
        is_version(role, meta.version, snapshot.version)?;
        for (name, &seen) in self.seen.files.iter().filter(|(name, _)| *name != SNAPSHOT) {
            let offered = snapshot.meta.get(name).map(|meta| meta.version);
            let offered = offered.ok_or_else(|| TufError::NoLongerListed(quote(name)))?;
            not_rolled_back(role, name, seen, offered)?;
        }
        self.not_expired(role, snapshot.expires)?;
        self.seen.files = snapshot.meta.iter().map(|(name, meta)| (name.clone(), meta.version)).collect();
        self.seen.files.insert(SNAPSHOT.to_owned(), snapshot.version);
        let meta = listed(role, &snapshot, TARGETS)?.clone();
        Ok(State::Targets { root, timestamp, snapshot, meta })
    }

    /// § 5.6: as the snapshot says, signed, not expired; and the target is in it.
    fn targets(
        &self,
        root: &Root,
        [timestamp, snapshot]: [&Listing; 2],
        meta: &FileMeta,
        (path, bytes): (&str, &[u8]),
    ) -> Result<State, TufError> {
        let role = Role::Targets;
        meta.check(path, bytes)?;
        let envelope = Envelope::read(role, bytes)?;
        envelope.check_signed_by(&root.targets)?;
        let targets = envelope.targets()?;
        is_version(role, meta.version, targets.version)?;
        self.not_expired(role, targets.expires)?;
        let name = self.target.as_str();
        let meta = targets.targets.get(name).cloned();
        let meta = meta.ok_or_else(|| TufError::NotListed { by: role, of: name.to_owned() })?;
        let path = match (root.consistent_snapshot, name.rsplit_once('/')) {
            (false, _) => name.to_owned(),
            (true, Some((folder, file))) => format!("{folder}/{}.{file}", meta.prefix(name)?),
            (true, None) => format!("{}.{name}", meta.prefix(name)?),
        };
        let metadata = vec![
            (Role::Root, root.version, root.expires),
            (Role::Timestamp, timestamp.version, timestamp.expires),
            (Role::Snapshot, snapshot.version, snapshot.expires),
            (Role::Targets, targets.version, targets.expires),
        ];
        Ok(State::Target { meta, path, metadata })
    }

    /// A role is good until the second before its date.
    fn not_expired(&self, role: Role, at: i64) -> Result<(), TufError> {
        if self.now < at { Ok(()) } else { Err(TufError::Expired { role, at, now: self.now }) }
    }
}

/// More bytes of a role's file than this are not read.
pub(super) fn bytes_max(role: Role) -> usize {
    match role {
        Role::Root => limits::TUF_ROOT_BYTES_MAX,
        Role::Snapshot => limits::TUF_SNAPSHOT_BYTES_MAX,
        Role::Targets => limits::TUF_TARGETS_BYTES_MAX,
        Role::Timestamp => limits::TUF_TIMESTAMP_BYTES_MAX,
    }
}

fn listed<'a>(by: Role, listing: &'a Listing, name: &str) -> Result<&'a FileMeta, TufError> {
    listing.meta.get(name).ok_or_else(|| TufError::NotListed { by, of: name.to_owned() })
}

fn is_version(role: Role, expected: u64, seen: u64) -> Result<(), TufError> {
    if seen == expected { Ok(()) } else { Err(TufError::Version { role, expected, seen }) }
}

fn not_rolled_back(by: Role, of: &str, seen: u64, offered: u64) -> Result<(), TufError> {
    if offered >= seen { Ok(()) } else { Err(TufError::Rollback { by, of: quote(of), seen, offered }) }
}

/// A name that stays below its folder in every file system and address.
fn is_target_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
    };
    name.len() <= 256 && name.split('/').all(is_segment)
}
