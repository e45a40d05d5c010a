//! The advisory file: what feeds say is kept, what is damaged is refused, what is corrupt never panics.

#![expect(clippy::unwrap_used, reason = "a test and its helpers fail loudly")]

use std::sync::Arc;

use proptest::prelude::*;
use scanner::advisory::{
    Advisories, AdvisoryError, BuildError, Builder, Ecosystem, FeedError, FeedKind, RangeEnd,
};
use scanner::finding::Severity;
use scanner::package::Distribution;

/// 2026-11-23.
const NOW: i64 = 1_795_392_000;

fn build(documents: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new();
    for document in documents {
        builder.add("test", None, document.as_bytes()).unwrap();
    }
    builder.finish(NOW).unwrap()
}

fn open(documents: &[&str]) -> Advisories {
    Advisories::open(Arc::new(build(documents))).unwrap()
}

/// Everything the file says about one package, a line for each advisory: id, aliases, severity, spans, versions.
fn told(advisories: &Advisories, ecosystem: &Ecosystem, package: &str) -> Vec<String> {
    let entries = advisories.lookup(ecosystem, package).unwrap().map(Result::unwrap);
    let span = |range: &scanner::advisory::Range<&str>| {
        let from = range.introduced.unwrap_or("");
        match range.end {
            RangeEnd::Fixed(version) => format!("[{from}, {version})"),
            RangeEnd::LastAffected(version) => format!("[{from}, {version}]"),
            RangeEnd::Open => format!("[{from}, …)"),
        }
    };
    let line = |entry: scanner::advisory::Entry<'_>| {
        let spans: Vec<String> = entry.ranges.iter().map(span).collect();
        let mut words = vec![entry.id.to_owned()];
        words.extend(entry.aliases.iter().map(|alias| format!("={alias}")));
        words.push(format!("{:?}", entry.severity).to_lowercase());
        words.extend(spans);
        words.extend(entry.versions.iter().map(|version| (*version).to_owned()));
        words.join(" ")
    };
    entries.map(line).collect()
}

#[track_caller]
fn check(document: &str, ecosystem: &Ecosystem, package: &str, expected: &[&str]) {
    assert_eq!(told(&open(&[document]), ecosystem, package), expected);
}

fn debian(codename: &str) -> Ecosystem {
    Ecosystem::debian(codename).unwrap()
}

fn osv(rest: &str) -> String {
    format!(r#"{{"id":"GHSA-1","modified":"2026-01-01T00:00:00Z",{rest}}}"#)
}

#[test]
fn osv_events_become_spans_in_version_order() {
    let document = osv(
        r#""affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":
        [{"introduced":"2.0.0"},{"fixed":"2.10.0"},{"fixed":"1.9.0"},{"introduced":"0"},{"introduced":"3.0.0"}]}]}]"#,
    );
    check(&document, &Ecosystem::npm(), "a", &["GHSA-1 unknown [, 1.9.0) [2.0.0, 2.10.0) [3.0.0, …)"]);
}

#[test]
fn osv_versions_outside_the_spans_are_kept_and_python_names_normalised() {
    let document = osv(
        r#""aliases":["CVE-2026-0001"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected":[{"package":{"ecosystem":"PyPI","name":"My_Package.x"},"versions":["1.0","1.1","3.0"],
        "ranges":[{"type":"GIT","events":[{"introduced":"0"}]},
        {"type":"ECOSYSTEM","events":[{"introduced":"1.0"},{"last_affected":"1.1"}]}]}]"#,
    );
    let expected = ["GHSA-1 =CVE-2026-0001 critical [1.0, 1.1] 3.0"];
    check(&document, &Ecosystem::from_osv("PyPI").expect("known"), "my-package-x", &expected);
}

#[test]
fn a_bound_that_cannot_be_ordered_affects_more_and_not_less() {
    let document =
        osv(r#""affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":
        [{"introduced":"soon"},{"fixed":"later"}]}]}]"#);
    check(&document, &Ecosystem::npm(), "a", &["GHSA-1 unknown [, …)"]);
}

