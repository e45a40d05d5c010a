//! `portcullis sign IMAGE --key FILE`: resolves the image once, signs its digest, pushes the signature beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use keys::signer::{ImageDescriptor, NotationForm, SignedArtifact, Signer};
use keys::x509::Certificate;
use oci_distribution::RegistryOperation;

use super::UsageError;
use super::registry_access::RegistryAccess;
use super::signing_key::SigningKey;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::reference::ImageReference;
use crate::source::publish::publish;
use crate::source::registry::Remote;

/// Sign an image in its registry with a cosign-compatible key.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image; better by digest (name@sha256:…) than by tag.
    image: ImageReference,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// With what to sign, and in which form.
#[derive(Debug, clap::Args)]
pub(super) struct SigningArgs {
    #[command(flatten)]
    key: SigningKey,
    /// How the signature is stored.
    #[arg(long, value_enum, default_value_t = Form::Both)]
    form: Form,
    /// Certificates of the key for the forms of notation (PEM): the key's own first, the root last.
    #[arg(long, value_name = "FILE", required_if_eq_any = [("form", "notation-cose"), ("form", "notation-jws")])]
    certificate_chain: Option<PathBuf>,
    /// Signed along with the digest; policies can require it. May be repeated.
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
}

/// Storage forms, see [`keys::signature::SignatureForm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Both: every client finds one.
    Both,
    /// A sigstore bundle as an OCI referrer (cosign 3).
    Bundle,
    /// A Notary Project signature in a COSE envelope; needs `--certificate-chain`.
    NotationCose,
    /// A Notary Project signature in a JWS envelope, as the `notation` client writes it; needs `--certificate-chain`.
    NotationJws,
    /// The `.sig` tag with a simple-signing payload (cosign 1 and 2, skopeo, podman).
    Simple,
}

/// Signs and pushes.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    annotations(&args.signing.annotations)?;
    let signer = args.signing.signer()?;
    let remote = args.registry.remote(&args.image)?;
    remote.log_in(RegistryOperation::Push)?;
    if args.image.digest().is_none() {
        eprintln!(
            "warning: `{}` is a tag, which may move between your build and this signature; sign name@sha256:… instead",
            args.image
        );
    }
    let manifest = remote
        .manifest(args.image.target())?
        .with_context(|| format!("the registry does not have `{}`", args.image))?;
    args.signing.sign(&signer, &remote, &args.image, &manifest)?;
    Ok(ExitCode::SUCCESS)
}

impl SigningArgs {
    /// Opens the key.
    pub(super) fn signer(&self) -> anyhow::Result<Signer> {
        self.key.signer()
    }

    /// Signs an image that was fetched, and pushes that; says so.
    pub(super) fn sign(
        &self,
        signer: &Signer,
        remote: &Remote,
        image: &ImageReference,
        manifest: &Manifest,
    ) -> anyhow::Result<()> {
        let annotations = annotations(&self.annotations)?;
        let signed = match self.form.notation() {
            Some(form) => vec![sign_notation(signer, self, manifest, &annotations, form)?],
            None => sign(signer, remote, image, manifest, &annotations, self.form)?,
        };
        for artifact in signed {
            let published = publish(remote, &Digest::parse(&manifest.digest)?, &artifact)?;
            let place = published.tag.map_or_else(String::new, |tag| format!(" (tag {tag})"));
            println!("{}@{} signed: {}{place}", image.name(), manifest.digest, published.digest);
        }
        Ok(())
    }
}

impl Form {
    fn notation(self) -> Option<NotationForm> {
        match self {
            Self::Both | Self::Bundle | Self::Simple => None,
            Self::NotationCose => Some(NotationForm::Cose),
            Self::NotationJws => Some(NotationForm::Jws),
        }
    }
}

fn sign_notation(
    signer: &Signer,
    args: &SigningArgs,
    manifest: &Manifest,
    annotations: &BTreeMap<String, String>,
    form: NotationForm,
) -> anyhow::Result<SignedArtifact> {
    let file = args
        .certificate_chain
        .as_deref()
        .with_context(|| UsageError("the forms of notation need `--certificate-chain`".to_owned()))?;
    let shown = file.display();
    let bytes =
        std::fs::read(file).with_context(|| UsageError(format!("cannot read the certificates `{shown}`")))?;
    let chain = Certificate::from_file(&bytes)
        .with_context(|| UsageError(format!("`{shown}` holds no usable certificates")))?;
    let descriptor = ImageDescriptor {
        digest: &manifest.digest,
        media_type: &manifest.media_type,
        size: manifest.bytes.len() as u64,
    };
    Ok(signer.sign_notation(descriptor, &chain, form, annotations, Clock::system().now())?)
}

fn sign(
    signer: &Signer,
    remote: &Remote,
    image: &ImageReference,
    manifest: &Manifest,
    annotations: &BTreeMap<String, String>,
    form: Form,
) -> anyhow::Result<Vec<SignedArtifact>> {
    let mut signed = Vec::new();
    if form != Form::Bundle {
        let tag = keys::cosign::legacy_tag(&manifest.digest).context("the digest has no signature tag")?;
        // Others' signatures lie under the same tag and must stay.
        let existing = remote.manifest_bytes(&tag)?;
        signed.push(signer.sign_simple(&manifest.digest, &image.name(), annotations, existing.as_deref())?);
    }
    if form != Form::Simple {
        let descriptor = ImageDescriptor {
            digest: &manifest.digest,
            media_type: &manifest.media_type,
            size: manifest.bytes.len() as u64,
        };
        signed.push(signer.sign_bundle(descriptor, annotations, Clock::system().now())?);
    }
    Ok(signed)
}

pub(super) fn annotations(pairs: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    pairs
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(UsageError(format!("`--annotation {pair}`: expected KEY=VALUE")).into()),
        })
        .collect()
}
