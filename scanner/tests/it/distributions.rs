//! What single distributions mean by their advisories.

use std::sync::Arc;

use scanner::advisory::{Advisories, Builder};
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::{ImagePackage, Unknown};
use serde_json::{Value, json};

fn advisories(documents: &[Value]) -> Advisories {
    let mut builder = Builder::new();
    for document in documents {
        builder.add("test", None, document.to_string().as_bytes()).expect("a known feed");
    }
    Advisories::open(Arc::new(builder.finish(1_800_000_000).expect("a file"))).expect("a good file")
}

fn system(id: &str, version: Option<&str>) -> Distribution {
    let version_id = version.map(str::to_owned);
    Distribution { id: id.to_owned(), version_id, codename: None, pretty_name: None }
}

fn installed(kind: PackageKind, name: &str, source: &str, version: &str) -> ImagePackage {
    let source = Some(SourcePackage { name: source.to_owned(), version: version.to_owned() });
    let package = Package { source, ..Package::new(kind, name.to_owned(), version.to_owned()) };
    ImagePackage { package, path: "a database".to_owned(), layer: 0, owned: false }
}

/// `id package fix` of each finding, and whether all was judged.
fn matched(of: &Distribution, packages: &[ImagePackage], known: &Advisories) -> (Vec<String>, bool) {
    let matched = match_packages(Some(of), packages, Some(known));
    let line = |finding: &scanner::finding::Finding| {
        let fixed = finding.fixed_version.as_deref().unwrap_or("-");
        format!("{} {} {fixed}", finding.id, finding.package.name)
    };
    let uncovered = |unknown: &Unknown| matches!(unknown, Unknown::NoAdvisories { .. });
    (matched.findings.iter().map(line).collect(), !matched.unknown.iter().any(uncovered))
}

#[test]
fn wolfi_and_chainguard_are_judged_by_origin_and_each_by_its_own_database() {
    let secdb = |url: &str, fixed: &str| {
        json!({
            "apkurl": "{{urlprefix}}/{{reponame}}/{{arch}}", "archs": ["x86_64"], "reponame": "os", "urlprefix": url,
            "packages": [{ "pkg": { "name": "openssl", "secfixes": {
                fixed: ["CVE-2026-0001"], "0": ["CVE-2026-0002"],
            } } }],
        })
    };
    let known = advisories(&[
        secdb("https://packages.wolfi.dev", "3.3.0-r2"),
        secdb("https://packages.cgr.dev/chainguard", "3.3.0-r9"),
    ]);
    let packages = [
        installed(PackageKind::Apk, "libssl3", "openssl", "3.3.0-r1"),
        installed(PackageKind::Apk, "openssl-doc", "other", "3.3.0-r1"),
    ];
    // The versions of `VERSION_ID` are dates of the image; the distributions have no releases.
    let wolfi = system("wolfi", Some("20230201"));
    assert_eq!(matched(&wolfi, &packages, &known), (vec!["CVE-2026-0001 libssl3 3.3.0-r2".to_owned()], true));
    let chainguard = system("chainguard", Some("20230214"));
    assert_eq!(
        matched(&chainguard, &packages, &known),
        (vec!["CVE-2026-0001 libssl3 3.3.0-r9".to_owned()], true)
    );
    let fixed = [installed(PackageKind::Apk, "libssl3", "openssl", "3.3.0-r2")];
    assert_eq!(matched(&wolfi, &fixed, &known), (vec![], true));
}

fn ubuntu(ecosystem: &str, id: &str, fixed: Option<&str>) -> Value {
    let events = match fixed {
        Some(fixed) => json!([{ "introduced": "0" }, { "fixed": fixed }]),
        None => json!([{ "introduced": "0" }]),
    };
    let affected = |name: String| {
        json!({
            "package": { "ecosystem": ecosystem, "name": name },
            "ranges": [{ "type": "ECOSYSTEM", "events": events }],
        })
    };
    // As many packages as make a feed of a stray document.
    let others = (0..60).map(|number| affected(format!("fill-{number}")));
    let all: Vec<Value> = std::iter::once(affected("netty".to_owned())).chain(others).collect();
    json!({ "id": id, "modified": "2026-01-01T00:00:00Z", "affected": all })
}

#[test]
fn a_fix_that_ubuntu_sells_is_no_fix() {
    let known = advisories(&[
        ubuntu("Ubuntu:22.04:LTS", "UBUNTU-CVE-2026-0001", None),
        ubuntu("Ubuntu:Pro:22.04:LTS", "UBUNTU-CVE-2026-0001", Some("1:4.1.48-4ubuntu0.1~esm1")),
    ]);
    let jammy = system("ubuntu", Some("22.04"));
    let open = [installed(PackageKind::Deb, "libnetty-java", "netty", "1:4.1.48-4")];
    assert_eq!(matched(&jammy, &open, &known), (vec!["CVE-2026-0001 libnetty-java -".to_owned()], true));
    // Another release's advisories are nothing to this one.
    let noble = system("ubuntu", Some("24.04"));
    assert_eq!(matched(&noble, &open, &known), (vec![], false));
}

#[test]
fn a_release_that_nobody_knows_is_not_judged() {
    let known = advisories(&[ubuntu("Ubuntu:22.04:LTS", "UBUNTU-CVE-2026-0001", Some("2"))]);
    let package = |kind| [installed(kind, "netty", "netty", "1")];
    for (id, version) in
        [("ubuntu", None), ("ubuntu", Some("99.10")), ("mint", Some("22.04")), ("arch", None)]
    {
        for kind in [PackageKind::Deb, PackageKind::Rpm, PackageKind::Alpm, PackageKind::Apk] {
            assert_eq!(
                matched(&system(id, version), &package(kind), &known),
                (vec![], false),
                "{id} {kind:?}"
            );
        }
    }
}
