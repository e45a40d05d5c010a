//! `check --explain`: why a vulnerability or a package is reported or not, step by step, and what the policy says to it.

use std::fmt::Write as _;

use scanner::explain::{AdvisoryStory, Comparison, Explanation, Outcome, PackageStory, Subject};
use scanner::finding::Finding;
use serde::Serialize;

use super::{CheckReport, RenderError, Word};
use crate::gate::Checkpoint;
use crate::gate::verdict::Reason;
use crate::gate::words::printable;

/// Names the JSON form; a change that a reader could notice raises the number.
pub const SCHEMA: &str = "portcullis-explain/1";

/// Longest text from the image in one place, in characters.
const TEXT_MAX: usize = 300;
/// Advisories about one package that are told to people although they do not affect it. JSON has all.
const UNAFFECTED_MAX: usize = 20;

/// One question, answered.
#[derive(Debug, Serialize)]
pub struct ExplainReport<'a> {
    schema: &'static str,
    image: &'a str,
    repository: &'a str,
    digest: Option<&'a str>,
    checkpoint: Checkpoint,
    verdict: Word,
    query: &'a str,
    images: Vec<ExplainedImage<'a>>,
}

/// One platform's image.
#[derive(Debug, Serialize)]
struct ExplainedImage<'a> {
    platform: Option<&'a str>,
    digest: Option<&'a str>,
    #[serde(flatten)]
    explanation: &'a Explanation,
    decisions: Vec<Decision<'a>>,
}

/// What the policy says to one finding.
#[derive(Debug, Serialize)]
struct Decision<'a> {
    finding: &'a str,
    package: String,
    answer: Answer,
    /// As the verdict tells it; an exception names itself here.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// The rule's `scan.deny` is for worse.
    Accepted,
    /// The verdict has more reasons than are told.
    NotTold,
    Refused,
    /// By an exception, or because the rule only warns.
    Warned,
}

impl<'a> ExplainReport<'a> {
    /// What was asked about each of the report's scans, in their order.
    pub fn new(report: &'a CheckReport, query: &'a str, explanations: &'a [Explanation]) -> Self {
        let image = |(scan, explanation): (&'a super::PlatformScan, &'a Explanation)| ExplainedImage {
            platform: scan.platform.as_deref(),
            digest: scan.digest.as_deref(),
            explanation,
            decisions: explanation
                .findings
                .iter()
                .map(|finding| decision(report, scan.platform.as_deref(), finding))
                .collect(),
        };
        Self {
            schema: SCHEMA,
            image: &report.image,
            repository: &report.repository,
            digest: report.digest.as_deref(),
            checkpoint: report.checkpoint,
            verdict: report.verdict,
            query,
            images: report.scans.iter().zip(explanations).map(image).collect(),
        }
    }

    /// As JSON, with a line end.
    pub fn json(&self) -> Result<String, RenderError> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "image       {}", printable(self.image, TEXT_MAX));
        for image in &self.images {
            if let Some(platform) = image.platform {
                let _ = writeln!(text, "\nplatform    {}", printable(platform, 60));
            }
            told(&mut text, image);
        }
        if self.images.is_empty() {
            let _ = writeln!(text, "nothing in it can run, so no package was looked at");
        }
        text
    }
}

fn decision<'a>(report: &'a CheckReport, platform: Option<&str>, finding: &'a Finding) -> Decision<'a> {
    let package = format!("{} {}", finding.package.name, finding.package.version);
    let shown = |text: &str, most| printable(text, most);
    let (name, version) = (shown(&finding.package.name, 100), shown(&finding.package.version, 100));
    let (id, told) = (shown(&finding.id, 60), format!("{name} {version}"));
    let is_meant = |reason: &&Reason| {
        reason.check == "vulnerability"
            && reason.finding.as_ref() == Some(&id)
            && reason.package.as_ref() == Some(&told)
            && reason.platform.as_deref() == platform.map(|it| shown(it, 100)).as_deref()
    };
    let refused = report.reasons.iter().find(is_meant).map(|reason| (Answer::Refused, reason));
    let warned = || report.warnings.iter().find(is_meant).map(|reason| (Answer::Warned, reason));
    let (answer, message) = match refused.or_else(warned) {
        Some((answer, reason)) => (answer, Some(reason.message.as_str())),
        None if report.omitted > 0 => (Answer::NotTold, None),
        None => (Answer::Accepted, None),
    };
    Decision { finding: &finding.id, package, answer, message }
}

