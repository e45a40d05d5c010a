//! Door three over the same store: the same image gets the same answer there.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::fixture::{As, Fixture};
use crate::records::decisions;

async fn ask(fixture: &Fixture, who: As, question: Value) -> Value {
    fixture.call(who, Method::POST, "/admission/image", question.to_string()).await.expect(200).json()
}

async fn ask_image(fixture: &Fixture, image: &str) -> Value {
    ask(fixture, As::Consumer, json!({ "image": image })).await
}

async fn review(fixture: &Fixture, images: &[&str]) -> Value {
    let containers: Vec<Value> = images.iter().map(|image| json!({"name": "c", "image": image})).collect();
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u",
        "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "object": {"kind": "Pod", "spec": {"containers": containers}}}});
    let answer = fixture.call(As::Consumer, Method::POST, "/admission/kubernetes", body.to_string()).await;
    answer.expect(200).json()["response"].clone()
}

#[tokio::test]
async fn an_unsigned_image_is_admitted_only_once_it_is_signed() {
    let fixture = Fixture::new();
    let digest = fixture.push("signed/app", "1", &["a"]).await;
    let image = format!("registry.example/signed/app@{digest}");
    let before = ask_image(&fixture, &image).await;
    assert_eq!(before["decision"], "denied", "{before}");
    assert_eq!(before["reasons"][0]["check"], "signature", "{before}");
    let refused = review(&fixture, &[&image]).await;
    assert_eq!(refused["allowed"], false);
    assert!(refused["status"]["message"].as_str().unwrap().contains("sign"), "{refused}");
    let _ =
        fixture.put_signed(As::Signer, "signed/app", fixture.simple("signed/app", &digest)).await.expect(201);
    let after = ask_image(&fixture, &image).await;
    assert_eq!((&after["decision"], &after["digest"]), (&json!("admitted"), &json!(digest)), "{after}");
    assert_eq!(review(&fixture, &[&image]).await["allowed"], true);
    let upper = image.replace("registry.example", "REGISTRY.example");
    assert_eq!(review(&fixture, &[&image, &upper]).await["allowed"], true);
}

#[tokio::test]
async fn one_bad_image_denies_the_pod() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "1", &["a"]).await;
    let good = format!("registry.example/open/app@{digest}");
    assert_eq!(review(&fixture, &[&good]).await["allowed"], true);
    for bad in [
        "registry.example/open/absent:1",
        "registry.example:5000/open/app:1",
        "registry.example.evil.test/open/app:1",
        "nginx",
        "registry.example/nobody/rules:1",
    ] {
        let answer = review(&fixture, &[&good, bad]).await;
        assert_eq!(answer["allowed"], false, "{bad}: {answer}");
        assert!(answer["status"]["message"].as_str().unwrap().contains("1 of 2"), "{answer}");
    }
}

#[tokio::test]
async fn a_refused_image_is_denied_with_its_reasons_and_a_pin_is_asked_for() {
    let fixture = Fixture::new();
    let manifest = fixture.image("small/app", &["a", "b"]).await;
    let _ = fixture.put_manifest(As::Pusher, "small/app", "1", &manifest).await.expect(403);
    let refused = ask_image(&fixture, "registry.example/small/app:1").await;
    assert_eq!(refused["reasons"][0]["check"], "layers", "{refused}");
    let digest = fixture.push("pinned/app", "1", &["a"]).await;
    let by_tag = ask_image(&fixture, "registry.example/pinned/app:1").await;
    assert_eq!(
        (&by_tag["decision"], &by_tag["reasons"][0]["check"]),
        (&json!("denied"), &json!("pin")),
        "{by_tag}"
    );
    let by_digest = ask_image(&fixture, &format!("registry.example/pinned/app:1@{digest}")).await;
    assert_eq!(by_digest["decision"], "admitted", "{by_digest}");
}

#[tokio::test]
async fn who_may_not_pull_learns_nothing() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "1", &["a"]).await;
    for image in [format!("registry.example/open/app@{digest}"), "registry.example/open/absent:1".into()] {
        let answer = ask(&fixture, As::Nobody, json!({ "image": image })).await;
        assert_eq!(answer["decision"], "denied");
        assert!(answer["reasons"][0]["message"].as_str().unwrap().contains("may not pull"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_question_gets_no_verdict() {
    let fixture = Fixture::new();
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"image":"a","image":"b"}"#,
        r#"{"image":"UPPER/Case"}"#,
        r#"{"image":"a","x":1}"#,
    ] {
        let answer = fixture.call(As::Consumer, Method::POST, "/admission/image", body).await.expect(400);
        assert_eq!(answer.json()["decision"], "undecided", "{body}");
    }
    let large = "x".repeat(4 * 1024 * 1024);
    for path in ["/admission/image", "/admission/kubernetes"] {
        let _ = fixture.call(As::Consumer, Method::POST, path, large.clone()).await.expect(413);
    }
    let broken = fixture.call(As::Consumer, Method::POST, "/admission/kubernetes", Body::from("null")).await;
    assert_eq!(broken.expect(400).json()["response"]["allowed"], false);
}

#[tokio::test]
async fn each_admission_is_in_the_decision_log_and_a_repeated_one_once() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "1", &["a"]).await;
    let image = format!("registry.example/open/app@{digest}");
    let told = || {
        let rows = fixture.registry.records.read(|connection| decisions::rows(connection, 0, 100)).unwrap();
        let entries = rows.into_iter().map(|(_, entry, _)| serde_json::from_slice::<Value>(&entry).unwrap());
        let admissions = entries.filter(|entry| entry["checkpoint"] == "admit");
        admissions.map(|entry| format!("{} {}", entry["door"], entry["outcome"])).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(ask_image(&fixture, &image).await["decision"], "admitted");
        assert_eq!(review(&fixture, &[&image]).await["allowed"], true);
    }
    assert_eq!(told(), [r#""docker" "allowed""#, r#""kubernetes" "allowed""#]);
}

#[tokio::test]
async fn an_admission_that_cannot_be_logged_is_not_given_however_often_it_is_asked_for() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "1", &["a"]).await;
    fixture.registry.records.close();
    for _ in 0..2 {
        let answer = ask_image(&fixture, &format!("registry.example/open/app@{digest}")).await;
        assert_eq!(answer["decision"], "undecided", "{answer}");
    }
}
