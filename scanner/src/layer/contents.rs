//! What the walk does with each entry: captures databases, shows files to the detectors, and keeps the table.

use crate::detectors::{self, CONTEXT_AFTER_BYTES, CONTEXT_BEFORE_BYTES, Detected, Window};
use crate::executables::{self, Executable};
use crate::extractors::{self, ExtractError, Extracted, Extractor, Want};
use crate::layer::entry::{Entry, EntryKind, EntryTable, clean};
use crate::layer::tar::{Entries, Header};
use crate::layer::{Detection, Extraction, Refusal};
use crate::limits::Limits;
use crate::package::Package;

/// Fresh bytes of a full window.
const FRESH_BYTES: usize = 128 << 10;

/// Files below this are too small to be worth counting as duplicates.
const HASHED_BYTES_MIN: u64 = 4 << 10;

/// Collects what one archive holds.
pub(crate) struct Contents {
    limits: Limits,
    pub(crate) table: EntryTable,
    pub(crate) extractions: Vec<Extraction>,
    pub(crate) detections: Vec<Detection>,
    pub(crate) file_bytes: u64,
    extracted_bytes: usize,
    current: Option<Current>,
    crc: flate2::Crc,
    capture: Vec<u8>,
    executable: Option<Executable>,
    window: WindowBuffer,
    found: Vec<Detected>,
}

/// The entry whose content arrives.
struct Current {
    header: Header,
    path: Vec<u8>,
    target: Vec<u8>,
    extractor: Option<(&'static dyn Extractor, Want)>,
}

impl Current {
    fn entry(&self, hash: Option<u32>) -> Entry<'_> {
        Entry {
            path: &self.path,
            kind: self.header.kind,
            mode: self.header.mode,
            size: self.header.size,
            hash,
            target: &self.target,
        }
    }
}

impl Contents {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            table: EntryTable::default(),
            extractions: Vec::new(),
            detections: Vec::new(),
            file_bytes: 0,
            extracted_bytes: 0,
            current: None,
            crc: flate2::Crc::new(),
            capture: Vec::new(),
            executable: None,
            window: WindowBuffer::default(),
            found: Vec::new(),
        }
    }

    fn extract(&mut self, current: &Current, number: u32) -> Result<(), Refusal> {
        let Some((extractor, _)) = current.extractor else {
            let found = self.executable.take().and_then(Executable::finish);
            return found.map_or(Ok(()), |found| self.told(number, executables::NAME, found));
        };
        let max = extractor.bytes_max(&self.limits);
        let found = if usize::try_from(current.header.size).is_ok_and(|size| size <= max) {
            extractor.extract(&current.path, &self.capture)
        } else {
            Err(ExtractError::TooLarge { bytes: current.header.size, max })
        };
        self.capture = Vec::new();
        self.told(number, extractor.name(), found)
    }

    fn told(
        &mut self,
        entry: u32,
        extractor: &str,
        found: Result<Extracted, ExtractError>,
    ) -> Result<(), Refusal> {
        // Lists of nothing that matters are most of a distribution's.
        if matches!(&found, Ok(Extracted::Owned(paths)) if paths.is_empty()) {
            return Ok(());
        }
        self.extracted_bytes += found.as_ref().map_or(256, weight);
        if self.extracted_bytes > self.limits.extracted_bytes_max {
            return Err(Refusal::TooMuchExtracted { max: self.limits.extracted_bytes_max });
        }
        let found = found.map_err(|error| error.to_string());
        self.extractions.push(Extraction { entry, extractor: extractor.to_owned(), found });
        Ok(())
    }

    fn inspect(&mut self, current: &Current) {
        let entry = current.entry(None);
        let window = self.window.view();
        // A file that an extractor reads is no executable to be searched.
        if window.first && current.extractor.is_none() && Executable::recognises(window.bytes) {
            self.executable = Some(Executable::default());
        }
        if let Some(executable) = &mut self.executable {
            executable.inspect(&window);
        }
        for detector in detectors::all() {
            detector.inspect(&entry, &window, &mut self.found);
        }
    }
}

