//! SPDX 3.0.1 as JSON-LD: packages, what contains what, and the vulnerabilities that were found.

use std::collections::{BTreeMap, BTreeSet};

use scanner::finding::{Epss, Finding};
use serde_json::{Value, json};

use super::danger::KEV;
use super::inventory::{Component, components, document_uuid, hides_packages, image_name, moment, utc};
use super::{CheckReport, RenderError};
use crate::digest::Digest;

/// Every element of a document names this one (SPDX 3.0.1 §Core.CreationInfo).
const CREATION: &str = "_:creation";

/// The elements of one document, in the order in which they are written.
struct Graph {
    namespace: String,
    elements: Vec<Value>,
}

impl Graph {
    fn id(&self, of: &str) -> String {
        format!("{}#{of}", self.namespace)
    }

    /// Adds an element; what all have in common is added here.
    fn add(&mut self, id: &str, kind: &str, mut element: Value) {
        element["spdxId"] = json!(self.id(id));
        element["type"] = json!(kind);
        element["creationInfo"] = json!(CREATION);
        self.elements.push(element);
    }

    fn relate(&mut self, from: &str, kind: &str, to: &BTreeSet<String>, complete: &str) {
        if to.is_empty() {
            return;
        }
        let ends: Vec<String> = to.iter().map(|to| self.id(to)).collect();
        let id = format!("{from}-{kind}");
        let from = self.id(from);
        let relationship =
            json!({"from": from, "to": ends, "relationshipType": kind, "completeness": complete});
        self.add(&id, "Relationship", relationship);
    }
}

pub(super) fn render(report: &CheckReport) -> Result<String, RenderError> {
    let namespace = format!("https://spdx.org/spdxdocs/portcullis-{}", document_uuid("spdx3", report)?);
    let mut graph = Graph { namespace, elements: Vec::new() };
    let components = components(report);
    let mut images = Vec::new();
    for (number, platform) in report.scans.iter().enumerate() {
        let image = format!("image-{number}");
        let mut inside = BTreeSet::new();
        let mut described =
            json!({"name": image_name(report, platform), "software_primaryPurpose": "container"});
        if let Some(hash) = platform.digest.as_deref().and_then(hash) {
            described["verifiedUsing"] = json!([hash]);
        }
        let unknown: Vec<String> = platform.scan.unknown.iter().map(crate::gate::explain::unknown).collect();
        if !unknown.is_empty() {
            described["comment"] = json!(format!("could not be judged: {}", unknown.join("; ")));
        }
        graph.add(&image, "software_Package", described);
        if let Some(distribution) = &platform.scan.distribution {
            let id = format!("system-{number}");
            let mut system = json!({"name": &distribution.id, "software_primaryPurpose": "operatingSystem"});
            if let Some(version) = &distribution.version_id {
                system["software_packageVersion"] = json!(version);
            }
            graph.add(&id, "software_Package", system);
            inside.insert(id);
        }
        for component in components.iter().filter(|component| component.scan == number) {
            let id = package_id(component);
            graph.add(&id, "software_Package", package(component));
            inside.insert(id);
        }
        let complete = if hides_packages(&platform.scan.unknown) { "incomplete" } else { "noAssertion" };
        graph.relate(&image, "contains", &inside, complete);
        images.push(image);
    }
    if images.is_empty() {
        graph.add(
            "image-0",
            "software_Package",
            json!({"name": &report.repository, "software_primaryPurpose": "container"}),
        );
        images.push("image-0".to_owned());
    }
    vulnerabilities(&mut graph, report, &components);
    let document = document(graph, report, &images);
    Ok(format!("{document:#}\n"))
}