fn told(text: &mut String, image: &ExplainedImage<'_>) {
    let explanation = image.explanation;
    let kind = match explanation.asked {
        Subject::Package => "a package",
        Subject::Vulnerability => "a vulnerability",
    };
    let _ = writeln!(text, "question    {}, {kind}", printable(&explanation.query, TEXT_MAX));
    let system = explanation.distribution.as_ref().map_or("no known distribution", |distribution| {
        distribution.pretty_name.as_deref().unwrap_or(&distribution.id)
    });
    let _ = writeln!(text, "system      {}", printable(system, 80));
    let _ = writeln!(text, "advisories  {}", advisories(explanation));
    let _ = writeln!(text, "looked at   {}", looked_at(explanation));
    for named in &explanation.named {
        let _ = writeln!(text, "named in    {} of {} as {}", named.package, named.ecosystem, named.id);
    }
    for story in &explanation.packages {
        package(text, story);
    }
    for unknown in &explanation.unknown {
        let _ = writeln!(text, "\nunknown     {}", crate::gate::explain::unknown(unknown));
    }
    let _ = writeln!(text);
    for decision in &image.decisions {
        let answer = match decision.answer {
            Answer::Accepted => "reported, and not refused: the rule's `scan.deny` is for worse",
            Answer::NotTold => "reported; the verdict has more reasons than it tells",
            Answer::Refused => "refused",
            Answer::Warned => "warned of",
        };
        let (finding, package) = (printable(decision.finding, 60), printable(&decision.package, 200));
        let _ = write!(text, "{finding} in {package}: {answer}");
        let message = decision.message.map_or_else(String::new, |message| format!(": {message}"));
        let _ = writeln!(text, "{message}");
    }
    if image.decisions.is_empty() {
        let _ = writeln!(text, "{}", not_reported(explanation));
    }
}

fn advisories(explanation: &Explanation) -> String {
    let Some(revision) = &explanation.advisories else {
        return "none are loaded; name them with `--advisories`".to_owned();
    };
    let day = |seconds| {
        let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        moment.strftime("%Y-%m-%d").to_string()
    };
    let left_out = match explanation.left_out {
        0 => String::new(),
        count => format!("; {count} left out when it was built (withdrawn, or nothing judged here)"),
    };
    let digest = revision.digest.get(..12).unwrap_or_default();
    format!("{digest}…, newest of {}{left_out}", day(revision.newest))
}

