//! Searches packed archives inside a layer for secrets, one level deep and without holding them: `tar.gz`, `tar.zst`, plain
//! gzip files, zip and its relatives.
//!
//! A leaked credential in a backup is an accident, not an attack: an archive that is broken, encrypted or too large ends its
//! own search and nothing else. What is installed from archives is the extractors' matter, who do refuse.

use crate::detectors::{Detected, Detector, secrets::Secrets};
use crate::extractors::java::zip::Archive;
use crate::layer::decompress::{Decompress, Unpacked};
use crate::layer::entry::{Entry, EntryKind, clean, printable};
use crate::layer::tar::{Entries, Header, TarReader};
use crate::layer::window::WindowBuffer;
use crate::layer::{Compression, Refusal};
use crate::limits::{Limits, NESTED_FILE_BYTES_MAX, NESTED_MEMBER_BYTES_MAX};

/// Names of zip archives.
const ZIP_ENDINGS: [&[u8]; 9] =
    [b".jar", b".war", b".ear", b".zip", b".whl", b".egg", b".nupkg", b".vsix", b".apk"];

/// Documentation that distributions pack by the thousand.
const DOCUMENTATION: [&[u8]; 4] =
    [b"usr/share/doc/", b"usr/share/info/", b"usr/share/man/", b"usr/local/share/man/"];

/// Where the magic stands in a tar archive's first block (POSIX.1-2001, ustar).
const USTAR_AT: usize = 257;
const USTAR: &[u8] = b"ustar";

/// What was found, and how many bytes that took.
pub(super) type Searched = (Vec<Detected>, u64);

