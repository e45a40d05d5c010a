//! Signatures, a trust store and the time in; who vouches for a digest out. And the life of our own keys.
//!
//! This crate opens no file, no socket and no clock. Where a format needs further documents, it says which, and the
//! caller fetches them. [`verify::verify`] is the only place that makes a [`signature::VerifiedSignature`].

pub mod attestation;
mod base64_bytes;
mod canonical;
pub mod cosign;
mod der;
mod digest;
pub mod json;
pub mod keyring;
pub mod limits;
mod moment;
pub mod notary;
pub mod notation;
pub mod receipt;
pub mod revocation;
pub mod signature;
pub mod signer;
pub mod sigstore;
#[cfg(test)]
mod testing;
pub mod threshold;
pub mod timestamp;
pub mod trust_store;
pub mod tuf;
pub mod verify;
pub mod x509;
