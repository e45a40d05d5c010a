//! Responses as responders send them, and what is none.

use super::*;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/ocsp/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn what_responders_send_is_read_whole() {
    for (name, status) in [
        ("good.der", Status::Good),
        ("unknown.der", Status::Unknown),
        ("revoked.der", Status::Revoked(1_793_491_200)),
        ("delegated.der", Status::Good),
    ] {
        let response = OcspResponse::from_der(&file(name)).unwrap();
        let [answer] = response.answers.as_slice() else { panic!("{name}") };
        assert_eq!(answer.status, status, "{name}");
        assert!(answer.this_update < answer.next_update);
    }
}

#[test]
fn what_is_no_response_is_refused_by_its_field() {
    let good = file("good.der");
    let check = |bytes: &[u8], expected: OcspError| {
        assert_eq!(OcspResponse::from_der(bytes), Err(expected));
    };
    check(&file("no-next.der"), OcspError::NoNextUpdate);
    check(&[0x30, 3, 0x0a, 1, 3], OcspError::NotSuccessful(3));
    check(&[0x30, 3, 0x0a, 1, 0], OcspError::Malformed("responseBytes"));
    check(b"", OcspError::Malformed("OCSPResponse"));
    check(&[&good[..], b"x"].concat(), OcspError::Malformed("OCSPResponse"));
    let (seen, max) = (limits::OCSP_BYTES_MAX + 1, limits::OCSP_BYTES_MAX);
    check(&vec![0x30; seen], OcspError::TooLarge { seen, max, unit: "bytes" });
    for cut in 0..good.len() {
        assert!(OcspResponse::from_der(&good[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn no_changed_bit_gives_a_signed_answer_of_another_meaning() {
    let certificates = |name| Certificate::from_file(&file(name)).unwrap();
    let (leaf, ca) = (certificates("leaf.pem").remove(0), certificates("ca.pem"));
    let good = file("revoked.der");
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[index] ^= 1 << bit;
            let Ok(response) = OcspResponse::from_der(&changed) else { continue };
            let is_signed = response.is_signed_for(&ca, 1_795_564_800);
            let status = response.about(&leaf, &ca[0]).map(|answer| answer.status);
            let is_same = status.is_none_or(|status| status == Status::Revoked(1_793_491_200));
            assert!(!is_signed || is_same, "byte {index}, bit {bit}: {status:?}");
        }
    }
}
