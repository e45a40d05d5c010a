//! The outer archive of a saved image: a list of its files with their places, read without unpacking anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

/// Most members of a saved image; the largest honest ones hold a few hundred.
const MEMBERS_MAX: usize = 100_000;
/// Longest member name, in bytes (POSIX `PATH_MAX` is 4096). Stops long-name headers that fill memory.
const NAME_BYTES_MAX: u64 = 4096;
/// Largest extended header, in bytes.
const EXTENDED_HEADER_BYTES_MAX: u64 = 64 * 1024;
/// Largest archive after decompression, in bytes.
pub(super) const INFLATED_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Largest growth by decompression. Layers inside are mostly plain archives, which shrink to a third; 200 leaves room
/// for empty ones and stops a bomb (gzip can reach 1032) before it fills the disk.
const INFLATION_RATIO_MAX: u64 = 200;
/// What any archive may grow to, whatever its ratio.
const INFLATED_BYTES_FREE: u64 = 64 * 1024 * 1024;
/// Most hops from a link to its file; two links that name each other would otherwise never end.
const LINK_HOPS_MAX: usize = 4;
const BLOCK: u64 = 512;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The disk's fault, or the file ends too early.
    #[error("cannot read the archive")]
    Read(#[from] io::Error),
    /// A header whose checksum is wrong: no tar archive, or a damaged one.
    #[error("not a tar archive: bad header at byte {0}")]
    Header(u64),
    /// It says that it holds more bytes than the file has.
    #[error("member `{name}` of {size} bytes ends after the archive's {archive} bytes")]
    Truncated {
        /// Member.
        name: String,
        /// What the header says.
        size: u64,
        /// Bytes of the archive.
        archive: u64,
    },
    /// The same name twice: which of the two an engine would load depends on the engine.
    #[error("member `{0}` stands twice in the archive")]
    Duplicate(String),
    /// A limit.
    #[error("archive is over the limit: {0}")]
    Limit(String),
    /// Not there.
    #[error("archive has no file `{0}`")]
    Absent(String),
    /// A link that leads nowhere or in a circle.
    #[error("archive member `{0}` is a link that leads to no file")]
    Link(String),
    /// A member that must be held in memory.
    #[error("archive member `{name}` of {size} bytes is over the limit of {max}")]
    MemberTooLarge {
        /// Member.
        name: String,
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
}

/// An archive whose members can be read in any order.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link { target: String },
}

