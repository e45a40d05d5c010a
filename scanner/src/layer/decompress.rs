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
    Zstd { decoder: Box<Decoder<'static>>, scratch: Vec<u8>, frame_open: bool },
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
                Self::Zstd { decoder: Box::new(decoder), scratch: vec![0; SCRATCH_BYTES], frame_open: false }
            }
        })
    }

    /// Unpacks `bytes` completely into `to`.
    pub(crate) fn feed(&mut self, bytes: &[u8], to: &mut impl Unpacked) -> Result<(), Refusal> {
        match self {
            Self::Plain => bytes.chunks(SCRATCH_BYTES).try_for_each(|chunk| to.unpacked(chunk)),
            Self::Gzip { gunzip, scratch } => gunzip.feed(bytes, scratch, to),
            Self::Zstd { decoder, scratch, frame_open } => feed_zstd(decoder, scratch, frame_open, bytes, to),
        }
    }

    /// The input is complete: were the streams in it complete too?
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip { gunzip, .. } => gunzip.finish(),
            Self::Zstd { frame_open: true, .. } => Err(Refusal::Truncated("a zstd frame has no end")),
            Self::Zstd { frame_open: false, .. } => Ok(()),
        }
    }
}

/// Frames that follow each other are one stream, and skippable frames unpack to nothing (RFC 8878 §3.1); the library
/// does both, and refuses anything else after a frame.
fn feed_zstd(
    decoder: &mut Decoder<'static>,
    scratch: &mut [u8],
    frame_open: &mut bool,
    bytes: &[u8],
    to: &mut impl Unpacked,
) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut input = InBuffer::around(bytes);
    loop {
        let consumed_before = input.pos();
        let mut output = OutBuffer::around(&mut *scratch);
        let hint = decoder.run(&mut input, &mut output);
        let produced = output.pos();
        let full = produced == scratch.len();
        // What came out before any damage is read too: the refusal must not depend on how the upload was cut.
        to.unpacked(&scratch[..produced])?;
        let hint = hint.map_err(broken_zstd)?;
        *frame_open = hint != 0;
        // A hint of zero says that the frame is over and flushed; asking again would open the next frame.
        if input.pos() == bytes.len() && (!full || hint == 0) {
            return Ok(());
        }
        if produced == 0 && input.pos() == consumed_before {
            return Err(Refusal::BrokenZstd("no progress".to_owned()));
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn broken_zstd(error: std::io::Error) -> Refusal {
    Refusal::BrokenZstd(error.to_string())
}
