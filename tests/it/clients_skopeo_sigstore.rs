//! skopeo with sigstore on: it accepts what we sign under a policy.json that asks for our key, refuses what another key
//! signed, and what it signs releases the image here.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{PASSWORD, REGISTRY_NAME, TestGateway, push};

const POLICY: &str = r#"
[[identity]]
name = "release"
cosign = { key = "release.pub", repository = "any" }

[[rule]]
images = ["**"]
signatures = { require = [["release"]] }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
"#;

struct Skopeo {
    program: PathBuf,
    gateway: TestGateway,
}

impl Skopeo {
    fn find(test: &str) -> Option<Self> {
        let program = find_or_skip(test, "skopeo-sigstore")?;
        Some(Self::on(program, TestGateway::start(POLICY, "")))
    }

    fn on(program: PathBuf, gateway: TestGateway) -> Self {
        fs::write(gateway.folder().join("password"), PASSWORD).expect("the password is written");
        let attachments = format!("docker:\n  {}:\n    use-sigstore-attachments: true\n", gateway.address);
        let registries = gateway.folder().join("registries.d");
        fs::create_dir(&registries).expect("the folder is made");
        fs::write(registries.join("gateway.yaml"), attachments).expect("the lookup is written");
        Self { program, gateway }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all = vec!["--registries.d", "registries.d"];
        all.extend(arguments);
        let folder = self.gateway.folder();
        clients::run(&self.program, &all, |command| {
            command
                .current_dir(folder)
                .env("HOME", folder)
                .env("XDG_RUNTIME_DIR", folder)
                .env("TMPDIR", folder);
        })
    }

    /// Copies an image into a folder under a policy that trusts one key for this registry, and nothing else.
    fn copy_trusting(&self, image: &Image, key: &str) -> Outcome {
        self.copy_trusting_as(image, key, json!({"type": "matchRepository"}))
    }

    fn copy_trusting_as(&self, image: &Image, key: &str, signed_identity: serde_json::Value) -> Outcome {
        let requirement =
            json!({"type": "sigstoreSigned", "keyPath": key, "signedIdentity": signed_identity});
        let scope = format!("{}/prod/app", self.gateway.address);
        let policy =
            json!({"default": [{"type": "reject"}], "transports": {"docker": {scope: [requirement]}}});
        fs::write(self.gateway.folder().join("policy.json"), policy.to_string())
            .expect("the policy is written");
        let source = format!("docker://{}", self.reference(image));
        let credentials = format!("consumer:{PASSWORD}");
        let copy = format!("dir:{}", self.gateway.folder().join("copy").display());
        let arguments = ["copy", "--src-tls-verify=false", "--src-creds", &credentials, &source, &copy];
        self.run(&[&["--policy", "policy.json"], &arguments[..]].concat())
    }

    fn reference(&self, image: &Image) -> String {
        self.gateway.reference(&format!("prod/app@{}", image.manifest.digest))
    }
}

#[test]
fn skopeo_verifies_what_portcullis_signed() {
    let Some(skopeo) = Skopeo::find("skopeo_verifies_what_portcullis_signed") else { return };
    let image = alpine_image("signed by portcullis", &[]).build();
    assert_eq!(push(&skopeo.gateway.caller("builder"), "prod/app", "v1", &image).status, 201);
    let sign = ["sign", &skopeo.reference(&image), "--key", "release.key", "--username", "signer"];
    let sign = [&sign[..], &["--password-file", "password"]].concat();
    skopeo.gateway.command(&sign).succeeded("portcullis sign");
    skopeo.copy_trusting(&image, "release.pub").succeeded("skopeo with our key");
    skopeo.gateway.command(&["keys", "generate", "--output", "other"]).succeeded("keys generate");
    skopeo.copy_trusting(&image, "other.pub").failed_showing("skopeo with another key", &["signature"]);
}

#[test]
fn skopeo_reads_what_the_gate_signed_again_of_a_bundle() {
    let test = "skopeo_reads_what_the_gate_signed_again_of_a_bundle";
    let Some(program) = find_or_skip(test, "skopeo-sigstore") else { return };
    let policy = POLICY.replace("[[\"release\"]]", "[[\"release\"]], serve-as = [\"simple\"]");
    let skopeo = Skopeo::on(program, TestGateway::with_key(&policy));
    let image = alpine_image("signed in the new form", &[]).build();
    assert_eq!(push(&skopeo.gateway.caller("builder"), "prod/app", "v1", &image).status, 201);
    let sign = ["sign", &skopeo.reference(&image), "--key", "release.key", "--form", "bundle"];
    let sign = [&sign[..], &["--username", "signer", "--password-file", "password"]].concat();
    skopeo.gateway.command(&sign).succeeded("portcullis sign");
    // The gate signs for its own name, whatever address it is reached at.
    let name = format!("{REGISTRY_NAME}/prod/app");
    let as_gate = || json!({"type": "exactRepository", "dockerRepository": name});
    skopeo.copy_trusting_as(&image, "gate.pub", as_gate()).succeeded("skopeo with the gate's key");
    let refused = skopeo.copy_trusting_as(&image, "release.pub", as_gate());
    refused.failed_showing("skopeo with the key that signed the bundle", &["signature"]);
}

#[test]
fn what_skopeo_signed_is_released() {
    let Some(skopeo) = Skopeo::find("what_skopeo_signed_is_released") else { return };
    let image = alpine_image("signed by skopeo", &[]).build();
    let layout = skopeo.gateway.folder().join("layout");
    image.write_oci_layout(&layout, "app").expect("the layout is written");
    let source = format!("oci:{}:app", layout.display());
    let destination = format!("docker://{}", skopeo.gateway.reference("prod/app:v1"));
    let credentials = format!("builder:{PASSWORD}");
    let copy = |more: &[&str]| {
        let all =
            ["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", &credentials, &source];
        skopeo.run(&[&all[..], &[&destination], more].concat())
    };
    copy(&[]).succeeded("skopeo copy without a signature");
    let consumer = skopeo.gateway.caller("consumer");
    let path = format!("/v2/prod/app/manifests/{}", image.manifest.digest);
    assert_eq!(consumer.get(&path).status, 403);
    let sign = ["--sign-by-sigstore-private-key", "release.key", "--sign-passphrase-file", "password"];
    copy(&sign).succeeded("skopeo copy with a signature");
    assert_eq!(consumer.get(&path).status, 200);
    skopeo.copy_trusting(&image, "release.pub").succeeded("skopeo reads its own");
    let verify = ["verify", &skopeo.reference(&image), "--key", "release.pub", "--same-repository"];
    let verify = [&verify[..], &["--username", "consumer", "--password-file", "password"]].concat();
    skopeo.gateway.command(&verify).succeeded("portcullis verify");
}
