//! CycloneDX 1.6 JSON: the inventory with its vulnerabilities. What could not be read makes it say "incomplete".

use std::collections::{BTreeMap, BTreeSet};

use scanner::finding::{Cvss, Finding, Severity};
use serde_json::{Value, json};

use super::danger::{EPSS, KEV};
use super::inventory::{Component, components, document_uuid, hides_packages, image_name, moment};
use super::{CheckReport, RenderError};
use crate::gate::words::day;

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
            let rated_by = finding.risk.severity_source.as_deref().unwrap_or(&finding.source);
            ratings.insert((rated_by, severity(finding.severity), finding.risk.cvss.as_ref()));
            let package = &finding.package.name;
            fixes.extend(
                finding.fixed_version.as_ref().map(|fixed| format!("update {package} to {fixed} or later")),
            );
        }
        let source = findings.iter().map(|(_, finding)| finding.source.as_str()).min().unwrap_or("unknown");
        let mut ratings: Vec<Value> =
            ratings.into_iter().map(|(source, severity, cvss)| rating(source, severity, cvss)).collect();
        let (predicted, properties) = danger(&findings);
        ratings.extend(predicted);
        let mut vulnerability = json!({
            "bom-ref": format!("vulnerability-{id}"),
            "id": id,
            "source": {"name": source},
            "ratings": ratings,
            "affects": affects.iter().map(|reference| json!({"ref": reference})).collect::<Vec<_>>(),
        });
        if let Some(summary) = findings.iter().find_map(|(_, finding)| finding.summary.as_ref()) {
            vulnerability["description"] = json!(summary);
        }
        if !properties.is_empty() {
            vulnerability["properties"] = json!(properties);
        }
        if !fixes.is_empty() {
            vulnerability["recommendation"] = json!(fixes.into_iter().collect::<Vec<_>>().join("; "));
        }
        vulnerabilities.push(vulnerability);
    }
    vulnerabilities
}

fn rating(source: &str, severity: &str, cvss: Option<&Cvss>) -> Value {
    let mut rating = json!({"source": {"name": source}, "severity": severity});
    if let Some(Cvss { score, vector }) = cvss {
        let method = match vector.split('/').next() {
            Some("CVSS:3.0") => "CVSSv3",
            Some("CVSS:3.1") => "CVSSv31",
            Some("CVSS:4.0") => "CVSSv4",
            _ => "CVSSv2",
        };
        rating["score"] = json!(score);
        rating["method"] = json!(method);
        rating["vector"] = json!(vector);
    }
    rating
}

/// The prediction, which is a rating, and what the format has properties for alone. All findings of a problem say the same.
fn danger(findings: &[(usize, &Finding)]) -> (Option<Value>, Vec<Value>) {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: String| {
        properties.push(json!({"name": format!("portcullis:{name}"), "value": value}))
    };
    if let Some(exploited) = findings.iter().find_map(|(_, finding)| finding.risk.exploited) {
        add("exploited:since", day(exploited.since));
        add("exploited:ransomware", exploited.ransomware.to_string());
        add("exploited:catalogue", KEV.to_owned());
    }
    let epss = findings.iter().find_map(|(_, finding)| finding.risk.epss);
    if let Some(epss) = epss {
        add("epss:probability", epss.probability.to_string());
        add("epss:percentile", epss.percentile.to_string());
    }
    let rating = epss.map(|epss| {
        json!({
            "source": {"name": "EPSS", "url": EPSS},
            "score": epss.probability,
            "method": "other",
            "justification": format!("probability of use within thirty days; percentile {}", epss.percentile),
        })
    });
    (rating, properties)
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
