//! A registry in a temporary folder, callers of both classes, and small images.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use keys::keyring::{NewKey, generate};
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::access::{Access, AccessConfig, Action, Caller, Grants, RepositoryPattern, TokenKey};
use crate::advisories::AdvisoryStore;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::gate::policy::Policy;
use crate::judge::{PolicyHandle, ReceiptConfig};
use crate::malware::RuleStore;
use crate::manifest::OCI_MANIFEST;
use crate::records::RecordError;
use crate::records::manifests as rows;
use crate::registry::{Registry, RegistryConfig, Surroundings, router};
use crate::telemetry::Metrics;

pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(super) const OCI_INDEX_TYPE: &str = crate::manifest::OCI_INDEX;
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Everything under `open/` is released at once, everything under `signed/` waits for a signature, and everything under
/// `small/` may have one layer.
pub(super) const POLICY: &str = r#"
[[identity]]
name = "release"
cosign = { key = "release.pub" }

[[rule]]
images = ["registry.example/open/**", "registry.example/other"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }

[[rule]]
images = ["registry.example/signed/**"]
signatures = { require = [["release"]] }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }

[[rule]]
images = ["registry.example/pinned/**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "digest" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }

[[rule]]
images = ["registry.example/small/**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
image = { max-layers = 1 }
"#;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum As {
    Admin,
    Consumer,
    Nobody,
    Pusher,
    Signer,
}

pub(super) struct Fixture {
    pub(super) registry: Arc<Registry>,
    pub(super) advisories: Arc<AdvisoryStore>,
    pub(super) clock: Clock,
    pub(super) folder: TempDir,
    pub(super) policy: PolicyHandle,
    router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
#[must_use]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned();
        assert_eq!(self.status.as_u16(), status, "{text}");
        self
    }

    #[track_caller]
    pub(super) fn expect_error(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json()["errors"][0]["code"], code, "{}", answer.json());
        answer
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub(super) fn header(&self, name: &str) -> String {
        self.headers.get(name).unwrap_or_else(|| panic!("no `{name}`")).to_str().unwrap().to_owned()
    }
}

pub(super) fn policy(text: &str) -> Policy {
    let key = |_: &std::path::Path| Ok(signer().public_key().to_pem().into_bytes());
    Policy::parse(text, &key).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Signs as the identity `release` of [`POLICY`].
pub(super) fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(generate(NewKey::EcdsaP256).unwrap()))
}

/// The gate's own key; one for the whole test run.
pub(super) fn receipt_signer() -> &'static Arc<Signer> {
    static SIGNER: OnceLock<Arc<Signer>> = OnceLock::new();
    SIGNER.get_or_init(|| Arc::new(Signer::new(generate(NewKey::EcdsaP256).unwrap())))
}

fn access(grants: Grants, clock: &Clock) -> Access {
    let config = AccessConfig {
        accounts: Vec::new(),
        anonymous: grants,
        service: "registry.example".into(),
        public_url: None,
        tls: true,
        token_lifetime_seconds: 300,
        hashing_slots: 1,
    };
    Access::new(config, TokenKey::from_bytes(&[7; 32]), clock.clone()).unwrap()
}

