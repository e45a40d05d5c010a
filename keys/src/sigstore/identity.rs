//! Whose certificates count: issuer and subject, both compulsory, and perhaps Fulcio's extensions.

use std::collections::BTreeMap;
use std::fmt;

use regex::RegexBuilder;

use super::SigstoreError;
use super::certificate::{CertificateSigner, EXTENSION_NAMES, extension_name};
use crate::{json, limits};

/// Bytes that a compiled pattern may take: patterns are written by operators, but `(a{1000}){1000}` is a mistake that
/// would cost gigabytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Why an identity cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing would be compared.
    #[error("an empty {0} would match nobody, or everybody: say who")]
    Empty(&'static str),
    /// Matches whatever there is.
    #[error("`{0}` matches every subject or issuer there is: say who")]
    Everybody(String),
    /// Not a pattern.
    #[error("`{pattern}` is not a pattern: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not an extension of Fulcio's.
    #[error("`{0}` is no extension of a signing certificate that we know")]
    Extension(String),
}

/// How one text of a certificate is compared. Always in full and with letter case.
#[derive(Clone, Debug)]
pub struct Pattern {
    shown: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact,
    Regex(regex::Regex),
}

impl Pattern {
    /// The text itself.
    pub fn exact(text: &str) -> Result<Self, IdentityError> {
        let pattern = Self { shown: text.to_owned(), matcher: Matcher::Exact };
        if text.is_empty() { Err(IdentityError::Empty("text")) } else { Ok(pattern) }
    }

    /// `*` stands for any run without a slash, `**` for any run; everything else for itself.
    pub fn glob(text: &str) -> Result<Self, IdentityError> {
        if !text.contains('*') {
            return Self::exact(text);
        }
        if text.chars().all(|char| char == '*') {
            return Err(IdentityError::Everybody(text.to_owned()));
        }
        let any =
            text.split("**").map(|part| part.split('*').map(regex::escape).collect::<Vec<_>>().join("[^/]*"));
        Self::compile(text, &any.collect::<Vec<_>>().join(".*"))
    }

    /// A regular expression that must match the whole text: `evil.example/?x=good.example` is not `good\.example`
    /// (the engine takes time linear in the text, so no certificate can stall it).
    pub fn regex(expression: &str) -> Result<Self, IdentityError> {
        if expression.is_empty() {
            return Err(IdentityError::Empty("expression"));
        }
        let pattern = Self::compile(expression, expression)?;
        // No name and an invented one: what matches both distinguishes nobody.
        if pattern.matches("") && pattern.matches("\u{1}nobody\u{1}") {
            return Err(IdentityError::Everybody(expression.to_owned()));
        }
        Ok(pattern)
    }

    fn compile(shown: &str, expression: &str) -> Result<Self, IdentityError> {
        let error = |reason: String| IdentityError::Pattern { pattern: json::quote(shown), reason };
        if shown.chars().count() > limits::PATTERN_CHARS_MAX {
            return Err(error(format!("longer than {} characters", limits::PATTERN_CHARS_MAX)));
        }
        // Compiled alone first: `a)|(b` would escape from the anchors' parentheses.
        let compile = |expression: &str| RegexBuilder::new(expression).size_limit(COMPILED_BYTES_MAX).build();
        compile(expression).map_err(|reason| error(reason.to_string()))?;
        let anchored =
            compile(&format!(r"\A(?:{expression})\z")).map_err(|reason| error(reason.to_string()))?;
        Ok(Self { shown: shown.to_owned(), matcher: Matcher::Regex(anchored) })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => self.shown == text,
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// Who must have signed. Without an issuer any provider could assert the same address; without a subject anybody whom
/// the provider knows could sign: so neither can be left out.
#[derive(Clone, Debug)]
pub struct CertificateIdentity {
    issuer: Pattern,
    subject: Pattern,
    extensions: BTreeMap<String, String>,
}

impl CertificateIdentity {
    /// `extensions`: Fulcio's extensions by name (`source-repository-id`) or dotted object identifier, with the exact
    /// value each must have. The numeric ids outlive the renaming of a repository, which names do not.
    pub fn new(
        issuer: Pattern,
        subject: Pattern,
        extensions: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, IdentityError> {
        let named = extensions.into_iter().map(|(name, value)| Ok((canonical_name(&name)?, value)));
        Ok(Self { issuer, subject, extensions: named.collect::<Result<_, IdentityError>>()? })
    }

    /// Whether this certificate's holder is meant, or the first difference.
    pub(crate) fn check(&self, signer: &CertificateSigner) -> Result<(), SigstoreError> {
        let differs = |what: &str, expected: &str, seen: &str| {
            let (expected, seen) = (json::quote(expected), json::quote(seen));
            Err(SigstoreError::Identity(format!(
                "expected {what} `{expected}`, the certificate says `{seen}`"
            )))
        };
        if !self.issuer.matches(&signer.issuer) {
            return differs("issuer", &self.issuer.shown, &signer.issuer);
        }
        if !self.subject.matches(&signer.subject) {
            return differs("subject", &self.subject.shown, &signer.subject);
        }
        for (name, expected) in &self.extensions {
            let seen = signer.extensions.get(name).map_or("", String::as_str);
            if seen != expected {
                return differs(name, expected, seen);
            }
        }
        Ok(())
    }
}

/// For people: the pattern of the subject and that of the issuer.
impl fmt::Display for CertificateIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", self.subject, self.issuer)
    }
}

fn canonical_name(name: &str) -> Result<String, IdentityError> {
    let number = name.strip_prefix("1.3.6.1.4.1.57264.1.").and_then(|number| number.parse::<u8>().ok());
    // Issuers have their own field, where both encodings are compared.
    let is_known = |name: &str| EXTENSION_NAMES.iter().any(|(known, number)| *known == name && *number != 8);
    match number {
        Some(1 | 8) => Err(IdentityError::Extension(json::quote(name))),
        Some(number) => Ok(extension_name(number)),
        None if is_known(name) => Ok(name.to_owned()),
        None => Err(IdentityError::Extension(json::quote(name))),
    }
}

#[cfg(test)]
mod tests;
