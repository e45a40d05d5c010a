//! Java archives, and those inside them: `pom.properties`, else the manifest, else the file's name.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field, text};
use crate::limits::Limits;
use crate::package::{Package, PackageKind};

pub(crate) mod zip;

use zip::{Archive, Member};

/// Reads jar, war, ear and their relatives. A library that tells neither name nor version is listed with an empty version.
pub struct Java;

/// Endings of Java archives.
const ENDINGS: [&[u8]; 11] =
    [b".jar", b".war", b".ear", b".par", b".sar", b".nar", b".jpi", b".hpi", b".kar", b".far", b".lpkg"];

/// Archives inside archives: an ear holds a war that holds jars, which may be shaded. Deeper nests are made to cost.
const DEPTH_MAX: usize = 5;
/// Where applications keep the archives that they did not build themselves.
const LIBRARY_FOLDERS: [&str; 3] = ["/lib/", "/libs/", "/jars/"];
/// Bytes of one member that describes a package; the largest manifests, of signed archives, have a few hundred KB.
const DESCRIPTION_BYTES_MAX: usize = 4 << 20;
/// Bytes that are unpacked and held at one time for archives inside archives.
const HELD_BYTES_MAX: usize = 32 << 20;
/// Bytes that are unpacked in all, for one file of a layer. Stops an archive of many archives that unpack well.
const UNPACKED_BYTES_MAX: usize = 512 << 20;

impl Extractor for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn version(&self) -> u32 {
        2
    }

    fn wants(&self, path: &[u8]) -> Want {
        if is_archive(path) { Want::Content } else { Want::No }
    }

    fn bytes_max(&self, limits: &Limits) -> usize {
        limits.database_bytes_max
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let mut reading = Reading { unpacked: 0, packages: Vec::new() };
        reading.archive(&text(path), bytes, DEPTH_MAX, HELD_BYTES_MAX)?;
        reading.packages.sort();
        reading.packages.dedup();
        Ok(Extracted::Packages(reading.packages))
    }
}

fn is_archive(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    ENDINGS.iter().any(|ending| {
        name.len() > ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
    })
}

struct Reading {
    unpacked: usize,
    packages: Vec<Package>,
}

impl Reading {
    /// `room`: bytes of unpacked archives that may still be held.
    fn archive(&mut self, path: &str, bytes: &[u8], depth: usize, room: usize) -> Result<(), ExtractError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(malformed(format!("archives nested more than {DEPTH_MAX} deep")));
        };
        let archive = Archive::open(bytes)?;
        let mut described = Vec::new();
        let mut manifest = None;
        let mut classes = false;
        for member in archive.members()? {
            let member = member?;
            let name = text(member.name);
            classes |= name.ends_with(".class");
            if name == "META-INF/MANIFEST.MF" {
                if manifest
                    .replace(Manifest::parse(&text(&self.unpack(&member, DESCRIPTION_BYTES_MAX)?)))
                    .is_some()
                {
                    return Err(malformed("two manifests"));
                }
            } else if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
                described.extend(from_properties(&text(&self.unpack(&member, DESCRIPTION_BYTES_MAX)?))?);
            } else if is_archive(member.name) {
                if let Some(stored) = member.stored()? {
                    self.archive(&name, stored, depth, room)?;
                } else {
                    let inner = self.unpack(&member, room)?;
                    self.archive(&name, &inner, depth, room - inner.len())?;
                }
            }
        }
        // An application's own archive may have no version; a library without one has lost it.
        let is_library = depth + 1 < DEPTH_MAX || LIBRARY_FOLDERS.iter().any(|folder| path.contains(folder));
        let before = self.packages.len();
        self.identify(path, &manifest.unwrap_or_default(), described)?;
        if classes && is_library && self.packages.len() == before {
            let file = path.rsplit('/').next().unwrap_or(path);
            self.packages.push(Package::new(PackageKind::Maven, field("name", file)?, String::new()));
        }
        Ok(())
    }

    /// An archive may hold the descriptions of others that were shaded into it, and lack its own.
    fn identify(
        &mut self,
        path: &str,
        manifest: &Manifest,
        described: Vec<Package>,
    ) -> Result<(), ExtractError> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let (name, version) = split_version(stem);
        let artifact =
            |package: &Package| package.name.rsplit(':').next().is_some_and(|artifact| artifact == name);
        let own = described.is_empty() || (version.is_some() && !described.iter().any(artifact));
        self.packages.extend(described);
        if let Some(plugin) = manifest.plugin() {
            self.packages.push(plugin?);
        } else if own && let Some(version) = version.or(manifest.version()) {
            let package = Package::new(PackageKind::Maven, field("name", name)?, field("version", version)?);
            self.packages.push(package);
        }
        Ok(())
    }

    fn unpack(&mut self, member: &Member<'_>, max: usize) -> Result<Vec<u8>, ExtractError> {
        let unpacked = member.unpack(max.min(UNPACKED_BYTES_MAX.saturating_sub(self.unpacked)))?;
        self.unpacked += unpacked.len();
        Ok(unpacked)
    }
}

