//! The one entry for Notation: an envelope, the artifact, a statement of the trust policy, stores and `now` in.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::Artifact;
use super::envelope::{self, EnvelopeError, OpenedEnvelope, SigningScheme};
use super::revocation::{self, ListUsed};
use super::trust_policy::{Action, Check, Level, Statement, TrustStores};
use crate::json;
use crate::moment::rfc3339;
use crate::timestamp::{self, TimestampError, VerifiedTimestamp};
use crate::x509::{Certificate, ValidityError, valid_at};

/// The first enforced check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// The statement's level is `skip`: nothing is verified, so nothing is verified to be good.
    #[error("trust policy statement `{0}` skips verification, so nothing vouches")]
    Skipped(String),
    /// Integrity.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The signer demands a plug-in, and we run none.
    #[error("the signature demands verification plug-in `{0}`, which is not available")]
    Plugin(String),
    /// No certificate of the chain is in a store of the kind that the signing scheme needs.
    #[error("no certificate of the chain is in a `{kind}` trust store of statement `{statement}`")]
    Untrusted {
        /// `ca` or `signingAuthority`.
        kind: &'static str,
        /// The statement.
        statement: String,
    },
    /// Trusted authority, but not a trusted signer.
    #[error("signer `{0}` is none of the trusted identities")]
    Identity(String),
    /// A certificate was not valid when it counted.
    #[error(transparent)]
    Validity(#[from] ValidityError),
    /// A timestamp is needed.
    #[error("statement `{0}` asks for a timestamp, and the signature has none")]
    TimestampAbsent(String),
    /// There is one, and it proves nothing.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
    /// The signature's own end has passed.
    #[error("the signature expired at {}", rfc3339(*.0))]
    Expired(i64),
    /// Revocation data is needed for a certificate, and there is none.
    #[error("whether certificate `{0}` is revoked is not known")]
    RevocationUnknown(String),
    /// The list about a certificate has ended.
    #[error("the revocation list about certificate `{certificate}` ended at {}", rfc3339(*.ended))]
    RevocationStale {
        /// The certificate.
        certificate: String,
        /// When the next list was due.
        ended: i64,
    },
    /// A certificate was revoked.
    #[error("certificate `{certificate}` was revoked at {}", rfc3339(*.at))]
    Revoked {
        /// The certificate.
        certificate: String,
        /// When, says its issuer.
        at: i64,
    },
    /// Required user metadata is absent or different.
    #[error("signed metadata lacks `{0}`")]
    Metadata(String),
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// Skipped by the policy, or an enforced check before it failed.
    NotRun,
}

/// One line of the trace.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CheckResult {
    /// Which check.
    pub check: Check,
    /// What its failure means.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
}

/// A signature that counts under its statement. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VerifiedNotation {
    signer: String,
    key_id: String,
    scheme: SigningScheme,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lists: Vec<ListUsed>,
    trace: Vec<CheckResult>,
}

impl VerifiedNotation {
    /// The leaf's subject.
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// Hex SHA-256 of the leaf's public key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Who said when it was signed.
    pub fn scheme(&self) -> SigningScheme {
        self.scheme
    }

    /// When it was signed, in seconds since 1970-01-01 UTC; `None`: only the signer says so.
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// The last moment at which the same checks hold, in seconds since 1970-01-01 UTC; `None`: no end is known.
    pub fn valid_until(&self) -> Option<i64> {
        self.valid_until
    }

    /// The revocation lists that it rests on, with their age.
    pub fn lists(&self) -> &[ListUsed] {
        &self.lists
    }

    /// Every check in order.
    pub fn trace(&self) -> &[CheckResult] {
        &self.trace
    }

    /// Whether we know who signed. At level `audit` a signature by anybody counts for notation; a gate that names who
    /// vouches must ask this.
    pub fn is_authentic(&self) -> bool {
        self.trace.iter().any(|line| line.check == Check::Authenticity && line.outcome == Outcome::Passed)
    }
}

/// A signature that does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// The first enforced check that failed.
    #[source]
    pub error: NotationError,
    /// Every check in order.
    pub trace: Vec<CheckResult>,
}

type Run<'a> = &'a dyn Fn() -> Result<(), NotationError>;

