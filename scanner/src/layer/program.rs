//! Files that can be run: what interprets them, and the digest of their content.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::executables::Executable;

/// Bytes of the first line of a script that the kernel reads (`BINPRM_BUF_SIZE`).
const INTERPRETER_BYTES_MAX: usize = 256;

/// Bytes that one takes in a report, roughly.
pub(super) const WEIGHT: usize = 192;

/// One file that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) entry: u32,
    /// Path of the interpreter, of a script; `None` for machine code.
    pub(crate) interpreter: Option<String>,
    /// SHA-256 of the content, hex.
    pub(crate) sha256: String,
}

/// A program whose content arrives. Nothing else is hashed beyond what the layer's digest asks for.
pub(super) struct Hashing {
    interpreter: Option<String>,
    hash: Sha256,
}

impl Hashing {
    /// Looks at the first bytes; `None` when nothing would run such a file.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        let interpreter = match first.strip_prefix(b"#!") {
            Some(line) => Some(interpreter(line)?),
            None if Executable::recognises(first) => None,
            None => return None,
        };
        Some(Self { interpreter, hash: Sha256::new() })
    }

    pub(super) fn more(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    pub(super) fn finish(self, entry: u32) -> Program {
        Program { entry, interpreter: self.interpreter, sha256: hex::encode(self.hash.finalize()) }
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
        let cases: [(&[u8], Option<Option<&str>>); 8] = [
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
            let found = Hashing::of(first).map(|program| program.interpreter);
            assert_eq!(found, expected.map(|it| it.map(str::to_owned)), "{first:?}");
        }
        let mut program = Hashing::of(b"#!/a").expect("a script");
        program.more(b"abc");
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            program.finish(7),
            Program { entry: 7, interpreter: Some("/a".into()), sha256: digest.into() }
        );
    }
}
