//! `portcullis docker-plugin`: the Docker Engine asks it before every request; it asks the gateway about images.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;
use tokio::signal::unix::{SignalKind, signal};

use super::UsageError;
use crate::admission::docker::LocalImages;
use crate::admission::docker::plugin::{self, Password, PluginConfig};
use crate::telemetry::{self, LogConfig, LogFormat};

/// Answer a Docker Engine's authorization questions (enable with `dockerd --authorization-plugin=portcullis`).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the gateway: `https://registry.example`.
    #[arg(long, env = "PORTCULLIS_GATEWAY", value_name = "URL")]
    gateway: Url,
    /// Account at the gateway that may pull what this host runs.
    #[arg(long, value_name = "NAME", requires = "password_file")]
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
    /// How long the gateway may take before the answer is no.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// Build host: let images be built, loaded, imported, tagged and committed. They still run only by an admitted digest,
    /// but a build runs commands of its own.
    #[arg(long)]
    allow_local_images: bool,
    /// Ask a gateway on another machine without TLS. Whoever sits between can answer in its place.
    #[arg(long)]
    insecure_plain_http: bool,
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
    let host = args.gateway.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match args.gateway.scheme() {
        "https" => {}
        "http" if is_loopback || args.insecure_plain_http => {}
        _ => {
            let message = format!(
                "`--gateway`: expected https://… (http only for this machine), found scheme `{}` and host `{host}`",
                args.gateway.scheme()
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
    let local_images = if args.allow_local_images { LocalImages::Allowed } else { LocalImages::Denied };
    Ok(PluginConfig {
        gateway: args.gateway,
        credentials,
        certificate_authorities,
        deadline: args.deadline,
        local_images,
    })
}
