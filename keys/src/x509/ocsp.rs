//! Answers of an OCSP responder (RFC 6960), fetched beforehand: what the issuer of a certificate, or whom it appointed,
//! said about it, and until when.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::{Certificate, Purpose, SignatureAlgorithm, check_chain, time, valid_at};
use crate::der::{self, Reader};
use crate::limits;

const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01]; // 1.3.6.1.5.5.7.48.1.1
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a]; // 1.3.14.3.2.26
const SHA256_OID: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]; // 2.16.840.1.101.3.4.2.1
const ENUMERATED: u8 = 0x0a;

/// Why bytes are not an answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// Not DER, or not this structure. The word is the field of RFC 6960 § 4.2.1 where reading stopped.
    #[error("not an OCSP response: field `{0}` is malformed")]
    Malformed(&'static str),
    /// The responder did not answer the question (§ 2.3), and signs nothing then.
    #[error("the responder gave no answer: status {0}")]
    NotSuccessful(u8),
    /// A critical extension: the answer must not be used without understanding it.
    #[error("a critical extension of the response is not understood")]
    UnknownCritical,
    /// Without it nobody knows when the answer is too old (§ 4.2.2.1 lets it out).
    #[error("the response does not say when the next one comes")]
    NoNextUpdate,
    /// More than any response we read.
    #[error("{seen} {unit}, at most {max} are read")]
    TooLarge {
        /// How many there are.
        seen: usize,
        /// The bound.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
}

/// A response that was parsed. Who signed it, is proven when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspResponse {
    tbs: Vec<u8>,
    answers: Vec<Answer>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    brought: Vec<Certificate>,
}

/// What it says about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    hash: Hash,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    serial: Vec<u8>,
    pub(crate) status: Status,
    /// From when on it is known to be so, seconds since 1970-01-01 UTC.
    pub(crate) this_update: i64,
    /// Until when.
    pub(crate) next_update: i64,
}

/// § 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Revoked(i64),
    Unknown,
}

/// By which an issuer is named (§ 4.1.1): no signature rests on it, so the old one may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
        };
        digest(algorithm, bytes).as_ref().to_vec()
    }
}

impl OcspResponse {
    /// Parses one response in DER, as a responder sends it.
    ///
    /// # Errors
    /// When it is none, or one that cannot be used.
    pub fn from_der(bytes: &[u8]) -> Result<Self, OcspError> {
        use OcspError::Malformed;
        if bytes.len() > limits::OCSP_BYTES_MAX {
            let (seen, max) = (bytes.len(), limits::OCSP_BYTES_MAX);
            return Err(OcspError::TooLarge { seen, max, unit: "bytes" });
        }
        let mut outer = Reader::new(bytes);
        let mut response = outer.nested(der::SEQUENCE).ok_or(Malformed("OCSPResponse"))?;
        outer.end().ok_or(Malformed("OCSPResponse"))?;
        match response.element(ENUMERATED) {
            Some([0]) => {}
            Some(&[status]) => return Err(OcspError::NotSuccessful(status)),
            _ => return Err(Malformed("responseStatus")),
        }
        let basic = response.nested(der::context(0)).and_then(|mut explicit| {
            let mut inner = explicit.nested(der::SEQUENCE)?;
            explicit.end()?;
            let is_basic = inner.element(der::OBJECT_IDENTIFIER)? == BASIC_RESPONSE;
            let basic = inner.element(der::OCTET_STRING)?;
            inner.end()?;
            is_basic.then_some(basic)
        });
        let basic = basic.ok_or(Malformed("responseBytes"))?;
        response.end().ok_or(Malformed("responseBytes"))?;
        Self::from_basic(basic)
    }