/// One member's bytes.
#[derive(Debug)]
pub struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Section {
    /// Bytes from here to its end.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Archive {
    /// Opens a tar archive, or a gzip-compressed one: that is inflated once, under limits, into a temporary file that has
    /// no name, because its members must be read out of order.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::from_file(File::open(path)?)
    }

    /// The same of an opened file.
    pub fn from_file(mut file: File) -> Result<Self, ArchiveError> {
        let mut magic = [0; 2];
        let is_gzip = file.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
        file.seek(SeekFrom::Start(0))?;
        let file = if is_gzip { inflate(file)? } else { file };
        let size = file.metadata()?.len();
        let file = Arc::new(file);
        let members = list(&file, size)?;
        Ok(Self { file, members })
    }

    /// Whether a member of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member's bytes. Old `docker save` writes a repeated layer as a link to its first copy; such links are followed
    /// inside the archive only.
    pub fn section(&self, name: &str) -> Result<Section, ArchiveError> {
        let mut name = name.to_owned();
        for _ in 0..LINK_HOPS_MAX {
            match self.members.get(&name) {
                Some(Member::File { offset, size }) => {
                    return Ok(Section { file: Arc::clone(&self.file), offset: *offset, left: *size });
                }
                Some(Member::Link { target }) => name = target.clone(),
                None => return Err(ArchiveError::Absent(name)),
            }
        }
        Err(ArchiveError::Link(name))
    }

    /// A small member, whole.
    pub fn bytes(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut section = self.section(name)?;
        if section.len() > bytes_max {
            return Err(ArchiveError::MemberTooLarge {
                name: name.into(),
                size: section.len(),
                max: bytes_max,
            });
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn inflate(compressed: File) -> Result<File, ArchiveError> {
    let compressed_bytes = compressed.metadata()?.len();
    let limit =
        compressed_bytes.saturating_mul(INFLATION_RATIO_MAX).clamp(INFLATED_BYTES_FREE, INFLATED_BYTES_MAX);
    let mut inflated = tempfile::tempfile()?;
    let mut reader =
        MultiGzDecoder::new(io::BufReader::with_capacity(256 * 1024, compressed)).take(limit + 1);
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0_u64;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        total += read as u64;
        if total > limit {
            return Err(ArchiveError::Limit(format!(
                "{compressed_bytes} bytes inflate to more than {limit}"
            )));
        }
        inflated.write_all(&buffer[..read])?;
    }
    Ok(inflated)
}

/// Walks the headers only. POSIX.1-1988 `ustar`, GNU long names (`L`, `K`) and pax headers (`x`; `g` is skipped, it never
/// carries names in a saved image).
fn list(file: &File, archive_bytes: u64) -> Result<BTreeMap<String, Member>, ArchiveError> {
    let mut members = BTreeMap::new();
    let mut at = 0_u64;
    let mut headers = 0_usize;
    let mut overrides = Overrides::default();
    while at + BLOCK <= archive_bytes {
        let mut header = [0; BLOCK as usize];
        file.read_exact_at(&mut header, at)?;
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        headers += 1;
        if headers > MEMBERS_MAX {
            return Err(ArchiveError::Limit(format!("more than {MEMBERS_MAX} members")));
        }
        let parsed = Header::parse(&header).ok_or(ArchiveError::Header(at))?;
        let size = overrides.size.take().unwrap_or(parsed.size);
        let data = at + BLOCK;
        let end = data.checked_add(size).filter(|end| *end <= archive_bytes);
        let Some(end) = end else {
            return Err(ArchiveError::Truncated { name: parsed.name, size, archive: archive_bytes });
        };
        at = end.next_multiple_of(BLOCK);
        match parsed.kind {
            b'L' => overrides.name = Some(long_text(file, data, size)?),
            b'K' => overrides.link = Some(long_text(file, data, size)?),
            b'x' => overrides.read_pax(&extended(file, data, size)?),
            b'g' => {}
            kind => {
                let name = overrides.name.take().unwrap_or(parsed.name);
                let link = overrides.link.take().unwrap_or(parsed.link);
                let name = normal(&name);
                let member = match kind {
                    b'0' | 0 | b'7' => Member::File { offset: data, size },
                    b'1' => Member::Link { target: normal(&link) },
                    b'2' => Member::Link { target: beside(&name, &link) },
                    _ => continue,
                };
                if members.insert(name.clone(), member).is_some() {
                    return Err(ArchiveError::Duplicate(name));
                }
            }
        }
    }
    Ok(members)
}

/// What an extended header says about the member after it.
#[derive(Default)]
struct Overrides {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Overrides {
    /// pax records (POSIX.1-2001): `<length> <key>=<value>\n`. A malformed record ends the reading; what matters is then
    /// missing and the member not found.
    fn read_pax(&mut self, mut bytes: &[u8]) {
        while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
            let length =
                std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse::<usize>().ok());
            let Some(record) =
                length.filter(|length| *length > space + 1).and_then(|length| bytes.get(space + 1..length))
            else {
                return;
            };
            bytes = &bytes[space + 1 + record.len()..];
            let text = String::from_utf8_lossy(record);
            match text.trim_end_matches('\n').split_once('=') {
                Some(("path", value)) => self.name = Some(value.to_owned()),
                Some(("linkpath", value)) => self.link = Some(value.to_owned()),
                Some(("size", value)) => self.size = value.parse().ok(),
                _ => {}
            }
        }
    }
}

struct Header {
    name: String,
    link: String,
    kind: u8,
    size: u64,
}

