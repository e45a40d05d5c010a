//! The extensions of a certificate that decide what its key may do (RFC 5280 § 4.2).

use super::CertificateError;
use crate::der::{self, Reader};
use crate::limits;

/// The extensions we understand; of the others, whether one was critical.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<ExtendedKeyUsage>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) crl_urls: Vec<String>,
    pub(crate) ocsp_urls: Vec<String>,
    /// RFC 6960 § 4.2.2.2.1: the issuer says that nobody need ask whether this responder was revoked.
    pub(crate) ocsp_no_check: bool,
    /// The first critical extension that we do not understand: § 4.2 says the certificate must be rejected.
    pub(crate) unknown_critical: Option<String>,
}

/// § 4.2.1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) critical: bool,
    pub(crate) ca: bool,
    pub(crate) path_length: Option<usize>,
}

/// § 4.2.1.3: bit 0 is the highest of `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage {
    pub(crate) critical: bool,
    pub(crate) bits: u16,
}

impl KeyUsage {
    pub(crate) const DIGITAL_SIGNATURE: u16 = 0x8000;
    pub(crate) const KEY_CERT_SIGN: u16 = 0x0400;
}

/// § 4.2.1.12: the OIDs of the purposes, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedKeyUsage {
    pub(crate) critical: bool,
    pub(crate) purposes: Vec<Vec<u8>>,
}

impl Extensions {
    /// Of the content of the explicit tag `[3]`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        let malformed = || CertificateError::Malformed("extensions");
        let mut outer = Reader::new(bytes);
        let mut list = outer.nested(der::SEQUENCE).ok_or_else(malformed)?;
        outer.end().ok_or_else(malformed)?;
        let mut found = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let mut extension = list.nested(der::SEQUENCE).ok_or_else(malformed)?;
            let id = extension.element(der::OBJECT_IDENTIFIER).ok_or_else(malformed)?;
            let critical = extension.default_false().ok_or_else(malformed)?;
            let value = extension.element(der::OCTET_STRING).ok_or_else(malformed)?;
            extension.end().ok_or_else(malformed)?;
            if seen.contains(&id) {
                return Err(CertificateError::RepeatedExtension(oid::dotted(id)));
            }
            if seen.len() == limits::EXTENSIONS_MAX {
                let max = limits::EXTENSIONS_MAX;
                return Err(CertificateError::TooLarge { seen: max + 1, max, unit: "extensions" });
            }
            seen.push(id);
            found.take(id, critical, Reader::new(value))?;
        }
        Ok(found)
    }

    fn take(&mut self, id: &[u8], critical: bool, mut value: Reader<'_>) -> Result<(), CertificateError> {
        use CertificateError::Malformed;
        match id {
            oid::BASIC_CONSTRAINTS => {
                let constraints = basic_constraints(value, critical);
                self.basic_constraints = Some(constraints.ok_or(Malformed("basicConstraints"))?);
            }
            oid::KEY_USAGE => {
                let bits = key_usage(value).ok_or(Malformed("keyUsage"))?;
                self.key_usage = Some(KeyUsage { critical, bits });
            }
            oid::EXTENDED_KEY_USAGE => {
                let purposes = purposes(value).ok_or(Malformed("extKeyUsage"))?;
                self.extended_key_usage = Some(ExtendedKeyUsage { critical, purposes });
            }
            oid::SUBJECT_KEY_ID => {
                let id = value.element(der::OCTET_STRING).ok_or(Malformed("subjectKeyIdentifier"))?;
                self.subject_key_id = Some(id.to_vec());
            }
            // Where lists are found only helps; a certificate with a place we cannot read has none.
            oid::CRL_DISTRIBUTION_POINTS => self.crl_urls = crl_urls(value).unwrap_or_default(),
            oid::AUTHORITY_INFORMATION_ACCESS => self.ocsp_urls = ocsp_urls(value).unwrap_or_default(),
            oid::OCSP_NO_CHECK => self.ocsp_no_check = true,
            // Policies and the issuer's key restrict nothing that our profiles look at.
            oid::AUTHORITY_KEY_ID | oid::CERTIFICATE_POLICIES => {}
            _ if critical && self.unknown_critical.is_none() => self.unknown_critical = Some(oid::dotted(id)),
            _ => {}
        }
        Ok(())
    }
}

