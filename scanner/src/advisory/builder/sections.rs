//! Writes the parts of the advisory file.

use std::collections::{BTreeSet, HashMap};

use super::BuildError;
use crate::advisory::feed::{Advisory, Affected};
use crate::advisory::format::{
    NONE, SLOT_BYTES, epss_numbers, exploited_numbers, grade_numbers, home, remedy_numbers, tag,
};
use crate::advisory::severity::Grade;
use crate::advisory::{Ecosystem, RangeEnd};
use crate::finding::{Epss, Exploited};

/// Where the advisory stands in its section, the advisory, and its part about this package.
pub(super) type RecordEntry<'a> = (u32, &'a Advisory, &'a Affected);

#[derive(Default)]
pub(super) struct Sections {
    pub(super) records: Vec<u8>,
    pub(super) advisories: Vec<u8>,
    pub(super) grades: Vec<u8>,
    pub(super) texts: Vec<u8>,
    interned: HashMap<String, u32>,
    known_grades: HashMap<[u32; 4], u32>,
}

impl Sections {
    pub(super) fn add_advisory(
        &mut self,
        advisory: &Advisory,
        exploited: Option<Exploited>,
        epss: Option<Epss>,
    ) -> Result<u32, BuildError> {
        let offset = position(&self.advisories, "advisories")?;
        let id = self.text(&advisory.id)?;
        let summary = advisory.summary.as_deref().map_or(Ok(NONE), |summary| self.text(summary))?;
        let source = self.text(&advisory.source)?;
        let aliases = advisory.aliases.iter().filter(|alias| **alias != advisory.id);
        let aliases = aliases.map(|alias| self.text(alias)).collect::<Result<Vec<u32>, _>>()?;
        let count = length(aliases.len(), "advisories")?;
        put(&mut self.advisories, &[id, summary, source]);
        put(&mut self.advisories, &exploited_numbers(exploited));
        put(&mut self.advisories, &epss_numbers(epss));
        put(&mut self.advisories, &[count]);
        put(&mut self.advisories, &aliases);
        Ok(offset)
    }

    /// A repository is written as a record whose listed versions are its channels.
    pub(super) fn add_repository(
        &mut self,
        table: &str,
        repository: &str,
        channels: &BTreeSet<Ecosystem>,
    ) -> Result<u32, BuildError> {
        let advisory = Advisory {
            bulletin: None,
            id: "repository".to_owned(),
            aliases: Vec::new(),
            grade: Grade::none(),
            summary: None,
            source: "redhat".to_owned(),
            modified: None,
            affected: Vec::new(),
        };
        let versions = channels.iter().map(|channel| channel.as_str().to_owned()).collect();
        let affected = Affected { versions, ..Affected::new(Ecosystem::red_hat_repositories(), repository) };
        let offset = self.add_advisory(&advisory, None, None)?;
        self.add_record(table, repository, &[(offset, &advisory, &affected)])
    }

    fn grade(&mut self, grade: &Grade) -> Result<u32, BuildError> {
        let numbers = grade_numbers(grade, |text| self.text(text))?;
        if let Some(offset) = self.known_grades.get(&numbers) {
            return Ok(*offset);
        }
        let offset = position(&self.grades, "grades")?;
        put(&mut self.grades, &numbers);
        self.known_grades.insert(numbers, offset);
        Ok(offset)
    }

    pub(super) fn add_record(
        &mut self,
        ecosystem: &str,
        package: &str,
        entries: &[RecordEntry<'_>],
    ) -> Result<u32, BuildError> {
        let offset = position(&self.records, "records")?;
        let head = [self.text(ecosystem)?, self.text(package)?, length(entries.len(), "records")?];
        put(&mut self.records, &head);
        for (advisory_offset, advisory, affected) in entries {
            let grade = self.grade(affected.grade.as_deref().unwrap_or(&advisory.grade))?;
            let (remedy, text) = remedy_numbers(affected.remedy);
            let text = text.map_or(Ok(NONE), |text| self.text(text))?;
            let ranges = length(affected.ranges.len(), "records")?;
            put(&mut self.records, &[*advisory_offset, grade, remedy, text, ranges]);
            for range in &affected.ranges {
                let introduced =
                    range.introduced.as_deref().map_or(Ok(NONE), |version| self.text(version))?;
                let (fixed, last) = match &range.end {
                    RangeEnd::Fixed(version) => (self.text(version)?, NONE),
                    RangeEnd::LastAffected(version) => (NONE, self.text(version)?),
                    RangeEnd::Open => (NONE, NONE),
                };
                put(&mut self.records, &[introduced, fixed, last]);
            }
            let versions = affected.versions.iter().map(|version| self.text(version));
            let versions = versions.collect::<Result<Vec<u32>, _>>()?;
            put(&mut self.records, &[length(versions.len(), "records")?]);
            put(&mut self.records, &versions);
        }
        Ok(offset)
    }

    fn text(&mut self, text: &str) -> Result<u32, BuildError> {
        if let Some(offset) = self.interned.get(text) {
            return Ok(*offset);
        }
        let offset = position(&self.texts, "texts")?;
        put(&mut self.texts, &[length(text.len(), "texts")?]);
        self.texts.extend_from_slice(text.as_bytes());
        self.interned.insert(text.to_owned(), offset);
        Ok(offset)
    }
}

/// Open addressing at a load of at most one half keeps the probes short.
pub(super) fn hash_table(hashes: &[(u64, u32)]) -> Vec<u8> {
    let count = (hashes.len() * 2).next_power_of_two().max(2);
    let mut slots = vec![(0, NONE); count];
    for (hash, offset) in hashes {
        let free = (0..count).map(|probe| (home(*hash, count) + probe) & (count - 1));
        if let Some(index) = free.into_iter().find(|index| slots[*index].1 == NONE) {
            slots[index] = (tag(*hash), *offset);
        }
    }
    let mut bytes = Vec::with_capacity(count * SLOT_BYTES);
    slots.iter().for_each(|(tag, offset)| put(&mut bytes, &[*tag, *offset]));
    bytes
}

fn put(bytes: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

fn position(section: &[u8], name: &'static str) -> Result<u32, BuildError> {
    length(section.len(), name)
}

fn length(length: usize, section: &'static str) -> Result<u32, BuildError> {
    let short = u32::try_from(length).ok().filter(|length| *length < NONE);
    short.ok_or(BuildError::TooLarge { section, max: NONE })
}
