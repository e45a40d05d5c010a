//! Rounds of background work: how long to wait for the next one, and how to tell of a failure in one line.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// First pause after a round that failed; it doubles with each such round, up to the interval.
const RETRY_FIRST: Duration = Duration::from_secs(60);

/// The pause after a round: the interval while all is well, less and growing after `failures` in a row. It varies by up to
/// a quarter, so that many gateways do not ask at the same second.
pub(crate) fn pause(interval: Duration, failures: u32) -> Duration {
    varied(interval, failures, jitter())
}

/// `jitter` is in 0..=1.
fn varied(interval: Duration, failures: u32, jitter: f64) -> Duration {
    let base = match failures {
        0 => interval,
        failures => RETRY_FIRST.saturating_mul(1 << (failures - 1).min(16)).min(interval),
    };
    base.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 4.0)
}

/// The standard library's hasher starts from the system's randomness; more is not needed to spread requests.
fn jitter() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_each_time_but_never_longer_than_the_interval() {
        let interval = Duration::from_secs(3_600);
        for (failures, seconds) in
            [(0, 3_600), (1, 60), (2, 120), (3, 240), (6, 1_920), (7, 3_600), (4_000, 3_600)]
        {
            assert_eq!(varied(interval, failures, 1.0), Duration::from_secs(seconds), "{failures} failures");
            assert_eq!(varied(interval, failures, 0.0), Duration::from_secs(seconds).mul_f64(0.75));
        }
    }

    #[test]
    fn jitter_is_a_share() {
        assert!((0.0..=1.0).contains(&jitter()));
    }
}
