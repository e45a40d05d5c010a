//! Notary v1 repositories made by notary's own client and server, good and tampered: each gets the verdict its case
//! states, and each refusal comes from the check that its case is about.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keys::notary::{
    Client, Lookup, NotaryError, Repository, Role, RoleFault, RootPin, Seen, SeenRoot, SignatureFault,
    VerifiedTarget,
};
use serde_json::Value;

type Files = BTreeMap<String, String>;

/// The update from a folder of files: role (or `1.root`) to text.
fn update(
    gun: &str,
    pin: RootPin,
    seen: Seen,
    files: &Files,
    now: i64,
) -> Result<(Repository, Seen), NotaryError> {
    let mut client = Client::new(gun, pin, seen, now)?;
    while let Some(need) = client.needs() {
        client.supply(files.get(&need.document.to_string()).map(String::as_bytes))?;
    }
    client.finish()
}

/// The root key of a root file: what an operator would pin.
fn pin(root: &str) -> RootPin {
    let root: Value = serde_json::from_str(root).unwrap();
    let ids = root["signed"]["roles"]["root"]["keyids"].as_array().into_iter().flatten();
    let mut ids: Vec<String> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
    if ids.is_empty() {
        // A file that is no root: pin anything.
        ids.push("ab".repeat(32));
    }
    RootPin::from_key_ids(&ids).unwrap()
}

/// Seconds of a time in UTC as the cases and files write it.
fn seconds(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let before: i64 = (1..month)
        .map(|month| match month {
            2 => 28 + i64::from(leap_days(year) != leap_days(year - 1)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        })
        .sum();
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + before + day - 1;
    days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19)
}

fn lookup(policy: &Value) -> Lookup {
    let roles = policy["roles"].as_array().into_iter().flatten();
    let roles: Vec<Role> = roles.map(|role| Role::parse(role.as_str().unwrap()).unwrap()).collect();
    match (roles.is_empty(), policy["all"].as_bool()) {
        (true, _) => Lookup::PreOrder,
        (false, Some(true)) => Lookup::All(roles),
        (false, _) => Lookup::Any(roles),
    }
}

struct Cases {
    files: Files,
    cases: Vec<Value>,
}

impl Cases {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/notary-v1");
        let files =
            serde_json::from_str(&std::fs::read_to_string(folder.join("files.json")).unwrap()).unwrap();
        let cases = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
        Self { files, cases: cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
    }

    fn files(&self, names: &Value) -> Files {
        let names = names.as_object().into_iter().flatten();
        names.map(|(role, name)| (role.clone(), self.files[name.as_str().unwrap()].clone())).collect()
    }

    /// The verdict on one case under a pin of the repository's first root.
    fn verdict(&self, case: &Value) -> Result<VerifiedTarget, NotaryError> {
        let (gun, now) = (case["gun"].as_str().unwrap(), seconds(case["now"].as_str().unwrap()));
        let (metadata, cached) = (self.files(&case["metadata"]), self.files(&case["cached"]));
        let first = metadata.get("1.root").or(metadata.get("root"));
        let pin = match case["policy"].get("pinnedRootCertificates") {
            Some(_) => RootPin::from_key_ids(&[]).unwrap(),
            None => {
                first.map_or_else(|| RootPin::from_key_ids(&["ab".repeat(32)]).unwrap(), |root| pin(root))
            }
        };
        let seen = match (cached.len(), cached.get("root")) {
            (1, Some(root)) => Seen {
                root: Some(SeenRoot { text: root.clone(), pin: pin.fingerprint() }),
                versions: BTreeMap::from([("root".to_owned(), 1)]),
                checked_at: 0,
            },
            (0, _) => Seen::default(),
            _ => update(gun, pin.clone(), Seen::default(), &cached, now).unwrap().1,
        };
        let (repository, _) = update(gun, pin, seen, &metadata, now)?;
        repository.target(case["tag"].as_str().unwrap(), &lookup(&case["policy"]), now)
    }
}

/// The check that refuses, in a word.
fn class(error: &NotaryError) -> &'static str {
    match error {
        NotaryError::Conflict { .. } => "conflict",
        NotaryError::Digest { .. } => "digest",
        NotaryError::Expired { .. } => "expired",
        NotaryError::Length { .. } => "length",
        NotaryError::Missing(_) => "missing",
        NotaryError::NoPin { .. } => "no pin",
        NotaryError::NotPinned { .. } => "not pinned",
        NotaryError::Rollback { .. } => "rollback",
        NotaryError::TagAbsent { .. } => "tag absent",
        NotaryError::Threshold { faults, .. } => match faults.first().map(|(_, fault)| fault) {
            None => "unsigned",
            Some(SignatureFault::Invalid) => "invalid signature",
            Some(SignatureFault::Key(_)) => "key",
            Some(SignatureFault::NotOfRole) => "foreign signature",
            Some(_) => "signature",
        },
        _ => "other",
    }
}

