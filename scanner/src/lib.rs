//! Layer bytes and an advisory snapshot in, a report out.
//!
//! This crate opens no file, no socket and no clock: it is fed bytes and handed the time. Everything it reads is
//! hostile until proven otherwise, so every reader is bounded by [`limits`].

pub mod advisory;
mod bytes;
pub mod detectors;
pub mod diff;
mod executables;
pub mod explain;
pub mod extractors;
pub mod finding;
pub mod image;
pub mod inventory;
pub mod layer;
pub mod limits;
pub mod matcher;
pub mod package;
pub mod purl;
pub mod release;
pub mod report;
pub mod sbom;
mod sqlite;
pub mod versions;
pub mod yara;
