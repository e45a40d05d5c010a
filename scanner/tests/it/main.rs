//! The scanner from outside: layers in, reports out.

mod build;
mod images;

/// Says loudly that a test did not run.
pub(crate) fn skipped(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
}
