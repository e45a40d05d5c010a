//! Packages that the languages' own tools installed: what is listed is what those tools list.
//!
//! What is installed is named by exact versions. What those bring along is as the registry has it on the day; both sides
//! are asked about the same folder, so that the comparison holds on any.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::clients::{self, Outcome, find, find_or_skip, skip};
use tests::inventory::{Inventory, Scan, assert_equal, name_and_version, text};
use tests::language_roots::{self, NPM_FOLDER, PYPI, PYPI_FOLDER};
use tests::test_gateway::portcullis;

/// Registries may be slow.
const SECONDS_MAX: u32 = 300;

/// Runs what installs; when that fails, nothing can be compared, and the reason is told.
fn install(test: &str, program: &Path, arguments: &[&str], folder: &Path) -> Option<Outcome> {
    let outcome = clients::run_within(SECONDS_MAX, program, arguments, |command| {
        command.current_dir(folder);
    });
    if outcome.code == 0 {
        return Some(outcome);
    }
    skip(test, &format!("{} could not install: {}", program.display(), outcome.last_line()));
    None
}

fn folder(root: &Path, path: &str) -> PathBuf {
    let folder = root.join(path);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("a folder");
    (folder, root)
}

fn scan(root: &Path) -> Scan {
    Scan::of(&format!("dir:{}", root.display()))
}

/// `PATH NAME VERSION` of a line of `npm ls --parseable --long`, which is `PATH:NAME@VERSION`, and for a package under
/// another name `PATH:OTHER@npm:NAME@VERSION`. The application itself is installed nowhere, so that it is left out.
fn of_npm(line: &str, root: &Path) -> Option<String> {
    let (path, package) = line.split_once(':')?;
    let path = Path::new(path).strip_prefix(root).ok().filter(|path| *path != Path::new("app"))?;
    let package = package.split_once("@npm:").map_or(package, |(_, package)| package);
    let (name, rest) = package.rsplit_once('@')?;
    Some(format!("{} {name} {}", path.display(), rest.split(':').next()?))
}

/// Whether a line's folder is `…/node_modules/NAME` or `…/node_modules/@SCOPE/NAME`.
fn is_in_a_folder_of_npm(line: &str) -> bool {
    let folder = line.split(' ').next().unwrap_or_default();
    let name = folder.rsplit_once("node_modules/").map_or(folder, |(_, name)| name);
    name.split('/').count() == if name.starts_with('@') { 2 } else { 1 }
}

#[test]
fn what_npm_lists_is_what_is_listed_in_the_same_folders() {
    let test = "what_npm_lists_is_what_is_listed_in_the_same_folders";
    let Some(npm) = find_or_skip(test, "npm") else { return };
    let Some(root) = language_roots::npm_or_skip(test) else { return };
    let app = root.join(NPM_FOLDER);
    let listed = clients::run(&npm, &["ls", "--all", "--parseable", "--long"], |command| {
        command.current_dir(&app);
    });
    let expected: Inventory =
        listed.succeeded("npm ls").stdout.lines().filter_map(|line| of_npm(line, &root)).collect();
    let ours = scan(&root).packages("npm", |package, path| {
        format!("{} {}", path.trim_end_matches("/package.json"), name_and_version(package, path))
    });
    // What packages bring inside them, npm does not know of; Node loads it all the same.
    let (ours, copies): (Inventory, Inventory) =
        ours.into_iter().partition(|line| is_in_a_folder_of_npm(line));
    for copy in &copies {
        let [folder, name, _] = copy.split(' ').collect::<Vec<_>>()[..] else { panic!("`{copy}`") };
        assert!(
            folder.ends_with(&format!("/{name}")),
            "only what bears its folder's name is a copy: `{copy}`"
        );
    }
    assert_equal("npm ls", &ours, &expected);
    let places = |name: &str| ours.iter().filter(|line| line.split(' ').nth(1) == Some(name)).count();
    assert!(places("ansi-regex") > 1, "one name in several places: {ours:?}");
    assert!(ours.contains("app/node_modules/lodash-four lodash 4.17.21"), "by its own name");
}

