//! The official conformance suite of the OCI distribution spec passes against `portcullis serve` with the gate on.

use std::fs;

use tests::clients::{self, find_or_skip};
use tests::test_gateway::{PASSWORD, TestGateway};

/// The gate is on: every push is scanned and judged. The rule accepts what the suite's made-up content cannot have: a
/// signature, a distribution, a user.
const POLICY: &str = r#"
[[rule]]
images = ["registry.example/conformance/**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = ["critical"], secrets = "deny", unknown = "accept-unsafe" }
image = { max-size = "10MiB", max-layers = 10, user = "any" }
enforce = "warn"
"#;

/// The suite sends its credentials only where it is asked for them; with anonymous pulls allowed, nobody would ask.
const CONFIGURATION: &str = "[access]\nanonymous-pull = []\n";

/// Switched off, because the gate refuses them by design and the spec leaves a registry that choice:
/// an index in an index, and layers that clients would fetch from foreign URLs.
const REFUSED_BY_DESIGN: [(&str, &str); 2] =
    [("OCI_DATA_INDEX_LIST", "false"), ("OCI_DATA_NONDISTRIBUTABLE", "false")];

/// Asked for although the suite leaves them off by default.
const ASKED_BEYOND_THE_DEFAULT: [(&str, &str); 4] = [
    ("OCI_API_BLOBS_DIGEST_HEADER", "true"),
    ("OCI_API_BLOBS_UPLOAD_CANCEL", "true"),
    ("OCI_API_MANIFESTS_DIGEST_HEADER", "true"),
    ("OCI_API_MANIFESTS_TAG_PARAM", "true"),
];

#[test]
fn the_distribution_specs_own_suite_passes_with_the_gate_on() {
    let test = "the_distribution_specs_own_suite_passes_with_the_gate_on";
    let Some(suite) = find_or_skip(test, "oci-conformance") else { return };
    let gateway = TestGateway::start(POLICY, CONFIGURATION);
    let results = gateway.folder().join("results");
    let outcome = clients::run(&suite, &[], |command| {
        command
            .current_dir(gateway.folder())
            .env("OCI_REGISTRY", &gateway.address)
            .env("OCI_TLS", "disabled")
            .env("OCI_REPO1", "conformance/one")
            .env("OCI_REPO2", "conformance/two")
            .env("OCI_USERNAME", "admin")
            .env("OCI_PASSWORD", PASSWORD)
            .env("OCI_RESULTS_DIR", &results)
            .env("OCI_VERSION", "1.1")
            .envs(REFUSED_BY_DESIGN)
            .envs(ASKED_BEYOND_THE_DEFAULT);
    });
    assert_eq!(outcome.code, 0, "the suite failed:\n{}\n{}", outcome.shown, failures(&results));
    println!("{}", outcome.shown);
}

fn failures(results: &std::path::Path) -> String {
    let junit = fs::read_to_string(results.join("junit.xml")).unwrap_or_default();
    junit.lines().filter(|line| line.contains("failure")).collect::<Vec<_>>().join("\n")
}
