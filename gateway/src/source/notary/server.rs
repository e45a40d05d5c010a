//! A Notary v1 server, read only: each file by its address, within limits, with a token where it asks for one.

use std::cell::RefCell;
use std::time::Duration;

use keys::notary::Document;
use oci_distribution::secrets::RegistryAuth;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::source::registry::{Access, PlainHttp};

/// Longest wait for one file.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of a token service's answer.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Longest challenge read, in bytes.
const CHALLENGE_BYTES_MAX: usize = 4096;

/// Why a server did not give a file.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Not an address of a server.
    #[error("`{0}` is no address of a server: https://notary.example, or http:// on this machine")]
    Address(String),
    /// The client cannot be set up.
    #[error("cannot set up the client")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer.
    #[error("cannot reach `{host}`")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Another answer than the file, or that it is not there.
    #[error("`{host}` answered {status} to the question for `{document}.json`")]
    Status {
        /// Which host.
        host: String,
        /// HTTP status.
        status: u16,
        /// Which file.
        document: Document,
    },
    /// It wants other credentials.
    #[error("`{0}` wants credentials, or other ones; `docker login {0}` stores them")]
    Unauthorized(String),
    /// Longer than the file ever is.
    #[error("`{host}` sends more than {max} bytes for `{document}.json`")]
    TooLarge {
        /// Which host.
        host: String,
        /// Which file.
        document: Document,
        /// The bound.
        max: usize,
    },
    /// A challenge that cannot be met.
    #[error("`{host}` asks for a token in a way that is not understood: {problem}")]
    Challenge {
        /// Which host.
        host: String,
        /// What is wrong.
        problem: String,
    },
}

