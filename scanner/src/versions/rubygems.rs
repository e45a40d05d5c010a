//! RubyGems versions, as `Gem::Version` orders them.

use std::cmp::Ordering;

use super::{VersionError, compare_digits};

/// Runs of digits and of letters; a letter anywhere makes a pre-release. Every text has a place.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (a.replace('-', ".pre."), b.replace('-', ".pre."));
    let (a, b) = (segments(&a), segments(&b));
    for index in 0..a.len().max(b.len()) {
        let (x, y) = (a.get(index).copied().unwrap_or("0"), b.get(index).copied().unwrap_or("0"));
        let order = match (is_number(x), is_number(y)) {
            (true, true) => compare_digits(x, y),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => x.cmp(y),
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

fn is_number(segment: &str) -> bool {
    segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without the zeros that end the numbers before the first word, and those that end the rest.
fn segments(version: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let bytes = version.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_alphabetic());
        let kind = class(&bytes[at]);
        let end = bytes[at..].iter().position(|byte| class(byte) != kind).map_or(bytes.len(), |run| at + run);
        if kind != (false, false) {
            segments.push(&version[at..end]);
        }
        at = end;
    }
    let word = segments.iter().position(|segment| !is_number(segment)).unwrap_or(segments.len());
    let mut rest = segments.split_off(word);
    for part in [&mut segments, &mut rest] {
        while part.last().is_some_and(|segment| segment.bytes().all(|byte| byte == b'0')) {
            part.pop();
        }
    }
    segments.append(&mut rest);
    segments
}
