//! A TUF repository of our own making, good and then wrong in one place at a time: each check refuses by itself and for
//! its own reason.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot make its repository has failed")]

#[path = "mint/tuf.rs"]
mod mint;

use keys::tuf::{Client, KeyFault, Place, Role, RoleFault, Seen, SignatureFault, TufError, VerifiedFile};
use mint::{Files, Key, Repository, TARGET, envelope};
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// The update from a server that has `files`; what was learned comes back either way.
fn update(pinned: &[u8], files: &Files, seen: Seen, now: i64) -> (Result<VerifiedFile, TufError>, Seen) {
    let mut client = match Client::new(pinned, TARGET, seen.clone(), now) {
        Ok(client) => client,
        Err(error) => return (Err(error), seen),
    };
    while let Some(need) = client.needs() {
        let folder = if need.place == Place::Targets { "targets/" } else { "" };
        let bytes = files.get(&format!("{folder}{}", need.path));
        if let Err(error) = client.supply(bytes.map(Vec::as_slice)) {
            assert_eq!(client.needs(), None, "an error ends it");
            let seen = client.seen().clone();
            assert_eq!(client.finish(), Err(TufError::NotAwaited));
            return (Err(error), seen);
        }
    }
    let seen = client.seen().clone();
    (client.finish(), seen)
}

fn verify(repository: &Repository) -> Result<VerifiedFile, TufError> {
    update(&repository.root_file(), &repository.files(), Seen::default(), NOW).0
}

/// A good repository after one change.
fn changed(change: impl FnOnce(&mut Repository)) -> TufError {
    let mut repository = Repository::new(Key::ed25519);
    change(&mut repository);
    verify(&repository).unwrap_err()
}

fn faults(error: TufError, expected: Role) -> Vec<SignatureFault> {
    let TufError::Threshold { role, faults, .. } = error else { panic!("{error}") };
    assert_eq!(role, expected);
    faults.into_iter().map(|(_, fault)| fault).collect()
}

#[test]
fn a_target_is_verified_from_the_pinned_root_whatever_the_keys_and_the_form() {
    for make in [Key::ed25519, Key::ecdsa, Key::ecdsa_p384] {
        for consistent in [true, false] {
            let mut repository = Repository::new(make);
            repository.consistent = consistent;
            repository.timestamp.expires = "2027-02-01T00:00:00Z";
            repository.timestamp.version = 7;
            let file = verify(&repository).unwrap();
            assert_eq!(file.bytes(), repository.target);
            assert_eq!(file.ends(), (Role::Timestamp, 1_801_440_000));
            let versions: Vec<_> =
                file.metadata().iter().map(|&(role, version, _)| (role, version)).collect();
            let expected = [(Role::Root, 1), (Role::Timestamp, 7), (Role::Snapshot, 1), (Role::Targets, 1)];
            assert_eq!(versions, expected);
        }
    }
}

/// The repository that `vectors/tuf` holds: RSA and PEM keys, two of three, rotated once.
#[test]
fn the_repository_beside_this_test_gives_the_trusted_root_it_was_made_with() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let pinned = std::fs::read(folder.join("tuf/1.root.json")).unwrap();
    let mut client = Client::new(&pinned, TARGET, Seen::default(), NOW).unwrap();
    let mut asked = Vec::new();
    while let Some(need) = client.needs() {
        let path = if need.place == Place::Targets { format!("targets/{}", need.path) } else { need.path };
        client.supply(std::fs::read(folder.join("tuf").join(&path)).ok().as_deref()).unwrap();
        asked.push(path);
    }
    let file = client.finish().unwrap();
    assert_eq!(file.bytes(), std::fs::read(folder.join("keyless/trusted_root.json")).unwrap());
    let digest = file.digest().strip_prefix("sha256:").unwrap().to_owned();
    let target = format!("targets/{digest}.trusted_root.json");
    let order =
        ["2.root.json", "3.root.json", "timestamp.json", "4.snapshot.json", "3.targets.json", &target];
    assert_eq!(asked, order);
}

