//! VEX documents: what somebody states about vulnerabilities in products. Each statement that says "not affected" or
//! "fixed" becomes an exception with its author as owner and an end; [`super::waivers`] applies it.
//!
//! A statement counts only where everything that it says fits: a part that cannot be compared fits nothing.

mod csaf;
mod openvex;

use scanner::package::{Distribution, Package};
use scanner::purl::{Purl, purl};
use serde::Serialize;
use serde_json::{Map, Value};

use super::words::printable;
use crate::manifest::json::{self, JsonError};

/// Statements of one document, each about one product. Red Hat's documents about one CVE have some thousand.
const STATEMENTS_MAX: usize = 100_000;
/// Bytes of one document.
const BYTES_MAX: usize = 16 << 20;

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum VexError {
    /// No JSON, or with a key that stands twice.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Neither OpenVEX 0.2 nor CSAF VEX 2.0.
    #[error("neither OpenVEX 0.2.0 (`@context`) nor CSAF 2 VEX (`document.category = csaf_vex`)")]
    Format,
    /// A field that must be there.
    #[error("`{field}` is missing, or not what it must be: {expected}")]
    Field {
        /// Where.
        field: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A limit.
    #[error("over the limit: {0}")]
    Limit(String),
}

/// A document, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VexDocument {
    /// Who states it.
    pub author: String,
    /// In the order of the document.
    pub statements: Vec<Statement>,
}

/// What is stated about one vulnerability in one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// All names of the vulnerability.
    pub names: Vec<String>,
    /// The product, as the document writes it.
    pub product: String,
    /// Seconds since 1970-01-01 UTC: since when it is known to be true.
    pub at: i64,
    /// What is stated.
    pub status: Status,
    /// Where among its document's statements it stands: of equally old ones the last counts.
    #[serde(skip)]
    pub order: usize,
    #[serde(skip)]
    scope: Scope,
}

/// See the OpenVEX specification, "Status Labels".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Affected,
    /// This version holds the fix.
    Fixed,
    /// It is not, for this reason.
    NotAffected {
        /// Justification and impact statement.
        why: String,
    },
    /// Nobody knows yet.
    UnderInvestigation,
    /// It says what cannot be taken at its word, and counts like [`Status::UnderInvestigation`].
    Void {
        /// Why not.
        problem: &'static str,
    },
}

