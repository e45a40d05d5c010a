//! Which system the packages themselves were built for: `os-release` is one file, and easily edited.

use std::collections::BTreeMap;

use crate::package::{Distribution, Package, PackageKind};
use crate::report::{ImagePackage, Unknown};

/// What one package says.
struct Testimony {
    family: &'static str,
    release: Option<String>,
    /// The package that a distribution numbers like its releases: it outweighs all others.
    decides: bool,
}

/// Says so where the packages were built for another system, or for another release of it, than `os-release` names.
pub(super) fn contradiction(distribution: &Distribution, packages: &[ImagePackage]) -> Option<Unknown> {
    let claimed = family(&distribution.id)?;
    let testimonies: Vec<Testimony> =
        packages.iter().filter_map(|found| testimony(&found.package, claimed)).collect();
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    testimonies.iter().for_each(|testimony| *families.entry(testimony.family).or_default() += 1);
    // Of two with as many witnesses, the one that is claimed is believed.
    let (told, witnesses) =
        families.into_iter().max_by_key(|(family, witnesses)| (*witnesses, *family == claimed))?;
    let says = |told: String, witnesses| {
        let release = distribution.version_id.as_ref().or(distribution.codename.as_ref());
        let claimed = release
            .map_or_else(|| distribution.id.clone(), |release| format!("{} {release}", distribution.id));
        Some(Unknown::ContradictingDistribution { claimed, told, witnesses })
    };
    let of_family: Vec<&Testimony> =
        testimonies.iter().filter(|testimony| testimony.family == told).collect();
    let release = release(&of_family);
    if told != claimed {
        let told = release.map_or_else(|| told.to_owned(), |(release, _)| format!("{told} {release}"));
        return says(told, witnesses);
    }
    let (release, witnesses) = release?;
    let version = distribution.version_id.as_deref()?;
    let agrees =
        version == release || version.strip_prefix(&release).is_some_and(|rest| rest.starts_with('.'));
    if agrees { None } else { says(format!("{told} {release}"), witnesses) }
}

/// The release that most witnesses name, or the one that decides.
fn release(testimonies: &[&Testimony]) -> Option<(String, usize)> {
    let mut releases: BTreeMap<&str, usize> = BTreeMap::new();
    for release in testimonies.iter().filter_map(|testimony| testimony.release.as_deref()) {
        *releases.entry(release).or_default() += 1;
    }
    let decided = testimonies.iter().find(|testimony| testimony.decides && testimony.release.is_some());
    let chosen = match decided {
        Some(testimony) => testimony.release.as_deref()?,
        None => releases.iter().max_by_key(|(_, witnesses)| **witnesses).map(|(release, _)| *release)?,
    };
    Some((chosen.to_owned(), releases.get(chosen).copied().unwrap_or_default()))
}

/// The systems whose packages bear witness, by `ID`. Others have no advisories, so that nothing is judged by their name.
fn family(id: &str) -> Option<&'static str> {
    Some(match id {
        "almalinux" | "centos" | "ol" | "rhel" | "rocky" => ENTERPRISE,
        "alpine" => "alpine",
        "amzn" => "amzn",
        "azurelinux" => "azurelinux",
        "chainguard" | "wolfi" => "wolfi",
        "debian" => "debian",
        "fedora" => "fedora",
        "mageia" => "mageia",
        "mariner" => "mariner",
        "photon" => "photon",
        "sles" | "opensuse-leap" | "opensuse-tumbleweed" => "suse",
        "ubuntu" => "ubuntu",
        _ => return None,
    })
}

/// Red Hat's family: who built a package of it is told by its vendor, and judged elsewhere.
const ENTERPRISE: &str = "enterprise linux";

fn testimony(package: &Package, claimed: &str) -> Option<Testimony> {
    let (name, version) = (package.name.as_str(), package.version.as_str());
    let of = |family, release| Some(Testimony { family, release, decides: false });
    match package.kind {
        PackageKind::Apk => match name {
            "alpine-base" | "alpine-release" => {
                let version = version.split('-').next().unwrap_or_default();
                let release = version.split('.').take(2).collect::<Vec<_>>().join(".");
                Some(Testimony { family: "alpine", release: Some(release), decides: true })
            }
            "alpine-baselayout" | "alpine-keys" => of("alpine", None),
            "chainguard-baselayout" | "chainguard-keys" | "wolfi-baselayout" | "wolfi-keys" => {
                of("wolfi", None)
            }
            // A system of other packages is told by their mere kind.
            _ if !matches!(claimed, "alpine" | "wolfi") => of("alpine", None),
            _ => None,
        },
        PackageKind::Deb => match name {
            "base-files" => {
                let ubuntu = version.contains("ubuntu");
                let major = version.split(|letter: char| !letter.is_ascii_digit()).next();
                let release = major.filter(|major| !major.is_empty() && !ubuntu).map(str::to_owned);
                let family = if ubuntu { "ubuntu" } else { "debian" };
                Some(Testimony { family, release, decides: true })
            }
            "debian-archive-keyring" => of("debian", None),
            "ubuntu-keyring" => of("ubuntu", None),
            _ => match (debian_release(version), version.contains("ubuntu")) {
                (_, true) => of("ubuntu", ubuntu_release(version)),
                (Some(release), false) => of("debian", Some(release)),
                (None, false) if !matches!(claimed, "debian" | "ubuntu") => of("debian", None),
                (None, false) => None,
            },
        },
        PackageKind::Rpm => rpm(package, claimed),
        _ => None,
    }
}

