//! The arrows between the crates hold, and the documents name only files that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tests::test_gateway::workspace;

/// What only the gateway may use: the network, the disk through async runtimes, the command line.
const GATEWAY_ONLY: &[&str] = &[
    "anyhow",
    "axum",
    "clap",
    "hyper",
    "oci-distribution",
    "reqwest",
    "rusqlite",
    "tokio",
    "tower",
    "tracing",
];
/// What the pure crates may not say in code: the clock, the environment, the disk.
const NOT_IN_PURE_CRATES: &[&str] =
    &["SystemTime::now", "Instant::now", "std::env", "std::fs", "std::net", "std::process", "File::open"];

fn dependencies(krate: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(workspace().join(krate).join("Cargo.toml")).expect("a manifest");
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let name =
        |line: &str| line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()).map(str::to_owned);
    section.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file without comments and without the test module at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn arrows_point_from_the_gateway_to_the_pure_crates_and_nowhere_else() {
    let forbidden = |krate: &str, names: &[&str]| {
        let has = dependencies(krate);
        let wrong: Vec<_> = names.iter().filter(|name| has.contains(**name)).collect();
        assert!(wrong.is_empty(), "{krate} depends on {wrong:?}");
    };
    for (krate, others) in [
        ("scanner", ["gateway", "keys", "mapped"]),
        ("keys", ["gateway", "scanner", "mapped"]),
        ("mapped", ["gateway", "scanner", "keys"]),
    ] {
        forbidden(krate, &others);
        forbidden(krate, GATEWAY_ONLY);
    }
}

#[test]
fn pure_crates_read_no_clock_environment_disk_or_network() {
    for krate in ["scanner", "keys"] {
        for file in sources(&workspace().join(krate).join("src")) {
            if file.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let code = code(&file);
            for word in NOT_IN_PURE_CRATES {
                assert!(!code.contains(word), "{} says `{word}`", file.display());
            }
        }
    }
}

#[test]
fn only_the_mapped_crate_holds_unsafe_code() {
    for krate in ["gateway", "keys", "scanner", "tests"] {
        let manifest = fs::read_to_string(workspace().join(krate).join("Cargo.toml")).expect("a manifest");
        let forbids = manifest.contains("workspace = true\n") && manifest.contains("[lints]")
            || manifest.contains("unsafe_code = \"forbid\"");
        assert!(forbids, "{krate} does not forbid unsafe code");
    }
}

#[test]
fn no_module_is_called_mod() {
    for krate in ["gateway", "keys", "mapped", "scanner", "tests"] {
        for file in sources(&workspace().join(krate)) {
            assert!(!file.ends_with("mod.rs"), "{} should be named after its module", file.display());
        }
    }
}

#[test]
fn documents_name_files_that_exist() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let Ok(text) = fs::read_to_string(workspace().join(document)) else { continue };
        for word in text.split('`').skip(1).step_by(2) {
            let crates = [
                "gateway/",
                "scanner/",
                "keys/",
                "mapped/",
                "tests/",
                "fuzz/",
                "ci-examples/",
                "scripts/",
                "docs/",
            ];
            let is_path = crates.iter().any(|krate| word.starts_with(krate))
                && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            if is_path {
                assert!(workspace().join(word).exists(), "{document} names `{word}`, which does not exist");
            }
        }
    }
}
