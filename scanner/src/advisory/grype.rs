//! The database of Grype (schema 6, an SQLite file, `vulnerability.db`), for sites that have it already.
//!
//! Handles join problems, packages and systems; what is said of each stands as JSON in one table of blobs, each once. So the
//! small tables are read first, and the blobs in one pass. What is only known by CPE is left out, as are channels of a
//! release that not everyone has (`eus`, `esm`).

mod blobs;

use std::collections::HashMap;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::severity::Grade;
use super::{Ecosystem, Remedy, constraint, range};
use crate::finding::{Decimal, Epss, Exploited};
use crate::package::Distribution;
use crate::sqlite::{Database, MAGIC, Row, SqliteError, Table};
use crate::versions::compare;
use blobs::{AffectedBlob, ExploitedBlob, ProblemBlob};

const SOURCE: &str = "grype-db";
/// The schema that is read; others have other tables.
const MODEL: i64 = 6;

/// Is it a database of SQLite's? No other feed is.
pub(super) fn recognises(document: &[u8]) -> bool {
    document.starts_with(MAGIC)
}

/// One problem as one provider tells it.
struct Problem {
    id: String,
    modified: Option<i64>,
    /// It was taken back, or is none.
    is_void: bool,
    aliases: Vec<String>,
    grade: Grade,
    summary: Option<String>,
}

/// A package that a problem affects, somewhere.
struct Handle {
    problem: i64,
    ecosystem: Ecosystem,
    package: String,
}

/// What the small tables say.
#[derive(Default)]
struct Tables {
    problems: HashMap<i64, Problem>,
    handles: Vec<Handle>,
    exploited: Vec<String>,
    /// Which blob is about which of them.
    problem_of_blob: HashMap<i64, Vec<i64>>,
    handles_of_blob: HashMap<i64, Vec<usize>>,
    exploited_of_blob: HashMap<i64, Vec<usize>>,
}

struct File<'a> {
    database: Database<'a>,
    tables: Vec<Table>,
}

impl File<'_> {
    /// Rows of a table that may be missing: it came with a later revision of the schema.
    fn each(
        &mut self,
        name: &str,
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), SqliteError>,
    ) -> Result<bool, String> {
        let Some(table) = self.tables.iter().find(|table| table.name == name) else { return Ok(false) };
        let told = |error: SqliteError| format!("table `{name}`: {error}");
        self.database.for_each_row(table, visit).map_err(told)?;
        Ok(true)
    }

    /// Rows of a table that must be there.
    fn all(
        &mut self,
        name: &str,
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), SqliteError>,
    ) -> Result<(), String> {
        if self.each(name, visit)? { Ok(()) } else { Err(format!("no table `{name}`")) }
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let mut database = Database::open(bytes).map_err(|error| error.to_string())?;
    let tables = database.tables().map_err(|error| error.to_string())?;
    let mut file = File { database, tables };
    let mut parsed = Parsed::new(FeedKind::GrypeDb);
    parsed.dated = Some(built(&mut file)?);
    parsed.whole = true;
    let mut tables = Tables::default();
    read_problems(&mut file, &mut tables)?;
    read_handles(&mut file, &mut tables, &mut parsed)?;
    read_signals(&mut file, &mut tables, &mut parsed)?;
    read_blobs(&mut file, &mut tables, &mut parsed)?;
    parsed.covers.sort();
    parsed.covers.dedup();
    Ok(parsed)
}

/// When it was built; a database of another schema is refused.
fn built(file: &mut File<'_>) -> Result<i64, String> {
    let mut found = None;
    file.all("db_metadata", &mut |row| {
        found = Some((row.number("model"), row.text("build_timestamp").and_then(parse_date)));
        Ok(())
    })?;
    match found {
        Some((Some(MODEL), Some(built))) => Ok(built),
        Some((Some(MODEL), None)) => Err("it does not say when it was built".to_owned()),
        Some((model, _)) => Err(format!("its schema is {model:?}, and {MODEL} is read")),
        None => Err("the table `db_metadata` is empty".to_owned()),
    }
}

fn read_problems(file: &mut File<'_>, tables: &mut Tables) -> Result<(), String> {
    file.all("vulnerability_handles", &mut |row| {
        let (Some(number), Some(id)) = (row.number("id"), row.text("name").filter(|id| !id.is_empty()))
        else {
            return Ok(());
        };
        let is_void = row.text("status") == Some("rejected")
            || row.text("withdrawn_date").is_some_and(|it| !it.is_empty());
        let problem = Problem {
            id: id.to_owned(),
            modified: row.text("modified_date").and_then(parse_date),
            is_void,
            aliases: Vec::new(),
            grade: Grade::none(),
            summary: None,
        };
        tables.problems.insert(number, problem);
        if let Some(blob) = row.number("blob_id") {
            tables.problem_of_blob.entry(blob).or_default().push(number);
        }
        Ok(())
    })
}

