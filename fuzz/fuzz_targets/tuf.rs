//! Any bytes as the files of a Notary v1 repository: nothing verifies that nobody pinned, and what is said without
//! verification is bounded.

#![no_main]

use keys::limits::{NOTARY_FILES_MAX, NOTARY_ROLES_MAX, NOTARY_ROTATIONS_MAX};
use keys::notary::{Client, Document, RootPin, Seen, collection_files, unverified};
use libfuzzer_sys::fuzz_target;

/// The first byte says which file the rest is; for `Client` it stands for every file that is asked for.
const FILES: [&str; 5] =
    ["root.json", "timestamp.json", "snapshot.json", "targets.json", "targets/releases.json"];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(files)) = collection_files(bytes) {
        assert!(files.len() <= NOTARY_FILES_MAX);
    }
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let document =
        Document::from_file_name(FILES[usize::from(kind) % FILES.len()]).expect("a name of the list");
    let _ = unverified::version(document.clone(), rest);
    if let Ok(version) = unverified::root_version(rest) {
        assert!(version <= NOTARY_ROTATIONS_MAX);
    }
    if let Ok(listed) = unverified::listed(document, rest) {
        assert!(listed.len() <= NOTARY_ROLES_MAX + 4);
    }
    let mut ids: Vec<String> = unverified::root_keys(rest).into_iter().flatten().map(|key| key.id).collect();
    ids.push("ab".repeat(32));
    let Ok(pin) = RootPin::from_key_ids(&ids) else { return };
    let Ok(mut client) = Client::new("registry.example/acme/plain", pin, Seen::default(), 1_795_521_600)
    else {
        return;
    };
    while client.needs().is_some() {
        if client.supply(Some(rest)).is_err() {
            return;
        }
    }
    // One file cannot be all roles at once.
    assert!(client.finish().is_err());
});
