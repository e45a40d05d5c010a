//! Python versions (PEP 440), by the `pep440_rs` crate.

use std::cmp::Ordering;
use std::str::FromStr;

use super::{VersionError, malformed};

/// Versions from before PEP 440 (`0.1-bulbasaur`) have no place in the order: today's `packaging` refuses them too, and
/// a guess could call a vulnerable package clean.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    Ok(parse(a)?.cmp(&parse(b)?))
}

fn parse(version: &str) -> Result<pep440_rs::Version, VersionError> {
    pep440_rs::Version::from_str(version).map_err(|_| malformed(version, "PEP 440 does not know this form"))
}
