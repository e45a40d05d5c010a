//! A trusted root that is brought to a site without a network: the image that rests on it is refused until it is there,
//! served over a restart, and refused again when it is too old.

use std::path::Path;

use tests::clients;
use tests::image_builder::Blob;
use tests::test_gateway::{TestGateway, push_blob, push_manifest, workspace};

const POLICY: &str = r#"
[[trust-root]]
name = "own"
root = "1.root.json"
max-age = "MAX_AGE"

[[identity]]
name = "dev"
keyless = { issuer = "https://issuer.fixture.example", subject = "dev@acme.example", trust-root = "own" }

[[rule]]
images = ["**"]
signatures = { require = [["dev"]] }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", secrets = "off", unknown = "accept-unsafe" }
image = { user = "any" }
"#;
const PULL: &str = "/v2/app/manifests/v1";

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(workspace().join("keys/tests/vectors").join(name)).expect("the vector is there")
}

fn write_policy(gateway: &TestGateway, max_age: &str) {
    std::fs::write(gateway.folder().join("policy.toml"), POLICY.replace("MAX_AGE", max_age))
        .expect("the policy is written");
}

/// Pushes the image of `keyless/email` and the signature that its holder made.
fn push_signed_image(gateway: &TestGateway) {
    let (builder, signer) = (gateway.caller("builder"), gateway.caller("signer"));
    let blob = |name: &str| Blob::new("application/octet-stream", vector(&format!("keyless/email/{name}")));
    let manifest = |name: &str| {
        let manifest = blob(name);
        Blob { media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(), ..manifest }
    };
    let empty = Blob::new("application/octet-stream", b"{}".to_vec());
    for blob in [blob("config.json"), blob("layer.tar.gz"), blob("bundle.json"), empty] {
        assert_eq!(push_blob(&builder, "app", &blob).status, 201);
    }
    assert_eq!(push_manifest(&builder, "app", "v1", &manifest("manifest.json")).status, 201);
    let referrer = manifest("referrer.json");
    assert_eq!(push_manifest(&signer, "app", &referrer.digest, &referrer).status, 201);
}

fn reload(gateway: &TestGateway) {
    let process = gateway.process_id().to_string();
    clients::run(Path::new("kill"), &["-HUP", &process], |_| {}).succeeded("kill -HUP");
}

#[test]
fn a_trusted_root_is_carried_to_a_site_without_a_network_and_ends_there() {
    let mut gateway = TestGateway::open();
    gateway.kill();
    std::fs::write(gateway.folder().join("1.root.json"), vector("tuf/1.root.json"))
        .expect("the root is written");
    write_policy(&gateway, "7d");
    gateway.start_again();
    push_signed_image(&gateway);
    let text = gateway.wait_for(PULL, 403);
    assert!(text.contains("`own` was never fetched; run `portcullis trust update`"), "{text}");
    let trust = |words: &[&str]| {
        let arguments = [&["trust", words[0], "--dir", "data/trust"], &words[1..]].concat();
        gateway.command(&arguments)
    };
    trust(&["show"]).failed_showing("never fetched", &["own: does not count: never fetched"]);

    let mirror = workspace().join("keys/tests/vectors/tuf").display().to_string();
    let updated = trust(&["update", "--from", &mirror]).succeeded("trust update").stdout;
    assert!(updated.starts_with("own: new sha256:"), "{updated}");
    reload(&gateway);
    gateway.wait_for(PULL, 200);
    let shown = trust(&["show", "--json"]).succeeded("trust show").stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let root = &shown["trust-roots"][0];
    assert_eq!(
        root["metadata"][0],
        serde_json::json!({"role": "root", "version": 2, "expires": "2099-01-01T00:00:00Z"})
    );
    let target = trust(&["show", "--target"]).succeeded("trust show --target").stdout;
    assert_eq!(target.as_bytes(), vector("keyless/trusted_root.json"));

    // What was verified last is good without a network, after a kill too.
    gateway.kill();
    gateway.start_again();
    gateway.wait_for(PULL, 200);

    // Too old: nothing that rests on it counts, and the refusal says what to do. Confirmed again, it does.
    write_policy(&gateway, "1s");
    reload(&gateway);
    let text = gateway.wait_for(PULL, 403);
    assert!(text.contains("over 1s ago: run `portcullis trust update`"), "{text}");
    gateway
        .command(&["trust", "show", "--dir", "data/trust"])
        .failed_showing("too old", &["own: does not count: `own` was last confirmed"]);
    write_policy(&gateway, "1h");
    gateway.command(&["trust", "update", "--dir", "data/trust", "--from", &mirror]).succeeded("trust update");
    reload(&gateway);
    gateway.wait_for(PULL, 200);
}
