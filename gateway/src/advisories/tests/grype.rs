//! Grype's database as a feed: made here with SQLite itself, read without it.

use rusqlite::Connection;
use scanner::advisory::{Builder, Entry, RangeEnd, Remedy};
use scanner::finding::Severity;
use scanner::package::Distribution;

use super::*;

const TABLES: &str = "
CREATE TABLE `db_metadata` (`build_timestamp` datetime NOT NULL,`model` integer NOT NULL,`revision` integer NOT NULL,`addition` integer NOT NULL);
CREATE TABLE `blobs` (`id` integer PRIMARY KEY AUTOINCREMENT,`value` text NOT NULL);
CREATE TABLE `operating_systems` (`id` integer PRIMARY KEY AUTOINCREMENT,`name` text COLLATE NOCASE,`release_id` text,`major_version` text,
    `minor_version` text,`label_version` text,`codename` text,`channel` text,`eol_date` datetime);
CREATE TABLE `packages` (`id` integer PRIMARY KEY AUTOINCREMENT,`ecosystem` text,`name` text);
CREATE TABLE `vulnerability_handles` (`id` integer PRIMARY KEY AUTOINCREMENT,`name` text NOT NULL,`status` text NOT NULL,`published_date` datetime,
    `modified_date` datetime,`withdrawn_date` datetime,`provider_id` text NOT NULL,`blob_id` integer,
    CONSTRAINT `fk_provider` FOREIGN KEY (`provider_id`) REFERENCES `providers`(`id`));
CREATE TABLE `affected_package_handles` (`id` integer PRIMARY KEY AUTOINCREMENT,`vulnerability_id` integer NOT NULL,`operating_system_id` integer,
    `package_id` integer,`blob_id` integer);
CREATE TABLE `known_exploited_vulnerability_handles` (`id` integer PRIMARY KEY AUTOINCREMENT,`cve` text NOT NULL,`blob_id` integer);
CREATE TABLE `epss_handles` (`id` integer PRIMARY KEY AUTOINCREMENT,`cve` text NOT NULL,`epss` real NOT NULL,`percentile` real NOT NULL);
CREATE INDEX `idx_package` ON `packages`(`ecosystem`,`name`);
";

/// A database in the making.
struct Made(Connection);

impl Made {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        // Small pages make trees of several levels and rows of several pages. The table of providers says nothing that is
        // read, and is left out.
        connection.execute_batch("PRAGMA page_size = 512; PRAGMA foreign_keys = OFF").unwrap();
        connection.execute_batch(TABLES).unwrap();
        let made = Self(connection);
        made.run("INSERT INTO db_metadata VALUES ('2026-11-20 01:02:03+00:00', 6, 1, 2)");
        made
    }

    fn run(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn add(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> i64 {
        self.0.execute(sql, values).unwrap();
        self.0.last_insert_rowid()
    }

    fn blob(&self, json: &str) -> i64 {
        self.add("INSERT INTO blobs (value) VALUES (?1)", &[&json])
    }

    /// `debian 12`, `rhel 8 eus`; the minor version behind a dot.
    fn system(&self, id: &str, version: &str, channel: &str) -> i64 {
        let (major, minor) = version.split_once('.').unwrap_or((version, ""));
        self.add(
            "INSERT INTO operating_systems (name, release_id, major_version, minor_version, label_version, codename, channel)
             VALUES (?1, ?1, ?2, ?3, '', '', ?4)",
            &[&id, &major, &minor, &channel],
        )
    }

    fn problem(&self, name: &str, status: &str, withdrawn: Option<&str>, blob: &str) -> i64 {
        let blob = self.blob(blob);
        self.add(
            "INSERT INTO vulnerability_handles (name, status, modified_date, withdrawn_date, provider_id, blob_id)
             VALUES (?1, ?2, '2026-11-01 00:00:00+00:00', ?3, 'test', ?4)",
            &[&name, &status, &withdrawn, &blob],
        )
    }

    fn affects(&self, problem: i64, system: Option<i64>, package: (&str, &str), blob: &str) {
        let package =
            self.add("INSERT INTO packages (ecosystem, name) VALUES (?1, ?2)", &[&package.0, &package.1]);
        let blob = self.blob(blob);
        self.add(
            "INSERT INTO affected_package_handles (vulnerability_id, operating_system_id, package_id, blob_id)
             VALUES (?1, ?2, ?3, ?4)",
            &[&problem, &system, &package, &blob],
        );
    }

    /// The file's bytes.
    fn bytes(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vulnerability.db");
        self.0.execute("VACUUM INTO ?1", [file.to_str().unwrap()]).unwrap();
        std::fs::read(file).unwrap()
    }
}

fn range(constraint: &str, state: &str, fix: &str) -> String {
    format!(
        r#"{{"version":{{"type":"x","constraint":"{constraint}"}},"fix":{{"version":"{fix}","state":"{state}"}}}}"#
    )
}

fn ranges(ranges: &[String]) -> String {
    format!(r#"{{"ranges":[{}]}}"#, ranges.join(","))
}

fn problem(severity: &str) -> String {
    let description = "what it is about. ".repeat(300);
    format!(
        r#"{{"id":"x","description":"first line\n{description}","severities":[{{"scheme":"CHMLN","value":"{severity}","rank":1}},
        {{"scheme":"CVSS","value":{{"vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","version":"3.1"}},"rank":2}}]}}"#
    )
}

