//! `notation = { … }`: certificates of authorities that the operator keeps, as the Notary Project signs with them.
//!
//! Either said here, or imported from a `trustpolicy.json` and a trust store as the `notation` client lays them out.

use std::collections::BTreeMap;
use std::io;

use keys::limits::CRLS_MAX;
use keys::notation::{Level, NotationTrust, TrustPolicy, TrustStores};
use keys::x509::{Certificate, DistinguishedName, OcspResponse, RevocationList};

use super::KeyFiles;
use super::identity::parse_annotations;
use super::reader::{Entry, Mistakes, Section};

/// Files of one store; each is read and kept.
const STORE_FILES_MAX: usize = 256;

const STORE_HINT: &str = "name a folder of certificates or one PEM file: `store = \"certs/vendor\"`";

const SUBJECT_HINT: &str = "whose certificates count: `subject = \"C=US, ST=WA, O=Vendor\"`, or `any-unsafe` for everybody whom the authorities certify";

/// Which stores an identity may name, and the kind that each is for notation.
const STORES: [(&str, &str); 3] = [
    ("store", "ca:store"),
    ("authority-store", "signingAuthority:authority-store"),
    (TIMESTAMP_STORE, "tsa:timestamp-store"),
];

const TIMESTAMP_STORE: &str = "timestamp-store";

