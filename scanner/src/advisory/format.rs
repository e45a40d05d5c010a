//! The bytes of the advisory file: a header, a hash table of packages, records, advisories, interned text.
//!
//! All numbers are little-endian. A *text* is an offset into the text section, where its length (u32) and UTF-8 bytes
//! stand. The hash table is open-addressed with linear probing, so that a look-up touches one cache line in the common
//! case and needs no allocation.

use sha2::{Digest as _, Sha256};

use super::severity::Grade;
use super::{AdvisoryError, Entry, Range, RangeEnd, Remedy};
use crate::finding::{Decimal, Epss, Exploited, Severity};

pub(super) const MAGIC: [u8; 8] = *b"PCADVIS\n";
/// 2: grades with their sources, remedies, what is exploited and how likely that is.
pub(super) const FORMAT: u32 = 2;
pub(super) const HEADER_BYTES: usize = 160;
/// Bytes of the header that its own digest covers.
const HEADER_SIGNED_BYTES: usize = HEADER_BYTES - 32;
/// No text, no empty slot, no bound.
pub(super) const NONE: u32 = u32::MAX;
/// Tag and record offset.
pub(super) const SLOT_BYTES: usize = 8;

/// The parts of the body, in the order in which they stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// JSON list of [`super::Source`].
    Sources,
    /// The hash table: tag (u32), record offset (u32).
    Slots,
    /// For each package: ecosystem and name (texts), count, then its entries.
    Records,
    /// Id, summary, source, what is known about its use in attacks, aliases.
    Advisories,
    /// Severity, score, vector, who says so; each once.
    Grades,
    /// Interned text.
    Texts,
}

pub(super) const SECTIONS: usize = 6;

/// The fixed part at the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) built: i64,
    pub(super) body_sha256: [u8; 32],
    lengths: [u64; SECTIONS],
}

impl Header {
    pub(super) fn new(built: i64, sections: [&[u8]; SECTIONS]) -> Self {
        let mut digest = Sha256::new();
        for section in sections {
            digest.update(section);
        }
        Self {
            built,
            body_sha256: digest.finalize().into(),
            lengths: sections.map(|section| section.len() as u64),
        }
    }

    pub(super) fn with_built(self, built: i64) -> Self {
        Self { built, ..self }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.built.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.body_sha256);
        for (index, length) in self.lengths.iter().enumerate() {
            bytes[52 + index * 8..60 + index * 8].copy_from_slice(&length.to_le_bytes());
        }
        let digest = Sha256::digest(&bytes[..HEADER_SIGNED_BYTES]);
        bytes[HEADER_SIGNED_BYTES..].copy_from_slice(&digest);
        bytes
    }

    /// Replaces the header of a whole file.
    pub(super) fn write(&self, file: &mut [u8]) {
        file[..HEADER_BYTES].copy_from_slice(&self.encode());
    }

    /// Reads the header and proves the whole file against it.
    pub(super) fn read(file: &[u8]) -> Result<Self, AdvisoryError> {
        if !file.starts_with(&MAGIC) {
            return Err(AdvisoryError::NotAdvisories);
        }
        let short = AdvisoryError::Length { found: file.len(), expected: HEADER_BYTES as u64 };
        let (header, body) = file.split_at_checked(HEADER_BYTES).ok_or(short)?;
        let header = Self::parse(header)?;
        let total = header.file_bytes();
        let total = total.ok_or(AdvisoryError::Corrupt { what: "section lengths", offset: 52 })?;
        if usize::try_from(total) != Ok(file.len()) {
            return Err(AdvisoryError::Length { found: file.len(), expected: total });
        }
        check_digest("body", &header.body_sha256, body)?;
        Ok(header)
    }

    /// Reads the header alone; of the body it only says what it must be.
    pub(super) fn parse(header: &[u8]) -> Result<Self, AdvisoryError> {
        if !header.starts_with(&MAGIC) {
            return Err(AdvisoryError::NotAdvisories);
        }
        let format = u32::from_le_bytes(array(header, 8)?);
        if format != FORMAT {
            return Err(AdvisoryError::Format { found: format, expected: FORMAT });
        }
        let short = AdvisoryError::Length { found: header.len(), expected: HEADER_BYTES as u64 };
        let (covered, expected) = header.split_at_checked(HEADER_SIGNED_BYTES).ok_or(short)?;
        check_digest("header", expected, covered)?;
        let mut lengths = [0; SECTIONS];
        for (index, length) in lengths.iter_mut().enumerate() {
            *length = u64::from_le_bytes(array(header, 52 + index * 8)?);
        }
        Ok(Self { built: i64::from_le_bytes(array(header, 12)?), body_sha256: array(header, 20)?, lengths })
    }

    /// Bytes of the whole file; `None` where its parts have no sum.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.lengths.iter().try_fold(HEADER_BYTES as u64, |sum, length| sum.checked_add(*length))
    }

    pub(super) fn section_bytes(&self, section: Section) -> u64 {
        self.lengths[section as usize]
    }

    pub(super) fn section(self, file: &[u8], section: Section) -> Result<Reader<'_>, AdvisoryError> {
        let index = section as usize;
        let start = self.lengths[..index].iter().sum::<u64>() + HEADER_BYTES as u64;
        let end = start + self.lengths[index];
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let bytes = range.and_then(|(start, end)| file.get(start..end));
        let bytes = bytes.ok_or(AdvisoryError::Corrupt { what: "section", offset: index })?;
        Ok(Reader { bytes, at: 0 })
    }
}

