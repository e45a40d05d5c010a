//! What the policy answers on each rung of the ladder by which an image hides its packages.

use std::sync::{Arc, LazyLock};

use scanner::advisory::{Advisories, Builder};
use scanner::image::{Layer, scan};
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;

use super::super::evidence::ImageFacts;
use super::*;

/// Files of one layer: path and content; `->` begins a link's target.
type Files<'f> = &'f [(&'f str, &'f str)];

static ADVISORIES: LazyLock<Advisories> = LazyLock::new(|| {
    let mut builder = Builder::new();
    for ecosystem in ["Debian:12", "npm", "Alpine:v3.20"] {
        for number in 0..60 {
            let document = serde_json::json!({
                "id": format!("TEST-{ecosystem}-{number}"), "modified": "2026-01-01T00:00:00Z",
                "affected": [{ "package": { "ecosystem": ecosystem, "name": format!("fill-{number}") },
                    "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "9" }] }] }],
            });
            builder.add("test", None, document.to_string().as_bytes()).unwrap();
        }
    }
    Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap()
});

fn walk(files: Files<'_>) -> LayerReport {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        if let Some(target) = content.strip_prefix("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }
    let mut walk = LayerWalk::new(Limits::default());
    walk.feed(&archive.into_inner().unwrap());
    walk.finish()
}

fn facts(layers: &[Files<'_>]) -> ImageFacts {
    let reports: Vec<LayerReport> = layers.iter().map(|files| walk(files)).collect();
    let layers: Vec<_> =
        reports.iter().map(|report| Layer { digest: "", report, instruction: None }).collect();
    let scan = scan(&layers, b"{}", Some(&ADVISORIES));
    let diff_ids = scan.layers.iter().filter_map(|layer| layer.diff_id.clone()).collect();
    ImageFacts { scan: Arc::new(scan), diff_ids, ..clean() }
}

const STATUS: &str = "Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u5\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u4\n";
const SHORT: &str = "Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u5\n";
const GROUND: Files<'_> = &[
    ("etc/os-release", "ID=debian\nVERSION_ID=12\n"),
    ("var/lib/dpkg/status", STATUS),
    ("var/lib/dpkg/info/libc6:amd64.list", "/lib/x86_64-linux-gnu/libc.so.6\n"),
    ("lib/x86_64-linux-gnu/libc.so.6", "ELF"),
    ("app/node_modules/x/package.json", "{\"name\":\"x\",\"version\":\"1.0.0\"}"),
    ("app/node_modules/x/index.js", "1"),
];

#[test]
fn no_rung_of_the_evasion_ladder_is_admitted() {
    let evidence = signed(facts(&[GROUND]));
    assert_eq!(refused(Checkpoint::Push, &evidence, &policy("")), [""; 0], "the ground");
    let packed = format!("\u{7f}ELF\u{2}{}UPX!", "-".repeat(100));
    let without_database: Files<'_> = &[GROUND[0], GROUND[3], GROUND[4], GROUND[5]];
    let moved: Files<'_> = &[GROUND[0], ("opt/dpkg/status", SHORT)];
    let linked: Files<'_> =
        &[GROUND[0], ("opt/dpkg/status", SHORT), ("var/lib/dpkg/status", "->/opt/dpkg/status")];
    let rungs: [(&str, &[Files<'_>], &str); 12] = [
        (
            "os-release edited",
            &[GROUND, &[("etc/os-release", "ID=debian\nVERSION_ID=13\n")]],
            "were built for `debian 12`",
        ),
        (
            "os-release of another system",
            &[GROUND, &[("etc/os-release", "ID=alpine\nVERSION_ID=3.20\n")]],
            "were built for `debian 12`",
        ),
        ("os-release removed", &[GROUND, &[("etc/.wh.os-release", "")]], "does not say which distribution"),
        (
            "database deleted",
            &[GROUND, &[("var/lib/.wh.dpkg", "")]],
            "of 2 packages was deleted or emptied, while 1 of",
        ),
        (
            "database emptied",
            &[GROUND, &[("var/lib/dpkg/status", "")]],
            "of 2 packages was deleted or emptied, while 1 of",
        ),
        (
            "database shortened",
            &[GROUND, &[("var/lib/dpkg/status", SHORT)]],
            "1 packages, `libc6` among them, are no longer listed",
        ),
        ("database cut", &[GROUND, &[("var/lib/dpkg/status", &STATUS[..STATUS.len() - 20])]], "is broken"),
        ("database moved", &[moved], "where no package manager looks"),
        ("database behind a link", &[linked], "reached through a link to `opt/dpkg/status`"),
        (
            "description deleted",
            &[GROUND, &[("app/node_modules/x/.wh.package.json", "")]],
            "hides what is installed",
        ),
        ("executable packed", &[GROUND, &[("app/run", &packed)]], "packed by UPX"),
        ("flattened without a database", &[without_database], "no package explains the C library"),
    ];
    for (rung, layers, told) in rungs {
        let evidence = signed(facts(layers));
        for checkpoint in ALL {
            let Verdict::Deny(denial) = decide(checkpoint, &evidence, &policy("")) else {
                panic!("{rung}: admitted")
            };
            let named = denial
                .reasons
                .iter()
                .any(|reason| reason.check == "unknown" && reason.message.contains(told));
            assert!(named, "{rung}: {:?}", denial.reasons);
        }
    }
}
