//! Which lists are found in executables, wherever the windows cut them, and which are refused.

use super::*;

/// Shows a file in windows of `fresh` new bytes.
fn inspect(file: &[u8], fresh: usize) -> Option<Result<Vec<String>, String>> {
    let mut executable = Executable::default();
    let mut start = 0;
    while start < file.len() {
        let end = (start + fresh).min(file.len());
        let (from, to) = (start.saturating_sub(1024), (end + (16 << 10)).min(file.len()));
        let window = Window {
            bytes: &file[from..to],
            fresh: start - from..end - from,
            first: start == 0,
            offset: from as u64,
        };
        executable.inspect(&window);
        start = end;
    }
    executable.finish().map(|found| match found {
        Ok(Extracted::Packages(packages)) => {
            Ok(packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect())
        }
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    })
}

fn go(version: &str, modules: &str) -> Vec<u8> {
    let length = |text: &[u8]| {
        vec![
            u8::try_from(text.len() & 0x7f).expect("7 bits") | 0x80,
            u8::try_from(text.len() >> 7).expect("short"),
        ]
    };
    let framed = [&[b'<'; 16][..], modules.as_bytes(), &[b'>'; 16]].concat();
    let header = [&b"\xff Go buildinf:\x08\x02"[..], &[0; 16]].concat();
    [header, length(version.as_bytes()), version.into(), length(&framed), framed].concat()
}

fn packed(list: &str, level: flate2::Compression) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), level);
    std::io::Write::write_all(&mut packer, list.as_bytes()).expect("memory");
    packer.finish().expect("memory")
}

const MODULES: &str = "path\texample.com/a\nmod\texample.com/a\t(devel)\t\ndep\tgithub.com/b/b\tv1.2.0\th1:x=\n\
    dep\tgithub.com/c/c\tv0.1.0\n=>\tgithub.com/d/c\tv0.2.0\th1:y=\ndep\tgithub.com/e/e\tv3.0.0\n=>\t./e\t\t\nbuild\t-x=y\n";

