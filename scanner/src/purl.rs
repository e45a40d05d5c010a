//! Package URLs (purl-spec), the names under which other tools know a package.

mod parsed;

use std::fmt::Write as _;

use crate::package::{Distribution, Package, PackageKind};

pub use parsed::Purl;

/// The package URL of an installed package. Packages of a distribution carry its name and release, since their versions
/// mean nothing without them.
pub fn purl(package: &Package, distribution: Option<&Distribution>) -> String {
    let (namespace, name) = named(package, distribution);
    let (epoch, version) = versioned(package);
    let mut purl = format!("pkg:{}/", package.kind.purl_type());
    for segment in namespace.split('/').filter(|segment| !segment.is_empty()) {
        let _ = write!(purl, "{}/", encoded(segment));
    }
    let _ = write!(purl, "{}", encoded(&name));
    if !version.is_empty() {
        let _ = write!(purl, "@{}", encoded(version));
    }
    let release = distribution.filter(|_| package.kind.is_system()).map(|distribution| {
        let release = distribution.version_id.as_ref().or(distribution.codename.as_ref());
        release.map_or_else(|| distribution.id.clone(), |release| format!("{}-{release}", distribution.id))
    });
    let architecture = package.architecture.clone().filter(|_| package.kind.is_system());
    // In the order of their keys, as purl-spec asks.
    let qualifiers = [("arch", architecture), ("distro", release), ("epoch", epoch.map(str::to_owned))];
    let mut separator = '?';
    for (key, value) in qualifiers {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = write!(purl, "{separator}{key}={}", encoded(&value));
            separator = '&';
        }
    }
    purl
}

/// Namespace and name, in the letters that each type asks for.
fn named(package: &Package, distribution: Option<&Distribution>) -> (String, String) {
    let name = package.name.as_str();
    let split = |separator| name.rsplit_once(separator).unwrap_or(("", name));
    let (namespace, name) = match package.kind {
        PackageKind::Alpm | PackageKind::Apk | PackageKind::Deb | PackageKind::Opkg | PackageKind::Rpm => {
            (distribution.map_or("", vendor), name)
        }
        PackageKind::Composer | PackageKind::Golang | PackageKind::Npm => split('/'),
        PackageKind::Maven => split(':'),
        PackageKind::Binary
        | PackageKind::Cargo
        | PackageKind::Conda
        | PackageKind::Cran
        | PackageKind::Gem
        | PackageKind::Hex
        | PackageKind::Nuget
        | PackageKind::Python => ("", name),
    };
    let lower = matches!(
        package.kind,
        PackageKind::Alpm
            | PackageKind::Apk
            | PackageKind::Composer
            | PackageKind::Deb
            | PackageKind::Golang
            | PackageKind::Python
    );
    let name = if lower { name.to_lowercase() } else { name.to_owned() };
    let name = if package.kind == PackageKind::Python { name.replace('_', "-") } else { name };
    (if lower { namespace.to_lowercase() } else { namespace.to_owned() }, name)
}

/// Who makes the packages of a distribution, as rpm's package URLs call them.
fn vendor(distribution: &Distribution) -> &str {
    match distribution.id.as_str() {
        "rhel" => "redhat",
        id if id.starts_with("opensuse") => "opensuse",
        id => id,
    }
}

/// For rpm the epoch is a qualifier; everywhere else it is a part of the version.
fn versioned(package: &Package) -> (Option<&str>, &str) {
    match (package.kind, package.version.split_once(':')) {
        (PackageKind::Rpm, Some((epoch, version))) => (Some(epoch), version),
        _ => (None, &package.version),
    }
}

/// Percent-encoding as purl-spec asks: a colon stays.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ecosystem_gets_the_package_url_that_the_specification_gives_it() {
        let cases = [
            (
                PackageKind::Alpm,
                "pacman",
                "6.0.1-1",
                "arch",
                "",
                "pkg:alpm/arch/pacman@6.0.1-1?arch=x&distro=arch",
            ),
            (
                PackageKind::Apk,
                "curl",
                "7.83.0-r0",
                "alpine",
                "3.16",
                "pkg:apk/alpine/curl@7.83.0-r0?arch=x&distro=alpine-3.16",
            ),
            (
                PackageKind::Deb,
                "libstdc++6",
                "1:2.3~a+b",
                "debian",
                "12",
                "pkg:deb/debian/libstdc%2B%2B6@1:2.3~a%2Bb?arch=x&distro=debian-12",
            ),
            (
                PackageKind::Rpm,
                "openssl",
                "1:1.1.1k-7",
                "rhel",
                "8.4",
                "pkg:rpm/redhat/openssl@1.1.1k-7?arch=x&distro=rhel-8.4&epoch=1",
            ),
            (PackageKind::Npm, "@angular/core", "12.3.1", "debian", "12", "pkg:npm/%40angular/core@12.3.1"),
            (PackageKind::Python, "Foo_Bar", "1!2.0+x", "debian", "12", "pkg:pypi/foo-bar@1%212.0%2Bx"),
            (PackageKind::Golang, "github.com/Foo/bar", "v1.0", "", "", "pkg:golang/github.com/foo/bar@v1.0"),
            (PackageKind::Golang, "stdlib", "1.19.8", "", "", "pkg:golang/stdlib@1.19.8"),
            (PackageKind::Maven, "org.apache.Xyz:core", "1.0", "", "", "pkg:maven/org.apache.Xyz/core@1.0"),
            (PackageKind::Maven, "core", "1.0", "", "", "pkg:maven/core@1.0"),
            (PackageKind::Composer, "Vendor/name", "1.0", "", "", "pkg:composer/vendor/name@1.0"),
            (PackageKind::Gem, "rails", "7.0", "", "", "pkg:gem/rails@7.0"),
            (PackageKind::Cargo, "serde", "1.0.1", "", "", "pkg:cargo/serde@1.0.1"),
            (PackageKind::Nuget, "Json.Net", "", "", "", "pkg:nuget/Json.Net"),
            (PackageKind::Binary, "openssl", "3.0.2", "debian", "12", "pkg:generic/openssl@3.0.2"),
            (PackageKind::Conda, "zlib", "1.2", "debian", "12", "pkg:conda/zlib@1.2"),
            (PackageKind::Cran, "jsonlite", "1.8", "", "", "pkg:cran/jsonlite@1.8"),
            (PackageKind::Hex, "cowboy", "2.9.0", "", "", "pkg:hex/cowboy@2.9.0"),
            (
                PackageKind::Opkg,
                "busybox",
                "1",
                "openwrt",
                "23.05",
                "pkg:opkg/openwrt/busybox@1?arch=x&distro=openwrt-23.05",
            ),
            (PackageKind::Npm, "x?y#z", "1 ", "", "", "pkg:npm/x%3Fy%23z@1%20"),
        ];
        for (kind, name, version, id, release, expected) in cases {
            let mut package = Package::new(kind, name.into(), version.into());
            package.architecture = Some("x".into());
            let distribution = (!id.is_empty()).then(|| Distribution {
                id: id.into(),
                version_id: (!release.is_empty()).then(|| release.into()),
                codename: None,
                pretty_name: None,
                repositories: Vec::new(),
            });
            assert_eq!(purl(&package, distribution.as_ref()), expected);
        }
    }
}
