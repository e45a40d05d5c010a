//! `portcullis wait IMAGE@DIGEST`: asks as a consumer until the image is released, refused, or the time is up.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::registry_access::RegistryAccess;
use super::{EXIT_DENIED, EXIT_UNDECIDED, UsageError};
use crate::clock;
use crate::reference::ImageReference;
use crate::source::registry::RemoteError;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Wait until consumers may pull an image.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, by digest: a tag may name another image by the time it is released.
    image: ImageReference,
    /// How long to wait: `90s`, `5m`.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Asks until there is an answer. A producer sees staged images, too, so the login of the push is not used: without
/// `--username` of a consumer the question is asked as anybody would.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let digest = args
        .image
        .digest()
        .with_context(|| UsageError(format!("`{}` names no digest; wait for name@sha256:…", args.image)))?;
    let remote = args.registry.remote_without_login(&args.image)?;
    let started = clock::instant();
    loop {
        let (code, problem) = match remote.manifest_bytes(digest.as_str()) {
            Ok(Some(_)) => {
                println!("{} is released", args.image);
                return Ok(ExitCode::SUCCESS);
            }
            Ok(None) => (EXIT_UNDECIDED, "the registry does not show it to consumers".to_owned()),
            // Refused at `push` it will never be there; at `release` it waits, mostly for a signature.
            Err(RemoteError::Denied { message, checkpoint }) if checkpoint.as_deref() == Some("push") => {
                println!("{message}");
                return Ok(ExitCode::from(EXIT_DENIED));
            }
            Err(RemoteError::Denied { message, .. }) => (EXIT_DENIED, message),
            Err(error @ (RemoteError::Unavailable(_) | RemoteError::Connection(_))) => {
                (EXIT_UNDECIDED, error.to_string())
            }
            Err(error) => return Err(error).context("cannot ask whether the image is released"),
        };
        if clock::elapsed(started) + PAUSE > args.timeout {
            let timeout = humantime::format_duration(args.timeout);
            eprintln!("error: {} was not released within {timeout}: {problem}", args.image);
            return Ok(ExitCode::from(code));
        }
        std::thread::sleep(PAUSE);
    }
}
