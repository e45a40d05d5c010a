//! OpenVEX 0.2.0 (github.com/openvex/spec, OPENVEX-SPEC.md).

use scanner::purl::Purl;
use serde_json::{Map, Value};

use super::{
    Images, NamedImage, Packages, Scope, Statement, Status, VexDocument, VexError, fixed, missing, moment,
    scope_of, text, within_limit,
};
use crate::reference::ImageReference;

const CONTEXT: &str = "https://openvex.dev/ns/v0.2.0";

/// "Status Justifications": a closed list.
const JUSTIFICATIONS: [&str; 5] = [
    "component_not_present",
    "inline_mitigations_already_exist",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_not_present",
];

/// "Product Data Structure". What stands beside these may narrow what is meant.
const PRODUCT_KEYS: [&str; 6] = ["@id", "@type", "hashes", "identifiers", "subcomponents", "supplier"];

pub(super) fn parse(document: &Map<String, Value>) -> Result<VexDocument, VexError> {
    if document.get("@context").and_then(Value::as_str) != Some(CONTEXT) {
        return Err(VexError::Format);
    }
    let author = text(document, "author").ok_or_else(|| missing("author", "who states it"))?;
    let stamp = text(document, "timestamp").ok_or_else(|| missing("timestamp", "when it was stated"))?;
    let stated = moment(stamp, "timestamp")?;
    let list = document.get("statements").and_then(Value::as_array);
    let mut statements = Vec::new();
    for (number, value) in list.ok_or_else(|| missing("statements", "a list"))?.iter().enumerate() {
        let field = |key: &str| format!("statements[{number}].{key}");
        let statement =
            value.as_object().ok_or_else(|| missing(format!("statements[{number}]"), "an object"))?;
        let at = match text(statement, "timestamp") {
            Some(stamp) => moment(stamp, &field("timestamp"))?,
            // "Timestamps cascade": a statement's own goes before the document's.
            None => stated,
        };
        let names =
            names(statement).ok_or_else(|| missing(field("vulnerability"), "an object with `name`"))?;
        let products = statement.get("products").and_then(Value::as_array);
        let products = products.filter(|products| !products.is_empty());
        for product in products.ok_or_else(|| missing(field("products"), "a list of products"))? {
            for (product, scope) in scopes(product) {
                let status = status(statement, &scope)
                    .ok_or_else(|| missing(field("status"), "one of the four status labels"))?;
                statements.push(Statement { names: names.clone(), product, at, status, order: 0, scope });
            }
            within_limit(&statements)?;
        }
    }
    Ok(VexDocument { author: author.to_owned(), statements })
}

fn names(statement: &Map<String, Value>) -> Option<Vec<String>> {
    let vulnerability = statement.get("vulnerability")?.as_object()?;
    let aliases = vulnerability.get("aliases").and_then(Value::as_array).into_iter().flatten();
    let name = text(vulnerability, "name")?.to_owned();
    Some(std::iter::once(name).chain(aliases.filter_map(Value::as_str).map(str::to_owned)).collect())
}

fn status(statement: &Map<String, Value>, scope: &Scope) -> Option<Status> {
    Some(match text(statement, "status")? {
        "affected" => Status::Affected,
        "fixed" => fixed(scope),
        "under_investigation" => Status::UnderInvestigation,
        "not_affected" => {
            let justification = text(statement, "justification").filter(|word| JUSTIFICATIONS.contains(word));
            let impact = text(statement, "impact_statement");
            match (justification, impact) {
                (Some(word), Some(impact)) => Status::NotAffected { why: format!("{word}; {impact}") },
                (Some(why), None) | (None, Some(why)) => Status::NotAffected { why: why.to_owned() },
                (None, None) => {
                    Status::Void { problem: "says `not_affected` without justification or impact statement" }
                }
            }
        }
        _ => return None,
    })
}

/// One product: an image, a package, or packages in an image.
fn scopes(product: &Value) -> Vec<(String, Scope)> {
    let (name, scope) = component(product);
    // A misspelt `subcomponents` would make a statement about one package one about all.
    let is_known = |key: &String| PRODUCT_KEYS.contains(&key.as_str());
    if !product.as_object().is_none_or(|product| product.keys().all(is_known)) {
        return vec![(name, Scope::default())];
    }
    let parts = product.get("subcomponents").and_then(Value::as_array).filter(|parts| !parts.is_empty());
    let Some(parts) = parts else { return vec![(name, scope)] };
    // A package that holds another is no image: where else the other one is used cannot be told.
    let whole_image = matches!((&scope.images, &scope.packages), (Images::Named(_), Packages::All));
    let part = |part: &Value| {
        let (part, inner) = component(part);
        let packages = match inner.packages {
            packages @ Packages::Meant(_) if whole_image && inner.images == Images::Any => packages,
            _ => Packages::None,
        };
        (format!("{part} in {name}"), Scope { images: scope.images.clone(), packages })
    };
    parts.iter().map(part).collect()
}

fn component(value: &Value) -> (String, Scope) {
    let id = value.get("@id").and_then(Value::as_str).or_else(|| value.as_str()).unwrap_or_default();
    let purl = value.get("identifiers").and_then(|it| it.get("purl")).and_then(Value::as_str);
    let name = purl.unwrap_or(id);
    let scope = match Purl::parse(name) {
        Some(purl) => scope_of(purl),
        None => by_reference(name).unwrap_or_default(),
    };
    (name.to_owned(), scope)
}

/// `registry.example/team/app@sha256:…`. Without a digest a text could be anything.
fn by_reference(text: &str) -> Option<Scope> {
    let reference = ImageReference::parse(text).ok()?;
    let digest = Some(reference.digest()?.to_string());
    let tag = reference.tag().map(str::to_owned);
    let image = NamedImage { name: reference.name(), last_part_only: false, tag, digest };
    Some(Scope { images: Images::Named(image), packages: Packages::All })
}
