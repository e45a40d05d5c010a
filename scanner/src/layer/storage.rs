//! The stored form of a layer report: a version, then the facts as JSON and the entry table as it is, packed by zstd.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::layer::entry::EntryTable;
use crate::layer::program::Program;
use crate::layer::{ANALYZER, Compression, Detection, Extraction, LayerOutcome, LayerReport};

/// Packing level: a report is written once a layer, and level 1 already shrinks it to a fifth.
const ZSTD_LEVEL: i32 = 1;

/// Bytes that a stored report may unpack to. Our own store is not hostile, but a damaged length must not ask for all
/// memory. Above what the limits of a walk can produce.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Facts<'r> {
    compression: Compression,
    outcome: Cow<'r, LayerOutcome>,
    diff_id: Cow<'r, Option<String>>,
    compressed_bytes: u64,
    uncompressed_bytes: u64,
    file_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
    entries: u32,
    extractions: Cow<'r, [Extraction]>,
    programs: Cow<'r, [Program]>,
    detections: Cow<'r, [Detection]>,
}

pub(super) fn encode(report: &LayerReport) -> Vec<u8> {
    let facts = Facts {
        compression: report.compression,
        outcome: Cow::Borrowed(&report.outcome),
        diff_id: Cow::Borrowed(&report.diff_id),
        compressed_bytes: report.compressed_bytes,
        uncompressed_bytes: report.uncompressed_bytes,
        file_bytes: report.file_bytes,
        rules: report.rules.clone(),
        entries: report.table.len(),
        extractions: Cow::Borrowed(&report.extractions),
        programs: Cow::Borrowed(&report.programs),
        detections: Cow::Borrowed(&report.detections),
    };
    let facts = serde_json::to_vec(&facts).expect("plain data with text keys");
    let mut plain = (facts.len() as u64).to_le_bytes().to_vec();
    plain.extend_from_slice(&facts);
    plain.extend_from_slice(report.table.as_bytes());
    let mut bytes = report.analyzer().into_bytes();
    bytes.push(0);
    bytes.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    bytes.extend(zstd::bulk::compress(&plain, ZSTD_LEVEL).expect("memory is the only reason to fail"));
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Option<LayerReport> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (analyzer, rest) = (&bytes[..end], &bytes[end + 1..]);
    if !analyzer.starts_with(ANALYZER.as_bytes()) {
        return None;
    }
    let (length, packed) = rest.split_first_chunk()?;
    let length =
        usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= UNPACKED_BYTES_MAX)?;
    let plain = zstd::bulk::decompress(packed, length).ok().filter(|plain| plain.len() == length)?;
    let (length, rest) = plain.split_first_chunk()?;
    let (facts, table) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let facts: Facts<'_> = serde_json::from_slice(facts).ok()?;
    let table = EntryTable::from_bytes(table, facts.entries)?;
    let known = |entry: u32| entry < table.len();
    let consistent = facts.extractions.iter().all(|extraction| known(extraction.entry))
        && facts.programs.iter().all(|program| known(program.entry))
        && facts.detections.iter().all(|detection| known(detection.entry));
    let report = consistent.then(|| LayerReport {
        compression: facts.compression,
        outcome: facts.outcome.into_owned(),
        diff_id: facts.diff_id.into_owned(),
        compressed_bytes: facts.compressed_bytes,
        uncompressed_bytes: facts.uncompressed_bytes,
        file_bytes: facts.file_bytes,
        rules: facts.rules,
        table,
        extractions: facts.extractions.into_owned(),
        programs: facts.programs.into_owned(),
        detections: facts.detections.into_owned(),
    });
    report.filter(|report| report.analyzer().as_bytes() == analyzer)
}
