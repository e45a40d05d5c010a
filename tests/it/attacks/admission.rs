//! Group 19: containers that try to start from what the gateway did not admit, asked over HTTP as an API server does.

use serde_json::{Value, json};

use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{FIXED, REGISTRY_NAME, TestGateway, push, push_signature, sign_bundle};

const REPOSITORY: &str = "team-a/app";

fn review(kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": kind },
            "resource": { "group": "", "version": "v1", "resource": format!("{}s", kind.to_lowercase()) },
            "name": "x",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {},
            "object": object,
        },
    })
}

fn pod(spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" }, "spec": spec })
}

/// Whether the pod may run, and why not.
fn ask(gateway: &TestGateway, review: &Value) -> (bool, String) {
    let body = review.to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = gateway.caller("consumer").send("POST", "/admission/kubernetes", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let response = &answer.json()["response"];
    assert_eq!(response["uid"], review["request"]["uid"], "{}", answer.text());
    (
        response["allowed"] == json!(true),
        response["status"]["message"].as_str().unwrap_or_default().to_owned(),
    )
}

fn released(gateway: &TestGateway) -> Image {
    let image = alpine_image("admitted", FIXED).build();
    let builder = gateway.caller("builder");
    assert_eq!(push(&builder, REPOSITORY, "1.0", &image).status, 201);
    assert_eq!(
        push_signature(&builder, REPOSITORY, &sign_bundle(&gateway.signer(), &image.manifest)).status,
        201
    );
    image
}

#[test]
fn only_what_is_released_starts_in_any_container_field_and_under_no_similar_name() {
    let gateway = TestGateway::strict();
    let image = released(&gateway);
    let staged = alpine_image("staged", FIXED).build();
    assert_eq!(push(&gateway.caller("builder"), REPOSITORY, "2.0", &staged).status, 201);
    let name = |registry: &str, digest: &str| format!("{registry}/{REPOSITORY}@{digest}");
    let good = name(REGISTRY_NAME, &image.manifest.digest);
    let (allowed, why) =
        ask(&gateway, &review("Pod", &pod(&json!({ "containers": [{ "name": "a", "image": good }] }))));
    assert!(allowed, "the released image is denied: {why}");

    let digest = image.manifest.digest.as_str();
    let bad = [
        name(REGISTRY_NAME, &staged.manifest.digest),
        name(REGISTRY_NAME, &alpine_image("unknown", FIXED).build().manifest.digest),
        name(&format!("{REGISTRY_NAME}.evil"), digest),
        name(&format!("{REGISTRY_NAME}:5001"), digest),
        name(&format!("evil/{REGISTRY_NAME}"), digest),
        format!("{REPOSITORY}@{digest}"),
        format!("app@{digest}"),
        format!("{REGISTRY_NAME}/{REPOSITORY}@{}", &digest[..40]),
        String::new(),
    ];
    for image in &bad {
        let container = json!([{ "name": "b", "image": image }]);
        let (allowed, why) = ask(&gateway, &review("Pod", &pod(&json!({ "containers": container }))));
        assert!(!allowed, "`{image}` may run");
        assert!(!why.is_empty(), "`{image}` is denied without a reason");
    }
    let first = json!([{ "name": "a", "image": good }]);
    let second = json!([{ "name": "b", "image": bad[0] }]);
    for field in ["initContainers", "ephemeralContainers"] {
        let mut spec = json!({ "containers": first });
        spec[field] = second.clone();
        assert!(!ask(&gateway, &review("Pod", &pod(&spec))).0, "{field} hid a staged image");
    }
    let volume =
        json!({ "containers": first, "volumes": [{ "name": "v", "image": { "reference": bad[0] } }] });
    assert!(!ask(&gateway, &review("Pod", &pod(&volume))).0, "an image volume hid a staged image");
    let template = json!({ "template": pod(&json!({ "containers": second })) });
    for kind in ["Job", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] {
        let object =
            json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "x" }, "spec": template });
        assert!(!ask(&gateway, &review(kind, &object)).0, "{kind} hid a staged image");
    }
    let cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "x" },
        "spec": { "schedule": "* * * * *", "jobTemplate": { "spec": template } },
    });
    assert!(!ask(&gateway, &review("CronJob", &cron)).0, "CronJob hid a staged image");
}
