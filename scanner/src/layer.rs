//! Walks one layer's archive while its bytes arrive, under the limits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::detectors::Detected;
use crate::extractors::Extracted;
use crate::layer::entry::EntryTable;
use crate::layer::program::Program;
use crate::limits::Limits;
use crate::yara::{self, RuleSet};

mod archive;
mod contents;
mod decompress;
pub(crate) mod entry;
mod gzip;
mod nested;
mod pax;
pub(crate) mod program;
mod refusal;
mod storage;
mod tar;
mod unpack;
mod whole_files;
mod window;

pub use archive::ArchiveWalk;
pub use entry::{Entry, EntryKind};
pub use refusal::Refusal;
pub use unpack::{Unpack, UnpackEnd};

/// Name and version of the walk with all its extractors and detectors; a report made by another version is not used.
pub const ANALYZER: &str = "portcullis-layer/12";

/// Under what a report is kept: [`ANALYZER`], and the YARA rules that were asked, so that other rules find no report and the
/// layer is walked again. `rules`: the digest of their set.
pub fn analyzer(rules: Option<&str>) -> String {
    match rules {
        Some(rules) => format!("{ANALYZER}+yara/{}:{rules}", yara::VERSION),
        None => ANALYZER.to_owned(),
    }
}

/// Walks one layer, fed in pieces of any size. It never blocks and never fails half-way: a refusal is remembered and
/// told by [`LayerWalk::finish`], because the caller stores the bytes either way.
///
/// Its two halves may be had apart, for a caller with more than one core: see [`Unpack`].
#[derive(Debug)]
pub struct LayerWalk {
    unpack: Unpack,
    archive: ArchiveWalk,
}

impl LayerWalk {
    /// A walk over a blob of unknown kind: the compression is found from the first bytes.
    pub fn new(limits: Limits) -> Self {
        Self { unpack: Unpack::new(), archive: ArchiveWalk::new(limits) }
    }

    /// The same, searching every file by YARA rules too. `None`: by none, which costs nothing.
    pub fn with_rules(self, rules: Option<Arc<RuleSet>>) -> Self {
        Self { archive: self.archive.with_rules(rules), ..self }
    }

    /// The next bytes of the blob, as uploaded.
    pub fn feed(&mut self, bytes: &[u8]) {
        let archive = &mut self.archive;
        self.unpack.feed(bytes, |unpacked, packed| archive.feed(unpacked, packed));
    }

    /// The blob is complete.
    pub fn finish(self) -> LayerReport {
        let Self { unpack, mut archive } = self;
        let end = unpack.finish(|unpacked, packed| archive.feed(unpacked, packed));
        archive.finish(end)
    }
}

/// What one layer holds, independent of the layers around it. Stored under layer digest and [`LayerReport::analyzer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerReport {
    /// What the bytes are, found from the bytes.
    pub compression: Compression,
    /// How the walk ended.
    pub outcome: LayerOutcome,
    /// `sha256:…` of the uncompressed archive, when it was read to its end. An engine compares it with
    /// `rootfs.diff_ids` of the configuration, and so must the gate.
    pub diff_id: Option<String>,
    /// Bytes of the blob.
    pub compressed_bytes: u64,
    /// Bytes of the archive.
    pub uncompressed_bytes: u64,
    /// Sum of the sizes of regular files.
    pub file_bytes: u64,
    /// Digest of the YARA rules that were asked about each file; `None`: none were.
    pub rules: Option<String>,
    pub(crate) table: EntryTable,
    pub(crate) extractions: Vec<Extraction>,
    pub(crate) programs: Vec<Program>,
    pub(crate) detections: Vec<Detection>,
}

/// What an extractor made of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extraction {
    pub(crate) entry: u32,
    pub(crate) extractor: String,
    pub(crate) found: Result<Extracted, String>,
}

/// What a detector found in one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detection {
    pub(crate) entry: u32,
    pub(crate) detected: Detected,
}

/// How a blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not compressed.
    Plain,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
}

impl Compression {
    /// Bytes that tell the compression.
    const MAGIC_BYTES: usize = 4;

    /// A zstd stream may begin with a skippable frame (RFC 8878 §3.1.2).
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum LayerOutcome {
    /// Read to the end.
    Walked,
    /// The bytes are no tar archive: fine for an artifact, never for an image's layer.
    NotAnArchive,
    /// A limit was hit or the archive is malformed; whatever was found until then is not evidence.
    Refused {
        /// Which limit or malformation, with the value seen.
        problem: String,
    },
}

impl LayerReport {
    fn without_evidence(
        compression: Compression,
        outcome: LayerOutcome,
        packed: u64,
        rules: Option<String>,
    ) -> Self {
        Self {
            compression,
            outcome,
            diff_id: None,
            compressed_bytes: packed,
            uncompressed_bytes: 0,
            file_bytes: 0,
            rules,
            table: EntryTable::default(),
            extractions: Vec::new(),
            programs: Vec::new(),
            detections: Vec::new(),
        }
    }

    /// Under what it is kept: see [`analyzer`].
    pub fn analyzer(&self) -> String {
        analyzer(self.rules.as_deref())
    }

    /// Entries in the archive.
    pub fn entries(&self) -> u64 {
        u64::from(self.table.len())
    }

    /// Bytes for storage.
    pub fn encode(&self) -> Vec<u8> {
        storage::encode(self)
    }

    /// Back from storage; `None` when the bytes are not of this version, in which case the layer is walked again.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        storage::decode(bytes)
    }
}
