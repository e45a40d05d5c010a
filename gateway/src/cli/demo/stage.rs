//! The demonstration's stage: a folder, keys, advisories, a server as its own process, and what is said to it over HTTP.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode};
use keys::keyring::{self, NewKey, Password};
use keys::signer::{ImageDescriptor, Signer};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::image::{Blob, Image};
use crate::access::PasswordHash;
use crate::clock::{self, Clock};
use crate::manifest::OCI_MANIFEST;

/// The producer's account.
const PRODUCER: &str = "pipeline";
/// The policy, as a file that people can read in the repository.
const POLICY: &str = include_str!("../../../demo/policy.toml");
/// Invented advisories against invented packages, in the two formats that cover Alpine.
const ADVISORIES: [&str; 4] = [
    include_str!("../../../demo/advisories/alpine-3.20.json"),
    include_str!("../../../demo/advisories/PORTCULLIS-DEMO-2026-0001.json"),
    include_str!("../../../demo/advisories/PORTCULLIS-DEMO-2026-0002.json"),
    include_str!("../../../demo/advisories/PORTCULLIS-DEMO-2026-0004.json"),
];
/// Longest that the server may take to be ready.
const START_MAX: Duration = Duration::from_secs(20);
/// Longest that one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(20);

/// The server, its folder, and a client of it.
pub(super) struct Stage {
    address: String,
    client: reqwest::Client,
    folder: tempfile::TempDir,
    password: String,
    server: Child,
    signer: Signer,
}

/// What the server answered.
pub(super) struct Answer {
    /// Status code.
    pub(super) status: u16,
    /// The error's message, or nothing.
    pub(super) text: String,
}

/// What the admission door answered.
pub(super) struct Admission {
    /// The verdict.
    pub(super) allowed: bool,
    /// Why not.
    pub(super) message: String,
}