fn check_digest(part: &'static str, expected: &[u8], bytes: &[u8]) -> Result<(), AdvisoryError> {
    let computed = Sha256::digest(bytes);
    if computed[..] == *expected {
        return Ok(());
    }
    Err(AdvisoryError::DigestMismatch {
        part,
        expected: hex::encode(expected),
        computed: hex::encode(computed),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], AdvisoryError> {
    let slice = at.checked_add(N).and_then(|end| bytes.get(at..end));
    slice.and_then(|slice| slice.try_into().ok()).ok_or(AdvisoryError::Corrupt { what: "number", offset: at })
}

/// Reads one section from a place onward; every step is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    fn at(self, offset: u32) -> Result<Self, AdvisoryError> {
        let at = usize::try_from(offset).ok().filter(|at| *at < self.bytes.len());
        let at = at.ok_or(AdvisoryError::Corrupt { what: "offset", offset: self.bytes.len() })?;
        Ok(Self { at, ..self })
    }

    fn u32(&mut self) -> Result<u32, AdvisoryError> {
        let value = u32::from_le_bytes(array(self.bytes, self.at)?);
        self.at += 4;
        Ok(value)
    }

    /// A count of things that take at least `bytes_each`: it cannot ask for more memory than the file has bytes.
    fn count(&mut self, bytes_each: usize) -> Result<usize, AdvisoryError> {
        let corrupt = AdvisoryError::Corrupt { what: "count", offset: self.at };
        let count = usize::try_from(self.u32()?).map_err(|_| corrupt.clone())?;
        let left = self.bytes.len() - self.at;
        if count.checked_mul(bytes_each).is_none_or(|bytes| bytes > left) {
            return Err(corrupt);
        }
        Ok(count)
    }

    fn text(self, offset: u32) -> Result<&'a str, AdvisoryError> {
        let mut reader = self.at(offset)?;
        let length = reader.count(1)?;
        let bytes = &reader.bytes[reader.at..reader.at + length];
        std::str::from_utf8(bytes).map_err(|_| AdvisoryError::Corrupt { what: "text", offset: reader.at })
    }

    fn optional_text(self, offset: u32) -> Result<Option<&'a str>, AdvisoryError> {
        if offset == NONE { Ok(None) } else { self.text(offset).map(Some) }
    }
}