    fn from_basic(bytes: &[u8]) -> Result<Self, OcspError> {
        use OcspError::Malformed;
        let mut outer = Reader::new(bytes);
        let mut basic = outer.nested(der::SEQUENCE).ok_or(Malformed("BasicOCSPResponse"))?;
        outer.end().ok_or(Malformed("BasicOCSPResponse"))?;
        let tbs = basic.whole(der::SEQUENCE).ok_or(Malformed("tbsResponseData"))?;
        let algorithm = basic.whole(der::SEQUENCE).and_then(SignatureAlgorithm::parse);
        let algorithm = algorithm.ok_or(Malformed("signatureAlgorithm"))?;
        let signature = basic.bits().ok_or(Malformed("signature"))?.to_vec();
        let brought = match basic.optional(der::context(0)).ok_or(Malformed("certs"))? {
            Some(certificates) => certificates_of(certificates)?,
            None => Vec::new(),
        };
        basic.end().ok_or(Malformed("certs"))?;
        Ok(Self { tbs: tbs.to_vec(), answers: answers_of(tbs)?, algorithm, signature, brought })
    }

    /// What it says about `certificate`, which `issuer` issued.
    pub(crate) fn about(&self, certificate: &Certificate, issuer: &Certificate) -> Option<&Answer> {
        self.answers.iter().find(|answer| answer.is_about(certificate, issuer))
    }

    /// Whether the issuer signed it, or somebody whom the issuer appointed for it and for whom it vouches that nobody
    /// need ask again (§ 4.2.2.2): `chain` begins with the issuer and ends with a root.
    pub(crate) fn is_signed_for(&self, chain: &[Certificate], now: i64) -> bool {
        let Some(issuer) = chain.first() else { return false };
        if issuer.key.verifies(&self.algorithm, &self.tbs, &self.signature) {
            return true;
        }
        self.brought.iter().any(|responder| {
            let whole: Vec<Certificate> = std::iter::once(responder).chain(chain).cloned().collect();
            responder.extensions().ocsp_no_check
                && responder.key.verifies(&self.algorithm, &self.tbs, &self.signature)
                && check_chain(&whole, Purpose::OcspSigning).is_ok()
                && valid_at(&whole, now).is_ok()
        })
    }
}

impl Answer {
    /// All three: a name alone may be another authority's, a key alone may have been renewed.
    fn is_about(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let Some(key) = key_bits(issuer) else { return false };
        self.serial == certificate.serial()
            && self.issuer_name_hash == self.hash.of(issuer.subject_der())
            && self.issuer_key_hash == self.hash.of(key)
            && certificate.issuer_der() == issuer.subject_der()
    }
}

/// The bits of the public key, without algorithm and length.
fn key_bits(certificate: &Certificate) -> Option<&[u8]> {
    let mut outer = Reader::new(certificate.key.spki());
    let mut spki = outer.nested(der::SEQUENCE)?;
    spki.whole(der::SEQUENCE)?;
    spki.bits()
}

fn certificates_of(bytes: &[u8]) -> Result<Vec<Certificate>, OcspError> {
    let malformed = || OcspError::Malformed("certs");
    let mut outer = Reader::new(bytes);
    let mut list = outer.nested(der::SEQUENCE).ok_or_else(malformed)?;
    outer.end().ok_or_else(malformed)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        if found.len() == limits::CHAIN_MAX {
            let max = limits::CHAIN_MAX;
            return Err(OcspError::TooLarge { seen: max + 1, max, unit: "certificates" });
        }
        let certificate = list.whole(der::SEQUENCE).ok_or_else(malformed)?;
        found.push(Certificate::from_der(certificate).map_err(|_| malformed())?);
    }
    Ok(found)
}

