//! The ladder by which an image hides what is in it: on no rung is it called clean.

use scanner::image::{Layer, scan};
use scanner::layer::LayerReport;
use scanner::report::{ScanReport, Unknown};

use crate::archive::Archive;
use crate::build::{Walked, images, test_data, walk};
use crate::skipped;

/// Per layer, the lines of its archive.
type Layers<'l> = &'l [&'l [&'l str]];

const DEBIAN: &str = "f etc/os-release=ID=debian\nVERSION_ID=12\n";
const BASE: &str = "Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u5\n\n";
const LIBC: &str = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u4\n\n";
const LIBC_LIST: &str = "f var/lib/dpkg/info/libc6:amd64.list=/.\n/lib\n/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu/libc.so.6\n/usr/bin/ldd\n";
const LIBC_FILES: [&str; 2] = ["f lib/x86_64-linux-gnu/libc.so.6=ELF", "f usr/bin/ldd=#!/bin/bash"];
const ALPINE: &str = "f etc/os-release=ID=alpine\nVERSION_ID=3.20.3\n";
const APK: &str = "f lib/apk/db/installed=P:alpine-release\nV:3.20.3-r0\n\nP:musl\nV:1.2.5-r0\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:openssl\nV:3.3.0-r0\nF:usr/bin\nR:openssl\n\n";
const APK_FILES: [&str; 2] = ["f lib/ld-musl-x86_64.so.1=ELF", "f usr/bin/openssl=ELF"];

fn status(packages: &[&str]) -> String {
    format!("f var/lib/dpkg/status={}", packages.concat())
}

fn report(layers: &[Vec<&str>]) -> ScanReport {
    let reports: Vec<LayerReport> =
        layers.iter().map(|lines| walk(&Archive::default().lines(lines).end())).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    scan(&layers, b"{}", None)
}

/// What is unknown, but for the advisories, which are not loaded here.
fn unknown(layers: &[Vec<&str>]) -> Vec<Unknown> {
    report(layers).unknown.into_iter().filter(|unknown| *unknown != Unknown::NoAdvisoryData).collect()
}

/// A whole Debian: the ground from which the rungs start, on which nothing is unknown.
fn debian(status: &str) -> Vec<&str> {
    [vec![DEBIAN, status, LIBC_LIST], LIBC_FILES.to_vec()].concat()
}

fn alpine() -> Vec<&'static str> {
    [vec![ALPINE, APK], APK_FILES.to_vec()].concat()
}

#[track_caller]
fn hidden(layers: Layers<'_>, problem: &str) {
    let layers: Vec<Vec<&str>> = layers.iter().map(|layer| layer.to_vec()).collect();
    let found = unknown(&layers);
    let told = |unknown: &Unknown| matches!(unknown, Unknown::HiddenPackages { problem: told, .. } if told.contains(problem));
    assert!(found.iter().any(told), "{problem}: {found:?}");
}

/// Nothing is hidden, whatever else may be unknown.
#[track_caller]
fn in_sight(layers: Layers<'_>) {
    let layers: Vec<Vec<&str>> = layers.iter().map(|layer| layer.to_vec()).collect();
    let found = unknown(&layers);
    assert!(!found.iter().any(|unknown| matches!(unknown, Unknown::HiddenPackages { .. })), "{found:?}");
}

#[test]
fn the_ground_is_clean() {
    let all = status(&[BASE, LIBC]);
    assert_eq!(unknown(&[debian(&all)]), []);
    assert_eq!(unknown(&[alpine()]), []);
    // Removed as package managers do it: the package, its list and its files.
    let one = status(&[BASE]);
    let removed = vec![
        &*one,
        "f var/lib/dpkg/info/.wh.libc6:amd64.list=",
        "f lib/x86_64-linux-gnu/.wh.libc.so.6=",
        "f usr/bin/.wh.ldd=",
    ];
    assert_eq!(unknown(&[debian(&all), removed]), []);
    // Another package takes the files over.
    let taken = status(&[BASE, "Package: libc7\nStatus: install ok installed\nVersion: 3\n"]);
    let list = LIBC_LIST.replace("libc6", "libc7");
    assert_eq!(
        unknown(&[debian(&all), vec![&taken, &list, "f var/lib/dpkg/info/.wh.libc6:amd64.list="]]),
        []
    );
}