fn document(graph: Graph, report: &CheckReport, images: &[String]) -> Value {
    let agent = graph.id("portcullis");
    let roots: Vec<String> = images.iter().map(|image| graph.id(image)).collect();
    let elements: Vec<Value> = graph.elements.iter().map(|element| element["spdxId"].clone()).collect();
    let mut all = vec![
        json!({
            "@id": CREATION,
            "type": "CreationInfo",
            "specVersion": "3.0.1",
            "created": format!("{}Z", moment(report)),
            "createdBy": [&agent],
        }),
        json!({
            "spdxId": &agent,
            "type": "SoftwareAgent",
            "creationInfo": CREATION,
            "name": concat!("portcullis ", env!("CARGO_PKG_VERSION")),
        }),
        json!({
            "spdxId": graph.id("sbom"),
            "type": "software_Sbom",
            "creationInfo": CREATION,
            "software_sbomType": ["analyzed"],
            "rootElement": &roots,
            "element": elements,
        }),
        json!({
            "spdxId": graph.id("document"),
            "type": "SpdxDocument",
            "creationInfo": CREATION,
            "name": &report.repository,
            "profileConformance": ["core", "security", "software"],
            "rootElement": [graph.id("sbom")],
            "element": [graph.id("sbom"), &agent],
        }),
    ];
    all.extend(graph.elements);
    json!({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": all})
}

fn package_id(component: &Component<'_>) -> String {
    format!("package-{}", &Digest::sha256_of(component.reference.as_bytes()).hex()[..16])
}

fn package(component: &Component<'_>) -> Value {
    let found = component.found;
    let source = found.package.source.as_ref().map_or_else(String::new, |source| {
        format!("built package from: {} {}\n", source.name, source.version)
    });
    let mut package = json!({
        "name": &found.package.name,
        "software_primaryPurpose": "library",
        "software_packageUrl": &component.purl,
        "software_sourceInfo": format!("{source}listed in {}, layer {}", found.path, found.layer),
        "externalIdentifier": [{
            "type": "ExternalIdentifier",
            "externalIdentifierType": "packageUrl",
            "identifier": &component.purl,
        }],
    });
    if !found.package.version.is_empty() {
        package["software_packageVersion"] = json!(&found.package.version);
    }
    package
}

fn hash(digest: &str) -> Option<Value> {
    let digest = Digest::parse(digest).ok()?;
    Some(json!({"type": "Hash", "algorithm": digest.algorithm().name(), "hashValue": digest.hex()}))
}

/// One element a vulnerability, and one relationship from each package that it is found in.
fn vulnerabilities(graph: &mut Graph, report: &CheckReport, components: &[Component<'_>]) {
    let mut known: BTreeMap<&str, &Finding> = BTreeMap::new();
    let mut of_package: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let id = |finding: &Finding| {
        format!("vulnerability-{}", &Digest::sha256_of(finding.id.as_bytes()).hex()[..16])
    };
    for (number, scan) in report.scans.iter().enumerate() {
        for finding in &scan.scan.findings {
            known.entry(&finding.id).or_insert(finding);
            let is_meant = |it: &&Component<'_>| {
                it.scan == number && !it.found.owned && it.found.package == finding.package
            };
            for component in components.iter().filter(is_meant) {
                of_package.entry(package_id(component)).or_default().insert(id(finding));
            }
        }
    }
    for finding in known.values() {
        let identifiers: Vec<Value> = std::iter::once(&finding.id)
            .chain(&finding.aliases)
            .map(|name| {
                let kind = if name.starts_with("CVE-") { "cve" } else { "securityOther" };
                json!({"type": "ExternalIdentifier", "externalIdentifierType": kind, "identifier": name})
            })
            .collect();
        let mut vulnerability = json!({"name": &finding.id, "externalIdentifier": identifiers});
        if let Some(summary) = &finding.summary {
            vulnerability["summary"] = json!(summary);
        }
        graph.add(&id(finding), "security_Vulnerability", vulnerability);
    }
    let mut packages_of: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for (package, vulnerabilities) in &of_package {
        for vulnerability in vulnerabilities {
            packages_of.entry(vulnerability).or_default().push(graph.id(package));
        }
    }
    for finding in known.values() {
        let id = id(finding);
        if let Some(packages) = packages_of.get(&id) {
            assessments(graph, report, finding, &id, packages);
        }
    }
    for (package, vulnerabilities) in &of_package {
        graph.relate(package, "hasAssociatedVulnerability", vulnerabilities, "noAssertion");
    }
}

/// Exploited or not, and how likely to be: one relationship each, from the vulnerability to every package that has it
/// (SPDX 3.0.1 §Security.ExploitCatalogVulnAssessmentRelationship, §Security.EpssVulnAssessmentRelationship).
fn assessments(graph: &mut Graph, report: &CheckReport, finding: &Finding, id: &str, packages: &[String]) {
    let relationship =
        |graph: &Graph| json!({"from": graph.id(id), "to": packages, "relationshipType": "hasAssessmentFor"});
    if let Some(exploited) = finding.risk.exploited {
        let mut assessment = relationship(graph);
        assessment["security_catalogType"] = json!("kev");
        assessment["security_exploited"] = json!(true);
        assessment["security_locator"] = json!(KEV);
        assessment["security_publishedTime"] = json!(utc(exploited.since));
        if exploited.ransomware {
            assessment["comment"] = json!("campaigns of ransomware are known to use it");
        }
        graph.add(
            &format!("{id}-exploited"),
            "security_ExploitCatalogVulnAssessmentRelationship",
            assessment,
        );
    }
    let scored = report.scans.iter().find_map(|scan| scan.scan.advisories.as_ref()?.scored);
    // The format wants the day of a prediction, and without one there is no place for it.
    if let (Some(Epss { probability, percentile }), Some(scored)) = (finding.risk.epss, scored) {
        let mut assessment = relationship(graph);
        // Decimals are texts there, so that no reader rounds them.
        assessment["security_probability"] = json!(probability.to_string());
        assessment["security_percentile"] = json!(percentile.to_string());
        assessment["security_publishedTime"] = json!(utc(scored));
        graph.add(&format!("{id}-epss"), "security_EpssVulnAssessmentRelationship", assessment);
    }
}
