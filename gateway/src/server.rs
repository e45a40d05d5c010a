//! `run(listener, router, shutdown)`: accepts connections under limits, serves them, then drains.
//!
//! The life of a connection: a free place → TLS handshake → HTTP/1.1 or HTTP/2 → requests, each through
//! [`request::RequestLife`] → closed when idle, when a limit is passed, or when the server drains.

pub mod body;
pub mod operations;
mod request;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::telemetry::{Metrics, RequestIds};
pub use request::Peer;
use request::{Activity, RequestLife};
use tls::CertificateStore;

/// Largest header section of a request, in bytes. A token naming many repositories needs 16 KiB; hyper answers 431.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most header fields of a request: clients send a dozen.
const HEADER_FIELDS_MAX: usize = 100;
/// Read and write buffer of an HTTP/1 connection, in bytes: its memory is this times the connections.
const CONNECTION_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Streams at once on one HTTP/2 connection; an engine pulls a few layers at a time.
const STREAMS_MAX: u32 = 64;
/// Receive window of one HTTP/2 stream: what a client may send before the scanner keeps up.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Receive window of an HTTP/2 connection: all its streams together.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// After this long without an answer to a ping an HTTP/2 peer is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed accept, which is mostly "too many open files": spinning would not free one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ServerLimits {
    /// A request body that stays silent longer is cut off.
    pub body_idle: Duration,
    /// Connections at once; the next ones wait in the system's queue.
    pub connections: usize,
    /// How long requests in flight may take to end when the server stops.
    pub drain: Duration,
    /// How long a client may take for the TLS handshake, and again for the header section (the "slowloris" attack
    /// holds connections by sending a header byte now and then).
    pub header: Duration,
    /// A connection without a request is closed after this long.
    pub idle: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            body_idle: Duration::from_secs(60),
            connections: 4096,
            drain: Duration::from_secs(30),
            header: Duration::from_secs(20),
            idle: Duration::from_secs(120),
        }
    }
}

/// A bound socket, and whether it speaks TLS.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    certificates: Option<Arc<CertificateStore>>,
}

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system refuses the address.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Passwords and images would travel readable and changeable.
    #[error(
        "refusing plain HTTP on `{address}`, which others can reach: give `[server.tls] certificate` and `key`, \
         or listen on 127.0.0.1"
    )]
    PlainOnPublicAddress {
        /// As configured.
        address: SocketAddr,
    },
}

/// Whether plain HTTP may be spoken where others can listen in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Anywhere: something before us must do TLS.
    #[doc(hidden)]
    AnywhereDangerous,
    /// On this machine only.
    #[default]
    LoopbackOnly,
}

impl Listener {
    /// Binds `address`. Without `certificates`, only loopback addresses are accepted.
    ///
    /// # Errors
    /// When plain HTTP would be reachable by others, or the system refuses the address.
    pub async fn bind(
        address: SocketAddr,
        certificates: Option<Arc<CertificateStore>>,
        plain: PlainHttp,
    ) -> Result<Self, ListenError> {
        if certificates.is_none() && plain == PlainHttp::LoopbackOnly && !address.ip().is_loopback() {
            return Err(ListenError::PlainOnPublicAddress { address });
        }
        let socket =
            TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })?;
        Ok(Self { socket, certificates })
    }

    /// Where it really listens: tells the port when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.certificates.is_some() { "https" } else { "http" }
    }
}

/// What all connections of a server share.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Limits of connections and requests.
    pub limits: ServerLimits,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Where request ids come from.
    pub request_ids: Arc<RequestIds>,
    /// Whether each request is logged.
    pub log_requests: bool,
}

/// How the drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut off because the time was over.
    pub cut_off: usize,
}

/// Serves `router` on `listener` until `shutdown` resolves; then stops accepting, lets requests in flight end within
/// the drain limit, and cuts off the rest.
pub async fn run(
    listener: Listener,
    router: Router,
    serving: Serving,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let places = Arc::new(Semaphore::new(serving.limits.connections.max(1)));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            listener.socket.accept().await.map(|(stream, peer)| (stream, peer, place))
        };
        let (stream, peer, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    serving.metrics.error("accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = Connection {
            certificates: listener.certificates.clone(),
            peer,
            router: router.clone(),
            serving: serving.clone(),
            watcher: graceful.watcher(),
        };
        connections.spawn(async move {
            connection.serve(stream).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(serving.limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("the time to drain is over, cutting off what is left");
    }
    while connections.try_join_next().is_some() {}
    let cut_off = connections.len();
    connections.shutdown().await;
    Drained { cut_off }
}

struct Connection {
    certificates: Option<Arc<CertificateStore>>,
    peer: SocketAddr,
    router: Router,
    serving: Serving,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        self.serving.metrics.connections.inc();
        let metrics = self.serving.metrics.clone();
        prepare(&stream, self.serving.limits.body_idle);
        match &self.certificates {
            None => self.serve_http(stream).await,
            Some(certificates) => {
                let handshake = certificates.acceptor().accept(stream);
                match tokio::time::timeout(self.serving.limits.header, handshake).await {
                    Ok(Ok(stream)) => self.serve_http(stream).await,
                    Ok(Err(error)) => {
                        tracing::debug!(peer = %self.peer, error = %error, "TLS handshake failed")
                    }
                    Err(_) => tracing::debug!(peer = %self.peer, "TLS handshake took too long"),
                }
            }
        }
        metrics.connections.dec();
    }

    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let activity = Arc::new(Activity::new());
        let life = RequestLife::new(self.router, self.serving.clone(), self.peer, activity.clone());
        let service = hyper::service::service_fn(move |request| life.clone().answer(request));
        let builder = http_builder(&self.serving.limits);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = self.watcher.watch(connection);
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(peer = %self.peer, error = %error, "connection ended early");
            },
            () = activity.too_quiet(&self.serving.limits) => {
                tracing::debug!(peer = %self.peer, "closed a quiet connection");
            }
        }
    }
}

fn http_builder(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Small answers leave at once; a peer that vanished, or never reads what we send, is noticed by the kernel.
fn prepare(stream: &TcpStream, unacknowledged_max: Duration) {
    let unacknowledged_ms = u32::try_from(unacknowledged_max.as_millis()).unwrap_or(u32::MAX);
    let prepared = stream.set_nodelay(true).and_then(|()| {
        rustix::net::sockopt::set_socket_keepalive(stream, true)?;
        rustix::net::sockopt::set_tcp_user_timeout(stream, unacknowledged_ms)?;
        Ok(())
    });
    if let Err(error) = prepared {
        tracing::debug!(error = %error, "socket options could not be set");
    }
}

#[cfg(test)]
mod tests;
