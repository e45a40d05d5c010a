//! Go versions: `v1.2.3`, pseudo-versions, and the toolchain's own, `go1.21rc2`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{VersionError, semver, split_digits};

/// Modules are versioned by Semantic Versioning; `+incompatible` is build metadata to it (go.dev/ref/mod#versions).
pub(super) fn compare(a: &str, b: &str) -> Result<Ordering, VersionError> {
    semver::compare(&canonical(a), &canonical(b))
}

/// `go1.21rc2` → `1.21.0-rc.2`, as advisories about the standard library write it; a vendor's suffix (`go1.20.1 X:boring`,
/// `go1.22.3-1.el9`) says nothing.
fn canonical(version: &str) -> Cow<'_, str> {
    let Some(version) =
        version.strip_prefix("go").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return Cow::Borrowed(version);
    };
    let version = version.split([' ', '-', '+']).next().unwrap_or(version);
    let end = version.bytes().position(|byte| byte.is_ascii_lowercase());
    let Some(end) = end else { return Cow::Borrowed(version) };
    let (numbers, pre) = version.split_at(end);
    let letters = pre.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(pre.len());
    let (word, number) = pre.split_at(letters);
    let (number, _) = split_digits(number);
    let zero = if numbers.matches('.').count() < 2 { ".0" } else { "" };
    Cow::Owned(format!("{numbers}{zero}-{word}.{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolchains_versions_are_written_as_advisories_do() {
        for (version, expected) in [
            ("go1.19.8", "1.19.8"),
            ("go1.21rc2", "1.21.0-rc.2"),
            ("go1.20beta1", "1.20.0-beta.1"),
            ("go1.20.1 X:boringcrypto", "1.20.1"),
            ("go1.22.3-1.el9", "1.22.3"),
            ("v1.2.3", "v1.2.3"),
            ("gopher", "gopher"),
        ] {
            assert_eq!(canonical(version), expected, "{version}");
        }
    }
}
