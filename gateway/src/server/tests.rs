//! The server on a loopback port: limits, TLS, drain.

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

use super::tls::CertificateFiles;
use super::*;

const LOOPBACK: &str = "127.0.0.1:0";

fn limits() -> ServerLimits {
    ServerLimits {
        body_idle: Duration::from_millis(300),
        connections: 16,
        drain: Duration::from_secs(5),
        header: Duration::from_millis(300),
        idle: Duration::from_millis(600),
    }
}

struct Running {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Drained>,
}

impl Running {
    async fn start(
        router: Router,
        limits: ServerLimits,
        certificates: Option<Arc<CertificateStore>>,
    ) -> Self {
        let listener = Listener::bind(LOOPBACK.parse().unwrap(), certificates, PlainHttp::LoopbackOnly);
        let listener = listener.await.unwrap();
        let address = listener.address().unwrap();
        let metrics = Arc::new(Metrics::new());
        let request_ids = Arc::new(RequestIds::new());
        let serving = Serving { limits, metrics: metrics.clone(), request_ids, log_requests: true };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(run(listener, router, serving, async move {
            let _ = stopped.await;
        }));
        Self { address, metrics, stop, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` as it is and returns everything until the server closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    reading.expect("the server never closed").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn hello() -> Router {
    let echo = post(|body: Body| async move {
        to_bytes(body, 1 << 20).await.map(|bytes| bytes.len().to_string()).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            (http::StatusCode::REQUEST_TIMEOUT, cause.unwrap_or_default())
        })
    });
    Router::new().route("/hello", get(|| async { "hello" })).route("/echo", echo)
}

#[tokio::test]
async fn plain_http_is_refused_where_others_could_listen_in() {
    for (address, plain, expected) in [
        ("0.0.0.0:0", PlainHttp::LoopbackOnly, false),
        ("[::]:0", PlainHttp::LoopbackOnly, false),
        ("127.0.0.1:0", PlainHttp::LoopbackOnly, true),
        ("0.0.0.0:0", PlainHttp::AnywhereDangerous, true),
    ] {
        let bound = Listener::bind(address.parse().unwrap(), None, plain).await;
        assert_eq!(bound.is_ok(), expected, "{address} {plain:?}");
        if let Err(error) = bound {
            assert!(error.to_string().contains("refusing plain HTTP"), "{error}");
        }
    }
}

#[tokio::test]
async fn every_answer_carries_an_id_of_ours_and_is_counted() {
    let server = Running::start(hello(), limits(), None).await;
    let request =
        "GET /hello HTTP/1.1\r\nhost: x\r\nx-request-id: chosen-by-client\r\nconnection: close\r\n\r\n";
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert!(answer.contains("x-request-id: ") && !answer.contains("chosen-by-client"), "{answer}");
    let metrics = server.metrics.encode().unwrap();
    assert!(metrics.contains("requests_total{route=\"other\",method=\"GET\",status=\"2xx\"} 1"), "{metrics}");
    assert!(metrics.contains("portcullis_sent_bytes_total 5"), "{metrics}");
}

#[tokio::test]
async fn clients_that_hold_connections_with_nothing_are_cut_off() {
    let server = Running::start(hello(), limits(), None).await;
    for beginning in ["", "P", "PRI * HTTP/2.0", "GET /hello HTTP/1.1\r\nhost: x\r\nx-drip:"] {
        let start = clock_start();
        let answer = server.exchange(beginning).await;
        assert!(!answer.contains("200"), "{beginning:?}: {answer}");
        assert!(start.elapsed() < Duration::from_secs(5), "{beginning:?}");
    }
    // A header byte now and then does not buy time.
    let mut stream = server.connect().await;
    let (mut read, mut write) = stream.split();
    let drip = async {
        write.write_all(b"GET /hello HTTP/1.1\r\nx-drip: ").await.unwrap();
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = drip => {}
        answer = read_all(&mut read) => assert!(!answer.contains("200"), "{answer}"),
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let server = Running::start(hello(), limits(), None).await;
    let mut stream = server.connect().await;
    let mut buffer = [0u8; 1024];
    for _ in 0..5 {
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off() {
    let server = Running::start(hello(), limits(), None).await;
    let mut stream = server.connect().await;
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    // Each byte comes before the silence would be noticed; together they are too slow.
    let (mut read, mut write) = stream.split();
    let drip = async {
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        () = drip => unreachable!("the drip only ends by being cut off"),
        answer = read_all(&mut read) => answer,
    };
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("too slowly"), "{answer}");
}

#[tokio::test]
async fn a_client_held_back_by_us_is_not_slow() {
    let slow_reader = post(|body: Body| async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        to_bytes(body, 1 << 24).await.map(|bytes| bytes.len().to_string()).unwrap_or_default()
    });
    let server = Running::start(Router::new().route("/slow", slow_reader), limits(), None).await;
    let body = "a".repeat(3_000_000);
    let head = format!(
        "POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let answer = server.exchange(&(head + &body)).await;
    assert!(answer.ends_with("3000000"), "{answer}");
}

#[tokio::test]
async fn oversized_headers_are_refused() {
    let server = Running::start(hello(), limits(), None).await;
    let long = format!("GET /hello HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(HEADER_BYTES_MAX));
    let answer = server.exchange(&long).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET /hello HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(HEADER_FIELDS_MAX));
    let answer = server.exchange(&many).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_panic_costs_one_request_and_is_counted() {
    let fail = get(|| async {
        if true {
            panic!("a bug");
        }
    });
    let server = Running::start(hello().route("/fail", fail), limits(), None).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /fail HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0u8; 1024];
    let length = stream.read(&mut buffer).await.unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("internal error, request"), "{answer}");
    assert!(!answer.contains("a bug"), "{answer}");
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    assert!(server.metrics.encode().unwrap().contains("portcullis_panics_total 1"));
}

/// A route that says when it began and waits to be told to end.
fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (began, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (began.clone(), end.clone());
    let handler = get(move || async move {
        tell.notify_one();
        wait.notified().await;
        "finished"
    });
    (Router::new().route("/held", handler), began, end)
}

#[tokio::test]
async fn draining_lets_a_request_in_flight_finish_and_takes_no_new_ones() {
    let (router, began, end) = held();
    let server =
        Running::start(router, ServerLimits { idle: Duration::from_secs(20), ..limits() }, None).await;
    let address = server.address;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    began.notified().await;
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed while draining");
    end.notify_one();
    assert!(read_all(&mut stream).await.ends_with("finished"));
    assert_eq!(server.ended.await.unwrap(), Drained { cut_off: 0 });
}

#[tokio::test]
async fn draining_ends_in_time_whatever_clients_do() {
    let (router, began, _end) = held();
    let limits = ServerLimits { drain: Duration::from_millis(200), ..limits() };
    let server = Running::start(router, limits, None).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    began.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), Drained { cut_off: 1 });
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_free_place() {
    let (router, began, end) = held();
    let server = Running::start(router, ServerLimits { connections: 1, ..limits() }, None).await;
    let request = b"GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    first.write_all(request).await.unwrap();
    began.notified().await;
    second.write_all(request).await.unwrap();
    let second_began = tokio::time::timeout(Duration::from_millis(200), began.notified()).await;
    assert!(second_began.is_err(), "the second connection had to wait");
    end.notify_one();
    assert!(read_all(&mut first).await.ends_with("finished"));
    began.notified().await;
    end.notify_one();
    assert!(read_all(&mut second).await.ends_with("finished"));
}

fn install(folder: &Path, certificate: &str, key: &str) -> CertificateFiles {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let files = CertificateFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
    std::fs::copy(data.join(certificate), &files.certificate).unwrap();
    std::fs::copy(data.join(key), &files.key).unwrap();
    files
}

/// Asks over TLS, trusting only `certificate`.
async fn hello_over_tls(address: SocketAddr, certificate: &str) -> Result<String, io::Error> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data.join(certificate)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    Ok(read_all(&mut stream).await)
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = install(folder.path(), "first.crt", "first.key");
    let store = Arc::new(CertificateStore::load(files.clone()).unwrap());
    let watching = tokio::spawn(store.clone().watch(Duration::from_millis(20)));
    let server = Running::start(hello(), limits(), Some(store)).await;
    assert!(hello_over_tls(server.address, "first.crt").await.unwrap().ends_with("hello"));
    assert!(hello_over_tls(server.address, "second.crt").await.is_err());

    // The certificate alone does not fit the old key, and half a file is no certificate: the first one stays.
    for (certificate, key) in [("second.crt", "first.key"), ("SOURCE.md", "first.key")] {
        install(folder.path(), certificate, key);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(
            hello_over_tls(server.address, "first.crt").await.unwrap().ends_with("hello"),
            "{certificate}"
        );
    }
    install(folder.path(), "second.crt", "second.key");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(hello_over_tls(server.address, "second.crt").await.unwrap().ends_with("hello"));
    assert!(hello_over_tls(server.address, "first.crt").await.is_err());
    watching.abort();
}

#[tokio::test]
async fn a_client_that_never_finishes_the_handshake_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let files = install(folder.path(), "first.crt", "first.key");
    let store = Arc::new(CertificateStore::load(files).unwrap());
    let server = Running::start(hello(), limits(), Some(store)).await;
    assert_eq!(server.exchange("").await, "");
    assert!(!server.exchange("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.contains("200"));
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (certificate, key, expected) in [
        ("first.crt", "second.key", "does not fit"),
        ("SOURCE.md", "first.key", "holds no certificate"),
        ("first.crt", "first.crt", "is not PEM"),
    ] {
        let error = CertificateStore::load(install(folder.path(), certificate, key)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let missing = CertificateFiles { certificate: "/nowhere/a".into(), key: "/nowhere/b".into() };
    assert_eq!(CertificateStore::load(missing).unwrap_err().to_string(), "cannot read `/nowhere/a`");
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_no_answer_is_not_ready() {
    let check = |checks: Vec<operations::Check>| async move {
        let router = operations::router(Arc::new(Metrics::new()), Arc::new(move || checks.clone()));
        let server = Running::start(router, limits(), None).await;
        server.exchange("GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
    };
    let good = operations::Check { name: "store", problem: None };
    let bad = operations::Check { name: "policy", problem: Some("not loaded".to_owned()) };
    assert!(check(vec![good.clone()]).await.starts_with("HTTP/1.1 200"));
    let answer = check(vec![good, bad]).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("not loaded"), "{answer}");
    assert!(check(Vec::new()).await.starts_with("HTTP/1.1 503"));
}

#[expect(clippy::disallowed_methods, reason = "measures a limit")]
fn clock_start() -> std::time::Instant {
    std::time::Instant::now()
}
