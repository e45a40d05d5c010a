use super::*;
use crate::decisions::{Decision, seal};
use crate::gate::Checkpoint;
use crate::gate::verdict::{Denial, Reason, Verdict};
use crate::records::Records;
use crate::records::decisions::append;

/// A log of three denials, of `registry.example/a`, `…/b` and `…/a`.
fn data_dir() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    drop(Records::open(folder.path(), Box::new(|_| {})).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join("records.sqlite")).unwrap();
    let mut head: Option<Head> = None;
    for repository in ["registry.example/a", "registry.example/b", "registry.example/a"] {
        let reason = Reason::new("signature", "prod", "no valid signature by `release`", "sign it");
        let verdict = Verdict::Deny(Denial::new(repository.to_owned(), Checkpoint::Release, vec![reason]));
        let decision = Decision::new(1_782_864_000, Checkpoint::Release, repository, "sha256:00", &verdict);
        let decision = Decision { caller: "ci".to_owned(), door: "registry".to_owned(), ..decision };
        let sealed = seal(head.as_ref(), decision).unwrap();
        append(&connection, sealed.seq, &sealed.entry, &sealed.hash).unwrap();
        head = Some(Head { seq: sealed.seq, hash: sealed.hash });
    }
    folder
}

fn show(last: usize, repository: Option<&str>) -> Show {
    Show { last, repository: repository.map(str::to_owned), denied: true, json: false }
}

fn code(code: &ExitCode) -> String {
    format!("{code:?}")
}

#[test]
fn the_newest_matching_rows_are_shown_oldest_first() {
    let folder = data_dir();
    let connection = open_read_only(folder.path()).unwrap();
    let seqs = |show: Show| -> Vec<u64> {
        select(&connection, &show).unwrap().into_iter().map(|(entry, _)| entry.seq).collect()
    };
    assert_eq!(seqs(show(10, None)), [1, 2, 3]);
    assert_eq!(seqs(show(2, None)), [2, 3]);
    assert_eq!(seqs(show(10, Some("registry.example/a"))), [1, 3]);
    assert_eq!(seqs(show(0, None)), [0_u64; 0]);
    let (entry, _) = &select(&connection, &show(1, None)).unwrap()[0];
    insta::assert_snapshot!(line(entry), @r##"
    3 2026-07-01T00:00:00Z denied  release registry.example/a@sha256:00 for ci (registry)
        [signature] no valid signature by `release`
    "##);
}

#[test]
fn verify_tells_a_sound_log_from_a_tampered_one() {
    let folder = data_dir();
    let run_verify = |head: Option<Head>| {
        let connection = open_read_only(folder.path()).unwrap();
        code(&verify(&connection, head).unwrap())
    };
    let (sound, tampered) = (code(&ExitCode::SUCCESS), code(&ExitCode::from(EXIT_DENIED)));
    assert_eq!(run_verify(None), sound);
    assert_eq!(run_verify(Some(Head { seq: 4, hash: "0".repeat(64) })), tampered);
    let connection = rusqlite::Connection::open(folder.path().join("records.sqlite")).unwrap();
    connection.execute("DELETE FROM decisions WHERE seq = 2", []).unwrap();
    assert_eq!(run_verify(None), tampered);
}

#[test]
fn a_folder_without_a_log_is_the_callers_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let args = Args { data_dir: folder.path().to_owned(), command: Command::Verify { head: None } };
    assert!(run(args).unwrap_err().is::<UsageError>());
    assert!(!folder.path().join("records.sqlite").exists());
}

#[test]
fn a_head_is_read_as_it_is_printed() {
    assert_eq!(parse_head(&format!("7:{}", "a".repeat(64))).unwrap(), Head { seq: 7, hash: "a".repeat(64) });
    for text in ["7", "7:", "x:00", ":", "7:zz"] {
        assert!(parse_head(text).is_err(), "{text}");
    }
}
