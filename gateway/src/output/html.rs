//! One HTML page that stands alone: no script, no font, no picture, nothing fetched. Everything that comes from the image is
//! escaped; it reads in light, in dark and on paper.

mod style;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scanner::finding::{Exploited, Finding, Severity};
use scanner::image::{Effectiveness, Hint};
use scanner::report::{LayerSummary, Malware, ScanReport};

use super::base::BaseReport;
use super::{CheckReport, PlatformScan, Word};
use crate::gate::policy::format_bytes;
use crate::gate::verdict::{LayerReference, Reason};
use crate::gate::words::{day, printable};

/// Longest text from the image in one place, in characters.
const TEXT_MAX: usize = 400;

/// Nothing may be fetched, even if something slipped through the escaping.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn render(report: &CheckReport) -> String {
    let (word, class, count) = match report.verdict {
        Word::Admitted => ("Admitted", "good", report.warnings.len()),
        Word::Denied => ("Denied", "bad", report.reasons.len() + report.omitted),
    };
    let what = if report.verdict == Word::Denied { "reason" } else { "warning" };
    let mut page = Page::new(&format!("{word}: {}", report.image));
    page.open("header", "");
    page.line("h1", &format!("{word} at {}", report.checkpoint), class);
    page.line("p", &format!("{}, {}", report.image, plural(count, what)), "lead");
    page.facts(&[
        ("judged as", Some(judged_as(report))),
        ("digest", Some(report.digest.clone().unwrap_or_else(|| "none".to_owned()))),
        ("policy", Some(report.policy.clone())),
        ("help", report.help.clone()),
    ]);
    page.close("header");
    reasons(&mut page, "Why it is denied", &report.reasons);
    if report.omitted > 0 {
        page.line("p", &format!("… and {} more reasons", report.omitted), "");
    }
    reasons(&mut page, "Warnings", &report.warnings);
    for scan in &report.scans {
        platform(&mut page, scan);
    }
    signatures(&mut page, report);
    page.finish()
}

/// The page for a question that has no answer.
pub(super) fn render_undecided(image: &str, problem: &str) -> String {
    let mut page = Page::new(&format!("Undecided: {image}"));
    page.open("header", "");
    page.line("h1", "Could not decide", "bad");
    page.line("p", image, "lead");
    page.line("p", problem, "");
    page.line("p", "A pipeline must treat this as a denial.", "");
    page.close("header");
    page.finish()
}

fn judged_as(report: &CheckReport) -> String {
    let tag = report.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    format!("{}{tag}", report.repository)
}

/// One table for each layer, oldest first; what blames no layer comes before them.
fn reasons(page: &mut Page, title: &str, reasons: &[Reason]) {
    if reasons.is_empty() {
        return;
    }
    page.open("section", "");
    page.line("h2", title, "");
    let mut groups: BTreeMap<(Option<&str>, Option<&LayerReference>), Vec<&Reason>> = BTreeMap::new();
    for reason in reasons {
        groups.entry((reason.platform.as_deref(), reason.layer.as_ref())).or_default().push(reason);
    }
    for ((platform, layer), reasons) in groups {
        let platform = platform.map_or_else(String::new, |platform| format!("{platform}: "));
        let place = layer.map_or_else(
            || "the image".to_owned(),
            |layer| format!("layer {}: {}", layer.index, layer.instruction.as_ref().unwrap_or(&layer.digest)),
        );
        page.line("h3", &format!("{platform}{place}"), "");
        page.table(&["check", "severity", "what", "next step"], |page| {
            for reason in reasons {
                page.open("tr", "");
                page.line("td", &reason.check, "word");
                page.severity(reason.severity);
                page.line("td", &reason.message, "");
                page.line("td", &reason.next_step, "");
                page.close("tr");
            }
        });
    }
    page.close("section");
}

