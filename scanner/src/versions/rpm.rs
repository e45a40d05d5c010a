//! RPM versions: `epoch:version-release`, as rpm's `rpmvercmp` orders them.

use std::cmp::Ordering;

use super::{VersionError, compare_digits, split_digits};

/// A missing epoch is epoch 0; a missing release is older than any. Every text has a place, as in rpm itself.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (Version::parse(a), Version::parse(b));
    let releases = || match (a.release, b.release) {
        (Some(a), Some(b)) => compare_part(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    Ok(compare_part(a.epoch, b.epoch).then_with(|| compare_part(a.version, b.version)).then_with(releases))
}

struct Version<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        Self { epoch, version, release }
    }
}

/// Runs of digits and of letters in turn; what stands between them only separates. `~` is older than the end, `^` newer
/// than the end but older than anything else.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    let separator = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
    loop {
        (a, b) = (a.trim_start_matches(separator), b.trim_start_matches(separator));
        let marks = (a.as_bytes().first(), b.as_bytes().first());
        match marks {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(_), Some(_)) => {}
        }
        let ((digits_a, rest_a), (digits_b, rest_b)) = (split_digits(a), split_digits(b));
        let order = match (digits_a.is_empty(), digits_b.is_empty()) {
            (false, false) => {
                (a, b) = (rest_a, rest_b);
                compare_digits(digits_a, digits_b)
            }
            (true, true) => {
                let ((letters_a, rest_a), (letters_b, rest_b)) = (split_letters(a), split_letters(b));
                (a, b) = (rest_a, rest_b);
                letters_a.cmp(letters_b)
            }
            // A number is newer than a word.
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn split_letters(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len()))
}