/// `groupId`, `artifactId` and `version` of a properties file; `None` when one is missing.
fn from_properties(text: &str) -> Result<Option<Package>, ExtractError> {
    let value = |key: &str| {
        let line = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
        let mut assigned = line.filter_map(|line| line.split_once(['=', ':']));
        let found = assigned.find(|(name, _)| name.trim() == key);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let (Some(group), Some(artifact), Some(version)) =
        (value("groupId"), value("artifactId"), value("version"))
    else {
        return Ok(None);
    };
    let name = field("artifactId", &format!("{group}:{artifact}"))?;
    Ok(Some(Package::new(PackageKind::Maven, name, field("version", version)?)))
}

/// `NAME-VERSION`: the version begins at the first hyphen that a digit follows.
fn split_version(stem: &str) -> (&str, Option<&str>) {
    let digit =
        |rest: &str| rest.strip_prefix('v').unwrap_or(rest).starts_with(|first: char| first.is_ascii_digit());
    let at = stem.match_indices('-').map(|(at, _)| at).find(|at| *at > 0 && digit(&stem[at + 1..]));
    at.map_or((stem, None), |at| (&stem[..at], Some(&stem[at + 1..])))
}

/// The main section of a manifest (JAR File Specification).
#[derive(Default)]
struct Manifest {
    values: Vec<(String, String)>,
}

impl Manifest {
    fn parse(text: &str) -> Self {
        let mut values: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if line.trim().is_empty() {
                break;
            }
            // A line of a space goes on with the one before.
            if let (Some(rest), Some((_, value))) = (line.strip_prefix(' '), values.last_mut()) {
                value.push_str(rest);
            } else if let Some((key, value)) = line.split_once(": ") {
                values.push((key.to_owned(), value.to_owned()));
            }
        }
        Self { values }
    }

    fn value(&self, key: &str) -> Option<&str> {
        let (_, value) = self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(key))?;
        Some(value.trim()).filter(|value| !value.is_empty() && !value.contains("${"))
    }

    fn version(&self) -> Option<&str> {
        ["Implementation-Version", "Specification-Version", "Bundle-Version"]
            .iter()
            .find_map(|key| self.value(key))
    }

    /// Jenkins' plugins tell their coordinates in a form of their own.
    fn plugin(&self) -> Option<Result<Package, ExtractError>> {
        let (group, name) = (self.value("Group-Id")?, self.value("Short-Name")?);
        let version = self.value("Plugin-Version")?.split(' ').next()?;
        let name = field("name", &format!("{group}:{name}"));
        Some(name.and_then(|name| Ok(Package::new(PackageKind::Maven, name, field("version", version)?))))
    }
}

fn malformed(problem: impl Into<String>) -> ExtractError {
    ExtractError::Malformed { expected: "a Java archive", problem: problem.into() }
}
