//! Base images by what their layers are: found in the register, findings told apart, rebasing weighed.

use insta::assert_snapshot;
use serde_json::Value;
use tests::check_folder::{CheckFolder, POLICY};
use tests::clients::Outcome;
use tests::image_builder::{Archive, Compression, ImageBuilder, Layer};

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [
    { "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"] } } },
    { "pkg": { "name": "stays", "secfixes": { "9-r0": ["CVE-2026-9002"] } } },
    { "pkg": { "name": "fresh", "secfixes": { "9-r0": ["CVE-2026-9003"] } } },
    { "pkg": { "name": "ours", "secfixes": { "9-r0": ["CVE-2026-9004"] } } }
  ]
}"#;

fn system(packages: &[(&str, &str)]) -> Layer {
    Archive::new().alpine("3.20", packages).layer(Compression::Plain)
}

fn second() -> Layer {
    Archive::new().file("etc/motd", 0o644, b"hello").layer(Compression::Plain)
}

const OLD: &[(&str, &str)] = &[("badlib", "1.2.3-r0"), ("stays", "1-r0")];
const NEW: &[(&str, &str)] = &[("badlib", "1.2.4-r0"), ("fresh", "1-r0"), ("stays", "1-r0")];

fn folder(register: &str) -> CheckFolder {
    let base = |name: &str, layers: &[Layer]| {
        let ids: Vec<String> = layers.iter().map(|layer| format!("{:?}", layer.diff_id)).collect();
        format!("\n[[base]]\nname = \"{name}\"\ndiff-ids = [{}]\n", ids.join(", "))
    };
    let register = format!(
        "{}{register}{}{}{}",
        POLICY,
        base("alpine:3.20-first", &[system(OLD)]),
        base("alpine:3.20-old", &[system(OLD), second()]),
        base("alpine:3.20-new", &[system(NEW), second()])
    );
    let folder = CheckFolder::new(&register, &[("alpine.json", SECDB)]);
    let all = [OLD, &[("ours", "1-r0")]].concat();
    let built = |base: Layer| {
        ImageBuilder::new()
            .layer(base, "ADD rootfs.tar /")
            .layer(second(), "RUN echo hello >/etc/motd")
            .layer(system(&all), "RUN apk add ours")
    };
    folder.image("image", built(system(OLD)));
    folder.image("foreign", built(system(&[("other", "1-r0")])));
    folder.image("new", ImageBuilder::new().layer(system(NEW), "ADD").layer(second(), "RUN"));
    folder
}

fn lines(outcome: &Outcome) -> String {
    let told = |line: &&str| ["base ", "rebase ", "     "].iter().any(|word| line.starts_with(word));
    outcome.stdout.lines().filter(told).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_longest_base_is_told_with_what_is_inherited_and_what_a_newer_one_would_change() {
    let folder = folder("");
    assert_snapshot!("base", lines(&folder.check("oci:image", &[])));
    let rebased = folder.check("oci:image", &["--rebase-to", "oci:new"]);
    assert_snapshot!("rebase", lines(&rebased));
    let json = folder.check("oci:image", &["--rebase-to", "oci:new", "--output", "json"]);
    let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let base = &report["scans"][0]["base"];
    let ids = |list: &Value| -> Vec<String> {
        list.as_array()
            .expect("a list")
            .iter()
            .map(|it| it["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    assert_eq!((&base["name"], &base["layers"]), (&"alpine:3.20-old".into(), &2.into()));
    assert_eq!(ids(&base["inherited"]), ["CVE-2026-9001", "CVE-2026-9002"]);
    assert_eq!(ids(&base["added"]), ["CVE-2026-9004"]);
    assert_eq!(ids(&base["rebase"]["removes"]), ["CVE-2026-9001"]);
    assert_eq!(ids(&base["rebase"]["brings"]), ["CVE-2026-9003"]);
    assert_eq!(
        (&base["rebase"]["to"], &base["rebase"]["approved"]),
        (&"alpine:3.20-new".into(), &true.into())
    );
}

#[test]
fn a_rule_may_ask_for_a_base_of_the_register_and_annotations_do_not_help() {
    let folder = folder("base = { register = \"deny\" }\n");
    let policy = folder.read("policy.toml").replace("[\"high\"]", "\"nothing-unsafe\"");
    folder.write("policy.toml", policy.as_bytes());
    let admitted = folder.check("oci:image", &[]);
    assert_eq!(admitted.code, 0, "{}", admitted.shown);
    let refused = folder.check("oci:foreign", &[]);
    assert_eq!(refused.code, 1, "{}", refused.shown);
    assert!(refused.stdout.contains("begin with those of no approved base"), "{}", refused.shown);
    let json = folder.check("oci:foreign", &["--output", "json"]);
    let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(report["scans"][0]["base"], Value::Null);
}

#[test]
fn a_register_with_mistakes_is_refused() {
    let folder = folder("");
    for (base, expected) in [
        ("name = \"x\"", "`diff-ids` is missing"),
        ("diff-ids = [\"sha256:00\"]\nname = \"x\"", "diff-ids[0]"),
        ("diff-ids = []\nname = \"x\"", "0 layers"),
        ("diff-ids = [\"sha256:00\"]", "`name` is missing"),
    ] {
        folder.write("policy.toml", format!("{POLICY}\n[[base]]\n{base}\n").as_bytes());
        let refused = folder.check("oci:image", &[]);
        assert_eq!(refused.code, 2, "{}", refused.shown);
        assert!(refused.shown.contains(expected), "{expected}: {}", refused.shown);
    }
}
