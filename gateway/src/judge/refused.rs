//! Candidates that were examined and do not count: of ten thousand junk signatures on one digest, each costs its
//! examination once, and not at every question.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use keys::verify::Examined;

/// Candidates remembered in all; when full, all are forgotten. With their reasons some ten megabytes at most.
const REFUSED_MAX: usize = 32_768;
/// Longest reason remembered, in bytes.
const REASON_BYTES_MAX: usize = 200;
/// How long a refusal that may depend on the time is believed, in seconds.
const PASSING_SECONDS: i64 = 600;

/// Refusals under one policy about one digest of one repository.
type Place = (String, String, String);

/// What was refused, by place and manifest. In memory only: after a start each is examined again.
#[derive(Debug, Default)]
pub(super) struct RefusedCandidates(Mutex<HashMap<Place, HashMap<Box<str>, Refusal>>>);

#[derive(Debug)]
struct Refusal {
    until: i64,
    reason: Box<str>,
}

/// What the candidates of one manifest came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    unsettled: bool,
    passing: bool,
    reason: String,
}

impl Outcome {
    /// Takes in what became of one candidate.
    pub(super) fn add(&mut self, examined: Examined) {
        match examined {
            Examined::Good | Examined::Not => self.unsettled = true,
            Examined::Refused { reason, lasting } => {
                self.passing |= !lasting;
                self.reason = reason;
            }
        }
    }

    /// Something of it could not be read, which may pass.
    pub(super) fn unreadable(&mut self, reason: &str) {
        self.passing = true;
        reason.clone_into(&mut self.reason);
    }
}

impl RefusedCandidates {
    /// Of these manifests those that are still to be examined, and for each other one the reason why it does not count;
    /// no reason: it holds no signature.
    pub(super) fn sift(
        &self,
        place: &Place,
        manifests: Vec<String>,
        now: i64,
    ) -> (Vec<String>, Vec<(String, String)>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.get(place) else { return (manifests, Vec::new()) };
        let (mut open, mut refused) = (Vec::new(), Vec::new());
        for manifest in manifests {
            match known.get(manifest.as_str()).filter(|refusal| now < refusal.until) {
                Some(refusal) => refused.push((manifest, refusal.reason.to_string())),
                None => open.push(manifest),
            }
        }
        (open, refused)
    }

    /// Remembers a manifest none of whose candidates counts. `until`: when a window of the policy next opens or ends.
    pub(super) fn remember(
        &self,
        place: &Place,
        manifest: String,
        outcome: &Outcome,
        now: i64,
        until: Option<i64>,
    ) {
        if outcome.unsettled {
            return;
        }
        let passing = outcome.passing.then(|| now.saturating_add(PASSING_SECONDS));
        let until = [until, passing].into_iter().flatten().min().unwrap_or(i64::MAX);
        let mut end = outcome.reason.len().min(REASON_BYTES_MAX);
        while !outcome.reason.is_char_boundary(end) {
            end -= 1;
        }
        let refusal = Refusal { until, reason: outcome.reason[..end].into() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.values().map(HashMap::len).sum::<usize>() >= REFUSED_MAX {
            all.clear();
        }
        all.entry(place.clone()).or_default().insert(manifest.into(), refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(policy: &str) -> Place {
        (policy.to_owned(), "app".to_owned(), "sha256:ab".to_owned())
    }

    fn refused(lasting: bool) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.add(Examined::Refused { reason: "no".to_owned(), lasting });
        outcome
    }

    #[test]
    fn a_refusal_is_remembered_for_its_place_and_its_time_only() {
        for (outcome, until, asked_at, known) in [
            (refused(true), None, i64::MAX - 1, true),
            (refused(true), Some(20), 19, true),
            (refused(true), Some(20), 20, false),
            (refused(false), None, 609, true),
            (refused(false), None, 610, false),
            (refused(false), Some(20), 20, false),
        ] {
            let candidates = RefusedCandidates::default();
            candidates.remember(&place("p"), "m".to_owned(), &outcome, 10, until);
            let (open, refused) =
                candidates.sift(&place("p"), vec!["m".to_owned(), "n".to_owned()], asked_at);
            assert_eq!(open.contains(&"m".to_owned()), !known, "{outcome:?} until {until:?} at {asked_at}");
            assert_eq!(refused.len(), usize::from(known));
            assert!(open.contains(&"n".to_owned()));
            assert_eq!(candidates.sift(&place("q"), vec!["m".to_owned()], asked_at).0.len(), 1);
        }
    }

    #[test]
    fn what_counts_or_was_not_examined_is_examined_again() {
        for examined in [Examined::Good, Examined::Not] {
            let mut outcome = refused(true);
            outcome.add(examined);
            let candidates = RefusedCandidates::default();
            candidates.remember(&place("p"), "m".to_owned(), &outcome, 10, None);
            assert_eq!(candidates.sift(&place("p"), vec!["m".to_owned()], 11).0.len(), 1);
        }
    }

    #[test]
    fn memory_is_bounded_and_a_long_reason_is_cut_at_a_letter() {
        let candidates = RefusedCandidates::default();
        let mut outcome = refused(true);
        outcome.reason = "ä".repeat(REASON_BYTES_MAX);
        for number in 0..=REFUSED_MAX {
            candidates.remember(&place("p"), number.to_string(), &outcome, 10, None);
        }
        let all = candidates.0.lock().unwrap();
        assert!(all.values().map(HashMap::len).sum::<usize>() <= REFUSED_MAX);
        assert_eq!(all[&place("p")].values().next().unwrap().reason.chars().count(), REASON_BYTES_MAX / 2);
    }
}