/// `lib` and its like are links in nearly every distribution: what is missing behind them is missing, not broken.
#[test]
fn a_system_with_merged_folders_is_clean() {
    let all = status(&[BASE, LIBC]);
    let merged = ["l lib->usr/lib", "l bin->usr/bin", "d usr/lib"];
    assert_eq!(unknown(&[[&merged[..], &debian(&all)].concat()]), []);
    let apk = APK.replace("lib/apk", "usr/lib/apk");
    assert_eq!(unknown(&[[&merged[..], &[ALPINE, &apk], &APK_FILES].concat()]), []);
    // A link whose own end is missing still hides what it names.
    for link in ["l lib->usr/nowhere", "l lib->lib", "l lib/apk/db/installed->/nowhere"] {
        let found = unknown(&[vec![DEBIAN, &all, link]]);
        let broken = |it: &Unknown| matches!(it, Unknown::BrokenDatabase { path, .. } if path == "lib/apk/db/installed");
        assert!(found.iter().any(broken), "{link}: {found:?}");
    }
}

#[test]
fn os_release_edited_to_another_distribution() {
    let all = status(&[BASE, LIBC]);
    for (edited, claimed) in [
        ("f etc/os-release=ID=alpine\nVERSION_ID=3.20.3\n", "alpine 3.20.3"),
        ("f etc/os-release=ID=debian\nVERSION_ID=13\n", "debian 13"),
        ("f etc/os-release=ID=ubuntu\nVERSION_ID=24.04\n", "ubuntu 24.04"),
    ] {
        let told = Unknown::ContradictingDistribution {
            claimed: claimed.to_owned(),
            told: "debian 12".to_owned(),
            witnesses: 2,
        };
        assert_eq!(unknown(&[debian(&all), vec![edited]]), [told], "{claimed}");
    }
}

#[test]
fn os_release_removed() {
    let all = status(&[BASE, LIBC]);
    assert_eq!(unknown(&[debian(&all), vec!["f etc/.wh.os-release="]]), [Unknown::NoDistribution]);
}

#[test]
fn package_database_deleted_in_a_later_layer() {
    let all = status(&[BASE, LIBC]);
    let deleted = |path: &str, packages, files| Unknown::DeletedDatabase {
        path: path.to_owned(),
        layer: 1,
        packages,
        files,
    };
    let found = unknown(&[debian(&all), vec!["f var/lib/dpkg/.wh.status="]]);
    assert!(found.contains(&deleted("var/lib/dpkg/status", 2, 2)), "{found:?}");
    // With its lists.
    let found = unknown(&[debian(&all), vec!["f var/lib/.wh.dpkg="]]);
    assert!(found.contains(&deleted("var/lib/dpkg/status", 2, 2)), "{found:?}");
    let found = unknown(&[alpine(), vec!["f lib/apk/.wh.db="]]);
    assert!(found.contains(&deleted("lib/apk/db/installed", 3, 2)), "{found:?}");
    // Nor does a language's package make up for it.
    let module = "f app/node_modules/x/package.json={\"name\":\"x\",\"version\":\"1\"}";
    let found = unknown(&[alpine(), vec!["f lib/apk/.wh.db=", module]]);
    assert!(found.contains(&deleted("lib/apk/db/installed", 3, 2)), "{found:?}");
}

#[test]
fn package_database_behind_a_link() {
    let all = status(&[BASE, LIBC]);
    let moved = all.replace("var/lib/dpkg/status", "opt/x/dpkg/status");
    let files = [&[DEBIAN, LIBC_LIST][..], &LIBC_FILES].concat();
    for link in ["l var/lib/dpkg/status->/opt/x/dpkg/status", "h var/lib/dpkg/status->opt/x/dpkg/status"] {
        let found = unknown(&[[&files[..], &[&moved, link]].concat()]);
        let linked = found.iter().any(|it| matches!(it, Unknown::LinkedDatabase { path, target, .. } if path == "var/lib/dpkg/status" && target == "opt/x/dpkg/status"));
        assert!(linked, "{link}: {found:?}");
    }
}

#[test]
fn package_database_moved_to_another_path() {
    // Read there, with one harmless package; package managers would look elsewhere.
    let moved = status(&[BASE]).replace("var/lib", "opt");
    let found = unknown(&[vec![DEBIAN, &moved]]);
    assert_eq!(found, [Unknown::MisplacedDatabase { path: "opt/dpkg/status".to_owned(), layer: 0 }]);
    // Under a name that nobody reads.
    let renamed = status(&[BASE, LIBC]).replace("dpkg/status", "x/y");
    let found = unknown(&[[&[DEBIAN, &renamed, LIBC_LIST][..], &LIBC_FILES].concat()]);
    assert!(found.iter().any(|it| matches!(it, Unknown::UnlistedSystem { .. })), "{found:?}");
}

