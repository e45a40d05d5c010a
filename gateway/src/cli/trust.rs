//! `portcullis trust update|show`: the trusted roots of a policy, fetched or brought by hand, and how old they are.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::Table;
use keys::tuf::VerifiedFile;
use serde_json::{Value, json};

use super::{EXIT_DENIED, EXIT_UNDECIDED, UsageError};
use crate::clock::Clock;
use crate::gate::policy::RootSource;
use crate::policy_file;
use crate::rounds::chain;
use crate::trust::fetch::{self, Origin};
use crate::trust::kept::Kept;
use crate::trust::update::update_once;

/// Fetch the trusted roots that a policy names, or tell how old they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Update(UpdateArgs),
    Show(ShowArgs),
}

/// Ask the repositories now, or take in what was carried from a machine that may. Nothing is kept that does not verify from
/// the pinned root. A gateway takes it up at SIGHUP, and in its next round.
#[derive(Debug, clap::Args)]
struct UpdateArgs {
    #[command(flatten)]
    which: Which,
    /// Take the files from a folder that mirrors the repository: metadata in it or in `metadata/`, target files in
    /// `targets/`. Needs `--name` where the policy has several trust roots.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
}

/// Tell of each root which versions it rests on, when it was confirmed, and when it ends. Exits with 1 when one of them
/// does not count.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the trusted root itself, for `--trusted-root` and other tools. Needs `--name` where there are several.
    #[arg(long, conflicts_with = "json")]
    target: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The policy.
    #[arg(long, value_name = "FILE", default_value = "policy.toml")]
    policy: PathBuf,
    /// Where roots are kept: `trust.dir` of the configuration.
    #[arg(long, value_name = "FOLDER", default_value = "portcullis-data/trust")]
    dir: PathBuf,
    /// Only this trust root.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Which {
    fn sources(&self) -> anyhow::Result<Vec<RootSource>> {
        let policy = policy_file::read(&self.policy).map_err(|error| UsageError(chain(&error)))?;
        let named = |source: &&RootSource| self.name.as_ref().is_none_or(|name| *name == source.name);
        let sources: Vec<_> = policy.root_sources().iter().filter(named).cloned().collect();
        let shown = self.policy.display();
        let missing = match &self.name {
            Some(name) => format!("`{shown}` has no `[[trust-root]]` named `{name}`"),
            None => format!("`{shown}` has no `[[trust-root]]`"),
        };
        anyhow::ensure!(!sources.is_empty(), UsageError(missing));
        Ok(sources)
    }

    /// For what is about one root only.
    fn source(&self, flag: &str) -> anyhow::Result<RootSource> {
        let mut sources = self.sources()?;
        anyhow::ensure!(
            sources.len() == 1,
            UsageError(format!(
                "`{flag}` is about one trust root, and the policy has {}: add --name",
                sources.len()
            ))
        );
        Ok(sources.remove(0))
    }
}

/// Runs one of the two.
///
/// # Errors
/// When the policy cannot be used, or nothing can be kept.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Update(args) => update(args),
        Action::Show(args) => show(args),
    }
}

