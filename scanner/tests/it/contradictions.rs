//! What contradicts itself is unknown, never clean.

use scanner::image::{Layer, scan};
use scanner::layer::LayerReport;
use scanner::report::{ScanReport, Unknown};

use crate::archive::Archive;
use crate::build::walk;

const STATUS: &str = "f var/lib/dpkg/status=Package: a\nStatus: install ok installed\nVersion: 1\n";
const STATUS_B: &str = "f var/lib/dpkg/status=Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nVersion: 2\n";
const DEBIAN: &str = "f etc/os-release=ID=debian\nVERSION_ID=12\n";

/// Per layer, the lines of its archive.
type Layers<'l> = &'l [&'l [&'l str]];

fn report(layers: Layers<'_>) -> ScanReport {
    let reports: Vec<LayerReport> =
        layers.iter().map(|lines| walk(&Archive::default().lines(lines).end())).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    scan(&layers, b"{}", None)
}

/// The kinds of unknown, without the missing advisories, which all these images lack.
fn unknown(layers: Layers<'_>) -> Vec<&'static str> {
    let kind = |unknown: &Unknown| match unknown {
        Unknown::BrokenDatabase { .. } => Some("broken"),
        Unknown::ContradictingDistribution { .. } => Some("contradiction"),
        Unknown::DeletedDatabase { .. } => Some("deleted"),
        Unknown::HiddenPackages { .. } => Some("hidden"),
        Unknown::LinkedDatabase { .. } => Some("linked"),
        Unknown::MisplacedDatabase { .. } => Some("misplaced"),
        Unknown::ShortenedDatabase { .. } => Some("shortened"),
        Unknown::UnlistedSystem { .. } => Some("unlisted"),
        Unknown::NoAdvisoryData | Unknown::NoAdvisories { .. } => None,
        Unknown::IncompleteDocument { .. } | Unknown::NoSourcePackages { .. } => Some("document"),
        Unknown::NoDistribution => Some("no distribution"),
        Unknown::NothingRecognised => Some("nothing"),
        Unknown::UnidentifiedPackage { .. } => Some("identity"),
        Unknown::UnorderableVersion { .. } => Some("version"),
        Unknown::UnreadableExecutable { .. } => Some("executable"),
        Unknown::UnreadableLayer { .. } => Some("layer"),
        Unknown::UnsupportedDatabase { .. } => Some("unsupported"),
    };
    report(layers).unknown.iter().filter_map(kind).collect()
}

#[test]
fn an_image_that_hides_its_packages_is_unknown() {
    let far = format!("f app=\x7fELF\x02{}UPX!", "-".repeat(4096));
    let cases: &[(&str, Layers<'_>, &[&str])] = &[
        ("in order", &[&[DEBIAN, STATUS]], &[]),
        ("nothing inside", &[&["f a=1"]], &["nothing"]),
        ("no os-release", &[&[STATUS]], &["no distribution"]),
        ("a broken os-release", &[&["f etc/os-release=", STATUS]], &["no distribution", "broken"]),
        ("os-release as a directory", &[&["d etc/os-release", STATUS]], &["no distribution", "broken"]),
        (
            "os-release in a cycle",
            &[&["l etc/os-release->a", "l etc/a->os-release", STATUS]],
            &["no distribution", "broken"],
        ),
        ("a garbled database", &[&[DEBIAN, "f var/lib/dpkg/status=garbage"]], &["broken"]),
        ("the database deleted later", &[&[DEBIAN, STATUS], &["f var/lib/dpkg/.wh.status="]], &["deleted"]),
        ("the database emptied later", &[&[DEBIAN, STATUS], &["f var/lib/dpkg/status="]], &["deleted"]),
        ("an rpm database deleted, rpm stays", &[&[DEBIAN, "f usr/bin/rpm=ELF"]], &["broken"]),
        (
            "an rpm database that is none",
            &[&[DEBIAN, STATUS, "f var/lib/rpm/rpmdb.sqlite=garbage"]],
            &["broken"],
        ),
        (
            "changes that have not reached the rpm database",
            &[&[DEBIAN, STATUS, "f usr/lib/sysimage/rpm/rpmdb.sqlite-wal=frames"]],
            &["broken"],
        ),
        (
            "the rpm database behind a link to another name",
            &[&[DEBIAN, STATUS, "f x/hidden=", "l var/lib/rpm/rpmdb.sqlite->/x/hidden"]],
            &["broken"],
        ),
        ("the database deleted, dpkg stays", &[&[DEBIAN, "f usr/bin/dpkg=ELF"]], &["broken"]),
        (
            "the database behind a link",
            &[&[DEBIAN, "f x/hidden=Package: a", "l var/lib/dpkg/status->/x/hidden"]],
            &["broken"],
        ),
        (
            "the database behind a hard link",
            &[&[DEBIAN, "f x/hidden=Package: a", "h var/lib/dpkg/status->x/hidden"]],
            &["broken"],
        ),
        ("the database behind a dead link", &[&[DEBIAN, "l var/lib/dpkg/status->/gone"]], &["broken"]),
        ("a packed executable", &[&[DEBIAN, STATUS, "f app=\x7fELF\x02 UPX!"]], &["executable"]),
        ("a packer's mark far behind", &[&[DEBIAN, STATUS, &far]], &[]),
        (
            "a packed executable of the distribution",
            &[&[
                DEBIAN,
                STATUS,
                "f var/lib/dpkg/info/a.list=/usr/bin/app\n",
                "f usr/bin/app=\x7fELF\x02 UPX!",
            ]],
            &[],
        ),
        (
            "packages of a system without advisories",
            &[&[
                "f etc/os-release=ID=arch\n",
                "f var/lib/pacman/local/a-1-1/desc=%NAME%\na\n\n%VERSION%\n1-1\n",
            ]],
            &[],
        ),
        (
            "pacman's database deleted",
            &[&["f etc/os-release=ID=arch\n", "f var/lib/pacman/local/ALPM_DB_VERSION=9"]],
            &["broken"],
        ),
        ("a Nix database", &[&[DEBIAN, STATUS, "f nix/var/nix/db/db.sqlite=x"]], &["unsupported"]),
        ("a broken opkg database", &[&[DEBIAN, STATUS, "f var/lib/opkg/status=x"]], &["broken"]),
        (
            "a manifest of Chisel that is none",
            &[&[DEBIAN, "f var/lib/chisel/manifest.wall=x"]],
            &["broken", "broken"],
        ),
        ("a broken package.json", &[&[DEBIAN, STATUS, "f app/node_modules/x/package.json={"]], &["broken"]),
    ];
    for (what, layers, expected) in cases {
        let mut found = unknown(layers);
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn databases_are_found_behind_links_and_under_usr() {
    let apk = "f usr/lib/apk/db/installed=P:a\nV:1-r0\n\n";
    let cases: &[(&str, Layers<'_>)] = &[
        (
            "usr-merge in one layer",
            &[&["d usr/lib", "l lib->usr/lib", "f lib/apk/db/installed=P:a\nV:1-r0\n\n"]],
        ),
        ("usr-merge, written at its place", &[&["l lib->usr/lib", apk]]),
        (
            "a linked directory",
            &[&[
                "l var/lib/dpkg->/usr/lib/sysimage/dpkg",
                "f usr/lib/sysimage/dpkg/status=Package: a\nStatus: install ok installed\nVersion: 1\n",
            ]],
        ),
        (
            "distroless",
            &[&[
                "f var/lib/dpkg/status.d/a=Package: a\nVersion: 1\n",
                "f var/lib/dpkg/status.d/a.md5sums=0 x",
            ]],
        ),
        (
            "os-release behind a link",
            &[&[STATUS, "f usr/lib/os-release=ID=debian", "l etc/os-release->../usr/lib/os-release"]],
        ),
    ];
    for (what, layers) in cases {
        let names: Vec<_> = report(layers).packages.iter().map(|found| found.package.name.clone()).collect();
        assert_eq!(names, ["a"], "{what}");
    }
    assert_eq!(report(cases[4].1).distribution.map(|found| found.id), Some("debian".to_owned()));
}

#[test]
fn a_package_belongs_to_the_layer_that_brought_it() {
    let layers: &[&[&str]] = &[&[DEBIAN, STATUS], &["f x=1"], &[STATUS_B], &["f y=1"]];
    let origins: Vec<_> =
        report(layers).packages.iter().map(|found| (found.package.name.clone(), found.layer)).collect();
    assert_eq!(origins, [("a".to_owned(), 0), ("b".to_owned(), 2)]);
}

#[test]
fn secrets_ship_even_when_a_later_layer_deletes_them() {
    let token = ["glpat", "-qnFCraP_c0YsHh47lft6"].concat();
    let line = format!("f app/env=TOKEN={token}");
    let secrets = report(&[&["f a=1"], &[&line], &["f app/.wh.env="]]).secrets;
    let [secret] = &secrets[..] else { panic!("{secrets:?}") };
    assert_eq!((secret.path.as_str(), secret.layer, secret.deleted_later), ("app/env", Some(1), true));
    assert!(!format!("{secrets:?}").contains(&token[6..]), "the value is not repeated");
}

#[test]
fn the_configuration_is_searched_too() {
    let token = ["glpat", "-qnFCraP_c0YsHh47lft6"].concat();
    let config = serde_json::json!({
        "config": {
            "Env": ["PATH=/bin", format!("CI={token}"), "GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568", "DB_PASSWORD_FILE=/run/secrets/db"],
            "Labels": { "note": format!("x {token}") },
        },
        "history": [
            { "created_by": "FROM base" },
            { "created_by": "ENV A=b", "empty_layer": true },
            { "created_by": "RUN |2 NPM_PASSWORD=5wpsNFoJKO3Nf4qhPWGOz1VMcYptwg93 VERSION=1.2.3 /bin/sh -c npm ci" },
        ],
    });
    let reports = [
        walk(&Archive::default().lines(&["f a=1"]).end()),
        walk(&Archive::default().lines(&["f b=1"]).end()),
    ];
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    let report = scan(&layers, config.to_string().as_bytes(), None);
    let found: Vec<_> = report
        .secrets
        .iter()
        .map(|secret| (secret.rule.as_str(), secret.path.as_str(), secret.layer))
        .collect();
    assert_eq!(
        found,
        [
            ("build-argument", "history[2].created_by", None),
            ("gitlab-pat", "config.Env[CI]", None),
            ("gitlab-pat", "config.Labels[note]", None),
        ]
    );
    let instructions: Vec<_> =
        report.layers.iter().map(|layer| layer.instruction.as_deref().unwrap_or_default()).collect();
    assert_eq!(instructions[0], "FROM base");
    assert!(instructions[1].starts_with("RUN |2"));
}
