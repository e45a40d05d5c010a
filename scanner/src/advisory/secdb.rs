//! Alpine's security database (secdb.alpinelinux.org), and Wolfi's and Chainguard's in the same form.
//!
//! It lists, for each source package, the version that fixed a problem. Problems without a fix do not appear.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Ecosystem;
use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve};
use super::range;
use super::severity::Grade;

#[derive(Deserialize)]
struct Document {
    #[serde(default, rename = "_path")]
    path: Option<String>,
    #[serde(default)]
    distroversion: Option<String>,
    #[serde(default)]
    urlprefix: Option<String>,
    #[serde(default)]
    packages: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    pkg: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    secfixes: Option<BTreeMap<String, Option<Vec<String>>>>,
}

pub(super) fn parse(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let document: Document = serde_json::from_slice(json)?;
    let Some(ecosystem) = ecosystem(&document) else {
        return Err(serde::de::Error::custom(
            "neither `distroversion` nor `urlprefix` tells the distribution",
        ));
    };
    let mut advisories = Vec::new();
    for Entry { pkg } in document.packages.into_iter().flatten() {
        for (fixed, problems) in pkg.secfixes.into_iter().flatten() {
            // Version "0" says that the package never had the problem.
            if fixed == "0" {
                continue;
            }
            let affected = Affected {
                ranges: vec![range::before(ecosystem.scheme(), &fixed)],
                ..Affected::new(ecosystem.clone(), &pkg.name)
            };
            let ids = problems.iter().flatten().filter_map(|problem| problem_id(problem));
            advisories.extend(ids.map(|id| Advisory {
                bulletin: None,
                id,
                aliases: Vec::new(),
                grade: Grade::none(),
                summary: None,
                source: ecosystem.family().to_owned(),
                modified: None,
                affected: vec![affected.clone()],
            }));
        }
    }
    Ok(Parsed { advisories, covers: vec![ecosystem], whole: true, ..Parsed::new(FeedKind::AlpineSecdb) })
}

fn ecosystem(document: &Document) -> Option<Ecosystem> {
    let branch = document.distroversion.as_deref();
    let branch = branch.or_else(|| document.path.as_deref().and_then(|path| path.split('/').next()));
    let known =
        |branch: &&str| *branch == "edge" || branch.strip_prefix('v').is_some_and(|rest| rest.contains('.'));
    if let Some(branch) = branch.filter(known) {
        return Some(Ecosystem::alpine(branch));
    }
    let url = document.urlprefix.as_deref()?;
    if url.contains("wolfi.dev") {
        Some(Ecosystem::rolling("wolfi"))
    } else if url.contains("cgr.dev") || url.contains("chainguard.dev") {
        Some(Ecosystem::rolling("chainguard"))
    } else if url.contains("mini.dev") {
        Some(Ecosystem::rolling("minimos"))
    } else {
        None
    }
}

/// `CVE-2019-5060 TALOS-2019-0844`, `CVE-2018-10103 (SMB - …)`, `CVE-????-????? XSA-295`: the CVE, else the first thing
/// that looks like an id. The others are no aliases: one XSA names several CVEs.
fn problem_id(text: &str) -> Option<String> {
    let id = |word: &&str| {
        let (prefix, rest) = word.split_once('-').unwrap_or((word, ""));
        !prefix.is_empty()
            && prefix.bytes().all(|byte| byte.is_ascii_uppercase())
            && !rest.is_empty()
            && !rest.contains('?')
    };
    let words = || text.split_whitespace();
    words().find(|word| is_cve(word)).or_else(|| words().find(id)).map(str::to_owned)
}
