//! One round over all sources, and the task that repeats it: fetch what is new, check it, build aside, swap.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use scanner::advisory::{BuildError, Builder};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::fetch::{FetchError, Fetched, Fetcher, Validators};
use super::intake::{self, IntakeError};
use super::{AdvisoriesConfig, AdvisoryStore, SourceConfig, StoreError, replace};
use crate::clock::Clock;
use crate::rounds::{self, chain};

/// Hears how a round goes on; for people who wait.
pub type Progress<'a> = &'a (dyn Fn(Step<'_>) + Send + Sync);

/// What a round is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// All sources are compiled into one file.
    Building,
    /// A download was read and is believable, or nothing newer is there.
    Checked {
        /// Which source.
        source: &'a str,
        /// It has changed.
        new: bool,
    },
    /// A download is read to its end, to see whether it is a feed.
    Checking {
        /// Which source.
        source: &'a str,
    },
    /// A source gave nothing usable; its last good version stays.
    Failed {
        /// Which source.
        source: &'a str,
    },
    /// Bytes arrive.
    Fetching {
        /// Which source.
        source: &'a str,
        /// So far.
        done: u64,
        /// Of how many, where the server tells.
        total: Option<u64>,
    },
}

/// How a round ended.
#[derive(Debug, Default)]
pub struct Round {
    /// Sources with a new version.
    pub new: Vec<String>,
    /// Sources that have nothing newer.
    pub unchanged: Vec<String>,
    /// Sources whose last good version, if any, stays in use, and why.
    pub failed: Vec<(String, SourceError)>,
}

/// Why a source's new version is not used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It did not arrive.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It arrived, but is no feed or a broken one.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// It lost most of its advisories: a broken export or an attack, and a quiet one, since fewer findings complain.
    #[error(
        "the feed shrank from {before} to {after} advisories; if that is right, remove `{}` and update again",
        state.display()
    )]
    Shrunk {
        /// In the version that is kept.
        before: u64,
        /// In the new version.
        after: u64,
        /// What to remove to accept it.
        state: PathBuf,
    },
    /// What was fetched cannot be kept.
    #[error("cannot keep `{}`", path.display())]
    Keep {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Why no new file came into use.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Not one source has ever been fetched.
    #[error("no source could be fetched, there is nothing to build")]
    NothingFetched(#[source] Option<SourceError>),
    /// A kept download can no longer be read.
    #[error("cannot read a kept download")]
    Kept(#[from] IntakeError),
    /// The file cannot be compiled.
    #[error("cannot build the advisory file")]
    Build(#[from] BuildError),
    /// The file cannot be put in place.
    #[error("cannot install the advisory file")]
    Store(#[from] StoreError),
    /// A blocking step was cancelled, because the program ends.
    #[error("interrupted")]
    Interrupted,
}

/// What is known about a kept download.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    url: String,
    validators: Validators,
    /// Seconds since 1970-01-01 UTC: when the server last said that this is its newest version.
    checked: i64,
    advisories: u64,
}

/// Where one source's download and state are kept.
struct Kept {
    feed: PathBuf,
    part: PathBuf,
    state: PathBuf,
}

impl Kept {
    fn of(config: &AdvisoriesConfig, source: &SourceConfig) -> Self {
        let mut folder = config.file.clone().into_os_string();
        folder.push(".sources");
        let file = |extension: &str| Path::new(&folder).join(format!("{}.{extension}", source.name));
        Self { feed: file("feed"), part: file("part"), state: file("state.json") }
    }

    /// `None` when nothing usable is kept: the feed is then fetched unconditionally.
    fn read(&self) -> Option<State> {
        let state = serde_json::from_slice(&std::fs::read(&self.state).ok()?).ok()?;
        self.feed.is_file().then_some(state)
    }

    fn write(&self, state: &State) -> Result<(), SourceError> {
        let keep = |source| SourceError::Keep { path: self.state.clone(), source };
        let json = serde_json::to_vec(state).map_err(|error| keep(error.into()))?;
        replace(&self.state, &json).map_err(keep)
    }
}

/// Asks every source once and puts what is new into use. Sources that fail keep their last good version; the file's
/// build time is then the time at which the *oldest* of its parts was known to be the newest, so that a dead source
/// shows as age.
///
/// # Errors
///
/// When no file could be built or installed. A failed source alone is told in the [`Round`].
pub async fn update_once(
    config: &AdvisoriesConfig,
    store: &Arc<AdvisoryStore>,
    fetcher: &Fetcher,
    now: i64,
    progress: Progress<'_>,
) -> Result<Round, UpdateError> {
    let mut round = Round::default();
    for source in &config.sources {
        let name = source.name.as_str();
        match update_source(config, source, fetcher, now, progress).await {
            Ok(new) => {
                progress(Step::Checked { source: name, new });
                if new { &mut round.new } else { &mut round.unchanged }.push(name.to_owned());
            }
            Err(error) => {
                progress(Step::Failed { source: name });
                round.failed.push((name.to_owned(), error));
            }
        }
    }
    let kept: Vec<(String, PathBuf, State)> = config
        .sources
        .iter()
        .filter_map(|source| {
            let kept = Kept::of(config, source);
            kept.read().map(|state| (source.name.to_string(), kept.feed, state))
        })
        .collect();
    let Some(built) = kept.iter().map(|(_, _, state)| state.checked).min() else {
        return Err(UpdateError::NothingFetched(round.failed.into_iter().next().map(|(_, error)| error)));
    };
    let names: BTreeSet<&str> = kept.iter().map(|(name, ..)| name.as_str()).collect();
    let current = store.current().filter(|current| {
        round.new.is_empty() && current.sources().iter().map(|source| source.name.as_str()).eq(names)
    });
    if current.is_none() {
        progress(Step::Building);
    }
    let store = Arc::clone(store);
    blocking(move || {
        let file = current.map_or_else(|| build(&kept, built), |current| Ok(current.restamped(built)))?;
        store.install(&file).map_err(UpdateError::from)
    })
    .await??;
    Ok(round)
}

/// `true` when a new version is kept, `false` when the kept one is the newest.
async fn update_source(
    config: &AdvisoriesConfig,
    source: &SourceConfig,
    fetcher: &Fetcher,
    now: i64,
    progress: Progress<'_>,
) -> Result<bool, SourceError> {
    let kept = Kept::of(config, source);
    if let Some(folder) = kept.feed.parent() {
        let keep = |source| SourceError::Keep { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(keep)?;
    }
    let url = source.url.url().to_string();
    let known = kept.read().filter(|state| state.url == url);
    let name = source.name.as_str();
    let bytes = |done, total| progress(Step::Fetching { source: name, done, total });
    let validators = known.as_ref().map(|state| &state.validators);
    let fetched = fetcher.fetch(&source.url, validators, &kept.part, &bytes).await;
    let outcome = match (fetched, &known) {
        (Ok(Fetched::NotModified), Some(state)) => {
            return kept.write(&State { checked: now, ..state.clone() }).map(|()| false);
        }
        (Ok(Fetched::NotModified), None) => return Ok(false),
        (Ok(Fetched::New(validators)), _) => {
            progress(Step::Checking { source: name });
            accept(&kept, known.as_ref(), name).await.map(|advisories| State {
                url,
                validators,
                checked: now,
                advisories,
            })
        }
        (Err(error), _) => Err(error.into()),
    };
    match outcome {
        Ok(state) => {
            let keep = |source| SourceError::Keep { path: kept.feed.clone(), source };
            std::fs::rename(&kept.part, &kept.feed).map_err(keep)?;
            kept.write(&state).map(|()| true)
        }
        Err(error) => {
            // Nothing of it is wanted; that it may already be gone is no second error.
            let _ = std::fs::remove_file(&kept.part);
            Err(error)
        }
    }
}

/// Reads a download to its end. The number of its advisories, when it is a feed and a believable one.
async fn accept(kept: &Kept, known: Option<&State>, name: &str) -> Result<u64, SourceError> {
    let (part, name) = (kept.part.clone(), name.to_owned());
    let check = move || {
        let intake = intake::add_file(&mut Builder::new(), &name, &part)?;
        if intake.documents == 0 {
            return Err(IntakeError::NoFeed { path: part, unrecognised: intake.unrecognised });
        }
        Ok(intake.advisories)
    };
    let interrupted =
        |_| SourceError::Keep { path: kept.part.clone(), source: std::io::ErrorKind::Interrupted.into() };
    let after = blocking(check).await.map_err(interrupted)??;
    match known.map_or(0, |state| state.advisories) {
        before if after < before / 2 => Err(SourceError::Shrunk { before, after, state: kept.state.clone() }),
        _ => Ok(after),
    }
}

fn build(kept: &[(String, PathBuf, State)], built: i64) -> Result<Vec<u8>, UpdateError> {
    let mut builder = Builder::new();
    for (name, feed, _) in kept {
        intake::add_file(&mut builder, name, feed)?;
    }
    Ok(builder.finish(built)?)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, UpdateError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| UpdateError::Interrupted)
}

/// Repeats [`update_once`] until `shutdown` resolves: at the interval while all is well, sooner and with growing pauses
/// after failures. The pauses vary by up to a quarter, so that many gateways do not ask at the same second.
///
/// # Errors
///
/// When no client can be set up.
pub fn spawn_updates(
    config: AdvisoriesConfig,
    store: Arc<AdvisoryStore>,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, FetchError> {
    let fetcher = Fetcher::new()?;
    Ok(tokio::spawn(async move {
        let rounds = async {
            let mut failures = 0;
            loop {
                let outcome = update_once(&config, &store, &fetcher, clock.now(), &|_| {}).await;
                failures = if tell(&outcome) { 0 } else { failures + 1 };
                tokio::time::sleep(rounds::pause(config.interval, failures)).await;
            }
        };
        tokio::select! {
            () = rounds => {}
            () = shutdown => {}
        }
    }))
}

/// One line a round; `true` when nothing failed.
fn tell(outcome: &Result<Round, UpdateError>) -> bool {
    match outcome {
        Ok(round) => {
            for (source, error) in &round.failed {
                tracing::warn!(advisories.source = source, error = chain(error), "advisory source failed");
            }
            tracing::info!(
                advisories.new = round.new.len(),
                advisories.unchanged = round.unchanged.len(),
                advisories.failed = round.failed.len(),
                "advisories updated"
            );
            round.failed.is_empty()
        }
        Err(error) => {
            tracing::error!(error = chain(error), "advisories not updated; those in use stay");
            false
        }
    }
}
