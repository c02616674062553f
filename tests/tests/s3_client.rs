//! The bucket client against an S3 server in process: the storage suite, every error code, every kind of broken
//! answer, and the probe against the quirks of real engines.

use bytes::Bytes;
use holdfast_model::{
    Error, Kind, Secret,
    bucket::{BucketUrl, Credentials},
    lock::LockMode,
    settings::BucketSettings,
};
use holdfast_runtime::Clock;
use holdfast_s3::{Patience, S3Store, probe};
use holdfast_storage::{Keep, PutMode, Store, conformance};
use holdfast_tests::{
    forward::{Forward, Lets},
    s3mem::{Fault, Quirks, S3Mem},
};
use std::{sync::Arc, time::Duration};

fn hasty() -> Patience {
    Patience {
        connect: Duration::from_millis(500),
        answer: Duration::from_millis(700),
        idle: Duration::from_millis(500),
        silence: Duration::from_millis(700),
        first_wait: Duration::from_millis(5),
    }
}

async fn server(quirks: Quirks) -> (S3Mem, S3Store) {
    let server = S3Mem::start(quirks).await;
    let store = S3Store::open_with(&server.settings("bucket"), hasty()).expect("a store");
    (server, store)
}

fn with(settings: &BucketSettings, change: impl FnOnce(&mut holdfast_model::bucket::S3Place)) -> BucketSettings {
    let mut settings = settings.clone();
    if let BucketUrl::S3(place) = &mut settings.url {
        change(place);
    }
    settings
}

fn is(error: &Error, code: &str, kind: Kind) {
    assert_eq!((error.code(), error.kind()), (code, kind), "{error:?}");
    assert!(error.advice_text().is_some(), "{error:?} gives no advice");
    assert!(!error.chain().contains("secret-admin"), "{error:?} leaks");
}

const BODY: Bytes = Bytes::from_static(b"0123456789abcdef");

async fn put(store: &S3Store, key: &str) {
    store.put(key, BODY, PutMode::Once).await.expect("an object can be put");
}

#[tokio::test]
async fn the_store_keeps_the_promises_of_stores() {
    let (_server, store) = server(Quirks::default()).await;
    conformance::run(Arc::new(store)).await;
}

#[tokio::test]
async fn the_promises_hold_on_engines_with_quirks() {
    for quirks in [
        Quirks { ignores_condition: true, ignores_checksum: true, ..Quirks::default() },
        Quirks { refuses_condition: true, page: 3, ..Quirks::default() },
        Quirks { ignores_range: true, ..Quirks::default() },
        Quirks { ignores_signed_hash: true, no_versions: true, ..Quirks::default() },
    ] {
        let (server, _) = server(quirks).await;
        let settings = with(&server.settings("bucket"), |place| place.prefix = "site/one".into());
        conformance::run(Arc::new(S3Store::open(&settings).unwrap())).await;
        assert!(server.keys("bucket").is_empty());
    }
}

#[tokio::test]
async fn a_bucket_with_locks_keeps_what_is_locked() {
    let (server, plain) = server(Quirks::default()).await;
    server.make_bucket("locking", true);
    let settings = with(&server.settings("locking"), |place| place.prefix = "site".into());
    let store = S3Store::open_with(&settings, hasty()).unwrap();
    conformance::locks(&store, Clock::system().now()).await;
    conformance::run(Arc::new(store)).await;
    let keep = Keep { mode: LockMode::Governance, until: Clock::system().now().plus_seconds(60) };
    put(&plain, "there").await;
    for refused in [
        plain.put_kept("new", BODY, PutMode::Once, keep).await.err(),
        plain.extend("there", keep).await.err(),
        plain.kept_until("there", None).await.err(),
    ] {
        assert_eq!(refused.expect("a bucket without locks says so").code(), "store.no_lock");
    }
    assert_eq!(server.keys("bucket"), ["there"]);
}

#[tokio::test]
async fn a_store_that_takes_locks_and_keeps_none_is_not_believed() {
    let (_server, store) = server(Quirks { ignores_lock: true, ..Quirks::default() }).await;
    let keep = Keep { mode: LockMode::Compliance, until: Clock::system().now().plus_seconds(60) };
    let error = store.put_kept("a", BODY, PutMode::Once, keep).await.unwrap_err();
    is(&error, "lock.not_kept", Kind::Refused);
    assert_eq!(store.get("a").await.unwrap(), BODY, "it is there all the same");
    is(&store.extend("a", keep).await.unwrap_err(), "lock.not_kept", Kind::Refused);
}

