//! The whole gateway in one process, on a loopback port.

use std::fs;

use tokio::sync::oneshot;

use super::*;
use crate::config::environment::Environment;

const OPEN_POLICY: &str = "[[rule]]\nimages = [\"**\"]\nsignatures = { require = \"nobody-unsafe\" }\n";

fn config(folder: &Path, more: &str) -> Config {
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{more}");
    Config::parse(&text, folder, &Environment::default()).unwrap()
}

fn folder() -> tempfile::TempDir {
    crate::server::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), OPEN_POLICY).unwrap();
    folder
}

#[tokio::test]
async fn it_starts_answers_reloads_its_policy_and_stops() {
    let folder = folder();
    let app = App::build(config(folder.path(), ""), Clock::system()).await.unwrap();
    let (url, policy) = (app.url(), app.policy.clone());
    let before = policy.load().digest().to_owned();
    let ((stop, stopped), (ask, asked)) = (oneshot::channel::<()>(), watch::channel(0));
    let running = tokio::spawn(app.run(async { stopped.await.unwrap_or_default() }, asked));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, expected) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/v2/", 401), ("/", 404)]
    {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{path}");
    }

    // A broken policy changes nothing; a good one is in force without a restart.
    fs::write(folder.path().join("policy.toml"), "[[rule]]\nimages = 7\n").unwrap();
    ask.send_replace(1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(policy.load().digest(), before);
    fs::write(folder.path().join("policy.toml"), format!("# changed\n{OPEN_POLICY}")).unwrap();
    ask.send_replace(2);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if policy.load().digest() != before {
            break;
        }
    }
    assert_ne!(policy.load().digest(), before);

    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), server::Drained { cut_off: 0 });
}

/// A policy that asks the gate to sign, for a gate without a key: not at the start, and not by a reload.
#[tokio::test]
async fn a_policy_that_asks_for_a_key_is_not_taken_up_without_one() {
    let folder = folder();
    let asking = OPEN_POLICY.replace(" }", ", serve-as = [\"simple\"] }");
    let app = App::build(config(folder.path(), ""), Clock::system()).await.unwrap();
    let policy = app.policy.clone();
    let before = policy.load().digest().to_owned();
    let ((stop, stopped), (ask, asked)) = (oneshot::channel::<()>(), watch::channel(0));
    let running = tokio::spawn(app.run(async { stopped.await.unwrap_or_default() }, asked));
    fs::write(folder.path().join("policy.toml"), &asking).unwrap();
    ask.send_replace(1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(policy.load().digest(), before);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    let error = App::build(config(folder.path(), ""), Clock::system()).await.unwrap_err();
    assert!(matches!(&error, AppError::NoKey { rule } if rule == "**"), "{error}");
}

#[tokio::test]
async fn operations_can_have_an_address_of_their_own() {
    let folder = folder();
    let more = "operations-listen = \"127.0.0.1:0\"\n[advisories]\nfile = \"not-there-yet.bin\"\n";
    let app = App::build(config(folder.path(), more), Clock::system()).await.unwrap();
    let operations = app.operations_listener.as_ref().unwrap().address().unwrap();
    let url = app.url();
    let ((stop, stopped), (_ask, asked)) = (oneshot::channel::<()>(), watch::channel(0));
    let running = tokio::spawn(app.run(async { stopped.await.unwrap_or_default() }, asked));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let here = client.get(format!("{url}/metrics")).send().await.unwrap();
    assert_eq!(here.status().as_u16(), 404, "not where clients are");
    // Advisories that are configured and missing: alive, and not ready.
    for (path, expected) in [("/healthz", 200), ("/metrics", 200), ("/readyz", 503)] {
        let answer = client.get(format!("http://{operations}{path}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{path}");
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn two_gateways_never_share_a_data_folder() {
    let folder = folder();
    let first = App::build(config(folder.path(), ""), Clock::system()).await.unwrap();
    let second = App::build(config(folder.path(), ""), Clock::system()).await;
    assert!(matches!(second, Err(AppError::Locked { .. })));
    drop(first);
    assert!(App::build(config(folder.path(), ""), Clock::system()).await.is_ok());
}

#[tokio::test]
async fn nothing_is_served_without_a_policy() {
    let folder = folder();
    fs::remove_file(folder.path().join("policy.toml")).unwrap();
    let missing = App::build(config(folder.path(), ""), Clock::system()).await;
    assert!(matches!(missing, Err(AppError::Policy(_))));
    fs::write(folder.path().join("policy.toml"), "[[rule]]\nimages = 7\n").unwrap();
    let broken = App::build(config(folder.path(), ""), Clock::system()).await;
    assert!(matches!(broken, Err(AppError::Policy(_))));
}

#[tokio::test]
async fn plain_http_for_others_needs_the_frightening_key() {
    let folder = folder();
    let refused = Config::parse("[server]\nlisten = \"0.0.0.0:0\"", folder.path(), &Environment::default());
    let refused = App::build(refused.unwrap(), Clock::system()).await;
    assert!(matches!(refused, Err(AppError::Listen(ListenError::PlainOnPublicAddress { .. }))));
    let text = "[server]\nlisten = \"0.0.0.0:0\"\ninsecure-plain-http-on-public-address-DANGEROUS = true\n";
    let allowed = Config::parse(text, folder.path(), &Environment::default()).unwrap();
    assert!(App::build(allowed, Clock::system()).await.is_ok());
}
