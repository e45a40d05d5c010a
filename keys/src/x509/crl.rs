//! Certificate revocation lists (RFC 5280 § 5): whole lists of one issuer, signed with the key that signed the
//! certificates.
//!
//! Delta lists, indirect lists and lists of a part (issuing distribution point) carry a critical extension, and are
//! refused with it: what they leave out would pass for not revoked.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Certificate, SignatureAlgorithm, oid, time};
use crate::der::{self, Reader};
use crate::limits;

/// Why bytes are not a list that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Not DER, or not this structure. The word is the field of RFC 5280 § 5.1 where reading stopped.
    #[error("not a certificate revocation list: field `{0}` is malformed")]
    Malformed(&'static str),
    /// § 5.2: the list must not be used then. Delta and partial lists are told by it.
    #[error("critical extension `{0}` of the list is not understood: only whole lists of one issuer are")]
    UnknownCritical(String),
    /// Without it nobody knows when the list is too old.
    #[error("the list does not say when the next one comes")]
    NoNextUpdate,
    /// More than any list we read.
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

/// A list that was parsed. Whose it is, is proven when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    tbs: Vec<u8>,
    issuer: Vec<u8>,
    this_update: i64,
    next_update: i64,
    /// Time of revocation by serial number.
    revoked: BTreeMap<Vec<u8>, i64>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    /// The key that signed it, once one was found: a long list is hashed once, not at every signature.
    signed_by: OnceLock<Vec<u8>>,
}

impl RevocationList {
    /// Parses one list, in DER or as a PEM block `X509 CRL`.
    pub fn from_file(bytes: &[u8]) -> Result<Self, CrlError> {
        if bytes.len() > limits::CRL_BYTES_MAX {
            let (seen, max) = (bytes.len(), limits::CRL_BYTES_MAX);
            return Err(CrlError::TooLarge { seen, max, unit: "bytes" });
        }
        if bytes.first() == Some(&der::SEQUENCE) {
            return Self::from_der(bytes);
        }
        match pem_rfc7468::decode_vec(bytes) {
            Ok(("X509 CRL", der)) => Self::from_der(&der),
            _ => Err(CrlError::Malformed("PEM")),
        }
    }

    fn from_der(bytes: &[u8]) -> Result<Self, CrlError> {
        use CrlError::Malformed;
        let mut outer = Reader::new(bytes);
        let mut list = outer.nested(der::SEQUENCE).ok_or(Malformed("CertificateList"))?;
        outer.end().ok_or(Malformed("CertificateList"))?;
        let tbs = list.whole(der::SEQUENCE).ok_or(Malformed("tbsCertList"))?;
        let algorithm = list.whole(der::SEQUENCE).ok_or(Malformed("signatureAlgorithm"))?;
        let signature = list.bits().ok_or(Malformed("signatureValue"))?;
        list.end().ok_or(Malformed("signatureValue"))?;

        let mut fields = Reader::new(tbs).nested(der::SEQUENCE).ok_or(Malformed("tbsCertList"))?;
        // Version 2 is written as 1; version 1 leaves the field out and has no extensions.
        let version = fields.optional(der::INTEGER).ok_or(Malformed("version"))?;
        if version.is_some_and(|version| version != [1]) {
            return Err(Malformed("version"));
        }
        if fields.whole(der::SEQUENCE) != Some(algorithm) {
            return Err(Malformed("signature"));
        }
        let issuer = fields.whole(der::SEQUENCE).ok_or(Malformed("issuer"))?.to_vec();
        let this_update = time(&mut fields).ok_or(Malformed("thisUpdate"))?;
        let next_update = match fields.peek() {
            Some(der::UTC_TIME | der::GENERALIZED_TIME) => {
                time(&mut fields).ok_or(Malformed("nextUpdate"))?
            }
            _ => return Err(CrlError::NoNextUpdate),
        };
        let mut revoked = BTreeMap::new();
        if let Some(entries) = fields.optional(der::SEQUENCE).ok_or(Malformed("revokedCertificates"))? {
            revoked = parse_entries(Reader::new(entries))?;
        }
        if let Some(extensions) = fields.optional(der::context(0)).ok_or(Malformed("crlExtensions"))? {
            // Number and issuer's key; the fresh list (§ 5.2.6) only says where more can be had.
            refuse_critical(Reader::new(extensions), "crlExtensions")?;
        }
        fields.end().ok_or(Malformed("tbsCertList"))?;
        Ok(Self {
            tbs: tbs.to_vec(),
            issuer,
            this_update,
            next_update,
            revoked,
            algorithm: SignatureAlgorithm::parse(algorithm).ok_or(Malformed("signatureAlgorithm"))?,
            signature: signature.to_vec(),
            signed_by: OnceLock::new(),
        })
    }

