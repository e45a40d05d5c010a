//! Receipts read from a loopback registry: good, and then of another place, time, key, gate, policy, image and result.

use std::sync::OnceLock;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use keys::keyring::{NewKey, generate};
use keys::receipt::Receipt;
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};
use oci_distribution::secrets::RegistryAuth;
use serde_json::{Value, json};

use super::*;
use crate::gate::evidence::Runtime;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::source::registry::{Access, PlainHttp};

const NOW: i64 = 1_800_000_000;
const GATE: &str = "https://registry.example";
const POLICY: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(generate(NewKey::EcdsaP256).unwrap()))
}

fn image(number: u8) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": Digest::sha256_of(&[number]).as_str(), "size": 1}, "layers": []})
    .to_string()
    .into_bytes()
}

fn receipt() -> Receipt {
    Receipt {
        repository: "registry.example/prod/app".to_owned(),
        verifier: GATE.to_owned(),
        policy: POLICY.to_owned(),
        advisories: None,
        evidence: Vec::new(),
        time_verified: NOW - 10,
        expires: NOW + 3600,
    }
}

/// What a registry has: by tag or digest, blobs and manifests alike.
#[derive(Clone, Default)]
struct Content(BTreeMap<String, Vec<u8>>);

impl Content {
    /// The image under its digest and the tag `v1`.
    fn of(image: &[u8]) -> Self {
        let mut content = Self::default();
        content.put(image.to_vec());
        content.0.insert("v1".to_owned(), image.to_vec());
        content
    }

    fn put(&mut self, bytes: Vec<u8>) -> String {
        let digest = Digest::sha256_of(&bytes).to_string();
        self.0.insert(digest.clone(), bytes);
        digest
    }

    /// A statement about `image`, listed as its referrer, or as that of `listed_for`.
    fn state(
        &mut self,
        signer: &Signer,
        image: &[u8],
        predicate_type: &str,
        predicate: &Value,
        listed_for: &[u8],
    ) {
        let digest = Digest::sha256_of(image);
        let about =
            ImageDescriptor { digest: digest.as_str(), media_type: OCI_MANIFEST, size: image.len() as u64 };
        let SignedArtifact { blobs, manifest, .. } =
            signer.attest_bundle(about, predicate_type, predicate, NOW).unwrap();
        for blob in blobs {
            self.put(blob.bytes);
        }
        let size = manifest.bytes.len();
        let referrer = self.put(manifest.bytes);
        self.list(&json!({"mediaType": OCI_MANIFEST, "digest": referrer, "size": size}), listed_for);
    }

    fn list(&mut self, entry: &Value, listed_for: &[u8]) {
        let tag = Digest::sha256_of(listed_for).as_str().replace(':', "-");
        let index = self.0.get(&tag).map(|bytes| serde_json::from_slice(bytes).unwrap());
        let mut index =
            index.unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}));
        index["manifests"].as_array_mut().unwrap().push(entry.clone());
        self.0.insert(tag, index.to_string().into_bytes());
    }

    fn with_receipt(image: &[u8], predicate: &Value) -> Self {
        let mut content = Self::of(image);
        content.state(signer(), image, PREDICATE_TYPE, predicate, image);
        content
    }

    /// Served from a thread of its own, under `prod/app` and `prod/other`; it has no referrers API.
    fn serve(self) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let content = Arc::new(self.0);
        let answer = move |Path((_, name)): Path<(String, String)>| {
            let found = content.get(&name).cloned();
            async move { found.map_or((StatusCode::NOT_FOUND, Vec::new()), |bytes| (StatusCode::OK, bytes)) }
        };
        let router = Router::new()
            .route("/v2/", get(|| async { StatusCode::OK }))
            .route("/v2/prod/{repository}/manifests/{name}", get(answer.clone()))
            .route("/v2/prod/{repository}/blobs/{name}", get(answer));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        address
    }
}