fn platform(page: &mut Page, scan: &PlatformScan) {
    let report = &scan.scan;
    page.open("section", "");
    page.line("h2", &format!("Contents {}", scan.platform.as_deref().unwrap_or_default()), "");
    let system = report
        .distribution
        .as_ref()
        .map(|distribution| distribution.pretty_name.clone().unwrap_or_else(|| distribution.id.clone()));
    page.facts(&[
        ("system", Some(system.unwrap_or_else(|| "no known distribution".to_owned()))),
        ("packages", Some(report.packages.len().to_string())),
        ("vulnerabilities", Some(severities(&report.findings))),
        ("known exploited", exploited(report)),
        ("secrets", Some(report.secrets.len().to_string())),
        ("YARA matches", report.malware.rules.as_ref().map(|_| report.malware.matches.len().to_string())),
        ("YARA rules", report.malware.rules.clone()),
        ("growth", scan.growth.as_ref().map(super::effective::growth_line)),
        ("base", scan.base.as_ref().map(base)),
        ("advisories", report.advisories.as_ref().map(|revision| revision.digest.clone())),
    ]);
    if !report.unknown.is_empty() {
        page.line("h3", "Not known, and so not clean", "");
        page.open("ul", "");
        for unknown in &report.unknown {
            page.line("li", &crate::gate::explain::unknown(unknown), "");
        }
        page.close("ul");
    }
    findings(page, &report.findings);
    secrets(page, report);
    malware(page, &report.malware);
    layers(page, report, scan.effectiveness.as_ref());
    if let Some(effectiveness) = &scan.effectiveness {
        hints(page, effectiveness);
    }
    packages(page, report);
    page.close("section");
}

fn base(base: &BaseReport) -> String {
    let told = format!(
        "{}, {} layers; vulnerabilities: {} inherited, {} added above it",
        base.name,
        base.layers,
        base.inherited.len(),
        base.added.len()
    );
    match &base.rebase {
        Some(rebase) => {
            let (removes, brings) = (rebase.removes.len(), rebase.brings.len());
            format!("{told}; rebasing to {} removes {removes} and brings {brings}", rebase.to)
        }
        None => told,
    }
}

/// `2 critical, 1 high`.
fn severities(findings: &[Finding]) -> String {
    let mut counts: BTreeMap<std::cmp::Reverse<Severity>, usize> = BTreeMap::new();
    for finding in findings {
        *counts.entry(std::cmp::Reverse(finding.severity)).or_default() += 1;
    }
    if counts.is_empty() {
        return "none found".to_owned();
    }
    let told: Vec<String> =
        counts.iter().map(|(severity, count)| format!("{count} {}", word(severity.0))).collect();
    told.join(", ")
}

/// How many are used in attacks. Without a catalogue nobody knows, which is not "none".
fn exploited(report: &ScanReport) -> Option<String> {
    let revision = report.advisories.as_ref()?;
    let count = report.findings.iter().filter(|finding| finding.risk.exploited.is_some()).count();
    Some(match revision.exploited {
        Some(_) => format!("{count} of them"),
        None => "not known: the advisories hold no catalogue of what is exploited".to_owned(),
    })
}

fn findings(page: &mut Page, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    page.line("h3", "Vulnerabilities", "");
    page.table(
        &["severity", "name", "package", "fixed in", "layer", "exploited", "EPSS", "summary"],
        |page| {
            for finding in findings {
                page.open("tr", "");
                page.severity(Some(finding.severity));
                page.line("td", &finding.id, "mono word");
                page.line("td", &format!("{} {}", finding.package.name, finding.package.version), "mono");
                page.line("td", finding.fixed_version.as_deref().unwrap_or("not yet"), "mono");
                page.line("td", &finding.layer.to_string(), "number");
                page.exploited(finding.risk.exploited);
                let epss = finding.risk.epss.map(|epss| epss.probability.to_string());
                page.line("td", &epss.unwrap_or_default(), "number");
                page.line("td", finding.summary.as_deref().unwrap_or_default(), "");
                page.close("tr");
            }
        },
    );
}

