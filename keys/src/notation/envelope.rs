//! What JWS and COSE envelopes of Notation have in common: attributes, algorithms, and the opening with its checks.
//!
//! Source: Notary Project, "Signature specification" and its envelope specifications for JWS and COSE, v1.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use serde_json::Value;

use super::{Artifact, cose, jws};
use crate::json::{self, JsonError};
use crate::limits;
use crate::x509::{Certificate, CertificateError, ChainError, KeyKind, Purpose, check_chain};

/// Media type of a JWS envelope.
pub const JWS_MEDIA_TYPE: &str = "application/jose+json";

/// Media type of a COSE envelope.
pub const COSE_MEDIA_TYPE: &str = "application/cose";

/// The one content type of the signed payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.cncf.notary.payload.v1+json";

/// Attributes by name, in both forms of envelope.
pub(crate) mod attribute {
    pub(crate) const AUTHENTIC_SIGNING_TIME: &str = "io.cncf.notary.authenticSigningTime";
    pub(crate) const EXPIRY: &str = "io.cncf.notary.expiry";
    pub(crate) const PLUGIN: &str = "io.cncf.notary.verificationPlugin";
    pub(crate) const PLUGIN_MIN_VERSION: &str = "io.cncf.notary.verificationPluginMinVersion";
    pub(crate) const SIGNING_SCHEME: &str = "io.cncf.notary.signingScheme";
    pub(crate) const SIGNING_TIME: &str = "io.cncf.notary.signingTime";
    /// Unprotected: it is made after the signature.
    pub(crate) const TIMESTAMP: &str = "io.cncf.notary.timestampSignature";
}

/// Why an envelope is not a signature over the artifact by the key of its leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Neither of the two media types.
    #[error("media type `{0}` is no Notation envelope")]
    MediaType(String),
    /// Larger than any real one.
    #[error("{0} bytes of envelope, at most {max} are read", max = limits::NOTATION_ENVELOPE_BYTES_MAX)]
    TooLarge(usize),
    /// Not strict JSON: the JWS, its protected header or the payload.
    #[error("{part}: {error}")]
    Json {
        /// Where.
        part: &'static str,
        /// What.
        error: JsonError,
    },
    /// Not strict CBOR: the COSE_Sign1 or its protected header.
    #[error("{part}: not strict CBOR: {problem}")]
    Cbor {
        /// Where.
        part: &'static str,
        /// What.
        problem: &'static str,
    },
    /// A member is absent, of another type or badly encoded.
    #[error("`{0}` is absent or malformed")]
    Member(String),
    /// A member that the form does not have.
    #[error("unexpected member `{0}`")]
    UnexpectedMember(String),
    /// An attribute both protected and not, or in two spellings: which one counts is not known.
    #[error("attribute `{0}` stands twice")]
    Repeated(String),
    /// Not one of the six algorithms.
    #[error("algorithm `{0}` is not accepted")]
    Algorithm(String),
    /// The algorithm is not the one that the leaf's key must use.
    #[error("algorithm `{algorithm}` is not the one of a {key} key")]
    AlgorithmOfKey {
        /// In the protected header.
        algorithm: &'static str,
        /// Of the leaf.
        key: String,
    },
    /// Another content type.
    #[error("content type `{0}`, expected `{PAYLOAD_TYPE}`")]
    ContentType(String),
    /// Another signing scheme.
    #[error("signing scheme `{0}` is unknown")]
    SigningScheme(String),
    /// `crit` names an attribute we do not know: the specification says verification must fail.
    #[error("critical attribute `{0}` is not understood")]
    UnknownCritical(String),
    /// `crit` names an attribute that is not there.
    #[error("critical attribute `{0}` is absent")]
    CriticalAbsent(String),
    /// An attribute that must be critical is not.
    #[error("attribute `{0}` must be listed as critical")]
    NotCritical(&'static str),
    /// An attribute of the other signing scheme.
    #[error("attribute `{attribute}` does not belong to signing scheme `{scheme}`")]
    ForeignAttribute {
        /// The attribute.
        attribute: &'static str,
        /// The scheme.
        scheme: &'static str,
    },
    /// The signature ends before it began.
    #[error("the expiry is not after the signing time")]
    ExpiryBeforeSigning,
    /// A certificate of the chain does not parse.
    #[error("certificate {index} of the chain: {error}")]
    Certificate {
        /// From the leaf, 0.
        index: usize,
        /// What.
        error: CertificateError,
    },
    /// The chain proves nothing.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The leaf's key did not sign.
    #[error("the signature does not verify with the key of the leaf certificate")]
    Signature,
    /// The payload is about another artifact (CVE-2023-33959 compared only a part).
    #[error("the signed `{field}` is `{signed}`, expected `{expected}`")]
    Target {
        /// `mediaType`, `digest` or `size`.
        field: &'static str,
        /// In the payload.
        signed: String,
        /// Of the artifact under test.
        expected: String,
    },
}

