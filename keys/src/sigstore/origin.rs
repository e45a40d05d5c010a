//! What a bundle claims, and the two cheap checks that tell most forgeries before the costly ones.

use sigstore_types::{Bundle, SignatureContent};

use super::authority::check_issuer;
use super::certificate::Certificate;
use super::judge::certificates;
use super::{Anchors, Artifact, CertificateSigner, SigstoreError};
use crate::cosign::bundle::pre_authentication_encoding;
use crate::trust_store::PublicKey;

/// Whom a certificate claims to be of, before anything is checked: to refuse strangers before any arithmetic.
pub(crate) fn claimed_signer(bundle: &Bundle) -> Result<CertificateSigner, SigstoreError> {
    let (leaf, _) = certificates(bundle)?;
    Certificate::parse(&leaf)?.signer()
}

/// The two checks that tell a forgery for little: the signature is of the certificate's key, which whoever copied a
/// certificate lacks, and the certificate is of an authority, which whoever made one up lacks. What passes both was
/// signed by somebody with a real certificate, and is then verified in full.
pub(crate) fn check_origin(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    anchors: &Anchors,
) -> Result<(), SigstoreError> {
    let (leaf_der, brought) = certificates(bundle)?;
    let leaf = Certificate::parse(&leaf_der)?;
    let key = PublicKey::from_der(leaf.spki).map_err(|error| SigstoreError::Chain(error.to_string()))?;
    let is_good = match (&bundle.content, artifact) {
        (SignatureContent::DsseEnvelope(envelope), _) => {
            let message = pre_authentication_encoding(&envelope.payload_type, envelope.payload.as_bytes());
            key.verifies(&message, envelope.signature.sig.as_bytes())
        }
        (SignatureContent::MessageSignature(message), Artifact::Bytes(bytes)) => {
            key.verifies(bytes, message.signature.as_bytes())
        }
        // Only the digest is here: left to the full verification.
        _ => true,
    };
    if !is_good {
        return Err(SigstoreError::Signature("not made with the certificate's key".to_owned()));
    }
    let authorities = match anchors {
        Anchors::Root { root, .. } => root.authorities.as_slice(),
        Anchors::Authorities(authorities) => authorities.list(),
        Anchors::Absent(reason) => return Err(SigstoreError::TrustRoot(reason.to_string())),
    };
    check_issuer(&leaf_der, &brought, authorities, leaf.not_before)
}
