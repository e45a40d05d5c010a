//! What is a credential and what only looks like one. The values are made up.

use super::*;
use crate::layer::EntryKind;

mod naive;

fn rules(path: &str, text: &str) -> Vec<String> {
    let entry =
        Entry { path: path.as_bytes(), kind: EntryKind::File, mode: 0, size: 0, hash: None, target: b"" };
    let window = Window { bytes: text.as_bytes(), fresh: 0..text.len(), first: true, offset: 0 };
    let mut found = Vec::new();
    Secrets.inspect(&entry, &window, &mut found);
    let rule = |detected| match detected {
        Detected::Secret { rule, .. } => rule,
        _ => unreachable!("this detector finds secrets"),
    };
    found.into_iter().map(rule).collect()
}

#[test]
fn every_rule_builds_and_has_a_way_in() {
    let mut names = Vec::new();
    for (number, rule) in ENGINE.rules.iter().enumerate() {
        assert_eq!(ENGINE.pattern(number).is_none(), matches!(rule.shape, Shape::Pem), "{}", rule.name);
        assert!(rule.keywords().count() + rule.files.len() > 0, "{}", rule.name);
        assert!(rule.keywords().all(|word| word.len() >= 3), "{}", rule.name);
        names.push(rule.name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "names are unique");
    println!("{count} rules, {} keywords", ENGINE.rule_of_keyword.len());
    assert_eq!(count, 228, "the number that the changelog states");
}

/// A made-up value of a token's form: each class of characters by a fixed sequence that looks like chance.
fn made_up(pattern: &str, seed: u64) -> Option<String> {
    let mut state = seed;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let (choices, after) = match first {
            '[' => {
                let (class, after) = rest[1..].split_once(']')?;
                (members(class), after)
            }
            '\\' => (rest[1..2].chars().collect(), &rest[2..]),
            // The first of the alternatives, which have no groups inside.
            '(' => {
                let (inner, after) = rest.strip_prefix("(?:")?.split_once(')')?;
                let (count, after) = repeats(after)?;
                let first = inner.split('|').next()?;
                for _ in 0..count {
                    text.push_str(&made_up(first, u64::try_from(next(1 << 20)).ok()?)?);
                }
                rest = after;
                continue;
            }
            literal => (vec![literal], &rest[literal.len_utf8()..]),
        };
        let (count, after) = repeats(after)?;
        for _ in 0..count {
            text.push(choices[next(choices.len())]);
        }
        rest = after;
    }
    Some(text)
}

fn members(class: &str) -> Vec<char> {
    let class: Vec<char> = class.chars().collect();
    let mut members = Vec::new();
    let mut at = 0;
    while at < class.len() {
        if class.get(at + 1) == Some(&'-') && at + 2 < class.len() {
            members.extend(class[at]..=class[at + 2]);
            at += 3;
        } else {
            // Signs would make some look like a word's end.
            members.extend(Some(class[at]).filter(|sign| sign.is_alphanumeric()));
            at += 1;
        }
    }
    members
}

fn repeats(rest: &str) -> Option<(usize, &str)> {
    match rest.chars().next() {
        Some('{') => {
            let (count, after) = rest[1..].split_once('}')?;
            Some((count.split(',').next()?.parse().ok()?, after))
        }
        Some('?') => Some((0, &rest[1..])),
        _ => Some((1, rest)),
    }
}

