//! Roles of Notary v1 that notary's own client cannot be brought to make: versions, mixtures, delegations and limits, each
//! refused by itself and for its own reason; and what a verified repository is worth to an identity.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot make its repository has failed")]

#[path = "mint/notary.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod mint;
#[path = "mint/verified.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod verified;

use keys::notary::{Gun, Lookup, NotaryError, NotaryTrust, Repository, RoleFault, RootPin, Seen};
use keys::revocation::{Revocation, Revocations, Revoked};
use keys::signature::{SignatureForm, Subject};
use keys::threshold::at_least;
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
use keys::verify::{Verification, Verifier};
use mint::{Files, Key, Targets};
use verified::*;

/// Each role by itself is held against what was seen, delegations too (CVE-2025-2887), and what is refused teaches
/// nothing (CVE-2025-2888).
#[test]
fn no_role_goes_back_to_an_older_version() {
    let state = |version: u64| {
        let mut repository = mint::Repository::new(GUN, NOW);
        let mut releases = Targets::new("targets/releases", NOW + YEAR).tag("1", &digest(1));
        releases.role.version = version;
        repository.targets.delegations.push(releases);
        for role in [&mut repository.timestamp, &mut repository.snapshot, &mut repository.targets.role] {
            role.version = version;
        }
        repository
    };
    let mut repository = state(5);
    let pin = pin(&repository);
    let (_, seen) = update(&repository.files(), &pin, Seen::default()).unwrap();
    assert!(seen.covers(&seen.clone()) && !Seen::default().covers(&seen));
    for name in ["timestamp", "snapshot", "targets"] {
        let back = |repository: &mut mint::Repository, version: u64| match name {
            "timestamp" => repository.timestamp.version = version,
            "snapshot" => repository.snapshot.version = version,
            _ => repository.targets.role.version = version,
        };
        back(&mut repository, 4);
        let error = update(&repository.files(), &pin, seen.clone()).unwrap_err();
        assert!(
            matches!(&error, NotaryError::Rollback { role, seen: 5, offered: 4 } if role == name),
            "{name}: {error}"
        );
        back(&mut repository, 5);
        assert!(update(&repository.files(), &pin, seen.clone()).is_ok(), "{name}");
    }
    repository.targets.delegations[0].role.version = 4;
    repository.advance();
    let (verified, after) = update(&repository.files(), &pin, seen).unwrap();
    let error = verified.target("1", &Lookup::Any(vec![role("targets/releases")]), NOW).unwrap_err();
    assert!(matches!(&error, NotaryError::Rollback { seen: 5, offered: 4, .. }), "{error}");
    assert_eq!(after.versions["targets/releases"], 5);
    assert_eq!(after.newness(), [1, 6, 6]);
}

#[test]
fn files_of_two_states_are_not_mixed() {
    let mut repository = mint::Repository::new(GUN, NOW);
    repository.targets = repository.targets.tag("1", &digest(1));
    let old = repository.files();
    repository.targets.tags.clear();
    repository.advance();
    let new = repository.files();
    for name in ["targets.json", "snapshot.json"] {
        let mut mixed = new.clone();
        mixed.insert(name.to_owned(), old[name].clone());
        let error = verify(&mixed, &pin(&repository)).unwrap_err();
        assert!(matches!(error, NotaryError::Length { .. } | NotaryError::Digest { .. }), "{name}: {error}");
    }
    let mut other_root = new;
    repository.roots.borrow_mut().clear();
    other_root.insert("root.json".to_owned(), repository.root_file());
    let error = verify(&other_root, &pin(&repository)).unwrap_err();
    assert!(matches!(error, NotaryError::Length { .. } | NotaryError::Digest { .. }), "{error}");
}

