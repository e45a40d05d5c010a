//! What tells that packages of a language were hidden: descriptions that were deleted, emptied or put behind links, while
//! the code stays.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::extractors::{self, Extracted, Want};
use crate::image::packages::DATABASES;
use crate::image::tree::{EntryId, Lookup, Node, NodeId, Shape};
use crate::image::view::View;
use crate::layer::Extraction;
use crate::layer::entry::{EntryKind, printable};
use crate::report::{ImagePackage, Unknown};

/// Hidden packages that are told; one is enough to distrust the image.
const TOLD_MAX: usize = 100;

/// The `package.json` files that Node finds through links: `node_modules` itself may be one, and each package in it.
pub(super) fn linked_node_packages(view: &View<'_>) -> HashSet<EntryId> {
    let mut found = HashSet::new();
    let tree = &view.stack.tree;
    let mut add = |folder: NodeId| {
        let described = tree.children(folder).find(|(name, _)| *name == b"package.json");
        if let Some((_, node)) = described
            && let Shape::File(content) = tree.node(node).shape
        {
            found.insert(content);
        }
    };
    tree.for_each(|path, node| {
        if !matches!(node.shape, Shape::Symlink(_)) {
            return;
        }
        let is_root = ends_with(path, b"node_modules");
        if !is_root && !is_in_node_modules(path) {
            return;
        }
        let Lookup::Found(folder) = tree.lookup(path) else { return };
        add(folder);
        if is_root || path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b"@")) {
            for (name, child) in tree.children(folder) {
                add(child);
                if name.starts_with(b"@") {
                    tree.children(child).for_each(|(_, child)| add(child));
                }
            }
        }
    });
    found
}

/// `…/node_modules/NAME` or `…/node_modules/@SCOPE/NAME`.
fn is_in_node_modules(path: &[u8]) -> bool {
    let mut names = path.rsplit(|byte| *byte == b'/').skip(1);
    match names.next() {
        Some(b"node_modules") => true,
        Some(scope) if scope.starts_with(b"@") => names.next() == Some(b"node_modules"),
        _ => false,
    }
}

/// Everything that is hidden in the final view.
pub(super) fn lint(
    view: &View<'_>,
    by_entry: &HashMap<EntryId, &Extraction>,
    packages: &[ImagePackage],
) -> BTreeSet<Unknown> {
    let python_of_system =
        packages.iter().any(|found| found.package.kind.is_system() && found.package.name.contains("py"));
    let mut lint = Lint { view, by_entry, python_of_system, found: BTreeSet::new(), node: None };
    view.stack.tree.for_each(|path, node| {
        if lint.found.len() < TOLD_MAX {
            lint.visit(path, node);
        }
    });
    lint.close_node_package();
    lint.recorded_python();
    lint.found
}

struct Lint<'a, 'v> {
    view: &'a View<'v>,
    by_entry: &'a HashMap<EntryId, &'v Extraction>,
    /// Distributions bring modules that no distribution of Python's own describes.
    python_of_system: bool,
    found: BTreeSet<Unknown>,
    /// The package of Node in whose folder the visit is.
    node: Option<NodePackage>,
}

struct NodePackage {
    folder: Vec<u8>,
    code_in: Option<usize>,
    described: bool,
}

