//! Images signed by Notary v1 (Docker content trust): released when the repository's pushed metadata names them under the
//! pinned root, and no longer when it does not.

#[path = "../../../../keys/tests/mint/notary.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod mint;
mod tags;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use keys::notary::{Collection, Document};
use mint::{Files, Repository, Targets};
use serde_json::{Value, json};

use super::fixture::{As, CONFIG, Fixture, descriptor};
use crate::gate::evidence::State;
use crate::gate::policy::{Policy, PolicyErrors};
use crate::manifest::OCI_MANIFEST;
use crate::records::RecordError;
use crate::records::manifests as rows;

/// The clock of the fixture.
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn parse(notary: &str) -> Result<Policy, PolicyErrors> {
    let text = format!(
        "[[identity]]\nname = 'vendor'\nnotary = {{ {notary} }}\n[[rule]]\nimages = ['**']\n\
         signatures = {{ require = [['vendor']] }}\npin = {{ pull = 'tag' }}\nimage = {{ user = 'any' }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n"
    );
    let read_file = |path: &Path| match path.to_str() {
        Some("broken.pem") => Ok(b"no certificate".to_vec()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    Policy::parse(&text, &read_file)
}

fn keys(ids: &[String]) -> String {
    format!("root-keys = [{}]", ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", "))
}

fn under(notary: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(parse(notary).unwrap_or_else(|errors| panic!("{errors}"))));
    fixture
}

async fn push_files(fixture: &Fixture, name: &str, files: &Files) -> String {
    let mut collection = Collection::default();
    for (file, bytes) in files {
        collection.insert(Document::from_file_name(file).unwrap(), bytes.clone());
    }
    let answer = fixture.put_signed(As::Pusher, name, collection.to_artifact()).await.expect(201);
    answer.header("docker-content-digest")
}

async fn pull(fixture: &Fixture, name: &str, reference: &str) -> u16 {
    fixture.get(As::Consumer, &format!("/v2/{name}/manifests/{reference}")).await.status.as_u16()
}

async fn why(fixture: &Fixture, name: &str, digest: &str) -> String {
    let held = (name.to_owned(), digest.to_owned());
    let row = fixture.registry.records.read(|connection| rows::find(connection, &held.0, &held.1)).unwrap();
    row.unwrap().waiting.unwrap_or_default()
}

fn repository(tags: &[(&str, &str)]) -> Repository {
    let mut repository = Repository::new("registry.example/app", NOW);
    for (tag, digest) in tags {
        repository.targets.tags.insert((*tag).to_owned(), ((*digest).to_owned(), 528));
    }
    repository
}

#[tokio::test]
async fn metadata_releases_the_images_that_it_names_and_no_others() {
    let repository = repository(&[]);
    let fixture = under(&keys(&repository.pin()));
    let signed = fixture.push("app", "v1", &["one"]).await;
    let unsigned = fixture.push("app", "v2", &["two"]).await;
    let mut repository = repository;
    repository.targets.tags.insert("v1".to_owned(), (signed.clone(), 528));
    assert_eq!(pull(&fixture, "app", "v1").await, 403);
    push_files(&fixture, "app", &repository.files()).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    assert_eq!(pull(&fixture, "app", &signed).await, 200);
    assert_eq!(pull(&fixture, "app", "v2").await, 403);
    let reasons = why(&fixture, "app", &unsigned).await;
    assert!(reasons.contains("no tag of `registry.example/app` names"), "{reasons}");
    // What comes after the metadata needs no second push of it.
    repository.targets.tags.insert("v2".to_owned(), (unsigned, 528));
    repository.advance();
    push_files(&fixture, "app", &repository.files()).await;
    assert_eq!(pull(&fixture, "app", "v2").await, 200);
}

