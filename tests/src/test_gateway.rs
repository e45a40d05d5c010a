//! Starts the real gateway, `portcullis serve`, on a free loopback port with a store of its own, and can kill it.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use keys::keyring::{self, NewKey, Password};
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};

use crate::clients;
use crate::http::{Client, Response};
use crate::image_builder::{Blob, Image};

/// Password of every account in the tests, and its bcrypt hash at the lowest cost.
pub const PASSWORD: &str = "test-password";
const PASSWORD_HASH: &str = "$2y$04$luyWy4w9BL2q7fb/zC.Viu/DGWjwz3xP9eBLK3xd/jKrCTfr4LF.6";
/// Name under which policies know the gateway.
pub const REGISTRY_NAME: &str = "registry.example";

/// Longest that a start may take.
const START: Duration = Duration::from_secs(20);

/// Accounts that every test gateway has. `builder` pushes and pulls anywhere, `signer` may only sign, `consumer` may
/// only pull, `admin` may do all; `team-a` is a producer under `team-a/` alone.
const ACCOUNTS: &[(&str, &[&str], &str)] = &[
    ("admin", &["pull", "push", "sign", "admin"], "**"),
    ("builder", &["pull", "push"], "**"),
    ("consumer", &["pull"], "**"),
    ("signer", &["pull", "sign"], "**"),
    ("team-a", &["pull", "push"], "team-a/**"),
];

/// A policy under which every image is staged and released without signature and whatever a scan finds: for tests of
/// the registry itself.
pub const POLICY_OPEN: &str = r#"
[[rule]]
images = ["**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", secrets = "off", unknown = "accept-unsafe" }
image = { user = "any" }
"#;

/// A strict policy: signed by the release key, nothing high, no secrets, not root; scans must know what they look at.
pub const POLICY_STRICT: &str = r#"
[[identity]]
name = "release"
cosign = { key = "release.pub" }

[[rule]]
name = "strict"
images = ["**"]
signatures = { require = [["release"]], when = "before-release" }
pin = { pull = "tag" }
scan = { deny = ["high"], secrets = "deny", unknown = "deny", max-advisory-age = "3650d" }
image = { user = "non-root" }
help = "https://help.example/portcullis"
"#;

const RECEIPTS: &str =
    "[receipts]\nkey = \"gate.key\"\nkey-password-file = \"gate.password\"\nvalid-for = \"1h\"\n";

/// Advisories for the strict policy's tests, made up: Alpine 3.20 says what fixes what, OSV how bad it is.
const ADVISORIES: [(&str, &str); 2] = [
    (
        "alpine.json",
        r#"{
  "distroversion": "v3.20",
  "reponame": "main",
  "packages": [{ "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["PORTCULLIS-TEST-0001"] } } }]
}"#,
    ),
    (
        "PORTCULLIS-TEST-0001.json",
        r#"{
  "id": "PORTCULLIS-TEST-0001",
  "modified": "2026-01-01T00:00:00Z",
  "published": "2026-01-01T00:00:00Z",
  "summary": "Made up for tests: badlib before 1.2.4-r0 trusts everyone.",
  "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
  "affected": [{
    "package": { "ecosystem": "Alpine:v3.20", "name": "badlib" },
    "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "1.2.4-r0" }] }]
  }]
}"#,
    ),
];

/// Packages that [`ADVISORIES`] have something against.
pub const VULNERABLE: &[(&str, &str)] = &[("badlib", "1.2.3-r0")];
/// The same, fixed.
pub const FIXED: &[(&str, &str)] = &[("badlib", "1.2.4-r0")];

