//! One package's header: an index of tags, then their data (rpm, `docs/manual/format_header.md`).

use super::{evr, is_key, malformed, source};
use crate::bytes::Endian;
use crate::extractors::{ExtractError, FileDigest, OwnedFile, field, may_hold_packages, relative};
use crate::package::{Package, PackageKind};

const INDEX_ENTRY_BYTES: usize = 16;
/// Tags in one header; the largest real ones have below 200 (rpm's own bound is 65535).
const TAGS_MAX: usize = 65_535;

/// Types of data.
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// Tags of interest (rpm, `include/rpm/rpmtag.h`).
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const FILE_DIGESTS: u32 = 1035;
const VENDOR: u32 = 1011;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const FILE_DIGEST_ALGORITHM: u32 = 5011;
const MODULARITY_LABEL: u32 = 5096;

/// Numbers of digests (RFC 9580 §9.5), which rpm uses; without one, they are MD5.
const MD5: u32 = 1;
const SHA256: u32 = 8;

#[derive(Default)]
struct Tags {
    name: Option<String>,
    version: Option<String>,
    release: Option<String>,
    epoch: Option<u32>,
    vendor: Option<String>,
    architecture: Option<String>,
    source_rpm: Option<String>,
    modularity: Option<String>,
    files: Files,
}

/// Offsets and counts of the lists that name a package's files.
#[derive(Default)]
struct Files {
    folders: Option<(usize, usize)>,
    folder_of: Option<(usize, usize)>,
    names: Option<(usize, usize)>,
    digests: Option<(usize, usize)>,
    algorithm: Option<u32>,
}

/// The package that a header describes and those of its files that may hold other packages; `None` for a public key.
pub(super) fn package(blob: &[u8]) -> Result<Option<(Package, Vec<OwnedFile>)>, ExtractError> {
    let (tags, data) = read(blob)?;
    let owned = tags.files.paths(data).ok_or_else(|| malformed("a broken list of files in a header"))?;
    let record = || format!("package `{}`", tags.name.as_deref().unwrap_or("?"));
    let needed = |value: &Option<String>, field| {
        let value = value.clone().filter(|value| !value.is_empty());
        value.ok_or_else(|| ExtractError::MissingField { record: record(), field })
    };
    let (name, version) = (needed(&tags.name, "Name")?, needed(&tags.version, "Version")?);
    let release = needed(&tags.release, "Release")?;
    let package = Package {
        kind: PackageKind::Rpm,
        version: field("Version", &evr(tags.epoch, &version, &release))?,
        architecture: tags.architecture.filter(|value| !value.is_empty()),
        source: tags.source_rpm.as_deref().and_then(|file| source(file, tags.epoch)),
        module: tags.modularity.as_deref().and_then(stream),
        vendor: tags.vendor.filter(|value| !value.is_empty()),
        name,
    };
    Ok(Some((package, owned)).filter(|(package, _)| !is_key(package)))
}

impl Files {
    /// Each file's name, its folder by number. `None` when the lists disagree.
    fn paths(&self, data: &[u8]) -> Option<Vec<OwnedFile>> {
        let (Some(folders), Some(folder_of), Some(names)) = (self.folders, self.folder_of, self.names) else {
            return Some(Vec::new());
        };
        let folders: Vec<&[u8]> = strings(data, folders)?;
        let stated = match self.algorithm {
            Some(SHA256) => FileDigest::sha256,
            // Packages from before there was a choice name none.
            Some(MD5) | None => FileDigest::md5,
            Some(_) => |_: &str| None,
        };
        let digests = self.digests;
        let digests = digests.and_then(|list| strings(data, list)).unwrap_or_default();
        let mut paths = Vec::new();
        for (index, name) in strings(data, names)?.into_iter().enumerate() {
            let folder = Endian::Big.size(data, folder_of.0.checked_add(index.checked_mul(4)?)?)?;
            let path = [folders.get(folder)?, name].concat();
            let path = String::from_utf8_lossy(&path);
            if may_hold_packages(relative(&path).as_bytes()) {
                let digest = digests.get(index).and_then(|digest| std::str::from_utf8(digest).ok());
                let digest = digest.and_then(stated);
                paths.push(OwnedFile { path: relative(&path).to_owned(), digest });
            }
        }
        Some(paths)
    }
}

