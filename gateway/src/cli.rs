//! The list of subcommands, and what their exit codes mean.
#![expect(clippy::needless_pass_by_value, reason = "each subcommand takes its arguments whole")]

pub mod admission;
pub mod advisories;
pub mod affected;
pub mod attest;
pub mod check;
pub mod completions;
pub mod config;
pub mod conformance;
pub mod demo;
pub mod diff;
pub mod docker_plugin;
mod image_input;
pub mod images;
pub mod keys;
pub mod log;
pub mod notary;
pub mod policy;
mod receipt_trust;
mod registry_access;
mod secret_input;
pub mod serve;
pub mod sign;
mod signing_key;
pub mod trust;
pub mod verify;
pub mod wait;
pub mod withdraw;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Admitted, or done.
pub const EXIT_DONE: u8 = 0;
/// Denied: the question was answered, with no.
pub const EXIT_DENIED: u8 = 1;
/// Wrong usage or configuration: the caller must change something.
pub const EXIT_USAGE: u8 = 2;
/// Could not decide: broken input, no answer from a registry, a full disk. Pipelines must treat it as a denial.
pub const EXIT_UNDECIDED: u8 = 3;

/// A gate for container images: a registry, a pipeline stage and an admission check on one decision.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 admitted or done, 1 denied, 2 wrong usage or configuration, 3 could not decide."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// One variant per subcommand, in alphabetical order; each lives in `cli/NAME.rs` as `Args` and `run`.
#[derive(Debug, Subcommand)]
enum Command {
    Admission(admission::Args),
    Advisories(advisories::Args),
    Affected(affected::Args),
    Attest(attest::Args),
    Check(check::Args),
    Completions(completions::Args),
    Config(config::Args),
    #[command(hide = true)]
    Conformance(conformance::Args),
    Demo(demo::Args),
    Diff(diff::Args),
    DockerPlugin(docker_plugin::Args),
    Images(images::Args),
    Keys(keys::Args),
    Log(log::Args),
    Notary(notary::Args),
    Policy(policy::Args),
    Serve(serve::Args),
    Sign(sign::Args),
    Trust(trust::Args),
    Verify(verify::Args),
    Wait(wait::Args),
    Withdraw(withdraw::Args),
}

/// The caller's mistake: a wrong argument, an unreadable configuration. Ends the program with [`EXIT_USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(
    /// What is wrong and what would be right.
    pub String,
);

/// Runs the program: arguments in, exit code out. Data goes to stdout, everything else to stderr.
pub fn main() -> ExitCode {
    end_quietly_when_the_reader_left();
    crate::server::tls::install_provider();
    match run(CommandLine::parse().command) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Admission(args) => admission::run(&args),
        Command::Advisories(args) => advisories::run(args),
        Command::Affected(args) => affected::run(&args),
        Command::Attest(args) => attest::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Completions(args) => completions::run(args),
        Command::Config(args) => config::run(args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Diff(args) => diff::run(&args),
        Command::DockerPlugin(args) => docker_plugin::run(args),
        Command::Images(args) => images::run(&args),
        Command::Keys(args) => keys::run(args),
        Command::Log(args) => log::run(args),
        Command::Notary(args) => notary::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Sign(args) => sign::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Withdraw(args) => withdraw::run(&args),
    }
}

/// The command tree, for completions and generated documentation.
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// Prints the error with its causes and chooses the exit code.
fn report(error: &anyhow::Error) -> ExitCode {
    let left = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(left)) {
        return ExitCode::from(EXIT_DONE);
    }
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
    // `is` also finds a context, which the chain of causes does not show.
    let usage = error.is::<UsageError>() || error.chain().any(|cause| cause.is::<UsageError>());
    ExitCode::from(if usage { EXIT_USAGE } else { EXIT_UNDECIDED })
}

/// `portcullis … | head` closes our stdout early; `println!` answers that with a panic, whose message would be noise.
fn end_quietly_when_the_reader_left() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(i32::from(EXIT_DONE));
        }
        usual(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn a_usage_mistake_is_told_apart_from_an_undecided_question() {
        let usage = anyhow::Error::new(UsageError("no".to_owned())).context("reading the configuration");
        assert_eq!(format!("{:?}", report(&usage)), format!("{:?}", ExitCode::from(EXIT_USAGE)));
        let context = anyhow::anyhow!("no such file").context(UsageError("cannot read the key".to_owned()));
        assert_eq!(format!("{:?}", report(&context)), format!("{:?}", ExitCode::from(EXIT_USAGE)));
        let other = anyhow::anyhow!("the disk is full");
        assert_eq!(format!("{:?}", report(&other)), format!("{:?}", ExitCode::from(EXIT_UNDECIDED)));
    }
}
