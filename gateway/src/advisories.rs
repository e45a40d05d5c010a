//! The advisories in use: one mapped file, swapped whole while others look things up.

pub mod bundle;
pub mod fetch;
pub mod intake;
pub mod update;

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use scanner::advisory::{Advisories, AdvisoryError};
use scanner::report::AdvisoryRevision;
use serde::Deserialize;
use tokio::sync::watch;

/// Sources are asked again after this time unless configured otherwise: public feeds change a few times a day.
pub const INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);
/// Shortest time between two rounds: public feeds are shared by everybody.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);

/// `[advisories]`: where the compiled file lies, and where its sources come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvisoriesConfig {
    /// The compiled file, made by `portcullis advisories build` or `update`. What was downloaded is kept beside it, in
    /// a folder of the same name with `.sources` added.
    pub file: PathBuf,
    /// Public feeds to fetch in the background. Empty: the file is only replaced by hand.
    #[serde(default)]
    pub sources: Vec<SourceConfig>,
    /// How often sources are asked again, such as `6h`.
    #[serde(default = "default_interval", deserialize_with = "interval")]
    pub interval: Duration,
}

/// One feed to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What reports call it: letters, digits, `.`, `_` and `-`. It names the kept download, too.
    pub name: SourceName,
    /// A JSON document, JSON lines, or a zip archive of documents; gzip and zstd are unpacked.
    pub url: SourceUrl,
}

/// A name that is safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SourceName(String);

impl TryFrom<String> for SourceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(allowed) {
            return Err(format!(
                "`{name}` cannot name a source: use 1 to 64 letters, digits, `.`, `_` and `-`, not starting with `.`"
            ));
        }
        Ok(Self(name))
    }
}

impl SourceName {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a feed is. A user name or password in it is kept out of every message.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SourceUrl(reqwest::Url);

impl TryFrom<String> for SourceUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let url = reqwest::Url::parse(&text).map_err(|error| format!("not a URL: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(format!("a source is fetched by `https` or `http`, not by `{other}`")),
        }
    }
}

impl SourceUrl {
    fn url(&self) -> reqwest::Url {
        self.0.clone()
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if !shown.username().is_empty() || shown.password().is_some() {
            // Neither fails for a URL with a host, which http and https require.
            let _ = shown.set_username("****");
            let _ = shown.set_password(None);
        }
        // Tokens of private mirrors travel in queries, too.
        if shown.query().is_some() {
            shown.set_query(Some("****"));
        }
        write!(formatter, "{shown}")
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SourceUrl({self})")
    }
}

fn default_interval() -> Duration {
    INTERVAL
}

fn interval<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let interval = humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is no duration ({error}); write it as `6h` or `30m`"))
    })?;
    if interval < INTERVAL_MIN {
        return Err(serde::de::Error::custom(format!("`{text}` is too often; the shortest interval is 1m")));
    }
    Ok(interval)
}

/// Holds the advisories in use. Readers take a reference and keep it for as long as they like; a newer file never
/// changes what they hold.
#[derive(Debug)]
pub struct AdvisoryStore {
    file: Option<PathBuf>,
    current: ArcSwapOption<Advisories>,
    changed: watch::Sender<Option<String>>,
}

/// Why an advisory file is not in use.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened, written or renamed.
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
    /// It is no advisory file, or a damaged one.
    #[error("`{}` cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: AdvisoryError,
    },
}

impl AdvisoryStore {
    /// No advisories and no file: every image is then judged as unknown.
    pub fn empty() -> Arc<Self> {
        Arc::new(Self { file: None, current: ArcSwapOption::empty(), changed: watch::Sender::new(None) })
    }

    /// Maps the file. One that does not exist yet is no error: the store is empty until the first update installs it.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be used: going on without it would turn findings into unknowns unnoticed.
    pub fn open(file: &Path) -> Result<Arc<Self>, StoreError> {
        let store = Self::replacing(file);
        match load(file) {
            Ok(advisories) => store.swap(advisories),
            Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    /// An empty store that will replace the file, whatever is there now.
    pub fn replacing(file: &Path) -> Arc<Self> {
        let changed = watch::Sender::new(None);
        Arc::new(Self { file: Some(file.to_owned()), current: ArcSwapOption::empty(), changed })
    }

    /// The advisories in use right now; `None` before the first file.
    pub fn current(&self) -> Option<Arc<Advisories>> {
        self.current.load_full()
    }

    /// Names the advisories in use.
    pub fn revision(&self) -> Option<AdvisoryRevision> {
        self.current().map(|advisories| advisories.revision())
    }

    /// Seconds since the sources were last asked, at `now`; `None` without advisories.
    pub fn age_seconds(&self, now: i64) -> Option<i64> {
        self.revision().map(|revision| now.saturating_sub(revision.built).max(0))
    }

    /// Tells the digest of the revision in use each time it changes: stored inventories are then matched again.
    pub fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.changed.subscribe()
    }

    /// Maps the file again, after somebody replaced it by hand.
    ///
    /// # Errors
    ///
    /// When it cannot be used; the advisories in use stay.
    pub fn reload(&self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        self.swap(load(file)?);
        Ok(())
    }

    /// Puts a newly built file in place of the old one and into use.
    ///
    /// # Errors
    ///
    /// When it cannot be written or used; the old file and the advisories in use stay.
    pub fn install(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        write_file(file, bytes)?;
        self.reload()
    }

    fn swap(&self, advisories: Advisories) {
        let digest = advisories.revision().digest;
        self.current.store(Some(Arc::new(advisories)));
        self.changed.send_if_modified(|known| {
            let new = known.as_ref() != Some(&digest);
            *known = Some(digest);
            new
        });
    }
}

/// Opens a compiled file, as the command line does.
///
/// # Errors
///
/// When it cannot be opened, mapped or used.
pub fn load(file: &Path) -> Result<Advisories, StoreError> {
    let mapped = mapped::map(file).map_err(|source| StoreError::File {
        action: "open",
        path: file.to_owned(),
        source,
    })?;
    Advisories::open(Arc::new(mapped))
        .map_err(|source| StoreError::Unusable { path: file.to_owned(), source })
}

/// Replaces a compiled file: written aside, proven, synced, renamed. Whoever has the old one mapped keeps it.
///
/// # Errors
///
/// When the bytes are no advisory file, or the disk refuses.
pub fn write_file(file: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    Advisories::open(Arc::new(bytes.to_vec()))
        .map_err(|source| StoreError::Unusable { path: file.to_owned(), source })?;
    replace(file, bytes).map_err(|source| StoreError::File { action: "write", path: file.to_owned(), source })
}

/// Puts a public file in place of another: written aside, synced, renamed.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut aside = tempfile::NamedTempFile::new_in(folder)?;
    aside.write_all(bytes)?;
    // Advisories are public: the service may run under another account than the one that built the file.
    aside.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    aside.as_file().sync_all()?;
    aside.persist(file).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
