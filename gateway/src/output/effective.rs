//! What an image could do without, for people.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use scanner::image::{Effectiveness, Hint, What};

use super::PlatformScan;
use crate::gate::growth::Growth;
use crate::gate::policy::format_bytes;
use crate::gate::words::printable;

/// Longest text from an image in one cell, in characters.
const CELL_MAX: usize = 200;

/// One line: how well it uses its bytes.
pub(super) fn line(effectiveness: &Effectiveness) -> String {
    let count = effectiveness.hints.len();
    let hints = match count {
        0 => String::new(),
        1 => "; 1 hint, see `--layers`".to_owned(),
        _ => format!("; {count} hints, see `--layers`"),
    };
    format!(
        "{} hidden by later layers, {:.2} % efficient as dive counts{hints}",
        format_bytes(effectiveness.hidden_bytes),
        effectiveness.efficiency.score * 100.0
    )
}

/// One line: what changed since the previous release.
pub(super) fn growth_line(growth: &Growth) -> String {
    let Growth { previous, file_bytes, packages, shared_bytes, .. } = growth;
    let bytes = match file_bytes.grown() {
        0 => format!("{} less", format_bytes(file_bytes.from.saturating_sub(file_bytes.to))),
        more => format!("{} more", format_bytes(more)),
    };
    format!(
        "{bytes} than the {} of {}, {} of {} shared with it; packages: {} before, {} now",
        format_bytes(file_bytes.from),
        printable(previous, CELL_MAX),
        format_bytes(*shared_bytes),
        format_bytes(file_bytes.to),
        packages.from,
        packages.to
    )
}

/// Layers with their instructions, then what to change.
pub(super) fn tables(text: &mut String, scan: &PlatformScan, width: u16) {
    let platform = scan
        .platform
        .as_ref()
        .map_or_else(String::new, |platform| format!(" of {}", printable(platform, 60)));
    let mut layers = table(width, &["LAYER", "TO TRANSFER", "FILES", "HIDDEN LATER", "INSTRUCTION"]);
    for (index, layer) in scan.scan.layers.iter().enumerate() {
        let hidden = scan.effectiveness.as_ref().and_then(|it| it.hidden_bytes_by_layer.get(index)).copied();
        layers.add_row([
            index.to_string(),
            format_bytes(layer.compressed_bytes),
            format_bytes(layer.file_bytes),
            format_bytes(hidden.unwrap_or_default()),
            printable(layer.instruction.as_deref().unwrap_or(&layer.digest), CELL_MAX),
        ]);
    }
    let _ = writeln!(text, "\nlayers{platform}\n{layers}");
    if let Some(growth) = scan.growth.as_ref().filter(|growth| !growth.layers.is_empty()) {
        let mut grown = table(width, &["MORE BYTES", "LAYER", "WHAT", "INSTRUCTION"]);
        for layer in &growth.layers {
            grown.add_row([
                format_bytes(layer.grown_bytes),
                layer.index.to_string(),
                if layer.is_new { "new instruction" } else { "same instruction" }.to_owned(),
                printable(layer.instruction.as_deref().unwrap_or("-"), CELL_MAX),
            ]);
        }
        let _ = writeln!(text, "\ngrown{platform} since {}\n{grown}", printable(&growth.previous, CELL_MAX));
    }
    let Some(effectiveness) = scan.effectiveness.as_ref().filter(|it| !it.hints.is_empty()) else { return };
    let mut hints = table(width, &["BYTES", "WHAT", "LAYER", "FILES", "WRITE INSTEAD"]);
    for hint in &effectiveness.hints {
        let more = hint.files.saturating_sub(u64::try_from(hint.paths.len()).unwrap_or(u64::MAX));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        hints.add_row([
            format_bytes(hint.bytes),
            title(hint),
            hint.layer.map_or_else(|| "-".to_owned(), |layer| layer.to_string()),
            format!("{}{more}", printable(&hint.paths.join(" "), CELL_MAX)),
            hint.advice.clone(),
        ]);
    }
    let _ = writeln!(text, "\nhints{platform}\n{hints}");
}

/// What a hint is about, in a few words.
pub(super) fn title(hint: &Hint) -> String {
    match hint.what {
        What::ConsecutiveRuns => "RUN after RUN".to_owned(),
        What::Deleted => format!("deleted by layer {}", hint.hidden_by.unwrap_or_default()),
        What::Duplicate => "equal files".to_owned(),
        What::Leftover(leftover) => serde_json::to_value(leftover)
            .ok()
            .and_then(|it| Some(it.as_str()?.replace('-', " ")))
            .unwrap_or_default(),
        What::Overwritten => format!("overwritten by layer {}", hint.hidden_by.unwrap_or_default()),
        What::Rewritten => format!("written again by layer {}", hint.hidden_by.unwrap_or_default()),
        What::Volume => "inside a declared volume".to_owned(),
    }
}

fn table(width: u16, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header);
    table
}
