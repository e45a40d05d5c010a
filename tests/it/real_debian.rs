//! Roots that Debian's tools made of Debian's packages: what is listed is what dpkg itself lists, on both sides and in
//! every layer.

use std::fs;
use std::path::{Path, PathBuf};

use tests::clients::{self, Outcome, find_or_skip};
use tests::debian_root::{self, Suite};
use tests::inventory::{self, Inventory, Scan, assert_equal};

/// What no release of Debian is sure to have, as packages made here: a rebuild whose version is not its source's, one name
/// in two architectures, one that is only unpacked, one of which the configuration stays.
const OWN: [&str; 5] = [
    "Package: own-rebuilt\nVersion: 1:2.0-1+b3\nSource: own (1:2.0-1)\nArchitecture: amd64\n",
    "Package: own-both\nVersion: 3~rc1\nArchitecture: amd64\nMulti-Arch: same\n",
    "Package: own-both\nVersion: 3~rc1\nArchitecture: i386\nMulti-Arch: same\n",
    "Package: own-unpacked\nVersion: 4-1\nSource: own\nArchitecture: all\n",
    "Package: own-removed\nVersion: 5-1\nArchitecture: all\n",
];

/// Packs a package of one file and, for the one that is removed, one piece of configuration.
fn package(folder: &Path, number: usize, control: &str) -> String {
    let tree = folder.join(format!("own{number}"));
    fs::create_dir_all(tree.join("DEBIAN")).expect("a folder");
    fs::create_dir_all(tree.join("etc")).expect("a folder");
    fs::create_dir_all(tree.join(format!("usr/lib/own{number}"))).expect("a folder");
    fs::write(tree.join(format!("usr/lib/own{number}/file")), control).expect("written");
    let control = format!("{control}Maintainer: Tests <tests@example.org>\nDescription: made for a test\n");
    fs::write(tree.join("DEBIAN/control"), control).expect("written");
    fs::write(tree.join(format!("etc/own{number}")), "kept\n").expect("written");
    fs::write(tree.join("DEBIAN/conffiles"), format!("/etc/own{number}\n")).expect("written");
    let (from, to) =
        (tree.display().to_string(), folder.join(format!("own{number}.deb")).display().to_string());
    clients::run(Path::new("dpkg-deb"), &["--build", "--root-owner-group", "-Znone", &from, &to], |_| {})
        .succeeded("dpkg-deb");
    to
}

fn dpkg(root: &Path, arguments: &[&str]) -> Outcome {
    let root = format!("--root={}", root.display());
    let all = [&[&*root, "--force-unsafe-io", "--force-bad-path"], arguments].concat();
    clients::run(Path::new("dpkg"), &all, |command| {
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    })
}

/// What dpkg says is there; of a package in one of these two states only the name and the configuration are.
fn dpkg_lists(root: &Path) -> Inventory {
    let folder = format!("--admindir={}", root.join("var/lib/dpkg").display());
    let format =
        "${db:Status-Status} ${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\\n";
    let listed = clients::run(Path::new("dpkg-query"), &[&folder, "-W", "-f", format], |_| {});
    let listed = listed.succeeded("dpkg-query").stdout;
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    let installed = pairs.filter(|(state, _)| !matches!(*state, "not-installed" | "config-files"));
    installed.map(|(_, line)| line.to_owned()).collect()
}

fn check_root(test: &str, suite: Suite) {
    if find_or_skip(test, "dpkg-deb").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(root) = debian_root::unpacked_or_skip(test, suite, folder.path()) else { return };
    let own: Vec<String> =
        OWN.iter().enumerate().map(|(number, control)| package(folder.path(), number, control)).collect();
    dpkg(&root, &["--add-architecture", "i386"]).succeeded("dpkg --add-architecture");
    dpkg(&root, &["--install", &own[0], &own[1], &own[2], &own[4]]).succeeded("dpkg --install");
    dpkg(&root, &["--unpack", &own[3]]).succeeded("dpkg --unpack");
    dpkg(&root, &["--remove", "own-removed", "adduser"]).succeeded("dpkg --remove");

    let expected = dpkg_lists(&root);
    for line in ["own-rebuilt 1:2.0-1+b3 amd64 own 1:2.0-1", "own-both 3~rc1 i386 own-both 3~rc1"] {
        assert!(expected.contains(line), "dpkg does not list `{line}`: {expected:?}");
    }
    let scan = Scan::of(&format!("dir:{}", root.display()));
    let listed = scan.packages("deb", inventory::with_source);
    assert_equal(&format!("dpkg-query of {}", suite.name()), &listed, &expected);
    assert!(!listed.iter().any(|line| line.starts_with("own-removed") || line.starts_with("adduser ")));
    assert_eq!(scan.unknown(), Vec::<&serde_json::Value>::new(), "a root as Debian makes it is known");
    assert_eq!(scan.report()["distribution"]["id"], "debian");
}

