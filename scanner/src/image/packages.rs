//! What is installed in the final view, where each package came from, and what contradicts itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::executables;
use crate::extractors::{Extracted, node};
use crate::image::tree::{EntryId, Lookup, Shape};
use crate::image::view::View;
use crate::image::{evasion, languages, ownership};
use crate::layer::Extraction;
use crate::package::{Distribution, Package, PackageKind};
use crate::report::{ImagePackage, Unknown};

/// What the package databases say.
#[derive(Default)]
pub(super) struct Installed {
    pub(super) distribution: Option<Distribution>,
    pub(super) packages: Vec<ImagePackage>,
    /// The distribution's package behind each [`ImagePackage::owned`], by path.
    pub(super) owners: BTreeMap<String, String>,
    pub(super) unknown: BTreeSet<Unknown>,
}

/// Places where a package manager looks for its database, and who reads it. Such a place may be a link, or lie behind
/// one; what stands at its end must have been read.
pub(super) const DATABASES: [(&str, &str); 9] = [
    ("lib/apk/db/installed", "apk"),
    ("usr/lib/apk/db/installed", "apk"),
    ("usr/lib/sysimage/rpm/Packages", "rpm"),
    ("usr/lib/sysimage/rpm/Packages.db", "rpm"),
    ("usr/lib/sysimage/rpm/rpmdb.sqlite", "rpm"),
    ("var/lib/dpkg/status", "dpkg"),
    ("var/lib/rpm/Packages", "rpm"),
    ("var/lib/rpm/Packages.db", "rpm"),
    ("var/lib/rpm/rpmdb.sqlite", "rpm"),
];

/// Who reads the databases of distributions.
const SYSTEM_EXTRACTORS: [&str; 7] = ["apk", "chisel", "dpkg", "opkg", "pacman", "rpm", "unsupported"];

impl Installed {
    pub(super) fn new(view: &View<'_>) -> Self {
        let mut inventory = Self::default();
        let by_entry: HashMap<EntryId, &Extraction> = view.extractions().collect();
        inventory.find_distribution(view, &by_entry);
        inventory.collect_packages(view);
        for (place, extractor) in DATABASES {
            inventory.check_place(view, &by_entry, place, extractor);
        }
        evasion::lint(view, &by_entry, &mut inventory);
        if inventory.packages.is_empty() && inventory.unknown.is_empty() {
            inventory.unknown.insert(Unknown::NothingRecognised);
        }
        inventory
    }

    /// os-release(5): `etc` goes before `usr/lib`.
    fn find_distribution(&mut self, view: &View<'_>, by_entry: &HashMap<EntryId, &Extraction>) {
        for place in ["etc/os-release", "usr/lib/os-release"] {
            let content = match view.stack.tree.lookup(place.as_bytes()) {
                Lookup::Missing => continue,
                Lookup::Broken => return self.broken(place, 0, "a link that leads nowhere"),
                Lookup::Found(node) => match view.stack.tree.node(node).shape {
                    Shape::File(content) => content,
                    _ => return self.broken(place, 0, "not a file"),
                },
            };
            match by_entry.get(&content).map(|extraction| &extraction.found) {
                Some(Ok(Extracted::Distribution(distribution))) => {
                    self.distribution = Some(distribution.clone())
                }
                Some(Err(problem)) => self.broken(place, layer(content), problem),
                _ => self.broken(place, layer(content), "a link to a file of another kind"),
            }
            return;
        }
    }