fn door(registry: &str, change: impl FnOnce(&mut ReceiptTrust)) -> ReceiptDoor {
    let mut trust = ReceiptTrust {
        key: signer().public_key().clone(),
        verifier: GATE.to_owned(),
        policies: Vec::new(),
        registries: [(registry.to_owned(), "registry.example".to_owned())].into(),
    };
    change(&mut trust);
    let connect = |image: &ImageReference| {
        let access = Access {
            auth: RegistryAuth::Anonymous,
            certificate_authorities: Vec::new(),
            insecure_plain_http: PlainHttp::Loopback,
        };
        Remote::connect(image, access).map_err(|error| error.to_string())
    };
    let deadline = Duration::from_secs(20);
    ReceiptDoor::new(trust, Arc::new(connect), Tags::Denied, deadline, Clock::stopped_at(NOW))
}

fn asked(registry: &str, rest: &str) -> Asked {
    let image = ImageReference::parse(&format!("{registry}/{rest}")).unwrap();
    let runtime = Runtime { pinned: image.digest().is_some(), ..Runtime::default() };
    Asked { place: "container".to_owned(), image, runtime }
}

fn by_digest(registry: &str, image: &[u8]) -> Asked {
    asked(registry, &format!("prod/app@{}", Digest::sha256_of(image)))
}

/// What is said of the image by its digest, in words.
async fn said(content: Content, image: &[u8], change: impl FnOnce(&mut ReceiptTrust)) -> String {
    let registry = content.serve();
    match door(&registry, change).answer(&by_digest(&registry, image)).await {
        Answer::Admitted { digest, .. } => {
            assert_eq!(digest, Digest::sha256_of(image).as_str());
            "admitted".to_owned()
        }
        Answer::Denied(denial) => denial.reasons[0].message.clone(),
        Answer::Undecided { problem } => panic!("{problem}"),
    }
}

#[tokio::test]
async fn a_receipt_admits_its_image_in_its_repository_under_its_policy() {
    let image = image(1);
    let good = || Content::with_receipt(&image, &receipt().predicate());
    assert_eq!(said(good(), &image, |_| {}).await, "admitted");
    let policies = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let other = POLICY.replace("aa", "bb");
    assert_eq!(said(good(), &image, |trust| trust.policies = policies(&[&other, POLICY])).await, "admitted");
    let text = said(good(), &image, |trust| trust.policies = policies(&[&other])).await;
    assert!(text.contains("the receipt is for policy"), "{text}");
}

#[tokio::test]
async fn every_other_receipt_is_refused_and_says_why() {
    let image = image(1);
    let with = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = receipt();
        change(&mut receipt);
        receipt.predicate()
    };
    let mut failed = receipt().predicate();
    failed["verificationResult"] = json!("FAILED");
    for (predicate, expected) in [
        (with(&|receipt| receipt.repository.push('2')), "the receipt is for `registry.example/prod/app2`"),
        (with(&|receipt| receipt.repository = "mirror.example/prod/app".to_owned()), "the receipt is for"),
        (with(&|receipt| receipt.verifier.push('2')), "the receipt is by `https://registry.example2`"),
        (with(&|receipt| receipt.expires = NOW - 1), "the receipt ended at"),
        (with(&|receipt| receipt.time_verified = NOW + 61), "the receipt is of"),
        (failed, "the receipt's result is `FAILED`"),
        (json!({}), "is missing or malformed"),
    ] {
        let text = said(Content::with_receipt(&image, &predicate), &image, |_| {}).await;
        assert!(
            text.contains("no receipt of `https://registry.example` for `registry.example/prod/app@"),
            "{text}"
        );
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // Until the last second it counts.
    let ending = with(&|receipt| receipt.expires = NOW);
    assert_eq!(said(Content::with_receipt(&image, &ending), &image, |_| {}).await, "admitted");
}

