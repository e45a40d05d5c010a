//! Other scanners on the same bytes: what they find is found, unless a cause is told why it is no find.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::clients::{self, find_or_skip, recorded_or_skip};
use tests::debian_root::{self, Suite};
use tests::image_builder::{Archive, Compression, ImageBuilder, Layer};
use tests::language_roots;
use tests::test_gateway::{portcullis, workspace};

/// Why a package that syft alone lists is none, as `scripts/side-by-side.py` explains each.
const NO_PACKAGE: [&str; 2] = ["no-version", "not-installed"];
/// Why a secret that others alone report is none.
const NO_SECRET: [&str; 3] = ["protected", "session-token", "wrong-checksum"];

/// Runs the comparison once; it prints what each side alone found, with the cause.
fn compare(folder: &Path, layout: &Path, without: &[&str]) -> Value {
    let json = folder.join("told.json");
    let (place, told) = (layout.display().to_string(), json.display().to_string());
    let script = workspace().join("scripts/side-by-side.sh");
    let mut arguments = vec!["--rounds", "1", "--json", &told, &place];
    without.iter().for_each(|peer| arguments.extend(["--without", peer]));
    let outcome = clients::run_within(500, &script, &arguments, |command| {
        command.env("PORTCULLIS_BIN", portcullis());
    });
    println!("{}", outcome.succeeded("scripts/side-by-side.sh").shown);
    let told: Value = serde_json::from_slice(&fs::read(json).expect("the comparison")).expect("JSON");
    told["images"][0].clone()
}

/// Asserts that what a peer alone found has a cause that makes it no find.
#[track_caller]
fn assert_nothing_missed(what: &str, compared: &Value, causes: &[&str]) {
    let alone = compared["only_peer"].as_array().expect("a list").iter();
    let missed: Vec<&Value> =
        alone.filter(|line| !line["cause"].as_str().is_some_and(|cause| causes.contains(&cause))).collect();
    assert!(missed.is_empty(), "{what} finds what portcullis does not: {missed:#?}");
    assert!(compared["both"].as_u64() > Some(0), "{what} and portcullis have nothing in common");
}

/// A layer of a root, packed by tar.
fn layer_of(folder: &Path, root: &Path) -> Layer {
    let archive = folder.join("layer.tar").display().to_string();
    let place = root.display().to_string();
    let arguments = ["--owner=0", "--group=0", "--sort=name", "-cf", &archive, "-C", &place, "."];
    clients::run(Path::new("tar"), &arguments, |_| {}).succeeded("tar");
    Layer::of(&fs::read(archive).expect("an archive"), Compression::Plain)
}

#[test]
fn every_package_that_syft_finds_in_a_real_image_is_found() {
    let test = "every_package_that_syft_finds_in_a_real_image_is_found";
    let needed = ["syft", "python3"].map(|client| find_or_skip(test, client));
    let Some(debian) = debian_root::archive_or_skip(test, Suite::Trixie) else { return };
    let roots = (language_roots::npm_or_skip(test), language_roots::pypi_or_skip(test));
    let ([Some(_), Some(_)], (Some(npm), Some(pypi))) = (needed, roots) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let layout = folder.path().join("image");
    let base = Layer::of(&fs::read(debian).expect("an archive"), Compression::Plain);
    let image = ImageBuilder::new()
        .layer(base, "ADD debian.tar /")
        .layer(layer_of(folder.path(), &npm), "RUN npm install")
        .layer(layer_of(folder.path(), &pypi), "RUN pip install");
    image.build().write_oci_layout(&layout, "build").expect("the layout is written");

    let told = compare(folder.path(), &layout, &["gitleaks", "trufflehog"]);
    let packages = &told["packages"]["syft"];
    assert_nothing_missed("syft", packages, &NO_PACKAGE);
    assert_eq!(packages["only_portcullis"], serde_json::json!([]), "what syft does not find is not made up");
    assert!(packages["both"].as_u64() > Some(300), "{}", packages["both"]);
}

/// Where the secrets lie; the first of these places is the only one that both others look into. The values are made up.
const PLANTED: [&str; 6] = [
    "app/.env",
    "app/utf16.ini",
    "config.Env[API_TOKEN]",
    "history[0].created_by",
    "root/.netrc",
    "srv/backup.tar.gz",
];

