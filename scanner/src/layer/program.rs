//! Files that can be run: what interprets them, and the digest of their content.

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::executables::Executable;
use crate::extractors::FileDigest;

/// Bytes of the first line of a script that the kernel reads (`BINPRM_BUF_SIZE`).
const INTERPRETER_BYTES_MAX: usize = 256;

/// Bytes that one takes in a report, roughly.
pub(super) const WEIGHT: usize = 320;

/// One file that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) entry: u32,
    /// Path of the interpreter, of a script; `None` for machine code.
    pub(crate) interpreter: Option<String>,
    /// SHA-256 of the content, hex.
    pub(crate) sha256: String,
    /// What the databases of dpkg and apk state, of files in the folders of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) legacy: Option<Legacy>,
}

/// Digests that are no proof against an attacker, hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Legacy {
    pub(crate) md5: String,
    pub(crate) sha1: String,
}

impl Program {
    /// Whether the content is what a database states; `None` when that digest was not computed.
    pub(crate) fn is(&self, stated: &FileDigest) -> Option<bool> {
        let legacy = self.legacy.as_ref();
        let computed = match stated {
            FileDigest::Sha256(_) => Some(&self.sha256),
            FileDigest::Sha1(_) => legacy.map(|legacy| &legacy.sha1),
            FileDigest::Md5(_) => legacy.map(|legacy| &legacy.md5),
        };
        computed.map(|computed| computed == stated.hex())
    }
}

/// A program whose content arrives. Nothing else is hashed beyond what the layer's digest asks for.
pub(super) struct Hashing {
    interpreter: Option<String>,
    hash: Sha256,
    legacy: Option<(Md5, Sha1)>,
}

/// Where systems install programs. `usr/local` is the administrator's (FHS 3.0, §4.9), and no package states a digest for what
/// is there.
const SYSTEM_FOLDERS: [&[u8]; 4] = [b"bin/", b"sbin/", b"lib", b"usr/"];
const LOCAL_FOLDER: &[u8] = b"usr/local/";

impl Hashing {
    /// Looks at the first bytes; `None` when nothing would run such a file.
    pub(super) fn of(path: &[u8], first: &[u8]) -> Option<Self> {
        let interpreter = match first.strip_prefix(b"#!") {
            Some(line) => Some(interpreter(line)?),
            None if Executable::is_native(first) => None,
            None => return None,
        };
        let of_system = SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let legacy = of_system && !path.starts_with(LOCAL_FOLDER);
        let legacy = legacy.then(|| (Md5::new(), Sha1::new()));
        Some(Self { interpreter, hash: Sha256::new(), legacy })
    }

    pub(super) fn more(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        if let Some((md5, sha1)) = &mut self.legacy {
            md5.update(bytes);
            sha1.update(bytes);
        }
    }

    pub(super) fn finish(self, entry: u32) -> Program {
        let legacy = self.legacy.map(|(md5, sha1)| Legacy {
            md5: hex::encode(md5.finalize()),
            sha1: hex::encode(sha1.finalize()),
        });
        Program { entry, interpreter: self.interpreter, sha256: hex::encode(self.hash.finalize()), legacy }
    }
}

/// `/bin/sh` out of ` /bin/sh -e`; Rust's `#![…]` names none.
fn interpreter(line: &[u8]) -> Option<String> {
    let line = &line[..line.len().min(INTERPRETER_BYTES_MAX)];
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
    let path = line.split(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty())?;
    path.starts_with(b"/").then(|| String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_by_their_first_bytes() {
        let cases: [(&[u8], Option<Option<&str>>); 9] = [
            (b"\xcf\xfa\xed\xfe\x07\0\0\x01", None),
            (b"\x7fELF\x02", Some(None)),
            (b"#!/bin/sh -e\nexit", Some(Some("/bin/sh"))),
            (b"#! /usr/bin/env python3\n", Some(Some("/usr/bin/env"))),
            (b"#!/bin/sh", Some(Some("/bin/sh"))),
            (b"#![allow(unused)]\n", None),
            (b"#!\n/bin/sh", None),
            (b"text", None),
            (b"", None),
        ];
        for (first, expected) in cases {
            let found = Hashing::of(b"a", first).map(|program| program.interpreter);
            assert_eq!(found, expected.map(|it| it.map(str::to_owned)), "{first:?}");
        }
    }

    #[test]
    fn what_databases_state_is_computed_for_the_systems_folders() {
        // The digests of `abc` (FIPS 180-4, RFC 1321).
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let md5 = FileDigest::md5("900150983CD24FB0D6963F7D28E17F72").expect("in hex");
        let sha1 = FileDigest::sha1("a9993e364706816aba3e25717850c26c9cd0d89d").expect("in hex");
        for (path, expected) in [
            ("usr/bin/a", Some(true)),
            ("bin/a", Some(true)),
            ("lib64/a.so", Some(true)),
            ("usr/local/bin/a", None),
            ("opt/a", None),
        ] {
            let mut program = Hashing::of(path.as_bytes(), b"#!/a").expect("a script");
            program.more(b"ab");
            program.more(b"c");
            let program = program.finish(7);
            assert_eq!((program.entry, program.interpreter.as_deref()), (7, Some("/a")));
            assert_eq!(program.is(&md5), expected, "{path}");
            assert_eq!(program.is(&sha1), expected, "{path}");
            assert_eq!(program.is(&FileDigest::sha256(sha256).expect("in hex")), Some(true));
            assert_eq!(program.is(&FileDigest::sha256(&"0".repeat(64)).expect("in hex")), Some(false));
        }
    }
}
