//! `portcullis advisories`: build, show and update the advisory file, and hand it on by way of a registry.

mod transfer;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use scanner::advisory::{Advisories, Builder};

use super::{EXIT_DONE, EXIT_UNDECIDED, UsageError};
use crate::advisories::fetch::Fetcher;
use crate::advisories::intake::{self, Intake, IntakeError};
use crate::advisories::update::{Round, Step, update_once};
use crate::advisories::{
    AdvisoriesConfig, AdvisoryStore, INTERVAL, SourceConfig, SourceName, SourceUrl, load, write_file,
};
use crate::clock::Clock;

/// Build, show and update the advisory file; publish it in a registry, take it up from one.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Build(BuildArgs),
    Info(InfoArgs),
    Pull(Box<transfer::PullArgs>),
    Push(Box<transfer::PushArgs>),
    Update(UpdateArgs),
}

/// Compile feeds from files and folders into one advisory file.
#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// A folder, a JSON document, JSON lines, an `updateinfo.xml`, EPSS' CSV, a zip or tar archive of such, plain or packed
    /// by gzip or zstd; `NAME=PATH` names the source. May be repeated.
    #[arg(long = "from", required = true, value_name = "[NAME=]PATH")]
    from: Vec<String>,
    /// The file to write; it is replaced in one step.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print nothing but errors.
    #[arg(long)]
    quiet: bool,
}

/// Tell what an advisory file was built from, how old it is, and what it covers.
#[derive(Debug, clap::Args)]
struct InfoArgs {
    /// The compiled file.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Fetch sources that have changed, and compile them.
#[derive(Debug, clap::Args)]
struct UpdateArgs {
    /// The compiled file; downloads are kept beside it, in a folder of the same name with `.sources` added.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// A feed to fetch. May be repeated.
    #[arg(long = "source", required = true, value_name = "NAME=URL")]
    sources: Vec<String>,
    /// Print nothing but errors.
    #[arg(long)]
    quiet: bool,
}

/// Runs one of them.
///
/// # Errors
///
/// When a feed is broken, a file cannot be read or written, or no source could be fetched.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Build(args) => build(&args),
        Action::Info(args) => info(&args),
        Action::Pull(args) => transfer::pull(&args).map(|()| ExitCode::from(EXIT_DONE)),
        Action::Push(args) => transfer::push(&args).map(|()| ExitCode::from(EXIT_DONE)),
        Action::Update(args) => update(&args),
    }
}

fn build(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for from in &args.from {
        let (name, path) = split_source(from);
        if !path.exists() {
            return Err(UsageError(format!("`{}` does not exist", path.display())).into());
        }
        for file in intake::feed_files(&path)? {
            let source = name.clone().unwrap_or_else(|| source_name(&path, &file));
            files.push((source, file));
        }
    }
    let bar = progress_bar(args.quiet, files.len() as u64, "{bar:30} {pos}/{len} {msg}");
    let mut builder = Builder::new();
    let mut total = Intake::default();
    for (source, file) in &files {
        bar.set_message(source.clone());
        let intake = intake::add_file(&mut builder, source, file)?;
        total.documents += intake.documents;
        total.unrecognised += intake.unrecognised;
        total.advisories += intake.advisories;
        total.skipped += intake.skipped;
        bar.inc(1);
    }
    if total.documents == 0 {
        let path = PathBuf::from(args.from.join(", "));
        return Err(IntakeError::NoFeed { path, unrecognised: total.unrecognised }.into());
    }
    bar.set_message("building");
    let bytes = builder.finish(Clock::system().now())?;
    write_file(&args.out, &bytes)?;
    bar.finish_and_clear();
    if !args.quiet {
        eprintln!(
            "{} advisories from {} documents, {} bytes in `{}`; left out: {} advisories of other ecosystems or withdrawn, \
             {} documents of no known feed",
            total.advisories,
            total.documents,
            bytes.len(),
            args.out.display(),
            total.skipped,
            total.unrecognised
        );
    }
    Ok(ExitCode::from(EXIT_DONE))
}

/// `NAME=PATH` or `PATH`; a path with `=` in it is written `./a=b`.
fn split_source(text: &str) -> (Option<String>, PathBuf) {
    match text.split_once('=') {
        Some((name, path)) if SourceName::try_from(name.to_owned()).is_ok() => {
            (Some(name.to_owned()), PathBuf::from(path))
        }
        _ => (None, PathBuf::from(text)),
    }
}

/// A packed file is a source of its own; loose documents belong to their folder.
fn source_name(from: &Path, file: &Path) -> String {
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let own = name(file);
    if from == file || !own.ends_with(".json") {
        return own.split('.').next().unwrap_or(&own).to_owned();
    }
    let folder = file.parent().map(name).filter(|folder| !folder.is_empty());
    folder.unwrap_or_else(|| "advisories".to_owned())
}

