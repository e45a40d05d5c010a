//! Red Hat's products, by CPE and by repository: each is a channel of its own.

use super::{Ecosystem, is_number};

impl Ecosystem {
    /// Red Hat's products are channels: what one says of a package is nothing to another, but `enterprise_linux` is one
    /// channel whatever the variant (`baseos`, `appstream`). Products that are built for several releases tell which.
    pub(super) fn of_red_hat(product: &str, version: &str, edition: &str) -> Option<Self> {
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return None;
        }
        if product == "enterprise_linux" {
            let major = version.split('.').next().filter(|major| is_number(major))?;
            return Some(Self(format!("redhat:{major}")));
        }
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if product.is_empty() || !product.bytes().all(word) {
            return None;
        }
        let release = edition.strip_prefix("el").filter(|release| is_number(release));
        let release = release.map(|_| format!(":{edition}")).unwrap_or_default();
        Some(Self(format!("redhat:{product}:{version}{release}")))
    }

    /// The channel of a CPE (`cpe:/a:redhat:rhel_eus:9.2::appstream`, NISTIR 7695 §6.1); `None` for other vendors'.
    pub(in crate::advisory) fn of_cpe(cpe: &str) -> Option<Self> {
        let mut parts = cpe.strip_prefix("cpe:/")?.split(':');
        let (_, vendor, product, version) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let edition = parts.nth(1).unwrap_or("");
        if vendor == "redhat" { Self::of_red_hat(product, version, edition) } else { None }
    }

    /// Where the channels of Red Hat's repositories stand.
    pub(crate) fn red_hat_repositories() -> Self {
        Self("redhat:repositories".to_owned())
    }

    /// The channel that a repository of longer support names in itself, for snapshots without the table of repositories:
    /// `rhel-8-for-x86_64-baseos-eus-rpms__8_DOT_6`.
    pub(crate) fn of_red_hat_repository(name: &str) -> Option<Self> {
        let (repository, release) = name.split_once("__")?;
        let support = ["eus", "aus", "tus", "e4s"]
            .into_iter()
            .find(|support| repository.split('-').any(|it| it == *support))?;
        Self::of_red_hat(&format!("rhel_{support}"), &release.replace("_DOT_", "."), "")
    }

    /// Is this Red Hat's release itself, not a product beside it?
    pub(in crate::advisory) fn is_main_of_red_hat(&self) -> bool {
        self.0.strip_prefix("redhat:").is_some_and(is_number)
    }
}
