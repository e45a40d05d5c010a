//! `portcullis keys …`: signing keys in cosign's own file format, and their life in a policy.

mod life;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use keys::keyring::{self, KeyringError, NewKey, Password, PrivateKey};
use keys::limits::KEY_FILE_BYTES_MAX;
use keys::trust_store::PublicKey;

use super::UsageError;
use super::secret_input::KeyPassword;
use super::signing_key::SigningKey;

/// Make, import, rotate and revoke signing keys; cosign reads them and we read cosign's.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key pair: PREFIX.key (encrypted, keep it secret) and PREFIX.pub (for policies).
    Generate {
        /// What kind of key.
        #[arg(long, value_enum, default_value_t = Kind::P256)]
        kind: Kind,
        #[command(flatten)]
        files: Files,
    },
    /// Take over an unencrypted private key (PEM: PKCS#8, SEC 1 or PKCS#1) and write it encrypted.
    Import {
        /// The private key in PEM.
        #[arg(value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        files: Files,
    },
    /// List the keys of a policy: until when each counts, and what it vouched for.
    List(life::List),
    /// Print the public half of a signing key, in a file or in a token: what a policy names.
    Public(SigningKey),
    /// End a key: whatever it vouched for is refused, with the reason, once the gateway takes up the policy.
    Revoke(life::Revoke),
    /// Add an identity's next key to the policy; the old ones count for a while beside it.
    Rotate(life::Rotate),
    /// Show what a key is: its kind, its id and its public half.
    Show {
        /// A public key, or an encrypted private key (asks for the password).
        #[arg(value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        password: KeyPassword,
    },
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Where to write: PREFIX.key and PREFIX.pub. Files that exist are never overwritten.
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    output: PathBuf,
    #[command(flatten)]
    password: KeyPassword,
}

/// Kinds of key, see [`NewKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Ed25519.
    Ed25519,
    /// ECDSA P-256, as cosign makes it.
    P256,
    /// ECDSA P-384.
    P384,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// Runs one of them.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Generate { kind, files } => {
            refuse_existing(&files.output)?;
            let password = files.password.read_new()?;
            write_pair(&files.output, &keyring::generate(kind.into())?, &password)?;
        }
        Action::Import { key, files } => {
            refuse_existing(&files.output)?;
            let imported = keyring::import(&read_pem(&key)?);
            let imported =
                imported.with_context(|| UsageError(format!("cannot import `{}`", key.display())))?;
            let password = files.password.read_new()?;
            write_pair(&files.output, &imported, &password)?;
        }
        Action::List(args) => return life::list(&args),
        Action::Public(key) => print!("{}", key.signer()?.public_key().to_pem()),
        Action::Revoke(args) => return life::revoke(&args),
        Action::Rotate(args) => return life::rotate(&args),
        Action::Show { key, password } => show(&read_public(&key, &password)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes `PREFIX.key`, readable by its owner alone, and `PREFIX.pub`; neither may exist.
pub fn write_pair(prefix: &Path, key: &PrivateKey, password: &Password) -> anyhow::Result<()> {
    let [private, public] = file_names(prefix);
    write_new(&private, 0o600, &keyring::encrypt(key, password)?)?;
    write_new(&public, 0o644, &key.public_key().to_pem())?;
    eprintln!("private key: {} ({}; keep it and its password secret)", private.display(), key.algorithm());
    eprintln!("public key:  {} (name it in the policy's [[identity]])", public.display());
    Ok(())
}

/// Before a password is asked for.
fn refuse_existing(prefix: &Path) -> anyhow::Result<()> {
    match file_names(prefix).into_iter().find(|path| path.exists()) {
        Some(path) => {
            let path = path.display();
            Err(UsageError(format!("`{path}` exists and is not overwritten; choose another `--output`"))
                .into())
        }
        None => Ok(()),
    }
}

fn file_names(prefix: &Path) -> [PathBuf; 2] {
    ["key", "pub"].map(|extension| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        name.into()
    })
}

/// Created with its final mode: at no time can others read a private key.
fn write_new(path: &Path, mode: u32, content: &str) -> anyhow::Result<()> {
    let failed = || UsageError(format!("cannot write `{}`", path.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(failed)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
}

fn read_pem(path: &Path) -> anyhow::Result<String> {
    let failed = || UsageError(format!("cannot read the key `{}`", path.display()));
    let mut pem = String::new();
    let limit = KEY_FILE_BYTES_MAX as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_string(&mut pem)).with_context(failed)?;
    Ok(pem)
}

/// A public key's file.
fn read_public_file(path: &Path) -> anyhow::Result<PublicKey> {
    let unusable = || UsageError(format!("cannot use `{}` as a public key", path.display()));
    PublicKey::from_pem(&read_pem(path)?).with_context(unusable)
}

/// The public half of either kind of file.
fn read_public(path: &Path, password: &KeyPassword) -> anyhow::Result<PublicKey> {
    let pem = read_pem(path)?;
    let unusable = || UsageError(format!("cannot use `{}` as a key", path.display()));
    if pem.contains("BEGIN PUBLIC KEY") {
        return PublicKey::from_pem(&pem).with_context(unusable);
    }
    match keyring::import(&pem) {
        Ok(key) => Ok(key.public_key().clone()),
        Err(KeyringError::PemLabel(label)) if label.starts_with("ENCRYPTED ") => {
            let key = keyring::decrypt(&pem, &password.read()?).with_context(unusable)?;
            Ok(key.public_key().clone())
        }
        Err(error) => Err(error).with_context(unusable),
    }
}

fn show(key: &PublicKey) {
    println!("kind:   {}", key.algorithm());
    println!("key id: {}", key.key_id());
    print!("{}", key.to_pem());
}

impl From<Kind> for NewKey {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ed25519 => Self::Ed25519,
            Kind::P256 => Self::EcdsaP256,
            Kind::P384 => Self::EcdsaP384,
            Kind::Rsa2048 => Self::Rsa2048,
            Kind::Rsa3072 => Self::Rsa3072,
            Kind::Rsa4096 => Self::Rsa4096,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pair_is_written_once_and_the_private_half_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("release.v1");
        let key = keyring::generate(NewKey::EcdsaP256).unwrap();
        let password = Password::new(b"pw".to_vec());
        refuse_existing(&prefix).unwrap();
        write_pair(&prefix, &key, &password).unwrap();
        let [private, public] = file_names(&prefix);
        assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(PublicKey::from_pem(&read_pem(&public).unwrap()).unwrap(), *key.public_key());
        assert!(keyring::decrypt(&read_pem(&private).unwrap(), &password).is_ok());
        assert!(refuse_existing(&prefix).is_err());
        assert!(write_pair(&prefix, &key, &password).is_err());
    }
}
