//! New advisories at a running gateway: an image that was fine is found by `portcullis affected`, served for the rule's
//! grace with a warning in the log, or refused at once; nothing is pushed again.

use std::fs;
use std::time::{Duration, Instant};

use tests::image_builder::alpine_image;
use tests::test_gateway::{FIXED, TestGateway, VULNERABLE, push};

/// The same world as the test gateway's own advisories before anybody knew of the problem.
const BEFORE: &str = r#"{"distroversion":"v3.20","reponame":"main","packages":[
  {"pkg":{"name":"goodlib","secfixes":{"9.9-r0":["CVE-2020-0001"]}}}]}"#;

fn policy(grace: &str) -> String {
    format!(
        "[[rule]]\nimages = [\"**\"]\nsignatures = {{ require = \"nobody-unsafe\" }}\npin = {{ pull = \"tag\" }}
scan = {{ deny = [\"high\"], unrated = \"high\"{grace} }}\n"
    )
}

/// Compiles one feed with the command that operators use, into the file that the gateway watches for `SIGHUP`.
fn take_up(gateway: &TestGateway, feed: &str) {
    fs::write(gateway.folder().join("alpine.json"), feed).expect("the feed is written");
    let build = ["advisories", "build", "--from", "alpine.json", "--out", "advisories.bin", "--quiet"];
    gateway.command(&build).succeeded("advisories build");
    let id = gateway.process_id().to_string();
    tests::clients::run(std::path::Path::new("kill"), &["-HUP", &id], |_| {}).succeeded("kill -HUP");
}

/// What becomes known: the installed `badlib` has a problem.
const AFTER: &str = r#"{"distroversion":"v3.20","reponame":"main","packages":[
  {"pkg":{"name":"badlib","secfixes":{"1.2.4-r0":["CVE-2026-0001"]}}}]}"#;

#[test]
fn an_image_that_is_now_known_to_be_bad_is_found_and_refused() {
    let gateway = TestGateway::start(&policy(""), "");
    take_up(&gateway, BEFORE);
    let producer = gateway.caller("builder");
    push(&producer, "app", "bad", &alpine_image("old", VULNERABLE).build());
    push(&producer, "app", "good", &alpine_image("new", FIXED).build());
    gateway.wait_for("/v2/app/manifests/bad", 200);

    take_up(&gateway, AFTER);
    let refused = gateway.wait_for("/v2/app/manifests/bad", 403);
    assert!(refused.contains("CVE-2026-0001") && refused.contains("1.2.4-r0"), "{refused}");
    gateway.wait_for("/v2/app/manifests/good", 200);

    let asked = ["affected", "CVE-2026-0001", "--data-dir", "data", "--advisories", "advisories.bin"];
    let told = gateway.command(&asked).succeeded("affected").stdout;
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("app:bad@sha256:") && told.contains(" released: badlib 1.2.3-r0"), "{told}");
    assert!(told.contains("fixed in 1.2.4-r0"), "{told}");
    let asked = ["affected", "pkg:apk/alpine/badlib", "--data-dir", "data", "--json"];
    let told: serde_json::Value =
        serde_json::from_str(&gateway.command(&asked).succeeded("affected").stdout).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(2), "{told}");
    let told = gateway.command(&["images", "app", "--data-dir", "data", "--json"]).succeeded("images").stdout;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["images"].as_array().map(Vec::len), Some(2), "{told}");
    assert!(told["images"][0]["bytes"].as_u64() > Some(0), "{told}");
    let told = gateway.command(&["images", "--data-dir", "data"]).succeeded("images").stdout;
    assert!(told.contains("app:good@sha256:") && told.contains("2 images name"), "{told}");
    assert_eq!(gateway.command(&["images", "--data-dir", "nowhere"]).code, 2);
    let asked = ["affected", "CVE-1999-0001", "--data-dir", "data", "--advisories", "advisories.bin"];
    let told = gateway.command(&asked).succeeded("affected").stdout;
    assert!(told.starts_with("no stored image"), "{told}");
}

#[test]
fn a_grace_keeps_it_served_and_says_so() {
    let gateway = TestGateway::start(&policy(", grace = \"7d\""), "");
    take_up(&gateway, BEFORE);
    push(&gateway.caller("builder"), "app", "bad", &alpine_image("old", VULNERABLE).build());
    gateway.wait_for("/v2/app/manifests/bad", 200);
    take_up(&gateway, AFTER);
    let deadline = Instant::now() + Duration::from_secs(20);
    let log = ["log", "show", "--data-dir", "data", "--last", "1"];
    let mut told = String::new();
    while !told.contains("the image is served until") {
        assert!(Instant::now() < deadline, "{told}");
        std::thread::sleep(Duration::from_millis(50));
        told = gateway.command(&log).succeeded("log show").stdout;
    }
    assert!(told.contains("allowed") && told.contains("CVE-2026-0001"), "{told}");
    gateway.wait_for("/v2/app/manifests/bad", 200);
}
