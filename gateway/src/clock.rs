//! The one place that reads the time; everything else is handed a [`Clock`], or `now`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Cheap to clone; clones of a stopped clock move together.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Seconds since 1970-01-01 UTC, for clocks that move only when told.
    stopped: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { stopped: None }
    }

    /// A clock that stands at `now` (seconds since 1970-01-01 UTC) until [`Clock::advance`]: for tests and replay.
    pub fn stopped_at(now: i64) -> Self {
        Self { stopped: Some(Arc::new(AtomicI64::new(now))) }
    }

    /// Seconds since 1970-01-01 UTC. A machine whose clock stands before 1970 gets 0: every token and signature window
    /// is then closed, which is the safe side.
    pub fn now(&self) -> i64 {
        match &self.stopped {
            Some(now) => now.load(Ordering::Relaxed),
            None => system_seconds(),
        }
    }

    /// Moves a stopped clock by `seconds`; the machine's clock is not touched.
    pub fn advance(&self, seconds: i64) {
        if let Some(now) = &self.stopped {
            now.fetch_add(seconds, Ordering::Relaxed);
        }
    }
}

/// A moment for measuring how long something took; never compared with a date.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Time since `start`.
pub fn elapsed(start: Instant) -> Duration {
    instant().saturating_duration_since(start)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn system_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_when_told_and_its_clones_move_with_it() {
        let clock = Clock::stopped_at(100);
        let clone = clock.clone();
        clock.advance(5);
        assert_eq!(clone.now(), 105);
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(Clock::system().now() > 1_700_000_000);
    }
}
