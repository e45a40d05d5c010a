//! Roots that rpm and dnf made of packages that rpmbuild built: what is listed is what rpm itself lists.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::clients::{self, Outcome, find_or_skip};
use tests::inventory::{Inventory, Scan, assert_equal, text};

/// An epoch, a package without an architecture, one with a version and an epoch that are not its source's.
const GREETER: &str = "Name: greeter
Epoch: 2
Version: @VERSION@
Release: 3.el9
Summary: Greets
License: MIT
Vendor: Example
%description
x
%package libs
Summary: x
%description libs
x
%package doc
Summary: x
BuildArch: noarch
%description doc
x
%package tools
Summary: x
Epoch: 5
Version: 7.0~rc1
Release: 1^git5.el9
%description tools
x
%install
mkdir -p %{buildroot}/usr/lib/greeter %{buildroot}/usr/share/greeter
touch %{buildroot}/usr/lib/greeter/lib %{buildroot}/usr/share/greeter/doc
%files
%files libs
/usr/lib/greeter
%files doc
/usr/share/greeter
%files tools
";
/// A module's package, without an epoch; and so many files that its header fills many pages of a database.
const MODULE: &str = "Name: streamed
Version: 16.20.2
Release: 4.module+el9
Summary: Of a module
License: MIT
BuildArch: noarch
ModularityLabel: streams:16:9020020231012:abcdef12
%description
x
%install
mkdir -p %{buildroot}/usr/share/streamed
seq -f '%{buildroot}/usr/share/streamed/a-file-of-some-length-%06.0f' 4000 | xargs touch
%files
/usr/share/streamed
";
/// Enough packages that no database fits one page.
const MANY: usize = 60;

const OS_RELEASE: &str = "ID=rocky\nVERSION_ID=9.3\nPLATFORM_ID=platform:el9\n";

/// A folder to build in, with rpm told where databases lie: Debian's rpm looks for them in the home of whoever asks.
struct Workshop {
    folder: tempfile::TempDir,
    database: &'static str,
}

impl Workshop {
    fn new(database: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(".rpmmacros"), format!("%_dbpath /{database}\n")).expect("written");
        Self { folder, database }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Outcome {
        clients::run(program, arguments, |command| {
            command.env("HOME", self.folder.path()).env("LC_ALL", "C").current_dir(self.folder.path());
        })
    }

    /// The packages of a specification.
    fn build(&self, rpmbuild: &Path, name: &str, specification: &str) -> Vec<String> {
        let file = self.path(&format!("{name}.spec"));
        fs::write(&file, specification).expect("written");
        let place = self.path(name).display().to_string();
        let top = format!("_topdir {place}");
        self.run(rpmbuild, &["-bb", "--quiet", "--define", &top, &file.display().to_string()])
            .succeeded("rpmbuild");
        let found = self.run(Path::new("find"), &[&place, "-name", "*.rpm"]).succeeded("find").stdout;
        found.lines().map(str::to_owned).collect()
    }

    fn root(&self) -> PathBuf {
        let root = self.path("root");
        fs::create_dir_all(root.join("etc")).expect("a folder");
        fs::write(root.join("etc/os-release"), OS_RELEASE).expect("written");
        root
    }

    /// What rpm lists: name, version, architecture, file of the source package, module.
    fn listed(&self, rpm: &Path, backend: &str) -> Inventory {
        let root = self.path("root").display().to_string();
        let version = "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}";
        let format = format!(
            "%{{NAME}} {version} %{{ARCH}} %{{SOURCERPM}} %|MODULARITYLABEL?{{%{{MODULARITYLABEL}}}}|\\n"
        );
        let backend = format!("_db_backend {backend}");
        let all = self.run(rpm, &["--root", &root, "--define", &backend, "-qa", "--qf", &format]);
        // Of a module's label, name and stream are what advisories are for.
        let line = |line: &str| {
            let (package, label) = line.rsplit_once(' ').expect("words");
            let stream: Vec<&str> = label.split(':').take(2).collect();
            format!("{package} {}", stream.join(":"))
        };
        all.succeeded("rpm -qa").stdout.lines().map(line).collect()
    }

    fn scan(&self) -> Scan {
        Scan::of(&format!("dir:{}", self.path("root").display()))
    }

    fn database_is_there(&self, file: &str) {
        let place = self.path("root").join(self.database).join(file);
        assert!(place.is_file(), "no {}", place.display());
    }
}

/// As [`Workshop::listed`]. Of its source a package tells the file alone, which has no epoch.
fn ours(scan: &Scan) -> Inventory {
    scan.packages("rpm", |package, _| {
        let source = &package["source"];
        let version = text(source, "version");
        let version = version.split_once(':').map_or(version, |(_, version)| version);
        let (name, own, architecture) =
            (text(package, "name"), text(package, "version"), text(package, "architecture"));
        let file = format!("{}-{version}.src.rpm", text(source, "name"));
        format!("{name} {own} {architecture} {file} {}", text(package, "module"))
    })
}

