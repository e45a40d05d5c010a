//! The difference between two advisory files: what a site that has the older one needs to make the newer, to the byte.
//!
//! One more advisory moves the text of all others, and with it nearly every number of the file. So the older file's parts
//! are first rewritten as they would stand with the newer one's texts, grades, advisories and records in their places; of
//! that, the newer file is a few insertions away, which zstd expresses with the older part as a prefix. A part that was
//! rewritten wrongly would cost bytes and nothing else: the digest of the whole result is proven in the end.

mod moves;

use std::io::{Read as _, Write as _};

use sha2::{Digest as _, Sha256};

use super::AdvisoryError;
use super::format::{HEADER_BYTES, Header, SECTIONS, Section};
use moves::{Moves, rewritten};

const MAGIC: [u8; 8] = *b"PCDELTA\n";
const VERSION: u32 = 1;
const DIGEST_BYTES: usize = 32;
/// Mark, version, digests of the older and of the newer file, header of the newer file.
const HEAD_BYTES: usize = 12 + 2 * DIGEST_BYTES + HEADER_BYTES;
/// Packing level: it is packed once and fetched by everybody.
const LEVEL: i32 = 12;
/// Bounds of zstd's window, as powers of two.
const WINDOW_LOGS: (u32, u32) = (10, 31);

/// Each part needs those before it in their new places.
const ORDER: [Section; SECTIONS] = [
    Section::Texts,
    Section::Grades,
    Section::Advisories,
    Section::Records,
    Section::Slots,
    Section::Sources,
];

/// Why there is no newer file.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// It begins with another file.
    #[error("the delta is one to the file `{expected}`, not to `{computed}`")]
    Base {
        /// In the delta.
        expected: String,
        /// Of the file that is there.
        computed: String,
    },
    /// The delta ends too early, or a part of it cannot be read.
    #[error("the delta is broken: {0}")]
    Broken(&'static str),
    /// One of the two files is no advisory file.
    #[error("no usable advisory file")]
    File(#[from] AdvisoryError),
    /// Not made by [`make`].
    #[error("not a delta of advisory files")]
    NotADelta,
    /// It does not lead to what it promises.
    #[error("the delta promises the file `{expected}` and makes `{computed}`")]
    Result {
        /// In the delta.
        expected: String,
        /// Of what it makes.
        computed: String,
    },
    /// A bound.
    #[error("the delta makes {bytes} bytes, {max} are allowed")]
    TooLarge {
        /// What its header says.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// Made by a newer version.
    #[error("a delta of version {found}; version {VERSION} is read")]
    Version {
        /// In the delta.
        found: u32,
    },
    /// zstd.
    #[error("cannot pack the delta")]
    Pack(#[source] std::io::Error),
}

/// What leads from the file `base` to the file `newer`.
///
/// # Errors
/// When one of them is no advisory file, or memory runs out.
pub fn make(base: &[u8], newer: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let (from, to) = (Header::read(base)?, Header::read(newer)?);
    let mut delta = Vec::new();
    delta.extend_from_slice(&MAGIC);
    delta.extend_from_slice(&VERSION.to_le_bytes());
    delta.extend_from_slice(&Sha256::digest(base));
    delta.extend_from_slice(&Sha256::digest(newer));
    delta.extend_from_slice(&to.encode());
    let mut moves = Moves::default();
    for section in ORDER {
        let new = to.section(newer, section)?.bytes();
        let prefix = rewritten(section, from.section(base, section)?.bytes(), &moves)?;
        let packed = pack(new, &prefix.bytes).map_err(DeltaError::Pack)?;
        delta.extend_from_slice(&(packed.len() as u64).to_le_bytes());
        delta.extend_from_slice(&packed);
        moves.learn(section, &prefix, new)?;
    }
    Ok(delta)
}

/// The newer file, out of the older one and what [`make`] made.
///
/// # Errors
/// See [`DeltaError`]; nothing that is not the promised file is ever returned.
pub fn apply(base: &[u8], delta: &[u8], result_bytes_max: u64) -> Result<Vec<u8>, DeltaError> {
    let mark = delta.get(..12).filter(|mark| mark.starts_with(&MAGIC)).ok_or(DeltaError::NotADelta)?;
    let found = u32::from_le_bytes([mark[8], mark[9], mark[10], mark[11]]);
    if found != VERSION {
        return Err(DeltaError::Version { found });
    }
    let (head, mut rest) =
        delta.split_at_checked(HEAD_BYTES).ok_or(DeltaError::Broken("its head is cut short"))?;
    let (base_digest, head) = head[12..].split_at(DIGEST_BYTES);
    let (result_digest, header) = head.split_at(DIGEST_BYTES);
    let computed = Sha256::digest(base);
    if computed[..] != *base_digest {
        return Err(DeltaError::Base { expected: hex::encode(base_digest), computed: hex::encode(computed) });
    }
    let from = Header::read(base)?;
    let to = Header::parse(header)?;
    let bytes = to.file_bytes().ok_or(DeltaError::Broken("its parts have no sum"))?;
    if bytes > result_bytes_max {
        return Err(DeltaError::TooLarge { bytes, max: result_bytes_max });
    }
    let mut parts: [Vec<u8>; SECTIONS] = Default::default();
    let mut moves = Moves::default();
    for section in ORDER {
        let packed = take_packed(&mut rest)?;
        let prefix = rewritten(section, from.section(base, section)?.bytes(), &moves)?;
        let new = unpack(packed, &prefix.bytes, to.section_bytes(section))?;
        moves.learn(section, &prefix, &new)?;
        parts[section as usize] = new;
    }
    if !rest.is_empty() {
        return Err(DeltaError::Broken("something follows its last part"));
    }
    let mut file = header.to_vec();
    parts.iter().for_each(|part| file.extend_from_slice(part));
    let computed = Sha256::digest(&file);
    if computed[..] != *result_digest {
        let (expected, computed) = (hex::encode(result_digest), hex::encode(computed));
        return Err(DeltaError::Result { expected, computed });
    }
    Ok(file)
}

fn take_packed<'d>(rest: &mut &'d [u8]) -> Result<&'d [u8], DeltaError> {
    let short = || DeltaError::Broken("a part is cut short");
    let (length, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
    let (packed, after) = after.split_at_checked(length).ok_or_else(short)?;
    *rest = after;
    Ok(packed)
}

fn pack(new: &[u8], prefix: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), LEVEL, prefix)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(window_log(prefix.len(), new.len() as u64))?;
    encoder.write_all(new)?;
    encoder.finish()
}

/// Never more than the header says, whatever the packed bytes grow to.
fn unpack(packed: &[u8], prefix: &[u8], length: u64) -> Result<Vec<u8>, DeltaError> {
    let broken = |_| DeltaError::Broken("a part cannot be unpacked");
    let mut decoder =
        zstd::stream::read::Decoder::with_ref_prefix(packed, prefix).map_err(broken)?.single_frame();
    decoder.window_log_max(window_log(prefix.len(), length)).map_err(broken)?;
    let mut bytes = Vec::new();
    decoder.take(length.saturating_add(1)).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() as u64 != length {
        return Err(DeltaError::Broken("a part has another length than its header says"));
    }
    Ok(bytes)
}

/// The window that reaches back to the beginning of the prefix.
fn window_log(prefix: usize, length: u64) -> u32 {
    let bytes = (prefix as u64).saturating_add(length).max(1);
    (u64::BITS - bytes.leading_zeros()).clamp(WINDOW_LOGS.0, WINDOW_LOGS.1)
}

#[cfg(test)]
mod tests;
