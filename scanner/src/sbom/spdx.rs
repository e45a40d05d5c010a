//! SPDX 2.2 and 2.3, JSON (spdx.github.io/spdx-spec).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Gathering, Inventory, Listed, SbomError};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    packages: Option<Vec<Package>>,
    #[serde(default, rename = "documentDescribes")]
    describes: Option<Vec<String>>,
    #[serde(default)]
    relationships: Option<Vec<Relationship>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(default, rename = "SPDXID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version_info: Option<String>,
    #[serde(default)]
    primary_package_purpose: Option<String>,
    #[serde(default)]
    source_info: Option<String>,
    #[serde(default)]
    external_refs: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    reference_type: String,
    #[serde(default)]
    reference_locator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    #[serde(default)]
    spdx_element_id: String,
    #[serde(default)]
    relationship_type: String,
    #[serde(default)]
    related_spdx_element: String,
}

pub(super) fn parse(bytes: &[u8], format: String) -> Result<Inventory, SbomError> {
    let document: Document = serde_json::from_slice(bytes)?;
    let mut gathering = Gathering::new();
    let related = document.relationships.iter().flatten();
    let described: BTreeSet<&str> = related
        .filter(|it| it.spdx_element_id == "SPDXRef-DOCUMENT" && it.relationship_type == "DESCRIBES")
        .map(|it| it.related_spdx_element.as_str())
        .chain(document.describes.iter().flatten().map(String::as_str))
        .collect();
    for package in document.packages.iter().flatten() {
        let purpose = package.primary_package_purpose.as_deref().unwrap_or_default();
        if purpose == "OPERATING-SYSTEM" || purpose == "OPERATING_SYSTEM" {
            gathering.systems.insert((package.name.clone(), package.version_info.clone()));
            continue;
        }
        let purls: Vec<String> = package
            .external_refs
            .iter()
            .flatten()
            .filter(|reference| reference.reference_type == "purl")
            .map(|reference| reference.reference_locator.clone())
            .collect();
        // The image itself, an archive, a file: the inside is listed beside it.
        let is_whole = described.contains(package.id.as_str())
            || matches!(purpose, "APPLICATION" | "ARCHIVE" | "CONTAINER" | "FILE" | "SOURCE");
        if purls.is_empty() && is_whole
            || purls.iter().all(|purl| purl.starts_with("pkg:oci/")) && !purls.is_empty()
        {
            continue;
        }
        gathering.add(Listed {
            name: package.name.clone(),
            version: package.version_info.clone(),
            purls,
            place: None,
            source: package.source_info.as_deref().and_then(built_from),
        })?;
    }
    Ok(gathering.finish(format))
}

/// `built package from: openssl 1.1.1n-0+deb11u3`, as some producers write it.
fn built_from(info: &str) -> Option<String> {
    let rest = info.split_once("built package from: ")?.1;
    let line = rest.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