/// Whom to trust, a line about it for people, and the annotations that must be signed.
pub(super) fn parse(
    mut section: Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<(NotationTrust, String, BTreeMap<String, String>)> {
    let annotations = match section.take("annotations") {
        Some(entry) => parse_annotations(&entry, mistakes),
        None => Some(BTreeMap::new()),
    };
    let hint = "limit the rule's `images` instead";
    section.refuse("repository", "notation signs no repository name", hint, mistakes);
    let lists = match section.take("crls") {
        Some(entry) => read_lists(&entry, key_files, mistakes),
        None => Some(Vec::new()),
    };
    let responses = match section.take("ocsp") {
        Some(entry) => read_responses(&entry, key_files, mistakes),
        None => Some(Vec::new()),
    };
    let trust = match section.take("trustpolicy") {
        Some(entry) => imported(&mut section, &entry, key_files, mistakes),
        None => written(&mut section, key_files, mistakes),
    };
    section.finish(mistakes);
    let (mut trust, shown) = trust?;
    lists?.into_iter().for_each(|list| trust.stores.add_list(list));
    responses?.into_iter().for_each(|response| trust.stores.add_response(response));
    Some((trust, shown, annotations?))
}

/// Answers of OCSP responders, each a file as it was sent.
fn read_responses(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<OcspResponse>> {
    let paths = paths(entry, mistakes)?;
    if paths.len() > CRLS_MAX {
        let problem = format!("{} responses, more than {CRLS_MAX}", paths.len());
        mistakes.note(&entry.place, problem, "name those of certificates in use");
        return None;
    }
    let response = |(entry, path): &(Entry<'_>, String)| {
        let bytes = read(entry, path, key_files, mistakes)?;
        let hint = "fetch it: `openssl ocsp -issuer ca.pem -cert signer.pem -url … -respout FILE -no_nonce`";
        OcspResponse::from_der(&bytes)
            .map_err(|error| mistakes.note(&entry.place, format!("`{path}`: {error}"), hint))
            .ok()
    };
    paths.iter().map(response).collect()
}

/// Certificate revocation lists, whole ones, each a file.
fn read_lists(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<RevocationList>> {
    let paths = paths(entry, mistakes)?;
    if paths.len() > CRLS_MAX {
        let problem = format!("{} lists, more than {CRLS_MAX}", paths.len());
        mistakes.note(&entry.place, problem, "give the authorities identities of their own");
        return None;
    }
    let list = |(entry, path): &(Entry<'_>, String)| {
        let bytes = read(entry, path, key_files, mistakes)?;
        let list = RevocationList::from_file(&bytes);
        let hint = "it must be one whole list of one issuer, DER or PEM";
        list.map_err(|error| mistakes.note(&entry.place, format!("`{path}`: {error}"), hint)).ok()
    };
    paths.iter().map(list).collect()
}

/// `store` and `subject`, in the policy itself.
fn written(
    section: &mut Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<(NotationTrust, String)> {
    let mut stores = TrustStores::default();
    let mut named = Vec::new();
    let mut count = Some(0usize);
    for (key, store) in STORES {
        let Some(entry) = section.take(key) else { continue };
        named.push(store);
        let added = paths(&entry, mistakes).and_then(|paths| {
            let added = paths.iter().map(|path| read_store(path, store, &mut stores, key_files, mistakes));
            added.collect::<Option<Vec<_>>>()
        });
        count = count.zip(added).map(|(count, added)| count + added.iter().sum::<usize>());
    }
    let has_timestamps = named.contains(&STORES[2].1);
    if named.len() == usize::from(has_timestamps) {
        named.clear();
        mistakes.note(&section.place, "`store` is missing", STORE_HINT);
    }
    let subject = section.require("subject", SUBJECT_HINT, mistakes);
    let subject = subject.and_then(|entry| parse_subject(&entry, mistakes));
    let levels = [("strict", Level::STRICT), ("permissive", Level::PERMISSIVE)];
    let level = section.take("level");
    let level = level.map_or(Some(Level::STRICT), |entry| entry.word(&levels, mistakes));
    let timestamps = section.take("timestamps");
    if let (Some(entry), false) = (&timestamps, has_timestamps) {
        let hint = "name who states times: `timestamp-store = \"certs/tsa\"`";
        mistakes.note(&entry.place, "there is no `timestamp-store` to verify timestamps with", hint);
    }
    let words = [("always", false), ("after-expiry", true)];
    let after_expiry_only = timestamps.map_or(Some(false), |entry| entry.word(&words, mistakes))?;
    let (count, identities, level) = (count.filter(|_| !named.is_empty())?, subject?, level?);
    let whose = identities.first().map_or_else(|| "anybody".to_owned(), ToString::to_string);
    let word = if level == Level::STRICT { "strict" } else { "permissive" };
    let shown = format!("notation, {whose}, certified by {count} trusted certificates, {word}");
    let policy = TrustPolicy::for_all_repositories("policy", level, &named, identities, after_expiry_only);
    Some((NotationTrust { policy, stores }, shown))
}

/// A trust policy document, and the folder that holds `x509/TYPE/NAME/…`.
fn imported(
    section: &mut Section<'_>,
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<(NotationTrust, String)> {
    let hint = "the folder that holds `x509/ca/…`: `stores = \"notation/truststore\"`";
    let folder = section.require("stores", hint, mistakes).and_then(|entry| {
        let path = entry.line(mistakes)?;
        Some((entry, path))
    });
    let path = entry.line(mistakes)?;
    let bytes = read(entry, &path, key_files, mistakes)?;
    let policy = TrustPolicy::parse(&bytes);
    let hint = "it must be a `trustpolicy.json` of version 1.0, as `notation policy show` prints it";
    let policy =
        policy.map_err(|error| mistakes.note(&entry.place, format!("`{path}`: {error}"), hint)).ok()?;
    let (place, folder) = folder?;
    let mut stores = TrustStores::default();
    let mut names: Vec<&str> = policy.stores().collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let Some((kind, rest)) = name.split_once(':') else { continue };
        let place = Entry { place: place.place.clone(), value: place.value };
        let store = (place, format!("{}/x509/{kind}/{rest}", folder.trim_end_matches('/')));
        read_store(&store, name, &mut stores, key_files, mistakes)?;
    }
    Some((NotationTrust { policy, stores }, format!("notation, as `{path}` says")))
}

/// One path, or a list of them.
fn paths<'a>(entry: &Entry<'a>, mistakes: &mut Mistakes<'_>) -> Option<Vec<(Entry<'a>, String)>> {
    let entries = match entry.value.is_array() {
        true => entry.list(mistakes)?,
        false => vec![Entry { place: entry.place.clone(), value: entry.value }],
    };
    if entries.is_empty() {
        mistakes.note(&entry.place, "an empty list names no store", STORE_HINT);
        return None;
    }
    let path = |entry: Entry<'a>| {
        let path = entry.line(mistakes)?;
        Some((entry, path))
    };
    entries.into_iter().map(path).collect()
}

fn parse_subject(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<DistinguishedName>> {
    let text = entry.line(mistakes)?;
    match text.as_str() {
        "any-unsafe" => return Some(Vec::new()),
        "*" => {
            let problem = "`*` counts everybody whom the authorities certify";
            mistakes.note(&entry.place, problem, "if that is meant, write `any-unsafe`");
            return None;
        }
        _ => {}
    }
    match DistinguishedName::parse(&text) {
        Ok(name) if name.has("O") || name.has("CN") => Some(vec![name]),
        Ok(_) => {
            mistakes.note(&entry.place, format!("`{text}` has neither `O` nor `CN`"), SUBJECT_HINT);
            None
        }
        Err(error) => {
            mistakes.note(&entry.place, error.to_string(), SUBJECT_HINT);
            None
        }
    }
}

/// Reads a file, or every file of a folder, into a store; answers how many certificates that were.
fn read_store(
    (entry, path): &(Entry<'_>, String),
    store: &str,
    stores: &mut TrustStores,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<usize> {
    let files = match key_files.read(path) {
        Ok(bytes) => vec![(path.clone(), bytes)],
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let folder = format!("{}/", path.trim_end_matches('/'));
            let names = String::from_utf8(read(entry, &folder, key_files, mistakes)?).unwrap_or_default();
            let names: Vec<&str> = names.lines().collect();
            if names.is_empty() || names.len() > STORE_FILES_MAX {
                let problem =
                    format!("`{path}` holds {} files, expected 1 to {STORE_FILES_MAX}", names.len());
                mistakes.note(&entry.place, problem, STORE_HINT);
                return None;
            }
            let file = |name: &&str| {
                let path = format!("{folder}{name}");
                let bytes = read(entry, &path, key_files, mistakes)?;
                Some((path, bytes))
            };
            names.iter().map(file).collect::<Option<Vec<_>>>()?
        }
        Err(error) => {
            mistakes.note(&entry.place, format!("cannot read `{path}`: {error}"), STORE_HINT);
            return None;
        }
    };
    let mut count = 0usize;
    for (path, bytes) in files {
        let certificates = match Certificate::from_file(&bytes) {
            Ok(certificates) => certificates,
            Err(error) => {
                mistakes.note(&entry.place, format!("`{path}`: {error}"), STORE_HINT);
                return None;
            }
        };
        count += certificates.len();
        if let Some(leaf) = stores.add(store, certificates).first() {
            let problem = format!("`{path}`: `{}` is neither an authority nor self-signed", leaf.subject());
            mistakes.note(&entry.place, problem, "a store holds roots or issuing authorities");
            return None;
        }
    }
    Some(count)
}

fn read(
    entry: &Entry<'_>,
    path: &str,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<u8>> {
    let bytes = key_files.read(path);
    let hint = "the path is relative to the policy file";
    bytes.map_err(|error| mistakes.note(&entry.place, format!("cannot read `{path}`: {error}"), hint)).ok()
}
