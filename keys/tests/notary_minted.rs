//! Keys, certificates and roots of Notary v1 that notary's own client cannot be brought to make: every check from the pin to
//! the latest root, each refused by itself and for its own reason.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot make its repository has failed")]

#[path = "mint/notary.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod mint;
#[path = "mint/verified.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod verified;

use keys::notary::{Document, KeyFault, Lookup, NotaryError, RootPin, Seen, SignatureFault};
use mint::{Certificate, Files, Key, Targets};
use verified::*;

#[test]
fn every_kind_of_key_signs_and_none_signs_for_another() {
    for make in [Key::ecdsa, Key::ed25519, || Key::rsa("rsapss"), || Key::rsa("rsapkcs1v15")] {
        let with = |key: Key| {
            changed(|repository| {
                repository.timestamp.keys = vec![key];
                repository
                    .targets
                    .delegations
                    .push(Targets::new("targets/releases", NOW + YEAR).tag("1", &digest(1)));
            })
        };
        let verified = with(make()).unwrap();
        assert!(verified.target("1", &Lookup::PreOrder, NOW).is_ok());
        let mut forged = make();
        let kind = forged.key_type;
        forged.pair = mint::Pair::None;
        assert_eq!(fault(with(forged).unwrap_err(), "timestamp"), SignatureFault::Invalid, "{kind}");
    }
}

/// CVE-2015-9259: the method stands beside the signature, so it chooses nothing but among those of the key's own type.
#[test]
fn a_method_of_another_type_of_key_is_refused_before_anything_is_computed() {
    for (make, methods) in [
        ((|| Key::ecdsa()) as fn() -> Key, ["rsapss", "rsapkcs1v15", "eddsa", "none"]),
        (|| Key::rsa("rsapss"), ["ecdsa", "eddsa", "hmac", ""]),
        (Key::ed25519, ["ecdsa", "rsapss", "rsapkcs1v15", "EDDSA"]),
    ] {
        for method in methods {
            let error = changed(|repository| {
                repository.snapshot.keys = vec![Key { method, ..make() }];
            });
            let fault = fault(error.unwrap_err(), "snapshot");
            assert!(matches!(fault, SignatureFault::Method { .. }), "{method}: {fault}");
        }
    }
}

#[test]
fn an_rsa_key_below_2048_bits_is_refused_whatever_it_signed() {
    let error = changed(|repository| repository.targets.role.keys = vec![Key::short_rsa()]).unwrap_err();
    let fault = fault(error, "targets");
    assert!(
        matches!(&fault, SignatureFault::Key(KeyFault::Material(reason)) if reason.contains("1024")),
        "{fault}"
    );
}

/// The class of CVE-2025-2885 to -2888 and of connaisseur#2150: keys are counted by their value.
#[test]
fn a_threshold_counts_keys_and_not_signatures_or_ids() {
    let two = || {
        let mut repository = mint::Repository::new(GUN, NOW);
        repository.timestamp.keys.push(Key::ecdsa());
        repository.timestamp.threshold = 2;
        repository
    };
    let good = two();
    assert!(verify(&good.files(), &pin(&good)).is_ok());
    let mut one = two();
    one.timestamp.signers = Some(vec![1]);
    let error = verify(&one.files(), &pin(&one)).unwrap_err();
    assert!(matches!(error, NotaryError::Threshold { threshold: 2, valid: 1, .. }), "{error}");
    let mut twice = two();
    twice.timestamp.signers = Some(vec![0, 0, 0]);
    assert_eq!(fault(verify(&twice.files(), &pin(&twice)).unwrap_err(), "timestamp"), SignatureFault::Again);
    // One key under the ids of two types.
    let mut disguised = two();
    let bare = Key::ecdsa();
    let certified = bare.certified(&certificate(GUN, -DAY, DAY));
    disguised.timestamp.keys = vec![bare, certified];
    assert_eq!(
        fault(verify(&disguised.files(), &pin(&disguised)).unwrap_err(), "timestamp"),
        SignatureFault::Again
    );
    let mut many = two();
    many.timestamp.threshold = u64::MAX;
    assert!(matches!(verify(&many.files(), &pin(&many)), Err(NotaryError::Threshold { .. })));
}

