//! `portcullis notary resign REPOSITORY --key FILE`: what Notary v1 vouches for gets a signature of our own beside it, for
//! clients that know nothing of Notary v1, and for the day when its server is switched off.

use std::process::ExitCode;

use anyhow::Context as _;
use keys::notary::VerifiedTarget;
use oci_distribution::RegistryOperation;

use super::{PinArgs, verified};
use crate::cli::registry_access::RegistryAccess;
use crate::cli::sign::SigningArgs;
use crate::cli::{EXIT_DENIED, UsageError};
use crate::clock::Clock;
use crate::reference::ImageReference;
use crate::source::notary::from_registry;

/// Sign anew, with a key of your own, every image that a repository's metadata names under the pinned root.
#[derive(Debug, clap::Args)]
pub(super) struct Resign {
    /// The repository, with the metadata under its tag `notary-v1`; with a tag, only the image that the metadata names so.
    repository: ImageReference,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Verifies, then signs; exit code 1 when there is nothing to sign for or an image is not there.
pub(super) fn run(args: &Resign) -> anyhow::Result<ExitCode> {
    let usage = || UsageError("nothing is signed without a pinned root: `--notary-root-key ID`".to_owned());
    let pin = args.pin.pin()?.with_context(usage)?;
    let remote = args.registry.remote(&args.repository)?;
    remote.log_in(RegistryOperation::Push)?;
    let name = args.repository.name();
    let collection =
        from_registry(&remote)?.with_context(|| format!("`{name}` has no metadata of Notary v1"))?;
    let gun = args.pin.notary_gun.as_deref().unwrap_or(&name);
    let repository = verified(&collection, gun, &pin)?;
    let (lookup, now) = (args.pin.lookup()?, Clock::system().now());
    let targets: Vec<VerifiedTarget> = match args.repository.tag() {
        Some(tag) => vec![repository.target(tag, &lookup, now)?],
        None => {
            let all = repository.tags(&lookup, now);
            all.filter_map(|(tag, target)| {
                target.map_err(|error| eprintln!("warning: `{tag}` is passed over: {error}")).ok()
            })
            .collect()
        }
    };
    let signer = args.signing.signer()?;
    let mut done: Vec<String> = Vec::new();
    let mut missing = 0usize;
    for target in targets {
        if done.contains(&target.digest) {
            continue;
        }
        // By digest: the registry's own tag may have moved since it was signed.
        let Some(manifest) = remote.manifest(&target.digest)? else {
            eprintln!("warning: `{}` names {}, which the registry does not have", target.tag, target.digest);
            missing += 1;
            continue;
        };
        if manifest.bytes.len() as u64 != target.length {
            let (seen, tag) = (manifest.bytes.len(), &target.tag);
            eprintln!("warning: `{tag}` is passed over: signed were {} bytes, it has {seen}", target.length);
            missing += 1;
            continue;
        }
        args.signing.sign(&signer, &remote, &args.repository, &manifest)?;
        done.push(target.digest);
    }
    println!("{name}: {} images signed anew", done.len());
    Ok(if done.is_empty() || missing > 0 { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
}
