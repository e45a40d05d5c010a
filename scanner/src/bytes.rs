//! Numbers at checked places of a byte slice.

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Big,
    Little,
}

impl Endian {
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let array = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(array),
            Self::Little => u16::from_le_bytes(array),
        })
    }

    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let array = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(array),
            Self::Little => u32::from_le_bytes(array),
        })
    }

    /// A 32-bit number that counts or addresses bytes.
    pub(crate) fn size(self, bytes: &[u8], at: usize) -> Option<usize> {
        usize::try_from(self.u32(bytes, at)?).ok()
    }
}

/// Pages of a file, each of which may be used once: a format in which pages point to pages cannot be made to loop, nor
/// to yield more bytes than the file has.
pub(crate) struct Pages<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    used: Vec<bool>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(bytes: &'a [u8], page_bytes: usize) -> Self {
        let count = bytes.len().checked_div(page_bytes).unwrap_or(0);
        Self { bytes, page_bytes, used: vec![false; count] }
    }

    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    /// The page with this number, counted from 0.
    pub(crate) fn get(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_mul(self.page_bytes)?;
        self.bytes.get(start..start.checked_add(self.page_bytes)?)
    }

    /// Like [`Pages::get`], once for each number.
    pub(crate) fn take(&mut self, number: usize) -> Option<&'a [u8]> {
        let used = self.used.get_mut(number)?;
        if std::mem::replace(used, true) {
            return None;
        }
        self.get(number)
    }
}