#[tokio::test]
async fn a_prefix_is_a_wall() {
    let (server, store) = server(Quirks::default()).await;
    let inner = S3Store::open(&with(&server.settings("bucket"), |place| place.prefix = "site".into())).unwrap();
    put(&store, "sites/other").await;
    put(&inner, "packs/a").await;
    assert_eq!(server.keys("bucket"), ["site/packs/a", "sites/other"]);
    let listed = inner.list("").await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["packs/a"]);
}

#[tokio::test]
async fn opening_touches_no_network() {
    let (server, _) = server(Quirks::default()).await;
    S3Store::open(&server.settings("nowhere")).unwrap();
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn each_wrong_setting_has_its_own_error() {
    let (server, _) = server(Quirks { region: "eu-west-3".into(), ..Quirks::default() }).await;
    let good = server.settings("bucket");
    let cases = [
        (server.settings("nowhere"), "bucket.missing", Kind::NotFound),
        (server.settings_as("bucket", ("ADMINKEY", "wrong")), "bucket.denied", Kind::Denied),
        (server.settings_as("bucket", ("NOBODY", "wrong")), "bucket.denied", Kind::Denied),
        (with(&good, |place| place.region = "us-east-1".into()), "bucket.region", Kind::Invalid),
        (
            with(&good, |place| place.endpoint = Some("http://127.0.0.1:1".into())),
            "bucket.unreachable",
            Kind::Unavailable,
        ),
        (
            with(&good, |place| place.endpoint = Some("http://nobody.invalid".into())),
            "bucket.unreachable",
            Kind::Unavailable,
        ),
        (with(&good, |place| place.endpoint = Some(server.url.replace("http:", "https:"))), "bucket.tls", Kind::Denied),
    ];
    for (settings, code, kind) in cases {
        let store = S3Store::open_with(&settings, hasty()).unwrap();
        let results = [
            store.get("a").await.unwrap_err(),
            store.head("a").await.unwrap_err(),
            store.list("").await.unwrap_err(),
            store.put("a", BODY, PutMode::Once).await.unwrap_err(),
            store.put("a", BODY, PutMode::Replace).await.unwrap_err(),
        ];
        results.iter().for_each(|error| is(error, code, kind));
    }
    let store = S3Store::open_with(&with(&good, |place| place.region = "us-east-1".into()), hasty()).unwrap();
    assert!(store.list("").await.unwrap_err().to_string().contains("eu-west-3"));
}

#[tokio::test]
async fn an_expired_session_token_is_named_and_replaced_while_the_store_is_open() {
    let (server, _) = server(Quirks { session_token: "fresh".into(), ..Quirks::default() }).await;
    let mut settings = server.settings("bucket");
    let keys = |token: &str| Credentials {
        session_token: Some(Secret::new(token)),
        ..server.settings("bucket").credentials.expect("keys")
    };
    settings.credentials = Some(keys("stale"));
    let store = S3Store::open_with(&settings, hasty()).unwrap();
    let results = [
        store.get("a").await.unwrap_err(),
        store.head("a").await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.put("a", BODY, PutMode::Once).await.unwrap_err(),
    ];
    results.iter().for_each(|error| is(error, "bucket.expired", Kind::Denied));
    assert!(results.iter().all(|error| !error.chain().contains("stale")), "{results:?}");
    store.sign_with(&keys("fresh"));
    put(&store, "a").await;
    assert_eq!(store.get("a").await.unwrap(), BODY);
}

#[tokio::test]
async fn what_is_under_way_goes_on_when_other_keys_are_given() {
    let server = S3Mem::start(Quirks::default()).await;
    let (access, secret) = server.user("t", "bucket", &["s3:*"]);
    // What the system takes at once moves nothing for a while.
    let patient = Patience { silence: Duration::from_secs(3), ..hasty() };
    let store = Arc::new(S3Store::open_with(&server.settings("bucket"), patient).unwrap());
    server.trap("PUT", "/slow", 0, 1, Fault::Sip(8 << 20));
    let flight = tokio::spawn({
        let store = store.clone();
        async move { store.put("slow", large(), PutMode::Once).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.sign_with(&Credentials { access_key: access, secret_key: Secret::new(secret), session_token: None });
    flight.await.unwrap().expect("it was signed already");
    let uploads = server.requests().iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(uploads, 1, "{:?}", server.requests());
    assert_eq!(server.object("bucket", "slow").unwrap(), large());
}

#[tokio::test]
async fn over_tls_only_the_given_ca_counts() {
    let server = S3Mem::start_tls(Quirks::default()).await;
    let with_ca = |ca: Option<&str>| BucketSettings { ca: ca.map(str::to_owned), ..server.settings("bucket") };
    conformance::run(Arc::new(S3Store::open(&with_ca(Some(S3Mem::CA))).unwrap())).await;
    let caps = probe(&with_ca(Some(S3Mem::CA))).await.unwrap();
    assert!(caps.checksum && caps.conditional_race, "{caps:?}");
    let store = S3Store::open_with(&with_ca(Some(S3Mem::OTHER_CA)), hasty()).unwrap();
    is(&store.list("").await.unwrap_err(), "bucket.tls", Kind::Denied);
    // The URL may name a file instead.
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ca.pem");
    std::fs::write(&path, S3Mem::CA).unwrap();
    let named = with(&with_ca(None), |place| place.ca = Some(path.display().to_string()));
    S3Store::open(&named).unwrap().list("").await.unwrap();
}

/// The login of ada with the password `ge@im/1`.
const LOGIN: Lets = Lets::With("Basic YWRhOmdlQGltLzE=");

/// The settings of a server's bucket by a proxy.
fn by(server: &S3Mem, proxy: &str, password: Option<&str>) -> BucketSettings {
    let mut settings = with(&server.settings("bucket"), |place| place.proxy = Some(format!("http://{proxy}")));
    settings.proxy_password = password.map(Secret::new);
    settings.ca = Some(S3Mem::CA.to_owned());
    settings
}

/// Time for a connection that takes several turns.
fn patient() -> Patience {
    Patience { connect: Duration::from_secs(10), answer: Duration::from_secs(10), ..hasty() }
}

#[tokio::test]
async fn a_bucket_is_reached_through_a_proxy() {
    let plain = S3Mem::start(Quirks::default()).await;
    let proxy = Forward::start(Lets::All).await;
    let settings = by(&plain, &proxy.host, None);
    conformance::run(Arc::new(S3Store::open(&settings).unwrap())).await;
    assert!(probe(&settings).await.unwrap().conditional_race);
    let asked = proxy.requests();
    assert!(asked.iter().all(|request| request.contains(&format!(" {}/", plain.url))), "whole URLs: {asked:?}");
    assert_eq!(asked.len(), plain.requests().len(), "none went past it");
}

#[tokio::test]
async fn a_bucket_with_tls_is_reached_through_a_tunnel() {
    let secure = S3Mem::start_tls(Quirks::default()).await;
    let proxy = Forward::start(LOGIN).await;
    let settings = by(&secure, &format!("ada@{}", proxy.host), Some("ge@im/1"));
    conformance::run(Arc::new(S3Store::open(&settings).unwrap())).await;
    assert!(probe(&settings).await.unwrap().checksum);
    let tunnel = format!("CONNECT {}", secure.url.trim_start_matches("https://"));
    let asked = proxy.requests();
    assert!(!asked.is_empty() && asked.iter().all(|request| *request == tunnel), "{asked:?}");
    // The proxy sees nothing: who answers behind it is proved to us.
    let stranger = BucketSettings { ca: Some(S3Mem::OTHER_CA.to_owned()), ..settings };
    let store = S3Store::open_with(&stranger, patient()).unwrap();
    is(&store.list("").await.unwrap_err(), "bucket.tls", Kind::Denied);
}

#[tokio::test]
async fn what_a_proxy_refuses_is_named_without_its_login() {
    for server in [S3Mem::start(Quirks::default()).await, S3Mem::start_tls(Quirks::default()).await] {
        let proxy = Forward::start(LOGIN).await;
        let cases = [
            (proxy.host.clone(), None),
            (format!("ada@{}", proxy.host), None),
            (format!("ada@{}", proxy.host), Some("geheim")),
        ];
        for (host, password) in cases {
            let settings = by(&server, &host, password);
            let store = S3Store::open_with(&settings, patient()).unwrap();
            let results = [
                store.get("a").await.unwrap_err(),
                store.head("a").await.unwrap_err(),
                store.put("a", BODY, PutMode::Once).await.unwrap_err(),
                probe(&settings).await.unwrap_err(),
            ];
            for error in &results {
                is(error, "bucket.proxy", Kind::Denied);
                assert!(error.to_string().contains(&format!("http://{}", proxy.host)), "{error}");
                let all = format!("{} {error:?} {:?}", error.chain(), store);
                assert!(!all.contains("ada") && !all.contains("geheim") && !all.contains("YWRh"), "{all}");
            }
        }
        let right = by(&server, &format!("ada@{}", proxy.host), Some("ge@im/1"));
        S3Store::open_with(&right, patient()).unwrap().list("").await.unwrap();
        let absent = S3Store::open_with(&by(&server, "127.0.0.1:1", None), patient()).unwrap();
        is(&absent.list("").await.unwrap_err(), "bucket.proxy", Kind::Unavailable);
    }
    let server = S3Mem::start_tls(Quirks::default()).await;
    let closed = Forward::start(Lets::None).await;
    let store = S3Store::open_with(&by(&server, &closed.host, None), patient()).unwrap();
    let error = store.list("").await.unwrap_err();
    is(&error, "bucket.proxy", Kind::Unavailable);
    assert!(error.to_string().contains("refuses"), "{error}");
}

#[tokio::test]
async fn a_large_object_goes_up_and_comes_back() {
    let (server, store) = server(Quirks::default()).await;
    let body = Bytes::from((0..24u32 << 20).map(|place| (place ^ (place >> 11)) as u8).collect::<Vec<u8>>());
    store.put("large", body.clone(), PutMode::Once).await.unwrap();
    assert!(store.get("large").await.unwrap() == body);
    assert!(store.get_range("large", 5_000_000..5_000_100).await.unwrap() == body.slice(5_000_000..5_000_100));
    assert_eq!(server.requests().iter().filter(|request| request.starts_with("PUT")).count(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_told_with_its_difference() {
    let (_server, store) = server(Quirks { clock_ahead_seconds: 2 * 3600 + 60, ..Quirks::default() }).await;
    let error = store.list("").await.unwrap_err();
    is(&error, "bucket.clock", Kind::Unavailable);
    assert!(error.to_string().contains("2 hours behind"), "{error}");
}

#[tokio::test]
async fn a_full_bucket_is_told() {
    let (_server, store) = server(Quirks { quota_bytes: Some(20), ..Quirks::default() }).await;
    put(&store, "a").await;
    is(&store.put("b", BODY, PutMode::Once).await.unwrap_err(), "bucket.full", Kind::Full);
}

#[tokio::test]
async fn short_trouble_is_ridden_out_and_long_trouble_told() {
    let (server, store) = server(Quirks::default()).await;
    put(&store, "a").await;
    let cases = [
        (503, "SlowDown", "bucket.busy"),
        (500, "InternalError", "bucket.failing"),
        (429, "TooManyRequests", "bucket.busy"),
    ];
    for (status, code, want) in cases {
        if status != 429 {
            server.trap("GET", "/a", 0, 2, Fault::Status(status, code));
            assert_eq!(store.get("a").await.unwrap(), BODY, "{status}");
        }
        server.heal();
        server.trap("*", "", 0, 100, Fault::Status(status, code));
        is(&store.get("a").await.unwrap_err(), want, Kind::Unavailable);
        is(&store.put("b", BODY, PutMode::Replace).await.unwrap_err(), want, Kind::Unavailable);
        server.heal();
    }
    server.trap("GET", "/a", 0, 100, Fault::Status(403, "AccessDenied"));
    is(&store.get("a").await.unwrap_err(), "bucket.denied", Kind::Denied);
}

#[tokio::test]
async fn slowness_has_an_end() {
    let (server, store) = server(Quirks::default()).await;
    server.trap("*", "", 0, 100, Fault::Delay(Duration::from_secs(30)));
    is(&store.list("").await.unwrap_err(), "bucket.unreachable", Kind::Unavailable);
}

/// Larger than what the system takes of an upload before the line has.
fn large() -> Bytes {
    (0..16u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn an_upload_may_be_slow_as_long_as_it_moves() {
    let server = S3Mem::start(Quirks::default()).await;
    let patient = Patience { silence: Duration::from_secs(3), ..hasty() };
    let store = S3Store::open_with(&server.settings("bucket"), patient).unwrap();
    server.trap("PUT", "/slow", 0, 1, Fault::Sip(3 << 20));
    let begun = std::time::Instant::now();
    store.put("slow", large(), PutMode::Once).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(4), "longer than the silence that is borne: {:?}", begun.elapsed());
    assert_eq!(server.object("bucket", "slow").unwrap(), large());
}

#[tokio::test]
async fn an_upload_that_moves_no_more_ends() {
    let (server, store) = server(Quirks::default()).await;
    server.trap("PUT", "/choke", 0, 1, Fault::Choke(1 << 20));
    let upload = tokio::time::timeout(Duration::from_secs(30), store.put("choke", large(), PutMode::Once));
    is(&upload.await.expect("an end").unwrap_err(), "bucket.unreachable", Kind::Unavailable);
    // The whole body is taken, and no answer comes.
    server.trap("PUT", "/mute", 0, 1, Fault::Delay(Duration::from_secs(300)));
    let upload = tokio::time::timeout(Duration::from_secs(30), store.put("mute", large(), PutMode::Once));
    is(&upload.await.expect("an end").unwrap_err(), "bucket.unreachable", Kind::Unavailable);
}

#[tokio::test]
async fn success_alone_is_not_believed() {
    let (server, store) = server(Quirks::default()).await;
    for (key, mode) in [("a", PutMode::Once), ("b", PutMode::Replace)] {
        server.trap("PUT", key, 0, 2, Fault::Pretend);
        is(&store.put(key, BODY, mode).await.unwrap_err(), "bucket.unkept", Kind::Unavailable);
        server.trap("PUT", key, 0, 1, Fault::Pretend);
        store.put(key, BODY, mode).await.expect("sent once more, at once");
        assert_eq!(server.object("bucket", key).unwrap(), BODY);
    }
    // Of the right size and other bytes: never taken for ours, also when it is looked at before.
    store.put("a", Bytes::from_static(b"0123456x89abcdef"), PutMode::Replace).await.unwrap();
    is(&store.put("a", BODY, PutMode::Once).await.unwrap_err(), "object.corrupt", Kind::Corrupt);
}

#[tokio::test]
async fn a_store_that_keeps_conditions_is_asked_once_before_and_after_together() {
    let server = S3Mem::start(Quirks::default()).await;
    let seen =
        holdfast_model::view::Capabilities { conditional_put: true, conditional_race: true, ..Default::default() };
    let knowing = S3Store::open_with(&server.settings("bucket"), hasty()).unwrap().knowing(&seen);
    put(&knowing, "a").await;
    assert_eq!(server.requests().len(), 2, "{:?}", server.requests());
    put(&knowing, "a").await;
    let other = knowing.put("a", Bytes::from_static(b"other"), PutMode::Once).await.unwrap_err();
    is(&other, "object.differs", Kind::Conflict);
    assert_eq!(server.object("bucket", "a").unwrap(), BODY);
    // A later probe does not see that any more: it counts for the store that is open.
    knowing.learn(&holdfast_model::view::Capabilities { conditional_race: false, ..seen });
    let before = server.requests().len();
    put(&knowing, "b").await;
    assert_eq!(server.requests().len() - before, 3, "looked for first: {:?}", server.requests());
}

#[tokio::test]
async fn uploads_keep_to_their_limits() {
    let (bytes, requests) = <(Arc<holdfast_runtime::Throttle>, Arc<holdfast_runtime::Throttle>)>::default();
    let server = S3Mem::start(Quirks::default()).await;
    let store = S3Store::open_with(&server.settings("bucket"), hasty()).unwrap();
    let store = store.throttled(bytes.clone(), requests.clone());
    bytes.limit(Some(8 << 20));
    let begun = std::time::Instant::now();
    store.put("a", large(), PutMode::Once).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(1900), "16 MiB at 8 MiB per second: {:?}", begun.elapsed());
    bytes.limit(None);
    requests.limit(Some(10));
    let begun = std::time::Instant::now();
    for name in ["b", "c", "d", "e"] {
        put(&store, name).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(900), "twelve requests at ten per second: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_lost_answer_does_not_lose_or_double_the_object() {
    let (server, store) = server(Quirks::default()).await;
    server.trap("PUT", "/a", 0, 1, Fault::LoseReply);
    put(&store, "a").await;
    assert_eq!(server.object("bucket", "a").unwrap(), BODY);
    server.trap("PUT", "/b", 0, 100, Fault::LoseReply);
    let error = store.put("b", BODY, PutMode::Replace).await.unwrap_err();
    is(&error, "bucket.unreachable", Kind::Unavailable);
    server.heal();
    put(&store, "b").await;
}

#[tokio::test]
async fn cut_bodies_are_asked_for_again_and_never_passed_on() {
    let (server, store) = server(Quirks::default()).await;
    put(&store, "a").await;
    server.trap("GET", "/a", 0, 2, Fault::Cut(5));
    assert_eq!(store.get("a").await.unwrap(), BODY);
    server.trap("GET", "/a", 0, 1, Fault::Cut(5));
    server.trap("GET", "/a", 0, 2, Fault::Cut(0));
    is(&store.get("a").await.unwrap_err(), "object.short", Kind::Corrupt);
    for length in [3, 4, 5] {
        server.trap("GET", "/a", 0, 1, Fault::Cut(length));
    }
    is(&store.get("a").await.unwrap_err(), "bucket.unreachable", Kind::Unavailable);
    server.trap("GET", "/a", 0, 1, Fault::Cut(1));
    assert_eq!(store.get_range("a", 2..9).await.unwrap(), BODY.slice(2..9));
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke() {
    const PIECE: usize = 512 << 10;
    for quirks in [Quirks::default(), Quirks { ignores_tags: true, ..Quirks::default() }] {
        let (server, store) = server(quirks).await;
        store.put("large", large(), PutMode::Once).await.unwrap();
        server.trap("GET", "/large", 0, 1000, Fault::Cut(PIECE));
        let before = server.sent();
        assert!(store.get("large").await.unwrap() == large(), "however often it breaks");
        assert!(server.sent() - before < 24 << 20, "16 MiB in pieces, none of them twice: {}", server.sent() - before);
        let part = 3_000_000..9_000_000;
        let before = server.sent();
        let got = store.get_range("large", part.start as u64..part.end as u64).await.unwrap();
        assert!(got == large().slice(part) && server.sent() - before < 9_000_000, "{}", server.sent() - before);
    }
}

#[tokio::test]
async fn a_store_that_knows_no_ranges_gives_it_whole_after_a_break() {
    let (server, store) = server(Quirks { ignores_range: true, ..Quirks::default() }).await;
    put(&store, "a").await;
    server.trap("GET", "/a", 0, 1, Fault::Cut(5));
    assert_eq!(store.get("a").await.unwrap(), BODY);
    server.trap("GET", "/a", 0, 1, Fault::Cut(5));
    assert_eq!(store.get_range("a", 2..9).await.unwrap(), BODY.slice(2..9));
}

#[tokio::test]
async fn pieces_of_two_objects_are_never_joined() {
    for ignores_tags in [false, true] {
        let server = S3Mem::start(Quirks { ignores_tags, ..Quirks::default() }).await;
        let slow = Patience { first_wait: Duration::from_secs(1), ..hasty() };
        let store = Arc::new(S3Store::open_with(&server.settings("bucket"), slow).unwrap());
        put(&store, "a").await;
        server.trap("GET", "/a", 0, 1, Fault::Cut(5));
        let reader = tokio::spawn({
            let store = store.clone();
            async move { store.get_range("a", 0..16).await }
        });
        while !server.requests().iter().any(|request| request.starts_with("GET")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = BODY.iter().rev().copied().collect::<Bytes>();
        store.put("a", other.clone(), PutMode::Replace).await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), other, "read anew");
    }
}

#[tokio::test]
async fn a_bit_that_turned_after_a_break_is_seen_on_whole_reads() {
    let (server, store) = server(Quirks::default()).await;
    put(&store, "a").await;
    server.trap("GET", "/a", 0, 1, Fault::Cut(5));
    server.trap("GET", "/a", 0, 1, Fault::Flip(3));
    assert_eq!(store.get("a").await.unwrap(), BODY, "asked for again");
    server.damage("bucket", "a", Bytes::from_static(b"0123456x89abcdef"));
    server.trap("GET", "/a", 0, 1, Fault::Cut(5));
    is(&store.get("a").await.unwrap_err(), "object.corrupt", Kind::Corrupt);
}

#[tokio::test]
async fn a_turned_bit_is_seen_on_whole_reads() {
    let (server, store) = server(Quirks::default()).await;
    put(&store, "a").await;
    server.trap("GET", "/a", 0, 1, Fault::Flip(7));
    assert_eq!(store.get("a").await.unwrap(), BODY, "turned once on its way: asked for again");
    server.damage("bucket", "a", Bytes::from_static(b"0123456x89abcdef"));
    is(&store.get("a").await.unwrap_err(), "object.corrupt", Kind::Corrupt);
}

#[tokio::test]
async fn wrong_ranges_are_refused() {
    let (server, store) = server(Quirks { shifts_range: true, ..Quirks::default() }).await;
    put(&store, "a").await;
    is(&store.get_range("a", 2..5).await.unwrap_err(), "object.range", Kind::Corrupt);
    server.damage("bucket", "a", BODY.slice(..4));
    is(&store.get_range("a", 2..9).await.unwrap_err(), "object.short", Kind::Corrupt);
}

#[tokio::test]
async fn hostile_listings_end() {
    let (server, store) = server(Quirks { listing_in_circles: true, page: 1, ..Quirks::default() }).await;
    for key in ["a", "b"] {
        store.put(key, BODY, PutMode::Replace).await.unwrap();
    }
    is(&store.list("").await.unwrap_err(), "bucket.listing", Kind::Unavailable);
    assert!(server.requests().len() < 20);
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    let (server, store) = server(Quirks::default()).await;
    server.trap("GET", "list-type=2", 0, 100, Fault::Status(200, "InternalError"));
    assert!(store.list("x").await.is_err());
}

async fn probed(quirks: Quirks, versions: bool) -> holdfast_model::view::Capabilities {
    let server = S3Mem::start(quirks).await;
    server.make_bucket("mine", versions);
    let caps = probe(&server.settings("mine")).await.expect("a probe");
    if caps.can_delete {
        // The canary of the lock test is locked for a minute; the next probe takes it.
        let left: Vec<_> = server.keys("mine").into_iter().filter(|key| !key.ends_with("/lock")).collect();
        assert!(left.is_empty(), "the probe leaves {left:?}");
    }
    caps
}

#[tokio::test]
async fn the_probe_sees_what_is_there() {
    let caps = probed(Quirks::default(), true).await;
    assert!(
        caps.list_after_put && caps.conditional_put && caps.conditional_race && caps.range && caps.checksum,
        "{caps:?}"
    );
    assert!(caps.versioning && caps.object_lock && caps.can_delete && caps.notes.is_empty(), "{caps:?}");
    assert!(caps.clock_skew_seconds.abs() <= 1 && caps.probed.is_some());
    let plain = probed(Quirks::default(), false).await;
    assert!(!plain.versioning && !plain.object_lock && plain.checksum, "{plain:?}");
}

#[tokio::test]
async fn the_probe_sees_each_quirk() {
    let caps = probed(Quirks { ignores_condition: true, ..Quirks::default() }, true).await;
    assert!(!caps.conditional_put && !caps.conditional_race && caps.checksum);
    let caps = probed(Quirks { refuses_condition: true, ..Quirks::default() }, true).await;
    assert!(!caps.conditional_put && !caps.notes.is_empty());
    let caps = probed(Quirks { racy_condition: true, ..Quirks::default() }, true).await;
    assert!(caps.conditional_put && !caps.conditional_race);
    let caps = probed(Quirks { ignores_checksum: true, ..Quirks::default() }, true).await;
    assert!(caps.checksum && caps.notes.iter().any(|note| note.contains("signed hash")));
    let caps = probed(Quirks { ignores_signed_hash: true, ..Quirks::default() }, true).await;
    assert!(caps.checksum && caps.notes.iter().any(|note| note.contains("checksum header")));
    let caps = probed(Quirks { ignores_checksum: true, ignores_signed_hash: true, ..Quirks::default() }, true).await;
    assert!(!caps.checksum);
    let caps = probed(Quirks { ignores_lock: true, ..Quirks::default() }, true).await;
    assert!(caps.versioning && !caps.object_lock);
    let caps = probed(Quirks { no_versions: true, ..Quirks::default() }, true).await;
    assert!(!caps.versioning && !caps.object_lock);
    let caps = probed(Quirks { ignores_range: true, ..Quirks::default() }, true).await;
    assert!(!caps.range);
    let caps = probed(Quirks { shifts_range: true, ..Quirks::default() }, true).await;
    assert!(!caps.range);
    let caps = probed(Quirks { listing_lags: true, ..Quirks::default() }, false).await;
    assert!(!caps.list_after_put);
    let caps = probed(Quirks { clock_ahead_seconds: -300, ..Quirks::default() }, false).await;
    assert!((-301..=-299).contains(&caps.clock_skew_seconds));
}

#[tokio::test]
async fn the_probe_sees_a_key_that_may_not_delete() {
    let server = S3Mem::start(Quirks::default()).await;
    let key = server.user("t", "bucket", &["s3:ListBucket", "s3:GetObject", "s3:PutObject"]);
    let caps = probe(&server.settings_as("bucket", (&key.0, &key.1))).await.unwrap();
    assert!(!caps.can_delete && caps.conditional_put, "{caps:?}");
    assert!(caps.notes.iter().any(|note| note.contains("probe/")));
}

#[tokio::test]
async fn a_lock_is_not_believed_because_deletion_is_refused_anyway() {
    let rights = ["s3:ListBucket", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"];
    for (ignores_lock, locks) in [(true, false), (false, true)] {
        let server = S3Mem::start(Quirks { ignores_lock, ..Quirks::default() }).await;
        server.make_bucket("mine", true);
        let key = server.user("t", "mine", &rights);
        let caps = probe(&server.settings_as("mine", (&key.0, &key.1))).await.unwrap();
        assert!(caps.versioning && !caps.can_delete);
        assert_eq!(caps.object_lock, locks, "{caps:?}");
    }
}

fn classed(server: &S3Mem, class: &str) -> BucketSettings {
    with(&server.settings("bucket"), |place| place.class = Some(class.to_owned()))
}

#[tokio::test]
async fn packs_of_data_alone_lie_in_the_storage_class() {
    let server = S3Mem::start(Quirks::default()).await;
    let store = S3Store::open(&classed(&server, "STANDARD_IA")).unwrap().classed("p/");
    for key in ["p/ab/pack", "m/ab/pack", "s/snapshot", "format"] {
        store.put(key, BODY, PutMode::Once).await.unwrap();
    }
    store.put("p/ab/again", BODY, PutMode::Replace).await.unwrap();
    let class = |key: &str| server.class_of("bucket", key);
    assert_eq!(class("p/ab/pack").as_deref(), Some("STANDARD_IA"));
    assert_eq!(class("p/ab/again").as_deref(), Some("STANDARD_IA"));
    assert_eq!([class("m/ab/pack"), class("s/snapshot"), class("format")], [None, None, None]);
    let plain = S3Store::open(&server.settings("bucket")).unwrap().classed("p/");
    plain.put("p/cd/pack", BODY, PutMode::Once).await.unwrap();
    assert_eq!(class("p/cd/pack"), None);
}

#[tokio::test]
async fn the_probe_tries_the_storage_class() {
    let server = S3Mem::start(Quirks { classes: vec!["STANDARD_IA"], ..Quirks::default() }).await;
    probe(&classed(&server, "STANDARD_IA")).await.unwrap();
    assert!(server.keys("bucket").is_empty(), "it leaves {:?}", server.keys("bucket"));
    let error = probe(&classed(&server, "STANDARD_AI")).await.unwrap_err();
    is(&error, "bucket.class", Kind::Invalid);
    assert!(error.to_string().contains("STANDARD_AI"), "{error}");
    let store = S3Store::open(&classed(&server, "STANDARD_AI")).unwrap().classed("p/");
    is(&store.put("p/ab/pack", BODY, PutMode::Once).await.unwrap_err(), "bucket.class", Kind::Invalid);
    let server = S3Mem::start(Quirks { sleeping: Some("FROZEN"), ..Quirks::default() }).await;
    let error = probe(&classed(&server, "FROZEN")).await.unwrap_err();
    is(&error, "bucket.class", Kind::Invalid);
    assert!(error.to_string().contains("at once"), "{error}");
}

#[tokio::test]
async fn the_probe_of_an_unreachable_bucket_is_an_error() {
    let (server, _) = server(Quirks::default()).await;
    is(&probe(&server.settings("nowhere")).await.unwrap_err(), "bucket.missing", Kind::NotFound);
    let settings = BucketSettings {
        url: BucketUrl::Directory(tempfile::tempdir().unwrap().path().join("bucket").display().to_string()),
        credentials: None,
        ca: None,
        proxy_password: None,
        lock: None,
    };
    let caps = probe(&settings).await.unwrap();
    assert!(caps.list_after_put && caps.conditional_put && caps.can_delete);
}
