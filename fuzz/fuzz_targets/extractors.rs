//! Any bytes as each package database.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::extractors::all;

const PATHS: [&str; 21] = [
    "a.deps.json",
    "a.jar",
    "a/ebin/a.app",
    "composer/installed.json",
    "conda-meta/a.json",
    "etc/os-release",
    "go/VERSION",
    "java/release",
    "lib/apk/db/installed",
    "library/a/DESCRIPTION",
    "node_modules/x/dist/y/package.json",
    "node_modules/x/package.json",
    "opt/bitnami/.spdx-a.spdx",
    "specifications/x-1.gemspec",
    "usr/lib/opkg/status",
    "var/lib/chisel/manifest.wall",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/x",
    "var/lib/rpmmanifest/container-manifest-2",
    "x.dist-info/METADATA",
    "x.dist-info/RECORD",
];

fuzz_target!(|bytes: &[u8]| {
    for path in PATHS {
        for extractor in all() {
            let _ = extractor.extract(path.as_bytes(), bytes);
        }
    }
});
