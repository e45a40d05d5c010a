//! Only the one spelling of a signed note is read.

use super::*;

const ROOT: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn a_note_with_witnesses_is_read_and_any_other_spelling_refused() {
    let line = "\u{2014} log.example AAAAAAE=\n";
    let good = format!("log.example\n7\n{ROOT}\nextra\n\n{line}{line}");
    let note = Checkpoint::parse(&good).unwrap();
    assert_eq!((note.origin, note.tree_size, note.signatures.len()), ("log.example", 7, 2));
    assert_eq!(note.signed, format!("log.example\n7\n{ROOT}\nextra\n"));
    for wrong in [
        String::new(),
        format!("log.example\n7\n{ROOT}\n"),
        format!("log.example\n7\n{ROOT}\n\n"),
        format!("7\n{ROOT}\n\n{line}"),
        format!("log.example\n{ROOT}\n\n{line}"),
        format!("log.example\n7\n\n{line}"),
        format!("\n7\n{ROOT}\n\n{line}"),
        format!("log.example\n+7\n{ROOT}\n\n{line}"),
        format!("log.example\n07\n{ROOT}\n\n{line}"),
        format!("log.example\n 7\n{ROOT}\n\n{line}"),
        format!("log.example\n7\nAAAA\n\n{line}"),
        format!("log.example\n7\n{ROOT}\n\n- log.example AAAAAAE=\n"),
        format!("log.example\n7\n{ROOT}\n\n\u{2014} log.example\n"),
        format!("log.example\n7\n{ROOT}\n\n\u{2014} log.example AAAA\n"),
        format!("log.example\n7\n{ROOT}\n\n{line}\n{line}"),
        format!("{good}{}", "x".repeat(limits::CHECKPOINT_BYTES_MAX)),
    ] {
        assert!(matches!(Checkpoint::parse(&wrong), Err(SigstoreError::LogEntry(_))), "{wrong}");
    }
}
