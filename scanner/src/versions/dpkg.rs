//! Debian versions: `epoch:upstream-revision` (Debian Policy §5.6.12).

use std::cmp::Ordering;

use super::{VersionError, compare_digits, malformed, split_digits};

pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (Version::parse(a)?, Version::parse(b)?);
    Ok(compare_digits(a.epoch, b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision)))
}

struct Version<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Version<'a> {
    fn parse(version: &'a str) -> Result<Self, VersionError> {
        let text = version.trim_matches([' ', '\t']);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".+-:~_".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(malformed(version, "only letters, digits and `.+-:~_` may stand in it"));
        }
        // A missing epoch is epoch 0; a missing revision sorts like revision `0`, since an empty part equals `0`.
        let (epoch, rest) = text.split_once(':').unwrap_or(("", text));
        if !epoch.bytes().all(|byte| byte.is_ascii_digit()) || (rest.len() != text.len() && epoch.is_empty())
        {
            return Err(malformed(version, "the epoch is no number"));
        }
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        if upstream.is_empty() {
            return Err(malformed(version, "nothing stands between epoch and revision"));
        }
        Ok(Self { epoch, upstream, revision })
    }
}

/// Runs of non-digits and of digits in turn, from the left.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_text(a);
        let (text_b, rest_b) = split_text(b);
        let (digits_a, rest_a) = split_digits(rest_a);
        let (digits_b, rest_b) = split_digits(rest_b);
        let order = compare_text(text_a, text_b).then_with(|| compare_digits(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn split_text(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// `~` before the end, the end before letters, letters before all else.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(other) => i32::from(other) + 256,
    };
    let (mut a, mut b) = (a.bytes(), b.bytes());
    loop {
        let (x, y) = (a.next(), b.next());
        let order = weight(x).cmp(&weight(y));
        if order.is_ne() || (x.is_none() && y.is_none()) {
            return order;
        }
    }
}
