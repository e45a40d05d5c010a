//! Reads secrets from files, standard input and terminals; never from arguments.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use keys::keyring::Password;
use zeroize::Zeroizing;

use super::UsageError;

/// Longest secret read, in bytes.
const SECRET_BYTES_MAX: u64 = 4096;

/// The first line of a file, or of standard input for `-`, without its end.
pub(super) fn line_of(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(SECRET_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(SECRET_BYTES_MAX).read_to_string(&mut text))
    };
    read.with_context(|| UsageError(format!("cannot read the secret in `{}`", file.display())))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Asks on the terminal without showing what is typed. Without a terminal it is an error: a pipeline must not hang.
pub(super) fn prompt(question: &str, otherwise: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(UsageError(format!("there is no terminal to ask for the {question}; {otherwise}")).into());
    }
    eprint!("{question}: ");
    console::Term::stderr().read_secure_line().context("cannot read from the terminal")
}

/// The PIN of a token: the first line of a file, else asked for on the terminal.
pub(super) fn pin(file: Option<&Path>, token: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = match file {
        Some(file) => line_of(file)?,
        None => prompt(&format!("PIN of the token `{token}`"), "pass `--pkcs11-pin-file`")?,
    };
    Ok(Zeroizing::new(text))
}

/// Where the password of a private key comes from, the first that is there: file, variable, terminal.
#[derive(Debug, clap::Args)]
pub(super) struct KeyPassword {
    /// File with the key's password; `-` reads standard input. The variables PORTCULLIS_KEY_PASSWORD and COSIGN_PASSWORD
    /// work, too; else it is asked for on the terminal.
    #[arg(long, value_name = "FILE")]
    key_password_file: Option<std::path::PathBuf>,
    #[arg(long, env = "PORTCULLIS_KEY_PASSWORD", hide = true, hide_env_values = true)]
    key_password_from_environment: Option<String>,
    #[arg(long, env = "COSIGN_PASSWORD", hide = true, hide_env_values = true)]
    cosign_password_from_environment: Option<String>,
}

impl KeyPassword {
    /// Reads it.
    pub(super) fn read(&self) -> anyhow::Result<Password> {
        Ok(Password::new(self.text(false)?.into_bytes()))
    }

    /// Reads the password of a key that is about to be made: on a terminal it is asked for twice.
    pub(super) fn read_new(&self) -> anyhow::Result<Password> {
        let text = self.text(true)?;
        if text.is_empty() {
            eprintln!("warning: the password is empty, so the file alone is enough to sign");
        }
        Ok(Password::new(text.into_bytes()))
    }

    fn text(&self, twice: bool) -> anyhow::Result<String> {
        let given =
            self.key_password_from_environment.as_ref().or(self.cosign_password_from_environment.as_ref());
        match (&self.key_password_file, given) {
            (Some(file), _) => line_of(file),
            (None, Some(password)) => Ok(password.clone()),
            (None, None) => {
                let otherwise = "set COSIGN_PASSWORD or pass `--key-password-file`";
                let text = prompt("password of the private key", otherwise)?;
                if twice && prompt("the same password again", otherwise)? != text {
                    return Err(UsageError("the two passwords differ; nothing was written".to_owned()).into());
                }
                Ok(text)
            }
        }
    }
}
