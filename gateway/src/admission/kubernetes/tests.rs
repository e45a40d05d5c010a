//! The recorded requests, and the ways around an admission check that others have been caught by.

use super::*;
use crate::admission::refuse_foreign;
use crate::gate::Checkpoint;
use crate::gate::verdict::{Denial, Reason};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn reason(message: &str) -> Reason {
    Reason::new("signature", "prod", message, "sign it")
}

fn no() -> Answer {
    Answer::Denied(Denial::new("app".into(), Checkpoint::Admit, vec![reason("not signed")]))
}

fn yes() -> Answer {
    Answer::Admitted { digest: DIGEST.into(), warnings: Vec::new() }
}

/// A judge that admits what comes from `registry.example` and has `good` in its name.
fn judge(asked: &Asked) -> Answer {
    match refuse_foreign(&asked.image, &["registry.example".into()]) {
        Some(denial) => Answer::Denied(denial),
        None if asked.image.repository().contains("good") => yes(),
        None => no(),
    }
}

fn answer(body: &[u8]) -> Value {
    match Review::read(body) {
        Ok(review) => review.reply(&review.asked().iter().map(judge).collect::<Vec<_>>()),
        Err(error) => reply_to_broken(&error),
    }
}

fn is_allowed(reply: &Value) -> bool {
    reply["response"]["allowed"].as_bool().unwrap()
}

fn request(operation: &str, group: &str, kind: &str, object: &Value, old: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "operation": operation, "kind": {"group": group, "version": "v1", "kind": kind},
        "object": object, "oldObject": old,
    }})
}

fn create(group: &str, kind: &str, object: &Value) -> Value {
    answer(request("CREATE", group, kind, object, &Value::Null).to_string().as_bytes())
}

fn spec(image: &str) -> Value {
    json!({"containers": [{"name": "web", "image": image}]})
}

fn pod(image: &str) -> Value {
    json!({"kind": "Pod", "spec": spec(image)})
}

fn good() -> String {
    format!("registry.example/good@{DIGEST}")
}

