//! RFC 3161 timestamp tokens: proof that a signature existed at a time, by an authority that the operator trusts.
//!
//! `sigstore-tsa` wants to know the one certificate that signs; here only roots are known and the token brings the rest.

use crate::der::{self, Reader};
use crate::limits;
use crate::moment;
use crate::x509::{
    Certificate, CertificateError, ChainError, Hash, Purpose, SignatureAlgorithm, ValidityError, check_chain,
    valid_at,
};

/// The first check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Larger than any token.
    #[error("{0} bytes of timestamp, at most {max} are read", max = limits::TIMESTAMP_BYTES_MAX)]
    TooLarge(usize),
    /// Not DER, or not this structure. The word is the field of RFC 5652 § 5 or RFC 3161 § 2.4.2 where reading stopped.
    #[error("not a timestamp token: field `{0}` is malformed")]
    Malformed(&'static str),
    /// The content is no TSTInfo.
    #[error("the signed content of the timestamp is not a time")]
    ContentType,
    /// Another number of signers: which one counts is not known.
    #[error("the timestamp has not exactly one signer")]
    Signers,
    /// A certificate in it does not parse.
    #[error("certificate of the timestamp: {0}")]
    Certificate(#[from] CertificateError),
    /// The signer's certificate is not in it.
    #[error("the certificate of the timestamp's signer is not in it")]
    SignerAbsent,
    /// The signed attributes are about another content.
    #[error("the signed digest of the timestamp's content is not that of its content")]
    MessageDigest,
    /// RFC 5816: the signed attributes name another certificate, or none.
    #[error("the timestamp does not say that it was signed by the certificate it brings")]
    SigningCertificate,
    /// The signer's key did not sign.
    #[error("the signature of the timestamp does not verify")]
    Signature,
    /// It is about another signature.
    #[error("the timestamp is of another signature")]
    Imprint,
    /// Its certificates are no chain for timestamps.
    #[error("certificates of the timestamp: {0}")]
    Chain(#[from] ChainError),
    /// Its root is not trusted.
    #[error("the timestamp's root `{0}` is in no `tsa` trust store")]
    Untrusted(String),
    /// A certificate of the authority was not valid at the time it states.
    #[error("timestamp authority: {0}")]
    Validity(#[from] ValidityError),
}

/// A time that an authority vouches for. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTimestamp {
    earliest: i64,
    latest: i64,
    chain: Vec<Certificate>,
}

impl VerifiedTimestamp {
    /// The time less the authority's accuracy, in seconds since 1970-01-01 UTC.
    pub fn earliest(&self) -> i64 {
        self.earliest
    }

    /// The time and the authority's accuracy, rounded up.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// The authority's certificates, leaf first.
    pub(crate) fn chain(&self) -> &[Certificate] {
        &self.chain
    }
}

/// Verifies a token (CMS ContentInfo) over `message` under one of the roots `anchors`.
pub fn verify(
    token: &[u8],
    message: &[u8],
    anchors: &[&Certificate],
) -> Result<VerifiedTimestamp, TimestampError> {
    if token.len() > limits::TIMESTAMP_BYTES_MAX {
        return Err(TimestampError::TooLarge(token.len()));
    }
    let signed = SignedData::parse(token)?;
    let signer = SignerInfo::parse(signed.signer)?;
    let certificates = certificates(signed.certificates)?;
    let leaf = certificates.iter().find(|certificate| signer.is_made_by(certificate));
    let leaf = leaf.ok_or(TimestampError::SignerAbsent)?;
    // RFC 5652 § 5.4: with attributes, they are signed in place of the content, and name its type and digest.
    if signer.attribute(oid::CONTENT_TYPE)? != der::encode(der::OBJECT_IDENTIFIER, oid::TST_INFO) {
        return Err(TimestampError::ContentType);
    }
    if signer.attribute(oid::MESSAGE_DIGEST)?
        != der::encode(der::OCTET_STRING, &signer.hash.digest(signed.content))
    {
        return Err(TimestampError::MessageDigest);
    }
    if !signer.names(leaf) {
        return Err(TimestampError::SigningCertificate);
    }
    if !leaf.key().verifies(&signer.algorithm, &der::encode(der::SET, signer.attributes), signer.signature) {
        return Err(TimestampError::Signature);
    }
    let info = TstInfo::parse(signed.content).ok_or(TimestampError::Malformed("TSTInfo"))?;
    if info.hash.digest(message) != info.imprint {
        return Err(TimestampError::Imprint);
    }
    let chain = chain(leaf.clone(), &certificates, anchors);
    check_chain(&chain, Purpose::TimeStamping)?;
    let root = chain.last().ok_or(ChainError::Empty)?;
    if !anchors.iter().any(|anchor| anchor.der() == root.der()) {
        return Err(TimestampError::Untrusted(root.subject().to_string()));
    }
    for at in [info.earliest, info.latest] {
        valid_at(&chain, at)?;
    }
    Ok(VerifiedTimestamp { earliest: info.earliest, latest: info.latest, chain })
}

/// From the leaf upwards by name, each certificate once; whether it is a chain is checked afterwards.
fn chain(leaf: Certificate, brought: &[Certificate], anchors: &[&Certificate]) -> Vec<Certificate> {
    let mut chain = vec![leaf];
    while let Some(last) = chain.last().filter(|last| last.issuer_der() != last.subject_der()) {
        let issues = |certificate: &&Certificate| certificate.subject_der() == last.issuer_der();
        // A trusted one first: an authority may have two certificates of one name.
        let issuer = anchors.iter().copied().find(issues).or_else(|| brought.iter().find(issues));
        match issuer {
            Some(issuer) if chain.len() < limits::CHAIN_MAX && !chain.contains(issuer) => {
                chain.push(issuer.clone());
            }
            _ => break,
        }
    }
    chain
}

/// RFC 5652 § 5.1, of a ContentInfo.
struct SignedData<'a> {
    /// TSTInfo, DER.
    content: &'a [u8],
    certificates: &'a [u8],
    signer: Reader<'a>,
}

impl<'a> SignedData<'a> {
    fn parse(token: &'a [u8]) -> Result<Self, TimestampError> {
        use TimestampError::Malformed;
        let malformed = || Malformed("ContentInfo");
        let mut outer = Reader::new(token);
        let mut info = outer.nested(der::SEQUENCE).ok_or_else(malformed)?;
        outer.end().ok_or_else(malformed)?;
        if info.element(der::OBJECT_IDENTIFIER) != Some(oid::SIGNED_DATA) {
            return Err(malformed());
        }
        let mut explicit = info.nested(der::context(0)).ok_or_else(malformed)?;
        info.end().ok_or_else(malformed)?;
        let mut data = explicit.nested(der::SEQUENCE).ok_or(Malformed("SignedData"))?;
        explicit.end().ok_or(Malformed("SignedData"))?;
        data.element(der::INTEGER).ok_or(Malformed("version"))?;
        data.element(der::SET).ok_or(Malformed("digestAlgorithms"))?;
        let mut content = data.nested(der::SEQUENCE).ok_or(Malformed("encapContentInfo"))?;
        if content.element(der::OBJECT_IDENTIFIER) != Some(oid::TST_INFO) {
            return Err(TimestampError::ContentType);
        }
        let mut explicit = content.nested(der::context(0)).ok_or(Malformed("eContent"))?;
        let content = explicit.element(der::OCTET_STRING).ok_or(Malformed("eContent"))?;
        explicit.end().ok_or(Malformed("eContent"))?;
        let certificates = data.optional(der::context(0)).ok_or(Malformed("certificates"))?;
        data.optional(der::context(1)).ok_or(Malformed("crls"))?;
        let mut signers = data.nested(der::SET).ok_or(Malformed("signerInfos"))?;
        data.end().ok_or(Malformed("signerInfos"))?;
        let signer = signers.nested(der::SEQUENCE).ok_or(TimestampError::Signers)?;
        signers.end().ok_or(TimestampError::Signers)?;
        Ok(Self { content, certificates: certificates.unwrap_or_default(), signer })
    }
}

/// Other forms of certificate (RFC 5652 § 10.2.2) are passed over: no signer of ours has one.
fn certificates(set: &[u8]) -> Result<Vec<Certificate>, TimestampError> {
    let malformed = || TimestampError::Malformed("certificates");
    let mut set = Reader::new(set);
    let mut certificates = Vec::new();
    while !set.is_empty() {
        if set.peek() != Some(der::SEQUENCE) {
            set.any().ok_or_else(malformed)?;
            continue;
        }
        if certificates.len() == limits::CHAIN_MAX {
            return Err(ChainError::TooLong(limits::CHAIN_MAX + 1).into());
        }
        certificates.push(Certificate::from_der(set.whole(der::SEQUENCE).ok_or_else(malformed)?)?);
    }
    Ok(certificates)
}

/// RFC 5652 § 5.3.
struct SignerInfo<'a> {
    id: SignerId<'a>,
    hash: Hash,
    /// The content of the set.
    attributes: &'a [u8],
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
}

