//! What a first start writes: a strict policy, a signing key pair, one account, and the configuration, last.
//!
//! Every file is new or kept as it is; a first start that was cut off goes on where it ended, because the
//! configuration, whose absence makes a start the first one, is written when all else is there.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::keyring::{self, NewKey, Password};

use crate::access::PasswordHash;
use crate::config;
use crate::gate::policy::starter;

const ACCOUNT: &str = "producer";
const POLICY: &str = "policy.toml";
const PRIVATE_KEY: &str = "keys/release.key";
const PRIVATE_KEY_PASSWORD: &str = "keys/release.password";
const PUBLIC_KEY: &str = "keys/release.pub";
/// Random bytes in a password: 144 bits.
const PASSWORD_BYTES: usize = 18;

/// What was written, and what only this start knows.
pub(super) struct Written {
    password: String,
}

/// Writes everything under `folder`.
pub(super) fn write(folder: &Path) -> anyhow::Result<Written> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("keys"))?;
    if !folder.join(PUBLIC_KEY).exists() {
        write_keys(folder)?;
    }
    keep_or_write(&folder.join(POLICY), starter().as_bytes(), 0o644)?;
    let password = random_text()?;
    let hash = PasswordHash::of(&password).map_err(|_| anyhow::anyhow!("no randomness"))?;
    let text = configuration(hash.expose());
    // Written aside and renamed: half a configuration would stop the next start.
    let path = folder.join(config::FILE_NAME);
    let aside = folder.join(format!(".{}.new", config::FILE_NAME));
    fs::remove_file(&aside).or_else(absent_is_fine)?;
    keep_or_write(&aside, text.as_bytes(), 0o600)?;
    fs::rename(&aside, path)?;
    Ok(Written { password })
}

impl Written {
    /// What to do next, with the password, which is nowhere else in clear.
    pub(super) fn welcome(&self) -> String {
        let Self { password } = self;
        format!(
            "First start: wrote {config}, {POLICY}, {PRIVATE_KEY} and {PUBLIC_KEY}.\n\n\
             An account that may push, shown this once:\n\n    \
             {ACCOUNT} / {password}\n\n\
             What to do next, in another terminal:\n\n    \
             docker login localhost:5000 --username {ACCOUNT}\n    \
             docker push localhost:5000/app:1                  # stored, judged, staged: nobody can pull it yet\n    \
             portcullis sign localhost:5000/app:1 --key {PRIVATE_KEY}   # password in {PRIVATE_KEY_PASSWORD}\n    \
             docker pull localhost:5000/app@sha256:…           # released: consumers pull by digest\n\n\
             The policy asks for advisories and there are none yet; until then vulnerabilities are unknown, which it \
             denies:\n\n    \
             portcullis advisories update --help\n\n",
            config = config::FILE_NAME,
        )
    }
}

fn write_keys(folder: &Path) -> anyhow::Result<()> {
    let password = random_text()?;
    let key = keyring::generate(NewKey::EcdsaP256)?;
    let encrypted = keyring::encrypt(&key, &Password::new(password.clone().into_bytes()))?;
    // The public key comes last: it is what tells a later start that the pair is complete.
    for (name, bytes) in [(PRIVATE_KEY_PASSWORD, password.as_bytes()), (PRIVATE_KEY, encrypted.as_bytes())] {
        fs::remove_file(folder.join(name)).or_else(absent_is_fine)?;
        keep_or_write(&folder.join(name), bytes, 0o600)?;
    }
    keep_or_write(&folder.join(PUBLIC_KEY), key.public_key().to_pem().as_bytes(), 0o644)?;
    Ok(())
}

fn configuration(password_hash: &str) -> String {
    format!(
        "# Portcullis configuration. All keys: `portcullis config reference`. Check it: `portcullis config check`.\n\
         # Each key may be overridden by a variable such as PORTCULLIS_SERVER_LISTEN.\n\n\
         [server]\n\
         # Plain HTTP is spoken on loopback only. For others, give a certificate:\n\
         # [server.tls] certificate = \"tls.crt\", key = \"tls.key\"\n\
         listen = \"127.0.0.1:5000\"\n\
         # How engines and the policy write this registry's name.\n\
         name = \"localhost:5000\"\n\n\
         [storage]\n\
         data-dir = \"portcullis-data\"\n\n\
         [policy]\n\
         file = \"{POLICY}\"\n\n\
         # Compiled by `portcullis advisories build` or fetched from sources (see the reference):\n\
         # [advisories]\n\
         # file = \"advisories.bin\"\n\n\
         [[account]]\n\
         name = \"{ACCOUNT}\"\n\
         password-hash = \"{password_hash}\"\n\
         grants = [{{ repositories = [\"**\"], actions = [\"pull\", \"push\"] }}]\n"
    )
}

/// Writes a file that is not there yet, durably.
fn keep_or_write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file.write_all(bytes).and_then(|()| file.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn random_text() -> anyhow::Result<String> {
    let mut bytes = [0u8; PASSWORD_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::access::Action;
    use crate::config::Config;
    use crate::config::environment::Environment;
    use crate::policy_file;

    #[test]
    fn what_a_first_start_writes_is_usable_and_secrets_are_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let written = write(folder.path()).unwrap();
        let path = folder.path().join(config::FILE_NAME);
        let config = Config::load(&path, &Environment::default()).unwrap();
        assert_eq!(config.accounts[0].grants.highest("any/app"), Some(Action::Push));
        policy_file::read(&config.policy_file).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&written.password) && written.welcome().contains(&written.password));
        for name in [PRIVATE_KEY, PRIVATE_KEY_PASSWORD, config::FILE_NAME] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let password = fs::read(folder.path().join(PRIVATE_KEY_PASSWORD)).unwrap();
        let key = fs::read_to_string(folder.path().join(PRIVATE_KEY)).unwrap();
        keyring::decrypt(&key, &Password::new(password)).unwrap();
    }

    #[test]
    fn a_first_start_that_was_cut_off_goes_on_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let public_key = fs::read(folder.path().join(PUBLIC_KEY)).unwrap();
        fs::write(folder.path().join(POLICY), "# mine\n").unwrap();
        fs::remove_file(folder.path().join(config::FILE_NAME)).unwrap();
        write(folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join(PUBLIC_KEY)).unwrap(), public_key);
        assert_eq!(fs::read_to_string(folder.path().join(POLICY)).unwrap(), "# mine\n");

        fs::remove_file(folder.path().join(PUBLIC_KEY)).unwrap();
        write(folder.path()).unwrap();
        assert_ne!(fs::read(folder.path().join(PUBLIC_KEY)).unwrap(), public_key, "half a pair is made anew");
    }
}
