//! Strict classification of manifest bytes: what it is is found from the body, and whatever could be read in two ways
//! is refused.

pub(crate) mod json;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::digest::{Digest, DigestError};
pub use json::JsonError;

/// Largest manifest accepted, in bytes. The distribution spec asks registries to accept at least 4 MiB, and clients
/// stop there; a larger one is only a way to make us parse.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most layers of one image. Engines stop at about 127; more is an attack on whoever walks the list.
pub const LAYERS_MAX: usize = 512;
/// Most entries of one index; a fallback-tag index of signatures is the largest honest one.
pub const INDEX_ENTRIES_MAX: usize = 1024;
/// Longest media type (RFC 6838 section 4.2: 127 characters a side).
const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a Docker schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of a Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Config types with which some engine runs what the manifest names. The last three are what Docker accepts beside the
/// two official types, for the sake of images that old registries mislabelled; a plugin runs, too.
const RUNNABLE_CONFIGS: &[&str] = &[
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.plugin.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
];
/// Beginnings of layer types that engines unpack as a file system.
const FILE_SYSTEM_LAYERS: &[&str] =
    &["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];

/// One manifest or index: the exact bytes, and what they say.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// `sha256:…` of `bytes`.
    pub digest: String,
    /// The bytes as pushed; they are what is hashed, parsed, stored and served.
    pub bytes: Bytes,
    /// Content-Type and `mediaType`, which agree.
    pub media_type: String,
    /// What it names.
    pub kind: Kind,
    /// The manifest that this one is about (image-spec `subject`).
    pub subject: Option<Descriptor>,
    /// `artifactType` as written.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest itself.
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It cannot run: neither its config nor any of its blobs is of a type that an engine would run or unpack.
    Artifact {
        /// The config, often the empty one.
        config: Descriptor,
        /// Its contents.
        blobs: Vec<Descriptor>,
    },
    /// It can run: the config is an image configuration, or some layer is of a file-system type. What it declares itself
    /// to be (`artifactType`, `subject`) changes nothing.
    Image {
        /// The image configuration.
        config: Descriptor,
        /// Oldest first.
        layers: Vec<Descriptor>,
    },
    /// Several platforms of one image, or a list of referrers.
    Index {
        /// In the order of the index.
        manifests: Vec<Descriptor>,
    },
}

/// Names content: type, digest and size (image-spec "Content Descriptors").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// RFC 6838 type of the content.
    pub media_type: String,
    /// A digest that [`Digest::parse`] accepts.
    pub digest: String,
    /// Bytes of the content.
    pub size: u64,
    /// `os/architecture[/variant]`, where given.
    pub platform: Option<String>,
    /// Annotations of the descriptor.
    pub annotations: BTreeMap<String, String>,
    /// `artifactType`, where given.
    pub artifact_type: Option<String>,
}