fn info(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let advisories = load(&args.file)?;
    if args.json {
        let revision = advisories.revision();
        let report = serde_json::json!({
            "digest": format!("sha256:{}", revision.digest),
            "built": date(revision.built),
            "newest": date(revision.newest),
            "sources": advisories.sources(),
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", describe(&advisories, Clock::system().now()));
    }
    Ok(ExitCode::from(EXIT_DONE))
}

fn describe(advisories: &Advisories, now: i64) -> String {
    let revision = advisories.revision();
    let age = u64::try_from(now.saturating_sub(revision.built)).unwrap_or(0);
    let age = humantime::format_duration(std::time::Duration::from_secs(age / 60 * 60));
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["SOURCE", "NEWEST", "ADVISORIES", "LEFT OUT", "COVERS (PACKAGES)"]);
    for source in advisories.sources() {
        let whole = source.coverage.iter().filter(|coverage| coverage.whole);
        let covers = whole.map(|coverage| format!("{} ({})", coverage.ecosystem, coverage.packages));
        let covers: Vec<String> = covers.collect();
        let partly = source.coverage.iter().filter(|coverage| !coverage.whole).count();
        let told = [(source.exploited, "exploited problems"), (source.scored, "problems with a prediction")];
        let told = told.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let covers: Vec<String> = covers.into_iter().chain(told).collect();
        let mut covers = if covers.is_empty() { "nothing".to_owned() } else { covers.join(", ") };
        if partly > 0 {
            covers.push_str(&format!("; parts of {partly} more, which stay unknown"));
        }
        let newest = source.newest.map_or_else(|| "undated".to_owned(), day);
        table.add_row([
            source.name.clone(),
            newest,
            source.advisories.to_string(),
            source.skipped.to_string(),
            covers,
        ]);
    }
    format!("sha256:{}\nbuilt {} ({age} ago)\n\n{}", revision.digest, date(revision.built), table.trim_fmt())
}

/// RFC 3339, or the number where it is no date.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn day(seconds: i64) -> String {
    date(seconds).chars().take(10).collect()
}

fn update(args: &UpdateArgs) -> anyhow::Result<ExitCode> {
    let sources = args.sources.iter().map(|text| parse_source(text)).collect::<Result<Vec<_>, _>>()?;
    let config = AdvisoriesConfig { file: args.file.clone(), sources, interval: INTERVAL };
    // A damaged file is replaced, not an obstacle.
    let store = AdvisoryStore::open(&args.file).or_else(|error| match error {
        crate::advisories::StoreError::Unusable { .. } => Ok(AdvisoryStore::replacing(&args.file)),
        other => Err(other),
    })?;
    let bar = progress_bar(args.quiet, 0, "{spinner} {msg} {bytes}/{total_bytes} {bytes_per_sec}");
    let shown = Mutex::new(String::new());
    let progress = |step: Step<'_>| show(&bar, &shown, step);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let round = runtime.block_on(async {
        let fetcher = Fetcher::new()?;
        anyhow::Ok(update_once(&config, &store, &fetcher, Clock::system().now(), &progress).await?)
    })?;
    bar.finish_and_clear();
    finish_update(&round, &store, args.quiet)
}

fn finish_update(round: &Round, store: &AdvisoryStore, quiet: bool) -> anyhow::Result<ExitCode> {
    for (source, error) in &round.failed {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        eprintln!("error: source `{source}`: {}", causes.join(": "));
    }
    let Some(advisories) = store.current() else { bail!("no advisories are in use") };
    if !quiet {
        eprintln!(
            "{} new, {} unchanged, {} failed",
            round.new.len(),
            round.unchanged.len(),
            round.failed.len()
        );
        println!("{}", describe(&advisories, Clock::system().now()));
    }
    Ok(ExitCode::from(if round.failed.is_empty() { EXIT_DONE } else { EXIT_UNDECIDED }))
}

fn parse_source(text: &str) -> Result<SourceConfig, UsageError> {
    let usage = |problem: String| UsageError(format!("`--source {text}`: {problem}"));
    let (name, url) = text.split_once('=').ok_or_else(|| usage("write it as NAME=URL".to_owned()))?;
    let name = SourceName::try_from(name.to_owned()).map_err(usage)?;
    let url = SourceUrl::try_from(url.to_owned()).map_err(usage)?;
    Ok(SourceConfig { name, url })
}

fn show(bar: &ProgressBar, shown: &Mutex<String>, step: Step<'_>) {
    match step {
        Step::Building => bar.set_message("building"),
        Step::Checked { .. } | Step::Failed { .. } => {}
        Step::Checking { source } => bar.set_message(format!("{source}: checking")),
        Step::Fetching { source, done, total } => {
            let mut shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *shown != source {
                source.clone_into(&mut shown);
                bar.set_message(source.to_owned());
                bar.reset();
            }
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        }
    }
}

fn progress_bar(quiet: bool, length: u64, template: &str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