#[test]
fn roots_rotate_one_by_one_each_vouched_for_by_the_one_before() {
    let mut repository = Repository::new(Key::ed25519);
    let (pinned, mut files) = (repository.root_file(), repository.files());
    for make in [Key::ecdsa, Key::ed25519] {
        repository.rotate(vec![make()]);
        // A root in between may be expired; only the last one must not be.
        repository.root.expires =
            if repository.root.version == 2 { "2020-01-01T00:00:00Z" } else { "2030-01-01T00:00:00Z" };
        repository.publish(&mut files);
    }
    let (file, seen) = update(&pinned, &files, Seen::default(), NOW);
    assert_eq!(file.unwrap().metadata()[0].1, 3);
    assert_eq!(seen.root, 3);
    // Without the one in between the chain ends before it, and what was seen before is withheld.
    files.remove("2.root.json");
    let (refused, _) = update(&pinned, &files, seen, NOW);
    assert!(
        matches!(refused, Err(TufError::Rollback { by: Role::Root, seen: 3, offered: 1, .. })),
        "{refused:?}"
    );
}

#[test]
fn a_rotation_needs_the_old_threshold_and_the_new_one_and_the_next_version() {
    let rotated = |change: &dyn Fn(&mut Repository)| {
        let mut repository = Repository::new(Key::ed25519);
        repository.root.keys.push(Key::ed25519());
        repository.root.threshold = 2;
        let (pinned, mut files) = (repository.root_file(), repository.files());
        repository.rotate(vec![Key::ed25519(), Key::ed25519()]);
        change(&mut repository);
        files.insert("2.root.json".to_owned(), repository.root_file());
        let mut current = repository.files();
        current.remove(&format!("{}.root.json", repository.root.version));
        files.extend(current);
        update(&pinned, &files, Seen::default(), NOW).0
    };
    assert!(rotated(&|_| {}).is_ok());
    // One of two old keys; none of them; a stranger's.
    for count in [1, 0] {
        let refused = rotated(&|repository| repository.outgoing.truncate(count)).unwrap_err();
        assert_eq!(faults(refused, Role::Root), [SignatureFault::NotOfRole, SignatureFault::NotOfRole]);
    }
    // Of its own keys one is listed and did not sign: the file is signed by the old ones and one new.
    let refused = rotated(&|repository| {
        let missing = Key::ed25519();
        let (id, value) = (missing.id.clone(), missing.value.clone());
        repository.root.keys.pop();
        repository.edit("root", move |signed| {
            signed["keys"][&id] = value.clone();
            signed["roles"]["root"]["keyids"].as_array_mut().unwrap().push(json!(id));
        });
    });
    assert!(
        matches!(refused, Err(TufError::Threshold { role: Role::Root, valid: 1, threshold: 2, .. })),
        "{refused:?}"
    );
    for version in [1, 3, u64::MAX] {
        let refused = rotated(&|repository| repository.root.version = version);
        assert_eq!(refused, Err(TufError::Version { role: Role::Root, expected: 2, seen: version }));
    }
}

#[test]
fn a_chain_of_roots_has_an_end() {
    let mut repository = Repository::new(Key::ed25519);
    let (pinned, mut files) = (repository.root_file(), repository.files());
    for _ in 0..=keys::limits::TUF_ROTATIONS_MAX {
        let key = repository.root.keys[0].clone();
        repository.rotate(vec![key]);
        repository.outgoing.clear();
        repository.publish(&mut files);
    }
    let refused = update(&pinned, &files, Seen::default(), NOW).0;
    assert!(matches!(refused, Err(TufError::TooMany { .. })), "{refused:?}");
}

