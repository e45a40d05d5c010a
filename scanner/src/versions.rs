//! Ordering of versions, one file per ecosystem.

mod apk;
mod dpkg;
mod go;
mod maven;
mod nuget;
mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod semver;

use std::cmp::Ordering;

/// Longest version that is compared, in bytes. Real ones stay below 100; the bound keeps hostile package databases from
/// buying long comparisons.
pub const VERSION_BYTES_MAX: usize = 512;

/// By which rules two versions are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// apk-tools: `1.2.3a_rc1_p2-r4`.
    Apk,
    /// Debian Policy §5.6.12: `epoch:upstream-revision`.
    Dpkg,
    /// Go modules, and Go itself: `go1.21rc2`.
    Go,
    /// Maven: `1.0-beta-2`.
    Maven,
    /// NuGet: Semantic Versioning with up to four numbers.
    Nuget,
    /// Composer: PHP's `version_compare`.
    Packagist,
    /// PEP 440.
    Pep440,
    /// rpm: `epoch:version-release`.
    Rpm,
    /// RubyGems: `1.2.0.pre1`.
    Rubygems,
    /// Semantic Versioning 2.0.0 §11, tolerant as npm's registry had to be: a leading `v`, fewer or more than three
    /// numbers.
    Semver,
}

/// Why a version has no place in its ecosystem's order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing to compare.
    #[error("the version is empty")]
    Empty,
    /// Not written as the ecosystem's rules want it.
    #[error("`{version}` is not a version: {problem}")]
    Malformed {
        /// As written.
        version: String,
        /// Which rule it breaks.
        problem: &'static str,
    },
    /// Longer than [`VERSION_BYTES_MAX`].
    #[error("the version has {bytes} bytes, at most {max} are compared")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// Orders two versions by the rules of their ecosystem. Total over the versions that it accepts: antisymmetric and
/// transitive, whatever the length of a number.
///
/// # Errors
///
/// When one of them is empty, too long, or not a version by these rules.
pub fn compare(scheme: Scheme, a: &str, b: &str) -> Result<Ordering, VersionError> {
    for version in [a, b] {
        if version.is_empty() {
            return Err(VersionError::Empty);
        }
        if version.len() > VERSION_BYTES_MAX {
            return Err(VersionError::TooLong { bytes: version.len(), max: VERSION_BYTES_MAX });
        }
    }
    match scheme {
        Scheme::Apk => apk::compare(a, b),
        Scheme::Dpkg => dpkg::compare(a, b),
        Scheme::Go => go::compare(a, b),
        Scheme::Maven => maven::compare(a, b),
        Scheme::Nuget => nuget::compare(a, b),
        Scheme::Packagist => packagist::compare(a, b),
        Scheme::Pep440 => pep440::compare(a, b),
        Scheme::Rpm => rpm::compare(a, b),
        Scheme::Rubygems => rubygems::compare(a, b),
        Scheme::Semver => semver::compare(a, b),
    }
}

fn malformed(version: &str, problem: &'static str) -> VersionError {
    VersionError::Malformed { version: version.to_owned(), problem }
}

/// Orders two runs of decimal digits by value. Strings, not integers: a number longer than 64 bits must neither wrap
/// nor panic.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits the leading digits off.
fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}
