//! What passes, what is asked about, and the ways around such plug-ins that others have been caught by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn call(method: &str, uri: &str, body: Option<&str>) -> Vec<u8> {
    let mut call = json!({"RequestMethod": method, "RequestUri": uri, "RequestHeaders": {"Content-Type": "application/json"}});
    if let Some(body) = body {
        call["RequestBody"] = BASE64.encode(body).into();
    }
    call.to_string().into_bytes()
}

fn ask(method: &str, uri: &str, body: Option<&str>) -> Question {
    read(&call(method, uri, body), LocalImages::Denied)
}

fn images(question: Question) -> Vec<String> {
    match question {
        Question::Images(asked) => asked.iter().map(|asked| asked.image.to_string()).collect(),
        other => panic!("expected a question about images, found {other:?}"),
    }
}

#[track_caller]
fn refused(question: &Question, text: &str) {
    assert!(matches!(question, Question::Refused(why) if why.contains(text)), "{text}: {question:?}");
}

fn good() -> String {
    format!("registry.example/app@{DIGEST}")
}

#[test]
fn creating_a_container_asks_about_its_image() {
    let body = json!({"Image": good()}).to_string();
    for uri in [
        "/containers/create",
        "/v1.43/containers/create?name=web",
        "//v1.43//containers/create",
        "/v1.43/containers/%63reate",
        "/containers/create/",
        "http://docker/v1.43/containers/create",
    ] {
        assert_eq!(images(ask("POST", uri, Some(&body))), [good()], "{uri}");
    }
    let lower = json!({"image": good()}).to_string();
    assert_eq!(images(ask("POST", "/containers/create", Some(&lower))), [good()], "Go ignores letter case");
}

#[test]
fn cve_2024_41110_a_request_without_body_is_denied() {
    for (uri, body) in [
        ("/v1.43/containers/create", None),
        ("/v1.43/containers/create", Some("")),
        ("/v1.43/containers/create", Some("null")),
        ("/v1.43/services/create", None),
        ("/v1.43/services/x/update?version=1", None),
    ] {
        refused(&ask("POST", uri, body), "did not show the request's body");
    }
}

#[test]
fn cve_2026_34040_an_oversized_call_is_denied() {
    let padding = "x".repeat(CALL_BYTES_MAX);
    let body = json!({"Image": good(), "Labels": {"a": padding}}).to_string();
    refused(&ask("POST", "/containers/create", Some(&body)), "over the limit");
}

