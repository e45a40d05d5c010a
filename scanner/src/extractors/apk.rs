//! Alpine packages: the `installed` database of apk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::extractors::{
    ExtractError, Extracted, Extractor, FileDigest, OwnedFile, Want, ends_with, field, may_hold_packages,
    text,
};
use crate::package::{Package, PackageKind, SourcePackage};

/// Reads `lib/apk/db/installed`, which newer releases keep under `usr`.
pub struct Apk;

impl Extractor for Apk {
    fn name(&self) -> &'static str {
        "apk"
    }

    fn version(&self) -> u32 {
        3
    }

    fn wants(&self, path: &[u8]) -> Want {
        if ends_with(path, b"apk/db/installed") { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        let (mut packages, mut owned) = (Vec::new(), Vec::new());
        let mut record = Record::default();
        for line in text.lines().map(|line| line.trim_end_matches('\r')).chain([""]) {
            if line.is_empty() {
                let mut record = std::mem::take(&mut record);
                let number =
                    u32::try_from(packages.len()).expect("fewer packages than bytes in a bounded file");
                owned.extend(std::mem::take(&mut record.owned).into_iter().map(|file| (number, file)));
                packages.extend(record.package()?);
            } else {
                record.line(line)?;
            }
        }
        Ok(Extracted::System { packages, owned })
    }
}

/// One package: lines of a letter, a colon and a value. Lower-case letters and `F`, `R`, `M`, `Z` list its files.
#[derive(Default)]
struct Record<'t> {
    lines: usize,
    name: Option<&'t str>,
    version: Option<&'t str>,
    architecture: Option<&'t str>,
    origin: Option<&'t str>,
    folder: &'t str,
    owned: Vec<OwnedFile>,
    /// Whether the last file is the one that was named last.
    kept: bool,
}

impl<'t> Record<'t> {
    fn line(&mut self, line: &'t str) -> Result<(), ExtractError> {
        self.lines += 1;
        let (key, value) = line.split_once(':').filter(|(key, _)| key.len() == 1).ok_or_else(|| {
            malformed(format!("the line `{}` is no field", line.chars().take(60).collect::<String>()))
        })?;
        let slot = match key {
            "P" => &mut self.name,
            "V" => &mut self.version,
            "A" => &mut self.architecture,
            "o" => &mut self.origin,
            "F" => {
                self.folder = value;
                return Ok(());
            }
            "R" => {
                let path = format!("{}/{value}", self.folder);
                self.kept = may_hold_packages(path.as_bytes());
                if self.kept {
                    self.owned.push(path.into());
                }
                return Ok(());
            }
            "Z" => {
                if let Some(file) = self.owned.last_mut().filter(|_| self.kept) {
                    file.digest = checksum(value);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if slot.replace(value).is_some() {
            return Err(malformed(format!("`{key}` stands twice in one record")));
        }
        Ok(())
    }

    fn package(self) -> Result<Option<Package>, ExtractError> {
        if self.lines == 0 {
            return Ok(None);
        }
        let name = self
            .name
            .filter(|name| !name.is_empty())
            .ok_or(ExtractError::MissingField { record: "a record".to_owned(), field: "P" })?;
        let version = self
            .version
            .filter(|version| !version.is_empty())
            .ok_or_else(|| ExtractError::MissingField { record: format!("package `{name}`"), field: "V" })?;
        Ok(Some(Package {
            kind: PackageKind::Apk,
            name: field("P", name)?,
            version: field("V", version)?,
            architecture: self.architecture.map(|value| field("A", value)).transpose()?,
            source: Some(SourcePackage {
                name: field("o", self.origin.unwrap_or(name))?,
                version: field("V", version)?,
            }),
            module: None,
            vendor: None,
        }))
    }
}

/// `Q1` and a SHA-1 in base64 (apk-spec, "installed database"); `Q2` and a SHA-256.
fn checksum(value: &str) -> Option<FileDigest> {
    let (kind, text) = value.split_at_checked(2)?;
    let digest = hex::encode(STANDARD.decode(text).ok()?);
    match kind {
        "Q1" => FileDigest::sha1(&digest),
        "Q2" => FileDigest::sha256(&digest),
        _ => None,
    }
}

fn malformed(problem: String) -> ExtractError {
    ExtractError::Malformed { expected: "an apk database", problem }
}
