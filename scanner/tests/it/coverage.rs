//! Each program in the final view has somebody who answers for it, or is counted as unexplained.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::Md5;
use scanner::image::{Layer, inventory, scan};
use scanner::inventory::Inventory;
use scanner::layer::LayerReport;
use scanner::report::Coverage;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::archive::Archive;
use crate::build::{Walked, images, test_data, walk};
use crate::skipped;

type Layers<'l> = &'l [&'l [&'l str]];

fn coverage(layers: Layers<'_>) -> Coverage {
    let reports: Vec<LayerReport> =
        layers.iter().map(|lines| walk(&Archive::default().lines(lines).end())).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    scan(&layers, b"{}", None).coverage
}

/// Files in each class: verified, owned, recognised, modified, unexplained.
fn files(coverage: &Coverage) -> [u64; 5] {
    let Coverage { verified, owned, recognised, modified, unexplained, .. } = coverage;
    [verified, owned, recognised, modified, unexplained].map(|sum| sum.files)
}

const STATUS: &str = "f var/lib/dpkg/status=Package: a\nStatus: install ok installed\nVersion: 1\n";
const LIST: &str = "f var/lib/dpkg/info/a.list=/usr/bin/a\n/bin/sh\n/usr/share/doc/a\n";
const APK: &str = "f lib/apk/db/installed=P:a\nV:1-r0\nF:usr/bin\nR:a\n\n";
const A: &str = "f usr/bin/a=\x7fELF one";
const OTHER: &str = "f usr/bin/a=\x7fELF two";
const SHELL: &str = "f bin/sh=\x7fELF sh";

