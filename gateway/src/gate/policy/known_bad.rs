//! `scan.known-bad`: a file of digests of programs that no image may hold.

use std::sync::Arc;

use serde::Serialize;

use super::KeyFiles;
use super::reader::{Entry, Mistakes};

/// Digests of programs, sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KnownBad {
    /// The file, as the policy names it.
    pub file: String,
    #[serde(serialize_with = "count")]
    digests: Arc<[[u8; 32]]>,
}

impl KnownBad {
    /// Whether a SHA-256, in hex, is in the list.
    pub fn holds(&self, sha256: &str) -> bool {
        let mut digest = [0; 32];
        hex::decode_to_slice(sha256, &mut digest).is_ok() && self.digests.binary_search(&digest).is_ok()
    }

    /// How many digests there are.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Never: an empty list is a mistake.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

fn count<S: serde::Serializer>(digests: &Arc<[[u8; 32]]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&digests.len())
}

pub(super) fn parse(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<KnownBad> {
    let file = entry.line(mistakes)?;
    let bytes = match key_files.read(&file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let hint = "name a file of digests, relative to the policy file";
            mistakes.note(&entry.place, format!("`{file}` cannot be read: {error}"), hint);
            return None;
        }
    };
    match digests(&bytes) {
        Ok(digests) => Some(KnownBad { file, digests: digests.into() }),
        Err(problem) => {
            let hint =
                "write a SHA-256 in hexadecimal digits a line, as `sha256sum` does; `#` begins a comment";
            mistakes.note(&entry.place, format!("`{file}` {problem}"), hint);
            None
        }
    }
}

/// A digest a line, and whatever follows it after a space. A line that is none would be a program that is let through.
fn digests(bytes: &[u8]) -> Result<Vec<[u8; 32]>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is no text".to_owned())?;
    let mut digests = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let word = line.split(char::is_whitespace).next().unwrap_or_default();
        let mut digest = [0; 32];
        hex::decode_to_slice(word, &mut digest)
            .map_err(|_| format!("has no SHA-256 in line {}", number + 1))?;
        digests.push(digest);
    }
    if digests.is_empty() {
        return Err("holds no digest".to_owned());
    }
    digests.sort_unstable();
    digests.dedup();
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_digest_or_a_mistake() {
        let (one, two) = ("11".repeat(32), "AB".repeat(32));
        let cases = [
            (format!("# bad\n\n{one}  bin/x\n{two}\n{one}\n"), Ok(2)),
            (format!("{one}\n{}", &two[2..]), Err("line 2")),
            (format!("{one}\nbin/x {two}\n"), Err("line 2")),
            (String::new(), Err("no digest")),
            ("# nothing\n".to_owned(), Err("no digest")),
        ];
        for (text, expected) in cases {
            match (digests(text.as_bytes()), expected) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{text}"),
                (Err(found), Err(problem)) => assert!(found.contains(problem), "{found}"),
                (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
            }
        }
        assert!(digests(b"\xff").is_err());
        let list = KnownBad { file: String::new(), digests: digests(two.as_bytes()).unwrap().into() };
        assert!(list.holds(&"ab".repeat(32)));
        assert!(!list.holds(&one) && !list.holds("") && !list.holds("zz"));
    }
}
