//! The search against a plain one that looks at all places for all keywords.

use super::*;

const WORDS: [(&[u8], Standing); 14] = [
    (b"SG.", Standing::BeginsRun),
    (b"sk-", Standing::BeginsRun),
    (b"sk-ant-", Standing::BeginsRun),
    (b"AKIA", Standing::BeginsRun),
    (b"aab", Standing::BeginsRun),
    (b"github_pat_of_nineteen", Standing::BeginsRun),
    (b"7Q~", Standing::InLongRun),
    (b"+ASt", Standing::InLongRun),
    (b"AKI", Standing::InLongRun),
    (b"\"7Q", Standing::InLongRun),
    (b"ftp://", Standing::Anywhere),
    (b"sftp://", Standing::Anywhere),
    (b"PRIVATE KEY-----", Standing::Anywhere),
    (b"abc", Standing::Anywhere),
];

fn prepared() -> Keywords {
    Keywords::new(&WORDS.map(|(word, standing)| (word.to_vec(), standing)))
}

/// A fixed sequence that looks like chance.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

/// Per byte, how many token characters stand around it in a row.
fn run_lengths(bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    for run in bytes.chunk_by(|a, b| is_token(*a) == is_token(*b)) {
        let length = if is_token(run[0]) { run.len() } else { 0 };
        lengths.resize(lengths.len() + run.len(), length);
    }
    lengths
}

/// All keywords that begin in `fresh`, and whether each stands as it must.
fn naive(bytes: &[u8], fresh: &Range<usize>) -> Vec<(usize, usize, bool)> {
    let lengths = run_lengths(bytes);
    let is_word = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    let is_run = |run: &[u8]| run.iter().copied().all(is_token);
    let begins_run = |at: usize| {
        !at.checked_sub(1).is_some_and(is_word) && bytes.get(at..at + RUN_BYTES).is_some_and(is_run)
    };
    let in_long_run = |at: usize| {
        let beside = at.saturating_sub(1)..bytes.len().min(at + 2);
        lengths[beside].iter().any(|length| *length >= LONG_RUN_BYTES)
    };
    let mut found = Vec::new();
    for at in fresh.clone() {
        for (number, (word, standing)) in WORDS.iter().enumerate() {
            if bytes[at..].starts_with(word) {
                let stands = match standing {
                    Standing::Anywhere => true,
                    Standing::BeginsRun => begins_run(at),
                    Standing::InLongRun => in_long_run(at),
                };
                found.push((number, at, stands));
            }
        }
    }
    found
}

/// How many stood as they must.
#[track_caller]
fn check(keywords: &Keywords, bytes: &[u8], fresh: Range<usize>) -> usize {
    let mut found = Vec::new();
    keywords.find(bytes, fresh.clone(), |number, at| found.push((number, at)));
    found.sort_unstable();
    let told = found.len();
    found.dedup();
    let shown = || format!("{fresh:?} of {:?}", String::from_utf8_lossy(bytes));
    assert_eq!(found.len(), told, "each place once: {}", shown());
    let expected = naive(bytes, &fresh);
    for (number, at, stands) in &expected {
        assert!(
            !stands || found.contains(&(*number, *at)),
            "{:?} at {at} is missed: {}",
            WORDS[*number],
            shown()
        );
    }
    for (number, at) in &found {
        let known = expected.iter().any(|(other, place, _)| (other, place) == (number, at));
        assert!(known, "{:?} is not at {at}: {}", WORDS[*number], shown());
    }
    expected.iter().filter(|(.., stands)| *stands).count()
}

#[test]
fn each_keyword_is_found_wherever_it_begins_and_only_in_the_fresh_part() {
    let keywords = prepared();
    let mut stood = [0; WORDS.len()];
    // One tile of lanes and a little more; what surrounds is no run, or one with the keyword.
    for pad in (0..70).chain(180..270) {
        for (number, (word, _)) in WORDS.iter().enumerate() {
            for (around, tail) in [
                (b' ', RUN_BYTES.saturating_sub(word.len())),
                (b' ', LONG_RUN_BYTES - word.len()),
                (b'\0', LONG_RUN_BYTES),
                (b'b', 0),
                (b'b', 1),
                (b'=', 40),
            ] {
                let bytes = [&vec![around; pad][..], word, &vec![b'b'; tail]].concat();
                let end = [&bytes[..], b" \xff sk-"].concat();
                let middle = pad + word.len() / 2;
                for fresh in [0..bytes.len(), 0..pad, pad..bytes.len(), pad + 1..bytes.len(), pad..middle] {
                    stood[number] += check(&keywords, &bytes, fresh.clone());
                    check(&keywords, &end, fresh);
                }
            }
        }
    }
    assert!(stood.iter().all(|count| *count > 100), "{stood:?}");
}

#[test]
fn runs_of_exactly_the_least_length_are_enough_and_no_shorter_one_counts() {
    let keywords = prepared();
    let mut stood = Vec::new();
    for length in [RUN_BYTES - 1, RUN_BYTES, LONG_RUN_BYTES - 1, LONG_RUN_BYTES] {
        let mut count = 0;
        for pad in 0..300 {
            // The keyword at the run's begin, in its middle, at its end, and cut by it.
            for at in [0, length / 2, length - 4, length - 1] {
                for word in [&b"AKIA"[..], b"+ASt", b"\"7Q"] {
                    let mut run = vec![b'x'; length];
                    run.splice(at..length.min(at + word.len()), word.iter().copied());
                    run.truncate(length);
                    let bytes = [&vec![b' '; pad][..], &run, b"\n"].concat();
                    count += check(&keywords, &bytes, 0..bytes.len());
                }
            }
        }
        stood.push(count);
    }
    let [short, run, nearly_long, long] = stood[..] else { panic!("four lengths") };
    assert!(short == 0 && run > 0 && nearly_long == run && long > run, "{stood:?}");
}

#[test]
fn what_chance_puts_together_is_found_as_a_plain_search_finds_it() {
    let keywords = prepared();
    let mut sequence = Sequence(3);
    let mut stood = 0;
    for round in 0..300 {
        let mut bytes = Vec::new();
        let end = sequence.below(1500);
        while bytes.len() < end {
            match sequence.below(12) {
                0..=3 => bytes.extend_from_slice(WORDS[sequence.below(WORDS.len())].0),
                4 => bytes.extend((0..sequence.below(60)).map(|_| b"abAK7Q~+./-_zS"[sequence.below(14)])),
                5 => bytes.extend(
                    (0..sequence.below(8)).map(|_| u8::try_from(sequence.below(256)).expect("a byte")),
                ),
                6 => bytes.extend(vec![b'x'; RUN_BYTES - 4 + sequence.below(6)]),
                7 => bytes.extend(vec![b'x'; LONG_RUN_BYTES - 4 + sequence.below(6)]),
                8 => bytes.extend(vec![b'\0'; sequence.below(90)]),
                9 => bytes.extend_from_slice(b"sftp://ftp://ftp:/"),
                _ => bytes.push(b" \"\n(,"[sequence.below(5)]),
            }
        }
        let cut = sequence.below(bytes.len() + 1);
        let whole = check(&keywords, &bytes, 0..bytes.len());
        let parts = check(&keywords, &bytes, 0..cut) + check(&keywords, &bytes, cut..bytes.len());
        assert_eq!(whole, parts, "round {round}");
        stood += whole;
    }
    assert!(stood > 2000, "{stood}");
}
