//! The detector against a plain search: every keyword at every place, whatever stands around it.

use super::*;
use crate::detectors::secrets::keywords::{LONG_RUN_BYTES, RUN_BYTES};

/// Keywords by their first byte: number and bytes.
fn keywords() -> Vec<Vec<(usize, Vec<u8>)>> {
    let mut keywords = vec![Vec::new(); 256];
    for (number, word) in ENGINE.rules.iter().flat_map(Rule::keywords).enumerate() {
        keywords[usize::from(word[0])].push((number, word));
    }
    keywords
}

fn naive(keywords: &[Vec<(usize, Vec<u8>)>], bytes: &[u8]) -> Vec<Detected> {
    let mut found = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        for (number, word) in &keywords[usize::from(*byte)] {
            if bytes[at..].starts_with(word) {
                let (rule, length) = ENGINE.rule_of_keyword[*number];
                ENGINE.around_hit(rule, bytes, at..at + length, &mut found);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// As the walk shows a file: in windows, each byte fresh once.
fn in_windows(bytes: &[u8], cuts: &[usize]) -> Vec<Detected> {
    let mut found = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        ENGINE.by_keyword(
            b"x",
            &Window { bytes, fresh: start..end, first: start == 0, offset: 0 },
            &mut found,
        );
        start = end;
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Each token at its shortest, and one of each kind of what is told by its surroundings.
fn samples() -> Vec<String> {
    let tokens = ENGINE.rules.iter().filter_map(|rule| match rule.shape {
        Shape::Token { pattern, judge } => {
            (1..40).find_map(|seed| made_up(pattern, seed).filter(|token| judge(token.as_bytes())))
        }
        _ => None,
    });
    // Assembled, so that no scanner of source code takes this file for a leak.
    let others = [
        [
            "AccountKey",
            "=q1Wz8Kc5Rt2Yp9Vb4Nm7Xd3Fg6Hj0Ls1Qa8Zw5Ex2Rc9Tv4By7Nu3Mi6Ko0Lp1Aq8Sw5De2Fr9Gt4Hy7JuaQ==",
        ],
        ["SharedAccessKey", "=q1Wz8Kc5Rt2Yp9Vb4Nm7Xd3Fg6Hj0Ls1Qa8Zw5Ex2Rc="],
        ["https://hooks.slack.com", "/services/T0K3W9VTZ/B71LM4XCB/k3Wq9vTz71Lm4XcB0sRd"],
        ["https://hooks.zapier.com", "/hooks/catch/4821/k3wq9"],
        [
            "https://discord.com",
            "/api/webhooks/482193746501928374/k3Wq9vTz71Lm4XcB0sRdk3Wq9vTz71Lm4XcB0sRdk3Wq9vTz71Lm4XcB0sRd",
        ],
        ["postgres://shop:aymbA5t0", "BQ09E4qs3G@db:5432/shop"],
        ["mongodb+srv://shop:aymbA5t0", "BQ09E4qs3G@db/shop"],
        ["ftp://ci:k3Wq9", "vTz71@files.example/"],
        ["sftp://ci:k3Wq9", "vTz71@files.example/"],
        ["aws_secret_access_key = qsxRpvED5hJRaOvRTYZPNvS", "/I4k9GvvK9JkmW378"],
        ["secretAccessKey: \"qsxRpvED5hJRaOvRTYZPNvS", "/I4k9GvvK9JkmW378\""],
        ["//registry/:_authToken", "=k3Wq9vTz71Lm4XcB0sRd"],
        ["\"auths\":{\"r\":{\"auth\"", ":\"ZGVwbG95Ym90OnVGTVY4\"}}"],
        ["define('DB_PASSWORD'", ", 'k3Wq9vTz71')"],
    ];
    tokens.chain(others.map(|parts| parts.concat())).collect()
}

#[test]
fn the_detector_finds_what_a_plain_search_finds_at_every_offset() {
    let (keywords, samples) = (keywords(), samples());
    for pad in 0..64 {
        let mut bytes = vec![b'.'; pad];
        for (number, sample) in samples.iter().enumerate() {
            let between: [&[u8]; 6] = [b" ", b"\0", b"\n-", b"=\"", b"\xff/", b"a"];
            bytes.extend_from_slice(between[(number + pad) % between.len()]);
            bytes.extend_from_slice(sample.as_bytes());
        }
        let expected = naive(&keywords, &bytes);
        assert!(expected.len() > samples.len() / 2, "{} of {}", expected.len(), samples.len());
        assert_eq!(in_windows(&bytes, &[]), expected, "{pad}");
        // The last window begins in the last sample, the one before it in the middle of another.
        let cuts = [bytes.len() / 2, bytes.len() / 2 + 1, bytes.len() - 5];
        assert_eq!(in_windows(&bytes, &cuts), expected, "{pad}");
    }
}

#[test]
fn the_detector_finds_a_file_that_is_one_credential() {
    let keywords = keywords();
    let mut found = 0;
    for sample in samples() {
        let bytes = sample.as_bytes();
        let expected = naive(&keywords, bytes);
        found += expected.len();
        assert_eq!(in_windows(bytes, &[]), expected, "{sample}");
        assert_eq!(in_windows(bytes, &[1]), expected, "{sample}");
        let tail = [bytes, b"\n"].concat();
        assert_eq!(in_windows(&tail, &[bytes.len() - 1]), naive(&keywords, &tail), "{sample}");
    }
    assert!(found >= 150, "{found}");
}

#[test]
fn most_rules_tell_that_their_keywords_stand_in_runs() {
    let mut counts = [0, 0, 0];
    for rule in ENGINE.rules.iter().filter(|rule| rule.keywords().next().is_some()) {
        let standing = rule.standing();
        counts[match standing {
            Standing::BeginsRun => 0,
            Standing::InLongRun => 1,
            Standing::Anywhere => 2,
        }] += 1;
        let Shape::Token { pattern, .. } = rule.shape else { continue };
        let Some(token) = made_up(pattern, 7) else { continue };
        let least = match standing {
            Standing::BeginsRun => RUN_BYTES,
            Standing::InLongRun => LONG_RUN_BYTES,
            // Short keywords that may stand anywhere would cost as much as all others.
            Standing::Anywhere => {
                assert!(rule.keywords().all(|word| word.len() >= 4), "{}", rule.name);
                continue;
            }
        };
        assert!(token.len() >= least, "{} as short as {token}", rule.name);
    }
    let [begin, inside, anywhere] = counts;
    println!("{begin} begin runs, {inside} stand in long ones, {anywhere} anywhere");
    assert!(
        begin > 150 && anywhere < 25,
        "{counts:?}: each that may stand anywhere is looked for in every byte"
    );
}
