//! `[[account]]` sections and the htpasswd file → accounts with grants.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::values::Values;
use crate::access::{AccountConfig, Action, Grants, PasswordHash, RepositoryPattern};

/// Accounts in one configuration: each password hash is a few hundred bytes, and names are looked up by hash.
const ACCOUNTS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AccountEntry {
    name: String,
    password_hash: Option<String>,
    #[serde(default)]
    grants: Vec<GrantEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantEntry {
    repositories: Vec<String>,
    actions: Vec<Action>,
}

/// What callers without credentials may do.
pub(super) fn anonymous(pull: &[String], push_dangerous: &[String], values: &mut Values<'_>) -> Grants {
    let mut grants = Grants::default();
    add(&mut grants, pull, Action::Pull, "access.anonymous-pull", values);
    add(&mut grants, push_dangerous, Action::Push, "access.allow-anonymous-push-DANGEROUS", values);
    grants
}

/// All accounts. Names in the htpasswd file that have no account here become consumers like anonymous callers.
pub(super) fn read(htpasswd: Option<&Path>, pull: &[String], values: &mut Values<'_>) -> Vec<AccountConfig> {
    let mut passwords = htpasswd.map(|path| read_htpasswd(path, values)).unwrap_or_default();
    let entries = values.accounts();
    if entries.len().saturating_add(passwords.len()) > ACCOUNTS_MAX {
        values.note("account", format!("more than {ACCOUNTS_MAX} accounts"), "fewer");
        return Vec::new();
    }
    let mut accounts = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let place = format!("account[{index}]");
        match entry.try_into::<AccountEntry>() {
            Ok(entry) => accounts.push(account(entry, &mut passwords, &place, values)),
            Err(error) => {
                let right = "`name`, `password-hash` and `grants = [{ repositories = […], actions = […] }]`";
                values.note(&place, error.message().to_owned(), right);
            }
        }
    }
    for (name, hash) in passwords {
        let mut grants = Grants::default();
        add(&mut grants, pull, Action::Pull, "access.anonymous-pull", values);
        accounts.push(AccountConfig { name, password: Some(hash), grants });
    }
    accounts
}

fn account(
    entry: AccountEntry,
    passwords: &mut BTreeMap<String, PasswordHash>,
    place: &str,
    values: &mut Values<'_>,
) -> AccountConfig {
    let mut grants = Grants::default();
    for grant in &entry.grants {
        let Some(highest) = grant.actions.iter().max() else {
            values.note(place, "a grant without actions".to_owned(), "`pull`, `sign`, `push` or `admin`");
            continue;
        };
        add(&mut grants, &grant.repositories, *highest, place, values);
    }
    let from_file = passwords.remove(&entry.name);
    let password = match entry.password_hash.as_deref().map(PasswordHash::parse) {
        Some(Ok(hash)) => Some(hash),
        Some(Err(error)) => {
            values.note(
                &format!("{place}.password-hash"),
                error.to_string(),
                "as `htpasswd -nB NAME` prints it",
            );
            None
        }
        None => from_file,
    };
    if password.is_none() && entry.password_hash.is_none() {
        let problem = format!("`{}` has no password", entry.name);
        values.note(place, problem, "`password-hash`, or a line in the htpasswd file");
    }
    AccountConfig { name: entry.name, password, grants }
}

fn add(grants: &mut Grants, patterns: &[String], highest: Action, place: &str, values: &mut Values<'_>) {
    for pattern in patterns {
        match RepositoryPattern::parse(pattern) {
            Ok(pattern) => grants.add(pattern, highest),
            Err(error) => values.note(place, error.to_string(), "a repository pattern such as `prod/**`"),
        }
    }
}

fn read_htpasswd(path: &Path, values: &mut Values<'_>) -> BTreeMap<String, PasswordHash> {
    let place = path.display().to_string();
    let mut passwords = BTreeMap::new();
    let text = match super::read_text(path) {
        Ok(text) => text,
        Err(error) => {
            values.note("access.htpasswd", format!("`{place}`: {error}"), "a readable file");
            return passwords;
        }
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{place}, line {}", index + 1);
        let Some((name, hash)) = line.split_once(':') else {
            values.note(&place, "no colon".to_owned(), "`name:hash`");
            continue;
        };
        match PasswordHash::parse(hash.trim()) {
            Ok(hash) => {
                if passwords.insert(name.to_owned(), hash).is_some() {
                    values.note(&place, format!("`{name}` stands here twice"), "one line a name");
                }
            }
            Err(error) => values.note(&place, error.to_string(), "as `htpasswd -nB NAME` prints it"),
        }
    }
    passwords
}
