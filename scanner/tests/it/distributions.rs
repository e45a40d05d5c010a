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
    Distribution {
        id: id.to_owned(),
        version_id,
        codename: None,
        pretty_name: None,
        repositories: Vec::new(),
    }
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

fn spans(ecosystem: &str, name: &str, fixed: Option<&str>) -> Value {
    let events = match fixed {
        Some(fixed) => json!([{ "introduced": "0" }, { "fixed": fixed }]),
        None => json!([{ "introduced": "0" }]),
    };
    json!({
        "package": { "ecosystem": ecosystem, "name": name },
        "ranges": [{ "type": "ECOSYSTEM", "events": events }],
    })
}

/// What one document says of netty in several pockets, beside as many packages as make a feed of a stray document.
fn ubuntu(id: &str, pockets: &[(&str, Option<&str>)]) -> Value {
    let others = (0..60).map(|number| spans(pockets[0].0, &format!("fill-{number}"), None));
    let told = pockets.iter().map(|(pocket, fixed)| spans(pocket, "netty", *fixed));
    let all: Vec<Value> = told.chain(others).collect();
    json!({ "id": id, "modified": "2026-01-01T00:00:00Z", "affected": all })
}

/// `id version-or-reason` of the first finding.
fn mended(of: &Distribution, package: ImagePackage, known: &Advisories) -> Option<String> {
    let matched = match_packages(Some(of), &[package], Some(known));
    let finding = matched.findings.first()?;
    let why = finding.unfixed.as_ref().map(ToString::to_string);
    let fix = finding.fixed_version.clone().or(why);
    Some(format!("{} {}", finding.id, fix.unwrap_or_else(|| "-".to_owned())))
}

#[test]
fn a_fix_that_ubuntu_sells_is_no_fix_and_is_told() {
    const SOLD: &str = "CVE-2026-0001 fixed in 1:4.1.48-4ubuntu0.1~esm1 of Ubuntu Pro only";
    let (main, pro, esm) = ("Ubuntu:18.04:LTS", "Ubuntu:Pro:18.04:LTS", Some("1:4.1.48-4ubuntu0.1~esm1"));
    let netty = |version: &str| installed(PackageKind::Deb, "libnetty-java", "netty", version);
    let bionic = system("ubuntu", Some("18.04"));
    // Told to be open for everyone; told only of the pocket that is sold; fixed for everyone too.
    for (pockets, expected) in [
        (vec![(main, None), (pro, esm)], Some(SOLD)),
        (vec![(pro, esm), (main, None)], Some(SOLD)),
        (vec![(pro, esm)], Some(SOLD)),
        (vec![(main, Some("1:4.1.48-4ubuntu0.2")), (pro, esm)], Some("CVE-2026-0001 1:4.1.48-4ubuntu0.2")),
        (vec![(main, None), (pro, None)], Some("CVE-2026-0001 -")),
    ] {
        let known = advisories(&[ubuntu("UBUNTU-CVE-2026-0001", &pockets)]);
        let found = mended(&bionic, netty("1:4.1.48-4"), &known);
        assert_eq!(found.as_deref(), expected, "{pockets:?}");
    }
    let known = advisories(&[ubuntu("UBUNTU-CVE-2026-0001", &[(main, None), (pro, esm)])]);
    // Who has bought it is not affected, and who has bought an older one can have the newer.
    assert_eq!(mended(&bionic, netty("1:4.1.48-4ubuntu0.1~esm1"), &known), None);
    let bought = mended(&bionic, netty("1:4.1.48-4ubuntu0.1~esm0"), &known);
    assert_eq!(bought.as_deref(), Some("CVE-2026-0001 1:4.1.48-4ubuntu0.1~esm1"));
    // Another release's advisories are nothing to this one.
    let open = [netty("1:4.1.48-4")];
    assert_eq!(matched(&system("ubuntu", Some("24.04")), &open, &known), (vec![], false));
}

#[test]
fn a_fix_of_suses_long_support_is_told_as_such() {
    let sold = ("SUSE:Linux Enterprise Server 15 SP3-LTSS", Some("3-1"));
    let known = advisories(&[ubuntu("SUSE-SU-2026:1-1", &[sold])]);
    let found = mended(
        &system("sles", Some("15.3")),
        installed(PackageKind::Rpm, "netty-libs", "netty", "2-1"),
        &known,
    );
    assert_eq!(found.as_deref(), Some("SUSE-SU-2026:1-1 fixed in 3-1 of SUSE LTSS only"));
}

#[test]
fn builds_of_their_own_are_judged_by_their_own_advisories_alone() {
    let oracle = |package: &str, id: &str, fixed: &str| {
        let mut document = ubuntu(id, &[("Oracle Linux:8", None)]);
        document["affected"][0] = spans("Oracle Linux:8", package, Some(fixed));
        document
    };
    let stock = || oracle("glibc", "CVE-2026-0001", "2.28-225.el8");
    let ksplice = || oracle("glibc", "CVE-2026-0001", "2:2.28-225.ksplice1.el8");
    let fips = || oracle("gnutls", "CVE-2026-0002", "10:3.6.16-6.el8_fips");
    let mut own = ksplice();
    own["id"] = json!("CVE-2026-0003");
    let known = advisories(&[stock(), own, fips()]);
    let ol = system("ol", Some("8.9"));
    let glibc = |version: &str| installed(PackageKind::Rpm, "glibc", "glibc", version);
    let ids = |version: &str| matched(&ol, &[glibc(version)], &known).0;
    assert_eq!(ids("2.28-164.el8"), ["CVE-2026-0001 glibc 2.28-225.el8"]);
    assert_eq!(ids("2:2.28-164.ksplice1.el8"), ["CVE-2026-0003 glibc 2:2.28-225.ksplice1.el8"]);
    assert_eq!(matched(&ol, &[glibc("2:2.28-225.ksplice1.el8")], &known), (vec![], true));
    // Nobody says anything about this build of it: that is unknown, and not clean.
    assert_eq!(matched(&ol, &[glibc("10:2.28-1.el8_fips")], &known), (vec![], false));
    let gnutls = |version: &str| installed(PackageKind::Rpm, "gnutls", "gnutls", version);
    let found = matched(&ol, &[gnutls("10:3.6.16-4.0.1.el8_fips")], &known);
    assert_eq!(found.0, ["CVE-2026-0002 gnutls 10:3.6.16-6.el8_fips"]);
    assert_eq!(matched(&ol, &[gnutls("3.6.16-4.el8")], &known), (vec![], true));
}

#[test]
fn a_release_that_nobody_knows_is_not_judged() {
    let known = advisories(&[ubuntu("UBUNTU-CVE-2026-0001", &[("Ubuntu:22.04:LTS", Some("2"))])]);
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
