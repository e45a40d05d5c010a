//! Walks one layer's archive while its bytes arrive, under the limits.

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// Walks one layer, fed in pieces of any size. It never blocks and never fails half-way: a refusal is remembered and
/// told by [`LayerWalk::finish`], because the caller stores the bytes either way.
#[derive(Debug)]
pub struct LayerWalk {}

impl LayerWalk {
    /// A walk over a blob of unknown kind: the compression is found from the first bytes.
    pub fn new(_limits: Limits) -> Self {
        Self {}
    }

    /// The next bytes of the blob, as uploaded.
    pub fn feed(&mut self, _bytes: &[u8]) {}

    /// The blob is complete.
    pub fn finish(self) -> LayerReport {
        LayerReport { compression: Compression::Plain, outcome: LayerOutcome::NotAnArchive, diff_id: None }
    }
}

/// What one layer holds, independent of the layers around it. Stored under layer digest and [`ANALYZER`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    /// What the bytes are, found from the bytes.
    pub compression: Compression,
    /// How the walk ended.
    pub outcome: LayerOutcome,
    /// `sha256:…` of the uncompressed archive, when it was read to its end.
    pub diff_id: Option<String>,
}

/// Name and version of the walk with all its extractors and detectors; a report made by another version is not used.
pub const ANALYZER: &str = "portcullis-layer/1";

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
    /// Bytes for storage.
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Back from storage; `None` when the bytes are not of this version, in which case the layer is walked again.
    pub fn decode(_bytes: &[u8]) -> Option<Self> {
        None
    }
}