fn read_handles(file: &mut File<'_>, tables: &mut Tables, parsed: &mut Parsed) -> Result<(), String> {
    let mut systems: HashMap<i64, Option<Ecosystem>> = HashMap::new();
    file.all("operating_systems", &mut |row| {
        if let Some(number) = row.number("id") {
            systems.insert(number, system(&row));
        }
        Ok(())
    })?;
    let mut packages: HashMap<i64, (Option<Ecosystem>, String)> = HashMap::new();
    file.all("packages", &mut |row| {
        let kind = row.text("ecosystem").or_else(|| row.text("type")).unwrap_or_default();
        if let (Some(number), Some(name)) = (row.number("id"), row.text("name")) {
            packages.insert(number, (language(kind), name.to_owned()));
        }
        Ok(())
    })?;
    file.all("affected_package_handles", &mut |row| {
        let package = row.number("package_id").and_then(|number| packages.get(&number));
        let system = row.number("operating_system_id").map(|number| systems.get(&number));
        let found = match (package, system) {
            (Some((_, name)), Some(system)) => system.and_then(Option::as_ref).map(|system| (system, name)),
            (Some((Some(language), name)), None) => Some((language, name)),
            _ => None,
        };
        let (Some((ecosystem, name)), Some(problem), Some(blob)) =
            (found, row.number("vulnerability_id"), row.number("blob_id"))
        else {
            parsed.skipped += 1;
            return Ok(());
        };
        parsed.covers.push(ecosystem.clone());
        // There are millions of handles and dozens of ecosystems.
        if parsed.covers.len() > 100_000 {
            parsed.covers.sort();
            parsed.covers.dedup();
        }
        tables.handles_of_blob.entry(blob).or_default().push(tables.handles.len());
        tables.handles.push(Handle { problem, ecosystem: ecosystem.clone(), package: name.clone() });
        Ok(())
    })
}

/// What is exploited, and how likely that is.
fn read_signals(file: &mut File<'_>, tables: &mut Tables, parsed: &mut Parsed) -> Result<(), String> {
    file.each("known_exploited_vulnerability_handles", &mut |row| {
        if let (Some(cve), Some(blob)) = (row.text("cve").filter(|id| is_cve(id)), row.number("blob_id")) {
            tables.exploited_of_blob.entry(blob).or_default().push(tables.exploited.len());
            tables.exploited.push(cve.to_owned());
        }
        Ok(())
    })?;
    file.each("epss_handles", &mut |row| {
        let number =
            |name: &str| row.float(name).filter(|it| (0.0..=1.0).contains(it)).and_then(Decimal::new);
        if let (Some(cve), Some(probability), Some(percentile)) =
            (row.text("cve").filter(|id| is_cve(id)), number("epss"), number("percentile"))
        {
            parsed.scores.push((cve.to_owned(), Epss { probability, percentile }));
        }
        Ok(())
    })?;
    Ok(())
}

/// The blobs in one pass: those of problems fill them in, and those of packages are kept until the problems are known.
fn read_blobs(file: &mut File<'_>, tables: &mut Tables, parsed: &mut Parsed) -> Result<(), String> {
    let mut broken = None;
    let mut said: Vec<(usize, Vec<String>, Affected)> = Vec::new();
    file.all("blobs", &mut |row| {
        let (Some(number), Some(value)) = (row.number("id"), row.text("value")) else { return Ok(()) };
        let read = take_blob(tables, parsed, &mut said, number, value);
        broken = broken.take().or(read.err().map(|error| format!("blob {number}: {error}")));
        Ok(())
    })?;
    if let Some(problem) = broken {
        return Err(problem);
    }
    if said.len() < tables.handles.len() {
        let told: std::collections::HashSet<usize> = said.iter().map(|(handle, ..)| *handle).collect();
        // One that is left out because it affects nothing was told; one without its blob was not.
        let missing = (0..tables.handles.len()).find(|handle| !told.contains(handle));
        if let Some(handle) = missing {
            return Err(format!("nothing is said of what affects `{}`", tables.handles[handle].package));
        }
    }
    for (handle, cves, affected) in said {
        let problem = tables.problems.get(&tables.handles[handle].problem);
        match problem.filter(|problem| !problem.is_void && !affected.ranges.is_empty()) {
            Some(problem) => parsed.advisories.push(advisory(problem, cves, affected)),
            None => parsed.skipped += 1,
        }
    }
    Ok(())
}

fn take_blob(
    tables: &mut Tables,
    parsed: &mut Parsed,
    said: &mut Vec<(usize, Vec<String>, Affected)>,
    number: i64,
    value: &str,
) -> Result<(), serde_json::Error> {
    if let Some(problems) = tables.problem_of_blob.get(&number) {
        let blob: ProblemBlob = serde_json::from_str(value)?;
        for problem in problems {
            let Some(problem) = tables.problems.get_mut(problem) else { continue };
            problem.aliases.clone_from(&blob.aliases);
            problem.grade = blob.grade(SOURCE);
            problem.summary = blob.description.as_deref().and_then(summarise);
        }
    }
    if let Some(handles) = tables.handles_of_blob.get(&number) {
        let blob: AffectedBlob = serde_json::from_str(value)?;
        for handle in handles {
            said.push((*handle, blob.cves.clone(), affected(&tables.handles[*handle], &blob)));
        }
    }
    if let Some(entries) = tables.exploited_of_blob.get(&number) {
        let blob: ExploitedBlob = serde_json::from_str(value)?;
        let ransomware = blob.known_ransomware_campaign_use.eq_ignore_ascii_case("known");
        if let Some(since) = blob.date_added.as_deref().and_then(parse_date) {
            let exploited = Exploited { since, ransomware };
            parsed
                .exploited
                .extend(entries.iter().map(|entry| (tables.exploited[*entry].clone(), exploited)));
        }
    }
    Ok(())
}

