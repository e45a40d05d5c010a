//! An image signed without a key of its own: released when the policy names the certificate's holder, and nobody else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fixture::{As, Fixture};
use crate::gate::policy::{Policy, PolicyErrors};

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

#[test]
fn a_keyless_identity_that_names_nobody_is_no_policy() {
    for (keyless, problem) in [
        ("issuer = 'https://i.example', roots = 'root.json'", "`subject` is missing"),
        ("subject = 'dev@acme.example', roots = 'root.json'", "`issuer` is missing"),
        ("issuer = 'i', subject = '**', roots = 'root.json'", "matches every subject"),
        ("issuer = 'i', subject-regex = '.*', roots = 'root.json'", "matches every subject"),
        ("issuer = 'i', subject-regex = '(', roots = 'root.json'", "is not a pattern"),
        ("issuer = 'i', subject = 's', subject-regex = 's', roots = 'root.json'", "`subject` is there too"),
        ("issuer = 'i', subject = 's'", "needs either `roots` or `authorities`"),
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
