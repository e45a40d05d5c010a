//! Gathers the facts of one image from its manifest, configuration and layer reports. The registry and the pipeline
//! stage both come through here, so that the same image gives the same facts at every door.

mod configuration;

use std::collections::BTreeMap;
use std::sync::Arc;

use scanner::advisory::{Advisories, AdvisoryError};
use scanner::explain::Explanation;
use scanner::image::{Effectiveness, Layer};
use scanner::inventory::Inventory;
use scanner::layer::{Compression, LayerOutcome, LayerReport};
use scanner::sbom;
use serde::{Deserialize, Serialize};

use super::evidence::{BaseImage, ImageFacts};
use super::words::printable;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Kind, Manifest};
use configuration::Configuration;

/// Why no facts could be gathered: the caller brought what does not belong together. What the *image* contradicts
/// itself in is a fact ([`ImageFacts::problems`]), told beside everything else that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The configuration is not the blob that the manifest names.
    #[error("configuration digest mismatch: expected `{expected}`, computed `{computed}`")]
    Configuration {
        /// What the manifest names.
        expected: String,
        /// What the bytes are.
        computed: String,
    },
    /// The advisory file is corrupt.
    #[error("cannot read the advisories")]
    Advisories(#[from] AdvisoryError),
    /// Too few or too many reports.
    #[error("{reports} layer reports for {layers} layers of `{digest}`")]
    Layers {
        /// The manifest.
        digest: String,
        /// How many it names.
        layers: usize,
        /// How many were given.
        reports: usize,
    },
    /// The manifest cannot run, so it has no image facts.
    #[error("`{0}` is not an image manifest")]
    NotAnImage(String),
}

/// What one runnable image is, whatever advisories say about it: what can be kept as long as the manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInventory {
    /// What its layers and its configuration hold.
    pub inventory: Inventory,
    /// What the manifest and the configuration say of it.
    pub traits: ImageTraits,
}

/// See [`ImageFacts`], which repeats them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTraits {
    user: String,
    size: u64,
    base: Option<BaseImage>,
    diff_ids: Vec<String>,
    problems: Vec<String>,
}

impl ImageInventory {
    /// The facts with what `advisories` say.
    pub fn judge(&self, advisories: Option<&Advisories>) -> ImageFacts {
        let ImageTraits { user, size, base, diff_ids, problems } = self.traits.clone();
        let scan = Arc::new(self.inventory.judge(advisories));
        ImageFacts { scan, user, size, base, diff_ids, from_document: None, problems }
    }
}

/// The inventory of an image manifest. `configuration` is the config blob; `reports` belong to the layers in the manifest's
/// order, oldest first.
///
/// # Errors
/// See [`AssembleError`]; each is "could not decide", never a verdict.
pub fn image_inventory(
    manifest: &Manifest,
    configuration: &[u8],
    reports: &[Arc<LayerReport>],
) -> Result<ImageInventory, AssembleError> {
    let (layers, mut problems) = (checked(manifest, configuration, reports)?, Vec::new());
    let parsed = Configuration::parse(configuration, &mut problems);
    compare_layers(layers, reports, &parsed, &mut problems);
    let instructions = parsed.instructions(layers.len());
    let inventory = scanner::image::inventory(&stack(layers, reports, &instructions), configuration);
    let traits = ImageTraits {
        user: parsed.user,
        size: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size)),
        base: base_image(&manifest.annotations),
        diff_ids: parsed.diff_ids,
        problems,
    };
    Ok(ImageInventory { inventory, traits })
}

/// The same with what `advisories` say.
///
/// # Errors
/// As [`image_inventory`].
pub fn image_facts(
    manifest: &Manifest,
    configuration: &[u8],
    reports: &[Arc<LayerReport>],
    advisories: Option<&Advisories>,
) -> Result<ImageFacts, AssembleError> {
    Ok(image_inventory(manifest, configuration, reports)?.judge(advisories))
}

/// The facts of a document that lists packages: its packages, and nothing else.
pub fn document_facts(document: &sbom::Inventory, advisories: Option<&Advisories>) -> ImageFacts {
    ImageFacts {
        scan: Arc::new(sbom::scan(document, advisories)),
        user: String::new(),
        size: 0,
        base: None,
        diff_ids: Vec::new(),
        from_document: Some(document.format.clone()),
        problems: Vec::new(),
    }
}

/// Why `query` is reported of an image or is not; the same arguments as for [`image_facts`], and the same image.
///
/// # Errors
/// See [`AssembleError`].
pub fn explain(
    manifest: &Manifest,
    configuration: &[u8],
    reports: &[Arc<LayerReport>],
    advisories: Option<&Advisories>,
    query: &str,
) -> Result<Explanation, AssembleError> {
    let layers = checked(manifest, configuration, reports)?;
    let parsed = Configuration::parse(configuration, &mut Vec::new());
    let instructions = parsed.instructions(layers.len());
    let stack = stack(layers, reports, &instructions);
    Ok(scanner::image::explain(&stack, configuration, advisories, query)?)
}

