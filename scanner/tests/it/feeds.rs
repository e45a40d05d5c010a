//! Feeds of vendors and of what is exploited: what they say is found, and what is broken is refused.

#![expect(clippy::unwrap_used, reason = "a test and its helpers fail loudly")]

use std::sync::Arc;

use proptest::prelude::*;
use scanner::advisory::{Added, Advisories, Builder, FeedError, FeedKind};
use scanner::finding::{Decimal, Finding};
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::{ImagePackage, Unknown};
use serde_json::{Value, json};

use crate::build::test_data;
use crate::skipped;

/// 2026-11-23.
const NOW: i64 = 1_795_392_000;

fn build(documents: &[&[u8]]) -> Advisories {
    let mut builder = Builder::new();
    for document in documents {
        builder.add("test", None, document).unwrap();
    }
    Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap()
}

fn add(document: &str) -> Result<Added, FeedError> {
    Builder::new().add("test", None, document.as_bytes())
}

fn system(id: &str, version: &str, repositories: &[&str]) -> Distribution {
    Distribution {
        id: id.to_owned(),
        version_id: Some(version.to_owned()),
        codename: None,
        pretty_name: None,
        repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn rpm(name: &str, version: &str, source: &str, source_version: &str, module: Option<&str>) -> ImagePackage {
    let source = SourcePackage { name: source.to_owned(), version: source_version.to_owned() };
    let package = Package {
        source: Some(source),
        module: module.map(str::to_owned),
        ..Package::new(PackageKind::Rpm, name.to_owned(), version.to_owned())
    };
    ImagePackage { package, path: "var/lib/rpm/rpmdb.sqlite".to_owned(), layer: 0, owned: false }
}

fn found(of: &Distribution, package: ImagePackage, known: &Advisories) -> Vec<Finding> {
    match_packages(Some(of), &[package], Some(known)).findings
}

/// `id fix-or-reason` of each finding.
fn told(of: &Distribution, package: ImagePackage, known: &Advisories) -> Vec<String> {
    let line = |finding: Finding| {
        let why = finding.unfixed.as_ref().map(ToString::to_string);
        let fix = finding.fixed_version.or(why).unwrap_or_else(|| "-".to_owned());
        format!("{} {fix}", finding.id)
    };
    found(of, package, known).into_iter().map(line).collect()
}

const KEV: &str = r#"{"title":"CISA Catalog","catalogVersion":"2026.11.01","dateReleased":"2026-11-01T10:00:00.0Z","count":2,
    "vulnerabilities":[
    {"cveID":"CVE-2026-0001","vendorProject":"A","product":"B","vulnerabilityName":"C","dateAdded":"2026-10-30",
     "shortDescription":"d","requiredAction":"e","dueDate":"2026-11-20","knownRansomwareCampaignUse":"Known","notes":""},
    {"cveID":"CVE-2026-0009","dateAdded":"2026-10-01","knownRansomwareCampaignUse":"Unknown"}]}"#;
const EPSS: &str = "#model_version:v2025.03.14,score_date:2026-11-20T12:55:00Z\ncve,epss,percentile\n\
    CVE-2026-0001,0.94432,0.99977\nCVE-2026-0002,0.00042,0.05\n";

fn npm(id: &str, aliases: &[&str], package: &str) -> Vec<u8> {
    json!({
        "id": id, "aliases": aliases, "modified": "2026-01-01T00:00:00Z",
        "affected": [{ "package": { "ecosystem": "npm", "name": package } }],
    })
    .to_string()
    .into_bytes()
}

#[test]
fn what_is_exploited_and_how_likely_reaches_the_finding_by_any_name() {
    let documents = [
        npm("GHSA-1", &[], "a"),
        npm("PYSEC-1", &["GHSA-1", "CVE-2026-0001"], "z"),
        npm("CVE-2026-0002", &[], "b"),
    ];
    let mut all: Vec<&[u8]> = vec![KEV.as_bytes(), EPSS.as_bytes()];
    all.extend(documents.iter().map(Vec::as_slice));
    let known = build(&all);
    let finding = |name: &str| {
        let package = Package::new(PackageKind::Npm, name.to_owned(), "1.0.0".to_owned());
        let package = ImagePackage { package, path: "a".to_owned(), layer: 0, owned: false };
        match_packages(None, &[package], Some(&known)).findings.remove(0)
    };
    let exploited = finding("a");
    let since = exploited.risk.exploited.unwrap();
    assert_eq!((since.since, since.ransomware), (1_793_318_400, true), "2026-10-30");
    let epss = exploited.risk.epss.unwrap();
    assert_eq!(
        (epss.probability, epss.percentile),
        (Decimal::parse("0.94432").unwrap(), Decimal::parse("0.99977").unwrap())
    );
    let quiet = finding("b");
    assert_eq!(quiet.risk.exploited, None);
    assert_eq!(quiet.risk.epss.unwrap().probability, Decimal::parse("0.00042").unwrap());

    let json = serde_json::to_value(&exploited).unwrap();
    assert_eq!(json["epss"], json!({ "probability": 0.94432, "percentile": 0.99977 }));
    assert_eq!(json["exploited"], json!({ "since": 1_793_318_400, "ransomware": true }));
    assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), exploited);
}

