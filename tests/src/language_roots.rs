//! Folders into which npm and pip installed real packages, once for all tests of a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::clients::{self, skip};

/// Deep trees, scoped names, one name in many versions, packages that bring others in their own archive, and others under
/// another name than theirs.
const NPM: [&str; 9] = [
    "express@4.18.2",
    "eslint@8.56.0",
    "@babel/core@7.23.9",
    "@types/node@20.11.17",
    "chalk@5.3.0",
    "npm@9.9.2",
    "react-dom@18.2.0",
    "lodash-four@npm:lodash@4.17.21",
    "lodash@3.10.1",
];

/// Names in each spelling, compiled ones, one with a namespace, and one that comes as source alone.
pub const PYPI: [&str; 17] = [
    "requests==2.31.0",
    "urllib3==2.0.7",
    "charset-normalizer==3.3.2",
    "idna==3.6",
    "certifi==2024.2.2",
    "Flask==3.0.2",
    "Werkzeug==3.0.1",
    "Jinja2==3.1.3",
    "MarkupSafe==2.1.5",
    "itsdangerous==2.1.2",
    "PyYAML==6.0.1",
    "cffi==1.16.0",
    "pycparser==2.21",
    "zope.interface==6.2",
    "ruamel.yaml==0.18.6",
    "setuptools==69.0.3",
    "docopt==0.6.2",
];

/// Where in the root the application lies whose packages npm installs.
pub const NPM_FOLDER: &str = "app";
/// Where in the root pip installs.
pub const PYPI_FOLDER: &str = "usr/local/lib/python3/site-packages";

/// Registries may be slow.
const SECONDS_MAX: u32 = 300;

type Made = Result<PathBuf, String>;

/// A root with an application and the packages that npm installed for it, or a `SKIPPED` line.
///
/// Roots stay where cargo keeps what it builds, and are made anew in each run.
#[must_use]
pub fn npm_or_skip(test: &str) -> Option<PathBuf> {
    static MADE: OnceLock<Made> = OnceLock::new();
    let make = || {
        let (root, app) = folders("npm", NPM_FOLDER)?;
        let described = r#"{"name":"app","version":"1.0.0","private":true}"#;
        fs::write(app.join("package.json"), described).map_err(|error| error.to_string())?;
        let arguments = [&["install", "--ignore-scripts", "--no-audit", "--no-fund"][..], &NPM].concat();
        install("npm", &arguments, &app).map(|()| root)
    };
    MADE.get_or_init(make).as_ref().map_err(|problem| skip(test, problem)).ok().cloned()
}

/// A root with the distributions that pip installed, or a `SKIPPED` line.
#[must_use]
pub fn pypi_or_skip(test: &str) -> Option<PathBuf> {
    static MADE: OnceLock<Made> = OnceLock::new();
    let make = || {
        let (root, place) = folders("pypi", PYPI_FOLDER)?;
        let to = place.display().to_string();
        let before = ["install", "--quiet", "--no-deps", "--no-compile", "--target", &to];
        install("pip3", &[&before[..], &PYPI].concat(), &root).map(|()| root)
    };
    MADE.get_or_init(make).as_ref().map_err(|problem| skip(test, problem)).ok().cloned()
}

fn folders(name: &str, inside: &str) -> Result<(PathBuf, PathBuf), String> {
    let root = place_of_roots().join(name);
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|error| error.to_string())?;
    }
    let folder = root.join(inside);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok((root, folder))
}

/// Beside the programs that cargo built for the tests.
pub(crate) fn place_of_roots() -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    this.ancestors().nth(2).unwrap_or(&this).join("real-roots")
}

fn install(client: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let program = clients::find(client)
        .ok_or_else(|| format!("client `{client}` is not here; run scripts/clients.sh"))?;
    let outcome = clients::run_within(SECONDS_MAX, &program, arguments, |command| {
        command.current_dir(folder);
    });
    if outcome.code == 0 {
        return Ok(());
    }
    Err(format!("{client} could not install: {}", outcome.last_line()))
}
