//! `portcullis withdraw IMAGE --reason TEXT`: takes a released image away from its consumers; `--undo` gives it back.

use std::process::ExitCode;

use anyhow::Context as _;

use super::UsageError;
use super::registry_access::RegistryAccess;
use crate::reference::ImageReference;

/// Withdraw a released image: its consumers are refused at once, and told why.
///
/// Signing or pushing it again does not bring it back; `--undo` does, after the gate has judged it anew. Both need the
/// right `admin` in the repository, and stand in the decision log.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image by digest: name@sha256:….
    image: ImageReference,
    /// Why: whoever is refused reads it.
    #[arg(long, value_name = "TEXT", required_unless_present = "undo", conflicts_with = "undo")]
    reason: Option<String>,
    /// Give it back, to be judged anew.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Asks the gateway.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let usage =
        || UsageError(format!("`{}` names no digest; a tag may move: write name@sha256:…", args.image));
    let digest = args.image.digest().with_context(usage)?;
    let path = format!("_portcullis/withdrawals/{digest}");
    let gateway = args.registry.gateway(&args.image)?;
    let name = args.image.name();
    if args.undo {
        gateway.delete(&path)?;
        println!("{name}@{digest} is no longer withdrawn; the policy decides whether consumers see it");
    } else {
        let body = serde_json::json!({ "reason": args.reason.as_deref().unwrap_or_default() });
        gateway.put(&path, &body)?;
        println!("{name}@{digest} is withdrawn: {}", args.reason.as_deref().unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}
