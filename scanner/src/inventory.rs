//! What an image holds, before any advisory is asked: kept, it is judged by new advisories without reading a layer again.

use std::collections::BTreeSet;

use crate::advisory::{Advisories, Key};
use crate::layer::analyzer;
use crate::matcher::{keys, match_packages};
use crate::release;
use crate::report::{ImagePackage, ScanReport};

/// The version of the stacking: raised when it finds something else in the same layers, so that stored inventories are
/// made anew. What the layers' walk finds has its own, [`crate::layer::ANALYZER`].
const STACKING: u32 = 2;
/// Packing level: an inventory is written once an image.
const ZSTD_LEVEL: i32 = 1;
/// Bytes that a stored inventory may unpack to. Our own store is not hostile, but a damaged length must not ask for all
/// memory.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Everything that one image's layers and configuration tell. Its findings are empty and its unknowns are the layers'
/// own: what advisories say comes with [`Inventory::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory(ScanReport);

impl Inventory {
    /// From the report of an image that no advisories have been asked about.
    pub(crate) fn new(unjudged: ScanReport) -> Self {
        debug_assert!(unjudged.findings.is_empty() && unjudged.advisories.is_none());
        Self(unjudged)
    }

    /// What advisories say about it; `None`: none are loaded, and it stays unknown. Pure: same input, same bytes.
    pub fn judge(&self, advisories: Option<&Advisories>) -> ScanReport {
        let mut report = self.0.clone();
        let matched = match_packages(report.distribution.as_ref(), &report.packages, advisories);
        report.findings = matched.findings;
        // A newer program may know more about the life of a release.
        report.support = report.distribution.as_ref().map(release::support);
        report.unknown.extend(matched.unknown);
        report.unknown.sort();
        report.unknown.dedup();
        report.advisories = advisories.map(Advisories::revision);
        report
    }

    /// Installed packages in the final view.
    pub fn packages(&self) -> &[ImagePackage] {
        &self.0.packages
    }

    /// Under which keys [`Inventory::judge`] asks the advisories: while none of them changes, and they cover the same
    /// ecosystems, its answer is the same.
    pub fn keys(&self) -> BTreeSet<Key> {
        keys(self.0.distribution.as_ref(), &self.0.packages)
    }

    /// Digest of the YARA rules that its layers were searched by; `None`: by none.
    pub fn rules(&self) -> Option<&str> {
        self.0.malware.rules.as_deref()
    }

    /// Under which version it is kept: see [`version`].
    pub fn version(&self) -> String {
        version(self.rules())
    }

    /// The stored form, packed.
    pub fn encode(&self) -> Vec<u8> {
        let plain = serde_json::to_vec(&self.0).expect("plain data with text keys");
        let mut bytes = self.version().into_bytes();
        bytes.push(0);
        bytes.extend_from_slice(&(plain.len() as u64).to_le_bytes());
        bytes.extend(zstd::bulk::compress(&plain, ZSTD_LEVEL).expect("memory is the only reason to fail"));
        bytes
    }

    /// Reads the stored form; `None` for one of another version, or a damaged one: it is then made anew.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (version, rest) = (&bytes[..end], &bytes[end + 1..]);
        let (length, packed) = rest.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        if length > UNPACKED_BYTES_MAX {
            return None;
        }
        let plain = zstd::bulk::decompress(packed, length).ok().filter(|plain| plain.len() == length)?;
        let inventory = serde_json::from_slice(&plain).ok().map(Self)?;
        (inventory.version().as_bytes() == version).then_some(inventory)
    }
}

/// Which version of the scanner makes inventories, and by which YARA rules, of this digest; one that another made is not
/// read.
pub fn version(rules: Option<&str>) -> String {
    format!("{}+{STACKING}", analyzer(rules))
}