#[test]
fn withdrawn_and_foreign_documents_are_left_out_and_counted() {
    let affected = r#""affected":[{"package":{"ecosystem":"npm","name":"a"}}]"#;
    let maven = osv(r#""affected":[{"package":{"ecosystem":"Hackage","name":"a:b"}}]"#);
    let pro = osv(r#""affected":[{"package":{"ecosystem":"Ubuntu:Pro:Realtime:22.04:LTS","name":"a"}}]"#);
    let mut builder = Builder::new();
    for document in [osv(&format!(r#""withdrawn":"2026-01-02T00:00:00Z",{affected}"#)), maven, pro] {
        let added = builder.add("test", None, document.as_bytes()).unwrap();
        assert_eq!((added.advisories, added.skipped), (0, 1), "{document}");
    }
}

#[test]
fn a_document_that_names_no_safe_version_affects_all() {
    let document = osv(r#""affected":[{"package":{"ecosystem":"npm","name":"a"}}]"#);
    check(&document, &Ecosystem::npm(), "a", &["GHSA-1 unknown [, …)"]);
}

#[test]
fn a_bulletin_about_two_cves_is_two_problems_and_a_record_of_one_is_that_cve() {
    let affected = r#""affected":[{"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":
        [{"introduced":"0"},{"fixed":"1.2-3"}]}],"ecosystem_specific":{"urgency":"low"}}]"#;
    let bulletin = format!(
        r#"{{"id":"DSA-1-1","modified":"2026-01-01","upstream":["CVE-2026-0002","CVE-2026-0001"],{affected}}}"#
    );
    let expected = ["CVE-2026-0001 low [, 1.2-3)", "CVE-2026-0002 low [, 1.2-3)"];
    check(&bulletin, &debian("bookworm"), "a", &expected);
    let record = format!(r#"{{"id":"DEBIAN-CVE-2026-0001","modified":"2026-01-01",{affected}}}"#);
    check(&record, &debian("bookworm"), "a", &["CVE-2026-0001 =DEBIAN-CVE-2026-0001 low [, 1.2-3)"]);
}

#[test]
fn of_two_osv_documents_with_one_id_the_newer_one_stands_in_either_order() {
    let document = |modified: &str, fixed: &str| {
        format!(
            r#"{{"id":"A","modified":"{modified}","affected":[{{"package":{{"ecosystem":"npm","name":"a"}},
            "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        )
    };
    let (old, new) = (document("2026-01-01T00:00:00Z", "1.0.0"), document("2026-01-01T00:00:01Z", "1.0.1"));
    for order in [[old.as_str(), &new], [&new, &old]] {
        assert_eq!(told(&open(&order), &Ecosystem::npm(), "a"), ["A unknown [, 1.0.1)"]);
    }
}

const SECDB: &str = r#"{"distroversion":"v3.20","reponame":"main","packages":[{"pkg":{"name":"a","secfixes":{
    "1.2-r1":["CVE-2026-0001 TALOS-1","CVE-2026-0002 (only on Tuesdays)","CVE-????-????? XSA-9"],
    "0":["CVE-2026-0003"],"1.3-r0":null}}}]}"#;

#[test]
fn secdb_notes_are_cut_off_and_version_0_was_never_affected() {
    let expected =
        ["CVE-2026-0001 unknown [, 1.2-r1)", "CVE-2026-0002 unknown [, 1.2-r1)", "XSA-9 unknown [, 1.2-r1)"];
    check(SECDB, &Ecosystem::alpine("v3.20"), "a", &expected);
}

#[test]
fn secdb_covers_its_branch_even_when_it_lists_nothing_and_no_other() {
    let empty = r#"{"distroversion":"v3.19","reponame":"main","apkurl":"x","packages":null}"#;
    let advisories = open(&[empty]);
    assert!(advisories.covers(&Ecosystem::alpine("v3.19")));
    assert!(!advisories.covers(&Ecosystem::alpine("v3.20")));
}

