//! `container-manifest-2`: what Azure Linux (CBL-Mariner) leaves in images without rpm, a line a package.

use super::{evr, source};
use crate::extractors::{ExtractError, field};
use crate::package::{Package, PackageKind};

/// `name`, `version-release`, two dates, vendor, epoch as text, size, architecture, epoch as a number, source file.
const FIELDS: usize = 10;

pub(super) fn packages(text: &str) -> Result<Vec<Package>, ExtractError> {
    text.lines().filter(|line| !line.trim().is_empty()).map(package).collect()
}

fn package(line: &str) -> Result<Package, ExtractError> {
    let malformed = |problem: &str| ExtractError::Malformed {
        expected: "a manifest of rpm packages",
        problem: format!("{problem} in the line `{}`", line.chars().take(60).collect::<String>()),
    };
    let fields: Vec<&str> = line.split('\t').collect();
    if fields.len() != FIELDS {
        return Err(malformed(&format!("{} fields, not {FIELDS},", fields.len())));
    }
    let epoch = match fields[8] {
        "0" | "(none)" => None,
        epoch => Some(epoch.parse().map_err(|_| malformed("an epoch that is no number"))?),
    };
    let (version, release) = fields[1].split_once('-').ok_or_else(|| malformed("no release"))?;
    if fields[0].is_empty() || version.is_empty() || release.is_empty() {
        return Err(malformed("an empty name or version"));
    }
    let told = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty() && value != "(none)");
    Ok(Package {
        kind: PackageKind::Rpm,
        name: field("name", fields[0])?,
        version: field("version", &evr(epoch, version, release))?,
        architecture: told(fields[7]),
        source: source(fields[9], epoch),
        module: None,
        vendor: told(fields[4]),
    })
}
