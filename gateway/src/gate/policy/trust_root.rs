//! `[[trust-root]]`: a sigstore instance whose trusted root comes from a TUF repository and is kept current.
//!
//! The policy says what makes such a root believable: the pinned first root, the name of the file, the longest age. It
//! does not hold the root itself; [`super::Policy::with_roots`] puts in what is kept.

use std::sync::Arc;
use std::time::Duration;

use keys::sigstore::{Anchors, TrustRoot};
use keys::tuf::{Client, Seen};
use serde::Serialize;

use super::KeyFiles;
use super::reader::{Mistakes, Section};

/// What the file is called unless the policy says otherwise: every publisher of sigstore calls it so.
const TARGET: &str = "trusted_root.json";
/// How old what was fetched may grow. Publishers sign their timestamps for a few days.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Each is fetched in every round.
const SOURCES_MAX: usize = 16;

/// One `[[trust-root]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RootSource {
    /// What identities call it; safe as a file name.
    pub name: String,
    /// Where the metadata is; `None`: it is brought by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the target files are; `None`: in `targets/` below the metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets_url: Option<String>,
    /// The root of the repository that is believed because the operator says so.
    #[serde(skip)]
    pub pinned: Vec<u8>,
    /// Name of the target file.
    pub target: String,
    /// How long after the repository was last asked it still counts.
    #[serde(serialize_with = "super::rule::humantime_text")]
    pub max_age: Duration,
}

/// A root as it is kept.
#[derive(Clone, Debug)]
pub struct FetchedRoot {
    /// With its lease.
    pub root: Arc<TrustRoot>,
    /// Since when it has been believed without a break, seconds since 1970-01-01 UTC: what was refused while it was not
    /// is asked again.
    pub since: i64,
    /// When its repository was last asked, seconds since 1970-01-01 UTC.
    pub checked: i64,
}

/// What one identity asks of a root that is not in the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RestsOn {
    pub(super) source: String,
    pub(super) log_entries: usize,
    pub(super) certificate_log: bool,
}

impl RestsOn {
    pub(super) fn anchors(&self, kept: Option<&FetchedRoot>) -> Anchors {
        let (log_entries, certificate_log) = (self.log_entries, self.certificate_log);
        match kept {
            Some(kept) => Anchors::Root { root: Arc::clone(&kept.root), log_entries, certificate_log },
            None => {
                let name = &self.source;
                let reason = format!(
                    "`{name}` was never fetched; run `portcullis trust update`, and look at the gateway's log"
                );
                Anchors::Absent(reason.into())
            }
        }
    }
}

pub(super) fn parse_all(
    sections: Vec<Section<'_>>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<RootSource> {
    let mut sources: Vec<RootSource> = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let place = section.place.clone();
        let Some(source) = parse(section, key_files, mistakes) else { continue };
        if index >= SOURCES_MAX {
            mistakes.note(&place, format!("more than {SOURCES_MAX} trust roots"), "keep those that are used");
            break;
        }
        if sources.iter().any(|other| other.name == source.name) {
            let problem = format!("`{}` is the name of another trust root too", source.name);
            mistakes.note(&place, problem, "give each its own name");
            continue;
        }
        sources.push(source);
    }
    sources
}

fn parse(
    mut section: Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<RootSource> {
    let hint = "identities refer to it: `name = \"public-good\"`";
    let name = section.require("name", hint, mistakes).and_then(|entry| {
        let name = entry.line(mistakes)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = name.len() <= 64 && !name.starts_with('.') && name.bytes().all(allowed);
        if !is_name {
            let problem = format!("`{name}` cannot name a trust root");
            let hint = "use 1 to 64 letters, digits, `.`, `_` and `-`, not starting with `.`";
            mistakes.note(&entry.place, problem, hint);
        }
        is_name.then_some(name)
    });
    let mut url = |key| match section.take(key) {
        None => Some(None),
        Some(entry) => {
            let text = entry.line(mistakes)?;
            let parsed = reqwest::Url::parse(&text).ok();
            let is_web = parsed.is_some_and(|url| {
                let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
                matches!(url.scheme(), "http" | "https") && plain && url.password().is_none()
            });
            if !is_web {
                let hint =
                    "an address such as `https://tuf-repo-cdn.sigstore.dev`, without credentials or query";
                mistakes.note(&entry.place, format!("`{text}` is not the address of a repository"), hint);
            }
            is_web.then_some(Some(text))
        }
    };
    let (address, targets_url) = (url("url"), url("targets-url"));
    let target = match section.take("target") {
        Some(entry) => entry.line(mistakes),
        None => Some(TARGET.to_owned()),
    };
    let max_age = match section.take("max-age") {
        Some(entry) => entry.duration(mistakes),
        None => Some(MAX_AGE),
    };
    let hint = "the repository's root that you trust, had from its publisher: `root = \"trust/1.root.json\"`";
    let pinned = section.require("root", hint, mistakes).and_then(|entry| {
        let path = entry.line(mistakes)?;
        let checked = key_files.read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
            let target = target.as_deref().unwrap_or(TARGET);
            let client = Client::new(&bytes, target, Seen::default(), 0);
            client.map(|_| bytes).map_err(|error| error.to_string())
        });
        let hint =
            "the path is relative to the policy file, and the file a TUF root that its own keys signed";
        checked.map_err(|problem| mistakes.note(&entry.place, format!("`{path}`: {problem}"), hint)).ok()
    });
    section.finish(mistakes);
    let (url, targets_url) = (address?, targets_url?);
    Some(RootSource { name: name?, url, targets_url, pinned: pinned?, target: target?, max_age: max_age? })
}
