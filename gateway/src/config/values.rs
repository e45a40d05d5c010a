//! Reads keys one by one from environment, file or default, and notes every mistake on the way.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::keys::{self, KEYS, Key, Kind};
use super::mistakes::{ConfigErrors, Mistake};
use super::{Effective, Origin};

const COUNT_MAX: usize = 1_000_000;
/// Longest time that makes sense anywhere, so that sums of times never overflow.
const DURATION_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A configuration being read.
pub(super) struct Values<'a> {
    file: toml::Table,
    folder: &'a Path,
    environment: &'a Environment,
    effective: Vec<Effective>,
    mistakes: Vec<Mistake>,
}

/// A value as found, before its kind is known to be right.
enum Found {
    List(Vec<String>),
    Scalar(String),
}

impl<'a> Values<'a> {
    pub(super) fn new(text: &str, folder: &'a Path, environment: &'a Environment) -> Self {
        let mut values = Self {
            file: toml::Table::new(),
            folder,
            environment,
            effective: Vec::new(),
            mistakes: Vec::new(),
        };
        match text.parse::<toml::Table>() {
            Ok(table) => values.file = table,
            Err(error) => {
                let line = error.span().map_or(1, |span| {
                    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
                });
                values.note(&format!("line {line}"), error.message().to_owned(), "TOML");
            }
        }
        values.note_unknown_keys();
        values.note_unknown_variables();
        values
    }

    pub(super) fn into_result<T>(self, config: T) -> Result<T, ConfigErrors> {
        if self.mistakes.is_empty() { Ok(config) } else { Err(ConfigErrors(self.mistakes)) }
    }

    pub(super) fn note(&mut self, key: &str, problem: String, right: &'static str) {
        self.mistakes.push(Mistake { key: key.to_owned(), problem, right });
    }

    pub(super) fn take_effective(&mut self) -> Vec<Effective> {
        let mut effective = std::mem::take(&mut self.effective);
        let place = |entry: &Effective| {
            KEYS.iter().position(|key| key.section == entry.section && key.name == entry.name)
        };
        effective.sort_by_key(place);
        effective
    }

    /// The `[[account]]` sections, raw.
    pub(super) fn accounts(&mut self) -> Vec<toml::Value> {
        let accounts = self.file.remove("account");
        self.sections("account", accounts)
    }

    /// The `[[advisories.sources]]` sections, raw.
    pub(super) fn advisory_sources(&mut self) -> Vec<toml::Value> {
        let table = self.file.get_mut("advisories").and_then(toml::Value::as_table_mut);
        let sources = table.and_then(|table| table.remove("sources"));
        self.sections("advisories.sources", sources)
    }

    fn sections(&mut self, key: &str, found: Option<toml::Value>) -> Vec<toml::Value> {
        match found {
            None => Vec::new(),
            Some(toml::Value::Array(sections)) => sections,
            Some(_) => {
                self.note(key, "not a list".to_owned(), "sections in double brackets");
                Vec::new()
            }
        }
    }

    pub(super) fn address(&mut self, section: &str, name: &str) -> Option<SocketAddr> {
        self.scalar(section, name, |text| text.parse().ok())
    }