/// One repository on a server.
pub struct Server {
    runtime: Runtime,
    client: Client,
    auth: RegistryAuth,
    host: String,
    base: Url,
    gun: String,
    plain: PlainHttp,
    token: RefCell<Option<String>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// The address of a server: `https://notary.example`.
pub fn address(text: &str, plain: PlainHttp) -> Result<Url, ServerError> {
    let wrong =
        || ServerError::Address(text.chars().filter(|letter| !letter.is_control()).take(200).collect());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let named = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let secure = url.scheme() == "https"
        || url.scheme() == "http" && (plain == PlainHttp::Anywhere || is_loopback(&url));
    if secure && named && url.host_str().is_some() { Ok(url) } else { Err(wrong()) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// Host and port, by which logins are stored.
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Server {
    /// Prepares to talk to the server at `url` about `gun`. Nothing is sent yet.
    ///
    /// # Errors
    /// When address, name or certificate authorities are none.
    pub fn connect(url: &str, gun: &str, access: &Access) -> Result<Self, ServerError> {
        // A second installation fails and changes nothing; the provider is the same everywhere in this program.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = address(url, access.insecure_plain_http)?;
        let setup = |error: reqwest::Error| ServerError::Setup(error.into());
        let mut client = Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            // Credentials go to the host they belong to, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TOTAL_TIMEOUT);
        if is_loopback(&url) {
            client = client.no_proxy();
        }
        for authority in Certificate::from_pem_bundle(&access.certificate_authorities).map_err(setup)? {
            client = client.add_root_certificate(authority);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let path = format!("{}/v2/{gun}/_trust/tuf/", url.path().trim_end_matches('/'));
        let mut base = url.clone();
        base.set_path(&path);
        if base.path() != path {
            return Err(ServerError::Address(format!("{url} for `{gun}`")));
        }
        Ok(Self {
            runtime: runtime.map_err(|error| ServerError::Setup(error.into()))?,
            client: client.build().map_err(setup)?,
            auth: access.auth.clone(),
            host: host_of(&url),
            base,
            gun: gun.to_owned(),
            plain: access.insecure_plain_http,
            token: RefCell::default(),
        })
    }

    /// One file, by its digest where that is known; `None`: the server does not have it.
    ///
    /// # Errors
    /// When there is no answer, or another one.
    pub fn file(&self, document: &Document, sha256: Option<&str>) -> Result<Option<Vec<u8>>, ServerError> {
        let name = match sha256 {
            Some(sha256) => format!("{document}.{sha256}.json"),
            None => format!("{document}.json"),
        };
        let url = self.base.join(&name).map_err(|error| ServerError::Setup(error.into()))?;
        self.runtime.block_on(async {
            let first = self.send(self.client.get(url.clone())).await?;
            let response = if first.status() == StatusCode::UNAUTHORIZED && self.token.borrow().is_none() {
                let challenge = first.headers().get(http::header::WWW_AUTHENTICATE);
                let challenge =
                    challenge.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
                let token = self.ask_for_token(&challenge).await?;
                self.token.replace(Some(token));
                self.send(self.client.get(url)).await?
            } else {
                first
            };
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(ServerError::Unauthorized(self.host.clone()));
                }
                status => {
                    let (host, document) = (self.host.clone(), document.clone());
                    return Err(ServerError::Status { host, status: status.as_u16(), document });
                }
            }
            let max = document.bytes_max();
            let too_large =
                || ServerError::TooLarge { host: self.host.clone(), document: document.clone(), max };
            self.read(response, max).await?.map(Some).ok_or_else(too_large)
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, ServerError> {
        let token = self.token.borrow().clone();
        let request = match (&token, &self.auth) {
            (Some(token), _) | (None, RegistryAuth::Bearer(token)) => request.bearer_auth(token),
            _ => request,
        };
        request.send().await.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: reqwest::Error) -> ServerError {
        ServerError::Unreachable { host: self.host.clone(), source: source.without_url() }
    }

    /// The whole body; `None`: longer than the bound.
    async fn read(
        &self,
        mut response: reqwest::Response,
        max: usize,
    ) -> Result<Option<Vec<u8>>, ServerError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            body.extend_from_slice(&piece);
            if body.len() > max {
                return Ok(None);
            }
        }
        Ok(Some(body))
    }

    /// Docker's token protocol, for reading this repository. Credentials are those of the server's own host and go to
    /// no other: a token service elsewhere is asked without (CVE-2025-27403).
    async fn ask_for_token(&self, challenge: &str) -> Result<String, ServerError> {
        let wrong =
            |problem: &str| ServerError::Challenge { host: self.host.clone(), problem: problem.to_owned() };
        let (realm, service) = parse_challenge(challenge).map_err(wrong)?;
        let mut url = address(&realm, self.plain).map_err(|_| wrong("its realm is no safe address"))?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &format!("repository:{}:pull", self.gun));
        }
        let own = url.host_str() == self.base.host_str();
        let request = self.client.get(url);
        let request = match &self.auth {
            RegistryAuth::Basic(name, password) if own => request.basic_auth(name, Some(password)),
            _ => request,
        };
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if !response.status().is_success() {
            return Err(ServerError::Unauthorized(self.host.clone()));
        }
        let body =
            self.read(response, TOKEN_BYTES_MAX).await?.ok_or_else(|| wrong("its answer is too long"))?;
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| wrong("its answer holds no token"))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| wrong("its answer holds no token"))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Realm and service of `Bearer realm="…",service="…"`.
fn parse_challenge(challenge: &str) -> Result<(String, Option<String>), &'static str> {
    if challenge.len() > CHALLENGE_BYTES_MAX {
        return Err("the challenge is too long");
    }
    let (scheme, mut rest) = challenge.split_once(' ').ok_or("there is no challenge")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("it is not of the kind `Bearer`");
    }
    let (mut realm, mut service) = (None, None);
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            break;
        }
        let (name, after) = rest.split_once("=\"").ok_or("a parameter is malformed")?;
        let (value, after) = after.split_once('"').ok_or("a parameter is malformed")?;
        match name.trim() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    Ok((realm.ok_or("it names no realm")?, service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_without_secrets_and_with_tls_or_on_this_machine_are_servers() {
        for (text, plain, good) in [
            ("https://notary.example", PlainHttp::Loopback, true),
            ("https://notary.example:4443/prefix/", PlainHttp::Loopback, true),
            ("http://127.0.0.1:4443", PlainHttp::Loopback, true),
            ("http://[::1]:4443", PlainHttp::Loopback, true),
            ("http://notary.example", PlainHttp::Loopback, false),
            ("http://notary.example", PlainHttp::Anywhere, true),
            ("http://127.0.0.1.example", PlainHttp::Loopback, false),
            ("https://user:secret@notary.example", PlainHttp::Loopback, false),
            ("https://notary.example?x=1", PlainHttp::Loopback, false),
            ("ftp://notary.example", PlainHttp::Anywhere, false),
            ("notary.example", PlainHttp::Anywhere, false),
        ] {
            assert_eq!(address(text, plain).is_ok(), good, "{text}");
        }
    }

    /// Answers each request of a list in turn with the head and body given, and gives back the heads that came.
    fn listener(answers: Vec<String>) -> (std::net::SocketAddr, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let mut heads = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                heads.push(String::from_utf8_lossy(&head).to_ascii_lowercase());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            heads
        };
        (address, std::thread::spawn(serve))
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    fn with_login(address: &str) -> Server {
        let access = Access {
            auth: RegistryAuth::Basic("name".to_owned(), "password".to_owned()),
            certificate_authorities: Vec::new(),
            insecure_plain_http: PlainHttp::Loopback,
        };
        Server::connect(&format!("http://{address}"), "registry.example/app", &access).unwrap()
    }

    #[test]
    fn credentials_go_to_the_servers_own_host_and_to_no_other() {
        for (host, sent) in [("127.0.0.1", true), ("localhost", false)] {
            let token = answer("200 OK", "", r#"{"token": "t0ken"}"#);
            let (realm, asked) = listener(vec![token]);
            let challenge = format!(
                "www-authenticate: Bearer realm=\"http://{host}:{}/token\",service=\"notary\"\r\n",
                realm.port()
            );
            let refused = answer("401 Unauthorized", &challenge, "");
            let (server, heads) = listener(vec![refused, answer("200 OK", "", "{}")]);
            let file = with_login(&server.to_string()).file(&Document::Root, None).unwrap();
            assert_eq!(file.as_deref(), Some(&b"{}"[..]));
            let token_request = asked.join().unwrap().remove(0);
            assert_eq!(token_request.contains("authorization: basic"), sent, "{host}: {token_request}");
            assert!(
                token_request.contains("scope=repository%3aregistry.example%2fapp%3apull"),
                "{token_request}"
            );
            let heads = heads.join().unwrap();
            assert!(!heads[0].contains("authorization"), "{}", heads[0]);
            assert!(heads[1].contains("authorization: bearer t0ken"), "{}", heads[1]);
        }
        // Nor is a redirection followed, with them or without.
        let (other, _) = listener(vec![answer("200 OK", "", "{}")]);
        let moved = answer("302 Found", &format!("location: http://{other}/\r\n"), "");
        let (server, _) = listener(vec![moved]);
        let error = with_login(&server.to_string()).file(&Document::Root, None).unwrap_err();
        assert!(matches!(error, ServerError::Status { status: 302, .. }), "{error}");
    }

    #[test]
    fn an_endless_file_is_not_read_and_a_missing_one_is_told() {
        let (server, _) = listener(vec![answer("200 OK", "", &" ".repeat((1 << 20) + 1))]);
        let error = with_login(&server.to_string()).file(&Document::Root, None).unwrap_err();
        assert!(matches!(error, ServerError::TooLarge { .. }), "{error}");
        let (server, heads) = listener(vec![answer("404 Not Found", "", "{}")]);
        let sha256 = "ab".repeat(32);
        let file = with_login(&server.to_string()).file(&Document::Snapshot, Some(&sha256)).unwrap();
        assert_eq!(file, None);
        let path = format!("get /v2/registry.example/app/_trust/tuf/snapshot.{sha256}.json ");
        assert!(heads.join().unwrap()[0].starts_with(&path));
    }

    #[test]
    fn a_challenge_names_its_realm_or_is_refused() {
        let good =
            parse_challenge(r#"Bearer realm="https://auth.example/token", service="notary", scope="x""#);
        assert_eq!(good, Ok(("https://auth.example/token".to_owned(), Some("notary".to_owned()))));
        assert_eq!(parse_challenge(r#"bearer realm="r""#), Ok(("r".to_owned(), None)));
        for wrong in ["", "Basic realm=\"x\"", "Bearer service=\"x\"", "Bearer realm=x", "Bearer realm=\"x"] {
            assert!(parse_challenge(wrong).is_err(), "{wrong}");
        }
        assert!(parse_challenge(&format!("Bearer realm=\"{}\"", "x".repeat(5000))).is_err());
    }

    #[test]
    fn a_name_cannot_leave_its_place_on_the_server() {
        let access = Access {
            auth: RegistryAuth::Anonymous,
            certificate_authorities: Vec::new(),
            insecure_plain_http: PlainHttp::Loopback,
        };
        let connect = |gun: &str| Server::connect("https://notary.example", gun, &access);
        assert!(connect("registry.example/app").is_ok());
        for gun in ["../../other", "a/../b", "a?b", "a#b", "a b"] {
            assert!(connect(gun).is_err(), "{gun}");
        }
    }
}
