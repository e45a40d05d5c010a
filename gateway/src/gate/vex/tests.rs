//! Rules of both formats, each with a document that keeps it and one that breaks it.

use scanner::package::{PackageKind, SourcePackage};
use serde_json::json;

use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn openvex(statements: &Value) -> Value {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://vex.example/1",
        "author": "Team A",
        "timestamp": "2026-01-01T00:00:00Z",
        "version": 1,
        "statements": statements,
    })
}

fn read(document: &Value) -> Result<VexDocument, VexError> {
    parse(document.to_string().as_bytes())
}

fn one(product: &Value, more: &Value) -> Statement {
    let mut statement = json!({"vulnerability": {"name": "CVE-2026-1"}, "products": [product]});
    let into = statement.as_object_mut().unwrap();
    into.extend(more.as_object().unwrap().clone());
    read(&openvex(&json!([statement]))).unwrap().statements.remove(0)
}

fn not_affected(product: &Value) -> Statement {
    one(product, &json!({"status": "not_affected", "justification": "component_not_present"}))
}

fn image() -> ImageIdentity<'static> {
    ImageIdentity { repository: "registry.example/team/app", tag: Some("1.2"), digests: vec![DIGEST] }
}

/// `libssl3` of Debian 12, built from `openssl`.
fn package() -> NamedPackage {
    let mut package = Package::new(PackageKind::Deb, "libssl3".into(), "3.0.11-1~deb12u1".into());
    package.architecture = Some("amd64".into());
    package.source = Some(SourcePackage { name: "openssl".into(), version: "3.0.11-1".into() });
    let debian = Distribution {
        id: "debian".into(),
        version_id: Some("12".into()),
        codename: Some("bookworm".into()),
        pretty_name: None,
        repositories: Vec::new(),
    };
    NamedPackage::new(&package, Some(&debian))
}

#[test]
fn a_product_means_what_all_of_its_words_say() {
    let oci = |more: &str| json!({"@id": format!("pkg:oci/app@{}{more}", DIGEST.replace(':', "%3A"))});
    let within = |part: &str| json!({"@id": "pkg:oci/app", "subcomponents": [{"@id": part}]});
    for (product, expected) in [
        (json!({"@id": "pkg:deb/debian/libssl3"}), true),
        (json!({"@id": "pkg:deb/debian/libssl3@3.0.11-1~deb12u1?arch=amd64&distro=debian-12"}), true),
        (json!({"@id": "pkg:deb/debian/libssl3?distro=bookworm"}), true),
        (json!({"@id": "https://a.example/x", "identifiers": {"purl": "pkg:deb/debian/libssl3"}}), true),
        (json!({"@id": "pkg:deb/debian/openssl?arch=source"}), true),
        (json!({"@id": "pkg:deb/debian/openssl@3.0.11-1?arch=source&distro=bookworm"}), true),
        (json!({"@id": "pkg:deb/debian/openssl"}), false),
        (json!({"@id": "pkg:deb/debian/libssl3?arch=arm64"}), false),
        (json!({"@id": "pkg:deb/debian/libssl3?arch=amd64&x=y"}), false),
        (json!({"@id": "pkg:deb/debian/libssl3@3.0.12"}), false),
        (json!({"@id": "pkg:deb/debian/libssl3?distro=debian-11"}), false),
        (oci(""), true),
        (oci("?repository_url=registry.example/team/app&tag=1.2"), true),
        (oci("?repository_url=registry.example/team"), true),
        (oci("?repository_url=other.example/team/app"), false),
        (oci("?tag=1.3"), false),
        (oci("?arch=amd64"), false),
        (json!({"@id": "pkg:oci/app@sha256%3Abb"}), false),
        (json!({"@id": "pkg:oci/other"}), false),
        (json!({"@id": "pkg:docker/team/app"}), false),
        (json!({"@id": format!("registry.example/team/app@{DIGEST}")}), true),
        (json!({"@id": "registry.example/team/app:1.2"}), false),
        (json!({"@id": "https://a.example/app"}), false),
        (within("pkg:deb/debian/libssl3"), true),
        (within("pkg:deb/debian/libcurl4"), false),
        (within("openssl"), false),
        (json!({"@id": "pkg:oci/app", "subcomponent": [{"@id": "pkg:deb/debian/libssl3"}]}), false),
        // A package that holds another: where else the other is used cannot be told.
        (json!({"@id": "pkg:deb/debian/nginx", "subcomponents": [{"@id": "pkg:deb/debian/libssl3"}]}), false),
    ] {
        assert_eq!(not_affected(&product).means(&image(), &package()), expected, "{product}");
    }
}