    pub(super) fn count(&mut self, section: &str, name: &str) -> Option<usize> {
        self.scalar(section, name, |text| text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count)))
    }

    pub(super) fn duration(&mut self, section: &str, name: &str) -> Duration {
        let parse = |text: &str| {
            let sensible = |duration: &Duration| !duration.is_zero() && *duration <= DURATION_MAX;
            humantime::parse_duration(text).ok().filter(sensible)
        };
        self.scalar(section, name, parse).unwrap_or(Duration::from_secs(1))
    }

    pub(super) fn flag(&mut self, section: &str, name: &str) -> bool {
        self.scalar(section, name, |text| text.parse().ok()).unwrap_or(false)
    }

    pub(super) fn path(&mut self, section: &str, name: &str) -> Option<PathBuf> {
        let path = self.scalar(section, name, |text| (!text.is_empty()).then(|| PathBuf::from(text)));
        path.map(|path| self.folder.join(path))
    }

    pub(super) fn size(&mut self, section: &str, name: &str) -> u64 {
        self.scalar(section, name, parse_size).unwrap_or(0)
    }

    pub(super) fn text(&mut self, section: &str, name: &str) -> Option<String> {
        let choices = match keys::find(section, name).map(|key| key.kind) {
            Some(Kind::Choice(choices)) => Some(choices),
            _ => None,
        };
        let allowed = |text: &str| choices.is_none_or(|choices| choices.contains(&text)) && !text.is_empty();
        self.scalar(section, name, |text| allowed(text).then(|| text.to_owned()))
    }

    pub(super) fn url(&mut self, section: &str, name: &str) -> Option<String> {
        self.scalar(section, name, |text| {
            let uri: http::Uri = text.parse().ok()?;
            let web = matches!(uri.scheme_str(), Some("http" | "https"));
            let bare =
                matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains(['"', '@', '#']);
            (web && bare && uri.host().is_some()).then(|| text.trim_end_matches('/').to_owned())
        })
    }

    pub(super) fn list(&mut self, section: &str, name: &str) -> Vec<String> {
        let Some(key) = keys::find(section, name) else { return Vec::new() };
        let (found, origin) = match self.find(key) {
            Some(found) => found,
            None => (Found::Scalar(key.default.unwrap_or_default().to_owned()), Origin::Default),
        };
        let list = match found {
            Found::List(list) => list,
            Found::Scalar(text) if origin == Origin::File => {
                self.note_wrong(key, origin, &text);
                return Vec::new();
            }
            Found::Scalar(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
            }
        };
        self.record(key, format!("{list:?}"), origin);
        list
    }

    fn scalar<T>(&mut self, section: &str, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let key = keys::find(section, name)?;
        let (text, origin) = match self.find(key) {
            Some((Found::Scalar(text), origin)) => (text, origin),
            Some((Found::List(list), origin)) => {
                self.note_wrong(key, origin, &format!("{list:?}"));
                return None;
            }
            None => (key.default?.to_owned(), Origin::Default),
        };
        let parsed = parse(&text);
        if parsed.is_none() {
            self.note_wrong(key, origin, &text);
        }
        let bare = matches!(key.kind, Kind::Count | Kind::Flag);
        self.record(key, if bare { text } else { format!("{text:?}") }, origin);
        parsed
    }

    fn record(&mut self, key: &'static Key, value: String, origin: Origin) {
        self.effective.push(Effective { section: key.section, name: key.name, value, origin });
    }

    fn note_wrong(&mut self, key: &Key, origin: Origin, text: &str) {
        let name = if origin == Origin::Environment { key.variable() } else { key.path() };
        let right = match key.kind {
            Kind::Choice(["json", "text"]) => "`json` or `text`",
            kind => kind.expected(),
        };
        self.note(&name, format!("`{text}` is not usable"), right);
    }

    fn find(&mut self, key: &Key) -> Option<(Found, Origin)> {
        if let Some(value) = self.environment.value(&key.variable()) {
            return Some((Found::Scalar(value.to_owned()), Origin::Environment));
        }
        let table = key.section.split('.').try_fold(&self.file, |table, part| table.get(part)?.as_table());
        let found = match table?.get(key.name)? {
            toml::Value::String(text) => Found::Scalar(text.clone()),
            toml::Value::Array(items) => {
                let texts: Option<Vec<_>> =
                    items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                texts.map_or_else(
                    || Found::Scalar("a list with other things than text".to_owned()),
                    Found::List,
                )
            }
            other => Found::Scalar(other.to_string()),
        };
        Some((found, Origin::File))
    }

    fn note_unknown_keys(&mut self) {
        let mut unknown = Vec::new();
        collect_unknown(&self.file, "", &mut unknown);
        for (key, known) in unknown {
            let problem = if known.is_empty() {
                let sections: BTreeSet<_> = KEYS.iter().map(|key| key.section).collect();
                format!("no such section; there are {} and account", joined(sections))
            } else {
                format!("no such key; the section has {}", joined(known))
            };
            self.note(&key, problem, "");
        }
    }

    /// A variable that names one of our sections and no key is a typo; others (`PORTCULLIS_TEST_DATA`) are not ours.
    fn note_unknown_variables(&mut self) {
        let known: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        let environment = self.environment;
        let sections: BTreeSet<_> =
            KEYS.iter().filter_map(|key| key.section.split('.').next()).map(str::to_uppercase).collect();
        for name in environment.names().filter(|name| !known.contains(*name)) {
            let rest = &name[super::environment::PREFIX.len()..];
            let section = rest.split('_').next().unwrap_or_default();
            if sections.contains(section) && rest.contains('_') {
                self.note(
                    name,
                    "no key has this variable".to_owned(),
                    "a name from `portcullis config reference`",
                );
            }
        }
    }
}

fn joined<'t>(words: impl IntoIterator<Item = &'t str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Keys that hold lists of tables, which are read elsewhere.
const LISTS: [&str; 2] = ["account", "advisories.sources"];

/// Keys of `table` that the table of keys does not have, each with those that its section does have.
fn collect_unknown(table: &toml::Table, section: &str, unknown: &mut Vec<(String, Vec<&'static str>)>) {
    for (name, value) in table {
        let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        let is_section =
            KEYS.iter().any(|key| key.section == path || key.section.starts_with(&format!("{path}.")));
        match value.as_table() {
            Some(inner) if is_section => collect_unknown(inner, &path, unknown),
            _ if keys::find(section, name).is_some() || LISTS.contains(&path.as_str()) => {}
            _ => {
                let known = KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
                unknown.push((path, known));
            }
        }
    }
}

/// `500MiB`, `20GiB`, `1GB`, `1024`: binary units are powers of 1024, decimal ones of 1000.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|size| *size > 0)
}