#[test]
fn every_role_expires() {
    type Pick = fn(&mut Repository) -> &mut mint::Role;
    let roles: [(Role, Pick); 4] = [
        (Role::Root, |repository| &mut repository.root),
        (Role::Timestamp, |repository| &mut repository.timestamp),
        (Role::Snapshot, |repository| &mut repository.snapshot),
        (Role::Targets, |repository| &mut repository.targets),
    ];
    for (role, pick) in roles {
        // Good until the second before its date.
        let refused = changed(|repository| pick(repository).expires = "2027-01-15T08:00:00Z");
        assert_eq!(refused, TufError::Expired { role, at: NOW, now: NOW });
        let mut repository = Repository::new(Key::ed25519);
        pick(&mut repository).expires = "2027-01-15T08:00:01Z";
        assert!(verify(&repository).is_ok(), "{role}");
    }
}

#[test]
fn signatures_count_by_key_and_only_for_their_own_role() {
    type Pick = fn(&mut Repository) -> &mut mint::Role;
    let roles: [(Role, Pick); 3] = [
        (Role::Timestamp, |repository| &mut repository.timestamp),
        (Role::Snapshot, |repository| &mut repository.snapshot),
        (Role::Targets, |repository| &mut repository.targets),
    ];
    for (role, pick) in roles {
        // One key under two ids is one key; so is one that signs twice.
        let refused = changed(|repository| {
            let role = pick(repository);
            let again = role.keys[0].clone().described(|value| value["x-owner"] = json!("another"));
            role.keys.push(again);
            role.threshold = 2;
        });
        assert_eq!(faults(refused, role), [SignatureFault::Again]);
        let refused = changed(|repository| {
            let role = pick(repository);
            let again = role.keys[0].clone();
            role.keys.push(again);
            role.threshold = 2;
        });
        assert_eq!(faults(refused, role), [SignatureFault::Again]);
        // Signed by keys that the root does not give it: the root in force is the one before they came.
        let mut repository = Repository::new(Key::ed25519);
        let pinned = repository.root_file();
        let role_keys = &mut pick(&mut repository).keys;
        *role_keys = vec![Key::ed25519()];
        let mut files = repository.files();
        files.remove("1.root.json");
        let refused = update(&pinned, &files, Seen::default(), NOW).0.unwrap_err();
        assert_eq!(faults(refused, role), [SignatureFault::NotOfRole]);
        // Two of two distinct keys are enough.
        let mut repository = Repository::new(Key::ed25519);
        let role_keys = pick(&mut repository);
        role_keys.keys.push(Key::ecdsa());
        role_keys.threshold = 2;
        assert!(verify(&repository).is_ok());
    }
}

#[test]
fn a_key_that_cannot_be_used_spoils_its_own_signatures_only() {
    let foreign = |mut key: Key| {
        key.id = "ab".repeat(32);
        key
    };
    let other_scheme =
        |scheme: &'static str| Key::ecdsa().described(move |value| value["scheme"] = json!(scheme));
    for (key, expected) in [
        (foreign(Key::ed25519()), "its id is"),
        (other_scheme("ecdsa-sha2-nistp384"), "key is not valid"),
        (other_scheme("ed25519"), "is not known"),
        (other_scheme("none"), "is not known"),
        (Key::ed25519().described(|value| value["keytype"] = json!("post-quantum")), "is not known"),
        (Key::ed25519().described(|value| value["keyval"]["public"] = json!("abcd")), "public key"),
        (Key::ed25519().described(|value| value["keyval"] = json!({})), "public"),
    ] {
        let mut repository = Repository::new(Key::ed25519);
        repository.timestamp.keys.push(key.clone());
        assert!(verify(&repository).is_ok(), "{expected}");
        repository.timestamp.keys = vec![key];
        let found = faults(verify(&repository).unwrap_err(), Role::Timestamp);
        let [SignatureFault::Key(fault)] = found.as_slice() else { panic!("{found:?}") };
        assert!(fault.to_string().contains(expected), "{fault}");
        assert_eq!(matches!(fault, KeyFault::Id { .. }), expected == "its id is");
    }
}

