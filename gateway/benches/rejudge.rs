//! How long it takes to judge ten thousand stored images again when advisories change: an update that concerns a few, one
//! that concerns all, and a start, which has no old snapshot to compare with.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::access::{Access, AccessConfig, Grants, TokenKey};
use portcullis::advisories::AdvisoryStore;
use portcullis::clock::Clock;
use portcullis::digest::Digest;
use portcullis::gate::policy::Policy;
use portcullis::malware::RuleStore;
use portcullis::records::RecordError;
use portcullis::registry::{Registry, RegistryConfig, Surroundings};
use portcullis::telemetry::Metrics;
use rusqlite::{Connection, params};
use scanner::advisory::{Advisories, Builder};
use scanner::image::{Layer, inventory};
use scanner::inventory::{Inventory, version};
use scanner::layer::LayerWalk;
use scanner::limits::Limits;
use serde_json::json;
use tokio::runtime::Runtime;

const NOW: i64 = 1_800_000_000;
/// Packages that exist; an image holds every fifth of a window of them.
const WORLD: usize = 5_000;
const PACKAGES: usize = 300;
/// Different sets of packages; images share them as builds of one base do.
const KINDS: usize = 100;
const POLICY: &str = r#"
[[rule]]
images = ["**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = ["critical"], unrated = "high", max-advisory-age = "3650d" }
"#;

/// Alpine's advisories about half of the world; `new` of them are fixed in a later version than before.
fn advisories(new: usize) -> Vec<u8> {
    let package = |number: usize| {
        let fixed = if number / 2 < new { "2.0-r0" } else { "0.5-r0" };
        json!({"pkg": {"name": format!("package-{number}"),
            "secfixes": {fixed: [format!("CVE-2026-{number:05}")]}}})
    };
    let packages: Vec<_> = (0..WORLD).step_by(2).map(package).collect();
    let feed = json!({"distroversion": "v3.20", "reponame": "main", "packages": packages});
    let mut builder = Builder::new();
    builder.add("alpine", None, feed.to_string().as_bytes()).expect("a feed");
    builder.finish(NOW).expect("a snapshot")
}

fn image(kind: usize) -> Inventory {
    let mut database = String::new();
    for number in 0..PACKAGES {
        let package = (kind * 47 + number * 5) % WORLD;
        database.push_str(&format!("P:package-{package}\nV:1.0-r0\nA:x86_64\no:package-{package}\n\n"));
    }
    let files =
        [("etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n"), ("lib/apk/db/installed", database.as_str())];
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes()).expect("memory");
    }
    let archive = archive.into_inner().expect("memory");
    let mut walk = LayerWalk::new(Limits::default());
    walk.feed(&archive);
    let report = walk.finish();
    let layer = Layer { digest: "sha256:00", report: &report, instruction: None };
    inventory(&[layer], b"{}")
}

/// What pushes and releases of `count` images leave in the records.
fn fill(connection: &Connection, count: usize) -> Result<(), RecordError> {
    let kinds: Vec<(Vec<u8>, Inventory)> = (0..KINDS.min(count))
        .map(|kind| {
            let inventory = image(kind);
            (inventory.encode(), inventory)
        })
        .collect();
    let traits = json!({"user": "1000", "size": 1, "base": null, "diff_ids": [], "problems": []}).to_string();
    for number in 0..count {
        let (contents, inventory) = &kinds[number % kinds.len()];
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
            "layers": [], "annotations": {"number": number.to_string()}})
        .to_string();
        let digest = Digest::sha256_of(manifest.as_bytes()).to_string();
        let put = "INSERT INTO manifest_bytes (digest, bytes) VALUES (?1, ?2)";
        connection.prepare_cached(put)?.execute(params![digest, manifest.as_bytes()])?;
        let put = "INSERT INTO manifests (repository, digest, media_type, annotations, size, state, pushed_by, pushed_at)
                   VALUES (?1, ?2, 'application/vnd.oci.image.manifest.v1+json', '{}', ?3, 'released', 'bench', 1)";
        let repository = format!("team-{}/app", number % 50);
        connection.prepare_cached(put)?.execute(params![repository, digest, manifest.len()])?;
        let row = portcullis::records::inventories::InventoryRow {
            traits: traits.clone(),
            contents: contents.clone(),
        };
        let keys = inventory.keys();
        let keys = keys.iter().map(|key| (key.ecosystem.as_str(), key.name.as_str()));
        portcullis::records::inventories::put(connection, (&digest, &version(None)), Some(&row), keys)?;
        // A verdict under no snapshot: the first round gives each its real one.
        let put = "INSERT INTO verdicts (repository, digest, policy, decided_at) VALUES (?1, ?2, ?3, 1)";
        let policy = policy().epoch().to_owned();
        connection.prepare_cached(put)?.execute(params![repository, digest, policy])?;
    }
    Ok(())
}