impl Entries for Contents {
    fn entry(&mut self, header: Header) -> Result<(), Refusal> {
        let path = clean(&header.name, &self.limits)?;
        if header.link.len() > self.limits.path_bytes_max {
            return Err(Refusal::PathTooLong { bytes: header.link.len(), max: self.limits.path_bytes_max });
        }
        let target = match header.kind {
            EntryKind::HardLink => clean(&header.link, &self.limits)?,
            EntryKind::Symlink => header.link.clone(),
            _ => Vec::new(),
        };
        let extractor = (header.kind == EntryKind::File).then(|| {
            let wanting = |extractor: &&'static dyn Extractor| match extractor.wants(&path) {
                Want::No => None,
                want => Some((*extractor, want)),
            };
            extractors::all().iter().find_map(wanting)
        });
        if header.kind == EntryKind::File {
            self.file_bytes = self.file_bytes.saturating_add(header.size);
        }
        self.crc.reset();
        self.executable = None;
        self.window.begin();
        self.current = Some(Current { header, path, target, extractor: extractor.flatten() });
        Ok(())
    }

    fn content(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if current.header.size >= HASHED_BYTES_MIN {
            self.crc.update(bytes);
        }
        if let Some((extractor, Want::Content)) = current.extractor
            && let Ok(size) = usize::try_from(current.header.size)
            && size <= extractor.bytes_max(&self.limits)
        {
            if self.capture.is_empty() {
                // Grown piece by piece, a large capture would be held twice.
                self.capture.reserve_exact(size);
            }
            self.capture.extend_from_slice(bytes);
        }
        while !bytes.is_empty() {
            bytes = self.window.fill(bytes);
            if self.window.is_full() {
                self.inspect(&current);
                self.window.advance();
            }
        }
        self.current = Some(current);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let Some(current) = self.current.take() else { return Ok(()) };
        self.window.finish();
        self.inspect(&current);
        let hashed = current.header.kind == EntryKind::File && current.header.size >= HASHED_BYTES_MIN;
        let number = self.table.push(&current.entry(hashed.then(|| self.crc.sum())), &self.limits)?;
        self.found.sort_unstable();
        self.found.dedup();
        for detected in self.found.drain(..) {
            if self.detections.len() >= self.limits.detections_max {
                return Err(Refusal::TooManyDetections { max: self.limits.detections_max });
            }
            self.detections.push(Detection { entry: number, detected });
        }
        self.extract(&current, number)
    }
}

/// Bytes that an answer occupies, roughly.
fn weight(extracted: &Extracted) -> usize {
    let package = |package: &Package| {
        let source = package.source.as_ref().map_or(0, |source| source.name.len() + source.version.len());
        let told = [&package.architecture, &package.module, &package.vendor];
        let told: usize = told.into_iter().flatten().map(String::len).sum();
        128 + package.name.len() + package.version.len() + source + told
    };
    match extracted {
        Extracted::Distribution(_) | Extracted::Unsupported => 256,
        Extracted::Owned(paths) => paths.iter().map(|path| 32 + path.len()).sum(),
        Extracted::Packages(packages) => packages.iter().map(package).sum(),
        Extracted::System { packages, owned } => {
            let paths: usize = owned.iter().map(|(_, path)| 40 + path.len()).sum();
            packages.iter().map(package).sum::<usize>() + paths
        }
    }
}

/// A sliding view over one file. Windows begin at fixed places of the file, so that the pieces in which the bytes
/// arrive cannot change what is found.
#[derive(Default)]
struct WindowBuffer {
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

    fn begin(&mut self) {
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
    fn fill<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
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

    fn is_full(&self) -> bool {
        self.bytes.len() == self.fresh_start + Self::FULL
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn view(&self) -> Window<'_> {
        let context = if self.finished { 0 } else { CONTEXT_AFTER_BYTES };
        Window {
            bytes: &self.bytes,
            fresh: self.fresh_start..self.bytes.len() - context,
            first: self.first,
            offset: self.dropped,
        }
    }

    /// Makes what was shown the context of the next window.
    fn advance(&mut self) {
        let shown = self.bytes.len() - CONTEXT_AFTER_BYTES;
        let dropped = shown.saturating_sub(CONTEXT_BEFORE_BYTES);
        self.bytes.drain(..dropped);
        self.dropped += dropped as u64;
        self.fresh_start = shown - dropped;
        self.first = false;
    }
}