#[test]
fn package_database_emptied_or_shortened() {
    let (all, one) = (status(&[BASE, LIBC]), status(&[BASE]));
    let found = unknown(&[debian(&all), vec!["f var/lib/dpkg/status="]]);
    assert!(
        found.iter().any(|it| matches!(it, Unknown::DeletedDatabase { packages: 2, files: 2, .. })),
        "{found:?}"
    );
    let shortened = |found: Vec<Unknown>| {
        found.iter().any(|it| matches!(it, Unknown::ShortenedDatabase { package, packages: 1, files: 2, .. } if package == "libc6"))
    };
    assert!(shortened(unknown(&[debian(&all), vec![&one]])), "in a later layer");
    assert!(shortened(unknown(&[debian(&all), vec![&one, "f var/lib/dpkg/.wh.info="]])), "with its lists");
    assert!(shortened(unknown(&[debian(&one)])), "in one layer, by the list that is left");
    let short_apk = "f lib/apk/db/installed=P:alpine-release\nV:3.20.3-r0\n\nP:musl\nV:1.2.5-r0\nF:lib\nR:ld-musl-x86_64.so.1\n\n";
    let found = unknown(&[alpine(), vec![short_apk]]);
    let expected = Unknown::ShortenedDatabase {
        path: "lib/apk/db/installed".to_owned(),
        layer: 1,
        package: "openssl".to_owned(),
        packages: 1,
        files: 1,
    };
    assert_eq!(found, [expected]);
    // Cut in the middle of a record.
    let cut = &all[..all.len() - 20];
    assert!(unknown(&[debian(cut)]).iter().any(|it| matches!(it, Unknown::BrokenDatabase { .. })));
}

#[test]
fn everything_copied_into_one_layer_without_the_database() {
    let found = unknown(&[vec![LIBC_FILES[0], "f app=1"]]);
    let told = Unknown::UnlistedSystem { path: "lib/x86_64-linux-gnu/libc.so.6".to_owned(), layer: 0 };
    assert!(found.contains(&told), "{found:?}");
    // Packages of a language are no answer for the system below them.
    let module = "f app/node_modules/x/package.json={\"name\":\"x\",\"version\":\"1\"}";
    let found = unknown(&[[&[ALPINE, module][..], &APK_FILES].concat()]);
    assert!(
        found.iter().any(
            |it| matches!(it, Unknown::UnlistedSystem { path, .. } if path == "lib/ld-musl-x86_64.so.1")
        ),
        "{found:?}"
    );
    // Nor is one package for another's library.
    let one = "f lib/apk/db/installed=P:alpine-release\nV:3.20.3-r0\nF:bin\nR:x\n\n";
    let found = unknown(&[[&[ALPINE, one, "f bin/x=1"][..], &APK_FILES].concat()]);
    assert!(found.iter().any(|it| matches!(it, Unknown::UnlistedSystem { .. })), "{found:?}");
    // A program alone has no library to explain.
    let found = unknown(&[vec!["f app=1"]]);
    assert_eq!(found, [Unknown::NothingRecognised]);
}

#[test]
fn package_json_deleted_while_its_code_stays() {
    let manifest = "f app/node_modules/x/package.json={\"name\":\"x\",\"version\":\"1\"}";
    let code = "f app/node_modules/x/lib/index.js=1";
    in_sight(&[&[manifest, code]]);
    hidden(&[&[code]], "without a `package.json`");
    hidden(&[&[manifest, code], &["f app/node_modules/x/.wh.package.json="]], "without a `package.json`");
    hidden(&[&["f app/node_modules/x/package.json={\"name\":\"x\"}", code]], "without a `package.json`");
    hidden(&[&["f node_modules/@s/x/a.cjs=1"]], "without a `package.json`");
    hidden(&[&["f node_modules/.pnpm/x@1/node_modules/x/a.js=1"]], "without a `package.json`");
    // What packages bring to test themselves, and what tools keep beside them, are no packages.
    in_sight(&[&[manifest, "f app/node_modules/x/test/node_modules/y/index.js=1"]]);
    in_sight(&[&["f app/node_modules/.cache/x/a.js=1", "f app/node_modules/x/readme.md=1"]]);
    // Removed as npm does it.
    in_sight(&[&[manifest, code], &["f app/node_modules/.wh.x="]]);
}