#[tokio::test]
async fn another_key_another_statement_another_image_and_none_at_all_admit_nothing() {
    let (image, other) = (image(1), image(2));
    let predicate = receipt().predicate();
    let stranger = Signer::new(generate(NewKey::EcdsaP256).unwrap());
    let mut by_stranger = Content::of(&image);
    by_stranger.state(&stranger, &image, PREDICATE_TYPE, &predicate, &image);
    let text = said(by_stranger.clone(), &image, |_| {}).await;
    assert!(text.contains("which the trust store does not hold"), "{text}");
    // The gate's key may sign other things: none of them is a receipt.
    let mut other_type = Content::of(&image);
    other_type.state(signer(), &image, "https://slsa.dev/provenance/v1", &predicate, &image);
    assert!(said(other_type, &image, |_| {}).await.ends_with("counts: there is none"));
    // A good receipt of another image, listed for this one.
    let mut misplaced = Content::of(&image);
    misplaced.state(signer(), &other, PREDICATE_TYPE, &predicate, &image);
    let text = said(misplaced, &image, |_| {}).await;
    assert!(text.contains(Digest::sha256_of(&other).as_str()), "{text}");
    assert!(said(Content::of(&image), &image, |_| {}).await.ends_with("counts: there is none"));
    // And none of it hides a good one.
    by_stranger.list(
        &json!({"mediaType": OCI_MANIFEST, "digest": Digest::sha256_of(b"gone").as_str(), "size": 4}),
        &image,
    );
    let junk = by_stranger.put(b"{}".to_vec());
    by_stranger.list(&json!({"mediaType": OCI_MANIFEST, "digest": junk, "size": 2}), &image);
    by_stranger.state(signer(), &image, PREDICATE_TYPE, &predicate, &image);
    assert_eq!(said(by_stranger, &image, |_| {}).await, "admitted");
}