/// Which check refuses which case; those that are not here are accepted.
const REFUSALS: [(&str, &str); 21] = [
    ("all-expired", "expired"),
    ("empty-repository", "tag absent"),
    ("mix-old-targets", "length"),
    ("no-tofu", "no pin"),
    ("no-trust-data", "missing"),
    ("plain-unknown-tag", "tag absent"),
    ("releases-tampered", "digest"),
    ("removed-tag", "tag absent"),
    ("rollback-with-cache", "rollback"),
    ("root-rollback", "rollback"),
    ("root-signature-bitflip", "invalid signature"),
    ("root-unsigned", "unsigned"),
    // The case leaves it open: notary's client jumps over a missing root when the root key stayed the same. We do not:
    // each root is signed by the one before it, and a chain with a hole proves nothing about what was in it.
    ("rotated-missing-intermediate-root", "missing"),
    ("snapshot-missing", "missing"),
    ("snapshot-signature-bitflip", "digest"),
    ("snapshot-unsigned", "length"),
    ("targets-signature-bitflip", "digest"),
    ("targets-tampered", "digest"),
    ("targets-unsigned", "length"),
    ("timestamp-missing", "missing"),
    ("timestamp-unsigned", "unsigned"),
];
/// Refused by agreement of two roles and not by the files, so beside the table above.
const CONFLICT: &str = "two-delegations-both-conflict";

#[test]
fn every_case_gets_the_verdict_it_states_from_the_check_it_is_about() {
    let cases = Cases::read();
    assert_eq!(cases.cases.len(), 35);
    for case in &cases.cases {
        let id = case["id"].as_str().unwrap();
        let refusal = REFUSALS.iter().find(|(refused, _)| *refused == id).map(|&(_, class)| class);
        let refusal = refusal.or((id == CONFLICT).then_some("conflict"));
        let stated = case["expected"].as_str().unwrap();
        assert!(stated == "either" || (stated == "reject") == refusal.is_some(), "{id}");
        match (cases.verdict(case), refusal) {
            (Ok(target), None) => {
                assert_eq!(target.digest, case["expectedDigest"].as_str().unwrap(), "{id}");
                assert_eq!(target.gun, case["gun"].as_str().unwrap(), "{id}");
                assert!(!target.signed_by.is_empty() && !target.root_signed_by.is_empty(), "{id}");
            }
            (Err(error), Some(refusal)) => assert_eq!(class(&error), refusal, "{id}: {error}"),
            (seen, refusal) => panic!("{id}: {seen:?}, expected {refusal:?}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test finds its data by this variable")]
fn upstream() -> Option<PathBuf> {
    let data = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join("signatures/upstream-notary-v1");
    folder.is_dir().then_some(folder)
}

fn folder(path: &Path) -> Files {
    let mut files = Files::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(folder(&path).into_iter().map(|(name, text)| (format!("{stem}/{name}"), text)));
        } else {
            files.insert(stem, std::fs::read_to_string(&path).unwrap());
        }
    }
    files
}

#[test]
fn repositories_that_old_notary_releases_wrote_verify_from_their_pinned_root() {
    let Some(upstream) = upstream() else {
        println!("SKIPPED: old notary repositories: no folder signatures/upstream-notary-v1");
        return;
    };
    let compatibility = upstream.join("notary/fixtures/compatibility");
    let cases = [
        ("notary0.1", "docker.com/notary0.1/samplerepo", 1_454_700_000, vec!["targets"]),
        ("notary0.3", "docker.com/notary0.3/tst", 1_469_700_000, vec!["targets", "targets/releases"]),
    ];
    for (release, gun, now, roles) in cases {
        let files = folder(&compatibility.join(release).join("tuf").join(gun).join("metadata"));
        let (repository, seen) = update(gun, pin(&files["root"]), Seen::default(), &files, now)
            .unwrap_or_else(|error| panic!("{gun}: {error}"));
        let report = repository.report();
        assert!(report.iter().all(|role| role.refused.is_none()), "{report:?}");
        assert_eq!(report.iter().map(|role| role.role.as_str()).collect::<Vec<_>>(), roles);
        let signed: Value = serde_json::from_str(&files["targets"]).unwrap();
        for tag in signed["signed"]["targets"].as_object().unwrap().keys() {
            assert!(repository.target(tag, &Lookup::PreOrder, now).is_ok(), "{gun}: {tag}");
        }
        // The same again, remembering; then under another name, another pin, and after the dates.
        assert!(update(gun, pin(&files["root"]), seen.clone(), &files, now).is_ok());
        let other =
            update("docker.com/other", pin(&files["root"]), Seen::default(), &files, now).unwrap_err();
        assert_eq!(class(&other), "key", "{other}");
        let foreign = RootPin::from_key_ids(&["ab".repeat(32)]).unwrap();
        assert_eq!(class(&update(gun, foreign, seen.clone(), &files, now).unwrap_err()), "not pinned");
        let late = update(gun, pin(&files["root"]), seen, &files, now + 400 * 366 * 86_400).unwrap_err();
        assert_eq!(class(&late), "expired");
    }
}

