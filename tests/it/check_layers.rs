//! Effective images: bytes by layer and instruction, what is left behind and who is to blame, beside the number that others
//! print.

use insta::assert_snapshot;
use serde_json::{Value, json};
use tests::check_folder::{CheckFolder, POLICY};
use tests::clients::recorded_or_skip;
use tests::image_builder::{Archive, Compression, ImageBuilder, Layer};

const SECDB: &str = r#"{ "distroversion": "v3.20", "reponame": "main", "packages": [] }"#;

fn folder() -> CheckFolder {
    CheckFolder::new(POLICY, &[("alpine.json", SECDB)])
}

fn effectiveness(folder: &CheckFolder, image: &str) -> Value {
    let outcome = folder.check(image, &["--output", "json"]);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}", outcome.shown));
    report["scans"][0]["effectiveness"].clone()
}

fn layer(archive: Archive) -> Layer {
    archive.layer(Compression::Plain)
}

/// Bytes of which no two are alike.
fn content(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at % 251) % 251).unwrap_or(0) ^ seed).collect()
}

fn bloated() -> ImageBuilder {
    let tool = content(1, 100_000);
    let base = Archive::new()
        .alpine("3.20", &[("a", "1-r0")])
        .file("opt/tool", 0o644, &tool)
        .file("opt/lib.so", 0o644, &content(2, 70_000))
        .file("opt/copy.so", 0o644, &content(2, 70_000));
    let download = Archive::new()
        .file("build.tar", 0o644, &content(3, 50_000))
        .file("var/cache/apk/APKINDEX.tar.gz", 0o644, &content(4, 9_000))
        .file("root/.cache/pip/wheel", 0o644, &content(5, 8_000));
    let delete = Archive::new().file(".wh.build.tar", 0o644, b"").file("opt/tool", 0o755, &tool);
    let sources = Archive::new()
        .file("app/.git/pack", 0o644, &content(6, 7_000))
        .file("app/main.o", 0o644, &content(7, 6_000))
        .file("app/node_modules/x/test/t.js", 0o644, &content(8, 5_000))
        .file("data/seed.db", 0o644, &content(9, 4_500));
    ImageBuilder::new()
        .layer(layer(base), "ADD rootfs.tar /")
        .layer(layer(download), "RUN apk add python3 && pip install wheel")
        .layer(layer(delete), "RUN rm build.tar && chmod 755 /opt/tool")
        .layer(layer(sources), "COPY . /app")
        .config(&json!({ "Volumes": { "/data": {} } }))
}

#[test]
fn every_wasted_byte_is_told_with_the_instruction_to_blame_and_what_to_write_instead() {
    let folder = folder();
    folder.image("image", bloated());
    let shown = folder.check("oci:image", &["--layers"]).succeeded("portcullis check --layers");
    assert_snapshot!("layers", shown.stdout);
    let told = effectiveness(&folder, "oci:image");
    assert_eq!(told["hidden_bytes"], 150_000, "build.tar and the first copy of the tool");
    assert_eq!(told["hidden_bytes_by_layer"], json!([100_000, 50_000, 0, 0]));
    let hints: Vec<(String, u64, u64)> = told["hints"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hint| {
            let what = &hint["what"];
            let kind = what["of"].as_str().or(what["kind"].as_str()).expect("a word");
            (
                kind.to_owned(),
                hint["bytes"].as_u64().expect("bytes"),
                hint["layer"].as_u64().expect("a layer"),
            )
        })
        .collect();
    let expected = [
        ("rewritten", 100_000, 0),
        ("duplicate", 70_000, 0),
        ("consecutive-runs", 50_000, 1),
        ("deleted", 50_000, 1),
        ("apk-cache", 9_000, 1),
        ("pip-cache", 8_000, 1),
        ("version-control", 7_000, 3),
        ("object-files", 6_000, 3),
        ("package-tests", 5_000, 3),
        ("volume", 4_500, 3),
    ];
    let expected: Vec<_> = expected.map(|(kind, bytes, layer)| (kind.to_owned(), bytes, layer)).to_vec();
    assert_eq!(hints, expected);
}

#[test]
fn the_measure_of_dive_counts_what_its_definition_says() {
    let folder = folder();
    let two = |lower: Archive, upper: Archive| {
        ImageBuilder::new().layer(layer(lower), "ADD").layer(layer(upper), "RUN")
    };
    let file = |path: &str, size: usize| Archive::new().file(path, 0o644, &vec![1; size]);
    for (name, image, score, wasted, user) in [
        // One path twice: all of its bytes are wasted, the surviving copy too.
        ("twice", two(file("a", 1000), file("a", 1000)), 0.5, 2000, 1000),
        // A file that a whiteout hides: its smallest size is nothing.
        ("file", two(file("a", 1000), Archive::new().file(".wh.a", 0, b"")), 0.0, 1000, 0),
        // A folder that a whiteout hides: the whiteout costs what it hides, and stands in one layer only.
        ("folder", two(file("d/a", 1000), Archive::new().file(".wh.d", 0, b"")), 1.0, 0, 0),
        ("apart", two(file("a", 1000), file("b", 500)), 1.0, 0, 500),
        ("empty", two(Archive::new().directory("a/"), Archive::new().directory("b/")), 1.0, 0, 0),
    ] {
        folder.image(name, image);
        let measured = &effectiveness(&folder, &format!("oci:{name}"))["efficiency"];
        assert_eq!(measured["score"], score, "{name}");
        assert_eq!(
            (&measured["wasted_bytes"], &measured["user_bytes"]),
            (&wasted.into(), &user.into()),
            "{name}"
        );
    }
}

