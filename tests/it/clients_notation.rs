//! The `notation` client and `portcullis sign` release a staged image alike, in both forms, and each verifies what the other
//! signed.

use std::path::{Path, PathBuf};

use keys::keyring::{self, Password};
use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{FIXED, PASSWORD, TestGateway, push, workspace};

const POLICY: &str = r#"
[[identity]]
name = "vendor"
notation = { store = "vendor/", subject = "C=US, O=Acme Fixtures, CN=signer p256" }

[[rule]]
images = ["**"]
signatures = { require = [["vendor"]] }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
"#;

const FORMS: [(&str, &str); 2] = [("jws", "notation-jws"), ("cose", "notation-cose")];

fn vector(name: &str) -> PathBuf {
    workspace().join("keys/tests/vectors/notation/signer").join(name)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A gateway whose policy trusts the vectors' authority; the key encrypted as ours are; notation's own folder.
fn gateway() -> TestGateway {
    let policy = POLICY.replace("\"vendor/\"", &format!("\"{}\"", vector("root.pem").display()));
    let gateway = TestGateway::start(&policy, "");
    let folder = gateway.folder();
    let key = keyring::import(&text(&vector("p256.key"))).expect("the vector is a key");
    let encrypted = keyring::encrypt(&key, &Password::new(PASSWORD.as_bytes().to_vec())).expect("encrypted");
    std::fs::write(folder.join("vendor.key"), encrypted).expect("the key is written");
    let notation = folder.join("config/notation");
    std::fs::create_dir_all(notation.join("truststore/x509/ca/acme")).expect("a folder");
    std::fs::copy(vector("root.pem"), notation.join("truststore/x509/ca/acme/root.pem")).expect("a root");
    let trust_policy = r#"{"version":"1.0","trustPolicies":[{"name":"p","registryScopes":["*"],
        "signatureVerification":{"level":"strict"},"trustStores":["ca:acme"],
        "trustedIdentities":["x509.subject: C=US, ST=WA, O=Acme Fixtures"]}]}"#;
    std::fs::write(notation.join("trustpolicy.json"), trust_policy).expect("a policy");
    let (key, chain) = (vector("p256.key"), vector("p256.pem"));
    let keys = format!(
        r#"{{"default":"k","keys":[{{"name":"k","keyPath":"{}","certPath":"{}"}}]}}"#,
        key.display(),
        chain.display()
    );
    std::fs::write(notation.join("signingkeys.json"), keys).expect("a list of keys");
    gateway
}

fn notation(program: &Path, gateway: &TestGateway, account: &str, arguments: &[&str]) -> Outcome {
    clients::run(program, arguments, |command| {
        command
            .current_dir(gateway.folder())
            .env("XDG_CONFIG_HOME", gateway.folder().join("config"))
            .env("DOCKER_CONFIG", gateway.docker_config(account))
            .env("HOME", gateway.folder());
    })
}

fn staged(gateway: &TestGateway, repository: &str) -> (Image, String) {
    let image = alpine_image(repository, FIXED).build();
    let answer = push(&gateway.caller("builder"), repository, "1.0", &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    gateway.assert_hidden(repository, &["1.0"], &image);
    let reference = gateway.reference(&format!("{repository}@{}", image.manifest.digest));
    (image, reference)
}

#[track_caller]
fn assert_released(gateway: &TestGateway, repository: &str, image: &Image, what: &str) {
    let path = format!("/v2/{repository}/manifests/{}", image.manifest.digest);
    let answer = gateway.caller("consumer").get(&path);
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
}

fn verify(gateway: &TestGateway, reference: &str, subject: &str) -> Outcome {
    let root = vector("root.pem");
    let store = root.to_str().expect("a path in UTF-8");
    let config = gateway.docker_config("consumer");
    gateway.command_with(
        &["verify", reference, "--notation-store", store, "--notation-subject", subject],
        |command| {
            command.env("DOCKER_CONFIG", config);
        },
    )
}

#[test]
fn portcullis_signs_by_notation_and_verifies_for_the_named_signer_only() {
    let gateway = gateway();
    for (form, flag) in FORMS {
        let repository = format!("ours/{form}");
        let (image, reference) = staged(&gateway, &repository);
        let chain = vector("p256.pem");
        let chain = chain.to_str().expect("a path in UTF-8");
        let config = gateway.docker_config("signer");
        let arguments =
            ["sign", &reference, "--key", "vendor.key", "--form", flag, "--certificate-chain", chain];
        let signed = gateway.command_with(&arguments, |command| {
            command.env("DOCKER_CONFIG", config);
        });
        signed.succeeded("portcullis sign");
        assert_released(&gateway, &repository, &image, form);
        verify(&gateway, &reference, "C=US, O=Acme Fixtures").succeeded("portcullis verify");
        verify(&gateway, &reference, "C=US, O=Acme")
            .failed_showing("verify", &["none of the trusted identities"]);
        let test = "portcullis_signs_by_notation_and_verifies_for_the_named_signer_only";
        let Some(program) = find_or_skip(test, "notation") else { continue };
        let verified =
            notation(&program, &gateway, "consumer", &["verify", "--insecure-registry", &reference]);
        verified.succeeded(&format!("notation verify of our {form}"));
    }
}

#[test]
fn what_notation_signs_releases_the_image() {
    let test = "what_notation_signs_releases_the_image";
    let Some(program) = find_or_skip(test, "notation") else { return };
    let gateway = gateway();
    for (form, _) in FORMS {
        let repository = format!("theirs/{form}");
        let (image, reference) = staged(&gateway, &repository);
        let arguments = [
            "sign",
            "--insecure-registry",
            "--force-referrers-tag=false",
            "--signature-format",
            form,
            &reference,
        ];
        notation(&program, &gateway, "signer", &arguments).succeeded(&format!("notation sign, {form}"));
        assert_released(&gateway, &repository, &image, form);
        verify(&gateway, &reference, "C=US, O=Acme Fixtures").succeeded("portcullis verify");
        let verified =
            notation(&program, &gateway, "consumer", &["verify", "--insecure-registry", &reference]);
        verified.succeeded(&format!("notation verify of its own {form}"));
    }
}
