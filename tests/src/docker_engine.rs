//! A Docker Engine of the test's own: its own data, its own socket, no network of its own, ended with the test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{self, Outcome, find, skip};
use crate::engine_start;

/// Longest that the engine may take to answer.
const START: Duration = Duration::from_secs(40);

/// A running engine.
pub struct DockerEngine {
    folder: tempfile::TempDir,
    process: Child,
}

impl DockerEngine {
    /// Starts an engine, or says why the test is skipped. `arguments` are added to its command line.
    #[must_use]
    pub fn start_or_skip(test: &str, arguments: &[&str]) -> Option<Self> {
        let Some(dockerd) = find("dockerd") else {
            skip(test, "client `dockerd` is not here; run scripts/clients.sh");
            return None;
        };
        let mut reasons = Vec::new();
        for driver in ["overlay2", "vfs"] {
            match Self::start(&dockerd, driver, arguments) {
                Ok(engine) => return Some(engine),
                Err(reason) => reasons.push(format!("{driver}: {reason}")),
            }
        }
        skip(test, &format!("no Docker Engine starts here (it needs root): {}", reasons.join("; ")));
        None
    }

    fn start(dockerd: &Path, driver: &str, arguments: &[&str]) -> Result<Self, String> {
        // The socket's path must fit 108 bytes, so the folder has a short name.
        let folder = tempfile::Builder::new().prefix("pd-").tempdir().map_err(|error| error.to_string())?;
        let place = |name: &str| folder.path().join(name);
        let log = fs::File::create(place("log")).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let process = Command::new(dockerd)
            .arg("--data-root")
            .arg(place("data"))
            .arg("--exec-root")
            .arg(place("exec"))
            .arg("--pidfile")
            .arg(place("pid"))
            .arg("--host")
            .arg(format!("unix://{}", place("s").display()))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", driver])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| error.to_string())?;
        let log = folder.path().join("log");
        let engine = Self { folder, process };
        engine_start::answers(
            engine,
            |it| &mut it.process,
            &log,
            START,
            |it| it.docker(&["version", "--format", "{{.Server.Version}}"]).code == 0,
        )
    }

    /// Runs the `docker` client against this engine.
    pub fn docker(&self, arguments: &[&str]) -> Outcome {
        self.docker_as(&self.folder.path().join("nobody"), arguments)
    }

    /// Runs the `docker` client with a configuration folder: somebody's credentials.
    pub fn docker_as(&self, config: &Path, arguments: &[&str]) -> Outcome {
        let host = format!("unix://{}", self.folder.path().join("s").display());
        let config = config.display().to_string();
        let all: Vec<&str> =
            ["--config", &config, "--host", &host].into_iter().chain(arguments.iter().copied()).collect();
        clients::run(Path::new("docker"), &all, |_| {})
    }

    /// A scratch folder that ends with the engine.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        // SIGTERM lets the engine end its containerd and unmount; SIGKILL would leave both behind.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.process.try_wait().ok().flatten().is_none() {
            if Instant::now() > deadline {
                let _ = self.process.kill();
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.wait();
    }
}