fn many() -> String {
    let mut specification =
        "Name: many\nVersion: 1\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n\
                             %description\nx\n"
            .to_owned();
    for number in 0..MANY {
        let _ = write!(
            specification,
            "%package -n many{number}\nSummary: x\nVersion: {number}.1\n%description -n many{number}\nx\n%files -n many{number}\n"
        );
    }
    specification
}

/// Installs with rpm into a database of one format, and takes one package out again.
fn check_format(test: &str, rpm: &str, backend: &str, file: &str) {
    let (Some(rpmbuild), Some(rpm)) = (find_or_skip(test, "rpmbuild"), find_or_skip(test, rpm)) else {
        return;
    };
    let workshop = Workshop::new("usr/lib/sysimage/rpm");
    let built = [
        workshop.build(&rpmbuild, "greeter", &GREETER.replace("@VERSION@", "1.4.2")),
        workshop.build(&rpmbuild, "streamed", MODULE),
        workshop.build(&rpmbuild, "many", &many()),
    ];
    let root = workshop.root().display().to_string();
    let define = format!("_db_backend {backend}");
    let change = |arguments: &[&str]| {
        let before = ["--root", &root, "--define", &define, "--nodeps", "--noscripts"];
        workshop.run(&rpm, &[&before, arguments].concat()).succeeded("rpm")
    };
    let files: Vec<&str> = built.iter().flatten().map(String::as_str).collect();
    assert_eq!(files.len(), 4 + 1 + MANY, "{files:?}");
    change(&[&["--install"], &files[..]].concat());
    change(&["--erase", "greeter-libs", "many7"]);
    workshop.database_is_there(file);

    let expected = workshop.listed(&rpm, backend);
    assert_eq!(expected.len(), files.len() - 2);
    let modular = "streamed 16.20.2-4.module+el9 noarch streamed-16.20.2-4.module+el9.src.rpm streams:16";
    assert!(expected.contains(modular), "{expected:?}");
    let scan = workshop.scan();
    assert_equal(&format!("rpm -qa ({backend})"), &ours(&scan), &expected);
    assert_eq!(scan.unknown(), Vec::<&Value>::new(), "a root as rpm makes it is known");
}

#[test]
fn what_rpm_lists_in_sqlite_is_what_is_listed() {
    check_format("what_rpm_lists_in_sqlite_is_what_is_listed", "rpm", "sqlite", "rpmdb.sqlite");
}

/// Debian 12's rpm writes no such database; that of Debian 13 does.
#[test]
fn what_rpm_lists_in_ndb_is_what_is_listed() {
    check_format("what_rpm_lists_in_ndb_is_what_is_listed", "rpm-ndb", "ndb", "Packages.db");
}

#[test]
fn what_dnf_installed_and_upgraded_is_what_is_listed() {
    let test = "what_dnf_installed_and_upgraded_is_what_is_listed";
    let clients = ["rpmbuild", "rpm", "createrepo_c", "dnf"].map(|client| find_or_skip(test, client));
    let [Some(rpmbuild), Some(rpm), Some(createrepo), Some(dnf)] = clients else { return };
    let workshop = Workshop::new("var/lib/rpm");
    let repository = workshop.path("repository");
    fs::create_dir(&repository).expect("a folder");
    let publish = |version: &str| {
        let built = workshop.build(&rpmbuild, version, &GREETER.replace("@VERSION@", version));
        for file in built {
            let name = Path::new(&file).file_name().expect("a name").to_owned();
            fs::copy(&file, repository.join(name)).expect("copied");
        }
        workshop.run(&createrepo, &["--quiet", &repository.display().to_string()]).succeeded("createrepo_c");
    };
    let root = format!("--installroot={}", workshop.root().display());
    let source = format!("own,file://{}", repository.display());
    let (cache, none) =
        (workshop.path("cache").display().to_string(), workshop.path("none").display().to_string());
    let (cache, none) = (format!("--setopt=cachedir={cache}"), format!("--setopt=reposdir={none}"));
    let change = |arguments: &[&str]| {
        let before =
            ["--quiet", "--assumeyes", "--nogpgcheck", "--releasever=9", "--refresh", &root, &cache, &none];
        let from = ["--setopt=plugins=0", "--repofrompath", &source, "--repo=own"];
        workshop.run(&dnf, &[&before[..], &from, arguments].concat()).succeeded("dnf")
    };
    publish("1.4.2");
    change(&["install", "greeter", "greeter-libs", "greeter-doc", "greeter-tools"]);
    publish("1.10.0");
    change(&["upgrade", "greeter", "greeter-libs"]);
    change(&["remove", "greeter-tools"]);
    workshop.database_is_there("rpmdb.sqlite");

    let expected = workshop.listed(&rpm, "sqlite");
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert!(expected.contains("greeter 2:1.10.0-3.el9 x86_64 greeter-1.10.0-3.el9.src.rpm "), "{expected:?}");
    let scan = workshop.scan();
    assert_equal("rpm -qa after dnf", &ours(&scan), &expected);
    assert_eq!(scan.unknown(), Vec::<&Value>::new(), "a root as dnf makes it is known");
}
