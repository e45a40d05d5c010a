//! Files that a build leaves behind and no program needs: caches, version control, residue. By path alone.

/// What a file is left over from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leftover {
    /// apk's downloads.
    ApkCache,
    /// apt's downloads.
    AptArchives,
    /// apt's lists of what could be installed.
    AptLists,
    /// cargo's registry.
    CargoCache,
    /// Composer's downloads.
    ComposerCache,
    /// conda's packages.
    CondaCache,
    /// dnf's and yum's data and downloads.
    DnfCache,
    /// gem's downloads.
    GemCache,
    /// go's build cache.
    GoCache,
    /// Gradle's caches.
    GradleCache,
    /// Maven's local repository.
    MavenCache,
    /// Bundlers' caches inside `node_modules`.
    NodeModulesCache,
    /// Headers that node-gyp fetched.
    NodeGyp,
    /// npm's downloads.
    NpmCache,
    /// Compilers' intermediate files.
    ObjectFiles,
    /// pacman's downloads.
    PacmanCache,
    /// pip's downloads and wheels.
    PipCache,
    /// Python's compiled files.
    PythonBytecode,
    /// Tests of installed packages.
    PackageTests,
    /// Temporary files.
    Temporary,
    /// `.git` and its relatives.
    VersionControl,
    /// yarn's downloads.
    YarnCache,
    /// zypper's downloads.
    ZypperCache,
}

/// Where a leftover of a system stands: below one of these.
const PLACES: [(&str, Leftover); 14] = [
    ("etc/apk/cache/", Leftover::ApkCache),
    ("tmp/", Leftover::Temporary),
    ("var/cache/apk/", Leftover::ApkCache),
    ("var/cache/apt/", Leftover::AptArchives),
    ("var/cache/dnf/", Leftover::DnfCache),
    ("var/cache/libdnf5/", Leftover::DnfCache),
    ("var/cache/pacman/pkg/", Leftover::PacmanCache),
    ("var/cache/yum/", Leftover::DnfCache),
    ("var/cache/zypp/", Leftover::ZypperCache),
    ("var/lib/apt/lists/", Leftover::AptLists),
    ("var/lib/dnf/repos/", Leftover::DnfCache),
    ("var/lib/pacman/sync/", Leftover::PacmanCache),
    ("var/tmp/", Leftover::Temporary),
    ("usr/local/share/.cache/yarn/", Leftover::YarnCache),
];

/// What stands below a folder of these names, wherever that is: somebody's home, a work folder.
const FOLDERS: [(&str, Leftover); 24] = [
    (".bzr", Leftover::VersionControl),
    (".cache/composer", Leftover::ComposerCache),
    (".cache/go-build", Leftover::GoCache),
    (".cache/node-gyp", Leftover::NodeGyp),
    (".cache/pip", Leftover::PipCache),
    (".cache/yarn", Leftover::YarnCache),
    (".cargo/registry", Leftover::CargoCache),
    (".composer/cache", Leftover::ComposerCache),
    (".git", Leftover::VersionControl),
    (".gradle/caches", Leftover::GradleCache),
    (".hg", Leftover::VersionControl),
    (".m2/repository", Leftover::MavenCache),
    (".node-gyp", Leftover::NodeGyp),
    (".npm/_cacache", Leftover::NpmCache),
    (".npm/_logs", Leftover::NpmCache),
    (".npm/_npx", Leftover::NpmCache),
    (".svn", Leftover::VersionControl),
    ("__pycache__", Leftover::PythonBytecode),
    ("bundle/cache", Leftover::GemCache),
    ("cargo/registry", Leftover::CargoCache),
    ("conda/pkgs", Leftover::CondaCache),
    ("go/pkg/mod/cache", Leftover::GoCache),
    ("miniconda3/pkgs", Leftover::CondaCache),
    ("node_modules/.cache", Leftover::NodeModulesCache),
];

/// Folders of tests inside folders of installed packages.
const TESTS: [&str; 3] = ["__tests__", "test", "tests"];
const PACKAGES: [&str; 3] = ["dist-packages/", "node_modules/", "site-packages/"];

/// What `path`, relative to the root, is left over from.
pub(super) fn leftover(path: &str) -> Option<Leftover> {
    let place = PLACES.iter().find(|(place, _)| path.starts_with(place)).map(|(_, leftover)| *leftover);
    place.or_else(|| folder(path)).or_else(|| residue(path))
}

fn folder(path: &str) -> Option<Leftover> {
    let stands_below = |folder: &str| {
        let mut from = 0;
        while let Some(at) = path[from..].find(folder).map(|at| from + at) {
            let end = at + folder.len();
            let begins = at == 0 || path.as_bytes()[at - 1] == b'/';
            if begins && path.as_bytes().get(end) == Some(&b'/') {
                return true;
            }
            from = at + 1;
        }
        false
    };
    // A folder's name is ASCII, so that every place where it begins is the begin of a letter.
    FOLDERS.iter().find(|(folder, _)| stands_below(folder)).map(|(_, leftover)| *leftover)
}