/// What an image could do without; the same arguments as for [`image_facts`], and the same image.
///
/// # Errors
/// See [`AssembleError`].
pub fn effectiveness(
    manifest: &Manifest,
    configuration: &[u8],
    reports: &[Arc<LayerReport>],
) -> Result<Effectiveness, AssembleError> {
    let layers = checked(manifest, configuration, reports)?;
    let parsed = Configuration::parse(configuration, &mut Vec::new());
    let instructions = parsed.instructions(layers.len());
    Ok(scanner::image::effectiveness(&stack(layers, reports, &instructions), configuration))
}

/// The layers of an image to which configuration and reports belong.
fn checked<'m>(
    manifest: &'m Manifest,
    configuration: &[u8],
    reports: &[Arc<LayerReport>],
) -> Result<&'m [Descriptor], AssembleError> {
    let Kind::Image { config, layers } = &manifest.kind else {
        return Err(AssembleError::NotAnImage(manifest.digest.clone()));
    };
    if reports.len() != layers.len() {
        let (layers, reports) = (layers.len(), reports.len());
        return Err(AssembleError::Layers { digest: manifest.digest.clone(), layers, reports });
    }
    if !Digest::parse(&config.digest).is_ok_and(|digest| digest.matches(configuration)) {
        let computed = Digest::sha256_of(configuration).to_string();
        return Err(AssembleError::Configuration { expected: config.digest.clone(), computed });
    }
    Ok(layers)
}

fn stack<'a>(
    layers: &'a [Descriptor],
    reports: &'a [Arc<LayerReport>],
    instructions: &'a [Option<String>],
) -> Vec<Layer<'a>> {
    let layer =
        |((layer, report), instruction): ((&'a Descriptor, &'a Arc<LayerReport>), &'a Option<String>)| {
            Layer { digest: &layer.digest, report: report.as_ref(), instruction: instruction.as_deref() }
        };
    layers.iter().zip(reports).zip(instructions).map(layer).collect()
}

/// What the manifest declares, what the configuration repeats and what the bytes are must be the same three times.
fn compare_layers(
    layers: &[Descriptor],
    reports: &[Arc<LayerReport>],
    configuration: &Configuration,
    problems: &mut Vec<String>,
) {
    let (named, present) = (configuration.diff_ids.len(), layers.len());
    if named != present {
        problems.push(format!("the configuration names {named} layers, the manifest has {present}"));
    }
    for (index, (layer, report)) in layers.iter().zip(reports).enumerate() {
        if report.outcome != LayerOutcome::Walked {
            // Told by the scan as an unreadable layer.
            continue;
        }
        let media_type = &layer.media_type;
        if let Some(declared) = declared_compression(media_type)
            && declared != report.compression
        {
            let found = name(report.compression);
            problems.push(format!(
                "layer {index} is declared `{}`, its bytes are {found}",
                printable(media_type, 100)
            ));
        }
        let named = configuration.diff_ids.get(index);
        if let Some(named) = named
            && report.diff_id.as_ref() != Some(named)
        {
            let found = report.diff_id.as_deref().unwrap_or("nothing");
            let named = printable(named, 100);
            problems.push(format!(
                "layer {index}: the configuration names diff_id `{named}`, its bytes give `{found}`"
            ));
        }
    }
}

/// What a layer's media type promises (image-spec "layer"; the Docker types); `None` for types that promise nothing.
fn declared_compression(media_type: &str) -> Option<Compression> {
    const LAYERS: [&str; 3] = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
    ];
    let suffix = LAYERS.iter().find_map(|layer| media_type.strip_prefix(layer))?;
    match suffix {
        "" => Some(Compression::Plain),
        "+gzip" | ".gzip" => Some(Compression::Gzip),
        "+zstd" | ".zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "gzip",
        Compression::Plain => "not compressed",
        Compression::Zstd => "zstd",
    }
}

/// The producer's own claim (image-spec annotations).
fn base_image(annotations: &BTreeMap<String, String>) -> Option<BaseImage> {
    let annotation = |key: &str| annotations.get(key).filter(|value| !value.is_empty()).cloned();
    let name = annotation("org.opencontainers.image.base.name");
    let digest =
        annotation("org.opencontainers.image.base.digest").filter(|text| Digest::parse(text).is_ok());
    (name.is_some() || digest.is_some()).then_some(BaseImage { name, digest })
}

#[cfg(test)]
mod tests;
