//! podman with storage of the test's own, and its service where a test asks for one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{self, Outcome, find_or_skip, skip};

/// Longest that the service may take to listen.
const START: Duration = Duration::from_secs(40);

/// See the module.
pub struct Podman {
    program: PathBuf,
    folder: tempfile::TempDir,
    service: Option<Child>,
}

impl Podman {
    /// Prepares the storage, or says why the test is skipped.
    #[must_use]
    pub fn start_or_skip(test: &str) -> Option<Self> {
        let program = find_or_skip(test, "podman")?;
        // The socket's path must fit 108 bytes, so the folder has a short name.
        let folder = tempfile::Builder::new().prefix("pp-").tempdir().ok()?;
        let place = |name: &str| folder.path().join(name).display().to_string();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            place("root"),
            place("run")
        );
        fs::write(folder.path().join("storage.conf"), storage).ok()?;
        let podman = Self { program, folder, service: None };
        let answer = podman.run(&["images", "--quiet"]);
        if answer.code != 0 {
            skip(test, &format!("podman does not start here: {}", answer.shown.trim()));
            return None;
        }
        Some(podman)
    }

    /// Runs `podman`.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        clients::run(&self.program, arguments, |command| self.configure(command))
    }

    /// The environment in which podman finds this storage: for whoever calls it on its own.
    pub fn configure(&self, command: &mut Command) {
        let folder = self.folder.path();
        command.env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"));
        command.env("HOME", folder).env("XDG_RUNTIME_DIR", folder).env("TMPDIR", folder);
        command.env_remove("CONTAINER_HOST");
    }

    /// Starts the service; gives what `CONTAINER_HOST` would be.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn serve(&mut self) -> String {
        let socket = self.folder.path().join("s");
        let address = format!("unix://{}", socket.display());
        let mut command = Command::new(&self.program);
        command.args(["system", "service", "--time", "0", &address]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.configure(&mut command);
        self.service = Some(command.spawn().expect("podman starts"));
        let deadline = Instant::now() + START;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "podman's service does not listen");
            thread::sleep(Duration::from_millis(100));
        }
        address
    }

    /// A scratch folder that ends with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ = Command::new("kill").arg(service.id().to_string()).status();
            let _ = service.wait();
        }
    }
}
