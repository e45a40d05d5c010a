//! Every bound on hostile input, each with the attack that it stops.

/// Bounds for one layer walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {}

impl Default for Limits {
    fn default() -> Self {
        Self {}
    }
}
