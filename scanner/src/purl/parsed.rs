//! Package URLs as others write them, taken apart and compared.

use std::collections::BTreeMap;

/// Longest package URL, in bytes; the longest real ones, of Go modules with qualifiers, have some four hundred.
const BYTES_MAX: usize = 4096;

/// A package URL, in the letters that its type asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purl {
    /// `deb`, `npm`, `oci`.
    pub kind: String,
    /// Segments joined by slashes; empty where there are none.
    pub namespace: String,
    /// Never empty.
    pub name: String,
    /// As written.
    pub version: Option<String>,
    /// Keys in lower case, values as written, none of them empty.
    pub qualifiers: BTreeMap<String, String>,
    /// Without slashes around it.
    pub subpath: Option<String>,
}

/// Types whose namespaces and names do not tell upper from lower case (purl-spec, "Known purl types").
const LOWER_CASE: [&str; 10] =
    ["alpm", "apk", "bitbucket", "composer", "deb", "github", "golang", "oci", "pypi", "docker"];

impl Purl {
    /// `None` for what is no package URL; its parts are taken from the right (purl-spec, "How to parse").
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX || text.chars().any(char::is_control) {
            return None;
        }
        let (rest, subpath) = match text.split_once('#') {
            Some((rest, subpath)) => (rest, Some(decode(subpath.trim_matches('/'))?)),
            None => (text, None),
        };
        let (rest, qualifiers) = match rest.split_once('?') {
            Some((rest, qualifiers)) => (rest, parse_qualifiers(qualifiers)?),
            None => (rest, BTreeMap::new()),
        };
        let (scheme, rest) = rest.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("pkg") {
            return None;
        }
        let (kind, rest) = rest.trim_start_matches('/').split_once('/')?;
        let kind = kind.to_ascii_lowercase();
        let is_type = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte));
        if !is_type || !kind.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        // An `@` of the name itself is encoded; one before a slash belongs to an npm scope that somebody did not encode.
        let (path, version) = match rest.rsplit_once('@') {
            Some((path, version)) if !version.contains('/') && !path.is_empty() => {
                (path, Some(decode(version)?))
            }
            _ => (rest, None),
        };
        let path = path.trim_matches('/');
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let segments = namespace.split('/').filter(|segment| !segment.is_empty()).map(decode);
        let namespace = segments.collect::<Option<Vec<_>>>()?.join("/");
        let name = decode(name)?;
        if name.is_empty() {
            return None;
        }
        let version = version.filter(|version| !version.is_empty());
        Some(Self { kind, namespace, name, version, qualifiers, subpath }.normal())
    }

    fn normal(mut self) -> Self {
        if LOWER_CASE.contains(&self.kind.as_str()) {
            self.namespace = self.namespace.to_lowercase();
            self.name = self.name.to_lowercase();
        }
        if self.kind == "pypi" {
            self.name = self.name.replace('_', "-");
        }
        self
    }

    /// Whether this, which somebody says something about, means `package`. What is not said here may be anything there,
    /// and never the reverse: a statement about one architecture is none about all.
    pub fn means(&self, package: &Self) -> bool {
        let said = |mine: &Option<String>, its: &Option<String>| mine.is_none() || mine == its;
        self.kind == package.kind
            && self.namespace == package.namespace
            && self.name == package.name
            && said(&self.version, &package.version)
            && said(&self.subpath, &package.subpath)
            && self.qualifiers.iter().all(|(key, value)| package.qualifiers.get(key) == Some(value))
    }
}

fn parse_qualifiers(text: &str) -> Option<BTreeMap<String, String>> {
    let mut qualifiers = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        let value = decode(value)?;
        // An empty value is the same as none. A key that stands twice could mean either.
        if !value.is_empty() && qualifiers.insert(key.to_ascii_lowercase(), value).is_some() {
            return None;
        }
    }
    Some(qualifiers)
}

/// Percent-decoding; `None` for a broken escape or what is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String, String, Option<String>)> {
        let purl = Purl::parse(text)?;
        Some((purl.kind, purl.namespace, purl.name, purl.version))
    }

    #[test]
    fn a_package_url_is_taken_apart_as_the_specification_says() {
        for (text, kind, namespace, name, version) in [
            ("pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie", "deb", "debian", "curl", "7.50.3-1"),
            ("pkg:npm/%40angular/animation@12.3.1", "npm", "@angular", "animation", "12.3.1"),
            ("pkg:npm/@angular/animation", "npm", "@angular", "animation", ""),
            ("pkg:golang/GitHub.com/a/b@v1.0#sub/x", "golang", "github.com/a", "b", "v1.0"),
            ("PKG:PyPI/Django_App@1.11", "pypi", "", "django-app", "1.11"),
            ("pkg:oci/app@sha256%3Aabc?repository_url=r.example/team/app", "oci", "", "app", "sha256:abc"),
            ("pkg:rpm/redhat/openssl@1%3A3.0-1", "rpm", "redhat", "openssl", "1:3.0-1"),
        ] {
            let version = (!version.is_empty()).then(|| version.to_owned());
            assert_eq!(parts(text), Some((kind.into(), namespace.into(), name.into(), version)), "{text}");
        }
    }

    #[test]
    fn what_is_no_package_url_is_none() {
        let long = format!("pkg:npm/{}", "a".repeat(BYTES_MAX));
        for text in [
            "",
            "npm/a",
            "pkg:npm",
            "pkg:npm/",
            "pkg:1a/b",
            "pkg:n m/b",
            "pkg:npm/a%2",
            "pkg:npm/a%zz",
            "pkg:npm/a%ff",
            "pkg:npm/a?x",
            "pkg:npm/a?x=1&X=2",
            "pkg:npm/a\u{1b}",
            "pkg:npm/a%1b",
            &long,
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn fewer_words_mean_more_packages_and_never_the_reverse() {
        for (said, package, expected) in [
            ("pkg:deb/debian/curl", "pkg:deb/debian/curl@7?arch=amd64&distro=debian-12", true),
            ("pkg:deb/debian/curl@7", "pkg:deb/debian/curl@7?arch=amd64", true),
            ("pkg:deb/debian/curl@7?arch=amd64", "pkg:deb/debian/curl@7?arch=amd64&distro=debian-12", true),
            ("pkg:deb/debian/curl@7?arch=arm64", "pkg:deb/debian/curl@7?arch=amd64", false),
            ("pkg:deb/debian/curl@7?arch=amd64", "pkg:deb/debian/curl@7", false),
            ("pkg:deb/debian/curl@8", "pkg:deb/debian/curl@7", false),
            ("pkg:deb/debian/curl@7", "pkg:deb/debian/curl", false),
            ("pkg:deb/ubuntu/curl", "pkg:deb/debian/curl", false),
            ("pkg:npm/curl", "pkg:deb/debian/curl", false),
            ("pkg:npm/a#x", "pkg:npm/a", false),
        ] {
            let (said, of) = (Purl::parse(said).unwrap(), Purl::parse(package).unwrap());
            assert_eq!(said.means(&of), expected, "{said:?} {package}");
        }
    }
}
