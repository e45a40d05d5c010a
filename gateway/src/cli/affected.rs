//! `portcullis affected CVE|PURL`: which stored images hold what an advisory or a package URL speaks of.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::UsageError;
use crate::advisories;
use crate::affected::{Affected, AffectedError, Question, affected};
use crate::records::decisions::open_read_only;

/// Tell which stored images hold what an advisory or a package URL speaks of.
///
/// Read beside a running gateway or without one, from the inventories that it keeps: no image is read. Staged and withdrawn
/// images are listed too, each with its state. Exits with 0 whether or not any is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `CVE-2026-0001`, another name of an advisory, or a package URL: `pkg:deb/debian/openssl`, `pkg:npm/left-pad@1.3.0`.
    #[arg(value_name = "CVE|PURL")]
    what: String,
    /// The gateway's data folder.
    #[arg(long, value_name = "DIR", default_value = "portcullis-data")]
    data_dir: PathBuf,
    /// Compiled advisories, as the gateway uses them; not needed for a package URL.
    #[arg(long, value_name = "FILE")]
    advisories: Option<PathBuf>,
    /// A JSON list.
    #[arg(long)]
    json: bool,
}

/// Prints to stdout.
///
/// # Errors
/// When the question cannot be read, or there is nothing to ask.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let question = Question::parse(&args.what).map_err(UsageError)?;
    if !args.data_dir.join("records.sqlite").exists() {
        let dir = args.data_dir.display();
        return Err(
            UsageError(format!("no images in `{dir}`; give the gateway's folder with --data-dir")).into()
        );
    }
    let connection = open_read_only(&args.data_dir).context("cannot open the gateway's records")?;
    let advisories = match &args.advisories {
        Some(file) => Some(
            advisories::load(file)
                .with_context(|| UsageError(format!("cannot use the advisories `{}`", file.display())))?,
        ),
        None => None,
    };
    let found = match affected(&connection, advisories.as_ref(), &question) {
        Err(error @ AffectedError::NoAdvisories(_)) => return Err(UsageError(error.to_string()).into()),
        other => other?,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else if found.is_empty() {
        println!("no stored image holds what `{}` speaks of", args.what);
    } else {
        found.iter().for_each(|one| println!("{}", line(one)));
    }
    Ok(ExitCode::SUCCESS)
}

/// `prod/app:1.2@sha256:… released: openssl 3.0.0-r0 (lib/apk/db/installed, layer 0), fixed in 3.0.1-r0`.
fn line(one: &Affected) -> String {
    let Affected { repository, tags, digest, package, path, layer, .. } = one;
    let tags = if tags.is_empty() { String::new() } else { format!(":{}", tags.join(",")) };
    let state = format!("{:?}", one.state).to_lowercase();
    let fixed = one.fixed_version.as_ref().map(|version| format!(", fixed in {version}")).unwrap_or_default();
    format!("{repository}{tags}@{digest} {state}: {package} ({path}, layer {layer}){fixed}")
}