/// A running gateway. Dropping it kills the process and removes the store.
pub struct TestGateway {
    /// `127.0.0.1:port`; the same after a restart.
    pub address: String,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl TestGateway {
    /// A gateway that releases everything: [`POLICY_OPEN`].
    pub fn open() -> Self {
        Self::start(POLICY_OPEN, "")
    }

    /// A gateway that asks for signatures and scans: [`POLICY_STRICT`].
    pub fn strict() -> Self {
        Self::start(POLICY_STRICT, "")
    }

    /// A gateway with a policy, and more lines for its configuration.
    ///
    /// # Panics
    /// When it does not answer in time, with what it logged.
    pub fn start(policy: &str, configuration: &str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("portcullis-test-").tempdir().expect("a temporary folder");
        let address = free_address();
        let path = folder.path();
        make_keys(path);
        make_advisories(path);
        fs::write(path.join("policy.toml"), policy).expect("the policy is written");
        let configuration = configuration_text(&address, path, configuration);
        fs::write(path.join("portcullis.toml"), configuration).expect("the configuration is written");
        let mut gateway = Self { address, folder, process: None };
        gateway.start_again();
        gateway
    }

    /// A gateway with a policy and a key of its own, `gate.key`, made by the command that makes keys: it gives receipts.
    ///
    /// # Panics
    /// When it does not answer in time, with what it logged.
    pub fn with_key(policy: &str) -> Self {
        let mut gateway = Self::start(POLICY_OPEN, "");
        gateway.kill();
        gateway.command(&["keys", "generate", "--output", "gate"]).succeeded("keys generate");
        let write = |name: &str, text: String| {
            fs::write(gateway.folder().join(name), text).expect("the file is written");
        };
        write("policy.toml", policy.to_owned());
        write("gate.password", format!("{PASSWORD}\n"));
        let text = fs::read_to_string(gateway.folder().join("portcullis.toml")).expect("the configuration");
        write("portcullis.toml", text.replacen("[advisories]", &format!("{RECEIPTS}\n[advisories]"), 1));
        gateway.start_again();
        gateway
    }

    /// Starts the process; the store is what the last one left.
    ///
    /// # Panics
    /// When it does not answer in time, with what it logged.
    pub fn start_again(&mut self) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("the log opens");
        let errors = log.try_clone().expect("the log opens twice");
        let process = Command::new(portcullis())
            .arg("serve")
            .arg("--config")
            .arg(self.folder.path().join("portcullis.toml"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("the gateway starts");
        self.process = Some(process);
        let deadline = Instant::now() + START;
        while self.anonymous().try_send("GET", "/readyz", &[], &[]).map(|answer| answer.status).ok()
            != Some(200)
        {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < deadline, "not ready, {ended:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL: no destructor runs, nothing is flushed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Process id, for reading `/proc`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the gateway runs").id()
    }

    /// Folder of the configuration, the policy, the keys (`release.key`, `release.pub`) and the store (`data`).
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A caller by account name.
    pub fn caller(&self, account: &str) -> Client {
        Client::basic(&self.address, account, PASSWORD)
    }

    /// What a consumer's pull of `path` is answered, once it is answered with `status`.
    #[track_caller]
    pub fn wait_for(&self, path: &str, status: u16) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.caller("consumer").get(path);
            if answer.status == status {
                return answer.text();
            }
            assert!(Instant::now() < deadline, "{} instead of {status}: {}", answer.status, answer.text());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A caller without credentials.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.address)
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// `address/repository:tag`, as clients write it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Runs `portcullis` with arguments in the gateway's folder; the key's password is in the environment.
    pub fn command(&self, arguments: &[&str]) -> clients::Outcome {
        self.command_with(arguments, |_| {})
    }

    /// As [`TestGateway::command`], with more in its environment.
    pub fn command_with(&self, arguments: &[&str], configure: impl FnOnce(&mut Command)) -> clients::Outcome {
        clients::run(&portcullis(), arguments, |command| {
            command.current_dir(self.folder.path()).env("COSIGN_PASSWORD", PASSWORD);
            configure(command);
        })
    }

    /// A Docker configuration folder with an account's credentials, for clients that read `config.json`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn docker_config(&self, account: &str) -> PathBuf {
        use base64::Engine as _;
        let folder = self.folder.path().join(format!("docker-config-{account}"));
        fs::create_dir_all(&folder).expect("the folder is made");
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{account}:{PASSWORD}"));
        let config = serde_json::json!({ "auths": { self.address.clone(): { "auth": token } } });
        fs::write(folder.join("config.json"), config.to_string()).expect("the credentials are written");
        folder
    }

    /// Signs with the release key.
    ///
    /// # Panics
    /// When the key file does not open.
    pub fn signer(&self) -> Signer {
        let pem = fs::read_to_string(self.folder().join("release.key")).expect("the key file");
        Signer::new(keyring::decrypt(&pem, &Password::new(PASSWORD.into())).expect("the key opens"))
    }

    /// Asserts that no consumer gets anything of an image, by any way in: tag, digest, child, config, layer, range,
    /// HEAD, mount.
    ///
    /// # Panics
    /// When one of them answers with content.
    #[track_caller]
    pub fn assert_hidden(&self, repository: &str, tags: &[&str], image: &Image) {
        for caller in [self.caller("consumer"), self.anonymous()] {
            let digest = image.manifest.digest.as_str();
            for reference in tags.iter().copied().chain([digest]) {
                for method in ["GET", "HEAD"] {
                    let path = format!("/v2/{repository}/manifests/{reference}");
                    let answer = caller.send(method, &path, &[], &[]);
                    assert!(matches!(answer.status, 401 | 403 | 404), "{method} {path}: {}", answer.status);
                }
            }
            for blob in &image.blobs {
                for (method, headers) in [("GET", &[][..]), ("HEAD", &[]), ("GET", &[("Range", "bytes=0-9")])]
                {
                    let path = format!("/v2/{repository}/blobs/{}", blob.digest);
                    let answer = caller.send(method, &path, headers, &[]);
                    assert!(matches!(answer.status, 401 | 403 | 404), "{method} {path}: {}", answer.status);
                }
            }
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("the gateway's log ends:\n{}", tail(&self.log(), 40));
        }
    }
}

/// Pushes a blob in one request.
pub fn push_blob(client: &Client, repository: &str, blob: &Blob) -> Response {
    let path = format!("/v2/{repository}/blobs/uploads/?digest={}", blob.digest);
    client.send("POST", &path, &[("Content-Type", "application/octet-stream")], &blob.bytes)
}

