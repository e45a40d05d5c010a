//! `portcullis verify IMAGE`, by key, by certificate identity, by notation or by Notary v1: looks for signatures and tells of each whether it counts, and why not.

mod explain;
mod notary;
mod notation;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use keys::attestation::{self, Attestations, VerifiedAttestation};
use keys::receipt::{self, Expected, Receipt};
use keys::signature::Subject;
use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Pattern, TrustRoot};
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::{Verification, Verifier};
use oci_distribution::RegistryOperation;
use serde_json::json;

use self::explain::Question;
use super::notary::PinArgs;
use super::registry_access::RegistryAccess;
use super::{EXIT_DENIED, UsageError};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::reference::ImageReference;
use crate::source::registry::Remote;
use crate::source::{self, attestations, signatures};

/// Verify the signatures of an image against public keys, or a keyless signer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, by tag or digest.
    image: ImageReference,
    /// Public key (PEM); a signature by any of several is enough.
    #[arg(long = "key", value_name = "FILE", required_unless_present_any = ["certificate_identity", "notation_stores", "notary_root", "notary_root_keys"])]
    keys: Vec<PathBuf>,
    /// Subject of a keyless signer's certificate, in full; `*` stands for any run without a slash, `**` for any run.
    #[arg(long, value_name = "PATTERN", requires_all = ["certificate_oidc_issuer", "trusted_root"])]
    certificate_identity: Option<String>,
    /// Who knows that subject, likewise in full.
    #[arg(long, value_name = "PATTERN", requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,
    /// The sigstore instance, a `trusted_root.json`.
    #[arg(long, value_name = "FILE", requires = "certificate_identity")]
    trusted_root: Option<PathBuf>,
    #[command(flatten)]
    notation: notation::NotationArgs,
    #[command(flatten)]
    notary: PinArgs,
    /// Ask for an attestation of this predicate type instead of a signature: `https://slsa.dev/provenance/v1`.
    #[arg(long, value_name = "TYPE")]
    attestation: Option<String>,
    /// Ask for the gate's receipt that it released the image, by the gate's own `--key`. No signature is looked at.
    #[arg(long, conflicts_with_all = ["attestation", "annotations", "same_repository", "certificate_identity", "notation_stores", "notary_root", "notary_root_keys"])]
    receipt: bool,
    /// Which policy the receipt must be for, as `portcullis policy check` prints it: `sha256:…`.
    #[arg(long, value_name = "DIGEST", requires = "receipt")]
    policy_digest: Option<String>,
    /// What the receipt must call the gate: `https://registry.example`.
    #[arg(long, value_name = "ID", requires = "receipt")]
    verifier: Option<String>,
    /// The repository that the receipt must be for, where clients reach the gateway by another name than its own:
    /// `registry.example/prod/app`.
    #[arg(long, value_name = "NAME", requires = "receipt")]
    repository: Option<String>,
    /// Require this annotation inside the signature. May be repeated.
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Require that the signature was made for this repository (only the simple form says so).
    #[arg(long)]
    same_repository: bool,
    /// Tell of each candidate every check: passed, failed with expected and seen, or not run.
    #[arg(long, conflicts_with_all = ["attestation", "receipt"])]
    explain: bool,
    /// Keep what was found and when, to ask the same again without the registry. Not for Notary v1, whose metadata
    /// `portcullis notary import` brings out.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["attestation", "receipt", "replay", "notary_root", "notary_root_keys"])]
    save: Option<PathBuf>,
    /// Ask of a file that `--save` wrote, offline and as of then. Who is trusted comes from this command line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["attestation", "receipt", "notary_root", "notary_root_keys"])]
    replay: Option<PathBuf>,
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
    if let Some(file) = &args.replay {
        let question = Question::load(file)?;
        return answer(args, &question, &trust_store, |_| Ok(()));
    }
    let remote = args.registry.remote(&args.image)?;
    remote.log_in(RegistryOperation::Pull)?;
    // A receipt is about a digest; whoever knows that one need not be allowed to read the image.
    if let (true, Some(digest)) = (args.receipt, args.image.digest()) {
        return receipt(args, &remote, digest, &trust_store);
    }
    let manifest = remote
        .manifest(args.image.target())?
        .with_context(|| format!("the registry does not have `{}`", args.image))?;
    let digest = Digest::parse(&manifest.digest)?;
    let repository = args.image.name();
    if args.receipt {
        return receipt(args, &remote, &digest, &trust_store);
    }
    if let Some(predicate_type) = &args.attestation {
        let found = attestations::find(&remote, &digest)?;
        let subject = Subject { digest: digest.as_str(), repository: &repository };
        let mut answer =
            attestation::verify(&found.attestations, subject, &trust_store, Clock::system().now());
        answer.rejected.extend(found.unreadable);
        return attested(args, &repository, &digest, predicate_type, &answer);
    }
    let found = signatures::find(&remote, &digest)?;
    let asked = (repository.clone(), digest.to_string());
    let question = Question::new(asked, Clock::system().now(), (found.signatures, found.unreadable));
    if let Some(file) = &args.save {
        question.save(file)?;
    }
    answer(args, &question, &trust_store, |verifier| {
        Ok(source::notary::examine(&remote, &repository, &trust_store, verifier, question.now)?)
    })
}

