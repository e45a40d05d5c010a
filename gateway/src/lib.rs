//! Portcullis: an image supply-chain gateway. Three doors on one decision.
//!
//! Doors: `registry` (push and pull), `cli::check` (the pipeline stage), `admission` (engines and clusters).
//! The decision: [`gate`]. State: `staging` over `records` and `blobs`.

pub mod access;
pub mod admission;
pub mod advisories;
pub mod affected;
pub mod app;
pub mod blobs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decisions;
pub mod digest;
pub mod download;
pub mod gate;
pub mod gc;
pub mod ingest;
pub mod judge;
pub mod malware;
pub mod manifest;
pub mod output;
pub mod pkcs11;
pub mod policy_file;
pub mod records;
pub mod reference;
pub mod registry;
mod rounds;
pub mod server;
pub mod source;
pub mod staging;
pub mod stored_images;
pub mod telemetry;
#[cfg(test)]
mod test_data;
pub mod trust;
