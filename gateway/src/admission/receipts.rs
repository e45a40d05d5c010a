//! Admission by receipts: the gate's signed word about an image, read from whichever registry holds the image, without
//! asking the gate. Whatever is missing, or cannot be told, is no.
//!
//! A receipt says that the gate released an image in one repository, until when, and under which policy. What a container
//! wants from its host is not in it, so here the strict defaults of a policy hold: neither privileged nor without AppArmor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keys::attestation;
use keys::receipt::{self, Expected, PREDICATE_TYPE};
use keys::signature::Subject;
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use tokio::sync::Semaphore;

use super::{Answer, Asked, denied};
use crate::clock::Clock;
use crate::digest::{Algorithm, Digest};
use crate::gate::verdict::Reason;
use crate::reference::ImageReference;
use crate::rounds::chain;
use crate::source::attestations;
use crate::source::registry::{Remote, RemoteError};

/// Images looked for at the same moment, each with a thread of its own: a registry that does not answer must not fill
/// the memory.
const AT_ONCE: usize = 8;
/// Receipts told in a denial that do not count: anybody who may push can attach more.
const REFUSED_TOLD_MAX: usize = 3;
/// The rule that reasons of this door name: there is no policy here.
const RULE: &str = "receipts";

/// Whose receipts count, and for what.
#[derive(Debug)]
pub struct ReceiptTrust {
    /// The gate's key.
    pub key: PublicKey,
    /// What the gate calls itself: bound to the key here, by whoever trusts both.
    pub verifier: String,
    /// Digests of the policies that it must have judged by; empty: any of the gate's.
    pub policies: Vec<String>,
    /// The registries that are read, as engines write them, each with its name in receipts. No other is ever asked: the
    /// name of an image is whoever's starts it.
    pub registries: BTreeMap<String, String>,
}

/// How an image that is asked for by tag is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// Whoever runs it resolves the tag again, perhaps to another image: denied.
    Denied,
    /// It is only brought in, and runs by digest alone: the registry says which digest the tag is.
    Resolved,
}

/// Reaches the registry of an image; credentials and certificates are its own.
pub type Connect = dyn Fn(&ImageReference) -> Result<Remote, String> + Send + Sync;

/// Answers from receipts.
pub struct ReceiptDoor {
    trust: Arc<ReceiptTrust>,
    connect: Arc<Connect>,
    tags: Tags,
    deadline: Duration,
    clock: Clock,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for ReceiptDoor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReceiptDoor").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl ReceiptDoor {
    /// A door that answers within `deadline`.
    pub fn new(
        trust: ReceiptTrust,
        connect: Arc<Connect>,
        tags: Tags,
        deadline: Duration,
        clock: Clock,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { trust: Arc::new(trust), connect, tags, deadline, clock, turns }
    }

    /// The image of a mirror as the gate names it, by digest, under which it is the same image everywhere; `None`: the gate
    /// is asked by the name that was given.
    pub fn as_the_gate_names(&self, image: &ImageReference) -> Option<ImageReference> {
        let name = self.trust.registries.get(image.registry())?;
        let digest = image.digest()?;
        ImageReference::parse(&format!("{name}/{}@{digest}", image.repository())).ok()
    }

    /// What the receipts of the image say.
    pub async fn answer(&self, asked: &Asked) -> Answer {
        if let Some(answer) = self.refused_unread(asked) {
            return answer;
        }
        let looked = async {
            let turn = self.turns.clone().acquire_owned().await.map_err(|error| error.to_string())?;
            let (trust, connect) = (self.trust.clone(), self.connect.clone());
            let (asked, now) = (asked.clone(), self.clock.now());
            // Not asynchronous, and it may hang: it keeps its turn until it ends, also when nobody waits any more.
            let looking = tokio::task::spawn_blocking(move || {
                let answer = connect(&asked.image).and_then(|remote| look(&trust, &remote, &asked, now));
                drop(turn);
                answer
            });
            looking.await.map_err(|_| "a worker failed".to_owned())?
        };
        match tokio::time::timeout(self.deadline, looked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => Answer::undecided(problem),
            Err(_) => Answer::undecided(format!(
                "`{}` did not give the receipts within {:?}",
                asked.image.registry(),
                self.deadline
            )),
        }
    }

    /// What no receipt could make good.
    fn refused_unread(&self, asked: &Asked) -> Option<Answer> {
        let image = &asked.image;
        let mut reasons = Vec::new();
        let mut object = |check: &str, message: String, next_step: &str| {
            reasons.push(Reason::new(check, RULE, message, next_step));
        };
        if !self.trust.registries.contains_key(image.registry()) {
            let known: Vec<&str> = self.trust.registries.keys().map(String::as_str).collect();
            let message = format!(
                "`{image}` is not from a registry whose receipts are read here: {}",
                known.join(", ")
            );
            object("registry", message, "run it from one of them, by digest");
        }
        if asked.runtime.privileged {
            let message = "the container asks to be privileged, which lifts every other protection";
            object(
                "privileged",
                message.to_owned(),
                "drop `privileged`; add the one capability that is needed",
            );
        }
        if asked.runtime.apparmor_unconfined {
            let message = "the container asks to run without AppArmor";
            object("apparmor", message.to_owned(), "drop `unconfined`");
        }
        if image.digest().is_none() && self.tags == Tags::Denied {
            let message =
                format!("`{image}` has no digest, and the tag may be another image when it is pulled");
            object("pin", message, "run it by digest, as registry/name@sha256:…");
        }
        (!reasons.is_empty()).then(|| denied(asked, reasons))
    }
}

