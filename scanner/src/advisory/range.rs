//! Turns what feeds write about affected versions into spans with orderable bounds.

use super::{Range, RangeEnd};
use crate::versions::{Scheme, compare};

/// One event of an OSV range (ossf.github.io/osv-schema, `affected[].ranges[].events`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Fixed(String),
    Introduced(String),
    LastAffected(String),
}

impl Event {
    fn version(&self) -> &str {
        match self {
            Self::Fixed(version) | Self::Introduced(version) | Self::LastAffected(version) => version,
        }
    }
}

/// Spans from events in any order. A bound that cannot be ordered is dropped in the direction that affects more
/// versions: an unknown start becomes "from the beginning", an unknown end becomes "not fixed".
pub(super) fn from_events(scheme: Scheme, events: Vec<Event>) -> Vec<Range<String>> {
    let mut events: Vec<Event> = events
        .into_iter()
        .filter_map(|event| match event {
            // OSV writes "from the beginning" as version 0.
            Event::Introduced(version) if version == "0" || !orderable(scheme, &version) => {
                Some(Event::Introduced(String::new()))
            }
            event => orderable(scheme, event.version()).then_some(event),
        })
        .collect();
    events.sort_by(|a, b| match (a.version(), b.version()) {
        ("", "") => std::cmp::Ordering::Equal,
        ("", _) => std::cmp::Ordering::Less,
        (_, "") => std::cmp::Ordering::Greater,
        (a, b) => compare(scheme, a, b).unwrap_or(std::cmp::Ordering::Equal),
    });
    let mut ranges = Vec::new();
    let mut open: Option<Option<String>> = None;
    for event in events {
        match event {
            Event::Introduced(version) => {
                open.get_or_insert((!version.is_empty()).then_some(version));
            }
            Event::Fixed(version) => {
                ranges.extend(
                    open.take().map(|introduced| Range { introduced, end: RangeEnd::Fixed(version) }),
                );
            }
            Event::LastAffected(version) => {
                ranges.extend(
                    open.take().map(|introduced| Range { introduced, end: RangeEnd::LastAffected(version) }),
                );
            }
        }
    }
    ranges.extend(open.map(|introduced| Range { introduced, end: RangeEnd::Open }));
    ranges
}

/// Everything before `fixed`.
pub(super) fn before(scheme: Scheme, fixed: &str) -> Range<String> {
    let end = if orderable(scheme, fixed) { RangeEnd::Fixed(fixed.to_owned()) } else { RangeEnd::Open };
    Range { introduced: None, end }
}

/// Every version there is.
pub(super) fn everything() -> Range<String> {
    Range { introduced: None, end: RangeEnd::Open }
}

fn orderable(scheme: Scheme, version: &str) -> bool {
    compare(scheme, version, version).is_ok()
}

/// Where a version stands, seen from a span of affected versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Older than the first affected version.
    Before,
    /// Affected.
    Inside,
    /// At the fixed version, or past the last affected one.
    Past,
}

impl<Text: AsRef<str>> Range<Text> {
    /// Does the span hold this version?
    ///
    /// # Errors
    ///
    /// When the version has no place in the order.
    pub fn contains(&self, scheme: Scheme, version: &str) -> Result<bool, crate::versions::VersionError> {
        self.place(scheme, version).map(|place| place == Place::Inside)
    }

    /// Before the span, in it or past it?
    ///
    /// # Errors
    ///
    /// As [`Range::contains`].
    pub fn place(&self, scheme: Scheme, version: &str) -> Result<Place, crate::versions::VersionError> {
        if let Some(introduced) = &self.introduced
            && compare(scheme, version, introduced.as_ref())?.is_lt()
        {
            return Ok(Place::Before);
        }
        let inside = match &self.end {
            RangeEnd::Fixed(fixed) => compare(scheme, version, fixed.as_ref())?.is_lt(),
            RangeEnd::LastAffected(last) => compare(scheme, version, last.as_ref())?.is_le(),
            RangeEnd::Open => compare(scheme, version, version).map(|_| true)?,
        };
        Ok(if inside { Place::Inside } else { Place::Past })
    }
}
