//! The file tree of an image: layer upon layer, as an engine with an overlay unpacks it.
//!
//! Each layer is first unpacked on its own (links in the layer's own paths are followed, inside the root; the last
//! entry of a name wins) and then laid over those below (whiteouts hide what is below and never what is beside them).

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use crate::layer::entry::{Entry, EntryKind, printable};
use crate::limits::SYMLINKS_MAX;

/// Number of a node in its tree.
pub(super) type NodeId = usize;

/// Deepest directory that a path may reach once its links are followed: what is deeper cannot be opened by its path.
const RESOLVED_DEPTH_MAX: usize = 2048;

const ROOT: NodeId = 0;

/// Names one entry of one layer. For files it also names the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryId {
    pub(super) layer: u32,
    pub(super) entry: u32,
}

impl EntryId {
    /// Index into the image's layers.
    pub(super) fn layer(self) -> usize {
        usize::try_from(self.layer).expect("counted from an index")
    }
}

/// What stands at one place of the tree.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// The entry that describes it; `None` for a directory that only paths imply.
    pub(super) entry: Option<EntryId>,
    /// The kind and target of that entry.
    pub(super) listed: Option<(EntryKind, Box<[u8]>)>,
    pub(super) size: u64,
    pub(super) hash: Option<u32>,
    children: BTreeMap<Box<[u8]>, NodeId>,
    /// Names below this directory that the layer hides.
    whiteouts: Vec<Box<[u8]>>,
    opaque: bool,
}

/// What a node is once hard links are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// Device or pipe.
    Device,
    #[default]
    Directory,
    File(EntryId),
    Symlink(Box<[u8]>),
}

/// Why a layer cannot be laid over the others as every engine would.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum StackProblem {
    #[error("the hard link `{path}` leads to `{target}`, which is not there")]
    DanglingHardLink { path: String, target: String },
    #[error("the path `{0}` leads through something that is no directory")]
    NotADirectory(String),
    #[error("the path `{0}` follows too many links, or is too deep")]
    LinksOrDepth(String),
    #[error("the path `{0}` leads through a link of an earlier layer: engines disagree where it ends")]
    ThroughLowerLink(String),
    #[error("the whiteout `{0}` has no name")]
    NamelessWhiteout(String),
}

/// A tree of nodes, addressed by number.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Found(NodeId),
    /// Nothing there, nor did a link promise anything.
    Missing,
    /// A link that leads nowhere or round in circles.
    Broken,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// Visits all nodes in the order of their paths; the root's path is empty.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&[u8], &Node)) {
        let mut path = Vec::new();
        visit(&path, &self.nodes[ROOT]);
        let mut open = vec![(0, self.nodes[ROOT].children.iter())];
        while let Some((parent_bytes, children)) = open.last_mut() {
            path.truncate(*parent_bytes);
            let Some((name, &child)) = children.next() else {
                open.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            visit(&path, &self.nodes[child]);
            if !self.nodes[child].children.is_empty() {
                open.push((path.len(), self.nodes[child].children.iter()));
            }
        }
    }

    /// What has a name in a directory; links are not followed.
    pub(super) fn child(&self, id: NodeId, name: &[u8]) -> Option<NodeId> {
        self.nodes[id].children.get(name).copied()
    }

    /// The names in a directory, in order.
    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        self.nodes[id].children.iter().map(|(name, child)| (&**name, *child))
    }

    /// Follows links as the kernel does, inside the root.
    pub(super) fn lookup(&self, path: &[u8]) -> Lookup {
        let mut pending: Vec<&[u8]> = components(path).rev().collect();
        let mut at = vec![ROOT];
        let mut links = 0;
        // How many of `pending` are the path's own. The others stand above them: what links put in their place.
        let mut own = pending.len();
        while let Some(name) = pending.pop() {
            let is_own = pending.len() < own;
            own = own.min(pending.len());
            let here = *at.last().unwrap_or(&ROOT);
            if name == b".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let Some(&child) = self.nodes[here].children.get(name) else {
                // Below `lib`, which nearly every distribution makes a link to `usr/lib`, a name may be missing like any
                // other; a link is broken when its own target is not there.
                return if is_own { Lookup::Missing } else { Lookup::Broken };
            };
            let Shape::Symlink(target) = &self.nodes[child].shape else {
                at.push(child);
                continue;
            };
            links += 1;
            if links > SYMLINKS_MAX || pending.len() > RESOLVED_DEPTH_MAX {
                return Lookup::Broken;
            }
            if target.starts_with(b"/") {
                at.truncate(1);
            }
            pending.extend(components(target).rev());
        }
        Lookup::Found(*at.last().unwrap_or(&ROOT))
    }

    /// The directory that `path` leads to, made where it is missing.
    fn directory(&mut self, path: &[u8]) -> Result<NodeId, StackProblem> {
        // Nearly all paths lead through directories that are there.
        let child = |at: NodeId, name: &[u8]| {
            let child = *self.nodes[at].children.get(name)?;
            (self.nodes[child].shape == Shape::Directory).then_some(child)
        };
        match components(path).try_fold(ROOT, child) {
            Some(directory) => Ok(directory),
            None => self.make_directory(path),
        }
    }

    fn make_directory(&mut self, path: &[u8]) -> Result<NodeId, StackProblem> {
        let too_far = || StackProblem::LinksOrDepth(printable(path));
        let mut pending: Vec<Box<[u8]>> = components(path).rev().map(Box::from).collect();
        let mut at = vec![ROOT];
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if *name == *b".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let here = *at.last().unwrap_or(&ROOT);
            let child = match self.nodes[here].children.get(&name) {
                Some(&child) => child,
                None => self.insert(here, name, Node::default()),
            };
            match &self.nodes[child].shape {
                Shape::Directory => at.push(child),
                Shape::Symlink(target) => {
                    links += 1;
                    if target.starts_with(b"/") {
                        at.truncate(1);
                    }
                    pending.extend(components(target).rev().map(Box::from));
                }
                Shape::Device | Shape::File(_) => return Err(StackProblem::NotADirectory(printable(path))),
            }
            if links > SYMLINKS_MAX || at.len() + pending.len() > RESOLVED_DEPTH_MAX {
                return Err(too_far());
            }
        }
        Ok(*at.last().unwrap_or(&ROOT))
    }

    fn insert(&mut self, parent: NodeId, name: Box<[u8]>, node: Node) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(node);
        self.nodes[parent].children.insert(name, id);
        id
    }

    /// Takes a name away with all below it; tells the contents that lose a name.
    fn remove(&mut self, parent: NodeId, name: &[u8], hidden: &mut impl FnMut(EntryId)) {
        let Some(removed) = self.nodes[parent].children.remove(name) else { return };
        self.forget(removed, hidden);
    }

    fn forget(&mut self, removed: NodeId, hidden: &mut impl FnMut(EntryId)) {
        let mut open = vec![removed];
        while let Some(id) = open.pop() {
            let node = std::mem::take(&mut self.nodes[id]);
            if let Shape::File(content) = node.shape {
                hidden(content);
            }
            open.extend(node.children.into_values());
        }
    }
}

