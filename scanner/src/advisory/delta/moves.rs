//! Where the texts, grades, advisories and records of one advisory file stand in another, and the parts of the one as they
//! would read there.

use std::collections::HashMap;
use std::collections::VecDeque;

use super::DeltaError;
use crate::advisory::format::{NONE, Section};

/// Words of a grade: severity, score, vector, source.
const GRADE_WORDS: usize = 4;
const WORD: usize = 4;

/// From a place in the older file to its place in the newer.
#[derive(Default)]
pub(super) struct Moves {
    advisories: HashMap<u32, u32>,
    grades: HashMap<u32, u32>,
    records: HashMap<u32, u32>,
    texts: HashMap<u32, u32>,
}

/// A part of the older file in the words of the newer.
pub(super) struct Rewritten {
    pub(super) bytes: Vec<u8>,
    /// Where each advisory or record begins, and two words that name it.
    begins: Vec<(u32, [u32; 2])>,
}

impl Moves {
    /// What is not in the newer file is nowhere.
    fn of(map: &HashMap<u32, u32>, place: u32) -> u32 {
        map.get(&place).copied().unwrap_or(NONE)
    }

    /// Takes up where the things of a part stand now.
    pub(super) fn learn(&mut self, section: Section, old: &Rewritten, new: &[u8]) -> Result<(), DeltaError> {
        match section {
            Section::Advisories => {
                self.advisories = pairs(&old.begins, &advisories(new, &|_, it| it)?.begins)
            }
            Section::Grades => self.grades = grade_moves(&old.bytes, new),
            Section::Records => self.records = pairs(&old.begins, &records(new, &|_, it| it)?.begins),
            Section::Texts => self.texts = text_moves(&old.bytes, new)?,
            Section::Slots | Section::Sources => {}
        }
        Ok(())
    }

    fn place(&self, kind: Kind, place: u32) -> u32 {
        match kind {
            Kind::Advisory => Self::of(&self.advisories, place),
            Kind::Grade => Self::of(&self.grades, place),
            Kind::Text => Self::of(&self.texts, place),
        }
    }
}

/// What a word points at.
#[derive(Clone, Copy)]
enum Kind {
    Advisory,
    Grade,
    Text,
}

/// A part of the older file as it would read in the newer, as far as `moves` were learnt.
pub(super) fn rewritten(section: Section, old: &[u8], moves: &Moves) -> Result<Rewritten, DeltaError> {
    let place = |kind, it| moves.place(kind, it);
    match section {
        Section::Advisories => advisories(old, &place),
        Section::Grades => grades(old, &place),
        Section::Records => records(old, &place),
        Section::Slots => slots(old, moves),
        Section::Sources | Section::Texts => Ok(Rewritten { bytes: old.to_vec(), begins: Vec::new() }),
    }
}

struct Words<'a> {
    left: &'a [u8],
    at: u32,
}

impl<'a> Words<'a> {
    fn new(section: &'a [u8]) -> Self {
        Self { left: section, at: 0 }
    }

    fn next(&mut self) -> Result<u32, DeltaError> {
        let short = DeltaError::Broken("a part of an advisory file is cut short");
        let (word, left) = self.left.split_first_chunk::<WORD>().ok_or(short)?;
        self.left = left;
        self.at = self.at.saturating_add(4);
        Ok(u32::from_le_bytes(*word))
    }
}

fn put(bytes: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
}

type Place<'p> = &'p dyn Fn(Kind, u32) -> u32;

/// Id, summary, source, four numbers, aliases.
fn advisories(section: &[u8], place: Place<'_>) -> Result<Rewritten, DeltaError> {
    let (mut words, mut begins) = (Words::new(section), Vec::new());
    let mut bytes = Vec::with_capacity(section.len());
    while !words.left.is_empty() {
        let begin = words.at;
        let [id, summary, source] =
            [words.next()?, words.next()?, words.next()?].map(|it| place(Kind::Text, it));
        begins.push((begin, [id, source]));
        put(&mut bytes, &[id, summary, source, words.next()?, words.next()?, words.next()?, words.next()?]);
        texts(&mut words, &mut bytes, place, 1)?;
    }
    Ok(Rewritten { bytes, begins })
}