#[test]
fn a_stray_document_does_not_cover_its_ecosystem() {
    for (name, ecosystem) in [("Alpine:v3.15", Ecosystem::alpine("v3.15")), ("npm", Ecosystem::npm())] {
        let document = osv(&format!(r#""affected":[{{"package":{{"ecosystem":"{name}","name":"a"}}}}]"#));
        let advisories = open(&[&document]);
        assert!(!advisories.covers(&ecosystem), "{name}");
        assert_eq!(told(&advisories, &ecosystem, "a").len(), 1, "what it says still counts");
    }
}

const TRACKER: &str = r#"{"a":{
    "CVE-2026-0001":{"description":"bad","releases":{
        "bookworm":{"status":"resolved","fixed_version":"1.2-3","urgency":"high**"},
        "trixie":{"status":"resolved","fixed_version":"0","urgency":"unimportant"},
        "buster":{"status":"open","urgency":"end-of-life","repositories":{"buster":"1.0-1"}},
        "hamm":{"status":"open"}}},
    "CVE-2026-0002":{"releases":{"bookworm":{"status":"undetermined","urgency":"not yet assigned"}}},
    "TEMP-0000000-ABC":{"releases":{"bookworm":{"status":"open","urgency":"unimportant"}}}}}"#;

#[test]
fn the_tracker_is_read_release_by_release() {
    let expected =
        ["CVE-2026-0001 high [, 1.2-3)", "CVE-2026-0002 unknown [, …)", "TEMP-0000000-ABC negligible [, …)"];
    check(TRACKER, &debian("bookworm"), "a", &expected);
    check(TRACKER, &debian("buster"), "a", &["CVE-2026-0001 unknown [, …)"]);
    check(TRACKER, &debian("trixie"), "a", &[]);
    let advisories = open(&[TRACKER]);
    assert!(advisories.covers(&debian("trixie")), "told to be safe is not the same as not told");
    assert!(!advisories.covers(&debian("bullseye")));
}

#[test]
fn debian_bulletins_and_changelogs_are_read() {
    let bulletin = r#"{"id":"DSA-1-1","date":"29 Mar 2023","source":"a","title":"security update","cves":["CVE-2026-0001"],
        "fixed":[{"release":"bullseye","source":"a","fixed":"1-2"},{"release":"buster","source":"a","fixed":"<not-affected>"}]}"#;
    check(bulletin, &debian("bullseye"), "a", &["CVE-2026-0001 unknown [, 1-2)"]);
    check(bulletin, &debian("buster"), "a", &[]);
    // A rebuild for stable contains what the version it rebuilds fixed, though it sorts before it.
    let changelog = r#"{"release":"trixie","source":"a","current":"2.9.0-1~deb13u1","fixes":[
        {"version":"2.9.0-1","cves":["CVE-2026-0001"]},{"version":"2.8.0-1","cves":["CVE-2026-0001","CVE-2026-0002"]}]}"#;
    let expected = ["CVE-2026-0001 unknown [, 2.8.0-1)", "CVE-2026-0002 unknown [, 2.8.0-1)"];
    check(changelog, &debian("trixie"), "a", &expected);
    let rebuilt = r#"{"release":"trixie","source":"a","current":"2.9.0-1~deb13u1","fixes":[
        {"version":"2.9.0-1","cves":["CVE-2026-0001"]}]}"#;
    check(rebuilt, &debian("trixie"), "a", &["CVE-2026-0001 unknown [, 2.9.0-1~)"]);
}

#[test]
fn an_ungraded_advisory_takes_the_grade_that_others_give_the_same_problem() {
    let graded = r#"{"id":"GHSA-1","aliases":["CVE-2026-0001"],"modified":"2026-01-01","affected":
        [{"package":{"ecosystem":"npm","name":"b"}}],"database_specific":{"severity":"MODERATE"}}"#;
    let advisories = open(&[SECDB, graded]);
    let told = told(&advisories, &Ecosystem::alpine("v3.20"), "a");
    assert_eq!(told[0], "CVE-2026-0001 =GHSA-1 medium [, 1.2-r1)");
    let entry = advisories.lookup(&Ecosystem::alpine("v3.20"), "a").unwrap().next().unwrap().unwrap();
    assert_eq!(entry.severity_source, Some("GHSA-1"), "who graded it is named");
}