#[test]
fn not_affected_needs_a_justification_of_the_list_or_an_impact_statement() {
    let product = json!({"@id": "pkg:npm/a@1"});
    for (more, waives) in [
        (json!({"status": "not_affected", "justification": "vulnerable_code_not_present"}), true),
        (json!({"status": "not_affected", "impact_statement": "the parser is never called"}), true),
        (json!({"status": "not_affected"}), false),
        (json!({"status": "not_affected", "justification": "because"}), false),
        (json!({"status": "not_affected", "impact_statement": " "}), false),
        (json!({"status": "fixed"}), true),
        (json!({"status": "affected", "action_statement": "update"}), false),
        (json!({"status": "under_investigation"}), false),
    ] {
        assert_eq!(one(&product, &more).status.waives(), waives, "{more}");
    }
    let all_versions = one(&json!({"@id": "pkg:npm/a"}), &json!({"status": "fixed"}));
    assert!(matches!(all_versions.status, Status::Void { .. }), "`fixed` of every version says nothing");
}

#[test]
fn a_statement_has_its_own_time_before_its_documents() {
    let product = json!({"@id": "pkg:npm/a"});
    assert_eq!(not_affected(&product).at, 1_767_225_600);
    let own = json!({"status": "affected", "timestamp": "2026-01-02T00:00:00+00:00"});
    assert_eq!(one(&product, &own).at, 1_767_225_600 + 86_400);
}

#[test]
fn documents_that_break_the_rules_of_openvex_are_refused() {
    let good = json!([{"vulnerability": {"name": "CVE-2026-1"}, "products": [{"@id": "pkg:npm/a"}], "status": "affected"}]);
    assert!(read(&openvex(&good)).is_ok());
    for (pointer, value, expected) in [
        ("/@context", json!("https://openvex.dev/ns/v0.3.0"), "neither OpenVEX"),
        ("/author", json!(""), "`author`"),
        ("/timestamp", json!("yesterday"), "`timestamp`"),
        ("/statements", json!({}), "`statements`"),
        ("/statements/0/vulnerability", json!("CVE-2026-1"), "`statements[0].vulnerability`"),
        ("/statements/0/products", json!([]), "`statements[0].products`"),
        ("/statements/0/status", json!("fine"), "`statements[0].status`"),
        ("/statements/0", json!(1), "`statements[0]`"),
    ] {
        let mut document = openvex(&good);
        *document.pointer_mut(pointer).unwrap() = value;
        let error = read(&document).unwrap_err().to_string();
        assert!(error.contains(expected), "{pointer}: {error}");
    }
    let twice = openvex(&good).to_string().replacen("\"author\"", "\"author\":\"B\",\"author\"", 1);
    assert!(matches!(parse(twice.as_bytes()), Err(VexError::Json(_))), "whose word is it?");
    for bytes in [&b"[]"[..], b"{}", b"", b"{\"document\":{}}"] {
        assert!(parse(bytes).is_err());
    }
}

fn csaf(products: &Value, relationships: &Value, vulnerability: &Value) -> Value {
    json!({
        "document": {
            "category": "csaf_vex", "csaf_version": "2.0", "title": "x",
            "publisher": {"category": "vendor", "name": "Vendor", "namespace": "https://vendor.example"},
            "tracking": {"id": "1", "status": "final", "version": "1", "current_release_date": "2026-01-01T00:00:00Z"},
        },
        "product_tree": {"branches": [{"category": "vendor", "name": "Vendor", "branches": products}], "relationships": relationships},
        "vulnerabilities": [vulnerability],
    })
}

fn product(id: &str, helper: &Value) -> Value {
    json!({"category": "product_version", "name": id, "product": {"name": id, "product_id": id, "product_identification_helper": helper}})
}

fn component_of(id: &str, component: &str, whole: &str) -> Value {
    json!({
        "category": "default_component_of", "product_reference": component, "relates_to_product_reference": whole,
        "full_product_name": {"name": id, "product_id": id},
    })
}

#[test]
fn csaf_products_are_expanded_through_branches_relationships_and_groups() {
    let products = json!([
        product("el8", &json!({"cpe": "cpe:/o:redhat:enterprise_linux:8"})),
        product("eus", &json!({"cpe": "cpe:/o:redhat:rhel_eus:8.6::baseos"})),
        product("openssl", &json!({"purl": "pkg:rpm/redhat/openssl"})),
        product("image", &json!({"purl": "pkg:oci/app"})),
        {"category": "product_version_range", "name": "<3", "product": {"name": "r", "product_id": "range", "product_identification_helper": {"purl": "pkg:rpm/redhat/openssl"}}},
    ]);
    let relationships = json!([
        component_of("el8:openssl", "openssl", "el8"),
        component_of("eus:openssl", "openssl", "eus"),
        component_of("image:openssl", "openssl", "image"),
        component_of("gone:openssl", "openssl", "gone"),
    ]);
    let system = |release: &str| {
        let distribution = Distribution {
            id: "rhel".into(),
            version_id: Some(release.into()),
            codename: None,
            pretty_name: None,
            repositories: Vec::new(),
        };
        let package = Package::new(PackageKind::Rpm, "openssl".into(), "1:1.1.1k-7.el8".into());
        NamedPackage::new(&package, Some(&distribution))
    };
    for (id, release, expected) in [
        ("el8:openssl", "8.4", true),
        ("el8:openssl", "9.1", false),
        ("eus:openssl", "8.6", false),
        ("image:openssl", "8.4", true),
        ("gone:openssl", "8.4", false),
        ("openssl", "8.4", true),
        ("range", "8.4", false),
        ("el8", "8.4", false),
        ("nowhere", "8.4", false),
    ] {
        let vulnerability = json!({
            "cve": "CVE-2026-1",
            "product_status": {"known_not_affected": [id]},
            "flags": [{"label": "vulnerable_code_not_present", "product_ids": [id]}],
        });
        let read = read(&csaf(&products, &relationships, &vulnerability)).unwrap();
        assert_eq!(read.author, "Vendor");
        let [statement] = read.statements.as_slice() else { panic!("{:?}", read.statements) };
        assert!(statement.status.waives(), "{id}");
        assert_eq!(statement.means(&image(), &system(release)), expected, "{id} on {release}");
    }
}

