//! The few fields of an X.509 certificate that Notary v1 rests on (RFC 5280 § 4.1).

use crate::der::{self, Reader};
use crate::trust_store::PublicKey;
use crate::x509::time;

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;
/// UTF8String, PrintableString, TeletexString, IA5String: read as UTF-8, which for names in use is the same.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13]; // 2.5.29.19
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03]; // 2.5.4.3

/// One certificate. Nothing in it is believed: its signature is checked by whoever pins an authority.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    pub(super) key: PublicKey,
    /// `None`: no common name, or more than one, or not text.
    pub(super) common_name: Option<String>,
    /// Seconds since 1970, both inclusive.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) is_authority: bool,
}

impl Certificate {
    pub(super) fn from_der(der: &[u8]) -> Result<Self, String> {
        let fields = fields(der).ok_or("not a certificate in DER")?;
        let key = PublicKey::from_der(fields.spki).map_err(|error| error.to_string())?;
        let (not_before, not_after, common_name) = (fields.not_before, fields.not_after, fields.common_name);
        Ok(Self {
            der: der.to_vec(),
            key,
            common_name,
            not_before,
            not_after,
            is_authority: fields.is_authority,
        })
    }
}

struct Fields<'a> {
    spki: &'a [u8],
    common_name: Option<String>,
    not_before: i64,
    not_after: i64,
    is_authority: bool,
}

fn fields(bytes: &[u8]) -> Option<Fields<'_>> {
    let mut outer = Reader::new(bytes);
    let mut certificate = outer.nested(der::SEQUENCE)?;
    outer.end()?;
    let mut body = certificate.nested(der::SEQUENCE)?;
    certificate.element(der::SEQUENCE)?;
    certificate.bits()?;
    certificate.end()?;

    let _version = body.element(VERSION);
    body.element(der::INTEGER)?; // serial number
    body.element(der::SEQUENCE)?; // signature algorithm, again
    body.element(der::SEQUENCE)?; // issuer
    let mut validity = body.nested(der::SEQUENCE)?;
    let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
    validity.end()?;
    let common_name = common_name(body.nested(der::SEQUENCE)?)?;
    let spki = body.whole(der::SEQUENCE)?;
    let _issuer_id = body.element(ISSUER_UNIQUE_ID);
    let _subject_id = body.element(SUBJECT_UNIQUE_ID);
    let is_authority = match body.nested(EXTENSIONS) {
        Some(extensions) => is_authority(extensions)?,
        None => false,
    };
    body.end()?;
    Some(Fields { spki, common_name, not_before, not_after, is_authority })
}

/// The only common name of a subject. Readers disagree on which of two counts, so two are as good as none.
#[expect(clippy::option_option, reason = "outside: not DER; inside: no single common name")]
fn common_name(mut subject: Reader<'_>) -> Option<Option<String>> {
    let mut names = Vec::new();
    while !subject.is_empty() {
        let mut set = subject.nested(SET)?;
        while !set.is_empty() {
            let mut attribute = set.nested(der::SEQUENCE)?;
            if attribute.element(der::OBJECT_IDENTIFIER)? == COMMON_NAME {
                let value = STRINGS.iter().find_map(|&tag| attribute.element(tag))?;
                names.push(std::str::from_utf8(value).ok()?.to_owned());
            }
        }
    }
    Some(if names.len() == 1 { names.pop() } else { None })
}

fn is_authority(mut wrapper: Reader<'_>) -> Option<bool> {
    let mut extensions = wrapper.nested(der::SEQUENCE)?;
    wrapper.end()?;
    let mut authority = false;
    while !extensions.is_empty() {
        let mut extension = extensions.nested(der::SEQUENCE)?;
        let identifier = extension.element(der::OBJECT_IDENTIFIER)?;
        let _critical = extension.element(BOOLEAN);
        let mut value = extension.nested(OCTET_STRING)?;
        extension.end()?;
        if identifier == BASIC_CONSTRAINTS {
            let mut constraints = value.nested(der::SEQUENCE)?;
            authority |= constraints.element(BOOLEAN).is_some_and(|byte| byte != [0]);
        }
    }
    Some(authority)
}
