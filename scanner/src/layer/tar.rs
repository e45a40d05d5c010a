//! A tar reader that is fed: Go's `archive/tar` is the truth, because engines unpack with it, and whatever readers
//! read differently is refused.

use crate::layer::Refusal;
use crate::layer::entry::EntryKind;
use crate::layer::pax::{Pax, PaxProblem};
use crate::limits::Limits;

const BLOCK: usize = 512;

/// One entry, with the extended headers applied and before any cleaning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    /// Major and minor number of a device node.
    pub(crate) device: Option<(u64, u64)>,
}

/// Receives what the archive holds: per entry one `entry`, for files then any number of `content`, then `end`.
pub(crate) trait Entries {
    fn entry(&mut self, header: Header) -> Result<(), Refusal>;
    fn content(&mut self, bytes: &[u8]) -> Result<(), Refusal>;
    fn end(&mut self) -> Result<(), Refusal>;
}

/// The reader's state between two pieces of input.
pub(crate) struct TarReader {
    state: State,
    block: [u8; BLOCK],
    filled: usize,
    offset: u64,
    /// Where the last complete header block began: what refusals name, however the bytes were cut into pieces.
    header_at: u64,
    meta: Vec<u8>,
    meta_bytes_max: u64,
    pending: Pending,
    recognised: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// A zero block was read; the next must be one too.
    Ending,
    Meta {
        kind: Meta,
        left: u64,
        padding: u64,
    },
    Content {
        left: u64,
        padding: u64,
    },
    Padding {
        left: u64,
    },
    /// The end marker was read; blocks that follow must be zero.
    Ended,
    /// The index that eStargz writes after the end marker, with its padding.
    AfterEnd {
        left: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meta {
    Pax,
    PaxGlobal,
    GnuName,
    GnuLink,
}

/// Extended headers that wait for their entry.
#[derive(Default)]
struct Pending {
    pax: Pax,
    has_pax: bool,
    gnu_name: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        !self.has_pax && self.gnu_name.is_none() && self.gnu_link.is_none()
    }
}

impl TarReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: State::Header,
            block: [0; BLOCK],
            filled: 0,
            offset: 0,
            header_at: 0,
            meta: Vec::new(),
            meta_bytes_max: limits.meta_bytes_max,
            pending: Pending::default(),
            recognised: false,
        }
    }

    /// A valid header or an end marker was seen: the bytes are meant as an archive.
    pub(crate) fn recognised(&self) -> bool {
        self.recognised
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], to: &mut impl Entries) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Header | State::Ending | State::Ended => self.fill_block(bytes, to)?,
                State::Meta { kind, left, padding } => {
                    let used = at_most(left, bytes.len());
                    self.meta.extend_from_slice(&bytes[..used]);
                    let left = left - used as u64;
                    self.state = State::Meta { kind, left, padding };
                    if left == 0 {
                        self.finish_meta(kind)?;
                        self.state = padding_or_header(padding);
                    }
                    used
                }
                State::Content { left, padding } => {
                    let used = at_most(left, bytes.len());
                    to.content(&bytes[..used])?;
                    let left = left - used as u64;
                    self.state = State::Content { left, padding };
                    if left == 0 {
                        to.end()?;
                        self.state = padding_or_header(padding);
                    }
                    used
                }
                State::Padding { left } => {
                    let used = at_most(left, bytes.len());
                    self.state = padding_or_header(left - used as u64);
                    used
                }
                State::AfterEnd { left } => {
                    let used = at_most(left, bytes.len());
                    let left = left - used as u64;
                    self.state = if left == 0 { State::Ended } else { State::AfterEnd { left } };
                    used
                }
            };
            self.offset += used as u64;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        let complete = match self.state {
            // Archives without end marker are read by everyone.
            State::Header | State::Ending => self.filled == 0 && self.pending.is_empty(),
            State::Ended => self.block[..self.filled].iter().all(|&byte| byte == 0),
            State::AfterEnd { .. } | State::Meta { .. } | State::Content { .. } | State::Padding { .. } => {
                false
            }
        };
        if complete { Ok(()) } else { Err(Refusal::Truncated("the archive ends inside an entry")) }
    }

    fn fill_block(&mut self, bytes: &[u8], to: &mut impl Entries) -> Result<usize, Refusal> {
        let used = (BLOCK - self.filled).min(bytes.len());
        self.block[self.filled..self.filled + used].copy_from_slice(&bytes[..used]);
        self.filled += used;
        if self.filled < BLOCK {
            return Ok(used);
        }
        self.header_at = (self.offset + used as u64).saturating_sub(BLOCK as u64);
        self.filled = 0;
        let zero = self.block.iter().all(|&byte| byte == 0);
        match (self.state, zero) {
            (State::Ending, true) if self.pending.is_empty() => self.state = State::Ended,
            (State::Ending, true) => return Err(self.broken("an extended header without an entry")),
            (State::Ending, false) => return Err(self.broken("a lone zero block")),
            (State::Ended, true) => {}
            (State::Ended, false) => self.state = self.after_end()?,
            (_, true) => {
                self.recognised = true;
                self.state = State::Ending;
            }
            (_, false) => self.header(to)?,
        }
        Ok(used)
    }

    fn header(&mut self, to: &mut impl Entries) -> Result<(), Refusal> {
        let format = Format::of(&self.block).ok_or_else(|| self.broken("a header with a wrong checksum"))?;
        self.recognised = true;
        let number = |field| number(field).ok_or_else(|| self.broken("a malformed number"));
        let size = number(&self.block[124..136])?;
        let mode = number(&self.block[100..108])?;
        let type_flag = self.block[156];
        if let Some(kind) = meta_kind(type_flag) {
            return self.begin_meta(kind, size);
        }
        let mut header = Header {
            name: format.name(&self.block),
            link: text(&self.block[157..257]).to_vec(),
            kind: EntryKind::File,
            mode: u32::try_from(mode & 0o7777).expect("twelve bits"),
            size,
            device: None,
        };
        let pending = std::mem::take(&mut self.pending);
        if pending.pax.path.is_some() && pending.gnu_name.is_some()
            || pending.pax.link_path.is_some() && pending.gnu_link.is_some()
        {
            return Err(self.ambiguous("a PAX name and a GNU name for one entry"));
        }
        header.name = pending.pax.path.or(pending.gnu_name).unwrap_or(header.name);
        header.link = pending.pax.link_path.or(pending.gnu_link).unwrap_or(header.link);
        header.size = pending.pax.size.unwrap_or(header.size);
        header.kind = self.kind(type_flag, &header.name)?;
        if matches!(header.kind, EntryKind::BlockDevice | EntryKind::CharacterDevice) {
            let device = |field| self::number(field).unwrap_or_default();
            header.device = Some((device(&self.block[329..337]), device(&self.block[337..345])));
        }
        if header.kind != EntryKind::File && header.size != 0 {
            // Go reads what follows as the next header, other readers skip it as content.
            return Err(self.ambiguous("an entry that cannot have content states a size"));
        }
        let size = header.size;
        to.entry(header)?;
        self.state = State::Content { left: size, padding: padding(size) };
        if size == 0 {
            to.end()?;
            self.state = State::Header;
        }
        Ok(())
    }

    /// Go stops at the end marker and ignores what follows; a reader told to ignore zero blocks would find a second
    /// archive there. The one thing known to follow is the index of eStargz (stargz-snapshotter, estargz.md), which no
    /// engine unpacks.
    fn after_end(&self) -> Result<State, Refusal> {
        let is_index = Format::of(&self.block).is_some()
            && text(&self.block[..100]) == b"stargz.index.json"
            && matches!(self.block[156], 0 | b'0');
        let size = number(&self.block[124..136]).filter(|size| is_index && *size > 0);
        let size = size.ok_or(Refusal::TrailingBytes("non-zero"))?;
        Ok(State::AfterEnd { left: size.saturating_add(padding(size)) })
    }

    fn kind(&self, type_flag: u8, name: &[u8]) -> Result<EntryKind, Refusal> {
        let slash = name.ends_with(b"/");
        match type_flag {
            // Archives from before POSIX mark directories by the slash only.
            0 if slash => Ok(EntryKind::Directory),
            // GNU tar makes a directory of it, Go a file.
            b'0' if slash => Err(self.ambiguous("a file whose name ends in a slash")),
            0 | b'0' => Ok(EntryKind::File),
            b'1' => Ok(EntryKind::HardLink),
            b'2' => Ok(EntryKind::Symlink),
            b'3' => Ok(EntryKind::CharacterDevice),
            b'4' => Ok(EntryKind::BlockDevice),
            b'5' => Ok(EntryKind::Directory),
            b'6' => Ok(EntryKind::Fifo),
            b'S' => Err(self.ambiguous("a sparse file")),
            _ => Err(self.broken("an entry of a type that engines do not unpack")),
        }
    }

    fn begin_meta(&mut self, kind: Meta, size: u64) -> Result<(), Refusal> {
        if size > self.meta_bytes_max {
            return Err(Refusal::MetaTooLarge { bytes: size, max: self.meta_bytes_max });
        }
        self.meta.clear();
        self.state = State::Meta { kind, left: size, padding: padding(size) };
        if size == 0 {
            self.finish_meta(kind)?;
            self.state = State::Header;
        }
        Ok(())
    }

    fn finish_meta(&mut self, kind: Meta) -> Result<(), Refusal> {
        // Taken, not borrowed: one name of a megabyte must not keep its buffer for the whole walk.
        let meta = std::mem::take(&mut self.meta);
        match kind {
            Meta::Pax | Meta::PaxGlobal => {
                let pax = Pax::parse(&meta).map_err(|problem| match problem {
                    PaxProblem::Malformed => self.broken("a malformed PAX record"),
                    PaxProblem::Repeated => self.ambiguous("two PAX records for one key"),
                    PaxProblem::Sparse => self.ambiguous("a sparse file"),
                })?;
                if kind == Meta::PaxGlobal {
                    // Go ignores a global name or size, GNU tar applies it to every entry that follows.
                    return if pax.is_empty() {
                        Ok(())
                    } else {
                        Err(self.ambiguous("a global PAX name or size"))
                    };
                }
                if self.pending.has_pax {
                    return Err(self.ambiguous("two PAX headers for one entry"));
                }
                self.pending.pax = pax;
                self.pending.has_pax = true;
            }
            Meta::GnuName | Meta::GnuLink => {
                let slot = if kind == Meta::GnuName {
                    &mut self.pending.gnu_name
                } else {
                    &mut self.pending.gnu_link
                };
                if slot.replace(text(&meta).to_vec()).is_some() {
                    return Err(self.ambiguous("two GNU long names for one entry"));
                }
            }
        }
        Ok(())
    }

    fn broken(&self, problem: &'static str) -> Refusal {
        Refusal::BrokenTar { offset: self.header_at, problem }
    }

    fn ambiguous(&self, problem: &'static str) -> Refusal {
        Refusal::AmbiguousTar { offset: self.header_at, problem }
    }
}

