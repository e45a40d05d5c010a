//! The plug-in's process: answers the engine on a unix socket and asks the gateway over HTTP, or reads the gate's receipts
//! where it is told to: instead, or when the gateway cannot be reached. It keeps no state, so that its answers are always
//! of this moment; whatever goes wrong is a denial.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use reqwest::Url;
use tokio::net::UnixListener;

use super::{ACTIVATION, CALL_BYTES_MAX, LocalImages, Question, Reply, read, reply};
use crate::admission::receipts::ReceiptDoor;
use crate::admission::{Answer, Asked, ImageQuestion};

/// Content type of the plug-in protocol.
const PLUGIN_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// Largest answer of the gateway read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Whom the plug-in asks, and what it lets pass.
#[derive(Debug)]
pub struct PluginConfig {
    /// Who answers.
    pub source: AnswerSource,
    /// Whether this host may make images.
    pub local_images: LocalImages,
}

/// Who answers.
#[derive(Debug)]
pub enum AnswerSource {
    /// The gateway, and nobody else.
    Gateway(GatewayConfig),
    /// The gateway; when it cannot be reached, the receipts of the image. A no of the gateway is final.
    GatewayThenReceipts(GatewayConfig, ReceiptDoor),
    /// The receipts alone.
    Receipts(ReceiptDoor),
}

/// How the plug-in reaches the gateway.
#[derive(Debug)]
pub struct GatewayConfig {
    /// The gateway's address; `admission/image` is appended.
    pub address: Url,
    /// User name and password of a consumer.
    pub credentials: Option<(String, Password)>,
    /// PEM certificates of further certificate authorities.
    pub certificate_authorities: Vec<u8>,
    /// How long the gateway may take; then the answer is no. The engine's client waits meanwhile.
    pub deadline: Duration,
}

/// A password that cannot be printed.
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("****")
    }
}

