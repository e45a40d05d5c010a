//! The JSON of the table of blobs.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::advisory::severity::{self, Grade};
use crate::finding::Severity;

/// What is known about a problem, whoever is affected.
#[derive(Deserialize)]
pub(super) struct ProblemBlob {
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(default)]
    severities: Vec<Rating>,
}

#[derive(Deserialize)]
struct Rating {
    value: Option<Value>,
    #[serde(default)]
    rank: i64,
}

/// A word (`high`), or a vector with its score.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Vector { vector: String },
    Word(String),
    Other(IgnoredAny),
}

impl ProblemBlob {
    /// The worst word of the best rank, and the worst vector.
    pub(super) fn grade(&self, source: &str) -> Grade {
        let best = self.severities.iter().map(|rating| rating.rank).min();
        let of_best = self.severities.iter().filter(|rating| Some(rating.rank) == best);
        let word = of_best.filter_map(|rating| match &rating.value {
            Some(Value::Word(word)) => severity::from_word(word).filter(|it| *it != Severity::Unknown),
            Some(Value::Vector { .. } | Value::Other(_)) | None => None,
        });
        let vectors = self.severities.iter().filter_map(|rating| match &rating.value {
            Some(Value::Vector { vector }) => severity::read_vector(vector),
            Some(Value::Word(_) | Value::Other(_)) | None => None,
        });
        Grade::stated(word.max(), vectors.max(), source)
    }
}

/// Which versions of a package are affected.
#[derive(Deserialize)]
pub(super) struct AffectedBlob {
    #[serde(default)]
    pub(super) cves: Vec<String>,
    #[serde(default)]
    pub(super) qualifiers: Qualifiers,
    #[serde(default)]
    pub(super) ranges: Vec<Part>,
}

#[derive(Default, Deserialize)]
pub(super) struct Qualifiers {
    #[serde(default)]
    pub(super) rpm_modularity: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    pub(super) version: Version,
    #[serde(default)]
    fix: Option<Fix>,
}

#[derive(Default, Deserialize)]
pub(super) struct Version {
    /// `>= 1.0, < 1.2 || >= 2.0`; empty: every version.
    #[serde(default)]
    pub(super) constraint: String,
}

#[derive(Deserialize)]
struct Fix {
    #[serde(default)]
    version: String,
    #[serde(default)]
    state: String,
}

impl Part {
    /// `fixed`, `not-fixed`, `wont-fix`, `not-affected`, or nothing.
    pub(super) fn state(&self) -> &str {
        self.fix.as_ref().map_or("", |fix| &fix.state)
    }

    pub(super) fn fixed_version(&self) -> Option<&str> {
        let fix = self.fix.as_ref().filter(|fix| fix.state == "fixed" && !fix.version.is_empty())?;
        Some(&fix.version)
    }
}

/// An entry of the catalogue of what is exploited.
#[derive(Deserialize)]
pub(super) struct ExploitedBlob {
    #[serde(default)]
    pub(super) date_added: Option<String>,
    #[serde(default)]
    pub(super) known_ransomware_campaign_use: String,
}