/// Why bytes are refused as a manifest. All of these are the client's fault (`MANIFEST_INVALID`).
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Over [`MANIFEST_BYTES_MAX`].
    #[error("manifest of {0} bytes is over the limit of {MANIFEST_BYTES_MAX}")]
    TooLarge(usize),
    /// No JSON, or JSON that two readers would read differently.
    #[error("manifest is not acceptable JSON")]
    Json(#[from] JsonError),
    /// Neither header nor body name a type.
    #[error("manifest names no media type: neither `Content-Type` nor `mediaType` is set")]
    NoMediaType,
    /// A type we do not store.
    #[error("unsupported manifest media type `{0}`; expected an OCI or Docker schema 2 manifest or index")]
    UnsupportedMediaType(String),
    /// Header and body disagree: one client would read an image where another reads an index.
    #[error("media type mismatch: `Content-Type` is `{header}`, `mediaType` in the body is `{body}`")]
    MediaTypeMismatch {
        /// From the request.
        header: String,
        /// From the body.
        body: String,
    },
    /// Docker schema 1: its digest does not cover what it says.
    #[error("schema version `{0}` is not supported; push with schema version 2")]
    SchemaVersion(String),
    /// A field of another kind of manifest is present, so that its kind depends on the reader.
    #[error("`{field}` does not belong in a manifest of type `{media_type}`")]
    ForeignField {
        /// The field.
        field: String,
        /// The manifest's type.
        media_type: String,
    },
    /// A key that differs from a known one only by letter case: some JSON readers take them for the same.
    #[error("key `{found}` differs from `{known}` only by letter case")]
    KeyCase {
        /// As written.
        found: String,
        /// As the specification writes it.
        known: &'static str,
    },
    /// A required field is missing or of the wrong type.
    #[error("`{field}` is missing or not {expected}")]
    Field {
        /// Where.
        field: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A descriptor's digest.
    #[error("`{field}`: bad digest")]
    Digest {
        /// Where.
        field: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// Foreign layers make clients fetch from any address, past the gate.
    #[error("`{0}` has `urls`: layers that live elsewhere are not accepted; push their content")]
    ForeignUrls(String),
    /// A non-distributable layer: clients do not push its bytes, so nobody could have scanned them.
    #[error(
        "`{field}` is of the non-distributable type `{media_type}`; push the layer with a distributable type"
    )]
    NonDistributable {
        /// Where.
        field: String,
        /// The type.
        media_type: String,
    },
    /// Embedded content that is not what the descriptor names.
    #[error("`{0}`: embedded `data` does not match its digest and size")]
    EmbeddedData(String),
    /// An index in an index, or an entry of a type that cannot be judged.
    #[error("`{field}` is of type `{media_type}`; an index may only list image manifests")]
    IndexEntry {
        /// Where.
        field: String,
        /// The type.
        media_type: String,
    },
    /// Too many layers or index entries.
    #[error("`{field}` has {count} entries, more than the limit of {max}")]
    TooMany {
        /// Which list.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// The limit.
        max: usize,
    },
}

const TOP_KEYS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "blobs",
    "fsLayers",
    "history",
    "signatures",
];
const DESCRIPTOR_KEYS: &[&str] =
    &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];
const PLATFORM_KEYS: &[&str] = &["architecture", "os", "os.version", "os.features", "variant", "features"];

/// Reads manifest bytes strictly. `content_type` is the type that the request, or the descriptor which led here, gives;
/// it may be absent when the body names its own.
pub fn classify(bytes: Bytes, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(ManifestError::TooLarge(bytes.len()));
    }
    let body = json::parse_object(&bytes)?;
    exact_keys(&body, TOP_KEYS)?;
    let media_type = media_type_of(&body, content_type)?;
    if body.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        let found = body.get("schemaVersion").map_or_else(|| "absent".to_owned(), Value::to_string);
        return Err(ManifestError::SchemaVersion(found.chars().take(20).collect()));
    }
    let is_index = media_type == OCI_INDEX || media_type == DOCKER_LIST;
    let foreign: &[&str] = if is_index {
        &["config", "layers", "blobs", "fsLayers", "history", "signatures"]
    } else {
        &["manifests", "blobs", "fsLayers", "history", "signatures"]
    };
    if let Some(field) = foreign.iter().find(|field| body.contains_key(**field)) {
        return Err(ManifestError::ForeignField { field: (*field).to_owned(), media_type });
    }
    let kind = if is_index { index_kind(&body)? } else { manifest_kind(&body)? };
    let subject = body.get("subject").map(|value| descriptor(value, "subject")).transpose()?;
    let artifact_type =
        body.get("artifactType").map(|value| media_type_text(value, "artifactType")).transpose()?;
    let annotations = annotations(&body, "annotations")?;
    let digest = Digest::sha256_of(&bytes).to_string();
    Ok(Manifest { digest, bytes, media_type, kind, subject, artifact_type, annotations })
}

impl Manifest {
    /// Config, layers and blobs that must be stored beside it; empty for an index.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest): (Option<&Descriptor>, &[Descriptor]) = match &self.kind {
            Kind::Artifact { config, blobs } => (Some(config), blobs),
            Kind::Image { config, layers } => (Some(config), layers),
            Kind::Index { .. } => (None, &[]),
        };
        config.into_iter().chain(rest)
    }

    /// Manifests that an index lists; empty for everything else.
    pub fn children(&self) -> &[Descriptor] {
        match &self.kind {
            Kind::Index { manifests } => manifests,
            Kind::Artifact { .. } | Kind::Image { .. } => &[],
        }
    }

    /// What the referrers API reports as `artifactType`: the field, else the config's type (distribution-spec "Listing
    /// Referrers").
    pub fn referrer_type(&self) -> Option<&str> {
        match (&self.artifact_type, &self.kind) {
            (Some(artifact_type), _) => Some(artifact_type),
            (None, Kind::Artifact { config, .. } | Kind::Image { config, .. }) => Some(&config.media_type),
            (None, Kind::Index { .. }) => None,
        }
    }
}

