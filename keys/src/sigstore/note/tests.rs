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

/// A log whose key hint covers its name: the same key under another name is another log.
#[test]
fn a_log_of_the_second_kind_signs_under_its_own_name_only() {
    let signer = crate::testing::signer("ed25519");
    let key = signer.public_key().clone();
    let validity = sigstore_types::TimeRange::new(jiff::Timestamp::UNIX_EPOCH, None);
    let log = |by_name| Log {
        id: [7; 32],
        origin: "log.example".to_owned(),
        key: key.clone(),
        signs_notes_by_name: by_name,
        validity,
    };
    let note = |origin: &str, name: &str| {
        let text = format!("{origin}\n7\n{ROOT}\n");
        let line = [&[7; 4], signer.sign(text.as_bytes()).unwrap().as_slice()].concat();
        format!("{text}\n\u{2014} {name} {}\n", STANDARD.encode(line))
    };
    for (origin, name, by_name, expected) in [
        ("log.example", "log.example", true, true),
        ("log.example", "other.example", true, false),
        ("other.example", "log.example", true, false),
        ("log.example - 123", "log.example", false, true),
    ] {
        let note = note(origin, name);
        let verdict = Checkpoint::parse(&note).unwrap().check_signer(&log(by_name));
        assert_eq!(verdict.is_ok(), expected, "{origin} {name}: {verdict:?}");
    }
    // One broken line of the log's name does not hide a good one, and a good one under an unknown key proves nothing.
    let good = note("log.example", "log.example");
    let broken = format!("\u{2014} log.example {}\n", STANDARD.encode([[7; 4], [0; 4]].concat()));
    let both = good.replacen('\u{2014}', &format!("{broken}\u{2014}"), 1);
    assert!(Checkpoint::parse(&both).unwrap().check_signer(&log(true)).is_ok());
    let only_broken = format!("{}\n\n{broken}", good.split("\n\n").next().unwrap());
    assert!(Checkpoint::parse(&only_broken).unwrap().check_signer(&log(true)).is_err());
}