fn looked_at(explanation: &Explanation) -> String {
    let counts = &explanation.looked_at;
    let mut parts = vec![format!("{} judged", counts.judged)];
    for (count, what) in [
        (counts.uncovered, "of ecosystems that no source covers whole"),
        (counts.owned_by_system, "that a package of the distribution answers for"),
        (counts.kernel_text, "of a kernel's headers or text, without its code"),
        (counts.foreign, "built by others than the distribution"),
        (counts.no_ecosystem, "of a kind without advisories"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("{} packages: {}", counts.packages, parts.join(", "))
}

fn package(text: &mut String, story: &PackageStory) {
    let outcome = match story.outcome {
        Outcome::Affected => "AFFECTED",
        Outcome::Foreign => "UNKNOWN, built by others than the distribution",
        Outcome::KernelText => "NOT ASKED, it holds no code of the kernel that its advisories are about",
        Outcome::NoEcosystem => "UNKNOWN, no advisories of its kind can be read",
        Outcome::NotAffected => "NOT AFFECTED",
        Outcome::OwnedBySystem => "NOT ASKED, a package of the distribution answers for it",
        Outcome::Unknown => "UNKNOWN",
    };
    let installed = &story.package;
    let show = |text: &str| printable(text, TEXT_MAX);
    let (name, version) = (show(&installed.name), show(&installed.version));
    let _ = writeln!(text, "\n{outcome}: {name} {version} ({})", installed.kind.purl_type());
    if let Some(source) = &installed.source {
        let _ = writeln!(text, "  built from  {} {}", show(&source.name), show(&source.version));
    }
    let _ = writeln!(text, "  listed in   {}", show(&story.path));
    let made_by = story.instruction.as_deref().unwrap_or(&story.layer_digest);
    let _ = writeln!(text, "  layer       {}: {}", story.layer, show(made_by));
    if let Some(owner) = &story.owner {
        let _ = writeln!(text, "  owner       {}", show(owner));
    }
    for asked in &story.asked {
        let ecosystem = &asked.ecosystem;
        let (name, version) = (show(&asked.name), show(&asked.version));
        let _ = writeln!(text, "  asked       {ecosystem} about {name}, version {version}");
    }
    if story.ecosystem.is_some() && !story.covered {
        let _ = writeln!(text, "  coverage    no source speaks about the whole of it, so silence is unknown");
    }
    if let Some(problem) = &story.problem {
        let _ = writeln!(text, "  problem     {problem}");
    }
    let (affecting, others): (Vec<_>, Vec<_>) =
        story.advisories.iter().partition(|advisory| advisory.affected);
    for advisory in affecting.iter().chain(others.iter().take(UNAFFECTED_MAX)) {
        told_by(text, advisory);
    }
    if let Some(more @ 1..) = others.len().checked_sub(UNAFFECTED_MAX) {
        let _ = writeln!(text, "  advisory    {more} more that do not affect it; `--output json` has them");
    }
}

fn told_by(text: &mut String, advisory: &AdvisoryStory) {
    let answer = if advisory.affected { "affected" } else { "not affected" };
    let severity = format!("{:?}", advisory.severity).to_lowercase();
    let others = match advisory.aliases.as_slice() {
        [] => String::new(),
        aliases => format!(" = {}", printable(&aliases.join(" = "), TEXT_MAX)),
    };
    let _ = writeln!(
        text,
        "  advisory    {}{others} by {}, {severity}: {answer}",
        printable(&advisory.id, 100),
        printable(&advisory.source, 60)
    );
    for comparison in &advisory.compared {
        let _ =
            writeln!(text, "              {}", printable(&compared(&advisory.version, comparison), TEXT_MAX));
    }
    if advisory.superseded {
        let _ =
            writeln!(text, "              not asked: an earlier channel, or the package's own name, decides");
    } else if advisory.compared.is_empty() {
        let _ = writeln!(
            text,
            "              it lists versions, and {} is none",
            printable(&advisory.version, 100)
        );
    }
}

fn compared(version: &str, comparison: &Comparison) -> String {
    let Comparison::Range { introduced, fixed, last_affected, place } = comparison else {
        let Comparison::Version { listed } = comparison else { return String::new() };
        return format!("{version} stands in its list as {listed}");
    };
    let first = introduced.as_deref().unwrap_or_default();
    match (*place, fixed, last_affected) {
        ("before", ..) => format!("{version} < {first}, the first affected"),
        ("past", Some(fixed), _) => format!("{version} >= {fixed}, which fixes it"),
        ("past", None, Some(last)) => format!("{version} > {last}, the last affected"),
        (_, fixed, last) => {
            let from = introduced.as_ref().map_or_else(String::new, |first| format!("{first} <= "));
            match (fixed, last) {
                (Some(fixed), _) => format!("{from}{version} < {fixed}, which fixes it"),
                (None, Some(last)) => format!("{from}{version} <= {last}, the last affected"),
                (None, None) => format!("{from}{version}, and no version fixes it"),
            }
        }
    }
}

/// What "nothing was found" means here.
fn not_reported(explanation: &Explanation) -> String {
    let query = printable(&explanation.query, TEXT_MAX);
    if explanation.advisories.is_none() {
        return format!("{query}: unknown, for no advisories are loaded");
    }
    let doubt = if explanation.unknown.is_empty() { "" } else { "; what is unknown above may hide it" };
    match explanation.asked {
        Subject::Package => format!("{query}: no advisory is reported against it{doubt}"),
        Subject::Vulnerability if explanation.named.is_empty() => {
            format!("{query}: not reported, for no advisory in the file has that name{doubt}")
        }
        Subject::Vulnerability if explanation.packages.is_empty() => {
            format!("{query}: not reported, for no package that it names is installed from there{doubt}")
        }
        Subject::Vulnerability => {
            format!("{query}: not reported, for no installed version is affected{doubt}")
        }
    }
}
