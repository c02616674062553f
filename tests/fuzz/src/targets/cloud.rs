//! The cloud rooms: enrolment bundles, and the few answers of stores that are read by ourselves.

use crate::food::Food;
use holdfast_model::Moment;
use holdfast_provider::{bundle, fuzzing};

/// When the seeds are valid.
const NOW: i64 = 1_795_000_000_000;

/// Bundles in both forms; only what was signed opens.
pub(super) fn enrolment(input: &[u8]) {
    let mut food = Food::new(input);
    let mode = food.byte();
    let text = String::from_utf8_lossy(food.rest());
    match mode % 3 {
        0 => read(&text),
        1 => open(&text, mode),
        _ => answer(&text),
    }
}

fn read(text: &str) {
    let Ok(read) = bundle::parse(text) else { return };
    assert!(
        bundle::parse(&bundle::to_line(&read)).expect("our own line is read") == read,
        "a bundle changes by writing"
    );
    let _ = bundle::fingerprint(&read.key);
    if bundle::open(&read, Moment::from_millis(NOW), None).is_ok() {
        let mut forged = read.clone();
        forged.payload.push(' ');
        assert!(bundle::open(&forged, Moment::from_millis(NOW), None).is_err(), "a changed payload opens");
    }
}

/// Any payload under a right signature.
fn open(payload: &str, mode: u8) {
    let signed = fuzzing::signed(payload);
    let now = Moment::from_millis(NOW);
    let opened = bundle::open(&signed, now, (mode >= 128).then_some(signed.key.as_str()));
    assert!(bundle::open(&signed, now, Some("00")).is_err(), "a foreign provider is trusted");
    if let Ok(enrolment) = opened {
        let written = serde_json::to_string(&enrolment).expect("an enrolment can be written");
        let again = bundle::open(&fuzzing::signed(&written), now, None).expect("our own enrolment is read");
        assert!(again == enrolment, "an enrolment changes by writing");
    }
}

/// The error and key elements of S3 and IAM answers.
fn answer(xml: &str) {
    for name in ["Code", "Message", "Arn", "AccessKeyId", "SecretAccessKey"] {
        if let Some(text) = holdfast_s3::fuzzing::element(xml, name) {
            assert!(text.len() <= xml.len(), "an element longer than its answer");
        }
    }
}

pub(super) fn bundles() -> Vec<Vec<u8>> {
    let payload = format!(
        "{{\"format\":1,\"provider\":\"acme\",\"tenant\":\"t1\",\"id\":\"x\",\"issued\":\"{}\",\"expires\":\"{}\",\
         \"bucket\":\"s3://b?endpoint=https://s3.example&region=auto\",\
         \"credentials\":{{\"access_key\":\"a\",\"secret_key\":\"b\"}},\"ca\":null,\"quota_bytes\":5}}",
        Moment::from_millis(NOW - 1000),
        Moment::from_millis(NOW + 1_000_000),
    );
    let signed = fuzzing::signed(&payload);
    let file = serde_json::to_string(&signed).expect("a bundle can be written");
    vec![
        [&[0], file.as_bytes()].concat(),
        [&[0], bundle::to_line(&signed).as_bytes()].concat(),
        [&[1], payload.as_bytes()].concat(),
        [&[130], payload.as_bytes()].concat(),
        b"\x02<Error><Code>Access&amp;Denied</Code><Message>m</Message></Error>".to_vec(),
    ]
}
