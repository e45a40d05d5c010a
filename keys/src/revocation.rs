//! What no longer counts although it verifies: revoked keys, identities, builds and digests, each with its reason.

use std::fmt;

use serde::Serialize;

use crate::moment::rfc3339;

/// One revocation, as the policy file states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revocation {
    /// What is revoked.
    pub of: Revoked,
    /// Only what was signed at this moment or later, seconds since 1970-01-01 UTC; `None`: from the beginning.
    ///
    /// Whoever holds a leaked key can write any date into what he signs, so only a time that a log or a timestamp
    /// authority proves counts as earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Only what was signed at this moment or earlier; `None`: for good. Proven likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Why, for whoever is refused.
    pub reason: String,
}

/// What a revocation is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revoked {
    /// A build: the run that a certificate names (extension 1.3.6.1.4.1.57264.1.21).
    BuildRun(String),
    /// A manifest or index, whoever signed it.
    Digest(String),
    /// Whatever an identity of the trust store vouches for.
    Identity(String),
    /// Whatever a key signs: hex SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    Key(String),
}

/// All revocations in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Revocations(Vec<Revocation>);

/// A signature, as revocations look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) identity: &'a str,
    pub(crate) key_id: &'a str,
    pub(crate) build_run: Option<&'a str>,
    /// Proven times, seconds since 1970-01-01 UTC.
    pub(crate) times: &'a [i64],
}

impl Revocations {
    /// In the order of the policy file.
    pub fn new(all: Vec<Revocation>) -> Self {
        Self(all)
    }

    /// In the order of the policy file.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.iter()
    }

    /// The revocation of a manifest or index itself, if there is one.
    pub fn of_digest(&self, digest: &str) -> Option<&Revocation> {
        self.0
            .iter()
            .find(|revocation| matches!(&revocation.of, Revoked::Digest(revoked) if revoked == digest))
    }

    /// The first revocation that takes a signature's worth away.
    pub(crate) fn of_signature(&self, signed: Signed<'_>) -> Option<&Revocation> {
        self.0.iter().find(|revocation| revocation.names(signed) && revocation.covers(signed.times))
    }
}

impl Revocation {
    fn names(&self, signed: Signed<'_>) -> bool {
        match &self.of {
            Revoked::BuildRun(run) => signed.build_run == Some(run),
            Revoked::Digest(_) => false,
            Revoked::Identity(identity) => signed.identity == identity,
            Revoked::Key(key_id) => signed.key_id == key_id,
        }
    }

    /// Whether something signed at these proven times may fall into the revoked window. The earliest one tells: a
    /// signature that a log holds was made before.
    fn covers(&self, times: &[i64]) -> bool {
        let Some(&signed_at) = times.iter().min() else { return true };
        self.since.is_none_or(|since| since <= signed_at) && self.until.is_none_or(|until| signed_at <= until)
    }
}

/// As a sentence's part: "key `…` is revoked (reason)".
impl fmt::Display for Revocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Revoked::BuildRun(run) => write!(formatter, "build run `{run}` is revoked")?,
            Revoked::Digest(digest) => write!(formatter, "`{digest}` is revoked")?,
            Revoked::Identity(identity) => write!(formatter, "identity `{identity}` is revoked")?,
            Revoked::Key(key_id) => write!(formatter, "key `{key_id}` is revoked")?,
        }
        if let Some(since) = self.since {
            write!(formatter, " for what was signed from {}", rfc3339(since))?;
        }
        if let Some(until) = self.until {
            write!(formatter, " until {}", rfc3339(until))?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: Signed<'_> =
        Signed { identity: "release", key_id: "ab12", build_run: Some("https://ci.example/7"), times: &[] };

    fn check(of: Revoked, (since, until): (Option<i64>, Option<i64>), times: &[i64], expected: bool) {
        let revocation = Revocation { of, since, until, reason: "leaked".to_owned() };
        let revocations = Revocations::new(vec![revocation.clone()]);
        let seen = revocations.of_signature(Signed { times, ..SIGNED });
        assert_eq!(seen.is_some(), expected, "{revocation} for times {times:?}");
    }

    #[test]
    fn what_is_named_is_revoked_and_nothing_else() {
        for (of, expected) in [
            (Revoked::Key("ab12".into()), true),
            (Revoked::Key("ab1".into()), false),
            (Revoked::Identity("release".into()), true),
            (Revoked::Identity("Release".into()), false),
            (Revoked::BuildRun("https://ci.example/7".into()), true),
            (Revoked::BuildRun("https://ci.example/70".into()), false),
            (Revoked::Digest("ab12".into()), false),
        ] {
            check(of, (None, None), &[], expected);
        }
    }

    #[test]
    fn only_a_proven_time_lies_outside_a_window() {
        let key = || Revoked::Key("ab12".into());
        for (window, times, expected) in [
            ((Some(100), None), &[][..], true),
            ((Some(100), None), &[99], false),
            ((Some(100), None), &[100], true),
            ((Some(100), None), &[150, 99], false),
            ((Some(100), Some(200)), &[200], true),
            ((Some(100), Some(200)), &[201], false),
            ((None, Some(200)), &[], true),
            ((None, None), &[1], true),
        ] {
            check(key(), window, times, expected);
        }
    }

    #[test]
    fn a_digest_is_revoked_by_its_whole_name() {
        let of = Revoked::Digest("sha256:ab".to_owned());
        let revocations = Revocations::new(vec![Revocation {
            of,
            since: None,
            until: None,
            reason: "backdoor".to_owned(),
        }]);
        assert_eq!(
            revocations.of_digest("sha256:ab").map(ToString::to_string).as_deref(),
            Some("`sha256:ab` is revoked: backdoor")
        );
        assert_eq!(revocations.of_digest("sha256:a"), None);
    }
}
