//! Which stored images hold what an advisory or a package URL speaks of: asked of kept inventories, in milliseconds.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use packageurl::PackageUrl;
use rusqlite::Connection;
use scanner::advisory::{Advisories, AdvisoryError};
use scanner::report::ImagePackage;
use serde::Serialize;

use crate::gate::evidence::State;
use crate::judge::inventories::{find, package_ecosystem};
use crate::records::{RecordError, inventories, manifests};

/// Keys read at once.
const STEP: u32 = 1000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A problem by any of its names: `CVE-2026-0001`, `GHSA-…`, `ALAS-…`.
    Advisory(String),
    /// A package of a kind and a name, in one version or in any.
    Package {
        /// The type of its package URL: `deb`, `pypi`.
        purl_type: String,
        /// Its name as its package manager writes it.
        name: String,
        /// `None`: any.
        version: Option<String>,
    },
}

/// One image that holds it, in one repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Affected {
    /// Where.
    pub repository: String,
    /// Its tags there, for consumers where it is released.
    pub tags: Vec<String>,
    /// Digest of the image's manifest.
    pub digest: String,
    /// Where it stands.
    pub state: State,
    /// Name and version of the package.
    pub package: String,
    /// The database that lists it.
    pub path: String,
    /// Which layer brought it.
    pub layer: usize,
    /// The version without the problem, where one is known.
    pub fixed_version: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AffectedError {
    /// The advisories cannot be read.
    #[error("the advisories cannot be read")]
    Advisories(#[from] AdvisoryError),
    /// The question names an advisory, and there are none.
    #[error("which packages `{0}` speaks of is in the advisories; give them with --advisories")]
    NoAdvisories(String),
    /// The records failed.
    #[error("the records failed")]
    Records(#[from] RecordError),
}

impl Question {
    /// `pkg:…` is a package URL, everything else the name of an advisory.
    ///
    /// # Errors
    /// What is wrong with a package URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("pkg:") {
            return Ok(Self::Advisory(text.to_owned()));
        }
        let purl =
            PackageUrl::from_str(text).map_err(|error| format!("`{text}` is no package URL: {error}"))?;
        let (purl_type, name) = (purl.ty().to_owned(), purl.name());
        let name = match (purl_type.as_str(), purl.namespace()) {
            ("maven", Some(group)) => format!("{group}:{name}"),
            ("composer" | "golang" | "npm", Some(namespace)) => format!("{namespace}/{name}"),
            // Of a distribution's package the namespace is the vendor.
            _ => name.to_owned(),
        };
        Ok(Self::Package { purl_type, name, version: purl.version().map(str::to_owned) })
    }
}

/// Every stored image that holds it, staged and withdrawn ones included; sorted.
///
/// # Errors
/// See [`AffectedError`].
pub fn affected(
    connection: &Connection,
    advisories: Option<&Advisories>,
    question: &Question,
) -> Result<Vec<Affected>, AffectedError> {
    let mut digests = BTreeSet::new();
    match question {
        Question::Advisory(id) => {
            let advisories = advisories.ok_or_else(|| AffectedError::NoAdvisories(id.clone()))?;
            let mut last = 0;
            loop {
                let keys = inventories::keys(connection, last, STEP)?;
                let Some(end) = keys.last() else { break };
                last = end.id;
                for key in &keys {
                    if advisories.speaks_of(&key.ecosystem, &key.name, id)? {
                        digests.extend(inventories::holders(connection, key.id)?);
                    }
                }
            }
        }
        Question::Package { purl_type, name, .. } => {
            if let Some(key) = inventories::key(connection, &package_ecosystem(purl_type), name)? {
                digests.extend(inventories::holders(connection, key)?);
            }
        }
    }
    let mut affected = Vec::new();
    for digest in digests {
        let Some(image) = find(connection, &digest)? else { continue };
        let held = held(question, &image.inventory, advisories);
        for (repository, state, tags) in manifests::places(connection, &digest)? {
            affected.extend(held.iter().map(|(package, fixed_version)| Affected {
                repository: repository.clone(),
                tags: tags.clone(),
                digest: digest.clone(),
                state,
                package: format!("{} {}", package.package.name, package.package.version),
                path: package.path.clone(),
                layer: package.layer,
                fixed_version: fixed_version.clone(),
            }));
        }
    }
    affected.sort();
    Ok(affected)
}

/// Which packages of one image the question is about.
fn held(
    question: &Question,
    inventory: &scanner::inventory::Inventory,
    advisories: Option<&Advisories>,
) -> Vec<(ImagePackage, Option<String>)> {
    match question {
        Question::Advisory(id) => {
            let report = inventory.judge(advisories);
            let names = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(id));
            let findings = report.findings.iter().filter(|finding| {
                let all: Vec<&str> =
                    std::iter::once(&finding.id).chain(&finding.aliases).map(String::as_str).collect();
                names(&all)
            });
            let packages = findings.filter_map(|finding| {
                let package = report.packages.iter().find(|package| package.package == finding.package)?;
                Some((package.clone(), finding.fixed_version.clone()))
            });
            packages.collect()
        }
        Question::Package { purl_type, name, version } => {
            let packages = inventory.packages().iter().filter(|package| {
                let package = &package.package;
                package.kind.purl_type() == purl_type
                    && package.name == *name
                    && version.as_ref().is_none_or(|version| package.version == *version)
            });
            packages.map(|package| (package.clone(), None)).collect()
        }
    }
}