#[test]
fn a_root_defines_four_roles_that_somebody_must_sign() {
    let edited = |change: fn(&mut Value)| changed(|repository| repository.edit("root", change));
    for (refused, expected) in [
        (edited(|signed| signed["roles"]["snapshot"]["threshold"] = json!(0)), RoleFault::ThresholdZero),
        (edited(|signed| signed["roles"]["snapshot"]["keyids"] = json!(["00"])), RoleFault::UnknownKey),
        (
            edited(|signed| _ = signed["roles"].as_object_mut().unwrap().remove("snapshot")),
            RoleFault::Undefined,
        ),
    ] {
        assert_eq!(refused, TufError::Role { role: Role::Snapshot, reason: expected });
    }
    let refused = edited(|signed| signed["roles"]["root"]["threshold"] = json!(2));
    assert!(matches!(refused, TufError::Threshold { role: Role::Root, .. }), "{refused}");
}

#[test]
fn metadata_says_what_it_is_and_can_be_read_in_one_way_only() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let edited = |change: fn(&mut Value)| changed(|repository| repository.edit(role, change));
        let refused = edited(|signed| signed["_type"] = json!("mirrors"));
        assert!(matches!(refused, TufError::Type { .. }), "{role}: {refused}");
        for version in ["2.0", "", "10.0"] {
            let refused = changed(|repository| {
                repository.edit(role, move |signed| signed["spec_version"] = json!(version));
            });
            assert!(matches!(refused, TufError::Specification { .. }), "{role}: {refused}");
        }
        let refused = edited(|signed| signed["version"] = json!(0));
        assert!(matches!(refused, TufError::Shape { .. } | TufError::Version { .. }), "{role}: {refused}");
        let refused = edited(|signed| signed["expires"] = json!("tomorrow"));
        assert!(matches!(refused, TufError::Shape { .. }), "{role}: {refused}");
        let refused = edited(|signed| signed["weight"] = json!(0.5));
        assert!(matches!(refused, TufError::NotInteger(_)), "{role}: {refused}");
        // Another role's file, signed by the keys of this one.
        let mut repository = Repository::new(Key::ed25519);
        repository.edit("timestamp", |signed| signed["_type"] = json!("snapshot"));
        assert!(matches!(verify(&repository), Err(TufError::Type { role: Role::Timestamp, .. })));
    }
    let mut repository = Repository::new(Key::ed25519);
    let mut files = repository.files();
    let text = String::from_utf8(files["timestamp.json"].clone()).unwrap();
    let twice = text.replacen("\"signed\":", "\"signed\":null,\"signed\":", 1);
    files.insert("timestamp.json".to_owned(), twice.into_bytes());
    let refused = update(&repository.root_file(), &files, Seen::default(), NOW).0;
    assert!(matches!(refused, Err(TufError::Json { role: Role::Timestamp, .. })), "{refused:?}");
    repository.edit("snapshot", |signed| {
        for number in 0..=keys::limits::TUF_FILES_MAX {
            signed["meta"][format!("{number}.json")] = json!({"version": 1});
        }
    });
    assert!(matches!(verify(&repository), Err(TufError::TooMany { .. })));
}