/// connaisseur's test repositories are signed by root keys without a leaf certificate for the repository: connaisseur
/// reads the bare key. Here each is refused at the root, whatever else it tests.
#[test]
fn a_root_whose_certificate_is_an_authority_or_for_another_name_is_refused() {
    let Some(upstream) = upstream() else {
        println!("SKIPPED: connaisseur's repositories: no folder signatures/upstream-notary-v1");
        return;
    };
    let data = upstream.join("connaisseur/test/testdata/notaryv1/trust_data");
    let mut repositories = 0;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("root.json").is_file() {
            continue;
        }
        let files = folder(&path);
        let name = path.file_name().unwrap().to_str().unwrap();
        let result = update(
            "docker.io/securesystemsengineering/testimage",
            pin(&files["root"]),
            Seen::default(),
            &files,
            1_600_000_000,
        );
        let error = result.err().unwrap_or_else(|| panic!("{name} was accepted"));
        assert!(matches!(class(&error), "key" | "not pinned" | "other"), "{name}: {error}");
        println!("{name}: {error}");
        repositories += 1;
    }
    assert_eq!(repositories, 8);
}

/// The verdict on the healthy repository `plain` after one file of it was changed.
fn tampered(role: &str, change: impl FnOnce(&str) -> String) -> NotaryError {
    let cases = Cases::read();
    let case = cases.cases.iter().find(|case| case["id"] == "plain-1.0").unwrap();
    let mut files = cases.files(&case["metadata"]);
    let pin = pin(&files["root"]);
    let changed = change(&files[role]);
    assert_ne!(changed, files[role], "{role}");
    files.insert(role.to_owned(), changed);
    let now = seconds(case["now"].as_str().unwrap());
    update(case["gun"].as_str().unwrap(), pin, Seen::default(), &files, now).unwrap_err()
}

fn edited(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    change(&mut file);
    file.to_string()
}

fn repository(id: &str) -> (Repository, i64) {
    let cases = Cases::read();
    let case = cases.cases.iter().find(|case| case["id"] == id).unwrap();
    let (files, now) = (cases.files(&case["metadata"]), seconds(case["now"].as_str().unwrap()));
    let gun = case["gun"].as_str().unwrap();
    (update(gun, pin(&files["root"]), Seen::default(), &files, now).unwrap().0, now)
}

fn role(name: &str) -> Role {
    Role::parse(name).unwrap()
}

#[test]
fn cve_2015_9258_an_expired_root_is_refused() {
    let cases = Cases::read();
    let case = cases.cases.iter().find(|case| case["id"] == "all-expired").unwrap();
    let error = cases.verdict(case).unwrap_err();
    assert!(matches!(&error, NotaryError::Expired { role, .. } if role == "root"), "{error}");
}

#[test]
fn cve_2015_9259_a_signature_cannot_choose_a_method_of_another_type_of_key() {
    for method in ["rsapss", "rsapkcs1v15", "eddsa", "ECDSA", ""] {
        let error = tampered("timestamp", |text| {
            edited(text, |file| file["signatures"][0]["method"] = method.into())
        });
        let NotaryError::Threshold { role, faults, .. } = &error else { panic!("{error}") };
        assert_eq!(role, "timestamp");
        assert!(matches!(faults[0].1, SignatureFault::Method { .. }), "{error}");
    }
}

#[test]
fn a_signature_counts_only_for_a_key_of_the_role_over_these_bytes() {
    let foreign = tampered("timestamp", |text| {
        edited(text, |file| file["signatures"][0]["keyid"] = "ab".repeat(32).into())
    });
    assert_eq!(class(&foreign), "foreign signature", "{foreign}");
    let changed = tampered("timestamp", |text| edited(text, |file| file["signed"]["version"] = 9.into()));
    assert_eq!(class(&changed), "invalid signature", "{changed}");
    let twice = tampered("root", |text| text.replacen("{\"signed\":{", "{\"signed\":{\"version\":1,", 1));
    assert!(matches!(twice, NotaryError::Json { .. }), "{twice}");
    let fraction = tampered("timestamp", |text| edited(text, |file| file["signed"]["version"] = 1.5.into()));
    assert!(matches!(fraction, NotaryError::NotInteger(_)), "{fraction}");
}

