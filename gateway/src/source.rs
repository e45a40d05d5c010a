//! Where an image's bytes come from when there is no store: a registry, an OCI layout, a saved archive. Everything is
//! verified on the way, and layers are walked while they are read.

pub mod archive;
pub mod attestations;
pub mod credentials;
mod directory;
mod docker_archive;
pub mod engine;
pub mod gateway;
mod made_up;
pub mod notary;
mod oci_layout;
pub mod publish;
pub mod registry;
pub mod signatures;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;
use scanner::sbom::{Inventory, SbomError};
use scanner::yara::RuleSet;

use crate::digest::{Digest, Hasher};
use crate::manifest::{self, Descriptor, Kind, MANIFEST_BYTES_MAX, Manifest, ManifestError};
use crate::reference::{ImageReference, ReferenceError};
use archive::{Archive, ArchiveError};
use engine::EngineError;
use engine::containerd::Containerd;
use engine::podman::Podman;
use registry::{Remote, RemoteError};

/// Largest image configuration, in bytes; it is parsed whole. Containers' own tools stop at 4 MiB.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Largest layer, in bytes: as the registry front-end takes them.
pub const LAYER_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;
/// Largest document that lists packages, in bytes; one more than the parser takes, so that it says so.
const DOCUMENT_BYTES_MAX: u64 = (128 << 20) + 1;
/// Bytes read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// An image named on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `containerd:IMAGE`, in containerd.
    Containerd(String),
    /// `dir:PATH`, a folder that holds a root file system.
    Directory(PathBuf),
    /// `docker:IMAGE`, in a Docker Engine.
    Docker(String),
    /// `docker-archive:FILE[:TAG]`, as `docker save` writes it; gzip-compressed ones, too.
    DockerArchive {
        /// The archive.
        file: PathBuf,
        /// Which of several.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`, an OCI layout in a tar archive.
    OciArchive {
        /// The archive.
        file: PathBuf,
        /// Which of several.
        tag: Option<String>,
    },
    /// `oci:DIR[:TAG]`, an OCI layout (image-spec "Image Layout").
    OciLayout {
        /// The directory with `oci-layout` and `index.json`.
        directory: PathBuf,
        /// Which of several.
        tag: Option<String>,
    },
    /// `podman:IMAGE`, in podman's storage.
    Podman(String),
    /// `registry.example/app:1`, also with `docker://` before it.
    Registry(ImageReference),
    /// `sbom:FILE`, a document that lists packages: CycloneDX 1.4 to 1.6 or SPDX 2.2 and 2.3, as JSON.
    Sbom(PathBuf),
}

impl FromStr for Location {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let split = |rest: &str| match rest.split_once(':') {
            Some((path, tag)) if !tag.is_empty() => (PathBuf::from(path), Some(tag.to_owned())),
            Some((path, _)) => (PathBuf::from(path), None),
            None => (PathBuf::from(rest), None),
        };
        Ok(if let Some(rest) = text.strip_prefix("oci:") {
            let (directory, tag) = split(rest);
            Self::OciLayout { directory, tag }
        } else if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (file, tag) = split(rest);
            Self::OciArchive { file, tag }
        } else if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (file, tag) = split(rest);
            Self::DockerArchive { file, tag }
        } else if let Some(rest) = text.strip_prefix("dir:") {
            Self::Directory(PathBuf::from(rest))
        } else if let Some(rest) = text.strip_prefix("sbom:") {
            Self::Sbom(PathBuf::from(rest))
        } else if let Some(name) = text.strip_prefix("docker:").filter(|name| !name.starts_with("//")) {
            Self::Docker(name.to_owned())
        } else if let Some(name) = text.strip_prefix("podman:") {
            Self::Podman(name.to_owned())
        } else if let Some(name) = text.strip_prefix("containerd:") {
            Self::Containerd(name.to_owned())
        } else {
            Self::Registry(ImageReference::parse(text.strip_prefix("docker://").unwrap_or(text))?)
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, tag) = match self {
            Self::Registry(reference) => return reference.fmt(formatter),
            Self::Directory(path) => return write!(formatter, "dir:{}", path.display()),
            Self::Containerd(name) => return write!(formatter, "containerd:{name}"),
            Self::Docker(name) => return write!(formatter, "docker:{name}"),
            Self::Podman(name) => return write!(formatter, "podman:{name}"),
            Self::Sbom(path) => return write!(formatter, "sbom:{}", path.display()),
            Self::DockerArchive { file, tag } => ("docker-archive", file, tag),
            Self::OciArchive { file, tag } => ("oci-archive", file, tag),
            Self::OciLayout { directory, tag } => ("oci", directory, tag),
        };
        write!(formatter, "{scheme}:{}", path.display())?;
        tag.as_ref().map_or(Ok(()), |tag| write!(formatter, ":{tag}"))
    }
}

