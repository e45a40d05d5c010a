//! Splits a path under `/v2/` from the right into repository, kind and reference: a repository may itself be named
//! `blobs` or `manifests`.

use keys::notary::Document;

use crate::digest::{Digest, DigestError};

/// Longest repository name, in bytes: the common client limit that the distribution spec mentions.
const NAME_BYTES_MAX: usize = 255;
/// Longest tag, in characters (distribution-spec "Pulling manifests").
const TAG_BYTES_MAX: usize = 128;

/// One request's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/v2/`
    Base,
    /// `/v2/<name>/blobs/<digest>`
    Blob(&'a str, Digest),
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/manifests/<reference>`
    Manifest(&'a str, Reference),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(&'a str, Digest),
    /// `/v2/<name>/tags/list`
    Tags(&'a str),
    /// `/v2/<gun>/_trust/tuf/<file>`, `<gun>` being the signers' name, as yet unread.
    Trust(&'a str, TrustFile),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(&'a str, &'a str),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(&'a str),
    /// `/v2/<name>/_portcullis/withdrawals/<digest>`
    Withdrawal(&'a str, Digest),
}

/// How a file of Notary v1 is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TrustFile {
    /// `targets/releases.<hex>.json`
    ByDigest(Document, String),
    /// `2.root.json`
    ByVersion(Document, u64),
    /// `root.json`
    Latest(Document),
}

/// How a manifest is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reference {
    /// By its content.
    Digest(Digest),
    /// By a tag.
    Tag(String),
}

impl Reference {
    /// As in the URL.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Digest(digest) => digest.as_str(),
            Self::Tag(tag) => tag,
        }
    }
}

/// Why a path is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// Bad digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Bad repository name.
    #[error(
        "invalid repository name `{0}`: lower-case letters, digits and single separators, at most 255 bytes"
    )]
    Name(String),
    /// Bad tag.
    #[error("invalid tag `{0}`: a letter, digit or `_`, then up to 127 letters, digits, `.`, `_`, `-`")]
    Tag(String),
    /// Nothing of ours.
    #[error("no such endpoint")]
    Unknown,
}

/// Reads the part of a path after `/v2/`, not percent-decoded: names, tags and digests need no escapes, except that
/// some clients escape a digest's colon.
pub(super) fn parse(path: &str) -> Result<Target<'_>, PathError> {
    match path {
        "" => return Ok(Target::Base),
        "_catalog" => return Ok(Target::Catalog),
        _ => {}
    }
    // No repository's name has a part that begins with `_`, so this cannot be one's.
    if let Some((gun, file)) = path.split_once("/_trust/tuf/") {
        return Ok(Target::Trust(gun, trust_file(file).ok_or(PathError::Unknown)?));
    }
    let (rest, last) = path.rsplit_once('/').ok_or(PathError::Unknown)?;
    let (before, middle) = rest.rsplit_once('/').unwrap_or(("", rest));
    match middle {
        "uploads" if before == "blobs" || before.ends_with("/blobs") => {
            let name =
                before.strip_suffix("blobs").and_then(|name| name.strip_suffix('/')).unwrap_or_default();
            let name = repository(name)?;
            Ok(if last.is_empty() { Target::Uploads(name) } else { Target::Upload(name, last) })
        }
        // `/blobs/uploads` without the slash at its end, as some clients write it.
        "blobs" if last == "uploads" => Ok(Target::Uploads(repository(before)?)),
        "blobs" => Ok(Target::Blob(repository(before)?, digest(last)?)),
        "manifests" => Ok(Target::Manifest(repository(before)?, reference(last)?)),
        "referrers" => Ok(Target::Referrers(repository(before)?, digest(last)?)),
        "withdrawals" if before.ends_with("/_portcullis") => {
            let name = before.strip_suffix("/_portcullis").unwrap_or_default();
            Ok(Target::Withdrawal(repository(name)?, digest(last)?))
        }
        "tags" if last == "list" => Ok(Target::Tags(repository(before)?)),
        _ => Err(PathError::Unknown),
    }
}

/// A file of Notary v1: latest, by the SHA-256 of its bytes, or by its version.
fn trust_file(name: &str) -> Option<TrustFile> {
    if let Some(document) = Document::from_file_name(name) {
        return Some(match document {
            Document::RootVersion(version) => TrustFile::ByVersion(Document::Root, version),
            document => TrustFile::Latest(document),
        });
    }
    let stem = name.strip_suffix(".json")?;
    let whole = |role: &str| {
        let document = Document::from_file_name(&format!("{role}.json"))?;
        (!matches!(document, Document::RootVersion(_))).then_some(document)
    };
    if let Some((role, hex)) = stem.rsplit_once('.')
        && Digest::parse(&format!("sha256:{hex}")).is_ok()
    {
        return Some(TrustFile::ByDigest(whole(role)?, hex.to_owned()));
    }
    let (version, role) = stem.split_once('.')?;
    let number = version.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == version)?;
    Some(TrustFile::ByVersion(whole(role)?, number))
}

/// A repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` between slashes (distribution-spec "Pulling manifests").
pub(super) fn repository(name: &str) -> Result<&str, PathError> {
    let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.split('/').all(is_component);
    if good { Ok(name) } else { Err(PathError::Name(name.chars().take(NAME_BYTES_MAX).collect())) }
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends =
        [bytes.first(), bytes.last()].into_iter().all(|byte| byte.is_some_and(|byte| alphanumeric(*byte)));
    let separators_fit = component
        .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'));
    ends && separators_fit
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(super) fn tag(text: &str) -> Result<&str, PathError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good = text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if good { Ok(text) } else { Err(PathError::Tag(text.chars().take(TAG_BYTES_MAX).collect())) }
}

/// A digest in a URL.
pub(super) fn digest(text: &str) -> Result<Digest, PathError> {
    let unescaped = text.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
    Ok(Digest::parse(&unescaped)?)
}

fn reference(text: &str) -> Result<Reference, PathError> {
    if text.contains(':') || text.contains('%') {
        return Ok(Reference::Digest(digest(text)?));
    }
    Ok(Reference::Tag(tag(text)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn paths_split_from_the_right() {
        let digest = || Digest::parse(DIGEST).unwrap();
        let tag = |name| Reference::Tag(String::from(name));
        let releases = || Document::from_file_name("targets/releases.json").unwrap();
        for (path, expected) in [
            (String::new(), Target::Base),
            ("_catalog".into(), Target::Catalog),
            ("a/tags/list".into(), Target::Tags("a")),
            ("a/b/c/d/manifests/v1".into(), Target::Manifest("a/b/c/d", tag("v1"))),
            (format!("a/manifests/{DIGEST}"), Target::Manifest("a", Reference::Digest(digest()))),
            (format!("a/blobs/{DIGEST}"), Target::Blob("a", digest())),
            (format!("a/blobs/{}", DIGEST.replace(':', "%3A")), Target::Blob("a", digest())),
            (format!("a/referrers/{DIGEST}"), Target::Referrers("a", digest())),
            (format!("a/b/_portcullis/withdrawals/{DIGEST}"), Target::Withdrawal("a/b", digest())),
            (
                "r.example:5000/a/_trust/tuf/root.json".into(),
                Target::Trust("r.example:5000/a", TrustFile::Latest(Document::Root)),
            ),
            ("a/_trust/tuf/2.root.json".into(), Target::Trust("a", TrustFile::ByVersion(Document::Root, 2))),
            (
                "a/_trust/tuf/3.snapshot.json".into(),
                Target::Trust("a", TrustFile::ByVersion(Document::Snapshot, 3)),
            ),
            (
                format!("a/_trust/tuf/targets/releases.{}.json", digest().hex()),
                Target::Trust("a", TrustFile::ByDigest(releases(), digest().hex().to_owned())),
            ),
            ("a/_trust/tuf/targets/releases.json".into(), Target::Trust("a", TrustFile::Latest(releases()))),
            ("a/blobs/uploads/".into(), Target::Uploads("a")),
            ("a/blobs/uploads".into(), Target::Uploads("a")),
            ("a/blobs/uploads/0f".into(), Target::Upload("a", "0f")),
            ("blobs/manifests/v1".into(), Target::Manifest("blobs", tag("v1"))),
            ("a/manifests/manifests/tags".into(), Target::Manifest("a/manifests", tag("tags"))),
            ("tags/list/tags/list".into(), Target::Tags("tags/list")),
            (format!("a/blobs/uploads/blobs/{DIGEST}"), Target::Blob("a/blobs/uploads", digest())),
        ] {
            assert_eq!(parse(&path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_refused() {
        for path in [
            "a",
            "/tags/list",
            "manifests/v1",
            "A/manifests/v1",
            "a//b/manifests/v1",
            "../a/manifests/v1",
            "a/../b/manifests/v1",
            "a/%2e%2e/manifests/v1",
            "a./manifests/v1",
            "a..b/manifests/v1",
            "a___b/manifests/v1",
            "a-_b/manifests/v1",
            "-a/manifests/v1",
            "a/manifests/",
            "a/manifests/.v1",
            "a/manifests/-v1",
            "a/manifests/v 1",
            "a/manifests/sha256:abc",
            "a/blobs/latest",
            "a/referrers/latest",
            "a/_portcullis/withdrawals/latest",
            "_portcullis/withdrawals/latest",
            "a/_trust/tuf/",
            "a/_trust/tuf/root",
            "a/_trust/tuf/0.root.json",
            "a/_trust/tuf/1.2.root.json",
            "a/_trust/tuf/other.json",
            "a/_trust/tuf/../root.json",
            "a/_trust/tuf/targets/../../x.json",
            "a/_trust/tuf/root.abc.json",
            "a/_trust/tuf/snapshot.key",
            "a/b/c",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
        let name = "a".repeat(256);
        assert!(parse(&format!("{name}/manifests/v1")).is_err());
        assert!(parse(&format!("a/manifests/{}", "a".repeat(129))).is_err());
        for good in ["a.b/c__d/e-f/g---h", "0", "a_b"] {
            assert!(repository(good).is_ok(), "{good}");
        }
    }
}
