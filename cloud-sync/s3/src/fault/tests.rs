//! The table of refusals, row by row.

use super::*;

fn said(status: u16, code: &str, message: &str) -> Refusal {
    Refusal { status, code: code.into(), message: message.into(), ..Refusal::default() }
}

#[test]
fn each_refusal_has_its_code_kind_and_advice() {
    let rows = [
        (404, "NoSuchBucket", "bucket.missing", Kind::NotFound),
        (403, "AccessDenied", "bucket.denied", Kind::Denied),
        (403, "InvalidAccessKeyId", "bucket.denied", Kind::Denied),
        (400, "InvalidToken", "bucket.denied", Kind::Denied),
        (400, "ExpiredToken", "bucket.expired", Kind::Denied),
        (403, "TokenRefreshRequired", "bucket.expired", Kind::Denied),
        (403, "SignatureDoesNotMatch", "bucket.denied", Kind::Denied),
        (403, "", "bucket.denied", Kind::Denied),
        (401, "", "bucket.denied", Kind::Denied),
        (301, "", "bucket.region", Kind::Invalid),
        (301, "PermanentRedirect", "bucket.region", Kind::Invalid),
        (400, "AuthorizationHeaderMalformed", "bucket.region", Kind::Invalid),
        (403, "RequestTimeTooSkewed", "bucket.clock", Kind::Unavailable),
        (403, "QuotaExceeded", "bucket.full", Kind::Full),
        (507, "", "bucket.full", Kind::Full),
        (503, "SlowDown", "bucket.busy", Kind::Unavailable),
        (503, "", "bucket.busy", Kind::Unavailable),
        (429, "", "bucket.busy", Kind::Unavailable),
        (500, "InternalError", "bucket.failing", Kind::Unavailable),
        (400, "BadDigest", "bucket.transit", Kind::Unavailable),
        (400, "InvalidStorageClass", "bucket.class", Kind::Invalid),
        (400, "InvalidArgument", "bucket.refused", Kind::Invalid),
        (418, "", "bucket.refused", Kind::Invalid),
    ];
    for (status, code, want, kind) in rows {
        let error = of_refusal("bucket acme", &said(status, code, ""));
        assert_eq!((error.code(), error.kind()), (want, kind), "{status} {code}");
        assert!(error.advice_text().is_some(), "{status} {code}");
        assert!(error.to_string().contains("bucket acme"), "{error}");
    }
}

#[test]
fn a_quota_told_only_in_words_is_full() {
    let error = of_refusal("bucket acme", &said(403, "AccessDenied", "Bucket size quota is reached"));
    assert_eq!(error.code(), "bucket.full");
}

#[test]
fn a_bucket_without_locks_is_known_by_its_words() {
    let without = [
        said(400, "InvalidRequest", "Bucket is missing Object Lock Configuration"),
        said(400, "InvalidRequest", "bucket object lock not configured"),
        said(404, "ObjectLockConfigurationNotFoundError", ""),
    ];
    for refusal in without {
        assert_eq!(of_refusal("bucket acme", &refusal).code(), "store.no_lock", "{refusal:?}");
    }
    let locked = said(403, "AccessDenied", "Access Denied because object protected by object lock.");
    assert_eq!(of_refusal("bucket acme", &locked).code(), "bucket.denied");
    assert_eq!(of_refusal("bucket acme", &said(400, "InvalidRequest", "no")).code(), "bucket.refused");
}

#[test]
fn the_clocks_difference_is_told_in_words() {
    for (skew, words) in [(7_500, "2 hours behind"), (-1_000, "16 minutes ahead of"), (200_000, "2 days behind")] {
        let refusal = Refusal { skew_seconds: Some(skew), ..said(403, "RequestTimeTooSkewed", "") };
        let error = of_refusal("bucket acme", &refusal);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_wanted_region_is_named() {
    let refusal = Refusal { region: Some("eu-west-3".into()), ..said(400, "AuthorizationHeaderMalformed", "") };
    let error = of_refusal("bucket acme", &refusal);
    assert!(error.to_string().contains("eu-west-3"));
    assert_eq!(error.advice_text(), Some("Set region=eu-west-3 in the bucket URL."));
}

#[test]
fn a_hostile_message_is_cut_and_cleaned() {
    let error = of_refusal("bucket acme", &said(403, "AccessDenied", &format!("a\x1b[31m\n{}", "x".repeat(10_000))));
    assert!(error.chain().len() < 600);
    assert!(!error.chain().contains(['\n', '\x1b']));
}

#[test]
fn tls_refusals_are_told_apart_from_silence() {
    let tls = std::io::Error::other(std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer),
    ));
    assert_eq!(of_transport("bucket acme", &tls).code(), "bucket.tls");
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let error = of_transport("bucket acme", &refused);
    assert_eq!(error.code(), "bucket.unreachable");
    assert!(error.to_string().contains("nobody listens"), "{error}");
}

#[test]
fn what_a_proxy_does_is_told_as_its_own() {
    let place = through("bucket acme", "http://proxy:3128");
    let cases = [
        ("tunnel error: proxy authorization required", Kind::Denied, "a name and a password"),
        ("tunnel error: unsuccessful", Kind::Unavailable, "refuses the connection"),
        ("client error (Connect): Connection refused", Kind::Unavailable, "nobody listens"),
        ("tunnel error: failed to create underlying connection: dns error", Kind::Unavailable, "its name is not known"),
    ];
    for (words, kind, told) in cases {
        let error = of_transport(&place, &std::io::Error::other(words));
        assert_eq!((error.code(), error.kind()), ("bucket.proxy", kind), "{words}");
        assert!(error.to_string().contains("http://proxy:3128") && error.to_string().contains(told), "{error}");
        assert!(error.advice_text().is_some());
        assert_eq!(of_transport("bucket acme", &std::io::Error::other(words)).code(), "bucket.unreachable", "{words}");
    }
    let broke = of_transport(&place, &std::io::Error::other("connection reset"));
    assert_eq!(broke.code(), "bucket.unreachable", "once it is there, who broke it is not known");
    assert!(broke.to_string().contains("http://proxy:3128"), "{broke}");
    let asked = of_refusal(&place, &said(407, "", ""));
    assert_eq!((asked.code(), asked.kind()), ("bucket.proxy", Kind::Denied));
}