/// Which packages in which images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scope {
    images: Images,
    packages: Packages,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Images {
    Any,
    Named(NamedImage),
    /// Packages of a release of Red Hat's, named by its CPE.
    RedHat(String),
    /// Something that cannot be compared with an image.
    #[default]
    None,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Packages {
    All,
    /// Only what this package URL means.
    Meant(Purl),
    #[default]
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedImage {
    /// `registry.example/team/app`, or only its last part.
    name: String,
    /// Compare the last part of the repository alone.
    last_part_only: bool,
    tag: Option<String>,
    digest: Option<String>,
}

/// The image in question.
#[derive(Clone, Debug)]
pub(super) struct ImageIdentity<'a> {
    pub(super) repository: &'a str,
    pub(super) tag: Option<&'a str>,
    /// Of the manifest, and of the indexes that list it.
    pub(super) digests: Vec<&'a str>,
}

/// The package in question, under the names that a statement may give it.
#[derive(Clone, Debug)]
pub(super) struct NamedPackage {
    release: Option<String>,
    purls: Vec<Purl>,
}

impl NamedPackage {
    /// Its own package URL and its source's, each with both ways to name the release.
    pub(super) fn new(package: &Package, distribution: Option<&Distribution>) -> Self {
        let mut purls: Vec<Purl> = Purl::parse(&purl(package, distribution)).into_iter().collect();
        if let Some(source) = package.source.as_ref().filter(|_| package.kind.is_system()) {
            let built = Package {
                name: source.name.clone(),
                version: source.version.clone(),
                architecture: Some(
                    if package.kind.purl_type() == "rpm" { "src" } else { "source" }.to_owned(),
                ),
                ..Package::new(package.kind, String::new(), String::new())
            };
            purls.extend(Purl::parse(&purl(&built, distribution)));
        }
        if let Some(codename) = distribution.and_then(|distribution| distribution.codename.as_ref()) {
            for mut by_codename in purls.clone() {
                by_codename.qualifiers.insert("distro".to_owned(), codename.clone());
                purls.push(by_codename);
            }
        }
        let release = distribution.filter(|it| it.id == "rhel").and_then(|it| it.version_id.clone());
        Self { release, purls }
    }
}

impl Status {
    /// Whether a finding is waived by it.
    pub(super) fn waives(&self) -> bool {
        matches!(self, Self::Fixed | Self::NotAffected { .. })
    }
}

impl Statement {
    /// Whether it speaks of a vulnerability with one of these names.
    pub(super) fn names_one_of<'n>(&self, mut names: impl Iterator<Item = &'n String>) -> bool {
        names.any(|name| self.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }

    /// Whether it speaks of this package in this image.
    pub(super) fn means(&self, image: &ImageIdentity<'_>, package: &NamedPackage) -> bool {
        let image_fits = match &self.scope.images {
            Images::Any => true,
            Images::Named(named) => named.means(image),
            Images::RedHat(major) => package
                .release
                .as_ref()
                .is_some_and(|release| release.split('.').next() == Some(major.as_str())),
            Images::None => false,
        };
        image_fits
            && match &self.scope.packages {
                Packages::All => true,
                Packages::Meant(said) => package.purls.iter().any(|purl| {
                    // Without its word a name is the binary package's: a source of that name may be built into others.
                    let of_source = |purl: &Purl| {
                        purl.qualifiers.get("arch").is_some_and(|arch| arch == "source" || arch == "src")
                    };
                    said.means(purl) && of_source(said) == of_source(purl)
                }),
                Packages::None => false,
            }
    }

    /// The reason, as an exception gives it.
    pub(super) fn reason(&self, document: &str) -> String {
        let why = match &self.status {
            Status::NotAffected { why } => format!("not affected: {why}"),
            Status::Fixed => "fixed in this version".to_owned(),
            Status::Affected => "affected".to_owned(),
            Status::UnderInvestigation => "under investigation".to_owned(),
            Status::Void { problem } => (*problem).to_owned(),
        };
        format!("{}, stated in {}", printable(&why, 300), printable(document, 100))
    }
}

impl NamedImage {
    fn means(&self, image: &ImageIdentity<'_>) -> bool {
        let name_fits = if self.last_part_only {
            image.repository.rsplit('/').next() == Some(self.name.as_str())
        } else {
            image.repository == self.name
        };
        name_fits
            && self.tag.as_deref().is_none_or(|tag| image.tag == Some(tag))
            && self.digest.as_deref().is_none_or(|digest| image.digests.contains(&digest))
    }
}

/// Reads a document of either kind.
///
/// # Errors
/// See [`VexError`]. A statement that cannot be taken at its word is no error: it is [`Status::Void`].
pub fn parse(bytes: &[u8]) -> Result<VexDocument, VexError> {
    if bytes.len() > BYTES_MAX {
        return Err(VexError::Limit(format!("{} bytes, more than {BYTES_MAX}", bytes.len())));
    }
    let document = json::parse_object(bytes)?;
    let mut read = if document.contains_key("@context") {
        openvex::parse(&document)?
    } else if document.contains_key("document") {
        csaf::parse(&document)?
    } else {
        return Err(VexError::Format);
    };
    for (order, statement) in read.statements.iter_mut().enumerate() {
        statement.order = order;
    }
    Ok(read)
}

/// A package URL of an image or of a package.
fn scope_of(purl: Purl) -> Scope {
    if !matches!(purl.kind.as_str(), "oci" | "docker") {
        return Scope { images: Images::Any, packages: Packages::Meant(purl) };
    }
    named_image(purl)
        .map_or_else(Scope::default, |image| Scope { images: Images::Named(image), packages: Packages::All })
}

/// purl-spec, type `oci`: the version is the digest, the repository a qualifier. Whatever else it says cannot be compared.
fn named_image(purl: Purl) -> Option<NamedImage> {
    let mut qualifiers = purl.qualifiers;
    let (url, tag) = (qualifiers.remove("repository_url"), qualifiers.remove("tag"));
    if !qualifiers.is_empty() || purl.subpath.is_some() {
        return None;
    }
    let is_digest = purl.version.as_ref().is_some_and(|version| version.contains(':'));
    let (digest, version) = if is_digest { (purl.version, None) } else { (None, purl.version) };
    let path =
        if purl.namespace.is_empty() { purl.name } else { format!("{}/{}", purl.namespace, purl.name) };
    let (name, last_part_only) = match url {
        // The place where it may be found: with the name or without it.
        Some(url) if url == path || url.ends_with(&format!("/{path}")) => (url, false),
        Some(url) => (format!("{}/{path}", url.trim_end_matches('/')), false),
        None if purl.kind == "docker" => (hub_name(&path), false),
        None => (path, true),
    };
    // A tag said twice must be said alike.
    let tag = match (tag, version) {
        (Some(tag), Some(version)) if tag != version => return None,
        (tag, version) => tag.or(version),
    };
    Some(NamedImage { name, last_part_only, tag, digest })
}

/// purl-spec, type `docker`: without a repository the name is Docker Hub's.
fn hub_name(path: &str) -> String {
    if path.contains('/') { format!("docker.io/{path}") } else { format!("docker.io/library/{path}") }
}

fn text<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    object.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn missing(field: impl Into<String>, expected: &'static str) -> VexError {
    VexError::Field { field: field.into(), expected }
}

/// RFC 3339.
fn moment(text: &str, field: &str) -> Result<i64, VexError> {
    let moment: Result<jiff::Timestamp, _> = text.parse();
    moment.map(jiff::Timestamp::as_second).map_err(|_| missing(field, "a time such as 2026-01-31T12:00:00Z"))
}

/// A statement that waives must name a version to say "fixed": without one every version would be.
fn fixed(scope: &Scope) -> Status {
    let versioned = match (&scope.packages, &scope.images) {
        (Packages::Meant(purl), _) => purl.version.is_some(),
        (Packages::All, Images::Named(image)) => image.digest.is_some() || image.tag.is_some(),
        _ => false,
    };
    if versioned { Status::Fixed } else { Status::Void { problem: "says `fixed` of no version" } }
}

fn within_limit(statements: &[Statement]) -> Result<(), VexError> {
    if statements.len() > STATEMENTS_MAX {
        return Err(VexError::Limit(format!("more than {STATEMENTS_MAX} statements")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