#[test]
fn modules_and_crates_are_found_wherever_windows_cut_them() {
    let list =
        r#"{"packages":[{"name":"a","version":"1.0.0"},{"name":"cc","version":"1.1.0","kind":"build"}]}"#;
    let modules = [
        "example.com/a (devel)",
        "github.com/b/b v1.2.0",
        "github.com/d/c v0.2.0",
        "github.com/e/e (devel)",
        "stdlib go1.22.3",
    ];
    for place in [64, 4096 - 16, 4096, 5 * 4096 + 160] {
        for fresh in [4096, 100_000] {
            let file = [vec![b'x'; place], go("go1.22.3", MODULES), vec![0; 9]].concat();
            assert_eq!(
                inspect(&file, fresh),
                Some(Ok(modules.map(str::to_owned).to_vec())),
                "{place} {fresh}"
            );
            for level in
                [flate2::Compression::none(), flate2::Compression::fast(), flate2::Compression::best()]
            {
                let file = [vec![b'x'; place + 3], packed(list, level), vec![0; 99]].concat();
                assert_eq!(inspect(&file, fresh), Some(Ok(vec!["a 1.0.0".to_owned()])), "{place} {level:?}");
            }
            let long: Vec<_> = (0..900)
                .map(|number| {
                    format!(r#"{{"name":"crate-{}","version":"1.{number}.0"}}"#, number * 7919 % 1000)
                })
                .collect();
            let long = format!(r#"{{"packages":[{}]}}"#, long.join(","));
            let file = [vec![b'x'; place], packed(&long, flate2::Compression::best())].concat();
            assert_eq!(
                inspect(&file, fresh).and_then(Result::ok).map(|found| found.len()),
                Some(900),
                "{place}"
            );
        }
    }
}

#[test]
fn marks_without_lists_are_passed_over_and_broken_lists_are_not() {
    let nothing: [&[u8]; 4] =
        [b"\x7fELF", b"the text \xff Go buildinf: in a tool", &[b'x'; 70_000], &[0x78, 0x9c].repeat(40_000)];
    for file in nothing {
        assert_eq!(inspect(file, 4096), None, "{:?}", &file[..4]);
    }
    let at_a_multiple = [&b"\xff Go buildinf:"[..], b"%s and more text that follows the mark"].concat();
    assert_eq!(inspect(&at_a_multiple, 4096), None);
    let by_chance = [&b"\xff Go buildinf:"[..], b"\0\0\0\x13\x1d'2AOZcoz\x7f\x84\x8d\x99", &[0; 64]].concat();
    assert_eq!(inspect(&by_chance, 4096), None);
    let old = [&b"\xff Go buildinf:\x08\x00"[..], &[0; 32]].concat();
    let cut = go("go1.22.3", MODULES)[..60].to_vec();
    let orphan = go("go1.22.3", "=>\ta\tv1\n");
    let broken = packed(r#"{"packages":[{"name":"a","version":"1.0.0"}"#, flate2::Compression::best());
    let cut_list = packed(r#"{"packages":[{"name":"a","version":"1.0.0"}]}"#, flate2::Compression::none())
        [..40]
        .to_vec();
    let many = go("go1.22.3", MODULES[..40].trim_end()).repeat(1);
    let many: Vec<u8> =
        std::iter::repeat_n([many.clone(), vec![0; 16 - many.len() % 16]].concat(), 40).flatten().collect();
    for (file, expected) in [
        (&old, "older than 1.18"),
        (&cut, "cut short"),
        (&orphan, "a replacement of no module"),
        (&broken, "EOF while parsing"),
        (&cut_list, "broken or too large"),
        (&many, "more marks"),
    ] {
        let Some(Err(error)) = inspect(file, 4096) else { panic!("{expected}") };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_list_that_unpacks_beyond_its_bound_is_refused() {
    let bomb = format!(r#"{{"packages":[{}]}}"#, " ".repeat(9 << 20));
    let Some(Err(error)) = inspect(&packed(&bomb, flate2::Compression::best()), 128 << 10) else { panic!() };
    assert!(error.contains("more than 8388608"), "{error}");
}

/// An ELF header of 64 bits, little-endian, whose table of sections stands at `sections`, and as much text as is asked for.
fn elf(sections: u64, bytes: usize) -> Vec<u8> {
    let mut file = vec![b'.'; bytes.max(64)];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[16..18].copy_from_slice(&[3, 0]);
    file[40..48].copy_from_slice(&sections.to_le_bytes());
    file
}

#[test]
fn programs_that_were_stripped_of_what_they_should_tell_are_refused() {
    let go_id = b"\xff Go build ID: \"abc\"\n \xff";
    let go_name = b"\0runtime.goexit\0runtime.sigpanic0\0";
    let with = |mut file: Vec<u8>, at: usize, mark: &[u8]| {
        file[at..at + mark.len()].copy_from_slice(mark);
        file
    };
    for (file, expected) in [
        (elf(100, 40_000), None),
        (elf(0, 15_000), None),
        (elf(0, 40_000), Some("without a table of sections")),
        (with(elf(100, 40_000), 4096, go_id), Some("list of modules was taken out")),
        (with(elf(100, 40_000), 20_477, go_name), Some("list of modules was taken out")),
        (
            with(elf(100, 40_000), 20_477, b"\0runtime.return0\0_cgo_topofstack\0runtime.goexit\0"),
            Some("taken out"),
        ),
        // Tools that look for programs of Go hold the marks, and not what stands around them.
        (with(elf(100, 40_000), 500, b"\0runtime.goexit\0"), None),
        (with(elf(100, 40_000), 500, b"\xff Go build ID: \""), None),
    ] {
        for fresh in [4096, 100_000] {
            let found = inspect(&file, fresh).map(|found| found.expect_err("refused"));
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{expected:?}");
        }
    }
    // One that tells them is no riddle.
    let whole =
        [elf(100, 4096), go_id.to_vec(), vec![0; 16 - go_id.len() % 16], go("go1.22.3", MODULES)].concat();
    assert!(matches!(inspect(&whole, 4096), Some(Ok(_))));
}

/// A program for Windows whose header begins at `offset`.
fn pe(offset: usize) -> Vec<u8> {
    let mut file = vec![b'.'; 4096];
    file[..2].copy_from_slice(b"MZ");
    file[60..64].copy_from_slice(&u32::try_from(offset).expect("small").to_le_bytes());
    if let Some(place) = file.get_mut(offset..offset + 4) {
        place.copy_from_slice(b"PE\0\0");
    }
    file
}

#[test]
fn programs_of_every_system_are_recognised_and_those_of_linux_run() {
    let text = |begin: &[u8]| [begin, &[b'.'; 90]].concat();
    let cases: [(Vec<u8>, bool, bool); 13] = [
        (elf(100, 64), true, true),
        (pe(128), true, false),
        (pe(4092), true, false),
        (text(b"\xcf\xfa\xed\xfe"), true, false),
        (text(b"\xfe\xed\xfa\xce"), true, false),
        (text(b"\xca\xfe\xba\xbe\0\0\0\x02"), true, false),
        // A class of Java 8, and archives of no program and of too many.
        (text(b"\xca\xfe\xba\xbe\0\0\0\x34"), false, false),
        (text(b"\xca\xfe\xba\xbe\0\0\0\0"), false, false),
        (text(b"\xca\xfe\xba\xbe\x01\0\0\0"), false, false),
        (text(b"MZ"), false, false),
        (pe(usize::try_from(u32::MAX).expect("64 bits")), false, false),
        (b"MZ".to_vec(), false, false),
        (b"\xca\xfe\xba\xbe".to_vec(), false, false),
    ];
    for (file, recognised, native) in cases {
        let found = (Executable::recognises(&file), Executable::is_native(&file));
        assert_eq!(found, (recognised, native), "{:?}", &file[..file.len().min(8)]);
    }
}