/// A delegation that is broken refuses the look-ups that come to it, and no other role answers in its place
/// (connaisseur#2151, CVE-2024-47534, CVE-2025-2886).
#[test]
fn a_broken_delegation_answers_nothing_and_nobody_answers_for_it() {
    let releases = || role("targets/releases");
    type Reason = fn(&NotaryError) -> bool;
    type Break = fn(&mut mint::Repository, &mut Files);
    let cases: [(&str, Break, Reason); 6] = [
        ("expired", |_, _| (), |error| matches!(error, NotaryError::Expired { .. })),
        (
            "signed by a stranger",
            |repository, files| {
                let stranger = Targets::new("targets/releases", NOW + YEAR).tag("1", &digest(2));
                let mut alone = mint::Repository::new(GUN, NOW);
                alone.targets.delegations.push(stranger);
                files.insert(
                    "targets/releases.json".to_owned(),
                    alone.files()["targets/releases.json"].clone(),
                );
                repository.advance();
            },
            |error| matches!(error, NotaryError::Threshold { .. }),
        ),
        (
            "of another type",
            |_, files| {
                files.insert("targets/releases.json".to_owned(), files["root.json"].clone());
            },
            |error| matches!(error, NotaryError::Threshold { .. } | NotaryError::Type { .. }),
        ),
        (
            "no JSON",
            |_, files| {
                files.insert("targets/releases.json".to_owned(), b"{".to_vec());
            },
            |error| matches!(error, NotaryError::Json { .. }),
        ),
        (
            "too large",
            |_, files| {
                files.insert("targets/releases.json".to_owned(), vec![b' '; (16 << 20) + 1]);
            },
            |error| matches!(error, NotaryError::TooLarge { .. }),
        ),
        (
            "missing",
            |_, files| {
                files.remove("targets/releases.json");
            },
            |error| matches!(error, NotaryError::NotPublished(_)),
        ),
    ];
    for (what, change, is_reason) in cases {
        let mut repository = mint::Repository::new(GUN, NOW);
        repository.targets = repository.targets.tag("2", &digest(2));
        let expires = if what == "expired" { NOW } else { NOW + YEAR };
        let mut broken = Targets::new("targets/releases", expires);
        broken = broken.tag("1", &digest(1));
        repository.targets.delegations.push(broken);
        repository.targets.delegations.push(Targets::new("targets/zz", NOW + YEAR).tag("1", &digest(3)));
        let files = {
            let mut change_files = repository.files();
            change(&mut repository, &mut change_files);
            let own = change_files;
            relisted(&repository, |files| *files = own)
        };
        let verified = match verify(&files, &pin(&repository)) {
            Ok(verified) => verified,
            // What is too large ends the update: nothing that was read is handed out.
            Err(error) => {
                assert!(is_reason(&error), "{what}: {error}");
                continue;
            }
        };
        let error = verified.target("1", &Lookup::Any(vec![releases()]), NOW).unwrap_err();
        assert!(is_reason(&error), "{what}: {error}");
        assert!(
            verified.target("1", &Lookup::All(vec![releases(), role("targets/zz")]), NOW).is_err(),
            "{what}"
        );
        assert!(
            verified.target("1", &Lookup::Any(vec![releases(), role("targets/zz")]), NOW).is_err(),
            "{what}"
        );
        assert!(verified.naming(&digest(1), &Lookup::Any(vec![releases()]), NOW).is_err(), "{what}");
        // The others are as good as before, where they are asked for.
        assert!(verified.target("1", &Lookup::Any(vec![role("targets/zz")]), NOW).is_ok(), "{what}");
        assert!(verified.target("2", &Lookup::PreOrder, NOW).is_ok(), "{what}");
        let in_its_place = verified.target("1", &Lookup::PreOrder, NOW);
        assert_eq!(in_its_place.is_ok(), what == "missing", "{what}");
    }
}

#[test]
fn prefixes_of_every_level_limit_what_a_delegation_signs() {
    let mut repository = mint::Repository::new(GUN, NOW);
    let mut child = Targets::new("targets/team/app", NOW + YEAR);
    child.paths = vec!["v1".to_owned(), "v2.0".to_owned()];
    for (number, tag) in ["v1.0", "v2.0", "v2.1", "w1"].into_iter().enumerate() {
        child = child.tag(tag, &digest(u8::try_from(number).unwrap() + 1));
    }
    let mut grandchild = Targets::new("targets/team/app/ci", NOW + YEAR).tag("v3.0", &digest(8));
    grandchild = grandchild.tag("v1.5", &digest(9));
    child.delegations.push(grandchild);
    let mut team = Targets::new("targets/team", NOW + YEAR);
    team.paths = vec!["v".to_owned()];
    team.delegations.push(child);
    repository.targets.delegations.push(team);
    let mut nobody = Targets::new("targets/nobody", NOW + YEAR).tag("v9", &digest(7));
    nobody.paths = Vec::new();
    repository.targets.delegations.push(nobody);
    let verified = verify(&repository.files(), &pin(&repository)).unwrap();
    for (tag, by, good) in [
        ("v1.0", "targets/team/app", true),
        ("v2.0", "targets/team/app", true),
        ("v2.1", "targets/team/app", false),
        ("w1", "targets/team/app", false),
        ("v1.5", "targets/team/app/ci", true),
        ("v3.0", "targets/team/app/ci", false),
        ("v9", "targets/nobody", false),
    ] {
        let found = verified.target(tag, &Lookup::Any(vec![role(by)]), NOW);
        assert_eq!(found.is_ok(), good, "{tag}: {found:?}");
        assert!(good || matches!(found, Err(NotaryError::PathNotDelegated { .. })), "{tag}");
        assert_eq!(verified.target(tag, &Lookup::PreOrder, NOW).is_ok(), good, "{tag}");
    }
    // The date of a role above counts for those below.
    let mut dated = mint::Repository::new(GUN, NOW);
    let mut above = Targets::new("targets/a", NOW + DAY);
    above.delegations.push(Targets::new("targets/a/b", NOW + YEAR).tag("1", &digest(1)));
    dated.targets.delegations.push(above);
    let verified = verify(&dated.files(), &pin(&dated)).unwrap();
    assert_eq!(verified.target("1", &Lookup::PreOrder, NOW).unwrap().expires, NOW + DAY);
    assert!(verified.target("1", &Lookup::PreOrder, NOW + DAY).is_err());
}