/// FNV-1a, 64 bits. Its keys come from the advisories that the operator chose, not from images, so nobody outside can
/// make them collide; a crafted file costs at most one pass over the table.
pub(super) fn hash(ecosystem: &str, package: &str) -> u64 {
    let bytes = ecosystem.bytes().chain(std::iter::once(0)).chain(package.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The part of a hash that is stored with a slot, so that most misses never touch a record.
pub(super) fn tag(hash: u64) -> u32 {
    let [_, _, _, _, high @ ..] = hash.to_le_bytes();
    u32::from_le_bytes(high)
}

/// First slot to look at; `slots` is a power of two.
pub(super) fn home(hash: u64, slots: usize) -> usize {
    usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & (slots - 1)
}

pub(super) fn lookup<'a>(
    header: Header,
    file: &'a [u8],
    ecosystem: &str,
    package: &str,
) -> Result<Entries<'a>, AdvisoryError> {
    let slots = header.section(file, Section::Slots)?;
    let records = header.section(file, Section::Records)?;
    let texts = header.section(file, Section::Texts)?;
    let advisories = header.section(file, Section::Advisories)?;
    let grades = header.section(file, Section::Grades)?;
    let count = slots.bytes.len() / SLOT_BYTES;
    if !count.is_power_of_two() {
        return Err(AdvisoryError::Corrupt { what: "hash table", offset: count });
    }
    let hash = hash(ecosystem, package);
    for probe in 0..count {
        let index = (home(hash, count) + probe) & (count - 1);
        let mut slot = Reader { bytes: slots.bytes, at: index * SLOT_BYTES };
        let (found, offset) = (slot.u32()?, slot.u32()?);
        if offset == NONE {
            break;
        }
        if found != tag(hash) {
            continue;
        }
        let mut record = records.at(offset)?;
        if texts.text(record.u32()?)? == ecosystem && texts.text(record.u32()?)? == package {
            let left = record.count(ENTRY_BYTES_MIN)?;
            return Ok(Entries { record, left, advisories, grades, texts });
        }
    }
    Ok(Entries { record: records, left: 0, advisories, grades, texts })
}

/// Visits the records of all packages, in the order of the hash table.
pub(super) fn records<'a>(
    header: Header,
    file: &'a [u8],
    visit: &mut dyn FnMut(&'a str, &'a str, Entries<'a>) -> Result<(), AdvisoryError>,
) -> Result<(), AdvisoryError> {
    let mut slots = header.section(file, Section::Slots)?;
    let records = header.section(file, Section::Records)?;
    let texts = header.section(file, Section::Texts)?;
    let advisories = header.section(file, Section::Advisories)?;
    let grades = header.section(file, Section::Grades)?;
    for _ in 0..slots.bytes.len() / SLOT_BYTES {
        let (_, offset) = (slots.u32()?, slots.u32()?);
        if offset == NONE {
            continue;
        }
        let mut record = records.at(offset)?;
        let (ecosystem, package) = (texts.text(record.u32()?)?, texts.text(record.u32()?)?);
        let left = record.count(ENTRY_BYTES_MIN)?;
        visit(ecosystem, package, Entries { record, left, advisories, grades, texts })?;
    }
    Ok(())
}

/// Advisory, grade, remedy and its text, two counts.
const ENTRY_BYTES_MIN: usize = 24;
const RANGE_BYTES: usize = 12;

/// The entries of one package, decoded one by one.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    record: Reader<'a>,
    left: usize,
    advisories: Reader<'a>,
    grades: Reader<'a>,
    texts: Reader<'a>,
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Result<Entry<'a>, AdvisoryError> {
        let texts = self.texts;
        let mut advisory = self.advisories.at(self.record.u32()?)?;
        let mut grade = self.grades.at(self.record.u32()?)?;
        let remedy = read_remedy(self.record.u32()?, texts.optional_text(self.record.u32()?)?)?;
        let ranges = (0..self.record.count(RANGE_BYTES)?).map(|_| read_range(&mut self.record, texts));
        let ranges = ranges.collect::<Result<_, _>>()?;
        let versions = read_texts(&mut self.record, texts)?;
        let severity = read_severity(grade.u32()?)?;
        let score = grade.u32()?;
        let vector = texts.optional_text(grade.u32()?)?;
        let id = texts.text(advisory.u32()?)?;
        Ok(Entry {
            severity,
            severity_source: texts.optional_text(grade.u32()?)?,
            cvss: vector.map(|vector| (Decimal::from_hundred_thousandths(score), vector)),
            id,
            summary: texts.optional_text(advisory.u32()?)?,
            source: texts.text(advisory.u32()?)?,
            exploited: read_exploited(advisory.u32()?, advisory.u32()?),
            epss: read_epss(advisory.u32()?, advisory.u32()?),
            aliases: read_texts(&mut advisory, texts)?,
            remedy,
            ranges,
            versions,
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, AdvisoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        if entry.is_err() {
            // What follows a corrupt entry has no known start.
            self.left = 0;
        }
        Some(entry)
    }
}

