//! NuGet versions: Semantic Versioning with up to four numbers and letters of either case.

use std::cmp::Ordering;

use super::{VersionError, semver};

/// Missing numbers are 0; a pre-release is compared without regard to case (learn.microsoft.com, package versioning).
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    semver::compare(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}
