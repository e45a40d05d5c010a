//! Deltas between files that were built from feeds, and everything that is none.

use super::*;
use crate::advisory::{Advisories, Builder};

const MAX: u64 = 1 << 20;

/// A file about packages `0..count`, of which one in seven has a second advisory, without those in `without`.
fn file(count: usize, without: &[usize], built: i64) -> Vec<u8> {
    let mut builder = Builder::new();
    let mut packages: Vec<String> = Vec::new();
    for number in (0..count).filter(|number| !without.contains(number)) {
        let more = if number % 7 == 0 {
            format!(r#","2.{number}-r0":["CVE-2025-{number:05}"]"#)
        } else {
            String::new()
        };
        packages.push(format!(
            r#"{{"pkg":{{"name":"package-{number}","secfixes":{{"1.{number}-r0":["CVE-2026-{number:05} GHSA-aaaa-bbbb-{number:04}"]{more}}}}}}}"#
        ));
    }
    let feed =
        format!(r#"{{"distroversion":"v3.20","reponame":"main","packages":[{}]}}"#, packages.join(","));
    builder.add("alpine", Some(1_700_000_000), feed.as_bytes()).expect("a feed");
    builder.finish(built).expect("a file")
}

#[test]
fn a_delta_makes_the_newer_file_to_the_byte() {
    let full = file(2000, &[], 1);
    let cases = [
        ("the same", file(2000, &[], 1)),
        ("built again", file(2000, &[], 2)),
        ("some more", file(2010, &[], 2)),
        ("some fewer", file(2000, &[3, 700, 701, 1999], 2)),
        ("other ones", file(2003, &[0, 14, 21], 2)),
        ("nearly nothing", file(1, &[], 2)),
    ];
    for (name, other) in &cases {
        for (from, to) in [(&full, other), (other, &full)] {
            let delta = make(from, to).expect(name);
            assert_eq!(&apply(from, &delta, MAX).expect(name), to, "{name}");
        }
    }
    let delta = make(&full, &cases[4].1).expect("a delta");
    let packed = zstd::bulk::compress(&cases[4].1, LEVEL).expect("packed");
    assert!(delta.len() * 8 < packed.len(), "{} bytes instead of {}", delta.len(), packed.len());
    let made = apply(&full, &delta, MAX).expect("a file");
    assert!(Advisories::open(std::sync::Arc::new(made)).is_ok());
}

#[test]
fn another_base_is_refused_before_anything_is_unpacked() {
    let (old, new) = (file(20, &[], 1), file(21, &[], 2));
    let delta = make(&old, &new).expect("a delta");
    for other in [&new, &file(20, &[], 3), &old[1..].to_vec(), &Vec::new()] {
        assert!(matches!(apply(other, &delta, MAX), Err(DeltaError::Base { .. })));
    }
    // A file that is none is refused even where the delta names it.
    let stranger = b"no advisories".to_vec();
    let mut forged = delta.clone();
    forged[12..44].copy_from_slice(&Sha256::digest(&stranger));
    assert!(matches!(apply(&stranger, &forged, MAX), Err(DeltaError::File(_))));
    assert!(make(&stranger, &new).is_err() && make(&old, &stranger).is_err());
}

#[test]
fn what_is_no_delta_makes_nothing() {
    let (old, new) = (file(200, &[], 1), file(210, &[5], 2));
    let delta = make(&old, &new).expect("a delta");
    assert!(matches!(apply(&old, b"", MAX), Err(DeltaError::NotADelta)));
    assert!(matches!(apply(&old, &new, MAX), Err(DeltaError::NotADelta)));
    let mut newer = delta.clone();
    newer[8] = 9;
    assert!(matches!(apply(&old, &newer, MAX), Err(DeltaError::Version { found: 9 })));
    for length in 0..delta.len() {
        assert!(apply(&old, &delta[..length], MAX).is_err(), "cut to {length}");
    }
    let longer = [&delta[..], b"x"].concat();
    assert!(matches!(apply(&old, &longer, MAX), Err(DeltaError::Broken(_))));
    for at in 0..delta.len() {
        let mut changed = delta.clone();
        changed[at] ^= 1 << (at % 8);
        // A bit that zstd does not read may change nothing; whatever comes out is the promised file.
        if let Ok(made) = apply(&old, &changed, MAX) {
            assert_eq!(made, new, "byte {at}");
        }
    }
}

#[test]
fn a_small_delta_cannot_fill_the_memory() {
    let (old, new) = (file(200, &[], 1), file(210, &[], 2));
    let delta = make(&old, &new).expect("a delta");
    let size = new.len() as u64;
    assert!(apply(&old, &delta, size).is_ok());
    assert!(
        matches!(apply(&old, &delta, size - 1), Err(DeltaError::TooLarge { bytes, max }) if bytes == size && max == size - 1)
    );
    // A part that grows beyond what the header says is not unpacked to its end.
    let zeros = vec![0; 1 << 20];
    let bomb = pack(&zeros, &[]).expect("packed");
    assert!(matches!(unpack(&bomb, &[], 1000), Err(DeltaError::Broken(_))));
    assert!(matches!(unpack(&bomb, &[], (1 << 20) + 1), Err(DeltaError::Broken(_))));
}