/// As many texts, each ended by a zero, as the list says; a count that the data cannot hold is refused at once.
fn strings(data: &[u8], (offset, count): (usize, usize)) -> Option<Vec<&[u8]>> {
    let rest = data.get(offset..).filter(|rest| count <= rest.len())?;
    let strings: Vec<&[u8]> = rest.split(|byte| *byte == 0).take(count).collect();
    (strings.len() == count).then_some(strings)
}

/// `nodejs:16` out of `nodejs:16:8060020220810121256:ad008a3a` (name, stream, version, context).
pub(super) fn stream(label: &str) -> Option<String> {
    let mut parts = label.split(':');
    let (name, stream) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !stream.is_empty()).then(|| format!("{name}:{stream}"))
}

fn read(blob: &[u8]) -> Result<(Tags, &[u8]), ExtractError> {
    let broken = || malformed("a header that is cut short");
    let count = Endian::Big.size(blob, 0).filter(|count| *count <= TAGS_MAX).ok_or_else(broken)?;
    let data_bytes = Endian::Big.size(blob, 4).ok_or_else(broken)?;
    let index = blob.get(8..8 + count * INDEX_ENTRY_BYTES).ok_or_else(broken)?;
    let data = &blob[8 + count * INDEX_ENTRY_BYTES..];
    let data = data.get(..data_bytes).ok_or_else(broken)?;
    let mut tags = Tags::default();
    for entry in index.chunks_exact(INDEX_ENTRY_BYTES) {
        let number = |at| Endian::Big.u32(entry, at).unwrap_or(0);
        let (tag, kind, offset) = (number(0), number(4), usize::try_from(number(8)).unwrap_or(usize::MAX));
        let list = Some((offset, usize::try_from(number(12)).unwrap_or(usize::MAX)));
        let slot = match tag {
            NAME => &mut tags.name,
            VERSION => &mut tags.version,
            RELEASE => &mut tags.release,
            VENDOR => &mut tags.vendor,
            ARCH => &mut tags.architecture,
            SOURCE_RPM => &mut tags.source_rpm,
            MODULARITY_LABEL => &mut tags.modularity,
            EPOCH if kind == INT32 => {
                let epoch = Endian::Big.u32(data, offset).ok_or_else(broken)?;
                if tags.epoch.replace(epoch).is_some() {
                    return Err(twice(tag));
                }
                continue;
            }
            FILE_DIGEST_ALGORITHM if kind == INT32 => {
                let algorithm = Endian::Big.u32(data, offset).ok_or_else(broken)?;
                if tags.files.algorithm.replace(algorithm).is_some() {
                    return Err(twice(tag));
                }
                continue;
            }
            DIR_INDEXES | BASE_NAMES | DIR_NAMES | FILE_DIGESTS => {
                let (slot, expected) = match tag {
                    FILE_DIGESTS => (&mut tags.files.digests, STRING_ARRAY),
                    DIR_INDEXES => (&mut tags.files.folder_of, INT32),
                    BASE_NAMES => (&mut tags.files.names, STRING_ARRAY),
                    _ => (&mut tags.files.folders, STRING_ARRAY),
                };
                if kind != expected || std::mem::replace(slot, list).is_some() {
                    return Err(twice(tag));
                }
                continue;
            }
            _ => continue,
        };
        if !matches!(kind, STRING | I18N_STRING) {
            return Err(malformed(format!("tag {tag} of a header has type {kind}, no text")));
        }
        let value = data.get(offset..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        let value = String::from_utf8_lossy(value.ok_or_else(broken)?);
        // rpm takes the first of two; a scanner that took the other would be fooled.
        if slot.replace(field("a tag of a header", &value)?).is_some() {
            return Err(twice(tag));
        }
    }
    Ok((tags, data))
}

fn twice(tag: u32) -> ExtractError {
    malformed(format!("tag {tag} stands twice in one header, or has another type"))
}