#[test]
fn the_figures_of_dives_own_image_come_out_to_the_digit() {
    let test = "the_figures_of_dives_own_image_come_out_to_the_digit";
    let Some(image) = recorded_or_skip(test, "images/files/dive-docker.tar") else { return };
    let Some(expected) = recorded_or_skip(test, "images/expected/dive-docker.json") else { return };
    let expected: Value =
        serde_json::from_slice(&std::fs::read(expected).expect("the figures")).expect("the figures are JSON");
    let measured = &effectiveness(&folder(), &format!("docker-archive:{}", image.display()))["efficiency"];
    let dive = &expected["dive"];
    for (ours, theirs) in [
        ("score", "efficiency"),
        ("total_bytes", "sizeBytes"),
        ("user_bytes", "userSizeBytes"),
        ("wasted_bytes", "wastedBytes"),
        ("wasted_share", "wastedUserPercent"),
    ] {
        assert_eq!(measured[ours], dive[theirs], "{ours}");
    }
}

#[test]
fn planted_bloat_is_found_to_the_byte() {
    let test = "planted_bloat_is_found_to_the_byte";
    let Some(image) = recorded_or_skip(test, "images/files/bloat-planted.oci.tar") else { return };
    let told = effectiveness(&folder(), &format!("oci-archive:{}", image.display()));
    assert_eq!(told["hidden_bytes"], 1_300_000);
    let bytes_of = |kind: &str| -> u64 {
        let hints = told["hints"].as_array().expect("a list").iter();
        let is_kind = |hint: &&Value| hint["what"]["kind"] == kind || hint["what"]["of"] == kind;
        hints.filter(is_kind).filter_map(|hint| hint["bytes"].as_u64()).sum()
    };
    for (kind, bytes) in [
        ("apt-archives", 250_000),
        ("apt-lists", 150_000),
        ("version-control", 120_000),
        ("node-modules-cache", 80_000),
        ("python-bytecode", 20_000),
        ("duplicate", 300_000),
        ("deleted", 500_000),
        ("rewritten", 400_000),
        ("overwritten", 400_000),
    ] {
        assert_eq!(bytes_of(kind), bytes, "{kind}: {told:#}");
    }
}

/// Two releases and a folder with the files of the first.
fn releases() -> CheckFolder {
    let policy = POLICY.trim_end().to_owned() + "\nimage = { max-growth = \"10%\" }\n";
    let folder = CheckFolder::new(&policy, &[("alpine.json", SECDB)]);
    let base = || {
        layer(Archive::new().alpine("3.20", &[("a", "1-r0")]).file("opt/tool", 0o644, &content(1, 90_000)))
    };
    let app = |size| layer(Archive::new().file("app/data", 0o644, &content(2, size)));
    let image =
        |size| ImageBuilder::new().layer(base(), "ADD rootfs.tar /").layer(app(size), "COPY app /app");
    folder.image("old", image(10_000));
    folder.image("small", image(15_000));
    folder.image("large", image(40_000));
    std::fs::create_dir_all(folder.path().join("root/app")).expect("folders");
    folder.write("root/app/data", &content(2, 10_000));
    folder
}

#[test]
fn growth_since_the_previous_release_is_told_and_limited() {
    let folder = releases();
    let fine = folder.check("oci:small", &["--previous", "oci:old"]).succeeded("within the budget");
    assert!(fine.stdout.contains("growth      4.8 KiB more than the"), "{}", fine.shown);
    assert!(!fine.stdout.contains("nothing says which release"), "{}", fine.shown);
    let refused = folder.check("oci:large", &["--previous", "oci:old", "--layers"]);
    assert_eq!(refused.code, 1, "{}", refused.shown);
    for expected in ["layer 1: COPY app /app", "has grown by 29.2 KiB", "grown since oci:old"] {
        assert!(refused.stdout.contains(expected), "{expected}: {}", refused.shown);
    }
    let told = folder.check("oci:large", &["--previous", "oci:old", "--output", "json"]);
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let growth = &told["scans"][0]["growth"];
    assert_eq!(growth["previous"], "oci:old");
    assert_eq!(growth["packages"], json!({ "from": 1, "to": 1 }));
    let from = growth["file_bytes"]["from"].as_u64().expect("bytes");
    assert_eq!(growth["file_bytes"]["to"], from + 30_000);
    assert_eq!(growth["shared_bytes"], from - 10_000, "the base layer");
    let instruction = "COPY app /app";
    assert_eq!(
        growth["layers"],
        json!([{ "index": 1, "instruction": instruction, "grown_bytes": 30_000, "is_new": false }])
    );
    // A folder has one layer and no compression: its files are compared all the same.
    let folder_before = folder.check("oci:old", &["--previous", "dir:root"]);
    assert_eq!(folder_before.code, 1, "{}", folder_before.shown);
    assert!(folder_before.stdout.contains("since dir:root"), "{}", folder_before.shown);
}

#[test]
fn a_limit_on_growth_that_nothing_is_measured_by_is_told() {
    let folder = releases();
    let unasked = folder.check("oci:large", &[]).succeeded("the first release");
    assert!(unasked.stdout.contains("nothing says which release to compare with"), "{}", unasked.shown);
    folder.write("list.json", br#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[]}"#);
    let document = folder.check("oci:large", &["--previous", "sbom:list.json"]);
    assert_eq!(document.code, 2, "{}", document.shown);
    let absent = folder.check("oci:large", &["--previous", "oci:absent"]);
    assert_eq!(absent.code, 3, "what cannot be read is no smaller release: {}", absent.shown);
}
