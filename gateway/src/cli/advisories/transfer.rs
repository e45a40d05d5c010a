//! `portcullis advisories push|pull`: the advisory file by way of a registry, signed, with an end and a counter.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keys::attestation;
use keys::signature::Subject;
use keys::signer::ImageDescriptor;
use keys::trust_store::{Identity, RepositoryMatch, TrustStore};
use oci_distribution::RegistryOperation;
use scanner::advisory::Advisories;

use crate::advisories::bundle::{self, EMPTY, PACKED_BYTES_MAX, PREDICATE_TYPE, Seen, Stated};
use crate::advisories::write_file;
use crate::cli::UsageError;
use crate::cli::registry_access::RegistryAccess;
use crate::cli::signing_key::SigningKey;
use crate::cli::verify::by_key;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::manifest::{Manifest, OCI_MANIFEST};
use crate::reference::ImageReference;
use crate::source::attestations;
use crate::source::publish::publish;
use crate::source::registry::Remote;

/// How long a publication may be taken up, unless said otherwise: a mirror's bad week, and no longer.
const VALID_FOR_DEFAULT: &str = "14d";

/// Publish an advisory file in a registry, with a signed statement of what it is, how new, and until when it may be used.
#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    /// Where to: `registry.example/portcullis/advisories:latest`.
    image: ImageReference,
    /// The compiled file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    key: SigningKey,
    /// An older file, published before, from which sites may come: what leads from it to this one is published beside it, and is
    /// much smaller. May be repeated; what stands under the name now is taken without being named.
    #[arg(long = "delta-from", value_name = "FILE")]
    delta_from: Vec<PathBuf>,
    /// Publish the whole file alone.
    #[arg(long, conflicts_with = "delta_from")]
    no_delta: bool,
    /// How long it may be taken up.
    #[arg(long, value_name = "TIME", default_value = VALID_FOR_DEFAULT, value_parser = humantime::parse_duration)]
    valid_for: Duration,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Take up an advisory file from a registry, if who published it is trusted, it has not ended, and none newer was taken up
/// before. The file in use stays when it is refused; a running gateway takes the new one up at `SIGHUP`.
#[derive(Debug, clap::Args)]
pub(super) struct PullArgs {
    /// Where from: `registry.example/portcullis/advisories:latest`.
    image: ImageReference,
    /// The file to replace. What was taken up last is remembered beside it, in a file with `.taken.json` added.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The publisher's public key. May be repeated: each suffices, for a rotation.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    registry: RegistryAccess,
}

pub(super) fn push(args: &PushArgs) -> anyhow::Result<()> {
    let unreadable = || UsageError(format!("cannot use the advisories `{}`", args.file.display()));
    // Only what a gateway can use is published.
    crate::advisories::load(&args.file).with_context(unreadable)?;
    let file = std::fs::read(&args.file).with_context(unreadable)?;
    let now = Clock::system().now();
    let valid = i64::try_from(args.valid_for.as_secs()).unwrap_or(i64::MAX);
    let stated = Stated {
        file: Digest::sha256_of(&file).to_string(),
        // Time grows, and two machines that publish in turns agree on it.
        counter: u64::try_from(now).context("the clock stands before 1970")?,
        expires: now.saturating_add(valid),
    };
    let signer = args.key.signer()?;
    let remote = args.registry.remote(&args.image)?;
    remote.log_in(RegistryOperation::Push)?;
    let bases = if args.no_delta { Vec::new() } else { bases(args, &remote)? };
    let packed = bundle::pack(&file, &bases)?;
    for blob in [EMPTY, &packed.file].into_iter().chain(packed.deltas.iter().map(Vec::as_slice)) {
        remote.push_blob(blob)?;
    }
    let digest = Digest::sha256_of(&packed.manifest);
    let image = ImageDescriptor {
        digest: digest.as_str(),
        media_type: OCI_MANIFEST,
        size: packed.manifest.len() as u64,
    };
    let statement = signer.attest_bundle(image, PREDICATE_TYPE, &serde_json::to_value(&stated)?, now)?;
    // The statement before the tag moves: whoever follows the tag finds both, or what was there before.
    remote.push_manifest(digest.as_str(), &packed.manifest, OCI_MANIFEST)?;
    publish(&remote, &digest, &statement)?;
    remote.push_manifest(args.image.target(), &packed.manifest, OCI_MANIFEST)?;
    let deltas = match packed.deltas.len() {
        0 => String::new(),
        count => {
            format!(", with {count} deltas of {} bytes", packed.deltas.iter().map(Vec::len).sum::<usize>())
        }
    };
    println!("{}@{digest} published as number {}{deltas}", args.image.name(), stated.counter);
    Ok(())
}

