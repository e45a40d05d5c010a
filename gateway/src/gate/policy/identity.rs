//! `[[identity]]`: who may vouch.

use std::collections::{BTreeMap, BTreeSet};

use keys::notary::NotaryTrust;
use keys::notation::NotationTrust;
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustedKey, Vouches};
use serde::Serialize;

use super::keyless::Keyless;
use super::reader::{Entry, Mistakes, Section};
use super::trust_root::RestsOn;
use super::values::WholeDay;
use super::{KeyFiles, keyless, notary, notation};

/// An identity, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdentitySummary {
    /// The name that rules use.
    pub name: String,
    /// Who is counted.
    pub principal: String,
    /// SHA-256 of each public key (SubjectPublicKeyInfo, DER), hex.
    pub key_ids: Vec<String>,
    /// Whose certificates count, and what they rest on; for an identity without keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Which `[[trust-root]]` those certificates rest on.
    #[serde(skip)]
    pub(super) rests_on: Option<RestsOn>,
}

pub(super) fn parse(
    mut section: Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<(Identity, IdentitySummary)> {
    let name = section.require("name", "rules refer to it: `name = \"release\"`", mistakes);
    let name = name.and_then(|entry| entry.line(mistakes));
    let principal = section.take("principal").and_then(|entry| entry.line(mistakes));
    let signs = parse_signs(&mut section, key_files, mistakes);
    let (not_before, not_after) = parse_window(&mut section, mistakes);
    if let (Some(Signs::Keyless(..) | Signs::Notary(..) | Signs::Notation(..)), true) =
        (&signs, not_before.or(not_after).is_some())
    {
        let hint = "certificates, and the trusted root, say when they are valid";
        mistakes.note(&section.place, "`not-before` and `not-after` are for keys", hint);
    }
    section.finish(mistakes);
    let (name, signs) = (name?, signs?);
    let principal = principal.unwrap_or_else(|| name.clone());
    let mut summary = IdentitySummary {
        name: name.clone(),
        principal: principal.clone(),
        key_ids: Vec::new(),
        certificate: None,
        rests_on: None,
    };
    let (vouches, claims) = match signs {
        Signs::Cosign(keys, claims) => {
            summary.key_ids = keys.iter().map(|trusted| trusted.key.key_id()).collect();
            // A key's own window lies within the identity's.
            let trusted = |key: TrustedKey| TrustedKey {
                not_before: key.not_before.max(not_before),
                not_after: [key.not_after, not_after].into_iter().flatten().min(),
                ..key
            };
            (Vouches::Keys(keys.into_iter().map(trusted).collect()), claims)
        }
        Signs::Keyless(Keyless { trust, shown, rests_on }, claims) => {
            (summary.certificate, summary.rests_on) = (Some(shown), rests_on);
            (Vouches::Certificate(Box::new(trust)), claims)
        }
        Signs::Notary(trust, shown) => {
            summary.certificate = Some(shown);
            let claims = Claims { repository_match: RepositoryMatch::Any, annotations: BTreeMap::new() };
            (Vouches::Notary(Box::new(trust)), claims)
        }
        Signs::Notation(trust, shown, annotations) => {
            summary.certificate = Some(shown);
            let claims = Claims { repository_match: RepositoryMatch::Any, annotations };
            (Vouches::Notation(Box::new(trust)), claims)
        }
    };
    let Claims { repository_match, annotations } = claims;
    let identity = Identity { name, principal: Some(principal), vouches, repository_match, annotations };
    Some((identity, summary))
}

/// The one way in which the identity signs.
enum Signs {
    Cosign(Vec<TrustedKey>, Claims),
    Keyless(Keyless, Claims),
    Notary(NotaryTrust, String),
    Notation(NotationTrust, String, BTreeMap<String, String>),
}

/// What must stand in the signed payload besides the digest.
struct Claims {
    repository_match: RepositoryMatch,
    annotations: BTreeMap<String, String>,
}

fn parse_signs(
    section: &mut Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Signs> {
    let (notation, notary) = (section.take("notation"), section.take("notary"));
    let ways = (section.take("cosign"), section.take("keyless"));
    let others = [&ways.0, &ways.1, &notary].into_iter().flatten().count();
    if let (Some(entry), true) =
        (notation.as_ref().or(notary.as_ref()), others + usize::from(notation.is_some()) > 1)
    {
        let hint = "give the other way an identity of its own, with the same `principal`";
        mistakes.note(&entry.place, "an identity signs one way, and another is there too", hint);
    }
    match ways {
        (None, None) if notary.is_some() => {
            let (trust, shown) = notary::parse(notary?.section(mistakes)?, key_files, mistakes)?;
            Some(Signs::Notary(trust, shown))
        }
        (None, None) if notation.is_some() => {
            let section = notation?.section(mistakes)?;
            let (trust, shown, annotations) = notation::parse(section, key_files, mistakes)?;
            Some(Signs::Notation(trust, shown, annotations))
        }
        (Some(entry), None) => parse_cosign(entry.section(mistakes)?, key_files, mistakes),
        (None, Some(entry)) => {
            let mut section = entry.section(mistakes)?;
            let claims = parse_claims(&mut section, mistakes);
            let keyless = keyless::parse(section, key_files, mistakes)?;
            Some(Signs::Keyless(keyless, claims?))
        }
        (Some(cosign), Some(keyless)) => {
            // Both are read, so that their mistakes are told too.
            let hint = "give the other way an identity of its own, with the same `principal`";
            mistakes.note(&keyless.place, "an identity signs one way, and `cosign` is there too", hint);
            parse_cosign(cosign.section(mistakes)?, key_files, mistakes);
            None
        }
        (None, None) => {
            let hint = "`cosign = { key = \"keys/release.pub\" }`, or `keyless = { issuer = \"…\", subject = \"…\", roots = \"trusted_root.json\" }`, `notation = { store = \"certs/vendor\", subject = \"C=US, O=Vendor\" }`, or `notary = { root-keys = [\"5f3a…\"] }`";
            mistakes.note(&section.place, "it does not say how it signs", hint);
            None
        }
    }
}

fn parse_cosign(
    mut section: Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Signs> {
    let one = section.take("key");
    let many = section.take("keys");
    let place = section.place.clone();
    let paths = match (one, many) {
        (Some(entry), None) => vec![entry],
        (None, Some(entry)) => entry.list(mistakes)?,
        _ => Vec::new(),
    };
    if paths.is_empty() {
        let hint = "name one file, `key = \"keys/release.pub\"`, or several of which each suffices, `keys = [\"a.pub\", \"b.pub\"]`";
        mistakes.note(&place, "needs either `key` or `keys`", hint);
    }
    let keys: Vec<TrustedKey> =
        paths.iter().filter_map(|entry| read_trusted_key(entry, key_files, mistakes)).collect();
    let claims = parse_claims(&mut section, mistakes);
    section.finish(mistakes);
    (!keys.is_empty() && keys.len() == paths.len()).then_some(())?;
    Some(Signs::Cosign(keys, claims?))
}

fn parse_claims(section: &mut Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Claims> {
    let repository_match = match section.take("repository") {
        Some(entry) => parse_repository_match(&entry, mistakes),
        None => Some(RepositoryMatch::Any),
    };
    let annotations = match section.take("annotations") {
        Some(entry) => parse_annotations(&entry, mistakes)?,
        None => BTreeMap::new(),
    };
    Some(Claims { repository_match: repository_match?, annotations })
}

/// A path, or a path with a window of its own: `{ file = "keys/old.pub", not-after = 2027-01-31 }`.
fn read_trusted_key(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<TrustedKey> {
    if !entry.value.is_table() {
        let key = read_key(entry, key_files, mistakes)?;
        return Some(TrustedKey { key, not_before: None, not_after: None });
    }
    let mut section = entry.section(mistakes)?;
    let file = section.require("file", "name the public key: `file = \"keys/release.pub\"`", mistakes);
    let key = file.and_then(|file| read_key(&file, key_files, mistakes));
    let (not_before, not_after) = parse_window(&mut section, mistakes);
    section.finish(mistakes);
    Some(TrustedKey { key: key?, not_before, not_after })
}

/// `not-before` and `not-after`, both inclusive.
fn parse_window(section: &mut Section<'_>, mistakes: &mut Mistakes<'_>) -> (Option<i64>, Option<i64>) {
    let not_before = section.take("not-before").and_then(|entry| entry.moment(WholeDay::FromStart, mistakes));
    let not_after = section.take("not-after").and_then(|entry| entry.moment(WholeDay::ToEnd, mistakes));
    if let (Some(start), Some(end)) = (not_before, not_after)
        && start > end
    {
        let hint = "such a key can never vouch; swap them";
        mistakes.note(&section.place, "`not-before` lies after `not-after`", hint);
    }
    (not_before, not_after)
}

/// Far more than any public key in PEM needs.
const KEY_FILE_BYTES_MAX: usize = 64 << 10;

fn read_key(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<PublicKey> {
    let path = entry.line(mistakes)?;
    let bytes = match key_files.read(&path) {
        Ok(bytes) if bytes.len() <= KEY_FILE_BYTES_MAX => bytes,
        Ok(bytes) => {
            let problem = format!("`{path}` has {} bytes, too many for a public key", bytes.len());
            mistakes.note(&entry.place, problem, "name the file with the PEM public key");
            return None;
        }
        Err(error) => {
            let hint = "the path is relative to the policy file; `portcullis keys generate` makes a pair";
            mistakes.note(&entry.place, format!("cannot read `{path}`: {error}"), hint);
            return None;
        }
    };
    match parse_public_key(&bytes) {
        Ok(key) => Some(key),
        Err(problem) => {
            let hint = "it must hold one `-----BEGIN PUBLIC KEY-----` block, as `cosign.pub` does";
            mistakes.note(&entry.place, format!("`{path}`: {problem}"), hint);
            None
        }
    }
}

fn parse_public_key(bytes: &[u8]) -> Result<PublicKey, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    PublicKey::from_pem(text).map_err(|error| error.to_string())
}

fn parse_repository_match(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<RepositoryMatch> {
    if entry.value.is_str() {
        let exact = entry.word(&[("any", false), ("exact", true)], mistakes)?;
        return Some(if exact { RepositoryMatch::Exact } else { RepositoryMatch::Any });
    }
    let mut section = entry.section(mistakes)?;
    let hint = "write `repository = { prefix = \"registry.example/mirror\", signed-prefix = \"upstream.example/team\" }`";
    let prefix = section.require("prefix", hint, mistakes).and_then(|entry| entry.line(mistakes));
    let signed_prefix =
        section.require("signed-prefix", hint, mistakes).and_then(|entry| entry.line(mistakes));
    section.finish(mistakes);
    Some(RepositoryMatch::Remap { prefix: prefix?, signed_prefix: signed_prefix? })
}

pub(super) fn parse_annotations(
    entry: &Entry<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<BTreeMap<String, String>> {
    let section = entry.section(mistakes)?;
    let mut annotations = BTreeMap::new();
    for (name, value) in section.entries() {
        annotations.insert(name.to_owned(), value.text(mistakes)?.to_owned());
    }
    Some(annotations)
}

/// All names. Two identities of one name would let a rule mean either.
pub(super) fn names(sections: &[Section<'_>], mistakes: &mut Mistakes<'_>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for section in sections {
        for (key, entry) in section.entries() {
            if let ("name", Some(name)) = (key, entry.value.as_str())
                && !seen.insert(name.trim().to_owned())
            {
                let hint = "give each identity its own name, or list several keys in one";
                mistakes.note(&entry.place, format!("`{name}` is the name of another identity too"), hint);
            }
        }
    }
    seen
}
