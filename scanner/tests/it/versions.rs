//! Version orders agree with public vectors, and are orders.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test and its helpers fail loudly")]

use std::cmp::Ordering;
use std::io::Read;

use proptest::prelude::*;
use scanner::versions::{Scheme, VersionError, compare};

use crate::build::test_data;
use crate::skipped;

/// Lines `A < B` of one vector file, or `None` with a notice when there is no test data.
fn vectors(test: &str, file: &str) -> Option<Vec<String>> {
    let Some(data) = test_data() else {
        skipped(test, "no test data");
        return None;
    };
    let archive = std::fs::read(data.join("versions/versions.tar.zst")).unwrap();
    let tar = zstd::decode_all(archive.as_slice()).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with(file) {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            return Some(text.lines().filter(|line| !line.starts_with("//")).map(str::to_owned).collect());
        }
    }
    panic!("{file} is not in the vectors");
}

fn disagreements(scheme: Scheme, lines: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [a, sign, b] = words[..] else { panic!("not a vector: {line}") };
        let expected = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            other => panic!("not a sign: {other}"),
        };
        match (compare(scheme, a, b), compare(scheme, b, a)) {
            (Ok(order), Ok(mirrored)) if order == expected && mirrored == expected.reverse() => {}
            (order, _) => wrong.push(format!("{line}: {order:?}")),
        }
    }
    wrong
}

/// `refused`: how many lines hold a text that the ecosystem's own rules do not call a version.
#[track_caller]
fn check_vectors(test: &str, scheme: Scheme, file: &str, refused: usize) {
    let Some(lines) = vectors(test, file) else { return };
    let (refusals, wrong): (Vec<_>, Vec<_>) =
        disagreements(scheme, &lines).into_iter().partition(|line| line.contains("Malformed"));
    println!("{file}: {} lines, {} refused, {} disagree", lines.len(), refusals.len(), wrong.len());
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(refusals.len(), refused, "{refusals:#?}");
}

#[test]
fn alpine_vectors_agree() {
    check_vectors("alpine_vectors_agree", Scheme::Apk, "alpine-versions.txt", 0);
    check_vectors("alpine_vectors_agree", Scheme::Apk, "alpine-versions-generated.txt", 0);
}

#[test]
fn debian_vectors_agree() {
    check_vectors("debian_vectors_agree", Scheme::Dpkg, "debian-versions.txt", 0);
    check_vectors("debian_vectors_agree", Scheme::Dpkg, "debian-versions-generated.txt", 0);
}

#[test]
fn semver_vectors_agree() {
    check_vectors("semver_vectors_agree", Scheme::Semver, "semver-versions.txt", 0);
}

#[test]
fn rpm_vectors_agree() {
    check_vectors("rpm_vectors_agree", Scheme::Rpm, "redhat-versions.txt", 0);
}

#[test]
fn maven_vectors_agree() {
    check_vectors("maven_vectors_agree", Scheme::Maven, "maven-versions.txt", 0);
    check_vectors("maven_vectors_agree", Scheme::Maven, "maven-versions-generated.txt", 0);
}

#[test]
fn nuget_vectors_agree() {
    check_vectors("nuget_vectors_agree", Scheme::Nuget, "nuget-versions.txt", 0);
}

#[test]
fn packagist_vectors_agree() {
    check_vectors("packagist_vectors_agree", Scheme::Packagist, "packagist-versions.txt", 0);
    check_vectors("packagist_vectors_agree", Scheme::Packagist, "packagist-versions-generated.txt", 0);
}

#[test]
fn rubygems_vectors_agree() {
    check_vectors("rubygems_vectors_agree", Scheme::Rubygems, "rubygems-versions.txt", 0);
    check_vectors("rubygems_vectors_agree", Scheme::Rubygems, "rubygems-versions-generated.txt", 0);
}

/// The refused lines order versions from before PEP 440 (`0.1-bulbasaur`). Python's own `packaging` has refused them
/// since its release 22; a guess could call a vulnerable package clean, so they are unorderable here.
#[test]
fn python_vectors_agree() {
    check_vectors("python_vectors_agree", Scheme::Pep440, "pypi-versions.txt", 8);
    check_vectors("python_vectors_agree", Scheme::Pep440, "pypi-versions-generated.txt", 45);
}

const SCHEMES: [Scheme; 10] = [
    Scheme::Apk,
    Scheme::Dpkg,
    Scheme::Go,
    Scheme::Maven,
    Scheme::Nuget,
    Scheme::Packagist,
    Scheme::Pep440,
    Scheme::Rpm,
    Scheme::Rubygems,
    Scheme::Semver,
];

#[test]
fn numbers_longer_than_64_bits_are_ordered_by_value() {
    let long = format!("1.{}1", "9".repeat(40));
    let longer = format!("1.{}2", "9".repeat(40));
    for scheme in SCHEMES.into_iter().filter(|scheme| *scheme != Scheme::Pep440) {
        assert_eq!(compare(scheme, &long, &longer), Ok(Ordering::Less), "{scheme:?}");
        assert_eq!(compare(scheme, "1.2", &longer), Ok(Ordering::Less), "{scheme:?}");
    }
    assert!(matches!(compare(Scheme::Pep440, &long, &longer), Err(VersionError::Malformed { .. })));
}