fn update(args: &UpdateArgs) -> anyhow::Result<ExitCode> {
    let sources = match &args.from {
        Some(_) => vec![args.which.source("--from")?],
        None => args.which.sources()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the runtime")?;
    let client = fetch::client()?;
    let mut failed = 0;
    for source in &sources {
        let name = &source.name;
        let origin = match &args.from {
            Some(folder) => Origin::Folder(folder.clone()),
            None => match Origin::of(source, client.clone())? {
                Some(origin) => origin,
                None => {
                    eprintln!("{name}: the policy gives it no `url`; bring it with --from");
                    continue;
                }
            },
        };
        match runtime.block_on(update_once(&args.which.dir, source, &origin, Clock::system().now())) {
            Ok(updated) => {
                let word = if updated.changed { "new" } else { "confirmed" };
                println!("{name}: {word} {}", updated.digest);
            }
            Err(error) => {
                failed += 1;
                eprintln!("error: {name}: {}", chain(&error));
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNDECIDED) })
}

/// What is known of one root.
struct Shown {
    name: String,
    file: Option<VerifiedFile>,
    checked: Option<i64>,
    until: Option<i64>,
    /// Why it does not count.
    problem: Option<String>,
}

fn look(dir: &Path, source: &RootSource, now: i64) -> anyhow::Result<Shown> {
    let kept = Kept::read(dir, source)?;
    let name = source.name.clone();
    let root = match kept.root(source) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let problem = Some("never fetched".to_owned());
            return Ok(Shown { name, file: None, checked: None, until: None, problem });
        }
        Err(error) => {
            let problem = Some(chain(&error));
            return Ok(Shown { name, file: None, checked: None, until: None, problem });
        }
    };
    let lease = root.root.lease();
    let problem = lease.filter(|lease| now >= lease.until).map(|lease| lease.ended.clone());
    let (file, until) = (kept.verified(source)?, lease.map(|lease| lease.until));
    Ok(Shown { name, file, checked: Some(root.checked), until, problem })
}

fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let now = Clock::system().now();
    if args.target {
        let source = args.which.source("--target")?;
        let Shown { name, file, problem, .. } = look(&args.which.dir, &source, now)?;
        let file = file.with_context(|| format!("`{name}`: {}", problem.clone().unwrap_or_default()))?;
        print!("{}", String::from_utf8_lossy(file.bytes()));
        // Whoever writes it into a file hears that it is none to rely on.
        if let Some(problem) = &problem {
            eprintln!("error: {problem}");
        }
        return Ok(if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DENIED) });
    }
    let shown: Vec<Shown> = args
        .which
        .sources()?
        .iter()
        .map(|source| look(&args.which.dir, source, now))
        .collect::<Result<_, _>>()?;
    if args.json {
        let roots: Vec<Value> = shown.iter().map(as_json).collect();
        println!("{:#}", json!({ "trust-roots": roots }));
    } else {
        println!("{}", table(&shown, now));
    }
    let all_count = shown.iter().all(|one| one.problem.is_none());
    Ok(if all_count { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DENIED) })
}

fn as_json(shown: &Shown) -> Value {
    let metadata = shown.file.iter().flat_map(VerifiedFile::metadata);
    let metadata: Vec<Value> = metadata
        .map(|&(role, version, expires)| {
            json!({"role": role.name(), "version": version, "expires": date(expires)})
        })
        .collect();
    json!({
        "name": shown.name,
        "digest": shown.file.as_ref().map(VerifiedFile::digest),
        "confirmed": shown.checked.map(date),
        "counts-until": shown.until.map(date),
        "metadata": metadata,
        "problem": shown.problem,
    })
}

fn table(shown: &[Shown], now: i64) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["TRUST ROOT", "CONFIRMED", "COUNTS UNTIL", "METADATA", "DIGEST"]);
    let mut problems = String::new();
    for one in shown {
        let metadata = one.file.iter().flat_map(VerifiedFile::metadata);
        let metadata: Vec<String> = metadata
            .map(|&(role, version, expires)| format!("{role} {version} until {}", day(expires)))
            .collect();
        let ago = |checked: i64| {
            let seconds = u64::try_from(now.saturating_sub(checked)).unwrap_or(0);
            let age = humantime::format_duration(std::time::Duration::from_secs(seconds / 60 * 60));
            format!("{} ({age} ago)", date(checked))
        };
        table.add_row([
            one.name.clone(),
            one.checked.map_or_else(|| "never".to_owned(), ago),
            one.until.map_or_else(|| "-".to_owned(), date),
            metadata.join(", "),
            one.file.as_ref().map_or_else(|| "-".to_owned(), |file| file.digest().to_owned()),
        ]);
        if let Some(problem) = &one.problem {
            problems.push_str(&format!("\n{}: does not count: {problem}", one.name));
        }
    }
    format!("{}{problems}", table.trim_fmt())
}

/// RFC 3339, or the number where it is no date.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn day(seconds: i64) -> String {
    date(seconds).chars().take(10).collect()
}
