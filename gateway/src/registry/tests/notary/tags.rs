//! A rule may want the very tag to be signed for the image that it names; and metadata can be withdrawn like an image.

use super::*;

fn pinned(repository: &Repository) -> Policy {
    let text = format!(
        "[[identity]]\nname = 'vendor'\nnotary = {{ {} }}\n[[rule]]\nimages = ['**']\n\
         signatures = {{ require = [['vendor']] }}\npin = {{ pull = 'signed-tag' }}\nimage = {{ user = 'any' }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n",
        keys(&repository.pin())
    );
    let read_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    Policy::parse(&text, &read_file).unwrap_or_else(|errors| panic!("{errors}"))
}

#[tokio::test]
async fn a_tag_names_what_its_signers_bound_it_to_or_nothing() {
    let mut state = repository(&[]);
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(pinned(&state)));
    let one = fixture.push("app", "1.0", &["one"]).await;
    let two = fixture.push("app", "2.0", &["two"]).await;
    for (tag, digest) in [("1.0", &one), ("latest", &two), ("2.0", &two)] {
        state.targets.tags.insert(tag.to_owned(), (digest.clone(), 528));
    }
    push_files(&fixture, "app", &state.files()).await;
    for (reference, expected) in [("1.0", 200), ("2.0", 200), (one.as_str(), 200), (two.as_str(), 200)] {
        assert_eq!(pull(&fixture, "app", reference).await, expected, "{reference}");
    }
    // Whoever reads the metadata names no tag.
    let path = "/v2/registry.example/app/_trust/tuf/root.json";
    let _ = fixture.get(As::Consumer, path).await.expect(200);
    // Both are signed, and still neither may take the place of the other.
    assert_eq!(fixture.push("app", "2.0", &["one"]).await, one);
    assert_eq!(fixture.push("app", "latest", &["one"]).await, one);
    let refused = fixture.get(As::Consumer, "/v2/app/manifests/2.0").await.expect_error(403, "DENIED");
    assert!(
        refused.json().to_string().contains("a tag that its signers bound to this image"),
        "{}",
        refused.json()
    );
    assert_eq!(pull(&fixture, "app", "latest").await, 403);
    assert_eq!(pull(&fixture, "app", &two).await, 200);
    // A tag that nobody signed.
    assert_eq!(fixture.push("app", "edge", &["one"]).await, one);
    assert_eq!(pull(&fixture, "app", "edge").await, 403);
    // The signers follow.
    state.targets.tags.insert("latest".to_owned(), (one.clone(), 528));
    state.advance();
    push_files(&fixture, "app", &state.files()).await;
    assert_eq!(pull(&fixture, "app", "latest").await, 200);
    assert_eq!(pull(&fixture, "app", "2.0").await, 403);
}

/// Another identity of the policy, which the rule does not name, binds no tag for it.
#[tokio::test]
async fn only_signers_that_the_rule_names_bind_a_tag() {
    let mut state = repository(&[]);
    let fixture = Fixture::new();
    let pin = keys(&state.pin());
    let text = format!(
        "[[identity]]\nname = 'vendor'\nnotary = {{ {pin}, roles = ['targets/releases'] }}\n\
         [[identity]]\nname = 'testers'\nnotary = {{ {pin}, roles = ['targets/qa'] }}\n\
         [[rule]]\nimages = ['**']\nsignatures = {{ require = [['vendor']] }}\n\
         pin = {{ pull = 'signed-tag' }}\nimage = {{ user = 'any' }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n"
    );
    let read_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    fixture
        .policy
        .store(Arc::new(Policy::parse(&text, &read_file).unwrap_or_else(|errors| panic!("{errors}"))));
    let image = fixture.push("app", "v1", &["one"]).await;
    assert_eq!(fixture.push("app", "edge", &["one"]).await, image);
    for (role, tag) in [("targets/releases", "v1"), ("targets/qa", "edge")] {
        state.targets.delegations.push(Targets::new(role, NOW + DAY).tag(tag, &image));
    }
    push_files(&fixture, "app", &state.files()).await;
    assert_eq!((pull(&fixture, "app", "v1").await, pull(&fixture, "app", "edge").await), (200, 403));
}

#[tokio::test]
async fn withdrawn_or_revoked_metadata_vouches_for_nothing() {
    let mut state = repository(&[]);
    let pin = keys(&state.pin());
    let fixture = under(&pin);
    let image = fixture.push("app", "v1", &["one"]).await;
    state.targets.tags.insert("v1".to_owned(), (image, 528));
    let files = state.files();
    let collection = push_files(&fixture, "app", &files).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    let path = format!("/v2/app/_portcullis/withdrawals/{collection}");
    let body = r#"{"reason": "the signers were broken into"}"#;
    let _ = fixture.call(As::Admin, http::Method::PUT, &path, body).await.expect(204);
    assert_eq!(pull(&fixture, "app", "v1").await, 403);
    assert_eq!(push_files(&fixture, "app", &files).await, collection);
    assert_eq!(pull(&fixture, "app", "v1").await, 403);
    // The next state is another manifest, and good again.
    state.advance();
    let next = push_files(&fixture, "app", &state.files()).await;
    assert_eq!(pull(&fixture, "app", "v1").await, 200);
    let revoked = format!(
        "[[identity]]\nname = 'vendor'\nnotary = {{ {pin} }}\n[[rule]]\nimages = ['**']\n\
         signatures = {{ require = [['vendor']] }}\npin = {{ pull = 'tag' }}\nimage = {{ user = 'any' }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n\
         [[revocation]]\ndigest = '{next}'\nreason = 'signed by mistake'\n"
    );
    let read_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let policy = Policy::parse(&revoked, &read_file).unwrap_or_else(|errors| panic!("{errors}"));
    fixture.policy.store(Arc::new(policy));
    assert_eq!(pull(&fixture, "app", "v1").await, 403);
}