/// Pushes a manifest by tag or digest.
pub fn push_manifest(client: &Client, repository: &str, reference: &str, manifest: &Blob) -> Response {
    let path = format!("/v2/{repository}/manifests/{reference}");
    client.send("PUT", &path, &[("Content-Type", manifest.media_type.as_str())], &manifest.bytes)
}

/// Pushes an image: blobs, then the manifest, whose answer is returned.
///
/// # Panics
/// When a blob is refused.
#[track_caller]
pub fn push(client: &Client, repository: &str, reference: &str, image: &Image) -> Response {
    for blob in &image.blobs {
        let answer = push_blob(client, repository, blob);
        assert_eq!(answer.status, 201, "blob {}: {}", blob.digest, answer.text());
    }
    push_manifest(client, repository, reference, &image.manifest)
}

/// Pushes a signature, in either form; the answer is the one to its manifest.
///
/// # Panics
/// When a blob of it is refused.
#[track_caller]
pub fn push_signature(client: &Client, repository: &str, signature: &SignedArtifact) -> Response {
    for blob in &signature.blobs {
        let answer =
            push_blob(client, repository, &Blob::new("application/octet-stream", blob.bytes.clone()));
        assert_eq!(answer.status, 201, "blob {}: {}", blob.digest, answer.text());
    }
    let reference = signature.tag.as_deref().unwrap_or(&signature.manifest.digest);
    let manifest = Blob::new(signature.media_type, signature.manifest.bytes.clone());
    push_manifest(client, repository, reference, &manifest)
}

/// Signs a digest in the form of the `.sig` tag.
///
/// # Panics
/// When the digest is none.
pub fn sign_simple(signer: &Signer, repository: &str, digest: &str) -> SignedArtifact {
    let repository = format!("{REGISTRY_NAME}/{repository}");
    signer.sign_simple(digest, &repository, &BTreeMap::new(), None).expect("the digest is signed")
}

/// Signs a manifest in the form of a bundle that refers to it.
///
/// # Panics
/// When the digest is none.
pub fn sign_bundle(signer: &Signer, manifest: &Blob) -> SignedArtifact {
    let Blob { digest, media_type, bytes } = manifest;
    let descriptor = ImageDescriptor { digest, media_type, size: bytes.len() as u64 };
    signer.sign_bundle(descriptor, &BTreeMap::new(), 1_790_000_000).expect("the manifest is signed")
}

/// The binary under test: `PORTCULLIS_BIN`, else the one that cargo builds into this target folder.
///
/// # Panics
/// When it cannot be built.
pub fn portcullis() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build_portcullis).clone()
}

fn build_portcullis() -> PathBuf {
    if let Some(binary) = std::env::var_os("PORTCULLIS_BIN") {
        return binary.into();
    }
    let this = std::env::current_exe().expect("a test has a path");
    let profile = this.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "gateway", "--bin", "portcullis"]).current_dir(workspace());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo starts").success(), "the gateway does not build");
    profile.join("portcullis")
}

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace")
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").to_string()
}

fn configuration_text(address: &str, folder: &Path, more: &str) -> String {
    let folder = folder.display();
    let account = |(name, actions, repositories): &(&str, &[&str], &str)| {
        format!(
            "[[account]]\nname = {name:?}\npassword-hash = {PASSWORD_HASH:?}\n\
             grants = [{{ repositories = [{repositories:?}], actions = {actions:?} }}]\n\n"
        )
    };
    let accounts: String = ACCOUNTS.iter().map(account).collect();
    format!(
        "[server]\nlisten = {address:?}\nname = {REGISTRY_NAME:?}\n\n\
         [storage]\ndata-dir = \"{folder}/data\"\n\n\
         [policy]\nfile = \"{folder}/policy.toml\"\n\n\
         [advisories]\nfile = \"{folder}/advisories.bin\"\n\n\
         {more}\n{accounts}"
    )
}

/// One key pair and one advisory file serve all tests of a run: locking a key is slow on purpose.
fn make_keys(folder: &Path) {
    static KEYS: OnceLock<(String, String)> = OnceLock::new();
    let (private, public) = KEYS.get_or_init(|| {
        let key = keyring::generate(NewKey::EcdsaP256).expect("a key");
        let private = keyring::encrypt(&key, &Password::new(PASSWORD.into())).expect("a locked key");
        (private, key.public_key().to_pem())
    });
    fs::write(folder.join("release.key"), private).expect("the private key is written");
    fs::write(folder.join("release.pub"), public).expect("the public key is written");
}

fn make_advisories(folder: &Path) {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let compiled = FILE.get_or_init(|| {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let feed = scratch.path().join("feed");
        fs::create_dir(&feed).expect("the folder is made");
        for (name, text) in ADVISORIES {
            fs::write(feed.join(name), text).expect("the advisory is written");
        }
        let arguments = ["advisories", "build", "--from", "feed", "--out", "advisories.bin", "--quiet"];
        clients::run(&portcullis(), &arguments, |command| {
            command.current_dir(scratch.path());
        })
        .succeeded("advisories build");
        fs::read(scratch.path().join("advisories.bin")).expect("the compiled file")
    });
    fs::write(folder.join("advisories.bin"), compiled).expect("the advisories are written");
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
