//! The `Detector` seam and the full list; one file per kind of finding that is no package.
//!
//! To add one: a file beside these, its entry in [`all`], a new [`crate::layer::ANALYZER`] version, and cases in its test
//! module. The walk shows each file to each detector in windows, so that memory does not grow with the file.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::layer::Entry;
use crate::report::{PermissionKind, Unsearched};

pub mod permissions;
pub mod secrets;

/// Looks at one entry after the other.
pub trait Detector: Send + Sync {
    /// Its name: stable, lower case.
    fn name(&self) -> &'static str;

    /// Raised whenever the same bytes would give another answer.
    fn version(&self) -> u32;

    /// Looks at one window of one entry. An entry without content is shown once, with an empty window.
    fn inspect(&self, entry: &Entry<'_>, window: &Window<'_>, found: &mut Vec<Detected>);
}

/// A piece of a file with what surrounds it. Windows cover the file without gaps: each byte is fresh exactly once.
#[derive(Clone, Debug)]
pub struct Window<'w> {
    /// At least [`CONTEXT_BEFORE_BYTES`] and [`CONTEXT_AFTER_BYTES`] around the fresh part, or the file's bounds.
    pub bytes: &'w [u8],
    /// What no earlier window has shown; a finding is reported where it begins.
    pub fresh: Range<usize>,
    /// This is the entry's first window.
    pub first: bool,
    /// Where in the entry `bytes` begins.
    pub offset: u64,
}

/// Bytes before a fresh byte that a rule may look at.
pub const CONTEXT_BEFORE_BYTES: usize = 1 << 10;

/// Bytes after a fresh byte that a rule may look at: a PEM file with an RSA key of 16384 bits has 12.7 KB.
pub const CONTEXT_AFTER_BYTES: usize = 16 << 10;

/// One finding in one entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detected {
    /// A device node, by the numbers that tell which device it is.
    Device {
        /// Which driver.
        major: u64,
        /// Which of its devices.
        minor: u64,
    },
    /// A YARA rule matches the file.
    Malware {
        /// Name of the rule.
        rule: String,
        /// File of rules that it stands in, or that includes it.
        file: String,
    },
    /// Permission bits that widen an attacker's reach.
    Permission(PermissionKind),
    /// A credential; its value is not kept.
    Secret {
        /// Rule name.
        rule: String,
        /// SHA-256 of the value, hex.
        value_sha256: String,
        /// At most six characters of it.
        preview: String,
        /// Member of the packed archive that the entry is; `None` where it stands in the entry itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inside: Option<String>,
    },
    /// YARA rules did not see the whole file.
    Unsearched(Unsearched),
}

impl Detected {
    /// Both are secrets of the same value.
    pub(crate) fn same_value(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret { value_sha256: a, .. }, Self::Secret { value_sha256: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// All detectors.
pub fn all() -> &'static [&'static dyn Detector] {
    &[&permissions::Permissions, &secrets::Secrets]
}
