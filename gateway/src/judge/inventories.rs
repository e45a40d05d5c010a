//! Inventories on their way into the records and out again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use scanner::inventory::{self, Inventory};

use super::Judge;
use crate::gate::assemble::ImageInventory;
use crate::manifest::{Kind, Manifest};
use crate::records::RecordError;
use crate::records::inventories::{self as rows, InventoryRow};

/// Inventories held until their manifests are stored: more pushes are hardly under way at once. One that fell out is made
/// again when its image is next asked about.
const MADE_MAX: usize = 64;

/// What was made while a push was weighed, and waits for its manifest to be stored.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<VecDeque<(String, Arc<Prepared>)>>);

/// An inventory as the records hold it.
#[derive(Debug)]
struct Prepared {
    version: String,
    row: Option<InventoryRow>,
    keys: BTreeSet<(String, String)>,
}

impl Prepared {
    /// Of a manifest that cannot run.
    fn nothing(version: String) -> Self {
        Self { version, row: None, keys: BTreeSet::new() }
    }

    fn new(image: &ImageInventory) -> Self {
        let contents = image.inventory.encode();
        // Plain data: what cannot be written is made again each time.
        let traits = serde_json::to_string(&image.traits).unwrap_or_default();
        let row = Some(InventoryRow { traits, contents });
        Self { version: image.inventory.version(), row, keys: keys(&image.inventory) }
    }

    fn put(&self, connection: &Connection, digest: &str) -> Result<(), RecordError> {
        let keys = self.keys.iter().map(|(ecosystem, name)| (ecosystem.as_str(), name.as_str()));
        rows::put(connection, (digest, &self.version), self.row.as_ref(), keys)
    }
}

/// Everything by which an image is found: what advisories are asked about, and its packages by their own names.
fn keys(inventory: &Inventory) -> BTreeSet<(String, String)> {
    let asked = inventory.keys().into_iter().map(|key| (key.ecosystem.as_str().to_owned(), key.name));
    let packages = inventory
        .packages()
        .iter()
        .map(|package| (package_ecosystem(package.package.kind.purl_type()), package.package.name.clone()));
    asked.chain(packages).collect()
}

/// Under which ecosystem packages stand by their own names.
pub(crate) fn package_ecosystem(purl_type: &str) -> String {
    format!("pkg:{purl_type}")
}

impl Made {
    fn put(&self, digest: &str, prepared: Arc<Prepared>) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(known, _)| known != digest);
        made.push_back((digest.to_owned(), prepared));
        if made.len() > MADE_MAX {
            made.pop_front();
        }
    }

    fn take(&self, digest: &str) -> Option<Arc<Prepared>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = made.iter().position(|(known, _)| known == digest)?;
        made.remove(place).map(|(_, prepared)| prepared)
    }
}

/// What was kept of an image, whichever YARA rules were asked about it; `None` when there is nothing, or nothing that
/// this version reads.
pub(crate) fn find(connection: &Connection, digest: &str) -> Result<Option<ImageInventory>, RecordError> {
    let Some(row) = rows::find(connection, digest)? else { return Ok(None) };
    let traits = serde_json::from_str(&row.traits).ok();
    let both = Inventory::decode(&row.contents).zip(traits);
    Ok(both.map(|(inventory, traits)| ImageInventory { inventory, traits }))
}

impl Judge {
    /// An inventory was made. It is kept at once where its manifest is stored; one that is only being pushed waits for
    /// [`Judge::keep_pushed`].
    pub(super) fn keep_made(&self, digest: &str, image: &ImageInventory) {
        let prepared = Arc::new(Prepared::new(image));
        self.inventories.put(digest, Arc::clone(&prepared));
        self.keep(digest, prepared);
    }

    /// Keeps what was found in a manifest that is stored now. What a crash loses is found missing at the next start.
    pub(super) fn keep_pushed(&self, digest: &str, manifest: &Manifest) {
        match (self.inventories.take(&manifest.digest), &manifest.kind) {
            (Some(prepared), _) => self.keep(digest, prepared),
            (None, Kind::Index { .. } | Kind::Artifact { .. }) => self.keep_looked_at(digest),
            // An image that is known already, or what looks like one and cannot be unpacked.
            (None, Kind::Image { .. }) => {}
        }
    }

    /// Remembers that a manifest was looked at and cannot run.
    pub(super) fn keep_looked_at(&self, digest: &str) {
        // Whichever rules are in force: what cannot run is not searched.
        let rules = self.rules.current();
        let version = inventory::version(rules.as_ref().map(|rules| rules.digest()));
        self.keep(digest, Arc::new(Prepared::nothing(version)));
    }

    fn keep(&self, digest: &str, prepared: Arc<Prepared>) {
        let digest = digest.to_owned();
        self.records.write_later(move |connection| prepared.put(connection, &digest));
    }
}
