//! `Packages.db`, rpm's own format: pages of slots, then one blob a package (rpm, `lib/backend/ndb/rpmpkg.c`).

use super::{Visit, malformed};
use crate::bytes::Endian;
use crate::extractors::ExtractError;

pub(super) const MAGIC: &[u8] = b"RpmP";

const SLOT_MAGIC: &[u8] = b"Slot";
const BLOB_MAGIC: &[u8] = b"BlbS";
const TAIL_MAGIC: &[u8] = b"BlbE";
const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
/// Blobs are placed in units of this.
const BLOCK_BYTES: usize = 16;
const BLOB_HEAD_BYTES: usize = 16;
const BLOB_TAIL_BYTES: usize = 12;
/// The first slots' place is taken by the file's header.
const HEADER_SLOTS: usize = 2;

/// Visits each blob that a slot in use points to.
pub(super) fn for_each_header(bytes: &[u8], visit: Visit<'_>) -> Result<(), ExtractError> {
    let number = |at| Endian::Little.size(bytes, at);
    let version = number(4).ok_or_else(|| malformed("the NDB header is cut short"))?;
    if version != 0 {
        return Err(malformed(format!("NDB version {version}")));
    }
    let slot_bytes = number(12).and_then(|pages| pages.checked_mul(PAGE_BYTES));
    let slots = slot_bytes.and_then(|length| bytes.get(..length));
    let slots = slots.ok_or_else(|| malformed("the NDB slots are cut short"))?;
    // Blobs do not overlap, so that all of them fit into the file.
    let mut room = bytes.len();
    for slot in slots.chunks_exact(SLOT_BYTES).skip(HEADER_SLOTS) {
        if !slot.starts_with(SLOT_MAGIC) {
            return Err(malformed("an NDB slot without its mark"));
        }
        let package = Endian::Little.u32(slot, 4).unwrap_or(0);
        if package == 0 {
            continue;
        }
        let broken = || malformed(format!("the NDB blob of package {package} is broken"));
        let blob = blob(bytes, slot, package).ok_or_else(broken)?;
        room = room.checked_sub(blob.len()).ok_or_else(broken)?;
        visit(blob)?;
    }
    Ok(())
}

/// Head (mark, package, generation, length), content, tail (checksum, length, mark).
fn blob<'a>(bytes: &'a [u8], slot: &[u8], package: u32) -> Option<&'a [u8]> {
    let start = Endian::Little.size(slot, 8)?.checked_mul(BLOCK_BYTES)?;
    let placed = Endian::Little.size(slot, 12)?.checked_mul(BLOCK_BYTES)?;
    let placed = bytes.get(start..start.checked_add(placed)?)?;
    if !placed.starts_with(BLOB_MAGIC) || Endian::Little.u32(placed, 4)? != package {
        return None;
    }
    let length = Endian::Little.size(placed, 12)?;
    let tail = placed.get(placed.len().checked_sub(BLOB_TAIL_BYTES)?..)?;
    let agrees = Endian::Little.size(tail, 4)? == length && tail.ends_with(TAIL_MAGIC);
    let content = placed.get(BLOB_HEAD_BYTES..BLOB_HEAD_BYTES.checked_add(length)?)?;
    (agrees && BLOB_HEAD_BYTES + length + BLOB_TAIL_BYTES <= placed.len()).then_some(content)
}
