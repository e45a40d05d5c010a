//! Names of the roles that sign tags: `targets` and the delegations below it.

use std::fmt;

use crate::limits;

/// `targets` or `targets/…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(String);

impl Role {
    /// The role at the top.
    pub fn targets() -> Self {
        Self("targets".to_owned())
    }

    /// Reads a name: lower case letters, digits, `_`, `-`, segments parted by `/`, at most
    /// [`limits::NOTARY_ROLE_CHARS_MAX`] characters. Byte by byte, because the pattern of another gate could be made
    /// to run for hours (connaisseur before 3.3.1).
    pub fn parse(name: &str) -> Option<Self> {
        let segment = |segment: &str| {
            let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
            !segment.is_empty() && segment.bytes().all(known)
        };
        let below = name.strip_prefix("targets")?;
        let below_fits = below.is_empty() || below.strip_prefix('/')?.split('/').all(segment);
        (name.len() <= limits::NOTARY_ROLE_CHARS_MAX && below_fits).then(|| Self(name.to_owned()))
    }

    /// The role that delegates to this one; `None` for `targets`.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn only_targets_and_names_below_it_are_roles() {
        for name in ["targets", "targets/releases", "targets/a/b-c_9"] {
            assert_eq!(Role::parse(name).unwrap().as_str(), name);
        }
        let long = format!("targets/{}", "a".repeat(248));
        for name in [
            "",
            "target",
            "targetsx",
            "targets/",
            "targets//a",
            "targets/a/",
            "/targets",
            "targets/A",
            "targets/..",
            "targets/a b",
            "root",
            "snapshot",
            "targets/ä",
            long.as_str(),
        ] {
            assert_eq!(Role::parse(name), None, "{name}");
        }
    }

    /// A name of a megabyte is refused by its length; one at the limit takes one look at each byte.
    #[test]
    fn a_role_name_cannot_make_the_check_run_long() {
        assert_eq!(Role::parse(&format!("targets/{}!", "a/".repeat(1 << 19))), None);
        assert_eq!(Role::parse(&format!("targets/{}!", "a".repeat(200))), None);
    }
}
