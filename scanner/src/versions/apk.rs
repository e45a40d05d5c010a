//! Alpine versions: `1.2.3a_rc1_p2~hash-r4`, as apk-tools orders them.

use std::cmp::Ordering;

use super::{VersionError, compare_digits, split_digits};

/// Suffixes that make a version older than the same version without them, oldest first.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
/// Suffixes that make it newer, oldest first.
const AFTER: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// Every text has a place: what apk-tools calls invalid is cut off where the grammar ends, and the cut is older than
/// the same version continued as the grammar wants.
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    let (a, b) = (Version::parse(a), Version::parse(b));
    Ok(compare_numbers(&a.numbers, &b.numbers)
        .then_with(|| a.letter.cmp(&b.letter))
        .then_with(|| compare_digits(a.letter_number, b.letter_number))
        .then_with(|| compare_suffixes(&a.suffixes, &b.suffixes))
        .then_with(|| a.commit.cmp(&b.commit))
        .then_with(|| compare_revision(a.revision, b.revision))
        .then_with(|| b.cut.cmp(&a.cut)))
}

struct Version<'a> {
    numbers: Vec<&'a str>,
    letter: Option<u8>,
    /// Off-grammar but ordered: `6.6.2p1`.
    letter_number: &'a str,
    suffixes: Vec<(Suffix, &'a str)>,
    /// `~` and a source revision, since apk-tools 3.
    commit: Option<&'a str>,
    revision: Option<&'a str>,
    /// Something follows that is not in the grammar.
    cut: bool,
}

/// Declared in the order in which they sort. The end of a version stands between the two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Before(usize),
    End,
    After(usize),
}

impl<'a> Version<'a> {
    fn parse(version: &'a str) -> Self {
        let mut rest = version;
        let mut numbers = Vec::new();
        loop {
            let (digits, after) = split_digits(rest);
            numbers.push(digits);
            rest = after;
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None => break,
            }
        }
        let letter = rest.bytes().next().filter(u8::is_ascii_lowercase);
        let mut letter_number = "";
        if letter.is_some() {
            (letter_number, rest) = split_digits(&rest[1..]);
        }
        let mut suffixes = Vec::new();
        while let Some((suffix, after)) = rest.strip_prefix('_').and_then(take_suffix) {
            let (number, after) = split_digits(after);
            suffixes.push((suffix, number));
            rest = after;
        }
        let mut commit = None;
        if let Some(after) = rest.strip_prefix('~') {
            let end = after.bytes().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(after.len());
            commit = Some(&after[..end]);
            rest = &after[end..];
        }
        let mut revision = None;
        if let Some(after) = rest.strip_prefix("-r") {
            let (digits, after) = split_digits(after);
            if !digits.is_empty() || after.is_empty() {
                revision = Some(digits);
                rest = after;
            }
        }
        Self { numbers, letter, letter_number, suffixes, commit, revision, cut: !rest.is_empty() }
    }
}

fn take_suffix(text: &str) -> Option<(Suffix, &str)> {
    let find = |names: &[&str]| {
        let index = names.iter().position(|name| text.starts_with(name))?;
        Some((index, &text[names[index].len()..]))
    };
    find(&BEFORE)
        .map(|(index, rest)| (Suffix::Before(index), rest))
        .or_else(|| find(&AFTER).map(|(index, rest)| (Suffix::After(index), rest)))
}

/// The first number counts by value; a later one with a leading zero counts as a decimal fraction, digit by digit. One
/// number more is newer, a dot without a number is older.
fn compare_numbers(a: &[&str], b: &[&str]) -> Ordering {
    let rank = |number: Option<&&str>| match number {
        Some(&"") => 0,
        None => 1,
        Some(_) => 2,
    };
    for index in 0..a.len().max(b.len()) {
        let (x, y) = (a.get(index), b.get(index));
        if index > 0 && rank(x) != rank(y) {
            return rank(x).cmp(&rank(y));
        }
        let (x, y) = (x.unwrap_or(&""), y.unwrap_or(&""));
        let fraction = index > 0 && (x.starts_with('0') || y.starts_with('0'));
        let order = if fraction { x.cmp(y) } else { compare_digits(x, y) };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_suffixes(a: &[(Suffix, &str)], b: &[(Suffix, &str)]) -> Ordering {
    let (mut a, mut b) = (a.iter(), b.iter());
    loop {
        let (x, y) = (a.next(), b.next());
        let (x_kind, x_number) = x.copied().unwrap_or((Suffix::End, ""));
        let (y_kind, y_number) = y.copied().unwrap_or((Suffix::End, ""));
        let order = x_kind.cmp(&y_kind).then_with(|| compare_digits(x_number, y_number));
        if order.is_ne() || (x.is_none() && y.is_none()) {
            return order;
        }
    }
}

/// No revision is older than revision 0; `-r` alone is revision 0.
fn compare_revision(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_digits(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}
