//! Credentials in files: a keyword search over all bytes, then one rule's pattern around each hit.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Span, packed};
use regex::bytes::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

use crate::detectors::{Detected, Detector, Window};
use crate::layer::Entry;

mod judge;
mod pem;
mod rules;

use rules::{RULES, Rule, Shape};

/// Reports credentials by rule, by the SHA-256 of their value and by its first characters; the value is not kept.
///
/// Binary files are searched too: credentials are compiled in. Files that start with a UTF-16 byte order mark are seen
/// as their low bytes. Compressed files inside a layer are not opened.
pub struct Secrets;

impl Detector for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn version(&self) -> u32 {
        1
    }

    fn inspect(&self, entry: &Entry<'_>, window: &Window<'_>, found: &mut Vec<Detected>) {
        if window.bytes.is_empty() {
            return;
        }
        let engine = &*ENGINE;
        engine.by_keyword(entry.path, window, found);
        if window.first {
            engine.by_file_name(entry.path, window.bytes, found);
        }
    }
}

/// Searches a text that is no file: an environment variable, a build instruction.
pub(crate) fn search(text: &[u8]) -> Vec<Detected> {
    let mut found = Vec::new();
    ENGINE.by_keyword(b"", &Window { bytes: text, fresh: 0..text.len(), first: true, offset: 0 }, &mut found);
    found
}

/// Whether a value that its name calls a credential can be one: a placeholder or a word cannot.
pub(crate) fn looks_random(value: &[u8]) -> bool {
    judge::password(value) && judge::random(value)
}

/// A finding without its value.
pub(crate) fn finding(rule: &str, value: &[u8]) -> Detected {
    let preview: String = String::from_utf8_lossy(value).chars().take(PREVIEW_CHARACTERS).collect();
    Detected::Secret {
        rule: rule.to_owned(),
        value_sha256: hex::encode(Sha256::digest(value)),
        preview: format!("{preview}…"),
    }
}

const PREVIEW_CHARACTERS: usize = 6;

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

struct Engine {
    keywords: Keywords,
    /// Per keyword, the rule it belongs to and its length.
    rule_of_keyword: Vec<(usize, usize)>,
    keyword_bytes_max: usize,
    patterns: Vec<Option<Regex>>,
}

/// The vector search is three times as fast but does not exist on every processor.
enum Keywords {
    Vector(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Keywords {
    fn new(keywords: &[&str]) -> Self {
        match packed::Config::new().builder().extend(keywords).build() {
            Some(searcher) => Self::Vector(searcher),
            None => Self::Automaton(AhoCorasick::new(keywords).expect("a few short keywords")),
        }
    }

    /// The first keyword that begins in `bytes[from..]`: which, and where.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let span = Span { start: from, end: bytes.len() };
        let hit = match self {
            Self::Vector(searcher) => searcher.find_in(bytes, span)?,
            Self::Automaton(automaton) => automaton.find(aho_corasick::Input::new(bytes).span(span))?,
        };
        Some((hit.pattern().as_usize(), hit.start()))
    }
}

impl Engine {
    fn new() -> Self {
        let keywords: Vec<(usize, &str)> = RULES
            .iter()
            .enumerate()
            .flat_map(|(number, rule)| rule.keywords.iter().map(move |keyword| (number, *keyword)))
            .collect();
        let texts: Vec<&str> = keywords.iter().map(|(_, keyword)| *keyword).collect();
        let pattern = |rule: &Rule| match rule.shape {
            Shape::Pattern { pattern, .. } => {
                Some(RegexBuilder::new(pattern).unicode(false).build().expect("a test builds each pattern"))
            }
            Shape::Pem => None,
        };
        Self {
            keywords: Keywords::new(&texts),
            keyword_bytes_max: texts.iter().map(|text| text.len()).max().unwrap_or(0),
            rule_of_keyword: keywords.iter().map(|(rule, keyword)| (*rule, keyword.len())).collect(),
            patterns: RULES.iter().map(pattern).collect(),
        }
    }

    fn by_keyword(&self, path: &[u8], window: &Window<'_>, found: &mut Vec<Detected>) {
        let end = window.bytes.len().min(window.fresh.end + self.keyword_bytes_max);
        let bytes = &window.bytes[..end];
        let mut from = window.fresh.start;
        while let Some((keyword, at)) = self.keywords.find(bytes, from) {
            if at >= window.fresh.end {
                break;
            }
            from = at + 1;
            let (rule, length) = self.rule_of_keyword[keyword];
            if matches!(RULES[rule].shape, Shape::Pem) && is_library(path) {
                continue;
            }
            self.around_hit(rule, window.bytes, at..at + length, found);
        }
    }

    /// Looks at as many bytes around the hit as the rule asks for, never more, so that the window's bounds do not
    /// matter.
    fn around_hit(
        &self,
        number: usize,
        bytes: &[u8],
        hit: std::ops::Range<usize>,
        found: &mut Vec<Detected>,
    ) {
        let rule = &RULES[number];
        let start = hit.start.saturating_sub(rule.before_bytes());
        let end = bytes.len().min(hit.end + rule.after_bytes());
        let around = &bytes[start..end];
        match (&rule.shape, &self.patterns[number]) {
            (Shape::Pattern { judge, everywhere, .. }, Some(pattern)) => {
                for captures in pattern.captures_iter(around) {
                    let (Some(whole), Some(value)) = (captures.get(0), captures.get(1)) else { continue };
                    let on_hit = (start + whole.start()..start + whole.end()).contains(&hit.start);
                    if (*everywhere || on_hit) && judge(value.as_bytes()) {
                        found.push(finding(rule.name, value.as_bytes()));
                    }
                }
            }
            _ => found.extend(pem::private_key(around, hit.start - start)),
        }
    }

    fn by_file_name(&self, path: &[u8], bytes: &[u8], found: &mut Vec<Detected>) {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        for (rule, pattern) in RULES.iter().zip(&self.patterns) {
            let (Shape::Pattern { judge, .. }, Some(pattern)) = (&rule.shape, pattern) else { continue };
            if rule.files.iter().any(|file| file.as_bytes() == name) {
                let values = pattern.captures_iter(bytes).filter_map(|captures| captures.get(1));
                let values = values.map(|value| value.as_bytes()).filter(|value| judge(value));
                found.extend(values.map(|value| finding(rule.name, value)));
            }
        }
    }
}

/// Libraries: those for TLS carry private keys to test themselves with, which are no one's.
fn is_library(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    name.ends_with(b".so") || name.ends_with(b".a") || memchr::memmem::find(name, b".so.").is_some()
}

#[cfg(test)]
mod tests;
