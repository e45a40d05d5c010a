//! Builds images, layers and hostile archives in code, every byte under the test's control.

use std::io::Write as _;

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub use portcullis::cli::demo::image::hello_program;

/// Media types that tests name.
pub mod media_type {
    /// OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The empty configuration of artifacts.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker schema 2 manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker schema 1 manifest.
    pub const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
}

/// `sha256:…`.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// `sha512:…`.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex::encode(Sha512::digest(bytes)))
}

/// Content and what it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Declared type.
    pub media_type: String,
    /// `sha256:…` of `bytes`.
    pub digest: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Some bytes under a type.
    pub fn new(media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { media_type: media_type.to_owned(), digest: sha256(&bytes), bytes }
    }

    /// JSON under a type.
    pub fn json(media_type: &str, value: &Value) -> Self {
        Self::new(media_type, value.to_string())
    }

    /// What a manifest says of it.
    pub fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// How a layer's archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    Plain,
    /// One gzip member.
    Gzip,
    /// One zstd frame.
    Zstd,
}

impl Compression {
    /// The OCI layer type that declares it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Packs some bytes.
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).expect("memory takes all");
                encoder.finish().expect("memory takes all")
            }
            Self::Zstd => zstd::encode_all(bytes, 1).expect("memory takes all"),
        }
    }
}

/// A tar archive in the making. Paths are written as given, however hostile.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A regular file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(b'0', path, "", mode, content)
    }

    /// A directory.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", 0o755, &[])
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, 0o777, &[])
    }

    /// A hard link.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, 0o644, &[])
    }

    /// An Alpine database of installed packages, and the release that they belong to.
    #[must_use]
    pub fn alpine(self, release: &str, packages: &[(&str, &str)]) -> Self {
        let os_release =
            format!("ID=alpine\nVERSION_ID={release}.0\nPRETTY_NAME=\"Alpine Linux v{release}\"\n");
        let record = |(name, version): &(&str, &str)| {
            format!("P:{name}\nV:{version}\nA:x86_64\nS:1000\nI:4096\nL:MIT\no:{name}\n\n")
        };
        let installed: String = packages.iter().map(record).collect();
        self.file("etc/os-release", 0o644, os_release.as_bytes()).file(
            "lib/apk/db/installed",
            0o644,
            installed.as_bytes(),
        )
    }

    /// One entry of any type, the header written by hand: the `tar` crate refuses what attackers write.
    #[must_use]
    pub fn entry(self, kind: u8, path: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        self.entry_claiming(kind, path, link, mode, content.len() as u64, content)
    }

    /// As [`Archive::entry`], but the header claims `size` whatever the content is.
    #[must_use]
    pub fn entry_claiming(
        mut self,
        kind: u8,
        path: &str,
        link: &str,
        mode: u32,
        size: u64,
        content: &[u8],
    ) -> Self {
        let mut header = [0_u8; 512];
        put(&mut header[0..100], path.as_bytes());
        put(&mut header[100..108], format!("{mode:07o}").as_bytes());
        put(&mut header[108..116], b"0000000");
        put(&mut header[116..124], b"0000000");
        put(&mut header[124..136], format!("{size:011o}").as_bytes());
        put(&mut header[136..148], b"00000000000");
        header[148..156].fill(b' ');
        header[156] = kind;
        put(&mut header[157..257], link.as_bytes());
        put(&mut header[257..265], b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut header[148..156], format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend(header);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Bytes as they are: truncated headers, other people's archives.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Ends the archive with two empty blocks, as it should.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// Ends it and packs it as a layer.
    pub fn layer(self, compression: Compression) -> Layer {
        Layer::of(&self.finish(), compression)
    }
}

fn put(field: &mut [u8], value: &[u8]) {
    assert!(value.len() <= field.len(), "`{}` does not fit a ustar field", String::from_utf8_lossy(value));
    field[..value.len()].copy_from_slice(value);
}

/// A layer: its blob, and the digest of its archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// As it is pushed.
    pub blob: Blob,
    /// `sha256:…` of the unpacked archive.
    pub diff_id: String,
    /// The unpacked archive.
    pub archive: Vec<u8>,
}

impl Layer {
    /// An archive, packed and typed alike.
    pub fn of(archive: &[u8], compression: Compression) -> Self {
        let blob = Blob::new(compression.media_type(), compression.pack(archive));
        Self { blob, diff_id: sha256(archive), archive: archive.to_vec() }
    }

    /// The same bytes under another type.
    #[must_use]
    pub fn typed(mut self, media_type: &str) -> Self {
        media_type.clone_into(&mut self.blob.media_type);
        self
    }
}

/// An image ready to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Configuration, then layers.
    pub blobs: Vec<Blob>,
    /// Names them.
    pub manifest: Blob,
}