enum SignerId<'a> {
    Issuer { name: &'a [u8], serial: &'a [u8] },
    SubjectKey(&'a [u8]),
}

impl<'a> SignerInfo<'a> {
    fn parse(mut fields: Reader<'a>) -> Result<Self, TimestampError> {
        use TimestampError::Malformed;
        fields.element(der::INTEGER).ok_or(Malformed("version"))?;
        let id = match fields.optional(der::context_value(0)).ok_or(Malformed("sid"))? {
            Some(key) => SignerId::SubjectKey(key),
            None => {
                let mut issuer = fields.nested(der::SEQUENCE).ok_or(Malformed("sid"))?;
                let name = issuer.whole(der::SEQUENCE).ok_or(Malformed("sid"))?;
                let serial = issuer.element(der::INTEGER).ok_or(Malformed("sid"))?;
                SignerId::Issuer { name, serial }
            }
        };
        let hash = fields.whole(der::SEQUENCE).and_then(Hash::parse).ok_or(Malformed("digestAlgorithm"))?;
        let attributes = fields.element(der::context(0)).ok_or(Malformed("signedAttrs"))?;
        let identifier = fields.whole(der::SEQUENCE).ok_or(Malformed("signatureAlgorithm"))?;
        let algorithm = match SignatureAlgorithm::parse(identifier).ok_or(Malformed("signatureAlgorithm"))? {
            // RFC 3370 § 3.2: the key's identifier alone, with the digest's hash.
            SignatureAlgorithm::Unknown(id) if id == "1.2.840.113549.1.1.1" => {
                SignatureAlgorithm::RsaPkcs1(hash)
            }
            other => other,
        };
        let signature = fields.element(der::OCTET_STRING).ok_or(Malformed("signature"))?;
        fields.optional(der::context(1)).ok_or(Malformed("unsignedAttrs"))?;
        fields.end().ok_or(Malformed("SignerInfo"))?;
        Ok(Self { id, hash, attributes, algorithm, signature })
    }

