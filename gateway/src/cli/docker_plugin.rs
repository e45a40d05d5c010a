//! `portcullis docker-plugin`: the Docker Engine asks it before every request; it asks the gateway about images, or reads
//! the gate's receipts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;
use tokio::signal::unix::{SignalKind, signal};

use super::UsageError;
use super::receipt_trust::ReceiptArgs;
use crate::admission::docker::LocalImages;
use crate::admission::docker::plugin::{self, AnswerSource, GatewayConfig, Password, PluginConfig};
use crate::admission::receipts::Tags;
use crate::telemetry::{self, LogConfig, LogFormat};

/// Answer a Docker Engine's authorization questions (enable with `dockerd --authorization-plugin=portcullis`).
///
/// With `--gateway` alone the gateway answers. With `--receipt-key` alone the gate's receipts do, which are read from the
/// registry that holds the image. With both the gateway answers, and the receipts when it cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the gateway: `https://registry.example`.
    #[arg(long, env = "PORTCULLIS_GATEWAY", value_name = "URL", required_unless_present = "receipt_key")]
    gateway: Option<Url>,
    /// Account at the gateway that may pull what this host runs.
    #[arg(long, value_name = "NAME", requires_all = ["password_file", "gateway"])]
    username: Option<String>,
    /// File with its password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// PEM file with certificate authorities to trust beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where the engine looks for the plug-in; the file's name is the plug-in's name.
    #[arg(long, default_value = "/run/docker/plugins/portcullis.sock", value_name = "PATH")]
    socket: PathBuf,
    /// How long the gateway, and then the registry with the receipts, may take before the answer is no.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// Build host: let images be built, loaded, imported, tagged and committed. They still run only by an admitted digest,
    /// but a build runs commands of its own.
    #[arg(long)]
    allow_local_images: bool,
    /// Ask a gateway on another machine without TLS. Whoever sits between can answer in its place.
    #[arg(long)]
    insecure_plain_http: bool,
    #[command(flatten)]
    receipts: ReceiptArgs,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let socket = args.socket.clone();
    let config = config(args)?;
    telemetry::start(&LogConfig { format: LogFormat::Text, level: "info".into(), requests: false })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = plugin::bind(&socket).await?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        eprintln!("portcullis answers the Docker Engine on `{}`", socket.display());
        plugin::serve(listener, config, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
        // Without its socket the engine denies every request, which is what a stopped gate should mean.
        let _ = std::fs::remove_file(&socket);
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: Args) -> anyhow::Result<PluginConfig> {
    // What is only brought in runs by digest alone, so a tag may be resolved.
    let receipts = args.receipts.door(Tags::Resolved, args.deadline)?;
    let local_images = if args.allow_local_images { LocalImages::Allowed } else { LocalImages::Denied };
    let source = match (gateway(args)?, receipts) {
        (Some(gateway), None) => AnswerSource::Gateway(gateway),
        (Some(gateway), Some(receipts)) => AnswerSource::GatewayThenReceipts(gateway, receipts),
        (None, Some(receipts)) => AnswerSource::Receipts(receipts),
        (None, None) => return Err(UsageError("give --gateway, --receipt-key or both".to_owned()).into()),
    };
    Ok(PluginConfig { source, local_images })
}

fn gateway(args: Args) -> anyhow::Result<Option<GatewayConfig>> {
    let Some(gateway) = args.gateway else { return Ok(None) };
    let host = gateway.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match gateway.scheme() {
        "https" => {}
        "http" if is_loopback || args.insecure_plain_http => {}
        _ => {
            let message = format!(
                "`--gateway`: expected https://… (http only for this machine), found scheme `{}` and host `{host}`",
                gateway.scheme()
            );
            return Err(UsageError(message).into());
        }
    }
    let certificate_authorities = match &args.ca_file {
        Some(file) => std::fs::read(file)
            .with_context(|| UsageError(format!("cannot read `--ca-file {}`", file.display())))?,
        None => Vec::new(),
    };
    let credentials = match (args.username, &args.password_file) {
        (Some(name), Some(file)) => Some((name, Password(super::secret_input::line_of(file)?))),
        _ => None,
    };
    Ok(Some(GatewayConfig {
        address: gateway,
        credentials,
        certificate_authorities,
        deadline: args.deadline,
    }))
}
