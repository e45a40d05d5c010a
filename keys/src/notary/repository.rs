//! A verified repository: which image a tag names, and who signed that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::metadata::{SigningKey, Targets};
use super::role::Role;
use super::{NotaryError, not_expired};

/// Which roles may answer for a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// All of these must sign the tag, and as the same image.
    All(Vec<Role>),
    /// The first of these that signs the tag. Each must exist; no other role is ever asked in its place.
    Any(Vec<Role>),
    /// `targets`, then the delegations pre-order, as notary's client searches. A delegation that may sign the tag and
    /// is broken ends the search. Off-spec: notary's client passes over it, and so takes the next role's answer for
    /// that of the role that was tampered with.
    PreOrder,
}

/// A tag that the repository's signers bound to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedTarget {
    /// The repository.
    pub gun: String,
    /// The tag.
    pub tag: String,
    /// `sha256:<hex>` of the manifest.
    pub digest: String,
    /// Bytes of the manifest, as signed.
    pub length: u64,
    /// The roles that signed it, each with the keys that signed for the role.
    pub signed_by: BTreeMap<String, Vec<SigningKey>>,
    /// The root keys that signed the root.
    pub root_signed_by: Vec<SigningKey>,
    /// The first second at which this is no longer true, in seconds since 1970-01-01 UTC.
    pub expires: i64,
}

impl VerifiedTarget {
    /// Every key that it rests on, root keys first.
    pub fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.root_signed_by.iter().chain(self.signed_by.values().flatten())
    }
}

/// All that one update of a repository proved.
#[derive(Clone, Debug)]
pub struct Repository {
    gun: String,
    pin: String,
    root_signed_by: Vec<SigningKey>,
    /// Expiry of root, its certificates, timestamp and snapshot.
    above: Vec<(String, i64)>,
    /// Pre-order.
    roles: Vec<(Role, RoleState)>,
    /// Tags by the hex SHA-256 that any role gives them: asked for once an image.
    by_digest: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
pub(super) enum RoleState {
    Broken(NotaryError),
    Published(Published),
    Unpublished,
}

#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) targets: Targets,
    pub(super) signed_by: Vec<SigningKey>,
    /// One list of prefixes a level, the outermost first.
    pub(super) prefixes: Vec<Vec<String>>,
    pub(super) expires_above: Vec<(String, i64)>,
}

/// What became of one role, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleReport {
    /// Its name.
    pub role: String,
    /// Version of its file; `None` where there is no good one.
    pub version: Option<u64>,
    /// Tags that it signs.
    pub tags: usize,
    /// Seconds since 1970-01-01 UTC.
    pub expires: Option<i64>,
    /// Why it counts for nothing.
    pub refused: Option<String>,
}

impl Repository {
    pub(super) fn new(
        (gun, pin): (String, String),
        root_signed_by: Vec<SigningKey>,
        above: Vec<(String, i64)>,
        roles: Vec<(Role, RoleState)>,
    ) -> Self {
        let mut by_digest: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (_, state) in &roles {
            let RoleState::Published(published) = state else { continue };
            for (tag, meta) in &published.targets.targets {
                if let Ok(hex) = meta.sha256(tag) {
                    by_digest.entry(hex).or_default().insert(tag.clone());
                }
            }
        }
        Self { gun, pin, root_signed_by, above, roles, by_digest }
    }

    /// The repository's name.
    pub fn gun(&self) -> &str {
        &self.gun
    }

    /// Fingerprint of the pin it was verified under ([`super::RootPin::fingerprint`]).
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// The root keys that signed the root.
    pub fn root_signed_by(&self) -> &[SigningKey] {
        &self.root_signed_by
    }

    /// The first second at which root, timestamp, snapshot or `targets` is too old, in seconds since 1970-01-01 UTC.
    pub fn expires(&self) -> i64 {
        let published = self.published(&Role::targets()).ok();
        let targets = published.map(|published| published.targets.expires);
        let above = self.above.iter().map(|&(_, expires)| expires);
        above.chain(targets).min().unwrap_or(i64::MIN)
    }

    /// What became of each role, `targets` first.
    pub fn report(&self) -> Vec<RoleReport> {
        let line = |(role, state): &(Role, RoleState)| {
            let role = role.to_string();
            let none = RoleReport { role, version: None, tags: 0, expires: None, refused: None };
            match state {
                RoleState::Published(Published { targets, .. }) => RoleReport {
                    version: Some(targets.version),
                    tags: targets.targets.len(),
                    expires: Some(targets.expires),
                    ..none
                },
                RoleState::Broken(error) => RoleReport { refused: Some(error.to_string()), ..none },
                RoleState::Unpublished => {
                    RoleReport { refused: Some("nothing was published".to_owned()), ..none }
                }
            }
        };
        self.roles.iter().map(line).collect()
    }

    /// 8. What `tag` names at `now` (seconds since 1970-01-01 UTC).
    pub fn target(&self, tag: &str, lookup: &Lookup, now: i64) -> Result<VerifiedTarget, NotaryError> {
        match lookup {
            Lookup::PreOrder => {
                for (role, state) in &self.roles {
                    let found = match state {
                        RoleState::Published(published) if published.may_sign(tag) => published,
                        RoleState::Broken(error) => return Err(error.clone()),
                        RoleState::Published(_) | RoleState::Unpublished => continue,
                    };
                    if found.targets.targets.contains_key(tag) {
                        return self.verified(tag, role, found, now);
                    }
                }
                let roles = self.roles.iter().map(|(role, _)| role.to_string()).collect();
                Err(NotaryError::TagAbsent { tag: crate::json::quote(tag), roles })
            }
            Lookup::Any(roles) => {
                // Every role is looked up before any answers: one that is missing must not be noticed only when the
                // tag is not in the first.
                let found: Result<Vec<_>, _> = roles.iter().map(|role| self.permitted(role, tag)).collect();
                let signs =
                    found?.into_iter().zip(roles).find(|(role, _)| role.targets.targets.contains_key(tag));
                let (published, role) = signs.ok_or_else(|| absent(tag, roles))?;
                self.verified(tag, role, published, now)
            }
            Lookup::All(roles) => {
                let each: Result<Vec<_>, _> = roles
                    .iter()
                    .map(|role| {
                        let published = self.permitted(role, tag)?;
                        if !published.targets.targets.contains_key(tag) {
                            return Err(absent(tag, std::slice::from_ref(role)));
                        }
                        self.verified(tag, role, published, now)
                    })
                    .collect();
                agreed(tag, each?).ok_or_else(|| absent(tag, roles))?
            }
        }
    }

