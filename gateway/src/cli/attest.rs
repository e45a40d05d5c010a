//! `portcullis attest IMAGE --type TYPE --predicate FILE --key FILE`: signs a statement about an image, pushes it beside it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use keys::attestation::predicate;
use keys::limits::ATTESTATION_BYTES_MAX;
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};
use oci_distribution::RegistryOperation;
use serde_json::Value;

use super::UsageError;
use super::registry_access::RegistryAccess;
use super::signing_key::SigningKey;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::manifest::{Manifest, json};
use crate::reference::ImageReference;
use crate::source::publish::publish;
use crate::source::registry::Remote;

/// Sign a statement about an image: provenance, a scan report, an SBOM, a review. It never counts as a signature.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image; better by digest (name@sha256:…) than by tag.
    image: ImageReference,
    #[command(flatten)]
    key: SigningKey,
    /// The predicate, a JSON object.
    #[arg(long, value_name = "FILE")]
    predicate: PathBuf,
    /// What kind of statement: a URI, or cosign's name for it (slsaprovenance1, spdx, cyclonedx, vuln, openvex, vsa, link).
    #[arg(long = "type", value_name = "TYPE", value_parser = predicate_type)]
    predicate_type: String,
    /// How the statement is stored.
    #[arg(long, value_enum, default_value_t = Form::Bundle)]
    form: Form,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// Storage forms, see [`keys::attestation::AttestationForm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Both: every client finds one.
    Both,
    /// A sigstore bundle as an OCI referrer (cosign 3).
    Bundle,
    /// A DSSE envelope under the `.att` tag (cosign 1 and 2).
    Envelope,
}

fn predicate_type(name: &str) -> Result<String, String> {
    let known = || predicate::aliases().collect::<Vec<_>>().join(", ");
    predicate::resolve(name)
        .map(str::to_owned)
        .ok_or_else(|| format!("it is no URI, and none of {}", known()))
}

/// Signs and pushes.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let predicate = read_predicate(args)?;
    let signer = args.key.signer()?;
    let remote = args.registry.remote(&args.image)?;
    remote.log_in(RegistryOperation::Push)?;
    if args.image.digest().is_none() {
        eprintln!(
            "warning: `{}` is a tag, which may move between your build and this statement; name name@sha256:… instead",
            args.image
        );
    }
    let manifest = remote
        .manifest(args.image.target())?
        .with_context(|| format!("the registry does not have `{}`", args.image))?;
    for artifact in attest(&signer, &remote, args, &manifest, &predicate)? {
        let published = publish(&remote, &Digest::parse(&manifest.digest)?, &artifact)?;
        let place = published.tag.map_or_else(String::new, |tag| format!(" (tag {tag})"));
        println!("{}@{} attested: {}{place}", args.image.name(), manifest.digest, published.digest);
    }
    Ok(ExitCode::SUCCESS)
}

/// Strict JSON: what has two meanings is not signed.
fn read_predicate(args: &Args) -> anyhow::Result<Value> {
    let shown = args.predicate.display();
    let unreadable = || UsageError(format!("cannot use the predicate `{shown}`"));
    let size = std::fs::metadata(&args.predicate).with_context(unreadable)?.len();
    // The envelope is a third larger than what it holds, and has to fit the same limit when it is read.
    if size > ATTESTATION_BYTES_MAX / 2 {
        let problem =
            format!("`{shown}` has {size} bytes; a predicate may have {}", ATTESTATION_BYTES_MAX / 2);
        return Err(UsageError(problem).into());
    }
    let bytes = std::fs::read(&args.predicate).with_context(unreadable)?;
    Ok(Value::Object(json::parse_object(&bytes).with_context(unreadable)?))
}

fn attest(
    signer: &Signer,
    remote: &Remote,
    args: &Args,
    manifest: &Manifest,
    predicate: &Value,
) -> anyhow::Result<Vec<SignedArtifact>> {
    let mut made = Vec::new();
    let predicate_type = &args.predicate_type;
    if args.form != Form::Bundle {
        let tag =
            keys::cosign::attestation_tag(&manifest.digest).context("the digest has no attestation tag")?;
        // Others' statements lie under the same tag and must stay.
        let existing = remote.manifest_bytes(&tag)?;
        made.push(signer.attest_envelope(
            &manifest.digest,
            predicate_type,
            predicate,
            existing.as_deref(),
        )?);
    }
    if args.form != Form::Envelope {
        let image = ImageDescriptor {
            digest: &manifest.digest,
            media_type: &manifest.media_type,
            size: manifest.bytes.len() as u64,
        };
        made.push(signer.attest_bundle(image, predicate_type, predicate, Clock::system().now())?);
    }
    Ok(made)
}
