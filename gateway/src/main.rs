//! Parses arguments, runs one subcommand, maps its result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis::cli::main()
}
