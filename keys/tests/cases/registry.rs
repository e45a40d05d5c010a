//! The registry of the cases: a folder of blobs and a list of tags, read as a gateway reads a registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use keys::attestation::UnverifiedAttestation;
use keys::cosign;
use keys::signature::UnverifiedSignature;
use serde_json::Value;

use crate::data;

/// Unpacked with the system's `tar` into this crate's scratch folder.
pub(crate) struct Registry {
    root: PathBuf,
    repositories: Value,
}

/// A folder of cases and the registry in it, or a line that says what is missing.
pub(crate) fn open(test: &str, name: &str) -> Option<(PathBuf, Registry)> {
    let folder = data::folder(test, name)?;
    let registry = Registry::unpack(&folder.join("registry.tar.zst"), test);
    if registry.is_none() {
        println!("SKIPPED: {test}: no `tar` that reads zstd");
    }
    Some((folder, registry?))
}

impl Registry {
    fn unpack(archive: &Path, scratch: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(scratch);
        std::fs::create_dir_all(&root).unwrap();
        let status = Command::new("tar").arg("--zstd").arg("-xf").arg(archive).arg("-C").arg(&root).status();
        status.ok()?.success().then_some(())?;
        let repositories = serde_json::from_slice(&std::fs::read(root.join("repos.json")).unwrap()).unwrap();
        Some(Self { root, repositories })
    }

    fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.join("blobs/sha256").join(digest.strip_prefix("sha256:")?)).ok()
    }

    fn tagged(&self, repository: &str, tag: &str) -> Option<Vec<u8>> {
        self.blob(self.repositories[repository]["tags"][tag]["digest"].as_str()?)
    }

    /// Digest and bytes of each manifest that the fallback tag lists.
    fn referrers(&self, repository: &str, digest: &str) -> Vec<(String, Vec<u8>)> {
        let referrers = self.tagged(repository, &digest.replace(':', "-"));
        let referrers: Value =
            referrers.map(|index| serde_json::from_slice(&index).unwrap()).unwrap_or_default();
        let listed = referrers["manifests"].as_array().cloned().unwrap_or_default();
        let manifest = |entry: Value| {
            let digest = entry["digest"].as_str().unwrap().to_owned();
            Some((digest.clone(), self.blob(&digest)?))
        };
        listed.into_iter().filter_map(manifest).collect()
    }

    /// All signatures, in both forms.
    pub(crate) fn signatures(&self, repository: &str, digest: &str) -> Vec<UnverifiedSignature> {
        let mut found = Vec::new();
        let legacy = cosign::legacy_tag(digest).and_then(|tag| self.tagged(repository, &tag));
        let legacy = legacy.map(|manifest| cosign::simple_signatures(&manifest).unwrap().layers);
        for layer in legacy.unwrap_or_default() {
            let payload = self.blob(&layer.payload_digest).unwrap_or_default();
            found.push(layer.with_payload(payload));
        }
        for (manifest_digest, manifest) in self.referrers(repository, digest) {
            let bundles = cosign::bundle_layers(&manifest).unwrap();
            for layer in bundles.layers {
                let bundle = self.blob(&layer.digest).unwrap_or_default();
                found.push(layer.with_bundle(
                    manifest_digest.clone(),
                    bundles.subject_digest.clone(),
                    bundle,
                ));
            }
        }
        found
    }

    /// All attestations, in both forms.
    pub(crate) fn attestations(&self, repository: &str, digest: &str) -> Vec<UnverifiedAttestation> {
        let mut found = Vec::new();
        let legacy = cosign::attestation_tag(digest).and_then(|tag| self.tagged(repository, &tag));
        let legacy = legacy.map(|manifest| cosign::attestation_envelopes(&manifest).unwrap().layers);
        for layer in legacy.unwrap_or_default() {
            let envelope = self.blob(&layer.payload_digest).unwrap_or_default();
            found.push(layer.with_envelope(envelope));
        }
        for (manifest_digest, manifest) in self.referrers(repository, digest) {
            let bundles = cosign::attestation_bundle_layers(&manifest).unwrap();
            for layer in bundles.layers {
                let bundle = self.blob(&layer.digest).unwrap_or_default();
                let subject = bundles.subject_digest.clone();
                found.push(layer.with_attestation(manifest_digest.clone(), subject, bundle));
            }
        }
        found
    }
}