fn grades(section: &[u8], place: Place<'_>) -> Result<Rewritten, DeltaError> {
    let mut words = Words::new(section);
    let mut bytes = Vec::with_capacity(section.len());
    while !words.left.is_empty() {
        let (severity, score) = (words.next()?, words.next()?);
        let [vector, source] = [words.next()?, words.next()?].map(|it| place(Kind::Text, it));
        put(&mut bytes, &[severity, score, vector, source]);
    }
    Ok(Rewritten { bytes, begins: Vec::new() })
}

/// Ecosystem, package, and its entries: advisory, grade, remedy and its text, ranges of three texts, versions.
fn records(section: &[u8], place: Place<'_>) -> Result<Rewritten, DeltaError> {
    let (mut words, mut begins) = (Words::new(section), Vec::new());
    let mut bytes = Vec::with_capacity(section.len());
    while !words.left.is_empty() {
        let begin = words.at;
        let name = [words.next()?, words.next()?].map(|it| place(Kind::Text, it));
        begins.push((begin, name));
        let count = words.next()?;
        put(&mut bytes, &[name[0], name[1], count]);
        for _ in 0..count {
            let advisory = place(Kind::Advisory, words.next()?);
            let grade = place(Kind::Grade, words.next()?);
            let remedy = words.next()?;
            let text = place(Kind::Text, words.next()?);
            put(&mut bytes, &[advisory, grade, remedy, text]);
            texts(&mut words, &mut bytes, place, 3)?;
            texts(&mut words, &mut bytes, place, 1)?;
        }
    }
    Ok(Rewritten { bytes, begins })
}

/// A count, and so many times `each` texts. A count beyond the part ends with the part.
fn texts(words: &mut Words<'_>, bytes: &mut Vec<u8>, place: Place<'_>, each: u64) -> Result<(), DeltaError> {
    let count = words.next()?;
    put(bytes, &[count]);
    for _ in 0..u64::from(count) * each {
        let text = place(Kind::Text, words.next()?);
        put(bytes, &[text]);
    }
    Ok(())
}

/// Tag and record.
fn slots(section: &[u8], moves: &Moves) -> Result<Rewritten, DeltaError> {
    let mut words = Words::new(section);
    let mut bytes = Vec::with_capacity(section.len());
    while !words.left.is_empty() {
        let tag = words.next()?;
        let record = Moves::of(&moves.records, words.next()?);
        put(&mut bytes, &[tag, record]);
    }
    Ok(Rewritten { bytes, begins: Vec::new() })
}

fn each_text<'a>(section: &'a [u8], visit: &mut dyn FnMut(u32, &'a [u8])) -> Result<(), DeltaError> {
    let mut words = Words::new(section);
    while !words.left.is_empty() {
        let begin = words.at;
        let length = words.next()?;
        let short = DeltaError::Broken("a text is cut short");
        let end = usize::try_from(length).map_err(|_| DeltaError::Broken("a text without an end"))?;
        let (text, left) = words.left.split_at_checked(end).ok_or(short)?;
        words.left = left;
        words.at = words.at.saturating_add(length);
        visit(begin, text);
    }
    Ok(())
}

fn text_moves(old: &[u8], new: &[u8]) -> Result<HashMap<u32, u32>, DeltaError> {
    let mut places: HashMap<&[u8], u32> = HashMap::new();
    each_text(new, &mut |begin, text| {
        places.entry(text).or_insert(begin);
    })?;
    let mut moves = HashMap::new();
    each_text(old, &mut |begin, text| {
        if let Some(place) = places.get(text) {
            moves.insert(begin, *place);
        }
    })?;
    Ok(moves)
}

fn grade_moves(old: &[u8], new: &[u8]) -> HashMap<u32, u32> {
    let bytes = GRADE_WORDS * WORD;
    let begin = |index: usize| u32::try_from(index * bytes).unwrap_or(NONE);
    let places: HashMap<&[u8], u32> =
        new.chunks(bytes).enumerate().map(|(index, grade)| (grade, begin(index))).collect();
    let old = old.chunks(bytes).enumerate();
    old.filter_map(|(index, grade)| Some((begin(index), *places.get(grade)?))).collect()
}

/// Things of one name, in their order.
fn pairs(old: &[(u32, [u32; 2])], new: &[(u32, [u32; 2])]) -> HashMap<u32, u32> {
    let mut places: HashMap<[u32; 2], VecDeque<u32>> = HashMap::new();
    for (begin, name) in new {
        places.entry(*name).or_default().push_back(*begin);
    }
    old.iter().filter_map(|(begin, name)| Some((*begin, places.get_mut(name)?.pop_front()?))).collect()
}