#[test]
fn what_a_role_signs_about_the_next_file_is_what_it_must_be() {
    let repository = Repository::new(Key::ed25519);
    let pinned = repository.root_file();
    let mut older = Repository::new(Key::ed25519);
    older.targets.keys = repository.targets.keys.clone();
    older.snapshot.keys = repository.snapshot.keys.clone();
    older.target = b"an old trust root".to_vec();
    // Mix and match: a well-signed snapshot or targets file of another state.
    for name in ["1.snapshot.json", "1.targets.json"] {
        let mut files = repository.files();
        files.insert(name.to_owned(), older.files()[name].clone());
        let refused = update(&pinned, &files, Seen::default(), NOW).0;
        let bound = matches!(
            refused,
            Err(TufError::Length { .. } | TufError::Digest { .. } | TufError::TooLarge { .. })
        );
        assert!(bound, "{name}: {refused:?}");
    }
    // Without length and digest the version still binds.
    type Edit = fn(&mut Value);
    let bare: [(&str, Edit, Role); 2] = [
        ("timestamp", |signed| signed["meta"]["snapshot.json"] = json!({"version": 2}), Role::Snapshot),
        ("snapshot", |signed| signed["meta"]["targets.json"] = json!({"version": 2}), Role::Targets),
    ];
    for (role, edit, expected) in bare {
        let refused = changed(|repository| {
            repository.consistent = false;
            repository.edit(role, edit);
        });
        assert_eq!(refused, TufError::Version { role: expected, expected: 2, seen: 1 });
    }
    let missing: [(&str, Edit, Role); 3] = [
        ("timestamp", |signed| signed["meta"] = json!({}), Role::Timestamp),
        ("snapshot", |signed| signed["meta"] = json!({"other.json": {"version": 1}}), Role::Snapshot),
        ("targets", |signed| signed["targets"] = json!({}), Role::Targets),
    ];
    for (role, edit, expected) in missing {
        let refused = changed(|repository| repository.edit(role, edit));
        assert!(matches!(refused, TufError::NotListed { by, .. } if by == expected), "{refused}");
    }
    for file in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut files = repository.files();
        files.remove(file);
        let refused = update(&pinned, &files, Seen::default(), NOW).0;
        assert_eq!(refused, Err(TufError::Missing(file.to_owned())));
    }
}

#[test]
fn a_target_is_measured_before_it_is_hashed() {
    let repository = Repository::new(Key::ed25519);
    let (pinned, good) = (repository.root_file(), repository.files());
    let path = good.keys().find(|path| path.starts_with("targets/")).unwrap().clone();
    let with = |target: &[u8]| {
        let mut files = good.clone();
        files.insert(path.clone(), target.to_vec());
        update(&pinned, &files, Seen::default(), NOW).0.unwrap_err()
    };
    assert!(matches!(with(b"a trusted root and more"), TufError::TooLarge { max: 14, .. }));
    assert!(matches!(with(b"a trusted"), TufError::Length { expected: 14, seen: 9, .. }));
    assert!(matches!(with(b"A trusted root"), TufError::Digest { .. }));
    for hashes in [json!({}), json!({"md5": "00"}), json!({"sha256": "ZZ"}), json!({"sha256": ["00"]})] {
        let refused = changed(|repository| {
            let hashes = hashes.clone();
            repository.edit("targets", move |signed| signed["targets"][TARGET]["hashes"] = hashes.clone());
        });
        assert!(matches!(refused, TufError::DigestAbsent(_) | TufError::Shape { .. }), "{refused}");
    }
    // Two digests, one of which is another's.
    let refused = changed(|repository| {
        repository.edit("targets", |signed| {
            signed["targets"][TARGET]["hashes"]["sha512"] = json!("00".repeat(64));
        });
    });
    assert!(matches!(refused, TufError::Digest { algorithm: "sha512", .. }), "{refused}");
    // A length that no file of ours has is asked for in part and refused.
    let refused = changed(|repository| {
        repository.edit("targets", |signed| signed["targets"][TARGET]["length"] = json!(u64::MAX));
    });
    assert!(matches!(refused, TufError::Length { .. }), "{refused}");
}

