//! The update of one repository's metadata, step by step, asking for one document at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Moment;
use super::metadata::{Delegation, Envelope, FileMeta, Listing, RoleKeys, Targets, bounded};
use super::repository::{Published, Repository, RoleState};
use super::role::Role;
use super::root::{self, RootPin, TrustedRoot};
use super::{Document, NotaryError, not_expired};
use crate::limits;

/// How far a clock may have been ahead at an earlier verification without refusing all later ones, in seconds.
const CLOCK_TOLERANCE: i64 = 3600;

/// What earlier verifications of a repository taught: the caller keeps it where outsiders cannot write. Without it an
/// old and unexpired state of the repository could be served again: rollback protection is the client's alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The newest trusted root file, as text, with the fingerprint of the pin it was reached from.
    pub root: Option<SeenRoot>,
    /// Highest version by role.
    pub versions: BTreeMap<String, u64>,
    /// When, in seconds since 1970.
    pub checked_at: i64,
}

impl Seen {
    /// Whether it holds everything that `other` does, and nothing older.
    pub fn covers(&self, other: &Self) -> bool {
        let versions = &self.versions;
        other.versions.iter().all(|(role, seen)| versions.get(role).is_some_and(|version| version >= seen))
    }

    /// By which the newer of two verified states of one repository is told: versions of root, timestamp and snapshot.
    pub fn newness(&self) -> [u64; 3] {
        ["root", "timestamp", "snapshot"].map(|role| self.versions.get(role).copied().unwrap_or_default())
    }
}

/// A root file that a chain from the pin led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenRoot {
    /// The file's text.
    pub text: String,
    /// Of the pin. When the operator pins something else, this root is forgotten.
    pub pin: String,
}

/// The next document to hand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which.
    pub document: Document,
    /// More bytes than this are refused: stop reading there.
    pub bytes_max: usize,
    /// Hex SHA-256 where the role above signed one, for the checksum form of the address.
    pub sha256: Option<String>,
}

/// A verification under way. An error ends it: nothing of a repository that failed is handed out.
#[derive(Debug)]
pub struct Client {
    gun: String,
    pin: RootPin,
    now: i64,
    seen: Seen,
    state: State,
}

#[derive(Debug)]
enum State {
    LatestRoot { trusted: Option<TrustedRoot> },
    FirstRoot { latest: Vec<u8>, version: u64, refusal: NotaryError },
    NextRoot { latest: Vec<u8>, version: u64, trusted: TrustedRoot },
    Timestamp { root: CurrentRoot },
    Snapshot { root: CurrentRoot, timestamp: Listing, meta: FileMeta },
    Roles(Roles),
    Failed,
}

/// The latest root.
#[derive(Debug)]
struct CurrentRoot {
    trusted: TrustedRoot,
    /// The first second at which its certificates are too old.
    certificates_expire: i64,
}

#[derive(Debug)]
struct Roles {
    root: CurrentRoot,
    timestamp: Listing,
    snapshot: Listing,
    /// Roles to be read, the next one last.
    pending: Vec<Pending>,
    done: Vec<(Role, RoleState)>,
}

#[derive(Debug)]
struct Pending {
    role: Role,
    signers: RoleKeys,
    /// Path prefixes of the role and of each role above it; `targets` has none.
    prefixes: Vec<Vec<String>>,
    /// Expiry of the delegating roles, with their names.
    expires: Vec<(String, i64)>,
}

impl Roles {
    /// Without the roles that nothing was published for yet: a state of a healthy repository, and no document to ask for.
    fn settled(mut self) -> Self {
        let Self { snapshot, pending, done, .. } = &mut self;
        while let Some(next) = pending.pop_if(|next| !snapshot.meta.contains_key(next.role.as_str())) {
            done.push((next.role, RoleState::Unpublished));
        }
        self
    }
}