fn answers_of(tbs: &[u8]) -> Result<Vec<Answer>, OcspError> {
    use OcspError::Malformed;
    let mut fields = Reader::new(tbs).nested(der::SEQUENCE).ok_or(Malformed("tbsResponseData"))?;
    // Version 1 is the default, and DER leaves a default out.
    if fields.peek() == Some(der::context(0)) {
        return Err(Malformed("version"));
    }
    let (responder, _) = fields.any().ok_or(Malformed("responderID"))?;
    if responder != der::context(1) && responder != der::context(2) {
        return Err(Malformed("responderID"));
    }
    time(&mut fields).ok_or(Malformed("producedAt"))?;
    let mut list = fields.nested(der::SEQUENCE).ok_or(Malformed("responses"))?;
    refuse_critical(&mut fields, der::context(1))?;
    fields.end().ok_or(Malformed("responseExtensions"))?;
    let mut answers = Vec::new();
    while !list.is_empty() {
        if answers.len() == limits::OCSP_ANSWERS_MAX {
            let max = limits::OCSP_ANSWERS_MAX;
            return Err(OcspError::TooLarge { seen: max + 1, max, unit: "answers" });
        }
        answers.push(answer_of(list.nested(der::SEQUENCE).ok_or(Malformed("responses"))?)?);
    }
    Ok(answers)
}

fn answer_of(mut fields: Reader<'_>) -> Result<Answer, OcspError> {
    use OcspError::Malformed;
    let mut id = fields.nested(der::SEQUENCE).ok_or(Malformed("certID"))?;
    let mut algorithm = id.nested(der::SEQUENCE).ok_or(Malformed("hashAlgorithm"))?;
    let hash = match algorithm.element(der::OBJECT_IDENTIFIER) {
        Some(SHA1) => Hash::Sha1,
        Some(SHA256_OID) => Hash::Sha256,
        _ => return Err(Malformed("hashAlgorithm")),
    };
    let mut octets = |field| id.element(der::OCTET_STRING).map(<[u8]>::to_vec).ok_or(Malformed(field));
    let (issuer_name_hash, issuer_key_hash) = (octets("issuerNameHash")?, octets("issuerKeyHash")?);
    let serial = id.element(der::INTEGER).ok_or(Malformed("serialNumber"))?.to_vec();
    id.end().ok_or(Malformed("certID"))?;
    let status = match fields.any().ok_or(Malformed("certStatus"))? {
        (tag, []) if tag == der::context_value(0) => Status::Good,
        (tag, []) if tag == der::context_value(2) => Status::Unknown,
        (tag, revoked) if tag == der::context(1) => {
            let at = time(&mut Reader::new(revoked));
            Status::Revoked(at.ok_or(Malformed("revocationTime"))?)
        }
        _ => return Err(Malformed("certStatus")),
    };
    let this_update = time(&mut fields).ok_or(Malformed("thisUpdate"))?;
    let next_update = fields.optional(der::context(0)).ok_or(Malformed("nextUpdate"))?;
    let next_update = time(&mut Reader::new(next_update.ok_or(OcspError::NoNextUpdate)?));
    let next_update = next_update.ok_or(Malformed("nextUpdate"))?;
    refuse_critical(&mut fields, der::context(1))?;
    fields.end().ok_or(Malformed("singleExtensions"))?;
    Ok(Answer { hash, issuer_name_hash, issuer_key_hash, serial, status, this_update, next_update })
}

/// Reads the extensions under an explicit tag, if there are any, and refuses critical ones.
fn refuse_critical(fields: &mut Reader<'_>, tag: u8) -> Result<(), OcspError> {
    let malformed = || OcspError::Malformed("extensions");
    let Some(bytes) = fields.optional(tag).ok_or_else(malformed)? else { return Ok(()) };
    let mut outer = Reader::new(bytes);
    let mut list = outer.nested(der::SEQUENCE).ok_or_else(malformed)?;
    outer.end().ok_or_else(malformed)?;
    while !list.is_empty() {
        let mut extension = list.nested(der::SEQUENCE).ok_or_else(malformed)?;
        extension.element(der::OBJECT_IDENTIFIER).ok_or_else(malformed)?;
        if extension.default_false().ok_or_else(malformed)? {
            return Err(OcspError::UnknownCritical);
        }
        extension.element(der::OCTET_STRING).ok_or_else(malformed)?;
        extension.end().ok_or_else(malformed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
