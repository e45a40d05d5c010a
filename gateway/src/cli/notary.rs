//! `portcullis notary …`: brings the metadata of Notary v1 (Docker content trust) into a registry, shows what it says,
//! and signs anew what it vouches for.

pub mod import;
pub mod resign;
pub mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use keys::notary::{Collection, Document, Lookup, Repository, Role, RootPin, Seen, unverified};

use super::UsageError;
use crate::clock::Clock;

/// Notary v1 (Docker content trust): import metadata into a registry, show it, sign anew what it vouches for.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Import(import::Import),
    Resign(resign::Resign),
    Show(show::Show),
}

/// Runs the chosen one.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Import(import) => import::run(&import),
        Action::Resign(resign) => resign::run(&resign),
        Action::Show(show) => show::run(&show),
    }
}

/// Whom to believe.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Trust")]
pub(super) struct PinArgs {
    /// Id of a root key, as `notary key list` or `portcullis notary show` prints it. May be repeated; each suffices.
    #[arg(long = "notary-root-key", value_name = "ID", conflicts_with = "notary_root")]
    pub(super) notary_root_keys: Vec<String>,
    /// Authorities that issue root certificates (PEM), instead.
    #[arg(long, value_name = "FILE")]
    pub(super) notary_root: Option<PathBuf>,
    /// The repository's name with its signers, where it is another than its name in the registry.
    #[arg(long = "notary-gun", value_name = "GUN")]
    pub(super) notary_gun: Option<String>,
    /// Role whose word counts: `targets/releases`. May be repeated; the first that signs a tag answers. Without it
    /// `targets` and then its delegations are searched.
    #[arg(long = "notary-role", value_name = "ROLE")]
    notary_roles: Vec<String>,
}

impl PinArgs {
    /// The pin, if one was given.
    pub(super) fn pin(&self) -> anyhow::Result<Option<RootPin>> {
        if let Some(file) = &self.notary_root {
            let shown = file.display();
            let pem = std::fs::read(file)
                .with_context(|| UsageError(format!("cannot read the authorities `{shown}`")))?;
            let pin = RootPin::from_authorities_pem(&pem);
            return Ok(Some(pin.with_context(|| UsageError(format!("`{shown}` pins nobody")))?));
        }
        if self.notary_root_keys.is_empty() {
            return Ok(None);
        }
        let pin = RootPin::from_key_ids(&self.notary_root_keys);
        Ok(Some(pin.with_context(|| UsageError("`--notary-root-key` pins nobody".to_owned()))?))
    }

    /// Whose word counts.
    pub(super) fn lookup(&self) -> anyhow::Result<Lookup> {
        if self.notary_roles.is_empty() {
            return Ok(Lookup::PreOrder);
        }
        let role = |name: &String| {
            Role::parse(name)
                .with_context(|| UsageError(format!("`--notary-role {name}`: write `targets/releases`")))
        };
        Ok(Lookup::Any(self.notary_roles.iter().map(role).collect::<anyhow::Result<_>>()?))
    }
}

/// Verifies without memory of what was seen before: that is the gate's.
fn verified(collection: &Collection, gun: &str, pin: &RootPin) -> anyhow::Result<Repository> {
    let verified = collection.verify(gun, pin, Seen::default(), Clock::system().now());
    let (repository, _) = verified.with_context(|| format!("the metadata of `{gun}` does not verify"))?;
    Ok(repository)
}

/// The root keys that a collection comes with, for a pin that believes them: to be shown, and for nothing else.
fn own_keys(collection: &Collection) -> anyhow::Result<Vec<unverified::RootKey>> {
    let root = collection.file(&Document::Root).context("`root.json` is missing")?;
    Ok(unverified::root_keys(root)?)
}