impl Lint<'_, '_> {
    fn visit(&mut self, path: &[u8], node: &Node) {
        self.link(path, node);
        self.node_package(path, node);
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return };
        let (folder, name) = (&path[..slash], &path[slash + 1..]);
        let is_missing = |name: &[u8]| !self.is_there(&[folder, b"/", name].concat());
        match name {
            b"RECORD" | b"WHEEL" | b"top_level.txt"
                if folder.ends_with(b".dist-info") && is_missing(b"METADATA") =>
            {
                self.hidden(folder, node, "what is left of a Python distribution without `METADATA`");
            }
            b"top_level.txt" if folder.ends_with(b".egg-info") && is_missing(b"PKG-INFO") => {
                self.hidden(folder, node, "what is left of a Python distribution without `PKG-INFO`");
            }
            b"site-packages" | b"dist-packages"
                if node.shape == Shape::Directory && !self.python_of_system =>
            {
                self.python_modules(path, node);
            }
            b"autoload_real.php" if ends_with(folder, b"composer") && is_missing(b"installed.json") => {
                self.hidden(folder, node, "packages of Composer without `installed.json`");
            }
            _ if name.ends_with(b".runtimeconfig.json") => self.dotnet(folder, node),
            _ if node.shape == Shape::Directory && ends_with(folder, b"gems") => {
                self.gem(path, folder, name, node)
            }
            _ => {}
        }
    }

    /// What an extractor wants by its name must have been read by it, wherever the link leads.
    fn link(&mut self, path: &[u8], node: &Node) {
        let hard = matches!(node.listed, Some((EntryKind::HardLink, _)));
        let content = match &node.shape {
            Shape::Symlink(_) => self.view.content(path),
            Shape::File(content) if hard => Some(*content),
            _ => return,
        };
        // A link that leads nowhere hides nothing.
        let Some(content) = content else { return };
        if DATABASES.iter().any(|(place, _)| place.as_bytes() == path) {
            return;
        }
        let wants = |extractor: &&&dyn extractors::Extractor| extractor.wants(path) == Want::Content;
        let Some(extractor) = extractors::all().iter().find(wants) else { return };
        // Lists of files leave nothing behind where they list nothing of interest; `os-release` is judged at its place.
        let is_list = [&b".list"[..], b".md5sums", b"/RECORD"].iter().any(|ending| path.ends_with(ending));
        let read = self.by_entry.get(&content).is_some_and(|found| found.extractor == extractor.name());
        if !read && !is_list && extractor.name() != "os-release" {
            self.hidden(
                path,
                node,
                "a link to a file of another name, which is not read as what the link says",
            );
        }
    }

    /// A folder in the outermost `node_modules` holds code and nothing that tells its version.
    fn node_package(&mut self, path: &[u8], node: &Node) {
        let Some((folder, inside)) = node_folder(path) else { return };
        if self.node.as_ref().is_none_or(|open| open.folder != folder) {
            self.close_node_package();
            self.node = Some(NodePackage { folder: folder.to_vec(), code_in: None, described: false });
        }
        let told = inside == b"package.json" && self.tells_packages(path);
        let is_code = [&b".js"[..], b".cjs", b".mjs", b".node"].iter().any(|ending| inside.ends_with(ending));
        if let Some(open) = &mut self.node {
            open.described |= told;
            if let Shape::File(content) = node.shape
                && is_code
            {
                open.code_in.get_or_insert(content.layer());
            }
        }
    }

    /// A description that is broken is told elsewhere.
    fn tells_packages(&self, path: &[u8]) -> bool {
        let Some(found) = self.view.content(path).and_then(|content| self.by_entry.get(&content)) else {
            return false;
        };
        found
            .found
            .as_ref()
            .map_or(true, |found| found.packages().is_some_and(|packages| !packages.is_empty()))
    }

    fn close_node_package(&mut self) {
        if let Some(NodePackage { folder, code_in: Some(layer), described: false }) = self.node.take() {
            let problem = "code of Node without a `package.json` that tells its version".to_owned();
            self.found.insert(Unknown::HiddenPackages { path: printable(&folder), layer, problem });
        }
    }

    /// Modules in a folder for distributions, of which not one is described.
    fn python_modules(&mut self, path: &[u8], node: &Node) {
        let Lookup::Found(folder) = self.view.stack.tree.lookup(path) else { return };
        let tree = &self.view.stack.tree;
        let described = |name: &[u8]| {
            [&b".dist-info"[..], b".egg-info", b".egg", b".egg-link"]
                .iter()
                .any(|ending| name.ends_with(ending))
        };
        if tree.children(folder).any(|(name, _)| described(name)) {
            return;
        }
        let is_module = |(_, child): &(&[u8], NodeId)| {
            tree.children(*child).any(|(name, _)| name == b"__init__.py" || name == b"__init__.pyc")
        };
        if tree.children(folder).any(|child| is_module(&child)) {
            self.hidden(path, node, "modules of Python, and not one description of a distribution");
        }
    }

    /// Distributions whose description a layer took away, while what they recorded stays.
    fn recorded_python(&mut self) {
        let lists = || {
            let python = self.view.extractions().filter(|(_, extraction)| extraction.extractor == "python");
            python.filter_map(|(id, extraction)| match &extraction.found {
                Ok(Extracted::Owned(paths)) => Some((id, paths)),
                _ => None,
            })
        };
        let current = lists().filter(|(id, _)| self.view.visible.contains_key(id));
        let current: HashSet<&str> =
            current.flat_map(|(_, files)| files).map(|file| file.path.as_str()).collect();
        let mut found = Vec::new();
        for (id, paths) in lists().filter(|(id, _)| !self.view.visible.contains_key(id)) {
            let left = paths.iter().map(|file| &file.path).find(|path| {
                let content = self.view.content(path.as_bytes());
                !current.contains(path.as_str())
                    && content.is_some_and(|content| content.layer() <= id.layer())
            });
            found.extend(left.map(|path| (path.clone(), id)));
        }
        for (path, id) in found.into_iter().take(TOLD_MAX) {
            let by = self.view.stack.hidden_by.get(&id);
            let layer = by.map_or(id.layer(), |by| usize::try_from(*by).expect("counted from an index"));
            let problem = "a module of Python whose distribution's description was deleted".to_owned();
            self.found.insert(Unknown::HiddenPackages { path, layer, problem });
        }
    }

    fn gem(&mut self, path: &[u8], folder: &[u8], name: &[u8], node: &Node) {
        let home = folder.strip_suffix(b"gems").unwrap_or_default();
        let has = |place: &[u8], file: &[u8]| self.is_there(&[home, place, file].concat());
        let is_home = has(b"specifications", b"") || memchr::memmem::find(home, b"ruby").is_some();
        if !is_home || ends_with(home.strip_suffix(b"/").unwrap_or_default(), b"bundler") {
            return;
        }
        let file = [name, b".gemspec"].concat();
        let described = has(b"specifications/", &file) || has(b"specifications/default/", &file);
        if !described && self.is_there(&[path, b"/lib"].concat()) {
            self.hidden(path, node, "a gem without its specification");
        }
    }

    fn dotnet(&mut self, folder: &[u8], node: &Node) {
        let tree = &self.view.stack.tree;
        let Lookup::Found(place) = tree.lookup(folder) else { return };
        let has = |ending: &[u8]| tree.children(place).any(|(name, _)| name.ends_with(ending));
        if has(b".dll") && !has(b".deps.json") {
            self.hidden(folder, node, "a .NET application without its `.deps.json`");
        }
    }

    fn is_there(&self, path: &[u8]) -> bool {
        matches!(self.view.stack.tree.lookup(path), Lookup::Found(_))
    }

    fn hidden(&mut self, path: &[u8], node: &Node, problem: &str) {
        let layer = node.entry.map_or(0, EntryId::layer);
        let (path, problem) = (printable(path), problem.to_owned());
        self.found.insert(Unknown::HiddenPackages { path, layer, problem });
    }
}

/// The folder of the package in the outermost `node_modules`, and what stands in it. Packages bring folders of that name
/// to test themselves; those are no one's packages. pnpm keeps all packages one level down.
pub(super) fn node_folder(path: &[u8]) -> Option<(&[u8], &[u8])> {
    const ROOT: &[u8] = b"node_modules/";
    let mut start = 0;
    loop {
        start += memchr::memmem::find(&path[start..], ROOT)? + ROOT.len();
        let whole = start == ROOT.len() || path[start - ROOT.len() - 1] == b'/';
        if whole && !path[start..].starts_with(b".pnpm/") {
            break;
        }
    }
    let rest = &path[start..];
    let mut end = memchr::memchr(b'/', rest)?;
    if rest.starts_with(b"@") {
        end += 1 + memchr::memchr(b'/', &rest[end + 1..])?;
    }
    (!rest.starts_with(b".")).then(|| (&path[..start + end], &rest[end + 1..]))
}

/// Whether `path` is `suffix` or ends in `/suffix`.
fn ends_with(path: &[u8], suffix: &[u8]) -> bool {
    path.strip_suffix(suffix).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}
