//! What a signing certificate says: validity, key, subject, issuer and Fulcio's extensions (RFC 5280; Fulcio oid-info).
//!
//! Only read here. That an authority vouches for it is checked elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

use super::SigstoreError;
use crate::der::{self, Reader};
use crate::x509::time;
use crate::{json, limits};

const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1_PRIMITIVE: u8 = 0x81;
const CONTEXT_2_PRIMITIVE: u8 = 0x82;
const CONTEXT_3: u8 = 0xa3;
const URI: u8 = 0x86;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;

/// Extended key usage code signing, 1.3.6.1.5.5.7.3.3.
pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25]; // 2.5.29.37
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f]; // 2.5.29.15
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11]; // 2.5.29.17
/// 1.3.6.1.4.1.57264.1, below which Fulcio's extensions lie.
const FULCIO_ARC: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01];
/// 1.3.6.1.4.1.57264.1.7: a name that is neither an address nor a URI.
const FULCIO_OTHER_NAME: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x07];

/// Fulcio's extensions by the names that policies use, and the last number of their object identifier.
pub(crate) const EXTENSION_NAMES: [(&str, u8); 22] = [
    ("github-workflow-trigger", 2),
    ("github-workflow-sha", 3),
    ("github-workflow-name", 4),
    ("github-workflow-repository", 5),
    ("github-workflow-ref", 6),
    ("build-signer-uri", 9),
    ("build-signer-digest", 10),
    ("runner-environment", 11),
    ("source-repository-uri", 12),
    ("source-repository-digest", 13),
    ("source-repository-ref", 14),
    ("source-repository-id", 15),
    ("source-repository-owner-uri", 16),
    ("source-repository-owner-id", 17),
    ("build-config-uri", 18),
    ("build-config-digest", 19),
    ("build-trigger", 20),
    ("run-invocation-uri", 21),
    ("source-repository-visibility", 22),
    ("deployment-environment", 23),
    ("token-subject", 24),
    ("issuer", 8),
];

/// Whom a certificate was issued to, as its authority vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateSigner {
    /// The one subject alternative name: an address, a URI, or Fulcio's other name.
    pub subject: String,
    /// The OIDC issuer that knew the subject.
    pub issuer: String,
    /// Fulcio's other extensions by name (see [`super::CertificateIdentity`]), those with an unknown number by their
    /// dotted object identifier.
    pub extensions: BTreeMap<String, String>,
}

/// One certificate, taken apart.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// Seconds since 1970, inclusive.
    pub(crate) not_before: i64,
    /// Seconds since 1970, inclusive.
    pub(crate) not_after: i64,
    /// SubjectPublicKeyInfo, DER.
    pub(crate) spki: &'a [u8],
    extensions: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, SigstoreError> {
        if der.len() > limits::CERTIFICATE_BYTES_MAX {
            let (seen, max) = (der.len(), limits::CERTIFICATE_BYTES_MAX);
            return Err(SigstoreError::Structure(format!(
                "a certificate of {seen} bytes, at most {max} are read"
            )));
        }
        read(der).ok_or_else(|| structure("a certificate is not DER of X.509 version 3"))
    }

    /// Whether the certificate may vouch at `time`; both ends belong to it (RFC 5280 § 4.1.2.5).
    pub(crate) fn is_valid_at(&self, time: i64) -> bool {
        self.not_before <= time && time <= self.not_after
    }

    pub(crate) fn is_self_signed(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether the key may sign code: by its extended usage, which must be there and name it (any usage is not it), and
    /// by its plain one, whose absence says yes (RFC 5280 § 4.2.1.3, § 4.2.1.12).
    pub(crate) fn may_sign(&self) -> bool {
        let usages = self.extension(EXTENDED_KEY_USAGE);
        let mut usages = usages.and_then(|usages| Reader::new(usages).nested(der::SEQUENCE));
        let mut next = || usages.as_mut().and_then(|usages| usages.element(der::OBJECT_IDENTIFIER));
        std::iter::from_fn(&mut next).any(|usage| usage == CODE_SIGNING) && self.may_sign_digitally()
    }

    fn may_sign_digitally(&self) -> bool {
        const DIGITAL_SIGNATURE: u8 = 0x80;
        let Some(usage) = self.extension(KEY_USAGE) else { return true };
        let bits = Reader::new(usage).element(der::BIT_STRING);
        bits.and_then(|bits| bits.get(1)).is_some_and(|bits| bits & DIGITAL_SIGNATURE != 0)
    }

    fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find(|(seen, _)| *seen == oid).map(|(_, value)| *value)
    }

    /// Who it was issued to. One name and one issuer, both of them said; two that differ are nobody.
    pub(crate) fn signer(&self) -> Result<CertificateSigner, SigstoreError> {
        let names = self.extension(SUBJECT_ALTERNATIVE_NAME);
        let names = names.ok_or_else(|| identity("the certificate names no subject"))?;
        let subject = one_name(names)
            .ok_or_else(|| identity("the certificate does not have exactly one subject of a kind we know"))?;
        let mut extensions = BTreeMap::new();
        let (mut current, mut deprecated) = (None, None);
        for (oid, value) in &self.extensions {
            let Some(&[number]) = oid.strip_prefix(FULCIO_ARC) else { continue };
            // 1 to 6 hold the bare text, all later ones a UTF8String. One that is neither names nothing.
            let text = if number <= 6 { std::str::from_utf8(value).ok() } else { utf8_string(value) };
            let Some(text) = text else {
                // A number of tomorrow may hold anything; one that policies compare must be readable.
                let is_known = EXTENSION_NAMES.iter().any(|(_, known)| *known == number) || number == 1;
                if is_known {
                    return Err(identity(&format!("the certificate's extension {number} is not text")));
                }
                continue;
            };
            match number {
                1 => deprecated = Some(text),
                8 => current = Some(text),
                _ => {
                    extensions.insert(extension_name(number), text.to_owned());
                }
            }
        }
        if let (Some(current), Some(deprecated)) = (current, deprecated)
            && current != deprecated
        {
            let (current, deprecated) = (json::quote(current), json::quote(deprecated));
            return Err(identity(&format!(
                "the certificate names two issuers, `{current}` and `{deprecated}`"
            )));
        }
        let issuer = current.or(deprecated).ok_or_else(|| identity("the certificate names no issuer"))?;
        Ok(CertificateSigner { subject, issuer: issuer.to_owned(), extensions })
    }
}