/// The files from which sites may come: those that are named, and what stands under the name now. Nothing of that one is
/// believed; if it is no advisory file, sites take the new one whole.
fn bases(args: &PushArgs, remote: &Remote) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut bases = Vec::new();
    for path in &args.delta_from {
        let unreadable = || UsageError(format!("cannot use the advisories `{}`", path.display()));
        crate::advisories::load(path).with_context(unreadable)?;
        bases.push(std::fs::read(path).with_context(unreadable)?);
    }
    if let Some(file) =
        published(args, remote).filter(|file| Advisories::open(Arc::new(file.clone())).is_ok())
    {
        bases.push(file);
    }
    Ok(bases)
}

/// What stands under the name now, if it can be read.
fn published(args: &PushArgs, remote: &Remote) -> Option<Vec<u8>> {
    let manifest = remote.manifest(args.image.target()).ok()??;
    let (packed, _) = bundle::packed_file(&manifest).ok()?;
    bundle::unpack_unstated(&remote.small_blob(&packed, PACKED_BYTES_MAX).ok()?).ok()
}

pub(super) fn pull(args: &PullArgs) -> anyhow::Result<()> {
    let identity = |file: &PathBuf| {
        let (name, vouches) = by_key(file)?;
        anyhow::Ok(Identity {
            name,
            principal: None,
            vouches,
            repository_match: RepositoryMatch::Any,
            annotations: std::collections::BTreeMap::new(),
        })
    };
    let identities = args.keys.iter().map(identity).collect::<anyhow::Result<_>>()?;
    let trust_store = TrustStore { identities, ..TrustStore::default() };
    let memory = memory_of(&args.file);
    let seen = read_memory(&memory)?;
    let remote = args.registry.remote(&args.image)?;
    remote.log_in(RegistryOperation::Pull)?;
    let manifest = remote
        .manifest(args.image.target())?
        .with_context(|| format!("the registry does not have `{}`", args.image))?;
    let digest = Digest::parse(&manifest.digest)?;
    let (packed, _) = bundle::packed_file(&manifest)?;
    let found = attestations::find(&remote, &digest)?;
    let (repository, now) = (args.image.name(), Clock::system().now());
    let subject = Subject { digest: digest.as_str(), repository: &repository };
    let mut answer = attestation::verify(&found.attestations, subject, &trust_store, now);
    answer.rejected.extend(found.unreadable);
    let stated = bundle::stated(digest.as_str(), &answer, seen.as_ref(), now)?;
    let taken = Seen { counter: stated.counter, digest: digest.to_string() };
    if seen.as_ref().is_some_and(|seen| seen.digest == taken.digest) && args.file.exists() {
        write_memory(&memory, &taken)?;
        println!("{repository}@{digest} is in use already");
        return Ok(());
    }
    let (file, way) = match by_delta(args, &remote, &manifest, &stated) {
        Some((file, bytes)) => (file, format!(", by a delta of {bytes} bytes")),
        None => (bundle::unpack(&remote.small_blob(&packed, PACKED_BYTES_MAX)?, &stated)?, String::new()),
    };
    // First the memory: a crash between the two asks for the same file again, and never for an older one.
    write_memory(&memory, &Seen { digest: String::new(), ..taken.clone() })?;
    write_file(&args.file, &file)?;
    write_memory(&memory, &taken)?;
    println!("{repository}@{digest} taken up, {} bytes in `{}`{way}", file.len(), args.file.display());
    Ok(())
}

/// The file out of the one in use, where the publication has what leads from there, and how many bytes that has. One that
/// leads nowhere is told, and the whole file is taken: both must be the file that the publisher states.
fn by_delta(
    args: &PullArgs,
    remote: &Remote,
    manifest: &Manifest,
    stated: &Stated,
) -> Option<(Vec<u8>, usize)> {
    let base = std::fs::read(&args.file).ok()?;
    let delta = bundle::delta_from(manifest, &Digest::sha256_of(&base))?;
    let followed = || -> anyhow::Result<(Vec<u8>, usize)> {
        let delta = remote.small_blob(&delta, PACKED_BYTES_MAX)?;
        Ok((bundle::follow(&base, &delta, stated)?, delta.len()))
    };
    followed().inspect_err(|error| eprintln!("warning: {error:#}; taking the whole file")).ok()
}

fn memory_of(file: &Path) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(".taken.json");
    name.into()
}

/// What cannot be read is an error: whoever damages the memory must not bring back old files.
fn read_memory(memory: &Path) -> anyhow::Result<Option<Seen>> {
    match std::fs::read(memory) {
        Ok(bytes) => {
            let seen = serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "cannot read `{}`, which remembers what was taken up; remove it to begin anew",
                    memory.display()
                )
            })?;
            Ok(Some(seen))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", memory.display())),
    }
}

fn write_memory(memory: &Path, seen: &Seen) -> anyhow::Result<()> {
    crate::advisories::replace(memory, &serde_json::to_vec(seen)?)
        .with_context(|| format!("cannot write `{}`", memory.display()))
}
