//! Memory per upload is constant, and the answer to the manifest does not wait for a scan.

use std::fs;
use std::io::Read;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use tests::image_builder::{Blob, ImageBuilder, Layer, media_type};
use tests::test_gateway::{TestGateway, push_blob, push_manifest};

/// What the process may use at most while a layer of any size passes, in MiB.
const PEAK_MIB_MAX: u64 = 128;
const MIB: u64 = 1 << 20;

/// A tar archive of one large file, packed as a single gzip member, made piece by piece. Xorshift bytes do not
/// compress, as in layers of media and models; stored blocks keep the test's own time short.
struct LargeLayer {
    encoder: GzEncoder<Vec<u8>>,
    left: u64,
    state: u64,
    ready: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl LargeLayer {
    fn new(bytes: u64) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_path("opt/model.bin").expect("a short path");
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_cksum();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        std::io::Write::write_all(&mut encoder, header.as_bytes()).expect("memory takes it");
        Self { encoder, left: bytes, state: 0x9E37_79B9_7F4A_7C15, ready: Vec::new(), taken: 0, ended: false }
    }

    fn refill(&mut self) {
        let piece = self.left.min(MIB);
        let mut bytes = Vec::with_capacity(MIB as usize);
        while (bytes.len() as u64) < piece {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            bytes.extend_from_slice(&self.state.to_le_bytes());
        }
        self.left -= piece;
        std::io::Write::write_all(&mut self.encoder, &bytes).expect("memory takes it");
        if self.left == 0 && !self.ended {
            std::io::Write::write_all(&mut self.encoder, &[0; 1024]).expect("memory takes it");
            self.encoder.try_finish().expect("memory takes it");
            self.ended = true;
        }
        self.ready = std::mem::take(self.encoder.get_mut());
        self.taken = 0;
    }
}

impl Read for LargeLayer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.taken == self.ready.len() && !self.ended {
            self.refill();
        }
        let count = buffer.len().min(self.ready.len() - self.taken);
        buffer[..count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// Peak resident memory of a process since its start, in MiB.
fn peak_mib(process_id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process_id}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells the peak");
    let kib: u64 =
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number of KiB");
    kib / 1024
}

fn digest_and_length(mut layer: LargeLayer) -> (String, u64) {
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = layer.read(&mut buffer).expect("made in memory");
        if count == 0 {
            return (format!("sha256:{}", hex::encode(hash.finalize())), length);
        }
        hash.update(&buffer[..count]);
        length += count as u64;
    }
}

fn push_large(gateway: &TestGateway, repository: &str, bytes: u64) -> (String, u64) {
    let (digest, length) = digest_and_length(LargeLayer::new(bytes));
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let headers = [("Content-Type", "application/octet-stream")];
    let client = gateway.caller("builder");
    let answer = client.try_stream("POST", &path, &headers, length, &mut LargeLayer::new(bytes));
    let answer = answer.expect("the gateway takes it");
    assert_eq!(answer.status, 201, "{}", answer.text());
    (digest, length)
}

#[test]
fn a_layer_of_two_gibibytes_keeps_the_peak_under_128_mib() {
    let gateway = TestGateway::open();
    push_large(&gateway, "large/one", 2048 * MIB);
    let peak = peak_mib(gateway.process_id());
    println!("peak resident memory after a layer of 2 GiB: {peak} MiB");
    assert!(peak < PEAK_MIB_MAX, "peak resident memory is {peak} MiB");
}

#[test]
fn the_manifest_is_answered_soon_after_the_last_byte_of_500_mib() {
    let gateway = TestGateway::open();
    let small = tests::image_builder::Archive::new()
        .alpine("3.20", &[("musl", "1.2.5-r0")])
        .layer(tests::image_builder::Compression::Gzip);
    let built = ImageBuilder::new().layer(small.clone(), "base").build();
    for blob in &built.blobs {
        push_blob(&gateway.caller("builder"), "large/two", blob);
    }
    let (digest, size) = push_large(&gateway, "large/two", 500 * MIB);
    let archive_digest = archive_digest(500 * MIB);
    let image = image_of(&small, &digest, size, &archive_digest);
    push_blob(&gateway.caller("builder"), "large/two", &image.0);
    let start = Instant::now();
    let answer = push_manifest(&gateway.caller("builder"), "large/two", "latest", &image.1);
    let took = start.elapsed();
    assert_eq!(answer.status, 201, "{}", answer.text());
    // The bar is 250 ms for an optimised build on a quiet machine; the bench holds it. Here it is told, and a scan that
    // began only now would take many times as long as this bound.
    println!("manifest of a 500 MiB image answered in {} ms", took.as_millis());
    assert!(took.as_millis() < 2000, "the manifest waited {took:?}");
}

/// Digest of the unpacked archive of [`LargeLayer`].
fn archive_digest(bytes: u64) -> String {
    let mut hash = Sha256::new();
    let mut unpacked = flate2::read::GzDecoder::new(LargeLayer::new(bytes));
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = unpacked.read(&mut buffer).expect("our own gzip");
        if count == 0 {
            return format!("sha256:{}", hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

/// Configuration and manifest of an image of a small base layer and the large one.
fn image_of(base: &Layer, digest: &str, size: u64, diff_id: &str) -> (Blob, Blob) {
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "User": "1000" },
        "rootfs": { "type": "layers", "diff_ids": [base.diff_id, diff_id] },
        "history": [{ "created_by": "base" }, { "created_by": "COPY model.bin /opt/" }],
    });
    let config = Blob::json(media_type::CONFIG, &config);
    let large = serde_json::json!({ "mediaType": base.blob.media_type, "digest": digest, "size": size });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": config.descriptor(),
        "layers": [base.blob.descriptor(), large],
    });
    let manifest = Blob::json(media_type::MANIFEST, &manifest);
    (config, manifest)
}
