//! SARIF 2.1.0: one result for each reason and warning, as code-scanning pages read it.

use std::collections::BTreeMap;

use scanner::finding::Risk;
use serde_json::{Value, json};

use super::danger::{risks, sortable};
use super::{CheckReport, RenderError};
use crate::digest::Digest;
use crate::gate::verdict::Reason;
use crate::gate::words::printable;

/// Longest text from the image in one message, in characters.
const MESSAGE_MAX: usize = 2000;

pub(super) fn render(report: &CheckReport) -> Result<String, RenderError> {
    let denied = report.reasons.iter().map(|reason| (reason, "error"));
    let told: Vec<(&Reason, &str)> =
        denied.chain(report.warnings.iter().map(|reason| (reason, "warning"))).collect();
    // As reasons name what was found.
    let risks: BTreeMap<String, &Risk> =
        risks(report).into_iter().map(|(id, risk)| (printable(id, 60), risk)).collect();
    let risk = |reason: &Reason| reason.finding.as_ref().and_then(|id| risks.get(id)).copied();
    let mut rules: BTreeMap<String, Value> = BTreeMap::new();
    for (reason, _) in &told {
        rules.entry(rule_id(reason)).or_insert_with(|| rule(reason, risk(reason)));
    }
    let order: BTreeMap<&String, usize> = rules.keys().enumerate().map(|(index, id)| (id, index)).collect();
    let results: Vec<Value> = told
        .iter()
        .map(|(reason, level)| {
            let id = rule_id(reason);
            let index = order.get(&id).copied();
            result(report, reason, level, &id, index)
        })
        .collect();
    let mut notices = Vec::new();
    if report.omitted > 0 {
        let text = format!("{} more reasons were left out", report.omitted);
        notices.push(json!({"level": "warning", "message": {"text": text}}));
    }
    Ok(document(
        rules.into_values().collect(),
        results,
        json!({"executionSuccessful": true, "toolExecutionNotifications": notices}),
    ))
}

pub(super) fn render_undecided(image: &str, problem: &str) -> String {
    let text =
        format!("could not decide about {}: {}", printable(image, 300), printable(problem, MESSAGE_MAX));
    let invocation = json!({
        "executionSuccessful": false,
        "toolExecutionNotifications": [{"level": "error", "message": {"text": text}}],
    });
    document(Vec::new(), Vec::new(), invocation)
}

fn document(rules: Vec<Value>, results: Vec<Value>, invocation: Value) -> String {
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "portcullis", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "invocations": [invocation],
            "results": results,
            "columnKind": "unicodeCodePoints",
        }],
    });
    format!("{document:#}\n")
}

/// A vulnerability is its own rule, so that a page can close it everywhere; all else goes by its check.
fn rule_id(reason: &Reason) -> String {
    match (&reason.finding, reason.check.as_str()) {
        (Some(finding), "vulnerability") => printable(finding, 100),
        _ => format!("portcullis/{}", reason.check),
    }
}

fn rule(reason: &Reason, risk: Option<&Risk>) -> Value {
    let id = rule_id(reason);
    let mut tags = vec!["security", &reason.check];
    if reason.exploited_since.is_some() {
        tags.push("known-exploited");
    }
    if risk.and_then(|risk| risk.exploited).is_some_and(|exploited| exploited.ransomware) {
        tags.push("ransomware");
    }
    let mut rule = json!({
        "id": &id,
        "name": &reason.check,
        "shortDescription": {"text": &id},
        "properties": {"tags": tags},
    });
    if let Some(severity) = reason.severity {
        let cvss = risk.and_then(|risk| risk.cvss.as_ref());
        rule["properties"]["security-severity"] = json!(sortable(severity, cvss));
    }
    if let Some(cvss) = risk.and_then(|risk| risk.cvss.as_ref()) {
        rule["properties"]["cvss"] = json!(cvss);
    }
    if let Some(since) = &reason.exploited_since {
        rule["properties"]["exploitedSince"] = json!(since);
    }
    if let Some(epss) = risk.and_then(|risk| risk.epss) {
        rule["properties"]["epss"] = json!(epss);
    }
    rule
}

fn result(report: &CheckReport, reason: &Reason, level: &str, id: &str, index: Option<usize>) -> Value {
    // The same finding has the same mark in the next build, whatever its layer is then.
    let parts = (
        id,
        &reason.platform,
        &reason.package,
        &reason.finding,
        reason.package.is_none().then_some(&reason.message),
    );
    let mark = Digest::sha256_of(json!(parts).to_string().as_bytes());
    let place = reason.layer.as_ref().map_or_else(
        || "image".to_owned(),
        |layer| {
            let made_by = layer.instruction.as_deref().unwrap_or(&layer.digest);
            format!("layer {}: {}", layer.index, printable(made_by, 300))
        },
    );
    let text = format!("{} ({place}); next: {}", reason.message, reason.next_step);
    let mut result = json!({
        "ruleId": id,
        "level": level,
        "message": {"text": printable(&text, MESSAGE_MAX)},
        "locations": [{
            // Pages want a file; an image has none, so its repository stands for it.
            "physicalLocation": {"artifactLocation": {"uri": uri(&report.repository)}, "region": {"startLine": 1}},
            "logicalLocations": [{"fullyQualifiedName": place}],
        }],
        "partialFingerprints": {"portcullis/v1": mark.hex()},
    });
    if let Some(index) = index {
        result["ruleIndex"] = json!(index);
    }
    result
}

/// A relative reference (RFC 3986 §4.2): a colon in its first segment would make it a scheme.
fn uri(repository: &str) -> String {
    repository.replace(':', "%3A")
}
