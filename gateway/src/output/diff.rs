//! The answer of `portcullis diff`: as a table and as JSON.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use scanner::diff::{Difference, FindingChange, Layers};
use scanner::report::{AdvisoryRevision, LayerSummary, SecretFinding};
use serde::Serialize;

use super::RenderError;
use crate::gate::policy::format_bytes;
use crate::gate::words::printable;

/// Names the JSON form; a change that a reader could notice raises the number.
pub const SCHEMA: &str = "portcullis-diff/1";

/// Longest text from an image in one cell, in characters.
const CELL_MAX: usize = 200;

/// What was compared, and what came out.
#[derive(Debug, Serialize)]
pub struct DiffReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The older image.
    pub old: Side,
    /// The newer image.
    pub new: Side,
    /// The advisories that both were matched against.
    pub advisories: Option<AdvisoryRevision>,
    /// Platforms that both have, each with its difference.
    pub platforms: Vec<PlatformDifference>,
    /// Platforms that only the older image has.
    pub removed_platforms: Vec<String>,
    /// Platforms that only the newer image has.
    pub added_platforms: Vec<String>,
}

/// One of the two.
#[derive(Debug, Serialize)]
pub struct Side {
    /// As named on the command line.
    pub image: String,
    /// Digest of the manifest; `null` for a docker archive.
    pub digest: Option<String>,
}

/// One platform.
#[derive(Debug, Serialize)]
pub struct PlatformDifference {
    /// `linux/amd64`; `null` where neither image is an index.
    pub platform: Option<String>,
    /// What changed.
    #[serde(flatten)]
    pub difference: Difference,
}

impl DiffReport {
    /// As JSON, with a line end.
    pub fn json(&self) -> Result<String, RenderError> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// For people.
    pub fn table(&self, width: u16) -> String {
        let mut text = String::new();
        for (word, side) in [("old", &self.old), ("new", &self.new)] {
            let digest = side.digest.as_deref().unwrap_or("no digest");
            let _ = writeln!(text, "{word}  {} ({digest})", printable(&side.image, 300));
        }
        if self.advisories.is_none() {
            let _ = writeln!(text, "no advisories: vulnerabilities were not compared");
        }
        for (word, platforms) in [("removed", &self.removed_platforms), ("added", &self.added_platforms)] {
            for platform in platforms {
                let _ = writeln!(text, "{word} platform {}", printable(platform, 60));
            }
        }
        for platform in &self.platforms {
            if let Some(name) = &platform.platform {
                let _ = writeln!(text, "\n== {}", printable(name, 60));
            }
            one(&mut text, &platform.difference, width);
        }
        text
    }
}

fn one(text: &mut String, difference: &Difference, width: u16) {
    sizes(text, &difference.layers, width);
    let packages = &difference.packages;
    let _ = writeln!(text, "\npackages: {}", count(packages.len(), "change"));
    if !packages.is_empty() {
        let mut table = table(width, &["", "KIND", "NAME", "FROM", "TO"]);
        for change in packages {
            let name = printable(&change.name, CELL_MAX);
            let versions = |versions: &[String]| printable(&versions.join(", "), CELL_MAX);
            let kind = change.kind.purl_type().to_owned();
            let (from, to) = (versions(&change.from), versions(&change.to));
            table.add_row([change.word().to_owned(), kind, name, from, to]);
        }
        let _ = writeln!(text, "{table}");
    }
    let (new, fixed) = (&difference.new_findings, &difference.fixed_findings);
    let _ = writeln!(
        text,
        "\nvulnerabilities: {} new, {} fixed, {} kept",
        new.len(),
        fixed.len(),
        difference.kept_findings
    );
    if !new.is_empty() || !fixed.is_empty() {
        let mut table = table(width, &["", "SEVERITY", "WHAT", "PACKAGE", "FIX"]);
        new.iter().for_each(|finding| table_row(&mut table, "new", finding));
        fixed.iter().for_each(|finding| table_row(&mut table, "fixed", finding));
        let _ = writeln!(text, "{table}");
    }
    let (new, gone) = (&difference.new_secrets, &difference.gone_secrets);
    let _ =
        writeln!(text, "\nsecrets: {} new, {} gone, {} kept", new.len(), gone.len(), difference.kept_secrets);
    new.iter().for_each(|secret| secret_line(text, "new", secret));
    gone.iter().for_each(|secret| secret_line(text, "gone", secret));
    for unknown in &difference.new_unknown {
        let shown = crate::gate::explain::unknown(unknown);
        let _ = writeln!(text, "\nunknown now, and not before: {shown}");
    }
}

fn sizes(text: &mut String, layers: &Layers, width: u16) {
    let _ = writeln!(text);
    for (what, (old, new)) in [
        ("to transfer", layers.compressed_bytes),
        ("files", layers.file_bytes),
        ("hidden by later layers", layers.hidden_bytes),
    ] {
        let _ =
            writeln!(text, "{what}: {} → {} ({})", format_bytes(old), format_bytes(new), growth(old, new));
    }
    let _ = writeln!(
        text,
        "layers: {} shared, {} removed, {} added",
        layers.shared,
        layers.removed.len(),
        layers.added.len()
    );
    if layers.removed.is_empty() && layers.added.is_empty() {
        return;
    }
    let mut table = table(width, &["", "LAYER", "TO TRANSFER", "FILES", "INSTRUCTION"]);
    for (word, side) in [("removed", &layers.removed), ("added", &layers.added)] {
        for (index, layer) in side.iter().enumerate() {
            let LayerSummary { compressed_bytes, file_bytes, .. } = layer;
            table.add_row([
                word.to_owned(),
                (layers.shared + index).to_string(),
                format_bytes(*compressed_bytes),
                format_bytes(*file_bytes),
                printable(layer.instruction.as_deref().unwrap_or(&layer.digest), CELL_MAX),
            ]);
        }
    }
    let _ = writeln!(text, "{table}");
}

/// `+1.5 MiB`, `-200 B`, `same`.
fn growth(old: u64, new: u64) -> String {
    match new.checked_sub(old) {
        Some(0) => "same".to_owned(),
        Some(more) => format!("+{}", format_bytes(more)),
        None => format!("-{}", format_bytes(old - new)),
    }
}

fn table(width: u16, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header);
    table
}

fn table_row(table: &mut Table, word: &str, finding: &FindingChange) {
    let versions: Vec<&str> = finding.versions.iter().map(String::as_str).collect();
    table.add_row([
        word.to_owned(),
        format!("{:?}", finding.severity).to_lowercase(),
        printable(&finding.id, CELL_MAX),
        printable(&format!("{} {}", finding.package, versions.join(", ")), CELL_MAX),
        finding.fixed_version.as_deref().map_or_else(|| "-".to_owned(), |fix| printable(fix, CELL_MAX)),
    ]);
}

fn secret_line(text: &mut String, word: &str, secret: &SecretFinding) {
    let place = secret.layer.map_or_else(|| "the configuration".to_owned(), |layer| format!("layer {layer}"));
    let (rule, path) = (printable(&secret.rule, 60), printable(&secret.path, CELL_MAX));
    let _ = writeln!(text, "  {word}  {rule} in {path} ({place})");
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