#[test]
fn what_dpkg_lists_in_bookworm_is_what_is_listed() {
    check_root("what_dpkg_lists_in_bookworm_is_what_is_listed", Suite::Bookworm);
}

#[test]
fn what_dpkg_lists_in_trixie_is_what_is_listed() {
    check_root("what_dpkg_lists_in_trixie_is_what_is_listed", Suite::Trixie);
}

/// buildah with storage of its own.
struct Buildah {
    program: PathBuf,
    folder: PathBuf,
}

impl Buildah {
    fn run(&self, arguments: &[&str]) -> String {
        let place = |name: &str| self.folder.join(name).display().to_string();
        let (root, state) = (place("storage"), place("state"));
        let storage = ["--root", &root, "--runroot", &state, "--storage-driver", "vfs"];
        let all = [&storage, arguments].concat();
        let outcome = clients::run_within(300, &self.program, &all, |command| {
            command.env("HOME", &self.folder).env("XDG_RUNTIME_DIR", &self.folder);
            command.env("TMPDIR", &self.folder);
        });
        outcome.succeeded(&format!("buildah {}", arguments[0])).stdout.trim().to_owned()
    }

    /// A layer on top of an image: copies packages in, runs each command, takes the packages out again.
    fn layer(&self, base: &str, name: &str, packages: &[&str], commands: &[&[&str]]) {
        let container = self.run(&["from", "--pull-never", base]);
        for package in packages {
            self.run(&["copy", "--quiet", &container, package, "/var/tmp/"]);
        }
        for command in commands {
            self.run(&[&["run", "--isolation", "chroot", &container, "--"], *command].concat());
        }
        self.run(&["run", "--isolation", "chroot", &container, "--", "sh", "-c", "rm -f /var/tmp/*.deb"]);
        self.run(&["commit", "--quiet", "--rm", &container, name]);
    }
}

#[test]
fn of_layers_that_buildah_made_the_list_is_that_of_the_top() {
    let test = "of_layers_that_buildah_made_the_list_is_that_of_the_top";
    let Some(program) = find_or_skip(test, "buildah") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(archive) = debian_root::archive_or_skip(test, Suite::Forky) else { return };
    let buildah = Buildah { program, folder: folder.path().to_owned() };
    let (old, new) =
        ("Package: own\nVersion: 1.0-1\n", "Package: own\nVersion: 1.0-2+b1\nSource: own (1.0-2)\n");
    let old = package(folder.path(), 0, &format!("{old}Architecture: amd64\n"));
    let new = package(folder.path(), 1, &format!("{new}Architecture: amd64\nReplaces: own (<< 1.0-2)\n"));

    let container = buildah.run(&["from", "scratch"]);
    buildah.run(&["add", "--quiet", &container, &archive.display().to_string(), "/"]);
    buildah.run(&["commit", "--quiet", "--rm", &container, "base"]);
    buildah.layer("localhost/base", "middle", &[&old], &[&["dpkg", "--install", "/var/tmp/own0.deb"]]);
    let upgrade: [&[&str]; 2] =
        [&["dpkg", "--install", "/var/tmp/own1.deb"], &["dpkg", "--purge", "adduser"]];
    buildah.layer("localhost/middle", "top", &[&new], &upgrade);

    let layout = folder.path().join("layout").display().to_string();
    buildah.run(&["push", "--quiet", "localhost/top", &format!("oci:{layout}:top")]);
    let top = buildah.run(&["from", "--pull-never", "localhost/top"]);
    let expected = dpkg_lists(Path::new(&buildah.run(&["mount", &top])));
    assert!(expected.contains("own 1.0-2+b1 amd64 own 1.0-2"), "{expected:?}");

    let scan = Scan::of(&format!("oci:{layout}"));
    assert_equal("dpkg-query of the top", &scan.packages("deb", inventory::with_source), &expected);
    assert_eq!(scan.report()["layers"].as_array().map(Vec::len), Some(3), "a layer a commit");
    let origin = |name: &str| {
        let packages = scan.report()["packages"].as_array().expect("a list").iter();
        packages
            .filter(|found| found["package"]["name"] == name)
            .map(|found| found["layer"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(origin("own"), [2], "the upgrade came with the last layer");
    assert_eq!(origin("dpkg"), [0], "what was not touched came with the first");
    assert_eq!(origin("adduser"), Vec::<serde_json::Value>::new());
    assert_eq!(scan.unknown(), Vec::<&serde_json::Value>::new(), "nothing was hidden");
}
