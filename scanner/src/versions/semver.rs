//! Semantic versions (semver.org 2.0.0 §11) as the npm registry really has them.

use std::cmp::Ordering;

use super::{VersionError, compare_digits, malformed, split_digits};

pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (Version::parse(a)?, Version::parse(b)?);
    Ok(compare_numbers(&a.numbers, &b.numbers).then_with(|| compare_prerelease(a.prerelease, b.prerelease)))
}

struct Version<'a> {
    numbers: Vec<&'a str>,
    prerelease: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(version: &'a str) -> Result<Self, VersionError> {
        let text = version.trim();
        let text = text.strip_prefix(['v', 'V', '=']).unwrap_or(text).trim_start();
        // Build metadata does not order (§10).
        let text = text.split_once('+').map_or(text, |(version, _build)| version);
        let mut rest = text;
        let mut numbers = Vec::new();
        loop {
            let (digits, after) = split_digits(rest);
            if digits.is_empty() {
                break;
            }
            numbers.push(digits);
            rest = after;
            match after.strip_prefix('.') {
                // Off-spec: `1.0.0.beta.3` is a pre-release of `1.0.0`.
                Some(after) => rest = after,
                None => break,
            }
        }
        if numbers.is_empty() {
            return Err(malformed(version, "it does not start with a number"));
        }
        let prerelease = rest.strip_prefix('-').unwrap_or(rest);
        Ok(Self { numbers, prerelease: (!prerelease.is_empty()).then_some(prerelease) })
    }
}

/// A missing number is 0: `1.2` is `1.2.0`. Off-spec: a fourth number counts too.
fn compare_numbers(a: &[&str], b: &[&str]) -> Ordering {
    for index in 0..a.len().max(b.len()) {
        let order = compare_digits(a.get(index).unwrap_or(&"0"), b.get(index).unwrap_or(&"0"));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_prerelease(a: Option<&str>, b: Option<&str>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_none().cmp(&b.is_none());
    };
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => compare_identifier(x, y),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Numbers before words (§11.4.3); words by ASCII.
fn compare_identifier(a: &str, b: &str) -> Ordering {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (number(a), number(b)) {
        (true, true) => compare_digits(a, b),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}