fn caller(action: Option<Action>, clock: &Clock) -> Caller {
    let mut grants = Grants::default();
    if let Some(action) = action {
        grants.add(RepositoryPattern::parse("**").unwrap(), action);
    }
    let access = access(grants, clock);
    if action.is_none() { access.anonymous_caller() } else { access.anonymous_caller_with_credentials() }
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), POLICY, 64 * 1024 * 1024)
    }

    pub(super) fn open(folder: TempDir, text: &str, blob_bytes_max: u64) -> Self {
        let receipts = ReceiptConfig {
            signer: Arc::clone(receipt_signer()),
            verifier: "https://registry.example".into(),
            valid_seconds: 3600,
        };
        Self::open_with(folder, text, blob_bytes_max, Some(receipts))
    }

    fn open_with(folder: TempDir, text: &str, blob_bytes_max: u64, receipts: Option<ReceiptConfig>) -> Self {
        let clock = Clock::stopped_at(1_800_000_000);
        let policy = Arc::new(ArcSwap::from_pointee(policy(text)));
        let advisories = AdvisoryStore::open(&folder.path().join("advisories.bin")).unwrap();
        let around = Surroundings {
            access: Arc::new(access(Grants::default(), &clock)),
            policy: Arc::clone(&policy),
            advisories: Arc::clone(&advisories),
            rules: rules(folder.path()),
            clock: clock.clone(),
            metrics: Arc::new(Metrics::new()),
            receipts,
        };
        let config = RegistryConfig {
            data_dir: folder.path().to_owned(),
            name: "registry.example".into(),
            blob_bytes_max,
            scan_threads: 2,
        };
        let registry = Arc::new(Registry::open(config, around).unwrap());
        let admission = crate::admission::door::router(Arc::clone(&registry), &["registry.example".into()]);
        let router = router(Arc::clone(&registry)).merge(admission);
        Self { router, registry, advisories, clock, folder, policy }
    }

    /// The same store in a new process.
    pub(super) fn restart(self) -> Self {
        let Self { registry, folder, .. } = self;
        registry.records.close();
        Self::open(folder, POLICY, 64 * 1024 * 1024)
    }

    /// The same, and the gate's own key is no longer configured.
    pub(super) fn restart_without_key(self) -> Self {
        let Self { registry, folder, .. } = self;
        registry.records.close();
        Self::open_with(folder, POLICY, 64 * 1024 * 1024, None)
    }

    pub(super) async fn send(&self, who: As, mut request: Request<Body>) -> Answer {
        let action = match who {
            As::Admin => Some(Action::Admin),
            As::Consumer => Some(Action::Pull),
            As::Nobody => None,
            As::Pusher => Some(Action::Push),
            As::Signer => Some(Action::Sign),
        };
        request.extensions_mut().insert(caller(action, &self.clock));
        let response: Response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn call(&self, who: As, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        self.send(who, Request::builder().method(method).uri(path).body(body.into()).unwrap()).await
    }

    pub(super) async fn get(&self, who: As, path: &str) -> Answer {
        self.call(who, Method::GET, path, Body::empty()).await
    }

    pub(super) async fn put_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = Digest::sha256_of(bytes).to_string();
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let _ = self.call(As::Pusher, Method::POST, &path, bytes.to_vec()).await.expect(201);
        digest
    }

    pub(super) async fn put_manifest(
        &self,
        who: As,
        name: &str,
        reference: &str,
        manifest: &Value,
    ) -> Answer {
        self.put_bytes(who, name, reference, manifest.to_string().into_bytes()).await
    }

    pub(super) async fn put_bytes(&self, who: As, name: &str, reference: &str, bytes: Vec<u8>) -> Answer {
        let media_type = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|value| value["mediaType"].as_str().map(str::to_owned))
            .unwrap_or_else(|| OCI_MANIFEST.to_owned());
        let request = Request::put(format!("/v2/{name}/manifests/{reference}"))
            .header("content-type", media_type)
            .body(Body::from(bytes))
            .unwrap();
        self.send(who, request).await
    }

    /// Uploads layers and configuration of an image; its manifest is not pushed yet.
    pub(super) async fn image(&self, name: &str, layers: &[&str]) -> Value {
        self.image_of(name, &layers.iter().map(|content| tar(content)).collect::<Vec<_>>()).await
    }

    /// The same, of whole archives.
    pub(super) async fn image_of(&self, name: &str, archives: &[Vec<u8>]) -> Value {
        let mut diff_ids = Vec::new();
        let mut described = Vec::new();
        for archive in archives {
            diff_ids.push(Digest::sha256_of(archive).to_string());
            let layer = gzip(archive);
            self.put_blob(name, &layer).await;
            described.push(descriptor(LAYER, &layer));
        }
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"User": "1000"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string();
        self.put_blob(name, config.as_bytes()).await;
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(CONFIG, config.as_bytes()),
            "layers": described})
    }

    /// Pushes an image under a reference; gives its digest.
    pub(super) async fn push(&self, name: &str, tag: &str, layers: &[&str]) -> String {
        let manifest = self.image(name, layers).await;
        let answer = self.put_manifest(As::Pusher, name, tag, &manifest).await.expect(201);
        answer.header("docker-content-digest")
    }

    /// Pushes what a signer made.
    pub(super) async fn put_signed(&self, who: As, name: &str, signed: SignedArtifact) -> Answer {
        for blob in &signed.blobs {
            self.put_blob(name, &blob.bytes).await;
        }
        let reference = signed.tag.unwrap_or(signed.manifest.digest);
        self.put_bytes(who, name, &reference, signed.manifest.bytes).await
    }

    /// A good simple signature of `digest`.
    pub(super) fn simple(&self, name: &str, digest: &str) -> SignedArtifact {
        signer().sign_simple(digest, &format!("registry.example/{name}"), &BTreeMap::new(), None).unwrap()
    }

    /// A good bundle about `digest`.
    pub(super) fn bundle(&self, digest: &str) -> SignedArtifact {
        let image = ImageDescriptor { digest, media_type: OCI_MANIFEST, size: 7 };
        signer().sign_bundle(image, &BTreeMap::new(), 1_800_000_000).unwrap()
    }

    /// Puts manifests about `subject` into `signed/app`, all with the same layer: what ten thousand pushes would leave.
    pub(super) async fn add_junk(&self, subject: &str, count: usize, layer: &[u8]) {
        let name = "signed/app";
        self.put_blob(name, b"{}").await;
        self.put_blob(name, layer).await;
        let bundle = keys::cosign::BUNDLE_MEDIA_TYPE;
        let manifest = |number: usize| {
            let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": bundle,
                "config": descriptor(EMPTY, b"{}"), "layers": [descriptor(bundle, layer)],
                "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7},
                "annotations": {"number": number.to_string()}});
            crate::manifest::classify(Bytes::from(manifest.to_string()), Some(OCI_MANIFEST)).unwrap()
        };
        let manifests: Vec<_> = (0..count).map(manifest).collect();
        let insert = move |connection: &rusqlite::Connection| -> Result<(), RecordError> {
            manifests.iter().try_for_each(|manifest| {
                rows::insert(connection, name, &manifest.digest, manifest, "junk", 1_800_000_000)
            })
        };
        self.registry.records.write(name, insert).await.unwrap();
    }

    /// Pushes an artifact about `subject`.
    pub(super) async fn referrer(&self, who: As, name: &str, subject: &str, artifact_type: &str) -> Answer {
        self.put_blob(name, b"{}").await;
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
            "config": descriptor(EMPTY, b"{}"), "layers": [descriptor(EMPTY, b"{}")],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7}});
        let digest = digest_of(&manifest);
        self.put_manifest(who, name, &digest, &manifest).await
    }
}

/// Where the tests put YARA rules; without such a folder there are none.
pub(super) const RULES: &str = "rules";

fn rules(folder: &std::path::Path) -> Arc<RuleStore> {
    let folder = folder.join(RULES);
    if folder.exists() { RuleStore::open(&folder).unwrap() } else { RuleStore::none() }
}

pub(super) fn digest_of(manifest: &Value) -> String {
    Digest::sha256_of(manifest.to_string().as_bytes()).to_string()
}

pub(super) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256_of(bytes).to_string(), "size": bytes.len()})
}

/// An archive of one file.
pub(super) fn tar(content: &str) -> Vec<u8> {
    tar_of(&[("etc/motd", content)])
}

/// An archive of some files.
pub(super) fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
