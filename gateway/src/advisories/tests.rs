//! Updates against a loopback server that can change, shrink, lie, and cut short.

mod grype;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use scanner::advisory::{Advisories, Ecosystem};
use tempfile::TempDir;

use super::fetch::{FetchError, Fetcher};
use super::intake::{self, IntakeError};
use super::update::{Round, SourceError, UpdateError, update_once};
use super::*;
use crate::download::DownloadError;

const NOW: i64 = 1_795_392_000;

/// Files by name, each with its `ETag`; counts the bodies it sent.
#[derive(Default)]
struct Server {
    files: Mutex<BTreeMap<String, (String, Vec<u8>)>>,
    bodies: AtomicUsize,
}

impl Server {
    fn put(&self, name: &str, etag: &str, body: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(name.to_owned(), (etag.to_owned(), body.into()));
    }
}

async fn serve(
    State(server): State<Arc<Server>>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Response<Body> {
    if name == "cut-short" {
        let pieces =
            futures_util::stream::iter([Ok(Bytes::from_static(b"{\"id\":")), Err(io::Error::other("cut"))]);
        return Response::new(Body::from_stream(pieces));
    }
    if name == "moved" {
        return Response::builder().status(302).header("location", "/osv").body(Body::empty()).unwrap();
    }
    let Some((etag, body)) = server.files.lock().unwrap().get(&name).cloned() else {
        return Response::builder().status(404).body(Body::empty()).unwrap();
    };
    let response = Response::builder().header("etag", &etag);
    if headers.get("if-none-match").is_some_and(|known| known == etag.as_str()) {
        return response.status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap();
    }
    server.bodies.fetch_add(1, Ordering::Relaxed);
    response.body(Body::from(body)).unwrap()
}

/// A server, a store and a configuration with the named sources, each at the path of its name.
struct Setup {
    server: Arc<Server>,
    store: Arc<AdvisoryStore>,
    config: AdvisoriesConfig,
    fetcher: Fetcher,
    folder: TempDir,
}

impl Setup {
    async fn new(sources: &[&str]) -> Self {
        let server = Arc::new(Server::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/{name}", get(serve)).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("advisories");
        let sources = sources.iter().map(|name| SourceConfig {
            name: SourceName::try_from((*name).to_owned()).unwrap(),
            url: SourceUrl::try_from(format!("http://{address}/{name}")).unwrap(),
        });
        let config = AdvisoriesConfig { file: file.clone(), sources: sources.collect(), interval: INTERVAL };
        let store = AdvisoryStore::open(&file).unwrap();
        Self { server, store, config, fetcher: Fetcher::with_limit(64 * 1024).unwrap(), folder }
    }

    async fn update(&self, now: i64) -> Result<Round, UpdateError> {
        update_once(&self.config, &self.store, &self.fetcher, now, &|_| {}).await
    }

    fn count(&self, package: &str) -> usize {
        let current = self.store.current().unwrap();
        let entries = current.lookup(&Ecosystem::npm(), package).unwrap();
        entries.map(Result::unwrap).count()
    }
}

fn osv(id: &str, package: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}},
        "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"2.0.0"}}]}}]}}]}}"#
    )
    .replace('\n', " ")
}

#[tokio::test]
async fn the_first_round_builds_and_the_next_one_asks_conditionally() {
    let setup = Setup::new(&["osv"]).await;
    setup.server.put("osv", "\"1\"", osv("A-1", "left"));
    assert!(setup.store.current().is_none());
    let round = setup.update(NOW).await.unwrap();
    assert_eq!((round.new.len(), round.failed.len()), (1, 0));
    assert_eq!(setup.count("left"), 1);
    let first = setup.store.revision().unwrap();

    let round = setup.update(NOW + 100).await.unwrap();
    assert_eq!((round.new.len(), round.unchanged.len()), (0, 1));
    assert_eq!(setup.server.bodies.load(Ordering::Relaxed), 1, "the body is not sent twice");
    let second = setup.store.revision().unwrap();
    assert_eq!(second.digest, first.digest, "nothing new keeps the digest, so that verdicts stay valid");
    assert_eq!((first.built, second.built), (NOW, NOW + 100));
    assert_eq!(setup.store.age_seconds(NOW + 130), Some(30));
}

#[tokio::test]
async fn a_new_version_is_swapped_in_and_told() {
    let setup = Setup::new(&["osv"]).await;
    setup.server.put("osv", "\"1\"", osv("A-1", "left"));
    setup.update(NOW).await.unwrap();
    let mut changes = setup.store.subscribe();
    changes.mark_unchanged();
    let held = setup.store.current().unwrap();
    setup.server.put("osv", "\"2\"", osv("A-1", "right"));
    setup.update(NOW + 1).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!((setup.count("left"), setup.count("right")), (0, 1));
    let old = held.lookup(&Ecosystem::npm(), "left").unwrap().count();
    assert_eq!(old, 1, "who holds the old file goes on reading it");
}

