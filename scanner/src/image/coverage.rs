//! Who answers for each program that a container sees: a package that installed it, what it tells itself, or nobody.

use std::collections::{HashMap, HashSet};

use crate::executables;
use crate::extractors::{Extracted, OwnedFile};
use crate::image::languages::node_folder;
use crate::image::ownership::listed_package;
use crate::image::tree::{EntryId, Shape};
use crate::image::view::View;
use crate::layer::entry::printable;
use crate::layer::program::Program;
use crate::package::{Package, PackageKind};
use crate::report::{Coverage, ImagePackage, UnexplainedFile};

/// Files told; the sums count all.
const LARGEST_MAX: usize = 20;

/// Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Verified,
    Owned,
    Recognised,
    Modified,
    Unexplained,
}

/// One program in the final view.
struct Found<'a> {
    path: Vec<u8>,
    content: EntryId,
    bytes: u64,
    program: &'a Program,
}

pub(super) fn coverage(view: &View<'_>, packages: &[ImagePackage]) -> Coverage {
    let programs: HashMap<EntryId, &Program> = view.programs().collect();
    let mut found: Vec<Found<'_>> = Vec::new();
    let mut seen = HashSet::new();
    view.stack.tree.for_each(|path, node| {
        if let Shape::File(content) = node.shape
            && let Some(program) = programs.get(&content)
            // A hard link is another name, not another program.
            && seen.insert(content)
        {
            found.push(Found { path: path.to_vec(), content, bytes: node.size, program });
        }
    });
    let mut classes = claims(view, packages, &programs);
    let listed: HashSet<&str> = packages.iter().map(|found| found.path.as_str()).collect();
    let told: HashSet<EntryId> = view.extractions().filter(|(_, it)| tells(it)).map(|(id, _)| id).collect();
    for found in &found {
        let class = classes.entry(found.content).or_insert(Class::Unexplained);
        if *class > Class::Recognised && (told.contains(&found.content) || in_package(&found.path, &listed)) {
            *class = Class::Recognised;
        }
    }
    let mut coverage = Coverage::default();
    for found in found {
        let mut class = classes.get(&found.content).copied().unwrap_or(Class::Unexplained);
        // A script can be read by everyone, and does nothing that its interpreter cannot.
        if class == Class::Unexplained
            && let Some(interpreter) = &found.program.interpreter
            && let Some(content) = view.content(interpreter.as_bytes())
            && classes.get(&content).is_some_and(|class| *class <= Class::Recognised)
        {
            class = Class::Recognised;
        }
        let sum = match class {
            Class::Verified => &mut coverage.verified,
            Class::Owned => &mut coverage.owned,
            Class::Recognised => &mut coverage.recognised,
            Class::Modified => &mut coverage.modified,
            Class::Unexplained => &mut coverage.unexplained,
        };
        sum.files += 1;
        sum.bytes = sum.bytes.saturating_add(found.bytes);
        if class > Class::Recognised {
            coverage.largest.push(UnexplainedFile {
                path: printable(&found.path),
                bytes: found.bytes,
                layer: found.content.layer(),
                modified: class == Class::Modified,
                sha256: found.program.sha256.clone(),
            });
        }
    }
    coverage.largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.cmp(b)));
    coverage.largest.truncate(LARGEST_MAX);
    coverage
}

/// What packages say about their own files: by digest where they state one, else by the layer that brought both.
fn claims(
    view: &View<'_>,
    packages: &[ImagePackage],
    programs: &HashMap<EntryId, &Program>,
) -> HashMap<EntryId, Class> {
    let mut origins: HashMap<&Package, usize> = HashMap::new();
    for found in packages {
        let layer = origins.entry(&found.package).or_insert(found.layer);
        *layer = found.layer.min(*layer);
    }
    let of_kind = |kind| packages.iter().filter(move |found| found.package.kind == kind);
    let listing = of_kind(PackageKind::Deb).chain(of_kind(PackageKind::Opkg));
    let debs: HashSet<&str> = listing.map(|found| found.package.name.as_str()).collect();
    let described: HashSet<&str> = of_kind(PackageKind::Python).map(|found| found.path.as_str()).collect();
    let mut claims: Vec<(&OwnedFile, usize)> = Vec::new();
    for (id, extraction) in view.extractions() {
        let Some(place) = view.visible.get(&id) else { continue };
        match &extraction.found {
            Ok(Extracted::Owned(files)) => {
                let of_installed = match place.strip_suffix("/RECORD") {
                    Some(folder) => described.contains(format!("{folder}/METADATA").as_str()),
                    None => listed_package(place).is_some_and(|name| debs.contains(name)),
                };
                claims.extend(files.iter().filter(|_| of_installed).map(|file| (file, id.layer())));
            }
            Ok(Extracted::System { packages, owned }) => {
                for (number, file) in owned {
                    let package = usize::try_from(*number).ok().and_then(|number| packages.get(number));
                    let origin = package.and_then(|package| origins.get(package)).copied();
                    claims.push((file, origin.unwrap_or(id.layer())));
                }
            }
            _ => {}
        }
    }
    // dpkg lists a file with a digest, and once more without, which then adds nothing.
    claims.sort_by_key(|(file, _)| file.digest.is_none());
    let mut classes: HashMap<EntryId, Class> = HashMap::new();
    let mut stated: HashSet<EntryId> = HashSet::new();
    for (file, installed_in) in claims {
        let Some(content) = view.content(file.path.as_bytes()) else { continue };
        let Some(program) = programs.get(&content) else { continue };
        match &file.digest {
            Some(_) => drop(stated.insert(content)),
            None if stated.contains(&content) => continue,
            None => {}
        }
        let class = match file.digest.as_ref().and_then(|digest| program.is(digest)) {
            Some(true) => Class::Verified,
            None if content.layer() <= installed_in => Class::Owned,
            _ => Class::Modified,
        };
        let known = classes.entry(content).or_insert(class);
        *known = class.min(*known);
    }
    classes
}

/// A program that names what was built into it.
fn tells(extraction: &crate::layer::Extraction) -> bool {
    let packages = extraction.found.as_ref().ok().and_then(Extracted::packages);
    extraction.extractor == executables::NAME && packages.is_some_and(|packages| !packages.is_empty())
}

/// Whether it lies in the folder of a package of a language that is listed.
fn in_package(path: &[u8], listed: &HashSet<&str>) -> bool {
    let of_node = node_folder(path).and_then(|(folder, _)| std::str::from_utf8(folder).ok());
    if of_node.is_some_and(|folder| listed.contains(format!("{folder}/package.json").as_str())) {
        return true;
    }
    let Some((home, rest)) = std::str::from_utf8(path).ok().and_then(|path| path.rsplit_once("/gems/"))
    else {
        return false;
    };
    let gem = rest.split('/').next().unwrap_or_default();
    ["", "default/"]
        .iter()
        .any(|kind| listed.contains(format!("{home}/specifications/{kind}{gem}.gemspec").as_str()))
}
