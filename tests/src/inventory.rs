//! Inventories that can be compared: what `portcullis check` lists, and what a package manager says of the same bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::check_folder::{CheckFolder, POLICY};

/// One package a line. Which words stand in a line is for both sides of a comparison to agree on.
pub type Inventory = BTreeSet<String>;

/// Advisories of no package that is looked at: inventories are compared, not findings.
const NO_ADVISORIES: (&str, &str) =
    ("alpine.json", r#"{ "distroversion": "v3.20", "reponame": "main", "packages": [] }"#);

/// What `portcullis check` says of an image or a folder.
pub struct Scan(Value);

impl Scan {
    /// Runs it. `image` is as on the command line: `dir:…`, `oci:…`.
    ///
    /// # Panics
    /// When it could not decide.
    pub fn of(image: &str) -> Self {
        let folder = CheckFolder::new(POLICY, &[NO_ADVISORIES]);
        let outcome = folder.check(image, &["--output", "json"]);
        let report: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", outcome.shown));
        let scan = &report["scans"][0]["scan"];
        assert!(scan.is_object(), "no scan of {image}: {}", outcome.shown);
        Self(scan.clone())
    }

    /// The whole scan.
    pub fn report(&self) -> &Value {
        &self.0
    }

    /// The packages of a kind (`deb`, `npm`), a line each; `line` is given the package and the path that lists it.
    pub fn packages(&self, kind: &str, line: impl Fn(&Value, &str) -> String) -> Inventory {
        let packages = self.0["packages"].as_array().expect("a list of packages").iter();
        let of_kind = packages.filter(|found| found["package"]["kind"] == kind);
        of_kind.map(|found| line(&found["package"], found["path"].as_str().expect("a path"))).collect()
    }

    /// What is unknown, but for advisories, which are not loaded here.
    pub fn unknown(&self) -> Vec<&Value> {
        let unknown = self.0["unknown"].as_array().expect("a list of what is unknown").iter();
        unknown.filter(|it| it["what"] != "no-advisories").collect()
    }
}

/// A field of a package; what is not told is empty.
pub fn text<'v>(package: &'v Value, field: &str) -> &'v str {
    package[field].as_str().unwrap_or_default()
}

/// `NAME VERSION`.
pub fn name_and_version(package: &Value, _path: &str) -> String {
    format!("{} {}", text(package, "name"), text(package, "version"))
}

/// `NAME VERSION ARCHITECTURE SOURCE SOURCE-VERSION`.
pub fn with_source(package: &Value, path: &str) -> String {
    let source = &package["source"];
    let (name, version) = (text(source, "name"), text(source, "version"));
    format!("{} {} {name} {version}", name_and_version(package, path), text(package, "architecture"))
}

/// Asserts that both sides list the same, and that there was something to list.
///
/// # Panics
/// When one side lists what the other does not, with every such line.
#[track_caller]
pub fn assert_equal(what: &str, ours: &Inventory, theirs: &Inventory) {
    let mut told = String::new();
    for line in ours.difference(theirs) {
        let _ = writeln!(told, "only portcullis: {line}");
    }
    for line in theirs.difference(ours) {
        let _ = writeln!(told, "only {what}:    {line}");
    }
    assert!(told.is_empty(), "{what} and portcullis differ:\n{told}");
    assert!(!theirs.is_empty(), "{what} lists nothing, so that nothing was compared");
    println!("{what}: {} packages, equal on both sides", theirs.len());
}
