//! What the walk does with each entry: captures databases, shows files to the detectors, and keeps the table.

use std::sync::Arc;

use crate::detectors::{self, Detected};
use crate::executables::{self, Executable};
use crate::extractors::{self, ExtractError, Extracted, Extractor, OwnedFile, Want};
use crate::layer::entry::{Entry, EntryKind, EntryTable, clean};
use crate::layer::nested::{self, Nested};
use crate::layer::program::{self, Hashing, Program};
use crate::layer::tar::{Entries, Header};
use crate::layer::whole_files::WholeFiles;
use crate::layer::window::WindowBuffer;
use crate::layer::{Detection, Extraction, Refusal};
use crate::limits::{Limits, NESTED_BYTES_MAX};
use crate::package::Package;
use crate::yara::RuleSet;

/// Files below this are too small to be worth counting as duplicates.
const HASHED_BYTES_MIN: u64 = 4 << 10;

/// Collects what one archive holds.
pub(crate) struct Contents {
    limits: Limits,
    pub(crate) table: EntryTable,
    pub(crate) extractions: Vec<Extraction>,
    pub(crate) detections: Vec<Detection>,
    pub(crate) programs: Vec<Program>,
    pub(crate) file_bytes: u64,
    extracted_bytes: usize,
    current: Option<Current>,
    crc: flate2::Crc,
    capture: Vec<u8>,
    executable: Option<Executable>,
    program: Option<Hashing>,
    nested: Option<Nested>,
    /// Bytes that packed archives inside this layer may still unpack to.
    nested_budget: u64,
    /// Only where there are YARA rules: nothing is held for them otherwise.
    whole_files: Option<WholeFiles>,
    window: WindowBuffer,
    found: Vec<Detected>,
    /// By YARA rules.
    matched: Vec<Detected>,
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
            programs: Vec::new(),
            file_bytes: 0,
            extracted_bytes: 0,
            current: None,
            crc: flate2::Crc::new(),
            capture: Vec::new(),
            executable: None,
            program: None,
            nested: None,
            nested_budget: NESTED_BYTES_MAX,
            whole_files: None,
            window: WindowBuffer::default(),
            found: Vec::new(),
            matched: Vec::new(),
        }
    }

    pub(crate) fn with_rules(self, rules: Option<Arc<RuleSet>>) -> Self {
        Self { whole_files: rules.map(WholeFiles::new), ..self }
    }

    /// Digest of the YARA rules that are asked.
    pub(crate) fn rules(&self) -> Option<String> {
        self.whole_files.as_ref().map(|files| files.rules().to_owned())
    }

    fn extract(&mut self, current: &Current, number: u32) -> Result<(), Refusal> {
        let Some((extractor, _)) = current.extractor else {
            self.capture = Vec::new();
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

    /// What packed archives hold, and each finding once: an archive's stored member is also seen from outside.
    fn search_nested(&mut self, current: &Current) {
        let (found, used) = match self.nested.take() {
            Some(nested) => nested.finish(),
            None if nested::is_zip(&current.path) => {
                nested::search_zip(&self.capture, &self.limits, self.nested_budget)
            }
            None => Default::default(),
        };
        self.nested_budget = self.nested_budget.saturating_sub(used);
        self.found.extend(found);
        self.found.sort_unstable_by(|a, b| b.cmp(a));
        self.found.dedup_by(|next, kept| {
            next == kept || matches!(next, Detected::Secret { inside: None, .. }) && next.same_value(kept)
        });
        self.found.reverse();
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
        self.weigh(found.as_ref().map_or(256, weight))?;
        let found = found.map_err(|error| error.to_string());
        self.extractions.push(Extraction { entry, extractor: extractor.to_owned(), found });
        Ok(())
    }

    fn weigh(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.extracted_bytes = self.extracted_bytes.saturating_add(bytes);
        if self.extracted_bytes > self.limits.extracted_bytes_max {
            return Err(Refusal::TooMuchExtracted { max: self.limits.extracted_bytes_max });
        }
        Ok(())
    }

    fn inspect(&mut self, current: &Current) {
        let entry = current.entry(None);
        let window = self.window.view();
        // A file that an extractor reads is no executable to be searched.
        if window.first && current.extractor.is_none() && Executable::recognises(window.bytes) {
            self.executable = Some(Executable::new(&current.path));
        }
        if let Some(executable) = &mut self.executable {
            executable.inspect(&window);
        }
        if window.first && current.extractor.is_none() && entry.kind == EntryKind::File {
            self.program = Hashing::of(&current.path, window.bytes);
        }
        if let Some(program) = &mut self.program {
            program.more(&window.bytes[window.fresh.clone()]);
        }
        if window.first && entry.kind == EntryKind::File {
            self.nested = Nested::of(entry.path, window.bytes, &self.limits, self.nested_budget);
        }
        if let Some(nested) = &mut self.nested {
            nested.feed(&window.bytes[window.fresh.clone()]);
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
        self.program = None;
        self.nested = None;
        self.window.begin();
        if let Some(files) = &mut self.whole_files {
            files.begin();
        }
        self.current = Some(Current { header, path, target, extractor: extractor.flatten() });
        Ok(())
    }

    fn content(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if current.header.size >= HASHED_BYTES_MIN {
            self.crc.update(bytes);
        }
        let held_max = match current.extractor {
            Some((extractor, Want::Content)) => Some(extractor.bytes_max(&self.limits)),
            Some(_) => None,
            None => nested::is_zip(&current.path).then_some(self.limits.captured_bytes_max),
        };
        if let Ok(size) = usize::try_from(current.header.size)
            && held_max.is_some_and(|max| size <= max)
        {
            if self.capture.is_empty() {
                // Grown piece by piece, a large capture would be held twice.
                self.capture.reserve_exact(size);
            }
            self.capture.extend_from_slice(bytes);
        }
        if let Some(files) = &mut self.whole_files {
            files.more(&current.path, current.header.size, bytes, &mut self.matched);
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
        if let Some(program) = self.program.take() {
            self.weigh(program::WEIGHT)?;
            self.programs.push(program.finish(number));
        }
        self.search_nested(&current);
        if let Some(files) = &mut self.whole_files {
            if current.header.kind == EntryKind::File {
                files.end(&current.path, current.header.size, &mut self.matched);
            }
            self.found.append(&mut self.matched);
        }
        self.found.extend(current.header.device.map(|(major, minor)| Detected::Device { major, minor }));
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
    let file =
        |file: &OwnedFile| 56 + file.path.len() + file.digest.as_ref().map_or(0, |digest| digest.hex().len());
    match extracted {
        Extracted::Distribution(_) | Extracted::Unsupported => 256,
        Extracted::Owned(files) => files.iter().map(file).sum(),
        Extracted::Repositories(names) => names.iter().map(|name| 32 + name.len()).sum(),
        Extracted::Packages(packages) => packages.iter().map(package).sum(),
        Extracted::System { packages, owned } => {
            let paths: usize = owned.iter().map(|(_, owned)| 8 + file(owned)).sum();
            packages.iter().map(package).sum::<usize>() + paths
        }
    }
}
