//! The answer, and its reasons.

use serde::{Deserialize, Serialize};

/// Yes or no. A denial is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; the proof that the gate was asked.
    Allow(Admitted),
    /// No, with every reason.
    Deny(Denial),
}

/// Proof that the gate said yes about this digest. Only [`super::decide`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    digest: String,
    warnings: Vec<Reason>,
}

impl Admitted {
    pub(super) fn new(digest: String, warnings: Vec<Reason>) -> Self {
        Self { digest, warnings }
    }

    /// The digest that may pass.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What would have been a denial, were it enforced (`warn`, `shadow`), and what an exception waived.
    pub fn warnings(&self) -> &[Reason] {
        &self.warnings
    }
}

/// No.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Every reason, worst first; never empty.
    pub reasons: Vec<Reason>,
    /// What else is worth saying.
    pub warnings: Vec<Reason>,
}

/// One reason, made so that a tired developer can act on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// Which check: `signature`, `pin`, `vulnerability`, `secret`, `unknown`, `size`, `layers`, `waste`, `user`,
    /// `setuid`, `base`, `state`, `rule`, …
    pub check: String,
    /// Which policy rule, by its image patterns or name.
    pub rule: String,
    /// What is wrong, with the values.
    pub message: String,
    /// The layer to blame: its index and digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub layer: Option<LayerReference>,
    /// `name version` of the package to blame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub package: Option<String>,
    /// The finding's id (`CVE-…`), which an exception may name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finding: Option<String>,
    /// The version that fixes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
    /// What to do now.
    pub next_step: String,
}

/// A layer, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerReference {
    /// Counted from 0, oldest first.
    pub index: usize,
    /// Digest of the blob.
    pub digest: String,
    /// The instruction that made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instruction: Option<String>,
}
