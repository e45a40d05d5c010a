//! The packings of a layer: all streams in them are read, and nothing may follow or be missing.

use flate2::Compression;
use flate2::GzBuilder;
use scanner::layer::LayerOutcome;
use std::io::Write;

use crate::archive::{Archive, gzip, zstd};
use crate::build::{walk, walk_in_pieces};

fn plain() -> Vec<u8> {
    Archive::default().lines(&["d etc", "f etc/os-release=ID=debian\nVERSION_ID=12\n", "s big=300000"]).end()
}

#[track_caller]
fn same_as_plain(what: &str, packed: &[u8]) {
    let expected = walk(&plain());
    for piece in [1, 7, 512, packed.len()] {
        let found = walk_in_pieces(packed, piece);
        assert_eq!(found.outcome, LayerOutcome::Walked, "{what} in pieces of {piece}");
        assert_eq!(found.diff_id, expected.diff_id, "{what} in pieces of {piece}");
        assert_eq!(found.entries(), expected.entries(), "{what} in pieces of {piece}");
    }
}

#[track_caller]
fn refused(what: &str, packed: &[u8]) {
    for piece in [1, packed.len()] {
        let report = walk_in_pieces(packed, piece);
        assert!(matches!(report.outcome, LayerOutcome::Refused { .. }), "{what}: {:?}", report.outcome);
        assert_eq!((report.entries(), report.diff_id), (0, None), "{what}: no evidence");
    }
}

const SKIPPABLE_FRAME: &[u8] = &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];

#[test]
fn every_packing_gives_the_same_archive() {
    let plain = plain();
    let (head, tail) = plain.split_at(700);
    let mut named = GzBuilder::new()
        .filename("layer")
        .comment("c")
        .extra(vec![1, 2, 3])
        .write(Vec::new(), Compression::best());
    named.write_all(&plain).expect("memory");
    let cases = [
        ("plain", plain.clone()),
        ("gzip", gzip(&plain)),
        ("gzip with all header fields", named.finish().expect("memory")),
        ("two members", [gzip(head), gzip(tail)].concat()),
        ("an empty member", [gzip(&plain), gzip(b"")].concat()),
        ("zstd", zstd(&plain)),
        ("two frames", [zstd(head), zstd(tail)].concat()),
        (
            "skippable frames",
            [SKIPPABLE_FRAME, &zstd(head), SKIPPABLE_FRAME, &zstd(tail), SKIPPABLE_FRAME].concat(),
        ),
    ];
    for (what, packed) in cases {
        same_as_plain(what, &packed);
    }
}

#[test]
fn damaged_streams_are_refused() {
    let gzipped = gzip(&plain());
    let zstandard = zstd(&plain());
    let flip = |bytes: &[u8], from_end: usize| {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() - from_end;
        bytes[at] ^= 0x40;
        bytes
    };
    let cases = [
        ("gzip cut in its body", gzipped[..gzipped.len() - 20].to_vec()),
        ("gzip cut in its trailer", gzipped[..gzipped.len() - 1].to_vec()),
        ("gzip with a wrong checksum", flip(&gzipped, 8)),
        ("gzip with a wrong length", flip(&gzipped, 4)),
        ("gzip with garbage behind", [&gzipped[..], &[7; 100]].concat()),
        ("gzip with zeros behind", [&gzipped[..], &[0; 100]].concat()),
        ("gzip with half a member behind", [&gzipped[..], &gzipped[..5]].concat()),
        ("zstd cut", zstandard[..zstandard.len() - 3].to_vec()),
        ("zstd with garbage behind", [&zstandard[..], &[7; 100]].concat()),
        ("zstd with half a frame behind", [&zstandard[..], &zstandard[..5]].concat()),
    ];
    for (what, packed) in cases {
        refused(what, &packed);
    }
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    // A frame header that asks for a window of 2^27 bytes (RFC 8878 §3.1.1.1.2), and one raw block.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 1 | 5 << 3, 0, 0];
    frame.extend(b"hello");
    refused("a large window", &frame);
}

#[test]
fn the_index_of_estargz_may_follow_the_end() {
    let index = Archive::default().file("stargz.index.json", b"{}").end();
    same_as_plain_entries(&[plain(), index].concat());
    let other = Archive::default().file("hidden", b"{}").end();
    refused("another archive", &[plain(), other].concat());
}

#[track_caller]
fn same_as_plain_entries(bytes: &[u8]) {
    let report = walk(bytes);
    assert_eq!((report.outcome.clone(), report.entries()), (LayerOutcome::Walked, walk(&plain()).entries()));
}

/// A skippable frame may say that it has 4 GiB; they are neither held nor needed.
#[test]
fn the_way_a_zstd_stream_is_cut_changes_nothing() {
    let skippable = |said: u32, really: usize| {
        [&[0x50, 0x2a, 0x4d, 0x18][..], &said.to_le_bytes(), &vec![7; really]].concat()
    };
    let archive = crate::archive::Archive::default().lines(&["f a=b"]).end();
    let frame = zstd::encode_all(&archive[..], 3).expect("memory");
    let noise: Vec<u8> =
        (0..400_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let raw = zstd::encode_all(&noise[..], 3).expect("memory");
    // Found by fuzzing: its damage was seen or not, as the pieces fell.
    let damaged =
        b"\x28\xb5\x2f\xfd\x04\x3f\0\0\0\xfa\xff\0\xf6\0\xfe\xff\0\0\0\0\0\0\0\xfd\x11\0\x85\x14".to_vec();
    for stream in [
        [skippable(1 << 20, 1 << 20), frame.clone()].concat(),
        [skippable(u32::MAX, 1 << 20), frame].concat(),
        raw[..raw.len() - 3].to_vec(),
        raw,
        damaged,
    ] {
        let whole = walk(&stream);
        for piece in [1, 13, 4096, 131_072, 200_000] {
            if stream.len() / piece < 100_000 {
                assert_eq!(walk_in_pieces(&stream, piece), whole, "in pieces of {piece}");
            }
        }
    }
}
