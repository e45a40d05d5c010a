//! Undoes a layer's compression while its bytes arrive, in a fixed scratch buffer.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::layer::gzip::Gunzip;
use crate::layer::{Compression, Refusal};
use crate::limits::ZSTD_WINDOW_LOG_MAX;

/// Bytes that are unpacked at a time: small enough for the processor's second cache, where the hash, the archive reader
/// and the secret search then find them.
pub(crate) const SCRATCH_BYTES: usize = 128 << 10;

/// Receives unpacked bytes.
pub(crate) trait Unpacked {
    /// The next bytes of the archive. An error stops the walk.
    fn unpacked(&mut self, bytes: &[u8]) -> Result<(), Refusal>;
}

/// A decompressor for one of the layer formats.
pub(crate) enum Decompress {
    /// Nothing to undo.
    Plain,
    /// RFC 1952.
    Gzip { gunzip: Box<Gunzip>, scratch: Vec<u8> },
    /// RFC 8878.
    Zstd {
        decoder: Box<Decoder<'static>>,
        scratch: Vec<u8>,
        /// Bytes that complete the block begun; none between frames.
        wanted: usize,
    },
}

impl Decompress {
    /// A decompressor for bytes of this kind.
    pub(crate) fn new(compression: Compression) -> Result<Self, Refusal> {
        Ok(match compression {
            Compression::Plain => Self::Plain,
            Compression::Gzip => {
                Self::Gzip { gunzip: Box::new(Gunzip::new()), scratch: vec![0; SCRATCH_BYTES] }
            }
            Compression::Zstd => {
                let mut decoder = Decoder::new().map_err(broken_zstd)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(broken_zstd)?;
                Self::Zstd { decoder: Box::new(decoder), scratch: vec![0; SCRATCH_BYTES], wanted: 0 }
            }
        })
    }

    /// Unpacks `bytes` completely into `to`.
    pub(crate) fn feed(&mut self, bytes: &[u8], to: &mut impl Unpacked) -> Result<(), Refusal> {
        match self {
            Self::Plain => bytes.chunks(SCRATCH_BYTES).try_for_each(|chunk| to.unpacked(chunk)),
            Self::Gzip { gunzip, scratch } => gunzip.feed(bytes, scratch, to),
            Self::Zstd { decoder, scratch, wanted } => feed_zstd(decoder, scratch, wanted, bytes, to),
        }
    }

    /// The input is complete: were the streams in it complete too?
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip { gunzip, .. } => gunzip.finish(),
            Self::Zstd { wanted: 0, .. } => Ok(()),
            Self::Zstd { .. } => Err(Refusal::Truncated("a zstd frame has no end")),
        }
    }
}

/// Frames that follow each other are one stream, and skippable frames unpack to nothing (RFC 8878 §3.1); the library
/// does both, and refuses anything else after a frame.
///
/// It is given one block at a time: of a longer piece it would keep to itself what came out before the damage, and the
/// first fault met, and with it the refusal, would depend on how the upload was cut.
fn feed_zstd(
    decoder: &mut Decoder<'static>,
    scratch: &mut [u8],
    wanted: &mut usize,
    mut bytes: &[u8],
    to: &mut impl Unpacked,
) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Ok(());
    }
    loop {
        // The first byte of a frame goes in alone: a small frame that is there whole would be unpacked in one step.
        let mut input = InBuffer::around(&bytes[..bytes.len().min((*wanted).max(1))]);
        let mut output = OutBuffer::around(&mut *scratch);
        *wanted = decoder.run(&mut input, &mut output).map_err(broken_zstd)?;
        let (consumed, produced) = (input.pos(), output.pos());
        bytes = &bytes[consumed..];
        to.unpacked(&scratch[..produced])?;
        // Nothing wanted says that the frame is over and flushed; asking again would open the next frame.
        if bytes.is_empty() && (produced < scratch.len() || *wanted == 0) {
            return Ok(());
        }
        if produced == 0 && consumed == 0 {
            return Err(Refusal::BrokenZstd("no progress".to_owned()));
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn broken_zstd(error: std::io::Error) -> Refusal {
    Refusal::BrokenZstd(error.to_string())
}
