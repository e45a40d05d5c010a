//! Red Hat's CSAF VEX documents (CSAF 2.0), one for each CVE, and its table of repositories.
//!
//! A document lists products (`AppStream-9.4.0.Z.MAIN`, by CPE), components (`bash-0:5.1.8-9.el9.x86_64`, by package URL)
//! and relationships that put one into the other; a module stands between the two. Statuses name relationships. Here
//! each becomes a package in a *channel*: what a CPE says without its variant, `redhat:9`, `redhat:rhel_eus:9.2`.

mod components;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::severity::{self, Grade};
use super::{Ecosystem, Remedy, range};
use crate::finding::{Cvss, Severity};
use crate::versions::{Scheme, compare};
use components::{Component, Products};

const SOURCE: &str = "redhat";

#[derive(Deserialize)]
struct Document {
    document: Head,
    #[serde(default)]
    product_tree: components::Tree,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    aggregate_severity: Option<Named>,
    #[serde(default)]
    tracking: Tracking,
}

#[derive(Default, Deserialize)]
struct Tracking {
    #[serde(default)]
    current_release_date: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    text: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    cve: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    product_status: Status,
    #[serde(default)]
    remediations: Vec<Remediation>,
    #[serde(default)]
    scores: Vec<Score>,
    #[serde(default)]
    threats: Vec<Threat>,
}

/// CSAF 2.0 §3.2.3.9. What else it may say (`first_affected`, `recommended`, …) is not used by Red Hat.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    fixed: Vec<String>,
    #[serde(default)]
    known_affected: Vec<String>,
    #[serde(default)]
    known_not_affected: Vec<String>,
    #[serde(default)]
    under_investigation: Vec<String>,
}

