//! GitLab's container-scanning report, schema 15: every vulnerability that was found, refused or not.

use scanner::finding::{Finding, Severity};
use serde_json::{Map, Value, json};

use super::danger::{EPSS, KEV};
use super::inventory::moment;
use super::{CheckReport, PlatformScan, RenderError};
use crate::digest::Digest;
use crate::gate::words::{day, printable};

pub(super) fn render(report: &CheckReport) -> Result<String, RenderError> {
    let tag = report.tag.as_deref().unwrap_or("latest");
    let image = match &report.digest {
        Some(digest) => format!("{}:{tag}@{digest}", report.repository),
        None => format!("{}:{tag}", report.repository),
    };
    let mut vulnerabilities = Vec::new();
    let mut messages = Vec::new();
    for scan in &report.scans {
        vulnerabilities.extend(scan.scan.findings.iter().map(|finding| vulnerability(&image, scan, finding)));
        // An empty list must not read as "clean".
        messages.extend(scan.scan.unknown.iter().map(
            |unknown| json!({"level": "warn", "value": format!("could not be judged: {}", json!(unknown))}),
        ));
    }
    Ok(document(&moment(report), "success", &messages, &vulnerabilities))
}

pub(super) fn render_undecided(image: &str, problem: &str) -> String {
    let value = format!("could not decide about {}: {}", printable(image, 300), printable(problem, 2000));
    document("1970-01-01T00:00:00", "failure", &[json!({"level": "fatal", "value": value})], &[])
}

fn document(moment: &str, status: &str, messages: &[Value], vulnerabilities: &[Value]) -> String {
    let tool = json!({
        "id": "portcullis",
        "name": "Portcullis",
        "version": env!("CARGO_PKG_VERSION"),
        "vendor": {"name": "Portcullis"},
    });
    let document = json!({
        "version": "15.0.7",
        "scan": {
            "analyzer": &tool,
            "scanner": &tool,
            "type": "container_scanning",
            "start_time": moment,
            "end_time": moment,
            "status": status,
            "messages": messages,
        },
        "vulnerabilities": vulnerabilities,
        "remediations": [],
    });
    format!("{document:#}\n")
}

fn vulnerability(image: &str, scan: &PlatformScan, finding: &Finding) -> Value {
    let package = &finding.package;
    let system = scan.scan.distribution.as_ref().map_or_else(
        || "unknown".to_owned(),
        |distribution| {
            let release = distribution.version_id.as_deref().unwrap_or("unknown");
            format!("{} {release}", distribution.id)
        },
    );
    let key = json!([&finding.id, package.kind, &package.name, &package.version, &scan.platform]).to_string();
    let severity = match finding.severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Negligible => "Info",
        Severity::Unknown => "Unknown",
    };
    let solution = match &finding.fixed_version {
        Some(fixed) => format!("update {} to {fixed} or later", package.name),
        None => "no fixed version is known".to_owned(),
    };
    let names = std::iter::once(&finding.id).chain(&finding.aliases);
    let identifiers: Vec<Value> =
        names.map(|name| json!({"type": identifier(name), "name": name, "value": name})).collect();
    let mut vulnerability = json!({
        "id": Digest::sha256_of(key.as_bytes()).hex(),
        "name": format!("{} in {} {}", finding.id, package.name, package.version),
        "description": finding.summary.as_deref().unwrap_or(&finding.id),
        "severity": severity,
        "solution": solution,
        "identifiers": identifiers,
        "location": {
            "dependency": {"package": {"name": &package.name}, "version": &package.version},
            "operating_system": system,
            "image": image,
        },
    });
    let details = details(finding);
    if !details.is_empty() {
        vulnerability["details"] = Value::Object(details);
    }
    let links: Vec<Value> = [finding.risk.exploited.map(|_| KEV), finding.risk.epss.map(|_| EPSS)]
        .into_iter()
        .flatten()
        .map(|url| json!({"url": url}))
        .collect();
    if !links.is_empty() {
        vulnerability["links"] = json!(links);
    }
    vulnerability
}

/// What the format has no key of its own for; pages show each with its name.
fn details(finding: &Finding) -> Map<String, Value> {
    let mut details = Map::new();
    let mut add = |key: &str, kind: &str, name: &str, value: Value| {
        details.insert(key.to_owned(), json!({"type": kind, "name": name, "value": value}));
    };
    let risk = &finding.risk;
    if let Some(exploited) = risk.exploited {
        add(
            "known_exploited_since",
            "text",
            "Known to be used in attacks since",
            json!(day(exploited.since)),
        );
        add("known_ransomware", "value", "Used by ransomware", json!(exploited.ransomware));
    }
    if let Some(epss) = risk.epss {
        add("epss_probability", "value", "EPSS probability", json!(epss.probability));
        add("epss_percentile", "value", "EPSS percentile", json!(epss.percentile));
    }
    if let Some(cvss) = &risk.cvss {
        add("cvss_score", "value", "CVSS score", json!(cvss.score));
        add("cvss_vector", "text", "CVSS vector", json!(cvss.vector));
    }
    if let Some(source) = &risk.severity_source {
        add("severity_source", "text", "Rated by", json!(source));
    }
    details
}

fn identifier(name: &str) -> &'static str {
    if name.starts_with("CVE-") {
        "cve"
    } else if name.starts_with("GHSA-") {
        "ghsa"
    } else {
        "advisory"
    }
}
