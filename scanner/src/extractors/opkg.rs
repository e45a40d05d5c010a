//! OpenWrt's packages: the `status` of opkg, which is written as dpkg's is.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, dpkg, ends_with};
use crate::package::PackageKind;

/// Reads `usr/lib/opkg/status` and the lists of files beside it.
pub struct Opkg;

impl Extractor for Opkg {
    fn name(&self) -> &'static str {
        "opkg"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Want::No };
        let is_list = ends_with(&path[..slash], b"opkg/info") && path.ends_with(b".list");
        if is_list || ends_with(path, b"opkg/status") { Want::Content } else { Want::No }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        if path.ends_with(b".list") {
            return Ok(Extracted::Owned(dpkg::listed(bytes)));
        }
        dpkg::packages(bytes, PackageKind::Opkg, None).map(Extracted::Packages)
    }
}
