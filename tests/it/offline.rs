//! Decisions need no network: in a namespace that has only loopback everything is decided, and nothing tries to leave.

use std::path::Path;

use tests::clients::{self, Outcome, skip};
use tests::image_builder::sha256;
use tests::test_gateway::{portcullis, workspace};

/// Runs a program where there is no way out, then tells how often something looked for one: the kernel counts what finds
/// no route.
const SCRIPT: &str = r#"
ip link set lo up || exit 99
"$0" "$@"
code=$?
awk '/^Ip:/ { if (column) print "ways out sought: " $column; else for (i = 1; i <= NF; i++) if ($i == "OutNoRoutes") column = i }' /proc/net/snmp
exit $code
"#;

fn cut_off(program: &Path, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = program.display().to_string();
    let all = [&["--map-root-user", "--net", "sh", "-c", SCRIPT, &program], arguments].concat();
    clients::run(Path::new("unshare"), &all, |command| {
        command.current_dir(folder.path());
    })
}

/// Whether namespaces can be made here, and the counter counts.
fn can_cut_off(test: &str) -> bool {
    let tried = cut_off(Path::new("bash"), &["-c", "exec 3<>/dev/tcp/192.0.2.1/9"]);
    if !tried.stdout.contains("ways out sought") {
        skip(test, "network namespaces cannot be made here");
        return false;
    }
    assert!(tried.stdout.contains("ways out sought: 1"), "the counter does not count: {}", tried.shown);
    true
}

#[test]
fn the_gate_refuses_signs_releases_and_admits_without_a_network() {
    if !can_cut_off("the_gate_refuses_signs_releases_and_admits_without_a_network") {
        return;
    }
    let demo = cut_off(&portcullis(), &["demo"]).succeeded("portcullis demo");
    assert!(demo.stdout.contains("ways out sought: 0"), "{}", demo.shown);
}

#[test]
fn a_keyless_bundle_is_verified_without_a_network() {
    if !can_cut_off("a_keyless_bundle_is_verified_without_a_network") {
        return;
    }
    let vectors = workspace().join("keys/tests/vectors/keyless");
    let path = |name: &str| vectors.join(name).display().to_string();
    let manifest = std::fs::read(vectors.join("email/manifest.json")).expect("the vector");
    for (subject, code) in [("dev@acme.example", 0), ("boss@acme.example", 1)] {
        let verified = cut_off(
            &portcullis(),
            &[
                "conformance",
                "verify-bundle",
                "--bundle",
                &path("email/bundle.json"),
                "--certificate-identity",
                subject,
                "--certificate-oidc-issuer",
                "https://issuer.fixture.example",
                "--trusted-root",
                &path("trusted_root.json"),
                &sha256(&manifest),
            ],
        );
        assert_eq!(verified.code, code, "{subject}: {}", verified.shown);
        assert!(verified.stdout.contains("ways out sought: 0"), "{}", verified.shown);
    }
}
