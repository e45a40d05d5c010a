//! Gathers what is known about one stored manifest. Blocking: it reads files and may walk a layer again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use keys::notary::COLLECTION_TYPE;
use rusqlite::Connection;
use scanner::layer::{LayerOutcome, LayerReport, analyzer};

use super::{Basis, Judge, JudgeError, inventories};
use crate::digest::Digest;
use crate::gate::ask_conditions;
use crate::gate::assemble::image_inventory;
use crate::gate::evidence::{Content, Evidence, ImageFacts, IndexChild};
use crate::ingest::walk_stored;
use crate::manifest::{self, Descriptor, Kind, Manifest};
use crate::records::{self, RecordError, manifests};

/// Largest image configuration read, in bytes. Real ones have a few kilobytes.
const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Images whose facts are kept: enough for the platforms of one index that is pushed, signed and released in a row.
const FACTS_MAX: usize = 8;
/// Packages, findings and secrets of all the kept facts together, about a kilobyte each.
const FACTS_ITEMS_MAX: usize = 12_000;

/// What facts rest on besides the image: the advisory revision and the YARA rules.
type Ground = (Option<String>, Option<String>);

/// Facts of images by manifest digest and ground.
#[derive(Debug, Default)]
pub(super) struct FactsCache(Mutex<VecDeque<(String, Ground, ImageFacts)>>);

impl FactsCache {
    fn find(&self, digest: &str, ground: &Ground) -> Option<ImageFacts> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |entry: &&(String, Ground, ImageFacts)| entry.0 == digest && entry.1 == *ground;
        kept.iter().find(same).map(|entry| entry.2.clone())
    }

    fn keep(&self, digest: String, ground: Ground, facts: ImageFacts) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((digest, ground, facts));
        while kept.len() > FACTS_MAX || kept.len() > 1 && items(&kept) > FACTS_ITEMS_MAX {
            kept.pop_front();
        }
    }
}

fn items(kept: &VecDeque<(String, Ground, ImageFacts)>) -> usize {
    let of_one = |facts: &ImageFacts| {
        let (scan, malware) = (&facts.scan, &facts.scan.malware);
        let found = scan.packages.len() + scan.findings.len() + scan.secrets.len();
        found + malware.matches.len() + malware.unsearched.len()
    };
    kept.iter().map(|(_, _, facts)| of_one(facts)).sum()
}

impl Basis {
    fn ground(&self) -> Ground {
        (self.revision(), self.rules().map(str::to_owned))
    }
}

impl Judge {
    /// Everything known about a manifest of `repository`, signatures and attestations included.
    pub(super) fn evidence(
        &self,
        connection: &Connection,
        repository: &str,
        digest: &str,
        manifest: &Manifest,
        basis: &Basis,
    ) -> Result<Evidence, JudgeError> {
        let content = self.content(connection, manifest, basis)?;
        let name = self.full_name(repository);
        let mut evidence = Evidence::new(name, digest, self.clock.now(), content);
        evidence.parents = manifests::parents(connection, repository, digest)?;
        let (signatures, learned) =
            self.verification(connection, repository, (&evidence, manifest), basis)?;
        (evidence.signatures, evidence.learned) = (signatures, learned);
        evidence.attestations = self.attestations(connection, repository, &evidence, basis)?;
        if matches!(&evidence.content, Content::Artifact { artifact_type, .. } if artifact_type == COLLECTION_TYPE)
        {
            self.judge_collection(connection, repository, &mut evidence, basis)?;
        }
        ask_conditions(&mut evidence, &basis.policy);
        Ok(evidence)
    }

    /// A manifest from the records, classified again: the same strict reading at every door.
    pub(super) fn stored_manifest(
        &self,
        connection: &Connection,
        digest: &str,
        media_type: &str,
    ) -> Result<Manifest, JudgeError> {
        let bytes = manifests::bytes(connection, digest)?;
        let bytes = bytes.ok_or_else(|| JudgeError::Damaged(digest.to_owned()))?;
        manifest::classify(Bytes::from(bytes), Some(media_type))
            .map_err(|source| JudgeError::Manifest { digest: digest.to_owned(), source })
    }

    /// What a manifest is, and what the advisories say of it.
    pub(super) fn content(
        &self,
        connection: &Connection,
        manifest: &Manifest,
        basis: &Basis,
    ) -> Result<Content, JudgeError> {
        match &manifest.kind {
            Kind::Artifact { .. } => Ok(artifact(manifest)),
            Kind::Image { config, layers } => {
                if let Some(facts) = self.kept_facts(connection, &manifest.digest, basis)? {
                    return Ok(Content::Image(facts));
                }
                let reports = layers
                    .iter()
                    .map(|layer| self.report(connection, layer, basis).map(Arc::new))
                    .collect::<Result<Vec<_>, _>>()?;
                if cannot_be_unpacked(layers, &reports) {
                    return Ok(artifact(manifest));
                }
                self.image(manifest, config, &reports, basis).map(Content::Image)
            }
            Kind::Index { manifests } => {
                let children = manifests.iter().map(|child| self.child(connection, child, basis));
                Ok(Content::Index(children.collect::<Result<_, _>>()?))
            }
        }
    }

