//! The layer walk, with everything on, against the least that any gateway must do: inflate and hash.
//!
//! `LAYER=/path/to/blob cargo bench -p scanner --bench layer_walk` times a real layer beside the generated one.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scanner::image::{Layer, scan};
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;
use scanner::yara::{Bounds, RuleSet, Source};
use sha2::{Digest, Sha256};

/// Bytes that one piece of an upload has.
const PIECE_BYTES: usize = 64 << 10;

/// A fixed sequence that looks like chance: the bench must do the same work each time.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// A layer as distributions make them: a third text, a third programs, a third compressed data, some zeros.
fn generated() -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "the ",
        "package ",
        "\nversion: ",
        "install ",
        "= ",
        "function(",
        "return ",
        "0x3f",
        "license ",
        "\n",
        "usr/share/",
        "self.",
        "import ",
        "};\n",
        "warranty ",
        "error: ",
    ];
    let mut sequence = Sequence(1);
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..600_u64 {
        let mut content = Vec::new();
        let bytes = 1 << (8 + number % 10);
        if (4..=6).contains(&(number % 10)) {
            // As linkers begin programs: 64 bits, little-endian, a library, its sections somewhere.
            content.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0");
            content.extend_from_slice(&[1; 44]);
        }
        while content.len() < bytes {
            match number % 10 {
                0..=3 => content.extend_from_slice(
                    WORDS[usize::try_from(sequence.next() % 16).expect("small")].as_bytes(),
                ),
                4..=6 => {
                    let byte = sequence.next().to_le_bytes()[0] & sequence.next().to_le_bytes()[1];
                    content.extend_from_slice(&[0x48, 0x8b, byte, 0, 0xe8]);
                }
                7..=8 => content.extend_from_slice(&sequence.next().to_le_bytes()[..3]),
                _ => content.extend_from_slice(&[0; 64]),
            }
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, format!("usr/share/d{}/f{number}", number / 50), &content[..])
            .expect("memory");
    }
    archive.into_inner().expect("memory")
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

/// Inflates and hashes: the floor.
fn inflate_and_hash(packed: &[u8]) -> (u64, [u8; 32]) {
    let mut decoder = flate2::read::MultiGzDecoder::new(packed);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        let read = decoder.read(&mut buffer).expect("gzip");
        if read == 0 {
            return (total, hash.finalize().into());
        }
        total += read as u64;
        hash.update(&buffer[..read]);
    }
}

/// Two hundred rules of three strings each, as lists of indicators are made: hosts, paths, bytes of code.
fn rules() -> Arc<RuleSet> {
    let mut sequence = Sequence(7);
    let mut word = |length: usize| -> String {
        (0..length).map(|_| char::from(b'a' + sequence.next().to_le_bytes()[0] % 26)).collect()
    };
    let mut text = String::new();
    for number in 0..200 {
        let (host, path) = (word(11), word(9));
        let code: String = word(12).bytes().map(|byte| format!("{byte:02x} ")).collect();
        text.push_str(&format!(
            "rule r{number} {{ strings: $a = \"{host}.example\" $b = \"/tmp/.{path}\" $c = {{ 48 8b {code} }} condition: any of them }}\n"
        ));
    }
    let source = Source { name: "bench.yar".to_owned(), text };
    Arc::new(RuleSet::compile(vec![source], Bounds::default()).expect("good rules"))
}

fn walk(packed: &[u8], rules: Option<Arc<RuleSet>>) -> LayerReport {
    let mut walk = LayerWalk::new(Limits::default()).with_rules(rules);
    packed.chunks(PIECE_BYTES).for_each(|piece| walk.feed(piece));
    walk.finish()
}

fn layers(criterion: &mut Criterion) {
    let mut inputs = vec![("generated", gzip(&generated()))];
    #[expect(clippy::disallowed_methods, reason = "which layer is timed is the caller's to say")]
    if let Some(path) = std::env::var_os("LAYER") {
        inputs.push(("given", std::fs::read(path).expect("the layer is readable")));
    }
    for (name, packed) in &inputs {
        let report = walk(packed, None);
        println!(
            "{name}: {} entries, {} bytes, {:?}",
            report.entries(),
            report.uncompressed_bytes,
            report.outcome
        );
        let mut group = criterion.benchmark_group(*name);
        group.sample_size(10).throughput(Throughput::Bytes(report.uncompressed_bytes));
        group.bench_function("inflate and hash", |bencher| {
            bencher.iter(|| inflate_and_hash(black_box(packed)))
        });
        group.bench_function("layer walk", |bencher| bencher.iter(|| walk(black_box(packed), None)));
        let rules = rules();
        group.bench_function("layer walk with 200 YARA rules", |bencher| {
            bencher.iter(|| walk(black_box(packed), Some(Arc::clone(&rules))));
        });
        let stored = report.encode();
        group.bench_function("decode report", |bencher| {
            bencher.iter(|| LayerReport::decode(black_box(&stored)))
        });
        let layer = Layer { digest: "sha256:0", report: &report, instruction: None };
        group.bench_function("stack and scan", |bencher| {
            bencher.iter(|| scan(&[black_box(layer.clone())], b"{}", None))
        });
        group.finish();
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
