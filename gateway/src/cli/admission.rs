//! `portcullis admission`: a webhook for clusters that stands alone, and admits by receipts without asking the gate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::UsageError;
use super::receipt_trust::ReceiptArgs;
use crate::admission::receipts::Tags;
use crate::admission::webhook;
use crate::server::tls::{CertificateFiles, CertificateStore};
use crate::server::{self, Listener, PlainHttp, ServerLimits, Serving};
use crate::telemetry::{self, LogConfig, LogFormat, Metrics, RequestIds};

/// How often the certificate is looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(10);

/// Answer a cluster's admission reviews by receipts alone: no store, no policy, no gate to reach.
///
/// An image is admitted by digest when the registry that holds it has a receipt for it that counts. Containers that are
/// privileged or run without AppArmor are denied.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the API server asks.
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Certificate chain (PEM); replaced files are taken up. Without it only loopback is served, in plain HTTP.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// How long the registry may take before the answer is no; less than the webhook's `timeoutSeconds`.
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    #[command(flatten)]
    receipts: ReceiptArgs,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the arguments are wrong or the address cannot be had.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let door = args.receipts.door(Tags::Denied, args.deadline)?;
    let missing = "say whose receipts count: --receipt-key, --receipt-verifier and --receipt-registry";
    let door = Arc::new(door.ok_or_else(|| UsageError(missing.to_owned()))?);
    let certificates = match (&args.certificate, &args.key) {
        (Some(certificate), Some(key)) => {
            let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
            Some(Arc::new(CertificateStore::load(files)?))
        }
        _ => None,
    };
    telemetry::start(&LogConfig { format: LogFormat::Text, level: "info".into(), requests: false })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = Listener::bind(args.listen, certificates.clone(), PlainHttp::LoopbackOnly).await?;
        eprintln!(
            "portcullis answers admission reviews on `{}://{}`",
            listener.scheme(),
            listener.address()?
        );
        if let Some(certificates) = certificates {
            tokio::spawn(certificates.watch(CERTIFICATE_INTERVAL));
        }
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let serving = Serving {
            limits: ServerLimits::default(),
            metrics: Arc::new(Metrics::new()),
            request_ids: Arc::new(RequestIds::new()),
            log_requests: false,
        };
        server::run(listener, webhook::router(door), serving, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
        anyhow::Ok(ExitCode::SUCCESS)
    })
}
