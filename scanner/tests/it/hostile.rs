//! Archives made to be read differently, to break the reader, or to exhaust it.

use scanner::layer::{LayerOutcome, LayerWalk};
use scanner::limits::Limits;

use crate::archive::{Archive, BLOCK, Header, gzip};
use crate::build::walk;

/// What the walk says: `walked N` entries, `no archive`, or the refusal.
fn outcome(bytes: &[u8]) -> String {
    let report = walk(bytes);
    match report.outcome {
        LayerOutcome::Walked => format!("walked {}", report.entries()),
        LayerOutcome::NotAnArchive => "no archive".to_owned(),
        LayerOutcome::Refused { problem } => problem,
    }
}

#[track_caller]
fn check(what: &str, bytes: &[u8], expected: &str) {
    let found = outcome(bytes);
    assert!(found.contains(expected), "{what}: expected `{expected}`, found `{found}`");
}

fn start() -> Archive {
    Archive::default().file("first", b"1")
}

fn hidden() -> Vec<u8> {
    Archive::default().file("hidden", b"2").0
}

#[test]
fn what_readers_of_tar_read_differently_is_refused() {
    let sized = |kind: u8| start().header(Header::new(kind, "x", 512)).bytes(&hidden()).end();
    check("a directory with content", &sized(b'5'), "cannot have content");
    check("a symbolic link with content", &sized(b'2'), "cannot have content");
    check("a hard link with content", &sized(b'1'), "cannot have content");
    check(
        "two names in one PAX header",
        &start().pax(b"10 path=a\n10 path=b\n").file("x", b"").end(),
        "two PAX records",
    );
    check("a broken second record", &start().pax(b"10 path=a\n5 x\n").file("x", b"").end(), "malformed PAX");
    check("NUL in a PAX name", &start().pax(b"12 path=a\0b\n").file("x", b"").end(), "malformed PAX");
    let global = Header::new(b'g', "g", 10);
    check(
        "a global name",
        &start().header(global).content(b"10 path=a\n").file("x", b"").end(),
        "global PAX",
    );
    let comment = Header::new(b'g', "g", 12);
    check(
        "a global comment",
        &start().header(comment).content(b"12 comment=\n").file("x", b"").end(),
        "walked 2",
    );
    let gnu = Header::new(b'L', "././@LongLink", 5);
    let both = start().pax(b"10 path=a\n").header(gnu).content(b"long\0").file("x", b"").end();
    check("a PAX and a GNU name", &both, "PAX name and a GNU name");
    check(
        "two PAX headers",
        &start().pax(b"10 path=a\n").pax(b"10 path=a\n").file("x", b"").end(),
        "two PAX headers",
    );
    check("a lone zero block", &start().bytes(&[0; BLOCK]).file("x", b"").end(), "lone zero block");
    check("a second archive behind the end", &[start().end(), hidden()].concat(), "follow the end");
    check("a file whose name is a directory's", &start().file("x/", b"").end(), "ends in a slash");
    check("an old sparse file", &start().header(Header::new(b'S', "x", 0)).end(), "sparse");
    check("a PAX sparse file", &start().pax(b"22 GNU.sparse.major=1\n").file("x", b"").end(), "sparse");
    check("an unknown type", &start().header(Header::new(b'7', "x", 0)).end(), "do not unpack");
}

