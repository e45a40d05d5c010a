//! The arguments that say whose receipts count at an admission door, the same for every door.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keys::trust_store::PublicKey;
use oci_distribution::secrets::RegistryAuth;

use super::UsageError;
use crate::admission::receipts::{ReceiptDoor, ReceiptTrust, Tags};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::reference::ImageReference;
use crate::rounds::chain;
use crate::source::credentials;
use crate::source::registry::{Access, PlainHttp, Remote};

/// Whose receipts count, and where they are read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Receipts")]
pub(super) struct ReceiptArgs {
    /// Public key of the gate (PEM) whose receipts admit images.
    #[arg(long, value_name = "FILE", requires_all = ["receipt_verifier", "receipt_registries"])]
    receipt_key: Option<PathBuf>,
    /// What receipts by that key must call the gate: `https://registry.example`.
    #[arg(long, value_name = "ID", requires = "receipt_key")]
    receipt_verifier: Option<String>,
    /// A policy that images must have been judged by, as `portcullis policy check` prints it. May be repeated; without it
    /// any of the gate's policies counts.
    #[arg(long = "receipt-policy-digest", value_name = "DIGEST", requires = "receipt_key")]
    receipt_policies: Vec<String>,
    /// A registry whose images may be admitted, as engines write it; the receipts are read there. For a mirror say which
    /// name the gate knows: `mirror.example=registry.example`. May be repeated; no other registry is asked.
    #[arg(long = "receipt-registry", value_name = "NAME[=NAME]", requires = "receipt_key")]
    receipt_registries: Vec<String>,
    /// File with logins of those registries, as `docker login` writes it. Without it they are asked anonymously.
    #[arg(long, value_name = "FILE", requires = "receipt_key")]
    receipt_auth_file: Option<PathBuf>,
    /// PEM file with certificate authorities to trust for those registries beside the system's.
    #[arg(long, value_name = "FILE", requires = "receipt_key")]
    receipt_ca_file: Option<PathBuf>,
    /// Ask those registries without TLS. Receipts are signed, but a tag can be moved and a login read on the way.
    #[arg(long, requires = "receipt_key")]
    receipt_insecure_plain_http: bool,
}

impl ReceiptArgs {
    /// The door, if a key is given.
    pub(super) fn door(&self, tags: Tags, deadline: Duration) -> anyhow::Result<Option<ReceiptDoor>> {
        let (Some(file), Some(verifier)) = (&self.receipt_key, &self.receipt_verifier) else {
            return Ok(None);
        };
        let shown = file.display();
        let pem = std::fs::read_to_string(file)
            .with_context(|| UsageError(format!("cannot read `--receipt-key {shown}`")))?;
        let key = PublicKey::from_pem(&pem)
            .with_context(|| UsageError(format!("`{shown}` is no usable public key")))?;
        for policy in &self.receipt_policies {
            Digest::parse(policy).with_context(|| {
                UsageError(format!("`--receipt-policy-digest {policy}` is no digest: `sha256:…`"))
            })?;
        }
        let registries = self.receipt_registries.iter().map(|text| registry(text));
        let registries: BTreeMap<String, String> = registries.collect::<Result<_, _>>()?;
        let policies = self.receipt_policies.clone();
        let trust = ReceiptTrust { key, verifier: verifier.clone(), policies, registries };
        let authorities = match &self.receipt_ca_file {
            Some(file) => std::fs::read(file)
                .with_context(|| UsageError(format!("cannot read `--receipt-ca-file {}`", file.display())))?,
            None => Vec::new(),
        };
        let insecure_plain_http =
            if self.receipt_insecure_plain_http { PlainHttp::Anywhere } else { PlainHttp::Loopback };
        let auth_file = self.receipt_auth_file.clone();
        // Read each time, so that a new login counts without a restart; each registry gets its own and no other's.
        let connect = move |image: &ImageReference| {
            let auth = match &auth_file {
                Some(file) => credentials::from_docker_config(file, image.registry()),
                None => Ok(RegistryAuth::Anonymous),
            };
            let auth = auth.map_err(|error| chain(&error))?;
            let certificate_authorities = authorities.clone();
            let access = Access { auth, certificate_authorities, insecure_plain_http };
            Remote::connect(image, access).map_err(|error| chain(&error))
        };
        Ok(Some(ReceiptDoor::new(trust, Arc::new(connect), tags, deadline, Clock::system())))
    }
}

/// `registry.example`, or `mirror.example=registry.example`.
fn registry(text: &str) -> Result<(String, String), UsageError> {
    let (here, there) = text.split_once('=').unwrap_or((text, text));
    let is_host = |name: &str| {
        let reference = ImageReference::parse(&format!("{name}/x:1"));
        reference.is_ok_and(|reference| reference.registry() == name)
    };
    // What receipts call it is compared, and never asked.
    let is_name = !there.is_empty() && there.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if !is_host(here) || !is_name {
        let message = format!(
            "`--receipt-registry {text}`: write a registry as in `registry.example:5000`, or `mirror.example=registry.example`"
        );
        return Err(UsageError(message));
    }
    Ok((here.to_owned(), there.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::registry;

    #[test]
    fn a_registry_is_named_as_engines_write_it() {
        for (text, expected) in [
            ("registry.example", Some(("registry.example", "registry.example"))),
            ("127.0.0.1:5000=registry.example", Some(("127.0.0.1:5000", "registry.example"))),
            ("mirror.example=10.0.0.1:5000", Some(("mirror.example", "10.0.0.1:5000"))),
            ("", None),
            ("app", None),
            ("registry.example/app", None),
            ("https://registry.example", None),
            ("registry.example=", None),
            ("registry.example=registry.example/app", None),
            ("=registry.example", None),
        ] {
            let seen = registry(text).ok();
            let seen = seen.as_ref().map(|(here, there)| (here.as_str(), there.as_str()));
            assert_eq!(seen, expected, "{text}");
        }
    }
}
