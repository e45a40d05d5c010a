//! Finds real clients and runs them; a client that is not there is said aloud, never passed over in silence.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where a client is: the cache that `scripts/clients.sh` fills, else the system's path.
pub fn find(client: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("PORTCULLIS_CLIENTS")
        .map_or_else(|| home.join(".cache/portcullis-clients"), PathBuf::from)
        .join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    let folders = std::iter::once(cache).chain(std::env::split_paths(&path)).chain(system);
    folders.map(|folder| folder.join(client)).find(|file| file.is_file())
}

/// The client, or a `SKIPPED` line that says why the test did not run.
#[must_use]
pub fn find_or_skip(test: &str, client: &str) -> Option<PathBuf> {
    let found = find(client);
    if found.is_none() {
        skip(test, &format!("client `{client}` is not here; run scripts/clients.sh"));
    }
    found
}

/// Says that a test did not run. `scripts/test.sh` collects these lines.
pub fn skip(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
    // The harness swallows the output of tests that pass; the summary needs these lines all the same.
    if let Some(file) = std::env::var_os("PORTCULLIS_SKIPPED") {
        use std::io::Write as _;
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let _ = opened.and_then(|mut file| writeln!(file, "SKIPPED: {test}: {reason}"));
    }
}

/// A client's end: its status and everything it printed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code, `-1` when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard output, then standard error: what a person at the terminal sees.
    pub shown: String,
}

impl Outcome {
    fn new(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        Self { code: output.status.code().unwrap_or(-1), stdout, shown }
    }

    /// The last line that it printed: why it failed, mostly.
    pub fn last_line(&self) -> &str {
        let mut lines = self.shown.lines().rev().map(str::trim);
        lines.find(|line| !line.is_empty()).unwrap_or("it printed nothing")
    }

    /// Asserts success.
    ///
    /// # Panics
    /// When it failed, with what it printed.
    #[track_caller]
    pub fn succeeded(self, what: &str) -> Self {
        assert_eq!(self.code, 0, "{what} failed:\n{}", self.shown);
        self
    }

    /// Asserts failure, and that the person at the terminal was shown each of `words`.
    ///
    /// # Panics
    /// When it succeeded, or a word is missing.
    #[track_caller]
    pub fn failed_showing(self, what: &str, words: &[&str]) -> Self {
        assert_ne!(self.code, 0, "{what} succeeded:\n{}", self.shown);
        for word in words {
            assert!(self.shown.contains(word), "{what} does not show `{word}`:\n{}", self.shown);
        }
        self
    }
}

/// Runs a command to its end under a time limit of two minutes.
///
/// # Panics
/// When it cannot be started.
pub fn run(program: &Path, arguments: &[&str], configure: impl FnOnce(&mut Command)) -> Outcome {
    run_within(120, program, arguments, configure)
}

/// The same under another limit: installing from a mirror takes as long as the mirror.
///
/// # Panics
/// When it cannot be started.
pub fn run_within(
    seconds: u32,
    program: &Path,
    arguments: &[&str],
    configure: impl FnOnce(&mut Command),
) -> Outcome {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).arg(program).args(arguments);
    configure(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    Outcome::new(&output)
}

/// A file of the recorded data, which is no part of the repository, or a `SKIPPED` line.
#[must_use]
pub fn recorded_or_skip(test: &str, path: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("PORTCULLIS_TEST_DATA").map_or_else(beside, PathBuf::from);
    let found = data.join(path);
    if !found.exists() {
        skip(test, &format!("no recorded data at `{}`", found.display()));
        return None;
    }
    Some(found)
}