#[test]
fn dist_info_deleted_while_its_code_stays() {
    let metadata = "f s/site-packages/a-1.dist-info/METADATA=Name: a\nVersion: 1\n";
    let record = "f s/site-packages/a-1.dist-info/RECORD=a/__init__.py,,\na-1.dist-info/METADATA,,\n";
    let code = "f s/site-packages/a/__init__.py=1";
    let other = "f s/site-packages/b-1.dist-info/METADATA=Name: b\nVersion: 1\n";
    in_sight(&[&[metadata, record, code]]);
    hidden(&[&[code]], "not one description");
    hidden(&[&[record, code, other]], "without `METADATA`");
    hidden(
        &[&[metadata, record, code, other], &["f s/site-packages/.wh.a-1.dist-info="]],
        "description was deleted",
    );
    hidden(&[&["f s/site-packages/a.egg-info/top_level.txt=a", other]], "without `PKG-INFO`");
    // Updated and removed as pip does it.
    let newer = [
        "f s/site-packages/.wh.a-1.dist-info=",
        "f s/site-packages/a-2.dist-info/METADATA=Name: a\nVersion: 2\n",
        "f s/site-packages/a-2.dist-info/RECORD=a/__init__.py,,\n",
    ];
    in_sight(&[&[metadata, record, code], &newer]);
    in_sight(&[
        &[metadata, record, code, other],
        &["f s/site-packages/.wh.a-1.dist-info=", "f s/site-packages/.wh.a="],
    ]);
}

#[test]
fn other_descriptions_deleted_while_the_code_stays() {
    let gem = "f usr/lib/ruby/gems/3.1.0/gems/rack-2.2.3/lib/rack.rb=1";
    let specification = "f usr/lib/ruby/gems/3.1.0/specifications/rack-2.2.3.gemspec=s.name = \"rack\"\ns.version = \"2.2.3\"\n";
    in_sight(&[&[gem, specification]]);
    hidden(&[&[gem]], "a gem without its specification");
    hidden(
        &[&[gem, specification], &["f usr/lib/ruby/gems/3.1.0/specifications/.wh.rack-2.2.3.gemspec="]],
        "a gem",
    );
    in_sight(&[&["f usr/lib/ruby/3.1.0/bundler/gems/rack-abc/lib/rack.rb=1"]]);
    let loader = "f app/vendor/composer/autoload_real.php=<?php";
    in_sight(&[&[loader, "f app/vendor/composer/installed.json={\"packages\":[]}"]]);
    hidden(&[&[loader]], "without `installed.json`");
    let dotnet = ["f app/a.dll=MZ", "f app/a.runtimeconfig.json={}"];
    in_sight(&[&[dotnet[0], dotnet[1], "f app/a.deps.json={}"]]);
    hidden(&[&dotnet], "without its `.deps.json`");
}

/// A zip archive of one empty member that is stored.
fn archive_of(member: &str) -> Vec<u8> {
    let length = u16::try_from(member.len()).expect("short").to_le_bytes();
    let local = [&b"PK\x03\x04\x14\0"[..], &[0; 20], &length, &[0; 2], member.as_bytes()].concat();
    let central = [&b"PK\x01\x02\x14\0\x14\0"[..], &[0; 20], &length, &[0; 16], member.as_bytes()].concat();
    let number = |bytes: usize| u32::try_from(bytes).expect("short").to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &number(central.len()), &number(local.len()), &[0; 2]];
    [local, central, end.concat()].concat()
}

#[test]
fn an_archive_of_classes_that_lost_its_name() {
    let problems = |files: &[(&str, &[u8])]| {
        let archive =
            files.iter().fold(Archive::default(), |archive, (path, content)| archive.file(path, content));
        let layer = walk(&archive.end());
        scan(&[Layer { digest: "", report: &layer, instruction: None }], b"{}", None).unknown
    };
    let hidden = |found: &[Unknown]| {
        found.iter().any(|it| matches!(it, Unknown::HiddenPackages { problem, .. } if problem.contains("lost what tells its version")))
    };
    let (classes, nothing) = (archive_of("a/B.class"), archive_of("a/b.txt"));
    assert!(hidden(&problems(&[("app/lib/hidden.jar", &classes)])));
    // An application's own archive, one without classes, one whose name tells, and Java's own.
    assert!(!hidden(&problems(&[("app/app.jar", &classes)])));
    assert!(!hidden(&problems(&[("app/lib/hidden.jar", &nothing)])));
    assert!(!hidden(&problems(&[("app/lib/known-1.2.jar", &classes)])));
    assert!(!hidden(&problems(&[
        ("opt/java/lib/dt.jar", &classes),
        ("opt/java/release", b"JAVA_VERSION=\"1.8.0_392\"\n")
    ])));
}

