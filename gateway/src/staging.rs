//! The states of an image (staged, released, withdrawn) and the only transitions between them.
//!
//! Each function is one step inside a record transaction, together with its row in the decision log: a crash leaves the
//! state before it or the state after it.
//!
//! ```text
//! (nothing) --stage--> staged --release--> released --withdraw--> withdrawn
//!                        ^ '-------------- erase ---------------------' |
//!                        '------------------ restore -------------------'
//! ```

use rusqlite::Connection;

use crate::gate::evidence::State;
use crate::gate::verdict::Admitted;
use crate::manifest::Manifest;
use crate::records::withdrawals::WithdrawalRow;
use crate::records::{RecordError, blobs, manifests, withdrawals};

/// Most manifests about one subject. Whoever may push referrers could otherwise fill the records; far fewer would let
/// them keep out the one signature that matters. What does not verify is examined once, not at each question.
pub const REFERRERS_MAX: usize = 16_384;

/// Why a transition is not made.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// A blob that the manifest names is not in this repository (be it in others).
    #[error("blob `{digest}` is not in this repository; upload or mount it first")]
    BlobUnknown {
        /// Which.
        digest: String,
    },
    /// A manifest that the index lists is not in this repository.
    #[error("manifest `{digest}` is not in this repository; push it first")]
    ManifestUnknown {
        /// Which.
        digest: String,
    },
    /// A descriptor that lies about what it names.
    #[error("descriptor of `{digest}` says {field} `{declared}`, stored is `{stored}`")]
    Descriptor {
        /// Which.
        digest: String,
        /// `size` or `mediaType`.
        field: &'static str,
        /// In the manifest.
        declared: String,
        /// Here.
        stored: String,
    },
    /// The subject has too many referrers already.
    #[error("`{subject}` has {REFERRERS_MAX} referrers already; delete some first")]
    TooManyReferrers {
        /// The subject.
        subject: String,
    },
    /// The manifest went away between the question and the step.
    #[error("manifest `{digest}` is no longer there")]
    Gone {
        /// Which.
        digest: String,
    },
    /// A withdrawn image is not released again by pushing or signing it again.
    #[error("manifest `{digest}` was withdrawn")]
    Withdrawn {
        /// Which.
        digest: String,
    },
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// A manifest on its way in.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to.
    pub repository: String,
    /// Name of the content: sha256, or sha512 when the client pushed by such a digest.
    pub digest: String,
    /// What.
    pub manifest: Manifest,
    /// Tags that shall point at it.
    pub tags: Vec<String>,
    /// Account name.
    pub pushed_by: String,
}

/// Checks that everything the manifest names is in the repository and is what the descriptors say. Reads only.
///
/// # Errors
/// The first thing that is missing or differs.
pub fn check_complete(
    connection: &Connection,
    repository: &str,
    manifest: &Manifest,
) -> Result<(), StagingError> {
    for blob in manifest.blobs() {
        let Some(stored) = blobs::linked_size(connection, repository, &blob.digest)? else {
            return Err(StagingError::BlobUnknown { digest: blob.digest.clone() });
        };
        if stored != blob.size {
            return Err(differs(&blob.digest, "size", blob.size.to_string(), stored.to_string()));
        }
    }
    for child in manifest.children() {
        let Some(stored) = manifests::find(connection, repository, &child.digest)? else {
            return Err(StagingError::ManifestUnknown { digest: child.digest.clone() });
        };
        if stored.size != child.size {
            return Err(differs(&child.digest, "size", child.size.to_string(), stored.size.to_string()));
        }
        if stored.media_type != child.media_type {
            return Err(differs(&child.digest, "mediaType", child.media_type.clone(), stored.media_type));
        }
    }
    Ok(())
}

fn differs(digest: &str, field: &'static str, declared: String, stored: String) -> StagingError {
    StagingError::Descriptor { digest: digest.to_owned(), field, declared, stored }
}