impl Image {
    /// Writes the image as an OCI layout with one tag.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_oci_layout(&self, folder: &std::path::Path, tag: &str) -> std::io::Result<()> {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        for blob in self.blobs.iter().chain([&self.manifest]) {
            std::fs::write(blobs.join(blob.digest.trim_start_matches("sha256:")), &blob.bytes)?;
        }
        let mut descriptor = self.manifest.descriptor();
        merge(&mut descriptor, &json!({ "annotations": { "org.opencontainers.image.ref.name": tag } }));
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [descriptor] });
        std::fs::write(folder.join("index.json"), index.to_string())?;
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}

/// What goes into an image.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    layers: Vec<(Layer, String)>,
    config: Value,
    user: String,
    docker: bool,
    extra: Value,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            config: json!({ "Cmd": ["/app/hello"] }),
            user: "1000:1000".to_owned(),
            docker: false,
            extra: json!({}),
        }
    }
}

impl ImageBuilder {
    /// Without layers; runs `/app/hello` as user 1000.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer and the instruction that made it.
    #[must_use]
    pub fn layer(mut self, layer: Layer, instruction: &str) -> Self {
        self.layers.push((layer, instruction.to_owned()));
        self
    }

    /// `config.User`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Adds fields to the container part of the configuration.
    #[must_use]
    pub fn config(mut self, fields: &Value) -> Self {
        merge(&mut self.config, fields);
        self
    }

    /// Adds or replaces fields of the manifest: `subject`, `artifactType`, annotations, or what does not belong there.
    #[must_use]
    pub fn manifest(mut self, fields: &Value) -> Self {
        merge(&mut self.extra, fields);
        self
    }

    /// Docker schema 2 instead of OCI types; layers are gzip.
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// The image as `docker save` writes it, for `docker load`.
    pub fn docker_archive(&self, tag: &str) -> Vec<u8> {
        let config = self.clone().build().blobs.swap_remove(0);
        let name = |index: usize| format!("layer{index}.tar");
        let names: Vec<String> = (0..self.layers.len()).map(name).collect();
        let list = json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": names }]);
        let archive = Archive::new().file("manifest.json", 0o644, list.to_string().as_bytes());
        let archive = archive.file("config.json", 0o644, &config.bytes);
        let add = |archive: Archive, (name, (layer, _)): (&String, &(Layer, String))| {
            archive.file(name, 0o644, &layer.archive)
        };
        names.iter().zip(&self.layers).fold(archive, add).finish()
    }

    /// The image.
    pub fn build(self) -> Image {
        let Self { layers, mut config, user, docker, extra } = self;
        merge(&mut config, &json!({ "User": user }));
        let history: Vec<Value> =
            layers.iter().map(|(_, instruction)| json!({ "created_by": instruction })).collect();
        let diff_ids: Vec<&str> = layers.iter().map(|(layer, _)| layer.diff_id.as_str()).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        });
        let (config_type, manifest_type) = if docker {
            (media_type::DOCKER_CONFIG, media_type::DOCKER_MANIFEST)
        } else {
            (media_type::CONFIG, media_type::MANIFEST)
        };
        let config = Blob::json(config_type, &config);
        let mut layers: Vec<Blob> = layers.into_iter().map(|(layer, _)| layer.blob).collect();
        if docker {
            let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
            layers.iter_mut().for_each(|layer| gzip.clone_into(&mut layer.media_type));
        }
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        merge(&mut manifest, &extra);
        let manifest = Blob::json(manifest_type, &manifest);
        Image { blobs: std::iter::once(config).chain(layers).collect(), manifest }
    }
}

fn merge(into: &mut Value, fields: &Value) {
    let (Some(into), Some(fields)) = (into.as_object_mut(), fields.as_object()) else {
        panic!("only objects merge");
    };
    into.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
}

/// An OCI index of images, all said to be for `linux/amd64`.
pub fn index(images: &[&Image]) -> Blob {
    let entry = |image: &&Image| {
        let mut descriptor = image.manifest.descriptor();
        merge(&mut descriptor, &json!({ "platform": { "os": "linux", "architecture": "amd64" } }));
        descriptor
    };
    let manifests: Vec<Value> = images.iter().map(entry).collect();
    let body = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": manifests });
    Blob::json(media_type::INDEX, &body)
}

/// An artifact that cannot run: the empty config and one blob.
pub fn artifact(artifact_type: &str, content: Blob, subject: Option<Value>) -> Image {
    let empty = Blob::new(media_type::EMPTY, "{}");
    let mut body = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "artifactType": artifact_type,
        "config": empty.descriptor(),
        "layers": [content.descriptor()],
    });
    if let Some(subject) = subject {
        merge(&mut body, &json!({ "subject": subject }));
    }
    Image { manifest: Blob::json(media_type::MANIFEST, &body), blobs: vec![empty, content] }
}

/// A small runnable Alpine-shaped image that prints `message`; packages decide what a scan finds.
pub fn alpine_image(message: &str, packages: &[(&str, &str)]) -> ImageBuilder {
    let base = Archive::new().alpine("3.20", packages).layer(Compression::Gzip);
    let program = Archive::new()
        .directory("app/")
        .file("app/hello", 0o755, &hello_program(message))
        .layer(Compression::Gzip);
    ImageBuilder::new().layer(base, "ADD rootfs.tar.gz / # base").layer(program, "COPY hello /app/hello")
}