    fn collect_packages(&mut self, view: &View<'_>) {
        let mut origins: HashMap<(&str, &Package), usize> = HashMap::new();
        let (mut found, mut broken, mut unnamed) = (Vec::new(), Vec::new(), Vec::new());
        let mut inventories = HashSet::new();
        let linked = languages::linked_node_packages(view);
        for (id, extraction) in view.extractions() {
            let visible = view.visible.get(&id);
            // A `package.json` beside an application describes itself, and no installed package.
            if extraction.extractor == "node"
                && visible.is_some_and(|path| !node::is_installed(path.as_bytes()))
                && !linked.contains(&id)
            {
                continue;
            }
            match extraction.extractor.as_str() {
                "spdx" => drop(inventories.insert(id)),
                "chisel" => {
                    let problem = "it does not tell source packages, by which advisories name them";
                    visible.into_iter().for_each(|path| self.broken(path, layer(id), problem));
                }
                _ => {}
            }
            match &extraction.found {
                Ok(Extracted::Packages(packages) | Extracted::System { packages, .. }) => {
                    for package in packages {
                        // An archive of classes without a name or a version: what is in it cannot be judged.
                        if package.version.is_empty() {
                            unnamed.extend(visible.map(|path| (id, path, &package.name)));
                            continue;
                        }
                        // A system has one database, wherever it is moved; language packages are told by place.
                        let system = package.kind.is_system();
                        let place = if system { "" } else { visible.map_or("", String::as_str) };
                        let origin = *origins.entry((place, package)).or_insert(layer(id));
                        if let Some(path) = visible {
                            let (package, path) = (package.clone(), path.clone());
                            found.push((id, ImagePackage { package, path, layer: origin, owned: false }));
                        }
                    }
                }
                Ok(Extracted::Unsupported) => {
                    if let Some(path) = visible {
                        self.unknown
                            .insert(Unknown::UnsupportedDatabase { path: path.clone(), layer: layer(id) });
                    }
                }
                // Each build of an image on an image leaves its own list.
                Ok(Extracted::Repositories(names)) => {
                    if let (Some(distribution), Some(_)) = (&mut self.distribution, visible) {
                        distribution.repositories.extend(names.iter().cloned());
                    }
                }
                Ok(Extracted::Distribution(_) | Extracted::Owned(_)) => {}
                // `os-release` is judged at its place; files of that name elsewhere say nothing.
                Err(_) if extraction.extractor == "os-release" => {}
                Err(problem) => {
                    broken.extend(visible.map(|path| (id, &*extraction.extractor, path, problem)));
                }
            }
        }
        let of_languages = found.iter().any(|(_, package)| !package.package.kind.is_system());
        // What a vendor's inventory repeats of others is not told twice.
        let listed = |kept: &(EntryId, ImagePackage)| !inventories.contains(&kept.0);
        let known: HashSet<Package> =
            found.iter().filter(|kept| listed(kept)).map(|(_, found)| found.package.clone()).collect();
        found.retain(|kept| listed(kept) || !known.contains(&kept.1.package));
        if of_languages || !broken.is_empty() || !unnamed.is_empty() {
            let owned = ownership::owned_files(view, self.distribution.as_ref(), &found, &origins);
            for (id, package) in &mut found {
                if let Some(owner) = owned.get(id).filter(|_| !package.package.kind.is_system()) {
                    package.owned = true;
                    self.owners.insert(package.path.clone(), owner.clone());
                }
            }
            // Nor is what a distribution's own file fails to tell of any interest.
            // A program of the distribution is known as its package.
            found.retain(|(_, found)| found.package.kind != PackageKind::Binary || !found.owned);
            broken.retain(|(id, extractor, ..)| {
                SYSTEM_EXTRACTORS.contains(extractor) || !owned.contains_key(id)
            });
            // Java's own archives bear no version; the runtime does.
            let runtimes = found.iter().filter(|(_, found)| found.package.name == "openjdk");
            let runtimes: Vec<&str> =
                runtimes.filter_map(|(_, found)| found.path.strip_suffix("release")).collect();
            unnamed.retain(|(id, path, _)| {
                !owned.contains_key(id) && !runtimes.iter().any(|folder| path.starts_with(folder))
            });
        }
        for (id, path, name) in unnamed {
            let problem = format!("the archive `{name}` has lost what tells its version");
            self.unknown.insert(Unknown::HiddenPackages { path: path.clone(), layer: layer(id), problem });
        }
        for (id, extractor, path, problem) in broken {
            if extractor == executables::NAME {
                let (path, problem) = (path.clone(), problem.clone());
                self.unknown.insert(Unknown::UnreadableExecutable { path, layer: layer(id), problem });
            } else {
                self.broken(path, layer(id), problem);
            }
        }
        if let Some(distribution) = &mut self.distribution {
            distribution.repositories.sort();
            distribution.repositories.dedup();
        }
        self.packages = found.into_iter().map(|(_, package)| package).collect();
        self.packages.sort();
        self.packages.dedup();
    }

    /// A database behind a link must have been read as one, or packages could hide behind the link.
    fn check_place(
        &mut self,
        view: &View<'_>,
        by_entry: &HashMap<EntryId, &Extraction>,
        place: &str,
        extractor: &str,
    ) {
        match view.stack.tree.lookup(place.as_bytes()) {
            Lookup::Missing => {}
            Lookup::Broken => self.broken(place, 0, "a link that leads nowhere"),
            Lookup::Found(node) => match view.stack.tree.node(node).shape {
                Shape::File(content) => {
                    let read =
                        by_entry.get(&content).is_some_and(|extraction| extraction.extractor == extractor);
                    let path = view.visible.get(&content).map_or("", String::as_str);
                    if !read {
                        self.broken(place, layer(content), "a link to a file of another name");
                    } else if !evasion::is_known_place(path) {
                        let (path, target) = (place.to_owned(), path.to_owned());
                        self.unknown.insert(Unknown::LinkedDatabase { path, target, layer: layer(content) });
                    }
                }
                _ => self.broken(place, 0, "not a file"),
            },
        }
    }

    pub(super) fn broken(&mut self, path: &str, layer: usize, problem: &str) {
        self.unknown.insert(Unknown::BrokenDatabase {
            path: path.to_owned(),
            layer,
            problem: problem.to_owned(),
        });
    }
}

fn layer(id: EntryId) -> usize {
    id.layer()
}
