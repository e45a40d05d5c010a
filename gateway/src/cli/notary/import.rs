//! `portcullis notary import GUN`: copies a repository's metadata from its Notary server, or from a client's folder, into
//! the registry, where the gate finds it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use keys::notary::{COLLECTION_TAG, Collection};
use oci_distribution::RegistryOperation;

use super::{PinArgs, own_keys, verified};
use crate::cli::UsageError;
use crate::cli::registry_access::RegistryAccess;
use crate::reference::ImageReference;
use crate::source::notary::{CopyError, Server, copy, from_folder};

/// Copy a repository's metadata from a Notary server, or a client's folder, into a registry.
///
/// The metadata becomes an artifact under the tag `notary-v1` of the repository. Import it again whenever a tag is
/// signed, and before the timestamp ends (14 days by default): a job that runs every day does both.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The repository's name with its signers: registry.example/prod/app.
    gun: String,
    /// The Notary server: `https://notary.example`.
    #[arg(long, value_name = "URL", required_unless_present = "folder")]
    server: Option<String>,
    /// A folder with the metadata, as clients keep it: ~/.docker/trust/tuf/GUN/metadata.
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    folder: Option<PathBuf>,
    /// The repository to put it into, where it is not GUN itself.
    #[arg(long, value_name = "REPOSITORY")]
    to: Option<ImageReference>,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Copies, verifies if it is told whom to believe, and pushes.
pub(super) fn run(args: &Import) -> anyhow::Result<ExitCode> {
    let to = match &args.to {
        Some(to) => to.clone(),
        None => ImageReference::parse(&args.gun)
            .with_context(|| UsageError(format!("`{}` is no repository; name one with `--to`", args.gun)))?,
    };
    let pin = args.pin.pin()?;
    let collection = collection(args)?;
    let (files, bytes) = (collection.files().count(), collection.bytes());
    eprintln!("{files} files, {bytes} bytes");
    match &pin {
        Some(pin) => {
            let repository = verified(&collection, args.pin.notary_gun.as_deref().unwrap_or(&args.gun), pin)?;
            eprintln!("verified under the given root");
            for role in repository.report() {
                if let Some(refused) = role.refused {
                    eprintln!("warning: `{}` counts for nothing: {refused}", role.role);
                }
            }
        }
        None => {
            let keys: Vec<String> =
                own_keys(&collection)?.into_iter().map(|key| key.bare.unwrap_or(key.id)).collect();
            let keys = keys.join(", ");
            eprintln!(
                "not verified here, for want of `--notary-root-key`; it is signed under root key {keys}"
            );
        }
    }
    let remote = args.registry.remote(&to)?;
    remote.log_in(RegistryOperation::Push)?;
    let artifact = collection.to_artifact();
    for blob in &artifact.blobs {
        remote.push_blob(&blob.bytes)?;
    }
    remote.push_manifest(COLLECTION_TAG, &artifact.manifest.bytes, artifact.media_type)?;
    println!("{}:{COLLECTION_TAG}@{}", to.name(), artifact.manifest.digest);
    Ok(ExitCode::SUCCESS)
}

fn collection(args: &Import) -> anyhow::Result<Collection> {
    if let Some(folder) = &args.folder {
        return Ok(copy(&mut |document, _| from_folder(folder, document))?);
    }
    let url = args.server.as_deref().context(UsageError("`--server` or `--folder` is missing".to_owned()))?;
    let server = Server::connect(url, &args.gun, &args.registry.access_to_server(url)?)?;
    let fetched = copy(&mut |document, sha256| {
        let bytes = server.file(document, sha256).map_err(CopyError::from)?;
        match &bytes {
            Some(bytes) => eprintln!("{document}.json: {} bytes", bytes.len()),
            None => eprintln!("{document}.json: the server does not have it"),
        }
        Ok(bytes)
    });
    fetched.with_context(|| format!("cannot copy the metadata of `{}`", args.gun))
}