    /// Every tag that names `digest` (`sha256:<hex>`) at `now`, by the same look-up as [`Self::target`]; at least one.
    pub fn naming(
        &self,
        digest: &str,
        lookup: &Lookup,
        now: i64,
    ) -> Result<Vec<VerifiedTarget>, NotaryError> {
        let asked = match lookup {
            Lookup::All(roles) | Lookup::Any(roles) => roles.as_slice(),
            Lookup::PreOrder => &[],
        };
        asked.iter().try_for_each(|role| self.published(role).map(|_| ()))?;
        let mut refusal = None;
        let mut named = Vec::new();
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        for tag in self.by_digest.get(hex).into_iter().flatten() {
            match self.target(tag, lookup, now) {
                Ok(target) if target.digest == digest => named.push(target),
                Ok(_) => {}
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        let unnamed = || NotaryError::NotNamed { gun: self.gun.clone(), digest: crate::json::quote(digest) };
        if named.is_empty() { Err(refusal.unwrap_or_else(unnamed)) } else { Ok(named) }
    }

    /// Every tag by the same look-up as [`Self::target`], with the image it names, or why it names none.
    pub fn tags(
        &self,
        lookup: &Lookup,
        now: i64,
    ) -> impl Iterator<Item = (&str, Result<VerifiedTarget, NotaryError>)> {
        let mut all: BTreeSet<&str> = BTreeSet::new();
        for (_, state) in &self.roles {
            if let RoleState::Published(published) = state {
                all.extend(published.targets.targets.keys().map(String::as_str));
            }
        }
        all.into_iter().map(move |tag| (tag, self.target(tag, lookup, now)))
    }

    /// A role that was required by name.
    fn published(&self, role: &Role) -> Result<&Published, NotaryError> {
        match self.roles.iter().find(|(name, _)| name == role) {
            Some((_, RoleState::Published(published))) => Ok(published),
            Some((_, RoleState::Broken(error))) => Err(error.clone()),
            Some((_, RoleState::Unpublished)) => Err(NotaryError::NotPublished(role.to_string())),
            None => Err(NotaryError::NotDelegated(role.to_string())),
        }
    }

    fn permitted(&self, role: &Role, tag: &str) -> Result<&Published, NotaryError> {
        let published = self.published(role)?;
        let refused =
            || NotaryError::PathNotDelegated { role: role.to_string(), tag: crate::json::quote(tag) };
        if published.may_sign(tag) { Ok(published) } else { Err(refused()) }
    }

    fn verified(
        &self,
        tag: &str,
        role: &Role,
        published: &Published,
        now: i64,
    ) -> Result<VerifiedTarget, NotaryError> {
        let own = (role.to_string(), published.targets.expires);
        let dates = || self.above.iter().chain(&published.expires_above).chain([&own]);
        for (role, expires) in dates() {
            not_expired(role, *expires, now)?;
        }
        let meta = published.targets.targets.get(tag);
        let meta = meta.ok_or_else(|| absent(tag, std::slice::from_ref(role)))?;
        Ok(VerifiedTarget {
            gun: self.gun.clone(),
            tag: tag.to_owned(),
            digest: format!("sha256:{}", meta.sha256(tag)?),
            length: meta.length,
            signed_by: BTreeMap::from([(role.to_string(), published.signed_by.clone())]),
            root_signed_by: self.root_signed_by.clone(),
            expires: dates().map(|&(_, expires)| expires).min().unwrap_or(i64::MIN),
        })
    }
}

impl Published {
    /// Each level restricts further: a child cannot be given what its parent may not sign.
    fn may_sign(&self, tag: &str) -> bool {
        self.prefixes.iter().all(|level| level.iter().any(|prefix| tag.starts_with(prefix.as_str())))
    }
}

/// One target signed by all, if all name the same image; `None` for no targets at all.
fn agreed(tag: &str, each: Vec<VerifiedTarget>) -> Option<Result<VerifiedTarget, NotaryError>> {
    let (digest, length) = each.first().map(|first| (first.digest.clone(), first.length))?;
    if each.iter().any(|other| other.digest != digest || other.length != length) {
        let words = |target: &VerifiedTarget| {
            let roles: Vec<&str> = target.signed_by.keys().map(String::as_str).collect();
            format!("{} `{}` of {} bytes", roles.join(", "), target.digest, target.length)
        };
        let digests = each.iter().map(words).collect();
        return Some(Err(NotaryError::Conflict { tag: crate::json::quote(tag), digests }));
    }
    each.into_iter()
        .reduce(|mut all, other| {
            all.expires = all.expires.min(other.expires);
            all.signed_by.extend(other.signed_by);
            all
        })
        .map(Ok)
}

fn absent(tag: &str, roles: &[Role]) -> NotaryError {
    let roles = roles.iter().map(Role::to_string).collect();
    NotaryError::TagAbsent { tag: crate::json::quote(tag), roles }
}
