//! Gzip framing (RFC 1952) around raw inflate: members one after another, as Go's `compress/gzip` reads them.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::layer::Refusal;
use crate::layer::decompress::Unpacked;
use crate::limits::GZIP_STRING_BYTES_MAX;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

/// Reads gzip members. Whatever follows the last member and is no member is refused: engines written in Go refuse it,
/// others ignore it.
pub(crate) struct Gunzip {
    inflate: Decompress,
    crc: Crc,
    step: Step,
    /// Bytes of the fixed header, of a length or of the trailer, gathered across calls.
    gathered: Vec<u8>,
    header_crc: Crc,
    flags: u8,
    members: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The ten fixed bytes.
    Fixed,
    ExtraLength,
    Extra {
        left: usize,
    },
    Name {
        length: usize,
    },
    Comment {
        length: usize,
    },
    HeaderCrc,
    Body,
    Trailer,
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
            crc: Crc::new(),
            step: Step::Fixed,
            gathered: Vec::with_capacity(10),
            header_crc: Crc::new(),
            flags: 0,
            members: 0,
        }
    }

    pub(crate) fn feed<U: Unpacked>(
        &mut self,
        mut bytes: &[u8],
        scratch: &mut [u8],
        to: &mut U,
    ) -> Result<(), U::Error> {
        while !bytes.is_empty() {
            bytes = match self.step {
                Step::Body => self.body(bytes, scratch, to)?,
                Step::Trailer => self.trailer(bytes)?,
                _ => self.header(bytes)?,
            };
        }
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        let between_members = self.step == Step::Fixed && self.gathered.is_empty() && self.members > 0;
        if between_members { Ok(()) } else { Err(Refusal::Truncated("a gzip member has no end")) }
    }

    fn body<'b, U: Unpacked>(
        &mut self,
        bytes: &'b [u8],
        scratch: &mut [u8],
        to: &mut U,
    ) -> Result<&'b [u8], U::Error> {
        let mut rest = bytes;
        loop {
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(rest, scratch, FlushDecompress::None);
            let consumed = difference(self.inflate.total_in(), in_before);
            let produced = difference(self.inflate.total_out(), out_before);
            rest = &rest[consumed..];
            // What came out before the damage is read too: else the first fault met, and with it the refusal, would depend
            // on how the upload was cut.
            self.crc.update(&scratch[..produced]);
            to.unpacked(&scratch[..produced])?;
            let status = status.map_err(|_| Refusal::BrokenGzip("the compressed data is malformed"))?;
            match status {
                Status::StreamEnd => {
                    self.step = Step::Trailer;
                    return Ok(rest);
                }
                // All input is used and the output was not filled: nothing more is waiting inside.
                _ if rest.is_empty() && produced < scratch.len() => return Ok(rest),
                _ if consumed == 0 && produced == 0 => return Err(Refusal::BrokenGzip("no progress").into()),
                _ => {}
            }
        }
    }

    fn trailer<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Refusal> {
        let rest = gather(&mut self.gathered, 8, bytes);
        let Some((crc, size)) = self.gathered.split_first_chunk::<4>() else { return Ok(rest) };
        let Some(size) = size.first_chunk::<4>() else { return Ok(rest) };
        if u32::from_le_bytes(*crc) != self.crc.sum() {
            return Err(Refusal::BrokenGzip("the checksum does not match"));
        }
        // `amount` is the length modulo 2^32, as the trailer's is (RFC 1952 §2.3.1).
        if u32::from_le_bytes(*size) != self.crc.amount() {
            return Err(Refusal::BrokenGzip("the length does not match"));
        }
        self.gathered.clear();
        self.crc.reset();
        self.header_crc.reset();
        self.inflate.reset(false);
        self.members += 1;
        self.step = Step::Fixed;
        Ok(rest)
    }

    fn header<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Refusal> {
        let rest = match self.step {
            Step::Fixed => self.fixed(bytes)?,
            Step::ExtraLength => {
                let rest = gather(&mut self.gathered, 2, bytes);
                if let [low, high] = self.gathered[..] {
                    self.gathered.clear();
                    self.step = Step::Extra { left: usize::from(u16::from_le_bytes([low, high])) };
                }
                rest
            }
            Step::Extra { left } => {
                let used = left.min(bytes.len());
                self.step = Step::Extra { left: left - used };
                &bytes[used..]
            }
            Step::Name { length } | Step::Comment { length } => self.string(length, bytes)?,
            Step::HeaderCrc => {
                let rest = gather(&mut self.gathered, 2, bytes);
                if let [low, high] = self.gathered[..] {
                    let [found_low, found_high, ..] = self.header_crc.sum().to_le_bytes();
                    if [low, high] != [found_low, found_high] {
                        return Err(Refusal::BrokenGzip("the header's checksum does not match"));
                    }
                    self.gathered.clear();
                    self.step = Step::Body;
                }
                return Ok(rest);
            }
            Step::Body | Step::Trailer => bytes,
        };
        let used = bytes.len() - rest.len();
        self.header_crc.update(&bytes[..used]);
        if let Step::Extra { left: 0 } = self.step {
            self.after_extra();
        }
        Ok(rest)
    }

    fn fixed<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Refusal> {
        let rest = gather(&mut self.gathered, 10, bytes);
        let known = self.gathered.len().min(3);
        if self.gathered[..known] != [0x1f, 0x8b, 8][..known] {
            return Err(if self.members == 0 {
                Refusal::BrokenGzip("unknown method")
            } else {
                Refusal::TrailingBytes("unknown")
            });
        }
        let Some(flags) = self.gathered.get(3).copied().filter(|_| self.gathered.len() == 10) else {
            return Ok(rest);
        };
        if flags & FLAGS_RESERVED != 0 {
            return Err(Refusal::BrokenGzip("reserved flags are set"));
        }
        self.flags = flags;
        self.gathered.clear();
        if flags & FLAG_EXTRA != 0 {
            self.step = Step::ExtraLength;
        } else {
            self.after_extra();
        }
        Ok(rest)
    }

    fn string<'b>(&mut self, length: usize, bytes: &'b [u8]) -> Result<&'b [u8], Refusal> {
        let end = memchr::memchr(0, bytes);
        let used = end.unwrap_or(bytes.len());
        let length = length + used;
        if length > GZIP_STRING_BYTES_MAX {
            return Err(Refusal::BrokenGzip("the name or comment is too long"));
        }
        let in_name = matches!(self.step, Step::Name { .. });
        match (end, in_name) {
            (None, true) => self.step = Step::Name { length },
            (None, false) => self.step = Step::Comment { length },
            (Some(_), true) => self.after_name(),
            (Some(_), false) => self.after_comment(),
        }
        Ok(&bytes[end.map_or(used, |end| end + 1)..])
    }

    fn after_extra(&mut self) {
        if self.flags & FLAG_NAME != 0 { self.step = Step::Name { length: 0 } } else { self.after_name() }
    }

    fn after_name(&mut self) {
        if self.flags & FLAG_COMMENT != 0 {
            self.step = Step::Comment { length: 0 }
        } else {
            self.after_comment()
        }
    }

    fn after_comment(&mut self) {
        self.step = if self.flags & FLAG_HEADER_CRC != 0 { Step::HeaderCrc } else { Step::Body };
    }
}

/// Moves bytes into `gathered` until it holds `wanted`; returns what is left.
fn gather<'b>(gathered: &mut Vec<u8>, wanted: usize, bytes: &'b [u8]) -> &'b [u8] {
    let used = (wanted - gathered.len()).min(bytes.len());
    gathered.extend_from_slice(&bytes[..used]);
    &bytes[used..]
}

/// Both counters move within one buffer, so that their difference fits.
fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after - before).expect("at most one buffer at a time")
}