fn secrets(page: &mut Page, report: &ScanReport) {
    if report.secrets.is_empty() {
        return;
    }
    page.line("h3", "Secrets", "");
    page.table(&["rule", "where", "layer", "begins with", "still visible"], |page| {
        for secret in &report.secrets {
            page.open("tr", "");
            page.line("td", &secret.rule, "word");
            page.line("td", &secret.path, "mono");
            let layer = secret.layer.map_or_else(|| "configuration".to_owned(), |layer| layer.to_string());
            page.line("td", &layer, "number");
            page.line("td", &secret.preview, "mono");
            page.line("td", if secret.deleted_later { "deleted later, and shipped" } else { "yes" }, "");
            page.close("tr");
        }
    });
}

fn malware(page: &mut Page, malware: &Malware) {
    if !malware.matches.is_empty() {
        page.line("h3", "What YARA rules match", "");
        page.table(&["rule", "of file", "where", "layer", "still visible"], |page| {
            for found in &malware.matches {
                page.open("tr", "");
                page.line("td", &found.rule, "word");
                page.line("td", &found.rule_file, "mono");
                page.line("td", &found.path, "mono");
                page.line("td", &found.layer.to_string(), "number");
                page.line("td", if found.deleted_later { "deleted later, and shipped" } else { "yes" }, "");
                page.close("tr");
            }
        });
    }
    if !malware.unsearched.is_empty() {
        page.line("h3", "Files that YARA rules have not seen whole", "");
        page.table(&["file", "layer", "why"], |page| {
            for file in &malware.unsearched {
                page.open("tr", "");
                page.line("td", &file.path, "mono");
                page.line("td", &file.layer.to_string(), "number");
                page.line("td", &file.why.problem(), "");
                page.close("tr");
            }
        });
    }
}

fn layers(page: &mut Page, report: &ScanReport, effectiveness: Option<&Effectiveness>) {
    if report.layers.is_empty() {
        return;
    }
    page.line("h3", "Layers", "");
    let largest = report.layers.iter().map(|layer| layer.file_bytes).max().unwrap_or(1).max(1);
    page.table(&["", "instruction", "to transfer", "files", "hidden later", ""], |page| {
        for (index, layer) in report.layers.iter().enumerate() {
            let LayerSummary { compressed_bytes, file_bytes, instruction, digest, .. } = layer;
            let hidden = effectiveness.and_then(|it| it.hidden_bytes_by_layer.get(index)).copied();
            page.open("tr", "");
            page.line("td", &index.to_string(), "number");
            page.line("td", instruction.as_ref().unwrap_or(digest), "mono");
            page.line("td", &format_bytes(*compressed_bytes), "number");
            page.line("td", &format_bytes(*file_bytes), "number");
            page.line("td", &hidden.map_or_else(String::new, format_bytes), "number");
            page.bar(*file_bytes, largest);
            page.close("tr");
        }
    });
}

fn hints(page: &mut Page, effectiveness: &Effectiveness) {
    let score = effectiveness.efficiency.score * 100.0;
    page.line("h3", "What it could do without", "");
    let told = format!(
        "{} are shipped and seen by no container. By the measure of dive the image is {score:.1} % efficient.",
        format_bytes(effectiveness.hidden_bytes)
    );
    page.line("p", &told, "");
    if effectiveness.hints.is_empty() {
        return;
    }
    page.table(&["bytes", "what", "layer", "files", "write instead"], |page| {
        for hint in &effectiveness.hints {
            let Hint { bytes, layer, paths, advice, .. } = hint;
            page.open("tr", "");
            page.line("td", &format_bytes(*bytes), "number");
            page.line("td", &super::effective::title(hint), "word");
            page.line("td", &layer.map_or_else(String::new, |layer| layer.to_string()), "number");
            page.line("td", &paths.join("  "), "mono");
            page.line("td", advice, "");
            page.close("tr");
        }
    });
}

fn packages(page: &mut Page, report: &ScanReport) {
    if report.packages.is_empty() {
        return;
    }
    page.line("h3", "Packages", "");
    page.table(&["kind", "name", "version", "layer", "listed in"], |page| {
        for found in &report.packages {
            page.open("tr", "");
            page.line("td", found.package.kind.purl_type(), "");
            page.line("td", &found.package.name, "mono");
            page.line("td", &found.package.version, "mono");
            page.line("td", &found.layer.to_string(), "number");
            page.line("td", &found.path, "mono");
            page.close("tr");
        }
    });
}

