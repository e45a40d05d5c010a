//! RPM databases, real and made: what they list, and what they refuse.

#![expect(clippy::panic, reason = "a test and its helpers fail loudly")]

use std::collections::BTreeSet;

use scanner::advisory::{Advisories, Builder};
use scanner::extractors::rpm::Rpm;
use scanner::extractors::{ExtractError, Extracted, Extractor as _, FileDigest};
use scanner::image::scan;
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::{ImagePackage, Unknown};
use serde_json::Value;

use crate::build::{Walked, images, test_data};
use crate::skipped;

fn read(path: &str, bytes: &[u8]) -> Result<Vec<Package>, ExtractError> {
    let found = Rpm.extract(path.as_bytes(), bytes)?;
    Ok(found.packages().unwrap_or_else(|| panic!("{found:?}")).to_vec())
}

fn refused(bytes: &[u8]) -> String {
    match read("var/lib/rpm/Packages", bytes) {
        Err(ExtractError::Malformed { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

/// A header of text tags and, where given, an epoch.
fn header(tags: &[(u32, &str)], epoch: Option<u32>) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, offset: usize| {
        for number in [tag, kind, u32::try_from(offset).expect("small"), 1] {
            index.extend_from_slice(&number.to_be_bytes());
        }
    };
    if let Some(epoch) = epoch {
        entry(1003, 4, data.len());
        data.extend_from_slice(&epoch.to_be_bytes());
    }
    for (tag, text) in tags {
        entry(*tag, 6, data.len());
        data.extend_from_slice(text.as_bytes());
        data.push(0);
    }
    let mut blob = Vec::new();
    for size in [index.len() / 16, data.len()] {
        blob.extend_from_slice(&u32::try_from(size).expect("small").to_be_bytes());
    }
    [blob, index, data].concat()
}

/// The same header with more tags: number, type, content, one of each.
fn with_tags(header: &[u8], tags: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let size = |at: usize| u32::from_be_bytes(*header[at..].first_chunk().expect("four bytes"));
    let (count, data_bytes) = (size(0), size(4));
    let index_end = 8 + usize::try_from(count).expect("small") * 16;
    let mut data = header[index_end..].to_vec();
    let mut index = header[8..index_end].to_vec();
    for (tag, kind, content) in tags {
        for number in [*tag, *kind, u32::try_from(data.len()).expect("small"), 1] {
            index.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(content);
    }
    assert_eq!(usize::try_from(data_bytes).expect("small") + index_end, header.len());
    let added = u32::try_from(tags.len()).expect("small");
    let sizes = [count + added, u32::try_from(data.len()).expect("small")].map(u32::to_be_bytes).concat();
    [sizes, index, data].concat()
}

/// The same header with a list of one file.
fn with_file(header: &[u8], folder: &str, name: &str, folder_number: u32) -> Vec<u8> {
    let (folder, name) = ([folder.as_bytes(), b"\0"].concat(), [name.as_bytes(), b"\0"].concat());
    with_tags(header, &[(1116, 4, &folder_number.to_be_bytes()), (1117, 8, &name), (1118, 8, &folder)])
}

#[test]
fn digests_of_files_are_taken_by_the_algorithm_that_the_package_names() {
    let file = with_file(&header(&BASH, None), "/usr/bin/", "tool", 0);
    let (long, short) =
        (["ab".repeat(32), "\0".to_owned()].concat(), ["ab".repeat(16), "\0".to_owned()].concat());
    let digest = |tags: &[(u32, u32, &[u8])]| match Rpm
        .extract(b"var/lib/rpm/Packages.db", &ndb(&[with_tags(&file, tags)]))
    {
        Ok(Extracted::System { owned, .. }) => Ok(owned[0].1.digest.clone()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let algorithm = |number: u32| number.to_be_bytes();
    let listed = (1035, 8, long.as_bytes());
    assert_eq!(digest(&[listed, (5011, 4, &algorithm(8))]), Ok(Some(FileDigest::Sha256("ab".repeat(32)))));
    assert_eq!(digest(&[(5011, 4, &algorithm(8)), listed]), Ok(Some(FileDigest::Sha256("ab".repeat(32)))));
    // MD5, by its number or by none; and what is no digest at all.
    let md5 = Some(FileDigest::Md5("ab".repeat(16)));
    assert_eq!(digest(&[(1035, 8, short.as_bytes()), (5011, 4, &algorithm(1))]), Ok(md5.clone()));
    assert_eq!(digest(&[(1035, 8, short.as_bytes())]), Ok(md5));
    assert_eq!(digest(&[(1035, 8, short.as_bytes()), (5011, 4, &algorithm(2))]), Ok(None));
    assert_eq!(digest(&[(1035, 8, short.as_bytes()), (5011, 4, &algorithm(8))]), Ok(None));
    assert_eq!(digest(&[]), Ok(None));
    assert!(digest(&[listed, listed]).is_err_and(|error| error.contains("twice")));
    assert!(
        digest(&[(5011, 4, &algorithm(8)), (5011, 4, &algorithm(8))])
            .is_err_and(|error| error.contains("twice"))
    );
}

#[test]
fn files_of_a_package_that_may_hold_others_are_listed() {
    let database = |folder, name, number| ndb(&[with_file(&header(&BASH, None), folder, name, number)]);
    let owned = |database: &[u8]| match Rpm.extract(b"var/lib/rpm/Packages.db", database) {
        Ok(Extracted::System { owned, .. }) => {
            Ok(owned.into_iter().map(|(number, file)| (number, file.path)).collect::<Vec<_>>())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(owned(&database("/usr/bin/", "tool", 0)), Ok(vec![(0, "usr/bin/tool".to_owned())]));
    assert_eq!(owned(&database("/usr/share/doc/", "README", 0)), Ok(vec![]));
    assert!(owned(&database("/usr/bin/", "tool", 1)).is_err_and(|error| error.contains("list of files")));
}

#[test]
fn what_others_have_built_is_not_judged_by_the_distribution() {
    let known = advisories("AlmaLinux:9", &[("ALSA-1", "Low: a", "a", "2.0-1.el9")]);
    let alma = system("almalinux", "9");
    let by = |vendor: &str| {
        let mut package = installed("a", "1.9-1.el9", None);
        package.package.vendor = Some(vendor.to_owned());
        package
    };
    check(&alma, &known, by("AlmaLinux"), Some("2.0-1.el9"), true);
    check(&alma, &known, by("Fedora Project"), None, false);
}

const BASH: [(u32, &str); 6] = [
    (1000, "bash"),
    (1001, "5.1"),
    (1002, "6.el9"),
    (1011, "AlmaLinux"),
    (1022, "x86_64"),
    (1044, "bash-5.1-6.el9.src.rpm"),
];

fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let mut file = [&b"RpmP"[..], &number(0), &number(1), &number(1), &[0; 16]].concat();
    let mut content = Vec::new();
    for slot in 0..254 {
        let blob = blobs.get(slot);
        let (package, start, blocks) = blob.map_or((0, 0, 0), |blob| {
            let start = (4096 + content.len()) / 16;
            let blocks = (blob.len() + 28).div_ceil(16);
            content.extend([&b"BlbS"[..], &number(slot + 1), &number(1), &number(blob.len()), blob].concat());
            content.resize((start + blocks) * 16 - 4096 - 12, 0);
            content.extend([&number(0)[..], &number(blob.len()), b"BlbE"].concat());
            (slot + 1, start, blocks)
        });
        file.extend([&b"Slot"[..], &number(package), &number(start), &number(blocks)].concat());
    }
    file.extend(content);
    file
}

/// A hash database of one page of items, and one overflow page for each long value.
fn bdb(values: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 512;
    let put = |page: &mut [u8], at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let short = |number: usize| u16::try_from(number).expect("small").to_le_bytes();
    let (mut meta, mut items) = (vec![0; PAGE], vec![0; PAGE]);
    put(&mut meta, 12, &0x0006_1561_u32.to_le_bytes());
    put(&mut meta, 20, &number(PAGE));
    meta[25] = 8;
    put(&mut meta, 32, &number(1 + values.len()));
    items[25] = 13;
    put(&mut items, 20, &short(values.len() * 2));
    let mut end = PAGE;
    let mut overflow = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let mut page = vec![0; PAGE];
        put(&mut page, 22, &short(value.len()));
        put(&mut page, 26, value);
        page[25] = 7;
        overflow.extend(page);
        let key = [&[1][..], &number(index + 1)].concat();
        let pointer = [&[3, 0, 0, 0][..], &number(index + 2), &number(value.len())].concat();
        for (part, item) in [key, pointer].iter().enumerate() {
            end -= item.len();
            put(&mut items, end, item);
            put(&mut items, 26 + 2 * (2 * index + part), &short(end));
        }
    }
    [meta, items, overflow].concat()
}

#[test]
fn a_package_is_read_from_its_header_in_each_format() {
    let tags = [BASH.to_vec(), vec![(5096, "shells:5:80600:ad008a3a")]].concat();
    let expected = Package {
        architecture: Some("x86_64".to_owned()),
        source: Some(SourcePackage { name: "bash".to_owned(), version: "2:5.1-6.el9".to_owned() }),
        module: Some("shells:5".to_owned()),
        vendor: Some("AlmaLinux".to_owned()),
        ..Package::new(PackageKind::Rpm, "bash".to_owned(), "2:5.1-6.el9".to_owned())
    };
    let key = header(&[(1000, "gpg-pubkey"), (1001, "d832c631"), (1002, "63977702")], None);
    let blobs = [header(&tags, Some(2)), key];
    for database in [ndb(&blobs), bdb(&blobs)] {
        assert_eq!(read("var/lib/rpm/Packages", &database), Ok(vec![expected.clone()]));
    }
    let line = "bash\t5.1-6.cm2\t1653816591\t1653628924\tMicrosoft Corporation\t(none)\t0\tx86_64\t0\tbash-5.1-6.cm2.src.rpm\n";
    let listed = read("var/lib/rpmmanifest/container-manifest-2", line.as_bytes()).expect("a manifest");
    assert_eq!(listed[0].version, "5.1-6.cm2");
    assert_eq!(listed[0].source.as_ref().map(|source| source.name.as_str()), Some("bash"));
}

#[test]
fn a_database_that_lies_is_refused() {
    let good = header(&BASH, None);
    let with = |tag: u32, text: &'static str| {
        let mut tags = BASH.to_vec();
        tags.push((tag, text));
        header(&tags, None)
    };
    let without = |tag: u32| {
        let tags: Vec<_> = BASH.into_iter().filter(|(known, _)| *known != tag).collect();
        read("Packages", &ndb(&[header(&tags, None)]))
    };
    let damaged = |at: usize, value: u8| {
        let mut database = ndb(std::slice::from_ref(&good));
        database[at] = value;
        refused(&database)
    };
    let damaged_bdb = |at: usize, value: u8| {
        let mut database = bdb(std::slice::from_ref(&good));
        database[at] = value;
        refused(&database)
    };
    let two = bdb(&[good.clone(), good.clone()]);
    let shared = {
        let mut database = two.clone();
        // Both values on one page.
        let at = database.windows(5).rposition(|bytes| bytes == [3, 0, 0, 0, 2]).expect("the first pointer");
        let second = database.windows(5).rposition(|bytes| bytes == [3, 0, 0, 0, 3]).expect("the second");
        database[second + 4] = database[at + 4];
        refused(&database)
    };
    let cases = [
        ("nothing known", refused(b"garbage"), "neither SQLite nor NDB nor Berkeley DB"),
        ("a name twice", refused(&ndb(&[with(1000, "other")])), "tag 1000 stands twice"),
        ("an index larger than the header", refused(&ndb(&[vec![0, 0, 9, 0, 0, 0, 0, 0]])), "cut short"),
        ("an ndb version", damaged(4, 9), "NDB version 9"),
        ("more ndb slots than bytes", damaged(14, 9), "slots are cut short"),
        ("an ndb slot without its mark", damaged(32, 0), "without its mark"),
        ("an ndb blob outside", damaged(32 + 10, 1), "blob of package 1 is broken"),
        ("an ndb blob of another package", damaged(4096 + 4, 7), "blob of package 1 is broken"),
        ("an ndb blob longer than its place", damaged(4096 + 14, 1), "blob of package 1 is broken"),
        ("an encrypted bdb", damaged_bdb(24, 1), "encrypted"),
        ("a bdb of another kind", damaged_bdb(25, 9), "the page that describes it"),
        ("a bdb page of 3 bytes", damaged_bdb(21, 3), "a Berkeley DB page of"),
        ("a bdb cut short", damaged_bdb(32, 200), "cut short"),
        ("an odd bdb item", damaged_bdb(512 + 20, 1), "a key without a value"),
        ("a bdb item outside", damaged_bdb(512 + 27, 0xff), "a key outside"),
        ("a bdb chain into a page of items", damaged_bdb(512 + 512 - 13, 1), "a broken chain"),
        ("two bdb values on one page", shared, "a broken chain"),
        (
            "an sqlite page of 3 bytes",
            refused(b"SQLite format 3\0\0\x03\x01\x01\0@  "),
            "an SQLite page of 3",
        ),
        ("an sqlite header alone", refused(b"SQLite format 3\0"), "the SQLite header is cut short"),
    ];
    for (case, found, expected) in cases {
        assert!(found.contains(expected), "{case}: {found}");
    }
    for (tag, field) in [(1000, "Name"), (1001, "Version"), (1002, "Release")] {
        let Err(ExtractError::MissingField { field: missing, .. }) = without(tag) else { panic!("{field}") };
        assert_eq!(missing, field);
    }
    assert_eq!(read("var/lib/rpm/rpmdb.sqlite-wal", b""), Ok(vec![]));
    assert!(read("var/lib/rpm/rpmdb.sqlite-wal", b"x").is_err());
}

/// The real SQLite database, damaged one byte after the other.
#[test]
fn a_damaged_sqlite_database_never_loops_or_panics() {
    let test = "a_damaged_sqlite_database_never_loops_or_panics";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let image = images(&data.join("images/files/rpm-almalinux-9.1-synthetic.oci.tar")).remove(0);
    let mut plain = Vec::new();
    for (_, layer) in &image.layers {
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&layer[..]), &mut unpacked)
            .expect("gzip");
        plain.extend(unpacked);
    }
    let start = plain.windows(16).position(|bytes| bytes == b"SQLite format 3\0").expect("a database");
    let database = &plain[start..start + 245_760];
    assert_eq!(read("rpmdb.sqlite", database).map(|packages| packages.len()), Ok(14));
    let mut differing = 0;
    for at in (0..database.len()).step_by(97) {
        let mut damaged = database.to_vec();
        damaged[at] ^= 0x55;
        differing += usize::from(read("rpmdb.sqlite", &damaged).map_or(0, |packages| packages.len()) != 14);
    }
    assert!(differing > 0);
    for end in (0..database.len()).step_by(4_001) {
        assert_eq!(read("rpmdb.sqlite", &database[..end]).is_ok(), end == 0, "{end}");
    }
}

fn alma(data: &std::path::Path) -> Advisories {
    let packed = std::fs::read(data.join("vuln/osv-almalinux.jsonl.zst")).expect("the advisories");
    let lines = zstd::decode_all(&packed[..]).expect("zstd");
    let mut builder = Builder::new();
    builder.add_lines("almalinux", None, &lines).expect("OSV");
    let bytes = builder.finish(1_800_000_000).expect("a file");
    Advisories::open(std::sync::Arc::new(bytes)).expect("a good file")
}

/// Each expected advisory names its problems as aliases; ours are told one by one.
#[test]
fn almalinux_findings_are_the_expected_ones() {
    let test = "almalinux_findings_are_the_expected_ones";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let image = images(&data.join("images/files/rpm-almalinux-9.1-synthetic.oci.tar")).remove(0);
    let report = scan(&Walked::new(&image).layers(), &image.config, Some(&alma(&data)));
    let expected = std::fs::read(data.join("images/expected/rpm-almalinux-9.1-synthetic.json"));
    let expected: Value = serde_json::from_slice(&expected.expect("an expectation")).expect("JSON");
    let mut pairs = BTreeSet::new();
    for advisory in expected["vulnerabilities"].as_array().expect("a list") {
        let package = advisory["package"].as_str().expect("a name");
        let problems = advisory["aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
        pairs.extend(problems.map(|problem| (problem.to_owned(), package.to_owned())));
    }
    let found = report.findings.iter().map(|it| (it.id.clone(), it.package.name.clone()));
    let found: BTreeSet<_> = found.collect();
    println!("almalinux: {} expected pairs, {} found", pairs.len(), found.len());
    assert_eq!(found, pairs);
    assert_eq!(report.unknown, []);
}

fn system(id: &str, version: &str) -> Distribution {
    Distribution {
        id: id.to_owned(),
        version_id: Some(version.to_owned()),
        codename: None,
        pretty_name: None,
        repositories: Vec::new(),
    }
}

fn installed(name: &str, version: &str, module: Option<&str>) -> ImagePackage {
    let source = Some(SourcePackage { name: format!("{name}-source"), version: version.to_owned() });
    let package = Package {
        source,
        module: module.map(str::to_owned),
        ..Package::new(PackageKind::Rpm, name.to_owned(), version.to_owned())
    };
    ImagePackage { package, path: "var/lib/rpm/rpmdb.sqlite".to_owned(), layer: 0, owned: false }
}

/// Advisories of one ecosystem: id, summary, package, fixed version.
fn advisories(ecosystem: &str, bulletins: &[(&str, &str, &str, &str)]) -> Advisories {
    let mut builder = Builder::new();
    let fill = (0..60).map(|number| {
        (format!("CVE-2000-{number:04}"), String::new(), format!("fill-{number}"), "1-1".to_owned())
    });
    let given = bulletins.iter().map(|(id, summary, package, fixed)| {
        ((*id).to_owned(), (*summary).to_owned(), (*package).to_owned(), (*fixed).to_owned())
    });
    for (number, (id, summary, package, fixed)) in fill.chain(given).enumerate() {
        let document = serde_json::json!({
            "id": id, "summary": summary, "modified": "2026-01-01T00:00:00Z",
            "related": [format!("CVE-2026-{number:04}")],
            "affected": [{
                "package": { "ecosystem": ecosystem, "name": package },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": fixed }] }],
            }],
        });
        builder.add("test", None, document.to_string().as_bytes()).expect("OSV");
    }
    Advisories::open(std::sync::Arc::new(builder.finish(1_800_000_000).expect("a file")))
        .expect("a good file")
}

#[track_caller]
fn check(of: &Distribution, known: &Advisories, package: ImagePackage, finding: Option<&str>, judged: bool) {
    let matched = match_packages(Some(of), &[package], Some(known));
    let fixed: Vec<_> = matched.findings.iter().filter_map(|it| it.fixed_version.as_deref()).collect();
    assert_eq!(fixed, finding.into_iter().collect::<Vec<_>>());
    let uncovered = |unknown: &Unknown| matches!(unknown, Unknown::NoAdvisories { .. });
    assert_eq!(!matched.unknown.iter().any(uncovered), judged, "{:?}", matched.unknown);
}

#[test]
fn a_module_is_judged_by_its_own_stream_alone() {
    let known = advisories(
        "AlmaLinux:8",
        &[
            ("ALSA-1", "Important: nodejs:16 security update", "npm", "1:8.19-1.module_el8.6.0+3"),
            ("ALSA-2", "Important: nodejs:18 security update", "npm", "1:9.6-1.module_el8.8.0+3"),
            ("ALSA-3", "Important: npm security update", "npm", "1:7.0-1.el8"),
            ("ALSA-4", "Moderate: ruby security update", "ruby", "2.5.9-112.module_el8.10.0+3871"),
        ],
    );
    let alma = system("almalinux", "8.9");
    let (old, stream) = ("1:8.1-1.module_el8.6.0+1", Some("nodejs:16"));
    check(&alma, &known, installed("npm", old, stream), Some("1:8.19-1.module_el8.6.0+3"), true);
    check(&alma, &known, installed("npm", "1:8.19-1.module_el8.6.0+3", stream), None, true);
    // Its stream is not known, so that none of the three can be trusted.
    check(&alma, &known, installed("npm", old, None), None, false);
    check(&alma, &known, installed("npm", "1:6.0-1.el8", None), Some("1:7.0-1.el8"), true);
    // The advisory does not tell its stream.
    let ruby = installed("ruby", "2.5.9-100.module_el8.5.0+1", Some("ruby:2.5"));
    check(&alma, &known, ruby, Some("2.5.9-112.module_el8.10.0+3871"), true);
}

#[test]
fn a_missing_epoch_is_epoch_zero_and_a_bug_fix_is_no_finding() {
    let known = advisories(
        "AlmaLinux:9",
        &[("ALSA-1", "Low: a", "a", "0:2.0-1.el9"), ("ALSA-2", "Low: b", "b", "1:1.0-1.el9")],
    );
    let alma = system("almalinux", "9");
    check(&alma, &known, installed("a", "1.9-1.el9", None), Some("0:2.0-1.el9"), true);
    check(&alma, &known, installed("a", "2.0-1.el9", None), None, true);
    check(&alma, &known, installed("a", "1:0.1-1.el9", None), None, true);
    check(&alma, &known, installed("b", "9.0-1.el9", None), Some("1:1.0-1.el9"), true);
    let mut builder = Builder::new();
    let bug_fix = serde_json::json!({
        "id": "ALBA-2024:1", "affected": [{ "package": { "ecosystem": "AlmaLinux:9", "name": "a" },
        "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "9" }] }] }],
    });
    assert_eq!(builder.add("test", None, bug_fix.to_string().as_bytes()).expect("OSV").advisories, 0);
}

#[test]
fn each_family_is_judged_by_its_own_names_and_releases() {
    let cases = [
        ("AlmaLinux:9", "almalinux", "9.1", "a", true),
        ("Red Hat:enterprise_linux:9::baseos", "rhel", "9.4", "a", true),
        ("Red Hat:rhel_eus:9.2::baseos", "rhel", "9.2", "a", false),
        ("Rocky Linux:9", "rocky", "9.1", "a-source", true),
        ("SUSE:Linux Enterprise Server 15 SP4", "sles", "15.4", "a-source", true),
        ("SUSE:Linux Enterprise Module for Basesystem 15 SP4", "sles", "15.4", "a-source", true),
        ("openSUSE:Leap 15.5", "opensuse-leap", "15.5", "a-source", true),
        ("openSUSE:Tumbleweed", "opensuse-tumbleweed", "20240101", "a-source", true),
        ("Azure Linux:2", "mariner", "2.0.20240101", "a-source", true),
        ("Azure Linux:3", "azurelinux", "3.0", "a-source", true),
        ("SUSE:Linux Enterprise Micro 5.3", "sle-micro", "5.3", "a-source", true),
        ("Photon OS:3.0", "photon", "3.0", "a-source", true),
        ("Amazon Linux:1", "amzn", "2018.03", "a", true),
        // CentOS Linux kept the versions of what it rebuilt; who does not is not judged by the parent's advisories.
        ("Red Hat:enterprise_linux:7::server", "centos", "7", "a", true),
        ("Red Hat:enterprise_linux:9::baseos", "centos", "9", "a", false),
        ("Red Hat:openshift:4.16::el9", "rhel", "9.4", "a", false),
    ];
    for (ecosystem, id, version, name, judged) in cases {
        let bulletin = [("RHSA-1", "Important: a security update", name, "2.0-1")];
        let known = std::panic::catch_unwind(|| advisories(ecosystem, &bulletin));
        let known = known.unwrap_or_else(|_| panic!("{ecosystem}"));
        let matched =
            match_packages(Some(&system(id, version)), &[installed("a", "1.0-1", None)], Some(&known));
        assert_eq!(matched.findings.len(), usize::from(judged), "{ecosystem}");
        assert_eq!(matched.unknown.is_empty(), judged, "{ecosystem}: {:?}", matched.unknown);
    }
}
