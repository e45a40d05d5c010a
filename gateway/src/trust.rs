//! The trusted roots that are fetched: kept in a folder, refreshed in the background, put into the policy in force.
//!
//! No decision waits for a repository. What was verified last is kept, one file a root, and is verified again from the
//! pinned root whenever it is read; it counts until its metadata expires or it has not been confirmed for too long.

pub mod fetch;
pub mod kept;
pub mod update;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::gate::policy::{FetchedRoot, Policy, RootSource};
use crate::rounds::{self, chain};
use crate::telemetry::{Metrics, TrustRootTimes};
use fetch::Origin;
use kept::Kept;

/// Publishers of sigstore sign their timestamps anew every few days.
pub const INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);
/// Shortest time between two rounds: public repositories are shared by everybody.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);

/// `[trust]`: where roots are kept, and how often their repositories are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustConfig {
    /// The folder.
    pub dir: PathBuf,
    /// Pause between two rounds that went well.
    pub interval: Duration,
}

/// The policy with the roots that are kept for it. One that is not there, or damaged, vouches for nobody until it is
/// fetched; that is told in the log, and in every refusal that comes of it.
pub fn put_in(policy: &Policy, dir: &Path) -> Policy {
    policy.with_roots(kept_roots(policy.root_sources(), dir))
}

fn kept_roots(sources: &[RootSource], dir: &Path) -> BTreeMap<String, FetchedRoot> {
    let mut roots = BTreeMap::new();
    for source in sources {
        match Kept::read(dir, source).and_then(|kept| kept.root(source)) {
            Ok(Some(root)) => {
                roots.insert(source.name.clone(), root);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(
                trust_root = source.name,
                error = chain(&error),
                "a kept trust root is not usable; it vouches for nobody until it is fetched again"
            ),
        }
    }
    roots
}

/// Refreshes the roots of whichever policy is in force.
pub(crate) struct Refresher {
    pub(crate) config: TrustConfig,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) clock: Clock,
    /// Told when another policy came into force, whose roots may be others.
    pub(crate) hurry: Arc<Notify>,
}

impl Refresher {
    /// Repeats [`Self::round`] until it is dropped; after each round in which the roots in force changed, `changed` is
    /// awaited.
    pub(crate) async fn run<F: Future<Output = ()>>(self, client: reqwest::Client, changed: impl Fn() -> F) {
        let mut failures = 0;
        loop {
            let before = self.policy.load().epoch().to_owned();
            let is_good = self.round(&client).await;
            failures = if is_good { 0 } else { failures + 1 };
            if self.policy.load().epoch() != before {
                changed().await;
            }
            tokio::select! {
                () = tokio::time::sleep(rounds::pause(self.config.interval, failures)) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// Asks each repository once, and puts what is kept then into force; `true` when nothing failed.
    pub(crate) async fn round(&self, client: &reqwest::Client) -> bool {
        let sources = self.policy.load().root_sources().to_vec();
        let mut is_good = true;
        for source in &sources {
            let name = source.name.as_str();
            let origin = match Origin::of(source, client.clone()) {
                Ok(Some(origin)) => origin,
                // Brought by hand.
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(trust_root = name, error = chain(&error), "trust root not refreshed");
                    is_good = false;
                    continue;
                }
            };
            match update::update_once(&self.config.dir, source, &origin, self.clock.now()).await {
                Ok(updated) => tracing::info!(
                    trust_root = name,
                    trust_root.digest = updated.digest,
                    trust_root.changed = updated.changed,
                    "trust root refreshed"
                ),
                Err(error) => {
                    tracing::warn!(trust_root = name, error = chain(&error), "trust root not refreshed");
                    is_good = false;
                }
            }
        }
        if !sources.is_empty() {
            self.take_up().await;
        }
        is_good
    }

    /// Reads what is kept, also what was brought by hand since.
    async fn take_up(&self) {
        let (policy, dir) = (self.policy.clone(), self.config.dir.clone());
        let read = move || {
            // Whoever puts another policy into force meanwhile has put its roots in.
            let current = policy.load_full();
            let with_roots = Arc::new(put_in(&current, &dir));
            policy.compare_and_swap(&current, with_roots);
        };
        if tokio::task::spawn_blocking(read).await.is_err() {
            tracing::error!("reading the kept trust roots failed");
        }
    }
}

/// Writes down how old each root in force is, and when it ends.
pub(crate) fn measure(policy: &Policy, metrics: &Metrics, now: i64) {
    let times = policy.root_sources().iter().map(|source| {
        let times = policy.roots().get(&source.name).map(|kept| TrustRootTimes {
            age_seconds: now.saturating_sub(kept.checked).max(0),
            left_seconds: kept.root.lease().map_or(0, |lease| lease.until.saturating_sub(now)),
        });
        (source.name.clone(), times)
    });
    metrics.trust_roots(times);
}

#[cfg(test)]
#[path = "../../keys/tests/mint/tuf.rs"]
#[allow(dead_code, reason = "shared with the tests of the client")]
pub(crate) mod mint;
#[cfg(test)]
mod tests;
