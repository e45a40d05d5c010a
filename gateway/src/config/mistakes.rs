//! What is wrong in a configuration, in words an operator can act on.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key or the environment variable; a file's name where the whole file is at fault.
    pub key: String,
    /// What is wrong, with the value. Never a secret.
    pub problem: String,
    /// What would be right.
    pub right: &'static str,
}

/// Every mistake, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Mistake>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            formatter,
            "the configuration has {count} {}",
            if count == 1 { "mistake" } else { "mistakes" }
        )?;
        for Mistake { key, problem, right } in &self.0 {
            write!(formatter, "\n  `{key}`: {problem}")?;
            if !right.is_empty() {
                write!(formatter, "; expected {right}")?;
            }
        }
        Ok(())
    }
}