#[test]
fn each_token_is_found_and_none_that_is_cut_or_in_a_word() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for rule in &ENGINE.rules {
        let Shape::Token { pattern, judge } = rule.shape else { continue };
        let Some(token) = made_up(pattern, 7).filter(|token| judge(token.as_bytes())) else { continue };
        checked += 1;
        let found = rules("x", &format!("value = \"{token}\"\n"));
        if !found.iter().any(|name| name == rule.name) {
            wrong.push(format!("{} in {token}: {found:?}", rule.name));
        }
        let inside = rules("x", &format!("value = \"x{token}\"\n"));
        if inside.iter().any(|name| name == rule.name) {
            wrong.push(format!("{} in x{token}", rule.name));
        }
        // The first third: no token is that short.
        let cut = rules("x", &format!("value = \"{}\"\n", &token[..token.len() / 3]));
        wrong.extend(cut.into_iter().map(|name| format!("{name} in a third of {token}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(checked >= 150, "{checked} tokens were made up");
}

#[test]
fn credentials_are_found() {
    // Assembled here, so that no scanner of source code takes this file for a leak.
    let join = |parts: &[&str]| parts.concat();
    let cases = [
        ("x", join(&["id = AKIA", "2IBYYURL7B6KJ6HB"]), "aws-access-key-id"),
        (
            "x",
            join(&["aws_secret_access_key = qsxRpvED5hJRaOvRTYZPNvS", "/I4k9GvvK9JkmW378\n"]),
            "aws-secret-access-key",
        ),
        (".netrc", "machine h login ci password GzLtr9MWixrZ19".to_owned(), "netrc-password"),
        (
            ".docker/config.json",
            r#"{"auths":{"r":{"auth":"ZGVwbG95Ym90OnVGTVY4"}}}"#.to_owned(),
            "docker-config-auth",
        ),
        ("x", join(&["glpat", "-qnFCraP_c0YsHh47lft6"]), "gitlab-pat"),
        ("x", join(&["postgres://shop:aymbA5t0", "BQ09E4qs3G@db:5432/shop"]), "database-url-password"),
        ("x", join(&["sk_", "live_YpX4nVrRtdVlC1fDBUiTue7f"]), "stripe-live-key"),
        (".git-credentials", join(&["https://ci:", "k3Wq9vTz71@git.example"]), "git-credentials"),
        (".pypirc", "[pypi]\nusername = ci\npassword = k3Wq9vTz71".to_owned(), "pypirc-password"),
        (".npmrc", "//registry/:_auth=Y2k6azNXcTl2VHo3MQ==".to_owned(), "npm-registry-password"),
        (".env", join(&["export APP_SECRET='k3Wq9vT", "z71Lm4XcB'"]), "dotenv-credential"),
        (
            "etc/shadow",
            join(&["root:$6$Zk3Wq9vT$", "z71Lm4XcBq0sRdF8hJ2:19000:0:::::"]),
            "shadow-password-hash",
        ),
        ("config/master.key", "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n".to_owned(), "rails-master-key"),
        ("home/.my.cnf", "[client]\npassword=k3Wq9vTz71\n".to_owned(), "mysql-client-password"),
        (
            "home/.kube/config",
            "current-context: a\nusers:\n- name: ci\n  user:\n    token: k3Wq9vTz71Lm4XcB0sRd\n".to_owned(),
            "kube-config-token",
        ),
        ("x", join(&["ftp://ci:k3Wq9", "vTz71@files.example/"]), "file-transfer-url-password"),
    ];
    for (path, text, rule) in cases {
        assert_eq!(rules(path, &text), [rule], "{path}");
    }
}

#[test]
fn look_alikes_are_not_reported() {
    let cases = [
        ("x", "AKIAIOSFODNN7EXAMPLE"),
        ("x", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("x", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("x", "ghp_hOgLvd1UBCrvi3ah0vbD3cThzOpzQMzH0onB"),
        ("x", "postgres://user:password@localhost/db"),
        ("x", "postgres://$USER:$PASS@localhost/db"),
        ("x", "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"),
        ("x", "//registry/:_authToken=${NPM_TOKEN_OF_THE_BUILD}"),
        ("x", "npm_config_cache=/var/cache/npm/and/some/more"),
        ("x", r#"{"auth": "c29tZXRoaW5nIGVsc2U="}"#),
        (".env", "APP_SECRET=change-me-please-now"),
        (".env", "SECRET_KEY_BASE=${SECRET_KEY_BASE_OF_THE_BUILD}"),
        ("etc/shadow", "root:*:19000:0:99999:7:::\nbin:!:1:::::\n"),
        ("settings.xml", "<password>${env.PASSWORD_OF_CI}</password>"),
        ("x", "task-1234 mask-us1 monkey-0123 concio ssl.Bxyz re.SG.x hf_hub_download napi_create_function"),
        ("x", "sdk-00000000-0000-4000-0000-000000000000"),
        ("x", "live_000000000000000000000000000000000000"),
    ];
    for (path, text) in cases {
        assert_eq!(rules(path, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn protected_keys_are_not_reported() {
    let body = "MIIEpAIBAAKCAQEAzntdDJr924Uc1E7eRJXQB/oHIwBklN8i+SBzX3h2HrR78W2J\n".repeat(4);
    let key =
        |label: &str, head: &str| format!("-----BEGIN {label}-----\n{head}{body}-----END {label}-----\n");
    assert_eq!(rules("x", &key("RSA PRIVATE KEY", "")), ["rsa-private-key"]);
    for library in ["usr/lib/libgnutls.so.30.29.1", "usr/lib/libgnutls.so", "usr/lib/libgnutls.a"] {
        assert_eq!(
            rules(library, &key("RSA PRIVATE KEY", "")),
            Vec::<String>::new(),
            "a key to test itself with"
        );
    }
    assert_eq!(rules("x", &key("PRIVATE KEY", "")), ["private-key"]);
    assert_eq!(rules("x", &key("ENCRYPTED PRIVATE KEY", "")), Vec::<String>::new());
    let head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n";
    assert_eq!(rules("x", &key("RSA PRIVATE KEY", head)), Vec::<String>::new());
    assert_eq!(rules("x", &key("OPENSSH PRIVATE KEY", "")), Vec::<String>::new(), "not OpenSSH's format");
}

#[test]
fn a_format_is_read_as_far_as_its_last_keyword_tells() {
    let auth = r#""auth": "ZGVwbG95Ym90OnVGTVY4""#;
    let blank = |bytes: usize| " ".repeat(bytes);
    // The second keyword alone sees the credential; it stands where the first already looked.
    let text = format!("\"auths\"{}\"auths\"{}{auth}", blank(3000), blank(8000));
    assert_eq!(rules("x", &text), ["docker-config-auth"]);
    let text = format!("\"auths\"{}{auth}", blank(9000));
    assert_eq!(rules("x", &text), Vec::<String>::new());
}
