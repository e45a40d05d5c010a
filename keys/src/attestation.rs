//! Signed statements about an image: who says what. An attestation never counts as a signature, nor the reverse.
//!
//! What a verified attestation says and who says it stay together in one value, so that no rule can take the predicate
//! of one and the identity of another.

pub mod predicate;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::cosign::bundle::{self, Opened, SIGN_PREDICATE_TYPE};
use crate::cosign::{CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, Claims};
use crate::signature::Subject;
use crate::sigstore::{self, Artifact, SigstoreError, VerifiedBundle, statement};
use crate::trust_store::TrustStore;
use crate::verify::{Examined, Rejection, Signers, Voucher, accept};
use crate::{digest, json, limits};

/// An attestation as found, about which nothing is known yet. The fields are attacker-controlled.
#[derive(Clone, Debug)]
pub enum UnverifiedAttestation {
    /// One layer of a cosign `.att` manifest: a DSSE envelope.
    Envelope {
        /// Digest that the manifest declares for the envelope.
        envelope_digest: String,
        /// Size in bytes that the manifest declares for the envelope.
        envelope_size: u64,
        /// The envelope blob.
        envelope: Vec<u8>,
        /// The layer's annotations. Its `predicateType` is anybody's and not looked at.
        annotations: BTreeMap<String, String>,
    },
    /// One sigstore bundle found as a referrer.
    SigstoreBundle {
        /// Digest of the referrer manifest, for the trace.
        manifest_digest: String,
        /// `subject.digest` of the referrer manifest: must equal the digest under test.
        subject_digest: String,
        /// Digest that the referrer manifest declares for the bundle.
        bundle_digest: String,
        /// Size in bytes that the referrer manifest declares for the bundle.
        bundle_size: u64,
        /// The bundle blob.
        bundle: Vec<u8>,
    },
}

/// How an attestation was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttestationForm {
    /// cosign's `.att` tag with a DSSE envelope.
    CosignEnvelope,
    /// A sigstore bundle as an OCI referrer.
    SigstoreBundle,
}

/// Somebody we know says this about the subject. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedAttestation {
    identity: String,
    principal: String,
    form: AttestationForm,
    subject_digest: String,
    digest: String,
    key_id: String,
    signer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<VerifiedBundle>,
    predicate_type: String,
    #[serde(skip)]
    valid_until: Option<i64>,
    #[serde(skip)]
    statement: Value,
}

/// The answer about all attestations found for one subject.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Attestations {
    /// Good ones, in the order given.
    pub verified: Vec<VerifiedAttestation>,
    /// The others, each with the check that failed.
    pub rejected: Vec<Rejection>,
    /// Some were not looked at: a limit was reached, or they could not be read. What was found counts; that nothing newer
    /// was found says nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

impl VerifiedAttestation {
    /// Name of the identity in the trust store.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who is counted.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// How it was stored.
    pub fn form(&self) -> AttestationForm {
        self.form
    }

    /// The digest it is about.
    pub fn subject_digest(&self) -> &str {
        &self.subject_digest
    }

    /// Digest of the blob it lies in, `sha256:<hex>`: what evidence refers to.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// One signer's mark, as [`crate::signature::VerifiedSignature::key_id`].
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Who signed, in words.
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// What proves a certificate identity; `None` for a key.
    pub fn certificate(&self) -> Option<&VerifiedBundle> {
        self.certificate.as_ref()
    }

    /// The latest time that a log or timestamp authority proves, seconds since 1970-01-01 UTC: of two reports the newer
    /// by this. `None` for a key, whose envelopes prove no time.
    pub fn proven_time(&self) -> Option<i64> {
        self.certificate.as_ref().and_then(|certificate| certificate.times().iter().max().copied())
    }

    /// The last moment at which this may still be believed without asking again, seconds since 1970-01-01 UTC; `None`: no
    /// key or certificate ends.
    pub fn valid_until(&self) -> Option<i64> {
        self.valid_until
    }

    /// The statement's `predicateType`, never empty.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The whole statement, read once from the exact bytes that were signed.
    pub fn statement(&self) -> &Value {
        &self.statement
    }

    /// The statement's predicate; null if it has none.
    pub fn predicate(&self) -> &Value {
        self.statement.get("predicate").unwrap_or(&Value::Null)
    }
}

