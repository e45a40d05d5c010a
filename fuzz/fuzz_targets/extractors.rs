//! Any bytes as each package database.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::extractors::all;

const PATHS: [&str; 11] = [
    "a.deps.json",
    "a.jar",
    "composer/installed.json",
    "etc/os-release",
    "lib/apk/db/installed",
    "node_modules/x/package.json",
    "specifications/x-1.gemspec",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/x",
    "var/lib/rpmmanifest/container-manifest-2",
    "x.dist-info/METADATA",
];

fuzz_target!(|bytes: &[u8]| {
    for path in PATHS {
        for extractor in all() {
            let _ = extractor.extract(path.as_bytes(), bytes);
        }
    }
});
