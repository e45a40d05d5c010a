//! Real and made images against what independent tools say about them.

use std::collections::BTreeSet;

use scanner::image::{final_tree, scan};
use scanner::layer::{EntryKind, LayerOutcome};
use scanner::package::PackageKind;
use scanner::report::Unknown;
use serde_json::Value;

use crate::build::{Image, Walked, images, test_data};
use crate::skipped;

/// Every difference from an expectation file, with its cause.
const DIFFERENCES: [(&str, &str, &str); 4] = [
    ("rpm-amazonlinux-2023", "-rpm gpg-pubkey ", "a public key, kept as a package: nothing is installed"),
    ("app-node", "-npm shop-frontend 1.0.0", "the application itself, which nobody installed"),
    (
        "ggcr-whiteout-dir",
        "-a/foo file 0 ",
        "a later layer's whiteout of `a` hides it from every engine; crane exports it",
    ),
    (
        "secrets-planted",
        "-0 app/session.txt jwt",
        "a token that expires: no rule, it would refuse documentation",
    ),
];

/// Runs `check` on each image of an expectation that has `key`.
fn with_expected(test: &str, key: &str, mut check: impl FnMut(&str, &Value, &Image, &Walked)) {
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let folder = std::fs::read_dir(data.join("images/files")).expect("the images");
    let mut files: Vec<_> = folder.map(|entry| entry.expect("an image").path()).collect();
    files.sort();
    let mut checked = 0;
    for path in files {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        let stem = [".oci.tar", ".tar.gz", ".tar"]
            .iter()
            .find_map(|suffix| file.strip_suffix(suffix))
            .expect("an archive");
        let expected =
            std::fs::read(data.join(format!("images/expected/{stem}.json"))).expect("an expectation");
        let expected: Value = serde_json::from_slice(&expected).expect("JSON");
        if expected.get(key).is_none() && expected.pointer(&format!("/node/{key}")).is_none() {
            continue;
        }
        for image in images(&path) {
            let expected = expected.get(&image.name).unwrap_or(&expected);
            check(stem, &expected[key], &image, &Walked::new(&image));
            checked += 1;
        }
    }
    assert!(checked > 0, "no image has `{key}`");
}