fn signatures(page: &mut Page, report: &CheckReport) {
    let told = &report.signatures;
    if told.verified.is_empty() && told.rejected.is_empty() {
        return;
    }
    page.open("section", "");
    page.line("h2", "Signatures", "");
    let told = format!(
        "{} verified, {} rejected; `--output json` tells each.",
        told.verified.len(),
        told.rejected.len()
    );
    page.line("p", &told, "");
    page.close("section");
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
        Severity::Negligible => "negligible",
        Severity::Unknown => "unrated",
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A page in the making. Text enters through [`Page::line`] alone, which escapes it.
struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        let mut page =
            Self("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n".to_owned());
        let _ =
            writeln!(page.0, "<meta http-equiv=\"Content-Security-Policy\" content=\"{CONTENT_POLICY}\">");
        page.0.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        page.0.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
        page.line("title", title, "");
        let _ = writeln!(page.0, "<style>\n{}</style>\n</head>\n<body>\n<main>", style::SHEET);
        page
    }

    fn finish(mut self) -> String {
        let _ = writeln!(
            self.0,
            "<footer>portcullis {}</footer>\n</main>\n</body>\n</html>",
            env!("CARGO_PKG_VERSION")
        );
        self.0
    }

    fn open(&mut self, tag: &'static str, class: &'static str) {
        let _ = match class {
            "" => writeln!(self.0, "<{tag}>"),
            class => writeln!(self.0, "<{tag} class=\"{class}\">"),
        };
    }

    fn close(&mut self, tag: &'static str) {
        let _ = writeln!(self.0, "</{tag}>");
    }

    fn line(&mut self, tag: &'static str, text: &str, class: &'static str) {
        let text = escaped(&printable(text, TEXT_MAX));
        let _ = match class {
            "" => writeln!(self.0, "<{tag}>{text}</{tag}>"),
            class => writeln!(self.0, "<{tag} class=\"{class}\">{text}</{tag}>"),
        };
    }

    fn facts(&mut self, facts: &[(&'static str, Option<String>)]) {
        self.open("dl", "");
        for (name, value) in facts {
            if let Some(value) = value {
                self.line("dt", name, "");
                self.line("dd", value, "");
            }
        }
        self.close("dl");
    }

    fn table(&mut self, header: &[&'static str], rows: impl FnOnce(&mut Self)) {
        self.open("div", "wide");
        self.open("table", "");
        self.open("thead", "");
        self.open("tr", "");
        for name in header {
            self.line("th", name, "");
        }
        self.close("tr");
        self.close("thead");
        self.open("tbody", "");
        rows(self);
        self.close("tbody");
        self.close("table");
        self.close("div");
    }

    fn severity(&mut self, severity: Option<Severity>) {
        self.open("td", "");
        if let Some(severity) = severity {
            let class = match severity {
                Severity::Critical => "chip critical",
                Severity::High => "chip high",
                Severity::Medium => "chip medium",
                Severity::Low | Severity::Negligible => "chip low",
                Severity::Unknown => "chip unrated",
            };
            self.line("span", word(severity), class);
        }
        self.close("td");
    }

    fn exploited(&mut self, exploited: Option<Exploited>) {
        self.open("td", "");
        if let Some(Exploited { since, ransomware }) = exploited {
            let by = if ransomware { ", by ransomware" } else { "" };
            self.line("span", &format!("since {}{by}", day(since)), "chip critical");
        }
        self.close("td");
    }

    /// A bar of per cents: numbers of ours, never text.
    fn bar(&mut self, part: u64, whole: u64) {
        let percent = u128::from(part) * 100 / u128::from(whole.max(1));
        let _ = writeln!(self.0, "<td class=\"bar\"><i style=\"width:{percent}%\"></i></td>");
    }
}

/// HTML's five (WHATWG HTML §13.1.2), which suffice in text and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
