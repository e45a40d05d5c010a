//! A key's life at a running gateway, by the commands an operator types: released under the old key, rotated, revoked;
//! the receipt that goes with it; an image withdrawn and given back.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::clients;
use tests::http::Client;
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{PASSWORD, TestGateway, push};

const POLICY: &str = r#"
[[identity]]
name = "release"
cosign = { key = "release.pub" }   # the first key

[[rule]]
images = ["**"]
signatures = { require = [["release"]] }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
"#;
/// Longest that taking up a policy may take.
const RELOAD: Duration = Duration::from_secs(10);

struct Operator {
    gateway: TestGateway,
    consumer: Client,
}

impl Operator {
    /// A gateway that gives receipts; its key is made by the command that makes keys.
    fn new() -> Self {
        let gateway = TestGateway::with_key(POLICY);
        let operator = Self { consumer: gateway.caller("consumer"), gateway };
        operator.run(&["keys", "generate", "--output", "next"]);
        std::fs::write(operator.gateway.folder().join("pw"), PASSWORD).expect("the password is written");
        operator
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        self.gateway.command(arguments).succeeded(&arguments.join(" ")).stdout
    }

    fn push(&self, tag: &str, file: &str) -> Image {
        let image = alpine_image(file, &[]).build();
        let answer = push(&self.gateway.caller("builder"), "prod/app", tag, &image);
        assert_eq!(answer.status, 201, "{}", answer.text());
        image
    }

    fn reference(&self, image: &Image) -> String {
        self.gateway.reference(&format!("prod/app@{}", image.manifest.digest))
    }

    fn sign(&self, image: &Image, key: &str) {
        self.run(&[
            "sign",
            &self.reference(image),
            "--key",
            key,
            "--username",
            "signer",
            "--password-file",
            "pw",
        ]);
    }

    fn pull(&self, image: &Image) -> (u16, String) {
        let answer = self.consumer.get(&format!("/v2/prod/app/manifests/{}", image.manifest.digest));
        (answer.status, answer.text())
    }

    /// SIGHUP, and waits until the gateway's answer about an image is the one expected.
    #[track_caller]
    fn take_up(&self, image: &Image, expected: u16) -> String {
        let process = self.gateway.process_id().to_string();
        clients::run(Path::new("kill"), &["-HUP", &process], |_| {}).succeeded("kill -HUP");
        let deadline = Instant::now() + RELOAD;
        loop {
            let (status, text) = self.pull(image);
            if status == expected {
                return text;
            }
            assert!(Instant::now() < deadline, "still {status}: {text}\n{}", self.gateway.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Under another policy a receipt is renewed beside the answer, not before it.
    #[track_caller]
    fn has_receipt(&self, image: &Image, policy: &str) {
        let deadline = Instant::now() + RELOAD;
        let mut outcome = self.receipt(image, policy);
        while outcome.code != 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            outcome = self.receipt(image, policy);
        }
        outcome.succeeded("the receipt");
    }

    fn policy_digest(&self) -> String {
        let said = self.run(&["policy", "check", "policy.toml"]);
        let digest = said.split(['(', ')']).find(|word| word.starts_with("sha256:"));
        digest.unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    fn receipt(&self, image: &Image, policy: &str) -> clients::Outcome {
        let reference = self.reference(image);
        self.gateway.command(&[
            "verify",
            &reference,
            "--receipt",
            "--key",
            "gate.pub",
            "--verifier",
            "https://registry.example",
            "--repository",
            "registry.example/prod/app",
            "--policy-digest",
            policy,
            "--username",
            "consumer",
            "--password-file",
            "pw",
        ])
    }
}

#[test]
fn a_key_is_rotated_and_revoked_and_the_receipt_goes_with_it() {
    let operator = Operator::new();
    let first_policy = operator.policy_digest();
    let image = operator.push("v1", "one");
    assert_eq!(operator.pull(&image).0, 403);
    operator.receipt(&image, &first_policy).failed_showing("no receipt yet", &["no receipt that counts"]);
    operator.sign(&image, "release.key");
    assert_eq!(operator.pull(&image).0, 200);
    operator.has_receipt(&image, &first_policy);

    // Rotated: both keys count, the log tells what the old one vouched for.
    operator.run(&["keys", "rotate", "--identity", "release", "--to", "next.pub", "--overlap", "7d"]);
    let next = operator.push("v2", "two");
    operator.sign(&next, "next.key");
    operator.take_up(&next, 200);
    assert_eq!(operator.pull(&image).0, 200);
    let listed = operator.run(&["keys", "list", "--data-dir", "data", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let expected = format!("registry.example/prod/app@{}", image.manifest.digest);
    assert_eq!(listed[0]["vouched-for"], serde_json::json!([expected]), "{listed}");
    assert!(listed[0]["state"].as_str().is_some_and(|state| state.starts_with("counts until")), "{listed}");
    assert_eq!(listed[1]["state"], "counts");

    // Revoked: refused with the reason, the receipt neither served nor good; what the new key signed is untouched.
    let kept = operator.policy_digest();
    operator.has_receipt(&image, &kept);
    operator.run(&["keys", "revoke", "--key", "release.pub", "--reason", "laptop stolen"]);
    let refusal = operator.take_up(&image, 403);
    assert!(refusal.contains("is revoked: laptop stolen"), "{refusal}");
    assert_eq!(operator.pull(&next).0, 200);
    for policy in [&kept, &operator.policy_digest()] {
        operator.receipt(&image, policy).failed_showing("after the revocation", &["no receipt that counts"]);
    }
    operator.has_receipt(&next, &operator.policy_digest());

    // Signed by the new key it is served again, and has a receipt again.
    operator.sign(&image, "next.key");
    assert_eq!(operator.pull(&image).0, 200);
    operator.has_receipt(&image, &operator.policy_digest());
    operator.run(&["log", "verify", "--data-dir", "data"]);
}

#[test]
fn an_image_is_withdrawn_by_command_and_given_back() {
    let operator = Operator::new();
    let image = operator.push("v1", "one");
    operator.sign(&image, "release.key");
    let reference = operator.reference(&image);
    let withdraw = |account: &str, more: &[&str]| {
        let mut arguments = vec!["withdraw", &reference, "--username", account, "--password-file", "pw"];
        arguments.extend(more);
        operator.gateway.command(&arguments)
    };
    withdraw("builder", &["--reason", "leak"]).failed_showing("a producer", &["may not admin"]);
    assert_eq!(operator.pull(&image).0, 200);
    withdraw("admin", &["--reason", "leaks a token"]).succeeded("withdraw");
    let (status, text) = operator.pull(&image);
    assert!(status == 403 && text.contains("leaks a token"), "{status}: {text}");
    operator
        .receipt(&image, &operator.policy_digest())
        .failed_showing("withdrawn", &["no receipt that counts"]);
    let log = operator.run(&["log", "show", "--data-dir", "data", "--denied"]);
    assert!(log.contains("withdrawn: leaks a token"), "{log}");
    withdraw("admin", &["--undo"]).succeeded("withdraw --undo");
    assert_eq!(operator.pull(&image).0, 200);
    operator.has_receipt(&image, &operator.policy_digest());
    withdraw("admin", &["--undo"]).failed_showing("twice", &["is not withdrawn"]);
}
