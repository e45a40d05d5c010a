//! `keyless = { … }`: certificates that an authority issues for a proven identity, of sigstore or of one's own.

use std::sync::Arc;

use keys::sigstore::{
    Anchors, Authorities, CertificateIdentity, CertificateTrust, IdentityError, Pattern, TrustRoot,
};

use super::KeyFiles;
use super::reader::{Entry, Mistakes, Section};
use super::trust_root::RestsOn;

/// What the section says.
pub(super) struct Keyless {
    pub(super) trust: CertificateTrust,
    /// A line about it for people.
    pub(super) shown: String,
    /// The root that is to be put in, if it is fetched.
    pub(super) rests_on: Option<RestsOn>,
}

pub(super) fn parse(
    mut section: Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Keyless> {
    let issuer = pattern(&mut section, "issuer", "issuer-regex", mistakes);
    let subject = pattern(&mut section, "subject", "subject-regex", mistakes);
    let extensions = section.take("extensions").map(|entry| pairs(&entry, mistakes));
    let anchors = anchors(&mut section, key_files, mistakes);
    let place = section.place.clone();
    section.finish(mistakes);
    let extensions = extensions.unwrap_or(Some(Vec::new()))?;
    let ((issuer, subject), (anchors, resting_on, rests_on)) = (issuer.zip(subject)?, anchors?);
    let identity = match CertificateIdentity::new(issuer, subject, extensions) {
        Ok(identity) => identity,
        Err(error) => {
            mistakes.note(
                &place,
                error.to_string(),
                "for example `extensions = { source-repository-id = \"42\" }`",
            );
            return None;
        }
    };
    let shown = format!("{identity}, {resting_on}");
    Some(Keyless { trust: CertificateTrust { identity, anchors }, shown, rests_on })
}

/// A text or glob under one key, or an expression under the other. One of them must be there: without a subject anybody
/// could sign whom the issuer knows, without an issuer anybody whom any provider knows.
fn pattern(
    section: &mut Section<'_>,
    key: &'static str,
    regex_key: &'static str,
    mistakes: &mut Mistakes<'_>,
) -> Option<Pattern> {
    let hint = match key {
        "issuer" => "who knows the signer: `issuer = \"https://jenkins.example/oidc\"`",
        _ => "who signs: `subject = \"https://jenkins.example/job/app/*\"`",
    };
    type Compile = fn(&str) -> Result<Pattern, IdentityError>;
    let (entry, compile): (Entry<'_>, Compile) = match (section.take(key), section.take(regex_key)) {
        (Some(entry), None) => (entry, Pattern::glob),
        (None, Some(entry)) => (entry, Pattern::regex),
        (None, None) => {
            mistakes.note(&section.place, format!("`{key}` is missing"), hint);
            return None;
        }
        (Some(_), Some(entry)) => {
            mistakes.note(&entry.place, format!("`{key}` is there too"), "keep one of the two");
            return None;
        }
    };
    let text = entry.line(mistakes)?;
    let compiled = compile(&text);
    compiled.map_err(|error| mistakes.note(&entry.place, error.to_string(), hint)).ok()
}

/// A sigstore instance (`roots` or `trust-root`) or own authorities (`authorities`), and a line about it.
fn anchors(
    section: &mut Section<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<(Anchors, String, Option<RestsOn>)> {
    let hint = "name the instance's file, `roots = \"trusted_root.json\"`, or a `[[trust-root]]`, or for certificates of your own that live long `authorities = \"ca.pem\"`";
    let log_entries = section.take("log-entries").map(|entry| entry.count(mistakes));
    let certificate_log = section.take("certificate-log");
    let certificate_log =
        certificate_log.map(|entry| entry.word(&[("require", true), ("skip-unsafe", false)], mistakes));
    match (section.take("roots"), section.take("trust-root"), section.take("authorities")) {
        (Some(entry), None, None) => {
            let root = trust_root(&entry, key_files, mistakes)?;
            let resting_on = format!("trusted root {}", root.digest());
            let log_entries = log_entries.unwrap_or(Some(1))?;
            let certificate_log = certificate_log.unwrap_or(Some(true))?;
            Some((Anchors::Root { root, log_entries, certificate_log }, resting_on, None))
        }
        (None, Some(entry), None) => {
            let source = entry.line(mistakes)?;
            if !key_files.root_sources.iter().any(|known| known.name == source) {
                let problem = format!("there is no usable `[[trust-root]]` named `{source}`");
                mistakes.note(&entry.place, problem, "add one, or mend the one that is there");
                return None;
            }
            let resting_on = format!("trust root `{source}`");
            let log_entries = log_entries.unwrap_or(Some(1))?;
            let certificate_log = certificate_log.unwrap_or(Some(true))?;
            let rests_on = RestsOn { source, log_entries, certificate_log };
            Some((rests_on.anchors(None), resting_on, Some(rests_on)))
        }
        (None, None, Some(entry)) => {
            if log_entries.is_some() || certificate_log.is_some() {
                let problem =
                    "`log-entries` and `certificate-log` belong to `roots`: own authorities have no log";
                mistakes.note(&entry.place, problem, hint);
                return None;
            }
            let authorities = authorities(&entry, key_files, mistakes)?;
            Some((Anchors::Authorities(authorities), "own authorities".to_owned(), None))
        }
        _ => {
            mistakes.note(&section.place, "needs one of `roots`, `trust-root` and `authorities`", hint);
            None
        }
    }
}

/// One file is read once, so that identities of one instance share one verification.
fn trust_root(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Arc<TrustRoot>> {
    let path = entry.line(mistakes)?;
    if let Some(known) = key_files.trust_roots.get(&path) {
        return Some(Arc::clone(known));
    }
    let bytes = read(entry, &path, key_files, mistakes)?;
    match TrustRoot::parse(&bytes) {
        Ok(root) => {
            let root = Arc::new(root);
            key_files.trust_roots.insert(path, Arc::clone(&root));
            Some(root)
        }
        Err(error) => {
            let hint = "it must be a `trusted_root.json` whose every entry is usable";
            mistakes.note(&entry.place, format!("`{path}`: {error}"), hint);
            None
        }
    }
}

fn authorities(
    entry: &Entry<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Arc<Authorities>> {
    let path = entry.line(mistakes)?;
    let bytes = read(entry, &path, key_files, mistakes)?;
    let parsed = String::from_utf8(bytes)
        .map_err(|error| error.to_string())
        .and_then(|pem| Authorities::parse_pem(&pem).map_err(|error| error.to_string()));
    let hint = "it must hold `-----BEGIN CERTIFICATE-----` blocks, one of them a root";
    parsed.map(Arc::new).map_err(|error| mistakes.note(&entry.place, format!("`{path}`: {error}"), hint)).ok()
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

fn pairs(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<(String, String)>> {
    let section = entry.section(mistakes)?;
    let pair = |(name, value): (&str, Entry<'_>)| Some((name.to_owned(), value.text(mistakes)?.to_owned()));
    section.entries().into_iter().map(pair).collect()
}