/// Checks one envelope for `artifact` under `statement`. `metadata` is what the signed annotations must hold; `now` is
/// seconds since 1970-01-01 UTC.
pub fn verify(
    (envelope, media_type): (&[u8], &str),
    artifact: Artifact<'_>,
    (statement, stores): (&Statement, &TrustStores),
    metadata: &BTreeMap<String, String>,
    now: i64,
) -> Result<VerifiedNotation, Box<Refusal>> {
    level(statement)?;
    match integrity(envelope, media_type, artifact, metadata) {
        Ok(opened) => judge(&opened, (statement, stores), now),
        Err(error) => {
            let trace = vec![line(Check::Integrity, Action::Enforce, Err(&error))];
            Err(Box::new(Refusal { error, trace }))
        }
    }
}

/// What `skip` leaves unverified vouches for nothing.
fn level(statement: &Statement) -> Result<Level, Box<Refusal>> {
    let error = || NotationError::Skipped(statement.name.clone());
    statement.level.ok_or_else(|| Box::new(Refusal { error: error(), trace: Vec::new() }))
}

/// The checks after integrity, in the order of the specification.
pub(crate) fn judge(
    opened: &OpenedEnvelope,
    (statement, stores): (&Statement, &TrustStores),
    now: i64,
) -> Result<VerifiedNotation, Box<Refusal>> {
    let level = level(statement)?;
    let mut trace = vec![line(Check::Integrity, Action::Enforce, Ok(()))];
    let mut refused = None;
    // A timestamp is looked at where a check asks for it, and once.
    let (time, lists) = (OnceCell::new(), OnceCell::new());
    let timed = || time.get_or_init(|| authentic_timestamp(opened, (statement, stores), now));
    let unrevoked = || {
        lists.get_or_init(|| {
            let mut used = revocation::check(&opened.chain, stores, now)?;
            // CVE-2024-56138: whoever may no longer state times must not.
            if let Ok(Time::Stamped(timestamp)) = timed() {
                used.extend(revocation::check(timestamp.chain(), stores, now)?);
            }
            Ok(used)
        })
    };
    let checks: [(Check, Run<'_>); 4] = [
        (Check::Authenticity, &|| authenticity((opened.scheme, &opened.chain), statement, stores)),
        (Check::Expiry, &|| expiry(opened, now)),
        (Check::AuthenticTimestamp, &|| timed().as_ref().map(|_| ()).map_err(Clone::clone)),
        (Check::Revocation, &|| unrevoked().as_ref().map(|_| ()).map_err(Clone::clone)),
    ];
    for (check, run) in checks {
        let action = level.action(check);
        if action == Action::Skip || refused.is_some() {
            trace.push(CheckResult { check, action, outcome: Outcome::NotRun });
            continue;
        }
        let outcome = run();
        trace.push(line(check, action, outcome.as_ref().copied()));
        refused = outcome.err().filter(|_| action == Action::Enforce);
    }
    if let Some(error) = refused {
        return Err(Box::new(Refusal { error, trace }));
    }
    let leaf = opened.chain.first();
    let time = time.into_inner().and_then(Result::ok);
    let lists = lists.into_inner().and_then(Result::ok).unwrap_or_default();
    Ok(VerifiedNotation {
        signer: leaf.map(|leaf| leaf.subject().to_string()).unwrap_or_default(),
        key_id: leaf.map(Certificate::key_id).unwrap_or_default(),
        scheme: opened.scheme,
        time: time.as_ref().and_then(Time::proven),
        valid_until: valid_until(opened, level, (time.as_ref(), &lists)),
        lists,
        trace,
    })
}

/// At which time the certificates were found valid.
enum Time {
    /// The authority's, which is believed.
    Authority(i64),
    /// Now: nothing proves an earlier one.
    Now,
    /// The one that a timestamp proves.
    Stamped(Box<VerifiedTimestamp>),
}

impl Time {
    fn proven(&self) -> Option<i64> {
        match self {
            Self::Authority(time) => Some(*time),
            Self::Now => None,
            Self::Stamped(timestamp) => Some(timestamp.latest()),
        }
    }
}

/// The earliest end of what the level enforces: the signature's own, that of lists, and without a proven time the
/// certificates'.
fn valid_until(
    opened: &OpenedEnvelope,
    level: Level,
    (time, lists): (Option<&Time>, &[ListUsed]),
) -> Option<i64> {
    let is_enforced = |check| level.action(check) == Action::Enforce;
    let own = opened.expiry.filter(|_| is_enforced(Check::Expiry));
    let at_now = matches!(time, Some(Time::Now)) && is_enforced(Check::AuthenticTimestamp);
    let certificates = opened.chain.iter().map(Certificate::not_after).filter(|_| at_now);
    let lists = lists.iter().map(|list| list.next_update).filter(|_| is_enforced(Check::Revocation));
    certificates.chain(own).chain(lists).min()
}

fn line(check: Check, action: Action, outcome: Result<(), &NotationError>) -> CheckResult {
    let outcome = outcome.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Passed);
    CheckResult { check, action, outcome }
}