/// Fails unless the two sets differ only by the listed lines.
#[track_caller]
fn same(stem: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) {
    let missing = expected.difference(found).map(|line| format!("-{line}"));
    let extra = found.difference(expected).map(|line| format!("+{line}"));
    let known =
        |line: &str| DIFFERENCES.iter().any(|(image, start, _)| *image == stem && line.starts_with(start));
    let unknown: Vec<String> = missing.chain(extra).filter(|line| !known(line)).collect();
    assert!(unknown.is_empty(), "{stem}: {unknown:#?}");
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn packages_are_those_that_syft_lists() {
    // What syft calls each kind, and what a package URL does.
    const READ: [(&str, &str); 8] = [
        ("apk", "apk"),
        ("deb", "deb"),
        ("go-module", "golang"),
        ("java-archive", "maven"),
        ("npm", "npm"),
        ("python", "pypi"),
        ("rpm", "rpm"),
        ("rust-crate", "cargo"),
    ];
    with_expected("packages", "packages", |stem, expected, image, walked| {
        let report = scan(&walked.layers(), &image.config, None);
        let listed = expected.as_array().expect("a list").iter().filter_map(|package| {
            let (_, kind) = READ.iter().find(|(syft, _)| *syft == text(package, "type"))?;
            // Where nothing tells the group, syft writes an empty one.
            let name = package["maven"].as_str().map(|name| name.trim_start_matches(':'));
            let source = text(package, "source");
            let source = if source.is_empty() || *kind == "pypi" {
                String::new()
            } else {
                format!(" from {source} {}", text(package, "sourceVersion"))
            };
            let name = name.unwrap_or_else(|| text(package, "name"));
            Some(format!("{kind} {name} {}{source}", text(package, "version")))
        });
        let expected: BTreeSet<String> = listed.collect();
        // Of programs that print a version syft knows others by name.
        let found = report.packages.iter().filter(|found| found.package.kind != PackageKind::Binary);
        let found = found.map(|found| {
            let package = &found.package;
            let kind = package.kind.purl_type();
            let named = expected.iter().any(|line| {
                line.starts_with(&format!("{kind} {} ", package.name)) && line.contains(" from ")
            });
            let source = package.source.as_ref().filter(|_| named);
            let source =
                source.map(|source| format!(" from {} {}", source.name, source.version)).unwrap_or_default();
            format!("{kind} {} {}{source}", package.name, package.version)
        });
        same(stem, &expected, &found.collect());
    });
}

#[test]
fn distributions_are_those_that_syft_names() {
    with_expected("distributions", "distro", |stem, expected, image, walked| {
        let report = scan(&walked.layers(), &image.config, None);
        let found = report.distribution.map(|found| (found.id, found.version_id));
        let id = text(expected, "id");
        if text(expected, "id") == "busybox" {
            // These have no os-release: syft reads the name out of the program.
            return assert_eq!(found, None, "{stem}");
        }
        let version = expected["versionID"].as_str().filter(|version| !version.is_empty());
        let expected = (!id.is_empty()).then(|| (id.to_owned(), version.map(str::to_owned)));
        assert_eq!(found, expected, "{stem}");
    });
}

#[test]
fn an_image_without_advisories_is_unknown() {
    with_expected("unknown", "packages", |stem, _, image, walked| {
        let report = scan(&walked.layers(), &image.config, None);
        assert!(report.unknown.contains(&Unknown::NoAdvisoryData), "{stem}");
    });
}

#[test]
fn final_trees_are_those_that_crane_exports() {
    with_expected("final trees", "finalTree", |stem, expected, _, walked| {
        let line = |entry: &Value| {
            format!(
                "{} {} {} {}",
                text(entry, "path"),
                text(entry, "type"),
                entry["size"],
                text(entry, "target")
            )
        };
        let expected = expected.as_array().expect("a list").iter().map(line).collect();
        let kind = |kind| match kind {
            EntryKind::BlockDevice | EntryKind::CharacterDevice | EntryKind::Fifo => "device",
            EntryKind::Directory => "dir",
            EntryKind::File => "file",
            EntryKind::HardLink => "hardlink",
            EntryKind::Symlink => "symlink",
        };
        let found = final_tree(&walked.layers());
        let found = found.iter().map(|entry| {
            format!(
                "{} {} {} {}",
                entry.path,
                kind(entry.kind),
                entry.size,
                entry.target.as_deref().unwrap_or_default()
            )
        });
        same(stem, &expected, &found.collect());
    });
}

#[test]
fn secrets_are_those_that_were_planted() {
    with_expected("secrets", "secrets", |stem, expected, image, walked| {
        let report = scan(&walked.layers(), &image.config, None);
        let line = |secret: &Value| {
            let layer = secret["layer"].to_string();
            format!(
                "{layer} {} {} {} {}",
                text(secret, "path"),
                text(secret, "kind"),
                text(secret, "valueSha256"),
                secret["deletedInLaterLayer"]
            )
        };
        let expected = expected.as_array().expect("a list").iter().map(line).collect();
        let found = report.secrets.iter().map(|secret| {
            let layer = secret.layer.map_or("null".to_owned(), |layer| layer.to_string());
            format!(
                "{layer} {} {} {} {}",
                secret.path, secret.rule, secret.value_sha256, secret.deleted_later
            )
        });
        let found: BTreeSet<String> = found.collect();
        let expected: BTreeSet<String> = expected;
        let (hits, alarms) = (found.intersection(&expected).count(), found.difference(&expected).count());
        println!("{stem}: {hits} of {} planted secrets, {alarms} false alarms", expected.len());
        same(stem, &expected, &found);
    });
}

#[test]
fn ordinary_images_hold_no_secrets() {
    with_expected("no secrets", "packages", |stem, _, image, walked| {
        let report = scan(&walked.layers(), &image.config, None);
        assert_eq!(report.secrets, [], "{stem}");
    });
}

#[test]
fn waste_is_what_was_planted() {
    with_expected("waste", "bloat", |stem, expected, image, walked| {
        let waste = scan(&walked.layers(), &image.config, None).waste;
        assert_eq!(Some(waste.hidden_bytes), expected["overwrittenOrDeletedBytes"].as_u64(), "{stem}");
        let copies = expected["duplicateContent"].as_array().expect("a list").iter();
        assert_eq!(
            waste.duplicate_bytes,
            copies.filter_map(|copy| copy["bytes"].as_u64()).sum::<u64>(),
            "{stem}"
        );
        for detail in expected["details"].as_array().expect("a list") {
            let of_path = waste.paths.iter().filter(|path| path.path == text(detail, "path"));
            assert_eq!(
                Some(of_path.map(|path| path.bytes).sum()),
                detail["bytesNotInFinalImage"].as_u64(),
                "{stem}"
            );
        }
    });
}

#[test]
fn hostile_images_end_as_stated() {
    // What each image must come to: the start of the refusal, or `walked`.
    const OUTCOMES: [(&str, &str); 20] = [
        ("hostile-300-layers", "walked"),
        ("hostile-ambiguous-manifest", "walked"),
        ("hostile-deep-path", "a path of 8003 bytes"),
        ("hostile-devices", "walked"),
        ("hostile-digest-mismatch", "broken gzip stream"),
        ("hostile-empty-blob", "no archive"),
        ("hostile-gzip-bomb-2g", "compression bomb"),
        ("hostile-gzip-trailing-garbage", "`unknown` bytes follow"),
        ("hostile-gzip-two-members", "walked"),
        ("hostile-json-depth", "walked"),
        ("hostile-long-name", "a path of 900000 bytes"),
        ("hostile-many-entries-60k", "walked"),
        ("hostile-media-type-lies", "walked"),
        ("hostile-non-utf8-name", "walked"),
        ("hostile-opaque-whiteout", "walked"),
        ("hostile-path-traversal", "`../../etc/cron.d/x` leaves the root"),
        ("hostile-size-mismatch", "walked"),
        ("hostile-symlink-loop", "walked"),
        ("hostile-truncated-gzip", "the layer is cut short"),
        ("hostile-zstd-two-frames", "walked"),
    ];
    with_expected("hostile", "hostile", |stem, _, image, walked| {
        let Some((_, expected)) = OUTCOMES.iter().find(|(name, _)| *name == stem) else {
            // The bombs in zstd and in a jar are stopped by one limit or another.
            let refused = |report: &LayerOutcome| matches!(report, LayerOutcome::Refused { .. });
            return assert!(walked.0.iter().any(|(_, report)| refused(&report.outcome)), "{stem}");
        };
        for (_, report) in &walked.0 {
            let found = match &report.outcome {
                LayerOutcome::NotAnArchive => "no archive",
                LayerOutcome::Refused { problem } => problem,
                LayerOutcome::Walked => "walked",
            };
            assert!(found.starts_with(expected), "{stem}: {found}");
        }
        let report = scan(&walked.layers(), &image.config, None);
        let unreadable =
            report.unknown.iter().any(|unknown| matches!(unknown, Unknown::UnreadableLayer { .. }));
        assert_eq!(unreadable, *expected != "walked", "{stem}: {:?}", report.unknown);
    });
}

#[test]
fn hostile_details() {
    with_expected("hostile details", "hostile", |stem, _, image, walked| {
        let report = scan(&walked.layers(), &image.config, None);
        match stem {
            "hostile-gzip-two-members" | "hostile-zstd-two-frames" | "hostile-media-type-lies" => {
                assert_eq!(report.distribution.map(|found| found.id), Some("debian".to_owned()), "{stem}");
            }
            "hostile-opaque-whiteout" => {
                let tree: Vec<_> = final_tree(&walked.layers()).into_iter().map(|entry| entry.path).collect();
                assert_eq!(tree, ["a", "a/three"], "{stem}");
            }
            "hostile-symlink-loop" => {
                assert_eq!(report.distribution, None, "{stem}");
                let broken = |unknown: &Unknown| matches!(unknown, Unknown::BrokenDatabase { path, .. } if path == "etc/os-release");
                assert!(report.unknown.iter().any(broken), "{stem}");
            }
            _ => {}
        }
    });
}
