//! Keys in a token of SoftHSM: what they sign releases the image, and cosign verifies it.

use std::fs;

use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::alpine_image;
use tests::test_gateway::{FIXED, PASSWORD, POLICY_STRICT, TestGateway, push};

/// Where Debian and others keep the module.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

struct Token {
    gateway: TestGateway,
    module: &'static str,
}

impl Token {
    /// A token with one key pair of each kind, made by the tools of others.
    fn find(test: &str) -> Option<Self> {
        let (softhsm, tool) = (find_or_skip(test, "softhsm2-util")?, find_or_skip(test, "pkcs11-tool")?);
        let Some(module) = MODULES.into_iter().find(|path| fs::metadata(path).is_ok()) else {
            clients::skip(test, "softhsm2-util is here and its module is not");
            return None;
        };
        let gateway = TestGateway::strict();
        let folder = gateway.folder().to_owned();
        fs::create_dir(folder.join("tokens")).expect("the folder is made");
        let configuration = format!("directories.tokendir = {}\n", folder.join("tokens").display());
        fs::write(folder.join("softhsm2.conf"), configuration).expect("the configuration is written");
        fs::write(folder.join("pin"), "1234\n").expect("the PIN is written");
        let token = Self { gateway, module };
        let init = ["--init-token", "--free", "--label", "portcullis", "--pin", "1234", "--so-pin", "5678"];
        token.run(&softhsm, &init).succeeded("softhsm2-util");
        for (kind, label) in [("EC:prime256v1", "p256"), ("EC:secp384r1", "p384"), ("rsa:2048", "rsa")] {
            let make = [
                "--module",
                module,
                "--token-label",
                "portcullis",
                "--login",
                "--pin",
                "1234",
                "--keypairgen",
                "--key-type",
                kind,
                "--label",
                label,
            ];
            token.run(&tool, &make).succeeded("pkcs11-tool");
        }
        Some(token)
    }

    fn run(&self, program: &std::path::Path, arguments: &[&str]) -> Outcome {
        let configuration = self.gateway.folder().join("softhsm2.conf");
        clients::run(program, arguments, |command| {
            command.env("SOFTHSM2_CONF", configuration);
        })
    }

    /// Our own command, with the token's configuration and the signer's credentials.
    fn ours(&self, arguments: &[&str]) -> Outcome {
        let (configuration, config) =
            (self.gateway.folder().join("softhsm2.conf"), self.gateway.docker_config("signer"));
        self.gateway.command_with(arguments, |command| {
            command.env("SOFTHSM2_CONF", configuration).env("DOCKER_CONFIG", config);
        })
    }

    fn with_key<'a>(&'a self, arguments: &[&'a str], label: &'a str) -> Outcome {
        let key = [
            "--pkcs11-module",
            self.module,
            "--pkcs11-token",
            "portcullis",
            "--pkcs11-key",
            label,
            "--pkcs11-pin-file",
            "pin",
        ];
        self.ours(&[arguments, &key].concat())
    }
}

#[test]
fn a_key_in_a_token_signs_what_the_gate_releases_and_cosign_verifies() {
    let test = "a_key_in_a_token_signs_what_the_gate_releases_and_cosign_verifies";
    let Some(token) = Token::find(test) else { return };
    for label in ["p256", "p384", "rsa"] {
        let public = token.with_key(&["keys", "public"], label).succeeded("keys public").stdout;
        let file = format!("{label}.pub");
        fs::write(token.gateway.folder().join(&file), &public).expect("the public key is written");
        let gateway = TestGateway::start(&POLICY_STRICT.replace("release.pub", &file_in(&token, &file)), "");
        let image = alpine_image(label, FIXED).build();
        assert_eq!(push(&gateway.caller("builder"), "prod/app", "1.0", &image).status, 201);
        let reference = gateway.reference(&format!("prod/app@{}", image.manifest.digest));
        fs::write(token.gateway.folder().join("password"), PASSWORD).expect("the password is written");
        let sign = ["sign", &reference, "--username", "signer", "--password-file", "password"];
        token.with_key(&sign, label).succeeded(&format!("sign with {label}"));
        let path = format!("/v2/prod/app/manifests/{}", image.manifest.digest);
        let answer = gateway.caller("consumer").get(&path);
        assert_eq!(answer.status, 200, "{label}: {}", answer.text());
        let Some(cosign) = find_or_skip(test, "cosign2") else { continue };
        let key = file_in(&token, &file);
        let verify =
            ["verify", "--insecure-ignore-tlog=true", "--allow-insecure-registry", "--key", &key, &reference];
        let consumer = gateway.docker_config("consumer");
        let verified = clients::run(&cosign, &verify, |command| {
            command.env("DOCKER_CONFIG", consumer).env("HOME", gateway.folder());
        });
        verified.succeeded(&format!("cosign verify of {label}"));
    }
}

fn file_in(token: &Token, name: &str) -> String {
    token.gateway.folder().join(name).display().to_string()
}

#[test]
fn a_token_that_is_not_there_or_a_wrong_pin_is_told() {
    let test = "a_token_that_is_not_there_or_a_wrong_pin_is_told";
    let Some(token) = Token::find(test) else { return };
    let public = |more: &[&str]| token.ours(&[&["keys", "public"], more].concat());
    let module = ["--pkcs11-module", token.module];
    let missing =
        [&module[..], &["--pkcs11-token", "other", "--pkcs11-key", "p256", "--pkcs11-pin-file", "pin"]];
    public(&missing.concat())
        .failed_showing("another token", &["no token has the label `other`", "`portcullis`"]);
    token.with_key(&["keys", "public"], "none").failed_showing("another key", &["0 private keys", "`none`"]);
    fs::write(token.gateway.folder().join("wrong"), "9999\n").expect("the PIN is written");
    let wrong = [
        &module[..],
        &["--pkcs11-token", "portcullis", "--pkcs11-key", "p256", "--pkcs11-pin-file", "wrong"],
    ];
    let told = public(&wrong.concat());
    assert!(!told.shown.contains("9999"), "{}", told.shown);
    told.failed_showing("a wrong PIN", &["log in"]);
    let gone = [
        "--pkcs11-module",
        "/nonexistent.so",
        "--pkcs11-token",
        "t",
        "--pkcs11-key",
        "k",
        "--pkcs11-pin-file",
        "pin",
    ];
    public(&gone).failed_showing("no module", &["cannot be loaded"]);
}