    fn is_made_by(&self, certificate: &Certificate) -> bool {
        match self.id {
            SignerId::Issuer { name, serial } => {
                certificate.issuer_der() == name && certificate.serial() == serial
            }
            SignerId::SubjectKey(key) => certificate.extensions().subject_key_id.as_deref() == Some(key),
        }
    }

    /// The one value of an attribute that stands once.
    fn attribute(&self, wanted: &[u8]) -> Result<&'a [u8], TimestampError> {
        self.find(wanted).ok_or(TimestampError::Malformed("signedAttrs"))
    }

    fn find(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let mut attributes = Reader::new(self.attributes);
        let mut found = None;
        while !attributes.is_empty() {
            let mut attribute = attributes.nested(der::SEQUENCE)?;
            let id = attribute.element(der::OBJECT_IDENTIFIER)?;
            let values = attribute.element(der::SET)?;
            if id == wanted && found.replace(values).is_some() {
                return None;
            }
        }
        found
    }

    /// ESSCertIDv2 (RFC 5035 § 4), or the older ESSCertID over SHA-1: the first one names the signer's certificate.
    fn names(&self, leaf: &Certificate) -> bool {
        let first = |attribute: &[u8]| -> Option<Reader<'a>> {
            let mut signing = Reader::new(self.find(attribute)?).nested(der::SEQUENCE)?;
            signing.nested(der::SEQUENCE)?.nested(der::SEQUENCE)
        };
        if let Some(mut id) = first(oid::SIGNING_CERTIFICATE_V2) {
            let hash = match id.peek() {
                Some(der::SEQUENCE) => id.whole(der::SEQUENCE).and_then(Hash::parse),
                _ => Some(Hash::Sha256),
            };
            let named = id.element(der::OCTET_STRING);
            return hash.zip(named).is_some_and(|(hash, named)| hash.digest(leaf.der()) == named);
        }
        // SHA-1 is enough to tell two certificates of one authority apart; the signature rests on none of it.
        let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, leaf.der());
        first(oid::SIGNING_CERTIFICATE).and_then(|mut id| id.element(der::OCTET_STRING))
            == Some(sha1.as_ref())
    }
}

