//! Names of entries, cleaned as engines clean them, and the compact table that holds a layer's entries.

use serde::{Deserialize, Serialize};

use crate::layer::Refusal;
use crate::limits::Limits;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Block device; recorded, never opened.
    BlockDevice,
    /// Character device; recorded, never opened.
    CharacterDevice,
    /// Directory.
    Directory,
    /// Named pipe; recorded, never opened.
    Fifo,
    /// Regular file.
    File,
    /// Another name for an entry of the same layer.
    HardLink,
    /// Symbolic link.
    Symlink,
}

const KINDS: [EntryKind; 7] = [
    EntryKind::BlockDevice,
    EntryKind::CharacterDevice,
    EntryKind::Directory,
    EntryKind::Fifo,
    EntryKind::File,
    EntryKind::HardLink,
    EntryKind::Symlink,
];

/// Set in a record's first byte when a content hash follows.
const HAS_HASH: u8 = 0x80;

/// One entry of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'t> {
    /// Cleaned path relative to the root, not always UTF-8; empty for the root itself.
    pub path: &'t [u8],
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, twelve of them.
    pub mode: u32,
    /// Bytes of content.
    pub size: u64,
    /// CRC-32 of the content of larger files: tells likely duplicates, nothing that decides anything.
    pub hash: Option<u32>,
    /// Target of a symbolic link as written, of a hard link cleaned.
    pub target: &'t [u8],
}

/// The entries of one layer in archive order, each name stored as its difference from the one before: a fifth of the
/// memory of a list of structures, and its own storage format.
#[derive(Clone, Default)]
pub(crate) struct EntryTable {
    bytes: Vec<u8>,
    count: u32,
    last_path: Vec<u8>,
}

impl EntryTable {
    /// Appends an entry; its number, counted from zero.
    pub(crate) fn push(&mut self, entry: &Entry<'_>, limits: &Limits) -> Result<u32, Refusal> {
        if u64::from(self.count) >= limits.entries_max {
            return Err(Refusal::TooManyEntries { max: limits.entries_max });
        }
        let shared = self.last_path.iter().zip(entry.path).take_while(|(before, now)| before == now).count();
        let kind = KINDS.iter().position(|kind| *kind == entry.kind).expect("all kinds are listed");
        let hash_flag = if entry.hash.is_some() { HAS_HASH } else { 0 };
        self.bytes.push(u8::try_from(kind).expect("seven kinds") | hash_flag);
        put(&mut self.bytes, shared as u64);
        put_bytes(&mut self.bytes, &entry.path[shared..]);
        put(&mut self.bytes, u64::from(entry.mode));
        match entry.kind {
            EntryKind::File => put(&mut self.bytes, entry.size),
            EntryKind::HardLink | EntryKind::Symlink => put_bytes(&mut self.bytes, entry.target),
            _ => {}
        }
        if let Some(hash) = entry.hash {
            self.bytes.extend_from_slice(&hash.to_le_bytes());
        }
        if self.bytes.len() > limits.table_bytes_max {
            return Err(Refusal::TableTooLarge { max: limits.table_bytes_max });
        }
        self.last_path.truncate(shared);
        self.last_path.extend_from_slice(&entry.path[shared..]);
        let number = self.count;
        self.count += 1;
        Ok(number)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// The records, for storage.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Back from storage; `None` when the bytes are no table of `count` entries.
    pub(crate) fn from_bytes(bytes: &[u8], count: u32) -> Option<Self> {
        let table = Self { bytes: bytes.to_vec(), count, last_path: Vec::new() };
        let mut reader = Reader::new(&table.bytes);
        for _ in 0..count {
            reader.next()?;
        }
        reader.rest.is_empty().then_some(table)
    }

    /// Hands every entry to `visit`, in archive order, with its number.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u32, Entry<'_>)) {
        let mut reader = Reader::new(&self.bytes);
        for number in 0..self.count {
            let Some(entry) = reader.next() else { return };
            visit(number, entry);
        }
    }
}

impl PartialEq for EntryTable {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.bytes == other.bytes
    }
}

impl Eq for EntryTable {}

impl std::fmt::Debug for EntryTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EntryTable({} entries)", self.count)
    }
}

struct Reader<'t> {
    rest: &'t [u8],
    path: Vec<u8>,
}

impl<'t> Reader<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        Self { rest: bytes, path: Vec::new() }
    }

    fn next(&mut self) -> Option<Entry<'_>> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let kind = *KINDS.get(usize::from(first & !HAS_HASH))?;
        let shared = usize::try_from(self.number()?).ok()?;
        if shared > self.path.len() {
            return None;
        }
        let suffix = self.bytes()?;
        self.path.truncate(shared);
        self.path.extend_from_slice(suffix);
        let mode = u32::try_from(self.number()?).ok()?;
        let size = if kind == EntryKind::File { self.number()? } else { 0 };
        let target =
            if matches!(kind, EntryKind::HardLink | EntryKind::Symlink) { self.bytes()? } else { &[] };
        let hash = if first & HAS_HASH == 0 {
            None
        } else {
            let (hash, rest) = self.rest.split_first_chunk()?;
            self.rest = rest;
            Some(u32::from_le_bytes(*hash))
        };
        Some(Entry { path: &self.path, kind, mode, size, hash, target })
    }

    fn bytes(&mut self) -> Option<&'t [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// LEB128.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn put_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    put(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

/// Cleans a name as Go's `filepath.Clean` does: engines clean before they unpack. A name that climbs above the root is
/// refused, because some engines clamp it and some fail.
pub(crate) fn clean(name: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
    if name.len() > limits.path_bytes_max {
        return Err(Refusal::PathTooLong { bytes: name.len(), max: limits.path_bytes_max });
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(Refusal::PathEscapes { path: printable(name) });
                }
            }
            part => parts.push(part),
        }
    }
    if parts.len() > limits.path_depth_max {
        return Err(Refusal::PathTooDeep { depth: parts.len(), max: limits.path_depth_max });
    }
    Ok(parts.join(&b'/'))
}

/// A path for people: what is not UTF-8 or would move a terminal's cursor is escaped, so that two paths never look
/// alike.
pub(crate) fn printable(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => path.escape_ascii().to_string(),
    }
}
