//! `portcullis log show|verify`: the decision log, read beside a running gateway or without one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{EXIT_DENIED, UsageError};
use crate::decisions::{Chain, Entry, Head, Outcome};
use crate::records::decisions::{head, open_read_only, rows};

/// Show or verify the decision log.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The gateway's data folder.
    #[arg(long, value_name = "DIR", default_value = "portcullis-data", global = true)]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the newest decisions, oldest first.
    Show(Show),
    /// Follow the chain from the first row. Exits with 1 where a row was edited, removed or cut off.
    Verify {
        /// A head that `log verify` printed earlier, `SEQ:HASH`: finds a cut end and a log written anew.
        #[arg(long, value_name = "SEQ:HASH", value_parser = parse_head)]
        head: Option<Head>,
    },
}

#[derive(Debug, clap::Args)]
struct Show {
    /// How many.
    #[arg(long, default_value_t = 20)]
    last: usize,
    /// Only this repository (`registry.example/prod/app`).
    #[arg(long)]
    repository: Option<String>,
    /// Only denials.
    #[arg(long)]
    denied: bool,
    /// One JSON object a line, as stored.
    #[arg(long)]
    json: bool,
}

/// Rows read at once.
const BATCH: u32 = 1000;

/// Prints to stdout.
///
/// # Errors
/// When the log cannot be read.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = args.data_dir.join("records.sqlite");
    if !path.exists() {
        let dir = args.data_dir.display();
        return Err(UsageError(format!(
            "no decision log in `{dir}`; give the gateway's folder with --data-dir"
        ))
        .into());
    }
    let connection = open_read_only(&args.data_dir)
        .with_context(|| format!("cannot open the decision log `{}`", path.display()))?;
    match args.command {
        Command::Show(show) => {
            for (entry, bytes) in select(&connection, &show)? {
                if show.json {
                    println!("{}", String::from_utf8_lossy(&bytes));
                } else {
                    println!("{}", line(&entry));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify { head } => verify(&connection, head),
    }
}

/// The newest matching rows, found from the end backwards so that a long log costs no more than is shown.
fn select(connection: &rusqlite::Connection, show: &Show) -> anyhow::Result<Vec<(Entry, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut end = head(connection)?.map_or(0, |(seq, _)| seq);
    while end > 0 && found.len() < show.last {
        let first = end.saturating_sub(u64::from(BATCH) - 1).max(1);
        let count = u32::try_from(end - first + 1).unwrap_or(BATCH);
        for (seq, bytes, _) in rows(connection, first, count)?.into_iter().rev() {
            let entry: Entry = serde_json::from_slice(&bytes)
                .with_context(|| format!("row {seq} is malformed; see `portcullis log verify`"))?;
            let repository_fits =
                show.repository.as_ref().is_none_or(|name| *name == entry.decision.repository);
            let outcome_fits = !show.denied || entry.decision.outcome == Outcome::Denied;
            if repository_fits && outcome_fits && found.len() < show.last {
                found.push((entry, bytes));
            }
        }
        end = first - 1;
    }
    found.reverse();
    Ok(found)
}

/// `17 2026-07-01T00:00:00Z denied at release registry.example/app:1.2@sha256:… for ci (registry)`, and the reasons.
fn line(entry: &Entry) -> String {
    let Entry { seq, decision } = entry;
    let at = jiff::Timestamp::from_second(decision.at)
        .map_or_else(|_| decision.at.to_string(), |at| at.to_string());
    let outcome = match decision.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Denied => "denied ",
    };
    let tag = decision.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let (repository, digest, caller, door) =
        (&decision.repository, &decision.digest, &decision.caller, &decision.door);
    let mut text = format!(
        "{seq} {at} {outcome} {} {repository}{tag}@{digest} for {caller} ({door})",
        decision.checkpoint
    );
    for reason in &decision.reasons {
        text.push_str(&format!("\n    [{}] {}", reason.check, reason.message));
    }
    if decision.reasons_omitted > 0 {
        text.push_str(&format!("\n    … and {} more", decision.reasons_omitted));
    }
    text
}

fn verify(connection: &rusqlite::Connection, remembered: Option<Head>) -> anyhow::Result<ExitCode> {
    let mut chain = Chain::new(remembered);
    let mut next = 1;
    loop {
        let batch = rows(connection, next, BATCH)?;
        let Some((last, _, _)) = batch.last() else { break };
        next = last.saturating_add(1);
        for (seq, entry, hash) in &batch {
            if let Err(error) = chain.follow(*seq, entry, hash) {
                println!("the decision log does not verify: {error}");
                return Ok(ExitCode::from(EXIT_DENIED));
            }
        }
    }
    match chain.finish() {
        Ok(Some(Head { seq, hash })) => println!("{seq} decisions verify; head {seq}:{hash}"),
        Ok(None) => println!("the decision log is empty"),
        Err(error) => {
            println!("the decision log does not verify: {error}");
            return Ok(ExitCode::from(EXIT_DENIED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_head(text: &str) -> Result<Head, String> {
    const RIGHT: &str = "write `SEQ:HASH` as `log verify` prints it";
    let (seq, hash) = text.split_once(':').ok_or(RIGHT)?;
    let seq = seq.parse().map_err(|_| RIGHT)?;
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(RIGHT.to_owned());
    }
    Ok(Head { seq, hash: hash.to_owned() })
}

#[cfg(test)]
mod tests;
