//! The answer of `portcullis check`, in the forms that people, scripts, CI servers and inventories read.

pub mod base;
mod cyclonedx;
mod danger;
pub mod diff;
mod effective;
pub mod explain;
mod gitlab;
mod html;
mod inventory;
mod junit;
mod sarif;
mod spdx;
mod spdx3;
mod table;

use keys::attestation::Attestations;
use keys::verify::Verification;
use scanner::image::Effectiveness;
use scanner::report::ScanReport;
use serde::Serialize;

use base::BaseReport;

use crate::gate::Checkpoint;
use crate::gate::growth::Growth;
use crate::gate::verdict::{Denial, Reason};

/// Names the JSON form; a change that a reader could notice raises the number.
pub const SCHEMA: &str = "portcullis-check/1";

/// What was asked and answered.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The image as named on the command line.
    pub image: String,
    /// Registry and repository that the policy's patterns were compared with.
    pub repository: String,
    /// The tag it has or will have.
    pub tag: Option<String>,
    /// Digest of the manifest; `null` for a docker archive, which has none.
    pub digest: Option<String>,
    /// The question.
    pub checkpoint: Checkpoint,
    /// The answer.
    pub verdict: Word,
    /// Why not; worst first, empty when admitted.
    pub reasons: Vec<Reason>,
    /// Reasons left out because there are too many.
    pub omitted: usize,
    /// What would be a reason, were it enforced, or was waived.
    pub warnings: Vec<Reason>,
    /// Whom to ask.
    pub help: Option<String>,
    /// Digest of the policy that was applied.
    pub policy: String,
    /// Signatures found beside the image; none are looked for beside files.
    pub signatures: Verification,
    /// Attestations found beside the image, if the policy asks for any.
    pub attestations: Attestations,
    /// What was found in each platform's image.
    pub scans: Vec<PlatformScan>,
    /// Seconds since 1970-01-01 UTC that documents are dated with; never the clock's, so that equal input gives equal bytes.
    #[serde(skip)]
    pub stamped_at: Option<i64>,
}

/// The answer in one word. "Undecided" is no report: it is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Yes.
    Admitted,
    /// No.
    Denied,
}

/// One platform's image.
#[derive(Clone, Debug, Serialize)]
pub struct PlatformScan {
    /// `linux/amd64`; `null` for an image that is no index.
    pub platform: Option<String>,
    /// Digest of its manifest.
    pub digest: Option<String>,
    /// Everything the scanner says.
    pub scan: std::sync::Arc<ScanReport>,
    /// What it could do without; `null` for a document.
    pub effectiveness: Option<Effectiveness>,
    /// The approved base that it begins with, if any.
    pub base: Option<BaseReport>,
    /// What changed since the release that `--previous` names.
    pub growth: Option<Growth>,
}

/// Output forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// CycloneDX 1.6 JSON: packages and vulnerabilities.
    #[value(name = "cyclonedx")]
    CycloneDx,
    /// GitLab's container-scanning report.
    Gitlab,
    /// One page for people, which stands alone.
    Html,
    /// One JSON object (docs/check.md).
    Json,
    /// JUnit XML, a failed test for each reason.
    Junit,
    /// SARIF 2.1.0, a result for each reason.
    Sarif,
    /// SPDX 2.3 JSON: packages.
    Spdx,
    /// SPDX 3.0.1 JSON-LD: packages and vulnerabilities.
    #[value(name = "spdx3")]
    Spdx3,
    /// For people.
    Table,
}

impl CheckReport {
    /// Takes the reasons of a denial.
    pub fn deny(&mut self, denial: Denial) {
        self.verdict = Word::Denied;
        self.reasons = denial.reasons;
        self.omitted = denial.omitted;
        self.warnings = denial.warnings;
        self.help = denial.help;
    }

    /// The report in one of its forms, with a line end.
    pub fn render(&self, output: Output, width: u16) -> Result<String, RenderError> {
        match output {
            Output::CycloneDx => cyclonedx::render(self),
            Output::Gitlab => gitlab::render(self),
            Output::Html => Ok(html::render(self)),
            Output::Json => Ok(format!("{}\n", serde_json::to_string_pretty(self)?)),
            Output::Junit => junit::render(self),
            Output::Sarif => sarif::render(self),
            Output::Spdx => spdx::render(self),
            Output::Spdx3 => spdx3::render(self),
            Output::Table => Ok(table::render(self, width)),
        }
    }

    /// The table with all layers, and what to change in them.
    pub fn layers(&self, width: u16) -> String {
        let mut text = table::render(self, width);
        self.scans.iter().for_each(|scan| effective::tables(&mut text, scan, width));
        text
    }
}

/// The form for a question that has no answer, so that a CI server does not take a missing file for a success.
pub fn render_undecided(image: &str, problem: &str, output: Output) -> Result<String, RenderError> {
    match output {
        Output::Json => {
            let report = serde_json::json!({"schema": SCHEMA, "image": image, "verdict": "undecided", "problem": problem});
            Ok(format!("{report:#}\n"))
        }
        Output::Junit => junit::render_undecided(image, problem),
        Output::Html => Ok(html::render_undecided(image, problem)),
        Output::Gitlab => Ok(gitlab::render_undecided(image, problem)),
        Output::Sarif => Ok(sarif::render_undecided(image, problem)),
        // An inventory of an image that was not read would be a lie; the exit code tells.
        Output::CycloneDx | Output::Spdx | Output::Spdx3 | Output::Table => Ok(String::new()),
    }
}

/// A report that cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// As JSON.
    #[error("cannot write the report as JSON")]
    Json(#[from] serde_json::Error),
    /// As XML.
    #[error("cannot write the report as JUnit XML")]
    Junit(#[from] quick_junit::SerializeError),
}

#[cfg(test)]
mod tests;
