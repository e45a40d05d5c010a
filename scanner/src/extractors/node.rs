//! Node packages: the `package.json` of each installed package. Lock files say what was asked for, not what is there.

use serde::Deserialize;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field};
use crate::package::{Package, PackageKind};

/// Reads `node_modules/NAME/package.json`, `node_modules/@SCOPE/NAME/package.json`, and the same under Debian's
/// `usr/share/nodejs`; and, outside such folders, every `package.json`: a link may make an installed package of it.
pub struct Node;

/// Fields of interest; all else is skipped without being built.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    name: Option<serde_json::Value>,
    #[serde(default)]
    version: Option<serde_json::Value>,
}

impl Extractor for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn version(&self) -> u32 {
        2
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(directory) = path.strip_suffix(b"/package.json") else { return Want::No };
        let inside = |folder| memchr::memmem::find(directory, folder).is_some();
        if directory_name(path).is_some() || !inside(&b"node_modules/"[..]) && !inside(b"usr/share/nodejs/") {
            Want::Content
        } else {
            Want::No
        }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| ExtractError::Malformed {
            expected: "a package.json",
            problem: error.to_string(),
        })?;
        let text = |value: Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => None,
        };
        // Without a version there is nothing to match: such files mark the module type of a directory.
        let Some(version) = text(manifest.version) else { return Ok(Extracted::Packages(Vec::new())) };
        // A package without a name is still loaded by its directory's.
        let folder = |path: &[u8]| path.rsplit(|&byte| byte == b'/').nth(1).unwrap_or_default().to_vec();
        let directory = directory_name(path).map_or_else(|| folder(path), <[u8]>::to_vec);
        let name = text(manifest.name).unwrap_or_else(|| String::from_utf8_lossy(&directory).into_owned());
        let version = version.trim();
        Ok(Extracted::Packages(vec![Package {
            kind: PackageKind::Npm,
            name: field("name", name.trim())?,
            version: field("version", version.strip_prefix(['v', '=']).unwrap_or(version))?,
            architecture: None,
            source: None,
            module: None,
            vendor: None,
        }]))
    }
}

/// Whether Node finds the package of such a file where it is, without a link.
pub(crate) fn is_installed(path: &[u8]) -> bool {
    directory_name(path).is_some()
}

/// `NAME` or `@SCOPE/NAME` when the file lies right in an installed package's directory: a `package.json` deeper
/// inside is a test fixture or a marker.
fn directory_name(path: &[u8]) -> Option<&[u8]> {
    let directory = path.strip_suffix(b"/package.json")?;
    let name_at = directory.iter().rposition(|&byte| byte == b'/')?;
    let is_root = |root: &[u8]| {
        root.ends_with(b"/node_modules") || root == b"node_modules" || root.ends_with(b"usr/share/nodejs")
    };
    if is_root(&directory[..name_at]) && !directory[name_at + 1..].starts_with(b"@") {
        return Some(&directory[name_at + 1..]);
    }
    let scope_at = directory[..name_at].iter().rposition(|&byte| byte == b'/')?;
    let scoped = directory.get(scope_at + 1) == Some(&b'@') && is_root(&directory[..scope_at]);
    scoped.then(|| &directory[scope_at + 1..])
}
