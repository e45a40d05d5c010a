//! Notary's own client, server and signer: what the client signs is imported and releases the image; the client reads the gateway as
//! its server; a state that is rolled back is refused; and what it vouched for is signed anew, for cosign.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use tests::clients::{self, Outcome, find_or_skip};
use tests::http::Client;
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{FIXED, PASSWORD, REGISTRY_NAME, TestGateway, free_address, push};

/// A Notary server that keeps everything in memory, and a client's folder.
struct Notary {
    client: PathBuf,
    address: String,
    folder: tempfile::TempDir,
    server: Child,
    signer: Option<Child>,
}

impl Drop for Notary {
    fn drop(&mut self) {
        for process in std::iter::once(&mut self.server).chain(&mut self.signer) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Notary {
    /// A server that signs timestamps itself.
    fn start_or_skip(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let trust_service =
            serde_json::json!({"type": "local", "hostname": "", "port": "", "key_algorithm": "ecdsa"});
        Self::start(test, folder, &trust_service, None)
    }

    /// A server whose keys are a signer's.
    fn start_with_signer_or_skip(test: &str) -> Option<Self> {
        let signer = find_or_skip(test, "notary-signer")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        certificate_or_skip(
            test,
            folder.path(),
            "tls",
            &["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        )?;
        let address = free_address();
        let port = address.rsplit_once(':').expect("a port").1;
        let config = serde_json::json!({
            "server": {"grpc_addr": address, "tls_cert_file": "./tls.crt", "tls_key_file": "./tls.key",
                "client_ca_file": "./tls.crt"},
            "storage": {"backend": "memory"},
            "logging": {"level": "error"},
        });
        let file = folder.path().join("signer.json");
        std::fs::write(&file, config.to_string()).expect("the configuration is written");
        let signer = start(&signer, &file);
        // The server asks it once when it starts, and fails for good if it is not there.
        wait_until("notary-signer", || std::net::TcpStream::connect(&address).is_ok());
        let trust_service = serde_json::json!({"type": "remote", "hostname": "localhost", "port": port,
            "key_algorithm": "ecdsa", "tls_ca_file": "./tls.crt", "tls_client_cert": "./tls.crt",
            "tls_client_key": "./tls.key"});
        Self::start(test, folder, &trust_service, Some(signer))
    }

    fn start(
        test: &str,
        folder: tempfile::TempDir,
        trust_service: &serde_json::Value,
        signer: Option<Child>,
    ) -> Option<Self> {
        let (client, server) = (find_or_skip(test, "notary")?, find_or_skip(test, "notary-server")?);
        std::fs::write(folder.path().join("yes"), "yes\n").expect("an answer is written");
        let address = free_address();
        let config = serde_json::json!({
            "server": {"http_addr": address},
            "trust_service": trust_service,
            "storage": {"backend": "memory"},
            "logging": {"level": "error"},
        });
        let file = folder.path().join("server.json");
        std::fs::write(&file, config.to_string()).expect("the configuration is written");
        let server = start(&server, &file);
        let notary = Self { client, address, folder, server, signer };
        let answers = || Client::anonymous(&notary.address).try_send("GET", "/v2/", &[], &[]).is_ok();
        wait_until("notary-server", answers);
        Some(notary)
    }

    fn run_at(&self, server: &str, folder: &Path, arguments: &[&str]) -> Outcome {
        let server = format!("http://{server}");
        let folder = folder.to_str().expect("a path in UTF-8");
        let arguments: Vec<&str> = ["-s", &server, "-d", folder].iter().chain(arguments).copied().collect();
        let account = base64::engine::general_purpose::STANDARD.encode(format!("consumer:{PASSWORD}"));
        clients::run(&self.client, &arguments, |command| {
            command
                .env("HOME", self.folder.path())
                .env("NOTARY_AUTH", account)
                .env("NOTARY_ROOT_PASSPHRASE", "root passphrase")
                .env("NOTARY_TARGETS_PASSPHRASE", "targets passphrase")
                .env("NOTARY_SNAPSHOT_PASSPHRASE", "snapshot passphrase")
                .env("NOTARY_DELEGATION_PASSPHRASE", "delegation passphrase")
                .stdin(std::fs::File::open(self.folder.path().join("yes")).expect("the answer"));
        })
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_at(&self.address, &self.trust(), arguments)
    }

    fn trust(&self) -> PathBuf {
        self.folder.path().join("trust")
    }

    /// The root key's id, as the client prints it.
    fn root_key(&self) -> String {
        let list = self.run(&["key", "list"]).succeeded("notary key list");
        let line = list.stdout.lines().find(|line| line.starts_with("root")).expect("a root key");
        line.split_whitespace().find(|word| word.len() == 64).expect("its id").to_owned()
    }

    fn sign(&self, gun: &str, tag: &str, image: &Image) {
        self.sign_as(gun, tag, image, &[]);
    }

    fn sign_as(&self, gun: &str, tag: &str, image: &Image, more: &[&str]) {
        let (digest, size) = (&image.manifest.digest, image.manifest.bytes.len().to_string());
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let arguments = ["addhash", gun, tag, &size, "--sha256", hex, "-p"];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        self.run(&arguments).succeeded(&format!("notary addhash {tag}"));
    }
}

fn start(program: &Path, config: &Path) -> Child {
    let mut command = Command::new(program);
    command.arg("-config").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn wait_until(what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `NAME.crt` and `NAME.key`, self-signed.
fn certificate_or_skip(test: &str, folder: &Path, name: &str, more: &[&str]) -> Option<()> {
    let openssl = find_or_skip(test, "openssl")?;
    let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.crt"), format!("/CN={name}"));
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "300",
        "-keyout",
        &key,
        "-out",
        &certificate,
        "-subj",
        &subject,
    ];
    let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
    clients::run(&openssl, &arguments, |command| {
        command.current_dir(folder);
    })
    .succeeded("openssl req");
    Some(())
}

fn policy(notary: &str) -> String {
    format!(
        "[[identity]]\nname = \"vendor\"\nnotary = {{ {notary} }}\n\n[[rule]]\nimages = [\"**\"]\n\
         signatures = {{ require = [[\"vendor\"]] }}\npin = {{ pull = \"tag\" }}\n\
         scan = {{ deny = \"nothing-unsafe\", unknown = \"accept-unsafe\" }}\n"
    )
}

fn gun(repository: &str) -> String {
    format!("{REGISTRY_NAME}/{repository}")
}

fn staged(gateway: &TestGateway, repository: &str, tag: &str) -> Image {
    let image = alpine_image(&format!("{repository} {tag}"), FIXED).build();
    let answer = push(&gateway.caller("builder"), repository, tag, &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    gateway.assert_hidden(repository, &[tag], &image);
    image
}

fn import(gateway: &TestGateway, repository: &str, more: &[&str]) -> Outcome {
    let (gun, to) = (gun(repository), gateway.reference(repository));
    let arguments: Vec<&str> = ["notary", "import", &gun, "--to", &to].iter().chain(more).copied().collect();
    let config = gateway.docker_config("signer");
    gateway.command_with(&arguments, |command| {
        command.env("DOCKER_CONFIG", config);
    })
}

fn status(gateway: &TestGateway, repository: &str, reference: &str) -> (u16, String) {
    let answer = gateway.caller("consumer").get(&format!("/v2/{repository}/manifests/{reference}"));
    (answer.status, answer.text())
}

#[test]
fn what_the_notary_client_signs_releases_the_image_until_it_takes_it_back() {
    let test = "what_the_notary_client_signs_releases_the_image_until_it_takes_it_back";
    let Some(notary) = Notary::start_or_skip(test) else { return };
    let (repository, gun) = ("prod/app", gun("prod/app"));
    notary.run(&["init", "-p", &gun]).succeeded("notary init");
    let root = notary.root_key();
    let mut gateway = TestGateway::start(&policy(&format!("root-keys = [\"{root}\"]")), "");
    let (one, two) = (staged(&gateway, repository, "1.0"), staged(&gateway, repository, "2.0"));

    notary.sign(&gun, "1.0", &one);
    let server = format!("http://{}", notary.address);
    import(&gateway, repository, &["--server", &server]).succeeded("notary import");
    assert_eq!(status(&gateway, repository, "1.0").0, 200);
    let (refused, words) = status(&gateway, repository, "2.0");
    assert_eq!(refused, 403, "{words}");
    assert!(words.contains("no valid signature by `vendor`"), "{words}");
    let old = gateway.folder().join("old");
    copy_folder(&notary.trust().join("tuf").join(&gun).join("metadata"), &old);

    // The signer takes 1.0 back, and signs 2.0.
    notary.run(&["remove", &gun, "1.0", "-p"]).succeeded("notary remove");
    notary.sign(&gun, "2.0", &two);
    let pinned = ["--server", &server, "--notary-root-key", &root];
    let imported = import(&gateway, repository, &pinned).succeeded("notary import, pinned");
    assert!(imported.shown.contains("verified under the given root"), "{}", imported.shown);
    assert_eq!(status(&gateway, repository, "2.0").0, 200);
    assert_eq!(status(&gateway, repository, "1.0").0, 403);

    // The server's data is rolled back: the gate has seen newer, also after a restart.
    let old = old.to_str().expect("a path in UTF-8");
    for _ in 0..2 {
        let rolled_back =
            import(&gateway, repository, &["--folder", old]).succeeded("import of an old state");
        let digest = rolled_back.stdout.trim().rsplit_once('@').expect("its digest").1.to_owned();
        let (refused, words) = status(&gateway, repository, &digest);
        assert_eq!(refused, 403, "{words}");
        assert!(words.contains("was verified before"), "{words}");
        assert_eq!(status(&gateway, repository, "1.0").0, 403);
        assert_eq!(status(&gateway, repository, "2.0").0, 200);
        gateway.kill();
        gateway.start_again();
    }
    let wrong = "ab".repeat(32);
    import(&gateway, repository, &["--server", &server, "--notary-root-key", &wrong])
        .failed_showing("import under another pin", &["none of the root certificates is pinned"]);
}

#[test]
fn the_notary_client_reads_the_gateway_as_its_server() {
    let test = "the_notary_client_reads_the_gateway_as_its_server";
    let Some(notary) = Notary::start_with_signer_or_skip(test) else { return };
    let (repository, gun) = ("prod/app", gun("prod/app"));
    notary.run(&["init", "-p", &gun]).succeeded("notary init");
    let root = notary.root_key();
    let pin = format!("root-keys = [\"{root}\"], roles = [\"targets/releases\"]");
    let gateway = TestGateway::start(&policy(&pin), "[access]\nanonymous-pull = []\n");
    let image = staged(&gateway, repository, "1.0");
    let other = staged(&gateway, repository, "0.9");
    notary.sign(&gun, "0.9", &other);
    // Keys of every kind rotate; clients follow the chain of roots from the first one.
    for rotation in [&["targets"][..], &["snapshot", "-r"], &["timestamp", "-r"], &["root"]] {
        let arguments: Vec<&str> = ["key", "rotate", &gun].iter().chain(rotation).copied().collect();
        notary.run(&arguments).succeeded(&format!("notary key rotate {rotation:?}"));
    }
    let Some(()) = certificate_or_skip(test, gateway.folder(), "releases", &[]) else { return };
    let [key, certificate] = ["releases.key", "releases.crt"].map(|name| gateway.folder().join(name));
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    notary
        .run(&["delegation", "add", &gun, "targets/releases", &certificate, "--all-paths", "-p"])
        .succeeded("notary delegation add");
    notary.run(&["key", "import", &key, "--role", "releases"]).succeeded("notary key import");
    notary.sign_as(&gun, "1.0", &image, &["--roles", "targets/releases"]);
    let fresh = gateway.folder().join("fresh");
    notary
        .run_at(&gateway.address, &fresh, &["list", &gun])
        .failed_showing("notary list before the import", &["does not have trust data"]);
    let server = format!("http://{}", notary.address);
    import(&gateway, repository, &["--server", &server]).succeeded("notary import");
    assert_eq!(status(&gateway, repository, "1.0").0, 200);
    // Signed by a role that the policy does not ask for.
    assert_eq!(status(&gateway, repository, "0.9").0, 403);

    let listed = notary.run_at(&gateway.address, &fresh, &["list", &gun]).succeeded("notary list");
    let hex = image.manifest.digest.strip_prefix("sha256:").expect("a digest");
    assert!(listed.stdout.contains(hex), "{}", listed.shown);
    let found = notary.run_at(&gateway.address, &fresh, &["lookup", &gun, "1.0"]).succeeded("notary lookup");
    assert!(found.stdout.contains(hex), "{}", found.shown);
    notary
        .run_at(&gateway.address, &fresh, &["lookup", &gun, "9.9"])
        .failed_showing("notary lookup of what nobody signed", &["No valid trust data for 9.9"]);

    let config = gateway.docker_config("consumer");
    let reference = gateway.reference(repository);
    let show = ["notary", "show", &reference, "--notary-gun", &gun, "--notary-root-key", &root];
    let shown = gateway.command_with(&show, |command| {
        command.env("DOCKER_CONFIG", &config);
    });
    let shown = shown.succeeded("notary show");
    for word in ["verified, until", "targets/releases", "1.0", hex] {
        assert!(shown.stdout.contains(word), "`{word}`: {}", shown.shown);
    }
    let tagged = format!("{reference}:1.0");
    let verify = ["verify", &tagged, "--notary-gun", &gun, "--notary-root-key", &root];
    let verified = gateway.command_with(&verify, |command| {
        command.env("DOCKER_CONFIG", &config);
    });
    assert!(verified.succeeded("portcullis verify").stdout.contains("notary v1"));
    // The pipeline door believes the same policy, under the names by which it reaches the images.
    let remap =
        format!("{pin}, gun = {{ prefix = \"{}\", signed-prefix = \"{REGISTRY_NAME}\" }}", gateway.address);
    std::fs::write(gateway.folder().join("pipeline.toml"), policy(&remap)).expect("a policy");
    for (tag, admitted) in [("1.0", true), ("0.9", false)] {
        let tagged = format!("{reference}:{tag}");
        let arguments = ["check", &tagged, "--policy", "pipeline.toml", "--advisories", "advisories.bin"];
        let config = gateway.docker_config("builder");
        let checked = gateway.command_with(&arguments, |command| {
            command.env("DOCKER_CONFIG", config);
        });
        assert_eq!(checked.code, i32::from(!admitted), "{tag}: {}", checked.shown);
    }
}

#[test]
fn what_notary_vouched_for_is_signed_anew_and_cosign_verifies_it() {
    let test = "what_notary_vouched_for_is_signed_anew_and_cosign_verifies_it";
    let Some(notary) = Notary::start_or_skip(test) else { return };
    let (repository, gun) = ("prod/app", gun("prod/app"));
    notary.run(&["init", "-p", &gun]).succeeded("notary init");
    let root = notary.root_key();
    let gateway = TestGateway::start(&policy(&format!("root-keys = [\"{root}\"]")), "");
    let image = staged(&gateway, repository, "1.0");
    let unsigned = staged(&gateway, repository, "2.0");
    notary.sign(&gun, "1.0", &image);
    let server = format!("http://{}", notary.address);
    import(&gateway, repository, &["--server", &server]).succeeded("notary import");
    let reference = gateway.reference(repository);
    let config = gateway.docker_config("signer");
    let resign = |root: &str| {
        let arguments = [
            "notary",
            "resign",
            &reference,
            "--notary-gun",
            &gun,
            "--notary-root-key",
            root,
            "--key",
            "release.key",
        ];
        gateway.command_with(&arguments, |command| {
            command.env("DOCKER_CONFIG", &config);
        })
    };
    resign(&"ab".repeat(32)).failed_showing("resign under another pin", &["does not verify"]);
    let signed = resign(&root).succeeded("notary resign");
    assert!(signed.stdout.contains("1 images signed anew"), "{}", signed.shown);
    for (image, good) in [(&image, true), (&unsigned, false)] {
        let by_digest = format!("{reference}@{}", image.manifest.digest);
        for (client, arguments) in [
            ("cosign2", &["verify", "--insecure-ignore-tlog=true"][..]),
            ("cosign3", &["verify", "--insecure-ignore-tlog=true", "--new-bundle-format=true"][..]),
        ] {
            let Some(program) = find_or_skip(test, client) else { continue };
            let all = arguments.iter().copied();
            let all = all.chain(["--key", "release.pub", "--allow-insecure-registry", &by_digest]);
            let verified = clients::run(&program, &all.collect::<Vec<_>>(), |command| {
                command
                    .current_dir(gateway.folder())
                    .env("DOCKER_CONFIG", gateway.docker_config("builder"))
                    .env("HOME", gateway.folder());
            });
            assert_eq!(verified.code == 0, good, "{client}: {}", verified.shown);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a file is copied");
        }
    }
}
