//! The advisory file as an OCI artifact, with a signed statement beside it: which file it is, how new, until when it may be
//! used. Whoever serves the artifact can neither change it, nor serve an old one as new, nor keep a site on one for ever.
//!
//! The manifest names one packed file, and what leads to it from files that sites may have already, which is much smaller. The statement (in-toto, signed like any attestation) is about the manifest's digest
//! and says: the digest of the unpacked file, a counter that only grows, and an end.

use std::collections::BTreeSet;

use keys::attestation::Attestations;
use scanner::advisory::delta::{self, DeltaError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::digest::Digest;
use crate::manifest::{Descriptor, Kind, Manifest, OCI_MANIFEST};

/// `artifactType` of the manifest.
pub const ARTIFACT_TYPE: &str = "application/vnd.portcullis.advisories.v1";
/// Media type of the packed file.
pub const FILE_TYPE: &str = "application/vnd.portcullis.advisories.file.v1+zstd";
/// Media type of what leads to the file from another one.
pub const DELTA_TYPE: &str = "application/vnd.portcullis.advisories.delta.v1";
/// Annotation of such a layer: the digest of the other file, unpacked.
const BASE: &str = "portcullis.base";
/// Most deltas of one publication: sites that are further behind take the whole file.
pub const DELTAS_MAX: usize = 8;
/// Predicate type of the statement.
pub const PREDICATE_TYPE: &str = "urn:portcullis:advisories:v1";
/// Largest packed file taken, in bytes: ten times what all public feeds together come to. A registry is a stranger.
pub const PACKED_BYTES_MAX: u64 = 1 << 30;
/// Largest unpacked file, in bytes: a small packed file must not fill the memory.
pub const FILE_BYTES_MAX: u64 = 4 << 30;
/// The empty configuration that artifacts have (image-spec "Guidance for an Empty Descriptor").
pub const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Packing level: it is packed once and fetched by everybody.
const ZSTD_LEVEL: i32 = 12;

/// What the publisher states about one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Digest of the unpacked file: `sha256:…`.
    pub file: String,
    /// Grows with each publication.
    pub counter: u64,
    /// Seconds since 1970-01-01 UTC: the last moment at which it may be taken up.
    pub expires: i64,
}

/// What a site remembers of the publication that it took up last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Its counter.
    pub counter: u64,
    /// Its manifest.
    pub digest: String,
}

/// Why a publication is not taken up; the file in use stays.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is no publication of advisories.
    #[error("`{digest}` is no advisory file: {problem}")]
    Artifact {
        /// The manifest.
        digest: String,
        /// What it is instead.
        problem: String,
    },
    /// Its end has passed: whoever serves it holds back newer ones, or the publisher has stopped.
    #[error("the advisory file was to be used until {expires}; ask who publishes it for a newer one")]
    Expired {
        /// RFC 3339.
        expires: String,
    },
    /// What leads to it from the file in use does not.
    #[error("the delta cannot be used")]
    Delta(#[from] DeltaError),
    /// The packed file unpacks to something else.
    #[error("the advisory file has digest `{computed}`, its publisher states `{stated}`")]
    File {
        /// In the statement.
        stated: String,
        /// Of what was unpacked.
        computed: String,
    },
    /// It cannot be unpacked, or is larger than it may be.
    #[error("cannot unpack the advisory file")]
    Packed(#[source] std::io::Error),
    /// An older one than was taken up before.
    #[error(
        "the advisory file is number {found}, and number {seen} was taken up before: an old one is served as new"
    )]
    RolledBack {
        /// In the statement.
        found: u64,
        /// Remembered.
        seen: u64,
    },
    /// Nobody whom the caller trusts states anything about it.
    #[error("no statement about `{digest}` that counts{told}")]
    Unsigned {
        /// The manifest.
        digest: String,
        /// Why each candidate does not count.
        told: String,
    },
}

/// A publication, ready to be pushed: the manifest and the packed file.
#[derive(Debug)]
pub struct Packed {
    /// The manifest's exact bytes.
    pub manifest: Vec<u8>,
    /// The file, whole.
    pub file: Vec<u8>,
    /// What leads to it from others.
    pub deltas: Vec<Vec<u8>>,
}