/// `12` out of `1.2-3+deb12u1`, `1.2-3~deb12u1` and `1.2-3~bpo12+1` (Debian Developer's Reference §5.8.5.4, §5.13.2).
fn debian_release(version: &str) -> Option<String> {
    ["+deb", "~deb", "~bpo"].iter().find_map(|mark| {
        let digits: String = version.split_once(mark)?.1.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    })
}

/// `22.04` out of `3.0.2-0ubuntu1.22.04.1` and `1.2~22.04.1`.
fn ubuntu_release(version: &str) -> Option<String> {
    let parts: Vec<&str> = version.split(['.', '~', '-', '+']).collect();
    parts.windows(2).rev().find_map(|pair| {
        let year = pair[0].rsplit(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
        let is_release = year.len() == 2 && ("14".."40").contains(&year) && matches!(pair[1], "04" | "10");
        is_release.then(|| format!("{year}.{}", pair[1]))
    })
}

/// The marks that builders append to a release, and which family and release they stand for.
const RPM_MARKS: [(&str, &str); 7] = [
    (".amzn", "amzn"),
    (".azl", "azurelinux"),
    (".cm", "mariner"),
    (".el", ENTERPRISE),
    (".fc", "fedora"),
    (".mga", "mageia"),
    (".ph", "photon"),
];

fn rpm(package: &Package, claimed: &str) -> Option<Testimony> {
    let release = package.version.rsplit('-').next().unwrap_or_default();
    for (mark, family) in RPM_MARKS {
        let Some((_, behind)) = release.split_once(mark) else { continue };
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() {
            // The first Amazon Linux numbered its releases by the month.
            let release = (family != "amzn" || digits != "1").then_some(digits);
            return Some(Testimony { family, release, decides: false });
        }
    }
    let suse = package.vendor.as_deref().is_some_and(|vendor| vendor.contains("SUSE"));
    let other = matches!(claimed, "alpine" | "debian" | "ubuntu" | "wolfi");
    let family = if suse {
        "suse"
    } else if other {
        "rpm"
    } else {
        return None;
    };
    Some(Testimony { family, release: None, decides: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and versions.
    type List<'l> = &'l [(&'l str, &'l str)];

    fn packages(kind: PackageKind, list: List<'_>) -> Vec<ImagePackage> {
        let found = |(name, version): &(&str, &str)| ImagePackage {
            package: Package::new(kind, (*name).to_owned(), (*version).to_owned()),
            path: String::new(),
            layer: 0,
            owned: false,
        };
        list.iter().map(found).collect()
    }

    #[test]
    fn packages_tell_the_system_they_were_built_for() {
        use PackageKind::{Apk, Deb, Rpm};
        let debian: List<'_> =
            &[("base-files", "12.4+deb12u5"), ("libc6", "2.36-9+deb12u4"), ("bash", "5.2.15-2+b2")];
        let ubuntu: List<'_> = &[
            ("base-files", "12ubuntu4.6"),
            ("libc6", "2.35-0ubuntu3.6"),
            ("libssl3", "3.0.2-0ubuntu0.22.04.1"),
        ];
        let alpine: List<'_> =
            &[("alpine-baselayout", "3.6.5-r0"), ("alpine-release", "3.20.3-r0"), ("musl", "1.2.5-r0")];
        let fedora: List<'_> = &[("glibc", "2.37-1.fc39"), ("bash", "5.2-1.fc39"), ("extra", "1-1.el9")];
        let amazon: List<'_> = &[("glibc", "2.34-52.amzn2023.0.3")];
        let cases: [(PackageKind, List<'_>, &str, &str, Option<&str>); 19] = [
            (Deb, debian, "debian", "12", None),
            (Deb, debian, "debian", "11", Some("debian 12")),
            (Deb, debian, "debian", "", None),
            (Deb, debian, "ubuntu", "22.04", Some("debian 12")),
            (Deb, debian, "alpine", "3.20", Some("debian 12")),
            (Deb, debian, "homemade", "1", None),
            (Deb, ubuntu, "ubuntu", "22.04", None),
            (Deb, ubuntu, "ubuntu", "24.04", Some("ubuntu 22.04")),
            (Deb, ubuntu, "debian", "12", Some("ubuntu 22.04")),
            (Deb, &[("a", "1")], "debian", "12", None),
            (Deb, &[("a", "1")], "rocky", "9", Some("debian")),
            (Apk, alpine, "alpine", "3.20.3", None),
            (Apk, alpine, "alpine", "3.22.0", Some("alpine 3.20")),
            (Apk, alpine, "wolfi", "20230201", Some("alpine 3.20")),
            (Apk, alpine, "debian", "12", Some("alpine 3.20")),
            (Rpm, fedora, "fedora", "39", None),
            (Rpm, fedora, "fedora", "41", Some("fedora 39")),
            (Rpm, fedora, "rhel", "9.4", Some("fedora 39")),
            (Rpm, amazon, "amzn", "2", Some("amzn 2023")),
        ];
        for (kind, list, id, version, expected) in cases {
            let distribution = Distribution {
                id: id.to_owned(),
                version_id: (!version.is_empty()).then(|| version.to_owned()),
                codename: None,
                pretty_name: None,
                repositories: Vec::new(),
            };
            let found = contradiction(&distribution, &packages(kind, list));
            let told = found.map(|unknown| match unknown {
                Unknown::ContradictingDistribution { told, .. } => told,
                other => format!("{other:?}"),
            });
            assert_eq!(told.as_deref(), expected, "{list:?} as {id} {version}");
        }
    }
}
