//! `portcullis keys list|rotate|revoke`: the keys a policy names, what each vouched for, and their end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use keys::revocation::Revoked;
use keys::trust_store::{Identity, TrustedKey};
use serde::Serialize;

use super::super::UsageError;
use crate::clock::Clock;
use crate::decisions::{Entry, Outcome};
use crate::gate::Checkpoint;
use crate::gate::policy::Policy;
use crate::policy_file::{self, edit};
use crate::records::decisions::{open_read_only, rows};

/// Images named for each key in the table; JSON names all that are kept.
const SHOWN_MAX: usize = 3;
/// Images kept for each key: the log of years would not fit into a screen or a memory.
const IMAGES_MAX: usize = 1000;
/// Rows read at once.
const BATCH: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The policy.
    #[arg(long, value_name = "FILE", default_value = "policy.toml")]
    policy: PathBuf,
    /// The gateway's data folder: tells what each key vouched for, from the decision log.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// The policy; it is changed in place, comments stay.
    #[arg(long, value_name = "FILE", default_value = "policy.toml")]
    policy: PathBuf,
    /// Whose key.
    #[arg(long, value_name = "NAME")]
    identity: String,
    /// The new public key, a file in the policy's folder or below.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// How long the old keys count beside it.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = humantime::parse_duration)]
    overlap: Duration,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Revoke {
    /// The policy; it is changed in place, comments stay.
    #[arg(long, value_name = "FILE", default_value = "policy.toml")]
    policy: PathBuf,
    /// A public key, or its id of 64 hex digits.
    #[arg(long, value_name = "FILE|ID", group = "what")]
    key: Option<String>,
    /// All that this identity vouches for.
    #[arg(long, value_name = "NAME", group = "what")]
    identity: Option<String>,
    /// A build run that certificates name.
    #[arg(long, value_name = "URL", group = "what")]
    build_run: Option<String>,
    /// One image, whoever signed it.
    #[arg(long, value_name = "DIGEST", group = "what")]
    digest: Option<String>,
    /// Only what was signed since then (2026-11-20, or with time and offset), as a log or timestamp authority proves.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Why: whoever is refused reads it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// One key of the policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    identity: String,
    key_id: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    state: String,
    /// Releases that rested on it, by the decision log; absent without `--data-dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    vouched_for: Option<Vec<String>>,
}

/// Prints every key of the policy.
pub(super) fn list(args: &List) -> anyhow::Result<ExitCode> {
    let policy = read(&args.policy)?;
    let vouched = args.data_dir.as_deref().map(vouched_for).transpose()?;
    let now = Clock::system().now();
    let listed: Vec<Listed> = listed(&policy, vouched.as_ref(), now);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(ExitCode::SUCCESS);
    }
    for key in &listed {
        println!("{}  {} {}  {}", key.identity, key.kind, key.key_id, key.state);
        if let Some(images) = &key.vouched_for {
            println!("    vouched for {} released images", images.len());
            images.iter().take(SHOWN_MAX).for_each(|image| println!("      {image}"));
        }
    }
    if listed.is_empty() {
        println!("no identity of `{}` vouches by keys", args.policy.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(policy: &Policy, vouched: Option<&BTreeMap<String, Vec<String>>>, now: i64) -> Vec<Listed> {
    let of = |identity: &Identity, key: &TrustedKey| {
        let key_id = key.key.key_id();
        Listed {
            identity: identity.name.clone(),
            kind: key.key.algorithm().to_string(),
            not_before: key.not_before.map(moment),
            not_after: key.not_after.map(moment),
            state: state(policy, identity, key, now),
            vouched_for: vouched.map(|vouched| vouched.get(&key_id).cloned().unwrap_or_default()),
            key_id,
        }
    };
    let identities = policy.trust_store().identities.iter();
    identities.flat_map(|identity| identity.keys().iter().map(move |key| of(identity, key))).collect()
}

/// In words: revoked before all else, then the window.
fn state(policy: &Policy, identity: &Identity, key: &TrustedKey, now: i64) -> String {
    let key_id = key.key.key_id();
    let revoked = policy.trust_store().revocations.iter().find(|revocation| match &revocation.of {
        Revoked::Key(id) => *id == key_id,
        Revoked::Identity(name) => *name == identity.name,
        Revoked::BuildRun(_) | Revoked::Digest(_) => false,
    });
    if let Some(revocation) = revoked {
        return revocation.to_string();
    }
    match (key.not_before, key.not_after) {
        (Some(start), _) if now < start => format!("counts from {}", moment(start)),
        (_, Some(end)) if now > end => format!("ended at {}", moment(end)),
        (_, Some(end)) => format!("counts until {}", moment(end)),
        _ => "counts".to_owned(),
    }
}

fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}

/// Images by key id, from the releases in the decision log.
fn vouched_for(data_dir: &Path) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let connection = open_read_only(data_dir)
        .with_context(|| UsageError(format!("no decision log in `{}`", data_dir.display())))?;
    let mut vouched: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut next = 1;
    loop {
        let batch = rows(&connection, next, BATCH)?;
        let Some((last, _, _)) = batch.last() else { return Ok(vouched) };
        next = last.saturating_add(1);
        for (seq, bytes, _) in &batch {
            let entry: Entry = serde_json::from_slice(bytes)
                .with_context(|| format!("row {seq} is malformed; see `portcullis log verify`"))?;
            let decision = entry.decision;
            if decision.checkpoint != Checkpoint::Release || decision.outcome != Outcome::Allowed {
                continue;
            }
            let image = format!("{}@{}", decision.repository, decision.digest);
            for key in decision.evidence.iter().filter_map(|evidence| evidence.strip_prefix("key:")) {
                let images = vouched.entry(key.to_owned()).or_default();
                if images.len() < IMAGES_MAX && !images.contains(&image) {
                    images.push(image.clone());
                }
            }
        }
    }
}