/// Packs an advisory file, and what leads to it from each of `bases`; what would save nothing is left out. The same files
/// give the same bytes.
///
/// # Errors
/// When memory runs out, or with bases a file is no advisory file.
pub fn pack(file: &[u8], bases: &[Vec<u8>]) -> Result<Packed, BundleError> {
    let packed = zstd::bulk::compress(file, ZSTD_LEVEL).map_err(BundleError::Packed)?;
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::sha256_of(bytes).as_str(), "size": bytes.len()});
    let mut layers = vec![descriptor(FILE_TYPE, &packed)];
    let mut deltas = Vec::new();
    let mut known = BTreeSet::from([Digest::sha256_of(file)]);
    for base in bases.iter().take(DELTAS_MAX) {
        let name = Digest::sha256_of(base);
        if !known.insert(name.clone()) {
            continue;
        }
        let delta = delta::make(base, file)?;
        if delta.len() < packed.len() {
            let mut layer = descriptor(DELTA_TYPE, &delta);
            layer["annotations"] = json!({BASE: name.as_str()});
            layers.push(layer);
            deltas.push(delta);
        }
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(EMPTY_TYPE, EMPTY),
        "layers": layers,
    });
    Ok(Packed { manifest: manifest.to_string().into_bytes(), file: packed, deltas })
}

/// What leads from the file `base` to the one that a manifest names: its digest. `None`: the whole file is to be taken.
pub fn delta_from(manifest: &Manifest, base: &Digest) -> Option<Digest> {
    let is_meant = |blob: &&Descriptor| {
        blob.media_type == DELTA_TYPE
            && blob.size <= PACKED_BYTES_MAX
            && blob.annotations.get(BASE).is_some_and(|name| name == base.as_str())
    };
    manifest.blobs().find(is_meant).and_then(|blob| Digest::parse(&blob.digest).ok())
}

/// The file out of another one and what leads to it, proven to be the file that the statement is about.
///
/// # Errors
/// See [`BundleError`].
pub fn follow(base: &[u8], delta: &[u8], stated: &Stated) -> Result<Vec<u8>, BundleError> {
    proven(delta::apply(base, delta, FILE_BYTES_MAX)?, stated)
}

/// The packed file that a manifest names: its digest and size.
///
/// # Errors
/// When it is a manifest of something else.
pub fn packed_file(manifest: &Manifest) -> Result<(Digest, u64), BundleError> {
    let refuse = |problem: &str| BundleError::Artifact {
        digest: manifest.digest.clone(),
        problem: problem.to_owned(),
    };
    if !matches!(manifest.kind, Kind::Artifact { .. }) || manifest.referrer_type() != Some(ARTIFACT_TYPE) {
        return Err(refuse(manifest.referrer_type().unwrap_or("it has no type")));
    }
    let mut files = manifest.blobs().filter(|blob| blob.media_type == FILE_TYPE);
    let (Some(file), None) = (files.next(), files.next()) else {
        return Err(refuse("it does not name exactly one file"));
    };
    if file.size > PACKED_BYTES_MAX {
        return Err(refuse("its file is too large"));
    }
    let digest = Digest::parse(&file.digest).map_err(|_| refuse("its file has no usable digest"))?;
    Ok((digest, file.size))
}

/// What trusted publishers state about the manifest `digest`, held against the clock and against what was taken up before.
///
/// # Errors
/// See [`BundleError`].
pub fn stated(
    digest: &str,
    attestations: &Attestations,
    seen: Option<&Seen>,
    now: i64,
) -> Result<Stated, BundleError> {
    let of_type = attestations.verified.iter().filter(|one| one.predicate_type() == PREDICATE_TYPE);
    let stated = of_type.filter_map(|one| serde_json::from_value::<Stated>(one.predicate().clone()).ok());
    // The same file may be published again, to prolong it: the newest word counts.
    let Some(stated) = stated.max_by_key(|stated| stated.counter) else {
        let told = attestations.rejected.iter().map(|one| format!("; {}: {}", one.candidate, one.reason));
        return Err(BundleError::Unsigned { digest: digest.to_owned(), told: told.take(3).collect() });
    };
    if now > stated.expires {
        let expires = jiff::Timestamp::from_second(stated.expires);
        let expires = expires.map_or_else(|_| stated.expires.to_string(), |moment| moment.to_string());
        return Err(BundleError::Expired { expires });
    }
    match seen {
        Some(seen) if stated.counter < seen.counter => {
            Err(BundleError::RolledBack { found: stated.counter, seen: seen.counter })
        }
        _ => Ok(stated),
    }
}

/// Unpacks, under the limit, and proves it to be the file that the statement is about.
///
/// # Errors
/// See [`BundleError`].
pub fn unpack(packed: &[u8], stated: &Stated) -> Result<Vec<u8>, BundleError> {
    proven(unpack_unstated(packed)?, stated)
}

