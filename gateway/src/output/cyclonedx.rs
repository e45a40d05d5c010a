//! CycloneDX 1.6 JSON: the inventory with its vulnerabilities. What could not be read makes it say "incomplete".

use std::collections::{BTreeMap, BTreeSet};

use scanner::finding::{Finding, Severity};
use serde_json::{Value, json};

use super::inventory::{Component, components, document_uuid, hides_packages, image_name, moment};
use super::{CheckReport, RenderError};

pub(super) fn render(report: &CheckReport) -> Result<String, RenderError> {
    let components = components(report);
    let mut listed = Vec::new();
    let mut dependencies = Vec::new();
    for (number, platform) in report.scans.iter().enumerate() {
        let image = format!("image-{number}");
        let mut inside: BTreeSet<String> = BTreeSet::new();
        listed.push(json!({
            "bom-ref": &image,
            "type": "container",
            "name": image_name(report, platform),
            "version": platform.digest.as_deref().unwrap_or("unknown"),
        }));
        if let Some(distribution) = &platform.scan.distribution {
            let reference = format!("system-{number}");
            let mut system =
                json!({"bom-ref": &reference, "type": "operating-system", "name": &distribution.id});
            if let Some(version) = &distribution.version_id {
                system["version"] = json!(version);
            }
            listed.push(system);
            inside.insert(reference);
        }
        for component in components.iter().filter(|component| component.scan == number) {
            listed.push(library(report, component));
            inside.insert(component.reference.clone());
        }
        dependencies.push(json!({"ref": image, "dependsOn": inside}));
    }
    let aggregate =
        if report.scans.is_empty() || report.scans.iter().any(|scan| hides_packages(&scan.scan.unknown)) {
            "incomplete"
        } else {
            "unknown"
        };
    let mut metadata = json!({
        "tools": {"components": [{"type": "application", "name": "portcullis", "version": env!("CARGO_PKG_VERSION")}]},
        "component": {
            "bom-ref": "subject",
            "type": "container",
            "name": &report.repository,
            "version": report.digest.as_deref().or(report.tag.as_deref()).unwrap_or("unknown"),
        },
        "properties": unknowns(report),
    });
    if report.stamped_at.is_some() {
        metadata["timestamp"] = json!(format!("{}Z", moment(report)));
    }
    let images: Vec<String> = (0..report.scans.len()).map(|number| format!("image-{number}")).collect();
    dependencies.push(json!({"ref": "subject", "dependsOn": &images}));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", document_uuid("cyclonedx", report)?),
        "version": 1,
        "metadata": metadata,
        "components": listed,
        "dependencies": dependencies,
        "compositions": [{"aggregate": aggregate, "assemblies": ["subject"]}],
        "vulnerabilities": vulnerabilities(report, &components),
    });
    Ok(format!("{document:#}\n"))
}

/// Why "no vulnerability" is not "clean", where a reader of the document finds it.
fn unknowns(report: &CheckReport) -> Vec<Value> {
    let mut properties = vec![json!({"name": "portcullis:verdict", "value": report.verdict})];
    for scan in &report.scans {
        for unknown in &scan.scan.unknown {
            properties.push(json!({"name": "portcullis:unknown", "value": json!(unknown).to_string()}));
        }
    }
    properties
}

fn library(report: &CheckReport, component: &Component<'_>) -> Value {
    let found = component.found;
    let layer = report.scans.get(component.scan).and_then(|scan| scan.scan.layers.get(found.layer));
    let mut properties = vec![json!({"name": "portcullis:layer:index", "value": found.layer.to_string()})];
    properties.extend(layer.map(|layer| json!({"name": "portcullis:layer:digest", "value": &layer.digest})));
    if let Some(source) = &found.package.source {
        let value = format!("{} {}", source.name, source.version);
        properties.push(json!({"name": "portcullis:source", "value": value}));
    }
    json!({
        "bom-ref": &component.reference,
        "type": "library",
        "name": &found.package.name,
        "version": &found.package.version,
        "purl": &component.purl,
        "evidence": {"occurrences": [{"location": &found.path}]},
        "properties": properties,
    })
}

fn vulnerabilities(report: &CheckReport, components: &[Component<'_>]) -> Vec<Value> {
    let mut by_id: BTreeMap<&str, Vec<(usize, &Finding)>> = BTreeMap::new();
    for (number, scan) in report.scans.iter().enumerate() {
        for finding in &scan.scan.findings {
            by_id.entry(&finding.id).or_default().push((number, finding));
        }
    }
    let mut vulnerabilities = Vec::new();
    for (id, findings) in by_id {
        let mut affects = BTreeSet::new();
        let mut fixes = BTreeSet::new();
        let mut ratings = BTreeSet::new();
        for (number, finding) in &findings {
            let is_meant = |it: &&Component<'_>| {
                it.scan == *number && !it.found.owned && it.found.package == finding.package
            };
            affects.extend(components.iter().filter(is_meant).map(|it| it.reference.as_str()));
            ratings.insert((finding.source.as_str(), severity(finding.severity)));
            let package = &finding.package.name;
            fixes.extend(
                finding.fixed_version.as_ref().map(|fixed| format!("update {package} to {fixed} or later")),
            );
        }
        let source = ratings.iter().next().map_or("unknown", |(source, _)| source);
        let mut vulnerability = json!({
            "bom-ref": format!("vulnerability-{id}"),
            "id": id,
            "source": {"name": source},
            "ratings": ratings.iter().map(|(source, severity)| json!({"source": {"name": source}, "severity": severity})).collect::<Vec<_>>(),
            "affects": affects.iter().map(|reference| json!({"ref": reference})).collect::<Vec<_>>(),
        });
        if let Some(summary) = findings.iter().find_map(|(_, finding)| finding.summary.as_ref()) {
            vulnerability["description"] = json!(summary);
        }
        if !fixes.is_empty() {
            vulnerability["recommendation"] = json!(fixes.into_iter().collect::<Vec<_>>().join("; "));
        }
        vulnerabilities.push(vulnerability);
    }
    vulnerabilities
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
        Severity::Negligible => "info",
        Severity::Unknown => "unknown",
    }
}
