//! Any bytes as an admission review and as an engine's call: never a yes without an answer about every image.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::admission::docker::{self, LocalImages, Question};
use portcullis::admission::kubernetes::{Review, reply_to_broken};

fuzz_target!(|bytes: &[u8]| {
    let (reply, asked) = match Review::read(bytes) {
        Ok(review) => (review.reply(&[]), review.asked().len()),
        Err(error) => (reply_to_broken(&error), 0),
    };
    let allowed = reply["response"]["allowed"].as_bool().expect("a word");
    let said = reply["response"]["auditAnnotations"]["images"].as_str().expect("what was asked");
    assert!(!allowed || asked == 0 || said.contains("undecided"), "{reply}");
    if let Question::Images(asked) = docker::read(bytes, LocalImages::Denied) {
        assert!(asked.iter().all(|asked| asked.place == "pull" || asked.image.digest().is_some()));
        assert!(!docker::reply(&asked, &[]).allow);
    }
});
