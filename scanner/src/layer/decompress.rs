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
    /// Why unpacking ended: broken bytes, or what the receiver says.
    type Error: From<Refusal>;

    /// The next bytes of the archive. An error stops the unpacking.
    fn unpacked(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A decompressor for one of the layer formats.
pub(crate) enum Decompress {
    /// Nothing to undo.
    Plain,
    /// RFC 1952.
    Gzip { gunzip: Box<Gunzip>, scratch: Vec<u8> },
    /// RFC 8878.
    Zstd { decoder: Box<Decoder<'static>>, scratch: Vec<u8>, block: Block },
}

/// Bytes that are held until the library gets them. A block has at most 128 KiB (RFC 8878 §3.1.1.2.4) and a few bytes of
/// headers; a skippable frame may have 4 GiB, and is skipped in pieces of this.
const WANTED_BYTES_MAX: usize = 160 << 10;

/// The part of a zstd stream that the library wants next.
#[derive(Default)]
pub(crate) struct Block {
    /// Bytes in it; none between frames.
    wanted: usize,
    /// Those that have come.
    begun: Vec<u8>,
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
                Self::Zstd {
                    decoder: Box::new(decoder),
                    scratch: vec![0; SCRATCH_BYTES],
                    block: Block::default(),
                }
            }
        })
    }

    /// Unpacks `bytes` completely into `to`.
    pub(crate) fn feed<U: Unpacked>(&mut self, bytes: &[u8], to: &mut U) -> Result<(), U::Error> {
        match self {
            Self::Plain => bytes.chunks(SCRATCH_BYTES).try_for_each(|chunk| to.unpacked(chunk)),
            Self::Gzip { gunzip, scratch } => gunzip.feed(bytes, scratch, to),
            Self::Zstd { decoder, scratch, block } => feed_zstd(decoder, scratch, block, bytes, to),
        }
    }

    /// The input is complete: were the streams in it complete too?
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip { gunzip, .. } => gunzip.finish(),
            Self::Zstd { block: Block { wanted: 0, begun }, .. } if begun.is_empty() => Ok(()),
            Self::Zstd { .. } => Err(Refusal::Truncated("a zstd frame has no end")),
        }
    }
}

/// Frames that follow each other are one stream, and skippable frames unpack to nothing (RFC 8878 §3.1); the library
/// does both, and refuses anything else after a frame.
///
/// It is given exactly what it asks for, one block at a time: of a longer piece it would keep to itself what came out
/// before the damage, of a shorter one it would not see the damage yet, and the first fault met, and with it the refusal,
/// would depend on how the upload was cut.
fn feed_zstd<U: Unpacked>(
    decoder: &mut Decoder<'static>,
    scratch: &mut [u8],
    block: &mut Block,
    mut bytes: &[u8],
    to: &mut U,
) -> Result<(), U::Error> {
    while !bytes.is_empty() {
        // The first byte of a frame goes in alone: a small frame that is there whole would be unpacked in one step.
        let missing = block.wanted.clamp(1, WANTED_BYTES_MAX) - block.begun.len();
        let (now, later) = bytes.split_at(bytes.len().min(missing));
        bytes = later;
        block.begun.extend_from_slice(now);
        if now.len() < missing {
            return Ok(());
        }
        let complete = std::mem::take(&mut block.begun);
        let mut rest = complete.as_slice();
        loop {
            let mut input = InBuffer::around(rest);
            let mut output = OutBuffer::around(&mut *scratch);
            block.wanted = decoder.run(&mut input, &mut output).map_err(broken_zstd)?;
            let (consumed, produced) = (input.pos(), output.pos());
            rest = &rest[consumed..];
            to.unpacked(&scratch[..produced])?;
            // Nothing wanted says that the frame is over and flushed; asking again would open the next frame.
            if rest.is_empty() && (produced < scratch.len() || block.wanted == 0) {
                break;
            }
            if produced == 0 && consumed == 0 {
                return Err(Refusal::BrokenZstd("no progress".to_owned()).into());
            }
        }
        // The memory is used again for the next block.
        block.begun = complete;
        block.begun.clear();
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn broken_zstd(error: std::io::Error) -> Refusal {
    Refusal::BrokenZstd(error.to_string())
}
