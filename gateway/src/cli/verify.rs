//! `portcullis verify IMAGE --key FILE`: looks for signatures and tells of each whether it counts, and why not.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use keys::signature::Subject;
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::Verification;
use oci_distribution::RegistryOperation;
use serde_json::json;

use super::registry_access::RegistryAccess;
use super::{EXIT_DENIED, UsageError};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::reference::ImageReference;
use crate::source::signatures;

/// Verify the signatures of an image against public keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, by tag or digest.
    image: ImageReference,
    /// Public key (PEM); a signature by any of several is enough.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Require this annotation inside the signature. May be repeated.
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Require that the signature was made for this repository (only the simple form says so).
    #[arg(long)]
    same_repository: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Output forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Verifies; exit code 1 when no signature counts.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let trust_store = trust_store(args)?;
    let remote = args.registry.remote(&args.image)?;
    remote.log_in(RegistryOperation::Pull)?;
    let manifest = remote
        .manifest(args.image.target())?
        .with_context(|| format!("the registry does not have `{}`", args.image))?;
    let digest = Digest::parse(&manifest.digest)?;
    let found = signatures::find(&remote, &digest)?;
    let repository = args.image.name();
    let subject = Subject { digest: digest.as_str(), repository: &repository };
    let mut verification =
        keys::verify::verify(&found.signatures, subject, &trust_store, Clock::system().now());
    verification.rejected.extend(found.unreadable);
    match args.output {
        Output::Json => {
            let report = json!({"image": repository, "digest": digest.as_str(), "verified": verification.verified,
                "rejected": verification.rejected});
            println!("{report:#}");
        }
        Output::Text => print(&repository, &digest, &verification),
    }
    Ok(if verification.verified.is_empty() { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
}

fn print(repository: &str, digest: &Digest, verification: &Verification) {
    for signature in &verification.verified {
        println!("verified  {} by {} ({})", signature.identity(), signature.signer(), signature.form());
    }
    for rejection in &verification.rejected {
        println!("rejected  {}: {}", rejection.candidate, rejection.reason);
    }
    match verification.verified.len() {
        0 => println!("{repository}@{digest}: no signature by these keys"),
        count => println!("{repository}@{digest}: {count} signatures verified"),
    }
}

fn trust_store(args: &Args) -> anyhow::Result<TrustStore> {
    let annotations = super::sign::annotations(&args.annotations)?;
    let repository_match = if args.same_repository { RepositoryMatch::Exact } else { RepositoryMatch::Any };
    let identities = args
        .keys
        .iter()
        .map(|file| {
            let shown = file.display();
            let pem = std::fs::read_to_string(file)
                .with_context(|| UsageError(format!("cannot read the public key `{shown}`")))?;
            let key = PublicKey::from_pem(&pem)
                .with_context(|| UsageError(format!("`{shown}` is no usable public key")))?;
            Ok(Identity {
                name: shown.to_string(),
                principal: None,
                vouches: Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]),
                repository_match: repository_match.clone(),
                annotations: annotations.clone(),
            })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(TrustStore { identities })
}