fn recorded(name: &str) -> Option<Vec<u8>> {
    let path = crate::test_data::recorded("recorded admission requests", "admission/requests.tar.zst")?;
    let packed = std::fs::read(path).unwrap();
    let plain = zstd::decode_all(packed.as_slice()).unwrap();
    tar::Archive::new(plain.as_slice()).entries().unwrap().find_map(|entry| {
        let mut entry = entry.unwrap();
        if !entry.path().unwrap().ends_with(name) {
            return None;
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        // Four were recorded in the form that Kubernetes 1.22 removed; `request` is the same in both.
        let text = String::from_utf8_lossy(&bytes).replace("admission.k8s.io/v1beta1", "admission.k8s.io/v1");
        Some(text.into_bytes())
    })
}

#[test]
fn recorded_requests_name_their_images() {
    let sha = "sha256:91ac9b26df583762234c1cdb2fc930364754ccc59bc752a2bfe298d2ea68f9ff";
    let charlie = format!("docker.io/securesystemsengineering/charlie-image@{sha}");
    for (name, images) in [
        ("01_deployment.json", vec!["docker.io/securesystemsengineering/alice-image:test"]),
        ("02_pod.json", vec![charlie.as_str()]),
        ("03_replicaset.json", vec!["docker.io/securesystemsengineering/sample-san-sama:hai"]),
        ("05_replication_controller.json", vec!["docker.io/library/nginx"]),
        ("07_statefulset.json", vec!["registry.k8s.io/nginx-slim:0.8"]),
        ("08_job.json", vec!["docker.io/library/perl:5.34.0"]),
        ("11_role.json", vec![]),
        ("14_deny_me_job.json", vec![&format!("my.reg/deny-me@{sha}")]),
        ("15_allow_me_job.json", vec![&format!("my.reg/allow-me@{sha}")]),
        ("17_deny_me_pod.json", vec![&format!("my.reg/deny-me@{sha}")]),
        ("18_allow_me_pod.json", vec![&format!("my.reg/allow-me@{sha}")]),
        ("19_pod_initcontainer.json", vec![charlie.as_str(), "docker.io/library/nginx"]),
        ("22_allow_me_with_index_docker_io.json", vec!["docker.io/library/test-image"]),
        (
            "23_alice_digest_dpl.json",
            vec![
                "docker.io/securesystemsengineering/alice-image@sha256:1234567890123456123456789012345612345678901234561234567890123456",
            ],
        ),
        // A scale-down from 4 to 2, and a deployment whose finalizers run: neither starts anything.
        (
            "10_update.json",
            vec![
                "docker.io/library/redis:latest@sha256:1111111111111111111111111111111111111111111111111111111111111111",
            ],
        ),
        ("28_deleted_deployment_updated.json", vec!["docker.io/library/busybox"]),
    ] {
        let Some(body) = recorded(name) else {
            return;
        };
        let review = Review::read(&body).unwrap();
        let found: Vec<String> = review.asked().iter().map(|asked| asked.image.to_string()).collect();
        assert_eq!(found, images, "{name}");
        let may_pass_unjudged =
            ["11_role", "10_update", "28_deleted"].iter().any(|prefix| name.starts_with(prefix));
        let all_no: Vec<Answer> = found.iter().map(|_| no()).collect();
        let all_yes: Vec<Answer> = found.iter().map(|_| yes()).collect();
        assert_eq!(is_allowed(&review.reply(&all_no)), may_pass_unjudged, "{name}");
        assert!(is_allowed(&review.reply(&all_yes)), "{name}");
    }
}

#[test]
fn recorded_broken_requests_are_denied_and_say_what_is_missing() {
    for (name, expected) in [
        ("12_err_pod.json", "`object.spec` is missing"),
        ("21_broken_admission_request.json", "no `request.uid`"),
        ("25_null_request.json", "not acceptable JSON"),
        ("26_broken_update_admission_request.json", "no `request.uid`"),
    ] {
        let Some(body) = recorded(name) else {
            println!(
                "SKIPPED: recorded_broken_requests_are_denied_and_say_what_is_missing: no recorded requests"
            );
            return;
        };
        let reply = answer(&body);
        assert!(!is_allowed(&reply), "{name}");
        assert_eq!(reply["response"]["status"]["code"], 403);
        let message = reply["response"]["status"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn every_workload_kind_is_looked_into() {
    let template = |image: &str| json!({"spec": {"template": {"spec": spec(image)}}});
    for (group, kind, wrap) in [
        ("", "Pod", &(|image: &str| json!({"spec": spec(image)})) as &dyn Fn(&str) -> Value),
        ("", "PodTemplate", &|image| json!({"template": {"spec": spec(image)}})),
        ("", "ReplicationController", &template),
        ("apps", "ReplicaSet", &template),
        ("apps", "Deployment", &template),
        ("apps", "StatefulSet", &template),
        ("apps", "DaemonSet", &template),
        ("extensions", "Deployment", &template),
        ("batch", "Job", &template),
        (
            "batch",
            "CronJob",
            &|image| json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec(image)}}}}}),
        ),
        ("operator.example", "Database", &template),
        (
            "operator.example",
            "Deep",
            &|image| json!({"spec": {"roles": [{"podTemplate": {"spec": spec(image)}}]}}),
        ),
    ] {
        assert!(is_allowed(&create(group, kind, &wrap(&good()))), "{kind}");
        assert!(!is_allowed(&create(group, kind, &wrap("registry.example/bad:1"))), "{kind}");
    }
}

#[test]
fn every_container_field_is_looked_into() {
    for (field, value) in [
        ("initContainers", json!([{"name": "x", "image": "registry.example/bad"}])),
        ("ephemeralContainers", json!([{"name": "x", "image": "registry.example/bad"}])),
        ("volumes", json!([{"name": "x", "image": {"reference": "registry.example/bad"}}])),
        ("volumes", json!([{"name": "x", "image": {}}])),
        ("initContainers", json!([{"name": "x"}])),
        ("initContainers", json!({"name": "x"})),
        ("containers", json!([])),
        ("containers", json!([{"name": "x", "image": ""}])),
        ("containers", json!([{"name": "x", "image": null}])),
        ("containers", json!([{"name": "x", "image": 5}])),
        ("containers", Value::Null),
    ] {
        let mut object = pod(&good());
        object["spec"][field] = value.clone();
        assert!(!is_allowed(&create("", "Pod", &object)), "{field} {value}");
    }
}