#[test]
fn json_that_two_readers_read_differently_is_denied() {
    let evil = "registry.example/evil:1";
    for body in [
        format!(r#"{{"Image":"{0}","Image":"{evil}"}}"#, good()),
        format!(r#"{{"Image":"{0}","image":"{evil}"}}"#, good()),
        format!(r#"{{"Image":"{0}","\u0049mage":"{evil}"}}"#, good()),
        format!(r#"{{"Image":"{0}"}}{{"Image":"{evil}"}}"#, good()),
        format!(r#"{{"Image":"{0}","HostConfig":{{"Privileged":false,"privileged":true}}}}"#, good()),
        format!(r#"{{"Image":"{0}","HostConfig":[]}}"#, good()),
        "[]".into(),
        r#"{"Image":5}"#.into(),
        "{}".into(),
    ] {
        assert!(matches!(ask("POST", "/containers/create", Some(&body)), Question::Refused(_)), "{body}");
    }
}

#[test]
fn a_container_needs_a_digest() {
    for (image, text) in [
        ("registry.example/app:1", "has no digest"),
        ("nginx", "has no digest"),
        (DIGEST, "id of a local image"),
        (&DIGEST[7..], "id of a local image"),
        ("sha256:e3b0c442", "id of a local image"),
        ("e3b0c44298fc", "has no digest"),
        ("Registry.Example/App", "is not a repository name"),
        ("", "names no image"),
    ] {
        refused(&ask("POST", "/containers/create", Some(&json!({"Image": image}).to_string())), text);
    }
}

#[test]
fn what_a_container_wants_from_its_host_is_evidence() {
    let body = json!({"Image": good(), "HostConfig": {"Privileged": true, "SecurityOpt": ["apparmor=unconfined"],
        "Binds": ["/etc:/host:ro", "volume:/data"], "Mounts": [{"Type": "bind", "Source": "/var/run"}, {"Type": "volume", "Source": "v"}]}});
    let Question::Images(asked) = ask("POST", "/containers/create", Some(&body.to_string())) else {
        panic!("expected a question");
    };
    let runtime = &asked[0].runtime;
    assert!(runtime.privileged && runtime.apparmor_unconfined && runtime.pinned);
    assert_eq!(runtime.host_binds, ["/etc", "/var/run"]);
}

#[test]
fn an_exec_takes_no_more_rights_than_its_container_has() {
    assert_eq!(ask("POST", "/containers/a/exec", Some(r#"{"Cmd":["sh"]}"#)), Question::Harmless);
    refused(&ask("POST", "/containers/a/exec", Some(r#"{"privileged":true}"#)), "privileged exec");
    refused(&ask("POST", "/containers/a/exec", None), "did not show");
}

#[test]
fn services_ask_about_their_image() {
    let spec = |task: serde_json::Value| json!({"Name": "web", "TaskTemplate": task}).to_string();
    let container = spec(json!({"ContainerSpec": {"Image": good()}}));
    for uri in ["/v1.43/services/create", "/services/abc/update?version=3"] {
        assert_eq!(images(ask("POST", uri, Some(&container))), [good()]);
        refused(
            &ask("POST", uri, Some(&spec(json!({"ContainerSpec": {"Image": "registry.example/app:1"}})))),
            "no digest",
        );
        refused(
            &ask("POST", uri, Some(&spec(json!({"PluginSpec": {"Remote": "x"}, "Runtime": "plugin"})))),
            "plug-in",
        );
        refused(&ask("POST", uri, Some(&spec(json!({})))), "ContainerSpec");
        refused(&ask("POST", uri, Some("{}")), "TaskTemplate");
    }
}

#[test]
fn pulls_ask_about_what_is_pulled() {
    for (uri, expected) in [
        ("/images/create?fromImage=registry.example%2Fapp&tag=1", "registry.example/app:1".to_owned()),
        (&format!("/v1.43/images/create?fromImage=registry.example/app&tag={DIGEST}"), good()),
        (
            "/images/create?fromImage=nginx&tag=latest&platform=linux%2Famd64",
            "docker.io/library/nginx:latest".to_owned(),
        ),
        ("/images/create?fromImage=nginx:1.25", "docker.io/library/nginx:1.25".to_owned()),
    ] {
        assert_eq!(images(ask("POST", uri, None)), [expected]);
    }
    for (uri, text) in [
        ("/images/create", "names no image"),
        ("/images/create?fromSrc=-&repo=app", "importing"),
        ("/images/create?fromImage=registry.example/app", "every tag"),
        ("/images/create?fromImage=a&fromImage=b", "not plain"),
        ("/images/create?fromImage=a;tag=b", "not plain"),
        ("/images/create?fromImage=a%00&tag=1", "not plain"),
        ("/images/create?fromImage=a.example/App&tag=1", "not a repository"),
        ("/images/create?fromImage=UPPER/app&tag=1", "is not a registry host"),
    ] {
        refused(&ask("POST", uri, None), text);
    }
    let form = json!({"RequestMethod": "POST", "RequestUri": "/images/create?fromImage=a.example/good&tag=1",
        "RequestHeaders": {"content-type": "Application/X-WWW-Form-Urlencoded"}});
    refused(&read(form.to_string().as_bytes(), LocalImages::Denied), "form");
}

#[test]
fn making_images_is_for_build_hosts() {
    for uri in [
        "/build?t=x",
        "/commit?container=x",
        "/images/load",
        "/session",
        "/grpc",
        "/images/a/b/tag?repo=x",
        "/images/create?fromSrc=-",
    ] {
        refused(&ask("POST", uri, None), "--allow-local-images");
        assert_eq!(read(&call("POST", uri, None), LocalImages::Allowed), Question::Harmless, "{uri}");
    }
    let unpinned = json!({"Image": "built:1"}).to_string();
    refused(&read(&call("POST", "/containers/create", Some(&unpinned)), LocalImages::Allowed), "no digest");
}

#[test]
fn changes_that_are_not_known_are_denied() {
    for (method, uri) in [
        ("POST", "/plugins/pull?remote=x"),
        ("POST", "/plugins/a/b/upgrade?remote=x"),
        ("POST", "/plugins/a/enable"),
        ("POST", "/swarm/join"),
        ("POST", "/something/new"),
        ("PUT", "/containers/create"),
        ("post", "/containers/create"),
        ("POST", "/containers/../containers/create"),
        ("POST", "/containers/%2e%2e/create"),
        ("POST", "/containers%252Fcreate"),
        ("POST", "containers/create"),
        ("POST", "/"),
        ("POST", "/v1.43"),
        ("", "/info"),
    ] {
        assert!(matches!(ask(method, uri, None), Question::Refused(_)), "{method} {uri}");
    }
    for broken in
        [&b""[..], b"{}", b"null", br#"{"RequestMethod":"GET","RequestMethod":"POST","RequestUri":"/info"}"#]
    {
        assert!(matches!(read(broken, LocalImages::Denied), Question::Refused(_)));
    }
}

#[test]
fn reading_and_the_life_of_admitted_containers_pass() {
    for (method, uri) in [
        ("GET", "/v1.43/containers/json"),
        ("HEAD", "/_ping"),
        ("GET", "/events"),
        ("POST", "/v1.43/containers/abc/start"),
        ("POST", "/containers/abc/wait?condition=removed"),
        ("POST", "/containers/abc/attach?stream=1"),
        ("POST", "/exec/abc/start"),
        ("DELETE", "/containers/abc?force=1"),
        ("DELETE", "/images/registry.example/app:1"),
        ("POST", "/images/registry.example/app/push?tag=1"),
        ("POST", "/networks/create"),
        ("POST", "/auth"),
    ] {
        assert_eq!(ask(method, uri, None), Question::Harmless, "{method} {uri}");
    }
}

#[test]
fn an_answer_that_is_missing_is_no() {
    let Question::Images(asked) =
        ask("POST", "/containers/create", Some(&json!({"Image": good()}).to_string()))
    else {
        panic!("expected a question");
    };
    assert!(reply(&asked, &[Answer::Admitted { digest: DIGEST.into(), warnings: Vec::new() }]).allow);
    assert!(!reply(&asked, &[]).allow);
    assert!(!reply(&[], &[]).allow);
    let undecided = reply(&asked, &[Answer::undecided("the gateway is away")]);
    assert!(!undecided.allow && undecided.msg.contains("the gateway is away"));
    let text = serde_json::to_string(&Reply::deny("no")).unwrap();
    assert_eq!(text, r#"{"Allow":false,"Msg":"portcullis: no","Err":""}"#);
}