/// Whether engines unpack a layer of this type.
pub fn is_file_system_layer(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    FILE_SYSTEM_LAYERS.iter().any(|prefix| media_type.starts_with(prefix))
}

fn media_type_of(body: &Map<String, Value>, content_type: Option<&str>) -> Result<String, ManifestError> {
    let header = content_type
        .map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .filter(|text| !text.is_empty());
    let inside = body.get("mediaType").map(|value| media_type_text(value, "mediaType")).transpose()?;
    let media_type = match (header, inside) {
        (None, None) => return Err(ManifestError::NoMediaType),
        (Some(header), Some(body)) if header != body => {
            return Err(ManifestError::MediaTypeMismatch { header, body });
        }
        (_, Some(body)) => body,
        // image-spec: `mediaType` is only recommended in OCI manifests; Docker's format requires it.
        (Some(header), None) if header == OCI_MANIFEST || header == OCI_INDEX => header,
        (Some(header), None) if header == DOCKER_MANIFEST || header == DOCKER_LIST => {
            return Err(ManifestError::Field {
                field: "mediaType".into(),
                expected: "the type of this manifest",
            });
        }
        (Some(header), None) => header,
    };
    if [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&media_type.as_str()) {
        Ok(media_type)
    } else {
        Err(ManifestError::UnsupportedMediaType(media_type))
    }
}

fn manifest_kind(body: &Map<String, Value>) -> Result<Kind, ManifestError> {
    let config = body
        .get("config")
        .ok_or_else(|| ManifestError::Field { field: "config".into(), expected: "a descriptor" })
        .and_then(|value| descriptor(value, "config"))?;
    let layers = descriptors(body, "layers", LAYERS_MAX)?;
    for (index, layer) in layers.iter().enumerate() {
        let lower = layer.media_type.to_ascii_lowercase();
        if is_file_system_layer(&lower) && (lower.contains("nondistributable") || lower.contains("foreign")) {
            let media_type = layer.media_type.clone();
            return Err(ManifestError::NonDistributable { field: format!("layers[{index}]"), media_type });
        }
    }
    let config_type = config.media_type.to_ascii_lowercase();
    // Parameters do not make it another type, and some reader may drop them.
    let essence = config_type.split(';').next().unwrap_or_default();
    let runs = RUNNABLE_CONFIGS.contains(&essence)
        || layers.iter().any(|layer| is_file_system_layer(&layer.media_type));
    Ok(if runs { Kind::Image { config, layers } } else { Kind::Artifact { config, blobs: layers } })
}

fn index_kind(body: &Map<String, Value>) -> Result<Kind, ManifestError> {
    let manifests = descriptors(body, "manifests", INDEX_ENTRIES_MAX)?;
    for (index, entry) in manifests.iter().enumerate() {
        if entry.media_type != OCI_MANIFEST && entry.media_type != DOCKER_MANIFEST {
            let media_type = entry.media_type.clone();
            return Err(ManifestError::IndexEntry { field: format!("manifests[{index}]"), media_type });
        }
    }
    Ok(Kind::Index { manifests })
}

fn descriptors(
    body: &Map<String, Value>,
    field: &'static str,
    max: usize,
) -> Result<Vec<Descriptor>, ManifestError> {
    let list = body
        .get(field)
        .and_then(Value::as_array)
        .ok_or_else(|| ManifestError::Field { field: field.into(), expected: "a list of descriptors" })?;
    if list.len() > max {
        return Err(ManifestError::TooMany { field, count: list.len(), max });
    }
    list.iter().enumerate().map(|(index, value)| descriptor(value, &format!("{field}[{index}]"))).collect()
}

