//! SPDX 2.3 JSON: the inventory. It has no place for verdicts, and so holds none.

use serde_json::{Value, json};

use super::inventory::{components, document_uuid, image_name, moment};
use super::{CheckReport, RenderError};
use crate::digest::Digest;

pub(super) fn render(report: &CheckReport) -> Result<String, RenderError> {
    let components = components(report);
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    let relate = |from: &str, kind: &str, to: &str| json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
    for (number, platform) in report.scans.iter().enumerate() {
        let image = format!("SPDXRef-Image-{number}");
        let mut described =
            package(&image, &image_name(report, platform), platform.digest.as_deref(), "CONTAINER");
        let unknown: Vec<String> =
            platform.scan.unknown.iter().map(|unknown| json!(unknown).to_string()).collect();
        if !unknown.is_empty() {
            described["comment"] = json!(format!("could not be judged: {}", unknown.join(" ")));
        }
        packages.push(described);
        relationships.push(relate("SPDXRef-DOCUMENT", "DESCRIBES", &image));
        if let Some(distribution) = &platform.scan.distribution {
            let id = format!("SPDXRef-System-{number}");
            packages.push(package(
                &id,
                &distribution.id,
                distribution.version_id.as_deref(),
                "OPERATING-SYSTEM",
            ));
            relationships.push(relate(&image, "CONTAINS", &id));
        }
        for component in components.iter().filter(|component| component.scan == number) {
            // An identifier has letters, digits, `.` and `-` only (SPDX 2.3 §3.2).
            let id =
                format!("SPDXRef-Package-{}", &Digest::sha256_of(component.reference.as_bytes()).hex()[..16]);
            let found = component.found;
            let mut entry = package(&id, &found.package.name, Some(&found.package.version), "LIBRARY");
            entry["externalRefs"] = json!([{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": &component.purl,
            }]);
            // In the words that other tools read the source package from.
            let source = found.package.source.as_ref();
            let source = source.map_or_else(String::new, |source| {
                format!("built package from: {} {}\n", source.name, source.version)
            });
            entry["sourceInfo"] = json!(format!("{source}listed in {}, layer {}", found.path, found.layer));
            packages.push(entry);
            relationships.push(relate(&image, "CONTAINS", &id));
        }
    }
    if report.scans.is_empty() {
        packages.push(package("SPDXRef-Image", &report.repository, report.digest.as_deref(), "CONTAINER"));
        relationships.push(relate("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"));
    }
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": &report.repository,
        "documentNamespace": format!("https://spdx.org/spdxdocs/portcullis-{}", document_uuid("spdx", report)?),
        "creationInfo": {
            "created": format!("{}Z", moment(report)),
            "creators": [concat!("Tool: portcullis-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    Ok(format!("{document:#}\n"))
}

fn package(id: &str, name: &str, version: Option<&str>, purpose: &str) -> Value {
    let mut package = json!({
        "SPDXID": id,
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": purpose,
    });
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        package["versionInfo"] = json!(version);
    }
    package
}