fn policy() -> Policy {
    Policy::parse(POLICY, &|_| Err(std::io::ErrorKind::NotFound.into())).expect("the policy parses")
}

struct Store {
    registry: Registry,
    advisories: Arc<AdvisoryStore>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

fn store(count: usize) -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let clock = Clock::stopped_at(NOW);
    let advisories = AdvisoryStore::replacing(&folder.path().join("advisories.bin"));
    advisories.install(&self::advisories(0)).expect("a snapshot");
    let access = AccessConfig {
        accounts: Vec::new(),
        anonymous: Grants::default(),
        service: "registry.example".into(),
        public_url: None,
        tls: true,
        token_lifetime_seconds: 300,
        hashing_slots: 1,
    };
    let access = Access::new(access, TokenKey::from_bytes(&[7; 32]), clock.clone()).expect("no accounts");
    let around = Surroundings {
        access: Arc::new(access),
        policy: Arc::new(ArcSwap::from_pointee(policy())),
        advisories: Arc::clone(&advisories),
        rules: RuleStore::none(),
        clock,
        metrics: Arc::new(Metrics::new()),
        receipts: None,
    };
    let config = RegistryConfig {
        data_dir: folder.path().to_owned(),
        name: "registry.example".into(),
        blob_bytes_max: 1 << 20,
        scan_threads: 1,
    };
    let registry = Registry::open(config, around).expect("a store");
    let filled = registry.records().write("", move |connection| fill(connection, count));
    runtime.block_on(filled).expect("the records are filled");
    Store { registry, advisories, runtime, _folder: folder }
}

impl Store {
    /// Swaps the snapshot and judges; `compare`: the old one is at hand.
    fn update(&self, snapshot: &[u8], compare: bool) -> u64 {
        let before = self.advisories.current();
        self.advisories.install(snapshot).expect("a snapshot");
        let before: Option<&Advisories> = if compare { before.as_deref() } else { None };
        let judged = self.runtime.block_on(self.registry.judge().rejudge(before)).expect("an answer");
        assert_eq!(judged.failed, 0);
        judged.same + judged.weighed
    }
}

fn rejudge(criterion: &mut Criterion) {
    // Once for soundness (`--test`) needs no ten thousand.
    let count = if std::env::args().any(|argument| argument == "--test") { 200 } else { 10_000 };
    let store = store(count);
    store.update(&advisories(0), false);
    let mut group = criterion.benchmark_group(format!("rejudge {count} images"));
    group.sample_size(10).measurement_time(Duration::from_secs(60));
    for (name, new, compare) in [
        ("a few packages changed", 5, true),
        ("every package changed", WORLD, true),
        ("after a start", 5, false),
    ] {
        let mut turn = false;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn = !turn;
                store.update(&advisories(if turn { new } else { 0 }), compare)
            });
        });
        store.update(&advisories(0), true);
    }
    group.finish();
}

criterion_group!(benches, rejudge);
criterion_main!(benches);