/// Answers from what was found; `more` examines what is not among it.
fn answer<'a>(
    args: &Args,
    question: &'a Question,
    trust_store: &'a TrustStore,
    more: impl FnOnce(&mut Verifier<'a>) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let (repository, digest) = (&question.repository, &question.digest);
    // A file may be about another image than the command line says.
    let is_asked =
        *repository == args.image.name() && args.image.digest().is_none_or(|asked| asked.as_str() == digest);
    anyhow::ensure!(
        is_asked,
        UsageError(format!("the file is about `{repository}@{digest}`, not about `{}`", args.image))
    );
    let mut verifier = Verifier::new(Subject { digest, repository }, trust_store, question.now);
    if args.explain {
        verifier = verifier.explaining();
    }
    for signature in &question.signatures {
        verifier.examine(signature);
    }
    more(&mut verifier)?;
    let (mut verification, trace) = verifier.finish_explained();
    verification.rejected.extend(question.unreadable.iter().cloned());
    match args.output {
        Output::Json => {
            let mut report = json!({"image": repository, "digest": digest, "verified": verification.verified,
                "rejected": verification.rejected});
            if args.explain {
                report["trace"] = json!(trace);
            }
            println!("{report:#}");
        }
        Output::Text => {
            print!("{}", explain::table(&trace));
            print(repository, digest, &verification);
        }
    }
    Ok(if verification.verified.is_empty() { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
}

fn print(repository: &str, digest: &str, verification: &Verification) {
    for signature in &verification.verified {
        println!("verified  {} by {} ({})", signature.identity(), signature.signer(), signature.form());
    }
    for rejection in &verification.rejected {
        println!("rejected  {}: {}", rejection.candidate, rejection.reason);
    }
    match verification.verified.len() {
        0 => println!("{repository}@{digest}: no signature that counts"),
        count => println!("{repository}@{digest}: {count} signatures verified"),
    }
}

/// Tells of every attestation whether it is of the type asked for; exit code 1 when none is.
fn attested(
    args: &Args,
    repository: &str,
    digest: &Digest,
    predicate_type: &str,
    answer: &Attestations,
) -> anyhow::Result<ExitCode> {
    let is_asked = |one: &&VerifiedAttestation| one.predicate_type() == predicate_type;
    let count = answer.verified.iter().filter(is_asked).count();
    match args.output {
        Output::Json => {
            let asked: Vec<_> = answer.verified.iter().filter(is_asked).collect();
            let report = json!({"image": repository, "digest": digest.as_str(), "verified": asked,
                "statements": asked.iter().map(|one| one.statement()).collect::<Vec<_>>(),
                "rejected": answer.rejected});
            println!("{report:#}");
        }
        Output::Text => {
            for one in &answer.verified {
                let verdict = if one.predicate_type() == predicate_type { "verified" } else { "another " };
                println!("{verdict}  {} by {} ({})", one.predicate_type(), one.signer(), one.identity());
            }
            for rejection in &answer.rejected {
                println!("rejected  {}: {}", rejection.candidate, rejection.reason);
            }
            println!("{repository}@{digest}: {count} attestations of type {predicate_type}");
        }
    }
    Ok(if count == 0 { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
}

/// Tells whether the gate released the image, by its receipt alone; exit code 1 when no receipt counts.
fn receipt(
    args: &Args,
    remote: &Remote,
    digest: &Digest,
    trust_store: &TrustStore,
) -> anyhow::Result<ExitCode> {
    let (repository, now) = (args.image.name(), Clock::system().now());
    let found = attestations::find(remote, digest)?;
    let subject = Subject { digest: digest.as_str(), repository: &repository };
    let answer = attestation::verify(&found.attestations, subject, trust_store, now);
    let expected = Expected {
        repository: args.repository.as_deref().unwrap_or(&repository),
        verifier: args.verifier.as_deref(),
        policy: args.policy_digest.as_deref(),
    };
    let checked = answer.verified.iter().map(|one| receipt::verify(one, expected, now));
    let (good, refused): (Vec<_>, Vec<_>) = checked.partition(Result::is_ok);
    let good: Vec<Receipt> = good.into_iter().flatten().collect();
    let refused = refused.into_iter().filter_map(Result::err).map(|error| error.to_string());
    let others = answer.rejected.into_iter().chain(found.unreadable).map(|other| other.reason);
    let refused: Vec<String> = refused.chain(others).collect();
    match args.output {
        Output::Json => {
            let report = json!({"image": repository, "digest": digest.as_str(), "receipts": good,
                "rejected": refused});
            println!("{report:#}");
        }
        Output::Text => {
            for receipt in &good {
                println!("receipt   by {} for policy {}", receipt.verifier, receipt.policy);
            }
            refused.iter().for_each(|reason| println!("rejected  {reason}"));
            let count = if good.is_empty() { "no receipt that counts" } else { "released by the gate" };
            println!("{repository}@{digest}: {count}");
        }
    }
    Ok(if good.is_empty() { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
}

fn trust_store(args: &Args) -> anyhow::Result<TrustStore> {
    let annotations = super::sign::annotations(&args.annotations)?;
    let repository_match = if args.same_repository { RepositoryMatch::Exact } else { RepositoryMatch::Any };
    let mut vouchers = args.keys.iter().map(|file| by_key(file)).collect::<anyhow::Result<Vec<_>>>()?;
    if let (Some(subject), Some(issuer), Some(root)) =
        (&args.certificate_identity, &args.certificate_oidc_issuer, &args.trusted_root)
    {
        vouchers.push(by_certificate(subject, issuer, root)?);
    }
    vouchers.extend(args.notation.voucher()?);
    vouchers.extend(notary::voucher(&args.notary)?);
    let identity = |(name, vouches)| Identity {
        name,
        principal: None,
        vouches,
        repository_match: repository_match.clone(),
        annotations: annotations.clone(),
    };
    Ok(TrustStore { identities: vouchers.into_iter().map(identity).collect(), ..TrustStore::default() })
}

pub(super) fn by_key(file: &Path) -> anyhow::Result<(String, Vouches)> {
    let shown = file.display();
    let pem = std::fs::read_to_string(file)
        .with_context(|| UsageError(format!("cannot read the public key `{shown}`")))?;
    let key = PublicKey::from_pem(&pem)
        .with_context(|| UsageError(format!("`{shown}` is no usable public key")))?;
    Ok((shown.to_string(), Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }])))
}

fn by_certificate(subject: &str, issuer: &str, root: &Path) -> anyhow::Result<(String, Vouches)> {
    let shown = root.display();
    let bytes =
        std::fs::read(root).with_context(|| UsageError(format!("cannot read the trusted root `{shown}`")))?;
    let parsed = TrustRoot::parse(&bytes)
        .with_context(|| UsageError(format!("`{shown}` is no usable trusted root")))?;
    let pattern =
        |text: &str| Pattern::glob(text).with_context(|| UsageError(format!("`{text}` names nobody")));
    let identity = CertificateIdentity::new(pattern(issuer)?, pattern(subject)?, [])?;
    let name = identity.to_string();
    let anchors = Anchors::Root { root: Arc::new(parsed), log_entries: 1, certificate_log: true };
    Ok((name, Vouches::Certificate(Box::new(CertificateTrust { identity, anchors }))))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        let words = ["verify", "registry.example/app:1"].iter().chain(line);
        CommandLine::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn whose_signature_counts_must_be_said_in_full() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../keys/tests/vectors/keyless/trusted_root.json");
        for incomplete in [
            &[][..],
            &["--certificate-identity", "dev@acme.example"],
            &["--certificate-identity", "dev@acme.example", "--trusted-root", root],
            &["--certificate-oidc-issuer", "https://issuer.example", "--trusted-root", root],
        ] {
            assert!(parse(incomplete).is_err(), "{incomplete:?}");
        }
        let keyless = |subject| {
            parse(&[
                "--certificate-identity",
                subject,
                "--certificate-oidc-issuer",
                "i",
                "--trusted-root",
                root,
            ])
        };
        let store = trust_store(&keyless("dev@acme.example").unwrap()).unwrap();
        assert!(matches!(store.identities[0].vouches, Vouches::Certificate(_)));
        assert!(trust_store(&keyless("**").unwrap()).unwrap_err().is::<UsageError>());
        let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/../keys/tests/vectors/notation/trust");
        assert!(parse(&["--notation-store", certificates]).is_err());
        let notation =
            |subject| parse(&["--notation-store", certificates, "--notation-subject", subject]).unwrap();
        let store = trust_store(&notation("C=US, O=Acme Fixtures")).unwrap();
        assert!(matches!(store.identities[0].vouches, Vouches::Notation(_)));
        assert!(trust_store(&notation("*")).unwrap_err().is::<UsageError>());
    }
}
