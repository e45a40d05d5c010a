//! Names of ecosystems as OSV documents write them (ossf.github.io/osv-schema).

use super::{Ecosystem, LANGUAGES, is_number};

impl Ecosystem {
    /// The `ecosystem` of an OSV document (ossf.github.io/osv-schema); `None` for one that is not judged here.
    pub fn from_osv(name: &str) -> Option<Self> {
        let (family, release) = name.split_once(':').unwrap_or((name, ""));
        match (family, release) {
            (language, "") if LANGUAGES.iter().any(|(_, name, ..)| *name == language) => {
                let (kind, ..) = LANGUAGES.iter().find(|(_, name, ..)| *name == language)?;
                Self::of_language(*kind)
            }
            ("Wolfi", "") => Some(Self::rolling("wolfi")),
            ("Chainguard", "") => Some(Self::rolling("chainguard")),
            ("MinimOS", "") => Some(Self::rolling("minimos")),
            ("Debian", release) if is_number(release) => Some(Self(format!("debian:{release}"))),
            ("Alpine", branch) if branch.starts_with('v') || branch == "edge" => Some(Self::alpine(branch)),
            // `22.04`, `22.04:LTS`. What is sold is read by [`Self::offered_in_osv`].
            ("Ubuntu", release) => {
                let number = release.strip_suffix(":LTS").unwrap_or(release);
                is_number(number).then(|| Self(format!("ubuntu:{number}")))
            }
            ("SUSE", product)
                if product.starts_with("Linux Enterprise Micro ") || product.starts_with("Linux Micro ") =>
            {
                let release = product.rsplit(' ').next().filter(|release| is_number(release))?;
                Some(Self(format!("suse-micro:{release}")))
            }
            ("SUSE", product) => suse_release(product).map(|release| Self(format!("suse:{release}"))),
            ("openSUSE", "Tumbleweed") => Some(Self("opensuse:tumbleweed".to_owned())),
            ("openSUSE", product) => {
                let release = product.strip_prefix("Leap ").filter(|release| is_number(release))?;
                Some(Self(format!("opensuse:{release}")))
            }
            // `enterprise_linux:9::baseos`: what follows the vendor in a CPE.
            ("Red Hat", product) => {
                let mut parts = product.split(':');
                let (product, version, edition) = (parts.next()?, parts.next()?, parts.nth(1).unwrap_or(""));
                Self::of_red_hat(product, version, edition)
            }
            (family, release) if is_number(release) => {
                let (_, family) = RPM_FAMILIES.iter().find(|(name, _)| *name == family)?;
                Some(Self(format!("{family}:{release}")))
            }
            _ => None,
        }
    }

    /// The ecosystem of an OSV document whose fixes are sold, and by what name: a release's own ecosystem, for which the
    /// document says that there is a fix, but not for everyone.
    pub(in crate::advisory) fn offered_in_osv(name: &str) -> Option<(Self, &'static str)> {
        if let Some(pocket) = name.strip_prefix("Ubuntu:Pro:") {
            // `Pro:18.04:LTS`. Other pockets (`Pro:FIPS-updates:…`) hold builds of their own.
            let release = pocket.strip_suffix(":LTS").unwrap_or(pocket);
            return is_number(release).then(|| (Self(format!("ubuntu:{release}")), "Ubuntu Pro"));
        }
        let product = name.strip_prefix("SUSE:")?.strip_suffix("-LTSS")?;
        suse_release(product).map(|release| (Self(format!("suse:{release}")), "SUSE LTSS"))
    }

    /// The ecosystem of an OSV document about builds that are told by their versions: Ubuntu's for FIPS 140.
    pub(in crate::advisory) fn of_builds_in_osv(name: &str) -> Option<Self> {
        let pocket = name.strip_prefix("Ubuntu:Pro:FIPS")?;
        let (_, release) = pocket.split_once(':')?;
        let release = release.strip_suffix(":LTS").unwrap_or(release);
        is_number(release).then(|| Self(format!("ubuntu:{release}")))
    }
}

/// Families whose OSV name is followed by a plain release.
const RPM_FAMILIES: [(&str, &str); 7] = [
    ("AlmaLinux", "almalinux"),
    ("Amazon Linux", "amazon"),
    ("Azure Linux", "azurelinux"),
    ("Mageia", "mageia"),
    ("Oracle Linux", "oracle"),
    ("Photon OS", "photon"),
    ("Rocky Linux", "rocky"),
];

/// `15.4` out of `Linux Enterprise Server 15 SP4` and of the modules that a container's packages come from. Products with
/// longer support (`-LTSS`, `-ESPOS`) are channels of their own.
fn suse_release(product: &str) -> Option<String> {
    let mut words: Vec<&str> = product.split(' ').collect();
    let pack = words.last()?.strip_prefix("SP").filter(|pack| is_number(pack)).map(str::to_owned);
    if pack.is_some() {
        words.pop();
    }
    let release = words.pop().filter(|release| is_number(release))?;
    let product = words.join(" ");
    let known = product == "Linux Enterprise Server" || product.starts_with("Linux Enterprise Module for ");
    known.then(|| pack.map_or_else(|| release.to_owned(), |pack| format!("{release}.{pack}")))
}
