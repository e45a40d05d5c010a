//! Debian root file systems made by Debian's own tools, once for all tests of a run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::clients::{self, Outcome, skip};
use crate::language_roots::place_of_roots;

/// Releases of Debian that roots are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// What becomes Debian 14.
    Forky,
}

impl Suite {
    /// As the mirror calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }
}

/// Packages that are essential, and one with configuration files that can be removed.
const REMOVABLE: &str = "adduser";
/// Making a root takes half a minute; a busy machine with a slow mirror must not fail the tests.
const SECONDS_MAX: u32 = 400;
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

type Made = Result<PathBuf, String>;
static MADE: [OnceLock<Made>; 3] = [const { OnceLock::new() }; 3];

/// A tar archive of a root with Debian's essential packages and `adduser`, or a `SKIPPED` line.
///
/// The archive stays where cargo keeps what it builds, and is made anew in each run.
#[must_use]
pub fn archive_or_skip(test: &str, suite: Suite) -> Option<PathBuf> {
    let made = MADE[suite as usize].get_or_init(|| make(suite));
    made.as_ref().map_err(|problem| skip(test, problem)).ok().cloned()
}

/// The same, unpacked into a folder of the test.
#[must_use]
pub fn unpacked_or_skip(test: &str, suite: Suite, folder: &Path) -> Option<PathBuf> {
    let archive = archive_or_skip(test, suite)?;
    let root = folder.join(suite.name());
    fs::create_dir(&root).expect("a folder for the root");
    let (archive, place) = (archive.display().to_string(), root.display().to_string());
    let arguments = ["--numeric-owner", "-xf", &archive, "-C", &place];
    clients::run(Path::new("tar"), &arguments, |_| {}).succeeded("tar");
    Some(root)
}

fn make(suite: Suite) -> Made {
    if !is_root() {
        return Err("root file systems are made by root alone".to_owned());
    }
    let mirror = mirror().ok_or("apt names no mirror of Debian here")?;
    let folder = place_of_roots();
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let archive = folder.join(format!("{}.tar", suite.name()));
    if let Some(mmdebstrap) = clients::find("mmdebstrap") {
        return by_mmdebstrap(&mmdebstrap, suite, &mirror, &archive);
    }
    let debootstrap =
        clients::find("debootstrap").ok_or("neither mmdebstrap nor debootstrap; run scripts/clients.sh")?;
    by_debootstrap(&debootstrap, suite, &mirror, &archive)
}

fn by_mmdebstrap(program: &Path, suite: Suite, mirror: &str, archive: &Path) -> Made {
    let name = suite.name();
    let source = format!("deb [signed-by={KEYRING}] {mirror} {name} main");
    let (include, place) = (format!("--include={REMOVABLE}"), archive.display().to_string());
    // Signatures are checked as always; mirrors that are snapshots have lists that are older than those allow.
    let arguments = [
        "--quiet",
        "--mode=root",
        "--variant=essential",
        "--format=tar",
        "--aptopt=Acquire::Check-Valid-Until \"false\"",
        "--aptopt=Acquire::Languages \"none\"",
        "--dpkgopt=force-unsafe-io",
        &include,
        name,
        &place,
        &source,
    ];
    let outcome = clients::run_within(SECONDS_MAX, program, &arguments, |_| {});
    made(&outcome, "mmdebstrap", archive)
}

fn by_debootstrap(program: &Path, suite: Suite, mirror: &str, archive: &Path) -> Made {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = folder.path().display().to_string();
    let (keyring, include) = (format!("--keyring={KEYRING}"), format!("--include={REMOVABLE}"));
    let arguments = ["--variant=minbase", &keyring, &include, suite.name(), &place, mirror];
    let outcome = clients::run_within(SECONDS_MAX, program, &arguments, |_| {});
    if outcome.code == 0 {
        let target = archive.display().to_string();
        clients::run(Path::new("tar"), &["--numeric-owner", "-cf", &target, "-C", &place, "."], |_| {})
            .succeeded("tar");
    }
    made(&outcome, "debootstrap", archive)
}

fn made(outcome: &Outcome, tool: &str, archive: &Path) -> Made {
    let whole = File::open(archive).and_then(|file| file.metadata()).is_ok_and(|file| file.len() > 1 << 20);
    if outcome.code == 0 && whole {
        return Ok(archive.to_owned());
    }
    Err(format!("{tool} made no root: {}", outcome.last_line()))
}

fn is_root() -> bool {
    clients::run(Path::new("id"), &["-u"], |_| {}).stdout.trim() == "0"
}

/// The mirror that this system's own apt is set up with.
fn mirror() -> Option<String> {
    let apt = clients::find("apt-get")?;
    let arguments = ["indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"];
    let listed = clients::run(&apt, &arguments, |_| {});
    let mut pairs = listed.stdout.lines().filter_map(|line| line.split_once(' '));
    let main = pairs.find(|(site, release)| {
        site.trim_end_matches('/').ends_with("debian") && !release.ends_with("-security")
    });
    main.map(|(site, _)| site.to_owned())
}
