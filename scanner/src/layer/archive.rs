//! The second half of a walk: hashes the unpacked archive and reads what is in it.

use std::ops::ControlFlow;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::layer::contents::Contents;
use crate::layer::tar::TarReader;
use crate::layer::unpack::UnpackEnd;
use crate::layer::{Compression, LayerOutcome, LayerReport, Refusal};
use crate::limits::Limits;
use crate::yara::RuleSet;

/// Reads one layer's archive as [`Unpack`](crate::layer::Unpack) unpacks it, under the limits.
pub struct ArchiveWalk {
    limits: Limits,
    packed: u64,
    unpacked: u64,
    diff_id: Sha256,
    tar: TarReader,
    contents: Contents,
    refusal: Option<Refusal>,
}

impl ArchiveWalk {
    /// A walk at the archive's begin.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            packed: 0,
            unpacked: 0,
            diff_id: Sha256::new(),
            tar: TarReader::new(&limits),
            contents: Contents::new(limits),
            refusal: None,
        }
    }

    /// The same, searching every file by YARA rules too. `None`: by none, which costs nothing.
    pub fn with_rules(self, rules: Option<Arc<RuleSet>>) -> Self {
        Self { contents: self.contents.with_rules(rules), ..self }
    }

    /// The next bytes of the archive, and how many of the blob had been fed when they came out. Breaks when the layer is
    /// refused: nothing more needs to be unpacked.
    pub fn feed(&mut self, unpacked: &[u8], packed: u64) -> ControlFlow<()> {
        self.packed = packed;
        if self.refusal.is_none() {
            self.refusal = self.read(unpacked).err();
        }
        if self.refusal.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The archive is complete, or as much of it as could be unpacked.
    pub fn finish(mut self, end: UnpackEnd) -> LayerReport {
        let UnpackEnd { compression, packed, refusal } = end;
        self.packed = packed;
        if packed == 0 {
            let rules = self.contents.rules();
            return LayerReport::without_evidence(compression, LayerOutcome::NotAnArchive, packed, rules);
        }
        // What was unpacked before the damage has been read: a refusal of its content came first.
        match self.refusal.take().or(refusal).map_or_else(|| self.is_whole(), Err) {
            Ok(()) => self.report(compression),
            Err(refusal) => {
                let (outcome, rules) = (self.outcome(&refusal), self.contents.rules());
                LayerReport::without_evidence(compression, outcome, packed, rules)
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.unpacked = self.unpacked.saturating_add(bytes.len() as u64);
        if self.unpacked > self.limits.uncompressed_bytes_max {
            return Err(Refusal::TooLarge { max: self.limits.uncompressed_bytes_max });
        }
        self.within_ratio()?;
        self.diff_id.update(bytes);
        self.tar.feed(bytes, &mut self.contents)
    }

    fn is_whole(&self) -> Result<(), Refusal> {
        self.within_ratio()?;
        self.tar.finish()
    }

    fn within_ratio(&self) -> Result<(), Refusal> {
        let max = self.limits.ratio_max;
        if self.unpacked > self.limits.ratio_free_bytes && self.unpacked / max > self.packed {
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
            LayerOutcome::Refused { problem: refusal.to_string() }
        }
    }

    fn report(self, compression: Compression) -> LayerReport {
        // Less than one block: a document, not an archive.
        let outcome = if self.tar.recognised() { LayerOutcome::Walked } else { LayerOutcome::NotAnArchive };
        LayerReport {
            compression,
            outcome,
            diff_id: Some(format!("sha256:{}", hex::encode(self.diff_id.finalize()))),
            compressed_bytes: self.packed,
            uncompressed_bytes: self.unpacked,
            file_bytes: self.contents.file_bytes,
            rules: self.contents.rules(),
            table: self.contents.table,
            extractions: self.contents.extractions,
            programs: self.contents.programs,
            detections: self.contents.detections,
        }
    }
}

impl std::fmt::Debug for ArchiveWalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWalk").field("unpacked", &self.unpacked).finish_non_exhaustive()
    }
}