fn residue(path: &str) -> Option<Leftover> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.ends_with(".pyc") || name.ends_with(".pyo") {
        return Some(Leftover::PythonBytecode);
    }
    // What a compiler needs to link with stands in the system's own folders.
    let of_system =
        ["lib/", "usr/lib/", "usr/lib64/", "usr/local/lib/"].iter().any(|it| path.starts_with(it));
    if !of_system && [".o", ".obj", ".gcda", ".gcno"].iter().any(|ending| name.ends_with(ending)) {
        return Some(Leftover::ObjectFiles);
    }
    let after = PACKAGES.iter().filter_map(|place| folder.find(place).map(|at| at + place.len())).min()?;
    // The first name below is the package; one that is called `test` is no test folder.
    let inner = folder.get(after..)?.split('/').skip(1);
    inner.into_iter().any(|part| TESTS.contains(&part)).then_some(Leftover::PackageTests)
}

impl Leftover {
    /// What to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::ApkCache => "install with `apk add --no-cache`",
            Self::AptArchives => {
                "end the same RUN with `apt-get clean`, or mount `/var/cache/apt` as a cache"
            }
            Self::AptLists => "end the same RUN with `rm -rf /var/lib/apt/lists/*`, or mount it as a cache",
            Self::CargoCache => {
                "build in a stage of its own and copy the program, or mount the registry as a cache"
            }
            Self::ComposerCache => "run `composer install --no-cache`, or mount the cache",
            Self::CondaCache => "end the same RUN with `conda clean --all --yes`",
            Self::DnfCache => {
                "end the same RUN with `dnf clean all` (`yum clean all`), or mount `/var/cache/dnf` as a cache"
            }
            Self::GemCache => "delete the bundle's `cache` folder in the same RUN",
            Self::GoCache => "build in a stage of its own and copy the program",
            Self::GradleCache | Self::MavenCache => "build in a stage of its own and copy the archive",
            Self::NodeModulesCache => {
                "delete `node_modules/.cache` in the same RUN, or build in a stage of its own"
            }
            Self::NodeGyp => {
                "build native modules in a stage of its own, or delete the headers in the same RUN"
            }
            Self::NpmCache => {
                "end the same RUN with `npm cache clean --force`, or mount `/root/.npm` as a cache"
            }
            Self::ObjectFiles => "build in a stage of its own and copy what is needed",
            Self::PacmanCache => "end the same RUN with `pacman -Scc --noconfirm`",
            Self::PipCache => {
                "install with `pip install --no-cache-dir`, or mount `/root/.cache/pip` as a cache"
            }
            Self::PythonBytecode => {
                "set `PYTHONDONTWRITEBYTECODE=1` for the build, if a slower first start is fine"
            }
            Self::PackageTests => "leave them out when installing, or delete them in the same RUN",
            Self::Temporary => "delete temporary files in the instruction that makes them",
            Self::VersionControl => {
                "list it in `.dockerignore`; it also tells the whole history of the sources"
            }
            Self::YarnCache => "end the same RUN with `yarn cache clean`",
            Self::ZypperCache => "end the same RUN with `zypper clean --all`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_told_by_their_place_and_nothing_else_is() {
        for (path, expected) in [
            ("var/lib/apt/lists/deb_Packages", Some(Leftover::AptLists)),
            ("var/cache/apt/archives/foo.deb", Some(Leftover::AptArchives)),
            ("var/cache/apk/APKINDEX.tar.gz", Some(Leftover::ApkCache)),
            ("var/cache/dnf/x", Some(Leftover::DnfCache)),
            ("root/.cache/pip/http/a", Some(Leftover::PipCache)),
            ("home/a/.npm/_cacache/x", Some(Leftover::NpmCache)),
            ("root/.m2/repository/a.jar", Some(Leftover::MavenCache)),
            ("root/.composer/cache/x", Some(Leftover::ComposerCache)),
            ("app/.git/pack-1.pack", Some(Leftover::VersionControl)),
            ("app/node_modules/.cache/x", Some(Leftover::NodeModulesCache)),
            ("app/node_modules/a/test/x.js", Some(Leftover::PackageTests)),
            ("usr/lib/python3/dist-packages/a/tests/b/x.py", Some(Leftover::PackageTests)),
            ("app/__pycache__/m.pyc", Some(Leftover::PythonBytecode)),
            ("app/build/main.o", Some(Leftover::ObjectFiles)),
            ("tmp/build.tar", Some(Leftover::Temporary)),
            ("usr/lib/x86_64-linux-gnu/crt1.o", None),
            ("app/node_modules/test/index.js", None),
            ("app/test/x.js", None),
            ("app/.gitignore", None),
            ("app/a.git/x", None),
            ("app/.github/x", None),
            ("opt/tmp/x", None),
            ("app/main", None),
        ] {
            assert_eq!(leftover(path), expected, "{path}");
        }
    }
}
