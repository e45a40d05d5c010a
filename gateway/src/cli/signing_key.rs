//! `--key FILE`, or `--pkcs11-…`: with what to sign.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keys::keyring;
use keys::limits::KEY_FILE_BYTES_MAX;
use keys::signer::Signer;

use super::UsageError;
use super::secret_input::{self, KeyPassword};
use crate::pkcs11::{KeyName, TokenKey};

/// With what to sign.
#[derive(Debug, clap::Args)]
pub(super) struct SigningKey {
    /// Encrypted private key, made by `portcullis keys generate` or `cosign generate-key-pair`.
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11_module")]
    key: Option<PathBuf>,
    #[command(flatten)]
    password: KeyPassword,
    /// Sign with a key in a PKCS#11 token instead: its module, a library that runs in this process.
    #[arg(long, value_name = "FILE", conflicts_with = "key", requires_all = ["pkcs11_token", "pkcs11_key"])]
    pkcs11_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// The label of the key pair in the token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_key: Option<String>,
    /// A file whose first line is the token's PIN; without it, you are asked.
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pkcs11_pin_file: Option<PathBuf>,
}

impl SigningKey {
    /// Opens the key.
    pub(super) fn signer(&self) -> anyhow::Result<Signer> {
        match (&self.key, &self.pkcs11_module, &self.pkcs11_token, &self.pkcs11_key) {
            (Some(file), None, ..) => self.in_file(file),
            (None, Some(module), Some(token), Some(key)) => {
                let pin = secret_input::pin(self.pkcs11_pin_file.as_deref(), token)?;
                let found = TokenKey::open(module, KeyName { token, key }, pin);
                let found = found.with_context(|| {
                    UsageError(format!("cannot use the key `{key}` by the module `{}`", module.display()))
                })?;
                Ok(Signer::remote(Box::new(found)))
            }
            _ => Err(UsageError("name a key: `--key FILE` or `--pkcs11-module FILE`".to_owned()).into()),
        }
    }

    fn in_file(&self, file: &Path) -> anyhow::Result<Signer> {
        let shown = file.display();
        let pem =
            std::fs::read(file).with_context(|| UsageError(format!("cannot read the key `{shown}`")))?;
        let pem = String::from_utf8(pem)
            .ok()
            .filter(|pem| pem.len() <= KEY_FILE_BYTES_MAX)
            .with_context(|| UsageError(format!("`{shown}` is no PEM file")))?;
        let key = keyring::decrypt(&pem, &self.password.read()?)
            .with_context(|| UsageError(format!("cannot open the key `{shown}`")))?;
        Ok(Signer::new(key))
    }
}
