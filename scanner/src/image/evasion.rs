//! What tells that packages of a system were hidden from a scanner: databases deleted, shortened, moved or put behind links
//! while what they listed stays.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::extractors::{Extracted, OwnedFile};
use crate::image::ownership::listed_package;
use crate::image::packages::{DATABASES, Installed};
use crate::image::tree::{EntryId, Lookup, Shape};
use crate::image::view::View;
use crate::image::{identity, languages};
use crate::layer::Extraction;
use crate::layer::entry::printable;
use crate::package::PackageKind;
use crate::report::Unknown;

/// What stays behind when a database is deleted to hide what is installed.
const LEFTOVERS: [&str; 12] = [
    "lib/apk/db/scripts.tar",
    "lib/apk/db/triggers",
    "sbin/apk",
    "usr/bin/dpkg",
    "usr/bin/rpm",
    "usr/lib/apk/db/scripts.tar",
    "usr/lib/sysimage/rpm",
    "var/lib/dpkg/available",
    "var/lib/dpkg/info",
    "var/lib/pacman/local",
    "var/lib/rpm",
    "var/lib/rpmmanifest",
];

/// Folders in which distributions keep databases, beside the files of [`DATABASES`].
const FOLDERS: [&str; 9] = [
    "usr/lib/opkg/",
    "usr/lib/sysimage/",
    "usr/share/rpm/",
    "var/lib/apk/db/",
    "var/lib/chisel/",
    "var/lib/dpkg/status.d/",
    "var/lib/opkg/",
    "var/lib/pacman/local/",
    "var/lib/rpmmanifest/",
];

/// Whether a distribution keeps a database there.
pub(super) fn is_known_place(path: &str) -> bool {
    DATABASES.iter().any(|(place, _)| *place == path) || FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Looks for every rung of the ladder that `inventory` alone does not show.
pub(super) fn lint(view: &View<'_>, by_entry: &HashMap<EntryId, &Extraction>, inventory: &mut Installed) {
    let listed = Listed::new(view);
    let claimed = listed.claimed(view, inventory);
    deleted(view, &listed, &claimed, inventory);
    misplaced(inventory);
    unlisted_system(view, &claimed, inventory);
    if let Some(distribution) = &inventory.distribution {
        inventory.unknown.extend(identity::contradiction(distribution, &inventory.packages));
    }
    let hidden = languages::lint(view, by_entry, &inventory.packages);
    inventory.unknown.extend(hidden);
}

/// A package, as the last database that lists it says.
struct Entry<'a> {
    database: EntryId,
    files: Vec<&'a str>,
    /// No database lists it: only the list of its files is there.
    orphan: bool,
}

/// The packages of systems that any layer lists.
struct Listed<'a> {
    packages: BTreeMap<(PackageKind, String), Entry<'a>>,
    /// Where each database and list of files stood.
    paths: HashMap<EntryId, String>,
}

/// dpkg lists the files of each package in a file of its own, and in another with their digests.
type Lists<'a> = BTreeMap<(String, bool), (EntryId, &'a [OwnedFile])>;

impl<'a> Listed<'a> {
    fn new(view: &View<'a>) -> Self {
        let ids: HashSet<EntryId> =
            view.extractions().filter(|(_, extraction)| of_system(extraction)).map(|(id, _)| id).collect();
        let described = view.described(|id| ids.contains(&id));
        let paths = described.into_iter().map(|(id, entry)| (id, entry.path)).collect();
        let mut listed = Self { packages: BTreeMap::new(), paths };
        let mut lists: Lists<'a> = BTreeMap::new();
        for (id, extraction) in view.extractions().filter(|(id, _)| ids.contains(id)) {
            match &extraction.found {
                Ok(Extracted::Packages(packages)) => {
                    for package in packages {
                        let entry = Entry { database: id, files: Vec::new(), orphan: false };
                        listed.packages.insert((package.kind, package.name.clone()), entry);
                    }
                }
                Ok(Extracted::System { packages, owned }) => {
                    let mut entries: Vec<Entry<'a>> = packages
                        .iter()
                        .map(|_| Entry { database: id, files: Vec::new(), orphan: false })
                        .collect();
                    for (number, path) in owned {
                        let entry = usize::try_from(*number).ok().and_then(|number| entries.get_mut(number));
                        entry.into_iter().for_each(|entry| entry.files.push(&path.path));
                    }
                    let named = packages.iter().map(|package| (package.kind, package.name.clone()));
                    listed.packages.extend(named.zip(entries));
                }
                Ok(Extracted::Owned(paths)) => {
                    let key =
                        |path: &String| Some((listed_package(path)?.to_owned(), path.ends_with(".md5sums")));
                    lists.extend(listed.paths.get(&id).and_then(key).map(|key| (key, (id, &**paths))));
                }
                _ => {}
            }
        }
        listed.add_lists(view, lists);
        listed
    }

    fn add_lists(&mut self, view: &View<'a>, lists: Lists<'a>) {
        for ((name, _), (id, paths)) in lists {
            let orphan = || Entry { database: id, files: Vec::new(), orphan: true };
            let key = (PackageKind::Deb, name);
            if self.packages.contains_key(&key) || view.visible.contains_key(&id) {
                let entry = self.packages.entry(key).or_insert_with(orphan);
                entry.files.extend(paths.iter().map(|file| file.path.as_str()));
            }
        }
    }

