//! Debian packages: `var/lib/dpkg/status` and, in images without dpkg, one file a package in `status.d`; and the lists of
//! their files.

use crate::extractors::{
    ExtractError, Extracted, Extractor, FileDigest, OwnedFile, Want, ends_with, field, may_hold_packages,
    relative, text,
};
use crate::package::{Package, PackageKind, SourcePackage};

/// Reads dpkg's status (dpkg-query(1), deb-control(5)).
pub struct Dpkg;

impl Extractor for Dpkg {
    fn name(&self) -> &'static str {
        "dpkg"
    }

    fn version(&self) -> u32 {
        3
    }

    fn wants(&self, path: &[u8]) -> Want {
        let wanted = ends_with(path, b"dpkg/status") || is_status_d(path) || is_file_list(path);
        if wanted { Want::Content } else { Want::No }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        if is_file_list(path) {
            return Ok(Extracted::Owned(listed(bytes)));
        }
        // A file of `status.d` is one package's control file and may lack the state.
        let default_state = is_status_d(path).then_some("installed");
        packages(bytes, PackageKind::Deb, default_state).map(Extracted::Packages)
    }
}

/// The files of a list that may hold packages. An MD5 and two spaces stand before each path of `.md5sums`.
pub(super) fn listed(bytes: &[u8]) -> Vec<OwnedFile> {
    let file = |line: &str| {
        let (digest, path) = match line.split_once("  ") {
            Some((digest, path)) => (FileDigest::md5(digest), path),
            None => (None, line),
        };
        let path = relative(path);
        may_hold_packages(path.as_bytes()).then(|| OwnedFile { path: path.to_owned(), digest })
    };
    text(bytes).lines().filter_map(file).collect()
}

/// The packages of a status file.
pub(super) fn packages(
    bytes: &[u8],
    kind: PackageKind,
    default_state: Option<&str>,
) -> Result<Vec<Package>, ExtractError> {
    let mut packages = Vec::new();
    for paragraph in paragraphs(&text(bytes)) {
        let package = package(&Paragraph::parse(paragraph)?, default_state)?;
        packages.extend(package.map(|package| Package { kind, ..package }));
    }
    Ok(packages)
}

/// `status.d/NAME`, but not the checksum lists beside it.
fn is_status_d(path: &[u8]) -> bool {
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return false };
    let (directory, name) = (&path[..slash], &path[slash + 1..]);
    ends_with(directory, b"dpkg/status.d") && !name.ends_with(b".md5sums")
}

/// `info/NAME.list`, and the digests of the same files but the configuration, which in `status.d` stand alone.
fn is_file_list(path: &[u8]) -> bool {
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return false };
    let (directory, name) = (&path[..slash], &path[slash + 1..]);
    let digests = name.ends_with(b".md5sums");
    (ends_with(directory, b"dpkg/info") && (digests || name.ends_with(b".list")))
        || (ends_with(directory, b"dpkg/status.d") && digests)
}

/// The fields of one package that matter here.
#[derive(Default)]
struct Paragraph<'t> {
    package: Option<&'t str>,
    version: Option<&'t str>,
    architecture: Option<&'t str>,
    source: Option<&'t str>,
    status: Option<&'t str>,
}

impl<'t> Paragraph<'t> {
    fn parse(paragraph: &'t str) -> Result<Self, ExtractError> {
        let mut fields = Self::default();
        for line in paragraph.lines() {
            if line.starts_with([' ', '\t', '#']) {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or_else(|| ExtractError::Malformed {
                expected: "a dpkg status file",
                problem: format!("the line `{}` is no field", line.chars().take(60).collect::<String>()),
            })?;
            let slot = match key {
                _ if key.eq_ignore_ascii_case("Package") => &mut fields.package,
                _ if key.eq_ignore_ascii_case("Version") => &mut fields.version,
                _ if key.eq_ignore_ascii_case("Architecture") => &mut fields.architecture,
                _ if key.eq_ignore_ascii_case("Source") => &mut fields.source,
                _ if key.eq_ignore_ascii_case("Status") => &mut fields.status,
                _ => continue,
            };
            // dpkg itself refuses a repeated field; a scanner that took the other one would be fooled.
            if slot.replace(value.trim()).is_some() {
                return Err(ExtractError::Malformed {
                    expected: "a dpkg status file",
                    problem: format!("`{key}` stands twice in one paragraph"),
                });
            }
        }
        Ok(fields)
    }
}

/// The package of one paragraph; `None` when it is not installed.
fn package(paragraph: &Paragraph<'_>, default_state: Option<&str>) -> Result<Option<Package>, ExtractError> {
    let name = paragraph
        .package
        .filter(|name| !name.is_empty())
        .ok_or(ExtractError::MissingField { record: "a paragraph".to_owned(), field: "Package" })?;
    let missing = |field| ExtractError::MissingField { record: format!("package `{name}`"), field };
    // `want flag state`; packages whose files are gone but whose configuration stays are not installed.
    let state = match paragraph.status {
        Some(status) => status.split_whitespace().nth(2),
        None => default_state,
    };
    if matches!(state.ok_or_else(|| missing("Status"))?, "not-installed" | "config-files") {
        return Ok(None);
    }
    let version =
        paragraph.version.filter(|version| !version.is_empty()).ok_or_else(|| missing("Version"))?;
    let (source_name, source_version) = match paragraph.source.filter(|source| !source.is_empty()) {
        None => (name, version),
        Some(source) => match source.split_once('(') {
            None => (source, version),
            Some((source, version)) => (source.trim(), version.trim_end_matches(')').trim()),
        },
    };
    Ok(Some(Package {
        kind: PackageKind::Deb,
        name: field("Package", name)?,
        version: field("Version", version)?,
        architecture: paragraph.architecture.map(|value| field("Architecture", value)).transpose()?,
        source: Some(SourcePackage {
            name: field("Source", source_name)?,
            version: field("Source", source_version)?,
        }),
        module: None,
        vendor: None,
    }))
}

/// Pieces of text between blank lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(['\n', '\r']);
            if rest.is_empty() {
                return None;
            }
            let end = blank_line(rest);
            let paragraph = &rest[..end];
            rest = &rest[end..];
            if !paragraph.trim().is_empty() {
                return Some(paragraph);
            }
        }
    })
}

/// Where the next line of nothing but white space begins, or the text's end.
fn blank_line(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() && at > 0 {
            return at;
        }
        at += line.len();
    }
    text.len()
}