fn advisory(problem: &Problem, cves: Vec<String>, affected: Affected) -> Advisory {
    let names = problem.aliases.iter().cloned().chain(cves);
    let mut aliases: Vec<String> = names.filter(|name| *name != problem.id && !name.is_empty()).collect();
    aliases.sort();
    aliases.dedup();
    // A bulletin of a distribution may fix several problems: their names are not one another's.
    let several = aliases.iter().filter(|name| is_cve(name)).count() > 1;
    if several {
        aliases.retain(|name| !is_cve(name));
    }
    Advisory {
        bulletin: None,
        id: problem.id.clone(),
        aliases,
        grade: problem.grade.clone(),
        summary: problem.summary.clone(),
        source: SOURCE.to_owned(),
        modified: problem.modified,
        affected: vec![affected],
    }
}

/// Spans of what is affected; a fix that is stated ends a span that has no better end.
fn affected(handle: &Handle, blob: &AffectedBlob) -> Affected {
    let scheme = handle.ecosystem.scheme();
    let mut ranges = Vec::new();
    let mut will_not_fix = false;
    for part in blob.ranges.iter().filter(|part| part.state() != "not-affected") {
        will_not_fix |= part.state() == "wont-fix";
        let fixed = part.fixed_version();
        let mut spans = constraint::spans(scheme, &part.version.constraint);
        if let (Some(fixed), [span]) = (fixed, &mut spans[..]) {
            let is_better = match &span.end {
                super::RangeEnd::LastAffected(last) => {
                    compare(scheme, last, fixed).is_ok_and(std::cmp::Ordering::is_lt)
                }
                super::RangeEnd::Open => true,
                super::RangeEnd::Fixed(_) => false,
            };
            if is_better {
                span.end = range::before(scheme, fixed).end;
            }
        }
        ranges.extend(spans);
    }
    let is_fixed = ranges.iter().any(|span| matches!(span.end, super::RangeEnd::Fixed(_)));
    let name = match &blob.qualifiers.rpm_modularity {
        Some(module) if !module.is_empty() => format!("{module}::{}", handle.package),
        _ => {
            let fixed = blob.ranges.iter().find_map(|part| part.fixed_version());
            handle.ecosystem.name_of_build(&handle.package, fixed.unwrap_or_default(), None)
        }
    };
    let remedy = (will_not_fix && !is_fixed).then_some(Remedy::WillNotFix);
    Affected { remedy, ranges, ..Affected::new(handle.ecosystem.clone(), &name) }
}

/// A release as `os-release` names it; `None`: it is not judged here, or is a channel that not everyone has.
fn system(row: &Row<'_>) -> Option<Ecosystem> {
    let text = |name: &str| row.text(name).filter(|text| !text.is_empty());
    if text("channel").is_some() {
        return None;
    }
    let version = match (text("label_version"), text("major_version"), text("minor_version")) {
        (Some(label), ..) => Some(label.to_owned()),
        (None, Some(major), Some(minor)) => Some(format!("{major}.{minor}")),
        (None, Some(major), None) => Some(major.to_owned()),
        (None, None, _) => None,
    };
    let name = text("release_id").or_else(|| text("name"))?.to_ascii_lowercase();
    // Its own names, where `os-release` has others.
    let id = match name.as_str() {
        "amazon" | "amazonlinux" => "amzn",
        "oracle" | "oraclelinux" => "ol",
        "redhat" => "rhel",
        "rockylinux" => "rocky",
        other => other,
    };
    let codename = text("codename").map(str::to_owned);
    Ecosystem::of_distribution(&Distribution {
        id: id.to_owned(),
        version_id: version,
        codename,
        pretty_name: None,
        repositories: Vec::new(),
    })
}

/// Packages of languages by the names of Grype's catalogue.
fn language(kind: &str) -> Option<Ecosystem> {
    const LANGUAGES: [(&str, &str); 8] = [
        ("dotnet", "NuGet"),
        ("gem", "RubyGems"),
        ("go-module", "Go"),
        ("java-archive", "Maven"),
        ("npm", "npm"),
        ("php-composer", "Packagist"),
        ("python", "PyPI"),
        ("rust-crate", "crates.io"),
    ];
    let (_, osv) = LANGUAGES.iter().find(|(name, _)| *name == kind)?;
    Ecosystem::from_osv(osv)
}
