//! Bundles: what opens, and what each kind of damage is called.

use super::*;
use holdfast_model::{
    Secret,
    bucket::{BucketUrl, Credentials},
};

const NOW: i64 = 1_795_400_000_000;

fn enrolment() -> Enrolment {
    let now = Moment::from_millis(NOW);
    Enrolment {
        format: FORMAT,
        provider: "Norddaten".into(),
        tenant: "acme".into(),
        id: "b1".into(),
        issued: now,
        expires: now.plus_seconds(3600),
        bucket: BucketUrl::parse("s3://hf-acme?endpoint=https://s3.example").unwrap(),
        credentials: Credentials { access_key: "AK".into(), secret_key: Secret::new("geheim"), session_token: None },
        ca: None,
        quota_bytes: Some(5_000_000_000),
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn at(seconds: i64) -> Moment {
    Moment::from_millis(NOW).plus_seconds(seconds)
}

#[test]
fn a_bundle_opens_and_says_what_was_signed() {
    let bundle = sign(&enrolment(), &key(1)).unwrap();
    assert_eq!(open(&bundle, at(10), None).unwrap(), enrolment());
    assert_eq!(open(&bundle, at(10), Some(&bundle.key.to_uppercase())).unwrap(), enrolment());
    assert_eq!(open(&bundle, at(-200), None).unwrap(), enrolment(), "clocks differ a little");
}

#[test]
fn both_forms_are_read() {
    let bundle = sign(&enrolment(), &key(1)).unwrap();
    let line = to_line(&bundle);
    assert!(
        line.starts_with("hfe1_") && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    );
    let broken_by_mail = format!(" {}\r\n {}\n", &line[..80], &line[80..]);
    for text in [line, broken_by_mail, serde_json::to_string_pretty(&bundle).unwrap()] {
        assert_eq!(parse(&text).unwrap(), bundle);
    }
    for text in ["", "hfe1_", "hfe1_x", "hfe2_abcd", "{}", "hello"] {
        assert_eq!(parse(text).unwrap_err().code(), "bundle.malformed", "{text}");
    }
}

#[test]
fn each_damage_has_its_name() {
    let good = sign(&enrolment(), &key(1)).unwrap();
    let code =
        |bundle: &SignedBundle, seconds, trusted| open(bundle, at(seconds), trusted).unwrap_err().code().to_owned();
    let changed = SignedBundle { payload: good.payload.replace("acme", "evil"), ..good.clone() };
    assert_eq!(code(&changed, 0, None), "bundle.signature");
    let resigned = sign(&enrolment(), &key(2)).unwrap();
    assert_eq!(code(&resigned, 0, Some(&good.key)), "bundle.signature");
    let swapped = SignedBundle { key: resigned.key.clone(), ..good.clone() };
    assert_eq!(code(&swapped, 0, None), "bundle.signature");
    assert_eq!(code(&good, 3600, None), "bundle.expired");
    assert_eq!(code(&good, -301, None), "bundle.not_yet_valid");
    for bad in ["", "zz", &"0".repeat(63), &"f".repeat(66)] {
        assert_eq!(code(&SignedBundle { key: bad.into(), ..good.clone() }, 0, None), "bundle.malformed");
        assert_eq!(code(&SignedBundle { signature: bad.into(), ..good.clone() }, 0, None), "bundle.malformed");
    }
    let newer = sign(&Enrolment { format: 2, ..enrolment() }, &key(1)).unwrap();
    assert_eq!(code(&newer, 0, None), "bundle.malformed");
}

#[test]
fn weak_keys_do_not_count() {
    // The neutral element as key makes forged signatures pass a lenient check.
    let mut identity = [0u8; 32];
    identity[0] = 1;
    let mut signature = [0u8; 64];
    signature[0] = 1;
    let payload = serde_json::to_string(&enrolment()).unwrap();
    let forged = SignedBundle { payload, key: hex::encode(identity), signature: hex::encode(signature) };
    assert_eq!(open(&forged, at(0), None).unwrap_err().code(), "bundle.signature");
}

#[test]
fn fingerprints_can_be_read_out() {
    let bundle = sign(&enrolment(), &key(1)).unwrap();
    let text = fingerprint(&bundle.key);
    assert_eq!(text.len(), 39);
    assert_eq!(text.split('-').count(), 8);
}
