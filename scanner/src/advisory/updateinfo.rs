//! `updateinfo.xml` of yum repositories: what Amazon, Oracle, Rocky, AlmaLinux and openSUSE publish beside their packages.
//!
//! The file does not name the repository's release in one agreed place; the bulletin's id tells the family, and the
//! releases of its packages (`.el9`, `.amzn2023`) or its own text tell the release.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::severity::{self, Grade};
use super::{Ecosystem, range};
use crate::versions::Scheme;

/// Elements that may stand inside each other; real files have eight. Stops a file of nothing but openings.
const DEPTH_MAX: usize = 64;
/// Bytes of one text that is kept. Only titles and ids are.
const TEXT_BYTES_MAX: usize = 4096;

#[derive(Default)]
struct Update {
    security: bool,
    id: String,
    title: String,
    severity: String,
    release: String,
    modified: Option<i64>,
    cves: BTreeSet<String>,
    packages: Vec<Fix>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fix {
    name: String,
    version: String,
    /// The package's release, which tells the distribution's.
    release: String,
    stream: Option<String>,
}

/// Is the first element one of this format?
pub(super) fn recognises(document: &[u8]) -> bool {
    let mut reader = Reader::from_reader(document);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start) | Event::Empty(start)) => return start.name().as_ref() == b"updates",
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

pub(super) fn parse(document: &[u8]) -> Result<Parsed, String> {
    let mut reader = Reader::from_reader(document);
    let mut parsed = Parsed::new(FeedKind::UpdateInfo);
    let mut covers = BTreeSet::new();
    let (mut update, mut stream, mut text, mut depth) = (Update::default(), None, String::new(), 0_usize);
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match &event {
            Event::Start(start) | Event::Empty(start) => {
                if matches!(event, Event::Start(_)) {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(format!("more than {DEPTH_MAX} elements inside each other"));
                    }
                }
                text.clear();
                let of = |key: &str| attribute(start, key);
                match start.name().as_ref() {
                    b"update" => update = Update { security: of("type")? == "security", ..Update::default() },
                    b"issued" | b"updated" => {
                        update.modified = update.modified.max(parse_date(&of("date")?));
                    }
                    b"reference" => {
                        // Titles of Amazon's and Oracle's references name the CVE too; the id suffices.
                        let id = of("id")?;
                        update.cves.extend(Some(id).filter(|id| is_cve(id)));
                    }
                    b"collection" => stream = None,
                    b"module" => {
                        let (name, of_stream) = (of("name")?, of("stream")?);
                        stream = Some(format!("{name}:{of_stream}")).filter(|it| it.len() > 2);
                    }
                    b"package" => update.packages.extend(fix(start, stream.as_deref())?),
                    _ => {}
                }
            }
            Event::Text(content) => {
                let content = content.decode().map_err(|error| error.to_string())?;
                push(&mut text, &content);
            }
            Event::CData(content) => {
                let content = content.decode().map_err(|error| error.to_string())?;
                push(&mut text, &content);
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| error.to_string())?;
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                // The five that XML defines; entities of a document type are never resolved.
                let plain = match &*name {
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "gt" => Some('>'),
                    "lt" => Some('<'),
                    "quot" => Some('"'),
                    _ => character,
                };
                push(&mut text, plain.unwrap_or(' ').encode_utf8(&mut [0; 4]));
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                let content = || text.trim().to_owned();
                match end.name().as_ref() {
                    b"id" => update.id = content(),
                    b"title" => update.title = content(),
                    b"severity" => update.severity = content(),
                    // The release's own element comes first; names of collections are a second source.
                    b"release" if update.release.is_empty() => update.release = content(),
                    b"name" if update.release.is_empty() => update.release = content(),
                    b"update" => finish(std::mem::take(&mut update), &mut parsed, &mut covers),
                    _ => {}
                }
                text.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if depth > 0 {
        return Err("it ends inside an element".to_owned());
    }
    parsed.covers = covers.into_iter().collect();
    Ok(parsed)
}

