//! TUF repositories made by others, good and bad: the public sigstore instance's roots, and those that the TUF client
//! `tough` is tested with. Each gets the outcome that its name states.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::path::{Path, PathBuf};

use keys::tuf::{Client, Place, Role, RoleFault, Seen, SignatureFault, TufError, VerifiedFile};

/// 2026-08-21T12:00:00Z, the day that the data is of.
const NOW: i64 = 1_787_313_600;

/// A folder of the test data, or a line that says that it is missing.
#[expect(clippy::disallowed_methods, reason = "a test finds its data by this variable")]
fn folder(test: &str, name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join(name);
    if !folder.is_dir() {
        println!("SKIPPED: {test}: no test data `{name}`");
        return None;
    }
    Some(folder)
}

/// The update from a folder, with files of each place beside each other or in folders of their own.
fn update(
    pinned: &[u8],
    target: &str,
    [metadata, targets]: [&Path; 2],
    now: i64,
) -> Result<VerifiedFile, TufError> {
    let mut client = Client::new(pinned, target, Seen::default(), now)?;
    while let Some(need) = client.needs() {
        let place = if need.place == Place::Metadata { metadata } else { targets };
        let bytes = std::fs::read(place.join(&need.path)).ok();
        client.supply(bytes.as_deref())?;
    }
    client.finish()
}

/// The public instance's chain from its first root to the last one; what comes after is not in the data.
#[test]
fn the_chain_of_the_public_instance_leads_from_its_first_root_to_its_last() {
    let test = "the_chain_of_the_public_instance_leads_from_its_first_root_to_its_last";
    let Some(folder) = folder(test, "trust-roots/sigstore-public-good/tuf/metadata/root_history") else {
        return;
    };
    for first in 1..=15 {
        let pinned = std::fs::read(folder.join(format!("{first}.root.json"))).unwrap();
        let refused = update(&pinned, "trusted_root.json", [&folder, &folder], NOW).unwrap_err();
        assert_eq!(refused, TufError::Missing("timestamp.json".to_owned()), "from {first}");
    }
    let pinned = std::fs::read(folder.join("1.root.json")).unwrap();
    // The last root's own date: 2026-11-20T13:58:18Z.
    let refused = update(&pinned, "trusted_root.json", [&folder, &folder], 1_795_183_098).unwrap_err();
    assert!(matches!(refused, TufError::Expired { role: Role::Root, at: 1_795_183_098, .. }), "{refused}");
    // A root left out of the middle: the chain ends before it, and that root is long expired.
    let gap = tempfile_copy(&folder, |name| name != "7.root.json");
    let refused = update(&pinned, "trusted_root.json", [&gap, &gap], NOW).unwrap_err();
    assert!(matches!(refused, TufError::Expired { role: Role::Root, .. }), "{refused}");
    std::fs::write(gap.join("7.root.json"), std::fs::read(folder.join("8.root.json")).unwrap()).unwrap();
    let refused = update(&pinned, "trusted_root.json", [&gap, &gap], NOW).unwrap_err();
    assert_eq!(refused, TufError::Version { role: Role::Root, expected: 7, seen: 8 });
    std::fs::remove_dir_all(gap).unwrap();
}

fn tempfile_copy(folder: &Path, keep: impl Fn(&str) -> bool) -> PathBuf {
    let copy = std::env::temp_dir().join(format!("tuf-cases-{}", std::process::id()));
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if keep(&name) {
            std::fs::write(copy.join(&name), std::fs::read(folder.join(&name)).unwrap()).unwrap();
        }
    }
    copy
}

