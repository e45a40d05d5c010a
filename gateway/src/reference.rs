//! An image reference, read as engines read it and no looser: registry, repository, tag, digest.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// Longest reference read, in bytes; the grammar's own parts add up to less.
const REFERENCE_BYTES_MAX: usize = 1024;
/// Longest repository name (distribution-spec: registries may limit it; Docker's client stops at 255 with the host).
const REPOSITORY_BYTES_MAX: usize = 255;
/// Longest tag (distribution-spec "Pulling manifests").
const TAG_BYTES_MAX: usize = 128;
/// Longest host name (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// What a name without a host stands for.
const DOCKER_HUB: &str = "docker.io";

/// A reference in full form: nothing is implied any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing, or only white space.
    #[error("image reference is empty")]
    Empty,
    /// Over the limit of length.
    #[error("image reference of {0} bytes is over the limit of {REFERENCE_BYTES_MAX}")]
    TooLong(usize),
    /// The host part.
    #[error("`{reference}`: `{host}` is not a registry host with an optional port")]
    Host {
        /// The whole text.
        reference: String,
        /// The part.
        host: String,
    },
    /// The repository part (distribution-spec `<name>` grammar: lower case).
    #[error(
        "`{reference}`: `{repository}` is not a repository name (lower-case letters, digits, `.`, `_`, `-`, `/`)"
    )]
    Repository {
        /// The whole text.
        reference: String,
        /// The part.
        repository: String,
    },
    /// The tag part.
    #[error("`{reference}`: `{tag}` is not a tag")]
    Tag {
        /// The whole text.
        reference: String,
        /// The part.
        tag: String,
    },
    /// The digest part.
    #[error("`{reference}`: bad digest")]
    Digest {
        /// The whole text.
        reference: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
}

impl ImageReference {
    /// Reads a reference as `docker run` would: a first part with a dot, a colon or an upper-case letter, or
    /// `localhost`, is a host; without one the registry is Docker Hub, and a single name there means `library/name`.
    /// Hosts are compared in lower case (RFC 4343); nothing else is folded. A host that only its upper case tells is
    /// refused.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong(text.len()));
        }
        if text.trim().is_empty() {
            return Err(ReferenceError::Empty);
        }
        let reference = || text.to_owned();
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = Digest::parse(digest)
                    .map_err(|source| ReferenceError::Digest { reference: reference(), source })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash begins the tag; one before it belongs to a port.
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[path_start..].split_once(':') {
            Some((last, tag)) => (&name[..path_start + last.len()], Some(tag)),
            None => (name, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag { reference: reference(), tag: tag.to_owned() });
        }
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if looks_like_host(first) => (Some(first), rest),
            _ => (None, name),
        };
        let registry = match host {
            Some(host) => canonical_host(host)
                .ok_or_else(|| ReferenceError::Host { reference: reference(), host: host.to_owned() })?,
            None => DOCKER_HUB.to_owned(),
        };
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !is_repository(&repository) {
            return Err(ReferenceError::Repository { reference: reference(), repository: path.to_owned() });
        }
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest })
    }

    /// Host and port, lower case: `registry.example:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `prod/app`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag as written; a reference without tag and digest has none here (engines then use `latest`).
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `registry/repository`: what policy rules match on.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What to ask a registry for: the digest, else the tag, else `latest`. A digest beside a tag wins, as in engines.
    pub fn target(&self) -> &str {
        match &self.digest {
            Some(digest) => digest.as_str(),
            None => self.tag.as_deref().unwrap_or("latest"),
        }
    }

    /// The same image, pinned; the tag is dropped.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository under another tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Tag { reference: self.to_string(), tag: tag.to_owned() });
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Whether the registry is this machine itself, where plain HTTP is acceptable.
    pub fn is_loopback(&self) -> bool {
        let host = match self.registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// Docker's rule (distribution/reference): upper case can only be a host, because repositories are lower case.
fn looks_like_host(part: &str) -> bool {
    part.contains(['.', ':', '['])
        || part == "localhost"
        || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Lower case, with Docker Hub's other names replaced. A port is kept as written: another port is another registry.
fn canonical_host(host: &str) -> Option<String> {
    let lower = host.to_ascii_lowercase();
    let (name, port) = match lower.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (None, after.strip_prefix(':').or_else(|| after.is_empty().then_some("")).map(str::to_owned)?)
        }
        None => match lower.split_once(':') {
            Some((name, port)) => {
                (Some(name.to_owned()), if port.is_empty() { return None } else { port.to_owned() })
            }
            None => (Some(lower.clone()), String::new()),
        },
    };
    // A port with a leading zero or a plus would be a second way to write the same registry.
    let port_is_plain = port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port);
    if !(port.is_empty() || port_is_plain) || name.as_deref().is_some_and(|name| !is_host_name(name)) {
        return None;
    }
    // `A/app` is a host by its upper case alone, and in lower case an image of Docker Hub: two readers, two images.
    if !looks_like_host(&lower) {
        return None;
    }
    Some(match lower.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        _ => lower,
    })
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label)
}

/// distribution-spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`.
pub fn is_repository(name: &str) -> bool {
    name.len() <= REPOSITORY_BYTES_MAX && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_plain(*first)
        && is_plain(*last)
        && component.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit()).all(
            |separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
            },
        )
}

/// distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_BYTES_MAX
        && !tag.starts_with(['.', '-'])
        && !tag.is_empty()
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_expanded_as_engines_do() {
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.25", "docker.io/library/nginx:1.25"),
            ("acme/app", "docker.io/acme/app"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("REGISTRY.Example/prod/app", "registry.example/prod/app"),
            ("registry.example:443/prod/app", "registry.example:443/prod/app"),
            ("[::1]:5000/app", "[::1]:5000/app"),
            ("a.example/b/c/d/e:T_1.x-y", "a.example/b/c/d/e:T_1.x-y"),
            ("a.example/b--c/d__e", "a.example/b--c/d__e"),
        ] {
            assert_eq!(ImageReference::parse(text).unwrap().to_string(), expected, "{text}");
        }
        let both = ImageReference::parse(&format!("a.example/app:1@{DIGEST}")).unwrap();
        assert_eq!((both.tag(), both.target()), (Some("1"), DIGEST));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let long = format!("a.example/{}", "a".repeat(300));
        for text in [
            "",
            " ",
            " nginx",
            "nginx ",
            "a.example/",
            "/app",
            "a.example//app",
            "a.example/App",
            "A/app",
            "a.example/app:",
            "a.example/app:-x",
            "a.example/app@",
            "a.example/app@sha256:abc",
            "a.example:/app",
            "a.example:0/app",
            "a.example:05000/app",
            "a.example:+5/app",
            "a.example:99999/app",
            "-a.example/app",
            "a..example/app",
            "a.example./app",
            "user@a.example/app",
            "a.example/app:1:2",
            "a.example/../app",
            "a.example/a%2fb",
            "https://a.example/app",
            "a.example/app\n",
            "ａ.example/app",
            "[::1/app",
            "[x]/app",
            "a.example/a___b",
            "a.example/a.-b",
            long.as_str(),
        ] {
            assert!(ImageReference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn plain_http_is_only_for_this_machine() {
        for (text, loopback) in [
            ("localhost:5000/a", true),
            ("127.0.0.1:5000/a", true),
            ("127.9.9.9/a", true),
            ("[::1]:5000/a", true),
            ("127.0.0.1.example/a", false),
            ("localhost.example/a", false),
            ("10.0.0.1:5000/a", false),
        ] {
            assert_eq!(ImageReference::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