/// Fetches and verifies. An error: nobody knows.
fn look(trust: &ReceiptTrust, remote: &Remote, asked: &Asked, now: i64) -> Result<Answer, String> {
    let image = &asked.image;
    let failed = |error: &RemoteError| format!("`{}`: {}", image.registry(), chain(error));
    let digest = match image.digest() {
        Some(digest) => digest.clone(),
        None => match remote.manifest(image.target()) {
            Ok(Some(manifest)) => Digest::parse(&manifest.digest).map_err(|error| error.to_string())?,
            Ok(None) => {
                let message = format!("`{image}` is not in its registry");
                return Ok(refuse(asked, message, "check the name and the tag"));
            }
            Err(error) => return unread(asked, &error, &failed),
        },
    };
    if digest.algorithm() != Algorithm::Sha256 {
        let message = format!("`{digest}`: receipts name images by SHA-256 alone");
        return Ok(refuse(asked, message, "push the image under its SHA-256"));
    }
    let found = match attestations::find(remote, &digest) {
        Ok(found) => found,
        Err(error) => return unread(asked, &error, &failed),
    };
    let name = trust.registries.get(image.registry()).map_or(image.registry(), String::as_str);
    let repository = format!("{name}/{}", image.repository());
    let subject = Subject { digest: digest.as_str(), repository: &repository };
    let statements = attestation::verify(&found.attestations, subject, &by_key(&trust.key), now);
    let mut refused = Vec::new();
    for statement in statements.verified.iter().filter(|one| one.predicate_type() == PREDICATE_TYPE) {
        match counts(trust, statement, &repository, now) {
            Ok(()) => {
                return Ok(Answer::Admitted { digest: digest.to_string(), warnings: warnings(asked) });
            }
            Err(reason) => refused.push(reason),
        }
    }
    // What another key signed is told last: of a hundred statements about an image it is the ordinary case.
    refused.extend(statements.rejected.into_iter().chain(found.unreadable).map(|other| other.reason));
    let told: Vec<String> =
        refused.iter().take(REFUSED_TOLD_MAX).map(|reason| reason.chars().take(200).collect()).collect();
    let told = match refused.len() - told.len() {
        _ if refused.is_empty() => "there is none".to_owned(),
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    };
    let message = format!("no receipt of `{}` for `{repository}@{digest}` counts: {told}", trust.verifier);
    let next_step = "have the gate release it, and copy its receipt along with the image; `portcullis verify --receipt` tells more";
    Ok(refuse(asked, message, next_step))
}

/// Whether the receipt is for this repository, by this gate, under one of the policies, and of this time.
fn counts(
    trust: &ReceiptTrust,
    statement: &attestation::VerifiedAttestation,
    repository: &str,
    now: i64,
) -> Result<(), String> {
    let policies = trust.policies.iter().map(|policy| Some(policy.as_str()));
    let any = trust.policies.is_empty().then_some(None);
    let mut refusal = String::new();
    for policy in policies.chain(any) {
        let expected = Expected { repository, verifier: Some(&trust.verifier), policy };
        match receipt::verify(statement, expected, now) {
            Ok(_) => return Ok(()),
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(refusal)
}

fn by_key(key: &PublicKey) -> TrustStore {
    let gate = Identity {
        name: "gate".to_owned(),
        principal: None,
        vouches: Vouches::Keys(vec![TrustedKey { key: key.clone(), not_before: None, not_after: None }]),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    TrustStore { identities: vec![gate], ..TrustStore::default() }
}

/// The registry's own no is an answer: a gate says so of what it does not serve.
fn unread(
    asked: &Asked,
    error: &RemoteError,
    failed: &dyn Fn(&RemoteError) -> String,
) -> Result<Answer, String> {
    match error {
        RemoteError::Denied { .. } => Ok(refuse(asked, failed(error), "see what the registry says")),
        other => Err(failed(other)),
    }
}

fn refuse(asked: &Asked, message: String, next_step: &str) -> Answer {
    denied(asked, vec![Reason::new("receipt", RULE, message, next_step)])
}

fn warnings(asked: &Asked) -> Vec<Reason> {
    let binds = &asked.runtime.host_binds;
    let message = format!("the container binds {} paths of the host", binds.len());
    let warning = || Reason::new("host-bind-mount", RULE, message, "use a named volume or a config object");
    (!binds.is_empty()).then(warning).into_iter().collect()
}

#[cfg(test)]
mod tests;
