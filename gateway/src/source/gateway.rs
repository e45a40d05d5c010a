//! Calls the endpoints of a gateway that are its own, beside those of every registry.

use std::time::Duration;

use oci_distribution::secrets::RegistryAuth;
use reqwest::{Certificate, Client, Method, RequestBuilder, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::registry::{Access, PlainHttp};
use crate::reference::ImageReference;

/// Longest wait for an answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an error's body that are read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No answer.
    #[error("cannot reach `{registry}`")]
    Unreachable {
        /// Which gateway.
        registry: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is no.
    #[error("`{registry}` refused ({status}): {message}")]
    Refused {
        /// Which gateway.
        registry: String,
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The call cannot be made at all.
    #[error("cannot set up the client")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One repository of a gateway.
pub struct Gateway {
    runtime: Runtime,
    client: Client,
    auth: RegistryAuth,
    registry: String,
    base: Url,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gateway").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Prepares to talk to the gateway of `reference`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the certificate authorities do not parse.
    pub fn connect(reference: &ImageReference, access: &Access) -> Result<Self, GatewayError> {
        // A second installation fails and changes nothing; the provider is the same everywhere in this program.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let setup = |error: reqwest::Error| GatewayError::Setup(error.into());
        let is_plain = access.insecure_plain_http == PlainHttp::Anywhere || reference.is_loopback();
        let mut client = Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            // Credentials go to the host they belong to, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TOTAL_TIMEOUT);
        if reference.is_loopback() {
            client = client.no_proxy();
        }
        for authority in Certificate::from_pem_bundle(&access.certificate_authorities).map_err(setup)? {
            client = client.add_root_certificate(authority);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let registry = reference.registry().to_owned();
        let scheme = if is_plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{registry}/v2/{}/", reference.repository()));
        Ok(Self {
            runtime: runtime.map_err(|error| GatewayError::Setup(error.into()))?,
            client: client.build().map_err(setup)?,
            auth: access.auth.clone(),
            registry,
            base: base.map_err(|error| GatewayError::Setup(error.into()))?,
        })
    }

    /// PUT with a JSON body, below the repository.
    ///
    /// # Errors
    /// When there is no answer, or it is no.
    pub fn put(&self, path: &str, body: &Value) -> Result<(), GatewayError> {
        self.send(|client, url| client.request(Method::PUT, url).json(body), path)
    }

    /// DELETE, below the repository.
    ///
    /// # Errors
    /// When there is no answer, or it is no.
    pub fn delete(&self, path: &str) -> Result<(), GatewayError> {
        self.send(|client, url| client.request(Method::DELETE, url), path)
    }

    fn send(
        &self,
        request: impl FnOnce(&Client, Url) -> RequestBuilder,
        path: &str,
    ) -> Result<(), GatewayError> {
        let url = self.base.join(path).map_err(|error| GatewayError::Setup(error.into()))?;
        let request = request(&self.client, url);
        let request = match &self.auth {
            RegistryAuth::Anonymous => request,
            RegistryAuth::Basic(name, password) => request.basic_auth(name, Some(password)),
            RegistryAuth::Bearer(token) => request.bearer_auth(token),
        };
        let unreachable = |source: reqwest::Error| GatewayError::Unreachable {
            registry: self.registry.clone(),
            source: source.without_url(),
        };
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(unreachable)? {
                body.extend_from_slice(&piece);
                if body.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
            let message = words(&body);
            Err(GatewayError::Refused { registry: self.registry.clone(), status: status.as_u16(), message })
        })
    }
}

/// The messages of the distribution spec's error body, printable; another body says nothing that may be shown.
fn words(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = body.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let messages = errors.iter().filter_map(|error| error.get("message").and_then(Value::as_str));
    let text = messages.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        return "it does not say why; is it a Portcullis gateway?".to_owned();
    }
    text.chars().filter(|letter| !letter.is_control()).take(1000).collect()
}