fn basic_constraints(mut value: Reader<'_>, critical: bool) -> Option<BasicConstraints> {
    let mut fields = value.nested(der::SEQUENCE)?;
    value.end()?;
    let ca = fields.default_false()?;
    let path_length = match fields.is_empty() {
        true => None,
        false => {
            let bytes = fields.unsigned()?;
            // A length beyond any chain is the same as none, but must not wrap.
            Some(bytes.iter().fold(0usize, |sum, &byte| sum.saturating_mul(256).saturating_add(byte.into())))
        }
    };
    fields.end()?;
    Some(BasicConstraints { critical, ca, path_length })
}

fn key_usage(mut value: Reader<'_>) -> Option<u16> {
    let content = value.element(der::BIT_STRING)?;
    value.end()?;
    match content {
        [unused @ 0..=7, high] if high.trailing_zeros() >= u32::from(*unused) => Some(u16::from(*high) << 8),
        [unused @ 0..=7, high, low] if low.trailing_zeros() >= u32::from(*unused) => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

fn purposes(mut value: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = value.nested(der::SEQUENCE)?;
    value.end()?;
    let mut purposes = Vec::new();
    while !list.is_empty() && purposes.len() < limits::EXTENSIONS_MAX {
        purposes.push(list.element(der::OBJECT_IDENTIFIER)?.to_vec());
    }
    list.end()?;
    (!purposes.is_empty()).then_some(purposes)
}

/// The URLs of complete lists: points limited to some reasons or signed by others are left out (§ 4.2.1.13).
fn crl_urls(mut value: Reader<'_>) -> Option<Vec<String>> {
    let mut points = value.nested(der::SEQUENCE)?;
    let mut urls = Vec::new();
    while !points.is_empty() && urls.len() < limits::EXTENSIONS_MAX {
        let mut point = points.nested(der::SEQUENCE)?;
        let Some(name) = point.optional(der::context(0))? else { continue };
        if point.is_empty()
            && let Some(full_name) = Reader::new(name).optional(der::context(0))?
        {
            let mut names = Reader::new(full_name);
            while !names.is_empty() && urls.len() < limits::EXTENSIONS_MAX {
                urls.extend(url(names.any()?));
            }
        }
    }
    Some(urls)
}

fn ocsp_urls(mut value: Reader<'_>) -> Option<Vec<String>> {
    let mut descriptions = value.nested(der::SEQUENCE)?;
    let mut urls = Vec::new();
    while !descriptions.is_empty() && urls.len() < limits::EXTENSIONS_MAX {
        let mut description = descriptions.nested(der::SEQUENCE)?;
        let method = description.element(der::OBJECT_IDENTIFIER)?;
        let location = description.any()?;
        if method == oid::OCSP {
            urls.extend(url(location));
        }
    }
    Some(urls)
}

/// A GeneralName that is a uniformResourceIdentifier.
fn url((tag, value): (u8, &[u8])) -> Option<String> {
    if tag != der::context_value(6) || !value.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Object identifiers of extensions and purposes, encoded.
pub(crate) mod oid {
    pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e]; // 2.5.29.14
    pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
    pub(crate) const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
    pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
    pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    pub(crate) const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
    // 1.3.6.1.5.5.7.1.1, then .48.1 and .3.x
    pub(crate) const AUTHORITY_INFORMATION_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
    pub(crate) const OCSP_NO_CHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];
    pub(crate) const OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
    pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
    pub(crate) const EMAIL_PROTECTION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x04];
    pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
    pub(crate) const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

    /// `1.2.840…` of an encoded OID, for messages.
    pub(crate) fn dotted(oid: &[u8]) -> String {
        let mut arcs: Vec<u64> = Vec::new();
        let mut arc = 0u64;
        for &byte in oid {
            arc = arc.saturating_mul(128).saturating_add(u64::from(byte & 0x7f));
            if byte & 0x80 == 0 {
                if arcs.is_empty() {
                    let first = (arc / 40).min(2);
                    arcs.extend([first, arc - 40 * first]);
                } else {
                    arcs.push(arc);
                }
                arc = 0;
            }
        }
        arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
    }
}
