use std::io;
use std::path::Path;

use super::*;

/// A P-256 public key, made for these tests.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEt22NKZmE7wycOnaIkElFT84xjCc0
LJmizOanB4Id6kYFQUttPaVqWtVYHpqEstQ1yrXM51xEgdA57CteVNWuaA==
-----END PUBLIC KEY-----
";

/// Another one.
const OTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExmDTmK9YUqLeZ29g6xfDbqw2MHfr
56+o4AypAz6HDOBI4cNz49tBa71h6s5tFlKzLwtTvkaOs1UPXENptZS6Rg==
-----END PUBLIC KEY-----
";

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("keys/next.pub") => Ok(OTHER_KEY.as_bytes().to_vec()),
        Some("keys/release.pub" | "keys/qa.pub") => Ok(KEY.as_bytes().to_vec()),
        Some("keys/broken.pub") => Ok(b"not a key".to_vec()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

fn parse(text: &str) -> Result<Policy, PolicyErrors> {
    Policy::parse(text, &read_file)
}

const IDENTITY: &str = "[[identity]]\nname = 'release'\ncosign = { key = 'keys/release.pub' }\n";

#[test]
fn the_starter_policy_parses_and_is_strict() {
    let policy = parse(starter()).unwrap();
    let rule = policy.rule_for("any.example/repository").unwrap();
    assert_eq!(rule.signatures.require, [["release"]]);
    assert_eq!(rule.signatures.when, When::BeforeRelease);
    assert_eq!(rule.pin.pull, Pin::Digest);
    assert_eq!(rule.scan.secrets, Level::Deny);
    assert_eq!(rule.scan.unknown, Level::Deny);
    assert_eq!(rule.image.user, User::NonRoot);
    assert_eq!(rule.runtime.privileged, Level::Deny);
    assert_eq!(rule.enforce, Enforcement::Deny);
    assert!(policy.exceptions().is_empty());
}

#[test]
fn what_a_rule_leaves_out_gets_the_strict_default() {
    let text = format!(
        "{IDENTITY}[[rule]]\nimages = ['r.example/**']\nsignatures = {{ require = [['release']] }}\n"
    );
    let policy = parse(&text).unwrap();
    let rule = &policy.rules()[0];
    assert_eq!(rule.name, "r.example/**");
    assert_eq!(rule.pin, PinRule { pull: Pin::Digest, base_image: Pin::Tag });
    assert_eq!(rule.scan.deny.len(), 2);
    assert_eq!(
        (rule.scan.secrets, rule.scan.unknown, rule.scan.unrated),
        (Level::Deny, Level::Deny, scanner::finding::Severity::High)
    );
    let RuntimeRule { privileged, apparmor, host_bind_mounts } = rule.runtime;
    assert_eq!((privileged, apparmor, host_bind_mounts), (Level::Deny, Level::Deny, Level::Warn));
    assert_eq!(rule.image.max_size, None);
    let effective = serde_json::to_value(policy.effective()).unwrap();
    assert_eq!(effective["rules"][0]["scan"]["max-advisory-age"], "7days");
    assert_eq!(effective["identities"][0]["principal"], "release");
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = r#"
[[identity]]
name = "release"
cosign = { key = "keys/absent.pub", repositry = "exact" }

[[identity]]
name = "release"
keyless = { issuer = "https://jenkins.example" }
cosign = { key = "keys/broken.pub" }

[[rule]]
images = ["prod/**", "r.example/app:1.2"]
signatures = { require = [["release"], ["jenkins"], []] }
scan = { deny = ["hihg"], unknown = "off", malware = "maybe", grace = "soon" }
image = { max-size = "500", max-layers = -1, max-wasted = "110%", user = "nobody" }
enforce = "log"
colour = "red"

[[exception]]
finding = "CVE-2026-0001"
check = "signature"
images = ["r.example/app"]
owner = "a@example"
expires = "soon"
"#;
    insta::assert_snapshot!(parse(text).unwrap_err(), @r##"
    the policy has 22 mistakes
    line 4: `identity[0].cosign.key`: cannot read `keys/absent.pub`: no such file
      hint: the path is relative to the policy file; `portcullis keys generate` makes a pair
    line 4: `identity[0].cosign.repositry`: unknown key
      hint: known here: `key`, `keys`, `repository`, `annotations`
    line 7: `identity[1].name`: `release` is the name of another identity too
      hint: give each identity its own name, or list several keys in one
    line 8: `identity[1].keyless`: an identity signs one way, and `cosign` is there too
      hint: give the other way an identity of its own, with the same `principal`
    line 9: `identity[1].cosign.key`: `keys/broken.pub`: not one PEM block: PEM preamble contains invalid data (NUL byte)
      hint: it must hold one `-----BEGIN PUBLIC KEY-----` block, as `cosign.pub` does
    line 12: `rule[0].images[0]`: `prod/**` names no registry host
      hint: write `host/repository`, such as `registry.example/prod/**`, or `**` for every image
    line 12: `rule[0].images[1]`: `r.example/app:1.2` names a tag or digest
      hint: patterns name repositories
    line 13: `rule[0].signatures.require[1][0]`: `jenkins` is no identity of this policy
      hint: known: `release`
    line 13: `rule[0].signatures.require[2]`: an empty list can never be satisfied
      hint: write `require = [["release"]]`; to accept unsigned images, `require = "nobody-unsafe"`
    line 14: `rule[0].scan.deny[0]`: `hihg` is no severity
      hint: use `critical`, `high`, `medium`, `low` or `negligible` (each means: or worse), `known-exploited`, or `epss-0.5` (this probability or more), with `-fixable` to mean only what has a fix
    line 14: `rule[0].scan.grace`: `soon` is no span of time
      hint: write `36h` or `7d`; more than nothing, ten years at most
    line 14: `rule[0].scan.malware`: `maybe` is not a word known here
      hint: use `deny`, `warn`, `off`
    line 14: `rule[0].scan.unknown`: `off` is not a word known here
      hint: use `deny`, `accept-unsafe`
    line 15: `rule[0].image.max-layers`: `-1` is out of range
      hint: write a whole number, 0 or more
    line 15: `rule[0].image.max-size`: `500` is no size
      hint: write a whole number and a unit: `500MiB`, `2GB`
    line 15: `rule[0].image.max-wasted`: `110%` is no share
      hint: write `10%` (0% to 100%) or a size: `50MiB`
    line 15: `rule[0].image.user`: `nobody` is not a word known here
      hint: use `any`, `non-root`, `non-root-numeric`
    line 16: `rule[0].enforce`: `log` is not a word known here
      hint: use `deny`, `warn`, `shadow`
    line 17: `rule[0].colour`: unknown key
      hint: known here: `name`, `images`, `signatures`, `attestation`, `pin`, `base`, `scan`, `image`, `runtime`, `enforce`, `help`
    line 19: `exception[0]`: `reason` is missing
      hint: say why it is acceptable: `reason = "not reachable"`
    line 19: `exception[0]`: needs exactly one of `finding`, `secret`, `malware` and `check`
      hint: write `finding = "CVE-2026-0001"`, `secret = "<sha256 of its value>"`, `malware = "<name of a YARA rule>"` or `check = "size"`
    line 24: `exception[0].expires`: is no day
      hint: write it without quotes: 2027-01-31
    "##);
}

#[test]
fn broken_toml_is_told_with_its_line() {
    insta::assert_snapshot!(parse("[[rule]]\nimages = [\nsignatures = = 3\n").unwrap_err(), @r##"
    the policy has 4 mistakes
    line 3: no TOML: missing comma between array elements, expected `,`
    line 3: no TOML: string values must be quoted, expected literal string
    line 3: no TOML: unclosed array, expected `]`
    line 3: no TOML: unexpected `=` in array, expected value, `]`
    "##);
}

#[test]
fn what_would_fail_open_must_sound_dangerous() {
    let rule = |body: &str| format!("{IDENTITY}[[rule]]\nimages = ['r.example/**']\n{body}\n");
    let signed = "signatures = { require = [['release']] }";
    let refused = [
        rule(""),
        rule("signatures = { require = [] }"),
        rule("signatures = { require = 'nobody' }"),
        rule("signatures = { require = [[]] }"),
        rule(&format!("{signed}\nscan = {{ deny = [] }}")),
        rule(&format!("{signed}\nscan = {{ deny = 'nothing' }}")),
        rule(&format!("{signed}\nscan = {{ unknown = 'warn' }}")),
        rule(&format!("{signed}\nscan = {{ unknown = 'off' }}")),
        rule(&format!("{signed}\nbase = {{ allow = [] }}")),
        format!("{IDENTITY}[[rule]]\nimages = []\n{signed}"),
    ];
    for text in refused {
        assert!(parse(&text).is_err(), "{text}");
    }
    let accepted = [
        rule("signatures = { require = 'nobody-unsafe' }"),
        rule(&format!("{signed}\nscan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}")),
    ];
    for text in accepted {
        assert!(parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_rule_that_can_never_be_reached_is_refused() {
    let rule =
        |images: &str| format!("[[rule]]\nimages = [{images}]\nsignatures = {{ require = [['release']] }}\n");
    let hidden = format!("{IDENTITY}{}{}", rule("'**'"), rule("'r.example/a'"));
    assert!(parse(&hidden).unwrap_err().to_string().contains("never reached"));
    let reachable = format!("{IDENTITY}{}{}", rule("'r.example/a'"), rule("'**'"));
    assert!(parse(&reachable).is_ok());
}

#[test]
fn the_first_rule_in_file_order_decides() {
    let text = format!(
        "{IDENTITY}
        [[rule]]\nname = 'narrow'\nimages = ['r.example/prod/app']\nsignatures = {{ require = [['release']] }}
        [[rule]]\nname = 'wide'\nimages = ['r.example/prod/**']\nsignatures = {{ require = [['release']] }}\n"
    );
    let policy = parse(&text).unwrap();
    let name = |repository| policy.rule_for(repository).map(|rule| rule.name.as_str());
    assert_eq!(name("r.example/prod/app"), Some("narrow"));
    assert_eq!(name("r.example/prod/other"), Some("wide"));
    assert_eq!(name("r.example/test/app"), None);
}

#[test]
fn the_digest_covers_the_key_files() {
    let text = format!("{IDENTITY}[[rule]]\nimages = ['**']\nsignatures = {{ require = [['release']] }}\n");
    let same = parse(&text).unwrap();
    assert_eq!(same.digest(), parse(&text).unwrap().digest());
    let other_key = |_: &Path| Ok(OTHER_KEY.as_bytes().to_vec());
    assert_ne!(same.digest(), Policy::parse(&text, &other_key).unwrap().digest());
    assert_ne!(same.digest(), parse(&format!("{text}\n")).unwrap().digest());
}

#[test]
fn identities_carry_their_window_and_scope() {
    let text = "
        [[identity]]
        name = 'release'
        principal = 'team-a'
        not-before = 2026-01-01
        not-after = 2026-12-31
        cosign = { keys = ['keys/release.pub', 'keys/qa.pub'], repository = { prefix = 'r.example/mirror', signed-prefix = 'up.example/x' }, annotations = { env = 'prod' } }
        [[rule]]
        images = ['**']
        signatures = { require = [['release']], when = 'before-push' }
    ";
    let policy = parse(text).unwrap();
    let identity = &policy.trust_store().identities[0];
    assert_eq!(identity.principal(), "team-a");
    assert_eq!(identity.keys().len(), 2);
    assert_eq!(identity.keys()[0].not_before, Some(1_767_225_600));
    assert_eq!(identity.keys()[0].not_after, Some(1_798_761_599));
    assert_eq!(identity.annotations["env"], "prod");
    let swapped = text.replace("2026-01-01", "2027-01-01");
    assert!(parse(&swapped).unwrap_err().to_string().contains("after `not-after`"));
}

#[test]
fn an_exception_cannot_waive_signatures_state_or_integrity() {
    for check in ["signature", "state", "rule", "content", "integrity", "privileged", "secret"] {
        let text = format!(
            "{}\n[[exception]]\ncheck = '{check}'\nimages = ['**']\nreason = 'x'\nowner = 'y'\nexpires = 2027-01-31\n",
            starter()
        );
        assert!(parse(&text).is_err(), "{check}");
    }
}

#[test]
fn a_secret_written_into_an_exception_is_not_repeated() {
    let text = "[[exception]]\nsecret = 'hunter2-hunter2'\nimages = ['**']\nreason = 'x'\nowner = 'y'\nexpires = 2027-01-31\n";
    assert!(!parse(text).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn an_oversized_file_is_not_parsed() {
    let text = "#".repeat(POLICY_BYTES_MAX + 1);
    assert!(parse(&text).unwrap_err().to_string().contains("more than"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("[[rule]]\nimages = ['**']\nscan = {text}\n"));
        let _ = parse(&format!("{}\n{text}", starter()));
    }
}

#[test]
fn the_documentation_names_what_may_be_waived_and_written() {
    let text = include_str!("../../../../docs/policy.md");
    let words =
        exception::WAIVABLE_CHECKS.iter().chain(&["nobody-unsafe", "nothing-unsafe", "accept-unsafe"]);
    for word in words {
        assert!(text.contains(word), "docs/policy.md does not mention `{word}`");
    }
    for check in exception::WAIVABLE_CHECKS {
        assert!(crate::gate::verdict::CHECKS.contains(&check), "`{check}` is no check");
    }
}

const RULE: &str = "[[rule]]\nimages = ['**']\nsignatures = { require = [['release']] }\n";

#[test]
fn revocations_are_read_and_part_of_the_digest() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let text = format!(
        "{IDENTITY}{RULE}[[revocation]]\nidentity = 'release'\nsince = 2026-11-01\nreason = 'laptop stolen'\n\
         [[revocation]]\ndigest = '{digest}'\nreason = 'backdoor'\n\
         [[revocation]]\nkey = '{}'\nreason = 'leaked'\n\
         [[revocation]]\nbuild-run = 'https://ci.example/runs/7'\nreason = 'runner compromised'\n",
        "b".repeat(64)
    );
    let policy = parse(&text).unwrap();
    let revocations = &policy.trust_store().revocations;
    assert_eq!(revocations.iter().count(), 4);
    assert_eq!(revocations.iter().next().unwrap().since, Some(1_793_491_200));
    assert!(revocations.of_digest(&digest).is_some());
    assert_ne!(policy.digest(), parse(&format!("{IDENTITY}{RULE}")).unwrap().digest());
}

#[test]
fn a_revocation_that_would_revoke_nothing_is_a_mistake() {
    for (entry, expected) in [
        ("identity = 'relase'", "there is no identity `relase`"),
        ("key = 'AB'", "`AB` is no key id"),
        ("digest = 'sha256:ab'", "sha256:ab"),
        ("", "needs exactly one of"),
        ("identity = 'release'\nbuild-run = 'x'", "needs exactly one of"),
        ("identity = 'release'\nsince = 2026-11-02\nuntil = 2026-11-01", "`since` lies after `until`"),
        ("identity = 'release'\nfrom = 2026-11-02", "unknown key"),
    ] {
        let text = format!("{IDENTITY}{RULE}[[revocation]]\nreason = 'r'\n{entry}\n");
        let errors = parse(&text).unwrap_err().to_string();
        assert!(errors.contains(expected), "{entry}: {errors}");
    }
    let text = format!("{IDENTITY}{RULE}[[revocation]]\nidentity = 'release'\n");
    assert!(parse(&text).unwrap_err().to_string().contains("`reason` is missing"));
    let digest = format!("digest = 'sha256:{}'\nsince = 2026-11-01", "a".repeat(64));
    let text = format!("{IDENTITY}{RULE}[[revocation]]\nreason = 'r'\n{digest}\n");
    assert!(parse(&text).unwrap_err().to_string().contains("not for a digest"));
}

#[test]
fn each_key_of_an_identity_may_have_its_own_window() {
    let text = format!(
        "[[identity]]\nname = 'release'\nnot-after = 2028-01-01\ncosign = {{ keys = [{{ file = 'keys/release.pub', \
         not-after = 2027-01-31 }}, {{ file = 'keys/next.pub', not-before = 2027-01-01T00:00:00Z }}] }}\n{RULE}"
    );
    let policy = parse(&text).unwrap();
    let windows: Vec<_> =
        policy.trust_store().identities[0].keys().iter().map(|key| (key.not_before, key.not_after)).collect();
    let (start, first_end, last_end) = (1_798_761_600, 1_801_439_999, 1_830_383_999);
    assert_eq!(windows, [(None, Some(first_end)), (Some(start), Some(last_end))]);
    for (now, expected) in [
        (0, Some(start)),
        (start, Some(first_end + 1)),
        (first_end, Some(first_end + 1)),
        (first_end + 1, Some(last_end + 1)),
        (last_end + 1, None),
    ] {
        assert_eq!(policy.changes_after(now), expected, "after {now}");
    }
}
