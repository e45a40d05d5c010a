//! Why each signature counts or not, and the same question asked again later of a file.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use keys::signature::UnverifiedSignature;
use keys::verify::{CandidateTrace, Ended, Rejection};
use serde::{Deserialize, Serialize};

use crate::cli::UsageError;

/// Version of the file; another one is refused.
const VERSION: u32 = 1;
/// Most bytes of a file that is read: 256 candidates of the largest size that is fetched fit in.
const BYTES_MAX: u64 = 512 << 20;

/// All that an answer depends on besides who is trusted: what was found, about what, and when.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    version: u32,
    /// The repository as it was asked for, `host/name`.
    pub(super) repository: String,
    /// Digest of the image.
    pub(super) digest: String,
    /// When it was asked, in seconds since 1970-01-01 UTC.
    pub(super) now: i64,
    pub(super) signatures: Vec<UnverifiedSignature>,
    pub(super) unreadable: Vec<Rejection>,
}

impl Question {
    pub(super) fn new(
        (repository, digest): (String, String),
        now: i64,
        (signatures, unreadable): (Vec<UnverifiedSignature>, Vec<Rejection>),
    ) -> Self {
        Self { version: VERSION, repository, digest, now, signatures, unreadable }
    }

    pub(super) fn save(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        std::fs::write(file, json).with_context(|| format!("cannot write `{}`", file.display()))
    }

    pub(super) fn load(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let mut json = Vec::new();
        let open = std::fs::File::open(file).with_context(|| UsageError(format!("cannot read `{shown}`")))?;
        let read = open.take(BYTES_MAX.saturating_add(1)).read_to_end(&mut json);
        read.with_context(|| UsageError(format!("cannot read `{shown}`")))?;
        anyhow::ensure!(
            u64::try_from(json.len()).is_ok_and(|bytes| bytes <= BYTES_MAX),
            UsageError(format!("`{shown}` is larger than {BYTES_MAX} bytes, which `--save` never writes"))
        );
        let question: Self = serde_json::from_slice(&json)
            .with_context(|| UsageError(format!("`{shown}` is no file that `verify --save` wrote")))?;
        anyhow::ensure!(
            question.version == VERSION,
            UsageError(format!("`{shown}` has version `{}`, expected `{VERSION}`", question.version))
        );
        Ok(question)
    }
}

/// One block a candidate, one line a check.
pub(super) fn table(trace: &[CandidateTrace]) -> String {
    let mut text = String::new();
    for one in trace {
        let counts = if one.counts { "counts" } else { "does not count" };
        let _ = writeln!(text, "{} ({}): {counts}", one.candidate, one.form);
        for explained in &one.identities {
            let who = explained.identity.as_deref().unwrap_or("everybody");
            let _ = writeln!(text, "  for {who}");
            for line in &explained.checks {
                let outcome = match line.outcome {
                    Ended::Passed => "passed",
                    Ended::Failed => "FAILED",
                    Ended::Logged => "logged",
                    Ended::NotRun => "not run",
                };
                let check = serde_json::to_value(line.check).unwrap_or_default();
                let reason = line.reason.as_deref().unwrap_or_default();
                let row = format!("    {outcome:<8} {:<22} {reason}", check.as_str().unwrap_or_default());
                let _ = writeln!(text, "{}", row.trim_end());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_question_is_read_back_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("question.json");
        let signature = UnverifiedSignature::CosignSimple {
            payload_digest: "sha256:00".to_owned(),
            payload_size: 3,
            payload: vec![0, 255, 7],
            annotations: [("name".to_owned(), "value".to_owned())].into(),
        };
        let unreadable = vec![Rejection { candidate: "a".to_owned(), reason: "b".to_owned() }];
        let asked = ("registry.example/app".to_owned(), "sha256:11".to_owned());
        let question = Question::new(asked, 1_750_000_000, (vec![signature], unreadable));
        question.save(&file).unwrap();
        let again = Question::load(&file).unwrap();
        assert_eq!(format!("{again:?}"), format!("{question:?}"));
        let saved = std::fs::read_to_string(&file).unwrap();
        for other in [
            saved.replace("\"version\": 1", "\"version\": 2"),
            saved.replace("AP8H", "AP8"),
            saved.replace("\"now\"", "\"then\""),
            saved.get(..saved.len() / 2).unwrap().to_owned(),
            String::new(),
        ] {
            assert_ne!(other, saved);
            std::fs::write(&file, other).unwrap();
            assert!(Question::load(&file).unwrap_err().is::<UsageError>());
        }
    }
}
