//! What is wrong with a package, how bad it is, and what is known beyond that.

mod decimal;

use serde::{Deserialize, Serialize};

pub use decimal::Decimal;

use crate::package::Package;

/// How bad a finding is. Ordered from harmless to worst; `Unknown` sorts lowest but is never treated as harmless:
/// policy has its own word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No source states a severity.
    #[default]
    Unknown,
    /// Debian's `unimportant`, CVSS 0.
    Negligible,
    /// CVSS 0.1–3.9.
    Low,
    /// CVSS 4.0–6.9.
    Medium,
    /// CVSS 7.0–8.9.
    High,
    /// CVSS 9.0–10.
    Critical,
}

/// One published problem that applies to one installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The advisory's best-known name: the CVE where there is one, else the advisory's own id.
    pub id: String,
    /// All its other names, sorted.
    pub aliases: Vec<String>,
    /// The worst severity that any merged source states.
    pub severity: Severity,
    /// What else is known about the problem.
    #[serde(flatten)]
    pub risk: Risk,
    /// The installed package.
    pub package: Package,
    /// Index into the image's layers: the layer that brought this version of the package.
    pub layer: usize,
    /// The first version without the problem that everyone can install; `None` when there is none.
    pub fixed_version: Option<String>,
    /// Why there is no such version, where a source tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfixed: Option<Unfixed>,
    /// One line for people.
    pub summary: Option<String>,
    /// Which source says so: `debian`, `alpine`, `osv`.
    pub source: String,
}

/// How likely the problem is to be used, and who says how bad it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// Who states the severity: the advisory's id, or the feed's name where its advisories are named by CVE alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity_source: Option<String>,
    /// What the severity's source bases it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// It is in a catalogue of problems that are used in attacks (CISA's KEV).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploited: Option<Exploited>,
    /// How likely it is to be used within the next thirty days (FIRST's EPSS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epss: Option<Epss>,
}

/// A vector of CVSS 2.0, 3.x or 4.0, and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cvss {
    /// Computed from the vector, never taken from the feed. 0 to 10.
    pub score: Decimal,
    /// As the advisory writes it.
    pub vector: String,
}

/// When a problem was first known to be used in attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exploited {
    /// Seconds since 1970-01-01 UTC: the day on which the catalogue took it in.
    pub since: i64,
    /// Campaigns of ransomware are known to use it.
    pub ransomware: bool,
}

/// What FIRST's Exploit Prediction Scoring System says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epss {
    /// 0 to 1.
    pub probability: Decimal,
    /// The share of all problems that are no more likely. 0 to 1.
    pub percentile: Decimal,
}

/// Why no fixed version can be installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Unfixed {
    /// The vendor puts the fix off.
    Deferred,
    /// There is a fix, but only for those who have another channel: a subscription, a longer support.
    Elsewhere {
        /// The first version without the problem.
        version: String,
        /// Who offers it: `Ubuntu Pro`.
        channel: String,
    },
    /// The product, or this release of it, gets no such fixes any more.
    OutOfSupport,
    /// The vendor does not know yet whether it is affected. Counts as affected.
    UnderInvestigation,
    /// The vendor decided against a fix.
    WillNotFix,
}

impl std::fmt::Display for Unfixed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deferred => formatter.write_str("its vendor defers the fix"),
            Self::Elsewhere { version, channel } => write!(formatter, "fixed in {version} of {channel} only"),
            Self::OutOfSupport => formatter.write_str("not fixed: out of its vendor's support"),
            Self::UnderInvestigation => {
                formatter.write_str("not fixed yet: its vendor still investigates whether it is affected")
            }
            Self::WillNotFix => formatter.write_str("its vendor will not fix it"),
        }
    }
}
