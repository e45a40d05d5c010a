//! What credentials give, through the middleware and the token endpoint.

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Router, middleware};
use http::{Request, StatusCode};
use tower::ServiceExt;

use super::*;

const NOW: i64 = 1_800_000_000;

fn grants(entries: &[(&str, Action)]) -> Grants {
    let mut grants = Grants::default();
    for (pattern, action) in entries {
        grants.add(RepositoryPattern::parse(pattern).unwrap(), *action);
    }
    grants
}

fn account(name: &str, entries: &[(&str, Action)]) -> AccountConfig {
    let password = PasswordHash::parse(&bcrypt::hash(format!("{name}-password"), 4).unwrap()).unwrap();
    AccountConfig { name: name.to_owned(), password: Some(password), grants: grants(entries) }
}

fn config() -> AccessConfig {
    AccessConfig {
        accounts: vec![
            account("builder", &[("prod/**", Action::Push), ("**", Action::Pull)]),
            account("signer", &[("prod/**", Action::Sign)]),
            account("root", &[("**", Action::Admin)]),
            account("robot", &[("dev/**", Action::Pull)]),
        ],
        anonymous: grants(&[("public/**", Action::Pull)]),
        service: "registry.example".to_owned(),
        public_url: None,
        tls: false,
        token_lifetime_seconds: 300,
        hashing_slots: 2,
    }
}