/// Why the plug-in cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The client for the gateway, mostly its certificate authorities.
    #[error("cannot set up the client for the gateway")]
    Client(#[source] reqwest::Error),
    /// The gateway's address.
    #[error("`{0}` is not an address that `admission/image` can be appended to")]
    Gateway(String),
    /// The socket.
    #[error("cannot listen on `{}`", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Serving failed.
    #[error("cannot go on serving")]
    Serve(#[source] io::Error),
}

struct Plugin {
    gateway: Option<Gateway>,
    receipts: Option<ReceiptDoor>,
    local_images: LocalImages,
}

struct Gateway {
    client: reqwest::Client,
    address: Url,
    credentials: Option<(String, Password)>,
    deadline: Duration,
}

/// Why the gateway gave no answer.
enum NoAnswer {
    /// Nobody is there, or what is there cannot reach it.
    Away(String),
    /// Somebody is there, and does not answer as a gateway does.
    Wrong(String),
}

/// Binds the socket for its owner alone. A socket that nobody answers on is left from a crash and replaced; anything else
/// at that path is left alone.
pub async fn bind(path: &Path) -> Result<UnixListener, PluginError> {
    let failed = |source| PluginError::Socket { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(failed)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if tokio::net::UnixStream::connect(path).await.is_ok() {
                return Err(failed(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process answers there",
                )));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        Ok(_) => {
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is no socket")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Bound in a folder of its own and moved when its rights are set: there is no moment in which others can connect and
    // learn who runs what.
    let private = tempfile::tempdir_in(directory).map_err(failed)?;
    let bound = private.path().join("socket");
    let listener = UnixListener::bind(&bound).map_err(failed)?;
    std::fs::set_permissions(&bound, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&bound, path).map_err(failed)?;
    Ok(listener)
}

/// Serves the engine until `shutdown`, then answers what is in flight.
pub async fn serve(
    listener: UnixListener,
    config: PluginConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), PluginError> {
    let plugin = Arc::new(Plugin::new(config)?);
    let router = Router::new()
        .route("/Plugin.Activate", post(|| async { plugin_json(ACTIVATION.to_owned()) }))
        .route("/AuthZPlugin.AuthZReq", post(authorize_request))
        .route("/AuthZPlugin.AuthZRes", post(|| async { replied(&Reply::allow()) }))
        .layer(DefaultBodyLimit::max(CALL_BYTES_MAX))
        .with_state(plugin);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await.map_err(PluginError::Serve)
}

async fn authorize_request(State(plugin): State<Arc<Plugin>>, call: Bytes) -> Response {
    let answer = match read(&call, plugin.local_images) {
        Question::Harmless => Reply::allow(),
        Question::Refused(why) => {
            tracing::info!(reason = %why, "request denied without asking");
            Reply::deny(&why)
        }
        Question::Images(asked) => {
            let mut answers = Vec::with_capacity(asked.len());
            for asked in &asked {
                let answer = plugin.ask(asked).await;
                tracing::info!(image = %asked.image, admitted = matches!(answer, Answer::Admitted { .. }), "image judged");
                answers.push(answer);
            }
            reply(&asked, &answers)
        }
    };
    replied(&answer)
}

fn replied(reply: &Reply) -> Response {
    plugin_json(serde_json::to_string(reply).unwrap_or_default())
}

fn plugin_json(body: String) -> Response {
    ([(CONTENT_TYPE, PLUGIN_TYPE)], body).into_response()
}

impl Plugin {
    fn new(config: PluginConfig) -> Result<Self, PluginError> {
        let (gateway, receipts) = match config.source {
            AnswerSource::Gateway(gateway) => (Some(gateway), None),
            AnswerSource::GatewayThenReceipts(gateway, receipts) => (Some(gateway), Some(receipts)),
            AnswerSource::Receipts(receipts) => (None, Some(receipts)),
        };
        let gateway = gateway.map(Gateway::new).transpose()?;
        Ok(Self { gateway, receipts, local_images: config.local_images })
    }

    async fn ask(&self, asked: &Asked) -> Answer {
        let named = self.receipts.as_ref().and_then(|receipts| receipts.as_the_gate_names(&asked.image));
        let refused = match &self.gateway {
            Some(gateway) => {
                let asked = Asked { image: named.unwrap_or_else(|| asked.image.clone()), ..asked.clone() };
                gateway.ask(&asked).await
            }
            None => Err(NoAnswer::Away("no gateway is asked".to_owned())),
        };
        match (refused, &self.receipts) {
            (Ok(answer), _) => answer,
            (Err(NoAnswer::Away(problem)), Some(receipts)) => {
                tracing::info!(image = %asked.image, "{problem}; its receipts are read");
                receipts.answer(asked).await
            }
            (Err(NoAnswer::Away(problem) | NoAnswer::Wrong(problem)), _) => Answer::undecided(problem),
        }
    }
}

impl Gateway {
    fn new(config: GatewayConfig) -> Result<Self, PluginError> {
        // A second installation fails and changes nothing; the provider is the same everywhere in this program.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authorities = reqwest::Certificate::from_pem_bundle(&config.certificate_authorities)
            .map_err(PluginError::Client)?;
        let client = reqwest::Client::builder()
            .tls_certs_merge(authorities)
            // A redirect would carry the question, and the trust in its answer, to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(config.deadline)
            .build()
            .map_err(PluginError::Client)?;
        let mut base = config.address.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let address = base
            .join("admission/image")
            .map_err(|_| PluginError::Gateway(config.address.host_str().unwrap_or("").to_owned()))?;
        Ok(Self { client, address, credentials: config.credentials, deadline: config.deadline })
    }

    /// The gateway's answer, within the deadline.
    async fn ask(&self, asked: &Asked) -> Result<Answer, NoAnswer> {
        let late = |_| Err(NoAnswer::Away(format!("the gateway did not answer within {:?}", self.deadline)));
        tokio::time::timeout(self.deadline, self.request(asked)).await.unwrap_or_else(late)
    }

    async fn request(&self, asked: &Asked) -> Result<Answer, NoAnswer> {
        let mut request = self.client.post(self.address.clone()).json(&ImageQuestion::from(asked));
        if let Some((name, password)) = &self.credentials {
            request = request.basic_auth(name, Some(&password.0));
        }
        let mut response = request.send().await.map_err(|error| {
            tracing::warn!("cannot reach the gateway: {error:?}");
            NoAnswer::Away("the gateway cannot be reached".to_owned())
        })?;
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            let problem = format!("the gateway answered with status {status}");
            // What stands before a gateway that is away answers so.
            let is_away = matches!(status.as_u16(), 502..=504);
            return Err(if is_away { NoAnswer::Away(problem) } else { NoAnswer::Wrong(problem) });
        }
        let mut body = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|_| NoAnswer::Wrong("the gateway's answer broke off".to_owned()))?
        {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                let problem = format!("the gateway's answer is over the limit of {ANSWER_BYTES_MAX} bytes");
                return Err(NoAnswer::Wrong(problem));
            }
        }
        let answer = serde_json::from_slice(&body)
            .map_err(|_| NoAnswer::Wrong("the gateway's answer is malformed".to_owned()))?;
        match (&answer, asked.image.digest()) {
            // A question about one digest must not be answered with another's admission.
            (Answer::Admitted { digest, .. }, Some(expected)) if digest != expected.as_str() => {
                Err(NoAnswer::Wrong(format!("the gateway admitted `{digest}` instead")))
            }
            _ => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use axum::Json;
    use base64::Engine as _;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;
    use crate::admission::receipts::{ReceiptTrust, Tags};
    use crate::clock::Clock;
    use crate::reference::ImageReference;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// A gateway that answers every question the same way.
    async fn gateway(answer: Value) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route(
            "/admission/image",
            post(move |Json(question): Json<Value>| async move {
                assert_eq!(question["image"], format!("registry.example/app@{DIGEST}"));
                Json(answer)
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}").parse().unwrap()
    }

    async fn post_to(socket: &Path, path: &str, body: &str) -> String {
        let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Receipts of a registry that is nowhere: whether they were asked shows in the answer.
    fn no_receipts() -> ReceiptDoor {
        let key = keys::keyring::generate(keys::keyring::NewKey::EcdsaP256).unwrap().public_key().clone();
        let trust = ReceiptTrust {
            key,
            verifier: "https://registry.example".to_owned(),
            policies: Vec::new(),
            registries: [("registry.example".to_owned(), "registry.example".to_owned())].into(),
        };
        let connect = |_: &ImageReference| Err("receipts were asked".to_owned());
        let deadline = Duration::from_secs(2);
        ReceiptDoor::new(trust, Arc::new(connect), Tags::Denied, deadline, Clock::stopped_at(0))
    }

    fn config(gateway: Url) -> GatewayConfig {
        GatewayConfig {
            address: gateway,
            credentials: None,
            certificate_authorities: Vec::new(),
            deadline: Duration::from_secs(2),
        }
    }

    async fn create_container(gateway: Url) -> String {
        created(AnswerSource::Gateway(config(gateway))).await
    }

    async fn created(source: AnswerSource) -> String {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("plugins/portcullis.sock");
        let listener = bind(&socket).await.unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let config = PluginConfig { source, local_images: LocalImages::Denied };
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, config, async move {
            let _ = stopped.await;
        }));
        assert!(post_to(&socket, "/Plugin.Activate", "").await.contains(ACTIVATION));
        assert!(bind(&socket).await.is_err(), "a socket in use is not taken over");
        let body = json!({"Image": format!("registry.example/app@{DIGEST}")}).to_string();
        let call = json!({"RequestMethod": "POST", "RequestUri": "/v1.43/containers/create",
            "RequestBody": base64::engine::general_purpose::STANDARD.encode(body)});
        let answer = post_to(&socket, "/AuthZPlugin.AuthZReq", &call.to_string()).await;
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn the_engine_gets_the_gateways_answer() {
        let admitted = gateway(json!({"decision": "admitted", "digest": DIGEST, "warnings": []})).await;
        assert!(create_container(admitted).await.contains(r#"{"Allow":true"#));
        let undecided = gateway(json!({"decision": "undecided", "problem": "the disk is full"})).await;
        let answer = create_container(undecided).await;
        assert!(answer.contains(r#"{"Allow":false"#) && answer.contains("the disk is full"), "{answer}");
    }

    #[tokio::test]
    async fn whatever_goes_wrong_is_a_denial() {
        let other = DIGEST.replace('e', "f");
        for (answer, expected) in [
            (json!({"decision": "admitted", "digest": other, "warnings": []}), "instead"),
            (json!({"decision": "yes"}), "malformed"),
            (json!({"allowed": true}), "malformed"),
            (json!({"decision": "undecided", "problem": "x".repeat(ANSWER_BYTES_MAX)}), "over the limit"),
        ] {
            let text = create_container(gateway(answer).await).await;
            assert!(text.contains(r#"{"Allow":false"#) && text.contains(expected), "{expected}: {text}");
        }
        let away = create_container("http://127.0.0.1:1".parse().unwrap()).await;
        assert!(away.contains(r#"{"Allow":false"#) && away.contains("cannot be reached"), "{away}");
    }

    /// A gateway's answer is final, whatever it is; only where none is there the receipts are read.
    #[tokio::test]
    async fn receipts_are_read_when_no_gateway_is_there_and_then_only() {
        let away: Url = "http://127.0.0.1:1".parse().unwrap();
        let then = |gateway: Url| AnswerSource::GatewayThenReceipts(config(gateway), no_receipts());
        for (source, asked) in [
            (AnswerSource::Receipts(no_receipts()), true),
            (then(away.clone()), true),
            (then(answering(502).await), true),
            (then(answering(503).await), true),
            (AnswerSource::Gateway(config(away)), false),
            (then(answering(401).await), false),
            (then(answering(500).await), false),
            (then(gateway(json!({"decision": "undecided", "problem": "the disk is full"})).await), false),
            (then(gateway(json!({"decision": "yes"})).await), false),
        ] {
            let shown = format!("{source:?}");
            let text = created(source).await;
            assert!(text.contains(r#"{"Allow":false"#), "{shown}: {text}");
            assert_eq!(text.contains("receipts were asked"), asked, "{shown}: {text}");
        }
        let admitted = gateway(json!({"decision": "admitted", "digest": DIGEST, "warnings": []})).await;
        assert!(created(then(admitted)).await.contains(r#"{"Allow":true"#));
    }

    /// What answers every question with a status and no more.
    async fn answering(status: u16) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let router = Router::new().fallback(move || async move { status });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_socket_left_from_a_crash_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portcullis.sock");
        drop(bind(&path).await.unwrap());
        // Another test's child process may hold the descriptor for a moment, between fork and exec.
        let mut again = bind(&path).await;
        for _ in 0..100 {
            if again.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            again = bind(&path).await;
        }
        again.unwrap();
    }

    #[tokio::test]
    async fn a_file_at_the_sockets_place_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portcullis.sock");
        std::fs::write(&path, "mine").unwrap();
        assert!(bind(&path).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