#[test]
fn endless_files_are_cut_off_at_a_bound_that_is_told_before() {
    let repository = Repository::new(Key::ed25519);
    let files = repository.files();
    for wrong in 0..5 {
        let mut client = Client::new(&repository.root_file(), TARGET, Seen::default(), NOW).unwrap();
        for _ in 0..wrong {
            let need = client.needs().unwrap();
            let folder = if need.place == Place::Targets { "targets/" } else { "" };
            client.supply(files.get(&format!("{folder}{}", need.path)).map(Vec::as_slice)).unwrap();
        }
        let need = client.needs().unwrap();
        assert!(need.bytes_max <= 4 << 20);
        let refused = client.supply(Some(&vec![b' '; need.bytes_max + 1]));
        assert!(
            matches!(refused, Err(TufError::TooLarge { max, .. }) if max == need.bytes_max),
            "{refused:?}"
        );
    }
}

#[test]
fn what_was_seen_once_is_never_older_again() {
    let mut repository = Repository::new(Key::ed25519);
    let pinned = repository.root_file();
    let old = repository.files();
    repository.advance();
    let new = repository.files();
    let (file, seen) = update(&pinned, &new, Seen::default(), NOW);
    assert!(file.is_ok());
    assert_eq!((seen.root, seen.timestamp, seen.at), (1, 2, NOW));
    let refused = update(&pinned, &old, seen.clone(), NOW).0;
    assert!(
        matches!(refused, Err(TufError::Rollback { by: Role::Timestamp, seen: 2, offered: 1, .. })),
        "{refused:?}"
    );
    assert!(update(&pinned, &new, seen.clone(), NOW).0.is_ok(), "the same again is no rollback");
    // A new timestamp that names the old snapshot; a new snapshot that names the old targets, or forgets a file.
    type Lie = fn(&mut Repository);
    let lies: [(Lie, &str); 3] = [
        (|repository| repository.snapshot.version = 1, "timestamp has `snapshot.json` in version 1"),
        (|repository| repository.targets.version = 1, "in version 1, version 2 was verified before"),
        (
            |repository| {
                repository.edit("snapshot", |signed| {
                    signed["meta"].as_object_mut().unwrap().remove("other.json");
                });
            },
            "no longer lists `other.json`",
        ),
    ];
    for (lie, expected) in lies {
        let mut lying = Repository::new(Key::ed25519);
        for (mine, theirs) in [
            (&mut lying.root, &repository.root),
            (&mut lying.timestamp, &repository.timestamp),
            (&mut lying.snapshot, &repository.snapshot),
            (&mut lying.targets, &repository.targets),
        ] {
            mine.keys = theirs.keys.clone();
        }
        lying.advance();
        lying.advance();
        lie(&mut lying);
        let (refused, after) = update(&pinned, &lying.files(), seen.clone(), NOW);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert!(
            after.timestamp >= seen.timestamp && after.files["targets.json"] >= seen.files["targets.json"]
        );
    }
}

#[test]
fn what_a_failed_update_verified_is_remembered_all_the_same() {
    let mut repository = Repository::new(Key::ed25519);
    let pinned = repository.root_file();
    let old = repository.files();
    repository.advance();
    let mut half = repository.files();
    half.remove("2.targets.json");
    let (refused, seen) = update(&pinned, &half, Seen::default(), NOW);
    assert_eq!(refused, Err(TufError::Missing("2.targets.json".to_owned())));
    assert_eq!((seen.timestamp, seen.files["targets.json"]), (2, 2));
    assert!(matches!(update(&pinned, &old, seen, NOW).0, Err(TufError::Rollback { .. })));
}

#[test]
fn rotated_keys_of_the_timestamp_forget_a_version_far_ahead() {
    let mut repository = Repository::new(Key::ed25519);
    let pinned = repository.root_file();
    let mut files = repository.files();
    // Whoever stole the key signed a version that nobody can go beyond.
    repository.timestamp.version = u64::MAX;
    repository.publish(&mut files);
    let (file, seen) = update(&pinned, &files, Seen::default(), NOW);
    assert!(file.is_ok());
    repository.timestamp.version = 2;
    repository.publish(&mut files);
    assert!(matches!(update(&pinned, &files, seen.clone(), NOW).0, Err(TufError::Rollback { .. })));
    // A new root key alone does not help; a new timestamp key does.
    let key = Key::ed25519();
    repository.rotate(vec![key.clone()]);
    repository.publish(&mut files);
    assert!(matches!(update(&pinned, &files, seen.clone(), NOW).0, Err(TufError::Rollback { .. })));
    repository.timestamp.keys = vec![Key::ed25519()];
    repository.publish(&mut files);
    let (file, after) = update(&pinned, &files, seen, NOW);
    assert!(file.is_ok(), "{file:?}");
    assert_eq!((after.root, after.timestamp), (2, 2));
}

