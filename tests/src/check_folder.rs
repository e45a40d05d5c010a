//! A folder in which `portcullis check` and its relatives are run: a policy, advisories, images, all under short relative
//! names, so that what is printed is the same on every machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::clients::{self, Outcome};
use crate::image_builder::{ImageBuilder, media_type};
use crate::test_gateway::portcullis;

/// Nothing high, no secrets; what is unknown is told by the scan.
pub const POLICY: &str = r#"
[[rule]]
name = "team"
images = ["**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = ["high"], unknown = "accept-unsafe", end-of-life = "off", max-advisory-age = "3650d" }
"#;

/// The name that images are judged under.
pub const NAME: &str = "registry.example/team/app:1";

/// See the module.
pub struct CheckFolder(tempfile::TempDir);

impl CheckFolder {
    /// A folder with a policy, and advisories compiled by the command that compiles them.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(policy: &str, advisories: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        folder.write("policy.toml", policy.as_bytes());
        fs::create_dir(folder.path().join("feed")).expect("the folder is made");
        for (name, text) in advisories {
            folder.write(&format!("feed/{name}"), text.as_bytes());
        }
        folder
            .run(&["advisories", "build", "--from", "feed", "--out", "advisories.bin", "--quiet"])
            .succeeded("advisories build");
        folder
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).expect("the file is written");
    }

    /// Reads a file that a command wrote.
    ///
    /// # Panics
    /// When it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("the file is there")
    }

    /// Writes an image as an OCI layout; `oci:NAME` names it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn image(&self, name: &str, image: ImageBuilder) {
        let image = image.build();
        assert_eq!(image.manifest.media_type, media_type::MANIFEST, "a layout holds OCI manifests");
        image.write_oci_layout(&self.path().join(name), "build").expect("the layout is written");
    }

    /// Runs `portcullis` here.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, |_| {})
    }

    /// The same in an environment of the test's own.
    pub fn run_with(&self, arguments: &[&str], configure: impl FnOnce(&mut Command)) -> Outcome {
        clients::run(&portcullis(), arguments, |command| {
            command.current_dir(self.path());
            for variable in ["SOURCE_DATE_EPOCH", "DOCKER_HOST", "CONTAINER_HOST", "CONTAINERD_NAMESPACE"] {
                command.env_remove(variable);
            }
            configure(command);
        })
    }

    /// `portcullis check` with the folder's policy and advisories.
    pub fn check(&self, image: &str, more: &[&str]) -> Outcome {
        self.check_with(image, more, |_| {})
    }

    /// The same in an environment of the test's own.
    pub fn check_with(&self, image: &str, more: &[&str], configure: impl FnOnce(&mut Command)) -> Outcome {
        let usual = ["--as", NAME, "--policy", "policy.toml", "--advisories", "advisories.bin"];
        self.run_with(&[&["check", image], &usual[..], more].concat(), configure)
    }
}
