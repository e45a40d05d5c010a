//! Rules from a file, parsed once into a form that cannot be wrong.

/// A parsed policy.
#[derive(Clone, Debug)]
pub struct Policy {}
