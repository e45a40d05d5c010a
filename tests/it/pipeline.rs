//! The pipeline stage: the Jenkinsfile's own commands, run against a real gateway, from the check to the deployment.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::{ImageBuilder, alpine_image};
use tests::test_gateway::{FIXED, PASSWORD, TestGateway, VULNERABLE, portcullis};

const JENKINSFILE: &str = include_str!("../../ci-examples/jenkins/Jenkinsfile");

/// The shell text of one stage: what stands in its `sh` steps.
fn shell_of(stage: &str) -> String {
    let start = JENKINSFILE.find(&format!("stage('{stage}')")).expect("the Jenkinsfile has this stage");
    let rest = &JENKINSFILE[start + 1..];
    let body = &rest[..rest.find("stage('").unwrap_or(rest.len())];
    let mut shell = String::new();
    let mut left = body;
    while let Some(at) = left.find("sh '") {
        let (text, quote) = match left[at + 3..].strip_prefix("'''") {
            Some(text) => (text, "'''"),
            None => (&left[at + 4..], "'"),
        };
        let end = text.find(quote).expect("every quote is closed");
        shell.push_str(&text[..end]);
        shell.push('\n');
        left = &text[end + quote.len()..];
    }
    assert!(!shell.is_empty(), "stage `{stage}` runs no shell");
    shell
}

/// The agent: a workspace with the variables that Jenkins would set.
struct Agent<'a> {
    gateway: &'a TestGateway,
    workspace: tempfile::TempDir,
}

impl<'a> Agent<'a> {
    fn new(gateway: &'a TestGateway) -> Self {
        let workspace = tempfile::tempdir().expect("a workspace");
        // Plain HTTP is for the loopback test only; the example itself speaks TLS.
        let registries = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", gateway.address);
        let containers = workspace.path().join(".config/containers");
        fs::create_dir_all(&containers).expect("the folder is made");
        fs::write(containers.join("registries.conf"), registries).expect("the registries are written");
        fs::write(workspace.path().join("deploy"), "#!/bin/sh\nprintf %s \"$1\" >deployed\n")
            .expect("the script");
        clients::run(Path::new("chmod"), &["+x", "deploy"], |command| {
            command.current_dir(workspace.path());
        })
        .succeeded("chmod");
        Self { gateway, workspace }
    }

    fn build(&self, image: ImageBuilder) {
        let folder = self.workspace.path().join("image");
        let _ = fs::remove_dir_all(&folder);
        image.build().write_oci_layout(&folder, "build").expect("the layout is written");
    }

    fn run(&self, stage: &str) -> Outcome {
        clients::run(Path::new("bash"), &["-euc", &shell_of(stage)], |command| self.environment(command))
    }

    fn environment(&self, command: &mut Command) {
        let (workspace, folder) = (self.workspace.path(), self.gateway.folder());
        let binary = portcullis();
        let bin = binary.parent().expect("a folder").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let digest = fs::read_to_string(workspace.join("image.digest")).unwrap_or_default();
        command
            .current_dir(workspace)
            .env("PATH", format!("{bin}:{path}"))
            .env("REGISTRY", &self.gateway.address)
            .env("REPOSITORY", "team-a/app")
            .env("IMAGE", self.gateway.reference("team-a/app:1.0"))
            .env("DIGEST", digest.trim())
            .env("POLICY", folder.join("policy.toml"))
            .env("ADVISORIES", folder.join("advisories.bin"))
            .env("REGISTRY_USER", "builder")
            .env("REGISTRY_PASSWORD", PASSWORD)
            .env("SIGNING_KEY", folder.join("release.key"))
            .env("COSIGN_PASSWORD", PASSWORD)
            .env("HOME", workspace)
            .env("REGISTRY_AUTH_FILE", workspace.join("auth.json"));
    }
}

#[test]
fn the_jenkins_example_stops_a_bad_image_and_deploys_a_good_one() {
    let test = "the_jenkins_example_stops_a_bad_image_and_deploys_a_good_one";
    if find_or_skip(test, "skopeo").is_none() {
        return;
    }
    let gateway = TestGateway::strict();
    let agent = Agent::new(&gateway);

    agent.build(alpine_image("bad", VULNERABLE));
    let denied = agent.run("Check");
    assert_eq!(denied.code, 1, "{}", denied.shown);
    let junit = fs::read_to_string(agent.workspace.path().join("portcullis.xml")).expect("the report");
    assert!(junit.contains("PORTCULLIS-TEST-0001") && junit.contains("<failure"), "{junit}");

    agent.build(alpine_image("good", FIXED));
    for stage in ["Check", "Push", "Sign", "Wait for the release", "Deploy"] {
        agent.run(stage).succeeded(stage);
    }
    let deployed = fs::read_to_string(agent.workspace.path().join("deployed")).expect("it was deployed");
    let digest = deployed.split_once('@').expect("by digest").1;
    let answer = gateway.caller("consumer").get(&format!("/v2/team-a/app/manifests/{digest}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn waiting_ends_with_the_reasons_when_nobody_signs() {
    let gateway = TestGateway::strict();
    let image = alpine_image("unsigned", FIXED).build();
    let pushed = tests::test_gateway::push(&gateway.caller("builder"), "team-a/app", "1.0", &image);
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let reference = gateway.reference(&format!("team-a/app@{}", image.manifest.digest));
    let waited = gateway.command(&["wait", &reference, "--timeout", "1s"]);
    assert_eq!(waited.code, 1, "{}", waited.shown);
    waited.failed_showing("portcullis wait", &["signature"]);
}