/// Why an image could not be read. None of these is a denial: nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The archive itself.
    #[error("cannot read `{location}`")]
    Archive {
        /// Which.
        location: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// The engine's answer.
    #[error("cannot read `{image}` from its engine")]
    Engine {
        /// Which image.
        image: String,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// A document that lists packages.
    #[error("cannot read the document `{}`", path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: SbomError,
    },
    /// A file of a layout directory.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A registry or an engine was named where only files are read.
    #[error("`{0}` is no file")]
    NotLocal(String),
    /// The layout's index or the archive's list is not what it must be.
    #[error("`{file}`: {problem}")]
    Layout {
        /// `index.json`, `manifest.json`.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Several images, none named; or the one named is not there.
    #[error("{problem}; the images there are: {}", available.join(", "))]
    Choice {
        /// What was asked.
        problem: String,
        /// What is there.
        available: Vec<String>,
    },
    /// The registry's answer.
    #[error("cannot read `{reference}` from its registry")]
    Remote {
        /// Which image.
        reference: String,
        /// Why.
        #[source]
        source: RemoteError,
    },
    /// The manifest is ambiguous, too large or of an unknown kind.
    #[error("manifest `{digest}` is refused")]
    Manifest {
        /// Its digest.
        digest: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Bytes that are not what their digest says.
    #[error("digest mismatch: expected `{expected}`, computed `{computed}`")]
    Digest {
        /// In the descriptor.
        expected: String,
        /// Of the bytes.
        computed: String,
    },
    /// Bytes of another number than the descriptor says.
    #[error("size mismatch of `{digest}`: expected {expected} bytes, read {read}")]
    Size {
        /// Which blob.
        digest: String,
        /// In the descriptor.
        expected: u64,
        /// What was there; reading stops at the first byte too many.
        read: u64,
    },
    /// A limit.
    #[error("`{digest}` of {size} bytes is over the limit of {max}")]
    TooLarge {
        /// Which blob.
        digest: String,
        /// Bytes.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The bytes stopped coming.
    #[error("cannot read blob `{digest}`")]
    Blob {
        /// Which blob.
        digest: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One manifest with everything the gate needs of what it names.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// As read; for a docker archive made up by us, and then its digest means nothing outside.
    pub manifest: Manifest,
    /// What it names.
    pub parts: Parts,
}

/// What a manifest names, read.
#[derive(Clone, Debug)]
pub enum Parts {
    /// It cannot run; its blobs were not read.
    Artifact,
    /// No image at all, but a document that lists the packages of one.
    Document(Arc<Inventory>),
    /// It can run.
    Image {
        /// The configuration's exact bytes.
        config: Vec<u8>,
        /// One a layer, oldest first.
        reports: Vec<Arc<LayerReport>>,
    },
    /// Platform (`unknown/unknown` where none is given) and image, in the order of the index.
    Index(Vec<(String, Loaded)>),
}

/// An image read to its last byte.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the manifest; `None` for a docker archive, a folder or a document, which have no manifest of their own.
    pub digest: Option<String>,
    /// The manifest and its parts.
    pub loaded: Loaded,
}

/// Who is told how far the reading is: bytes that will be read, and bytes that were.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    /// More bytes are going to be read.
    pub expect: &'a (dyn Fn(u64) + Sync),
    /// Bytes were read.
    pub advance: &'a (dyn Fn(u64) + Sync),
}

/// An opened source.
#[derive(Debug)]
pub struct Source {
    location: Location,
    opened: Opened,
    rules: Option<Arc<RuleSet>>,
}

#[derive(Debug)]
enum Opened {
    Directory(PathBuf),
    Document(PathBuf),
    DockerArchive(Archive),
    OciArchive(Archive),
    OciLayout(PathBuf),
    /// An archive with one platform of what its index lists.
    OnePlatform(Archive),
    Registry(Remote),
}

impl Source {
    /// Opens a file or folder.
    pub fn open(location: &Location) -> Result<Self, SourceError> {
        let archive = |file: &PathBuf| {
            Archive::open(file)
                .map_err(|source| SourceError::Archive { location: location.to_string(), source })
        };
        let opened = match location {
            Location::DockerArchive { file, .. } => Opened::DockerArchive(archive(file)?),
            Location::OciArchive { file, .. } => Opened::OciArchive(archive(file)?),
            Location::OciLayout { directory, .. } => Opened::OciLayout(directory.clone()),
            Location::Directory(path) => Opened::Directory(path.clone()),
            Location::Sbom(path) => Opened::Document(path.clone()),
            Location::Containerd(_) | Location::Docker(_) | Location::Podman(_) | Location::Registry(_) => {
                return Err(SourceError::NotLocal(location.to_string()));
            }
        };
        Ok(Self { location: location.clone(), opened, rules: None })
    }

    /// The image that `remote` was made for.
    pub fn in_registry(remote: Remote) -> Self {
        let location = Location::Registry(remote.reference().clone());
        Self { location, opened: Opened::Registry(remote), rules: None }
    }

    /// The image `name` of the Docker Engine behind `socket`.
    pub fn in_docker(name: &str, socket: &Path) -> Result<Self, SourceError> {
        let location = Location::Docker(name.to_owned());
        Self::in_engine(location, name, |name| engine::docker::save(socket, name), Opened::DockerArchive)
    }

    /// The image `name` in podman's storage.
    pub fn in_podman(name: &str, podman: &Podman) -> Result<Self, SourceError> {
        let location = Location::Podman(name.to_owned());
        Self::in_engine(location, name, |name| podman.save(name), Opened::DockerArchive)
    }

    /// The image `name` in containerd.
    pub fn in_containerd(name: &str, containerd: &Containerd) -> Result<Self, SourceError> {
        let location = Location::Containerd(name.to_owned());
        let opened = match containerd.platform {
            None => Opened::OciArchive,
            Some(_) => Opened::OnePlatform,
        };
        Self::in_engine(location, name, |name| containerd.export(name), opened)
    }

    /// Asked for once, and kept in a file without a name.
    fn in_engine(
        location: Location,
        name: &str,
        save: impl FnOnce(&str) -> Result<File, EngineError>,
        opened: fn(Archive) -> Opened,
    ) -> Result<Self, SourceError> {
        if !engine::is_name(name) {
            return Err(SourceError::NotLocal(location.to_string()));
        }
        let image = location.to_string();
        let saved = save(name).map_err(|source| SourceError::Engine { image: image.clone(), source })?;
        let archive =
            Archive::from_file(saved).map_err(|source| SourceError::Archive { location: image, source })?;
        Ok(Self { location, opened: opened(archive), rules: None })
    }

    /// The same, searching every file by YARA rules too.
    pub fn searched_by(self, rules: Option<Arc<RuleSet>>) -> Self {
        Self { rules, ..self }
    }

    /// A walk over one layer of it.
    fn new_walk(&self) -> LayerWalk {
        LayerWalk::new(Limits::default()).with_rules(self.rules.clone())
    }

    /// The registry behind it, where signatures can be looked for.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.opened {
            Opened::Registry(remote) => Some(remote),
            Opened::Directory(_)
            | Opened::Document(_)
            | Opened::DockerArchive(_)
            | Opened::OciArchive(_)
            | Opened::OciLayout(_)
            | Opened::OnePlatform(_) => None,
        }
    }

    /// Reads manifest, configuration and all layers; an index with all its images.
    pub fn load(&self, progress: Progress<'_>) -> Result<Image, SourceError> {
        match &self.opened {
            Opened::Directory(folder) => return directory::load(folder, self.new_walk(), progress),
            Opened::Document(file) => return load_document(file),
            Opened::DockerArchive(archive) => {
                let tag = match &self.location {
                    Location::DockerArchive { tag, .. } => tag.as_deref(),
                    // The engine was asked for one image.
                    _ => None,
                };
                return docker_archive::load(archive, tag, &|| self.new_walk(), progress);
            }
            Opened::OciArchive(_) | Opened::OciLayout(_) | Opened::OnePlatform(_) | Opened::Registry(_) => {}
        }
        let root = self.root()?;
        let root = match &self.opened {
            Opened::OnePlatform(archive) => self.only_platform(archive, root)?,
            _ => root,
        };
        let digest = Some(root.digest.clone());
        let mut reports = BTreeMap::new();
        Ok(Image { digest, loaded: self.load_parts(root, &mut reports, progress)? })
    }

    fn root(&self) -> Result<Manifest, SourceError> {
        match (&self.opened, &self.location) {
            (Opened::Registry(remote), _) => remote
                .manifest(remote.reference().target())
                .map_err(|source| self.remote_error(source))?
                .ok_or_else(|| SourceError::Choice {
                    problem: format!("the registry does not have `{}`", self.location),
                    available: Vec::new(),
                }),
            (_, Location::OciArchive { tag, .. } | Location::OciLayout { tag, .. }) => {
                let chosen = oci_layout::choose(&self.layout_file("index.json")?, tag.as_deref())?;
                self.child(&chosen)
            }
            (_, Location::Containerd(_)) => {
                let chosen = oci_layout::choose(&self.layout_file("index.json")?, None)?;
                self.child(&chosen)
            }
            _ => Err(SourceError::Layout { file: "manifest.json", problem: "is read elsewhere".into() }),
        }
    }

    /// Of an index, the one manifest that the archive holds: what was asked for. It is judged by its own digest.
    fn only_platform(&self, archive: &Archive, root: Manifest) -> Result<Manifest, SourceError> {
        let Kind::Index { manifests } = &root.kind else { return Ok(root) };
        let mut held = Vec::new();
        for entry in manifests {
            if archive.has(&blob_path(&parsed(entry)?)) {
                held.push(entry);
            }
        }
        match held[..] {
            [only] => self.child(only),
            _ => Err(SourceError::Choice {
                problem: format!("the engine gave {} images for one platform", held.len()),
                available: manifests.iter().filter_map(|entry| entry.platform.clone()).collect(),
            }),
        }
    }

    fn load_parts(
        &self,
        manifest: Manifest,
        reports: &mut BTreeMap<String, Arc<LayerReport>>,
        progress: Progress<'_>,
    ) -> Result<Loaded, SourceError> {
        let parts = match &manifest.kind {
            Kind::Artifact { .. } => Parts::Artifact,
            Kind::Image { config, layers } => {
                let config = self.small_blob(config, CONFIG_BYTES_MAX)?;
                self.walk(layers, reports, progress)?;
                let reports = layers.iter().map(|layer| Arc::clone(&reports[&layer.digest])).collect();
                Parts::Image { config, reports }
            }
            Kind::Index { manifests } => {
                let mut children = Vec::with_capacity(manifests.len());
                for entry in manifests {
                    let platform = entry.platform.clone().unwrap_or_else(|| "unknown/unknown".into());
                    // `classify` refuses an index inside an index, so this goes one level deep.
                    let child = self.child(entry)?;
                    children.push((platform, self.load_parts(child, reports, progress)?));
                }
                Parts::Index(children)
            }
        };
        Ok(Loaded { manifest, parts })
    }

    fn child(&self, descriptor: &Descriptor) -> Result<Manifest, SourceError> {
        let bytes = self.small_blob(descriptor, MANIFEST_BYTES_MAX as u64)?;
        manifest::classify(Bytes::from(bytes), Some(&descriptor.media_type))
            .map_err(|source| SourceError::Manifest { digest: descriptor.digest.clone(), source })
    }

    fn layout_file(&self, name: &'static str) -> Result<Vec<u8>, SourceError> {
        match &self.opened {
            Opened::OciArchive(archive) | Opened::OnePlatform(archive) => archive
                .bytes(name, MANIFEST_BYTES_MAX as u64)
                .map_err(|source| SourceError::Archive { location: self.location.to_string(), source }),
            Opened::OciLayout(directory) => {
                oci_layout::read_file(&directory.join(name), MANIFEST_BYTES_MAX as u64)
            }
            Opened::Directory(_) | Opened::Document(_) | Opened::DockerArchive(_) | Opened::Registry(_) => {
                Ok(Vec::new())
            }
        }
    }

    /// A blob held in memory, whose size and digest were checked.
    fn small_blob(&self, descriptor: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        consume(self.reader(descriptor)?, descriptor, bytes_max, &mut |piece| {
            bytes.extend_from_slice(piece)
        })?;
        Ok(bytes)
    }

    fn reader(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, SourceError> {
        let digest = parsed(descriptor)?;
        let path = blob_path(&digest);
        Ok(match &self.opened {
            Opened::Directory(_) | Opened::Document(_) => Box::new(io::empty()),
            Opened::DockerArchive(archive) | Opened::OciArchive(archive) | Opened::OnePlatform(archive) => {
                Box::new(
                    archive.section(&path).map_err(|source| SourceError::Archive {
                        location: self.location.to_string(),
                        source,
                    })?,
                )
            }
            Opened::OciLayout(directory) => Box::new(oci_layout::open_file(&directory.join(path))?),
            Opened::Registry(remote) => {
                let is_manifest = [manifest::OCI_MANIFEST, manifest::DOCKER_MANIFEST]
                    .contains(&descriptor.media_type.as_str());
                if is_manifest {
                    let found =
                        remote.manifest_bytes(digest.as_str()).map_err(|source| self.remote_error(source))?;
                    let found = found.ok_or_else(|| SourceError::Choice {
                        problem: format!("the registry lists `{digest}` but does not have it"),
                        available: Vec::new(),
                    })?;
                    Box::new(std::io::Cursor::new(found))
                } else {
                    Box::new(
                        remote.blob(&digest, descriptor.size).map_err(|source| self.remote_error(source))?,
                    )
                }
            }
        })
    }

    fn remote_error(&self, source: RemoteError) -> SourceError {
        SourceError::Remote { reference: self.location.to_string(), source }
    }

    /// Walks the layers that were not walked yet, several at a time; their bytes are kept nowhere.
    fn walk(
        &self,
        layers: &[Descriptor],
        reports: &mut BTreeMap<String, Arc<LayerReport>>,
        progress: Progress<'_>,
    ) -> Result<(), SourceError> {
        let mut wanted: Vec<&Descriptor> = Vec::new();
        for layer in layers {
            if !reports.contains_key(&layer.digest)
                && !wanted.iter().any(|other| other.digest == layer.digest)
            {
                wanted.push(layer);
            }
        }
        (progress.expect)(wanted.iter().map(|layer| layer.size).sum());
        let next = AtomicUsize::new(0);
        let walked = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(layer) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let report =
                            self.reader(layer).and_then(|reader| self.walk_layer(reader, layer, progress));
                        let failed = report.is_err();
                        walked
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((layer.digest.clone(), report));
                        if failed {
                            // One unreadable layer settles the answer; the others would be read for nothing.
                            next.store(usize::MAX / 2, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut walked = walked.into_inner().unwrap_or_else(PoisonError::into_inner);
        walked.sort_by(|left, right| left.0.cmp(&right.0));
        for (digest, report) in walked {
            reports.insert(digest, report?);
        }
        Ok(())
    }

    fn walk_layer(
        &self,
        reader: Box<dyn Read + Send>,
        layer: &Descriptor,
        progress: Progress<'_>,
    ) -> Result<Arc<LayerReport>, SourceError> {
        let mut walk = self.new_walk();
        consume(reader, layer, LAYER_BYTES_MAX, &mut |piece| {
            walk.feed(piece);
            (progress.advance)(piece.len() as u64);
        })?;
        Ok(Arc::new(walk.finish()))
    }
}

/// A document has no manifest, so one is made up for the gate; its digest means nothing outside and is never shown.
fn load_document(file: &Path) -> Result<Image, SourceError> {
    let bytes = oci_layout::read_file(file, DOCUMENT_BYTES_MAX)?;
    let inventory = scanner::sbom::parse(&bytes)
        .map_err(|source| SourceError::Document { path: file.to_owned(), source })?;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": manifest::OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256_of(&bytes).as_str(),
            "size": bytes.len(),
        },
        "layers": [],
    });
    let manifest = manifest::classify(Bytes::from(manifest.to_string()), None)
        .map_err(|source| SourceError::Manifest { digest: "none (document)".into(), source })?;
    Ok(Image { digest: None, loaded: Loaded { manifest, parts: Parts::Document(Arc::new(inventory)) } })
}