    fn child(
        &self,
        connection: &Connection,
        child: &Descriptor,
        basis: &Basis,
    ) -> Result<IndexChild, JudgeError> {
        let manifest = self.stored_manifest(connection, &child.digest, &child.media_type)?;
        let content = self.content(connection, &manifest, basis)?;
        let platform = child.platform.clone().unwrap_or_else(|| "no platform".to_owned());
        Ok(IndexChild { digest: child.digest.clone(), platform, content })
    }

    /// The facts of an image that was looked at before: no layer's report is read again.
    fn kept_facts(
        &self,
        connection: &Connection,
        digest: &str,
        basis: &Basis,
    ) -> Result<Option<ImageFacts>, JudgeError> {
        let ground = basis.ground();
        if let Some(facts) = self.facts.find(digest, &ground) {
            return Ok(Some(facts));
        }
        let kept = inventories::find(connection, digest)?;
        let Some(kept) = kept.filter(|kept| kept.inventory.rules() == basis.rules()) else { return Ok(None) };
        let facts = kept.judge(basis.advisories.as_deref());
        self.facts.keep(digest.to_owned(), ground, facts.clone());
        Ok(Some(facts))
    }

    fn image(
        &self,
        manifest: &Manifest,
        config: &Descriptor,
        reports: &[Arc<LayerReport>],
        basis: &Basis,
    ) -> Result<ImageFacts, JudgeError> {
        let configuration = self.read_blob(&config.digest, CONFIG_BYTES_MAX)?;
        let inventory = image_inventory(manifest, &configuration, reports)
            .map_err(|source| JudgeError::Assemble { digest: manifest.digest.clone(), source })?;
        self.keep_made(&manifest.digest, &inventory);
        let facts = inventory.judge(basis.advisories.as_deref());
        self.facts.keep(manifest.digest.clone(), basis.ground(), facts.clone());
        Ok(facts)
    }

    /// What the walk over a layer found: stored when the layer was uploaded, found again where this version of the walk
    /// has not seen it, or not by these rules.
    fn report(
        &self,
        connection: &Connection,
        layer: &Descriptor,
        basis: &Basis,
    ) -> Result<LayerReport, JudgeError> {
        let stored = records::blobs::report(connection, &layer.digest, &analyzer(basis.rules()))?;
        if let Some(report) = stored.and_then(|bytes| LayerReport::decode(&bytes)) {
            return Ok(report);
        }
        let damaged = || JudgeError::Damaged(layer.digest.clone());
        let digest = Digest::parse(&layer.digest).map_err(|_| damaged())?;
        let (file, _) = self.blobs.open_blob(&digest)?.ok_or_else(damaged)?;
        let report = walk_stored(&file, basis.rules.clone())
            .map_err(|source| JudgeError::Layer { digest: layer.digest.clone(), source })?;
        let (name, analyzer, encoded) = (layer.digest.clone(), report.analyzer(), report.encode());
        self.records.write_later(move |connection| -> Result<(), RecordError> {
            records::blobs::put_report(connection, &name, &analyzer, &encoded)
        });
        Ok(report)
    }

    pub(super) fn read_blob(&self, digest: &str, bytes_max: u64) -> Result<Vec<u8>, JudgeError> {
        let damaged = || JudgeError::Damaged(digest.to_owned());
        let parsed = Digest::parse(digest).map_err(|_| damaged())?;
        self.blobs.read_checked(&parsed, bytes_max)?.ok_or_else(damaged)
    }
}

/// cosign's `.sig`, buildx's attestations and the like carry an image configuration and no file system. The exemption
/// from the image rules goes by the bytes, not by what they are declared as: no layer has a file-system type, and none is
/// an archive. Docker unpacks a layer of any type, if only it is one.
fn cannot_be_unpacked(layers: &[Descriptor], reports: &[Arc<LayerReport>]) -> bool {
    !layers.is_empty()
        && layers.iter().all(|layer| !manifest::is_file_system_layer(&layer.media_type))
        && reports.iter().all(|report| report.outcome == LayerOutcome::NotAnArchive)
}

fn artifact(manifest: &Manifest) -> Content {
    let size = manifest.blobs().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
    let artifact_type = manifest.referrer_type().unwrap_or(&manifest.media_type).to_owned();
    Content::Artifact { artifact_type, size }
}