/// The name a policy uses for Fulcio's extension with this number.
pub(crate) fn extension_name(number: u8) -> String {
    let name = EXTENSION_NAMES.iter().find(|(_, known)| *known == number);
    name.map_or_else(|| format!("1.3.6.1.4.1.57264.1.{number}"), |(name, _)| (*name).to_owned())
}

fn structure(text: &str) -> SigstoreError {
    SigstoreError::Structure(text.to_owned())
}

fn identity(text: &str) -> SigstoreError {
    SigstoreError::Identity(text.to_owned())
}

fn read(der: &[u8]) -> Option<Certificate<'_>> {
    let mut outer = Reader::new(der);
    let mut certificate = outer.nested(der::SEQUENCE)?;
    outer.end()?;
    let mut body = certificate.nested(der::SEQUENCE)?;
    certificate.element(der::SEQUENCE)?;
    certificate.bits()?;
    certificate.end()?;
    // Version 3, which has extensions; without them there is no identity.
    (body.element(CONTEXT_0)? == [der::INTEGER, 1, 2]).then_some(())?;
    body.element(der::INTEGER)?;
    body.element(der::SEQUENCE)?;
    let issuer = body.whole(der::SEQUENCE)?;
    let mut validity = body.nested(der::SEQUENCE)?;
    let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
    validity.end()?;
    let subject = body.whole(der::SEQUENCE)?;
    let spki = body.whole(der::SEQUENCE)?;
    for unique_id in [CONTEXT_1_PRIMITIVE, CONTEXT_2_PRIMITIVE] {
        if body.peek() == Some(unique_id) {
            body.element(unique_id)?;
        }
    }
    let extensions = if body.is_empty() { Vec::new() } else { extensions(body.nested(CONTEXT_3)?)? };
    body.end()?;
    Some(Certificate { issuer, subject, not_before, not_after, spki, extensions })
}

/// Each extension once (RFC 5280 § 4.2): of two, readers disagree which counts.
fn extensions(mut wrapper: Reader<'_>) -> Option<Vec<(&[u8], &[u8])>> {
    let mut list = wrapper.nested(der::SEQUENCE)?;
    wrapper.end()?;
    let mut found: Vec<(&[u8], &[u8])> = Vec::new();
    while !list.is_empty() {
        let mut extension = list.nested(der::SEQUENCE)?;
        let oid = extension.element(der::OBJECT_IDENTIFIER)?;
        if extension.peek() == Some(BOOLEAN) {
            extension.element(BOOLEAN)?;
        }
        let value = extension.element(OCTET_STRING)?;
        extension.end()?;
        let is_new = !found.iter().any(|(seen, _)| *seen == oid);
        (is_new && found.len() < limits::CERTIFICATE_EXTENSIONS_MAX).then(|| found.push((oid, value)))?;
    }
    Some(found)
}

/// The only name in a SubjectAltName (RFC 5280 § 4.2.1.6). Several would let two readers see two signers.
fn one_name(value: &[u8]) -> Option<String> {
    let mut outer = Reader::new(value);
    let mut names = outer.nested(der::SEQUENCE)?;
    outer.end()?;
    let name = match names.peek()? {
        tag @ (CONTEXT_1_PRIMITIVE | URI) => {
            let name = std::str::from_utf8(names.element(tag)?).ok()?;
            name.is_ascii().then_some(name)?
        }
        CONTEXT_0 => {
            let mut other = names.nested(CONTEXT_0)?;
            (other.element(der::OBJECT_IDENTIFIER)? == FULCIO_OTHER_NAME).then_some(())?;
            let name = utf8_string(other.element(CONTEXT_0)?)?;
            other.end()?;
            name
        }
        _ => return None,
    };
    names.end()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn utf8_string(value: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(value);
    let text = std::str::from_utf8(reader.element(UTF8_STRING)?).ok()?;
    reader.end()?;
    Some(text)
}
