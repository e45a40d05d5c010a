//! Trivy's database: written here as bbolt writes it, and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use scanner::advisory::{Advisories, Builder, Ecosystem, FeedError, FeedKind};
use scanner::finding::Severity;
use serde_json::{Value, json};

const PAGE: usize = 4096;
/// Elements of one leaf here, so that small fixtures have branches too.
const ELEMENTS: usize = 4;

/// What stands under a key.
pub(crate) enum Node {
    Bucket(BTreeMap<Vec<u8>, Node>),
    Value(Vec<u8>),
}

/// Pages that grow; the first two describe the file.
struct Pages(Vec<u8>);

impl Pages {
    /// Writes one page, with as many as it flows over into, and tells its number.
    fn push(&mut self, flags: u16, count: usize, content: &[u8]) -> u64 {
        let number = (self.0.len() / PAGE) as u64;
        let pages = (content.len() + 16).div_ceil(PAGE);
        let overflow = u32::try_from(pages - 1).expect("small");
        self.0.extend(header(number, flags, count, overflow));
        self.0.extend(content);
        self.0.resize((usize::try_from(number).expect("small") + pages) * PAGE, 0);
        number
    }

    /// The first page of a tree of leaves.
    fn tree(&mut self, elements: &[(u32, Vec<u8>, Vec<u8>)]) -> u64 {
        if elements.len() <= ELEMENTS {
            return self.push(2, elements.len(), &leaf(elements));
        }
        let children = elements.chunks(ELEMENTS).map(|part| {
            let page = self.push(2, part.len(), &leaf(part));
            (part[0].1.clone(), page)
        });
        let children: Vec<_> = children.collect();
        let (mut index, mut keys) = (Vec::new(), Vec::new());
        for (number, (key, page)) in children.iter().enumerate() {
            let place = (children.len() - number) * 16 + keys.len();
            index.extend(u32::try_from(place).expect("small").to_le_bytes());
            index.extend(u32::try_from(key.len()).expect("small").to_le_bytes());
            index.extend(page.to_le_bytes());
            keys.extend(key);
        }
        self.push(1, children.len(), &[index, keys].concat())
    }

    /// The value that a bucket has in its parent.
    fn bucket(&mut self, nodes: &BTreeMap<Vec<u8>, Node>) -> Vec<u8> {
        let element = |(key, node): (&Vec<u8>, &Node)| match node {
            Node::Bucket(inner) => (1, key.clone(), self.bucket(inner)),
            Node::Value(value) => (0, key.clone(), value.clone()),
        };
        let elements: Vec<_> = nodes.iter().map(element).collect();
        let content = leaf(&elements);
        let small = content.len() < PAGE / 4 && elements.iter().all(|(flags, ..)| *flags == 0);
        if small && elements.len() <= ELEMENTS {
            return [vec![0; 16], header(0, 2, elements.len(), 0), content].concat();
        }
        [self.tree(&elements).to_le_bytes(), 0_u64.to_le_bytes()].concat()
    }
}

fn header(number: u64, flags: u16, count: usize, overflow: u32) -> Vec<u8> {
    let count = u16::try_from(count).expect("small").to_le_bytes();
    [&number.to_le_bytes()[..], &flags.to_le_bytes(), &count, &overflow.to_le_bytes()].concat()
}