#[test]
fn a_root_that_defines_its_roles_wrongly_is_refused() {
    let zero = tampered("root", |text| {
        edited(text, |file| file["signed"]["roles"]["timestamp"]["threshold"] = 0.into())
    });
    assert!(matches!(zero, NotaryError::Role { reason: RoleFault::ThresholdZero, .. }), "{zero}");
    let undefined = tampered("root", |text| {
        edited(text, |file| {
            file["signed"]["roles"].as_object_mut().unwrap().remove("snapshot");
        })
    });
    assert!(matches!(undefined, NotaryError::Role { reason: RoleFault::Undefined, .. }), "{undefined}");
    let other = tampered("root", |text| edited(text, |file| file["signed"]["_type"] = "Targets".into()));
    assert!(matches!(other, NotaryError::Type { .. }), "{other}");
    let id = tampered("root", |text| {
        edited(text, |file| {
            let keys = file["signed"]["keys"].as_object_mut().unwrap();
            let (_, key) = keys.clone().into_iter().next().unwrap();
            keys.insert("ab".repeat(32), key);
        })
    });
    assert!(matches!(id, NotaryError::KeyId { .. }), "{id}");
}

#[test]
fn connaisseur_2151_a_required_delegation_never_falls_back_to_targets() {
    let (releases, now) = repository("releases-base-tag");
    assert!(releases.target("base", &Lookup::PreOrder, now).is_ok());
    let only = |name: &str| Lookup::Any(vec![role(name)]);
    let absent = releases.target("base", &only("targets/releases"), now).unwrap_err();
    assert!(matches!(absent, NotaryError::TagAbsent { .. }), "{absent}");
    for lookup in [only("targets/nobody"), Lookup::Any(vec![role("targets"), role("targets/nobody")])] {
        let missing = releases.target("base", &lookup, now).unwrap_err();
        assert!(matches!(missing, NotaryError::NotDelegated(_)), "{missing}");
    }
    for nobody in [Lookup::Any(Vec::new()), Lookup::All(Vec::new())] {
        assert!(releases.target("base", &nobody, now).is_err());
    }
    let (paths, now) = repository("paths-allowed");
    let outside = paths.target("v2.0", &only("targets/releases"), now).unwrap_err();
    assert!(matches!(outside, NotaryError::PathNotDelegated { .. }), "{outside}");
}

#[test]
fn a_verified_repository_grows_old_and_names_tags_by_digest() {
    let (plain, now) = repository("plain-1.0");
    let target = plain.target("1.0", &Lookup::PreOrder, now).unwrap();
    assert_eq!(plain.naming(&target.digest, &Lookup::PreOrder, now).unwrap(), std::slice::from_ref(&target));
    let unknown = plain.naming(&format!("sha256:{}", "0".repeat(64)), &Lookup::PreOrder, now).unwrap_err();
    assert!(matches!(unknown, NotaryError::NotNamed { .. }), "{unknown}");
    assert!(plain.target("1.0", &Lookup::PreOrder, target.expires - 1).is_ok());
    let late = plain.target("1.0", &Lookup::PreOrder, target.expires).unwrap_err();
    assert!(matches!(&late, NotaryError::Expired { role, .. } if role == "timestamp"), "{late}");
    let late = plain.naming(&target.digest, &Lookup::PreOrder, target.expires).unwrap_err();
    assert_eq!(class(&late), "expired");
}

#[test]
fn what_was_seen_before_is_held_against_what_is_served() {
    let cases = Cases::read();
    let case = cases.cases.iter().find(|case| case["id"] == "plain-1.0").unwrap();
    let (mut files, now) = (cases.files(&case["metadata"]), seconds(case["now"].as_str().unwrap()));
    let (gun, pinned) = (case["gun"].as_str().unwrap(), pin(&files["root"]));
    let (_, seen) = update(gun, pinned.clone(), Seen::default(), &files, now).unwrap();
    let back = update(gun, pinned.clone(), seen.clone(), &files, now - 2 * 3600).unwrap_err();
    assert!(matches!(back, NotaryError::ClockWentBack { .. }), "{back}");
    let other =
        update("registry.example/acme/other", pinned.clone(), Seen::default(), &files, now).unwrap_err();
    assert_eq!(class(&other), "key", "{other}");
    files.get_mut("root").unwrap().push('\n');
    let changed = update(gun, pinned, seen, &files, now).unwrap_err();
    assert!(matches!(changed, NotaryError::RootChanged { version: 1 }), "{changed}");
}