#[test]
fn a_delegation_is_a_child_with_known_keys_and_stands_once() {
    let with = |change: fn(&mut Targets)| {
        changed(|repository| {
            let mut releases = Targets::new("targets/releases", NOW + YEAR);
            change(&mut releases);
            repository.targets.delegations.push(releases);
        })
    };
    for (what, change, expected) in [
        ("not below", (|role| role.name = "targets/a/b".into()) as fn(&mut Targets), RoleFault::NotAChild),
        ("no name", |role| role.name = "targets/../x".into(), RoleFault::Name),
        ("no threshold", |role| role.role.threshold = 0, RoleFault::ThresholdZero),
    ] {
        let error = with(change).unwrap_err();
        assert!(matches!(&error, NotaryError::Role { reason, .. } if *reason == expected), "{what}: {error}");
    }
    let twice = changed(|repository| {
        for _ in 0..2 {
            repository.targets.delegations.push(Targets::new("targets/releases", NOW + YEAR));
        }
    });
    assert!(matches!(twice, Err(NotaryError::Role { reason: RoleFault::Twice, .. })));
}

#[test]
fn what_outsiders_control_is_bounded() {
    let many = |count: usize| {
        changed(|repository| {
            for number in 0..count {
                let mut one = Targets::new(&format!("targets/r{number}"), NOW + YEAR);
                one.role.keys = vec![Key::ecdsa()];
                repository.targets.delegations.push(one);
            }
        })
    };
    assert!(many(64).is_ok());
    assert!(matches!(many(65), Err(NotaryError::TooMany { seen: 65 | 69 | 70, .. })));
    let keys = changed(|repository| {
        repository.timestamp.keys = (0..129).map(|_| Key::ed25519()).collect();
    });
    assert!(matches!(keys, Err(NotaryError::TooMany { .. })));
    let signatures = changed(|repository| repository.timestamp.signers = Some(vec![0; 129]));
    assert!(matches!(signatures, Err(NotaryError::TooMany { what: "signatures", seen: 129, max: 128 })));
    let paths = changed(|repository| {
        let mut one = Targets::new("targets/releases", NOW + YEAR);
        one.paths = vec!["v".to_owned(); 65];
        repository.targets.delegations.push(one);
    });
    assert!(matches!(paths, Err(NotaryError::TooMany { seen: 65, max: 64, .. })));
    let repository = mint::Repository::new(GUN, NOW);
    for (name, max) in [("root.json", 1 << 20), ("timestamp.json", 1 << 20), ("snapshot.json", 1 << 20)] {
        let mut files = repository.files();
        files.insert(name.to_owned(), vec![b' '; max + 1]);
        let error = verify(&files, &pin(&repository)).unwrap_err();
        assert!(matches!(error, NotaryError::TooLarge { .. }), "{name}: {error}");
    }
}

fn identity(name: &str, pin: RootPin, gun: Gun, lookup: Lookup) -> Identity {
    let vouches = Vouches::Notary(Box::new(NotaryTrust { pin, gun, lookup }));
    Identity {
        name: name.to_owned(),
        principal: None,
        vouches,
        repository_match: RepositoryMatch::Any,
        annotations: std::collections::BTreeMap::new(),
    }
}

fn ask(
    identities: Vec<Identity>,
    revoked: &[String],
    repositories: &[&Repository],
    digest: &str,
) -> Verification {
    let revocation = |key: &String| Revocation {
        of: Revoked::Key(key.clone()),
        since: None,
        until: None,
        reason: "leaked".to_owned(),
    };
    let revocations = Revocations::new(revoked.iter().map(revocation).collect());
    let store = TrustStore { identities, revocations };
    let mut verifier = Verifier::new(Subject { digest, repository: GUN }, &store, NOW);
    for repository in repositories {
        verifier.examine_repository("the collection", repository);
    }
    verifier.finish()
}

