//! Look-up and matching against a snapshot of 100 000 packages, half of the questions about packages that are not in it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scanner::advisory::{Advisories, Builder, Ecosystem};
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::ImagePackage;

const PACKAGES: usize = 100_000;
const ADVISORIES_EACH: usize = 3;

/// A tracker document in which every package has three problems, the last of them not fixed.
fn tracker() -> String {
    let mut json = String::from("{");
    for package in 0..PACKAGES {
        let separator = if package == 0 { "" } else { "," };
        json.push_str(&format!("{separator}\"package-{package}\":{{"));
        for problem in 0..ADVISORIES_EACH {
            let separator = if problem == 0 { "" } else { "," };
            let state = if problem == 0 {
                "\"status\":\"open\"".to_owned()
            } else {
                format!("\"status\":\"resolved\",\"fixed_version\":\"1.{problem}-1\"")
            };
            json.push_str(&format!(
                "{separator}\"CVE-2026-{:07}\":{{\"releases\":{{\"bookworm\":{{{state},\"urgency\":\"low\"}}}}}}",
                package * ADVISORIES_EACH + problem
            ));
        }
        json.push('}');
    }
    json.push('}');
    json
}

fn advisory(criterion: &mut Criterion) {
    let mut builder = Builder::new();
    builder.add("bench", None, tracker().as_bytes()).expect("a tracker document");
    let file = builder.finish(1_795_392_000).expect("a file");
    let bytes = file.len();
    let advisories = Advisories::open(Arc::new(file.clone())).expect("a good file");
    let ecosystem = Ecosystem::debian("bookworm").expect("a known release");
    // Steps through the names without order, so that neighbours in the file are not neighbours in time.
    let names: Vec<String> =
        (0..10_000).map(|index| format!("package-{}", index * 7_919 % (2 * PACKAGES))).collect();

    let mut group = criterion.benchmark_group("advisory");
    group.throughput(Throughput::Elements(1));
    let mut next = names.iter().cycle();
    group.bench_function("look-up", |bencher| {
        bencher.iter(|| {
            let name = next.next().map_or("", String::as_str);
            black_box(advisories.lookup(&ecosystem, black_box(name))).expect("a good file")
        });
    });
    let mut next = names.iter().cycle();
    group.bench_function("look-up and decode", |bencher| {
        bencher.iter(|| {
            let name = next.next().map_or("", String::as_str);
            let entries = advisories.lookup(&ecosystem, black_box(name)).expect("a good file");
            entries.map(|entry| entry.expect("a good entry").ranges.len()).sum::<usize>()
        });
    });
    let packages: Vec<ImagePackage> = names.iter().take(400).map(|name| installed(name)).collect();
    let debian = Distribution {
        id: "debian".to_owned(),
        version_id: Some("12".to_owned()),
        codename: None,
        pretty_name: None,
        repositories: Vec::new(),
    };
    group.throughput(Throughput::Elements(400));
    group.bench_function("match an image of 400 packages", |bencher| {
        bencher.iter(|| match_packages(Some(&debian), black_box(&packages), Some(&advisories)));
    });
    group.throughput(Throughput::Bytes(bytes as u64));
    let shared: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(file);
    group.bench_function("open and prove the digest", |bencher| {
        bencher.iter(|| Advisories::open(Arc::clone(&shared)).expect("a good file"));
    });
    group.finish();
}

fn installed(name: &str) -> ImagePackage {
    let source = Some(SourcePackage { name: name.to_owned(), version: "1.1-1".to_owned() });
    let (kind, version) = (PackageKind::Deb, "1.1-1".to_owned());
    let package = Package {
        kind,
        name: name.to_owned(),
        version,
        architecture: None,
        source,
        module: None,
        vendor: None,
    };
    ImagePackage { package, path: "var/lib/dpkg/status".to_owned(), layer: 0, owned: false }
}

criterion_group!(benches, advisory);
criterion_main!(benches);
