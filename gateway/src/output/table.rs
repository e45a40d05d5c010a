//! For people: what is wrong, layer by layer, with the instruction that made it and what to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::base::BaseReport;
use super::{CheckReport, PlatformScan, Word};
use crate::gate::verdict::{LayerReference, Reason};
use crate::gate::words::printable;

/// Longest text from the image in one cell, in characters.
const CELL_MAX: usize = 300;

pub(super) fn render(report: &CheckReport, width: u16) -> String {
    let mut text = String::new();
    let digest = report.digest.as_deref().unwrap_or("none");
    let tag = report.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    let _ = writeln!(text, "image       {}", printable(&report.image, CELL_MAX));
    let _ = writeln!(text, "judged as   {}{tag}", report.repository);
    let _ = writeln!(text, "digest      {digest}");
    for scan in &report.scans {
        let _ = writeln!(text, "{}", inventory(scan));
        if let Some(effectiveness) = &scan.effectiveness {
            let _ = writeln!(text, "bytes       {}", super::effective::line(effectiveness));
        }
        if let Some(growth) = &scan.growth {
            let _ = writeln!(text, "growth      {}", super::effective::growth_line(growth));
        }
        text.push_str(&scan.base.as_ref().map_or_else(String::new, BaseReport::lines));
    }
    groups(&mut text, &report.reasons, "denied", width);
    if report.omitted > 0 {
        let _ = writeln!(text, "… and {} more reasons", report.omitted);
    }
    groups(&mut text, &report.warnings, "warning", width);
    if let Some(help) = &report.help {
        let _ = writeln!(text, "\nhelp: {help}");
    }
    let _ = match report.verdict {
        Word::Admitted => {
            writeln!(text, "\nADMITTED at {} with {} warnings", report.checkpoint, report.warnings.len())
        }
        Word::Denied => {
            let count = report.reasons.len() + report.omitted;
            writeln!(text, "\nDENIED at {} for {count} reasons", report.checkpoint)
        }
    };
    text
}

fn inventory(scan: &PlatformScan) -> String {
    let report = &scan.scan;
    let system = report.distribution.as_ref().map_or("no known distribution", |distribution| {
        distribution.pretty_name.as_deref().unwrap_or(&distribution.id)
    });
    let platform =
        scan.platform.as_ref().map_or_else(String::new, |platform| format!("{} ", printable(platform, 60)));
    let malware = &report.malware;
    let matches = malware.rules.as_ref().map(|_| format!("{} YARA matches, ", malware.matches.len()));
    format!(
        "contents    {platform}{}: {} layers, {} packages, {} findings, {} secrets, {}{} unexplained programs, {:.1} % wasted",
        printable(system, 80),
        report.layers.len(),
        report.packages.len(),
        report.findings.len(),
        report.secrets.len(),
        matches.unwrap_or_default(),
        report.coverage.unanswered().files,
        report.waste.ratio() * 100.0
    )
}

/// One table for each layer, oldest first; what blames no layer comes before them.
fn groups(text: &mut String, reasons: &[Reason], word: &str, width: u16) {
    let mut groups: BTreeMap<(Option<&str>, Option<&LayerReference>), Vec<&Reason>> = BTreeMap::new();
    for reason in reasons {
        groups.entry((reason.platform.as_deref(), reason.layer.as_ref())).or_default().push(reason);
    }
    for ((platform, layer), reasons) in groups {
        let platform = platform.map_or_else(String::new, |platform| format!("{} ", printable(platform, 60)));
        let place = match layer {
            None => "image".to_owned(),
            Some(layer) => match &layer.instruction {
                Some(instruction) => format!("layer {}: {}", layer.index, printable(instruction, 200)),
                None => format!("layer {}: {}", layer.index, layer.digest),
            },
        };
        let _ = writeln!(text, "\n{word}: {platform}{place}\n{}", table(&reasons, width));
        for reason in &reasons {
            if let Some(waived) = &reason.waived {
                let what = reason.finding.as_ref().unwrap_or(&reason.check);
                let _ = writeln!(text, "  {} waived {}", printable(what, 100), printable(waived, CELL_MAX));
            }
        }
        for step in next_steps(&reasons) {
            let _ = writeln!(text, "  next: {step}");
        }
    }
}

/// Each step once. Where a version fixes it, the column says which, and one line is enough.
fn next_steps(reasons: &[&Reason]) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for reason in reasons.iter().filter(|reason| reason.waived.is_none()) {
        let step = match &reason.fix {
            Some(_) => "update to the version under `fix` or later, and build again".to_owned(),
            None => printable(&reason.next_step, CELL_MAX),
        };
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    steps
}

fn table(reasons: &[&Reason], width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["CHECK", "SEVERITY", "WHAT", "PACKAGE", "FIX"]);
    for reason in reasons {
        let cell = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| printable(text, CELL_MAX));
        let severity = reason.severity.map(|severity| format!("{severity:?}").to_lowercase());
        // With the package beside it, the finding's name says all, but for how urgent it is.
        let what = match (&reason.finding, &reason.package) {
            (Some(finding), Some(_)) => &urgent(finding, reason),
            _ => &reason.message,
        };
        table.add_row([
            reason.check.clone(),
            cell(severity.as_deref()),
            printable(what, CELL_MAX),
            cell(reason.package.as_deref()),
            cell(reason.fix.as_deref()),
        ]);
    }
    table
}

/// `CVE-2026-0001, exploited since 2026-01-31, EPSS 0.94`.
fn urgent(finding: &str, reason: &Reason) -> String {
    let exploited = reason.exploited_since.as_ref().map(|day| format!(", exploited since {day}"));
    let epss = reason.epss.map(|epss| format!(", EPSS {epss}"));
    format!("{finding}{}{}", exploited.unwrap_or_default(), epss.unwrap_or_default())
}
