//! Reads a TOML document key by key and collects every mistake, with its line, instead of stopping at the first.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// One mistake in a policy file: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// `rule[0].scan.deny[1]`, counted from 0; empty for the whole file.
    pub key: String,
    /// What is wrong, with the value seen.
    pub problem: String,
    /// What would be right.
    pub hint: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: ", self.line)?;
        if !self.key.is_empty() {
            write!(formatter, "`{}`: ", self.key)?;
        }
        formatter.write_str(&self.problem)?;
        if !self.hint.is_empty() {
            write!(formatter, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// The mistakes found so far. A reader that returns `None` has always noted one.
pub(super) struct Mistakes<'a> {
    text: &'a str,
    found: Vec<Mistake>,
}

impl<'a> Mistakes<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(super) fn note(&mut self, at: &Place, problem: impl Into<String>, hint: impl Into<String>) {
        let line = line_of(self.text, at.span.start);
        self.found.push(Mistake { line, key: at.key.clone(), problem: problem.into(), hint: hint.into() });
    }

    pub(super) fn into_sorted(mut self) -> Vec<Mistake> {
        self.found.sort();
        self.found.dedup();
        self.found
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Where in the document something stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: String,
    span: Range<usize>,
}

impl Place {
    pub(super) fn whole_file() -> Self {
        Self { key: String::new(), span: 0..0 }
    }

    pub(super) fn at(span: Option<Range<usize>>) -> Self {
        Self { key: String::new(), span: span.unwrap_or(0..0) }
    }
}

/// A table whose keys are taken one by one; [`Section::finish`] notes those that nobody took.
pub(super) struct Section<'a> {
    pub(super) place: Place,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    unsupported: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(place: Place, table: &'a DeTable<'a>) -> Self {
        Self { place, table, known: Vec::new(), unsupported: Vec::new() }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        self.find(key)
    }

    /// Notes a key that a later version will know: to ignore it would promise what is not done.
    pub(super) fn refuse(
        &mut self,
        key: &'static str,
        problem: &str,
        hint: &str,
        mistakes: &mut Mistakes<'_>,
    ) {
        self.unsupported.push(key);
        if let Some(entry) = self.find(key) {
            mistakes.note(&entry.place, problem, hint);
        }
    }

    fn find(&self, key: &'static str) -> Option<Entry<'a>> {
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Entry { place: self.child(key, name.span()), value: value.get_ref() })
    }

    pub(super) fn require(
        &mut self,
        key: &'static str,
        hint: &str,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Entry<'a>> {
        let entry = self.take(key);
        if entry.is_none() {
            mistakes.note(&self.place, format!("`{key}` is missing"), hint);
        }
        entry
    }

    /// All entries, for tables whose keys the operator chooses.
    pub(super) fn entries(&self) -> Vec<(&'a str, Entry<'a>)> {
        let entry = |name: &str, span, value| Entry { place: self.child(name, span), value };
        let pairs = self.table.iter();
        pairs
            .map(|(name, value)| {
                (name.get_ref().as_ref(), entry(name.get_ref(), name.span(), value.get_ref()))
            })
            .collect()
    }

    pub(super) fn finish(self, mistakes: &mut Mistakes<'_>) {
        for (name, _) in self.table.iter() {
            let key: &Cow<'_, str> = name.get_ref();
            if !self.known.contains(&key.as_ref()) && !self.unsupported.contains(&key.as_ref()) {
                let place = self.child(key, name.span());
                mistakes.note(&place, "unknown key", format!("known here: {}", list(&self.known)));
            }
        }
    }

    fn child(&self, key: &str, span: Range<usize>) -> Place {
        let parent = &self.place.key;
        Place { key: if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }, span }
    }
}

/// One value and where it stands.
pub(super) struct Entry<'a> {
    pub(super) place: Place,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn text(&self, mistakes: &mut Mistakes<'_>) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a text in quotes", mistakes);
        }
        text
    }

    /// A text of 1 to 1000 characters without control characters: it will be printed in other people's terminals.
    pub(super) fn line(&self, mistakes: &mut Mistakes<'_>) -> Option<String> {
        let text = self.text(mistakes)?.trim();
        if text.is_empty() || text.chars().count() > 1000 || text.chars().any(char::is_control) {
            mistakes.note(&self.place, "must be one line of 1 to 1000 characters", "write a short text");
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn truth(&self, mistakes: &mut Mistakes<'_>) -> Option<bool> {
        let truth = self.value.as_bool();
        if truth.is_none() {
            self.wrong_type("`true` or `false`", mistakes);
        }
        truth
    }

    pub(super) fn count(&self, mistakes: &mut Mistakes<'_>) -> Option<usize> {
        let DeValue::Integer(number) = self.value else {
            self.wrong_type("a whole number", mistakes);
            return None;
        };
        let parsed = usize::from_str_radix(number.as_str(), number.radix()).ok();
        if parsed.is_none() {
            mistakes.note(
                &self.place,
                format!("`{number}` is out of range"),
                "write a whole number, 0 or more",
            );
        }
        parsed
    }

    pub(super) fn list(&self, mistakes: &mut Mistakes<'_>) -> Option<Vec<Entry<'a>>> {
        let Some(items) = self.value.as_array() else {
            self.wrong_type("a list in brackets", mistakes);
            return None;
        };
        let entry = |(index, item): (usize, &'a toml::Spanned<DeValue<'a>>)| Entry {
            place: Place { key: format!("{}[{index}]", self.place.key), span: item.span() },
            value: item.get_ref(),
        };
        Some(items.iter().enumerate().map(entry).collect())
    }

    pub(super) fn section(&self, mistakes: &mut Mistakes<'_>) -> Option<Section<'a>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type("a table in braces", mistakes);
            return None;
        };
        Some(Section::new(self.place.clone(), table))
    }

    pub(super) fn wrong_type(&self, expected: &str, mistakes: &mut Mistakes<'_>) {
        let found = self.value.type_str();
        mistakes.note(&self.place, format!("expected {expected}, found a value of type {found}"), "");
    }

    /// One word of a closed list.
    pub(super) fn word<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        mistakes: &mut Mistakes<'_>,
    ) -> Option<T> {
        let text = self.text(mistakes)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            mistakes.note(
                &self.place,
                format!("`{text}` is not a word known here"),
                format!("use {}", list(&known)),
            );
        }
        found
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
