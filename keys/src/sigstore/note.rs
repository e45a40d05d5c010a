//! A log's checkpoint: a signed note that commits to the log's size and root (C2SP signed-note, tlog-checkpoint).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::SigstoreError;
use super::trust_root::Log;
use crate::limits;

/// A checkpoint, taken apart. Nothing is checked but its form.
#[derive(Debug)]
pub(crate) struct Checkpoint<'a> {
    pub(crate) origin: &'a str,
    pub(crate) tree_size: u64,
    pub(crate) root_hash: Vec<u8>,
    /// The text that is signed, to the newline before the blank line.
    signed: &'a str,
    signatures: Vec<NoteSignature<'a>>,
}

#[derive(Debug)]
struct NoteSignature<'a> {
    name: &'a str,
    key_hint: [u8; 4],
    signature: Vec<u8>,
}

impl<'a> Checkpoint<'a> {
    pub(crate) fn parse(note: &'a str) -> Result<Self, SigstoreError> {
        if note.len() > limits::CHECKPOINT_BYTES_MAX {
            let (seen, max) = (note.len(), limits::CHECKPOINT_BYTES_MAX);
            return Err(entry(format!("a checkpoint of {seen} bytes, at most {max} are read")));
        }
        read(note).ok_or_else(|| entry("the checkpoint is not a signed note".to_owned()))
    }

    /// That this log signed the checkpoint: not just any trusted log, but the one that the entry names. Lines of
    /// witnesses and of unknown keys are passed over, and so is one broken line beside a good one.
    pub(crate) fn check_signer(&self, log: &Log) -> Result<(), SigstoreError> {
        let by_the_log = |line: &&NoteSignature<'_>| log.id.starts_with(&line.key_hint);
        let named = |line: &&NoteSignature<'_>| !log.signs_notes_by_name || line.name == log.origin;
        if log.signs_notes_by_name && self.origin != log.origin {
            let (expected, seen) = (&log.origin, crate::json::quote(self.origin));
            return Err(entry(format!("the checkpoint is of `{seen}`, the entry of `{expected}`")));
        }
        let mut lines = self.signatures.iter().filter(by_the_log).filter(named).peekable();
        if lines.peek().is_none() {
            return Err(entry(format!("the checkpoint is not signed by the entry's log `{}`", log.origin)));
        }
        let is_good = lines.any(|line| log.key.verifies(self.signed.as_bytes(), &line.signature));
        let refusal = || entry(format!("the checkpoint's signature by `{}` is wrong", log.origin));
        is_good.then_some(()).ok_or_else(refusal)
    }
}

fn entry(text: String) -> SigstoreError {
    SigstoreError::LogEntry(text)
}

fn read(note: &str) -> Option<Checkpoint<'_>> {
    let blank = note.find("\n\n")?;
    let (signed, signatures) = (note.get(..=blank)?, note.get(blank + 2..)?);
    let mut lines = signed.split('\n');
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    // One spelling per number: the parser of integers takes a plus sign and leading zeros.
    let is_plain = size.bytes().all(|byte| byte.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
    let tree_size = size.parse().ok().filter(|_| is_plain && !origin.is_empty())?;
    let root_hash = STANDARD.decode(root).ok().filter(|root| root.len() == 32)?;
    let signatures: Vec<_> = signatures
        .strip_suffix('\n')
        .unwrap_or(signatures)
        .split('\n')
        .map(signature)
        .collect::<Option<_>>()?;
    Some(Checkpoint { origin, tree_size, root_hash, signed, signatures })
}

/// `— name base64(hint ‖ signature)`
fn signature(line: &str) -> Option<NoteSignature<'_>> {
    let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (key_hint, signature) = bytes.split_first_chunk::<4>()?;
    (!name.is_empty() && !signature.is_empty()).then_some(())?;
    Some(NoteSignature { name, key_hint: *key_hint, signature: signature.to_vec() })
}

#[cfg(test)]
mod tests;