fn read_texts<'a>(from: &mut Reader<'a>, texts: Reader<'a>) -> Result<Vec<&'a str>, AdvisoryError> {
    (0..from.count(4)?).map(|_| texts.text(from.u32()?)).collect()
}

fn read_range<'a>(record: &mut Reader<'a>, texts: Reader<'a>) -> Result<Range<&'a str>, AdvisoryError> {
    let introduced = texts.optional_text(record.u32()?)?;
    let fixed = texts.optional_text(record.u32()?)?;
    let last = texts.optional_text(record.u32()?)?;
    let end = match (fixed, last) {
        (Some(version), _) => RangeEnd::Fixed(version),
        (None, Some(version)) => RangeEnd::LastAffected(version),
        (None, None) => RangeEnd::Open,
    };
    Ok(Range { introduced, end })
}

const SEVERITIES: [Severity; 6] = [
    Severity::Unknown,
    Severity::Negligible,
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

fn read_severity(number: u32) -> Result<Severity, AdvisoryError> {
    let severity = usize::try_from(number).ok().and_then(|number| SEVERITIES.get(number));
    severity.copied().ok_or(AdvisoryError::Corrupt { what: "severity", offset: 0 })
}

/// Severity, score, vector, source. `text` interns.
pub(super) fn grade_numbers<E>(
    grade: &Grade,
    mut text: impl FnMut(&str) -> Result<u32, E>,
) -> Result<[u32; 4], E> {
    let (score, vector) = match &grade.cvss {
        Some(cvss) => (cvss.score.hundred_thousandths(), text(&cvss.vector)?),
        None => (NONE, NONE),
    };
    let source = grade.source.as_deref().map_or(Ok(NONE), text)?;
    Ok([grade.severity as u32, score, vector, source])
}

/// Its number, and its text where it has one.
pub(super) fn remedy_numbers(remedy: Option<Remedy<'_>>) -> (u32, Option<&str>) {
    match remedy {
        None => (0, None),
        Some(Remedy::Deferred) => (1, None),
        Some(Remedy::Elsewhere { channel }) => (2, Some(channel)),
        Some(Remedy::OutOfSupport) => (3, None),
        Some(Remedy::UnderInvestigation) => (4, None),
        Some(Remedy::WillNotFix) => (5, None),
    }
}

fn read_remedy<'a>(number: u32, text: Option<&'a str>) -> Result<Option<Remedy<'a>>, AdvisoryError> {
    Ok(match (number, text) {
        (0, None) => None,
        (1, None) => Some(Remedy::Deferred),
        (2, Some(channel)) => Some(Remedy::Elsewhere { channel }),
        (3, None) => Some(Remedy::OutOfSupport),
        (4, None) => Some(Remedy::UnderInvestigation),
        (5, None) => Some(Remedy::WillNotFix),
        _ => return Err(AdvisoryError::Corrupt { what: "remedy", offset: 0 }),
    })
}

const DAY_SECONDS: i64 = 86_400;

/// The day, and whether ransomware uses it.
pub(super) fn exploited_numbers(exploited: Option<Exploited>) -> [u32; 2] {
    let Some(exploited) = exploited else { return [NONE; 2] };
    let day = u32::try_from(exploited.since / DAY_SECONDS).unwrap_or(0);
    [day, u32::from(exploited.ransomware)]
}

fn read_exploited(day: u32, ransomware: u32) -> Option<Exploited> {
    (day != NONE).then(|| Exploited { since: i64::from(day) * DAY_SECONDS, ransomware: ransomware == 1 })
}

/// Probability and percentile.
pub(super) fn epss_numbers(epss: Option<Epss>) -> [u32; 2] {
    epss.map_or([NONE; 2], |epss| [epss.probability, epss.percentile].map(Decimal::hundred_thousandths))
}

fn read_epss(probability: u32, percentile: u32) -> Option<Epss> {
    let [probability, percentile] = [probability, percentile].map(Decimal::from_hundred_thousandths);
    (probability.hundred_thousandths() != NONE).then_some(Epss { probability, percentile })
}
