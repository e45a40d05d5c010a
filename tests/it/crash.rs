//! Kills the gateway with SIGKILL at random points of pushes and releases, and looks at what the store holds after each
//! restart: whatever was acknowledged is there, and nothing that was not released is served to a consumer.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use keys::keyring::{self, Password};
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};

use tests::http::Client;
use tests::image_builder::{Blob, Image, alpine_image};
use tests::test_gateway::{
    FIXED, PASSWORD, REGISTRY_NAME, TestGateway, VULNERABLE, push_blob, push_manifest,
};

/// Pushes, each with a kill somewhere in it.
const PUSHES: u32 = 200;
/// A push and its signature take a few tens of milliseconds on an idle machine; kills are spread over that and a little
/// more. Each push that was cut short lengthens it and each that was not shortens it, so that a busy machine gets both.
const KILL_WITHIN_MICROSECONDS: u64 = 60_000;
const REPOSITORY: &str = "team/crash";

/// Xorshift (Marsaglia 2003): the points in time need no better randomness, and a seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What the gateway acknowledged before it died.
#[derive(Debug, Default)]
struct Acknowledged {
    blobs: Vec<String>,
    manifests: Vec<String>,
    /// The signature's answer came: the release, which it causes, must have been durable before.
    signed: bool,
    refused: bool,
}

/// One image with its signature, ready to push.
struct Work {
    image: Image,
    signature: SignedArtifact,
    tag: String,
    good: bool,
}

impl Work {
    fn new(number: u32, signer: &Signer) -> Self {
        let good = !number.is_multiple_of(5);
        let packages = if good { FIXED } else { VULNERABLE };
        let image = alpine_image(&format!("crash {number}\n"), packages).build();
        let digest = image.manifest.digest.clone();
        let none = BTreeMap::new();
        let signature = if number.is_multiple_of(2) {
            let repository = format!("{REGISTRY_NAME}/{REPOSITORY}");
            signer.sign_simple(&digest, &repository, &none, None)
        } else {
            let size = image.manifest.bytes.len() as u64;
            let media_type = image.manifest.media_type.as_str();
            signer.sign_bundle(ImageDescriptor { digest: &digest, media_type, size }, &none, 1_790_000_000)
        };
        let signature = signature.expect("the digest is signed");
        Self { image, signature, tag: format!("t{}", number % 7), good }
    }

    /// Pushes until it is done or the gateway is gone; tells each acknowledgement at once.
    fn push(&self, client: &Client, told: &mpsc::Sender<Told>) {
        let blobs = self.image.blobs.iter();
        for blob in blobs {
            if !self.push_blob(client, blob, told) {
                return;
            }
        }
        let manifest = &self.image.manifest;
        match put(client, &self.tag, &manifest.media_type, &manifest.bytes) {
            Some(201) => drop(told.send(Told::Manifest(manifest.digest.clone()))),
            Some(403) => drop(told.send(Told::Refused)),
            Some(status) => panic!("manifest: {status}"),
            None => return,
        }
        for blob in &self.signature.blobs {
            if !self.push_blob(client, &Blob::new("application/octet-stream", blob.bytes.clone()), told) {
                return;
            }
        }
        let signature = &self.signature.manifest;
        let reference = self.signature.tag.as_deref().unwrap_or(&signature.digest);
        match put(client, reference, self.signature.media_type, &signature.bytes) {
            Some(201) => {
                let _ = told.send(Told::Manifest(signature.digest.clone()));
                let _ = told.send(Told::Signed);
            }
            Some(status) => panic!("signature: {status}"),
            None => {}
        }
    }

    fn push_blob(&self, client: &Client, blob: &Blob, told: &mpsc::Sender<Told>) -> bool {
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", blob.digest);
        let headers = [("Content-Type", "application/octet-stream")];
        match client.try_send("POST", &path, &headers, &blob.bytes).map(|answer| answer.status) {
            Ok(201) => told.send(Told::Blob(blob.digest.clone())).is_ok(),
            Ok(status) => panic!("blob: {status}"),
            Err(_) => false,
        }
    }
}

enum Told {
    Blob(String),
    Manifest(String),
    Refused,
    Signed,
}

fn put(client: &Client, reference: &str, media_type: &str, bytes: &[u8]) -> Option<u16> {
    let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
    client.try_send("PUT", &path, &[("Content-Type", media_type)], bytes).ok().map(|answer| answer.status)
}