#[test]
fn a_root_certificate_is_for_this_repository_and_valid_now() {
    for (name, good) in [
        (GUN, true),
        ("registry.example/prod/*", true),
        ("registry.example/*", true),
        ("registry.example/prod/app2", false),
        ("registry.example/prod/ap", false),
        ("registry.example/dev/*", false),
        ("*", false),
        ("REGISTRY.example/prod/app", false),
    ] {
        let key = Key::ecdsa().certified(&certificate(name, -DAY, YEAR));
        let repository = mint::Repository::with_root_key(key, NOW + YEAR);
        match verify(&repository.files(), &pin(&repository)) {
            Ok(_) => assert!(good, "{name}"),
            Err(error) => {
                let fault = fault(error, "root");
                assert!(
                    !good && matches!(fault, SignatureFault::Key(KeyFault::CommonName { .. })),
                    "{name}: {fault}"
                );
            }
        }
    }
    for (from, to, good) in [(-DAY, 0, true), (0, DAY, true), (-DAY, -1, false), (1, DAY, false)] {
        let key = Key::ecdsa().certified(&certificate(GUN, from, to));
        let repository = mint::Repository::with_root_key(key, NOW + YEAR);
        match verify(&repository.files(), &pin(&repository)) {
            Ok(verified) => assert!(good && verified.expires() <= NOW + to + 1, "{from} {to}"),
            Err(error) => {
                let fault = fault(error, "root");
                assert!(
                    !good && matches!(fault, SignatureFault::Key(KeyFault::CertificateTime { .. })),
                    "{fault}"
                );
            }
        }
    }
    let bare = mint::Repository::with_root_key(Key::ecdsa(), NOW + YEAR);
    let fault = fault(verify(&bare.files(), &pin(&bare)).unwrap_err(), "root");
    assert!(matches!(fault, SignatureFault::Key(KeyFault::NoCertificate(_))), "{fault}");
}

#[test]
fn a_root_key_is_pinned_by_its_certificate_or_by_itself() {
    let key = Key::ecdsa();
    let bare = key.id();
    let repository =
        mint::Repository::with_root_key(key.certified(&certificate(GUN, -DAY, YEAR)), NOW + YEAR);
    for (ids, good) in [
        (vec![bare.clone()], true),
        (repository.pin(), true),
        (vec!["ab".repeat(32), bare.clone()], true),
        (vec![Key::ecdsa().id()], false),
        (vec!["ab".repeat(32)], false),
    ] {
        let verified = verify(&repository.files(), &RootPin::from_key_ids(&ids).unwrap());
        assert_eq!(verified.is_ok(), good, "{ids:?}");
        assert!(good || matches!(verified, Err(NotaryError::NotPinned { .. })));
    }
    // By itself in another repository's certificate, too; the name still decides.
    let other = mint::Repository::with_root_key(
        key.certified(&certificate("registry.example/other", -DAY, YEAR)),
        NOW + YEAR,
    );
    assert!(verify(&other.files(), &RootPin::from_key_ids(&[bare]).unwrap()).is_err());
    for wrong in ["", "AB", &"AB".repeat(32), &"a".repeat(63)] {
        assert!(RootPin::from_key_ids(&[wrong.to_owned()]).is_err(), "{wrong}");
    }
}

#[test]
fn an_authority_vouches_for_the_root_certificates_that_it_issued() {
    let name = "Acme Root";
    let ca_certificate =
        |from: i64, to: i64| Certificate { is_authority: true, ..certificate(name, from, to) };
    let (ca, other, leaf) = (Key::ecdsa(), Key::ecdsa(), Key::ecdsa());
    let anchor = |key: &Key, from: i64, to: i64| {
        RootPin::from_authorities_pem(&mint::authority(key, &ca_certificate(from, to))).unwrap()
    };
    let pin = anchor(&ca, -DAY, YEAR);
    let issued = |issuer: &Key| leaf.issued(&certificate(GUN, -DAY, YEAR), issuer, name);
    let with = |key: Key| mint::Repository::with_root_key(key, NOW + YEAR).files();
    assert!(verify(&with(issued(&ca)), &pin).is_ok());
    // By an intermediate that the root key carries along.
    let between = Key::ecdsa();
    let intermediate = between.issued(
        &Certificate { common_name: "Acme Issuer", is_authority: true, ..certificate(name, -DAY, YEAR) },
        &ca,
        name,
    );
    let by_intermediate = || leaf.issued(&certificate(GUN, -DAY, YEAR), &between, "Acme Issuer");
    assert!(verify(&with(by_intermediate().with_chain(&intermediate.public)), &pin).is_ok());
    for (what, key, pin) in [
        ("self-signed", leaf.certified(&certificate(GUN, -DAY, YEAR)), pin.clone()),
        ("another authority of that name", issued(&other), pin.clone()),
        ("another authority is pinned", issued(&ca), anchor(&other, -DAY, YEAR)),
        ("a chain with a hole", by_intermediate(), pin.clone()),
        ("not yet valid", leaf.issued(&certificate(GUN, 1, YEAR), &ca, name), pin.clone()),
        ("no longer valid", leaf.issued(&certificate(GUN, -DAY, -1), &ca, name), pin.clone()),
    ] {
        let error = verify(&with(key), &pin).unwrap_err();
        assert!(matches!(error, NotaryError::NotPinned { .. }), "{what}: {error}");
    }
    let name_of_another = leaf.issued(&certificate("registry.example/x", -DAY, YEAR), &ca, name);
    assert!(verify(&with(name_of_another), &pin).is_err());
    // A leaf is no authority; endless chains are not read (CVE-2026-32280).
    assert!(RootPin::from_authorities_pem(&leaf.certified(&certificate(GUN, -DAY, YEAR)).public).is_err());
    let endless = issued(&ca).with_chain(&intermediate.public.repeat(10));
    assert!(verify(&with(endless), &pin).is_err());
}

