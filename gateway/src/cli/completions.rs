//! `portcullis completions SHELL`: prints a completion script.

use std::io;
use std::process::ExitCode;

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell to write for.
    shell: clap_complete::Shell,
}

/// Writes the script to stdout.
///
/// # Errors
/// None today; the signature is that of every subcommand.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut super::command(), "portcullis", &mut io::stdout());
    Ok(ExitCode::SUCCESS)
}