/// A name as Python compares names (PEP 503).
fn normalised(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

#[test]
fn what_pip_lists_is_what_is_listed() {
    let test = "what_pip_lists_is_what_is_listed";
    let Some(pip) = find_or_skip(test, "pip3") else { return };
    let Some(root) = language_roots::pypi_or_skip(test) else { return };
    let place = root.join(PYPI_FOLDER).display().to_string();
    let listed = clients::run(&pip, &["list", "--path", &place, "--format", "json"], |_| {});
    let listed: Value = serde_json::from_str(&listed.succeeded("pip list").stdout).expect("JSON");
    let listed = listed.as_array().expect("a list").iter();
    let expected =
        listed.map(|it| format!("{} {}", normalised(text(it, "name")), text(it, "version"))).collect();
    let scan = scan(&root);
    assert_equal("pip list", &scan.packages("python", name_and_version), &expected);
    assert_eq!(expected.len(), PYPI.len(), "all were installed");
    assert_eq!(scan.unknown(), Vec::<&Value>::new());
}

/// Libraries with their group inside, without it, with another library inside, and empty ones.
const MAVEN: [&str; 8] = [
    "com.google.guava:guava:32.1.3-jre",
    "org.apache.logging.log4j:log4j-core:2.17.1",
    "org.springframework:spring-web:5.3.31",
    "com.fasterxml.jackson.core:jackson-databind:2.15.3",
    "io.netty:netty-handler:4.1.100.Final",
    "org.hamcrest:hamcrest:2.2",
    "org.apache.commons:commons-text:1.9",
    "org.postgresql:postgresql:42.6.0",
];
/// Archives with no word of their group in them: the artifact's name is all that can be told.
const WITHOUT_GROUP: [&str; 7] =
    ["checker-qual", "hamcrest", "postgresql", "spring-beans", "spring-core", "spring-jcl", "spring-web"];
/// Inside of another archive, which Maven does not tell: `netty-common` holds it.
const SHADED: &str = "org.jctools:jctools-core 3.1.0";

#[test]
fn what_maven_resolves_is_what_its_archives_are_listed_as() {
    let test = "what_maven_resolves_is_what_its_archives_are_listed_as";
    let Some(mvn) = find_or_skip(test, "mvn") else { return };
    let (_folder, root) = temporary();
    let dependency = |coordinates: &&str| {
        let mut parts = coordinates.split(':');
        let mut next = |tag: &str| format!("<{tag}>{}</{tag}>", parts.next().expect("three parts"));
        let coordinates = [next("groupId"), next("artifactId"), next("version")].concat();
        format!("<dependency>{coordinates}</dependency>")
    };
    let dependencies: String = MAVEN.iter().map(dependency).collect();
    let project = "<groupId>example</groupId><artifactId>app</artifactId><version>1</version>";
    let model = format!(
        "<project><modelVersion>4.0.0</modelVersion>{project}<dependencies>{dependencies}</dependencies></project>"
    );
    let build = folder(&root, "../build");
    fs::write(build.join("pom.xml"), model).expect("written");
    let (to, list) = (format!("-DoutputDirectory={}", root.join("app").display()), "-DoutputFile=list");
    let plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1";
    let (copy, tell) = (format!("{plugin}:copy-dependencies"), format!("{plugin}:list"));
    if install(test, &mvn, &["-q", "-B", &copy, &tell, &to, list], &build).is_none() {
        return;
    }
    let list = fs::read_to_string(build.join("list")).expect("Maven's list");
    let expected = list.lines().filter_map(|line| {
        let parts: Vec<&str> = line.split_whitespace().next()?.split(':').collect();
        let [group, artifact, "jar", version, _scope] = parts[..] else { return None };
        let group = if WITHOUT_GROUP.contains(&artifact) { String::new() } else { format!("{group}:") };
        Some(format!("{group}{artifact} {version}"))
    });
    let mut expected: Inventory = expected.collect();
    expected.insert(SHADED.to_owned());
    assert_equal("Maven's list", &scan(&root).packages("maven", name_and_version), &expected);
}

/// Real programs: the Go clients that other tests drive. Debian builds its own without a list of modules, so that these tell
/// Go's version alone; syft lists hundreds.
const OF_GO: [&str; 5] = ["cosign3", "crane", "oci-conformance", "oras", "syft"];

/// Programs for other systems, which images hand out.
const ELSEWHERE: [(&str, &str); 2] = [("windows", "amd64"), ("darwin", "arm64")];

/// `go version -m`: the file and its Go, then lines of tabs. A replacement stands behind the module that it replaces.
fn of_go(told: &str) -> Inventory {
    let mut found: Vec<String> = Vec::new();
    let words = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    for line in told.lines() {
        let words = words(line);
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        match word(1) {
            "" => found.extend(line.rsplit(": ").next().map(|version| format!("stdlib {version}"))),
            "mod" | "dep" => {
                let version = if word(3).is_empty() { "(devel)" } else { word(3) };
                found.push(format!("{} {version}", word(2)));
            }
            "=>" => *found.last_mut().expect("what is replaced") = format!("{} {}", word(2), word(3)),
            _ => {}
        }
    }
    found.into_iter().collect()
}

fn check_go(go: &Path, name: &str, program: &Path) {
    let (_folder, root) = temporary();
    let copy = folder(&root, "usr/local/bin").join(name);
    fs::copy(program, &copy).expect("copied");
    let told = clients::run(go, &["version", "-m", &copy.display().to_string()], |_| {});
    let expected = of_go(&told.succeeded("go version -m").stdout);
    let listed = scan(&root).packages("golang", name_and_version);
    assert_equal(&format!("go version -m {name}"), &listed, &expected);
}

#[test]
fn what_go_says_of_a_program_is_what_is_listed() {
    let test = "what_go_says_of_a_program_is_what_is_listed";
    let Some(go) = find_or_skip(test, "go") else { return };
    for name in OF_GO {
        match find(name) {
            Some(program) => check_go(&go, name, &program),
            None => skip(test, &format!("client `{name}` is not here; run scripts/clients.sh")),
        }
    }
}

#[test]
fn what_go_says_of_programs_for_other_systems_is_what_is_listed() {
    let Some(go) = find_or_skip("what_go_says_of_programs_for_other_systems_is_what_is_listed", "go") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("go.mod"), "module example.org/hello\n\ngo 1.18\n").expect("written");
    fs::write(folder.path().join("main.go"), "package main\n\nfunc main() { println(1) }\n")
        .expect("written");
    for (system, architecture) in ELSEWHERE {
        let name = format!("hello-{system}");
        let built = clients::run_within(SECONDS_MAX, &go, &["build", "-o", &name, "."], |command| {
            command.current_dir(folder.path()).env("GOOS", system).env("GOARCH", architecture);
            command.env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false");
        });
        built.succeeded("go build");
        check_go(&go, &name, &folder.path().join(&name));
    }
}

