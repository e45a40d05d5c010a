//! This door through its router: what clients send, and what they must get.

mod admission;
mod attacks;
mod attestation;
mod behind;
mod bridge;
mod fixture;
mod gate;
mod growth;
mod keyless;
mod life;
mod malware;
mod notary;
mod notation;
mod protocol;
mod receipts;
mod rejudge;