/// Nothing → staged: producers see the manifest and its tags from now on. The proof says that `decide(push)` allowed it.
///
/// # Errors
/// When something it names went away meanwhile, or its subject has too many referrers.
pub fn stage(connection: &Connection, push: &Push, proof: &Admitted, now: i64) -> Result<(), StagingError> {
    if proof.digest() != push.digest {
        return Err(StagingError::Gone { digest: push.digest.clone() });
    }
    check_complete(connection, &push.repository, &push.manifest)?;
    for blob in push.manifest.blobs() {
        blobs::link(connection, &push.repository, &blob.digest, now)?;
    }
    if let Some(subject) = &push.manifest.subject {
        let limit = u32::try_from(REFERRERS_MAX).unwrap_or(u32::MAX);
        let known = manifests::referrer_digests(connection, &push.repository, &subject.digest, limit)?;
        if known.len() >= REFERRERS_MAX && !known.contains(&push.digest) {
            return Err(StagingError::TooManyReferrers { subject: subject.digest.clone() });
        }
    }
    manifests::insert(connection, &push.repository, &push.digest, &push.manifest, &push.pushed_by, now)?;
    manifests::clear_refusal(connection, &push.repository, &push.digest)?;
    for tag in &push.tags {
        manifests::set_staged_tag(connection, &push.repository, tag, &push.digest)?;
        manifests::clear_refusal(connection, &push.repository, tag)?;
    }
    Ok(())
}

/// Staged → released: consumers see the manifest, what it names, and the tags that point at it. An index takes its
/// children with it, because the question was asked about all of them. `false`: it was released before.
///
/// # Errors
/// When it, or a child of it, is gone or was withdrawn.
pub fn release(connection: &Connection, repository: &str, proof: &Admitted) -> Result<bool, StagingError> {
    let digest = proof.digest();
    let row = manifests::find(connection, repository, digest)?
        .ok_or_else(|| StagingError::Gone { digest: digest.to_owned() })?;
    let mut released = vec![row];
    for child in manifests::children(connection, repository, digest)? {
        let row = manifests::find(connection, repository, &child)?;
        released.push(row.ok_or(StagingError::Gone { digest: child })?);
    }
    if let Some(withdrawn) = released.iter().find(|row| row.state == State::Withdrawn) {
        return Err(StagingError::Withdrawn { digest: withdrawn.digest.clone() });
    }
    let mut changed = false;
    for row in released.iter().filter(|row| row.state != State::Released) {
        manifests::set_state(connection, repository, &row.digest, State::Released)?;
        changed = true;
    }
    manifests::release_tags(connection, repository, digest)?;
    Ok(changed)
}

/// Released (or staged) → withdrawn: consumers no longer see it; pushing or signing it again does not bring it back. An
/// index takes with it what no other index of the repository lists. Gives all that was withdrawn.
///
/// # Errors
/// When it is not there.
pub fn withdraw(
    connection: &Connection,
    repository: &str,
    withdrawal: &WithdrawalRow,
) -> Result<Vec<String>, StagingError> {
    let digest = &withdrawal.cause;
    if manifests::find(connection, repository, digest)?.is_none() {
        return Err(StagingError::Gone { digest: digest.clone() });
    }
    let mut taken = vec![digest.clone()];
    for child in manifests::children(connection, repository, digest)? {
        if manifests::parents(connection, repository, &child)?.iter().all(|parent| parent == digest) {
            taken.push(child);
        }
    }
    for digest in &taken {
        manifests::set_state(connection, repository, digest, State::Withdrawn)?;
        withdrawals::put(connection, repository, digest, withdrawal)?;
    }
    Ok(taken)
}

/// Withdrawn → staged, for what was withdrawn because of `cause`; gives the digests, `cause` last, so that whoever asks
/// for their release finds the platforms of an index released before it.
///
/// # Errors
/// When the records fail.
pub fn restore(connection: &Connection, repository: &str, cause: &str) -> Result<Vec<String>, StagingError> {
    let mut restored = withdrawals::take(connection, repository, cause)?;
    restored.sort_by_key(|digest| digest == cause);
    for digest in &restored {
        manifests::set_state(connection, repository, digest, State::Staged)?;
    }
    Ok(restored)
}

/// Any state → nothing: the manifest and the tags that point at it are gone for everybody.
///
/// # Errors
/// When it is not there.
pub fn erase(connection: &Connection, repository: &str, digest: &str) -> Result<(), StagingError> {
    if manifests::remove(connection, repository, digest)? {
        Ok(())
    } else {
        Err(StagingError::Gone { digest: digest.to_owned() })
    }
}

/// Staged for too long → nothing. `false`: it is no longer staged, or was pushed again since.
///
/// # Errors
/// When the records fail.
pub fn expire(
    connection: &Connection,
    repository: &str,
    digest: &str,
    before: i64,
) -> Result<bool, StagingError> {
    Ok(manifests::remove_expired(connection, repository, digest, before)?)
}
