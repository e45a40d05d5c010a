//! A sliding view over one file, as detectors see it.

use crate::detectors::{CONTEXT_AFTER_BYTES, CONTEXT_BEFORE_BYTES, Window};

/// Fresh bytes of a full window.
const FRESH_BYTES: usize = 128 << 10;

/// A sliding view over one file. Windows begin at fixed places of the file, so that the pieces in which the bytes
/// arrive cannot change what is found.
#[derive(Default)]
pub(super) struct WindowBuffer {
    bytes: Vec<u8>,
    fresh_start: usize,
    /// Bytes of the file before `bytes`.
    dropped: u64,
    first: bool,
    finished: bool,
    utf16: Utf16,
    /// Bytes of the file that were looked at for a byte order mark.
    marker: Option<u8>,
    at_start: bool,
}

/// Whether a file's text is in two-byte characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Utf16 {
    #[default]
    No,
    /// The next byte is the low one of a pair or not.
    Pairs { low_next: bool },
}

impl WindowBuffer {
    const FULL: usize = FRESH_BYTES + CONTEXT_AFTER_BYTES;

    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.fresh_start = 0;
        self.dropped = 0;
        self.first = true;
        self.finished = false;
        self.utf16 = Utf16::No;
        self.marker = None;
        self.at_start = true;
    }

    /// Takes as much as fits; returns the rest.
    pub(super) fn fill<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        if self.at_start {
            bytes = self.look_for_marker(bytes);
        }
        let room = self.fresh_start + Self::FULL - self.bytes.len();
        match &mut self.utf16 {
            Utf16::No => {
                let taken = room.min(bytes.len());
                self.bytes.extend_from_slice(&bytes[..taken]);
                &bytes[taken..]
            }
            // Windows writes settings as UTF-16; the low byte of each pair is the ASCII character.
            Utf16::Pairs { low_next } => {
                let taken = room.min(bytes.len());
                for byte in &bytes[..taken] {
                    if *low_next {
                        self.bytes.push(*byte);
                    }
                    *low_next = !*low_next;
                }
                &bytes[taken..]
            }
        }
    }

    /// The first two bytes tell UTF-16 (RFC 2781 §3.2).
    fn look_for_marker<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        let Some(first) = self.marker else {
            self.marker = Some(byte);
            self.bytes.push(byte);
            return self.look_for_marker(rest);
        };
        self.at_start = false;
        match [first, byte] {
            [0xff, 0xfe] => self.utf16 = Utf16::Pairs { low_next: true },
            [0xfe, 0xff] => self.utf16 = Utf16::Pairs { low_next: false },
            _ => return bytes,
        }
        rest
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() == self.fresh_start + Self::FULL
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    pub(super) fn view(&self) -> Window<'_> {
        let context = if self.finished { 0 } else { CONTEXT_AFTER_BYTES };
        Window {
            bytes: &self.bytes,
            fresh: self.fresh_start..self.bytes.len() - context,
            first: self.first,
            offset: self.dropped,
        }
    }

    /// Makes what was shown the context of the next window.
    pub(super) fn advance(&mut self) {
        let shown = self.bytes.len() - CONTEXT_AFTER_BYTES;
        let dropped = shown.saturating_sub(CONTEXT_BEFORE_BYTES);
        self.bytes.drain(..dropped);
        self.dropped += dropped as u64;
        self.fresh_start = shown - dropped;
        self.first = false;
    }
}
