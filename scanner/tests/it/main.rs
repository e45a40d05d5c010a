//! The scanner from outside: layers in, reports out.

mod advisories;
mod archive;
mod attacks;
mod binaries;
mod build;
mod compression;
mod contradictions;
mod coverage;
mod distributions;
mod evasion;
mod feeds;
mod goldens;
mod hostile;
mod images;
mod laws;
mod malware;
mod matching;
mod ownership;
mod rpm;
mod stacking;
mod trivy;
mod versions;
mod yardsticks;

/// Says loudly that a test did not run.
pub(crate) fn skipped(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
}