impl Header {
    fn parse(bytes: &[u8; BLOCK as usize]) -> Option<Self> {
        let stated = octal(&bytes[148..156])?;
        let sum: u64 = bytes
            .iter()
            .enumerate()
            .map(|(index, byte)| if (148..156).contains(&index) { 32 } else { u64::from(*byte) })
            .sum();
        if stated != sum {
            return None;
        }
        let name = text(&bytes[..100]);
        let prefix = if &bytes[257..262] == b"ustar" && bytes[262] == 0 {
            text(&bytes[345..500])
        } else {
            String::new()
        };
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        Some(Self { name, link: text(&bytes[157..257]), kind: bytes[156], size: number(&bytes[124..136])? })
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// Octal, or GNU's base-256 for sizes over 8 GiB.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, high @ .., _, _, _, _, _, _, _, _] if high.iter().all(|byte| *byte == 0) => {
            field.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
        }
        [first, ..] if *first >= 0x80 => None,
        _ => octal(field),
    }
}

fn long_text(file: &File, offset: u64, size: u64) -> Result<String, ArchiveError> {
    if size > NAME_BYTES_MAX {
        return Err(ArchiveError::Limit(format!("a name of {size} bytes")));
    }
    extended(file, offset, size).map(|bytes| text(&bytes))
}

fn extended(file: &File, offset: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
    let length = usize::try_from(size)
        .ok()
        .filter(|_| size <= EXTENDED_HEADER_BYTES_MAX)
        .ok_or_else(|| ArchiveError::Limit(format!("an extended header of {size} bytes")))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// `./a//b/` → `a/b`; `..` removes a part, never above the root.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// A symbolic link's target, relative to the directory of the link.
fn beside(link: &str, target: &str) -> String {
    match link.rsplit_once('/') {
        Some((directory, _)) if !target.starts_with('/') => normal(&format!("{directory}/{target}")),
        _ => normal(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<Archive, ArchiveError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Archive::open(file.path())
    }

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_are_found_by_their_normal_name_long_names_included() {
        let long = format!("{}/layer.tar", "a".repeat(180));
        let archive = open(&tar(&[("./manifest.json", b"[]"), (&long, b"layer")])).unwrap();
        assert_eq!(archive.bytes("manifest.json", 10).unwrap(), b"[]");
        assert_eq!(archive.bytes(&long, 10).unwrap(), b"layer");
        assert!(matches!(archive.bytes(&long, 4), Err(ArchiveError::MemberTooLarge { .. })));
        assert!(matches!(archive.section("absent"), Err(ArchiveError::Absent(_))));
    }

    #[test]
    fn links_are_followed_inside_the_archive_and_never_for_ever() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut link = |name: &str, target: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, target).unwrap();
        };
        link("a/layer.tar", "../b/layer.tar");
        link("loop", "loop");
        link("out", "../../../../etc/passwd");
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, "b/layer.tar", &b"x"[..]).unwrap();
        let archive = open(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(archive.bytes("a/layer.tar", 9).unwrap(), b"x");
        assert!(matches!(archive.section("loop"), Err(ArchiveError::Link(_))));
        assert!(matches!(archive.section("out"), Err(ArchiveError::Absent(_))));
    }

    #[test]
    fn malformed_archives_are_refused() {
        let good = tar(&[("a", b"hello")]);
        assert!(matches!(open(&tar(&[("a", b"1"), ("./a", b"2")])), Err(ArchiveError::Duplicate(_))));
        assert!(matches!(open(b"hello".repeat(200).as_slice()), Err(ArchiveError::Header(0))));
        let mut damaged = good.clone();
        damaged[0] ^= 1;
        assert!(matches!(open(&damaged), Err(ArchiveError::Header(0))));
        assert!(matches!(open(&good[..514]), Err(ArchiveError::Truncated { .. })));
        assert!(open(&[0; 1024]).unwrap().members.is_empty());
        assert!(open(b"").unwrap().members.is_empty());
    }

    #[test]
    fn a_compressed_archive_is_read_and_a_bomb_is_stopped() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert!(open(&gzip(&tar(&[("a", b"hello")]))).unwrap().has("a"));
        let bomb = gzip(&vec![0; 80 * 1024 * 1024]);
        assert!(matches!(open(&bomb), Err(ArchiveError::Limit(_))));
    }
}