/// Who says when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum SigningScheme {
    /// `notary.x509`: the signer, whom nobody need believe; a timestamp may prove it.
    #[serde(rename = "notary.x509")]
    X509,
    /// `notary.x509.signingAuthority`: an authority that signs for others and is trusted with the time.
    #[serde(rename = "notary.x509.signingAuthority")]
    SigningAuthority,
}

impl SigningScheme {
    /// As the attribute spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X509 => "notary.x509",
            Self::SigningAuthority => "notary.x509.signingAuthority",
        }
    }
}

/// The six algorithms, each for one kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 6] =
        [Self::Es256, Self::Es384, Self::Es512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// As JWS spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    /// As COSE numbers it (RFC 9053 § 2.1, RFC 8230 § 2).
    pub(crate) fn label(self) -> i128 {
        match self {
            Self::Es256 => -7,
            Self::Es384 => -35,
            Self::Es512 => -36,
            Self::Ps256 => -37,
            Self::Ps384 => -38,
            Self::Ps512 => -39,
        }
    }

    /// The one algorithm of a kind of key; `None` for keys that must not sign.
    pub(crate) fn of_key(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::P256 => Some(Self::Es256),
            KeyKind::P384 => Some(Self::Es384),
            KeyKind::P521 => Some(Self::Es512),
            KeyKind::Rsa { bits: 2048 } => Some(Self::Ps256),
            KeyKind::Rsa { bits: 3072 } => Some(Self::Ps384),
            KeyKind::Rsa { bits: 4096 } => Some(Self::Ps512),
            KeyKind::Rsa { .. } | KeyKind::Unknown => None,
        }
    }

    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &ECDSA_P521_SHA512_FIXED,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}

/// A signed attribute whose type the two forms spell differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttributeValue {
    Text(String),
    /// Seconds since 1970-01-01 UTC.
    Time(i64),
    /// Anything else: known attributes are never that.
    Other,
}

/// An envelope taken apart, before any check that needs more than its form.
#[derive(Debug)]
pub(crate) struct UnverifiedEnvelope {
    pub(crate) algorithm: Algorithm,
    pub(crate) content_type: String,
    /// The names in `crit`.
    pub(crate) critical: Vec<String>,
    /// The protected attributes besides algorithm, `crit` and content type.
    pub(crate) attributes: Vec<(String, AttributeValue)>,
    /// DER, leaf first.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
    /// The bytes that are signed.
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// An RFC 3161 token over `signature`.
    pub(crate) timestamp: Option<Vec<u8>>,
}

/// An envelope that was read, before anything was computed: who it says it is of.
#[derive(Debug)]
pub(crate) struct ReadEnvelope {
    parsed: UnverifiedEnvelope,
    attributes: Attributes,
    chain: Vec<Certificate>,
}

/// An envelope whose signature verifies with the key of its leaf, whose chain is one, and which is about the artifact.
/// Who the leaf is, is not known yet.
#[derive(Debug)]
pub(crate) struct OpenedEnvelope {
    pub(crate) scheme: SigningScheme,
    /// Said by the signer ([`SigningScheme::X509`]) or by the authority.
    pub(crate) signing_time: Option<i64>,
    pub(crate) expiry: Option<i64>,
    /// The plug-in that the signer demands.
    pub(crate) plugin: Option<String>,
    pub(crate) chain: Vec<Certificate>,
    /// `targetArtifact.annotations`: the user's metadata.
    pub(crate) metadata: serde_json::Map<String, Value>,
    /// The signature's value, which a timestamp is of.
    pub(crate) signature: Vec<u8>,
    /// An RFC 3161 token, about which nothing is known yet.
    pub(crate) timestamp: Option<Vec<u8>>,
}