/// Whoever holds the root could make every delegation below it: two of them are no two people.
#[test]
fn connaisseur_2150_two_identities_under_one_root_count_once() {
    let with_delegations = || {
        let mut repository = mint::Repository::new(GUN, NOW);
        for name in ["targets/alice", "targets/bob"] {
            repository.targets.delegations.push(Targets::new(name, NOW + YEAR).tag("1", &digest(1)));
        }
        repository
    };
    let (one, other) = (with_delegations(), with_delegations());
    let verified = |repository: &mint::Repository| verify(&repository.files(), &pin(repository)).unwrap();
    let by = |name: &str, repository: &mint::Repository, by: &str| {
        identity(name, pin(repository), Gun::Own, Lookup::Any(vec![role(by)]))
    };
    let names = ["a".to_owned(), "b".to_owned()];
    let same_root = ask(
        vec![by("a", &one, "targets/alice"), by("b", &one, "targets/bob")],
        &[],
        &[&verified(&one)],
        &digest(1),
    );
    assert_eq!(same_root.verified.len(), 2);
    assert!(at_least(1, &names, &same_root.verified).is_satisfied());
    assert!(!at_least(2, &names, &same_root.verified).is_satisfied());
    let two_roots = ask(
        vec![by("a", &one, "targets/alice"), by("b", &other, "targets/bob")],
        &[],
        &[&verified(&one), &verified(&other)],
        &digest(1),
    );
    assert_eq!(two_roots.verified.len(), 2);
    assert!(at_least(2, &names, &two_roots.verified).is_satisfied());
}

#[test]
fn a_verified_repository_vouches_for_its_own_pin_and_name_only() {
    let mut repository = mint::Repository::new(GUN, NOW);
    repository.targets = repository.targets.tag("1", &digest(1)).tag("latest", &digest(1));
    let mut releases = Targets::new("targets/releases", NOW + YEAR).tag("1", &digest(1));
    releases.role.expires = NOW + DAY;
    repository.targets.delegations.push(releases);
    let verified = verify(&repository.files(), &pin(&repository)).unwrap();
    let trusted = |gun: Gun, lookup: Lookup| identity("vendor", pin(&repository), gun, lookup);
    let good = ask(vec![trusted(Gun::Own, Lookup::PreOrder)], &[], &[&verified], &digest(1));
    let [signature] = good.verified.as_slice() else { panic!("{good:?}") };
    assert_eq!(signature.form(), SignatureForm::Notary);
    assert_eq!(signature.notary().len(), 2);
    assert_eq!(signature.valid_until(), Some(verified.expires() - 1));
    let short = ask(
        vec![trusted(Gun::Own, Lookup::Any(vec![role("targets/releases")]))],
        &[],
        &[&verified],
        &digest(1),
    );
    assert_eq!(short.verified[0].valid_until(), Some(NOW + DAY - 1));

    let stranger = RootPin::from_key_ids(&["ab".repeat(32)]).unwrap();
    let elsewhere = Gun::Is("registry.example/elsewhere".to_owned());
    let remapped =
        Gun::Remap { prefix: "mirror.example".to_owned(), signed_prefix: "registry.example".to_owned() };
    for (what, identities, number) in [
        ("nobody signs so", Vec::new(), 1),
        ("another image", vec![trusted(Gun::Own, Lookup::PreOrder)], 2),
        ("another pin", vec![identity("vendor", stranger, Gun::Own, Lookup::PreOrder)], 1),
        ("another name", vec![trusted(elsewhere, Lookup::PreOrder)], 1),
        ("no name", vec![trusted(remapped, Lookup::PreOrder)], 1),
        ("another role", vec![trusted(Gun::Own, Lookup::Any(vec![role("targets/qa")]))], 1),
    ] {
        let answer = ask(identities, &[], &[&verified], &digest(number));
        assert!(answer.verified.is_empty() && answer.rejected.len() == 1, "{what}: {answer:?}");
    }
    let missing =
        ask(vec![trusted(Gun::Own, Lookup::Any(vec![role("targets/qa")]))], &[], &[&verified], &digest(9));
    assert!(missing.rejected[0].reason.contains("delegates to no such role"), "{missing:?}");
    // Any key that it rests on, by either of its names.
    let by_releases = || vec![trusted(Gun::Own, Lookup::Any(vec![role("targets/releases")]))];
    let keys: Vec<_> = short.verified[0].notary()[0].keys().cloned().collect();
    assert_eq!(keys.len(), 2);
    for key in keys.iter().flat_map(|key| [&key.id, &key.public_key]) {
        let answer = ask(by_releases(), std::slice::from_ref(key), &[&verified], &digest(1));
        assert!(answer.verified.is_empty() && answer.rejected[0].reason.contains("is revoked"), "{answer:?}");
    }
    assert_eq!(ask(by_releases(), &["cd".repeat(32)], &[&verified], &digest(1)).verified.len(), 1);
}
