//! X.509 certificates: strict facts of one certificate, and what a chain of them proves (RFC 5280).

mod algorithm;
mod chain;
mod crl;
mod extensions;
mod name;
mod ocsp;

use crate::der::{self, Reader};
use crate::{digest, limits, moment};

pub(crate) use algorithm::{Hash, KeyKind, SignatureAlgorithm, SubjectKey};
pub use chain::{ChainError, ProfileError, Purpose, ValidityError, check_chain, valid_at};
pub use crl::{CrlError, RevocationList};
pub(crate) use extensions::{Extensions, oid};
pub use name::{DistinguishedName, NameError};
pub(crate) use ocsp::Status as OcspStatus;
pub use ocsp::{OcspError, OcspResponse};

/// Why bytes are not a certificate we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or not this structure. The word is the field of RFC 5280 § 4.1 where reading stopped.
    #[error("not an X.509 certificate: field `{0}` is malformed")]
    Malformed(&'static str),
    /// Broken PEM, or a block of another kind.
    #[error("not PEM blocks `CERTIFICATE`: {0}")]
    Pem(String),
    /// An extension stands twice: two readers could choose differently (RFC 5280 § 4.2).
    #[error("extension `{0}` stands twice")]
    RepeatedExtension(String),
    /// Larger or more than any certificate needs.
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

/// A certificate that was parsed. Nothing about it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    name: DistinguishedName,
    not_before: i64,
    not_after: i64,
    key: SubjectKey,
    extensions: Extensions,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl Certificate {
    /// Parses one certificate in DER, with nothing after it.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        use CertificateError::Malformed;
        if bytes.len() > limits::CERTIFICATE_BYTES_MAX {
            let (seen, max) = (bytes.len(), limits::CERTIFICATE_BYTES_MAX);
            return Err(CertificateError::TooLarge { seen, max, unit: "bytes" });
        }
        let mut outer = Reader::new(bytes);
        let mut certificate = outer.nested(der::SEQUENCE).ok_or(Malformed("Certificate"))?;
        outer.end().ok_or(Malformed("Certificate"))?;
        let tbs = certificate.whole(der::SEQUENCE).ok_or(Malformed("tbsCertificate"))?;
        let algorithm = certificate.whole(der::SEQUENCE).ok_or(Malformed("signatureAlgorithm"))?;
        let signature = certificate.bits().ok_or(Malformed("signatureValue"))?;
        certificate.end().ok_or(Malformed("signatureValue"))?;

        let mut fields = Reader::new(tbs).nested(der::SEQUENCE).ok_or(Malformed("tbsCertificate"))?;
        let version = fields.optional(der::context(0)).flatten().ok_or(Malformed("version"))?;
        // Version 3 alone has extensions, and without extensions no use of a key is restricted.
        if version != [der::INTEGER, 1, 2] {
            return Err(Malformed("version"));
        }
        let serial = fields.element(der::INTEGER).filter(|serial| !serial.is_empty());
        let serial = serial.ok_or(Malformed("serialNumber"))?.to_vec();
        // § 4.1.1.2: outside and inside must agree, or the outer one would not be signed.
        if fields.whole(der::SEQUENCE) != Some(algorithm) {
            return Err(Malformed("signature"));
        }
        let issuer = fields.whole(der::SEQUENCE).ok_or(Malformed("issuer"))?.to_vec();
        let mut validity = fields.nested(der::SEQUENCE).ok_or(Malformed("validity"))?;
        let not_before = time(&mut validity).ok_or(Malformed("notBefore"))?;
        let not_after = time(&mut validity).ok_or(Malformed("notAfter"))?;
        validity.end().ok_or(Malformed("validity"))?;
        let subject = fields.whole(der::SEQUENCE).ok_or(Malformed("subject"))?.to_vec();
        let name = DistinguishedName::from_der(&subject).ok_or(Malformed("subject"))?;
        let key = fields.whole(der::SEQUENCE).and_then(SubjectKey::from_spki);
        let key = key.ok_or(Malformed("subjectPublicKeyInfo"))?;
        for unique_id in [der::context_value(1), der::context_value(2)] {
            fields.optional(unique_id).ok_or(Malformed("uniqueIdentifier"))?;
        }
        let extensions = match fields.optional(der::context(3)).ok_or(Malformed("extensions"))? {
            Some(extensions) => Extensions::parse(extensions)?,
            None => Extensions::default(),
        };
        fields.end().ok_or(Malformed("tbsCertificate"))?;
        Ok(Self {
            der: bytes.to_vec(),
            tbs: tbs.to_vec(),
            serial,
            issuer,
            subject,
            name,
            not_before,
            not_after,
            key,
            extensions,
            algorithm: SignatureAlgorithm::parse(algorithm).ok_or(Malformed("signatureAlgorithm"))?,
            signature: signature.to_vec(),
        })
    }

    /// Parses PEM blocks `CERTIFICATE`, or one certificate in DER: what a trust store's file holds.
    pub fn from_file(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if bytes.first() == Some(&der::SEQUENCE) {
            return Ok(vec![Self::from_der(bytes)?]);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| CertificateError::Pem(error.to_string()))?;
        let mut certificates = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("-----BEGIN ") {
            const END: &str = "-----END CERTIFICATE-----";
            if certificates.len() == limits::TRUST_ANCHORS_MAX {
                let max = limits::TRUST_ANCHORS_MAX;
                return Err(CertificateError::TooLarge { seen: max + 1, max, unit: "certificates" });
            }
            let end = rest[start..].find(END).map(|end| start + end + END.len());
            let end = end.ok_or_else(|| CertificateError::Pem(format!("no `{END}`")))?;
            let (label, der) = pem_rfc7468::decode_vec(&rest.as_bytes()[start..end])
                .map_err(|error| CertificateError::Pem(error.to_string()))?;
            if label != "CERTIFICATE" {
                return Err(CertificateError::Pem(format!("found a block `{}`", crate::json::quote(label))));
            }
            certificates.push(Self::from_der(&der)?);
            rest = &rest[end..];
        }
        if certificates.is_empty() {
            return Err(CertificateError::Pem("no block at all".to_owned()));
        }
        Ok(certificates)
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Hex SHA-256 of the certificate: its thumbprint.
    pub fn thumbprint(&self) -> String {
        digest::sha256_hex(&self.der)
    }

    /// Hex SHA-256 of its public key (SubjectPublicKeyInfo, DER).
    pub fn key_id(&self) -> String {
        digest::sha256_hex(self.key.spki())
    }

    /// Whom it names.
    pub fn subject(&self) -> &DistinguishedName {
        &self.name
    }

    /// The serial number, hex.
    pub fn serial_hex(&self) -> String {
        hex::encode(&self.serial)
    }

    /// The serial number's bytes, as encoded.
    pub(crate) fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// First second of its validity, since 1970-01-01 UTC.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Last second of its validity, since 1970-01-01 UTC.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Where its issuer publishes revocation lists (RFC 5280 § 4.2.1.13), as written.
    pub fn crl_urls(&self) -> &[String] {
        &self.extensions.crl_urls
    }

    /// Where its issuer answers OCSP (RFC 5280 § 4.2.2.1), as written.
    pub fn ocsp_urls(&self) -> &[String] {
        &self.extensions.ocsp_urls
    }

    /// Whether it names itself as issuer and its own key signed it.
    pub fn is_self_signed(&self) -> bool {
        self.issuer == self.subject && self.is_signed_by(self)
    }

    /// Whether it may issue others: basic constraints say so.
    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// Whether `issuer`'s key made the signature. Names are compared elsewhere.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        issuer.key.verifies(&self.algorithm, &self.tbs, &self.signature)
    }

    pub(crate) fn key(&self) -> &SubjectKey {
        &self.key
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The issuer's Name, DER.
    pub(crate) fn issuer_der(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject's Name, DER.
    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.subject
    }
}

/// UTCTime or GeneralizedTime as RFC 5280 § 4.1.2.5 allows them: to the second, in UTC.
pub(crate) fn time(reader: &mut Reader<'_>) -> Option<i64> {
    let (tag, text) = reader.any()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year_digits, century) = match tag {
        der::UTC_TIME => (2, None),
        der::GENERALIZED_TIME => (4, Some(0)),
        _ => return None,
    };
    if text.len() != year_digits + 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let year = number(0, year_digits)?;
    let year = year + century.unwrap_or(if year < 50 { 2000 } else { 1900 });
    let at = |index: usize| number(year_digits + 2 * index, year_digits + 2 * index + 2);
    moment::seconds([year, at(0)?, at(1)?, at(2)?, at(3)?, at(4)?])
}
