//! Composer versions, ordered as PHP's `version_compare` does.

use std::cmp::Ordering;

use super::{VersionError, compare_digits};

/// Every text has a place.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (parts(a), parts(b));
    for (x, y) in a.iter().zip(&b) {
        let order = match (is_number(x), is_number(y)) {
            (true, true) => compare_digits(x, y),
            _ => weight(x).cmp(&weight(y)),
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
    // What follows a version makes it newer if it is a number or a patch, older if it is a stage before the release.
    let beyond = |longer: &[&str], shorter: usize| {
        let order = |part: &&str| if is_number(part) { Ordering::Greater } else { weight(part).cmp(&NUMBER) };
        longer[shorter..].iter().map(order).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    Ok(match a.len().cmp(&b.len()) {
        Ordering::Equal => Ordering::Equal,
        Ordering::Greater => beyond(&a, b.len()),
        Ordering::Less => beyond(&b, a.len()).reverse(),
    })
}

const NUMBER: u8 = 5;

/// PHP's stages, by how they begin; a word that it does not know is older than all, and `#` stands for any number.
fn weight(part: &str) -> u8 {
    const STAGES: [(&str, u8); 8] =
        [("dev", 1), ("alpha", 2), ("a", 2), ("beta", 3), ("b", 3), ("RC", 4), ("rc", 4), ("p", 6)];
    if is_number(part) || part == "#" {
        return NUMBER;
    }
    STAGES.iter().find(|(stage, _)| part.starts_with(stage)).map_or(0, |(_, weight)| *weight)
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Runs of digits and of other characters, between `.`, `-`, `_` and `+`.
fn parts(version: &str) -> Vec<&str> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let mut parts = Vec::new();
    for word in version.split(['.', '-', '_', '+']) {
        let (mut start, bytes) = (0, word.as_bytes());
        for at in 1..bytes.len() {
            let boundary = bytes[at - 1].is_ascii_digit() != bytes[at].is_ascii_digit();
            if boundary && word.is_char_boundary(at) {
                parts.push(&word[start..at]);
                start = at;
            }
        }
        parts.push(&word[start..]);
    }
    parts
}
