//! A containerd of the test's own: its own data, its own socket, ended with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::clients::{self, Outcome, find_or_skip, skip};
use crate::engine_start;

/// Longest that it may take to answer.
const START: Duration = Duration::from_secs(40);

/// A running containerd.
pub struct Containerd {
    ctr: PathBuf,
    folder: tempfile::TempDir,
    process: Child,
}

impl Containerd {
    /// Starts one, or says why the test is skipped.
    #[must_use]
    pub fn start_or_skip(test: &str) -> Option<Self> {
        let containerd = find_or_skip(test, "containerd")?;
        let ctr = find_or_skip(test, "ctr")?;
        match Self::start(&containerd, ctr) {
            Ok(engine) => Some(engine),
            Err(reason) => {
                skip(test, &format!("no containerd starts here (it needs root): {reason}"));
                None
            }
        }
    }

    fn start(containerd: &Path, ctr: PathBuf) -> Result<Self, String> {
        // The sockets' paths must fit 108 bytes, so the folder has a short name.
        let folder = tempfile::Builder::new().prefix("pc-").tempdir().map_err(|error| error.to_string())?;
        let place = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{}\"\n",
            place("root"),
            place("state"),
            place("s")
        );
        fs::write(folder.path().join("config.toml"), config).map_err(|error| error.to_string())?;
        let log = fs::File::create(folder.path().join("log")).map_err(|error| error.to_string())?;
        let process = Command::new(containerd)
            .arg("--config")
            .arg(folder.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let log = folder.path().join("log");
        let engine = Self { ctr, folder, process };
        engine_start::answers(engine, |it| &mut it.process, &log, START, |it| it.ctr(&["version"]).code == 0)
    }

    /// Its socket.
    pub fn address(&self) -> String {
        self.folder.path().join("s").display().to_string()
    }

    /// Runs `ctr` against it, in the namespace `test`.
    pub fn ctr(&self, arguments: &[&str]) -> Outcome {
        let address = self.address();
        let all = [&["--address", &address, "--namespace", "test"], arguments].concat();
        clients::run(&self.ctr, &all, |_| {})
    }

    /// A scratch folder that ends with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