fn descriptor(value: &Value, at: &str) -> Result<Descriptor, ManifestError> {
    let object = value
        .as_object()
        .ok_or_else(|| ManifestError::Field { field: at.into(), expected: "a descriptor object" })?;
    exact_keys(object, DESCRIPTOR_KEYS)?;
    let path = |key: &str| format!("{at}.{key}");
    let required = |key: &str, expected| {
        object.get(key).ok_or_else(|| ManifestError::Field { field: path(key), expected })
    };
    let media_type = media_type_text(required("mediaType", "a media type")?, &path("mediaType"))?;
    let digest = required("digest", "a digest")?
        .as_str()
        .ok_or_else(|| ManifestError::Field { field: path("digest"), expected: "a digest" })?;
    let digest =
        Digest::parse(digest).map_err(|source| ManifestError::Digest { field: path("digest"), source })?;
    let size = required("size", "a number of bytes")?
        .as_u64()
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or_else(|| ManifestError::Field { field: path("size"), expected: "a number of bytes" })?;
    if object.get("urls").is_some_and(|urls| urls.as_array().is_none_or(|list| !list.is_empty())) {
        return Err(ManifestError::ForeignUrls(at.to_owned()));
    }
    if let Some(data) = object.get("data") {
        let decoded = data.as_str().and_then(|text| BASE64.decode(text).ok());
        let same =
            decoded.is_some_and(|bytes| u64::try_from(bytes.len()) == Ok(size) && digest.matches(&bytes));
        if !same {
            return Err(ManifestError::EmbeddedData(at.to_owned()));
        }
    }
    let platform = object.get("platform").map(|value| platform(value, &path("platform"))).transpose()?;
    let artifact_type =
        object.get("artifactType").map(|value| media_type_text(value, &path("artifactType"))).transpose()?;
    let annotations = annotations(object, &path("annotations"))?;
    Ok(Descriptor { media_type, digest: digest.to_string(), size, platform, annotations, artifact_type })
}

fn platform(value: &Value, at: &str) -> Result<String, ManifestError> {
    let wrong =
        || ManifestError::Field { field: at.into(), expected: "a platform with `os` and `architecture`" };
    let object = value.as_object().ok_or_else(wrong)?;
    exact_keys(object, PLATFORM_KEYS)?;
    let part = |key: &str| match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= 64 => Ok(Some(text.as_str())),
        Some(_) => Err(wrong()),
    };
    let os = part("os")?.ok_or_else(wrong)?;
    let architecture = part("architecture")?.ok_or_else(wrong)?;
    Ok(match part("variant")?.filter(|variant| !variant.is_empty()) {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    })
}

/// `annotations` of an object: a map of strings. An explicit `null` counts as absent, as Go clients write it.
fn annotations(object: &Map<String, Value>, at: &str) -> Result<BTreeMap<String, String>, ManifestError> {
    let wrong = || ManifestError::Field { field: at.into(), expected: "a map of strings" };
    match object.get("annotations") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map
            .iter()
            .map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// A type by RFC 6838 section 4.2, `type/subtype` of restricted-name characters, with parameters (old sigstore bundles
/// have one). An empty type is refused, because Docker takes it for an image configuration.
fn media_type_text(value: &Value, at: &str) -> Result<String, ManifestError> {
    let name = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let is_type = |text: &&str| {
        let (essence, parameters) = text.split_once(';').unwrap_or((text, "version=1"));
        essence.split_once('/').is_some_and(|(main, sub)| name(main) && name(sub))
            && parameters
                .split(';')
                .all(|one| one.split_once('=').is_some_and(|(key, value)| name(key) && name(value)))
    };
    value
        .as_str()
        .filter(|text| text.len() <= MEDIA_TYPE_BYTES_MAX)
        .filter(is_type)
        .map(str::to_owned)
        .ok_or_else(|| ManifestError::Field { field: at.to_owned(), expected: "a media type (RFC 6838)" })
}

/// Go's JSON reader matches keys without regard to case, and the last one wins: `Layers` after `layers` would show
/// engines another image than the one judged here.
fn exact_keys(object: &Map<String, Value>, known: &[&'static str]) -> Result<(), ManifestError> {
    for key in object.keys() {
        let folded = json::fold(key);
        if let Some(known) = known.iter().find(|known| json::fold(known) == folded && **known != key) {
            return Err(ManifestError::KeyCase { found: key.chars().take(64).collect(), known });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