fn status(client: &Client, path: &str) -> u16 {
    client.send("GET", path, &[], &[]).status
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_staged_is_served_however_it_dies() {
    let seed =
        std::env::var("PORTCULLIS_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
    println!("PORTCULLIS_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let mut gateway = TestGateway::strict();
    let signer = signer(&gateway);
    let mut acknowledged: Vec<(Work, Acknowledged)> = Vec::new();
    let (mut killed_inside, mut released) = (0, 0);
    let mut within = KILL_WITHIN_MICROSECONDS;
    for number in 0..PUSHES {
        let work = Work::new(number, &signer);
        let (tell, told) = mpsc::channel();
        let client = gateway.caller("builder");
        let delay = Duration::from_micros(random.below(within));
        let pusher = thread::spawn(move || {
            work.push(&client, &tell);
            work
        });
        thread::sleep(delay);
        gateway.kill();
        let work = pusher.join().expect("the pusher saw only good answers");
        let mut answer = Acknowledged::default();
        for told in told {
            match told {
                Told::Blob(digest) => answer.blobs.push(digest),
                Told::Manifest(digest) => answer.manifests.push(digest),
                Told::Refused => answer.refused = true,
                Told::Signed => answer.signed = true,
            }
        }
        killed_inside += u32::from(!answer.signed);
        within = if answer.signed { within - within / 16 } else { within + within / 16 };
        gateway.start_again();
        check(&gateway, &work, &answer);
        released += u32::from(answer.signed && work.good);
        acknowledged.push((work, answer));
    }
    println!("{killed_inside} of {PUSHES} pushes were cut short, {released} ended in a release");
    assert!(killed_inside >= 20, "the kills came too late: only {killed_inside} hit a push");
    assert!(released >= 20, "the kills came too early: only {released} images were released");
    for (work, answer) in &acknowledged {
        check(&gateway, work, answer);
    }
    let log = gateway.command(&["log", "verify", "--data-dir", "data"]);
    log.succeeded("log verify");
    finish_one(&gateway, &signer);
}

fn signer(gateway: &TestGateway) -> Signer {
    let pem = std::fs::read_to_string(gateway.folder().join("release.key")).expect("the key file");
    let key = keyring::decrypt(&pem, &Password::new(PASSWORD.as_bytes().to_vec())).expect("the key opens");
    Signer::new(key)
}

/// The invariants for one image.
#[track_caller]
fn check(gateway: &TestGateway, work: &Work, answer: &Acknowledged) {
    let producer = gateway.caller("builder");
    for digest in &answer.blobs {
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        assert_eq!(status(&producer, &path), 200, "acknowledged blob {digest} is lost");
    }
    for digest in &answer.manifests {
        let path = format!("/v2/{REPOSITORY}/manifests/{digest}");
        assert_eq!(status(&producer, &path), 200, "acknowledged manifest {digest} is lost");
    }
    assert!(!(answer.refused && work.good), "a good image was refused");
    let digest = &work.image.manifest.digest;
    let path = format!("/v2/{REPOSITORY}/manifests/{digest}");
    let consumer = gateway.caller("consumer");
    if answer.signed && work.good {
        assert_eq!(status(&consumer, &path), 200, "acknowledged release of {digest} is lost");
    } else if !work.good {
        gateway.assert_hidden(REPOSITORY, &[], &Image { blobs: Vec::new(), ..work.image.clone() });
    }
    // Between the two, the signature may or may not have landed; whoever is served must have been released.
    if status(&consumer, &path) == 200 {
        let signed = work.signature.manifest.digest.as_str();
        let path = format!("/v2/{REPOSITORY}/manifests/{signed}");
        assert_eq!(status(&producer, &path), 200, "{digest} is served, and its signature is not there");
    }
}

/// After all that, an ordinary push still works.
fn finish_one(gateway: &TestGateway, signer: &Signer) {
    let work = Work::new(PUSHES + 1, signer);
    let client = gateway.caller("builder");
    for blob in &work.image.blobs {
        assert_eq!(push_blob(&client, REPOSITORY, blob).status, 201);
    }
    assert_eq!(push_manifest(&client, REPOSITORY, "last", &work.image.manifest).status, 201);
}