#[tokio::test]
async fn only_the_pinned_root_of_this_repository_vouches() {
    let mut releases = Targets::new("targets/releases", NOW + DAY);
    let other = Repository::new("registry.example/app", NOW).pin();
    let image = Fixture::new().push("open/app", "v1", &["one"]).await;
    releases = releases.tag("v1", &image);
    let mut good = repository(&[]);
    good.targets.delegations.push(releases);
    let pin = keys(&good.pin());
    let mut elsewhere = Repository::new("registry.example/elsewhere", NOW);
    elsewhere.targets.tags.insert("v1".to_owned(), (image.clone(), 528));
    let elsewhere_pin = keys(&elsewhere.pin());
    for (notary, files, expected, reason) in [
        (pin.clone(), good.files(), 200, ""),
        (format!("{pin}, roles = ['targets/releases']"), good.files(), 200, ""),
        (format!("{pin}, all-roles = ['targets/releases']"), good.files(), 200, ""),
        (format!("{pin}, roles = ['targets']"), good.files(), 403, "`v1` is not signed in targets"),
        (format!("{pin}, roles = ['targets/qa']"), good.files(), 403, "delegates to no such role"),
        (format!("{pin}, all-roles = ['targets', 'targets/releases']"), good.files(), 403, "targets"),
        (keys(&other), good.files(), 403, "none of the root certificates is pinned"),
        (format!("{pin}, gun = 'docker.io/library/app'"), good.files(), 403, "its certificate is for"),
        (elsewhere_pin.clone(), elsewhere.files(), 403, "its certificate is for"),
        (format!("{elsewhere_pin}, gun = 'registry.example/elsewhere'"), elsewhere.files(), 200, ""),
        (
            format!(
                "{elsewhere_pin}, gun = {{ prefix = 'registry.example/app', signed-prefix = 'registry.example/elsewhere' }}"
            ),
            elsewhere.files(),
            200,
            "",
        ),
    ] {
        let fixture = under(&notary);
        let pushed = fixture.push("app", "v1", &["one"]).await;
        assert_eq!(pushed, image);
        push_files(&fixture, "app", &files).await;
        let reasons = why(&fixture, "app", &image).await;
        assert_eq!(pull(&fixture, "app", "v1").await, expected, "{notary}: {reasons}");
        assert!(reasons.contains(reason), "{notary}: {reasons}");
    }
}

#[tokio::test]
async fn an_older_state_is_refused_with_words_even_after_a_restart() {
    let first = repository(&[]);
    let pin = keys(&first.pin());
    let fixture = under(&pin);
    let (one, two) = (fixture.push("app", "v1", &["one"]).await, fixture.push("app", "v2", &["two"]).await);
    let mut state = first;
    state.targets.tags.insert("v1".to_owned(), (one.clone(), 528));
    let old = state.files();
    push_files(&fixture, "app", &old).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    // The signer takes v1 back and signs v2.
    state.targets.tags.clear();
    state.targets.tags.insert("v2".to_owned(), (two, 528));
    state.advance();
    let new = state.files();
    push_files(&fixture, "app", &new).await;
    assert_eq!((pull(&fixture, "app", "v1").await, pull(&fixture, "app", "v2").await), (403, 200));
    let rolled_back = push_files(&fixture, "app", &old).await;
    let path = format!("/v2/app/manifests/{rolled_back}");
    let refused = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED").json().to_string();
    assert!(refused.contains("has version 1, version 2 was verified before"), "{refused}");
    assert_eq!((pull(&fixture, "app", "v1").await, pull(&fixture, "app", "v2").await), (403, 200));
    // Nobody sees the older one but those who push; consumers still have the newer.
    assert_eq!(pull(&fixture, "app", &rolled_back).await, 403);
    assert_eq!(pull(&fixture, "app", "notary-v1").await, 200);
    let fixture = fixture.restart();
    fixture.policy.store(Arc::new(parse(&pin).unwrap()));
    push_files(&fixture, "app", &old).await;
    assert_eq!((pull(&fixture, "app", "v1").await, pull(&fixture, "app", "v2").await), (403, 200));
}

#[tokio::test]
async fn the_memory_outlives_the_metadata_that_it_is_of() {
    let mut state = repository(&[]);
    let fixture = under(&keys(&state.pin()));
    let one = fixture.push("app", "v1", &["one"]).await;
    state.targets.tags.insert("v1".to_owned(), (one, 528));
    let old = state.files();
    state.targets.tags.clear();
    state.advance();
    let new = push_files(&fixture, "app", &state.files()).await;
    let path = format!("/v2/app/manifests/{new}");
    let _ = fixture.call(As::Admin, http::Method::DELETE, &path, Vec::new()).await.expect(202);
    push_files(&fixture, "app", &old).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 403);
}

#[tokio::test]
async fn junk_under_the_tag_does_not_hide_good_metadata() {
    let mut state = repository(&[]);
    let fixture = under(&keys(&state.pin()));
    let one = fixture.push("app", "v1", &["one"]).await;
    state.targets.tags.insert("v1".to_owned(), (one.clone(), 528));
    push_files(&fixture, "app", &state.files()).await;
    let mut junk = Repository::new("registry.example/app", NOW);
    junk.timestamp.version = 99;
    push_files(&fixture, "app", &junk.files()).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    // Nor does an image under that tag.
    fixture.push("app", "notary-v1", &["three"]).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    let other = fixture.push("app", "v3", &["one"]).await;
    assert_eq!(other, one);
    assert_eq!(pull(&fixture, "app", "v3").await, 200);
}

