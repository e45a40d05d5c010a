//! Signatures and attestations of real tools, good and tampered: each gets the verdict its case states.
//!
//! The cases lie outside the repository, in the folder that `PORTCULLIS_TEST_DATA` names (or `../shared/data` beside
//! the checkout). Without it each test says so and does nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

mod bundles;
mod data;
mod images;
mod registry;
mod upstream;
