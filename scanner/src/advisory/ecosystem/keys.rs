//! Under which name advisories about a package stand: plain, of a module, of a source, of builds of their own.

use super::Ecosystem;
use crate::versions::Scheme;

impl Ecosystem {
    /// Is this only a part of a package's name? A Java archive often tells its artifact and not its group.
    pub fn names_part(&self, name: &str) -> bool {
        self.0 == "maven" && !name.contains(':')
    }

    /// Under which name all advisories about artifacts of a name stand, whatever their group.
    pub fn of_any_group(artifact: &str) -> String {
        format!("*:{artifact}")
    }

    /// Under which name advisories about a package of a module's stream stand: each stream has its own versions, and
    /// none says anything about another. `stream` is `None` where the advisory does not tell it.
    pub fn in_module(stream: Option<&str>, name: &str) -> String {
        format!("{}::{name}", stream.unwrap_or("*"))
    }

    /// Under which name Red Hat's advisories about all that is built from a source package stand, where they name it.
    pub(crate) fn of_source(package: &str) -> String {
        format!("src:{package}")
    }

    /// Is a name of that kind?
    pub(in crate::advisory) fn is_source(package: &str) -> bool {
        package.starts_with("src:")
    }

    /// Do advisories name sources and binaries apart?
    pub(crate) fn tells_sources(&self) -> bool {
        self.family() == "redhat"
    }

    /// What kind of build this version is of, where such builds have advisories of their own: Oracle's for Ksplice and
    /// FIPS 140, Ubuntu's for FIPS 140. Their versions sort above those of the stock builds and say nothing about them.
    pub(crate) fn build(&self, version: &str) -> Option<&'static str> {
        if !matches!(self.family(), "oracle" | "ubuntu") {
            return None;
        }
        let holds = |mark: &str| version.to_ascii_lowercase().contains(mark);
        [("ksplice", "ksplice"), ("fips", "fips")]
            .into_iter()
            .find(|(mark, _)| holds(mark))
            .map(|(_, build)| build)
    }

    /// Under which name advisories about such builds stand.
    pub(crate) fn of_build(build: &str, name: &str) -> String {
        format!("{build}!{name}")
    }

    /// Under which name an advisory about a package stands, given a version that it names.
    pub(in crate::advisory) fn name_of_build(
        &self,
        name: &str,
        version: &str,
        stream: Option<&str>,
    ) -> String {
        match self.build(version) {
            Some(build) => Self::of_build(build, name),
            None if self.scheme() == Scheme::Rpm && crate::advisory::is_modular(version) => {
                Self::in_module(stream, name)
            }
            None => self.normalise(name),
        }
    }

    /// A package name as this ecosystem compares it: Python's are normalised (PEP 503), NuGet's and Composer's ignore
    /// case, all others are exact.
    pub fn normalise(&self, name: &str) -> String {
        match self.0.as_str() {
            "nuget" | "packagist" => return name.to_lowercase(),
            "pypi" => {}
            _ => return name.to_owned(),
        }
        let mut normal = String::with_capacity(name.len());
        for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
            if !normal.is_empty() {
                normal.push('-');
            }
            normal.push_str(&part.to_lowercase());
        }
        normal
    }
}