#[test]
fn names_that_only_look_like_ours_are_denied() {
    for image in [
        "registry.example.evil.test/good",
        "evil.test/registry.example/good",
        "registry.example:5000/good",
        "registry.example:443/good",
        "registry.example@evil.test/good",
        "registryxexample/good",
        "good",
        "library/good",
        "docker.io/registry.example/good",
        "registry.example./good",
        "xn--registry.example/good",
        "registry.example/GOOD",
        " registry.example/good",
    ] {
        assert!(!is_allowed(&create("", "Pod", &pod(image))), "{image}");
    }
    for image in ["registry.example/good", "REGISTRY.Example/good:1"] {
        assert!(is_allowed(&create("", "Pod", &pod(image))), "{image}");
    }
}

#[test]
fn an_update_is_judged_unless_it_starts_nothing_new() {
    let bad = "registry.example/bad:1";
    let deployment = |image: &str, replicas: u64| {
        json!({"kind": "Deployment", "metadata": {"annotations": {}}, "spec": {
        "replicas": replicas, "template": {"spec": spec(image)}}})
    };
    let with = |mut object: Value, pointer: &str, key: &str, value: Value| {
        object.pointer_mut(pointer).unwrap()[key] = value;
        object
    };
    let deleted =
        |object: Value| with(object, "/metadata", "deletionTimestamp", json!("2026-01-01T00:00:00Z"));
    let before = deployment(bad, 3);
    for (why, new, allowed) in [
        ("scale down", deployment(bad, 1), true),
        ("same", before.clone(), true),
        ("metadata only", with(before.clone(), "/metadata", "labels", json!({"a": "b"})), true),
        ("scale up", deployment(bad, 4), false),
        ("replicas gone is one", with(before.clone(), "/spec", "replicas", json!(1)), true),
        ("replicas of another type", with(before.clone(), "/spec", "replicas", json!("1")), false),
        ("other bad image", deployment("registry.example/bad:2", 3), false),
        (
            "restart",
            with(before.clone(), "/spec/template", "metadata", json!({"annotations": {"restarted": "now"}})),
            false,
        ),
        (
            "privileged now",
            with(
                before.clone(),
                "/spec/template/spec/containers/0",
                "securityContext",
                json!({"privileged": true}),
            ),
            false,
        ),
        ("good image", deployment(&good(), 9), true),
        ("going", deleted(before.clone()), true),
        ("going with another image", deleted(deployment("registry.example/worse", 3)), false),
        (
            "annotated as verified",
            with(
                before.clone(),
                "/spec/template",
                "metadata",
                json!({"annotations": {"portcullis/verified": "true"}}),
            ),
            false,
        ),
    ] {
        let reply = answer(request("UPDATE", "apps", "Deployment", &new, &before).to_string().as_bytes());
        assert_eq!(is_allowed(&reply), allowed, "{why}: {reply}");
        let no_old =
            answer(request("UPDATE", "apps", "Deployment", &new, &Value::Null).to_string().as_bytes());
        assert_eq!(is_allowed(&no_old), why == "good image", "{why} without the old object");
    }
    let debug = with(pod(&good()), "/spec", "ephemeralContainers", json!([{"name": "d", "image": bad}]));
    let reply = answer(request("UPDATE", "", "Pod", &debug, &pod(&good())).to_string().as_bytes());
    assert!(!is_allowed(&reply), "an ephemeral container is new");
}

