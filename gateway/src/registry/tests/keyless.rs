//! An image signed without a key of its own: released when the policy names the certificate's holder, and nobody else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use keys::sigstore::{Lease, TrustRoot};

use super::fixture::{As, Fixture};
use crate::gate::policy::{FetchedRoot, Policy, PolicyErrors};
use crate::trust::mint::{Key, Repository};

const ROOT: &[u8] = include_bytes!("../../../../keys/tests/vectors/keyless/trusted_root.json");
const MANIFEST: &[u8] = include_bytes!("../../../../keys/tests/vectors/keyless/email/manifest.json");
const CONFIG: &[u8] = include_bytes!("../../../../keys/tests/vectors/keyless/email/config.json");
const LAYER: &[u8] = include_bytes!("../../../../keys/tests/vectors/keyless/email/layer.tar.gz");
const REFERRER: &[u8] = include_bytes!("../../../../keys/tests/vectors/keyless/email/referrer.json");
const BUNDLE: &[u8] = include_bytes!("../../../../keys/tests/vectors/keyless/email/bundle.json");

const HOLDER: &str =
    "issuer = 'https://issuer.fixture.example', subject = 'dev@acme.example', roots = 'root.json'";

fn parse(keyless: &str) -> Result<Policy, PolicyErrors> {
    let text = format!(
        "[[identity]]\nname = 'dev'\nkeyless = {{ {keyless} }}\n[[rule]]\nimages = ['**']\n\
         signatures = {{ require = [['dev']] }}\npin = {{ pull = 'tag' }}\nimage = {{ user = 'any' }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n"
    );
    let read_file = |path: &Path| match path.to_str() {
        Some("root.json") => Ok(ROOT.to_vec()),
        Some("broken.json") => Ok(b"{}".to_vec()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    Policy::parse(&text, &read_file)
}

async fn pushed_under(keyless: &str) -> u16 {
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(parse(keyless).unwrap_or_else(|errors| panic!("{errors}"))));
    for blob in [CONFIG, LAYER, BUNDLE, b"{}"] {
        fixture.put_blob("app", blob).await;
    }
    let _ = fixture.put_bytes(As::Pusher, "app", "v1", MANIFEST.to_vec()).await.expect(201);
    let _ = fixture.get(As::Consumer, "/v2/app/manifests/v1").await.expect_error(403, "DENIED");
    let digest = crate::digest::Digest::sha256_of(REFERRER);
    let _ = fixture.put_bytes(As::Signer, "app", digest.as_str(), REFERRER.to_vec()).await.expect(201);
    fixture.get(As::Consumer, "/v2/app/manifests/v1").await.status.as_u16()
}

#[tokio::test]
async fn a_keyless_signature_releases_the_image_for_its_holder_only() {
    for (keyless, expected) in [
        (HOLDER.to_owned(), 200),
        (HOLDER.replace("dev@acme.example", "*@acme.example"), 200),
        (HOLDER.replace("subject = 'dev@", "subject-regex = '(dev|ops)@"), 200),
        (HOLDER.replace("dev@acme.example", "boss@acme.example"), 403),
        (HOLDER.replace("issuer.fixture", "other.fixture"), 403),
        (format!("{HOLDER}, extensions = {{ source-repository-id = '42' }}"), 403),
        (format!("{HOLDER}, log-entries = 2"), 403),
    ] {
        assert_eq!(pushed_under(&keyless).await, expected, "{keyless}");
    }
}

/// The policy of [`HOLDER`] with a root that is fetched: confirmed at `checked`, good until `until`.
fn with_root(root: &[u8], since: i64, checked: i64, until: i64) -> Policy {
    let repository = Repository::new(Key::ed25519).root_file();
    let text = "[[trust-root]]\nname = 'own'\nroot = '1.root.json'\n[[identity]]\nname = 'dev'\nkeyless = \
        { issuer = 'https://issuer.fixture.example', subject = 'dev@acme.example', trust-root = 'own' }\n\
        [[rule]]\nimages = ['**']\nsignatures = { require = [['dev']] }\npin = { pull = 'tag' }\n\
        image = { user = 'any' }\nscan = { deny = 'nothing-unsafe', unknown = 'accept-unsafe' }\n";
    // The same pin each time, whoever made it: a policy of the same digest.
    static PINNED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let pinned = PINNED.get_or_init(|| repository).clone();
    let policy = Policy::parse(text, &move |_: &Path| Ok(pinned.clone()));
    let ended = "`own` is stale: run `portcullis trust update`".to_owned();
    let root = TrustRoot::parse(root).unwrap().leased(Lease { from: checked, until, ended });
    let root = FetchedRoot { root: Arc::new(root), since, checked };
    policy.unwrap_or_else(|errors| panic!("{errors}")).with_roots([("own".to_owned(), root)].into())
}

#[tokio::test]
async fn what_rests_on_a_fetched_root_is_served_while_it_is_believed_and_not_a_second_longer() {
    let fixture = Fixture::new();
    let now = fixture.clock.now();
    fixture.policy.store(Arc::new(with_root(ROOT, now, now, now + 100)));
    let digest = fixture.policy.load().digest().to_owned();
    for blob in [CONFIG, LAYER, BUNDLE, b"{}"] {
        fixture.put_blob("app", blob).await;
    }
    let _ = fixture.put_bytes(As::Pusher, "app", "v1", MANIFEST.to_vec()).await.expect(201);
    let referrer = crate::digest::Digest::sha256_of(REFERRER);
    let _ = fixture.put_bytes(As::Signer, "app", referrer.as_str(), REFERRER.to_vec()).await.expect(201);
    let pull = || fixture.get(As::Consumer, "/v2/app/manifests/v1");
    let _ = pull().await.expect(200);
    fixture.clock.advance(99);
    let _ = pull().await.expect(200);
    // Nothing was confirmed in time: no event, and no restart, is needed.
    fixture.clock.advance(1);
    let text = pull().await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("`own` is stale: run `portcullis trust update`"), "{text}");
    // It was confirmed again, later than in time: what was refused is asked again at once.
    let later = now + 100;
    fixture.policy.store(Arc::new(with_root(ROOT, later, later, later + 100)));
    let _ = pull().await.expect(200);
    fixture.clock.advance(50);
    fixture.policy.store(Arc::new(with_root(ROOT, later, later + 50, later + 150)));
    fixture.clock.advance(60);
    let _ = pull().await.expect(200);
    // Another root, in which the authority is no longer: nothing that was answered under the old one outlives it.
    let text = std::str::from_utf8(ROOT).unwrap();
    let mut without: serde_json::Value = serde_json::from_str(text).unwrap();
    without["certificateAuthorities"] = serde_json::json!([]);
    let without = serde_json::to_vec(&without).unwrap();
    fixture.policy.store(Arc::new(with_root(&without, later, later + 50, later + 150)));
    let _ = pull().await.expect_error(403, "DENIED");
    assert_eq!(fixture.policy.load().digest(), digest, "all the while the policy was the same");
}