/// Where a layout keeps a blob (image-spec "Image Layout").
fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn parsed(descriptor: &Descriptor) -> Result<Digest, SourceError> {
    Digest::parse(&descriptor.digest)
        .map_err(|source| SourceError::Layout { file: "index.json", problem: source.to_string() })
}

/// Hands all bytes to `sink` and then says whether they were the right ones: what was derived from them must be thrown
/// away on an error.
fn consume(
    mut reader: impl Read,
    descriptor: &Descriptor,
    bytes_max: u64,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), SourceError> {
    let expected = parsed(descriptor)?;
    if descriptor.size > bytes_max {
        let digest = descriptor.digest.clone();
        return Err(SourceError::TooLarge { digest, size: descriptor.size, max: bytes_max });
    }
    let mut hasher = Hasher::new(expected.algorithm());
    let mut buffer = vec![0; PIECE_BYTES];
    let mut total = 0_u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(SourceError::Blob { digest: descriptor.digest.clone(), source }),
        };
        total += read as u64;
        if total > descriptor.size {
            break;
        }
        hasher.update(&buffer[..read]);
        sink(&buffer[..read]);
    }
    if total != descriptor.size {
        let digest = descriptor.digest.clone();
        return Err(SourceError::Size { digest, expected: descriptor.size, read: total });
    }
    let computed = hasher.finish();
    if computed != expected {
        return Err(SourceError::Digest { expected: expected.to_string(), computed: computed.to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