#[test]
fn malformed_archives_are_refused() {
    let whole = start().file("second", b"2").end();
    check("cut inside content", &whole[..BLOCK + 10], "cut short");
    check("cut inside a header", &whole[..2 * BLOCK + 100], "cut short");
    check("without end marker", &whole[..4 * BLOCK], "walked 2");
    check("an extended header without entry", &start().pax(b"10 path=a\n").end(), "without an entry");
    let mut damaged = whole.clone();
    damaged[2 * BLOCK] ^= 1;
    check("a wrong checksum", &damaged, "checksum");
    let mut negative = Header::new(b'0', "x", 0);
    negative.set(124, &[0xff; 12]);
    check("a negative size", &start().header(negative).end(), "malformed number");
    let mut letters = Header::new(b'0', "x", 0);
    letters.set(124, b"0000000000z\0");
    check("a size of letters", &start().header(letters).end(), "malformed number");
    let mut huge = Header::new(b'0', "x", 0);
    huge.set(124, &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    check("a size of exabytes", &start().header(huge).end(), "cut short");
}

#[test]
fn names_that_leave_the_root_are_refused_and_absolute_ones_are_not() {
    for name in ["../x", "a/../../x", "/../x", "a/../.."] {
        check(name, &start().file(name, b"").end(), "leaves the root");
    }
    check("absolute", &start().file("/etc/shadow", b"").end(), "walked 2");
    check("dots inside", &start().file("a/../b/./c", b"").end(), "walked 2");
    check("a hard link out", &start().lines(&["h x->../../etc/passwd"]).end(), "leaves the root");
    check("a symbolic link out is only text", &start().lines(&["l x->../../etc/passwd"]).end(), "walked 2");
    check("not UTF-8", &start().pax(b"12 path=\xff\xfe.\n").file("x", b"").end(), "walked 2");
}

#[test]
fn base_256_sizes_and_long_names_are_read() {
    let mut header = Header::new(b'0', "x", 0);
    header.set(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    check("base-256", &start().header(header).content(b"abc").file("y", b"").end(), "walked 3");
    let long = "d/".repeat(100) + "x";
    let gnu = Header::new(b'L', "././@LongLink", long.len() as u64);
    check("GNU long name", &start().header(gnu).content(long.as_bytes()).file("x", b"").end(), "walked 2");
    check(
        "PAX size",
        &start().pax(b"10 size=3\n").header(Header::new(b'0', "x", 0)).content(b"abc").end(),
        "walked 2",
    );
}

#[test]
fn everything_has_a_limit() {
    let limited = |limits: Limits, bytes: &[u8]| {
        let mut walk = LayerWalk::new(limits);
        walk.feed(bytes);
        match walk.finish().outcome {
            LayerOutcome::Refused { problem } => problem,
            other => format!("{other:?}"),
        }
    };
    let limits = Limits::default();
    let many = (0..50)
        .fold(Archive::default(), |archive, number| archive.file(&format!("file-{number}"), b""))
        .end();
    let cases = [
        (Limits { entries_max: 10, ..limits }, many.clone(), "more than 10 entries"),
        (Limits { table_bytes_max: 100, ..limits }, many.clone(), "more than 100 bytes"),
        (Limits { uncompressed_bytes_max: 4096, ..limits }, many.clone(), "more than 4096 bytes"),
        (Limits { ratio_free_bytes: 1024, ratio_max: 2, ..limits }, gzip(&many), "compression bomb"),
        (Limits { path_bytes_max: 3, ..limits }, many, "a path of 6 bytes"),
        (Limits { path_depth_max: 3, ..limits }, start().file("a/b/c/d", b"").end(), "4 directories"),
        (
            Limits { meta_bytes_max: 5, ..limits },
            start().pax(b"10 path=a\n").file("x", b"").end(),
            "extended header",
        ),
        (
            Limits { extracted_bytes_max: 100, ..limits },
            start().file("lib/apk/db/installed", b"P:a\nV:1\n\n").end(),
            "packages listed",
        ),
        (
            Limits { detections_max: 0, ..limits },
            Archive::default().header(Header::new(b'0', "x", 0).mode(0o4755)).end(),
            "more than 0 secrets",
        ),
    ];
    for (limits, bytes, expected) in cases {
        let found = limited(limits, &bytes);
        assert!(found.contains(expected), "expected `{expected}`, found `{found}`");
    }
}

#[test]
fn documents_are_no_archives() {
    check("nothing", b"", "no archive");
    check("JSON", br#"{"mediaType":"x"}"#, "no archive");
    check("packed JSON", &gzip(br#"{"mediaType":"x"}"#), "no archive");
    check("a long text", &b"some text ".repeat(500), "no archive");
    check("three bytes", b"abc", "no archive");
}