fn integrity(
    envelope: &[u8],
    media_type: &str,
    artifact: Artifact<'_>,
    metadata: &BTreeMap<String, String>,
) -> Result<OpenedEnvelope, NotationError> {
    let opened = envelope::open(envelope, media_type, artifact)?;
    if let Some(plugin) = &opened.plugin {
        return Err(NotationError::Plugin(json::quote(plugin)));
    }
    let differs = |(name, value): &(&String, &String)| {
        opened.metadata.get(*name).and_then(serde_json::Value::as_str) != Some(value.as_str())
    };
    match metadata.iter().find(differs) {
        Some((name, value)) => Err(NotationError::Metadata(format!("{name}={value}"))),
        None => Ok(opened),
    }
}

/// The store's kind follows from the scheme: a signer who calls himself an authority must not reach the other store.
pub(crate) fn authenticity(
    (scheme, chain): (SigningScheme, &[Certificate]),
    statement: &Statement,
    stores: &TrustStores,
) -> Result<(), NotationError> {
    let kind = match scheme {
        SigningScheme::X509 => "ca",
        SigningScheme::SigningAuthority => "signingAuthority",
    };
    if !chain.iter().any(|certificate| stores.hold(statement, kind, certificate)) {
        return Err(NotationError::Untrusted { kind, statement: statement.name.clone() });
    }
    let matches = |leaf: &Certificate| {
        statement.identities.is_empty()
            || statement.identities.iter().any(|identity| identity.is_subset_of(leaf.subject()))
    };
    match chain.first() {
        Some(leaf) if matches(leaf) => Ok(()),
        leaf => Err(NotationError::Identity(leaf.map(|leaf| leaf.subject().to_string()).unwrap_or_default())),
    }
}

fn expiry(opened: &OpenedEnvelope, now: i64) -> Result<(), NotationError> {
    match opened.expiry {
        Some(expiry) if expiry < now => Err(NotationError::Expired(expiry)),
        _ => Ok(()),
    }
}

/// An authority's time is believed. A signer's is not: a verified timestamp proves one, else only `now` is certain.
fn authentic_timestamp(
    opened: &OpenedEnvelope,
    (statement, stores): (&Statement, &TrustStores),
    now: i64,
) -> Result<Time, NotationError> {
    if let (SigningScheme::SigningAuthority, Some(time)) = (opened.scheme, opened.signing_time) {
        valid_at(&opened.chain, time)?;
        return Ok(Time::Authority(time));
    }
    let wants_timestamp = statement.stores.iter().any(|store| store.starts_with("tsa:"));
    let valid_now = valid_at(&opened.chain, now);
    if !wants_timestamp || statement.timestamp_after_expiry_only && valid_now.is_ok() {
        valid_now?;
        return Ok(Time::Now);
    }
    let token = opened.timestamp.as_deref();
    let token = token.ok_or_else(|| NotationError::TimestampAbsent(statement.name.clone()))?;
    let timestamp = timestamp::verify(token, &opened.signature, &stores.anchors(statement, "tsa"))?;
    for at in [timestamp.earliest(), timestamp.latest()] {
        valid_at(&opened.chain, at)?;
    }
    Ok(Time::Stamped(Box::new(timestamp)))
}
