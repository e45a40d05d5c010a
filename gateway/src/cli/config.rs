//! `portcullis config check|reference`: what is in force, and what could be.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{EXIT_USAGE, UsageError};
use crate::config::environment::Environment;
use crate::config::{self, Config};

/// Check the configuration, or print its reference.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read file and environment, report every mistake, print the values in force with secrets masked.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = config::FILE_NAME)]
        config: PathBuf,
    },
    /// Print the reference of all keys in Markdown.
    Reference,
}

/// Prints to stdout; nothing is started and no port is bound.
///
/// # Errors
/// When the configuration has mistakes.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check { config } => {
            let config = Config::load(&config, &Environment::of_process());
            let config = config.map_err(|errors| UsageError(errors.to_string()))?;
            print!("{}", config.render());
            let missing = !config.policy_file.exists();
            if missing {
                eprintln!("error: the policy `{}` does not exist", config.policy_file.display());
            }
            Ok(ExitCode::from(if missing { EXIT_USAGE } else { 0 }))
        }
        Command::Reference => {
            print!("{}", config::reference::render());
            Ok(ExitCode::SUCCESS)
        }
    }
}
