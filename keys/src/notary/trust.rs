//! Whom to believe by Notary v1: a pinned root, the repository's name for it, and the roles that may answer.

use super::{Lookup, RootPin};
use crate::trust_store::replace_prefix;

/// Trust in the signers of repositories of Notary v1.
#[derive(Clone, Debug)]
pub struct NotaryTrust {
    /// What makes a root believable.
    pub pin: RootPin,
    /// Under which name the signers know our repository.
    pub gun: Gun,
    /// Whose word counts below the root.
    pub lookup: Lookup,
}

/// Under which name ("GUN") signers know a repository. The root's certificate is made out to this name, so one
/// repository's signatures are no good for another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gun {
    /// This one, whatever the repository is called here.
    Is(String),
    /// The repository's own name, `registry.example/prod/app`.
    #[default]
    Own,
    /// The own name with another beginning, for mirrors.
    Remap {
        /// What our repository names begin with.
        prefix: String,
        /// What the signers' names begin with.
        signed_prefix: String,
    },
}

impl Gun {
    /// The signers' name for `repository` (`host/name`); `None`: they know none such.
    pub fn of(&self, repository: &str) -> Option<String> {
        match self {
            Self::Is(gun) => Some(gun.clone()),
            Self::Own => Some(repository.to_owned()),
            Self::Remap { prefix, signed_prefix } => replace_prefix(repository, prefix, signed_prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gun;

    #[test]
    fn a_repository_has_one_name_with_its_signers() {
        let remap = Gun::Remap { prefix: "mirror.example/docker".into(), signed_prefix: "docker.io".into() };
        for (gun, repository, expected) in [
            (Gun::Own, "registry.example/app", Some("registry.example/app")),
            (Gun::Is("docker.io/library/app".into()), "registry.example/app", Some("docker.io/library/app")),
            (remap.clone(), "mirror.example/docker/library/app", Some("docker.io/library/app")),
            (remap.clone(), "mirror.example/dockerx/app", None),
            (remap, "registry.example/app", None),
        ] {
            assert_eq!(gun.of(repository).as_deref(), expected, "{gun:?} {repository}");
        }
    }
}