/// Dialects differ in what the last 167 bytes of a header mean.
#[derive(Clone, Copy)]
enum Format {
    /// Before POSIX, and GNU: no prefix.
    NoPrefix,
    /// GNU's magic with a printable prefix: Go takes it as a name's prefix, as old Go versions wrote it.
    Ustar,
    Star,
}

impl Format {
    /// `None` when the checksum is wrong: it is the sum of all bytes with the checksum itself as spaces, and some old
    /// writers summed signed bytes.
    fn of(block: &[u8; BLOCK]) -> Option<Self> {
        let stated = octal(&block[148..156])?;
        let (mut unsigned, mut signed) = (0_u64, 0_i64);
        for (at, &byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            unsigned += u64::from(byte);
            signed += i64::from(i8::from_ne_bytes([byte]));
        }
        if stated != unsigned && i64::try_from(stated) != Ok(signed) {
            return None;
        }
        Some(match (&block[257..263], &block[263..265], &block[508..512]) {
            (b"ustar\0", _, b"tar\0") => Self::Star,
            (b"ustar\0", _, _) => Self::Ustar,
            (b"ustar ", b" \0", _) if gnu_prefix_is_name(block) => Self::Ustar,
            _ => Self::NoPrefix,
        })
    }

    fn name(self, block: &[u8; BLOCK]) -> Vec<u8> {
        let name = text(&block[..100]);
        let prefix = match self {
            Self::NoPrefix => &[][..],
            Self::Ustar => text(&block[345..500]),
            Self::Star => text(&block[345..476]),
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }
}

/// Go: when the times that GNU keeps in this place are no numbers, the field is a prefix after all.
fn gnu_prefix_is_name(block: &[u8; BLOCK]) -> bool {
    let times_are_numbers =
        [&block[345..357], &block[357..369]].iter().all(|field| field[0] == 0 || number(field).is_some());
    !times_are_numbers && text(&block[345..500]).is_ascii()
}

fn meta_kind(type_flag: u8) -> Option<Meta> {
    match type_flag {
        b'x' => Some(Meta::Pax),
        b'g' => Some(Meta::PaxGlobal),
        b'L' => Some(Meta::GnuName),
        b'K' => Some(Meta::GnuLink),
        _ => None,
    }
}

/// A number as octal text or, with the top bit set, as a base-256 integer (GNU). Negative numbers are malformed: the
/// fields read here are sizes and modes.
fn number(field: &[u8]) -> Option<u64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    if first & 0x40 != 0 {
        return None;
    }
    let mut rest = field[1..].iter();
    rest.try_fold(u64::from(first & 0x3f), |value, &byte| {
        value.checked_mul(256)?.checked_add(u64::from(byte))
    })
}

fn octal(field: &[u8]) -> Option<u64> {
    let is_filler = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_filler(byte)).unwrap_or(field.len());
    let digits = text(&field[start..]);
    let end = digits.iter().rposition(|byte| !is_filler(byte)).map_or(0, |at| at + 1);
    digits[..end].iter().try_fold(0_u64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    &field[..memchr::memchr(0, field).unwrap_or(field.len())]
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn padding_or_header(padding: u64) -> State {
    if padding == 0 { State::Header } else { State::Padding { left: padding } }
}

/// `left` bounded by what is there.
fn at_most(left: u64, there: usize) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}
