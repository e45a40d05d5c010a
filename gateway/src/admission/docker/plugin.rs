//! The plug-in's process: answers the engine on a unix socket and asks the gateway over HTTP. It keeps no state, so that
//! its answers are always the gateway's of this moment; whatever goes wrong is a denial.

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
use crate::admission::{Answer, Asked, ImageQuestion};

/// Content type of the plug-in protocol.
const PLUGIN_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// Largest answer of the gateway read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How the plug-in reaches the gateway, and what it lets pass.
#[derive(Debug)]
pub struct PluginConfig {
    /// The gateway's address; `admission/image` is appended.
    pub gateway: Url,
    /// User name and password of a consumer.
    pub credentials: Option<(String, Password)>,
    /// PEM certificates of further certificate authorities.
    pub certificate_authorities: Vec<u8>,
    /// How long the gateway may take; then the answer is no. The engine's client waits meanwhile.
    pub deadline: Duration,
    /// Whether this host may make images.
    pub local_images: LocalImages,
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

#[derive(Debug)]
struct Plugin {
    client: reqwest::Client,
    address: Url,
    credentials: Option<(String, Password)>,
    deadline: Duration,
    local_images: LocalImages,
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
        let mut base = config.gateway.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let address = base
            .join("admission/image")
            .map_err(|_| PluginError::Gateway(config.gateway.host_str().unwrap_or("").to_owned()))?;
        Ok(Self {
            client,
            address,
            credentials: config.credentials,
            deadline: config.deadline,
            local_images: config.local_images,
        })
    }

    /// The gateway's answer; without one within the deadline, "nobody knows".
    async fn ask(&self, asked: &Asked) -> Answer {
        match tokio::time::timeout(self.deadline, self.request(asked)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => Answer::undecided(problem),
            Err(_) => Answer::undecided(format!("the gateway did not answer within {:?}", self.deadline)),
        }
    }

    async fn request(&self, asked: &Asked) -> Result<Answer, String> {
        let mut request = self.client.post(self.address.clone()).json(&ImageQuestion::from(asked));
        if let Some((name, password)) = &self.credentials {
            request = request.basic_auth(name, Some(&password.0));
        }
        let mut response = request.send().await.map_err(|error| {
            tracing::warn!("cannot reach the gateway: {error:?}");
            "the gateway cannot be reached".to_owned()
        })?;
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            return Err(format!("the gateway answered with status {status}"));
        }
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|_| "the gateway's answer broke off".to_owned())?
        {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(format!("the gateway's answer is over the limit of {ANSWER_BYTES_MAX} bytes"));
            }
        }
        let answer =
            serde_json::from_slice(&body).map_err(|_| "the gateway's answer is malformed".to_owned())?;
        match (&answer, asked.image.digest()) {
            // A question about one digest must not be answered with another's admission.
            (Answer::Admitted { digest, .. }, Some(expected)) if digest != expected.as_str() => {
                Err(format!("the gateway admitted `{digest}` instead"))
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

    async fn create_container(gateway: Url) -> String {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("plugins/portcullis.sock");
        let listener = bind(&socket).await.unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let config = PluginConfig {
            gateway,
            credentials: None,
            certificate_authorities: Vec::new(),
            deadline: Duration::from_secs(2),
            local_images: LocalImages::Denied,
        };
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
