//! What is kept of one TUF repository: the files of the last state that verified, and what was learned since.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::sigstore::{Lease, SigstoreError, TrustRoot};
use keys::tuf::{Client, Need, Place, Seen, TufError, VerifiedFile};
use serde::{Deserialize, Serialize};

use crate::advisories::replace;
use crate::digest::Digest;
use crate::gate::policy::{FetchedRoot, RootSource};

/// Largest file of ours: the most rotations, each as large as it may be, and the other files.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What is kept of one repository. One file, replaced whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Digest of the root that was pinned: under another pin all of this is another's.
    pin: String,
    /// Name of the target file.
    target: String,
    /// What may never be older again; it may be ahead of `good`, when an update failed half-way.
    pub(super) seen: Seen,
    good: Option<Good>,
}

/// A state of the repository that verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Good {
    /// When the repository was last asked, seconds since 1970-01-01 UTC.
    pub checked: i64,
    /// Since when its root has been believed without a break, seconds since 1970-01-01 UTC.
    pub since: i64,
    /// By path, as the repository has them.
    metadata: BTreeMap<String, String>,
    /// The target file.
    target: String,
}

/// Why what is kept is of no use, or nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It does not verify from the pinned root: damaged, or edited.
    #[error("what is kept of the repository does not verify")]
    Unverified(#[from] TufError),
    /// It is well signed and no trusted root.
    #[error("the target file is no usable trusted root")]
    Root(#[from] SigstoreError),
    /// The target is no text.
    #[error("the target file is no text")]
    Text,
}

impl Kept {
    /// Nothing is known of the repository.
    pub(super) fn nothing(source: &RootSource) -> Self {
        let pin = Digest::sha256_of(&source.pinned).to_string();
        Self { pin, target: source.target.clone(), seen: Seen::default(), good: None }
    }

    /// Where it is kept.
    pub(super) fn path(dir: &Path, source: &RootSource) -> PathBuf {
        dir.join(format!("{}.json", source.name))
    }

    /// Reads it. What was kept under another pin, or of another target, counts for nothing.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(dir: &Path, source: &RootSource) -> Result<Self, KeptError> {
        let path = Self::path(dir, source);
        let failed = |source| KeptError::File { action: "read", path: path.clone(), source };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::nothing(source)),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let kept: Self = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
        let nothing = Self::nothing(source);
        let is_ours = kept.pin == nothing.pin && kept.target == nothing.target;
        Ok(if is_ours { kept } else { nothing })
    }

    /// Writes it: aside, synced, renamed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&self, dir: &Path, source: &RootSource) -> Result<(), KeptError> {
        let path = Self::path(dir, source);
        let failed = |error| KeptError::File { action: "write", path: path.clone(), source: error };
        let json = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        replace(&path, &json).map_err(failed)
    }

    /// The last state that verified, if there is one.
    pub fn good(&self) -> Option<&Good> {
        self.good.as_ref()
    }

    /// Takes in a state that has just verified.
    pub(super) fn accept(
        &mut self,
        source: &RootSource,
        file: &VerifiedFile,
        metadata: BTreeMap<String, String>,
        now: i64,
    ) -> Result<(), KeptError> {
        // What nobody can read is not put in the place of what somebody can.
        TrustRoot::parse(file.bytes())?;
        let target = String::from_utf8(file.bytes().to_vec()).map_err(|_| KeptError::Text)?;
        let unbroken = self.root(source).ok().flatten();
        let unbroken = unbroken.filter(|kept| kept.root.lease().is_some_and(|lease| now < lease.until));
        let since = unbroken.map_or(now, |kept| kept.since);
        self.good = Some(Good { checked: now, since, metadata, target });
        Ok(())
    }

    /// A root of the chain that was followed before: it is not asked for again.
    pub(super) fn known_root(&self, need: &Need) -> Option<&str> {
        let good = self.good.as_ref().filter(|_| need.may_be_absent)?;
        good.metadata.get(&need.path).map(String::as_str)
    }

    /// The verified file, again from the pinned root, as of when it was fetched.
    ///
    /// # Errors
    /// When it does not verify.
    pub fn verified(&self, source: &RootSource) -> Result<Option<VerifiedFile>, KeptError> {
        let Some(good) = &self.good else { return Ok(None) };
        let mut client = Client::new(&source.pinned, &source.target, Seen::default(), good.checked)?;
        while let Some(need) = client.needs() {
            let text = match need.place {
                Place::Metadata => good.metadata.get(&need.path),
                Place::Targets => Some(&good.target),
            };
            client.supply(text.map(String::as_bytes))?;
        }
        Ok(Some(client.finish()?))
    }

    /// The root with its lease, to be put into a policy.
    ///
    /// # Errors
    /// When it does not verify.
    pub fn root(&self, source: &RootSource) -> Result<Option<FetchedRoot>, KeptError> {
        let (Some(good), Some(file)) = (&self.good, self.verified(source)?) else { return Ok(None) };
        let root = TrustRoot::parse(file.bytes())?.leased(lease(source, &file, good.checked));
        Ok(Some(FetchedRoot { root: Arc::new(root), since: good.since, checked: good.checked }))
    }
}

/// Until when a state that was checked at `checked` may be believed, and what is to be said then.
fn lease(source: &RootSource, file: &VerifiedFile, checked: i64) -> Lease {
    let (role, expires) = file.ends();
    let seconds = i64::try_from(source.max_age.as_secs()).unwrap_or(i64::MAX);
    let aged = checked.saturating_add(seconds);
    let (name, date) = (&source.name, |seconds| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
    });
    let why = if aged < expires {
        let age = humantime::format_duration(source.max_age);
        format!("was last confirmed {}, over {age} ago", date(checked))
    } else {
        format!("has a {role} that expired {}", date(expires))
    };
    let ended = format!("`{name}` {why}: run `portcullis trust update`");
    Lease { from: checked, until: aged.min(expires), ended }
}
