//! The answer, and its reasons.

use std::cmp::Reverse;

use scanner::finding::{Decimal, Severity};
use serde::{Deserialize, Serialize};

use super::Checkpoint;

/// Yes or no. A denial is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; the proof that the gate was asked.
    Allow(Admitted),
    /// No, with every reason.
    Deny(Denial),
}

/// Proof that the gate said yes about this digest. Only [`super::decide`] makes one:
///
/// ```compile_fail
/// let forged = portcullis::gate::verdict::Admitted { digest: "sha256:00".into(), warnings: vec![], shadowed: vec![] };
/// ```
///
/// ```compile_fail
/// let forged = portcullis::gate::verdict::Admitted::new("sha256:00".into(), vec![], vec![]);
/// ```
///
/// It cannot be read back from storage either:
///
/// ```compile_fail
/// let forged: portcullis::gate::verdict::Admitted = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    digest: String,
    warnings: Vec<Reason>,
    shadowed: Vec<Reason>,
}

impl Admitted {
    pub(super) fn new(digest: String, warnings: Vec<Reason>, shadowed: Vec<Reason>) -> Self {
        Self { digest, warnings, shadowed }
    }

    /// The digest that may pass.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the client should be told: checks set to `warn`, rules with `enforce = "warn"`, what an exception waived.
    pub fn warnings(&self) -> &[Reason] {
        &self.warnings
    }

    /// What would have been a denial under `enforce = "shadow"`; for the decision log, not for the client.
    pub fn shadowed(&self) -> &[Reason] {
        &self.shadowed
    }
}

/// No.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What was refused: `registry.example/prod/app:1.2@sha256:…`.
    pub image: String,
    /// At which question.
    pub checkpoint: Checkpoint,
    /// The reasons, worst first; never empty, at most [`REASONS_MAX`].
    pub reasons: Vec<Reason>,
    /// Reasons beyond [`REASONS_MAX`], only counted.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub omitted: usize,
    /// What else is worth saying.
    pub warnings: Vec<Reason>,
    /// Whom to ask, or where to read on: the rule's `help`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

impl Denial {
    /// A refusal of `image` for these reasons, sorted and bounded. For what a door refuses before it can ask the gate,
    /// too: a refusal needs no proof.
    pub fn new(image: String, checkpoint: Checkpoint, mut reasons: Vec<Reason>) -> Self {
        Reason::sort(&mut reasons);
        let omitted = reasons.len().saturating_sub(REASONS_MAX);
        reasons.truncate(REASONS_MAX);
        Self { image, checkpoint, reasons, omitted, warnings: Vec::new(), help: None }
    }
}

/// An image can be made to have a million findings; nobody reads more than this, and records must not swell.
pub const REASONS_MAX: usize = 1000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One reason, made so that a tired developer can act on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// Which check; the closed list is [`CHECKS`].
    pub check: String,
    /// Which policy rule, by its name; `none` where no rule matches.
    pub rule: String,
    /// Which platform of an index.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform: Option<String>,
    /// How bad a vulnerability is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<Severity>,
    /// What is wrong, with the values.
    pub message: String,
    /// The layer to blame: its index and digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub layer: Option<LayerReference>,
    /// `name version` of the package to blame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub package: Option<String>,
    /// What an exception may name: the finding's id (`CVE-…`), the SHA-256 of a secret's value, or the name of a YARA rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finding: Option<String>,
    /// The version that fixes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
    /// The day since which the problem is known to be used in attacks: `2026-01-31`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exploited_since: Option<String>,
    /// How likely it is to be used (EPSS), 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epss: Option<Decimal>,
    /// What to do now.
    pub next_step: String,
    /// Who waived it, until when and why: then it is a warning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waived: Option<String>,
}

/// Every check, worst first: reasons are told in this order.
pub const CHECKS: [&str; 31] = [
    "registry",
    "rule",
    "state",
    "content",
    "integrity",
    "signature",
    "receipt",
    "known-bad",
    "malware",
    "attack",
    "secret",
    "vulnerability",
    "unknown",
    "unexplained",
    "malware-oversize",
    "advisory-age",
    "end-of-life",
    "privileged",
    "apparmor",
    "host-bind-mount",
    "pin",
    "base",
    "user",
    "permission-setuid",
    "permission-setgid",
    "permission-world-writable",
    "size",
    "growth",
    "layers",
    "waste",
    "vex",
];

impl Reason {
    /// A reason that blames no layer or package.
    pub fn new(check: &str, rule: &str, message: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            rule: rule.to_owned(),
            platform: None,
            severity: None,
            message: message.into(),
            layer: None,
            package: None,
            finding: None,
            fix: None,
            exploited_since: None,
            epss: None,
            next_step: next_step.into(),
            waived: None,
        }
    }

    /// Sorts worst first; what is equally bad in an order that the input's order does not change.
    pub(super) fn sort(reasons: &mut Vec<Self>) {
        let rank = |reason: &Self| {
            let check = CHECKS.iter().position(|check| *check == reason.check).unwrap_or(CHECKS.len());
            (check, Reverse(reason.severity))
        };
        reasons.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        reasons.dedup();
    }
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
