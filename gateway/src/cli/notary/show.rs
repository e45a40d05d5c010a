//! `portcullis notary show REPOSITORY`: roles, tags, digests and dates of a repository's metadata, and whether it verifies.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use keys::notary::{Repository, RootPin};
use oci_distribution::RegistryOperation;
use serde_json::json;

use super::{PinArgs, own_keys, verified};
use crate::cli::EXIT_DENIED;
use crate::cli::registry_access::RegistryAccess;
use crate::clock::Clock;
use crate::reference::ImageReference;
use crate::source::notary::{copy, from_folder, from_registry};

/// Show a repository's metadata of Notary v1: root keys, roles, dates, tags and digests.
///
/// Without `--notary-root-key` or `--notary-root` it is shown as it claims to be: that the keys are the signer's must be
/// learnt from the signer.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The repository that keeps the metadata, and its name with the signers if `--notary-gun` says nothing else.
    repository: ImageReference,
    /// Read a client's folder instead of the registry.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// The end of the year 9999, after which a date has no four digits.
const SECONDS_SHOWN_MAX: u64 = 253_402_300_799;

/// Output forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Shows; exit code 1 when it does not verify.
pub(super) fn run(args: &Show) -> anyhow::Result<ExitCode> {
    let collection = match &args.folder {
        Some(folder) => copy(&mut |document, _| from_folder(folder, document))?,
        None => {
            let remote = args.registry.remote(&args.repository)?;
            remote.log_in(RegistryOperation::Pull)?;
            from_registry(&remote)?
                .with_context(|| format!("`{}` has no metadata of Notary v1", args.repository.name()))?
        }
    };
    let keys = own_keys(&collection)?;
    let given = args.pin.pin()?;
    let pinned = given.is_some();
    let pin = match given {
        Some(pin) => pin,
        None => {
            let ids: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
            RootPin::from_key_ids(&ids)?
        }
    };
    let name = args.repository.name();
    let gun = args.pin.notary_gun.as_deref().unwrap_or(&name);
    let repository = match verified(&collection, gun, &pin) {
        Ok(repository) => repository,
        Err(error) => {
            let reason = format!("{error:#}");
            match args.output {
                Output::Json => println!(
                    "{:#}",
                    json!({"gun": gun, "pinned": pinned, "verified": false, "reason": reason, "rootKeys": keys})
                ),
                Output::Text => println!("{gun}: REFUSED: {reason}"),
            }
            return Ok(ExitCode::from(EXIT_DENIED));
        }
    };
    let lookup = args.pin.lookup()?;
    let tags: Vec<_> = repository.tags(&lookup, Clock::system().now()).collect();
    match args.output {
        Output::Json => {
            let (named, refused): (Vec<_>, Vec<_>) = tags.into_iter().partition(|(_, target)| target.is_ok());
            let named: Vec<_> = named.into_iter().filter_map(|(_, target)| target.ok()).collect();
            let reason = |(tag, target): (&str, Result<_, keys::notary::NotaryError>)| json!({"tag": tag, "reason": target.err().map(|error| error.to_string())});
            let refused: Vec<_> =
                refused.into_iter().map(|(tag, target)| reason((tag, target.map(|_| ())))).collect();
            let report = json!({"gun": gun, "pinned": pinned, "verified": true, "expires": repository.expires(),
                "rootKeys": keys, "roles": repository.report(), "tags": named, "refusedTags": refused});
            println!("{report:#}");
        }
        Output::Text => {
            print_roles(&repository, pinned, &keys);
            for (tag, target) in tags {
                match target {
                    Ok(target) => {
                        let roles: Vec<&str> = target.signed_by.keys().map(String::as_str).collect();
                        println!("tag   {tag}  {}  {}", target.digest, roles.join(", "));
                    }
                    Err(error) => println!("tag   {tag}  refused: {error}"),
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_roles(repository: &Repository, pinned: bool, keys: &[keys::notary::unverified::RootKey]) {
    let state = if pinned { "verified" } else { "consistent, but under no pinned root" };
    println!("{}: {state}, until {}", repository.gun(), date(repository.expires()));
    for key in keys {
        println!("root  {}  (in its certificate {})", key.bare.as_deref().unwrap_or("-"), key.id);
    }
    for role in repository.report() {
        match (role.refused, role.version, role.expires) {
            (None, Some(version), Some(expires)) => {
                println!(
                    "role  {}  version {version}, {} tags, until {}",
                    role.role,
                    role.tags,
                    date(expires)
                );
            }
            (refused, ..) => println!("role  {}  refused: {}", role.role, refused.unwrap_or_default()),
        }
    }
}

fn date(seconds: i64) -> String {
    let since = u64::try_from(seconds).unwrap_or_default().min(SECONDS_SHOWN_MAX);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(since))
        .to_string()
}