    /// When it was made, in seconds since 1970-01-01 UTC.
    pub fn this_update(&self) -> i64 {
        self.this_update
    }

    /// When the next one comes; afterwards it says nothing.
    pub fn next_update(&self) -> i64 {
        self.next_update
    }

    /// Whether it names the issuer of `certificate` as its own.
    pub(crate) fn is_about(&self, certificate: &Certificate) -> bool {
        self.issuer == certificate.issuer
    }

    /// Whether `issuer` signed it.
    pub(crate) fn is_signed_by(&self, issuer: &Certificate) -> bool {
        if self.issuer != issuer.subject {
            return false;
        }
        if let Some(key) = self.signed_by.get() {
            return key == issuer.key.spki();
        }
        let is_signed = issuer.key.verifies(&self.algorithm, &self.tbs, &self.signature);
        if is_signed {
            self.signed_by.get_or_init(|| issuer.key.spki().to_vec());
        }
        is_signed
    }

    /// When `certificate` was revoked, if it was. A certificate on hold counts as revoked.
    pub(crate) fn revoked_at(&self, certificate: &Certificate) -> Option<i64> {
        self.revoked.get(certificate.serial()).copied()
    }
}

fn parse_entries(mut entries: Reader<'_>) -> Result<BTreeMap<Vec<u8>, i64>, CrlError> {
    let malformed = || CrlError::Malformed("revokedCertificates");
    let mut revoked = BTreeMap::new();
    while !entries.is_empty() {
        if revoked.len() == limits::CRL_ENTRIES_MAX {
            let max = limits::CRL_ENTRIES_MAX;
            return Err(CrlError::TooLarge { seen: max + 1, max, unit: "entries" });
        }
        let mut entry = entries.nested(der::SEQUENCE).ok_or_else(malformed)?;
        let serial = entry.element(der::INTEGER).ok_or_else(malformed)?;
        let at = time(&mut entry).ok_or_else(malformed)?;
        // A critical entry extension names another issuer (§ 5.3.3).
        if !entry.is_empty() {
            refuse_critical(entry, "crlEntryExtensions")?;
        }
        revoked.insert(serial.to_vec(), at);
    }
    Ok(revoked)
}

fn refuse_critical(mut outer: Reader<'_>, field: &'static str) -> Result<(), CrlError> {
    let malformed = || CrlError::Malformed(field);
    let mut extensions = outer.nested(der::SEQUENCE).ok_or_else(malformed)?;
    outer.end().ok_or_else(malformed)?;
    while !extensions.is_empty() {
        let mut extension = extensions.nested(der::SEQUENCE).ok_or_else(malformed)?;
        let id = extension.element(der::OBJECT_IDENTIFIER).ok_or_else(malformed)?;
        let is_critical = extension.default_false().ok_or_else(malformed)?;
        extension.element(der::OCTET_STRING).ok_or_else(malformed)?;
        extension.end().ok_or_else(malformed)?;
        if is_critical {
            return Err(CrlError::UnknownCritical(oid::dotted(id)));
        }
    }
    Ok(())
}
