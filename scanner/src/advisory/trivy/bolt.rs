//! The buckets of a bbolt file (go.etcd.io/bbolt), read without bbolt.
//!
//! A file is pages of one size. Two of them describe it, and the newer sound one counts. A bucket is a tree of branch and
//! leaf pages, or one page inside its parent's value. All numbers are little-endian.

use std::cell::Cell;

const META_MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const PAGE_HEADER_BYTES: usize = 16;
const ELEMENT_BYTES: usize = 16;
/// Of the description, its checksum aside.
const META_BYTES: usize = 56;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// An element of a leaf that is a bucket.
const IS_BUCKET: u32 = 0x01;
/// Levels of a tree; a real one of a gigabyte has five.
const DEPTH_MAX: usize = 32;

/// Does a file begin so?
pub(in crate::advisory) fn recognises(bytes: &[u8]) -> bool {
    u32_at(bytes, PAGE_HEADER_BYTES) == Some(META_MAGIC)
}

/// One file.
pub(super) struct Bolt<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    root: u64,
    /// Elements that may still be visited. Buckets that lead to each other would be visited for ever.
    left: Cell<usize>,
}

/// Where a bucket's elements are.
#[derive(Clone, Copy)]
pub(super) enum Bucket<'a> {
    Inline(&'a [u8]),
    Page(u64),
}

/// What stands under a key.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Bucket(Bucket<'a>),
    Value(&'a [u8]),
}

impl<'a> Bolt<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let short = || "it is cut short".to_owned();
        let size = u32_at(bytes, PAGE_HEADER_BYTES + 8).ok_or_else(short)?;
        let page_bytes = usize::try_from(size).map_err(|_| short())?;
        if !(1024..=65_536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
            return Err(format!("pages of {page_bytes} bytes"));
        }
        let metas = [0, page_bytes].into_iter().filter_map(|at| meta(bytes, at));
        let (_, root) = metas.max().ok_or("neither of its descriptions is sound")?;
        // A file is gone through twice at most, and an element takes so many bytes.
        let left = Cell::new(bytes.len() / ELEMENT_BYTES * 4);
        Ok(Self { bytes, page_bytes, root, left })
    }

    pub(super) fn root(&self) -> Bucket<'a> {
        Bucket::Page(self.root)
    }

    /// The bucket of a name inside another.
    pub(super) fn find(&self, parent: Bucket<'a>, name: &[u8]) -> Result<Option<Bucket<'a>>, String> {
        let mut found = None;
        self.for_each(parent, &mut |key, item| {
            if let Item::Bucket(bucket) = item
                && key == name
            {
                found = Some(bucket);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Visits the elements of a bucket in the order of their keys.
    pub(super) fn for_each(
        &self,
        bucket: Bucket<'a>,
        visit: &mut dyn FnMut(&'a [u8], Item<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        let page = match bucket {
            Bucket::Inline(page) => return self.leaf(page, visit),
            Bucket::Page(page) => page,
        };
        // A tree visits each page once: more visits than pages are a cycle.
        let mut left = self.bytes.len() / self.page_bytes + 1;
        let mut open = vec![(page, 0)];
        while let Some((number, depth)) = open.pop() {
            left = left.checked_sub(1).ok_or("a tree whose pages lead in a circle")?;
            let page = self.page(number).ok_or_else(|| format!("page {number} lies outside"))?;
            let count = u16_at(page, 10).map(usize::from);
            match (u16_at(page, 8), count) {
                (Some(LEAF), Some(_)) => self.leaf(page, visit)?,
                (Some(BRANCH), Some(count)) if depth < DEPTH_MAX => {
                    for index in (0..count).rev() {
                        let child = u64_at(page, PAGE_HEADER_BYTES + index * ELEMENT_BYTES + 8);
                        open.push((child.ok_or("a branch is cut short")?, depth + 1));
                    }
                }
                _ => return Err(format!("page {number} is no part of a tree")),
            }
        }
        Ok(())
    }

    fn leaf(
        &self,
        page: &'a [u8],
        visit: &mut dyn FnMut(&'a [u8], Item<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        let broken = || "an element of a leaf lies outside".to_owned();
        if u16_at(page, 8) != Some(LEAF) {
            return Err("a bucket inside its parent is no leaf".to_owned());
        }
        for index in 0..u16_at(page, 10).map(usize::from).ok_or_else(broken)? {
            let left = self.left.get().checked_sub(1).ok_or("buckets that lead to each other")?;
            self.left.set(left);
            let at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
            let number =
                |offset: usize| u32_at(page, at + offset).and_then(|number| usize::try_from(number).ok());
            let flags = u32_at(page, at).ok_or_else(broken)?;
            let (place, key, value) = (number(4), number(8), number(12));
            let (place, key, value) =
                place.zip(key).zip(value).map(|((a, b), c)| (a, b, c)).ok_or_else(broken)?;
            let content = page.get(at..).and_then(|page| page.get(place..)).ok_or_else(broken)?;
            let (key, rest) = content.split_at_checked(key).ok_or_else(broken)?;
            let value = rest.get(..value).ok_or_else(broken)?;
            if flags & IS_BUCKET == 0 {
                visit(key, Item::Value(value))?;
                continue;
            }
            // First page and a counter; page 0 means that the page follows here.
            let bucket = match u64_at(value, 0).ok_or_else(broken)? {
                0 => Bucket::Inline(value.get(16..).ok_or_else(broken)?),
                page => Bucket::Page(page),
            };
            visit(key, Item::Bucket(bucket))?;
        }
        Ok(())
    }

    /// A page with those that it flows over into.
    fn page(&self, number: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(number).ok()?.checked_mul(self.page_bytes)?;
        let overflow = usize::try_from(u32_at(self.bytes, start.checked_add(12)?)?).ok()?;
        let end = start.checked_add(overflow.checked_add(1)?.checked_mul(self.page_bytes)?)?;
        self.bytes.get(start..end)
    }
}

/// Transaction and first page of a description, if it is sound.
fn meta(bytes: &[u8], page: usize) -> Option<(u64, u64)> {
    let meta = bytes.get(page + PAGE_HEADER_BYTES..)?.get(..META_BYTES + 8)?;
    let sound = u32_at(meta, 0) == Some(META_MAGIC)
        && u32_at(meta, 4) == Some(VERSION)
        && u64_at(meta, META_BYTES) == Some(checksum(&meta[..META_BYTES]));
    if !sound {
        return None;
    }
    Some((u64_at(meta, 48)?, u64_at(meta, 16)?))
}

/// FNV-1a of 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}
