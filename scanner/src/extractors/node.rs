//! Node packages: the `package.json` of each installed package. Lock files say what was asked for, not what is there.

use serde::Deserialize;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field};
use crate::package::{Package, PackageKind};

/// Reads `node_modules/NAME/package.json`, `node_modules/@SCOPE/NAME/package.json`, and the same under Debian's
/// `usr/share/nodejs`; copies of packages that other packages bring (`next/dist/compiled/react-is`); and, outside such
/// folders, every `package.json`: a link may make an installed package of it.
pub struct Node;

/// Fields of interest; all else is skipped without being built.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    name: Option<serde_json::Value>,
    #[serde(default)]
    version: Option<serde_json::Value>,
    #[serde(default)]
    private: Option<serde_json::Value>,
}

/// Folders of a package whose contents nobody loads.
const TESTS: [&[u8]; 6] = [b"__tests__", b"benchmark", b"benchmarks", b"fixtures", b"test", b"tests"];

impl Extractor for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn version(&self) -> u32 {
        3
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(directory) = path.strip_suffix(b"/package.json") else { return Want::No };
        let inside = |folder| memchr::memmem::find(directory, folder).is_some();
        if is_installed(path) || !inside(&b"node_modules/"[..]) && !inside(b"usr/share/nodejs/") {
            Want::Content
        } else {
            Want::No
        }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let copy = copied_name(path);
        let manifest: Manifest = match serde_json::from_slice(bytes) {
            Ok(manifest) => manifest,
            // Node finds a copy by its path and not by this file, which may be anything.
            Err(_) if copy.is_some() => return Ok(Extracted::Packages(Vec::new())),
            Err(error) => {
                let problem = error.to_string();
                return Err(ExtractError::Malformed { expected: "a package.json", problem });
            }
        };
        let text = |value: Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => None,
        };
        // Without a version there is nothing to match: such files mark the module type of a directory.
        let Some(version) = text(manifest.version) else { return Ok(Extracted::Packages(Vec::new())) };
        if let Some(copy) = copy {
            let named = manifest.name.as_ref().and_then(serde_json::Value::as_str);
            let private = manifest.private == Some(serde_json::Value::Bool(true));
            if named.map(str::as_bytes) != Some(copy) || private {
                return Ok(Extracted::Packages(Vec::new()));
            }
        }
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
    directory_name(path).is_some() || copied_name(path).is_some()
}

/// `NAME` or `@SCOPE/NAME` of the folder when it lies deeper in an installed package's directory, and is not for its tests.
/// Only a `package.json` that bears that name makes a package of it: others are markers and parts.
fn copied_name(path: &[u8]) -> Option<&[u8]> {
    if directory_name(path).is_some() {
        return None;
    }
    let directory = path.strip_suffix(b"/package.json")?;
    let after = |root: &[u8]| memchr::memmem::rfind(directory, root).map(|at| &directory[at + root.len()..]);
    let inside = after(b"node_modules/").or_else(|| after(b"usr/share/nodejs/"))?;
    let mut folders = inside.split(|&byte| byte == b'/');
    if folders.next()?.starts_with(b"@") {
        folders.next()?;
    }
    folders.clone().next()?;
    if folders.any(|folder| TESTS.contains(&folder)) {
        return None;
    }
    let name_at = directory.iter().rposition(|&byte| byte == b'/')?;
    let scope_at = directory[..name_at].iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let scoped = directory[scope_at] == b'@';
    Some(&directory[if scoped { scope_at } else { name_at + 1 }..])
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
