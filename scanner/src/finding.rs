//! What is wrong with a package, and how bad it is.

use serde::{Deserialize, Serialize};

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
    /// The installed package.
    pub package: Package,
    /// Index into the image's layers: the layer that brought this version of the package.
    pub layer: usize,
    /// The first version without the problem; `None` when nobody has fixed it yet.
    pub fixed_version: Option<String>,
    /// One line for people.
    pub summary: Option<String>,
    /// Which source says so: `debian`, `alpine`, `osv`.
    pub source: String,
}
