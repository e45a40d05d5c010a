//! The gate's receipts at admission doors that do not ask it: a Docker plug-in while the gate is away, and a webhook that
//! stands alone. The image lies in a mirror by then, with the receipt that was copied along.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::http::Client;
use tests::image_builder::{Blob, Image, alpine_image};
use tests::test_gateway::{PASSWORD, TestGateway, free_address, portcullis, push, push_blob, push_manifest};

const POLICY: &str = r#"
[[identity]]
name = "release"
cosign = { key = "release.pub" }

[[rule]]
images = ["**"]
signatures = { require = [["release"]] }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
"#;
/// Longest that a process may take to answer, and a receipt to be there.
const START: Duration = Duration::from_secs(20);

/// A process of the test's own, ended with it.
struct Process(Child);

impl Process {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let process = Command::new(portcullis())
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(process.expect("portcullis starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + START;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} took too long");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the plug-in says to a `docker create`.
fn create(socket: &Path, image: &str) -> Value {
    let body = STANDARD.encode(json!({ "Image": image }).to_string());
    let call =
        json!({"RequestMethod": "POST", "RequestUri": "/v1.43/containers/create", "RequestBody": body});
    let call = call.to_string();
    let mut stream = UnixStream::connect(socket).expect("the plug-in listens");
    let request = format!(
        "POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    stream.write_all(request.as_bytes()).expect("the plug-in reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the plug-in answers");
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}

#[track_caller]
fn is_denied(answer: &Value, words: &str) {
    let said = answer["Msg"].as_str().unwrap_or_default();
    assert!(answer["Allow"] == json!(false) && said.contains(words), "expected `{words}`: {answer}");
}

/// Copies the image's receipt from the gate to another registry, as any OCI client would.
fn copy_receipt(from: &Client, to: &Client, image: &Image) {
    let path = format!("/v2/prod/app/referrers/{}", image.manifest.digest);
    wait_until("the receipt", || {
        from.get(&path).json()["manifests"].as_array().is_some_and(|all| !all.is_empty())
    });
    let listed = from.get(&path).json();
    for entry in listed["manifests"].as_array().expect("a list") {
        let digest = entry["digest"].as_str().expect("a digest");
        let manifest = from.get(&format!("/v2/prod/app/manifests/{digest}"));
        for layer in manifest.json()["layers"].as_array().expect("layers") {
            let digest = layer["digest"].as_str().expect("a digest");
            let bytes = from.get(&format!("/v2/prod/app/blobs/{digest}")).body;
            assert_eq!(push_blob(to, "prod/app", &Blob::new("application/octet-stream", bytes)).status, 201);
        }
        let empty = Blob::new("application/octet-stream", b"{}".to_vec());
        assert_eq!(push_blob(to, "prod/app", &empty).status, 201);
        let manifest = Blob::new("application/vnd.oci.image.manifest.v1+json", manifest.body);
        assert_eq!(push_manifest(to, "prod/app", &manifest.digest, &manifest).status, 201);
    }
}

fn review(image: &str, privileged: bool) -> String {
    let container = json!({"name": "c", "image": image, "securityContext": {"privileged": privileged}});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}}})
    .to_string()
}

#[test]
fn a_released_image_is_admitted_by_its_receipt_when_the_gate_is_away() {
    let (mut gate, mirror) = (TestGateway::with_key(POLICY), TestGateway::open());
    std::fs::write(gate.folder().join("pw"), PASSWORD).expect("the password is written");
    let folder: PathBuf = gate.folder().to_owned();
    let socket = folder.join("p.sock");
    let (at_gate, at_mirror) =
        (format!("http://{}", gate.address), format!("{}=registry.example", mirror.address));
    let receipts = |more: &[&str]| -> Vec<String> {
        let mut all = vec!["--receipt-key", "gate.pub", "--receipt-verifier", "https://registry.example"];
        all.extend(["--receipt-registry", &at_mirror]);
        all.extend(more);
        all.iter().map(|word| (*word).to_owned()).collect()
    };
    let start = |words: &[&str], more: &[String]| {
        let all: Vec<&str> = words.iter().copied().chain(more.iter().map(String::as_str)).collect();
        Process::start(&folder, &all)
    };
    let socket_text = socket.display().to_string();
    let _plugin = start(&["docker-plugin", "--gateway", &at_gate, "--socket", &socket_text], &receipts(&[]));
    wait_until("the plug-in", || socket.exists());

    // While the gate is there its word is final, also about the mirror's copy.
    let image = alpine_image("one", &[]).build();
    assert_eq!(push(&gate.caller("builder"), "prod/app", "v1", &image).status, 201);
    assert_eq!(push(&mirror.caller("builder"), "prod/app", "v1", &image).status, 201);
    let digest = &image.manifest.digest;
    let copy = mirror.reference(&format!("prod/app@{digest}"));
    is_denied(&create(&socket, &copy), "no valid signature by `release`");
    let reference = gate.reference(&format!("prod/app@{digest}"));
    let sign = ["sign", &reference, "--key", "release.key", "--username", "signer", "--password-file", "pw"];
    gate.command(&sign).succeeded("sign");
    let answer = create(&socket, &copy);
    assert_eq!(answer["Allow"], json!(true), "{answer}");

    // The image was mirrored with its receipt; then the gate goes away.
    copy_receipt(&gate.caller("consumer"), &mirror.caller("builder"), &image);
    let unreleased = alpine_image("two", &[]).build();
    assert_eq!(push(&mirror.caller("builder"), "prod/app", "v2", &unreleased).status, 201);
    assert_eq!(push(&mirror.caller("builder"), "prod/other", "v1", &image).status, 201);
    gate.kill();
    let answer = create(&socket, &copy);
    assert_eq!(answer["Allow"], json!(true), "{answer}");
    let other = mirror.reference(&format!("prod/app@{}", unreleased.manifest.digest));
    is_denied(&create(&socket, &other), "counts: there is none");
    let moved = mirror.reference(&format!("prod/other@{digest}"));
    is_denied(&create(&socket, &moved), "counts: there is none");
    is_denied(&create(&socket, &format!("registry.evil/prod/app@{digest}")), "whose receipts are read here");

    // A webhook that never knew the gate says the same; one that asks for another policy does not.
    let other_policy = format!("sha256:{}", "ab".repeat(32));
    let policy = gate.command(&["policy", "check", "policy.toml"]).succeeded("policy check").stdout;
    let policy =
        policy.split(['(', ')']).find(|word| word.starts_with("sha256:")).expect("a digest").to_owned();
    for (policy, allowed) in [(policy.as_str(), true), (other_policy.as_str(), false)] {
        let address = free_address();
        let _webhook =
            start(&["admission", "--listen", &address], &receipts(&["--receipt-policy-digest", policy]));
        let webhook = Client::anonymous(&address);
        let is_up = || webhook.try_send("GET", "/healthz", &[], &[]).is_ok_and(|answer| answer.status == 200);
        wait_until("the webhook", is_up);
        let ask = |image: &str, privileged: bool| {
            webhook.send("POST", "/admission/kubernetes", &[], review(image, privileged).as_bytes()).json()
        };
        let answer = ask(&copy, false);
        assert_eq!(answer["response"]["allowed"], json!(allowed), "{answer}");
        assert_eq!(answer.to_string().contains("the receipt is for policy"), !allowed, "{answer}");
        for (image, privileged) in [(&copy, true), (&other, false), (&mirror.reference("prod/app:v1"), false)]
        {
            let answer = ask(image, privileged);
            assert_eq!(answer["response"]["allowed"], json!(false), "{answer}");
        }
    }
}