#[test]
fn how_new_predictions_are_is_no_age_of_advisories() {
    let known = build(&[KEV.as_bytes(), EPSS.as_bytes(), &npm("GHSA-1", &[], "a")]);
    let revision = known.revision();
    // 2026-01-01, and the days of the catalogue and of the scores.
    assert_eq!(revision.newest, 1_767_225_600);
    assert!(revision.exploited.is_some() && revision.scored.is_some());
    let alone = build(&[KEV.as_bytes()]).revision();
    assert_eq!((alone.newest, alone.exploited, alone.scored), (0, Some(1_793_527_200), None));
    let without = build(&[&npm("GHSA-1", &[], "a")]).revision();
    assert_eq!((without.exploited, without.scored), (None, None));
}

#[test]
fn broken_catalogues_and_predictions_are_refused() {
    let entry = r#"{"cveID":"CVE-2026-0001","dateAdded":"2026-10-30"}"#;
    assert_eq!(add(entry).unwrap().kind, FeedKind::Kev, "one entry by itself");
    let answer = r#"{"status":"OK","status-code":200,"data":[{"cve":"CVE-2026-1","epss":"0.5","percentile":"0.9","date":"2026-11-20"}]}"#;
    assert_eq!(add(answer).unwrap().kind, FeedKind::Epss);
    for document in [
        entry.replace("2026-10-30", "soon"),
        KEV.replace("2026-10-01", ""),
        answer.replace("0.5", "1.5"),
        answer.replace("\"0.9\"", "0.9"),
    ] {
        assert!(matches!(add(&document), Err(FeedError::Malformed { .. })), "{document}");
    }
    for document in [
        EPSS.replace("0.94432", "1.94432"),
        EPSS.replace(",0.99977", ""),
        EPSS.replace("CVE-2026-0002", "GHSA-2"),
        EPSS[..EPSS.len() - 6].to_owned(),
    ] {
        assert!(matches!(add(&document), Err(FeedError::Broken { kind: FeedKind::Epss, .. })), "{document}");
    }
}

#[test]
fn the_whole_catalogue_is_read() {
    let test = "the_whole_catalogue_is_read";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let plain = zstd::decode_all(&std::fs::read(data.join("vuln/kev.jsonl.zst")).unwrap()[..]).unwrap();
    let mut builder = Builder::new();
    let lines = builder.add_lines("kev", None, &plain).unwrap();
    assert_eq!((lines.documents, lines.unrecognised), (1404, 0));
    let known = Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap();
    assert_eq!(known.sources()[0].exploited, 1404);
    assert_eq!(known.revision().exploited, Some(1_756_080_000), "2025-08-25, the catalogue's day");
}

