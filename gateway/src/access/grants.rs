//! What an account may do, and where: repository patterns with the highest right each gives.

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

/// Longest repository pattern, in bytes: the longest repository name the distribution spec's clients handle, and room
/// for wildcards.
const PATTERN_BYTES_MAX: usize = 512;

/// What a caller asks to do in a repository. The order is the rights' order: each contains those before it, because
/// whoever pushes must read back what was pushed, and whoever may push an image may push its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read what is visible to the caller.
    Pull,
    /// Push signatures and other referrers that cannot run, with their blobs.
    Sign,
    /// Push images.
    Push,
    /// Delete and withdraw.
    Admin,
}

impl Action {
    /// The name in grants, token scopes and challenges.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Sign => "sign",
            Self::Push => "push",
            Self::Admin => "admin",
        }
    }

    /// Reads one action of a token scope. `delete` and `*` are what clients of the distribution spec ask for.
    pub(super) fn from_scope(name: &str) -> Option<Self> {
        match name {
            "pull" => Some(Self::Pull),
            "sign" => Some(Self::Sign),
            "push" => Some(Self::Push),
            "admin" | "delete" | "*" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// One anchored repository pattern: `*` stays within a path segment, `**` crosses them.
#[derive(Clone, Debug)]
pub struct RepositoryPattern {
    matcher: GlobMatcher,
    /// `**`: skips the matcher, which is the common case on the pull path.
    everything: bool,
}

/// A repository pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// The pattern is no glob.
    #[error("`{pattern}` is not a repository pattern")]
    Broken {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The pattern is empty or longer than any name it could match.
    #[error("a repository pattern has 1 to {PATTERN_BYTES_MAX} bytes, this one has {bytes}")]
    Length {
        /// Its length.
        bytes: usize,
    },
}

impl RepositoryPattern {
    /// Parses a pattern such as `prod/**` or `team-*/app`.
    ///
    /// # Errors
    /// When it is no glob, empty or too long.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Length { bytes: pattern.len() });
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(false).build();
        let glob = glob.map_err(|source| PatternError::Broken { pattern: pattern.to_owned(), source })?;
        Ok(Self { matcher: glob.compile_matcher(), everything: pattern == "**" })
    }

    /// Whether the whole `repository` name matches.
    pub fn matches(&self, repository: &str) -> bool {
        self.everything || self.matcher.is_match(repository)
    }
}

/// What one account may do. No pattern that matches means no right.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    entries: Vec<(RepositoryPattern, Action)>,
}

impl Grants {
    /// Adds a right for the repositories that `pattern` matches.
    pub fn add(&mut self, pattern: RepositoryPattern, highest: Action) {
        self.entries.push((pattern, highest));
    }

    /// The highest right in `repository`; `None`: not even to pull.
    pub fn highest(&self, repository: &str) -> Option<Action> {
        self.entries
            .iter()
            .filter(|(pattern, _)| pattern.matches(repository))
            .map(|(_, action)| *action)
            .max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, repository: &str, expected: bool) {
        let parsed = RepositoryPattern::parse(pattern).unwrap();
        assert_eq!(parsed.matches(repository), expected, "`{pattern}` against `{repository}`");
    }

    #[test]
    fn patterns_are_anchored_and_a_star_stays_within_a_segment() {
        for (pattern, repository, expected) in [
            ("prod/app", "prod/app", true),
            ("prod/app", "prod/app2", false),
            ("prod/app", "evil/prod/app", false),
            ("prod/*", "prod/app", true),
            ("prod/*", "prod/team/app", false),
            ("prod/**", "prod/team/app", true),
            ("prod/**", "prod", false),
            ("prod/**", "production/app", false),
            ("**", "any/thing/at/all", true),
            ("*", "one", true),
            ("*", "one/two", false),
            ("team-?/app", "team-a/app", true),
            ("{a,b}/app", "b/app", true),
        ] {
            check(pattern, repository, expected);
        }
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        assert!(RepositoryPattern::parse("").is_err());
        assert!(RepositoryPattern::parse("prod/[").is_err());
        assert!(RepositoryPattern::parse(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn the_highest_matching_right_counts_and_nothing_matching_is_no_right() {
        let mut grants = Grants::default();
        grants.add(RepositoryPattern::parse("**").unwrap(), Action::Pull);
        grants.add(RepositoryPattern::parse("prod/*").unwrap(), Action::Push);
        assert_eq!(grants.highest("prod/app"), Some(Action::Push));
        assert_eq!(grants.highest("dev/app"), Some(Action::Pull));
        assert_eq!(Grants::default().highest("dev/app"), None);
    }
}
