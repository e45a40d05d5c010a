//! Refreshes against a loopback server that rolls back, freezes, never ends, lies and breaks; and what the gate makes of
//! each root.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use keys::sigstore::Anchors;
use keys::trust_store::Vouches;
use keys::tuf::{Role, TufError};
use tempfile::TempDir;

use super::fetch::FetchError;
use super::mint::{Files, Key, Repository};
use super::update::{UpdateError, Updated, update_once};
use super::*;
use crate::download::DownloadError;

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const ROOT: &[u8] = include_bytes!("../../../keys/tests/vectors/keyless/trusted_root.json");

/// What a server answers for a path that it does not tell the truth about.
#[derive(Clone, Debug)]
enum Lie {
    /// Bytes without an end.
    Endless,
    /// Nothing, with this status.
    Status(u16),
    /// Something else.
    Other(Vec<u8>),
    /// The beginning, and then the connection breaks.
    CutShort,
}

#[derive(Default)]
struct Server {
    files: Mutex<Files>,
    lies: Mutex<BTreeMap<String, Lie>>,
    asked: Mutex<Vec<String>>,
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri) -> Response<Body> {
    let path = uri.path().trim_start_matches('/').to_owned();
    server.asked.lock().unwrap().push(path.clone());
    let status = |status: u16| Response::builder().status(status).body(Body::empty()).unwrap();
    match server.lies.lock().unwrap().get(&path).cloned() {
        Some(Lie::Status(code)) => return status(code),
        Some(Lie::Other(bytes)) => return Response::new(Body::from(bytes)),
        Some(Lie::Endless) => {
            let piece = Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 * 1024]));
            let pieces = futures_util::stream::unfold(piece, |piece| async move {
                Some((Ok::<_, std::io::Error>(piece.as_ref().unwrap().clone()), piece))
            });
            return Response::new(Body::from_stream(pieces));
        }
        Some(Lie::CutShort) => {
            let pieces = [Ok(Bytes::from_static(b"{\"signed\":")), Err(std::io::Error::other("cut"))];
            return Response::new(Body::from_stream(futures_util::stream::iter(pieces)));
        }
        None => {}
    }
    match server.files.lock().unwrap().get(&path) {
        Some(bytes) => Response::new(Body::from(bytes.clone())),
        None => status(StatusCode::NOT_FOUND.as_u16()),
    }
}

/// A publisher, its server, a policy that pins its first root, and a folder to keep things in.
struct Setup {
    repository: Repository,
    server: Arc<Server>,
    url: String,
    pinned: Vec<u8>,
    folder: TempDir,
}

