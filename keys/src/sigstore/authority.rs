//! Certificate authorities, and the check that one of them issued a certificate.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sigstore_crypto::WEBPKI_VERIFICATION_ALGS;
use sigstore_types::TimeRange;
use webpki::{EndEntityCert, KeyUsage};

use super::SigstoreError;
use super::certificate::{CODE_SIGNING, Certificate};
use crate::{json, limits};

/// One authority: a root and the intermediates below it.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    anchor: TrustAnchor<'static>,
    anchor_period: (i64, i64),
    intermediates: Vec<CertificateDer<'static>>,
    /// All of them as if each were a root: enough to ask who issued a certificate.
    issuers: Vec<TrustAnchor<'static>>,
    validity: Option<TimeRange>,
}

impl Authority {
    /// `certificates` in DER, ordered from the one that issues to the root.
    pub(crate) fn new(certificates: &[&[u8]], validity: Option<TimeRange>) -> Result<Self, SigstoreError> {
        let refuse = |reason: String| SigstoreError::TrustRoot(reason);
        let Some((last, below)) = certificates.split_last() else {
            return Err(refuse("an authority without a certificate".to_owned()));
        };
        for certificate in certificates {
            Certificate::parse(certificate).map_err(|error| refuse(error.to_string()))?;
        }
        let root = Certificate::parse(last)?;
        let anchor = |certificate: &[u8]| {
            let certificate = CertificateDer::from(certificate);
            let anchor = webpki::anchor_from_trusted_cert(&certificate);
            anchor.map(|anchor| anchor.to_owned()).map_err(|error| refuse(error.to_string()))
        };
        Ok(Self {
            anchor: anchor(last)?,
            issuers: certificates.iter().map(|one| anchor(one)).collect::<Result<_, _>>()?,
            anchor_period: (root.not_before, root.not_after),
            intermediates: below.iter().map(|one| CertificateDer::from(one.to_vec())).collect(),
            validity,
        })
    }

    /// Whether the authority was one at `time`: by the trusted root's period, and by its own certificate's, which
    /// path building does not look at (CVE-2026-24122).
    fn is_valid_at(&self, time: i64) -> bool {
        let (not_before, not_after) = self.anchor_period;
        let listed = Timestamp::from_second(time)
            .is_ok_and(|time| self.validity.is_none_or(|validity| validity.contains(time)));
        listed && not_before <= time && time <= not_after
    }
}

/// That one of the authorities issued `leaf`, and that every certificate on the way was valid at `time` and, where it
/// restricts its use, allows code signing; that the leaf says so itself is checked with the leaf. Certificates that the signature brought along are a means to find the way, never its end.
pub(crate) fn check_chain(
    leaf: &[u8],
    brought: &[Vec<u8>],
    authorities: &[Authority],
    time: i64,
) -> Result<(), SigstoreError> {
    let refuse = |reason: String| SigstoreError::Chain(reason);
    if brought.len() > limits::CHAIN_CERTIFICATES_MAX {
        let (seen, max) = (brought.len(), limits::CHAIN_CERTIFICATES_MAX);
        return Err(refuse(format!("{seen} certificates in the chain, at most {max} are looked at")));
    }
    let mut reason = "no authority is trusted at the time of signing".to_owned();
    for authority in authorities.iter().filter(|authority| authority.is_valid_at(time)) {
        let anchors = std::slice::from_ref(&authority.anchor);
        match find_path(leaf, &authority.intermediates, brought, anchors, time) {
            Ok(()) => return Ok(()),
            Err(error) => reason = json::quote(&error.to_string()),
        }
    }
    Err(refuse(reason))
}

/// The first end after `time` of a certificate that a path from `leaf` may rest on, seconds since 1970-01-01 UTC: an
/// answer about that path must not outlive it. One that the path does not need is an early reminder, no harm.
pub(crate) fn next_end(
    leaf: &[u8],
    brought: &[Vec<u8>],
    authorities: &[Authority],
    time: i64,
) -> Option<i64> {
    let below = authorities.iter().flat_map(|authority| &authority.intermediates).map(AsRef::as_ref);
    let certificates = std::iter::once(leaf).chain(brought.iter().map(Vec::as_slice)).chain(below);
    let ends = certificates.filter_map(|one| Certificate::parse(one).ok()).map(|one| one.not_after);
    let roots = authorities.iter().map(|authority| authority.anchor_period.1);
    ends.chain(roots).filter(|&end| end >= time).min()
}