/// A token of GitHub's form: thirty characters of a fixed sequence that looks like chance, and their checksum.
fn token(seed: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[usize::try_from(state >> 33).expect("31 bits") % 62])
    };
    let body: String = (0..30).map(|_| next()).collect();
    let mut sum = flate2::Crc::new();
    sum.update(body.as_bytes());
    let mut rest = usize::try_from(sum.sum()).expect("32 bits");
    let mut check = Vec::new();
    for _ in 0..6 {
        check.insert(0, DIGITS[rest % 62]);
        rest /= 62;
    }
    format!("ghp_{body}{}", String::from_utf8(check).expect("letters"))
}

/// Secrets in every place, and beside them what only looks like one.
fn planted() -> ImageBuilder {
    let wide: Vec<u8> =
        format!("\u{feff}token={}\r\n", token(2)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let inner = Archive::new().file("backup/.env", 0o600, format!("GITHUB_TOKEN={}\n", token(3)).as_bytes());
    let packed = Compression::Gzip.pack(&inner.finish());
    let netrc = "machine git.example.org login deploy password Zx9rWq4LmT7vKp2s\n";
    let wrong = format!("{}A", &token(6)[..39]);
    let layer = Archive::new()
        .file("app/.env", 0o600, format!("GITHUB_TOKEN={}\n", token(1)).as_bytes())
        .file("app/utf16.ini", 0o600, &wide)
        .file("root/.netrc", 0o600, netrc.as_bytes())
        .file("srv/backup.tar.gz", 0o600, &packed)
        .file(
            "docs/readme.md",
            0o644,
            b"token: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\npassword: changeme\n",
        )
        .file("docs/checksum.txt", 0o644, wrong.as_bytes())
        .file("docs/commit.txt", 0o644, b"3f2a9c1e5b7d8f60a1b2c3d4e5f60718293a4b5c\n");
    let history = format!("RUN GITHUB_TOKEN={} ./fetch.sh", token(4));
    let environment = serde_json::json!({ "Env": [format!("API_TOKEN={}", token(5))] });
    ImageBuilder::new().layer(layer.layer(Compression::Gzip), &history).config(&environment)
}

/// The files in which portcullis found secrets, without the members of archives.
fn places(told: &Value) -> Vec<String> {
    let found = told["secrets_found"].as_array().expect("a list").iter();
    let mut places: Vec<String> = found
        .map(|secret| {
            secret["path"].as_str().expect("a path").split('!').next().unwrap_or_default().to_owned()
        })
        .collect();
    places.sort();
    places.dedup();
    places
}

#[test]
fn every_planted_secret_is_found_and_what_others_find_too() {
    let test = "every_planted_secret_is_found_and_what_others_find_too";
    if find_or_skip(test, "python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let layout = folder.path().join("image");
    planted().build().write_oci_layout(&layout, "build").expect("the layout is written");
    let told = compare(folder.path(), &layout, &["syft"]);
    assert_eq!(places(&told), PLANTED, "each of them, and nothing that only looks like one");
    for peer in ["gitleaks", "trufflehog"] {
        if find_or_skip(test, peer).is_some() {
            assert_nothing_missed(peer, &told["secrets"][peer], &NO_SECRET);
        }
    }
}

#[test]
fn what_others_find_in_the_recorded_secrets_is_found() {
    let test = "what_others_find_in_the_recorded_secrets_is_found";
    let Some(image) = recorded_or_skip(test, "images/files/secrets-planted.oci.tar") else { return };
    let Some(expected) = recorded_or_skip(test, "images/expected/secrets-planted.json") else { return };
    if find_or_skip(test, "python3").is_none() || find_or_skip(test, "gitleaks").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let layout = folder.path().join("image");
    fs::create_dir(&layout).expect("a folder");
    let (image, place) = (image.display().to_string(), layout.display().to_string());
    clients::run(Path::new("tar"), &["-xf", &image, "-C", &place], |_| {}).succeeded("tar");
    // trufflehog needs most of a minute for this image's minified script.
    let told = compare(folder.path(), &layout, &["syft", "trufflehog"]);
    assert_nothing_missed("gitleaks", &told["secrets"]["gitleaks"], &NO_SECRET);
    let expected: Value = serde_json::from_slice(&fs::read(expected).expect("what to expect")).expect("JSON");
    let places = places(&told);
    for innocent in expected["notSecrets"].as_array().expect("a list") {
        let path = innocent["path"].as_str().expect("a path");
        assert!(!places.iter().any(|place| place == path), "{path} is {}", innocent["why"]);
    }
}
