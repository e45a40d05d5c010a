//! `Packages` as a Berkeley DB hash: pages of key and value items, long values in chains of overflow pages (Berkeley DB,
//! `dbinc/db_page.h`).

use super::{Visit, malformed};
use crate::bytes::{Endian, Pages};
use crate::extractors::ExtractError;

/// Of a hash database; where it reads backwards, the file has the other byte order.
const HASH_MAGIC: u32 = 0x0006_1561;
const HASH_META: u8 = 8;
/// Page types.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Item types.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;
/// Bytes before the items' offsets.
const PAGE_HEADER_BYTES: usize = 26;
const OFF_PAGE_BYTES: usize = 12;

/// Whether the first page is that of a hash database.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    endian(bytes).is_some()
}

fn endian(bytes: &[u8]) -> Option<Endian> {
    let is = |endian: &Endian| endian.u32(bytes, 12) == Some(HASH_MAGIC);
    [Endian::Little, Endian::Big].into_iter().find(is)
}

/// Visits the value of each item; the key is a number, 0 for rpm's own count.
pub(super) fn for_each_header(bytes: &[u8], visit: Visit<'_>) -> Result<(), ExtractError> {
    let endian = endian(bytes).ok_or_else(|| malformed("not a Berkeley DB hash"))?;
    let page_bytes = endian.size(bytes, 20).unwrap_or(0);
    if !(512..=65_536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
        return Err(malformed(format!("a Berkeley DB page of {page_bytes} bytes")));
    }
    if bytes.get(24) != Some(&0) {
        return Err(malformed("an encrypted Berkeley DB"));
    }
    if bytes.get(25) != Some(&HASH_META) {
        return Err(malformed("a Berkeley DB without the page that describes it"));
    }
    let mut pages = Pages::new(bytes, page_bytes);
    let last = endian.size(bytes, 32).filter(|last| *last < pages.len());
    let last = last.ok_or_else(|| malformed("the Berkeley DB is cut short"))?;
    for number in 1..=last {
        let page = pages.get(number).ok_or_else(|| malformed(format!("page {number} is cut short")))?;
        if !matches!(page[25], HASH | HASH_UNSORTED) {
            continue;
        }
        let broken = |problem: &str| malformed(format!("page {number}: {problem}"));
        let items = Page { bytes: page, endian };
        let count = items.count();
        if !count.is_multiple_of(2) {
            return Err(broken("a key without a value"));
        }
        for index in (0..count).step_by(2) {
            let key = items.item(index).ok_or_else(|| broken("a key outside"))?;
            let value = items.item(index + 1).ok_or_else(|| broken("a value outside"))?;
            // The record that counts the others has key 0 and holds no header.
            if key.split_first().is_some_and(|(kind, key)| *kind == KEY_DATA && key == [0; 4]) {
                continue;
            }
            match value.split_first() {
                Some((&KEY_DATA, header)) => visit(header)?,
                Some((&OFF_PAGE, _)) => {
                    let header = chain(&mut pages, endian, value).ok_or_else(|| broken("a broken chain"))?;
                    visit(&header)?;
                }
                _ => return Err(broken("a value of a kind that rpm does not write")),
            }
        }
    }
    Ok(())
}

struct Page<'a> {
    bytes: &'a [u8],
    endian: Endian,
}

impl<'a> Page<'a> {
    fn count(&self) -> usize {
        self.endian.u16(self.bytes, 20).map_or(0, usize::from)
    }

    fn offset(&self, index: usize) -> Option<usize> {
        self.endian.u16(self.bytes, PAGE_HEADER_BYTES + 2 * index).map(usize::from)
    }

    /// An item with its type before it. Items are laid from the end of the page towards its begin, so that each ends
    /// where the one before begins.
    fn item(&self, index: usize) -> Option<&'a [u8]> {
        let end = match index.checked_sub(1) {
            None => self.bytes.len(),
            Some(before) => self.offset(before)?,
        };
        let start = self.offset(index).filter(|start| *start >= PAGE_HEADER_BYTES)?;
        self.bytes.get(start..end).filter(|item| !item.is_empty())
    }
}

/// A value on pages of its own: type, three bytes unused, first page, length.
fn chain(pages: &mut Pages<'_>, endian: Endian, item: &[u8]) -> Option<Vec<u8>> {
    let item = item.get(..OFF_PAGE_BYTES)?;
    let (mut next, length) = (endian.size(item, 4)?, endian.size(item, 8)?);
    let mut value = Vec::new();
    while next != 0 {
        let page = pages.take(next)?;
        if page[25] != OVERFLOW {
            return None;
        }
        let bytes = usize::from(endian.u16(page, 22)?);
        value.extend_from_slice(page.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES.checked_add(bytes)?)?);
        next = endian.size(page, 16)?;
    }
    (value.len() == length).then_some(value)
}
