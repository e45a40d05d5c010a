//! Signatures before and after they were checked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::notary::VerifiedTarget;
use crate::notation::{UnverifiedNotation, VerifiedNotation};
use crate::sigstore::VerifiedBundle;

/// What a signature must be about: one manifest, by the digest of its exact bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// `sha256:<hex>` of the manifest or index bytes served.
    pub digest: &'a str,
    /// The repository it is asked for in, `host/name`, for policies that compare the signed identity.
    pub repository: &'a str,
}

/// A signature as found, about which nothing is known yet. The fields are attacker-controlled.
///
/// As JSON it can be kept, to ask the same question again; bytes are base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum UnverifiedSignature {
    /// One layer of a cosign `.sig` manifest (simple signing).
    CosignSimple {
        /// Digest that the signature manifest declares for the payload.
        payload_digest: String,
        /// Size in bytes that the signature manifest declares for the payload.
        payload_size: u64,
        /// The payload blob: these exact bytes are signed.
        #[serde(with = "crate::base64_bytes")]
        payload: Vec<u8>,
        /// The layer's annotations.
        annotations: std::collections::BTreeMap<String, String>,
    },
    /// One Notation envelope found as a referrer.
    Notation(Box<UnverifiedNotation>),
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
        #[serde(with = "crate::base64_bytes")]
        bundle: Vec<u8>,
    },
}

impl UnverifiedSignature {
    /// How it is stored.
    pub fn form(&self) -> SignatureForm {
        match self {
            Self::CosignSimple { .. } => SignatureForm::CosignSimple,
            Self::Notation(_) => SignatureForm::Notation,
            Self::SigstoreBundle { .. } => SignatureForm::SigstoreBundle,
        }
    }
}

/// How a signature was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SignatureForm {
    /// cosign's `.sig` tag with a simple-signing payload.
    CosignSimple,
    /// A tag in the metadata of Notary v1 (Docker content trust).
    Notary,
    /// A Notation envelope, JWS or COSE, as an OCI referrer.
    Notation,
    /// A sigstore bundle as an OCI referrer, in-toto statement `https://sigstore.dev/cosign/sign/v1`.
    SigstoreBundle,
}

impl fmt::Display for SignatureForm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CosignSimple => "simple signing",
            Self::Notary => "notary v1",
            Self::Notation => "notation",
            Self::SigstoreBundle => "sigstore bundle",
        })
    }
}

/// Somebody we know vouches for the subject. Only [`crate::verify::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedSignature {
    pub(crate) identity: String,
    pub(crate) principal: String,
    pub(crate) form: SignatureForm,
    pub(crate) subject_digest: String,
    pub(crate) key_id: String,
    pub(crate) signer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<VerifiedBundle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notation: Option<Box<VerifiedNotation>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notary: Vec<VerifiedTarget>,
}

impl VerifiedSignature {
    /// Name of the identity in the trust store.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who is counted: two keys of one principal count once.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// How it was stored.
    pub fn form(&self) -> SignatureForm {
        self.form
    }

    /// The digest it vouches for.
    pub fn subject_digest(&self) -> &str {
        &self.subject_digest
    }

    /// What proves a certificate identity: its holder, the times, the log entries. `None` for a key.
    pub fn certificate(&self) -> Option<&VerifiedBundle> {
        self.certificate.as_ref()
    }

    /// What proves a signature by notation: every check, and what its failure would mean.
    pub fn notation(&self) -> Option<&VerifiedNotation> {
        self.notation.as_deref()
    }

    /// The tags that name the subject by Notary v1, with who signed them; empty for every other form.
    pub fn notary(&self) -> &[VerifiedTarget] {
        &self.notary
    }

    /// The last moment at which it counts, seconds since 1970-01-01 UTC, as its key's window or its certificate says;
    /// `None`: no end is known. Whoever keeps an answer that rests on it asks again afterwards.
    pub fn valid_until(&self) -> Option<i64> {
        self.valid_until
    }

    /// Who signed, in words: the key, or the certificate's subject and issuer.
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// One signer's mark, by which two signatures of one signer count once: hex SHA-256 of the public key
    /// (SubjectPublicKeyInfo, DER); of a certificate identity, whose keys live for minutes, of its issuer and subject.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}