fn access_at(clock: &Clock) -> Arc<Access> {
    Arc::new(Access::new(config(), TokenKey::from_bytes(&[1; 32]), clock.clone()).unwrap())
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn headers(authorization: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
}

/// The whole door: `/whoami` behind the middleware, and `/token`.
fn door(access: Arc<Access>) -> Router {
    let whoami = get(|caller: Caller| async move { caller.name().to_owned() });
    let guarded = Router::new()
        .route("/whoami", whoami)
        .route_layer(middleware::from_fn_with_state(access.clone(), door::identify));
    guarded.merge(door::router(access))
}

async fn ask(access: &Arc<Access>, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = door(access.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn request(uri: &str, authorization: Option<&str>) -> Request<Body> {
    let request = Request::get(uri).header(header::HOST, "localhost:5000");
    let request =
        authorization.iter().fold(request, |request, value| request.header("authorization", *value));
    request.body(Body::empty()).unwrap()
}

/// Gets a token for `scope` by the Docker token flow and says who it makes us.
async fn caller_by_token(access: &Arc<Access>, authorization: Option<&str>, scope: &str) -> Caller {
    let uri = format!("/token?service=registry.example&scope={scope}");
    let (status, _, body) = ask(access, request(&uri, authorization)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["token"], body["access_token"]);
    assert_eq!(body["expires_in"], 300);
    assert_eq!(body["issued_at"], "2027-01-15T08:00:00Z");
    let token = body["token"].as_str().unwrap();
    authenticate(&headers(&format!("Bearer {token}")), access).await.unwrap()
}

#[tokio::test]
async fn basic_credentials_give_the_accounts_rights_and_no_others() {
    let access = access_at(&Clock::stopped_at(NOW));
    let caller = authenticate(&headers(&basic("builder", "builder-password")), &access).await.unwrap();
    assert_eq!(caller.name(), "builder");
    for (action, repository, expected) in [
        (Action::Pull, "prod/app", true),
        (Action::Sign, "prod/app", true),
        (Action::Push, "prod/app", true),
        (Action::Admin, "prod/app", false),
        (Action::Pull, "dev/app", true),
        (Action::Push, "dev/app", false),
    ] {
        assert_eq!(caller.may(action, repository), expected, "{action:?} {repository}");
    }
    assert!(caller.is_producer("prod/app"));
    assert!(!caller.is_producer("dev/app"));
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_never_become_anonymous() {
    let access = access_at(&Clock::stopped_at(NOW));
    for (authorization, expected) in [
        (basic("builder", "wrong"), AuthenticateError::Password),
        (basic("builder", ""), AuthenticateError::Password),
        (basic("nobody", "builder-password"), AuthenticateError::Password),
        (basic("", ""), AuthenticateError::Password),
        (basic(ANONYMOUS, ""), AuthenticateError::Password),
        ("Basic !!!".to_owned(), AuthenticateError::Malformed),
        (format!("Basic {}", STANDARD.encode("no colon")), AuthenticateError::Malformed),
        ("Digest username=\"builder\"".to_owned(), AuthenticateError::Malformed),
        ("Bearer".to_owned(), AuthenticateError::Malformed),
        ("Bearer a.b.c".to_owned(), AuthenticateError::Token(TokenError::Signature)),
    ] {
        let answer = authenticate(&headers(&authorization), &access).await;
        assert_eq!(answer.err(), Some(expected), "{authorization}");
    }
    let mut twice = headers(&basic("builder", "builder-password"));
    twice.append(header::AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    assert_eq!(authenticate(&twice, &access).await.err(), Some(AuthenticateError::Malformed));
}

#[tokio::test]
async fn no_credentials_give_the_anonymous_consumer() {
    let access = access_at(&Clock::stopped_at(NOW));
    let caller = authenticate(&HeaderMap::new(), &access).await.unwrap();
    assert!(caller.is_anonymous() && !caller.gave_credentials());
    assert!(caller.may(Action::Pull, "public/app"));
    assert!(!caller.may(Action::Pull, "prod/app"));
    assert!(!caller.may(Action::Push, "public/app"));
    assert!(!caller.is_producer("public/app"));
}

/// User-Agent, forwarding headers and names that look like a robot's have no meaning here.
#[tokio::test]
async fn other_headers_and_telling_names_change_nothing() {
    let access = access_at(&Clock::stopped_at(NOW));
    for (name, value) in [
        ("user-agent", "portcullis-scanner/1.0"),
        ("user-agent", "harbor-scanner"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-user", "builder"),
        ("x-forwarded-proto", "https"),
        ("x-remote-user", "root"),
        ("forwarded", "for=127.0.0.1;proto=https"),
        ("x-real-ip", "::1"),
        ("via", "gateway"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        let caller = authenticate(&headers, &access).await.unwrap();
        assert!(caller.is_anonymous() && !caller.is_producer("prod/app"), "{name}: {value}");
        headers.insert(header::HOST, HeaderValue::from_static("localhost:5000"));
        let challenge = access.challenge(&headers, Wanted::Anything);
        assert!(challenge.to_str().unwrap().starts_with("Bearer realm=\"http://localhost:5000/token\""));
    }
    let robot = authenticate(&headers(&basic("robot", "robot-password")), &access).await.unwrap();
    assert!(!robot.may(Action::Push, "dev/app") && !robot.is_producer("dev/app"));
    let reserved = authenticate(&headers(&basic("robot$builder", "builder-password")), &access).await;
    assert_eq!(reserved.err(), Some(AuthenticateError::Password));
}

#[tokio::test]
async fn a_token_gives_what_was_asked_for_within_what_the_account_may() {
    let access = access_at(&Clock::stopped_at(NOW));
    let builder = basic("builder", "builder-password");
    let caller = caller_by_token(&access, Some(&builder), "repository:prod/app:pull").await;
    assert!(caller.may(Action::Pull, "prod/app"));
    assert!(!caller.may(Action::Push, "prod/app"), "only pull was asked for");
    assert!(!caller.may(Action::Pull, "prod/other"), "a token is for one repository");
    assert!(caller.is_producer("prod/app"), "the account counts for what is visible");
    assert_eq!(caller.refusal(Action::Push, "prod/app"), Refusal::Unauthorized, "a better token would do");
    assert_eq!(caller.refusal(Action::Push, "dev/app"), Refusal::Forbidden, "no token would do");

    let caller = caller_by_token(&access, Some(&builder), "repository:dev/app:pull,push,delete").await;
    assert!(caller.may(Action::Pull, "dev/app"));
    assert!(!caller.may(Action::Push, "dev/app"), "the account may only pull there");

    let both = "repository:prod/a:pull,push&scope=repository:dev/b:pull";
    let caller = caller_by_token(&access, Some(&builder), both).await;
    assert!(caller.may(Action::Push, "prod/a") && caller.may(Action::Pull, "dev/b"));

    let signer = basic("signer", "signer-password");
    let caller = caller_by_token(&access, Some(&signer), "repository:prod/app:pull,push").await;
    assert!(caller.may(Action::Sign, "prod/app") && !caller.may(Action::Push, "prod/app"));
}

#[tokio::test]
async fn an_anonymous_token_is_a_consumers() {
    let access = access_at(&Clock::stopped_at(NOW));
    let scope = "repository:public/app:pull,push%20repository:prod/app:pull";
    let caller = caller_by_token(&access, None, scope).await;
    assert!(caller.is_anonymous() && caller.gave_credentials());
    assert!(caller.may(Action::Pull, "public/app"));
    assert!(!caller.may(Action::Push, "public/app") && !caller.may(Action::Pull, "prod/app"));
    assert_eq!(caller.refusal(Action::Pull, "prod/app"), Refusal::Unauthorized);
}

#[tokio::test]
async fn a_token_is_not_a_way_to_get_a_token_for_more() {
    let access = access_at(&Clock::stopped_at(NOW));
    let builder = basic("builder", "builder-password");
    let (_, _, body) = ask(&access, request("/token?scope=repository:prod/app:pull", Some(&builder))).await;
    let token = serde_json::from_str::<serde_json::Value>(&body).unwrap();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let uri = "/token?scope=repository:prod/app:push";
    let (status, ..) = ask(&access, request(uri, Some(&bearer))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_end_with_their_time_and_with_their_account() {
    let clock = Clock::stopped_at(NOW);
    let access = access_at(&clock);
    let token = |access: &Access| {
        let caller = Caller { account: access.accounts["builder"].clone(), credential: Credential::Password };
        format!("Bearer {}", access.issue(&caller, &TokenScope::default(), clock.now()))
    };
    let bearer = token(&access);
    clock.advance(299);
    assert!(authenticate(&headers(&bearer), &access).await.is_ok());
    clock.advance(1);
    let expired = authenticate(&headers(&bearer), &access).await.err();
    assert_eq!(expired, Some(AuthenticateError::Token(TokenError::Expired)));

    let bearer = token(&access);
    let mut without_builder = config();
    without_builder.accounts.remove(0);
    let later = Access::new(without_builder, TokenKey::from_bytes(&[1; 32]), clock.clone()).unwrap();
    let gone = authenticate(&headers(&bearer), &later).await.err();
    assert_eq!(gone, Some(AuthenticateError::Token(TokenError::UnknownAccount)));
}

#[tokio::test]
async fn the_oauth_form_gives_a_token_for_a_right_password_only() {
    let access = access_at(&Clock::stopped_at(NOW));
    for (form, expected) in [
        (
            "grant_type=password&username=builder&password=builder-password&scope=repository:prod/app:push",
            StatusCode::OK,
        ),
        ("grant_type=password&username=builder&password=wrong", StatusCode::UNAUTHORIZED),
        ("grant_type=password&username=builder", StatusCode::BAD_REQUEST),
        ("grant_type=refresh_token&refresh_token=x", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        ("\u{0}", StatusCode::BAD_REQUEST),
    ] {
        let request = Request::post("/token").body(Body::from(form)).unwrap();
        assert_eq!(ask(&access, request).await.0, expected, "{form}");
    }
    let long = Request::post("/token").body(Body::from("a".repeat(100_000))).unwrap();
    assert_eq!(ask(&access, long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_refused_login_is_told_how_to_log_in_in_the_specs_shape() {
    let access = access_at(&Clock::stopped_at(NOW));
    let (status, headers, body) = ask(&access, request("/whoami", Some(&basic("builder", "wrong")))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        headers["www-authenticate"],
        "Bearer realm=\"http://localhost:5000/token\",service=\"registry.example\""
    );
    assert_eq!(body, r#"{"errors":[{"code":"UNAUTHORIZED","message":"unknown account or wrong password"}]}"#);
    assert_eq!(headers["cache-control"], "no-store");
    let (status, _, body) = ask(&access, request("/whoami", Some(&basic("root", "root-password")))).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "root"));
}

#[tokio::test]
async fn a_token_without_the_catalog_scope_lists_nothing() {
    let access = access_at(&Clock::stopped_at(NOW));
    let builder = basic("builder", "builder-password");
    let caller = caller_by_token(&access, Some(&builder), "repository:prod/app:pull").await;
    assert!(!caller.may_list("prod/app"));
    let caller = caller_by_token(&access, Some(&builder), "registry:catalog:*").await;
    assert!(caller.may_list("prod/app"));
    assert!(!caller.may(Action::Pull, "prod/app"));
}

#[test]
fn accounts_that_could_be_mistaken_are_refused() {
    for name in ["", "anonymous", "a:b", "a b", "röbot", "robot$x", &"a".repeat(65)] {
        let mut config = config();
        config.accounts.push(account(name, &[]));
        let access = Access::new(config, TokenKey::from_bytes(&[1; 32]), Clock::stopped_at(NOW));
        assert!(matches!(access, Err(AccessError::Name { .. })), "{name}");
    }
    let mut twice = config();
    twice.accounts.push(account("builder", &[]));
    let access = Access::new(twice, TokenKey::from_bytes(&[1; 32]), Clock::stopped_at(NOW));
    assert!(matches!(access, Err(AccessError::Duplicate { .. })));
}

#[test]
fn no_secret_is_printed() {
    let access = access_at(&Clock::stopped_at(NOW));
    let printed = format!("{access:?} {:?}", config());
    for secret in ["$2b$", "password-", "AQEBAQ"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
