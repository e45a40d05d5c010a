//! Documents for people and other tools, held against the rules of their formats.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::check_folder::{CheckFolder, POLICY};
use tests::image_builder::{Archive, Compression, ImageBuilder};

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [{ "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"] } } }]
}"#;

/// A name, an instruction and a path that would be markup if they were let.
fn hostile() -> CheckFolder {
    let folder = CheckFolder::new(POLICY, &[("alpine.json", SECDB)]);
    let packages = [("badlib", "1.2.3-r0"), ("<img/src=x>", "1\"onload=\"x")];
    let system = Archive::new().alpine("3.20", &packages).layer(Compression::Plain);
    let cache =
        Archive::new().file("tmp/<script>alert(1)<script>", 0o644, &[1; 500]).layer(Compression::Plain);
    let image = ImageBuilder::new()
        .layer(system, "ADD </style><script>alert('x')</script> /")
        .layer(cache, "RUN echo \"&amp;\" '<b>' \u{202e}\u{1b}[2J");
    folder.image("image", image);
    folder
}

#[test]
fn the_page_stands_alone_and_nothing_of_the_image_is_markup() {
    let folder = hostile();
    let outcome = folder.check("oci:image", &["--output", "html", "--output-file", "page.html"]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown);
    let page = folder.read("page.html");
    for word in [
        "<h1 class=\"bad\">Denied at push</h1>",
        "CVE-2026-9001",
        "1.2.4-r0",
        "Layers",
        "What it could do without",
    ] {
        assert!(page.contains(word), "{word} is missing");
    }
    // What the page may be made of; everything else is text.
    let tags: BTreeSet<&str> = page
        .split('<')
        .skip(1)
        .map(|rest| rest.split([' ', '>', '\n']).next().unwrap_or_default().trim_start_matches('/'))
        .collect();
    let known = [
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer",
        "h1", "h2", "h3", "p", "dl", "dt", "dd", "div", "table", "thead", "tbody", "tr", "th", "td", "span",
        "ul", "li", "i",
    ];
    let unknown: Vec<_> = tags.iter().filter(|tag| !known.contains(*tag)).collect();
    assert!(unknown.is_empty(), "the page has {unknown:?}");
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        for word in ["src=", "href=", " on", "http:", "https:"] {
            assert!(!tag.contains(word), "the page has `<{tag}>`");
        }
    }
    for word in ["url(", "@import", "<script", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(word), "the page has `{word}`");
    }
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(page.contains("default-src 'none'"), "nothing may be fetched");
    for word in ["prefers-color-scheme:dark", "@media print"] {
        assert!(page.contains(word), "{word}");
    }
    let undecided = folder.check("oci:absent<b>", &["--output", "html"]);
    assert_eq!(undecided.code, 3, "{}", undecided.shown);
    assert!(undecided.stdout.contains("Could not decide") && !undecided.stdout.contains("<b>"));
}

#[test]
fn spdx_3_keeps_the_rules_of_its_model() {
    let folder = hostile();
    let first = folder.check("oci:image", &["--output", "spdx3"]).stdout;
    assert_eq!(first, folder.check("oci:image", &["--output", "spdx3"]).stdout, "two runs, the same bytes");
    let document: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(document["@context"], "https://spdx.org/rdf/3.0.1/spdx-context.jsonld");
    let graph = document["@graph"].as_array().expect("a graph");
    let of_type = |kind: &str| -> Vec<&Value> { graph.iter().filter(|it| it["type"] == kind).collect() };
    // Core.CreationInfo: specVersion, created and createdBy are there; it is a blank node.
    let [creation] = of_type("CreationInfo")[..] else { panic!("one CreationInfo") };
    assert_eq!((&creation["@id"], &creation["specVersion"]), (&"_:creation".into(), &"3.0.1".into()));
    let created = creation["created"].as_str().expect("a time");
    assert!(created.ends_with('Z') && created.len() == 20, "{created}");
    // Core.Element: every element has an id that is an IRI and unique, and names its CreationInfo.
    let elements: Vec<&Value> = graph.iter().filter(|it| it["type"] != "CreationInfo").collect();
    let ids: BTreeSet<&str> = elements.iter().map(|it| it["spdxId"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), elements.len(), "an id stands twice");
    for element in &elements {
        assert!(
            element["spdxId"].as_str().expect("an id").starts_with("https://spdx.org/spdxdocs/portcullis-")
        );
        assert_eq!(element["creationInfo"], "_:creation");
    }
    let agents = creation["createdBy"].as_array().expect("a list");
    assert!(agents.iter().all(|agent| of_type("SoftwareAgent").iter().any(|it| it["spdxId"] == *agent)));
    // One SpdxDocument, whose root is there; the Sbom's elements are all there.
    let [root] = of_type("SpdxDocument")[..] else { panic!("one SpdxDocument") };
    let [sbom] = of_type("software_Sbom")[..] else { panic!("one Sbom") };
    for (whole, key) in [(root, "rootElement"), (root, "element"), (sbom, "rootElement"), (sbom, "element")] {
        let named = whole[key].as_array().expect("a list");
        assert!(
            !named.is_empty() && named.iter().all(|id| ids.contains(id.as_str().expect("an id"))),
            "{key}"
        );
    }
    // Core.Relationship: from, to and relationshipType, and both ends are elements.
    let kinds: BTreeSet<&str> =
        of_type("Relationship").iter().map(|it| it["relationshipType"].as_str().expect("a type")).collect();
    assert_eq!(kinds, BTreeSet::from(["contains", "hasAssociatedVulnerability"]));
    for relationship in of_type("Relationship") {
        let ends = relationship["to"].as_array().expect("a list");
        assert!(!ends.is_empty());
        for end in ends.iter().chain([&relationship["from"]]) {
            assert!(ids.contains(end.as_str().expect("an id")), "{end} is nowhere");
        }
    }
    // Software.Package: a name; the package URL in both places where readers look for it.
    let packages = of_type("software_Package");
    let bad = packages.iter().find(|it| it["name"] == "badlib").expect("the package");
    assert_eq!(bad["software_packageVersion"], "1.2.3-r0");
    assert_eq!(bad["software_packageUrl"], bad["externalIdentifier"][0]["identifier"]);
    assert!(packages.iter().all(|it| it["name"].as_str().is_some_and(|name| !name.is_empty())));
    let [vulnerability] = of_type("security_Vulnerability")[..] else { panic!("one vulnerability") };
    assert_eq!(vulnerability["externalIdentifier"][0]["externalIdentifierType"], "cve");
    assert_eq!(vulnerability["externalIdentifier"][0]["identifier"], "CVE-2026-9001");
}
