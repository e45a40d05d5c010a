//! `portcullis serve`: the gateway, until it is told to stop.

mod first_start;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::{App, AppError};
use crate::cli::{EXIT_UNDECIDED, UsageError};
use crate::clock::Clock;
use crate::config::environment::Environment;
use crate::config::{self, Config};
use crate::{telemetry, telemetry::LogConfig};

/// Serve the registry and the admission door.
///
/// Without `--config`, `portcullis.toml` in the working folder is read; where there is none, a first start writes one
/// with a strict policy, a signing key and an account, and says what to do next. SIGHUP reads policy, advisories and
/// certificate again; SIGTERM and SIGINT drain and stop.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs until a signal comes.
///
/// # Errors
/// When the configuration is wrong or the gateway cannot start.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = match args.config {
        Some(path) => path,
        None => {
            let path = PathBuf::from(config::FILE_NAME);
            if !path.exists() {
                let written = first_start::write(Path::new("")).context("the first start failed")?;
                print!("{}", written.welcome());
            }
            path
        }
    };
    let config = Config::load(&path, &Environment::of_process());
    let config = config.map_err(|errors| UsageError(format!("`{}`: {errors}", path.display())))?;
    start_logging(&config.log)?;
    for repository in &config.anonymous_push_dangerous {
        tracing::warn!(repository, "anybody who reaches this gateway may push here");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

fn start_logging(log: &LogConfig) -> Result<(), UsageError> {
    telemetry::start(log).map_err(|error| UsageError(error.to_string()))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let app = match App::build(config, Clock::system()).await {
        Ok(app) => app,
        Err(
            error @ (AppError::Policy(_)
            | AppError::Listen(_)
            | AppError::Certificate(_)
            | AppError::Rules(_)
            | AppError::Access(_)),
        ) => {
            return Err(
                anyhow::Error::new(error).context(UsageError("the gateway does not start".to_owned()))
            );
        }
        Err(error) => return Err(anyhow::Error::new(error).context("the gateway does not start")),
    };
    tracing::info!(url = app.url(), version = env!("CARGO_PKG_VERSION"), "serving");
    let (ask, asked) = watch::channel(0);
    let mut hangup = signal(SignalKind::hangup())?;
    let reload = tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            ask.send_modify(|count: &mut u64| *count = count.wrapping_add(1));
        }
    });
    let drained = app.run(stopped()?, asked).await?;
    reload.abort();
    tracing::info!(cut_off = drained.cut_off, "stopped");
    Ok(ExitCode::from(if drained.cut_off == 0 { 0 } else { EXIT_UNDECIDED }))
}

/// Resolves at SIGTERM or SIGINT.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "draining");
    })
}