#[test]
fn whole_repositories_of_others_give_their_target_files() {
    let Some(folder) =
        folder("whole_repositories_of_others_give_their_target_files", "signatures/tuf-client")
    else {
        return;
    };
    for (repository, target) in [
        ("tuf-reference-impl", "file1.txt"),
        ("tuf-reference-impl", "file2.txt"),
        ("consistent-snapshots", "data1.txt"),
        ("consistent-snapshots", "data2.txt"),
        // Names of delegations that would leave the folder are never made into a path.
        ("dubious-role-names", "1.txt"),
        ("dubious-role-names", "2.txt"),
    ] {
        let (metadata, targets) =
            (folder.join(repository).join("metadata"), folder.join(repository).join("targets"));
        let pinned = std::fs::read(metadata.join("1.root.json")).unwrap();
        let file = update(&pinned, target, [&metadata, &targets], NOW);
        let file = file.unwrap_or_else(|error| panic!("{repository}: {error}"));
        let mut plain = std::fs::read_dir(&targets).unwrap().map(|entry| entry.unwrap().path());
        let expected = plain.find(|path| path.to_str().unwrap().ends_with(target)).unwrap();
        assert_eq!(file.bytes(), std::fs::read(expected).unwrap(), "{repository}");
    }
    // Signed by a delegation: not followed, and said so.
    let metadata = folder.join("tuf-reference-impl/metadata");
    let pinned = std::fs::read(metadata.join("1.root.json")).unwrap();
    let refused = update(&pinned, "file3.txt", [&metadata, &metadata], NOW).unwrap_err();
    assert_eq!(refused, TufError::NotListed { by: Role::Targets, of: "file3.txt".to_owned() });
    // Targets whose names walk up and down are signed there; none of them is a name that we ask for.
    let metadata = folder.join("safe-target-paths/metadata");
    let pinned = std::fs::read(metadata.join("1.root.json")).unwrap();
    let refused = update(&pinned, "data1.txt", [&metadata, &metadata], NOW).unwrap_err();
    assert!(matches!(refused, TufError::NotListed { by: Role::Targets, .. }), "{refused}");
    let refused = update(&pinned, "foo/../bar/../baz/../data1.txt", [&metadata, &metadata], NOW).unwrap_err();
    assert!(matches!(refused, TufError::TargetName(_)), "{refused}");
}

#[test]
fn expired_and_rotated_repositories_of_others_end_as_they_say() {
    let test = "expired_and_rotated_repositories_of_others_end_as_they_say";
    let Some(folder) = folder(test, "signatures/tuf-client") else { return };
    let metadata = folder.join("expired-repository/metadata");
    let pinned = std::fs::read(metadata.join("1.root.json")).unwrap();
    let refused = update(&pinned, "file.txt", [&metadata, &metadata], NOW).unwrap_err();
    assert!(matches!(refused, TufError::Expired { role: Role::Timestamp, .. }), "{refused}");
    // The first root expired in 1998; the second, which both sets of keys signed, did not.
    let metadata = folder.join("rotated-root");
    let pinned = std::fs::read(metadata.join("1.root.json")).unwrap();
    let refused = update(&pinned, "file.txt", [&metadata, &metadata], NOW).unwrap_err();
    assert_eq!(refused, TufError::NotListed { by: Role::Targets, of: "file.txt".to_owned() });
}

/// Single roots: whether each may be pinned, and which check says no.
#[test]
fn roots_of_others_are_signed_by_enough_distinct_keys_or_refused() {
    let test = "roots_of_others_are_signed_by_enough_distinct_keys_or_refused";
    let Some(folder) = folder(test, "signatures/tuf-client") else { return };
    type Is = fn(&TufError) -> bool;
    let short: Is = |error| matches!(error, TufError::Threshold { role: Role::Root, .. });
    let again: Is = |error| {
        matches!(error, TufError::Threshold { valid: 1, faults, .. }
            if faults.iter().any(|(_, fault)| *fault == SignatureFault::Again))
    };
    let unknown: Is = |error| matches!(error, TufError::Role { reason: RoleFault::UnknownKey, .. });
    let ambiguous: Is = |error| matches!(error, TufError::Json { .. });
    for (file, refused) in [
        ("simple-rsa/root.json", None),
        ("hex-encoded-ecdsa-sig-keys/root.json", None),
        ("pem-encoded-ecdsa-sig-keys/root.json", None),
        ("ecdsa-new-type-sig-keys/root.json", None),
        // Its signature is good; that it is expired is told when it is the last root.
        ("expired-root-json-signature/root.json", None),
        ("duplicate-keyid/root.json", Some(ambiguous)),
        ("duplicate-sigs/root.json", Some(again)),
        ("duplicate-sig-keys/root.json", Some(again)),
        ("cross-sign-root/1.root.json", Some(short)),
        ("invalid-root-json-signature/root.json", Some(short)),
        ("mismatched-root-json-keyids/root.json", Some(unknown)),
        ("no-root-json-signatures/root.json", Some(short)),
        ("sigstore-rust-negative/duplicate-sigs.root.json", Some(again)),
        ("sigstore-rust-negative/invalid-root-json-signature.root.json", Some(short)),
        ("sigstore-rust-negative/no-root-json-signatures.root.json", Some(short)),
    ] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let answer = Client::new(&bytes, "trusted_root.json", Seen::default(), NOW);
        match (answer, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(is)) if is(&error) => {}
            (answer, _) => panic!("{file}: {:?}", answer.err()),
        }
    }
    let expired = std::fs::read(folder.join("expired-root-json-signature/root.json")).unwrap();
    let refused =
        update(&expired, "file.txt", [Path::new("/nowhere"), Path::new("/nowhere")], NOW).unwrap_err();
    assert!(matches!(refused, TufError::Expired { role: Role::Root, .. }), "{refused}");
}
