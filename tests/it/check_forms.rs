//! Documents for people and other tools, held against the rules of their formats.

use std::collections::BTreeSet;

use serde_json::{Value, json};
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

const KEV: &str = r#"{
  "title": "CISA Catalog of Known Exploited Vulnerabilities", "catalogVersion": "2026.01.31", "dateReleased": "2026-01-31T00:00:00Z", "count": 1,
  "vulnerabilities": [{ "cveID": "CVE-2026-9001", "dateAdded": "2026-01-30", "knownRansomwareCampaignUse": "Known" }]
}"#;
const EPSS: &str = "#model_version:v2025.03.14,score_date:2026-02-01T00:00:00+0000\ncve,epss,percentile\nCVE-2026-9001,0.94,0.999\n";

/// The same image judged with and without what is known about attacks.
fn vulnerable(feeds: &[(&str, &str)]) -> CheckFolder {
    let folder = CheckFolder::new(POLICY, feeds);
    let system = Archive::new().alpine("3.20", &[("badlib", "1.2.3-r0"), ("good", "1-r0")]);
    folder.image("image", ImageBuilder::new().layer(system.layer(Compression::Plain), "ADD root /"));
    folder
}

fn form(folder: &CheckFolder, output: &str) -> String {
    folder.check("oci:image", &["--output", output]).stdout
}

#[test]
fn what_is_exploited_stands_where_each_format_has_a_place() {
    let folder = vulnerable(&[("alpine.json", SECDB), ("kev.json", KEV), ("epss.csv", EPSS)]);
    let json = |output: &str| -> Value { serde_json::from_str(&form(&folder, output)).expect("JSON") };

    let sarif = json("sarif");
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules");
    let rule = rules.iter().find(|rule| rule["id"] == "CVE-2026-9001").expect("a rule of the vulnerability");
    let expected = json!({
        "tags": ["security", "vulnerability", "known-exploited", "ransomware"],
        "security-severity": "8.0",
        "exploitedSince": "2026-01-30",
        "epss": {"probability": 0.94, "percentile": 0.999},
    });
    assert_eq!(rule["properties"], expected);

    let document = json("cyclonedx");
    let vulnerability = &document["vulnerabilities"][0];
    let properties: Vec<String> = vulnerability["properties"]
        .as_array()
        .expect("properties")
        .iter()
        .map(|it| format!("{}={}", it["name"].as_str().expect("text"), it["value"].as_str().expect("text")))
        .collect();
    assert_eq!(
        properties,
        [
            "portcullis:exploited:since=2026-01-30",
            "portcullis:exploited:ransomware=true",
            "portcullis:exploited:catalogue=https://www.cisa.gov/known-exploited-vulnerabilities-catalog",
            "portcullis:epss:probability=0.94",
            "portcullis:epss:percentile=0.999",
        ]
    );
    let ratings = vulnerability["ratings"].as_array().expect("ratings");
    assert_eq!(ratings.len(), 2, "{ratings:?}");
    assert_eq!(ratings[1]["source"]["name"], "EPSS");
    assert_eq!((&ratings[1]["score"], &ratings[1]["method"]), (&json!(0.94), &json!("other")));

    let gitlab = json("gitlab");
    let details = &gitlab["vulnerabilities"][0]["details"];
    for (key, kind, value) in [
        ("known_exploited_since", "text", json!("2026-01-30")),
        ("known_ransomware", "value", json!(true)),
        ("epss_probability", "value", json!(0.94)),
        ("epss_percentile", "value", json!(0.999)),
    ] {
        assert_eq!((&details[key]["type"], &details[key]["value"]), (&json!(kind), &value), "{key}");
        assert!(details[key]["name"].is_string(), "the schema asks for a name");
    }

    let spdx = json("spdx3");
    let graph = spdx["@graph"].as_array().expect("a graph");
    let one = |kind: &str| {
        let found: Vec<&Value> = graph.iter().filter(|it| it["type"] == kind).collect();
        let [one] = found[..] else { panic!("one {kind}: {found:?}") };
        assert_eq!(one["relationshipType"], "hasAssessmentFor");
        let ends = one["to"].as_array().expect("a list");
        for end in ends.iter().chain([&one["from"]]) {
            assert!(graph.iter().any(|it| it["spdxId"] == *end), "{end} is nowhere");
        }
        one
    };
    let exploited = one("security_ExploitCatalogVulnAssessmentRelationship");
    assert_eq!(exploited["security_catalogType"], "kev");
    assert_eq!(exploited["security_exploited"], true);
    assert_eq!(exploited["security_publishedTime"], "2026-01-30T00:00:00Z");
    let epss = one("security_EpssVulnAssessmentRelationship");
    assert_eq!(
        (&epss["security_probability"], &epss["security_percentile"]),
        (&json!("0.94"), &json!("0.999"))
    );
    assert_eq!(epss["security_publishedTime"], "2026-02-01T00:00:00Z");

    let page = form(&folder, "html");
    for word in ["since 2026-01-30, by ransomware", "<td class=\"number\">0.94</td>", "1 of them"] {
        assert!(page.contains(word), "{word} is missing");
    }
}

#[test]
fn without_a_catalogue_no_form_says_that_nothing_is_exploited() {
    let folder = vulnerable(&[("alpine.json", SECDB)]);
    for output in ["sarif", "cyclonedx", "gitlab", "spdx3"] {
        let text = form(&folder, output);
        assert!(text.contains("CVE-2026-9001"), "{output}");
        for word in ["xploited", "epss", "EPSS", "ExploitCatalog"] {
            assert!(!text.contains(word), "{output} has {word}: {text}");
        }
    }
    assert!(form(&folder, "html").contains("not known: the advisories hold no catalogue"));
}
