//! `portcullis policy check|explain`: what a policy file says, without a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{EXIT_DENIED, UsageError};
use crate::gate::{explain, policy::Policy};
use crate::policy_file::{self, PolicyFileError};

/// Check a policy file, or tell what it asks of an image.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Report every mistake; with `--json`, print what is in force, defaults filled in.
    Check {
        /// The policy file.
        #[arg(value_name = "POLICY")]
        file: PathBuf,
        /// Print the effective policy as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell which rule an image falls under and what it asks for. Exits with 1 where no rule matches.
    Explain {
        /// The policy file.
        #[arg(value_name = "POLICY")]
        file: PathBuf,
        /// The image's repository: `registry.example/prod/app`; a tag or digest is ignored.
        #[arg(long)]
        image: String,
    },
}

/// Prints to stdout.
///
/// # Errors
/// When the policy cannot be read or has mistakes.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check { file, json } => {
            let policy = read(&file)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&policy.effective())?);
            } else {
                println!("{}", summary(&file, &policy));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { file, image } => {
            let policy = read(&file)?;
            let repository = repository(&image);
            print!("{}", explain::explain(&policy, repository));
            let matched = policy.rule_for(repository).is_some();
            Ok(if matched { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DENIED) })
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Policy> {
    policy_file::read(file).map_err(|error| {
        let text = match &error {
            PolicyFileError::Mistakes { .. } => error.to_string(),
            PolicyFileError::Unreadable { source, .. } | PolicyFileError::Unwritable { source, .. } => {
                format!("{error}: {source}")
            }
        };
        UsageError(text).into()
    })
}

fn summary(file: &Path, policy: &Policy) -> String {
    let counts = [
        (policy.trust_store().identities.len(), "identity", "identities"),
        (policy.rules().len(), "rule", "rules"),
        (policy.exceptions().len(), "exception", "exceptions"),
        (policy.statements().len(), "VEX statement", "VEX statements"),
    ];
    let counts = counts.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
    format!("{}: no mistakes; {} ({})", file.display(), counts.join(", "), policy.digest())
}

/// `host:5000/name:tag@digest` → `host:5000/name`.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((before, after)) if !after.contains('/') && before.contains('/') => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_and_digest_are_left_out_of_the_name() {
        let cases = [
            ("r.example/app", "r.example/app"),
            ("r.example/app:1.2", "r.example/app"),
            ("r.example:5000/app", "r.example:5000/app"),
            ("r.example:5000/app:1.2@sha256:00", "r.example:5000/app"),
        ];
        for (image, expected) in cases {
            assert_eq!(repository(image), expected);
        }
    }
}