#[test]
fn what_is_no_version_is_refused_and_not_ordered() {
    for scheme in SCHEMES {
        assert_eq!(compare(scheme, "", "1"), Err(VersionError::Empty), "{scheme:?}");
        let long = "1".repeat(513);
        assert_eq!(
            compare(scheme, "1", &long),
            Err(VersionError::TooLong { bytes: 513, max: 512 }),
            "{scheme:?}"
        );
    }
    for (scheme, version) in [
        (Scheme::Dpkg, "1 2"),
        (Scheme::Dpkg, "a:1"),
        (Scheme::Dpkg, ":1"),
        (Scheme::Dpkg, "1:"),
        (Scheme::Dpkg, "-1"),
        (Scheme::Dpkg, "1.0\u{e9}"),
        (Scheme::Semver, "latest"),
        (Scheme::Semver, "v"),
        (Scheme::Pep440, "unknown"),
    ] {
        let answer = compare(scheme, version, "1");
        assert!(matches!(answer, Err(VersionError::Malformed { .. })), "{scheme:?} {version}: {answer:?}");
    }
}

#[test]
fn traps_are_ordered_as_their_ecosystems_do() {
    for (scheme, line) in [
        (Scheme::Dpkg, "1.0~rc1 < 1.0"),
        (Scheme::Dpkg, "1.0 < 1.0+b1"),
        (Scheme::Dpkg, "1.0a < 1.0+"),
        (Scheme::Dpkg, "1:0.1 > 9.9"),
        (Scheme::Dpkg, "2.9.0-1~deb13u1 < 2.9.0-1"),
        (Scheme::Apk, "1.2_alpha < 1.2_beta"),
        (Scheme::Apk, "1.2_rc1 < 1.2"),
        (Scheme::Apk, "1.2 < 1.2_cvs"),
        (Scheme::Apk, "1.2_hg < 1.2_p"),
        (Scheme::Apk, "1.05 < 1.1"),
        (Scheme::Apk, "1.1.1a < 1.1.1b"),
        (Scheme::Apk, "3.0.1~abc-r0 < 3.0.1~abc-r1"),
        (Scheme::Semver, "v1.2.3 = 1.2.3"),
        (Scheme::Semver, "1.2 = 1.2.0"),
        (Scheme::Semver, "1.0.0.beta.3 < 1.0.0"),
        (Scheme::Semver, "1.2.3.4 > 1.2.3"),
        (Scheme::Semver, "1.0.0-alpha.9 < 1.0.0-alpha.10"),
        (Scheme::Pep440, "1!0.1 > 2.0"),
        (Scheme::Pep440, "1.0.post1 > 1.0"),
        (Scheme::Pep440, "1.0.dev1 < 1.0a1"),
    ] {
        assert_eq!(disagreements(scheme, &[line.to_owned()]), Vec::<String>::new(), "{scheme:?}");
    }
}

proptest! {
    /// Text made of the characters that versions are made of, so that the grammars are reached and left.
    #[test]
    fn every_scheme_is_antisymmetric(a in "[0-9a-c.~:+_r-]{0,12}", b in "[0-9a-c.~:+_r-]{0,12}") {
        for scheme in SCHEMES {
            let mirrored = compare(scheme, &b, &a).map(Ordering::reverse);
            if let Ok(order) = compare(scheme, &a, &b) {
                prop_assert_eq!(Ok(order), mirrored, "{:?}", scheme);
            }
        }
    }

    #[test]
    fn every_scheme_is_transitive(
        a in "[0-2](\\.[0-2]{0,2}){0,2}[~a-]?(_p|_rc|-r)?[0-2]?",
        b in "[0-2](\\.[0-2]{0,2}){0,2}[~a-]?(_p|_rc|-r)?[0-2]?",
        c in "[0-2](\\.[0-2]{0,2}){0,2}[~a-]?(_p|_rc|-r)?[0-2]?",
    ) {
        for scheme in SCHEMES {
            let order = |x: &str, y: &str| compare(scheme, x, y);
            if let (Ok(ab), Ok(bc), Ok(ac)) = (order(&a, &b), order(&b, &c), order(&a, &c)) {
                if ab.is_le() && bc.is_le() {
                    prop_assert!(ac.is_le(), "{:?}: {} <= {} <= {} but {:?}", scheme, a, b, c, ac);
                }
                if ab.is_eq() && bc.is_eq() {
                    prop_assert!(ac.is_eq(), "{:?}: {} = {} = {} but {:?}", scheme, a, b, c, ac);
                }
            }
        }
    }

    #[test]
    fn no_text_panics(a in "\\PC{0,40}", b in "\\PC{0,40}") {
        for scheme in SCHEMES {
            let _ = compare(scheme, &a, &b);
        }
    }
}