#[test]
fn of_a_program_of_rust_without_a_list_nothing_is_claimed() {
    let (_folder, root) = temporary();
    fs::copy(portcullis(), folder(&root, "usr/bin").join("portcullis")).expect("copied");
    let scan = scan(&root);
    assert_eq!(scan.report()["packages"], json!([]));
    assert_eq!(scan.unknown(), [&json!({"what": "nothing-recognised"})], "and silence is not called clean");
}

/// A library with a version before its release, one for a platform, and one whose specification runs code.
const GEMS: [&str; 3] = [
    "Gem::Specification.new { |s| s.name = 'own_lib'; s.version = '1.2.0.rc1' }",
    "Gem::Specification.new { |s| s.name = 'own-native'; s.version = '2.0'; s.platform = 'x86_64-linux' }",
    "Gem::Specification.new { |s| s.name = %w[own computed].join('-'); s.version = (1..3).to_a.join('.') }",
];

#[test]
fn what_gem_lists_is_what_is_listed() {
    let test = "what_gem_lists_is_what_is_listed";
    let Some(gem) = find_or_skip(test, "gem") else { return };
    let (_folder, root) = temporary();
    let home = folder(&root, "usr/local/bundle");
    let build = folder(&root, "../build");
    for (number, specification) in GEMS.iter().enumerate() {
        let (file, packed) = (format!("{number}.gemspec"), format!("{number}.gem"));
        let common = "s.summary = 'x'; s.authors = ['x']; s.files = [] }";
        fs::write(build.join(&file), specification.replace(" }", &format!("; {common}"))).expect("written");
        clients::run(&gem, &["build", "--silent", &file, "--output", &packed], |command| {
            command.current_dir(&build);
        })
        .succeeded("gem build");
        let place = home.display().to_string();
        let arguments = ["install", "--local", "--force", "--no-document", "--install-dir", &place, &packed];
        clients::run(&gem, &arguments, |command| {
            command.current_dir(&build);
        })
        .succeeded("gem install");
    }
    let listed = clients::run(&gem, &["list", "--quiet", "--all", "--no-details"], |command| {
        command.env("GEM_HOME", &home).env("GEM_PATH", &home);
    });
    let listed = listed.succeeded("gem list").stdout;
    // The interpreter's own gems are listed too; they lie elsewhere, and are no part of the folder.
    let expected: Inventory = listed
        .lines()
        .filter(|line| line.starts_with("own"))
        .filter_map(|line| line.trim_end_matches(')').split_once(" ("))
        .map(|(name, version)| format!("{name} {}", version.split(' ').next().unwrap_or_default()))
        .collect();
    assert_eq!(expected.len(), GEMS.len(), "{listed}");
    assert_equal("gem list", &scan(&root).packages("gem", name_and_version), &expected);
}

