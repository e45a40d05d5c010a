//! The one entry for Notation: an envelope, the artifact, a statement of the trust policy, stores and `now` in.

use std::collections::BTreeMap;

use super::Artifact;
use super::envelope::{self, EnvelopeError, OpenedEnvelope, SigningScheme};
use super::trust_policy::{Action, Check, Level, Statement, TrustStores};
use crate::json;
use crate::moment::rfc3339;
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
    #[error("statement `{0}` asks for a verified timestamp, and timestamps are not verified here")]
    TimestampUnverified(String),
    /// The signature's own end has passed.
    #[error("the signature expired at {}", rfc3339(*.0))]
    Expired(i64),
    /// Revocation data is needed for a certificate, and there is none.
    #[error("whether certificate `{0}` is revoked is not known")]
    RevocationUnknown(String),
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
    let checks: [(Check, Run<'_>); 4] = [
        (Check::Authenticity, &|| authenticity((opened.scheme, &opened.chain), statement, stores)),
        (Check::Expiry, &|| expiry(opened, now)),
        (Check::AuthenticTimestamp, &|| authentic_timestamp(opened, statement, now)),
        (Check::Revocation, &|| revocation(opened)),
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
    Ok(VerifiedNotation {
        signer: leaf.map(|leaf| leaf.subject().to_string()).unwrap_or_default(),
        key_id: leaf.map(Certificate::key_id).unwrap_or_default(),
        scheme: opened.scheme,
        time: proven_time(opened, &trace),
        valid_until: valid_until(opened, level),
        trace,
    })
}

/// An authority's time, once the certificates were found valid at it.
fn proven_time(opened: &OpenedEnvelope, trace: &[CheckResult]) -> Option<i64> {
    let is_proven =
        |line: &CheckResult| line.check == Check::AuthenticTimestamp && line.outcome == Outcome::Passed;
    let is_proven = trace.iter().any(is_proven);
    opened.signing_time.filter(|_| is_proven && opened.scheme == SigningScheme::SigningAuthority)
}

/// The earliest end of what the level enforces: the signature's own, and without a proven time the certificates'.
fn valid_until(opened: &OpenedEnvelope, level: Level) -> Option<i64> {
    let is_enforced = |check| level.action(check) == Action::Enforce;
    let own = opened.expiry.filter(|_| is_enforced(Check::Expiry));
    let at_now = opened.scheme == SigningScheme::X509 && is_enforced(Check::AuthenticTimestamp);
    let certificates = opened.chain.iter().map(Certificate::not_after).filter(|_| at_now);
    certificates.chain(own).min()
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

/// An authority's time is believed. A signer's is not: without a verified timestamp only `now` is certain.
fn authentic_timestamp(
    opened: &OpenedEnvelope,
    statement: &Statement,
    now: i64,
) -> Result<(), NotationError> {
    let wants_timestamp = statement.stores.iter().any(|store| store.starts_with("tsa:"));
    match (opened.scheme, opened.signing_time) {
        (SigningScheme::SigningAuthority, Some(time)) => Ok(valid_at(&opened.chain, time)?),
        _ if wants_timestamp && !statement.timestamp_after_expiry_only => {
            Err(NotationError::TimestampUnverified(statement.name.clone()))
        }
        _ => Ok(valid_at(&opened.chain, now)?),
    }
}

/// A certificate whose issuer publishes no revocation data cannot be revoked; of the others we know nothing yet.
fn revocation(opened: &OpenedEnvelope) -> Result<(), NotationError> {
    let publishes = |certificate: &&Certificate| {
        !certificate.crl_urls().is_empty() || !certificate.ocsp_urls().is_empty()
    };
    match opened.chain.iter().find(publishes) {
        Some(certificate) => Err(NotationError::RevocationUnknown(certificate.subject().to_string())),
        None => Ok(()),
    }
}