/// RFC 3161 § 2.4.2.
struct TstInfo<'a> {
    hash: Hash,
    imprint: &'a [u8],
    earliest: i64,
    latest: i64,
}

impl<'a> TstInfo<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(bytes);
        let mut fields = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        if fields.unsigned()? != [1] {
            return None;
        }
        fields.element(der::OBJECT_IDENTIFIER)?;
        let mut imprint = fields.nested(der::SEQUENCE)?;
        let hash = Hash::parse(imprint.whole(der::SEQUENCE)?)?;
        let hashed = imprint.element(der::OCTET_STRING)?;
        imprint.end()?;
        fields.element(der::INTEGER)?;
        let (time, has_fraction) = generalized_time(fields.element(der::GENERALIZED_TIME)?)?;
        let accuracy = match fields.optional(der::SEQUENCE)? {
            Some(accuracy) => seconds_of(Reader::new(accuracy))?,
            None => 0,
        };
        fields.default_false()?;
        fields.optional(der::INTEGER)?;
        fields.optional(der::context(0))?;
        fields.optional(der::context(1))?;
        fields.end()?;
        let latest = time.checked_add(accuracy)?.checked_add(i64::from(has_fraction))?;
        Some(Self { hash, imprint: hashed, earliest: time.checked_sub(accuracy)?, latest })
    }
}

/// `YYYYMMDDhhmmss[.f…]Z`, and whether there is a fraction.
fn generalized_time(text: &[u8]) -> Option<(i64, bool)> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !is_number(whole) || !fraction.is_none_or(is_number) {
        return None;
    }
    let number = |from: usize, to: usize| whole.get(from..to)?.parse::<i64>().ok();
    let moment =
        [number(0, 4)?, number(4, 6)?, number(6, 8)?, number(8, 10)?, number(10, 12)?, number(12, 14)?];
    Some((moment::seconds(moment)?, fraction.is_some()))
}

/// Seconds of an Accuracy, rounded up.
fn seconds_of(mut accuracy: Reader<'_>) -> Option<i64> {
    let mut seconds = 0i64;
    if accuracy.peek() == Some(der::INTEGER) {
        for &byte in accuracy.unsigned()? {
            seconds = seconds.checked_mul(256)?.checked_add(i64::from(byte))?;
        }
    }
    let has_fraction = !accuracy.is_empty();
    accuracy.optional(der::context_value(0))?;
    accuracy.optional(der::context_value(1))?;
    accuracy.end()?;
    seconds.checked_add(i64::from(has_fraction))
}

/// Object identifiers, encoded.
mod oid {
    // 1.2.840.113549.1.7.2, .9.3, .9.4, .9.16.1.4, .9.16.2.12, .9.16.2.47
    pub(super) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    pub(super) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
    pub(super) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
    pub(super) const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
    pub(super) const SIGNING_CERTIFICATE: &[u8] =
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x0c];
    pub(super) const SIGNING_CERTIFICATE_V2: &[u8] =
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f];
}