#[tokio::test]
async fn an_answer_does_not_outlive_the_metadata_and_renewed_metadata_brings_it_back() {
    let mut state = repository(&[]);
    state.timestamp.expires = NOW + 14 * DAY;
    let fixture = under(&keys(&state.pin()));
    let one = fixture.push("app", "v1", &["one"]).await;
    state.targets.tags.insert("v1".to_owned(), (one, 528));
    push_files(&fixture, "app", &state.files()).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    fixture.clock.advance(14 * DAY - 1);
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    fixture.clock.advance(1);
    let refused = fixture.get(As::Consumer, "/v2/app/manifests/v1").await.expect_error(403, "DENIED");
    assert!(refused.json().to_string().contains("`timestamp` expired"), "{}", refused.json());
    assert_eq!(pull(&fixture, "app", "notary-v1").await, 403);
    state.timestamp.version += 1;
    state.timestamp.expires += 14 * DAY;
    push_files(&fixture, "app", &state.files()).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
}

#[tokio::test]
async fn an_answer_does_not_outlive_the_root_key_s_certificate() {
    let days = |days: i64| NOW + days * DAY;
    let certificate = mint::Certificate {
        common_name: "registry.example/app",
        not_before: days(-1),
        not_after: days(3),
        is_authority: false,
    };
    let mut state = Repository::with_root_key(mint::Key::ecdsa().certified(&certificate), days(365));
    let fixture = under(&keys(&state.pin()));
    let one = fixture.push("app", "v1", &["one"]).await;
    state.targets.tags.insert("v1".to_owned(), (one, 528));
    push_files(&fixture, "app", &state.files()).await;
    fixture.clock.advance(3 * DAY);
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    fixture.clock.advance(1);
    assert_eq!(pull(&fixture, "app", "v1").await, 403);
}

#[tokio::test]
async fn without_an_identity_for_it_metadata_is_stored_and_shown_to_nobody() {
    let state = repository(&[]);
    let fixture = Fixture::new();
    let digest = push_files(&fixture, "open/app", &state.files()).await;
    let reasons = why(&fixture, "open/app", &digest).await;
    assert!(reasons.contains("no identity of the policy signs by Notary v1"), "{reasons}");
    assert_eq!(pull(&fixture, "open/app", "notary-v1").await, 403);
}

#[tokio::test]
async fn revoking_any_key_that_it_rests_on_takes_the_word_of_the_metadata() {
    let mut state = repository(&[]);
    state.targets.delegations.push(Targets::new("targets/releases", NOW + DAY));
    let image = Fixture::new().push("open/app", "v1", &["one"]).await;
    state.targets.delegations[0].tags.insert("v1".to_owned(), (image, 528));
    let ids = [state.pin()[0].clone(), state.targets.delegations[0].role.keys[0].id()];
    let text = |key: &str| {
        format!(
            "[[identity]]\nname = 'vendor'\nnotary = {{ {} }}\n[[rule]]\nimages = ['**']\n\
             signatures = {{ require = [['vendor']] }}\npin = {{ pull = 'tag' }}\nimage = {{ user = 'any' }}\n\
             scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n\
             [[revocation]]\nkey = '{key}'\nreason = 'leaked'\n",
            keys(&state.pin())
        )
    };
    for (key, expected) in [(ids[0].clone(), 403), (ids[1].clone(), 403), ("ab".repeat(32), 200)] {
        let fixture = Fixture::new();
        let read = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
        let policy = Policy::parse(&text(&key), &read).unwrap_or_else(|errors| panic!("{errors}"));
        fixture.policy.store(Arc::new(policy));
        fixture.push("app", "v1", &["one"]).await;
        push_files(&fixture, "app", &state.files()).await;
        assert_eq!(pull(&fixture, "app", "v1").await, expected, "{key}");
    }
}

/// One of a thousand costs as little as one of ten: the metadata is verified once.
#[tokio::test]
async fn a_push_of_metadata_asks_about_all_that_waits_in_its_repository() {
    let mut state = repository(&[]);
    let fixture = under(&keys(&state.pin()));
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    fixture.put_blob("app", config.to_string().as_bytes()).await;
    for number in 0..60 {
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(CONFIG, config.to_string().as_bytes()), "layers": [],
            "annotations": {"number": number.to_string()}});
        let tag = format!("v{number}");
        let answer = fixture.put_manifest(As::Pusher, "app", &tag, &manifest).await.expect(201);
        state.targets.tags.insert(tag, (answer.header("docker-content-digest"), 528));
    }
    push_files(&fixture, "app", &state.files()).await;
    for number in 0..60 {
        assert_eq!(pull(&fixture, "app", &format!("v{number}")).await, 200, "{number}");
    }
}

