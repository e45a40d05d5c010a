//! Which images a rule or an exception is about: `host/path` with `*` inside one path segment and `**` across them.

use std::fmt;

/// An anchored pattern over `host[:port]/repository`. `*` stands for any characters of one path segment, `**` for one
/// or more whole segments. The host is always literal, so that `registry.example.evil` can never match; only the
/// pattern `**` alone, every image, has none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PatternError {
    #[error("is empty; write `host/repository`, such as `registry.example/prod/**`")]
    Empty,
    #[error(
        "names no registry host; write `host/repository`, such as `registry.example/prod/**`, or `**` for every image"
    )]
    NoHost,
    #[error("has a wildcard in the registry host; write the host out, or use `**` alone for every image")]
    WildcardHost,
    #[error("mixes `**` with other characters in one path segment; `**` stands alone between slashes")]
    MixedDoubleStar,
    #[error("has an empty path segment; remove the extra `/`")]
    EmptySegment,
    #[error("names a tag or digest; patterns name repositories")]
    TagOrDigest,
    #[error(
        "has a character that no repository name has; use lower-case letters, digits, `.`, `_`, `-`, `/`, `*` and `**`"
    )]
    Character,
}

const HOST_HINT: [char; 2] = ['.', ':'];

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Whatever could match something else than its author meant.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text == "**" {
            return Ok(Self { text: text.to_owned() });
        }
        let (host, path) = text.split_once('/').ok_or(PatternError::NoHost)?;
        if host.contains('*') {
            return Err(PatternError::WildcardHost);
        }
        if host != "localhost" && !host.contains(HOST_HINT) {
            return Err(PatternError::NoHost);
        }
        if path.contains(['@', ':']) {
            return Err(PatternError::TagOrDigest);
        }
        let host_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".:-[]_".contains(c);
        let path_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-*/".contains(c);
        if !host.chars().all(host_character) || !path.chars().all(path_character) {
            return Err(PatternError::Character);
        }
        for segment in path.split('/') {
            if segment.is_empty() {
                return Err(PatternError::EmptySegment);
            }
            if segment.contains("**") && segment != "**" {
                return Err(PatternError::MixedDoubleStar);
            }
        }
        Ok(Self { text: text.to_owned() })
    }

    /// Whether `name`, a `host/repository` without tag or digest, is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.text == "**" {
            return !name.is_empty();
        }
        let pattern: Vec<&str> = self.text.split('/').collect();
        let segments: Vec<&str> = name.split('/').collect();
        path_matches(&pattern, &segments)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Wildcards by the greedy algorithm with one point of return: linear in practice, never exponential, because the
/// name comes from outside.
fn path_matches(pattern: &[&str], segments: &[&str]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while s < segments.len() {
        if pattern.get(p) == Some(&"**") {
            retry = Some((p + 1, s + 1));
            (p, s) = (p + 1, s + 1);
        } else if pattern.get(p).is_some_and(|pattern| segment_matches(pattern, segments[s])) {
            (p, s) = (p + 1, s + 1);
        } else if let Some((retry_p, retry_s)) = retry {
            retry = Some((retry_p, retry_s + 1));
            (p, s) = (retry_p, retry_s + 1);
            if retry_s + 1 > segments.len() {
                return false;
            }
        } else {
            return false;
        }
    }
    p == pattern.len()
}

fn segment_matches(pattern: &str, segment: &str) -> bool {
    if segment.is_empty() {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = segment.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_and_stay_in_their_segments() {
        let cases = [
            ("registry.example/prod/app", "registry.example/prod/app", true),
            ("registry.example/prod/app", "registry.example/prod/app2", false),
            ("registry.example/prod/app", "evil/registry.example/prod/app", false),
            ("registry.example/prod/*", "registry.example/prod/app", true),
            ("registry.example/prod/*", "registry.example/prod/a/b", false),
            ("registry.example/prod/*", "registry.example/prod", false),
            ("registry.example/prod/*", "registry.example/prod/", false),
            ("registry.example/prod/*-web", "registry.example/prod/shop-web", true),
            ("registry.example/prod/*-web", "registry.example/prod/shop-web-2", false),
            ("registry.example/prod/a*b*c", "registry.example/prod/a1b2b3c", true),
            ("registry.example/prod/a*b*c", "registry.example/prod/a1c", false),
            ("registry.example/prod/ab*ba", "registry.example/prod/aba", false),
            ("registry.example/prod/**", "registry.example/prod/a/b/c", true),
            ("registry.example/prod/**", "registry.example/prod", false),
            ("registry.example/prod/**", "registry.example/production/a", false),
            ("registry.example/**/app", "registry.example/a/b/app", true),
            ("registry.example/**/app", "registry.example/app", false),
            ("registry.example/**/app", "registry.example/app/app/x", false),
            ("registry.example/**/x/**", "registry.example/a/x/b", true),
            ("registry.example/**/x/**", "registry.example/x/x", false),
            ("registry.example/**", "registry.example.evil/prod/app", false),
            ("registry.example:5000/**", "registry.example/prod/app", false),
            ("localhost/**", "localhost/a", true),
            ("**", "anything.example/at/all", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} against {name}");
        }
    }

    #[test]
    fn what_could_match_by_surprise_is_refused() {
        let cases = [
            ("", PatternError::Empty),
            ("app", PatternError::NoHost),
            ("prod/app", PatternError::NoHost),
            ("*", PatternError::NoHost),
            ("*/app", PatternError::WildcardHost),
            ("registry.example*/app", PatternError::WildcardHost),
            ("registry.example/a**", PatternError::MixedDoubleStar),
            ("registry.example//a", PatternError::EmptySegment),
            ("registry.example/", PatternError::EmptySegment),
            ("registry.example/app:1.2", PatternError::TagOrDigest),
            ("registry.example/App", PatternError::Character),
            ("registry.example/a?", PatternError::Character),
            ("registry.example/{a,b}", PatternError::Character),
        ];
        for (text, expected) in cases {
            assert_eq!(Pattern::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_hostile_name_costs_no_more_than_its_length() {
        let pattern = Pattern::parse(&format!("r.example/{}b", "a*".repeat(40))).unwrap();
        assert!(!pattern.matches(&format!("r.example/{}", "a".repeat(100_000))));
        let pattern = Pattern::parse(&format!("r.example/{}b", "**/a/".repeat(40))).unwrap();
        assert!(!pattern.matches(&format!("r.example/{}", "a/".repeat(5_000))));
    }
}
