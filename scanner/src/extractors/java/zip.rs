//! Reads a zip archive by its central directory (PKWARE, APPNOTE.TXT), as Java does, and refuses what a reader of its
//! members from the start would see otherwise: members that overlap, or whose two headers disagree.

use super::malformed;
use crate::extractors::ExtractError;

/// Members of one archive; the largest known have 200 000.
const MEMBERS_MAX: usize = 500_000;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xffff;
const END64: &[u8] = b"PK\x06\x06";
const END64_BYTES: usize = 56;
const LOCATOR64: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: usize = 20;
const CENTRAL: &[u8] = b"PK\x01\x02";
const CENTRAL_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
/// Extra field with sizes and offsets of 64 bits.
const EXTRA64: usize = 1;

const STORED: usize = 0;
const DEFLATED: usize = 8;

/// An archive whose central directory was found.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    /// Bytes before the first member: the script of an executable archive.
    prefix: usize,
    directory: &'a [u8],
    count: usize,
}

/// One file in the archive.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a [u8],
    method: usize,
    encrypted: bool,
    data: &'a [u8],
    size: usize,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, ExtractError> {
        let earliest = bytes.len().saturating_sub(END_BYTES + COMMENT_BYTES_MAX);
        let at = memchr::memmem::rfind(&bytes[earliest..], END).map(|at| at + earliest);
        let at = at.ok_or_else(|| malformed("no central directory"))?;
        let broken = || malformed("the end of the central directory is broken");
        let comment = number(bytes, at + 20, 2).ok_or_else(broken)?;
        // A second end inside the comment is what makes two readers see two archives.
        if at + END_BYTES + comment != bytes.len() {
            return Err(malformed("bytes after the end of the central directory"));
        }
        let field = |offset, width| number(bytes, at + offset, width).ok_or_else(broken);
        let (mut count, mut size, mut offset) = (field(10, 2)?, field(12, 4)?, field(16, 4)?);
        let mut end = at;
        if count == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff {
            let locator = at.checked_sub(LOCATOR64_BYTES).ok_or_else(broken)?;
            let start = locator.checked_sub(END64_BYTES).ok_or_else(broken)?;
            if bytes[locator..].starts_with(LOCATOR64) && bytes[start..].starts_with(END64) {
                let field = |offset| number(bytes, start + offset, 8).ok_or_else(broken);
                (count, size, offset) = (field(32)?, field(40)?, field(48)?);
                end = start;
            }
        }
        if count > MEMBERS_MAX {
            return Err(malformed(format!("{count} members, more than {MEMBERS_MAX}")));
        }
        let start = end.checked_sub(size).ok_or_else(broken)?;
        let prefix = start.checked_sub(offset).ok_or_else(broken)?;
        Ok(Self { bytes, prefix, directory: &bytes[start..end], count })
    }

    /// All members in the directory's order, once they are known not to overlap.
    pub(crate) fn members(
        &self,
    ) -> Result<impl Iterator<Item = Result<Member<'a>, ExtractError>> + '_, ExtractError> {
        let mut spans = Vec::new();
        let mut rest = self.directory;
        for _ in 0..self.count {
            let (header, after) =
                Header::read(rest).ok_or_else(|| malformed("a broken central directory"))?;
            let span = self.span(&header).ok_or_else(|| disagree(header.name))?;
            spans.push(span);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(malformed("a central directory with more than it counts"));
        }
        spans.sort_unstable();
        if spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(malformed("members that overlap"));
        }
        let mut rest = self.directory;
        Ok((0..self.count).map(move |_| {
            let (header, after) =
                Header::read(rest).ok_or_else(|| malformed("a broken central directory"))?;
            rest = after;
            let (start, end) = self.data(&header).ok_or_else(|| disagree(header.name))?;
            Ok(Member {
                name: header.name,
                method: header.method,
                encrypted: header.flags & 1 != 0,
                data: &self.bytes[start..end],
                size: header.size,
            })
        }))
    }

    /// Where a member stands with its local header, which must agree.
    fn span(&self, header: &Header<'_>) -> Option<(usize, usize)> {
        let start = self.prefix.checked_add(header.offset)?;
        let (_, end) = self.data(header)?;
        Some((start, end))
    }

    fn data(&self, header: &Header<'_>) -> Option<(usize, usize)> {
        let local = self.bytes.get(self.prefix.checked_add(header.offset)?..)?;
        let name_bytes = number(local, 26, 2)?;
        let name = local.get(LOCAL_BYTES..LOCAL_BYTES + name_bytes)?;
        let agrees = local.starts_with(LOCAL) && name == header.name && number(local, 8, 2)? == header.method;
        let before = LOCAL_BYTES + name_bytes + number(local, 28, 2)?;
        local.get(before..before.checked_add(header.packed)?).filter(|_| agrees)?;
        let start = self.prefix + header.offset + before;
        Some((start, start + header.packed))
    }
}