#[test]
fn descriptions_behind_links() {
    let manifest = "f x/hidden={\"name\":\"a\",\"version\":\"1\"}";
    hidden(
        &[&[manifest, "l app/node_modules/a/package.json->/x/hidden"]],
        "a link to a file of another name",
    );
    hidden(&[&[manifest, "h app/node_modules/a/package.json->x/hidden"]], "a link to a file of another name");
    hidden(&[&["f x/hidden=PK", "l app/lib/a-1.jar->/x/hidden"]], "a link to a file of another name");
    hidden(
        &[&["f x/hidden=Name: a", "l s/a-1.dist-info/METADATA->/x/hidden"]],
        "a link to a file of another name",
    );
    in_sight(&[&["l app/lib/a-1.jar->/gone", "f app/lib/b.txt=1", "l app/lib/c.txt->b.txt"]]);
    // Folders behind links are read.
    for lines in [
        &["f x/a/package.json={\"name\":\"a\",\"version\":\"1\"}", "l app/node_modules->/x"][..],
        &["f x/@s/a/package.json={\"name\":\"a\",\"version\":\"1\"}", "l app/node_modules->/x"],
        &["f x/package.json={\"name\":\"a\",\"version\":\"1\"}", "l app/node_modules/a->/x"],
        &["f x/package.json={\"name\":\"a\",\"version\":\"1\"}", "l app/node_modules/@s/a->../../../x"],
    ] {
        let found = report(&[lines.to_vec()]).packages;
        assert_eq!(
            found.iter().map(|found| found.package.name.as_str()).collect::<Vec<_>>(),
            ["a"],
            "{lines:?}"
        );
    }
    // What describes the application itself is no installed package.
    assert_eq!(report(&[vec!["f app/package.json={\"name\":\"app\",\"version\":\"1\"}"]]).packages, []);
}

#[test]
fn executables_stripped_or_packed() {
    let elf = |mark: &str, sections: u8| {
        let mut file = vec![b'.'; 20_000];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16..18].copy_from_slice(&[2, 0]);
        file[40..48].copy_from_slice(&[sections, 0, 0, 0, 0, 0, 0, 0]);
        file[600..600 + mark.len()].copy_from_slice(mark.as_bytes());
        file
    };
    let cases = [
        ("", 1, None),
        ("UPX!", 1, Some("packed by UPX")),
        ("XXX!", 0, Some("without a table of sections")),
        ("\0runtime.return0\0runtime.goexit\0", 1, Some("list of modules was taken out")),
        // A tool that looks for such programs holds the name as well, and is none.
        ("\0runtime.goexit\0", 1, None),
    ];
    for (mark, sections, expected) in cases {
        let layer = walk(&Archive::default().file("app", &elf(mark, sections)).end());
        let found = scan(&[Layer { digest: "", report: &layer, instruction: None }], b"{}", None).unknown;
        let problem = found.iter().find_map(|unknown| match unknown {
            Unknown::UnreadableExecutable { problem, .. } => Some(problem.as_str()),
            _ => None,
        });
        assert_eq!(problem.is_some(), expected.is_some(), "{mark:?} {found:?}");
        assert!(problem.unwrap_or_default().contains(expected.unwrap_or_default()), "{problem:?}");
    }
}

#[test]
fn honest_images_hide_nothing() {
    let Some(folder) = test_data() else { return skipped("honest_images_hide_nothing", "no test data") };
    for file in [
        "alpine-3.9.tar.gz",
        "alpine-3.10.tar.gz",
        "alpine-3.15.0.tar.gz",
        "app-go-scratch.oci.tar",
        "app-java.oci.tar",
        "app-node.oci.tar",
        "app-python.oci.tar",
        "app-rust-scratch.oci.tar",
        "debian-11.11-unpatched.oci.tar",
    ] {
        let path = folder.join("images/files").join(file);
        if !path.is_file() {
            skipped("honest_images_hide_nothing", &format!("no {file}"));
            continue;
        }
        for image in images(&path) {
            let walked = Walked::new(&image);
            let report = scan(&walked.layers(), &image.config, None);
            assert_eq!(report.unknown, [Unknown::NoAdvisoryData], "{file}");
        }
    }
}
