//! Where the shared test data lies, and how its case lists are read.

use std::path::{Path, PathBuf};

use keys::sigstore::TrustRoot;
use serde_json::Value;

/// 2026-11-24T12:00:00Z, the `now` of every case made here.
pub(crate) const NOW: i64 = 1_795_521_600;

/// A folder of the test data, or a line that says that it is missing.
#[expect(clippy::disallowed_methods, reason = "a test finds its data by this variable")]
pub(crate) fn folder(test: &str, name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join(name);
    if !folder.is_dir() {
        println!("SKIPPED: {test}: no test data `{name}`");
        return None;
    }
    Some(folder)
}

pub(crate) fn cases(folder: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap()
}

pub(crate) fn root(file: &Path) -> Result<TrustRoot, keys::sigstore::SigstoreError> {
    TrustRoot::parse(&std::fs::read(file).unwrap())
}