/// The file that was published before: good for a base, of which nothing is believed.
///
/// # Errors
/// When it cannot be unpacked, or is larger than it may be.
pub fn unpack_unstated(packed: &[u8]) -> Result<Vec<u8>, BundleError> {
    use std::io::Read as _;
    let mut file = Vec::new();
    let unpacked = zstd::stream::read::Decoder::with_buffer(packed)
        .and_then(|decoder| decoder.take(FILE_BYTES_MAX + 1).read_to_end(&mut file));
    unpacked.map_err(BundleError::Packed)?;
    if file.len() as u64 > FILE_BYTES_MAX {
        return Err(BundleError::Packed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(file)
}

fn proven(file: Vec<u8>, stated: &Stated) -> Result<Vec<u8>, BundleError> {
    let computed = Digest::sha256_of(&file).to_string();
    if computed != stated.file {
        return Err(BundleError::File { stated: stated.file.clone(), computed });
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use keys::attestation::{UnverifiedAttestation, verify};
    use keys::cosign::{BundleLayer, attestation_bundle_layers};
    use keys::keyring::{NewKey, generate};
    use keys::signature::Subject;
    use keys::signer::{ImageDescriptor, Signer};
    use keys::trust_store::{Identity, RepositoryMatch, TrustStore, TrustedKey, Vouches};

    use super::*;
    use crate::manifest::classify;

    const NOW: i64 = 1_800_000_000;

    fn signer() -> Signer {
        Signer::new(generate(NewKey::default()).unwrap())
    }

    /// What a site that trusts `trusted` finds beside a manifest about which `by` made the statements.
    fn found(digest: &str, by: &Signer, trusted: &Signer, statements: &[Stated]) -> Attestations {
        let image = ImageDescriptor { digest, media_type: OCI_MANIFEST, size: 7 };
        let candidates: Vec<UnverifiedAttestation> = statements
            .iter()
            .map(|stated| {
                let predicate = serde_json::to_value(stated).unwrap();
                let made = by.attest_bundle(image, PREDICATE_TYPE, &predicate, NOW).unwrap();
                let layers = attestation_bundle_layers(&made.manifest.bytes).unwrap();
                let layer: BundleLayer = layers.layers.into_iter().next().unwrap();
                let bundle =
                    made.blobs.iter().find(|blob| Digest::sha256_of(&blob.bytes).as_str() == layer.digest);
                layer.with_attestation(
                    made.manifest.digest,
                    layers.subject_digest,
                    bundle.unwrap().bytes.clone(),
                )
            })
            .collect();
        let key = trusted.public_key().clone();
        let identity = Identity {
            name: "publisher".to_owned(),
            principal: None,
            vouches: Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]),
            repository_match: RepositoryMatch::Any,
            annotations: Default::default(),
        };
        let store = TrustStore { identities: vec![identity], ..TrustStore::default() };
        verify(&candidates, Subject { digest, repository: "r.example/advisories" }, &store, NOW)
    }

    fn statement(file: &[u8], counter: u64, expires: i64) -> Stated {
        Stated { file: Digest::sha256_of(file).to_string(), counter, expires }
    }

    #[test]
    fn what_was_packed_and_stated_is_taken_up_once_it_is_newest() {
        let publisher = signer();
        let packed = pack(b"the advisories", &[]).unwrap();
        let manifest = classify(Bytes::from(packed.manifest.clone()), Some(OCI_MANIFEST)).unwrap();
        let (digest, size) = packed_file(&manifest).unwrap();
        assert!(digest.matches(&packed.file) && size == packed.file.len() as u64);
        let good = statement(b"the advisories", 7, NOW + 60);
        let answer = found(&manifest.digest, &publisher, &publisher, std::slice::from_ref(&good));
        let seen = |counter| Seen { counter, digest: manifest.digest.clone() };
        for before in [None, Some(seen(6)), Some(seen(7))] {
            assert_eq!(stated(&manifest.digest, &answer, before.as_ref(), NOW).unwrap(), good);
        }
        assert_eq!(unpack(&packed.file, &good).unwrap(), b"the advisories");

        let rolled = stated(&manifest.digest, &answer, Some(&seen(8)), NOW);
        assert!(matches!(rolled, Err(BundleError::RolledBack { found: 7, seen: 8 })), "{rolled:?}");
        assert!(stated(&manifest.digest, &answer, None, NOW + 60).is_ok(), "the last moment counts");
        let late = stated(&manifest.digest, &answer, None, NOW + 61);
        assert!(matches!(late, Err(BundleError::Expired { .. })), "{late:?}");
        // Prolonged: the newest word counts, whichever comes first.
        let both = [statement(b"the advisories", 8, NOW + 900), good.clone()];
        let answer = found(&manifest.digest, &publisher, &publisher, &both);
        assert_eq!(stated(&manifest.digest, &answer, None, NOW + 61).unwrap().counter, 8);
    }

    #[test]
    fn what_nobody_trusted_states_is_not_taken_up() {
        let (publisher, stranger) = (signer(), signer());
        let packed = pack(b"the advisories", &[]).unwrap();
        let digest = Digest::sha256_of(&packed.manifest).to_string();
        let good = statement(b"the advisories", 7, NOW + 60);
        for answer in [
            found(&digest, &stranger, &publisher, std::slice::from_ref(&good)),
            found(&digest, &publisher, &publisher, &[]),
        ] {
            let refused = stated(&digest, &answer, None, NOW);
            assert!(matches!(refused, Err(BundleError::Unsigned { .. })), "{refused:?}");
        }
    }

    #[test]
    fn another_file_a_damaged_one_and_another_artifact_are_refused() {
        let good = statement(b"the advisories", 7, NOW + 60);
        let other = pack(b"other advisories", &[]).unwrap();
        assert!(matches!(unpack(&other.file, &good), Err(BundleError::File { .. })));
        assert!(matches!(unpack(b"no zstd", &good), Err(BundleError::Packed(_))));
        assert!(matches!(unpack(&other.file[..other.file.len() - 1], &good), Err(BundleError::Packed(_))));
        let text = String::from_utf8(other.manifest).unwrap();
        for (from, to) in
            [(ARTIFACT_TYPE, "application/vnd.example"), (FILE_TYPE, "application/octet-stream")]
        {
            let manifest = classify(Bytes::from(text.replace(from, to)), Some(OCI_MANIFEST)).unwrap();
            assert!(matches!(packed_file(&manifest), Err(BundleError::Artifact { .. })), "{to}");
        }
    }

    /// An advisory file about so many packages.
    fn advisory_file(packages: usize) -> Vec<u8> {
        let fixed = (0..packages)
            .map(|it| format!(r#"{{"pkg":{{"name":"p{it}","secfixes":{{"1-r0":["CVE-2026-{it:04}"]}}}}}}"#));
        let fixed: Vec<String> = fixed.collect();
        let feed =
            format!(r#"{{"distroversion":"v3.20","reponame":"main","packages":[{}]}}"#, fixed.join(","));
        let mut builder = scanner::advisory::Builder::new();
        builder.add("alpine", Some(NOW), feed.as_bytes()).unwrap();
        builder.finish(NOW).unwrap()
    }

    #[test]
    fn a_delta_is_chosen_by_the_file_in_use_and_leads_to_the_stated_one() {
        let files: Vec<Vec<u8>> = [400, 410, 420].map(advisory_file).into();
        let newest = advisory_file(430);
        // One base twice, and the file itself: neither is worth a layer.
        let bases = [&files[..], &[files[0].clone(), newest.clone()]].concat();
        let packed = pack(&newest, &bases).unwrap();
        assert_eq!(packed.deltas.len(), 3);
        let manifest = classify(Bytes::from(packed.manifest.clone()), Some(OCI_MANIFEST)).unwrap();
        let (file, _) = packed_file(&manifest).unwrap();
        assert!(file.matches(&packed.file), "whoever knows no deltas takes the whole file");
        let good = statement(&newest, 7, NOW + 60);
        for (base, delta) in files.iter().zip(&packed.deltas) {
            let chosen = delta_from(&manifest, &Digest::sha256_of(base)).unwrap();
            assert!(chosen.matches(delta));
            assert_eq!(follow(base, delta, &good).unwrap(), newest);
            // It leads elsewhere than the statement says.
            let other = statement(&files[0], 7, NOW + 60);
            assert!(matches!(follow(base, delta, &other), Err(BundleError::File { .. })));
        }
        assert!(matches!(follow(&files[0], &packed.deltas[1], &good), Err(BundleError::Delta(_))));
        assert_eq!(delta_from(&manifest, &Digest::sha256_of(b"no such file")), None);
        let many: Vec<Vec<u8>> = (1..20).map(advisory_file).collect();
        assert!(pack(&newest, &many).unwrap().deltas.len() <= DELTAS_MAX);
        assert!(matches!(pack(&newest, &[b"no advisories".to_vec()]), Err(BundleError::Delta(_))));
    }
}