#[tokio::test]
async fn a_failing_source_keeps_its_last_version_and_shows_as_age() {
    let setup = Setup::new(&["osv", "other"]).await;
    setup.server.put("osv", "\"1\"", osv("A-1", "left"));
    setup.server.put("other", "\"1\"", osv("B-1", "right"));
    setup.update(NOW).await.unwrap();
    setup.server.files.lock().unwrap().remove("other");
    setup.server.put("osv", "\"2\"", osv("A-2", "left"));
    let round = setup.update(NOW + 500).await.unwrap();
    assert!(
        matches!(
            round.failed[..],
            [(_, SourceError::Fetch(FetchError::Download(DownloadError::Status { .. })))]
        ),
        "{:?}",
        round.failed
    );
    assert_eq!((setup.count("left"), setup.count("right")), (1, 1));
    assert_eq!(setup.store.revision().unwrap().built, NOW);
}

#[tokio::test]
async fn without_one_good_source_nothing_comes_into_use() {
    let setup = Setup::new(&["cut-short", "absent"]).await;
    let error = setup.update(NOW).await.unwrap_err();
    assert!(
        matches!(
            error,
            UpdateError::NothingFetched(Some(SourceError::Fetch(FetchError::Download(
                DownloadError::Request { .. }
            ))))
        ),
        "{error:?}"
    );
    assert!(setup.store.current().is_none());
    assert!(!setup.config.file.exists());
    let left: Vec<_> = std::fs::read_dir(setup.folder.path().join("advisories.sources")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What a server may send instead of its feed, after a good round.
#[tokio::test]
async fn bad_bodies_never_replace_a_good_feed() {
    let many: String = (0..40).map(|index| osv(&format!("A-{index}"), "left") + "\n").collect();
    let cases: [(&str, Vec<u8>); 6] = [
        ("a page", b"<html>login</html>".to_vec()),
        ("json of another kind", br#"{"hello":"world"}"#.to_vec()),
        ("a document cut short", many.as_bytes()[..many.len() - 40].to_vec()),
        ("an empty body", Vec::new()),
        ("too many bytes", vec![b' '; 65 * 1024]),
        ("a feed that lost its advisories", osv("A-1", "left").into_bytes()),
    ];
    for (name, body) in cases {
        let setup = Setup::new(&["osv"]).await;
        setup.server.put("osv", "\"1\"", many.clone());
        setup.update(NOW).await.unwrap();
        let before = setup.store.revision().unwrap();
        setup.server.put("osv", "\"2\"", body);
        let round = setup.update(NOW + 9).await.unwrap();
        assert_eq!(round.failed.len(), 1, "{name}");
        assert_eq!(setup.store.revision().unwrap(), before, "{name}");
        assert_eq!(setup.count("left"), 40, "{name}");
    }
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let setup = Setup::new(&["moved"]).await;
    setup.server.put("osv", "\"1\"", osv("A-1", "left"));
    setup.update(NOW).await.unwrap();
    assert_eq!(setup.count("left"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_always_see_one_whole_version() {
    let setup = Setup::new(&["osv"]).await;
    let version =
        |number: usize| osv(&format!("A-{number}"), "left") + "\n" + &osv(&format!("B-{number}"), "left");
    setup.server.put("osv", "\"0\"", version(0));
    setup.update(NOW).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (store, stopped) = (Arc::clone(&setup.store), Arc::clone(&stop));
    let reader = std::thread::spawn(move || {
        let mut reads = 0;
        while !stopped.load(Ordering::Relaxed) {
            let current: Arc<Advisories> = store.current().unwrap();
            let entries = current.lookup(&Ecosystem::npm(), "left").unwrap();
            let ids: Vec<String> = entries.map(|entry| entry.unwrap().id.to_owned()).collect();
            let numbers: Vec<&str> = ids.iter().map(|id| id.split('-').nth(1).unwrap()).collect();
            assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{ids:?}");
            reads += 1;
        }
        reads
    });
    for number in 1..20 {
        setup.server.put("osv", &format!("\"{number}\""), version(number));
        setup.update(NOW).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
}

#[test]
fn folders_archives_and_packed_files_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("one.json", osv("A-1", "left").as_bytes());
    write("deep/er/two.json", osv("A-2", "left").as_bytes());
    write(
        "lines.jsonl.zst",
        &zstd::encode_all(format!("{}\n{}\n", osv("A-3", "left"), osv("A-4", "left")).as_bytes(), 1).unwrap(),
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(osv("A-5", "left").as_bytes()).unwrap();
    write("packed.json.gz", &gzip.finish().unwrap());
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("in/zip.json", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(osv("A-6", "left").as_bytes()).unwrap();
    archive.start_file("README.md", zip::write::SimpleFileOptions::default()).unwrap();
    write("all.zip", &archive.finish().unwrap().into_inner());
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in
        [("2026/tar.json", osv("A-7", "left")), ("2026/tar.json.asc", "a signature".to_owned())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    write("all.tar.zst", &zstd::encode_all(&tar.into_inner().unwrap()[..], 1).unwrap());
    write("epss.csv", b"cve,epss,percentile\nCVE-2026-0001,0.5,0.9\n");
    write(
        "updateinfo.xml",
        br#"<updates><update type="security"><id>ELSA-2026-1</id><pkglist><collection><package name="a"
        version="1" release="1.el9" arch="x86_64"/></collection></pkglist></update></updates>"#,
    );
    write("notes.txt", b"not a feed");

    let mut builder = scanner::advisory::Builder::new();
    for file in intake::feed_files(folder.path()).unwrap() {
        intake::add_file(&mut builder, "test", &file).unwrap();
    }
    let out = folder.path().join("advisories");
    write_file(&out, &builder.finish(NOW).unwrap()).unwrap();
    let advisories = load(&out).unwrap();
    assert_eq!(advisories.lookup(&Ecosystem::npm(), "left").unwrap().count(), 7);
    let oracle = Ecosystem::from_osv("Oracle Linux:9").unwrap();
    assert_eq!(advisories.lookup(&oracle, "a").unwrap().count(), 1);
    assert_eq!(advisories.sources()[0].scored, 1);
}

#[test]
fn a_broken_document_stops_the_build_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feed.jsonl");
    std::fs::write(&file, format!("{}\n{{\"id\":\n", osv("A-1", "left"))).unwrap();
    let error = intake::add_file(&mut scanner::advisory::Builder::new(), "test", &file).unwrap_err();
    let IntakeError::Document { document, .. } = error else { panic!("{error:?}") };
    assert!(document.ends_with("feed.jsonl, line 2"), "{document}");
}

#[test]
fn a_tar_archive_that_is_cut_short_or_broken_inside_stops_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.tar");
    let archive = |content: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, "a.json", content.as_bytes()).unwrap();
        tar.into_inner().unwrap()
    };
    let add = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        intake::add_file(&mut scanner::advisory::Builder::new(), "test", &file)
    };
    let whole = archive(&osv("A-1", "left"));
    assert_eq!(add(&whole).unwrap().advisories, 1);
    // In the middle of the member's content.
    assert!(add(&whole[..540]).is_err());
    let broken = add(&archive("{\"id\":"));
    let Err(IntakeError::Document { document, .. }) = broken else { panic!("{broken:?}") };
    assert!(document.ends_with("all.tar!a.json"), "{document}");
}

#[test]
fn a_damaged_file_is_an_error_and_an_absent_one_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("advisories");
    assert!(AdvisoryStore::open(&file).unwrap().current().is_none());
    std::fs::write(&file, b"PCADVIS\nnonsense").unwrap();
    assert!(matches!(AdvisoryStore::open(&file), Err(StoreError::Unusable { .. })));
    assert!(matches!(write_file(&file, b"nonsense"), Err(StoreError::Unusable { .. })));
}

#[test]
fn the_configuration_says_what_is_wrong_with_it() {
    let parse =
        |text: &str| toml::from_str::<AdvisoriesConfig>(text).map_err(|error| error.message().to_owned());
    let good = parse(
        "file = '/a'\ninterval = '30m'\n[[sources]]\nname = 'osv'\nurl = 'https://user:secret@feeds.example/all.zip?key=secret'",
    );
    let good = good.unwrap();
    assert_eq!(good.interval, Duration::from_secs(1800));
    assert!(!format!("{good:?} {}", good.sources[0].url).contains("secret"), "{good:?}");
    for (text, problem) in [
        ("file = '/a'\ninterval = '1s'", "too often"),
        ("file = '/a'\ninterval = 'often'", "no duration"),
        ("file = '/a'\nextra = 1", "unknown field"),
        ("file = '/a'\n[[sources]]\nname = '../x'\nurl = 'https://a.example'", "cannot name a source"),
        ("file = '/a'\n[[sources]]\nname = 'x'\nurl = 'file:///etc/passwd'", "not by `file`"),
    ] {
        let message = parse(text).unwrap_err();
        assert!(message.contains(problem), "{text}: {message}");
    }
}