#[tokio::test]
async fn only_registries_that_are_named_are_asked_and_a_mirror_says_whose_it_is() {
    let image = image(1);
    let registry = Content::with_receipt(&image, &receipt().predicate()).serve();
    let reasons = |answer: Answer| match answer {
        Answer::Denied(denial) => denial.reasons.into_iter().map(|reason| reason.message).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    // The same bytes under another name are another's: no request is made, so nothing need answer there.
    let strange = asked("127.0.0.1:1", &format!("prod/app@{}", Digest::sha256_of(&image)));
    let text = reasons(door(&registry, |_| {}).answer(&strange).await).join("");
    assert!(text.contains("is not from a registry whose receipts are read here"), "{text}");
    let itself = |trust: &mut ReceiptTrust| trust.registries = [(registry.clone(), registry.clone())].into();
    let text = reasons(door(&registry, itself).answer(&by_digest(&registry, &image)).await).join("");
    assert!(text.contains("the receipt is for `registry.example/prod/app`"), "{text}");
    // In another repository of the same registry it is another's, too.
    let moved = asked(&registry, &format!("prod/other@{}", Digest::sha256_of(&image)));
    let text = reasons(door(&registry, |_| {}).answer(&moved).await).join("");
    assert!(text.contains("asked for was `registry.example/prod/other`"), "{text}");
}

#[test]
fn the_gate_is_asked_about_an_image_of_a_mirror_by_its_own_name_and_by_digest_only() {
    let door = door("mirror.example:5000", |_| {});
    let digest = Digest::sha256_of(b"x");
    for (image, expected) in [
        (
            format!("mirror.example:5000/prod/app@{digest}"),
            Some(format!("registry.example/prod/app@{digest}")),
        ),
        (
            format!("mirror.example:5000/prod/app:v1@{digest}"),
            Some(format!("registry.example/prod/app@{digest}")),
        ),
        ("mirror.example:5000/prod/app:v1".to_owned(), None),
        (format!("other.example/prod/app@{digest}"), None),
    ] {
        let named = door.as_the_gate_names(&ImageReference::parse(&image).unwrap());
        assert_eq!(named.map(|named| named.to_string()), expected, "{image}");
    }
}

#[tokio::test]
async fn a_receipt_says_nothing_of_tags_and_of_what_a_container_takes_from_its_host() {
    let image = image(1);
    let registry = Content::with_receipt(&image, &receipt().predicate()).serve();
    let tagged = asked(&registry, "prod/app:v1");
    let denied = door(&registry, |_| {}).answer(&tagged).await;
    assert!(matches!(&denied, Answer::Denied(denial) if denial.reasons[0].check == "pin"), "{denied:?}");
    // Brought in only, it runs by digest later: the tag is resolved, and its digest judged.
    let resolving = |registry: &str| ReceiptDoor { tags: Tags::Resolved, ..door(registry, |_| {}) };
    let admitted = resolving(&registry).answer(&tagged).await;
    let expected = Digest::sha256_of(&image).to_string();
    assert!(matches!(&admitted, Answer::Admitted { digest, .. } if *digest == expected), "{admitted:?}");
    let absent = resolving(&registry).answer(&asked(&registry, "prod/app:v9")).await;
    assert!(matches!(&absent, Answer::Denied(denial) if denial.reasons[0].check == "receipt"), "{absent:?}");

    let wanting = |change: fn(&mut Runtime)| {
        let mut asked = by_digest(&registry, &image);
        change(&mut asked.runtime);
        asked
    };
    for (asked, check) in [
        (wanting(|runtime| runtime.privileged = true), "privileged"),
        (wanting(|runtime| runtime.apparmor_unconfined = true), "apparmor"),
    ] {
        let denied = door(&registry, |_| {}).answer(&asked).await;
        assert!(matches!(&denied, Answer::Denied(denial) if denial.reasons[0].check == check), "{denied:?}");
    }
    let binding = wanting(|runtime| runtime.host_binds = vec!["/etc".to_owned()]);
    let warned = door(&registry, |_| {}).answer(&binding).await;
    assert!(matches!(&warned, Answer::Admitted { warnings, .. } if warnings.len() == 1), "{warned:?}");
}

#[tokio::test]
async fn a_registry_that_gives_no_answer_is_no_answer() {
    let image = image(1);
    // Somebody who accepts and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = silent.local_addr().unwrap().to_string();
    let impatient =
        |registry: &str| ReceiptDoor { deadline: Duration::from_millis(300), ..door(registry, |_| {}) };
    let answer = impatient(&registry).answer(&by_digest(&registry, &image)).await;
    assert!(
        matches!(&answer, Answer::Undecided { problem } if problem.contains("did not give the receipts")),
        "{answer:?}"
    );
    drop(silent);
    let answer = impatient(&registry).answer(&by_digest(&registry, &image)).await;
    assert!(matches!(answer, Answer::Undecided { .. }), "{answer:?}");
    // Bytes that are not those of the digest: the registry lies about the image's referrer.
    let mut lying = Content::with_receipt(&image, &receipt().predicate());
    for bytes in lying.0.values_mut().filter(|bytes| bytes.windows(8).any(|part| part == b"artifact")) {
        bytes.push(b' ');
    }
    let registry = lying.serve();
    let answer = door(&registry, |_| {}).answer(&by_digest(&registry, &image)).await;
    assert!(!matches!(answer, Answer::Admitted { .. }), "{answer:?}");
}

/// The webhook's endpoints on the same door: the protocols' own words.
#[tokio::test]
async fn the_webhook_answers_reviews_and_questions_by_receipt() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let (image, other) = (image(1), image(2));
    let mut content = Content::with_receipt(&image, &receipt().predicate());
    content.put(other.clone());
    let registry = content.serve();
    let router = crate::admission::webhook::router(Arc::new(door(&registry, |_| {})));
    let ask = async |path: &str, body: String| -> (StatusCode, Value) {
        let request = axum::http::Request::post(path).body(axum::body::Body::from(body)).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    };
    let name = |image: &[u8]| format!("{registry}/prod/app@{}", Digest::sha256_of(image));
    let review = |images: &[String]| {
        let containers: Vec<Value> = images
            .iter()
            .enumerate()
            .map(|(at, image)| json!({"name": format!("c{at}"), "image": image}))
            .collect();
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u",
            "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}}}})
        .to_string()
    };
    let (status, answer) = ask("/admission/kubernetes", review(&[name(&image)])).await;
    assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(true)), "{answer}");
    assert_eq!(answer["response"]["uid"], "u");
    let (_, answer) = ask("/admission/kubernetes", review(&[name(&image), name(&other)])).await;
    assert_eq!(answer["response"]["allowed"], json!(false));
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(message.contains("denies 1 of 2 images") && message.contains("there is none"), "{message}");
    let (status, answer) = ask("/admission/kubernetes", "{}".to_owned()).await;
    assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::BAD_REQUEST, &json!(false)));
    let (_, answer) = ask("/admission/image", json!({"image": name(&image)}).to_string()).await;
    assert_eq!(answer["decision"], "admitted", "{answer}");
    let (_, answer) = ask("/admission/image", json!({"image": name(&other)}).to_string()).await;
    assert_eq!(answer["decision"], "denied", "{answer}");
    let (status, answer) = ask("/admission/image", "no".to_owned()).await;
    assert_eq!((status, &answer["decision"]), (StatusCode::BAD_REQUEST, &json!("undecided")));
}