#[test]
fn every_program_falls_into_one_class() {
    let script = "f app/run=#!/bin/sh -e\n";
    let env = "f app/run=#!/usr/bin/env python3\n";
    let node = "f app/node_modules/x/package.json={\"name\":\"x\",\"version\":\"1\"}";
    let addon = "f app/node_modules/x/build/x.node=\x7fELF";
    let gem = "f usr/lib/ruby/gems/3.1.0/gems/a-1/ext/a.so=\x7fELF";
    let specification =
        "f usr/lib/ruby/gems/3.1.0/specifications/a-1.gemspec=s.name = \"a\"\ns.version = \"1\"\n";
    let cases: &[(&str, Layers<'_>, [u64; 5])] = &[
        ("no program", &[&["f a=text", "f b=#!\n"]], [0, 0, 0, 0, 0]),
        ("of nobody", &[&[A, script]], [0, 0, 0, 0, 2]),
        ("installed by dpkg", &[&[STATUS, LIST, A]], [0, 1, 0, 0, 0]),
        ("installed by apk", &[&[APK, A]], [0, 1, 0, 0, 0]),
        ("and replaced", &[&[STATUS, LIST, A], &[OTHER]], [0, 0, 0, 1, 0]),
        ("and replaced, apk", &[&[APK, A], &[OTHER]], [0, 0, 0, 1, 0]),
        ("and deleted", &[&[STATUS, LIST, A], &["f usr/bin/.wh.a="]], [0, 0, 0, 0, 0]),
        ("listed by no package", &[&[LIST, A]], [0, 0, 0, 0, 1]),
        ("two names of one file", &[&[A, "h usr/bin/b->usr/bin/a"]], [0, 0, 0, 0, 1]),
        ("a script of an owned shell", &[&[STATUS, LIST, SHELL, script]], [0, 1, 1, 0, 0]),
        (
            "a script of a replaced shell",
            &[&[STATUS, LIST, SHELL], &["f bin/sh=\x7fELF x", script]],
            [0, 0, 0, 1, 1],
        ),
        ("a script without its shell", &[&[STATUS, LIST, env]], [0, 0, 0, 0, 1]),
        ("a part of a Node package", &[&[node, addon]], [0, 0, 1, 0, 0]),
        ("a part of an undescribed one", &[&[addon]], [0, 0, 0, 0, 1]),
        ("a part of a gem", &[&[specification, gem]], [0, 0, 1, 0, 0]),
    ];
    for (case, layers, expected) in cases {
        assert_eq!(files(&coverage(layers)), *expected, "{case}");
    }
}

#[test]
fn stated_digests_are_compared() {
    let digest = |content: &[u8]| URL_SAFE_NO_PAD.encode(Sha256::digest(content));
    let metadata = "f s/a-1.dist-info/METADATA=Name: a\nVersion: 1\n";
    let code = "f s/a/x.so=\x7fELF one";
    let record = |content: &[u8]| format!("f s/a-1.dist-info/RECORD=a/x.so,sha256={},8\n", digest(content));
    let (right, wrong) = (record(b"\x7fELF one"), record(b"\x7fELF two"));
    assert_eq!(files(&coverage(&[&[metadata, &right, code]])), [1, 0, 0, 0, 0]);
    assert_eq!(files(&coverage(&[&[metadata, &wrong, code]])), [0, 0, 0, 1, 0]);
    assert_eq!(files(&coverage(&[&[metadata, &right, code], &["f s/a/x.so=\x7fELF two"]])), [0, 0, 0, 1, 0]);
    // Written again, and the same.
    assert_eq!(files(&coverage(&[&[metadata, &right, code], &[code]])), [1, 0, 0, 0, 0]);
    // A record that no description stands beside is nobody's word.
    assert_eq!(files(&coverage(&[&[&right, code]])), [0, 0, 0, 0, 1]);
}

#[test]
fn what_dpkg_and_apk_state_is_compared() {
    let one = "f usr/bin/a=\x7fELF one";
    let digest = hex::encode(Md5::digest(b"\x7fELF one"));
    let md5s = format!("f var/lib/dpkg/info/a.md5sums={digest}  usr/bin/a\n");
    let apk = |content: &[u8]| {
        let digest = STANDARD.encode(Sha1::digest(content));
        format!("f lib/apk/db/installed=P:a\nV:1-r0\nF:usr/bin\nR:a\na:0:0:755\nZ:Q1{digest}\n\n")
    };
    let (right, wrong) = (apk(b"\x7fELF one"), apk(b"\x7fELF two"));
    let opt = ["f var/lib/dpkg/info/a.list=/opt/a\n", "f opt/a=\x7fELF one"];
    let opt_md5s = "f var/lib/dpkg/info/a.md5sums=00000000000000000000000000000000  opt/a\n";
    let cases: &[(&str, Layers<'_>, [u64; 5])] = &[
        ("as dpkg states it", &[&[STATUS, LIST, &md5s, one]], [1, 0, 0, 0, 0]),
        ("changed in the layer that installs it", &[&[STATUS, LIST, &md5s, OTHER]], [0, 0, 0, 1, 0]),
        ("whichever list comes first", &[&[STATUS, &md5s, LIST, OTHER]], [0, 0, 0, 1, 0]),
        ("written again, and the same", &[&[STATUS, LIST, &md5s, one], &[one]], [1, 0, 0, 0, 0]),
        ("changed later", &[&[STATUS, LIST, &md5s, one], &[OTHER]], [0, 0, 0, 1, 0]),
        ("of a package that is not installed", &[&[LIST, &md5s, one]], [0, 0, 0, 0, 1]),
        ("listed without a digest", &[&[STATUS, LIST, &md5s, SHELL]], [0, 1, 0, 0, 0]),
        ("where none is computed", &[&[STATUS, opt[0], opt_md5s, opt[1]]], [0, 1, 0, 0, 0]),
        ("as apk states it", &[&[&right, one]], [1, 0, 0, 0, 0]),
        ("changed in apk's layer", &[&[&wrong, one]], [0, 0, 0, 1, 0]),
        ("changed after apk", &[&[&right, one], &[OTHER]], [0, 0, 0, 1, 0]),
    ];
    for (case, layers, expected) in cases {
        assert_eq!(files(&coverage(layers)), *expected, "{case}");
    }
}

#[test]
fn the_largest_are_told_with_their_digest() {
    let big = format!("f big=\x7fELF{}", "x".repeat(5000));
    let found = coverage(&[&[STATUS, LIST, A], &[OTHER, &big]]);
    assert_eq!((found.unanswered().files, found.unanswered().bytes, found.total_bytes()), (2, 5012, 5012));
    let told: Vec<_> =
        found.largest.iter().map(|file| (file.path.as_str(), file.layer, file.modified)).collect();
    assert_eq!(told, [("big", 1, false), ("usr/bin/a", 1, true)]);
    assert_eq!(found.largest[1].sha256, hex::encode(Sha256::digest(b"\x7fELF two")));
}

#[test]
fn programs_of_real_images_are_explained() {
    let Some(folder) = test_data() else {
        return skipped("programs_of_real_images_are_explained", "no test data");
    };
    for (file, share_max) in [
        ("alpine-3.10.tar.gz", 0),
        ("alpine-3.15.0.tar.gz", 0),
        ("app-go-scratch.oci.tar", 0),
        ("debian-11.11-unpatched.oci.tar", 1),
    ] {
        let path = folder.join("images/files").join(file);
        if !path.is_file() {
            skipped("programs_of_real_images_are_explained", &format!("no {file}"));
            continue;
        }
        for image in images(&path) {
            let walked = Walked::new(&image);
            let found = scan(&walked.layers(), &image.config, None).coverage;
            assert!(found.total_bytes() > 500_000, "{file}: {found:?}");
            assert!(found.unanswered().bytes * 100 <= found.total_bytes() * share_max, "{file}: {found:#?}");
        }
    }
}

#[test]
fn programs_of_every_layer_are_told_by_digest() {
    let reports =
        [&[A, SHELL][..], &["f usr/bin/.wh.a="]].map(|lines| walk(&Archive::default().lines(lines).end()));
    let layers = reports.each_ref().map(|report| Layer { digest: "", report, instruction: None });
    let found = scan(&layers, b"{}", None).programs;
    let told: Vec<_> =
        found.iter().map(|it| (it.path.as_str(), it.layer, it.deleted_later, it.sha256.as_str())).collect();
    let [one, shell] =
        [&b"\x7fELF one"[..], b"\x7fELF sh"].map(|content| hex::encode(Sha256::digest(content)));
    let kept = Inventory::decode(&inventory(&layers, b"{}").encode()).expect("our own bytes");
    assert_eq!(kept.judge(None).programs, found, "an image that is judged again is not forgotten");
    assert_eq!(told, [("usr/bin/a", 0, true, one.as_str()), ("bin/sh", 0, false, shell.as_str())]);
}