#[test]
fn severities_are_read_from_vectors_of_all_versions() {
    for (score, expected) in [
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Severity::Critical),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Severity::Critical),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", Severity::High),
        ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L", Severity::Low),
        ("medium", Severity::Medium),
        ("CVSS:9.9/what", Severity::Unknown),
    ] {
        let document = osv(&format!(
            r#""severity":[{{"type":"X","score":"{score}"}}],"affected":[{{"package":{{"ecosystem":"npm","name":"a"}}}}]"#
        ));
        let advisories = open(&[&document]);
        let entry = advisories.lookup(&Ecosystem::npm(), "a").unwrap().next().unwrap().unwrap();
        assert_eq!(entry.severity, expected, "{score}");
    }
}

#[test]
fn what_is_no_feed_is_told_apart_from_a_broken_one() {
    let add = |document: &str| Builder::new().add("test", None, document.as_bytes());
    for document in ["{}", "[]", "3", r#"{"hello":1}"#, r#"{"a":{"b":1}}"#] {
        assert!(matches!(add(document), Err(FeedError::Unrecognised)), "{document}");
    }
    for document in ["", "{", "<html>", &TRACKER[..TRACKER.len() - 2]] {
        assert!(matches!(add(document), Err(FeedError::Json(_))), "{document}");
    }
    for (document, expected) in [
        (r#"{"id":1,"modified":"2026-01-01"}"#, FeedKind::Osv),
        (r#"{"a":{"CVE-2026-0001":{}}}"#, FeedKind::DebianTracker),
        (r#"{"reponame":"main","packages":[]}"#, FeedKind::AlpineSecdb),
    ] {
        let Err(FeedError::Malformed { kind, .. }) = add(document) else { panic!("{document}") };
        assert_eq!(kind, expected, "{document}");
    }
    assert!(matches!(Builder::new().finish(NOW), Err(BuildError::Empty)));
}

#[test]
fn distributions_find_their_ecosystem_and_derivatives_find_none() {
    for (id, version, codename, expected) in [
        ("debian", Some("12"), None, Some("debian:12")),
        ("debian", Some("12.5"), None, Some("debian:12")),
        ("debian", None, Some("bookworm"), Some("debian:12")),
        ("debian", None, None, None),
        ("ubuntu", Some("22.04"), None, Some("ubuntu:22.04")),
        ("alpine", Some("3.20.3"), None, Some("alpine:3.20")),
        ("alpine", Some("3.21.0_alpha20240606"), None, Some("alpine:edge")),
        ("alpine", Some("3"), None, None),
        ("alpine", None, None, None),
        ("wolfi", Some("20230201"), None, Some("wolfi")),
        ("amzn", Some("2023"), None, Some("amazon:2023")),
        ("linuxmint", Some("21"), Some("bookworm"), None),
    ] {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let distribution = Distribution {
            id: id.to_owned(),
            version_id: text(version),
            codename: text(codename),
            pretty_name: None,
            repositories: Vec::new(),
        };
        let ecosystem = Ecosystem::of_distribution(&distribution);
        assert_eq!(ecosystem.as_ref().map(Ecosystem::as_str), expected, "{id} {version:?}");
    }
}

#[test]
fn a_withdrawn_document_takes_back_every_older_copy_in_every_source_and_order() {
    let affected = r#""affected":[{"package":{"ecosystem":"npm","name":"a"}}]"#;
    let old = osv(affected);
    let withdrawn = r#""withdrawn":"2026-02-01T00:00:00Z","#;
    let taken_back = osv(&format!("{withdrawn}{affected}"));
    let newer = old.replace("2026-01-01", "2026-03-01");
    for (documents, expected) in [
        ([&old, &taken_back, &old], 0),
        ([&taken_back, &old, &old], 0),
        ([&taken_back, &newer, &old], 1),
        ([&newer, &old, &taken_back], 1),
    ] {
        let mut builder = Builder::new();
        for (number, document) in documents.into_iter().enumerate() {
            builder.add(&format!("source-{number}"), None, document.as_bytes()).unwrap();
        }
        let advisories = Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap();
        assert_eq!(told(&advisories, &Ecosystem::npm(), "a").len(), expected, "{documents:?}");
    }
}

#[test]
fn records_of_one_cve_by_two_distributions_stand_beside_each_other_in_one_source() {
    let record = |of: &str, ecosystem: &str| {
        let affected = format!(r#""affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"a"}}}}]"#);
        osv(&affected).replace("GHSA-1", &format!("{of}-CVE-2026-0001"))
    };
    let (debian_record, alpine_record) = (record("DEBIAN", "Debian:12"), record("ALPINE", "Alpine:v3.20"));
    let advisories = open(&[&debian_record, &alpine_record]);
    assert_eq!(told(&advisories, &debian("bookworm"), "a").len(), 1);
    assert_eq!(told(&advisories, &Ecosystem::alpine("v3.20"), "a").len(), 1);
}

#[test]
fn all_names_of_a_problem_are_found_by_way_of_other_feeds_and_two_cves_stay_two() {
    let named = |id: &str, aliases: &[&str], package: &str| {
        let aliases: Vec<String> = aliases.iter().map(|alias| format!("\"{alias}\"")).collect();
        format!(
            r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","aliases":[{}],
            "affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}}}}]}}"#,
            aliases.join(",")
        )
    };
    let mut documents = vec![
        named("GHSA-1", &[], "a"),
        // Nothing about `a`, but what its advisory is also called.
        named("PYSEC-1", &["GHSA-1"], "b"),
        named("CVE-2026-0001", &["PYSEC-1"], "c"),
    ];
    let built = |documents: &[String]| open(&documents.iter().map(String::as_str).collect::<Vec<_>>());
    let advisories = built(&documents);
    let all = ["GHSA-1 =CVE-2026-0001 =PYSEC-1 unknown [, …)"];
    assert_eq!(told(&advisories, &Ecosystem::npm(), "a"), all);

    // One name too many: it would make one problem of two.
    documents.push(named("OTHER-1", &["GHSA-1", "CVE-2026-0002"], "d"));
    documents.push(named("BOTH-1", &["CVE-2026-0001", "CVE-2026-0003"], "e"));
    let advisories = built(&documents);
    let names = |package: &str| told(&advisories, &Ecosystem::npm(), package).remove(0);
    for package in ["a", "b", "c", "d"] {
        let cves = names(package).matches("CVE-2026-").count();
        assert_eq!(cves, 1, "{}", names(package));
    }
    assert_eq!(names("e").matches("CVE-2026-").count(), 2, "as the advisory says itself");
}

#[test]
fn a_chain_of_a_thousand_aliases_does_not_join_everything() {
    let document = |number: usize| {
        format!(
            r#"{{"id":"X-{number}","modified":"2026-01-01T00:00:00Z","aliases":["X-{}"],
            "affected":[{{"package":{{"ecosystem":"npm","name":"a"}}}}]}}"#,
            number + 1
        )
    };
    let documents: Vec<String> = (0..1000).map(document).collect();
    let advisories = open(&documents.iter().map(String::as_str).collect::<Vec<_>>());
    let entries = advisories.lookup(&Ecosystem::npm(), "a").unwrap().map(Result::unwrap);
    let most = entries.map(|entry| entry.aliases.len()).max();
    assert!(most > Some(1) && most <= Some(64), "{most:?}");
}

#[test]
fn a_score_is_computed_from_the_vector_and_its_advisory_named() {
    let vector = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
    let document = osv(&format!(
        r#""severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L"}},
        {{"type":"CVSS_V4","score":"{vector}"}}],"database_specific":{{"severity":"LOW"}},
        "affected":[{{"package":{{"ecosystem":"npm","name":"a"}}}}]"#
    ));
    let advisories = open(&[&document]);
    let entry = advisories.lookup(&Ecosystem::npm(), "a").unwrap().next().unwrap().unwrap();
    let (score, written) = entry.cvss.unwrap();
    assert_eq!((score.to_string().as_str(), written), ("9.3", vector));
    assert_eq!((entry.severity, entry.severity_source), (Severity::Critical, Some("GHSA-1")));
}

#[test]
fn the_same_documents_give_the_same_bytes_in_any_order() {
    let npm = osv(r#""affected":[{"package":{"ecosystem":"npm","name":"a"}}]"#);
    assert_eq!(build(&[&npm, SECDB, TRACKER]), build(&[TRACKER, &npm, SECDB]));
}

#[test]
fn building_again_later_keeps_the_digest_and_moves_the_build_time() {
    let advisories = open(&[SECDB, TRACKER]);
    let later = Advisories::open(Arc::new(advisories.restamped(NOW + 60))).unwrap();
    assert_eq!(later.revision().digest, advisories.revision().digest);
    assert_eq!((advisories.revision().built, later.revision().built), (NOW, NOW + 60));
}

#[test]
fn undated_sources_are_infinitely_old_and_none_is_newer_than_now() {
    assert_eq!(open(&[SECDB]).revision().newest, 0);
    let mut builder = Builder::new();
    builder.add("test", Some(NOW + 99), SECDB.as_bytes()).unwrap();
    let advisories = Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap();
    assert_eq!(advisories.revision().newest, NOW);
}

#[test]
fn every_damaged_byte_and_every_cut_is_refused() {
    let file = build(&[SECDB, TRACKER]);
    for index in 0..file.len() {
        let mut damaged = file.clone();
        damaged[index] ^= 0x40;
        assert!(Advisories::open(Arc::new(damaged)).is_err(), "byte {index}");
        assert!(Advisories::open(Arc::new(file[..index].to_vec())).is_err(), "cut at {index}");
    }
    let mut longer = file;
    longer.push(0);
    assert!(matches!(Advisories::open(Arc::new(longer)), Err(AdvisoryError::Length { .. })));
    assert_eq!(Advisories::open(Arc::new(b"not ours".to_vec())).unwrap_err(), AdvisoryError::NotAdvisories);
}

/// A file whose digests are right but whose body is not what a builder writes.
fn forge(file: &[u8], place: usize, value: u8) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    const HEADER: usize = 160;
    let mut forged = file.to_vec();
    let place = HEADER + place % (file.len() - HEADER);
    forged[place] = value;
    let body = Sha256::digest(&forged[HEADER..]);
    forged[20..52].copy_from_slice(&body);
    let header = Sha256::digest(&forged[..128]);
    forged[128..160].copy_from_slice(&header);
    forged
}

#[test]
fn a_forged_file_gets_past_the_digests() {
    let file = build(&[SECDB, TRACKER]);
    assert_eq!(forge(&file, 0, file[160]), file);
    let last = *file.last().unwrap() ^ 1;
    assert!(Advisories::open(Arc::new(forge(&file, file.len() - 161, last))).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_corrupt_body_gives_errors_and_never_panics(place in any::<usize>(), value in any::<u8>()) {
        let forged = forge(&build(&[SECDB, TRACKER]), place, value);
        let Ok(advisories) = Advisories::open(Arc::new(forged)) else { return Ok(()) };
        for ecosystem in [debian("bookworm"), debian("buster"), Ecosystem::alpine("v3.20"), Ecosystem::npm()] {
            if let Ok(entries) = advisories.lookup(&ecosystem, "a") {
                prop_assert!(entries.take(10_000).count() < 10_000);
            }
        }
    }
}
