//! `notary = { … }`: a pinned root of Notary v1 (Docker content trust), and whose word counts below it.

use keys::notary::{Gun, Lookup, NotaryTrust, Role, RootPin};

use super::KeyFiles;
use super::reader::{Entry, Mistakes, Section};

/// More pinned keys, or roles, than this are a mistake: each role must be there and is verified.
const LIST_MAX: usize = 64;

const PIN_HINT: &str = "pin the authority that issues root certificates, `root = \"notary-ca.pem\"`, or the root keys by id, as `notary key list` prints them, `root-keys = [\"5f3a…\"]`";

const FIRST_USE_HINT: &str = "whoever answers first would decide whom to believe, for ever after; pin the root: `root-keys = [\"5f3a…\"]` with the ids that `notary key list` prints, or `root = \"notary-ca.pem\"`";

const ROLES_HINT: &str = "Docker's clients sign in `targets/releases`, others in `targets`: `roles = [\"targets/releases\", \"targets\"]`";

/// Whom to trust, and a line about it for people.
pub(super) fn parse(
    mut section: Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<(NotaryTrust, String)> {
    for key in ["tofu", "trust-on-first-use", "trust-pinning"] {
        section.refuse(key, "a root is never trusted for being the first one seen", FIRST_USE_HINT, mistakes);
    }
    section.refuse("annotations", "Notary v1 signs no annotations", "name roles instead", mistakes);
    let hint = "name the repository with `gun` instead";
    section.refuse("repository", "the root is made out to a repository already", hint, mistakes);
    let pin = parse_pin(&mut section, key_files, mistakes);
    let gun = section.take("gun").map_or(Some(Gun::Own), |entry| parse_gun(&entry, mistakes));
    let (any, all) = (section.take("roles"), section.take("all-roles"));
    let lookup = match (any, all) {
        (Some(_), Some(entry)) => {
            let hint = "`roles`: the first of them that signs the tag answers; `all-roles`: every one of them must, for the same image";
            mistakes.note(&entry.place, "`roles` is there too, and only one of the two can be meant", hint);
            None
        }
        (Some(entry), None) => parse_roles(&entry, mistakes).map(Lookup::Any),
        (None, Some(entry)) => parse_roles(&entry, mistakes).map(Lookup::All),
        (None, None) => Some(Lookup::PreOrder),
    };
    section.finish(mistakes);
    let (pin, gun, lookup) = (pin?, gun?, lookup?);
    let shown = shown(&pin, &gun, &lookup);
    Some((NotaryTrust { pin, gun, lookup }, shown))
}

fn parse_pin(
    section: &mut Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<RootPin> {
    match (section.take("root"), section.take("root-keys")) {
        (None, None) => {
            mistakes.note(&section.place, "it pins no root", PIN_HINT);
            None
        }
        (Some(_), Some(entry)) => {
            let problem = "`root` is there too, and only one of the two can be meant";
            mistakes.note(&entry.place, problem, PIN_HINT);
            None
        }
        (Some(entry), None) => {
            let path = entry.line(mistakes)?;
            let bytes = key_files.read(&path).map_err(|error| format!("cannot read `{path}`: {error}"));
            let pin = bytes.and_then(|bytes| {
                RootPin::from_authorities_pem(&bytes).map_err(|error| format!("`{path}`: {error}"))
            });
            pin.map_err(|problem| mistakes.note(&entry.place, problem, PIN_HINT)).ok()
        }
        (None, Some(entry)) => {
            let ids = texts(&entry, PIN_HINT, mistakes)?;
            let pin = RootPin::from_key_ids(&ids);
            pin.map_err(|error| mistakes.note(&entry.place, error.to_string(), PIN_HINT)).ok()
        }
    }
}

fn parse_gun(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Gun> {
    if entry.value.is_str() {
        return entry.line(mistakes).map(Gun::Is);
    }
    let mut section = entry.section(mistakes)?;
    let hint = "write `gun = { prefix = \"registry.example/mirror\", signed-prefix = \"docker.io/library\" }`, or the name itself";
    let prefix = section.require("prefix", hint, mistakes).and_then(|entry| entry.line(mistakes));
    let signed_prefix =
        section.require("signed-prefix", hint, mistakes).and_then(|entry| entry.line(mistakes));
    section.finish(mistakes);
    Some(Gun::Remap { prefix: prefix?, signed_prefix: signed_prefix? })
}

fn parse_roles(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<Role>> {
    let names = texts(entry, ROLES_HINT, mistakes)?;
    let role = |name: &String| {
        let problem = || format!("`{name}` is no role that signs tags");
        Role::parse(name).ok_or_else(|| mistakes.note(&entry.place, problem(), ROLES_HINT)).ok()
    };
    names.iter().map(role).collect()
}

/// One text, or a list of 1 to [`LIST_MAX`].
fn texts(entry: &Entry<'_>, hint: &str, mistakes: &mut Mistakes<'_>) -> Option<Vec<String>> {
    let entries = entry.list(mistakes)?;
    if entries.is_empty() || entries.len() > LIST_MAX {
        let problem = format!("the list has {} entries, expected 1 to {LIST_MAX}", entries.len());
        mistakes.note(&entry.place, problem, hint);
        return None;
    }
    entries.iter().map(|entry| entry.line(mistakes)).collect()
}

fn shown(pin: &RootPin, gun: &Gun, lookup: &Lookup) -> String {
    let pin = match pin {
        RootPin::Authorities(authorities) => format!("certified by {} pinned authorities", authorities.len()),
        RootPin::Certificates(ids) => format!("of {} pinned root keys", ids.len()),
    };
    let gun = match gun {
        Gun::Is(gun) => format!(" for `{gun}`"),
        Gun::Own => String::new(),
        Gun::Remap { prefix, signed_prefix } => format!(" for `{signed_prefix}…` instead of `{prefix}…`"),
    };
    let names = |roles: &[Role]| roles.iter().map(Role::as_str).collect::<Vec<_>>().join(", ");
    let roles = match lookup {
        Lookup::All(roles) => format!("all of {}", names(roles)),
        Lookup::Any(roles) => format!("the first of {}", names(roles)),
        Lookup::PreOrder => "any role".to_owned(),
    };
    format!("Notary v1, {pin}{gun}, {roles}")
}