fn leaf(elements: &[(u32, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (number, (flags, key, value)) in elements.iter().enumerate() {
        let place = (elements.len() - number) * 16 + data.len();
        for field in [place, key.len(), value.len()].map(|field| u32::try_from(field).expect("small")) {
            if index.len() % 16 == 0 {
                index.extend(flags.to_le_bytes());
            }
            index.extend(field.to_le_bytes());
        }
        data.extend(key);
        data.extend(value);
    }
    [index, data].concat()
}

fn meta(number: u64, root: u64, transaction: u64) -> Vec<u8> {
    let mut meta = Vec::new();
    for field in [0xED0C_DAED_u32, 2, 4096, 0] {
        meta.extend(field.to_le_bytes());
    }
    for field in [root, 0, 0, 0, transaction] {
        meta.extend(field.to_le_bytes());
    }
    let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut page = [header(number, 4, 0, 0), meta, sum.to_le_bytes().to_vec()].concat();
    page.resize(PAGE, 0);
    page
}

/// A whole file.
pub(crate) fn database(nodes: &BTreeMap<Vec<u8>, Node>) -> Vec<u8> {
    let mut pages = Pages(vec![0; 2 * PAGE]);
    let root = pages.bucket(nodes);
    let root = u64::from_le_bytes(*root.first_chunk().expect("a page"));
    assert_ne!(root, 0, "the root is a page of its own");
    pages.0[..PAGE].copy_from_slice(&meta(0, root, 7));
    // An older state, which must not be read.
    pages.0[PAGE..2 * PAGE].copy_from_slice(&meta(1, 1, 6));
    pages.0
}

/// Nested JSON objects as buckets, down to `levels`; what is deeper is a value.
pub(crate) fn buckets(value: &Value, levels: usize) -> Node {
    match value {
        Value::Object(inner) if levels > 0 => Node::Bucket(
            inner.iter().map(|(key, value)| (key.clone().into_bytes(), buckets(value, levels - 1))).collect(),
        ),
        value => Node::Value(value.to_string().into_bytes()),
    }
}

/// The shared fixtures of Trivy's own tests, as the database that they describe.
pub(crate) fn fixtures(data: &std::path::Path) -> Vec<u8> {
    fn put(nodes: &mut BTreeMap<Vec<u8>, Node>, pairs: &Value) {
        for pair in pairs.as_array().into_iter().flatten() {
            if let Some(name) = pair["bucket"].as_str() {
                let entry = nodes.entry(name.as_bytes().to_vec());
                if let Node::Bucket(inner) = entry.or_insert_with(|| Node::Bucket(BTreeMap::new())) {
                    put(inner, &pair["pairs"]);
                }
            } else if let Some(key) = pair["key"].as_str() {
                nodes.insert(key.as_bytes().to_vec(), Node::Value(pair["value"].to_string().into_bytes()));
            }
        }
    }
    let packed = std::fs::read(data.join("vuln/trivy-fixture-db.jsonl.zst")).expect("the fixtures");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    let mut nodes = BTreeMap::new();
    for line in plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let file: Value = serde_json::from_slice(line).expect("JSON");
        put(&mut nodes, &file["buckets"]);
    }
    database(&nodes)
}

fn small() -> Vec<u8> {
    let many: serde_json::Map<String, Value> = (0..40)
        .map(|number| (format!("fill-{number:02}"), json!({ "CVE-2026-9999": { "FixedVersion": "1" } })))
        .collect();
    let mut debian = json!({ "bash": { "CVE-2026-0001": { "FixedVersion": "5.2-2", "VendorIDs": ["DSA-1-1"] },
        "CVE-2026-0002": { "Status": 5 }, "CVE-2026-0003": { "Status": 1 }, "CVE-2026-0004": null } });
    debian.as_object_mut().expect("an object").extend(many);
    let mut nodes = BTreeMap::new();
    let levels = [("debian 12", debian, 2), ("data-source", json!({ "a": {} }), 1)];
    let levels = levels.into_iter().chain([
        ("npm::GitHub Security Advisory npm", json!({ "left": { "CVE-2026-0005": {
            "VendorIDs": ["GHSA-aaaa"], "PatchedVersions": ["1.3.0"], "VulnerableVersions": [">= 1.0.0, < 1.3.0"] } } }), 2),
        ("vulnerability", json!({ "CVE-2026-0001": { "Title": "bad", "Severity": "LOW",
            "CVSS": { "nvd": { "V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 1.0 } } } }), 1),
    ]);
    for (name, value, levels) in levels {
        nodes.insert(name.as_bytes().to_vec(), buckets(&value, levels));
    }
    // The root must not fit into its parent.
    for number in 0..8 {
        nodes.insert(format!("other {number}").into_bytes(), buckets(&json!({}), 1));
    }
    database(&nodes)
}

#[test]
fn a_database_is_read_through_branches_leaves_and_inline_buckets() {
    let mut builder = Builder::new();
    let added = builder.add("trivy", Some(1), &small()).expect("a database");
    assert_eq!((added.kind, added.skipped), (FeedKind::TrivyDb, 1));
    let known =
        Advisories::open(Arc::new(builder.finish(1_800_000_000).expect("a file"))).expect("a good file");
    let told = |ecosystem: &str, package: &str| -> Vec<String> {
        let ecosystem = Ecosystem::from_osv(ecosystem).expect("known");
        let entries =
            known.lookup(&ecosystem, package).expect("a good file").map(|entry| entry.expect("sound"));
        entries
            .map(|it| {
                format!("{} {:?} {:?} {:?} {}", it.id, it.aliases, it.ranges, it.remedy, it.cvss.is_some())
            })
            .collect()
    };
    let bash = told("Debian:12", "bash");
    assert_eq!(bash.len(), 3, "{bash:?}");
    assert!(bash[0].contains("Fixed(\"5.2-2\")") && bash[0].ends_with("true"), "{bash:?}");
    assert!(bash[1].contains("WillNotFix") && bash[2].contains("CVE-2026-0004"), "{bash:?}");
    assert_eq!(told("Debian:12", "fill-39").len(), 1);
    let left = told("npm", "left");
    assert!(left[0].contains("GHSA-aaaa") && left[0].contains("Some(\"1.0.0\")"), "{left:?}");
    let debian = Ecosystem::from_osv("Debian:12").expect("known");
    assert!(known.covers(&debian));
    let entry = known.lookup(&debian, "bash").expect("good").next().expect("one").expect("sound");
    assert_eq!((entry.severity, entry.severity_source), (Severity::Low, Some("trivy-db")));
    assert_eq!(entry.summary, Some("bad"));
}

#[test]
fn a_database_that_is_cut_damaged_or_leads_in_circles_is_refused_or_read_and_never_loops() {
    let whole = small();
    let add = |bytes: &[u8]| Builder::new().add("trivy", None, bytes);
    for end in [100, PAGE, 2 * PAGE, whole.len() - PAGE] {
        assert!(matches!(add(&whole[..end]), Err(FeedError::Broken { .. })), "{end}");
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    // Both descriptions damaged: there is no other to fall back to.
    let mut blind = with(16 + 48, &[9]);
    blind[PAGE + 16 + 48] = 9;
    let Err(FeedError::Broken { problem, .. }) = add(&blind) else { panic!("read") };
    assert!(problem.contains("neither"), "{problem}");
    let mut differing = 0;
    for at in (2 * PAGE..whole.len()).step_by(101) {
        for value in [0xff, 0x02, 0x00] {
            differing += usize::from(add(&with(at, &[value])).is_err());
        }
    }
    assert!(differing > 0);
}
