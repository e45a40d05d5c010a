//! Which files the distribution's packages installed, and so answers for.

use std::collections::{HashMap, HashSet};

use crate::advisory::Ecosystem;
use crate::extractors::Extracted;
use crate::image::tree::{EntryId, Lookup, Shape};
use crate::image::view::View;
use crate::package::{Distribution, Package, PackageKind};
use crate::report::ImagePackage;

/// Files that packages of the distribution installed, each with its package. What a later layer wrote over such a file is
/// not the package's any more; nor does the distribution judge what others have built. `origins` tells the layer that
/// brought a system's package.
pub(super) fn owned_files(
    view: &View<'_>,
    distribution: Option<&Distribution>,
    found: &[(EntryId, ImagePackage)],
    origins: &HashMap<(&str, &Package), usize>,
) -> HashMap<EntryId, String> {
    let ecosystem = distribution.and_then(Ecosystem::of_distribution);
    let is_foreign =
        |package: &Package| ecosystem.as_ref().is_some_and(|ecosystem| ecosystem.is_foreign(package));
    let listing = |kind| matches!(kind, PackageKind::Deb | PackageKind::Opkg);
    let debs = found.iter().filter(|(_, package)| listing(package.package.kind));
    let debs: HashSet<&str> = debs.map(|(_, package)| package.package.name.as_str()).collect();
    let mut owned = HashMap::new();
    let mut claim = |path: &str, installed_in: usize, owner: &str| {
        if let Lookup::Found(node) = view.stack.tree.lookup(path.as_bytes())
            && let Shape::File(content) = view.stack.tree.node(node).shape
            && layer(content) <= installed_in
        {
            owned.insert(content, owner.to_owned());
        }
    };
    for (id, extraction) in view.extractions() {
        let Some(place) = view.visible.get(&id) else { continue };
        match &extraction.found {
            // A list of a package that is not installed is nobody's word.
            Ok(Extracted::Owned(paths)) => {
                if let Some(owner) = listed_package(place).filter(|name| debs.contains(name)) {
                    paths.iter().for_each(|file| claim(&file.path, layer(id), owner));
                }
            }
            Ok(Extracted::System { packages, owned }) => {
                for (number, file) in owned {
                    let package = usize::try_from(*number).ok().and_then(|number| packages.get(number));
                    if let Some(package) = package.filter(|package| !is_foreign(package)) {
                        // The database is rewritten with each package; the files were, when theirs came.
                        let installed_in = origins.get(&("", package)).copied().unwrap_or(layer(id));
                        claim(&file.path, installed_in, &package.name);
                    }
                }
            }
            _ => {}
        }
    }
    owned
}

/// `libc6` out of `var/lib/dpkg/info/libc6:amd64.list`.
pub(super) fn listed_package(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let name = name.strip_suffix(".list").or_else(|| name.strip_suffix(".md5sums"))?;
    name.split(':').next()
}

fn layer(id: EntryId) -> usize {
    id.layer()
}