    /// What the files of installed packages are now.
    fn claimed(&self, view: &View<'_>, inventory: &Installed) -> HashSet<EntryId> {
        let installed =
            inventory.packages.iter().map(|found| (found.package.kind, found.package.name.clone()));
        let installed: HashSet<(PackageKind, String)> = installed.collect();
        let of_installed = self.packages.iter().filter(|(key, _)| installed.contains(*key));
        of_installed
            .flat_map(|(_, entry)| &entry.files)
            .filter_map(|path| view.content(path.as_bytes()))
            .collect()
    }
}

fn of_system(extraction: &Extraction) -> bool {
    match &extraction.found {
        Ok(Extracted::Owned(_)) => extraction.extractor == "dpkg",
        Ok(found) => found.packages().and_then(<[_]>::first).is_some_and(|package| package.kind.is_system()),
        Err(_) => false,
    }
}

/// Packages of one kind that are listed no more.
#[derive(Default)]
struct Missing {
    database: Option<EntryId>,
    package: String,
    packages: usize,
    files: usize,
}

/// Packages that earlier layers list and the final view does not; and traces of a package manager without any package.
fn deleted(view: &View<'_>, listed: &Listed<'_>, claimed: &HashSet<EntryId>, inventory: &mut Installed) {
    let installed: HashSet<(PackageKind, &str)> =
        inventory.packages.iter().map(|found| (found.package.kind, found.package.name.as_str())).collect();
    let kinds: HashSet<PackageKind> = installed.iter().map(|(kind, _)| *kind).collect();
    let mut missing: BTreeMap<(PackageKind, bool), Missing> = BTreeMap::new();
    for ((kind, name), entry) in &listed.packages {
        if installed.contains(&(*kind, name.as_str())) {
            continue;
        }
        // What was there when the package was listed, and belongs to no other one, was left behind.
        let remains = |path: &&&str| {
            view.content(path.as_bytes()).is_some_and(|content| {
                content.layer() <= entry.database.layer() && !claimed.contains(&content)
            })
        };
        let files = entry.files.iter().filter(remains).count();
        let shortened = kinds.contains(kind) || entry.orphan;
        if shortened && files == 0 {
            continue;
        }
        let missing = missing.entry((*kind, shortened)).or_default();
        missing.database = missing.database.max(Some(entry.database));
        missing.packages += 1;
        missing.files += files;
        if missing.package.is_empty() {
            missing.package.clone_from(name);
        }
    }
    for ((_, shortened), Missing { database, package, packages, files }) in missing {
        let Some(database) = database else { continue };
        let layer = view
            .stack
            .hidden_by
            .get(&database)
            .map_or(database.layer(), |layer| usize::try_from(*layer).expect("counted from an index"));
        let path = listed.paths.get(&database).cloned().unwrap_or_default();
        inventory.unknown.insert(if shortened {
            Unknown::ShortenedDatabase { path, layer, package, packages, files }
        } else {
            Unknown::DeletedDatabase { path, layer, packages, files }
        });
    }
    // Any system's packages explain the tools of another: Alpine has a package `dpkg`.
    if kinds.iter().any(|kind| kind.is_system()) {
        return;
    }
    let there = |trace: &&&str| matches!(view.stack.tree.lookup(trace.as_bytes()), Lookup::Found(_));
    if let Some(trace) = LEFTOVERS.iter().find(there) {
        inventory.broken(trace, 0, "traces of a package manager, but no list of packages");
    }
}

/// A database that was moved is still read; but only the one that package managers use says what is installed.
fn misplaced(inventory: &mut Installed) {
    let mut places: BTreeMap<PackageKind, (bool, &str, usize)> = BTreeMap::new();
    for found in inventory.packages.iter().filter(|found| found.package.kind.is_system()) {
        let known = is_known_place(&found.path);
        let place = places.entry(found.package.kind).or_insert((known, &found.path, found.layer));
        place.0 |= known;
    }
    let misplaced = places.into_values().filter(|(known, ..)| !known);
    let misplaced: Vec<Unknown> = misplaced
        .map(|(_, path, layer)| Unknown::MisplacedDatabase { path: path.to_owned(), layer })
        .collect();
    inventory.unknown.extend(misplaced);
}

/// Whoever copies a system without its database still needs its C library.
fn unlisted_system(view: &View<'_>, claimed: &HashSet<EntryId>, inventory: &mut Installed) {
    let listed = inventory.packages.iter().any(|found| found.package.kind.is_system());
    // Where no files are listed at all, nothing can be said about one.
    if listed && claimed.is_empty() {
        return;
    }
    let mut found: Option<Unknown> = None;
    view.stack.tree.for_each(|path, node| {
        if found.is_some() || !is_c_library(path) || matches!(node.shape, Shape::Directory | Shape::Device) {
            return;
        }
        if let Some(content) = view.content(path).filter(|content| !claimed.contains(content)) {
            let path = printable(path);
            found = Some(Unknown::UnlistedSystem { path, layer: content.layer() });
        }
    });
    inventory.unknown.extend(found);
}

/// The loader or the library itself of glibc and musl, where a system has it.
fn is_c_library(path: &[u8]) -> bool {
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return false };
    let (folder, name) = (&path[..slash], &path[slash + 1..]);
    let named =
        name == b"libc.so.6" || [&b"ld-musl-"[..], b"ld-linux"].iter().any(|begin| name.starts_with(begin));
    let depth = folder.iter().filter(|byte| **byte == b'/').count();
    named && depth <= 2 && (folder.starts_with(b"lib") || folder.starts_with(b"usr/lib"))
}
