//! Finds recorded data for tests, which is not part of the repository.

use std::path::{Path, PathBuf};

/// A file of the recorded data, or `None` after saying loudly that `test` is skipped.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where the recorded data lies"
)]
pub(crate) fn recorded(test: &str, path: &str) -> Option<PathBuf> {
    let data = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let found = data.join(path);
    if found.exists() {
        return Some(found);
    }
    println!("SKIPPED: {test}: no recorded data at `{}`", found.display());
    None
}