impl Stage {
    /// Makes keys and advisories, writes the configuration, starts the server and waits until it is ready.
    pub(super) async fn set() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("portcullis-demo-").tempdir()?;
        // Nobody else on this machine listens here between these two lines but by accident; then the start fails.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let password = random_text()?;
        let key = keyring::generate(NewKey::EcdsaP256)?;
        write_files(folder.path(), &address, &password, &key)?;
        let server = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--config")
            .arg(folder.path().join("portcullis.toml"))
            .stdin(std::process::Stdio::null())
            .stdout(std::fs::File::create(folder.path().join("log"))?)
            .stderr(std::fs::OpenOptions::new().append(true).open(folder.path().join("log"))?)
            .kill_on_drop(true)
            .spawn()?;
        // Fails only where a provider is installed already, which is what is wanted.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_MAX).build()?;
        let mut stage = Self { address, client, folder, password, server, signer: Signer::new(key) };
        stage.wait_until_ready().await?;
        Ok(stage)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let start = clock::instant();
        loop {
            let asked = self.client.get(format!("http://{}/readyz", self.address)).send().await;
            if asked.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return Ok(());
            }
            if let Some(status) = self.server.try_wait()? {
                bail!("the server ended with {status}: {}", self.log());
            }
            ensure!(clock::elapsed(start) < START_MAX, "no answer after {START_MAX:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `127.0.0.1:port`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Everything the demonstration wrote.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Pushes an image as its producer; the answer is the one to the manifest.
    pub(super) async fn push(&self, repository: &str, tag: &str, image: &Image) -> anyhow::Result<Answer> {
        for Blob { digest, bytes, .. } in &image.blobs {
            self.push_blob(repository, digest, bytes.clone()).await?;
        }
        self.push_manifest(repository, tag, OCI_MANIFEST, image.manifest.bytes.clone()).await
    }

    /// Signs an image and pushes the signature, in the form of an OCI referrer.
    pub(super) async fn sign(&self, repository: &str, image: &Image) -> anyhow::Result<Answer> {
        let size = u64::try_from(image.manifest.bytes.len())?;
        let descriptor = ImageDescriptor { digest: &image.manifest.digest, media_type: OCI_MANIFEST, size };
        let signature = self.signer.sign_bundle(descriptor, &BTreeMap::new(), Clock::system().now())?;
        for blob in signature.blobs {
            self.push_blob(repository, &blob.digest, blob.bytes).await?;
        }
        let reference = signature.tag.unwrap_or(signature.manifest.digest);
        self.push_manifest(repository, &reference, signature.media_type, signature.manifest.bytes).await
    }

    /// Asks for a manifest as an engine does that has not logged in: with an anonymous token, once it is asked for one.
    pub(super) async fn pull(&self, repository: &str, digest: &str) -> anyhow::Result<Answer> {
        let scope = format!("repository:{repository}:pull");
        let service = self.address.as_str();
        let token = self.client.get(self.url("/token")).query(&[("service", service), ("scope", &scope)]);
        let token: Value = token.send().await?.error_for_status()?.json().await?;
        let token = token["token"].as_str().context("the token service's answer has no `token`")?;
        let request =
            self.client.get(self.url(&format!("/v2/{repository}/manifests/{digest}"))).bearer_auth(token);
        Answer::read(request.header("Accept", OCI_MANIFEST).send().await?).await
    }

    /// Asks for a blob as an engine does.
    pub(super) async fn blob(&self, repository: &str, digest: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.client.get(self.url(&format!("/v2/{repository}/blobs/{digest}"))).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Asks, as a Kubernetes API server does, whether a pod with this image may run.
    pub(super) async fn admission(&self, repository: &str, digest: &str) -> anyhow::Result<Admission> {
        let image = format!("{}/{repository}@{digest}", self.address);
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "7a3c1e0e-0000-4000-8000-000000000001",
                "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "name": "demo",
                "namespace": "default",
                "operation": "CREATE",
                "userInfo": {},
                "object": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": { "name": "demo", "namespace": "default" },
                    "spec": { "containers": [{ "name": "app", "image": image }] },
                },
            },
        });
        let answer = self.client.post(self.url("/admission/kubernetes")).json(&review).send().await?;
        let status = answer.status();
        let answer: Value =
            answer.json().await.with_context(|| format!("the admission door answered {status}"))?;
        let response = &answer["response"];
        let allowed =
            response["allowed"].as_bool().context("the admission door's answer has no `allowed`")?;
        let message = response["status"]["message"].as_str().unwrap_or_default().to_owned();
        Ok(Admission { allowed, message })
    }

    /// Leaves the server running until it is stopped from outside, and says how to use it.
    pub(super) async fn keep(mut self, repository: &str, digest: &str) -> anyhow::Result<()> {
        let Self { address, password, .. } = &self;
        println!("The server stays until Ctrl-C. In another terminal:");
        println!("  docker login {address} --username {PRODUCER} --password {password}");
        println!("  docker pull {address}/{repository}@{digest}");
        println!("  docker run --rm {address}/{repository}@{digest}");
        println!(
            "Sign what you push with {}/release.key (password: {password}):",
            self.folder.path().display()
        );
        println!("  cosign sign --key release.key --tlog-upload=false {address}/REPOSITORY@DIGEST");
        tokio::select! {
            ended = self.server.wait() => bail!("the server ended with {}: {}", ended?, self.log()),
            stopped = tokio::signal::ctrl_c() => Ok(stopped?),
        }
    }

    async fn push_blob(&self, repository: &str, digest: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let url = self.url(&format!("/v2/{repository}/blobs/uploads/?digest={digest}"));
        let request = self.client.post(url).basic_auth(PRODUCER, Some(&self.password));
        let answer = Answer::read(
            request.header("Content-Type", "application/octet-stream").body(bytes).send().await?,
        );
        let answer = answer.await?;
        ensure!(answer.ok(), "blob `{digest}`: status {}: {}", answer.status, answer.text);
        Ok(())
    }

    async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let url = self.url(&format!("/v2/{repository}/manifests/{reference}"));
        let request = self.client.request(Method::PUT, url).basic_auth(PRODUCER, Some(&self.password));
        Answer::read(request.header("Content-Type", media_type).body(bytes).send().await?).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Answer {
    async fn read(answer: reqwest::Response) -> anyhow::Result<Self> {
        let status = answer.status();
        let body = answer.bytes().await?;
        let text = if status.is_success() {
            String::new()
        } else {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            body["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
        };
        Ok(Self { status: status.as_u16(), text })
    }

    /// Whether it was a yes.
    pub(super) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `403 Forbidden`.
    pub(super) fn first_line(&self) -> String {
        let name = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        format!("{} {}", self.status, name.unwrap_or_default())
    }
}

fn write_files(
    folder: &Path,
    address: &str,
    password: &str,
    key: &keyring::PrivateKey,
) -> anyhow::Result<()> {
    let mut advisories = scanner::advisory::Builder::new();
    for advisory in ADVISORIES {
        advisories.add("demo", None, advisory.as_bytes())?;
    }
    let advisories = advisories.finish(Clock::system().now())?;
    let private = keyring::encrypt(key, &Password::new(password.as_bytes().to_vec()))?;
    let public = key.public_key().to_pem();
    let hash = PasswordHash::of(password)?;
    let place = folder.display();
    let configuration = format!(
        "[server]\nlisten = {address:?}\nname = {address:?}\n\n\
         [storage]\ndata-dir = \"{place}/data\"\n\n\
         [policy]\nfile = \"{place}/policy.toml\"\n\n\
         [advisories]\nfile = \"{place}/advisories.bin\"\n\n\
         [[account]]\nname = {PRODUCER:?}\npassword-hash = {:?}\n\
         grants = [{{ repositories = [\"**\"], actions = [\"pull\", \"push\", \"sign\"] }}]\n",
        hash.expose()
    );
    let files: [(&str, &[u8]); 5] = [
        ("advisories.bin", &advisories),
        ("policy.toml", POLICY.as_bytes()),
        ("portcullis.toml", configuration.as_bytes()),
        ("release.key", private.as_bytes()),
        ("release.pub", public.as_bytes()),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).with_context(|| format!("writing `{name}`"))?;
    }
    Ok(())
}

fn random_text() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 12];
    aws_lc_rs::rand::fill(&mut bytes).context("the operating system gives no randomness")?;
    Ok(hex::encode(bytes))
}
