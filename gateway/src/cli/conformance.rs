//! `portcullis conformance verify-bundle …`: speaks the protocol of sigstore's conformance suite (docs/cli_protocol.md
//! there), so that anybody can have our verifier judged by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use keys::sigstore::{
    Anchors, Artifact, CertificateIdentity, CertificateTrust, Pattern, TrustRoot, VerifiedBundle,
    verify_bundle, verify_bundle_by_key,
};
use keys::trust_store::PublicKey;

use super::EXIT_DENIED;
use crate::clock::Clock;
use crate::digest::Digest;

/// Verify a sigstore bundle the way the sigstore conformance suite asks for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with `sigstore-public-good/trusted_root.json` and `sigstore-staging/trusted_root.json`, for calls that
    /// name no root: nothing is ever fetched.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    roots: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Exits with 0 if the bundle verifies, with 1 if not.
    VerifyBundle(VerifyBundle),
}

#[derive(Debug, clap::Args)]
struct VerifyBundle {
    /// The root of sigstore's staging instance, where none is named.
    #[arg(long)]
    staging: bool,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// The certificate's subject.
    #[arg(long, value_name = "IDENTITY")]
    certificate_identity: Option<String>,
    /// The issuer that knows the subject.
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,
    /// The public key, instead of an identity.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate_identity", "certificate_oidc_issuer"])]
    key: Option<PathBuf>,
    /// The trusted root.
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// The artifact, or its digest `sha256:<hex>`.
    #[arg(value_name = "FILE_OR_DIGEST")]
    artifact: String,
}

/// Whatever keeps the bundle from being verified is a refusal: the protocol knows no third answer.
///
/// # Errors
/// None; the signature is that of every subcommand.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::VerifyBundle(verify) = &args.command;
    Ok(match verified(&args.roots, verify, Clock::system().now()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("refused: {error:#}");
            ExitCode::from(EXIT_DENIED)
        }
    })
}

fn verified(roots: &Path, args: &VerifyBundle, now: i64) -> anyhow::Result<VerifiedBundle> {
    let instance = if args.staging { "sigstore-staging" } else { "sigstore-public-good" };
    let root = args.trusted_root.clone().unwrap_or_else(|| roots.join(instance).join("trusted_root.json"));
    let root = TrustRoot::parse(&read(&root)?)?;
    let bundle = read(&args.bundle)?;
    // A digest unless there is such a file.
    let path = Path::new(&args.artifact);
    let is_digest =
        !path.exists() && args.artifact.starts_with("sha256:") && Digest::parse(&args.artifact).is_ok();
    let bytes = if is_digest { Vec::new() } else { read(path)? };
    let artifact = if is_digest { Artifact::Digest(&args.artifact) } else { Artifact::Bytes(&bytes) };
    if let Some(key) = &args.key {
        let pem = String::from_utf8(read(key)?)?;
        return Ok(verify_bundle_by_key(&bundle, artifact, &PublicKey::from_pem(&pem)?, &root, 1, now)?);
    }
    let named = |value: &Option<String>| Pattern::exact(value.as_deref().unwrap_or_default());
    let (issuer, subject) = (named(&args.certificate_oidc_issuer), named(&args.certificate_identity));
    let identity = CertificateIdentity::new(issuer?, subject?, [])?;
    let anchors = Anchors::Root { root: Arc::new(root), log_entries: 1, certificate_log: true };
    Ok(verify_bundle(&bundle, artifact, &CertificateTrust { identity, anchors }, now)?)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use keys::sigstore::SigstoreError;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::test_data;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    /// 2026-11-24.
    const NOW: i64 = 1_795_521_600;

    #[test]
    fn every_case_of_the_suite_is_answered_through_its_own_protocol() {
        let test = "every_case_of_the_suite_is_answered_through_its_own_protocol";
        let Some(data) = test_data::recorded(test, "signatures/bundle") else { return };
        let cases = fs::read_to_string(data.join("cases.jsonl")).unwrap();
        let mut wrong = Vec::new();
        for case in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(case).unwrap();
            let text = |field: &str| case[field].as_str();
            let folder = data.join("cases").join(text("id").unwrap());
            let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
            let mut line = vec!["conformance".to_owned(), "--roots".to_owned()];
            line.push(data.join("../../trust-roots").to_str().unwrap().to_owned());
            line.extend(["verify-bundle".to_owned(), "--bundle".to_owned(), file(text("bundle").unwrap())]);
            match (text("key"), text("identity")) {
                (Some(key), _) => line.extend(["--key".to_owned(), file(key)]),
                (None, Some(identity)) => {
                    line.extend(["--certificate-identity".to_owned(), identity.to_owned()]);
                    let issuer = text("issuer").unwrap().to_owned();
                    line.extend(["--certificate-oidc-issuer".to_owned(), issuer]);
                }
                (None, None) => {}
            }
            if let Some(root) = text("trustedRoot").filter(|root| *root != "public-good") {
                line.extend(["--trusted-root".to_owned(), file(root)]);
            }
            let artifact = file(text("artifact").unwrap());
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(fs::read(&artifact).unwrap())));
            for artifact in [artifact, digest] {
                let line = line.iter().cloned().chain([artifact]);
                let CommandLine { args } =
                    CommandLine::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
                let Command::VerifyBundle(verify) = &args.command;
                let verdict = verified(&args.roots, verify, NOW);
                if verdict.is_ok() != (case["expected"] == "accept") {
                    wrong.push(format!("{}: {verdict:?}", case["id"]));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_call_without_identity_and_key_is_refused() {
        let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../keys/tests/vectors/keyless");
        let verify = |identity: Option<&str>, issuer: Option<&str>| {
            let verify = VerifyBundle {
                staging: false,
                bundle: Path::new(vectors).join("email/bundle.json"),
                certificate_identity: identity.map(str::to_owned),
                certificate_oidc_issuer: issuer.map(str::to_owned),
                key: None,
                trusted_root: Some(Path::new(vectors).join("trusted_root.json")),
                artifact: Path::new(vectors).join("email/manifest.json").to_str().unwrap().to_owned(),
            };
            verified(Path::new("."), &verify, NOW)
        };
        let (identity, issuer) = (Some("dev@acme.example"), Some("https://issuer.fixture.example"));
        assert!(verify(identity, issuer).is_ok());
        for (identity, issuer) in [(None, issuer), (identity, None), (None, None)] {
            assert!(verify(identity, issuer).unwrap_err().to_string().contains("empty"));
        }
        let other = verify(Some("boss@acme.example"), issuer).unwrap_err();
        assert!(matches!(other.downcast_ref(), Some(SigstoreError::Identity(_))), "{other:#}");
    }
}
