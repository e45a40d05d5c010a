use super::*;
use crate::gate::verdict::Denial;

fn decision(number: usize) -> Decision {
    let reasons = vec![Reason::new("signature", "prod", format!("no valid signature {number}"), "sign it")];
    let denial = Denial::new("registry.example/app".to_owned(), Checkpoint::Release, reasons);
    let verdict = Verdict::Deny(denial);
    Decision::new(1_782_864_000, Checkpoint::Release, "registry.example/app", "sha256:00", &verdict)
}

fn log(count: usize) -> Vec<Sealed> {
    let mut head: Option<Head> = None;
    let mut rows = Vec::new();
    for number in 0..count {
        let sealed = seal(head.as_ref(), decision(number)).unwrap();
        head = Some(Head { seq: sealed.seq, hash: sealed.hash.clone() });
        rows.push(sealed);
    }
    rows
}

fn verify(rows: &[Sealed], remembered: Option<Head>) -> Result<Option<Head>, ChainError> {
    let mut chain = Chain::new(remembered);
    for row in rows {
        chain.follow(row.seq, &row.entry, &row.hash)?;
    }
    chain.finish()
}

fn head(row: &Sealed) -> Head {
    Head { seq: row.seq, hash: row.hash.clone() }
}

#[test]
fn an_untouched_log_verifies_and_gives_its_head() {
    assert_eq!(verify(&[], None), Ok(None));
    let rows = log(5);
    assert_eq!(verify(&rows, None), Ok(Some(head(&rows[4]))));
    assert_eq!(verify(&rows, Some(head(&rows[2]))), Ok(Some(head(&rows[4]))));
}

#[test]
fn an_edited_row_is_found() {
    for at in 0..5 {
        let mut rows = log(5);
        let text = String::from_utf8(rows[at].entry.clone()).unwrap();
        rows[at].entry = text.replace("denied", "allowed").into_bytes();
        assert!(matches!(verify(&rows, None), Err(ChainError::Edited { seq, .. }) if seq == at as u64 + 1));
        let mut rows = log(5);
        rows[at].hash = "0".repeat(64);
        assert!(matches!(verify(&rows, None), Err(ChainError::Edited { seq, .. }) if seq == at as u64 + 1));
    }
}

#[test]
fn a_row_missing_from_the_middle_is_found() {
    for at in 0..4 {
        let mut rows = log(5);
        rows.remove(at);
        assert!(
            matches!(verify(&rows, None), Err(ChainError::Gap { expected, .. }) if expected == at as u64 + 1)
        );
    }
    let mut rows = log(5);
    rows.swap(1, 2);
    assert_eq!(verify(&rows, None), Err(ChainError::Gap { expected: 2, found: 3 }));
}

#[test]
fn a_row_renumbered_into_a_gap_is_found() {
    let mut rows = log(5);
    rows.remove(1);
    for (index, row) in rows.iter_mut().enumerate() {
        row.seq = index as u64 + 1;
    }
    assert!(matches!(verify(&rows, None), Err(ChainError::Edited { seq: 2, .. })));
}

#[test]
fn a_cut_end_and_a_rewritten_log_are_found_by_a_remembered_head() {
    let rows = log(5);
    assert_eq!(
        verify(&rows[..3], Some(head(&rows[4]))),
        Err(ChainError::Truncated { last: 3, remembered: 5 })
    );
    assert_eq!(verify(&[], Some(head(&rows[0]))), Err(ChainError::Truncated { last: 0, remembered: 1 }));
    let mut remembered = head(&rows[2]);
    remembered.hash = "1".repeat(64);
    assert!(matches!(verify(&rows, Some(remembered)), Err(ChainError::Rewritten { seq: 3, .. })));
}

#[test]
fn what_is_no_entry_is_malformed_even_with_a_right_hash() {
    let entry = br#"{"seq":1}"#.to_vec();
    let hash = hex::encode(chain_hash(&GENESIS, &entry));
    assert_eq!(verify(&[Sealed { seq: 1, entry, hash }], None), Err(ChainError::Malformed { seq: 1 }));
    let sealed = seal(Some(&Head { seq: 7, hash: "0".repeat(64) }), decision(0)).unwrap();
    let renumbered = Sealed { seq: 1, ..sealed };
    assert_eq!(verify(&[renumbered], None), Err(ChainError::Malformed { seq: 1 }));
    assert!(seal(Some(&Head { seq: 7, hash: "short".to_owned() }), decision(0)).is_err());
    assert!(seal(Some(&Head { seq: u64::MAX, hash: "0".repeat(64) }), decision(0)).is_err());
}

#[test]
fn the_canonical_form_does_not_change_unnoticed() {
    let rows = log(1);
    insta::assert_snapshot!(String::from_utf8(rows[0].entry.clone()).unwrap(), @r##"
    {"seq":1,"at":1782864000,"caller":"","door":"gateway","checkpoint":"release","repository":"registry.example/app","digest":"sha256:00","outcome":"denied","reasons":[{"check":"signature","rule":"prod","message":"no valid signature 0"}],"policy":"","evidence":[]}
    "##);
}

#[test]
fn a_row_stays_small_whatever_was_refused() {
    let reasons =
        (0..2000).map(|n| Reason::new("unknown", "prod", format!("{n} {}", "x".repeat(5000)), "y")).collect();
    let denial = Denial::new("a".to_owned(), Checkpoint::Push, reasons);
    let verdict = Verdict::Deny(denial);
    let decision = Decision::new(0, Checkpoint::Push, "a", "b", &verdict);
    assert_eq!((decision.reasons.len(), decision.reasons_omitted), (50, 1950));
    assert!(seal(None, decision).unwrap().entry.len() < 32_768);
}