impl Setup {
    async fn new() -> Self {
        let mut repository = Repository::new(Key::ed25519);
        repository.target = ROOT.to_vec();
        repository.timestamp.expires = "2027-01-22T08:00:00Z";
        let server = Arc::new(Server::default());
        repository.publish(&mut server.files.lock().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let pinned = repository.root_file();
        Self { repository, server, url, pinned, folder: tempfile::tempdir().unwrap() }
    }

    fn policy(&self, more: &str) -> Policy {
        let text = format!(
            "[[trust-root]]\nname = 'own'\nurl = '{}'\nroot = '1.root.json'\n{more}\n\
             [[identity]]\nname = 'dev'\nkeyless = {{ issuer = 'i', subject = 's', trust-root = 'own' }}\n\
             [[rule]]\nimages = ['**']\nsignatures = {{ require = [['dev']] }}\n",
            self.url
        );
        let pinned = self.pinned.clone();
        Policy::parse(&text, &move |_: &Path| Ok(pinned.clone())).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn source(&self) -> RootSource {
        self.policy("").root_sources()[0].clone()
    }

    /// The publisher signs everything anew.
    fn publish(&mut self, change: impl FnOnce(&mut Repository)) {
        self.repository.advance();
        change(&mut self.repository);
        self.repository.publish(&mut self.server.files.lock().unwrap());
    }

    async fn update(&self, now: i64) -> Result<Updated, UpdateError> {
        let source = self.source();
        let origin = Origin::of(&source, fetch::client().unwrap()).unwrap().unwrap();
        update_once(self.folder.path(), &source, &origin, now).await
    }

    /// What the policy in force would say at `now`: whether its root is believed, and why not.
    fn believed(&self, now: i64) -> Result<(), String> {
        let policy = put_in(&self.policy(""), self.folder.path());
        let Vouches::Certificate(trust) = &policy.trust_store().identities[0].vouches else {
            panic!("keyless")
        };
        match &trust.anchors {
            Anchors::Root { root, .. } => match root.lease() {
                Some(lease) if now < lease.until => Ok(()),
                Some(lease) => Err(lease.ended.clone()),
                None => panic!("a fetched root without an end"),
            },
            Anchors::Absent(reason) => Err(reason.to_string()),
            Anchors::Authorities(_) => panic!("not asked for"),
        }
    }

    fn epoch(&self) -> String {
        put_in(&self.policy(""), self.folder.path()).epoch().to_owned()
    }
}

#[tokio::test]
async fn a_root_is_fetched_kept_confirmed_and_ends() {
    let mut setup = Setup::new().await;
    assert!(setup.believed(NOW).unwrap_err().contains("`own` was never fetched"));
    let absent = setup.epoch();
    assert_ne!(setup.policy("").digest(), absent, "a policy without its root is another basis");
    assert!(setup.update(NOW).await.unwrap().changed);
    assert_eq!(setup.believed(NOW), Ok(()));
    let fetched = setup.epoch();
    assert_ne!(fetched, absent);
    // The first root is pinned, the ones that were followed are kept: only what is new is asked for again.
    setup.server.asked.lock().unwrap().clear();
    setup.publish(|repository| {
        let key = Key::ecdsa();
        repository.rotate(vec![key]);
    });
    assert!(!setup.update(NOW + DAY).await.unwrap().changed, "another root of the metadata, the same target");
    assert_eq!(setup.epoch(), fetched, "kept verdicts stay");
    setup.server.asked.lock().unwrap().clear();
    setup.update(NOW + DAY).await.unwrap();
    assert!(!setup.server.asked.lock().unwrap().contains(&"2.root.json".to_owned()));
    // The timestamp ends before the longest age does.
    let refused = setup.believed(NOW + 7 * DAY).unwrap_err();
    let expected = "`own` has a timestamp that expired 2027-01-22T08:00:00Z: run `portcullis trust update`";
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn age_alone_ends_a_root_too_and_a_new_one_starts_another_epoch() {
    let mut setup = Setup::new().await;
    setup.publish(|repository| repository.timestamp.expires = "2028-01-01T00:00:00Z");
    setup.update(NOW).await.unwrap();
    let first = setup.epoch();
    assert_eq!(setup.believed(NOW + 7 * DAY - 1), Ok(()));
    let refused = setup.believed(NOW + 7 * DAY).unwrap_err();
    assert!(refused.contains("was last confirmed 2027-01-15T08:00:00Z, over 7days ago"), "{refused}");
    // Confirmed in time: nothing that was decided is asked again. Confirmed too late: what was refused meanwhile is.
    setup.update(NOW + 6 * DAY).await.unwrap();
    assert_eq!(setup.epoch(), first);
    setup.update(NOW + 20 * DAY).await.unwrap();
    assert_eq!(setup.believed(NOW + 20 * DAY), Ok(()));
    let second = setup.epoch();
    assert_ne!(second, first);
    // Another root: nothing that rested on the old one outlives it.
    setup.publish(|repository| repository.target = [ROOT, b"\n"].concat());
    assert!(setup.update(NOW + 20 * DAY).await.unwrap().changed);
    assert_ne!(setup.epoch(), second);
    // The digest, which receipts name, is the policy's own all the while.
    assert_eq!(put_in(&setup.policy(""), setup.folder.path()).digest(), setup.policy("").digest());
}

#[tokio::test]
async fn a_server_that_lies_changes_nothing_and_what_is_kept_stays() {
    let mut setup = Setup::new().await;
    let old = setup.server.files.lock().unwrap().clone();
    setup.publish(|_| {});
    setup.update(NOW).await.unwrap();
    let epoch = setup.epoch();
    let good = setup.server.files.lock().unwrap().clone();
    let target = good.keys().find(|path| path.starts_with("targets/")).unwrap().clone();
    let stranger = Repository::new(Key::ed25519).files();
    type Expected = fn(&UpdateError) -> bool;
    let fetch: Expected = |error| matches!(error, UpdateError::Fetch(_));
    let refused: Expected = |error| matches!(error, UpdateError::Refused(_));
    let too_large: Expected =
        |error| matches!(error, UpdateError::Fetch(FetchError::Download(DownloadError::TooLarge { .. })));
    for (path, lie, expected) in [
        // Rollback: the old timestamp, well signed and not expired.
        ("timestamp.json", Lie::Other(old["timestamp.json"].clone()), refused),
        // Somebody else's, a snapshot in its place, none at all.
        ("timestamp.json", Lie::Other(stranger["timestamp.json"].clone()), refused),
        ("timestamp.json", Lie::Other(good["2.snapshot.json"].clone()), refused),
        ("timestamp.json", Lie::Status(404), refused),
        ("timestamp.json", Lie::Status(500), fetch),
        ("timestamp.json", Lie::Status(403), fetch),
        ("timestamp.json", Lie::Endless, too_large),
        ("timestamp.json", Lie::CutShort, fetch),
        // A broken server is not one that says "there is no newer root".
        ("2.root.json", Lie::Status(500), fetch),
        ("2.root.json", Lie::Endless, too_large),
        ("2.root.json", Lie::Other(good["1.root.json"].clone()), refused),
        ("2.snapshot.json", Lie::Other(old["1.snapshot.json"].clone()), refused),
        ("2.snapshot.json", Lie::Endless, too_large),
        ("2.targets.json", Lie::Other(old["1.targets.json"].clone()), refused),
        (&target, Lie::Other(vec![b'{'; ROOT.len()]), refused),
        (&target, Lie::Endless, too_large),
        (&target, Lie::Status(404), refused),
    ] {
        setup.server.lies.lock().unwrap().insert(path.to_owned(), lie.clone());
        let error = setup.update(NOW + DAY).await.unwrap_err();
        assert!(expected(&error), "{path} {lie:?}: {}", chain(&error));
        setup.server.lies.lock().unwrap().clear();
        assert_eq!(setup.epoch(), epoch);
        assert_eq!(setup.believed(NOW + DAY), Ok(()));
    }
    assert!(!setup.update(NOW + DAY).await.unwrap().changed);
}

/// Freeze: a server that keeps giving what was good. It stays good until the timestamp's day, and not a second longer.
#[tokio::test]
async fn a_frozen_repository_ends_with_its_timestamp() {
    let setup = Setup::new().await;
    for day in 0..7 {
        setup.update(NOW + day * DAY).await.unwrap();
    }
    let error = setup.update(NOW + 7 * DAY).await.unwrap_err();
    let UpdateError::Refused(TufError::Expired { role: Role::Timestamp, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(setup.believed(NOW + 7 * DAY - 1), Ok(()));
    assert!(setup.believed(NOW + 7 * DAY).is_err());
    // A clock that was set back does not make it good again at the repository.
    let error = setup.update(NOW - DAY).await.unwrap_err();
    assert!(matches!(error, UpdateError::Refused(TufError::ClockWentBack { .. })), "{error:?}");
}

/// A newer state that broke off half-way is remembered: the older one is a rollback from then on.
#[tokio::test]
async fn what_a_broken_update_learned_is_kept() {
    let mut setup = Setup::new().await;
    setup.update(NOW).await.unwrap();
    let old = setup.server.files.lock().unwrap().clone();
    setup.publish(|_| {});
    setup.server.lies.lock().unwrap().insert("2.targets.json".to_owned(), Lie::Status(503));
    assert!(matches!(
        setup.update(NOW).await,
        Err(UpdateError::Fetch(FetchError::Download(DownloadError::Status { .. })))
    ));
    *setup.server.files.lock().unwrap() = old;
    let error = setup.update(NOW).await.unwrap_err();
    assert!(matches!(error, UpdateError::Refused(TufError::Rollback { .. })), "{error:?}");
    assert_eq!(setup.believed(NOW), Ok(()), "what was verified before still counts until it ends");
}

#[tokio::test]
async fn a_target_that_is_no_trusted_root_is_not_put_in_the_place_of_one() {
    let mut setup = Setup::new().await;
    setup.update(NOW).await.unwrap();
    let epoch = setup.epoch();
    setup.publish(|repository| repository.target = b"{}".to_vec());
    let error = setup.update(NOW).await.unwrap_err();
    assert!(matches!(error, UpdateError::Kept(kept::KeptError::Root(_))), "{error:?}");
    assert_eq!(setup.epoch(), epoch);
    assert_eq!(setup.believed(NOW), Ok(()));
}

#[tokio::test]
async fn what_is_kept_is_verified_again_and_belongs_to_its_pin() {
    let setup = Setup::new().await;
    setup.update(NOW).await.unwrap();
    let (file, source) = (setup.folder.path().join("own.json"), setup.source());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(Kept::read(setup.folder.path(), &source).unwrap().root(&source).unwrap().is_some());
    // Somebody edits the kept root, or breaks the file: it vouches for nobody, and is fetched anew.
    for damaged in
        [text.replace("rekor", "tekor").replace("fixture.example", "evil.example"), text[..100].to_owned()]
    {
        assert_ne!(damaged, text);
        std::fs::write(&file, damaged).unwrap();
        assert!(setup.believed(NOW).is_err());
        setup.update(NOW).await.unwrap();
        assert_eq!(setup.believed(NOW), Ok(()));
    }
    let other = RootSource { pinned: Repository::new(Key::ed25519).root_file(), ..source.clone() };
    assert!(Kept::read(setup.folder.path(), &other).unwrap().good().is_none());
    let other = RootSource { target: "other.json".to_owned(), ..source.clone() };
    assert!(Kept::read(setup.folder.path(), &other).unwrap().good().is_none());
    // One at a time.
    let lock = std::fs::File::open(setup.folder.path().join("own.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(setup.update(NOW).await, Err(UpdateError::Busy { .. })));
}

#[tokio::test]
async fn a_folder_carries_a_repository_to_where_there_is_no_network() {
    let setup = Setup::new().await;
    for form in ["", "metadata"] {
        let carried = tempfile::tempdir().unwrap();
        for (path, bytes) in setup.repository.files() {
            let below = if path.starts_with("targets/") { "" } else { form };
            let place = carried.path().join(below).join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, bytes).unwrap();
        }
        let (dir, source) = (tempfile::tempdir().unwrap(), setup.source());
        let origin = Origin::Folder(carried.path().to_owned());
        assert!(update_once(dir.path(), &source, &origin, NOW).await.unwrap().changed);
        std::fs::write(carried.path().join(form).join("timestamp.json"), vec![b' '; 1 << 20]).unwrap();
        let error = update_once(dir.path(), &source, &origin, NOW).await.unwrap_err();
        assert!(
            matches!(error, UpdateError::Fetch(FetchError::Download(DownloadError::TooLarge { .. }))),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_round_puts_the_root_into_force_and_measures_its_age() {
    let mut setup = Setup::new().await;
    let policy = Arc::new(ArcSwap::from_pointee(setup.policy("")));
    let (clock, metrics) = (Clock::stopped_at(NOW), Metrics::new());
    let config = TrustConfig { dir: setup.folder.path().to_owned(), interval: INTERVAL };
    let hurry = Arc::new(Notify::new());
    let refresher = Refresher { config, policy: policy.clone(), clock: clock.clone(), hurry };
    let client = fetch::client().unwrap();
    let before = policy.load().epoch().to_owned();
    measure(&policy.load(), &metrics, NOW);
    assert!(metrics.encode().unwrap().contains("trust_root_age_seconds{root=\"own\"} -1"));
    assert!(refresher.round(&client).await);
    assert_ne!(policy.load().epoch(), before);
    measure(&policy.load(), &metrics, NOW + 60);
    let text = metrics.encode().unwrap();
    assert!(text.contains("trust_root_age_seconds{root=\"own\"} 60"), "{text}");
    assert!(text.contains(&format!("trust_root_left_seconds{{root=\"own\"}} {}", 7 * DAY - 60)), "{text}");
    setup.server.lies.lock().unwrap().insert("timestamp.json".to_owned(), Lie::Status(500));
    setup.publish(|_| {});
    assert!(!refresher.round(&client).await);
    assert!(policy.load().roots().contains_key("own"), "the last good copy stays in force");
}

#[test]
fn a_trust_root_of_a_policy_is_pinned_named_and_used() {
    let pinned = Repository::new(Key::ed25519).root_file();
    let parse = |root: &str, keyless: &str| {
        let text = format!(
            "[[trust-root]]\n{root}\n[[identity]]\nname = 'dev'\nkeyless = {{ issuer = 'i', subject = 's', {keyless} }}\n\
             [[rule]]\nimages = ['**']\nsignatures = {{ require = [['dev']] }}\n"
        );
        let pinned = pinned.clone();
        let read = move |path: &Path| match path.to_str() {
            Some("root.json") => Ok(pinned.clone()),
            Some("edited.json") => Ok([b" {", &pinned[1..pinned.len() - 1], b",\"signed\":{}}"].concat()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        Policy::parse(&text, &read)
    };
    let good = "name = 'own'\nroot = 'root.json'";
    let policy =
        parse(&format!("{good}\nmax-age = '36h'\ntarget = 'roots/own.json'"), "trust-root = 'own'").unwrap();
    let [source] = policy.root_sources() else { panic!("one") };
    assert_eq!((source.url.as_deref(), source.target.as_str()), (None, "roots/own.json"));
    assert_eq!(source.max_age, Duration::from_secs(36 * 3600));
    assert!(serde_json::to_string(&policy.effective()).unwrap().contains("\"max-age\":\"1day 12h\""));
    for (root, keyless, problem) in [
        ("name = 'own'", "trust-root = 'own'", "`root` is missing"),
        ("root = 'root.json'", "trust-root = 'own'", "`name` is missing"),
        ("name = '../own'\nroot = 'root.json'", "trust-root = 'own'", "cannot name a trust root"),
        ("name = 'own'\nroot = 'absent.json'", "trust-root = 'own'", "`absent.json`: "),
        ("name = 'own'\nroot = 'edited.json'", "trust-root = 'own'", "duplicate key"),
        (good, "trust-root = 'other'", "no usable `[[trust-root]]` named `other`"),
        (good, "trust-root = 'own', roots = 'root.json'", "needs one of"),
        ("name = 'own'\nroot = 'root.json'\nurl = 'ftp://x'", "trust-root = 'own'", "is not the address"),
        (
            "name = 'own'\nroot = 'root.json'\nurl = 'https://u:p@x'",
            "trust-root = 'own'",
            "is not the address",
        ),
        (
            "name = 'own'\nroot = 'root.json'\ntarget = '../x'",
            "trust-root = 'own'",
            "no name of a target file",
        ),
        ("name = 'own'\nroot = 'root.json'\nmax-age = '0s'", "trust-root = 'own'", "no span of time"),
        (&format!("{good}\n[[trust-root]]\n{good}"), "trust-root = 'own'", "another trust root too"),
        (&format!("{good}\nrots = 1"), "trust-root = 'own'", "unknown key"),
    ] {
        let errors = parse(root, keyless).expect_err(root).to_string();
        assert!(errors.contains(problem), "{root}: {errors}");
    }
}
