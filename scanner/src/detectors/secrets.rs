//! Credentials in files: a keyword search over all bytes, then one rule's pattern around each hit.

use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

use crate::detectors::{Detected, Detector, Window};
use crate::layer::Entry;

mod judge;
mod keywords;
mod pem;
mod rules;

use keywords::{Keywords, Standing};
use rules::{Rule, Shape};

/// Reports credentials by rule, by the SHA-256 of their value and by its first characters; the value is not kept.
///
/// Binary files are searched too: credentials are compiled in. Files that start with a UTF-16 byte order mark are seen
/// as their low bytes; the walk shows it the members of packed archives too, one level deep.
pub struct Secrets;

impl Detector for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn version(&self) -> u32 {
        3
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
    judge::chosen_by_chance(value)
}

/// A finding without its value.
pub(crate) fn finding(rule: &str, value: &[u8]) -> Detected {
    let preview: String = String::from_utf8_lossy(value).chars().take(PREVIEW_CHARACTERS).collect();
    Detected::Secret {
        rule: rule.to_owned(),
        value_sha256: hex::encode(Sha256::digest(value)),
        preview: format!("{preview}…"),
        inside: None,
    }
}

const PREVIEW_CHARACTERS: usize = 6;

/// A rule for a whole format looks this far behind its keyword, less what a match may be long.
const REPEAT_BYTES: usize = 4 << 10;

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

struct Engine {
    rules: Vec<Rule>,
    keywords: Keywords,
    /// Per keyword, the rule it belongs to and its length.
    rule_of_keyword: Vec<(usize, usize)>,
    /// Names of files, and the rule that looks at them.
    files: Vec<(&'static [u8], usize)>,
    /// Per rule; built when a keyword is first met, for most never are.
    patterns: Vec<OnceLock<Regex>>,
    /// Per rule; see [`Rule::begins_with_keyword`].
    anchored: Vec<bool>,
}

impl Engine {
    fn new() -> Self {
        let rules = rules::all();
        let (mut words, mut rule_of_keyword, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (number, rule) in rules.iter().enumerate() {
            // Rules for a file's name alone have none.
            let standing =
                if rule.keywords().next().is_some() { rule.standing() } else { Standing::Anywhere };
            for word in rule.keywords() {
                rule_of_keyword.push((number, word.len()));
                words.push((word, standing));
            }
            files.extend(rule.files.iter().map(|file| (file.as_bytes(), number)));
        }
        let patterns = rules.iter().map(|_| OnceLock::new()).collect();
        let anchored = rules.iter().map(Rule::begins_with_keyword).collect();
        Self { keywords: Keywords::new(&words), rule_of_keyword, files, patterns, anchored, rules }
    }

    /// `None` for private keys, which have no pattern.
    fn pattern(&self, number: usize) -> Option<&Regex> {
        let text = self.rules[number].pattern()?;
        let build = || RegexBuilder::new(&text).unicode(false).build().expect("a test builds each pattern");
        Some(self.patterns[number].get_or_init(build))
    }

    fn by_keyword(&self, path: &[u8], window: &Window<'_>, found: &mut Vec<Detected>) {
        let mut last = None;
        let mut covered = None;
        self.keywords.find(window.bytes, window.fresh.clone(), |keyword, at| {
            let (rule, length) = self.rule_of_keyword[keyword];
            let hit = at..at + length;
            if matches!(self.rules[rule].shape, Shape::Pem) && is_library(path) {
                return;
            }
            // One match of a format covers the hits behind it but the last, which sees furthest.
            let is_covered = self.rules[rule].everywhere()
                && last.is_some_and(|(known, before): (usize, usize)| {
                    known == rule && at < before + REPEAT_BYTES
                });
            if is_covered {
                covered = Some((rule, hit));
                return;
            }
            if let Some((rule, hit)) = covered.take() {
                self.around_hit(rule, window.bytes, hit, found);
            }
            last = Some((rule, at));
            self.around_hit(rule, window.bytes, hit, found);
        });
        if let Some((rule, hit)) = covered {
            self.around_hit(rule, window.bytes, hit, found);
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
        let rule = &self.rules[number];
        let start = hit.start.saturating_sub(rule.before_bytes());
        let end = bytes.len().min(hit.end + rule.after_bytes());
        let around = &bytes[start..end];
        if self.anchored[number] {
            self.at_hit(number, bytes, hit.start..end, found);
            return;
        }
        let Some(pattern) = self.pattern(number) else {
            found.extend(pem::private_key(around, hit.start - start));
            return;
        };
        for captures in pattern.captures_iter(around) {
            let (Some(whole), Some(value)) = (captures.get(0), captures.get(1)) else { continue };
            let on_hit = (start + whole.start()..start + whole.end()).contains(&hit.start);
            if (rule.everywhere() || on_hit) && rule.judge(value.as_bytes()) {
                found.push(finding(rule.name, value.as_bytes()));
            }
        }
    }

    /// A token that begins with its keyword, and not in the middle of a word.
    fn at_hit(&self, number: usize, bytes: &[u8], place: std::ops::Range<usize>, found: &mut Vec<Detected>) {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if place.start.checked_sub(1).is_some_and(|before| is_word(&bytes[before])) {
            return;
        }
        let captures = self.pattern(number).and_then(|pattern| pattern.captures(&bytes[place]));
        if let Some(value) = captures.and_then(|captures| captures.get(1))
            && self.rules[number].judge(value.as_bytes())
        {
            found.push(finding(self.rules[number].name, value.as_bytes()));
        }
    }

    /// What a keyword has told already is not told again under a weaker name.
    fn by_file_name(&self, path: &[u8], bytes: &[u8], found: &mut Vec<Detected>) {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        for (_, number) in self.files.iter().filter(|(file, _)| *file == name) {
            let (rule, Some(pattern)) = (&self.rules[*number], self.pattern(*number)) else { continue };
            let values = pattern.captures_iter(bytes).filter_map(|captures| captures.get(1));
            for value in values.map(|value| value.as_bytes()).filter(|value| rule.judge(value)) {
                let weaker = finding(rule.name, value);
                if !found.iter().any(|stronger| stronger.same_value(&weaker)) {
                    found.push(weaker);
                }
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