#[test]
fn csaf_statuses_say_what_the_profile_says() {
    let products = json!([product("a", &json!({"purl": "pkg:npm/a@1"}))]);
    for (vulnerability, expected) in [
        (json!({"product_status": {"fixed": ["a"]}}), vec![true]),
        (json!({"product_status": {"known_affected": ["a"]}}), vec![false]),
        (json!({"product_status": {"under_investigation": ["a"]}}), vec![false]),
        (json!({"product_status": {"known_not_affected": ["a"]}}), vec![false]),
        (
            json!({"product_status": {"known_not_affected": ["a"]}, "threats": [{"category": "impact", "details": "not called", "product_ids": ["a"]}]}),
            vec![true],
        ),
        (
            json!({"product_status": {"known_not_affected": ["a"]}, "threats": [{"category": "exploit_status", "details": "x", "product_ids": ["a"]}]}),
            vec![false],
        ),
        // In two lists, which the profile forbids: what refuses has the last word.
        (json!({"product_status": {"known_affected": ["a"], "fixed": ["a"]}}), vec![true, false]),
        (json!({"product_status": {"recommended": ["a"]}}), vec![]),
    ] {
        let mut with_name = vulnerability.clone();
        with_name["cve"] = json!("CVE-2026-1");
        let read = read(&csaf(&products, &json!([]), &with_name)).unwrap();
        let waives: Vec<bool> = read.statements.iter().map(|statement| statement.status.waives()).collect();
        assert_eq!(waives, expected, "{vulnerability}");
    }
    let nameless = csaf(&products, &json!([]), &json!({"product_status": {"fixed": ["a"]}}));
    assert!(read(&nameless).unwrap_err().to_string().contains("cve"));
    for (pointer, value) in [
        ("/document/category", json!("csaf_security_advisory")),
        ("/document/csaf_version", json!("1.2")),
        ("/document/publisher/name", json!("")),
        ("/document/tracking/current_release_date", json!("soon")),
    ] {
        let mut document = csaf(&products, &json!([]), &json!({"cve": "CVE-2026-1"}));
        *document.pointer_mut(pointer).unwrap() = value;
        assert!(read(&document).is_err(), "{pointer}");
    }
}

#[test]
fn a_tree_without_end_is_refused() {
    let mut branch = product("a", &json!({"purl": "pkg:npm/a@1"}));
    for _ in 0..50 {
        branch = json!({"category": "vendor", "name": "x", "branches": [branch]});
    }
    let document = csaf(&json!([branch]), &json!([]), &json!({"cve": "CVE-2026-1"}));
    assert!(matches!(read(&document), Err(VexError::Limit(_))));
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_a_reader_panic_or_a_statement_waive_more_than_it_says(
        at in 0_usize..1200, byte in proptest::prelude::any::<u8>(), cut in 0_usize..1200, vendor in proptest::prelude::any::<bool>(),
    ) {
        let document = if vendor {
            let vulnerability = json!({"cve": "CVE-2026-1", "product_status": {"known_not_affected": ["w:a"]},
                "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["w:a"]}]});
            let products = json!([
                product("a", &json!({"purl": "pkg:deb/debian/libssl3"})),
                product("w", &json!({"purl": "pkg:oci/app"})),
            ]);
            csaf(&products, &json!([component_of("w:a", "a", "w")]), &vulnerability)
        } else {
            openvex(&json!([{"vulnerability": {"name": "CVE-2026-1"}, "status": "not_affected",
                "products": [{"@id": "pkg:oci/app", "subcomponents": [{"@id": "pkg:deb/debian/libssl3"}]}],
                "impact_statement": "not called"}]))
        };
        let mut bytes = document.to_string().into_bytes();
        let length = bytes.len();
        if let Some(damaged) = bytes.get_mut(at) {
            *damaged = byte;
        }
        bytes.truncate(cut.max(length / 2));
        if let Ok(read) = parse(&bytes) {
            for statement in read.statements {
                let other = Package::new(PackageKind::Npm, "left-pad".into(), "1".into());
                proptest::prop_assert!(!statement.means(&image(), &NamedPackage::new(&other, None)));
            }
        }
    }
}