/// Only that one of the authorities' certificates, or one brought along below them, issued `leaf`: half the work of
/// [`check_chain`], and enough to tell a certificate that somebody made up.
pub(crate) fn check_issuer(
    leaf: &[u8],
    brought: &[Vec<u8>],
    authorities: &[Authority],
    time: i64,
) -> Result<(), SigstoreError> {
    let few = brought.get(..limits::CHAIN_CERTIFICATES_MAX).unwrap_or(brought);
    let is_issued = |authority: &Authority| find_path(leaf, &[], few, &authority.issuers, time).is_ok();
    let reason = || SigstoreError::Chain("of no authority that is trusted".to_owned());
    authorities.iter().any(is_issued).then_some(()).ok_or_else(reason)
}

fn find_path(
    leaf: &[u8],
    intermediates: &[CertificateDer<'static>],
    brought: &[Vec<u8>],
    anchors: &[TrustAnchor<'static>],
    time: i64,
) -> Result<(), webpki::Error> {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time).unwrap_or_default()));
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf)?;
    let brought = brought.iter().map(|one| CertificateDer::from(one.as_slice()));
    let intermediates: Vec<_> = intermediates.iter().cloned().chain(brought).collect();
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    leaf.verify_for_usage(WEBPKI_VERIFICATION_ALGS, anchors, &intermediates, at, usage, None, None)
        .map(|_| ())
}

/// Own authorities, as PEM certificates.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<Authority>);

impl Authorities {
    /// Reads certificates in PEM: each self-signed one is a root, the others are intermediates of any of them.
    pub fn parse_pem(pem: &str) -> Result<Self, SigstoreError> {
        let certificates = parse_certificates(pem).map_err(SigstoreError::TrustRoot)?;
        let mut roots = Vec::new();
        let mut intermediates = Vec::new();
        for certificate in &certificates {
            let is_root = Certificate::parse(certificate)?.is_self_signed();
            (if is_root { &mut roots } else { &mut intermediates }).push(certificate.as_slice());
        }
        if roots.is_empty() {
            return Err(SigstoreError::TrustRoot("no root, that is no self-signed certificate".to_owned()));
        }
        let authority = |root: &&[u8]| {
            let chain: Vec<&[u8]> = intermediates.iter().copied().chain([*root]).collect();
            Authority::new(&chain, None)
        };
        roots.iter().map(authority).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn list(&self) -> &[Authority] {
        &self.0
    }
}

/// The certificates in PEM text, at most [`limits::CHAIN_CERTIFICATES_MAX`], in their order.
pub(crate) fn parse_certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    const END: &str = "-----END CERTIFICATE-----";
    let bytes_max =
        limits::CERTIFICATE_BYTES_MAX.saturating_mul(limits::CHAIN_CERTIFICATES_MAX).saturating_mul(2);
    if pem.len() > bytes_max {
        return Err(format!("{} bytes of certificates, at most {bytes_max} are read", pem.len()));
    }
    let mut certificates = Vec::new();
    let mut rest = pem.trim();
    while !rest.is_empty() {
        let end = rest.find(END).ok_or("not a list of PEM blocks `CERTIFICATE`")?;
        let (block, after) = rest.split_at(end + END.len());
        let (label, der) =
            pem_rfc7468::decode_vec(block.as_bytes()).map_err(|error| format!("not PEM: {error}"))?;
        if label != "CERTIFICATE" || certificates.len() == limits::CHAIN_CERTIFICATES_MAX {
            return Err(format!("not up to {} PEM blocks `CERTIFICATE`", limits::CHAIN_CERTIFICATES_MAX));
        }
        certificates.push(der);
        rest = after.trim_start();
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(name: &str) -> (String, Vec<Vec<u8>>) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
        let pem = std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        let parsed = parse_certificates(&pem).unwrap();
        (pem, parsed)
    }

    #[test]
    fn the_first_certificate_to_end_ends_the_answer() {
        let (root, _) = certificates("ocsp/ca.pem");
        let (_, leaf) = certificates("ocsp/leaf.pem");
        let (_, brief) = certificates("authorities/brief.pem");
        let authorities = Authorities::parse_pem(&root).unwrap();
        let end = |certificate: &[u8]| Certificate::parse(certificate).unwrap().not_after;
        let (leaf_end, brief_end) = (end(&leaf[0]), end(&brief[0]));
        assert!(brief_end < leaf_end);
        for (brought, time, expected) in [
            (&[][..], brief_end, Some(leaf_end)),
            (&brief, brief_end, Some(brief_end)),
            (&brief, brief_end + 1, Some(leaf_end)),
        ] {
            assert_eq!(next_end(&leaf[0], brought, authorities.list(), time), expected, "at {time}");
        }
        // The root may be the first.
        let (short_root, _) = certificates("authorities/short.pem");
        let short = Authorities::parse_pem(&short_root).unwrap();
        let root_end = short.list()[0].anchor_period.1;
        assert!(root_end < leaf_end);
        assert_eq!(next_end(&leaf[0], &[], short.list(), root_end), Some(root_end));
        assert_eq!(next_end(&leaf[0], &[], short.list(), leaf_end + 1), None);
    }
}