/// Every check of the class "integrity": the form, the certificates' profile, the signature, and what it is about.
pub(crate) fn open(
    envelope: &[u8],
    media_type: &str,
    artifact: Artifact<'_>,
) -> Result<OpenedEnvelope, EnvelopeError> {
    read(envelope, media_type)?.prove(artifact)
}

/// The checks of the form, which cost no cryptography.
pub(crate) fn read(envelope: &[u8], media_type: &str) -> Result<ReadEnvelope, EnvelopeError> {
    if envelope.len() > limits::NOTATION_ENVELOPE_BYTES_MAX {
        return Err(EnvelopeError::TooLarge(envelope.len()));
    }
    let parsed = match media_type {
        JWS_MEDIA_TYPE => jws::parse(envelope)?,
        COSE_MEDIA_TYPE => cose::parse(envelope)?,
        other => return Err(EnvelopeError::MediaType(json::quote(other))),
    };
    if parsed.content_type != PAYLOAD_TYPE {
        return Err(EnvelopeError::ContentType(json::quote(&parsed.content_type)));
    }
    let attributes = Attributes::of(&parsed)?;
    if parsed.chain.len() > limits::CHAIN_MAX {
        return Err(ChainError::TooLong(parsed.chain.len()).into());
    }
    let certificate = |(index, der): (usize, &Vec<u8>)| {
        Certificate::from_der(der).map_err(|error| EnvelopeError::Certificate { index, error })
    };
    let chain = parsed.chain.iter().enumerate().map(certificate).collect::<Result<Vec<_>, _>>()?;
    Ok(ReadEnvelope { parsed, attributes, chain })
}

impl ReadEnvelope {
    /// Who says when it was signed.
    pub(crate) fn scheme(&self) -> SigningScheme {
        self.attributes.scheme
    }

    /// The certificates, leaf first; whether they are a chain is not known yet.
    pub(crate) fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// What [`Self::prove`] costs at most and for each identity a look at the timestamp, in units of one P-256
    /// verification: each certificate's key verifies its own signature and the one below.
    pub(crate) fn cost(&self, identities: usize) -> u32 {
        let keys = self.chain.iter().map(|certificate| certificate.key().kind().verification_cost());
        let chain = keys.fold(0, |sum: u32, cost| sum.saturating_add(cost.saturating_mul(2)));
        let timestamp = if self.parsed.timestamp.is_some() { TIMESTAMP_COST } else { 0 };
        let identities = u32::try_from(identities).unwrap_or(u32::MAX);
        chain.saturating_add(identities.saturating_mul(timestamp))
    }

    /// The checks that need cryptography, and what it is about.
    pub(crate) fn prove(self, artifact: Artifact<'_>) -> Result<OpenedEnvelope, EnvelopeError> {
        let Self { parsed, attributes, chain } = self;
        check_chain(&chain, Purpose::CodeSigning)?;
        let leaf = chain.first().ok_or(ChainError::Empty)?;
        // The key alone decides; the header may only agree.
        if Algorithm::of_key(leaf.key().kind()) != Some(parsed.algorithm) {
            let (algorithm, key) = (parsed.algorithm.name(), leaf.key().kind().to_string());
            return Err(EnvelopeError::AlgorithmOfKey { algorithm, key });
        }
        if !leaf.key().verifies_with(parsed.algorithm.verifier(), &parsed.message, &parsed.signature) {
            return Err(EnvelopeError::Signature);
        }
        let metadata = check_target(&parsed.payload, artifact)?;
        Ok(OpenedEnvelope {
            scheme: attributes.scheme,
            signing_time: attributes.signing_time,
            expiry: attributes.expiry,
            plugin: attributes.plugin,
            chain,
            metadata,
            signature: parsed.signature,
            timestamp: parsed.timestamp,
        })
    }
}

/// A token's own signature and a chain as long as is allowed.
const TIMESTAMP_COST: u32 = 48;

#[derive(Debug)]
struct Attributes {
    scheme: SigningScheme,
    signing_time: Option<i64>,
    expiry: Option<i64>,
    plugin: Option<String>,
}