/// Of everything something.
fn small() -> Made {
    let made = Made::new();
    let alpine = made.system("alpine", "3.20", "");
    let debian = made.system("debian", "12", "");
    let rhel = made.system("rhel", "8", "");
    let eus = made.system("rhel", "8.6", "eus");
    let fedora = made.system("fedora", "40", "");
    let one = made.problem("CVE-2026-0001", "active", None, &problem("medium"));
    made.affects(one, Some(alpine), ("apk", "badlib"), &ranges(&[range("< 1.2.4-r0", "fixed", "1.2.4-r0")]));
    made.affects(one, Some(debian), ("deb", "badlib"), &ranges(&[range("", "wont-fix", "")]));
    made.affects(one, Some(debian), ("deb", "goodlib"), &ranges(&[range("", "not-affected", "")]));
    let module = r#"{"qualifiers":{"rpm_modularity":"nodejs:18"},"ranges":[{"version":{"constraint":"< 1:18.1-1"},"fix":{"version":"1:18.1-1","state":"fixed"}}]}"#;
    made.affects(one, Some(rhel), ("rpm", "npm"), module);
    made.affects(one, Some(eus), ("rpm", "badlib"), &ranges(&[range("< 9", "fixed", "9")]));
    made.affects(one, Some(fedora), ("rpm", "badlib"), &ranges(&[range("< 9", "fixed", "9")]));
    let two = made.problem(
        "GHSA-aaaa-bbbb-cccc",
        "active",
        None,
        r#"{"id":"x","severities":[{"scheme":"CHML","value":"high","rank":1}]}"#,
    );
    let left = format!(
        r#"{{"cves":["CVE-2026-0002"],"ranges":[{},{}]}}"#,
        range(">= 1.0.0, < 1.2.0", "fixed", "1.2.0"),
        range("<= 0.9.0 || = 3.0.0", "", "")
    );
    made.affects(two, None, ("npm", "left"), &left);
    made.affects(two, None, ("hex", "elixir"), &left);
    let gone = made.problem("GHSA-gone-gone-gone", "active", Some("2026-10-01 00:00:00+00:00"), "{}");
    made.affects(gone, None, ("npm", "left"), &ranges(&[range("", "", "")]));
    let rejected = made.problem("CVE-2026-0009", "rejected", None, "{}");
    made.affects(rejected, None, ("npm", "left"), &ranges(&[range("", "", "")]));
    let known = made.blob(r#"{"cve":"CVE-2026-0001","date_added":"2026-11-02T00:00:00Z","known_ransomware_campaign_use":"Known"}"#);
    made.add(
        "INSERT INTO known_exploited_vulnerability_handles (cve, blob_id) VALUES ('CVE-2026-0001', ?1)",
        &[&known],
    );
    made.run("INSERT INTO epss_handles (cve, epss, percentile) VALUES ('CVE-2026-0001', 0.94, 0.999), ('CVE-2026-0002', 1, 1)");
    made
}

fn build(bytes: &[u8]) -> Result<Advisories, IntakeError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vulnerability.db");
    std::fs::write(&file, bytes).unwrap();
    built(&file).map(|(advisories, _)| advisories)
}

fn built(file: &Path) -> Result<(Advisories, intake::Intake), IntakeError> {
    let mut builder = Builder::new();
    let intake = intake::add_file(&mut builder, "grype", file)?;
    let advisories = Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap();
    Ok((advisories, intake))
}

fn of(id: &str, version: &str) -> Ecosystem {
    let distribution = Distribution {
        id: id.to_owned(),
        version_id: Some(version.to_owned()),
        codename: None,
        pretty_name: None,
        repositories: Vec::new(),
    };
    Ecosystem::of_distribution(&distribution).unwrap()
}

fn only<'a>(advisories: &'a Advisories, ecosystem: &Ecosystem, name: &str) -> Entry<'a> {
    let mut found = advisories.lookup(ecosystem, name).unwrap();
    let entry = found.next().unwrap_or_else(|| panic!("nothing about {name}")).unwrap();
    assert!(found.next().is_none(), "more than one about {name}");
    entry
}

fn is_fixed_in(entry: &Entry<'_>, version: &str) -> bool {
    entry.ranges.iter().any(|range| range.end == RangeEnd::Fixed(version))
}