#[test]
fn what_composer_shows_is_what_is_listed() {
    let test = "what_composer_shows_is_what_is_listed";
    let Some(composer) = find_or_skip(test, "composer") else { return };
    let (_folder, root) = temporary();
    let app = folder(&root, "app");
    let packages = [("own/library", "v1.2.0"), ("own/tool", "2.0.0-beta1"), ("own/plain", "3.4")];
    for (name, version) in packages {
        let place = folder(&root, &format!("../packages/{}", name.replace('/', "-")));
        let described = json!({ "name": name, "version": version, "license": "MIT" });
        fs::write(place.join("composer.json"), described.to_string()).expect("written");
    }
    let sources = root.join("../packages/*").display().to_string();
    let own = json!({ "type": "path", "url": sources, "options": { "symlink": false } });
    let required: serde_json::Map<String, Value> =
        packages.iter().map(|(name, _)| ((*name).to_owned(), json!("*"))).collect();
    let project = json!({
        "repositories": [own, { "packagist.org": false }], "require": required, "minimum-stability": "dev",
    });
    fs::write(app.join("composer.json"), project.to_string()).expect("written");
    let run = |arguments: &[&str]| {
        clients::run(&composer, &[&["--no-interaction"], arguments].concat(), |command| {
            command
                .current_dir(&app)
                .env("COMPOSER_ALLOW_SUPERUSER", "1")
                .env("COMPOSER_HOME", root.join(".."));
        })
    };
    run(&["install", "--quiet", "--no-plugins"]).succeeded("composer install");
    let shown = run(&["show", "--format=json"]).succeeded("composer show").stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
    let shown = shown["installed"].as_array().expect("a list").iter();
    let expected = shown.map(|it| name_and_version(it, "")).collect();
    assert_equal("composer show", &scan(&root).packages("composer", name_and_version), &expected);
}
