//! Door three in a real Docker Engine: with the plug-in it runs what was released, by digest, and nothing else.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tests::clients::skip;
use tests::docker_engine::DockerEngine;
use tests::image_builder::alpine_image;
use tests::test_gateway::{FIXED, TestGateway, portcullis, push};

/// The plug-in's process, ended with the test.
struct Plugin {
    process: Child,
    socket: PathBuf,
}

impl Plugin {
    /// Starts it where engines look for plug-ins; that folder is root's.
    fn start_or_skip(test: &str, gateway: &TestGateway, name: &str) -> Option<Self> {
        let socket = Path::new("/run/docker/plugins").join(format!("{name}.sock"));
        let process = Command::new(portcullis())
            .args(["docker-plugin", "--gateway", &format!("http://{}", gateway.address), "--socket"])
            .arg(&socket)
            .stderr(Stdio::null())
            .spawn()
            .expect("portcullis starts");
        let mut plugin = Self { process, socket };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !plugin.socket.exists() {
            let ended = plugin.process.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > deadline {
                skip(test, "no plug-in socket can be made in /run/docker/plugins (it needs root)");
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(plugin)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[test]
fn an_engine_with_the_plug_in_runs_only_what_was_released() {
    let test = "an_engine_with_the_plug_in_runs_only_what_was_released";
    let gateway = TestGateway::strict();
    let name = format!("portcullis-test-{}", std::process::id());
    let Some(plugin) = Plugin::start_or_skip(test, &gateway, &name) else { return };
    let arguments = ["--authorization-plugin", name.as_str()];
    let Some(engine) = DockerEngine::start_or_skip(test, &arguments) else { return };
    let consumer = gateway.docker_config("consumer");

    let image = alpine_image("hello behind the plug-in", FIXED).build();
    let answer = push(&gateway.caller("builder"), "team-a/app", "1.0", &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let tag = gateway.reference("team-a/app:1.0");
    let digest = gateway.reference(&format!("team-a/app@{}", image.manifest.digest));
    let denied = "authorization denied by plugin";
    let pulled = engine.docker_as(&consumer, &["pull", &digest]);
    pulled.failed_showing("docker pull of a staged image", &[denied, "signature"]);

    let config = gateway.docker_config("signer");
    let signed = gateway.command_with(&["sign", &digest, "--key", "release.key"], |command| {
        command.env("DOCKER_CONFIG", &config);
    });
    signed.succeeded("portcullis sign");
    engine.docker_as(&consumer, &["pull", &digest]).succeeded("docker pull by digest");
    engine.docker_as(&consumer, &["pull", &tag]).succeeded("docker pull by tag");
    let ran = engine.docker(&["run", "--rm", "--network", "none", &digest]).succeeded("docker run by digest");
    assert_eq!(ran.stdout.trim(), "hello behind the plug-in");

    let run = |arguments: &[&str], words: &[&str]| {
        engine.docker(arguments).failed_showing(&arguments.join(" "), words);
    };
    run(&["create", &tag], &[denied, "has no digest"]);
    run(&["create", "--privileged", &digest], &[denied, "privileged"]);
    run(&["create", "--security-opt", "apparmor=unconfined", &digest], &[denied]);
    run(&["tag", &digest, "other:1"], &[denied, "--allow-local-images"]);
    run(&["import", "/dev/null", "other:1"], &[denied]);
    drop(plugin);
}
