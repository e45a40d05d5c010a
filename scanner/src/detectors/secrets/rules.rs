//! The rules: credentials whose form is their own, so that a hit is a credential and not a guess.
//!
//! Keywords should be rare: all bytes are searched for them.

use std::borrow::Cow;

use crate::detectors::secrets::keywords::Standing;
use crate::detectors::secrets::{judge, pem};

mod formats;
mod standing;
mod tokens;

/// Tells whether a value of the right form can be a credential.
type Judge = fn(&[u8]) -> bool;

/// One kind of credential.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Stable name, which exceptions in policies use.
    pub(super) name: &'static str,
    /// Literals, separated by spaces, of which one stands in every such credential. A zero byte stands for a space.
    keywords: &'static str,
    /// Files that are looked at whatever they hold.
    pub(super) files: &'static [&'static str],
    pub(super) shape: Shape,
}

/// What a credential looks like around its keyword.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// The pattern is the value.
    Token { pattern: &'static str, judge: Judge },
    /// The first group is the value.
    Pattern {
        pattern: &'static str,
        judge: Judge,
        /// Matches count that do not touch the keyword too; the keyword then only says which format this is.
        everywhere: bool,
    },
    /// A private key in PEM.
    Pem,
}

impl Rule {
    pub(super) fn keywords(&self) -> impl Iterator<Item = Vec<u8>> {
        let space = |byte: &u8| if *byte == 0 { b' ' } else { *byte };
        self.keywords.split_whitespace().map(move |word| word.as_bytes().iter().map(space).collect())
    }

    /// The expression whose first group is the value.
    pub(super) fn pattern(&self) -> Option<Cow<'static, str>> {
        match self.shape {
            Shape::Token { pattern, .. } => {
                let before = if self.begins_with_keyword() { r"\A" } else { "(?:^|[^0-9A-Za-z_])" };
                Some(Cow::Owned(format!("{before}({pattern})(?:[^0-9A-Za-z_]|$)")))
            }
            Shape::Pattern { pattern, .. } => Some(Cow::Borrowed(pattern)),
            Shape::Pem => None,
        }
    }

    /// Whether each keyword is where the token begins: then nothing but what follows needs to be looked at.
    pub(super) fn begins_with_keyword(&self) -> bool {
        let Shape::Token { pattern, .. } = self.shape else { return false };
        let literal =
            pattern.split(['(', '[', '{', '.', '?', '+']).next().unwrap_or_default().replace('\\', "");
        let literal = literal.as_bytes();
        !literal.is_empty()
            && self.keywords().all(|word| word.starts_with(literal) || literal.starts_with(&word))
    }

    /// What must stand around a keyword for this rule to find something there.
    pub(super) fn standing(&self) -> Standing {
        standing::of(self)
    }

    pub(super) fn judge(&self, value: &[u8]) -> bool {
        match self.shape {
            Shape::Token { judge, .. } | Shape::Pattern { judge, .. } => judge(value),
            Shape::Pem => true,
        }
    }

    /// Whether matches count that do not touch the keyword.
    pub(super) fn everywhere(&self) -> bool {
        matches!(self.shape, Shape::Pattern { everywhere: true, .. })
    }

    pub(super) fn before_bytes(&self) -> usize {
        match self.shape {
            Shape::Token { .. } => 192,
            Shape::Pattern { .. } => 64,
            Shape::Pem => pem::BEFORE_BYTES,
        }
    }

    pub(super) fn after_bytes(&self) -> usize {
        match self.shape {
            Shape::Pattern { everywhere: true, .. } => 8 << 10,
            Shape::Token { .. } | Shape::Pattern { everywhere: false, .. } => 512,
            Shape::Pem => pem::AFTER_BYTES,
        }
    }
}

/// All rules, in the order in which their findings are preferred.
pub(super) fn all() -> Vec<Rule> {
    let judged: [(&[tokens::Token], Judge); 3] = [
        (tokens::TOKENS, judge::random),
        (tokens::WORDED_TOKENS, judge::random_second_half),
        (tokens::CHECKSUMMED_TOKENS, judge::checksummed),
    ];
    let token = |judge| {
        move |(name, keywords, pattern): &tokens::Token| Rule {
            name,
            keywords,
            files: &[],
            shape: Shape::Token { pattern, judge },
        }
    };
    let tokens = judged.into_iter().flat_map(|(table, judge)| table.iter().map(token(judge)));
    tokens.chain(formats::FORMATS.iter().copied()).collect()
}