#[tokio::test]
async fn clients_of_old_read_the_metadata_that_was_released_and_no_other() {
    let mut state = repository(&[]);
    state.targets.delegations.push(Targets::new("targets/releases", NOW + DAY));
    let fixture = under(&keys(&state.pin()));
    let first = state.files();
    push_files(&fixture, "app", &first).await;
    let gun = "/v2/registry.example/app/_trust/tuf";
    let hash = |bytes: &[u8]| crate::digest::Digest::sha256_of(bytes).hex().to_owned();
    let mut junk = Repository::new("registry.example/app", NOW);
    junk.timestamp.version = 99;
    push_files(&fixture, "app", &junk.files()).await;
    for role in ["root", "timestamp", "snapshot", "targets", "targets/releases"] {
        let bytes = &first[&format!("{role}.json")];
        for path in [
            format!("{gun}/{role}.json"),
            format!("{gun}/{role}.{}.json", hash(bytes)),
            format!("{gun}/1.{role}.json"),
        ] {
            let answer = fixture.get(As::Consumer, &path).await.expect(200);
            assert_eq!(&answer.body[..], &bytes[..], "{path}");
            let _ = fixture.get(As::Nobody, &path).await.expect_error(401, "UNAUTHORIZED");
        }
        let _ = fixture.get(As::Consumer, &format!("{gun}/2.{role}.json")).await.expect(404);
        let _ = fixture.get(As::Consumer, &format!("{gun}/{role}.{}.json", hash(b"x"))).await.expect(404);
    }
    for path in [
        format!("{gun}/targets/qa.json"),
        "/v2/registry.example/other/_trust/tuf/root.json".to_owned(),
        "/v2/elsewhere.example/app/_trust/tuf/root.json".to_owned(),
        "/v2/app/_trust/tuf/root.json".to_owned(),
        "/v2/registry.example/_trust/tuf/root.json".to_owned(),
    ] {
        let _ = fixture.get(As::Consumer, &path).await.expect(404);
    }
    let path = format!("{gun}/root.json");
    let _ = fixture.call(As::Admin, http::Method::PUT, &path, Vec::new()).await.expect(405);
    // What no longer verifies is no longer read.
    fixture.clock.advance(366 * DAY);
    let _ = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED");
}

#[test]
fn a_notary_identity_that_pins_nothing_is_no_policy() {
    let id = "ab".repeat(32);
    for (notary, problem) in [
        (String::new(), "it pins no root"),
        ("tofu = true".to_owned(), "never trusted for being the first one seen"),
        (format!("root-keys = ['{id}'], trust-on-first-use = true"), "never trusted for being the first"),
        ("root-keys = []".to_owned(), "the list has 0 entries"),
        ("root-keys = ['abc']".to_owned(), "`abc` is no root key id"),
        (format!("root-keys = ['{id}'], root = 'ca.pem'"), "only one of the two"),
        ("root = 'absent.pem'".to_owned(), "cannot read `absent.pem`"),
        ("root = 'broken.pem'".to_owned(), "`broken.pem`: not a PEM file of authority certificates"),
        (format!("root-keys = ['{id}'], roles = ['snapshot']"), "`snapshot` is no role that signs tags"),
        (format!("root-keys = ['{id}'], roles = []"), "the list has 0 entries"),
        (
            format!("root-keys = ['{id}'], roles = ['targets'], all-roles = ['targets']"),
            "only one of the two",
        ),
        (format!("root-keys = ['{id}'], gun = {{ prefix = 'a' }}"), "`signed-prefix` is missing"),
        (format!("root-keys = ['{id}'], annotations = {{}}"), "signs no annotations"),
        (format!("root-keys = ['{id}'], server = 'https://notary.example'"), "unknown key"),
    ] {
        let errors = parse(&notary).expect_err(&notary).to_string();
        assert!(errors.contains(problem), "{notary}: {errors}");
    }
    let both = "[[identity]]\nname = 'a'\ncosign = { key = 'a.pub' }\nnotary = { root-keys = [] }\n";
    let errors =
        Policy::parse(both, &|_| Err(io::Error::from(io::ErrorKind::NotFound))).unwrap_err().to_string();
    assert!(errors.contains("an identity signs one way"), "{errors}");
}

const CASES: &str = include_str!("../../../../keys/tests/vectors/notary-v1/cases.jsonl");
const FILES: &str = include_str!("../../../../keys/tests/vectors/notary-v1/files.json");

