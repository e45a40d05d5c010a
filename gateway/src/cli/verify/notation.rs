//! Whom `portcullis verify` believes by notation: the holder of a certificate that one of these authorities issued.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keys::limits::TRUST_POLICY_BYTES_MAX;
use keys::notation::{Level, NotationTrust, TrustPolicy, TrustStores};
use keys::trust_store::Vouches;
use keys::x509::{Certificate, DistinguishedName};

use crate::cli::UsageError;

/// A Notary Project signer.
#[derive(Debug, Default, clap::Args)]
pub(super) struct NotationArgs {
    /// Certificates of the authorities (PEM or DER), a file or a folder of files; a Notary Project signature under any
    /// of them is enough. May be repeated.
    #[arg(long = "notation-store", value_name = "PATH", requires = "notation_subject")]
    notation_stores: Vec<PathBuf>,
    /// Who signs: `C=US, O=Vendor`; each attribute must stand in the signer's certificate once and equal.
    #[arg(long, value_name = "NAME", requires = "notation_stores")]
    notation_subject: Option<String>,
}

impl NotationArgs {
    /// The voucher with its name, if one was asked for.
    pub(super) fn voucher(&self) -> anyhow::Result<Option<(String, Vouches)>> {
        let Some(subject) = &self.notation_subject else { return Ok(None) };
        let named = DistinguishedName::parse(subject)
            .with_context(|| UsageError(format!("`--notation-subject {subject}` names nobody")))?;
        let mut stores = TrustStores::default();
        for path in &self.notation_stores {
            for file in files(path)? {
                add(&mut stores, &file)?;
            }
        }
        let policy =
            TrustPolicy::for_all_repositories("command line", Level::STRICT, &[STORE], vec![named], false);
        Ok(Some((subject.clone(), Vouches::Notation(Box::new(NotationTrust { policy, stores })))))
    }
}

const STORE: &str = "ca:command-line";

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || UsageError(format!("cannot read the certificates `{}`", path.display()));
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(unreadable)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(unreadable)?;
    files.sort();
    Ok(files)
}

fn add(stores: &mut TrustStores, file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let bytes =
        std::fs::read(file).with_context(|| UsageError(format!("cannot read the certificates `{shown}`")))?;
    let certificates = Some(bytes)
        .filter(|bytes| bytes.len() <= TRUST_POLICY_BYTES_MAX)
        .with_context(|| UsageError(format!("`{shown}` is too large for certificates")))?;
    let certificates = Certificate::from_file(&certificates)
        .with_context(|| UsageError(format!("`{shown}` holds no usable certificates")))?;
    match stores.add(STORE, certificates).first() {
        None => Ok(()),
        Some(leaf) => {
            let problem = format!("`{shown}`: `{}` is neither an authority nor self-signed", leaf.subject());
            Err(UsageError(problem).into())
        }
    }
}
