//! Both doors under mutated and arbitrary bytes: never a panic, never a yes without an answer about every image.

use proptest::collection::vec;
use proptest::prelude::*;

use super::docker::{self, LocalImages, Question};
use super::kubernetes::{Review, reply_to_broken};
use crate::reference::ImageReference;

const DEPLOYMENT: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",
    "operation":"UPDATE","kind":{"group":"apps","version":"v1","kind":"Deployment"},
    "oldObject":{"spec":{"replicas":2,"template":{"spec":{"containers":[{"image":"a.example/a:1"}]}}}},
    "object":{"spec":{"replicas":3,"template":{"metadata":{"annotations":{}},"spec":{
        "volumes":[{"image":{"reference":"a.example/data"}},{"hostPath":{"path":"/etc"}}],
        "initContainers":[{"image":"nginx"}],"containers":[{"name":"a","image":"a.example/a:2"}]}}}}}}"#;
const CREATE: &str = r#"{"RequestMethod":"POST","RequestUri":"/v1.43/containers/create?name=web",
    "RequestHeaders":{"Content-Type":"application/json"},"RequestBody":"eyJJbWFnZSI6ImEuZXhhbXBsZS9hQHNoYTI1NjplM2IwYzQ0Mjk4ZmMxYzE0OWFmYmY0Yzg5OTZmYjkyNDI3YWU0MWU0NjQ5YjkzNGNhNDk1OTkxYjc4NTJiODU1In0="}"#;
const PULL: &str = r#"{"RequestMethod":"POST","RequestUri":"/images/create?fromImage=a.example%2Fa&tag=1"}"#;

/// A seed with some bytes replaced, removed or doubled.
fn mutated(seed: &'static str) -> impl Strategy<Value = Vec<u8>> {
    vec((0..seed.len(), any::<u8>(), 0..4_u8), 0..12).prop_map(move |edits| {
        let mut bytes = seed.as_bytes().to_vec();
        for (at, byte, edit) in edits {
            let at = at.min(bytes.len().saturating_sub(1));
            match edit {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => bytes.extend_from_within(at..),
            }
            bytes.truncate(8192);
            bytes.resize(bytes.len().max(1), b' ');
        }
        bytes
    })
}

fn review_is_closed(bytes: &[u8]) {
    let (reply, asked) = match Review::read(bytes) {
        Ok(review) => (review.reply(&[]), review.asked().len()),
        Err(error) => (reply_to_broken(&error), 0),
    };
    let allowed = reply["response"]["allowed"].as_bool().unwrap();
    let said = reply["response"]["auditAnnotations"]["images"].as_str().unwrap();
    // What passes without an answer starts nothing, or nothing new, and then the audit says that nobody decided.
    assert!(!allowed || asked == 0 || said.contains("undecided"), "{reply}");
}

fn call_is_closed(bytes: &[u8]) {
    if let Question::Images(asked) = docker::read(bytes, LocalImages::Denied) {
        assert!(asked.iter().all(|asked| asked.place == "pull" || asked.image.digest().is_some()));
        assert!(!docker::reply(&asked, &[]).allow);
    }
}

proptest! {
    #[test]
    fn no_review_is_admitted_without_an_answer(bytes in prop_oneof![vec(any::<u8>(), 0..200), mutated(DEPLOYMENT)]) {
        review_is_closed(&bytes);
    }

    #[test]
    fn no_call_is_allowed_without_an_answer(
        bytes in prop_oneof![vec(any::<u8>(), 0..200), mutated(CREATE), mutated(PULL)],
    ) {
        call_is_closed(&bytes);
    }

    #[test]
    fn a_reference_says_the_same_when_it_is_read_again(text in "[a-zA-Z0-9.:/@_\\-\\[\\]]{0,80}") {
        if let Ok(reference) = ImageReference::parse(&text) {
            let again = ImageReference::parse(&reference.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&reference), "{}", text);
        }
    }
}