fn push(text: &mut String, more: &str) {
    let room = TEXT_BYTES_MAX.saturating_sub(text.len());
    text.push_str(&more[..more.floor_char_boundary(room)]);
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<String, String> {
    let attribute = start.try_get_attribute(name).map_err(|error| error.to_string())?;
    let Some(attribute) = attribute else { return Ok(String::new()) };
    let value = std::str::from_utf8(&attribute.value).map_err(|_| "not UTF-8".to_owned())?;
    let value = quick_xml::escape::unescape(value).map_err(|error| error.to_string())?;
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("`{name}` of {} bytes, more than {TEXT_BYTES_MAX}", value.len()));
    }
    Ok(value.into_owned())
}

/// Installed packages are binaries; their sources are listed beside them.
fn fix(start: &BytesStart<'_>, stream: Option<&str>) -> Result<Option<Fix>, String> {
    let of = |key: &str| attribute(start, key);
    let (name, version, release) = (of("name")?, of("version")?, of("release")?);
    if matches!(&*of("arch")?, "src" | "nosrc") || name.is_empty() || version.is_empty() {
        return Ok(None);
    }
    let epoch = Some(of("epoch")?).filter(|epoch| !epoch.is_empty() && epoch != "0");
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let version = format!("{epoch}{version}-{release}");
    Ok(Some(Fix { name, version, release, stream: stream.map(str::to_owned) }))
}

/// One bulletin: one advisory for each of its CVEs, which are different problems.
fn finish(mut update: Update, parsed: &mut Parsed, covers: &mut BTreeSet<Ecosystem>) {
    update.packages.sort();
    // The architectures of one package have one version.
    update.packages.dedup();
    let mut affected: BTreeMap<(Ecosystem, String), Affected> = BTreeMap::new();
    for fix in &update.packages {
        let Some(ecosystem) = ecosystem(&update, &fix.release) else { continue };
        covers.insert(ecosystem.clone());
        let package = ecosystem.name_of_build(&fix.name, &fix.version, fix.stream.as_deref());
        let entry = affected.entry((ecosystem.clone(), package.clone()));
        let entry = entry.or_insert_with(|| Affected::new(ecosystem, &package));
        // Where one bulletin names two versions, only the last of them, sorted as text or not, is safe for certain.
        entry.ranges.push(range::before(Scheme::Rpm, &fix.version));
    }
    if !update.security || affected.is_empty() || update.id.is_empty() {
        parsed.skipped += 1;
        return;
    }
    let affected: Vec<Affected> = affected.into_values().collect();
    let severity = severity::from_word(&update.severity);
    let advisory = |id: &str, bulletin: Option<String>| Advisory {
        bulletin,
        id: id.to_owned(),
        aliases: Vec::new(),
        grade: Grade::stated(severity, None, &update.id),
        summary: summarise(&update.title),
        source: affected[0].ecosystem.family().to_owned(),
        modified: update.modified,
        affected: affected.clone(),
    };
    if update.cves.is_empty() {
        parsed.advisories.push(advisory(&update.id, None));
    }
    parsed.advisories.extend(update.cves.iter().map(|cve| advisory(cve, Some(update.id.clone()))));
}

/// Whose release a package of a bulletin was built for.
fn ecosystem(update: &Update, release: &str) -> Option<Ecosystem> {
    let id = update.id.as_str();
    // `3.el9_1`, `4.module+el8.5.0+738`, `33.amzn2.0.1`.
    let number = |mark: &str| {
        let at = release.rfind(mark)? + mark.len();
        let digits = release[at..].bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then(|| &release[at..at + digits])
    };
    let family =
        [("ALAS", "amazon"), ("ALSA", "almalinux"), ("ELSA", "oracle"), ("RLSA", "rocky"), ("RXSA", "rocky")];
    let family = family.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, family)| *family);
    match family {
        Some("amazon") => Ecosystem::of_rpm_release("amazon", number("amzn")?),
        Some(family) => Ecosystem::of_rpm_release(family, number("el")?),
        None if id.starts_with("openSUSE") => {
            let text =
                [id.strip_prefix("openSUSE-SLE-"), update.release.split_once("Leap ").map(|(_, rest)| rest)];
            let version = text.into_iter().flatten().next()?;
            let end = version.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(version.len());
            Ecosystem::of_rpm_release("opensuse", &version[..end])
        }
        None => None,
    }
}