/// One document of Red Hat's form: products by id and CPE, relationships by component, and statuses.
fn vex(cve: &str, statuses: &Value, remediations: &Value) -> Value {
    let product = |id: &str, cpe: &str| {
        json!({ "category": "product_name", "name": id, "product": {
        "name": id, "product_id": id, "product_identification_helper": { "cpe": cpe } } })
    };
    let component = |id: &str, purl: &str| {
        json!({ "category": "product_version", "name": id, "product": {
        "name": id, "product_id": id, "product_identification_helper": { "purl": purl } } })
    };
    let inside = |reference: &str, place: &str| {
        json!({
        "category": "default_component_of", "product_reference": reference, "relates_to_product_reference": place,
        "full_product_name": { "name": "-", "product_id": format!("{place}:{reference}") } })
    };
    let components = [
        component("bash-0:5.1.8-9.el9.src", "pkg:rpm/redhat/bash@5.1.8-9.el9?arch=src"),
        component("bash-0:5.1.8-9.el9.x86_64", "pkg:rpm/redhat/bash@5.1.8-9.el9?arch=x86_64"),
        component("bash-0:5.1.8-6.el9_2.1.src", "pkg:rpm/redhat/bash@5.1.8-6.el9_2.1?arch=src"),
        component("lone-libs-2:1.0-2.el9.x86_64", "pkg:rpm/redhat/lone-libs@1.0-2.el9?arch=x86_64"),
        component("bash", "pkg:rpm/redhat/bash?arch=src"),
        component("kernel", "pkg:rpm/redhat/kernel?arch=src"),
        component("vim", "pkg:rpm/redhat/vim?arch=src"),
        component("vim-data", "pkg:rpm/redhat/vim-data"),
        component("zlib", "pkg:rpm/redhat/zlib?arch=src"),
        component("nodejs:18/nodejs", "pkg:rpm/redhat/nodejs?arch=src&rpmmod=nodejs:18"),
        component(
            "nodejs-1:16.20-1.module+el9.2.0+3.src",
            "pkg:rpm/redhat/nodejs@16.20-1.module%2Bel9.2.0%2B3?arch=src",
        ),
        component("nodejs:16:9020020230301:abc", "pkg:rpmmod/redhat/nodejs@16:9020020230301:abc"),
        component("ose-cli", "pkg:oci/ose-cli?repository_url=registry.example/openshift4/ose-cli"),
    ];
    let places = ["BaseOS-9.4.0", "BaseOS-9.2.0.EUS", "red_hat_enterprise_linux_9"];
    let mut relationships: Vec<Value> = Vec::new();
    for place in places {
        let ids = components.iter().map(|it| it["name"].as_str().unwrap());
        relationships.extend(ids.map(|id| inside(id, place)));
    }
    let module = "BaseOS-9.4.0:nodejs:16:9020020230301:abc";
    relationships.push(inside("nodejs-1:16.20-1.module+el9.2.0+3.src", module));
    json!({
        "document": { "category": "csaf_vex", "title": "a: b", "aggregate_severity": { "text": "Moderate" },
            "tracking": { "id": cve, "current_release_date": "2026-02-03T00:00:00+00:00" } },
        "product_tree": {
            "branches": [
                { "category": "vendor", "name": "Red Hat", "branches": [
                    { "category": "product_family", "name": "RHEL", "branches": [
                        product("BaseOS-9.4.0", "cpe:/o:redhat:enterprise_linux:9::baseos"),
                        product("BaseOS-9.2.0.EUS", "cpe:/o:redhat:rhel_eus:9.2::baseos"),
                        product("red_hat_enterprise_linux_9", "cpe:/o:redhat:enterprise_linux:9"),
                    ] },
                    { "category": "architecture", "name": "x86_64", "branches": components },
                ] },
            ],
            "relationships": relationships,
        },
        "vulnerabilities": [{
            "cve": cve, "title": "bash: a problem", "product_status": statuses, "remediations": remediations,
            "scores": [{ "cvss_v3": { "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "baseScore": 1.0 } }],
            "threats": [{ "category": "impact", "details": "Low", "product_ids": ["red_hat_enterprise_linux_9:vim"] }],
        }],
    })
}

/// Red Hat's advisories of the tests, with enough packages to cover the release.
fn red_hat(documents: &[Value]) -> Advisories {
    let mut builder = Builder::new();
    let fill = (0..60).map(|number| {
        json!({ "id": format!("RHSA-2026:{number}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
            "package": { "ecosystem": "Red Hat:enterprise_linux:9::baseos", "name": format!("fill-{number}") } }] })
    });
    for document in documents.iter().cloned().chain(fill) {
        builder.add("redhat", None, document.to_string().as_bytes()).unwrap();
    }
    Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap()
}

#[test]
fn statuses_of_red_hat_are_findings_with_their_reasons() {
    let main = "red_hat_enterprise_linux_9";
    let known = red_hat(&[vex(
        "CVE-2026-0001",
        &json!({
            "fixed": ["BaseOS-9.4.0:bash-0:5.1.8-9.el9.src", "BaseOS-9.4.0:bash-0:5.1.8-9.el9.x86_64",
                "BaseOS-9.4.0:lone-libs-2:1.0-2.el9.x86_64",
                "BaseOS-9.4.0:nodejs:16:9020020230301:abc:nodejs-1:16.20-1.module+el9.2.0+3.src"],
            "known_affected": [format!("{main}:kernel"), format!("{main}:vim"), format!("{main}:nodejs:18/nodejs"),
                format!("{main}:ose-cli"), "of no relationship"],
            "under_investigation": [format!("{main}:zlib")],
            "known_not_affected": [format!("{main}:vim-data")],
        }),
        &json!([
            { "category": "no_fix_planned", "details": "Will not fix", "product_ids": [format!("{main}:vim")] },
            { "category": "none_available", "details": "Fix deferred", "product_ids": [format!("{main}:kernel")] },
            { "category": "no_fix_planned", "details": "Out of support scope", "product_ids": [format!("{main}:nodejs:18/nodejs")] },
        ]),
    )]);
    let rhel = system("rhel", "9.4", &[]);
    let one = |name: &str, version: &str, source: &str, module: Option<&str>| {
        told(&rhel, rpm(name, version, source, version, module), &known)
    };
    assert_eq!(one("bash", "5.1.8-8.el9", "bash", None), ["CVE-2026-0001 5.1.8-9.el9"]);
    assert_eq!(one("bash-doc", "5.1.8-8.el9", "bash", None), ["CVE-2026-0001 5.1.8-9.el9"], "by its source");
    assert!(one("bash", "5.1.8-9.el9", "bash", None).is_empty());
    assert_eq!(
        one("lone-libs", "2:1.0-1.el9", "lone", None),
        ["CVE-2026-0001 2:1.0-2.el9"],
        "no source is listed"
    );
    assert_eq!(
        one("kernel-core", "5.14.0-1.el9", "kernel", None),
        ["CVE-2026-0001 its vendor defers the fix"]
    );
    assert_eq!(one("vim-minimal", "8-1.el9", "vim", None), ["CVE-2026-0001 its vendor will not fix it"]);
    assert!(one("vim-data", "8-1.el9", "vim", None).is_empty(), "told apart from its source");
    let zlib = one("zlib", "1.2-1.el9", "zlib", None);
    assert!(zlib[0].contains("still investigates"), "{zlib:?}");

    let (old, new) = ("1:16.1-1.module+el9.1.0+1", "1:16.20-1.module+el9.2.0+3");
    let stream = Some("nodejs:16");
    assert_eq!(one("nodejs", old, "nodejs", stream), [format!("CVE-2026-0001 {new}")]);
    assert!(one("nodejs", new, "nodejs", stream).is_empty());
    let other = one("nodejs", "1:18.1-1.module+el9.1.0+1", "nodejs", Some("nodejs:18"));
    assert_eq!(other, ["CVE-2026-0001 not fixed: out of its vendor's support"]);
    assert!(one("nodejs", "1:20.1-1.module+el9.1.0+1", "nodejs", Some("nodejs:20")).is_empty());

    let rated = |name: &str| found(&rhel, rpm(name, "1-1", name, "1-1", None), &known).remove(0);
    let bash = rated("bash");
    assert_eq!(format!("{:?} {:?}", bash.severity, bash.risk.severity_source), "Medium Some(\"redhat\")");
    assert_eq!(
        bash.risk.cvss.unwrap().score,
        Decimal::parse("9.8").unwrap(),
        "computed, not taken from `baseScore`"
    );
    assert_eq!(format!("{:?}", rated("vim").severity), "Low", "rated by product");
    // CentOS Linux rebuilt these packages; Stream did not.
    for (release, judged) in [("7", false), ("9", false)] {
        let matched = match_packages(
            Some(&system("centos", release, &[])),
            &[rpm("bash", "5.1.8-8.el9", "bash", "5.1.8-8.el9", None)],
            Some(&known),
        );
        assert_eq!((matched.findings.is_empty(), matched.unknown.is_empty()), (true, judged), "{release}");
    }
}

#[test]
fn the_repositories_of_an_image_say_which_fixes_it_gets() {
    let known = red_hat(&[
        vex(
            "CVE-2026-0001",
            &json!({ "fixed": ["BaseOS-9.4.0:bash-0:5.1.8-9.el9.src", "BaseOS-9.2.0.EUS:bash-0:5.1.8-6.el9_2.1.src"] }),
            &json!([]),
        ),
        vex("CVE-2026-0002", &json!({ "fixed": ["BaseOS-9.4.0:bash-0:5.1.8-9.el9.src"] }), &json!([])),
        json!({ "data": {
            "rhel-9-for-x86_64-baseos-rpms": { "cpes": ["cpe:/o:redhat:enterprise_linux:9::baseos"] },
            "rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_2": { "cpes": ["cpe:/o:redhat:rhel_eus:9.2::baseos"] },
            "of-others": { "cpes": ["cpe:/o:example:enterprise_linux:9", "nonsense"] },
        } }),
    ]);
    let main = "rhel-9-for-x86_64-baseos-rpms";
    let eus = "rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_2";
    let guessed = "rhel-9-for-aarch64-appstream-eus-rpms__9_DOT_2";
    let elsewhere = "CVE-2026-0002 fixed in 5.1.8-9.el9 of redhat:9 only";
    let both = ["CVE-2026-0001 5.1.8-9.el9", "CVE-2026-0002 5.1.8-9.el9"];
    for (repositories, version, expected) in [
        (vec![], "5.1.8-6.el9", both.to_vec()),
        (vec![main], "5.1.8-6.el9", both.to_vec()),
        (vec!["of-others", "unknown"], "5.1.8-6.el9", both.to_vec()),
        (vec![eus], "5.1.8-6.el9", vec!["CVE-2026-0001 5.1.8-6.el9_2.1", elsewhere]),
        // The table does not name it; its own name does.
        (vec![guessed], "5.1.8-6.el9", vec!["CVE-2026-0001 5.1.8-6.el9_2.1", elsewhere]),
        (vec![eus], "5.1.8-6.el9_2.1", vec![elsewhere]),
        (vec![eus, main], "5.1.8-6.el9_2.1", vec!["CVE-2026-0002 5.1.8-9.el9"]),
        (vec![eus], "5.1.8-9.el9", vec![]),
    ] {
        let rhel = system("rhel", "9.2", &repositories);
        let found = told(&rhel, rpm("bash", version, "bash", version, None), &known);
        assert_eq!(found, expected, "{repositories:?} {version}");
    }
}

#[test]
fn a_newer_document_of_red_hat_replaces_the_older_even_when_it_says_nothing_any_more() {
    let affected = json!({ "known_affected": ["red_hat_enterprise_linux_9:bash"] });
    let safe = json!({ "known_not_affected": ["red_hat_enterprise_linux_9:bash"] });
    let old = vex("CVE-2026-0001", &affected, &json!([]));
    let mut new = vex("CVE-2026-0001", &safe, &json!([]));
    new["document"]["tracking"]["current_release_date"] = json!("2026-03-01T00:00:00Z");
    let rhel = system("rhel", "9.4", &[]);
    let bash = || rpm("bash", "5.1.8-8.el9", "bash", "5.1.8-8.el9", None);
    assert_eq!(told(&rhel, bash(), &red_hat(std::slice::from_ref(&old))), ["CVE-2026-0001 -"]);
    for order in [[old.clone(), new.clone()], [new, old]] {
        assert!(told(&rhel, bash(), &red_hat(&order)).is_empty());
    }
}

#[test]
fn a_cycle_or_a_tree_too_deep_is_no_package_and_no_endless_loop() {
    let mut document = vex("CVE-2026-0001", &json!({ "known_affected": ["a:b"] }), &json!([]));
    document["product_tree"]["relationships"] = json!([
        { "product_reference": "bash", "relates_to_product_reference": "a:b", "full_product_name": { "product_id": "a:b" } }]);
    let rhel = system("rhel", "9.4", &[]);
    assert!(told(&rhel, rpm("bash", "1-1", "bash", "1-1", None), &red_hat(&[document.clone()])).is_empty());
    let deep = format!("{}{}", r#"{"branches":["#.repeat(200), "]}".repeat(200));
    let text = format!(r#"{{"document":{{}},"vulnerabilities":[],"product_tree":{deep}}}"#);
    assert!(add(&text).is_err());
    document["product_tree"]["relationships"] = json!("none");
    assert!(matches!(
        add(&document.to_string()),
        Err(FeedError::Malformed { kind: FeedKind::RedHatVex, .. })
    ));
}

const UPDATEINFO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="a@example" status="final" type="security" version="2">
    <id>RLSA-2026:1</id><title>Important: ruby:2.5 &amp; others</title>
    <issued date="2026-01-02 03:04:05"/><updated date="2026-02-03 00:00:00"></updated>
    <release>Rocky Linux 8</release><severity>Important</severity><description>&lt;long&gt;</description>
    <references>
      <reference href="x" id="CVE-2026-0001" type="cve" title="t"/><reference href="y" id="CVE-2026-0002" type="cve"/>
      <reference href="z" id="1692520" type="bugzilla"/>
    </references>
    <pkglist>
      <collection short="a"><name>a</name>
        <module name="ruby" stream="2.6" version="1" context="c" arch="x86_64"/>
        <package name="rubygem-x" epoch="0" version="0.3" release="4.module+el8.5.0+738" arch="noarch" src="s"><filename>f</filename></package>
      </collection>
      <collection short="b"><name>b</name>
        <package name="lz4" epoch="0" version="1.8.3" release="3.el8_4" arch="x86_64"/>
        <package name="lz4" epoch="0" version="1.8.3" release="3.el8_4" arch="aarch64"/>
        <package name="lz4-src" epoch="0" version="1.8.3" release="3.el8_4" arch="src"/>
      </collection>
    </pkglist>
  </update>
  <update type="bugfix"><id>RLBA-2026:2</id><pkglist><collection><package name="b" version="1" release="1.el8" arch="x86_64"/></collection></pkglist></update>
</updates>"#;

#[test]
fn errata_of_yum_repositories_are_read_by_cve_module_and_release() {
    let added = add(UPDATEINFO).unwrap();
    assert_eq!((added.kind, added.advisories, added.skipped), (FeedKind::UpdateInfo, 2, 1));
    let known = build(&[UPDATEINFO.as_bytes()]);
    let rocky = system("rocky", "8.9", &[]);
    let one = |name: &str, version: &str, module: Option<&str>| {
        told(&rocky, rpm(name, version, name, version, module), &known)
    };
    let both = |version: &str| vec![format!("CVE-2026-0001 {version}"), format!("CVE-2026-0002 {version}")];
    assert_eq!(one("lz4", "1.8.3-2.el8", None), both("1.8.3-3.el8_4"));
    assert!(one("lz4", "1.8.3-3.el8_4", None).is_empty() && one("lz4-src", "1-1.el8", None).is_empty());
    let (old, new) = ("0.3-3.module+el8.5.0+1", "0.3-4.module+el8.5.0+738");
    assert_eq!(one("rubygem-x", old, Some("ruby:2.6")), both(new));
    assert!(one("rubygem-x", old, Some("ruby:2.7")).is_empty(), "another stream");
    let lz4 = found(&rocky, rpm("lz4", "1-1.el8", "lz4", "1-1.el8", None), &known).remove(0);
    assert_eq!(lz4.risk.severity_source.as_deref(), Some("RLSA-2026:1"));
    assert_eq!(lz4.summary.as_deref(), Some("Important: ruby:2.5 & others"));
    assert_eq!(known.revision().newest, 1_770_076_800, "when it was updated last: 2026-02-03");
}

#[test]
fn each_family_of_errata_finds_its_release() {
    for (bulletin, release, text, id, version) in [
        ("ALAS2-2026-1", "33.amzn2.0.1", "", "amzn", "2"),
        ("ALAS2023-2026-001", "1.amzn2023.0.2", "", "amzn", "2023"),
        ("ALAS-2026-1", "1.7.amzn1", "", "amzn", "2018.03"),
        ("ALASDOCKER-2026-1", "1.amzn2", "", "amzn", "2"),
        ("ELSA-2026-1", "3.0.1.el9_1", "", "ol", "9.1"),
        ("RLSA-2026:1", "3.el9", "", "rocky", "9.4"),
        ("ALSA-2026:1", "3.el10_0", "", "almalinux", "10.0"),
        ("openSUSE-SLE-15.5-2026-1", "150500.1.1", "", "opensuse-leap", "15.5"),
        ("openSUSE-2026-1", "lp154.1", "openSUSE Leap 15.4 Update", "opensuse-leap", "15.4"),
    ] {
        let document = format!(
            r#"<updates><update type="security"><id>{bulletin}</id><release>{text}</release><references>
            <reference id="CVE-2026-0001"/></references><pkglist><collection><package name="a" version="2" release="{release}"
            epoch="1" arch="x86_64"/></collection></pkglist></update></updates>"#
        );
        let known = build(&[document.as_bytes()]);
        let mut others = 0;
        for (other, of) in
            [(id, version), ("amzn", "2"), ("amzn", "2023"), ("ol", "8"), ("rocky", "9"), ("ol", "9")]
        {
            let found = told(&system(other, of, &[]), rpm("a", "1:1-1", "a", "1:1-1", None), &known);
            if other == id && (of == version || version.starts_with(&format!("{of}."))) {
                assert_eq!(found, [format!("CVE-2026-0001 1:2-{release}")], "{bulletin}");
            } else {
                others += found.len();
            }
        }
        assert_eq!(others, 0, "{bulletin}");
    }
    let fedora = r#"<updates><update type="security"><id>FEDORA-2026-1</id><pkglist><collection><package name="a" version="2"
        release="1.fc40" arch="x86_64"/></collection></pkglist></update></updates>"#;
    assert_eq!(add(fedora).unwrap().advisories, 0, "no release of it is judged");
}

#[test]
fn errata_that_are_broken_or_bombs_are_refused() {
    let refused = |document: &str| match add(document) {
        Err(FeedError::Broken { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    for end in [UPDATEINFO.len() - 3, UPDATEINFO.len() / 2, 200] {
        assert!(!refused(&UPDATEINFO[..end]).is_empty());
    }
    assert!(refused(&format!("<updates>{}", "<a>".repeat(100))).contains("inside each other"));
    let long = UPDATEINFO.replace("rubygem-x", &"x".repeat(5_000));
    assert!(refused(&long).contains("5000 bytes"));
    // Entities of a document type are not known, and never expanded.
    let bomb = format!(
        r#"<!DOCTYPE updates [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>{}"#,
        UPDATEINFO
            .split_once("?>")
            .unwrap()
            .1
            .replace("Rocky Linux 8", "&b;")
            .replace("name=\"lz4\"", "name=\"&b;\"")
    );
    assert!(!refused(&bomb).is_empty());
    for other in ["<html></html>", "<!-- updates -->", "<rss><updates/></rss>"] {
        assert!(matches!(add(other), Err(FeedError::Unrecognised | FeedError::Json(_))), "{other}");
    }
}

#[test]
fn photons_list_is_read_under_the_release_that_its_versions_name() {
    let rows = json!([
        { "cve_id": "CVE-2026-0001", "pkg": "curl", "cve_score": 9.8,
          "aff_ver": "all versions before 7.61.1-5.ph3 are vulnerable", "res_ver": "7.61.1-5.ph3" },
        { "cve_id": "CVE-2026-0002", "pkg": "curl", "cve_score": 0.0, "aff_ver": "all versions are vulnerable", "res_ver": "NA" },
        { "cve_id": "CVE-2026-0003", "pkg": "curl", "cve_score": 5.0, "res_ver": "1-1.ph4" },
        { "cve_id": "CVE-2026-0004", "pkg": "bash", "cve_score": 5.0, "res_ver": "1-1.ph3" },
    ]);
    let known = build(&[rows.to_string().as_bytes()]);
    let curl = |release: &str, version: &str| {
        let photon = system("photon", release, &[]);
        told(&photon, rpm("curl-libs", version, "curl", version, None), &known)
    };
    assert_eq!(curl("3.0", "7.61.1-4.ph3"), ["CVE-2026-0001 7.61.1-5.ph3", "CVE-2026-0002 -"]);
    assert_eq!(curl("3.0", "7.61.1-5.ph3"), ["CVE-2026-0002 -"]);
    assert!(curl("4.0", "7.61.1-4.ph3").is_empty());
    let matched = match_packages(Some(&system("photon", "3.0", &[])), &[], Some(&known));
    assert_eq!(matched.unknown, Vec::<Unknown>::new());
    assert!(add(r#"[{"cve_id":"CVE-2026-0001","pkg":"a","res_ver":"1-1"}]"#).is_err(), "of no release");
    assert!(matches!(add("[1,2]"), Err(FeedError::Unrecognised)));
}

#[test]
fn a_source_whose_epoch_is_not_known_is_compared_without_it() {
    let main = json!({ "id": "RLSA-2026:1", "modified": "2026-01-01T00:00:00Z", "aliases": ["CVE-2026-0001"], "affected": [{
        "package": { "ecosystem": "Rocky Linux:8", "name": "perl" }, "ranges": [{ "type": "ECOSYSTEM",
        "events": [{ "introduced": "0" }, { "fixed": "4:5.26.3-422.el8" }] }] }] });
    let known = build(&[main.to_string().as_bytes()]);
    let rocky = system("rocky", "8.9", &[]);
    // `perl-Errno` has its own version, and no epoch; the name of its source's file has none either.
    let errno = |source: &str| told(&rocky, rpm("perl-Errno", "1.28-422.el8", "perl", source, None), &known);
    assert!(errno("5.26.3-422.el8").is_empty());
    assert_eq!(errno("5.26.3-421.el8"), ["CVE-2026-0001 4:5.26.3-422.el8"]);
    let libs = told(&rocky, rpm("perl-libs", "4:5.26.3-421.el8", "perl", "4:5.26.3-421.el8", None), &known);
    assert_eq!(libs.len(), 1);
}

/// The seeds of the fuzzer: one document of each form.
fn seeds() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/advisory_feed");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn every_seed_of_the_fuzzer_is_a_document_of_a_known_form() {
    let kinds: std::collections::BTreeSet<FeedKind> =
        seeds().iter().map(|seed| Builder::new().add("test", None, seed).unwrap().kind).collect();
    assert!(kinds.len() >= 8, "{kinds:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn damaged_documents_never_panic_and_what_is_accepted_is_sound(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let seeds = seeds();
        let mut document = which.get(&seeds).clone();
        for (place, value) in changes {
            let place = place.index(document.len());
            document[place] = value;
        }
        if cut.index(4) == 0 {
            document.truncate(cut.index(document.len()));
        }
        let mut builder = Builder::new();
        if builder.add("test", None, &document).is_ok() {
            let known = Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap();
            for source in known.sources() {
                for coverage in &source.coverage {
                    let entries = known.lookup(&coverage.ecosystem, "bash").unwrap();
                    entries.for_each(|entry| drop(entry.unwrap()));
                }
            }
        }
    }
}
