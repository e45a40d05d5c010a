//! The advisory file by way of a registry: what a publisher signed is taken up; what a stranger signed, what is older and what
//! has ended is not, and the file in use stays.

use std::fs;

use tests::clients::Outcome;
use tests::test_gateway::{PASSWORD, TestGateway};

fn feed(gateway: &TestGateway, fixed: &str) {
    // So many others that one change is little beside them.
    let others = (0..300).map(|number| {
        format!(r#"{{"pkg":{{"name":"other-{number}","secfixes":{{"1.{number}-r0":["CVE-2025-{number:04}"]}}}}}},"#)
    });
    let others: String = others.collect();
    let feed = format!(
        r#"{{"distroversion":"v3.20","reponame":"main","packages":[{others}
  {{"pkg":{{"name":"badlib","secfixes":{{"{fixed}":["CVE-2026-0001"]}}}}}}]}}"#
    );
    fs::write(gateway.folder().join("alpine.json"), feed).expect("the feed is written");
    let build = ["advisories", "build", "--from", "alpine.json", "--out", "published.bin", "--quiet"];
    gateway.command(&build).succeeded("advisories build");
}

/// Runs `portcullis advisories` as one of the gateway's accounts.
fn run(gateway: &TestGateway, account: &str, arguments: &[&str]) -> Outcome {
    let reference = gateway.reference("portcullis/advisories:latest");
    let mut all = vec!["advisories", arguments[0], &reference];
    all.extend(&arguments[1..]);
    all.extend(["--username", account, "--password-file", "pw"]);
    gateway.command(&all)
}

fn push(gateway: &TestGateway, key: &str, valid_for: &str) -> Outcome {
    let arguments = ["push", "--file", "published.bin", "--key", key, "--valid-for", valid_for];
    run(gateway, "builder", &arguments)
}

fn pull(gateway: &TestGateway) -> Outcome {
    run(gateway, "consumer", &["pull", "--file", "taken.bin", "--key", "release.pub"])
}

#[test]
fn a_publication_is_taken_up_when_it_is_signed_new_and_in_time() {
    let gateway = TestGateway::open();
    fs::write(gateway.folder().join("pw"), PASSWORD).expect("the password is written");
    gateway.command(&["keys", "generate", "--output", "stranger"]).succeeded("keys generate");
    let taken = || fs::read(gateway.folder().join("taken.bin")).ok();

    feed(&gateway, "1.2.4-r0");
    let told = push(&gateway, "release.key", "1h").succeeded("advisories push").stdout;
    assert!(told.contains("published as number"), "{told}");
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(told.contains("taken up"), "{told}");
    let first = fs::read(gateway.folder().join("published.bin")).expect("the file");
    assert_eq!(taken().as_ref(), Some(&first));
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(told.contains("in use already"), "{told}");

    // Another file, by a stranger.
    feed(&gateway, "1.2.5-r0");
    push(&gateway, "stranger.key", "1h").succeeded("advisories push");
    let refused = pull(&gateway);
    assert!(refused.code == 3 && refused.shown.contains("no statement about"), "{}", refused.shown);
    assert_eq!(taken().as_ref(), Some(&first), "the file in use stays");

    // By the publisher it is newer.
    push(&gateway, "release.key", "1h").succeeded("advisories push");
    pull(&gateway).succeeded("advisories pull");
    let second = fs::read(gateway.folder().join("published.bin")).expect("the file");
    assert!(second != first && taken().as_ref() == Some(&second));

    // What was taken up is newer than what is served.
    let memory = gateway.folder().join("taken.bin.taken.json");
    let seen = fs::read_to_string(&memory).expect("the memory");
    let mut newer: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    newer["counter"] = serde_json::json!(u64::MAX);
    fs::write(&memory, newer.to_string()).expect("the memory is written");
    let refused = pull(&gateway);
    assert!(refused.code == 3 && refused.shown.contains("an old one is served as new"), "{}", refused.shown);
    fs::write(&memory, seen).expect("the memory is written");

    // It has ended before anybody asks.
    feed(&gateway, "1.2.6-r0");
    push(&gateway, "release.key", "1s").succeeded("advisories push");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let refused = pull(&gateway);
    assert!(refused.code == 3 && refused.shown.contains("was to be used until"), "{}", refused.shown);
    assert_eq!(taken().as_ref(), Some(&second), "the file in use stays");
}

#[test]
fn a_site_that_is_one_behind_takes_a_delta_and_gets_the_same_file() {
    let gateway = TestGateway::open();
    fs::write(gateway.folder().join("pw"), PASSWORD).expect("the password is written");
    let read = |name: &str| fs::read(gateway.folder().join(name)).expect("the file");
    let publish = |fixed: &str| {
        feed(&gateway, fixed);
        // The counter is a time in seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        push(&gateway, "release.key", "1h").succeeded("advisories push").stdout
    };
    assert!(!publish("1.2.4-r0").contains("delta"), "there was nothing before");
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(!told.contains("delta"), "nothing was in use: {told}");
    fs::write(gateway.folder().join("first.bin"), read("published.bin")).expect("the file is kept");

    assert!(publish("1.2.5-r0").contains("with 1 deltas"));
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(told.contains("by a delta of"), "{told}");
    assert_eq!(read("taken.bin"), read("published.bin"));

    // Two behind: no delta leads from there unless the publisher names the file.
    publish("1.2.6-r0");
    fs::write(gateway.folder().join("taken.bin"), read("first.bin")).expect("the file is put back");
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(!told.contains("delta"), "{told}");
    assert_eq!(read("taken.bin"), read("published.bin"));
    feed(&gateway, "1.2.7-r0");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let arguments = [
        "push",
        "--file",
        "published.bin",
        "--key",
        "release.key",
        "--valid-for",
        "1h",
        "--delta-from",
        "first.bin",
    ];
    let told = run(&gateway, "builder", &arguments).succeeded("advisories push").stdout;
    assert!(told.contains("with 2 deltas"), "{told}");
    fs::write(gateway.folder().join("taken.bin"), read("first.bin")).expect("the file is put back");
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(told.contains("by a delta of"), "{told}");
    assert_eq!(read("taken.bin"), read("published.bin"));

    // A file that is no longer what was taken up is no base, and is replaced whole.
    publish("1.2.8-r0");
    let mut damaged = read("taken.bin");
    damaged[200] ^= 1;
    fs::write(gateway.folder().join("taken.bin"), damaged).expect("the file is damaged");
    let told = pull(&gateway).succeeded("advisories pull").stdout;
    assert!(!told.contains("delta"), "{told}");
    assert_eq!(read("taken.bin"), read("published.bin"));

    // Alone where the publisher wants it so.
    feed(&gateway, "1.2.9-r0");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let arguments =
        ["push", "--file", "published.bin", "--key", "release.key", "--valid-for", "1h", "--no-delta"];
    let told = run(&gateway, "builder", &arguments).succeeded("advisories push").stdout;
    assert!(!told.contains("deltas"), "{told}");
}