/// What the case asks about: the image that is expected, or that any file of the case names.
fn digest_of(case: &Value, files: &Value) -> String {
    if let Some(digest) = case["expectedDigest"].as_str() {
        return digest.to_owned();
    }
    let names = ["metadata", "cached"].into_iter().filter_map(|set| case[set].as_object()).flatten();
    let mut named = names.filter_map(|(_, name)| {
        let file: Value = serde_json::from_str(files[name.as_str().unwrap()].as_str().unwrap()).ok()?;
        let hash =
            file["signed"]["targets"][case["tag"].as_str().unwrap()]["hashes"]["sha256"].as_str()?.to_owned();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, hash).ok()?;
        Some(format!("sha256:{}", mint::hex(&bytes)))
    });
    named.next().unwrap_or_else(|| format!("sha256:{}", "0".repeat(64)))
}

/// Puts some image there under a name that is not its own.
async fn plant(fixture: &Fixture, name: &str, digest: &str) {
    let manifest = fixture.image(name, &["one"]).await;
    let manifest = crate::manifest::classify(Bytes::from(manifest.to_string()), Some(OCI_MANIFEST)).unwrap();
    let (held, digest) = (name.to_owned(), digest.to_owned());
    let insert = move |connection: &rusqlite::Connection| -> Result<(), RecordError> {
        rows::insert(connection, &held, &digest, &manifest, "somebody", NOW)
    };
    fixture.registry.records.write(name, insert).await.unwrap();
}

#[tokio::test]
async fn every_case_of_notary_s_own_making_gets_its_verdict_through_the_gate() {
    let files: Value = serde_json::from_str(FILES).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (id, gun) = (case["id"].as_str().unwrap(), case["gun"].as_str().unwrap());
        let name = gun.strip_prefix("registry.example/").unwrap();
        let set = |set: &str| -> Files {
            let names = case[set].as_object().into_iter().flatten();
            names
                .map(|(role, name)| {
                    (
                        format!("{role}.json"),
                        files[name.as_str().unwrap()].as_str().unwrap().as_bytes().to_vec(),
                    )
                })
                .collect()
        };
        let metadata = set("metadata");
        let first = metadata.get("1.root.json").or(metadata.get("root.json"));
        let root: Value = first.map_or(Value::Null, |root| serde_json::from_slice(root).unwrap());
        let mut ids: Vec<String> = root["signed"]["roles"]["root"]["keyids"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect();
        if case["policy"].get("pinnedRootCertificates").is_some() {
            assert!(parse(&keys(&[])).is_err(), "{id}");
            refused += 1;
            continue;
        }
        if ids.is_empty() {
            ids.push("ab".repeat(32));
        }
        let roles: Vec<String> = case["policy"]["roles"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|role| format!("'{}'", role.as_str().unwrap()))
            .collect();
        let all = if case["policy"]["all"] == true { "all-roles" } else { "roles" };
        let roles =
            if roles.is_empty() { String::new() } else { format!(", {all} = [{}]", roles.join(", ")) };
        let fixture = under(&format!("{}{roles}", keys(&ids)));
        let now = chrono(case["now"].as_str().unwrap());
        fixture.clock.advance(now - NOW);
        let cached = set("cached");
        if cached.contains_key("timestamp.json") {
            push_files(&fixture, name, &cached).await;
        }
        // Only now: what was seen before may have named the image.
        let digest = digest_of(&case, &files);
        plant(&fixture, name, &digest).await;
        let pushed = match metadata.is_empty() {
            true => String::new(),
            false => push_files(&fixture, name, &metadata).await,
        };
        let read = |connection: &rusqlite::Connection| rows::find(connection, name, &digest);
        let row = fixture.registry.records.read(read).unwrap().unwrap();
        let released = row.state == State::Released;
        match case["expected"].as_str().unwrap() {
            "accept" => {
                assert!(released, "{id}: {:?}", row.waiting);
                accepted += 1;
            }
            // What was seen before may still name the image; what is older is refused whole.
            "reject" if cached.contains_key("timestamp.json") => {
                let reasons = why(&fixture, name, &pushed).await;
                assert!(reasons.contains("was verified before"), "{id}: {reasons}");
                refused += 1;
            }
            "reject" => {
                assert!(!released, "{id}");
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!((accepted, refused), (13, 21));
}

/// `2026-11-24T12:00:00Z` in seconds since 1970.
fn chrono(text: &str) -> i64 {
    (NOW - 400 * DAY..).step_by(3600).find(|&at| mint::rfc3339(at) == text).unwrap()
}
