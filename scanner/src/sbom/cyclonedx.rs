//! CycloneDX 1.4 to 1.6, JSON (cyclonedx.org/docs).

use serde::Deserialize;

use super::{Gathering, Inventory, Listed, SbomError};
use crate::limits::SBOM_DEPTH_MAX;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    components: Option<Vec<Component>>,
    #[serde(default)]
    compositions: Option<Vec<Composition>>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    components: Option<Vec<Component>>,
    #[serde(default)]
    evidence: Option<Evidence>,
    #[serde(default)]
    properties: Option<Vec<Property>>,
}

#[derive(Deserialize)]
struct Evidence {
    #[serde(default)]
    occurrences: Option<Vec<Occurrence>>,
}

#[derive(Deserialize)]
struct Occurrence {
    #[serde(default)]
    location: Option<String>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
struct Composition {
    #[serde(default)]
    aggregate: String,
}

/// Properties in which producers tell the source package: name, and version beside it.
const SOURCES: [(&str, &str); 4] = [
    ("aquasecurity:trivy:SrcName", "aquasecurity:trivy:SrcVersion"),
    ("portcullis:source", ""),
    ("syft:metadata:originPackage", ""),
    ("syft:metadata:source", "syft:metadata:sourceVersion"),
];

pub(super) fn parse(bytes: &[u8], format: String) -> Result<Inventory, SbomError> {
    let document: Document = serde_json::from_slice(bytes)?;
    let mut gathering = Gathering::new();
    let mut open: Vec<(Component, usize)> =
        document.components.into_iter().flatten().map(|component| (component, 0)).collect();
    while let Some((component, depth)) = open.pop() {
        if depth > SBOM_DEPTH_MAX {
            return Err(SbomError::Limit(format!("components {SBOM_DEPTH_MAX} deep")));
        }
        let Component { kind, name, version, purl, components, evidence, properties } = component;
        open.extend(components.into_iter().flatten().map(|inner| (inner, depth + 1)));
        match (kind.as_str(), &purl) {
            ("operating-system", _) => {
                gathering.systems.insert((name, version));
            }
            // Without a name that others know, only what calls itself a library must be one.
            ("framework" | "library", None) | (_, Some(_)) => {
                let place =
                    evidence.and_then(|it| it.occurrences).into_iter().flatten().find_map(|it| it.location);
                let source = source(properties.as_deref().unwrap_or_default());
                gathering.add(Listed { name, version, purls: purl.into_iter().collect(), place, source })?;
            }
            _ => {}
        }
    }
    let incomplete = ["incomplete", "incomplete_first_party_only", "incomplete_third_party_only"];
    let says = |it: &Composition| incomplete.contains(&it.aggregate.as_str());
    if document.compositions.iter().flatten().any(says) {
        gathering.incomplete("it says of itself that it is incomplete (`compositions`)");
    }
    Ok(gathering.finish(format))
}

fn source(properties: &[Property]) -> Option<String> {
    let value = |name: &str| {
        let found = properties.iter().find(|property| !name.is_empty() && property.name == name);
        found.and_then(|property| property.value.clone()).filter(|value| !value.is_empty())
    };
    SOURCES.iter().find_map(|(name, version)| {
        let name = value(name)?;
        Some(value(version).map_or(name.clone(), |version| format!("{name}@{version}")))
    })
}