impl Client {
    /// Begins the update of `gun`, the repository's full name with its host (`registry.example/prod/app`). `now` is
    /// seconds since 1970-01-01 UTC.
    pub fn new(gun: &str, pin: RootPin, seen: Seen, now: i64) -> Result<Self, NotaryError> {
        let is_name =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'\\' | b'?' | b'#' | b'%');
        if gun.is_empty() || gun.len() > 512 || !gun.bytes().all(is_name) || gun.split('/').any(is_dots) {
            return Err(NotaryError::Gun(crate::json::quote(gun)));
        }
        if pin.is_empty() {
            return Err(NotaryError::NoPin { gun: gun.to_owned() });
        }
        if now < seen.checked_at.saturating_sub(CLOCK_TOLERANCE) {
            return Err(NotaryError::ClockWentBack { now: Moment(now), seen: Moment(seen.checked_at) });
        }
        let trusted = match &seen.root {
            Some(root) if root.pin == pin.fingerprint() => Some(root::remembered(root.text.as_bytes())?),
            _ => None,
        };
        Ok(Self { gun: gun.to_owned(), pin, now, seen, state: State::LatestRoot { trusted } })
    }

    /// What to hand in next; `None` when [`Self::finish`] is due.
    pub fn needs(&self) -> Option<Need> {
        let (document, sha256) = match &self.state {
            State::LatestRoot { .. } => (Document::Root, None),
            State::FirstRoot { .. } => (Document::RootVersion(1), None),
            State::NextRoot { trusted, .. } => {
                (Document::RootVersion(trusted.root.version.saturating_add(1)), None)
            }
            State::Timestamp { .. } => (Document::Timestamp, None),
            State::Snapshot { meta, .. } => (Document::Snapshot, meta.sha256("snapshot").ok()),
            State::Roles(roles) => {
                let role = roles.pending.last()?.role.clone();
                let meta = roles.snapshot.meta.get(role.as_str());
                let sha256 = meta.and_then(|meta| meta.sha256(role.as_str()).ok());
                (Document::Targets(role), sha256)
            }
            State::Failed => return None,
        };
        let bytes_max = document.bytes_max();
        Some(Need { document, bytes_max, sha256 })
    }

    /// Hands in the document that [`Self::needs`] named; `None`: it does not exist.
    pub fn supply(&mut self, bytes: Option<&[u8]>) -> Result<(), NotaryError> {
        let need = self.needs().ok_or(NotaryError::NotAwaited)?;
        let state = std::mem::replace(&mut self.state, State::Failed);
        if let Some(bytes) = bytes.filter(|bytes| bytes.len() > need.bytes_max) {
            let (document, seen, max) = (need.document, bytes.len(), need.bytes_max);
            return Err(NotaryError::TooLarge { document, seen, max });
        }
        let received = bytes.ok_or(NotaryError::Missing(need.document.clone()));
        self.state = match state {
            State::LatestRoot { trusted } => self.latest_root(received?, trusted)?,
            State::FirstRoot { latest, version, refusal } => {
                // The refusal of the latest root says more than the absence of the first.
                let first = received.map_err(|_| refusal.clone())?;
                let trusted = root::pinned(need.document, first, &self.gun, &self.pin, self.now)?;
                if trusted.root.version != 1 {
                    return Err(NotaryError::RootVersion { expected: 1, seen: trusted.root.version });
                }
                self.chain(latest, version, trusted)?
            }
            State::NextRoot { latest, version, trusted } => {
                let next = root::rotated(need.document, received?, &self.gun, &trusted)?;
                self.chain(latest, version, next)?
            }
            State::Timestamp { root } => self.timestamp(received?, root)?,
            State::Snapshot { root, timestamp, meta } => self.snapshot(received?, root, timestamp, &meta)?,
            State::Roles(roles) => State::Roles(self.role(received, roles)?),
            State::Failed => return Err(NotaryError::NotAwaited),
        };
        Ok(())
    }

    /// The verified repository, and what to remember of it.
    pub fn finish(self) -> Result<(Repository, Seen), NotaryError> {
        let State::Roles(Roles { root, timestamp, snapshot, pending, done }) = self.state else {
            return Err(NotaryError::NotAwaited);
        };
        if !pending.is_empty() {
            return Err(NotaryError::NotAwaited);
        }
        let CurrentRoot { trusted: root, certificates_expire } = root;
        let mut seen = self.seen;
        let mut versions = vec![
            ("root".to_owned(), root.root.version),
            ("timestamp".to_owned(), timestamp.version),
            ("snapshot".to_owned(), snapshot.version),
        ];
        versions.extend(done.iter().filter_map(|(role, state)| match state {
            RoleState::Published(published) => Some((role.to_string(), published.targets.version)),
            RoleState::Broken(_) | RoleState::Unpublished => None,
        }));
        for (role, version) in versions {
            let highest = seen.versions.entry(role).or_default();
            *highest = version.max(*highest);
        }
        let text = String::from_utf8_lossy(&root.bytes).into_owned();
        let pin = self.pin.fingerprint();
        seen.root = Some(SeenRoot { text, pin: pin.clone() });
        seen.checked_at = self.now.max(seen.checked_at);
        let above = vec![
            ("root".to_owned(), root.root.expires),
            ("root certificate".to_owned(), certificates_expire),
            ("timestamp".to_owned(), timestamp.expires),
            ("snapshot".to_owned(), snapshot.expires),
        ];
        Ok((Repository::new((self.gun, pin), root.signed_by, above, done), seen))
    }

    fn latest_root(&self, bytes: &[u8], trusted: Option<TrustedRoot>) -> Result<State, NotaryError> {
        let version = Envelope::read(Document::Root, bytes)?.root()?.version;
        self.not_rolled_back("root", version)?;
        if let Some(trusted) = trusted {
            return self.chain(bytes.to_vec(), version, trusted);
        }
        match root::pinned(Document::Root, bytes, &self.gun, &self.pin, self.now) {
            Ok(trusted) => self.chain(bytes.to_vec(), version, trusted),
            // A root key was rotated since it was pinned: the pinned root is the first, and a chain leads from it.
            Err(refusal @ (NotaryError::NotPinned { .. } | NotaryError::Threshold { .. })) if version > 1 => {
                Ok(State::FirstRoot { latest: bytes.to_vec(), version, refusal })
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on from a trusted root towards the latest one, whose version is still only a claim.
    fn chain(&self, latest: Vec<u8>, version: u64, mut trusted: TrustedRoot) -> Result<State, NotaryError> {
        let steps = version.checked_sub(trusted.root.version).ok_or(NotaryError::Rollback {
            role: "root".to_owned(),
            seen: trusted.root.version,
            offered: version,
        })?;
        if steps > limits::NOTARY_ROTATIONS_MAX {
            let (seen, max) = (steps.try_into().unwrap_or(usize::MAX), limits::NOTARY_ROTATIONS_MAX);
            let max = max.try_into().unwrap_or(usize::MAX);
            return Err(NotaryError::TooMany { what: "rotations of the root", seen, max });
        }
        if steps > 1 {
            return Ok(State::NextRoot { latest, version, trusted });
        }
        if steps == 1 {
            trusted = root::rotated(Document::Root, &latest, &self.gun, &trusted)?;
        }
        if trusted.bytes != latest {
            return Err(NotaryError::RootChanged { version });
        }
        let certificates_expire = root::current(&trusted, &self.gun, self.now)?;
        Ok(State::Timestamp { root: CurrentRoot { trusted, certificates_expire } })
    }

    /// 4. The timestamp: signed, not expired, not older than the last one seen.
    fn timestamp(&self, bytes: &[u8], root: CurrentRoot) -> Result<State, NotaryError> {
        let envelope = Envelope::read(Document::Timestamp, bytes)?;
        envelope.signed_by("timestamp", &root.trusted.root.timestamp)?;
        let timestamp = envelope.listing("Timestamp")?;
        not_expired("timestamp", timestamp.expires, self.now)?;
        self.not_rolled_back("timestamp", timestamp.version)?;
        let meta = listed("timestamp", &timestamp, "snapshot")?.clone();
        meta.sha256("snapshot")?;
        Ok(State::Snapshot { root, timestamp, meta })
    }

    /// 5. The snapshot: as the timestamp names it, signed, not expired, not older than seen; and the root is the one
    ///    it names.
    fn snapshot(
        &self,
        bytes: &[u8],
        root: CurrentRoot,
        timestamp: Listing,
        meta: &FileMeta,
    ) -> Result<State, NotaryError> {
        meta.check(&Document::Snapshot, bytes)?;
        let envelope = Envelope::read(Document::Snapshot, bytes)?;
        envelope.signed_by("snapshot", &root.trusted.root.snapshot)?;
        let snapshot = envelope.listing("Snapshot")?;
        not_expired("snapshot", snapshot.expires, self.now)?;
        self.not_rolled_back("snapshot", snapshot.version)?;
        bounded("files in the snapshot", snapshot.meta.len(), limits::NOTARY_ROLES_MAX + 4)?;
        listed("snapshot", &snapshot, "root")?.check(&Document::Root, &root.trusted.bytes)?;
        listed("snapshot", &snapshot, "targets")?.sha256("targets")?;
        let signers = root.trusted.root.targets.clone();
        let (role, prefixes, expires) = (Role::targets(), Vec::new(), Vec::new());
        let pending = vec![Pending { role, signers, prefixes, expires }];
        Ok(State::Roles(Roles { root, timestamp, snapshot, pending, done: Vec::new() }))
    }

    /// 6 and 7. `targets`, then the delegations pre-order. What is wrong with `targets` ends the update; what is wrong
    /// with a delegation is kept, and refuses every look-up that comes to it.
    fn role(&self, received: Result<&[u8], NotaryError>, mut roles: Roles) -> Result<Roles, NotaryError> {
        let Some(pending) = roles.pending.pop() else { return Err(NotaryError::NotAwaited) };
        let meta = listed("snapshot", &roles.snapshot, pending.role.as_str());
        let published = meta.and_then(|meta| self.published(received?, meta, &pending));
        let published = match published {
            Ok(published) => published,
            Err(error) if pending.role == Role::targets() => return Err(error),
            Err(error) => {
                roles.done.push((pending.role, RoleState::Broken(error)));
                return Ok(roles.settled());
            }
        };
        let count = roles.done.len() + roles.pending.len() + published.targets.delegations.len();
        bounded("delegations", count, limits::NOTARY_ROLES_MAX)?;
        let mut below = pending.expires.clone();
        below.push((pending.role.to_string(), published.targets.expires));
        for Delegation { role, signers, paths } in published.targets.delegations.iter().rev() {
            let mut prefixes = pending.prefixes.clone();
            prefixes.push(paths.clone());
            let (role, signers, expires) = (role.clone(), signers.clone(), below.clone());
            roles.pending.push(Pending { role, signers, prefixes, expires });
        }
        let Pending { role, prefixes, expires, .. } = pending;
        let published = Published { prefixes, expires_above: expires, ..published };
        roles.done.push((role, RoleState::Published(published)));
        Ok(roles.settled())
    }

    fn published(&self, bytes: &[u8], meta: &FileMeta, pending: &Pending) -> Result<Published, NotaryError> {
        let document = Document::Targets(pending.role.clone());
        meta.check(&document, bytes)?;
        let envelope = Envelope::read(document, bytes)?;
        let signed_by = envelope.signed_by(pending.role.as_str(), &pending.signers)?;
        let targets: Targets = envelope.targets(&pending.role)?;
        not_expired(pending.role.as_str(), targets.expires, self.now)?;
        self.not_rolled_back(pending.role.as_str(), targets.version)?;
        Ok(Published { targets, signed_by, prefixes: Vec::new(), expires_above: Vec::new() })
    }

    fn not_rolled_back(&self, role: &str, offered: u64) -> Result<(), NotaryError> {
        match self.seen.versions.get(role) {
            Some(&seen) if offered < seen => {
                Err(NotaryError::Rollback { role: role.to_owned(), seen, offered })
            }
            _ => Ok(()),
        }
    }
}

fn listed<'a>(by: &'static str, listing: &'a Listing, role: &str) -> Result<&'a FileMeta, NotaryError> {
    listing.meta.get(role).ok_or_else(|| NotaryError::NotListed { by, role: role.to_owned() })
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "" | "." | "..")
}
