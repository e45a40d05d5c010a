//! Files whose permission bits widen an attacker's reach.

use crate::detectors::{Detected, Detector, Window};
use crate::layer::{Entry, EntryKind};
use crate::report::PermissionKind;

/// Reports set-user-ID and set-group-ID files and what everyone may write.
pub struct Permissions;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const EXECUTE: u32 = 0o111;
const WRITE_OTHERS: u32 = 0o002;

impl Detector for Permissions {
    fn name(&self) -> &'static str {
        "permissions"
    }

    fn version(&self) -> u32 {
        1
    }

    fn inspect(&self, entry: &Entry<'_>, window: &Window<'_>, found: &mut Vec<Detected>) {
        if !window.first {
            return;
        }
        let has = |bits| entry.mode & bits != 0;
        let (file, directory) = (entry.kind == EntryKind::File, entry.kind == EntryKind::Directory);
        // Links have no permissions of their own, and a device node is made by the engine, not by the image.
        let kinds = [
            (file && has(SETGID) && has(EXECUTE), PermissionKind::Setgid),
            (file && has(SETUID) && has(EXECUTE), PermissionKind::Setuid),
            ((file || directory && !has(STICKY)) && has(WRITE_OTHERS), PermissionKind::WorldWritable),
        ];
        found.extend(
            kinds.into_iter().filter(|(applies, _)| *applies).map(|(_, kind)| Detected::Permission(kind)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bits_that_widen_reach_are_reported() {
        use PermissionKind::{Setgid, Setuid, WorldWritable};
        let cases: [(EntryKind, u32, &[PermissionKind]); 9] = [
            (EntryKind::File, 0o4755, &[Setuid]),
            (EntryKind::File, 0o6755, &[Setgid, Setuid]),
            (EntryKind::File, 0o4644, &[]),
            (EntryKind::File, 0o666, &[WorldWritable]),
            (EntryKind::Directory, 0o2755, &[]),
            (EntryKind::Directory, 0o777, &[WorldWritable]),
            (EntryKind::Directory, 0o1777, &[]),
            (EntryKind::Symlink, 0o777, &[]),
            (EntryKind::CharacterDevice, 0o666, &[]),
        ];
        for (kind, mode, expected) in cases {
            let entry = Entry { path: b"x", kind, mode, size: 0, hash: None, target: b"" };
            let window = Window { bytes: &[], fresh: 0..0, first: true, offset: 0 };
            let mut found = Vec::new();
            Permissions.inspect(&entry, &window, &mut found);
            let expected: Vec<_> = expected.iter().map(|kind| Detected::Permission(*kind)).collect();
            assert_eq!(found, expected, "{kind:?} {mode:o}");
        }
    }
}