/// Checks every candidate against every identity. `now` is seconds since 1970-01-01 UTC. A candidate that fails never
/// hides one that passes, within the limits of [`crate::verify::verify`].
pub fn verify(
    attestations: &[UnverifiedAttestation],
    subject: Subject<'_>,
    trust_store: &TrustStore,
    now: i64,
) -> Attestations {
    let mut verifier = Verifier::new(subject, trust_store, now);
    for attestation in attestations {
        verifier.examine(attestation, &|_| true);
    }
    verifier.finish()
}

/// Checks candidates one by one, for those who cannot hold all of them in memory.
pub struct Verifier<'a> {
    subject: Subject<'a>,
    signers: Signers<'a>,
    now: i64,
    examined: usize,
    answer: Attestations,
}

impl<'a> Verifier<'a> {
    /// Begins with nobody saying anything. `now` is seconds since 1970-01-01 UTC.
    pub fn new(subject: Subject<'a>, trust_store: &'a TrustStore, now: i64) -> Self {
        let answer = Attestations::default();
        Self { subject, signers: Signers::new(trust_store), now, examined: 0, answer }
    }

    /// Checks one candidate, and keeps what it says if its predicate type is `wanted`: an image may have SBOMs of many
    /// megabytes that nobody asks about.
    pub fn examine(
        &mut self,
        attestation: &UnverifiedAttestation,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Examined {
        if self.examined >= limits::CANDIDATES_MAX {
            self.answer.incomplete = true;
            return Examined::Not;
        }
        self.examined += 1;
        match check(attestation, self.subject, &mut self.signers, self.now) {
            Ok(found) => {
                self.answer.verified.extend(found.into_iter().filter(|one| wanted(&one.predicate_type)));
                Examined::Good
            }
            Err(reason) => {
                self.refuse(candidate(attestation), reason.clone());
                // One that nobody can judge may be the newest, and must not be passed over for an older, better one.
                if self.signers.is_exhausted() || self.signers.is_rootless() {
                    self.answer.incomplete = true;
                    return Examined::Not;
                }
                Examined::Refused { reason, lasting: !self.signers.has_certificates() }
            }
        }
    }

    /// Counts a candidate that does not count, for a reason that the caller knows.
    pub fn refuse(&mut self, candidate: String, reason: String) {
        if self.answer.rejected.len() < limits::REJECTIONS_MAX {
            self.answer.rejected.push(Rejection { candidate, reason });
        }
    }

    /// Tells of a candidate that nobody could look at.
    pub fn miss(&mut self, candidate: String, reason: String) {
        self.answer.incomplete = true;
        self.refuse(candidate, reason);
    }

    /// How many are kept so far.
    pub fn kept(&self) -> usize {
        self.answer.verified.len()
    }

    /// The answer about all of them.
    pub fn finish(self) -> Attestations {
        self.answer
    }
}

fn candidate(attestation: &UnverifiedAttestation) -> String {
    json::quote(match attestation {
        UnverifiedAttestation::Envelope { envelope_digest, .. } => envelope_digest,
        UnverifiedAttestation::SigstoreBundle { manifest_digest, .. } => manifest_digest,
    })
}

/// All checks of one candidate: integrity and path, the signature, what it says and about what, whose it is.
fn check(
    attestation: &UnverifiedAttestation,
    subject: Subject<'_>,
    signers: &mut Signers<'_>,
    now: i64,
) -> Result<Vec<VerifiedAttestation>, String> {
    let (form, digest, vouchers, payload) = match attestation {
        UnverifiedAttestation::Envelope { envelope_digest, envelope_size, envelope, annotations } => {
            check_integrity(envelope_digest, *envelope_size, envelope)?;
            let (vouchers, payload) = by_envelope(envelope, annotations, subject, signers, now)?;
            (AttestationForm::CosignEnvelope, envelope_digest, vouchers, payload)
        }
        UnverifiedAttestation::SigstoreBundle {
            subject_digest, bundle_digest, bundle_size, bundle, ..
        } => {
            let bytes_max = limits::ATTESTATION_BYTES_MAX;
            let opened =
                bundle::open(bundle_digest, *bundle_size, bundle, subject_digest, subject.digest, bytes_max);
            let (vouchers, payload) = match opened.map_err(words)? {
                Opened::ByKey(signed) => {
                    let hint = signed.hint.as_deref();
                    (signers.by_key(&signed.message, &signed.signature, hint).map_err(words)?, signed.payload)
                }
                Opened::ByCertificate => {
                    let bundle = sigstore::read(bundle).map_err(words)?;
                    let payload = sigstore::payload(&bundle).unwrap_or_default();
                    (
                        signers
                            .by_certificate(&bundle, Artifact::Digest(subject.digest), now)
                            .map_err(words)?,
                        payload,
                    )
                }
            };
            (AttestationForm::SigstoreBundle, bundle_digest, vouchers, payload)
        }
    };
    let (statement, claims) = says(&payload, subject.digest).map_err(words)?;
    let predicate_type =
        statement.get("predicateType").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut verified = Vec::new();
    let mut refusals = Vec::new();
    for voucher in vouchers {
        let accepted = accept(voucher.identity, voucher.key, &claims, subject, now);
        match accepted.and_then(|()| signers.check_revoked(&voucher)) {
            Ok(()) => verified.push(VerifiedAttestation {
                identity: voucher.identity.name.clone(),
                principal: voucher.identity.principal().to_owned(),
                form,
                subject_digest: subject.digest.to_owned(),
                digest: digest.clone(),
                valid_until: voucher.valid_until(),
                key_id: voucher.key_id,
                signer: voucher.signer,
                certificate: voucher.certificate,
                predicate_type: predicate_type.clone(),
                statement: statement.clone(),
            }),
            Err(refusal) => refusals.push(refusal.to_string()),
        }
    }
    if verified.is_empty() { Err(refusals.join("; ")) } else { Ok(verified) }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn check_integrity(declared: &str, size: u64, bytes: &[u8]) -> Result<(), String> {
    if u64::try_from(bytes.len()) != Ok(size) {
        return Err(format!("envelope has {} bytes, its descriptor says {size}", bytes.len()));
    }
    let seen = digest::sha256(bytes);
    if seen != declared {
        let declared = json::quote(declared);
        return Err(format!("envelope has digest `{seen}`, its descriptor says `{declared}`"));
    }
    Ok(())
}

/// A bare envelope: a certificate among the annotations means the certificate path, no falling from one to the other.
fn by_envelope<'a>(
    envelope: &[u8],
    annotations: &BTreeMap<String, String>,
    subject: Subject<'_>,
    signers: &mut Signers<'a>,
    now: i64,
) -> Result<(Vec<Voucher<'a>>, Vec<u8>), String> {
    let bytes_max = usize::try_from(limits::ATTESTATION_BYTES_MAX).unwrap_or(usize::MAX);
    let value = json::parse(envelope, bytes_max).map_err(words)?;
    let signed = bundle::signed(value.as_object().ok_or("the envelope is not an object")?).map_err(words)?;
    let is_certified =
        [CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION].iter().any(|&marker| annotations.contains_key(marker));
    let vouchers = if is_certified {
        let bundle = sigstore::legacy::envelope(envelope, annotations).map_err(words)?;
        signers.by_certificate(&bundle, Artifact::Digest(subject.digest), now).map_err(words)?
    } else {
        signers.by_key(&signed.message, &signed.signature, None).map_err(words)?
    };
    Ok((vouchers, signed.payload))
}

/// The statement about this digest, and what of it an identity may ask for.
fn says(payload: &[u8], expected_digest: &str) -> Result<(Value, Claims), SigstoreError> {
    statement::check_subject(payload, Artifact::Digest(expected_digest))?;
    let statement = statement::parse(payload)?;
    if statement.get("predicateType").and_then(Value::as_str) == Some(SIGN_PREDICATE_TYPE) {
        return Err(SigstoreError::Statement("a signature is no attestation".to_owned()));
    }
    let subjects = statement.get("subject").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // Name and annotations count only where there is one subject: of several, whose they are is anybody's guess.
    let only = if let [only] = subjects { Some(only) } else { None };
    let name = only.and_then(|subject| subject.get("name")).and_then(Value::as_str);
    let annotations = only.and_then(|subject| subject.get("annotations")).and_then(Value::as_object);
    let annotations: Map<String, Value> = annotations.cloned().unwrap_or_default();
    let claims = Claims { repository: name.filter(|name| !name.is_empty()).map(str::to_owned), annotations };
    Ok((statement, claims))
}