impl<'a> Member<'a> {
    /// The content where it stands, when it is not packed.
    pub(crate) fn stored(&self) -> Result<Option<&'a [u8]>, ExtractError> {
        self.readable()?;
        Ok(Some(self.data).filter(|_| self.method == STORED))
    }

    /// The content, at most `max` bytes of it and exactly as many as the directory says.
    pub(crate) fn unpack(&self, max: usize) -> Result<Vec<u8>, ExtractError> {
        self.readable()?;
        if self.size > max {
            return Err(malformed(format!(
                "`{}` unpacks to {} bytes, more than {max}",
                self.printable(),
                self.size
            )));
        }
        if self.method == STORED {
            return Ok(self.data.to_vec());
        }
        let mut content = Vec::with_capacity(self.size.min(1 << 20));
        let limit = u64::try_from(self.size).unwrap_or(u64::MAX).saturating_add(1);
        let reader = std::io::Read::take(flate2::bufread::DeflateDecoder::new(self.data), limit);
        let read = std::io::Read::read_to_end(&mut { reader }, &mut content);
        if read.is_err() || content.len() != self.size {
            return Err(malformed(format!("`{}` does not unpack to {} bytes", self.printable(), self.size)));
        }
        Ok(content)
    }

    fn readable(&self) -> Result<(), ExtractError> {
        if self.encrypted {
            return Err(malformed(format!("`{}` is encrypted", self.printable())));
        }
        match self.method {
            STORED if self.data.len() != self.size => Err(disagree(self.name)),
            STORED | DEFLATED => Ok(()),
            method => Err(malformed(format!("`{}` is packed by method {method}", self.printable()))),
        }
    }

    fn printable(&self) -> String {
        String::from_utf8_lossy(self.name).chars().take(100).collect()
    }
}

fn disagree(name: &[u8]) -> ExtractError {
    let name: String = String::from_utf8_lossy(name).chars().take(100).collect();
    malformed(format!("the two headers of `{name}` disagree"))
}

/// An entry of the central directory.
struct Header<'a> {
    name: &'a [u8],
    flags: usize,
    method: usize,
    packed: usize,
    size: usize,
    offset: usize,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) =
            bytes.split_at_checked(CENTRAL_BYTES).filter(|(fixed, _)| fixed.starts_with(CENTRAL))?;
        let field = |at, width| number(fixed, at, width);
        let (name, rest) = rest.split_at_checked(field(28, 2)?)?;
        let (extra, rest) = rest.split_at_checked(field(30, 2)?)?;
        let (_comment, rest) = rest.split_at_checked(field(32, 2)?)?;
        let mut header = Self {
            name,
            flags: field(8, 2)?,
            method: field(10, 2)?,
            packed: field(20, 4)?,
            size: field(24, 4)?,
            offset: field(42, 4)?,
        };
        header.widen(extra)?;
        Some((header, rest))
    }

    /// Numbers that do not fit stand in an extra field, in this order (§4.5.3).
    fn widen(&mut self, mut extra: &[u8]) -> Option<()> {
        let mut wide: Vec<&mut usize> = [&mut self.size, &mut self.packed, &mut self.offset]
            .into_iter()
            .filter(|value| **value == 0xffff_ffff)
            .collect();
        if wide.is_empty() {
            return Some(());
        }
        while let Some(id) = number(extra, 0, 2) {
            let (field, rest) = extra.get(4..)?.split_at_checked(number(extra, 2, 2)?)?;
            if id == EXTRA64 {
                for (index, value) in wide.iter_mut().enumerate() {
                    **value = number(field, 8 * index, 8)?;
                }
                return Some(());
            }
            extra = rest;
        }
        None
    }
}

/// A little-endian number of `width` bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    let value = bytes.iter().rev().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    usize::try_from(value).ok()
}
