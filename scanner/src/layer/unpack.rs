//! The first half of a walk: finds the compression from the first bytes, and undoes it.

use std::ops::ControlFlow;

use crate::layer::decompress::{Decompress, Unpacked};
use crate::layer::{Compression, Refusal};

/// Undoes a layer's compression while its bytes arrive, for an [`ArchiveWalk`](crate::layer::ArchiveWalk) that may be
/// on another thread: each half costs about the same.
///
/// Whoever takes what comes out gets a piece of the archive, and how many bytes of the blob had been fed by then; it
/// breaks when it needs no more.
pub struct Unpack {
    packed: u64,
    stage: Stage,
}

enum Stage {
    /// The first bytes are gathered until they tell the compression.
    Sniffing(Vec<u8>),
    Unpacking(Compression, Box<Decompress>),
    /// Nothing more needs to be unpacked.
    Ended(Compression, Option<Refusal>),
}

/// What the first half knows when the blob is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpackEnd {
    pub(super) compression: Compression,
    pub(super) packed: u64,
    /// Why not everything could be unpacked.
    pub(super) refusal: Option<Refusal>,
}

impl Unpack {
    /// For a blob of unknown kind.
    pub fn new() -> Self {
        Self { packed: 0, stage: Stage::Sniffing(Vec::new()) }
    }

    /// The next bytes of the blob, as uploaded.
    pub fn feed(&mut self, bytes: &[u8], take: impl FnMut(&[u8], u64) -> ControlFlow<()>) {
        self.packed = self.packed.saturating_add(bytes.len() as u64);
        match &mut self.stage {
            Stage::Ended(..) => {}
            Stage::Unpacking(..) => self.unpack(bytes, take),
            Stage::Sniffing(first) => {
                first.extend_from_slice(bytes);
                if first.len() >= Compression::MAGIC_BYTES {
                    let first = std::mem::take(first);
                    self.begin(&first, take);
                }
            }
        }
    }

    /// The blob is complete.
    pub fn finish(mut self, take: impl FnMut(&[u8], u64) -> ControlFlow<()>) -> UnpackEnd {
        if let Stage::Sniffing(first) = &mut self.stage {
            let first = std::mem::take(first);
            self.begin(&first, take);
        }
        let (compression, refusal) = match self.stage {
            Stage::Unpacking(compression, decompress) => (compression, decompress.finish().err()),
            Stage::Ended(compression, refusal) => (compression, refusal),
            Stage::Sniffing(_) => (Compression::Plain, None),
        };
        UnpackEnd { compression, packed: self.packed, refusal }
    }

    fn begin(&mut self, first: &[u8], take: impl FnMut(&[u8], u64) -> ControlFlow<()>) {
        let compression = Compression::of(first);
        self.stage = match Decompress::new(compression) {
            Ok(decompress) => Stage::Unpacking(compression, Box::new(decompress)),
            Err(refusal) => Stage::Ended(compression, Some(refusal)),
        };
        self.unpack(first, take);
    }

    fn unpack(&mut self, bytes: &[u8], take: impl FnMut(&[u8], u64) -> ControlFlow<()>) {
        let Stage::Unpacking(compression, decompress) = &mut self.stage else { return };
        let mut receiver = Receiver { take, packed: self.packed };
        match decompress.feed(bytes, &mut receiver) {
            Ok(()) => {}
            Err(Halt::Taken) => self.stage = Stage::Ended(*compression, None),
            Err(Halt::Refused(refusal)) => self.stage = Stage::Ended(*compression, Some(refusal)),
        }
    }
}

impl Default for Unpack {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Unpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpack").field("packed", &self.packed).finish_non_exhaustive()
    }
}

struct Receiver<T> {
    take: T,
    packed: u64,
}

/// Why unpacking ended early.
enum Halt {
    /// The receiver needs no more.
    Taken,
    Refused(Refusal),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<T: FnMut(&[u8], u64) -> ControlFlow<()>> Unpacked for Receiver<T> {
    type Error = Halt;

    fn unpacked(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        match (self.take)(bytes, self.packed) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Halt::Taken),
        }
    }
}