#[test]
fn a_clock_that_was_set_back_verifies_nothing() {
    let repository = Repository::new(Key::ed25519);
    let (pinned, files) = (repository.root_file(), repository.files());
    let (_, seen) = update(&pinned, &files, Seen::default(), NOW);
    assert!(update(&pinned, &files, seen.clone(), NOW - 3600).0.is_ok());
    let refused = update(&pinned, &files, seen.clone(), NOW - DAY).0;
    assert_eq!(refused, Err(TufError::ClockWentBack { now: NOW - DAY, seen: NOW }));
    let (_, after) = update(&pinned, &files, seen, NOW - 3600);
    assert_eq!(after.at, NOW, "the latest moment is kept");
}

#[test]
fn a_pinned_root_signs_itself_and_a_target_has_a_plain_name() {
    let repository = Repository::new(Key::ed25519);
    let stranger = Key::ed25519();
    let signed: Value = serde_json::from_slice(&repository.root_file()).unwrap();
    let forged = envelope(&signed["signed"], [&stranger]);
    let refused = Client::new(&forged, TARGET, Seen::default(), NOW).err();
    assert!(matches!(refused, Some(TufError::Threshold { role: Role::Root, .. })), "{refused:?}");
    for name in ["", "/", "a//b", "../a", "a/..", "a/./b", "a b", "a%2fb", "a\\b", "ä", &"a".repeat(257)] {
        let refused = Client::new(&repository.root_file(), name, Seen::default(), NOW).err();
        assert!(matches!(refused, Some(TufError::TargetName(_))), "{name}");
    }
    let mut repository = Repository::new(Key::ed25519);
    repository.edit("targets", |signed| {
        let entry = signed["targets"][TARGET].clone();
        signed["targets"]["roots/one.json"] = entry;
    });
    let mut client = Client::new(&repository.root_file(), "roots/one.json", Seen::default(), NOW).unwrap();
    let files = repository.files();
    while client.needs().is_some_and(|need| need.place == Place::Metadata) {
        let path = client.needs().unwrap().path;
        client.supply(files.get(&path).map(Vec::as_slice)).unwrap();
    }
    let path = client.needs().unwrap().path;
    assert!(path.starts_with("roots/") && path.ends_with(".one.json"), "{path}");
}

/// Whatever byte is changed in whatever file, nothing else is ever accepted in the place of what was signed.
#[test]
fn no_changed_byte_is_accepted_for_what_was_signed() {
    let repository = Repository::new(Key::ed25519);
    let (pinned, good) = (repository.root_file(), repository.files());
    for (path, bytes) in &good {
        for at in (0..bytes.len()).step_by(7) {
            for change in [1, 0x20, 0x80] {
                let mut files = good.clone();
                files.get_mut(path).unwrap()[at] ^= change;
                if let Ok(file) = update(&pinned, &files, Seen::default(), NOW).0 {
                    assert_eq!(file.bytes(), repository.target, "{path} at {at}");
                }
            }
        }
        for length in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut files = good.clone();
            files.get_mut(path).unwrap().truncate(length);
            let refused = update(&pinned, &files, Seen::default(), NOW).0;
            // The pinned root is handed in by the operator; the server's copy of it is never asked for.
            assert_eq!(refused.is_ok(), path == "1.root.json", "{path} cut to {length}");
        }
    }
}
