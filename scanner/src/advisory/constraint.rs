//! Spans of versions as scanners' databases write them: `>= 1.0, < 1.2 || >= 2.0`.

use super::Range;
use super::range::{self, Event};
use crate::versions::Scheme;

/// What such a text holds. What is not understood holds everything.
pub(super) fn spans(scheme: Scheme, text: &str) -> Vec<Range<String>> {
    let read = |text: &str| bounds(text).map(|events| range::from_events(scheme, with_start(events)));
    text.split("||").flat_map(|text| read(text).unwrap_or_else(|| vec![range::everything()])).collect()
}

fn with_start(mut events: Vec<Event>) -> Vec<Event> {
    if !events.iter().any(|event| matches!(event, Event::Introduced(_))) {
        events.push(Event::Introduced("0".to_owned()));
    }
    events
}

/// `>= 2.0.0, < 2.9.10`, `>=1.0 <2.0`, `[2.9.0,2.9.10.7)`, `~> 4.1.11`; `None` for any other operator.
pub(super) fn bounds(text: &str) -> Option<Vec<Event>> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix(['[', '(']) {
        let (low, high) = inner.strip_suffix([']', ')'])?.split_once(',')?;
        let (low, high) = (low.trim(), high.trim());
        let mut events = vec![Event::Introduced(if low.is_empty() { "0" } else { low }.to_owned())];
        if !high.is_empty() {
            let last = text.ends_with(']');
            events.push(if last {
                Event::LastAffected(high.to_owned())
            } else {
                Event::Fixed(high.to_owned())
            });
        }
        return Some(events);
    }
    let mut events = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let operator = rest.len() - rest.trim_start_matches(['<', '>', '=', '~', '^', '!']).len();
        let (operator, after) = rest.split_at(operator);
        let after = after.trim_start();
        let end = after.find([',', ' ', '<', '>']).unwrap_or(after.len());
        let (version, next) = after.split_at(end);
        let version = version.trim_start_matches('v');
        if version.is_empty() {
            return None;
        }
        match operator {
            "<" => events.push(Event::Fixed(version.to_owned())),
            "<=" => events.push(Event::LastAffected(version.to_owned())),
            // An open bound would need the version's successor: affecting it too is the careful reading.
            ">=" | ">" => events.push(Event::Introduced(version.to_owned())),
            "=" | "==" => {
                events.push(Event::Introduced(version.to_owned()));
                events.push(Event::LastAffected(version.to_owned()));
            }
            "~>" => {
                events.push(Event::Introduced(version.to_owned()));
                events.push(Event::Fixed(next_of(version)?));
            }
            _ => return None,
        }
        rest = next.trim_start_matches([',', ' ']);
    }
    (!events.is_empty()).then_some(events)
}

/// `4.2` after `~> 4.1.11`: the last part may grow.
fn next_of(version: &str) -> Option<String> {
    let (kept, _) = version.rsplit_once('.')?;
    let (before, last) = kept.rsplit_once('.').map_or(("", kept), |(before, last)| (before, last));
    let next = last.parse::<u64>().ok()?.checked_add(1)?;
    Some(if before.is_empty() { next.to_string() } else { format!("{before}.{next}") })
}
