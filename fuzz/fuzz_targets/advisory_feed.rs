//! Any bytes as a document of any feed; what is accepted must build, open and answer.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use scanner::advisory::{Advisories, Builder, Ecosystem};
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind};
use scanner::report::ImagePackage;

fuzz_target!(|bytes: &[u8]| {
    let mut builder = Builder::new();
    if builder.add("fuzz", None, bytes).is_ok() {
        let file = builder.finish(1_795_392_000).expect("what was accepted builds");
        let advisories = Advisories::open(Arc::new(file)).expect("what was built opens");
        let told = advisories.sources().iter().flat_map(|source| &source.coverage).map(|it| &it.ecosystem);
        for ecosystem in told.chain([&Ecosystem::npm()]) {
            for name in ["a", "bash", "src:bash", "nodejs:16::nodejs"] {
                let entries = advisories.lookup(ecosystem, name).expect("what was built is sound");
                entries.for_each(|entry| drop(entry.expect("what was built is sound")));
            }
        }
        let system = Distribution {
            id: "rhel".to_owned(),
            version_id: Some("9".to_owned()),
            codename: None,
            pretty_name: None,
            repositories: vec!["a".to_owned(), "b-eus__9_DOT_2".to_owned()],
        };
        let package = Package::new(PackageKind::Rpm, "bash".to_owned(), "5.1-1.el9".to_owned());
        let package = ImagePackage { package, path: String::new(), layer: 0, owned: false };
        let matched = match_packages(Some(&system), &[package], Some(&advisories));
        assert!(matched.findings.iter().all(|finding| !finding.id.is_empty()));
    }
});
