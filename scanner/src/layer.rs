//! Walks one layer's archive while its bytes arrive, under the limits.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::detectors::Detected;
use crate::extractors::Extracted;
use crate::layer::contents::Contents;
use crate::layer::decompress::{Decompress, Unpacked};
use crate::layer::entry::EntryTable;
use crate::layer::program::Program;
use crate::layer::tar::TarReader;
use crate::limits::Limits;

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
mod window;

pub use entry::{Entry, EntryKind};
pub use refusal::Refusal;

/// Name and version of the walk with all its extractors and detectors; a report made by another version is not used.
pub const ANALYZER: &str = "portcullis-layer/9";

/// Walks one layer, fed in pieces of any size. It never blocks and never fails half-way: a refusal is remembered and
/// told by [`LayerWalk::finish`], because the caller stores the bytes either way.
pub struct LayerWalk {
    limits: Limits,
    packed: u64,
    stage: Stage,
}

enum Stage {
    /// The first bytes are gathered until they tell the compression.
    Sniffing(Vec<u8>),
    Walking(Box<Walking>),
    /// Nothing more needs to be read.
    Decided(Compression, LayerOutcome),
}

struct Walking {
    compression: Compression,
    decompress: Decompress,
    archive: Archive,
}

/// What stands behind the decompressor.
struct Archive {
    limits: Limits,
    packed: u64,
    unpacked: u64,
    diff_id: Sha256,
    tar: TarReader,
    contents: Contents,
}

impl LayerWalk {
    /// A walk over a blob of unknown kind: the compression is found from the first bytes.
    pub fn new(limits: Limits) -> Self {
        Self { limits, packed: 0, stage: Stage::Sniffing(Vec::new()) }
    }

    /// The next bytes of the blob, as uploaded.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.packed = self.packed.saturating_add(bytes.len() as u64);
        match &mut self.stage {
            Stage::Decided(..) => {}
            Stage::Walking(walking) => {
                walking.archive.packed = self.packed;
                if let Err(refusal) = walking.decompress.feed(bytes, &mut walking.archive) {
                    self.stage = Stage::Decided(walking.compression, walking.archive.outcome(&refusal));
                }
            }
            Stage::Sniffing(first) => {
                first.extend_from_slice(bytes);
                if first.len() >= MAGIC_BYTES {
                    let first = std::mem::take(first);
                    self.begin(&first);
                }
            }
        }
    }

    /// The blob is complete.
    pub fn finish(mut self) -> LayerReport {
        if let Stage::Sniffing(first) = &mut self.stage
            && !first.is_empty()
        {
            let first = std::mem::take(first);
            self.begin(&first);
        }
        let (compression, outcome) = match self.stage {
            Stage::Walking(walking) => return walking.finish(self.packed),
            Stage::Decided(compression, outcome) => (compression, outcome),
            // Not one byte came.
            Stage::Sniffing(_) => (Compression::Plain, LayerOutcome::NotAnArchive),
        };
        LayerReport::without_evidence(compression, outcome, self.packed)
    }

    fn begin(&mut self, first: &[u8]) {
        let compression = Compression::of(first);
        let archive = Archive {
            limits: self.limits,
            packed: self.packed,
            unpacked: 0,
            diff_id: Sha256::new(),
            tar: TarReader::new(&self.limits),
            contents: Contents::new(self.limits),
        };
        self.stage = match Decompress::new(compression) {
            Ok(decompress) => Stage::Walking(Box::new(Walking { compression, decompress, archive })),
            Err(refusal) => Stage::Decided(compression, LayerOutcome::refused(&refusal)),
        };
        self.packed -= first.len() as u64;
        self.feed(first);
    }
}

impl Walking {
    fn finish(self, packed: u64) -> LayerReport {
        let Self { compression, decompress, archive } = self;
        match decompress.finish().and_then(|()| archive.finish()) {
            Ok(()) => archive.report(compression, packed),
            Err(refusal) => LayerReport::without_evidence(compression, archive.outcome(&refusal), packed),
        }
    }
}

impl std::fmt::Debug for LayerWalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWalk").field("packed", &self.packed).finish_non_exhaustive()
    }
}

impl Archive {
    fn finish(&self) -> Result<(), Refusal> {
        self.within_ratio(self.limits.ratio_free_bytes)?;
        self.tar.finish()
    }

    fn within_ratio(&self, free_bytes: u64) -> Result<(), Refusal> {
        let max = self.limits.ratio_max;
        if self.unpacked > free_bytes && self.unpacked / max > self.packed {
            return Err(Refusal::Bomb { unpacked: self.unpacked, packed: self.packed, max });
        }
        Ok(())
    }

    /// Bytes that never looked like an archive are no archive; an archive that breaks is refused.
    fn outcome(&self, refusal: &Refusal) -> LayerOutcome {
        let malformed = matches!(refusal, Refusal::BrokenTar { .. } | Refusal::Truncated(_));
        if malformed && !self.tar.recognised() {
            LayerOutcome::NotAnArchive
        } else {
            LayerOutcome::refused(refusal)
        }
    }

    fn report(self, compression: Compression, packed: u64) -> LayerReport {
        // Less than one block: a document, not an archive.
        let outcome = if self.tar.recognised() { LayerOutcome::Walked } else { LayerOutcome::NotAnArchive };
        LayerReport {
            compression,
            outcome,
            diff_id: Some(format!("sha256:{}", hex::encode(self.diff_id.finalize()))),
            compressed_bytes: packed,
            uncompressed_bytes: self.unpacked,
            file_bytes: self.contents.file_bytes,
            table: self.contents.table,
            extractions: self.contents.extractions,
            programs: self.contents.programs,
            detections: self.contents.detections,
        }
    }
}

impl Unpacked for Archive {
    fn unpacked(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.unpacked = self.unpacked.saturating_add(bytes.len() as u64);
        if self.unpacked > self.limits.uncompressed_bytes_max {
            return Err(Refusal::TooLarge { max: self.limits.uncompressed_bytes_max });
        }
        self.within_ratio(self.limits.ratio_free_bytes)?;
        self.diff_id.update(bytes);
        self.tar.feed(bytes, &mut self.contents)
    }
}

/// What one layer holds, independent of the layers around it. Stored under layer digest and [`ANALYZER`].
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

/// Bytes that tell the compression.
const MAGIC_BYTES: usize = 4;

impl Compression {
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

impl LayerOutcome {
    fn refused(refusal: &Refusal) -> Self {
        Self::Refused { problem: refusal.to_string() }
    }
}

impl LayerReport {
    fn without_evidence(compression: Compression, outcome: LayerOutcome, packed: u64) -> Self {
        Self {
            compression,
            outcome,
            diff_id: None,
            compressed_bytes: packed,
            uncompressed_bytes: 0,
            file_bytes: 0,
            table: EntryTable::default(),
            extractions: Vec::new(),
            programs: Vec::new(),
            detections: Vec::new(),
        }
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
