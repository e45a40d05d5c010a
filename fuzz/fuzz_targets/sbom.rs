//! Any bytes as an SBOM: what is accepted must be matched and explained.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::purl::Purl;
use scanner::sbom::{explain, parse, scan};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(inventory) = parse(bytes) {
        let report = scan(&inventory, None);
        assert!(!report.unknown.is_empty(), "nothing was asked, so nothing is known");
        explain(&inventory, None, "CVE-2026-1").expect("there is no file that could be corrupt");
    }
    if let Some(purl) = std::str::from_utf8(bytes).ok().and_then(Purl::parse) {
        assert!(purl.means(&purl), "a package URL means itself");
    }
});