/// Each root is signed by the threshold of the one before it, and by its own.
#[test]
fn a_rotation_is_signed_by_the_old_keys_and_the_new() {
    let certified = || Key::ecdsa().certified(&certificate(GUN, -DAY, YEAR));
    // The old root has two keys, both of which must sign; the next drops one for a new one.
    let rotated = |signers: &[usize], version: u64| {
        let mut repository = mint::Repository::with_root_key(certified(), NOW + YEAR);
        repository.root.keys.push(certified());
        repository.root.threshold = 2;
        let pin = pin(&repository);
        let first = repository.root_file();
        repository.root.version = version;
        let mut keys = std::mem::take(&mut repository.root.keys);
        keys.push(certified());
        // All three stand in the file, so that each may sign; only the last two are keys of the new root.
        let old = keys.remove(0);
        repository.root.keys = keys;
        let definition = repository.unsigned_root();
        let all = [&old, &repository.root.keys[0], &repository.root.keys[1]];
        let second = mint::envelope(&definition, signers.iter().map(|&index| all[index]));
        repository.roots.borrow_mut().insert(version, second);
        let mut files = repository.files();
        files.insert("1.root.json".to_owned(), first);
        (files, pin)
    };
    // Of the pinned keys only one is left, so the first root is the pinned one, and the chain leads on.
    let (mut files, pin) = rotated(&[0, 1, 2], 2);
    assert!(verify(&files, &pin).is_ok());
    files.remove("1.root.json");
    assert!(matches!(verify(&files, &pin), Err(NotaryError::Threshold { valid: 1, .. })));
    let chained = |(files, pin): (Files, RootPin)| {
        let seen = {
            let mut first = files.clone();
            let root = first.remove("1.root.json").unwrap();
            Seen {
                root: Some(keys::notary::SeenRoot {
                    text: String::from_utf8(root).unwrap(),
                    pin: pin.fingerprint(),
                }),
                ..Seen::default()
            }
        };
        update(&files, &pin, seen).map(|(repository, _)| repository)
    };
    assert!(chained(rotated(&[0, 1, 2], 2)).is_ok());
    for (what, signers) in [("new keys alone", &[1, 2][..]), ("old keys alone", &[0, 1]), ("nobody", &[])] {
        let error = chained(rotated(signers, 2)).unwrap_err();
        assert!(matches!(error, NotaryError::Threshold { .. }), "{what}: {error}");
    }
}

/// CVE-2025-2885: the version of a root is the one that follows, and a chain with a hole is none.
#[test]
fn a_root_of_another_version_than_follows_is_refused() {
    let mut repository = mint::Repository::new(GUN, NOW);
    let first_pin = pin(&repository);
    let first = repository.root_file();
    let seen = Seen {
        root: Some(keys::notary::SeenRoot {
            text: String::from_utf8(first.clone()).unwrap(),
            pin: first_pin.fingerprint(),
        }),
        ..Seen::default()
    };
    repository.root.version = 3;
    let mut files = repository.files();
    let hole = update(&files, &first_pin, seen.clone()).unwrap_err();
    assert!(matches!(hole, NotaryError::Missing(Document::RootVersion(2))), "{hole}");
    files.insert("2.root.json".to_owned(), first);
    let wrong = update(&files, &first_pin, seen.clone()).unwrap_err();
    assert!(matches!(wrong, NotaryError::RootVersion { expected: 2, seen: 1 }), "{wrong}");
    repository.root.version = 300;
    let far = update(&repository.files(), &first_pin, seen).unwrap_err();
    assert!(matches!(far, NotaryError::TooMany { seen: 299, .. }), "{far}");
    // The same version with other bytes is another root.
    let mut other = mint::Repository::new(GUN, NOW);
    let (_, seen) = update(&other.files(), &pin(&other), Seen::default()).unwrap();
    other.roots.borrow_mut().clear();
    other.root.expires -= 1;
    let changed = update(&other.files(), &pin(&other), seen).unwrap_err();
    assert!(matches!(changed, NotaryError::RootChanged { version: 1 }), "{changed}");
}

#[test]
fn every_role_expires_by_itself() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let with = |expires: i64| {
            changed(|repository| match name {
                "root" => repository.root.expires = expires,
                "timestamp" => repository.timestamp.expires = expires,
                "snapshot" => repository.snapshot.expires = expires,
                _ => repository.targets.role.expires = expires,
            })
        };
        let verified = with(NOW + 1).unwrap();
        assert_eq!(verified.expires(), NOW + 1, "{name}");
        let error = with(NOW).unwrap_err();
        assert!(matches!(&error, NotaryError::Expired { role, .. } if role == name), "{name}: {error}");
    }
}