#[derive(Deserialize)]
struct Remediation {
    category: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Score {
    #[serde(default)]
    cvss_v3: Option<Vector>,
    #[serde(default)]
    cvss_v4: Option<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    #[serde(default)]
    vector_string: String,
}

#[derive(Deserialize)]
struct Threat {
    category: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

pub(super) fn parse(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let document: Document = serde_json::from_slice(json)?;
    let products = Products::new(&document.product_tree);
    let mut parsed = Parsed::new(FeedKind::RedHatVex);
    let mut covers = BTreeSet::new();
    let modified = document.document.tracking.current_release_date.as_deref().and_then(parse_date);
    for vulnerability in &document.vulnerabilities {
        let Some(cve) = vulnerability.cve.as_deref().filter(|cve| is_cve(cve)) else {
            parsed.skipped += 1;
            continue;
        };
        let affected = affected(vulnerability, &document.document, &products, &mut covers);
        if affected.is_empty() {
            // Nothing that is judged here is affected any more: an older document of this CVE must not stand.
            parsed.withdrawn.push((cve.to_owned(), modified));
            parsed.skipped += 1;
            continue;
        }
        let title = vulnerability.title.as_deref().or(document.document.title.as_deref());
        parsed.advisories.push(Advisory {
            bulletin: None,
            id: cve.to_owned(),
            aliases: Vec::new(),
            grade: grade(vulnerability, &document.document),
            summary: title.and_then(summarise),
            source: SOURCE.to_owned(),
            modified,
            affected,
        });
    }
    parsed.covers = covers.into_iter().collect();
    Ok(parsed)
}

/// Red Hat's own rating goes before what the vector comes to: it knows how its builds differ.
fn grade(vulnerability: &Vulnerability, head: &Head) -> Grade {
    let vectors = vulnerability.scores.iter().flat_map(|score| [&score.cvss_v3, &score.cvss_v4]).flatten();
    let worst = vectors.filter_map(|vector| severity::read_vector(&vector.vector_string)).max();
    rated(worst, head.aggregate_severity.as_ref().map(|rating| rating.text.as_str()))
}

fn rated(cvss: Option<Cvss>, word: Option<&str>) -> Grade {
    Grade::stated(word.and_then(severity::from_word), cvss, SOURCE)
}

/// What is said about one package in one channel.
#[derive(Default)]
struct Statement {
    /// The newest of the versions that are said to be fixed: only there all agree.
    fixed: Option<String>,
    /// Affected without a fix, and why it has none.
    open: Option<Option<Remedy<'static>>>,
    /// Not affected, whatever is said about its source.
    safe: bool,
    severity: Option<Severity>,
}

fn affected(
    vulnerability: &Vulnerability,
    head: &Head,
    products: &Products<'_>,
    covers: &mut BTreeSet<Ecosystem>,
) -> Vec<Affected> {
    let remedies = remedies(vulnerability);
    let impacts = impacts(vulnerability, head);
    let status = &vulnerability.product_status;
    let mut statements: BTreeMap<(Ecosystem, String), Statement> = BTreeMap::new();
    let fixed: Vec<(&String, Component<'_>)> =
        status.fixed.iter().filter_map(|id| Some((id, products.component(id)?))).collect();
    let sources = sources(&fixed);
    for (id, component) in &fixed {
        let Some(version) = component.version.clone() else { continue };
        covers.insert(component.channel.clone());
        // A source's fix speaks for all that was built from it in the same version.
        if !component.is_source && sources.contains(&(&component.channel, component.module, &version)) {
            continue;
        }
        let statement = statements.entry(component.key(&version)).or_default();
        statement.severity = statement.severity.max(impacts.get(id.as_str()).copied());
        let older = statement
            .fixed
            .as_deref()
            .is_none_or(|known| compare(Scheme::Rpm, known, &version).is_ok_and(std::cmp::Ordering::is_lt));
        if older {
            statement.fixed = Some(version);
        }
    }
    let open = status.known_affected.iter().map(|id| (id, None));
    let open = open.chain(status.under_investigation.iter().map(|id| (id, Some(Remedy::UnderInvestigation))));
    for (id, investigated) in open {
        let Some(component) = products.component(id) else { continue };
        covers.insert(component.channel.clone());
        let statement = statements.entry(component.key("")).or_default();
        statement.severity = statement.severity.max(impacts.get(id.as_str()).copied());
        statement.open = Some(investigated.or_else(|| remedies.get(id.as_str()).copied()));
    }
    let whole: BTreeSet<Ecosystem> = statements
        .keys()
        .filter(|(_, package)| Ecosystem::is_source(package))
        .map(|(it, _)| it.clone())
        .collect();
    for component in status.known_not_affected.iter().filter_map(|id| products.component(id)) {
        covers.insert(component.channel.clone());
        // Its source is affected, and it is not: that must be said, or the source would speak for it.
        if !component.is_source && component.version.is_none() && whole.contains(&component.channel) {
            statements
                .entry(component.key(""))
                .or_insert_with(|| Statement { safe: true, ..Statement::default() });
        }
    }
    statements
        .into_iter()
        .map(|((ecosystem, package), said)| said.into_affected(ecosystem, &package))
        .collect()
}

impl Statement {
    fn into_affected(self, ecosystem: Ecosystem, package: &str) -> Affected {
        let (ranges, remedy) = match (self.fixed, self.open) {
            // A fix goes before an older statement that there is none.
            (Some(fixed), _) => (vec![range::before(Scheme::Rpm, &fixed)], None),
            (None, _) if self.safe => (Vec::new(), None),
            (None, open) => (vec![range::everything()], open.flatten()),
        };
        let grade = self.severity.map(|severity| Box::new(Grade::stated(Some(severity), None, SOURCE)));
        Affected { grade, remedy, ranges, ..Affected::new(ecosystem, package) }
    }
}

type Build<'a, 'd> = (&'a Ecosystem, Option<&'d str>, &'a String);

/// Channel, module and version of each source package among the fixed ones.
fn sources<'a, 'd>(fixed: &'a [(&String, Component<'d>)]) -> BTreeSet<Build<'a, 'd>> {
    let source = |(_, component): &'a (&String, Component<'d>)| {
        let version = component.version.as_ref().filter(|_| component.is_source)?;
        Some((&component.channel, component.module, version))
    };
    fixed.iter().filter_map(source).collect()
}

/// Why products have no fix. Red Hat tells in `details`, in one of four phrases.
fn remedies(vulnerability: &Vulnerability) -> HashMap<&str, Remedy<'static>> {
    let mut remedies = HashMap::new();
    for remediation in &vulnerability.remediations {
        let remedy = match (remediation.category.as_str(), remediation.details.to_ascii_lowercase().as_str())
        {
            (_, "will not fix") => Remedy::WillNotFix,
            (_, "out of support scope") => Remedy::OutOfSupport,
            (_, "fix deferred") => Remedy::Deferred,
            ("no_fix_planned", _) => Remedy::WillNotFix,
            // `none_available` with "Affected", `vendor_fix`, `workaround`.
            _ => continue,
        };
        remedies.extend(remediation.product_ids.iter().map(|id| (id.as_str(), remedy)));
    }
    remedies
}

/// Ratings that differ from the document's, by product.
fn impacts<'d>(vulnerability: &'d Vulnerability, head: &Head) -> HashMap<&'d str, Severity> {
    let own = head.aggregate_severity.as_ref().and_then(|rating| severity::from_word(&rating.text));
    let mut impacts = HashMap::new();
    for threat in vulnerability.threats.iter().filter(|threat| threat.category == "impact") {
        let Some(severity) = severity::from_word(&threat.details) else { continue };
        if Some(severity) != own {
            impacts.extend(threat.product_ids.iter().map(|id| (id.as_str(), severity)));
        }
    }
    impacts
}

#[derive(Deserialize)]
struct Repositories {
    data: HashMap<String, Repository>,
}

#[derive(Deserialize)]
struct Repository {
    cpes: Vec<String>,
}

/// Is this `{"data": {"rhel-9-for-x86_64-baseos-rpms": {"cpes": [...]}}}`?
pub(super) fn is_repositories(json: &[u8]) -> bool {
    serde_json::from_slice::<Repositories>(json).is_ok()
}

/// access.redhat.com/security/data/metrics/repository-to-cpe.json
pub(super) fn parse_repositories(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let table: Repositories = serde_json::from_slice(json)?;
    let mut parsed = Parsed::new(FeedKind::RedHatRepositories);
    for (name, repository) in table.data {
        let channels = repository.cpes.iter().filter_map(|cpe| Ecosystem::of_cpe(cpe));
        let channels: BTreeSet<Ecosystem> = channels.collect();
        parsed.repositories.push((name, channels.into_iter().collect()));
    }
    Ok(parsed)
}