#[test]
fn what_grypes_database_says_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vulnerability.db");
    std::fs::write(&file, small().bytes()).unwrap();
    let (advisories, intake) = built(&file).unwrap();
    assert_eq!(
        (intake.advisories, intake.skipped),
        (4, 6),
        "left out: goodlib, eus, fedora, hex, and two that are void"
    );
    let alpine = only(&advisories, &of("alpine", "3.20.1"), "badlib");
    assert_eq!(
        (alpine.id, alpine.severity, alpine.severity_source),
        ("CVE-2026-0001", Severity::Medium, Some("grype-db"))
    );
    assert_eq!(alpine.cvss.map(|(score, _)| score.to_string()).as_deref(), Some("9.8"));
    assert_eq!(alpine.summary, Some("first line"));
    assert!(is_fixed_in(&alpine, "1.2.4-r0"));
    let exploited = alpine.exploited.unwrap();
    assert!(exploited.ransomware && exploited.since == 1_793_577_600, "{exploited:?}");
    assert_eq!(alpine.epss.unwrap().probability.to_string(), "0.94");
    let debian = only(&advisories, &of("debian", "12"), "badlib");
    assert!(debian.remedy == Some(Remedy::WillNotFix) && debian.ranges[0].end == RangeEnd::Open);
    assert!(advisories.lookup(&of("debian", "12"), "goodlib").unwrap().next().is_none());
    let module = only(&advisories, &of("rhel", "8"), "nodejs:18::npm");
    assert!(is_fixed_in(&module, "1:18.1-1"));
    let left = only(&advisories, &Ecosystem::npm(), "left");
    assert_eq!((left.id, left.aliases.as_slice()), ("GHSA-aaaa-bbbb-cccc", &["CVE-2026-0002"][..]));
    assert_eq!(left.severity, Severity::High);
    assert_eq!(left.epss.unwrap().percentile.to_string(), "1");
    assert!(is_fixed_in(&left, "1.2.0") && left.ranges.len() == 3, "{:?}", left.ranges);
    let [source] = advisories.sources() else { panic!("one source") };
    assert_eq!((source.exploited, source.scored), (1, 2));
    assert_eq!(source.newest, Some(1_795_136_523), "when the database was built");
    let whole: Vec<&str> =
        source.coverage.iter().filter(|it| it.whole).map(|it| it.ecosystem.as_str()).collect();
    assert_eq!(whole, ["alpine:3.20", "debian:12", "npm", "redhat:8"]);
}

#[test]
fn the_archive_that_holds_the_database_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = small().bytes();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("vulnerability.db", &bytes[..]), ("import.txt", b"no feed")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, content).unwrap();
    }
    let file = folder.path().join("vulnerability-db_v6.0.2.tar.zst");
    std::fs::write(&file, zstd::encode_all(&tar.into_inner().unwrap()[..], 1).unwrap()).unwrap();
    assert_eq!(built(&file).unwrap().1.advisories, 4);
}

/// Why a database is refused.
fn refused(change: &str) -> String {
    let made = small();
    made.run(change);
    let error = build(&made.bytes()).unwrap_err();
    let IntakeError::Document { source, .. } = error else { panic!("{error:?}") };
    source.to_string()
}

#[test]
fn a_database_that_leaves_something_unsaid_is_refused() {
    for (change, expected) in [
        ("UPDATE db_metadata SET model = 5", "its schema is Some(5)"),
        ("UPDATE db_metadata SET build_timestamp = 'soon'", "when it was built"),
        ("DELETE FROM db_metadata", "is empty"),
        ("DROP TABLE blobs", "no table `blobs`"),
        ("DROP TABLE operating_systems", "no table `operating_systems`"),
        ("DROP TABLE affected_package_handles", "no table `affected_package_handles`"),
        ("DELETE FROM blobs WHERE value LIKE '%1.2.4-r0%'", "nothing is said of what affects `badlib`"),
        ("UPDATE blobs SET value = '{' WHERE value LIKE '%1.2.4-r0%'", "blob "),
        ("UPDATE blobs SET value = '7' WHERE value LIKE '%CHMLN%'", "blob "),
    ] {
        let told = refused(change);
        assert!(told.contains(expected), "{change}: {told}");
    }
    // What came with later revisions may be missing.
    let made = small();
    made.run("DROP TABLE epss_handles; DROP TABLE known_exploited_vulnerability_handles");
    assert_eq!(build(&made.bytes()).unwrap().sources()[0].scored, 0);
}

#[test]
fn a_damaged_database_is_an_error_or_a_database_and_never_a_panic() {
    let bytes = small().bytes();
    for end in (0..bytes.len()).step_by(509) {
        assert!(build(&bytes[..end]).is_err(), "cut to {end} bytes");
    }
    for at in (0..bytes.len()).step_by(101) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let _ = build(&damaged);
    }
}