/// Whether a file is held so that its members can be searched.
pub(super) fn is_zip(path: &[u8]) -> bool {
    ZIP_ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// A packed file that is searched while it arrives.
pub(super) struct Nested {
    decompress: Decompress,
    stream: Stream,
    over: bool,
}

impl Nested {
    /// `None` when the first bytes are not those of a compressed file, or no one keeps secrets there.
    pub(super) fn of(path: &[u8], first: &[u8], limits: &Limits, budget: u64) -> Option<Self> {
        if DOCUMENTATION.iter().any(|folder| path.starts_with(folder)) {
            return None;
        }
        let compression = match first {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => return None,
        };
        let decompress = Decompress::new(compression).ok()?;
        Some(Self { decompress, stream: Stream::new(limits, budget), over: false })
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.stream.packed = self.stream.packed.saturating_add(bytes.len() as u64);
        self.over = self.over || self.decompress.feed(bytes, &mut self.stream).is_err();
    }

    pub(super) fn finish(mut self) -> Searched {
        self.stream.finish();
        (self.stream.members.found, self.stream.unpacked)
    }
}

/// Searches the members of a zip archive that is held whole.
pub(super) fn search_zip(bytes: &[u8], limits: &Limits, budget: u64) -> Searched {
    let mut members = Members::new(limits);
    let mut unpacked = 0;
    let Ok(archive) = Archive::open(bytes) else { return (members.found, unpacked) };
    let Ok(listed) = archive.members() else { return (members.found, unpacked) };
    for member in listed.flatten().filter(|member| is_searched(member.name)) {
        let Ok(content) = member.unpack(NESTED_MEMBER_BYTES_MAX) else { continue };
        unpacked += content.len() as u64;
        if unpacked > budget.min(NESTED_FILE_BYTES_MAX) || members.whole(member.name, &content).is_err() {
            break;
        }
    }
    (members.found, unpacked)
}

/// Libraries hold classes by the thousand; what the application itself compiled in stands in these folders.
fn is_searched(name: &[u8]) -> bool {
    const PACKED: [&[u8]; 7] = [b"/", b".gif", b".jpg", b".png", b".woff", b".woff2", b".ttf"];
    let own = name.starts_with(b"BOOT-INF/classes/") || name.starts_with(b"WEB-INF/classes/");
    !is_zip(name)
        && !PACKED.iter().any(|ending| name.ends_with(ending))
        && (own || !name.ends_with(b".class"))
}

/// What stands behind the decompressor.
struct Stream {
    members: Members,
    kind: Kind,
    packed: u64,
    unpacked: u64,
    unpacked_max: u64,
    ratio_max: u64,
    ratio_free_bytes: u64,
    limits: Limits,
}

enum Kind {
    /// The first block is gathered until it tells.
    Unknown(Vec<u8>),
    /// Not an archive: one file.
    Single,
    Tar(Box<TarReader>),
}

impl Stream {
    fn new(limits: &Limits, budget: u64) -> Self {
        Self {
            members: Members::new(limits),
            kind: Kind::Unknown(Vec::new()),
            packed: 0,
            unpacked: 0,
            unpacked_max: budget.min(NESTED_FILE_BYTES_MAX),
            ratio_max: limits.ratio_max,
            // A layer may hold thousands of such files.
            ratio_free_bytes: limits.ratio_free_bytes >> 4,
            limits: *limits,
        }
    }

    fn pass_on(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match &mut self.kind {
            Kind::Unknown(first) => {
                first.extend_from_slice(bytes);
                if first.len() < USTAR_AT + USTAR.len() {
                    return Ok(());
                }
                let first = std::mem::take(first);
                self.kind = if first[USTAR_AT..].starts_with(USTAR) {
                    Kind::Tar(Box::new(TarReader::new(&self.limits)))
                } else {
                    self.members.begin(Vec::new());
                    Kind::Single
                };
                self.pass_on(&first)
            }
            Kind::Single => {
                self.members.more(bytes);
                Ok(())
            }
            Kind::Tar(tar) => tar.feed(bytes, &mut self.members),
        }
    }

    fn finish(&mut self) {
        match &mut self.kind {
            // Nothing more can refuse it.
            Kind::Unknown(first) => drop(self.members.whole(b"", &std::mem::take(first))),
            Kind::Single => self.members.close(),
            Kind::Tar(_) => {}
        }
    }
}

impl Unpacked for Stream {
    type Error = Refusal;

    fn unpacked(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.unpacked = self.unpacked.saturating_add(bytes.len() as u64);
        if self.unpacked > self.unpacked_max {
            return Err(Refusal::TooLarge { max: self.unpacked_max });
        }
        if self.unpacked > self.ratio_free_bytes && self.unpacked / self.ratio_max > self.packed {
            return Err(Refusal::Bomb { unpacked: self.unpacked, packed: self.packed, max: self.ratio_max });
        }
        self.pass_on(bytes)
    }
}

/// Shows the members to the detector of secrets; all others speak of the image's own files.
struct Members {
    limits: Limits,
    window: WindowBuffer,
    /// Path of the member whose content arrives; empty for a single file.
    path: Option<Vec<u8>>,
    found: Vec<Detected>,
}

impl Members {
    fn new(limits: &Limits) -> Self {
        Self { limits: *limits, window: WindowBuffer::default(), path: None, found: Vec::new() }
    }

    fn whole(&mut self, name: &[u8], content: &[u8]) -> Result<(), Refusal> {
        self.begin(clean(name, &self.limits)?);
        self.more(content);
        self.close();
        let max = self.limits.detections_max;
        if self.found.len() > max { Err(Refusal::TooManyDetections { max }) } else { Ok(()) }
    }

    fn begin(&mut self, path: Vec<u8>) {
        self.window.begin();
        self.path = Some(path);
    }

    fn more(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.window.fill(bytes);
            if self.window.is_full() {
                self.inspect();
                self.window.advance();
            }
        }
    }

    fn close(&mut self) {
        self.window.finish();
        self.inspect();
        self.path = None;
    }

    fn inspect(&mut self) {
        let Some(path) = &self.path else { return };
        if self.found.len() > self.limits.detections_max {
            return;
        }
        let entry = Entry { path, kind: EntryKind::File, mode: 0, size: 0, hash: None, target: b"" };
        let before = self.found.len();
        Secrets.inspect(&entry, &self.window.view(), &mut self.found);
        for detected in &mut self.found[before..] {
            if let Detected::Secret { inside, .. } = detected {
                *inside = Some(printable(path)).filter(|path| !path.is_empty());
            }
        }
    }
}

impl Entries for Members {
    fn entry(&mut self, header: Header) -> Result<(), Refusal> {
        self.begin(clean(&header.name, &self.limits)?);
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.more(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.close();
        Ok(())
    }
}