#[test]
fn what_cannot_be_understood_is_denied() {
    let whole = request("CREATE", "", "Pod", &pod(&good()), &Value::Null);
    let with = |pointer: &str, value: Value| {
        let mut body = whole.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    let twice = whole.to_string().replacen("\"containers\":[", "\"containers\":[],\"containers\":[", 1);
    for (why, body) in [
        ("empty", String::new()),
        ("list", "[]".into()),
        ("old version", with("/apiVersion", json!("admission.k8s.io/v1beta1"))),
        ("other kind", with("/kind", json!("Pod"))),
        ("no operation", with("/request/operation", Value::Null)),
        ("unknown operation", with("/request/operation", json!("create"))),
        ("no kind", with("/request/kind", Value::Null)),
        ("no object", with("/request/object", Value::Null)),
        ("empty object", with("/request/object", json!({}))),
        ("object as text", with("/request/object", json!("pod"))),
        ("object of another kind", with("/request/object/kind", json!("Role"))),
        ("no uid", with("/request/uid", json!(""))),
        ("keys twice", twice),
        ("trailing", format!("{whole}{{}}")),
        ("many", with("/request/object/spec/containers", json!(vec![json!({"image": good()}); 300]))),
    ] {
        assert!(!is_allowed(&answer(body.as_bytes())), "{why}");
    }
    assert!(matches!(Review::read(&vec![b' '; BODY_BYTES_MAX + 1]), Err(ReviewError::TooLarge(_))));
    assert!(is_allowed(&answer(whole.to_string().as_bytes())));
}

#[test]
fn deletions_and_objects_without_containers_pass() {
    for (operation, group, kind, object) in [
        ("DELETE", "", "Pod", Value::Null),
        ("CONNECT", "", "PodExecOptions", json!({"kind": "PodExecOptions", "container": "web"})),
        ("CREATE", "", "ConfigMap", json!({"data": {"pod": "containers: [{image: bad}]"}})),
        ("UPDATE", "autoscaling", "Scale", json!({"spec": {"replicas": 9}})),
        (
            "CREATE",
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({"spec": {"properties": {"containers": {"type": "array", "items": {"image": {"type": "string"}}}}}}),
        ),
    ] {
        let reply = answer(request(operation, group, kind, &object, &Value::Null).to_string().as_bytes());
        assert!(is_allowed(&reply), "{operation} {kind}");
    }
}

#[test]
fn what_a_container_wants_from_its_host_is_evidence() {
    let object = json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/b": "unconfined"}}, "spec": {
    "securityContext": {"appArmorProfile": {"type": "Unconfined"}},
    "volumes": [{"name": "h", "hostPath": {"path": "/etc"}}],
    "containers": [
        {"name": "a", "image": good(), "securityContext": {"privileged": true, "appArmorProfile": {"type": "RuntimeDefault"}}},
        {"name": "b", "image": "registry.example/good:1"},
        {"name": "c", "image": good(), "securityContext": {"windowsOptions": {"hostProcess": true}}},
    ]}});
    let body = request("CREATE", "", "Pod", &object, &Value::Null).to_string();
    let review = Review::read(body.as_bytes()).unwrap();
    let seen: Vec<_> = review
        .asked()
        .iter()
        .map(|asked| (asked.runtime.privileged, asked.runtime.apparmor_unconfined, asked.runtime.pinned))
        .collect();
    assert_eq!(seen, [(true, false, true), (false, true, false), (true, true, true)]);
    assert_eq!(review.asked()[0].runtime.host_binds, ["/etc"]);
}

#[test]
fn the_answer_is_in_the_protocols_form_and_bounded() {
    let many = vec![reason(&"x".repeat(500)); 100];
    let body = request("CREATE", "", "Pod", &pod(&good()), &Value::Null).to_string();
    let review = Review::read(body.as_bytes()).unwrap();
    let warned = review.reply(&[Answer::Admitted { digest: DIGEST.into(), warnings: many.clone() }]);
    let warnings = warned["response"]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), WARNINGS_MAX);
    assert!(warnings.iter().all(|text| text.as_str().unwrap().len() <= WARNING_BYTES_MAX));
    let denied = review.reply(&[Answer::Denied(Denial::new("app".into(), Checkpoint::Admit, many))]);
    assert_eq!(denied["response"]["uid"], "u-1");
    assert!(denied["response"]["status"]["message"].as_str().unwrap().len() <= MESSAGE_BYTES_MAX);
    assert!(denied["response"]["auditAnnotations"]["images"].as_str().unwrap().ends_with("denied"));
    for answers in [vec![], vec![Answer::undecided("the store is locked")]] {
        assert!(!is_allowed(&review.reply(&answers)), "no answer is no");
    }
}
