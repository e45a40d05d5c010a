//! `portcullis diff OLD NEW`: what changed from one image to the next.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use scanner::advisory::Advisories;
use scanner::diff::diff;
use scanner::report::ScanReport;

use super::image_input::{EngineAccess, content, images, load, open, read_advisories, width, write_out};
use super::registry_access::RegistryAccess;
use super::{EXIT_DENIED, UsageError};
use crate::gate::evidence::Content;
use crate::output::diff::{DiffReport, PlatformDifference, SCHEMA, Side};
use crate::source::Location;

/// Compare two images: packages, vulnerabilities, secrets, layers and sizes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 compared, 1 compared and `--fail-on` holds, 2 wrong usage, 3 could not compare."
)]
pub struct Args {
    /// The older image, named as for `portcullis check`.
    old: Location,
    /// The newer image.
    new: Location,
    /// Compiled advisories, made by `portcullis advisories build`. Without them vulnerabilities are not compared.
    #[arg(long, value_name = "FILE")]
    advisories: Option<PathBuf>,
    /// End with exit code 1 when the newer image has this. May be repeated.
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Vec<FailOn>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = DiffOutput::Table)]
    output: DiffOutput,
    /// Write the answer to this file; the table still goes to stdout.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryAccess,
    #[command(flatten)]
    engine: EngineAccess,
}

/// What ends with exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// A vulnerability that the older image has not, or something that cannot be judged any more.
    NewFindings,
    /// A secret that the older image has not.
    NewSecrets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DiffOutput {
    /// One JSON object (docs/diff.md).
    Json,
    /// For people.
    Table,
}

/// Compares; exit code 0 done, 1 what `--fail-on` names is there, 2 wrong usage, 3 could not compare.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.fail_on.contains(&FailOn::NewFindings) && args.advisories.is_none() {
        let message = "`--fail-on new-findings` needs `--advisories FILE`: without it nothing is judged";
        return Err(UsageError(message.to_owned()).into());
    }
    let advisories = args.advisories.as_deref().map(read_advisories).transpose()?;
    let (old, old_side) = read(&args.old, args, advisories.as_ref())?;
    let (new, new_side) = read(&args.new, args, advisories.as_ref())?;
    let report = compare((&old, old_side), (&new, new_side), advisories.as_ref());
    let render = |output| match output {
        DiffOutput::Json => report.json(),
        DiffOutput::Table => Ok(report.table(width())),
    };
    write_out(&render(args.output)?, args.output_file.as_deref())?;
    if args.output_file.is_some() {
        write_out(&render(DiffOutput::Table)?, None)?;
    }
    let fails = args.fail_on.iter().any(|what| holds(*what, &report, &new));
    Ok(if fails { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
}

fn read(
    location: &Location,
    args: &Args,
    advisories: Option<&Advisories>,
) -> anyhow::Result<(Content, Side)> {
    let source = open(location, &args.registry, &args.engine)?;
    let image = load(&source).with_context(|| format!("cannot compare `{location}`"))?;
    let content = content(&image.loaded, advisories)?;
    anyhow::ensure!(!images(&content).is_empty(), "`{location}` holds nothing that can run");
    Ok((content, Side { image: location.to_string(), digest: image.digest }))
}

fn compare(
    (old, old_side): (&Content, Side),
    (new, new_side): (&Content, Side),
    advisories: Option<&Advisories>,
) -> DiffReport {
    let (before, after) = (images(old), images(new));
    let mut report = DiffReport {
        schema: SCHEMA,
        old: old_side,
        new: new_side,
        advisories: advisories.map(Advisories::revision),
        platforms: Vec::new(),
        removed_platforms: Vec::new(),
        added_platforms: Vec::new(),
    };
    // Two single images are compared whatever an index calls one of them.
    let single = before.len() == 1 && after.len() == 1;
    let compared = |platform: Option<&str>, older: &ScanReport, newer: &ScanReport| {
        let platform = platform.map(str::to_owned);
        PlatformDifference { platform, difference: diff(older, newer) }
    };
    for (platform, _, newer) in &after {
        match before.iter().find(|(other, ..)| single || other == platform) {
            Some((_, _, older)) => report.platforms.push(compared(*platform, &older.scan, &newer.scan)),
            None => report.added_platforms.push(platform.unwrap_or("no platform").to_owned()),
        }
    }
    let is_gone = |platform: Option<&str>| !single && !after.iter().any(|(other, ..)| *other == platform);
    let gone = before.iter().filter(|(platform, ..)| is_gone(*platform));
    report.removed_platforms =
        gone.map(|(platform, ..)| platform.unwrap_or("no platform").to_owned()).collect();
    report
}

/// A platform that is new is new with all it has.
fn holds(what: FailOn, report: &DiffReport, new: &Content) -> bool {
    let changes = report.platforms.iter().map(|platform| &platform.difference);
    let added: Vec<&ScanReport> = images(new)
        .into_iter()
        .filter(|(platform, ..)| {
            report.added_platforms.iter().any(|added| added == platform.unwrap_or("no platform"))
        })
        .map(|(_, _, facts)| &*facts.scan)
        .collect();
    match what {
        FailOn::NewFindings => {
            changes.into_iter().any(|it| !it.new_findings.is_empty() || !it.new_unknown.is_empty())
                || added.iter().any(|scan| !scan.findings.is_empty() || !scan.unknown.is_empty())
        }
        FailOn::NewSecrets => {
            changes.into_iter().any(|it| !it.new_secrets.is_empty())
                || added.iter().any(|scan| !scan.secrets.is_empty())
        }
    }
}