impl Attributes {
    fn of(envelope: &UnverifiedEnvelope) -> Result<Self, EnvelopeError> {
        let attributes = &envelope.attributes;
        let value = |name: &str| attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        for name in &envelope.critical {
            if !CRITICAL_UNDERSTOOD.contains(&name.as_str()) {
                return Err(EnvelopeError::UnknownCritical(json::quote(name)));
            }
            if value(name).is_none() {
                return Err(EnvelopeError::CriticalAbsent(json::quote(name)));
            }
        }
        for name in CRITICAL_UNDERSTOOD {
            if value(name).is_some() && !envelope.critical.iter().any(|critical| critical == name) {
                return Err(EnvelopeError::NotCritical(name));
            }
        }
        let text = |name: &str| match value(name) {
            None => Ok(None),
            Some(AttributeValue::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(EnvelopeError::Member(name.to_owned())),
        };
        let time = |name: &str| match value(name) {
            None => Ok(None),
            Some(AttributeValue::Time(time)) => Ok(Some(*time)),
            Some(_) => Err(EnvelopeError::Member(name.to_owned())),
        };
        let absent = || EnvelopeError::Member(attribute::SIGNING_SCHEME.to_owned());
        let scheme = match text(attribute::SIGNING_SCHEME)?.ok_or_else(absent)?.as_str() {
            "notary.x509" => SigningScheme::X509,
            "notary.x509.signingAuthority" => SigningScheme::SigningAuthority,
            other => return Err(EnvelopeError::SigningScheme(json::quote(other))),
        };
        // An authority's time is believed; a signer's must not be taken for one.
        let (own, foreign) = match scheme {
            SigningScheme::X509 => (attribute::SIGNING_TIME, attribute::AUTHENTIC_SIGNING_TIME),
            SigningScheme::SigningAuthority => (attribute::AUTHENTIC_SIGNING_TIME, attribute::SIGNING_TIME),
        };
        if value(foreign).is_some() {
            return Err(EnvelopeError::ForeignAttribute { attribute: foreign, scheme: scheme.name() });
        }
        let signing_time = time(own)?;
        if signing_time.is_none() {
            return Err(EnvelopeError::Member(own.to_owned()));
        }
        let expiry = time(attribute::EXPIRY)?;
        if expiry.is_some_and(|expiry| signing_time.is_some_and(|signed| expiry <= signed)) {
            return Err(EnvelopeError::ExpiryBeforeSigning);
        }
        let plugin = text(attribute::PLUGIN)?;
        let demands_version = text(attribute::PLUGIN_MIN_VERSION)?.is_some();
        if demands_version && plugin.is_none() {
            return Err(EnvelopeError::Member(attribute::PLUGIN.to_owned()));
        }
        Ok(Self { scheme, signing_time, expiry, plugin })
    }
}

/// The attributes that we understand as critical, and that must be critical where they stand.
const CRITICAL_UNDERSTOOD: [&str; 5] = [
    attribute::SIGNING_SCHEME,
    attribute::AUTHENTIC_SIGNING_TIME,
    attribute::EXPIRY,
    attribute::PLUGIN,
    attribute::PLUGIN_MIN_VERSION,
];

/// The payload's descriptor must be the artifact's in all three of media type, digest and size. Returns the signed
/// annotations. Further fields of the descriptor are signed but mean nothing here.
fn check_target(
    payload: &[u8],
    artifact: Artifact<'_>,
) -> Result<serde_json::Map<String, Value>, EnvelopeError> {
    let error = |error| EnvelopeError::Json { part: "payload", error };
    let payload = json::parse(payload, limits::NOTATION_ENVELOPE_BYTES_MAX).map_err(error)?;
    let member = |name: &str| EnvelopeError::Member(name.to_owned());
    let target = payload.get("targetArtifact").and_then(Value::as_object);
    let target = target.ok_or_else(|| member("targetArtifact"))?;
    let text = |name: &'static str| target.get(name).and_then(Value::as_str).ok_or_else(|| member(name));
    let size = target.get("size").and_then(Value::as_u64).ok_or_else(|| member("size"))?;
    let compared = [
        ("mediaType", text("mediaType")?.to_owned(), artifact.media_type.to_owned()),
        ("digest", text("digest")?.to_owned(), artifact.digest.to_owned()),
        ("size", size.to_string(), artifact.size.to_string()),
    ];
    for (field, signed, expected) in compared {
        if signed != expected {
            let signed = json::quote(&signed);
            return Err(EnvelopeError::Target { field, signed, expected });
        }
    }
    match target.get("annotations") {
        None | Some(Value::Null) => Ok(serde_json::Map::new()),
        Some(Value::Object(annotations)) => Ok(annotations.clone()),
        Some(_) => Err(member("annotations")),
    }
}