/// The layers so far, as a container would see them.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) tree: Tree,
    /// The layer that last took a name from a content.
    pub(super) hidden_by: HashMap<EntryId, u32>,
}

/// A layer that is being unpacked on its own.
pub(super) struct LayerTree<'s> {
    stack: &'s mut Stack,
    tree: Tree,
    layer: u32,
    problems: Vec<StackProblem>,
    /// Where the last entry went: archives list a directory's entries one after the other. Forgotten whenever something
    /// is taken away, since only that can change where a path leads.
    last_parent: Option<(Vec<u8>, NodeId)>,
}

impl Stack {
    pub(super) fn new() -> Self {
        Self { tree: Tree::new(), hidden_by: HashMap::new() }
    }

    pub(super) fn begin(&mut self, layer: u32) -> LayerTree<'_> {
        LayerTree { stack: self, tree: Tree::new(), layer, problems: Vec::new(), last_parent: None }
    }
}

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
const WHITEOUT_META: &[u8] = b".wh..wh.";

impl LayerTree<'_> {
    /// Unpacks one entry. What cannot be unpacked is a problem of the layer, told at the end.
    pub(super) fn add(&mut self, number: u32, entry: &Entry<'_>) {
        if let Err(problem) = self.unpack(number, entry)
            && self.problems.len() < PROBLEMS_MAX
        {
            self.problems.push(problem);
        }
    }

    fn unpack(&mut self, number: u32, entry: &Entry<'_>) -> Result<(), StackProblem> {
        let id = EntryId { layer: self.layer, entry: number };
        let Some((parent, name)) = split(entry.path) else {
            // The root itself.
            self.tree.nodes[ROOT].entry = Some(id);
            self.tree.nodes[ROOT].listed = Some((entry.kind, Box::default()));
            return Ok(());
        };
        // aufs kept its own books in the root; engines skip them (image-spec layer.md, whiteouts).
        if entry.path.starts_with(WHITEOUT_META) && entry.path != WHITEOUT_OPAQUE {
            return Ok(());
        }
        let parent = self.parent(parent)?;
        if name == WHITEOUT_OPAQUE {
            self.tree.nodes[parent].opaque = true;
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            // `.wh.`, `.wh..` and `.wh...` would take away the directory itself or the one above.
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(StackProblem::NamelessWhiteout(printable(entry.path)));
            }
            self.tree.nodes[parent].whiteouts.push(hidden.into());
            return Ok(());
        }
        let shape = self.shape(id, entry)?;
        let listed = Some((entry.kind, entry.target.into()));
        let existing = self.tree.nodes[parent].children.get(name).copied();
        if let Some(existing) = existing
            && shape == Shape::Directory
            && self.tree.nodes[existing].shape == Shape::Directory
        {
            let node = &mut self.tree.nodes[existing];
            (node.entry, node.listed) = (Some(id), listed);
            return Ok(());
        }
        if existing.is_some() {
            self.last_parent = None;
        }
        let (hidden_by, layer) = (&mut self.stack.hidden_by, self.layer);
        self.tree.remove(parent, name, &mut |content| {
            hidden_by.insert(content, layer);
        });
        let node =
            Node { shape, entry: Some(id), listed, size: entry.size, hash: entry.hash, ..Node::default() };
        self.tree.insert(parent, name.into(), node);
        Ok(())
    }

    fn parent(&mut self, path: &[u8]) -> Result<NodeId, StackProblem> {
        if let Some((last, directory)) = &self.last_parent
            && last == path
        {
            return Ok(*directory);
        }
        let directory = self.tree.directory(path)?;
        self.last_parent = Some((path.to_vec(), directory));
        Ok(directory)
    }

    fn shape(&self, id: EntryId, entry: &Entry<'_>) -> Result<Shape, StackProblem> {
        Ok(match entry.kind {
            EntryKind::BlockDevice | EntryKind::CharacterDevice | EntryKind::Fifo => Shape::Device,
            EntryKind::Directory => Shape::Directory,
            EntryKind::File => Shape::File(id),
            EntryKind::Symlink => Shape::Symlink(entry.target.into()),
            EntryKind::HardLink => {
                let dangling = || StackProblem::DanglingHardLink {
                    path: printable(entry.path),
                    target: printable(entry.target),
                };
                // A layer that links to one below works where layers are unpacked onto each other.
                let trees = [&self.tree, &self.stack.tree];
                let shape = trees.iter().find_map(|tree| tree.unlinked(entry.target));
                shape.filter(|shape| *shape != Shape::Directory).ok_or_else(dangling)?
            }
        })
    }

    /// Lays the layer over those below.
    pub(super) fn finish(self) -> Vec<StackProblem> {
        let Self { stack, mut tree, layer, mut problems, .. } = self;
        let Stack { tree: below, hidden_by } = stack;
        let mut hide = |content: EntryId| {
            hidden_by.insert(content, layer);
        };
        let mut open = vec![(ROOT, ROOT)];
        while let Some((lower, upper)) = open.pop() {
            let Node { entry, listed, children, whiteouts, opaque, .. } =
                std::mem::take(&mut tree.nodes[upper]);
            if entry.is_some() {
                (below.nodes[lower].entry, below.nodes[lower].listed) = (entry, listed);
            }
            if opaque {
                for child in std::mem::take(&mut below.nodes[lower].children).into_values() {
                    below.forget(child, &mut hide);
                }
            }
            for name in whiteouts {
                below.remove(lower, &name, &mut hide);
            }
            for (name, child) in children {
                let existing = below.nodes[lower].children.get(&name).copied();
                let is_directory = tree.nodes[child].shape == Shape::Directory;
                if let Some(existing) = existing
                    && is_directory
                    && below.nodes[existing].shape == Shape::Directory
                {
                    open.push((existing, child));
                    continue;
                }
                let through_link =
                    existing.is_some_and(|existing| matches!(below.nodes[existing].shape, Shape::Symlink(_)));
                if through_link
                    && is_directory
                    && tree.nodes[child].entry.is_none()
                    && problems.len() < PROBLEMS_MAX
                {
                    problems.push(StackProblem::ThroughLowerLink(printable(&name)));
                }
                below.remove(lower, &name, &mut hide);
                if is_directory {
                    let existing = below.insert(lower, name, Node::default());
                    open.push((existing, child));
                } else {
                    below.insert(lower, name, std::mem::take(&mut tree.nodes[child]));
                }
            }
        }
        problems
    }
}

/// Problems told for one layer; one is enough to distrust it.
const PROBLEMS_MAX: usize = 20;

impl Tree {
    /// What stands at a path whose last name is not followed.
    fn unlinked(&self, path: &[u8]) -> Option<Shape> {
        let (parent, name) = split(path)?;
        let Lookup::Found(parent) = self.lookup(parent) else { return None };
        let child = *self.nodes[parent].children.get(name)?;
        Some(self.nodes[child].shape.clone())
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// Directory and name; `None` for the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|&byte| byte == b'/') {
        _ if path.is_empty() => None,
        None => Some((b"", path)),
        Some(at) => Some((&path[..at], &path[at + 1..])),
    }
}
