//! Maven versions, as its `ComparableVersion` orders them (maven.apache.org/pom.html, "Version Order Specification").

use std::cmp::Ordering;

use super::{VersionError, compare_digits};

/// Every text has a place.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (a, b) = (tokens(&a), tokens(&b));
    // What is missing is a release where a qualifier could stand, and 0 where a number could.
    let pad = |other: &Token<'_>| {
        let number = other.is_number() && !other.hyphen;
        Token { hyphen: other.hyphen, text: if number { "0" } else { "" } }
    };
    for index in 0..a.len().max(b.len()) {
        let order = match (a.get(index), b.get(index)) {
            (Some(x), Some(y)) => x.compare(y),
            (Some(x), None) => x.compare(&pad(x)),
            (None, Some(y)) => pad(y).compare(y),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

/// A part with what stands before it. A change between digits and letters counts as a hyphen.
#[derive(Clone, Copy)]
struct Token<'v> {
    hyphen: bool,
    text: &'v str,
}

/// Qualifiers in their order; the empty one is a release.
const QUALIFIERS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];

impl<'v> Token<'v> {
    fn is_number(&self) -> bool {
        self.text.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
    }

    fn is_null(&self) -> bool {
        if self.is_number() { self.text.bytes().all(|byte| byte == b'0') } else { self.text.is_empty() }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self.is_number(), other.is_number()) {
            (true, true) => match (self.hyphen, other.hyphen) {
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
                _ => compare_digits(self.text, other.text),
            },
            // A qualifier is older than a number, whatever stands before them.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if self.hyphen != other.hyphen => self.hyphen.cmp(&other.hyphen),
            (false, false) => {
                let place = |text: &str| QUALIFIERS.iter().position(|known| *known == text);
                let (x, y) = (place(self.text), place(other.text));
                let unknown = QUALIFIERS.len();
                x.unwrap_or(unknown).cmp(&y.unwrap_or(unknown)).then_with(|| match x {
                    None => self.text.cmp(other.text),
                    Some(_) => Ordering::Equal,
                })
            }
        }
    }
}

fn tokens(version: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut start, mut hyphen) = (0, false);
    let mut push = |start: usize, end: usize, hyphen: bool, digit_follows: bool| {
        let text = &version[start..end];
        tokens.push(Token { hyphen, text: if text.is_empty() { "0" } else { alias(text, digit_follows) } });
    };
    let bytes = version.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(byte, b'.' | b'-') {
            push(start, at, hyphen, false);
            (start, hyphen) = (at + 1, *byte != b'.');
        } else if at > start && bytes[at - 1].is_ascii_digit() != byte.is_ascii_digit() {
            push(start, at, hyphen, byte.is_ascii_digit());
            (start, hyphen) = (at, true);
        }
    }
    push(start, bytes.len(), hyphen, false);
    trim(&mut tokens);
    tokens
}

/// Takes away what means nothing at the end, and before each hyphen.
fn trim(tokens: &mut Vec<Token<'_>>) {
    let mut at = tokens.len();
    while at > 0 {
        if tokens[at - 1].is_null() {
            tokens.remove(at - 1);
            at -= 1;
        } else {
            // On to the hyphen before this part.
            while at > 0 && !tokens[at - 1].hyphen {
                at -= 1;
            }
            at = at.saturating_sub(1);
        }
    }
}

fn alias(text: &str, digit_follows: bool) -> &str {
    match text {
        "a" if digit_follows => "alpha",
        "b" if digit_follows => "beta",
        "m" if digit_follows => "milestone",
        "cr" => "rc",
        "final" | "ga" | "release" => "",
        text => text,
    }
}