#[test]
fn a_keyless_identity_that_names_nobody_is_no_policy() {
    for (keyless, problem) in [
        ("issuer = 'https://i.example', roots = 'root.json'", "`subject` is missing"),
        ("subject = 'dev@acme.example', roots = 'root.json'", "`issuer` is missing"),
        ("issuer = 'i', subject = '**', roots = 'root.json'", "matches every subject"),
        ("issuer = 'i', subject-regex = '.*', roots = 'root.json'", "matches every subject"),
        ("issuer = 'i', subject-regex = '(', roots = 'root.json'", "is not a pattern"),
        ("issuer = 'i', subject = 's', subject-regex = 's', roots = 'root.json'", "`subject` is there too"),
        ("issuer = 'i', subject = 's'", "needs one of `roots`, `trust-root` and `authorities`"),
        ("issuer = 'i', subject = 's', roots = 'absent.json'", "cannot read `absent.json`"),
        ("issuer = 'i', subject = 's', roots = 'broken.json'", "media type `` is not known"),
        ("issuer = 'i', subject = 's', roots = 'root.json', certificate-log = 'skip'", "is not a word known"),
        ("issuer = 'i', subject = 's', roots = 'root.json', extensions = { x = 'y' }", "`x` is no extension"),
        ("issuer = 'i', subject = 's', roots = 'root.json', isuer = 'x'", "unknown key"),
    ] {
        let errors = parse(keyless).expect_err(keyless).to_string();
        assert!(errors.contains(problem), "{keyless}: {errors}");
    }
}