/// Adds the new key and ends the old ones.
pub(super) fn rotate(args: &Rotate) -> anyhow::Result<ExitCode> {
    let to = super::read_public_file(&args.to)?;
    let folder = args.policy.parent().unwrap_or(Path::new(""));
    let path = args.to.strip_prefix(folder).unwrap_or(&args.to);
    let path = path.to_str().with_context(|| UsageError("the key's path is no UTF-8".to_owned()))?;
    let seconds = i64::try_from(args.overlap.as_secs()).unwrap_or(i64::MAX);
    let until = moment(Clock::system().now().saturating_add(seconds));
    change(&args.policy, |text| edit::rotate(text, &args.identity, path, &until))?;
    println!("`{}` now also vouches by key {}; its other keys end at {until}", args.identity, to.key_id());
    println!(
        "next: send the gateway SIGHUP, sign with the new key, and sign again what shall outlive the overlap"
    );
    Ok(ExitCode::SUCCESS)
}

/// Appends the revocation.
pub(super) fn revoke(args: &Revoke) -> anyhow::Result<ExitCode> {
    let key;
    let of = match (&args.key, &args.identity, &args.build_run, &args.digest) {
        (Some(text), ..) => {
            let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            key = if is_id { text.clone() } else { super::read_public_file(Path::new(text))?.key_id() };
            ("key", key.as_str())
        }
        (_, Some(name), ..) => ("identity", name.as_str()),
        (_, _, Some(run), _) => ("build-run", run.as_str()),
        (.., Some(digest)) => ("digest", digest.as_str()),
        _ => return Err(UsageError("say what is revoked: `--key`, `--identity`, …".to_owned()).into()),
    };
    change(&args.policy, |text| edit::revoke(text, of, args.since.as_deref(), &args.reason))?;
    println!("{} `{}` is revoked in `{}`: {}", of.0, of.1, args.policy.display(), args.reason);
    println!("next: send the gateway SIGHUP; from then on it refuses whatever rests on it, at every door");
    Ok(ExitCode::SUCCESS)
}

/// Changes the policy if the result is a policy: what a running gateway would not take up is not written.
fn change(path: &Path, edit: impl FnOnce(&str) -> Result<String, edit::EditError>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| UsageError(format!("cannot read the policy `{}`", path.display())))?;
    let changed = edit(&text).map_err(|error| UsageError(error.to_string()))?;
    policy_file::replace(path, &changed).map_err(|error| UsageError(error.to_string()))?;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Policy> {
    Ok(policy_file::read(path).map_err(|error| UsageError(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use keys::keyring::{NewKey, generate};

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["old", "new"] {
            let key = generate(NewKey::EcdsaP256).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pub")), key.public_key().to_pem()).unwrap();
        }
        let text = "# ours\n[[identity]]\nname = \"release\"\ncosign = { key = \"old.pub\" }\n\n\
                    [[rule]]\nimages = [\"**\"]\nsignatures = { require = [[\"release\"]] }\n";
        std::fs::write(folder.path().join("policy.toml"), text).unwrap();
        folder
    }

    #[test]
    fn a_key_lives_through_rotation_to_its_revocation() {
        let folder = folder();
        let policy = folder.path().join("policy.toml");
        let states = || -> Vec<String> {
            let now = Clock::system().now();
            listed(&read(&policy).unwrap(), None, now).into_iter().map(|key| key.state).collect()
        };
        assert_eq!(states(), ["counts"]);
        let to = folder.path().join("new.pub");
        let overlap = Duration::from_secs(3600);
        let rotation = Rotate { policy: policy.clone(), identity: "release".into(), to, overlap };
        rotate(&rotation).unwrap();
        assert!(
            matches!(states().as_slice(), [old, new] if old.starts_with("counts until") && new == "counts")
        );
        assert!(rotate(&rotation).unwrap_err().is::<UsageError>(), "the key is there already");
        let revocation = |key: Option<&str>, identity: Option<&str>, since: Option<&str>| Revoke {
            policy: policy.clone(),
            key: key.map(str::to_owned),
            identity: identity.map(str::to_owned),
            build_run: None,
            digest: None,
            since: since.map(str::to_owned),
            reason: "leaked".into(),
        };
        let old = folder.path().join("old.pub");
        revoke(&revocation(old.to_str(), None, Some("2026-11-20"))).unwrap();
        assert!(states()[0].contains("is revoked for what was signed from 2026-11-20"), "{:?}", states());
        let before = std::fs::read_to_string(&policy).unwrap();
        for broken in [
            revocation(None, Some("nobody"), None),
            revocation(Some(&"Z".repeat(64)), None, None),
            revocation(None, Some("release"), Some("yesterday")),
        ] {
            assert!(revoke(&broken).unwrap_err().is::<UsageError>());
        }
        assert_eq!(std::fs::read_to_string(&policy).unwrap(), before, "nothing is written");
        assert!(before.starts_with("# ours\n"));
    }
}
