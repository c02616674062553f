//! The proxy with faults on order, before a server in process: what it is told to do it does, and no fault of the catalogue leads
//! the bucket's client astray.

use bytes::Bytes;
use holdfast_model::{bucket::BucketUrl, settings::BucketSettings};
use holdfast_s3::{Patience, S3Store};
use holdfast_storage::{PutMode, Store, conformance};
use holdfast_tests::{
    s3mem::{Quirks, S3Mem},
    s3proxy::{Fault, Kind, Plan, S3Proxy, Shape},
};
use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

const BODY: Bytes = Bytes::from_static(b"0123456789abcdef");
const LATE: Duration = Duration::from_secs(2);

fn hasty() -> Patience {
    Patience {
        connect: Duration::from_millis(500),
        answer: Duration::from_millis(700),
        idle: Duration::from_millis(500),
        silence: Duration::from_millis(700),
        first_wait: Duration::from_millis(5),
    }
}

/// How the server's bucket is reached by way of `url`.
fn by(server: &S3Mem, url: &str) -> BucketSettings {
    let mut settings = server.settings("bucket");
    if let BucketUrl::S3(place) = &mut settings.url {
        place.endpoint = Some(url.to_owned());
    }
    settings
}

struct House {
    server: S3Mem,
    proxy: S3Proxy,
    store: S3Store,
}

impl House {
    async fn new() -> House {
        let server = S3Mem::start(Quirks::default()).await;
        let proxy = S3Proxy::start(&server.url, LATE).await;
        let store = S3Store::open_with(&by(&server, &proxy.url), hasty()).expect("a store");
        House { server, proxy, store }
    }

    fn plan(&self, fault: Fault, times: usize) {
        self.proxy.plan(Plan { fault, after: 0, times });
    }

    async fn put(&self, key: &str) {
        self.store.put(key, BODY, PutMode::Once).await.expect("an object can be put");
    }
}

#[tokio::test]
async fn what_goes_through_is_what_was_sent() {
    let house = House::new().await;
    let House { server, proxy, store } = house;
    conformance::run(Arc::new(store)).await;
    let seen: Vec<String> = proxy.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(seen.len(), server.requests().len());
    assert!(proxy.hits().is_empty());
    for kind in [Kind::Put, Kind::Get, Kind::Range, Kind::Head, Kind::List, Kind::Delete] {
        assert!(proxy.seen().iter().any(|seen| seen.kind == kind), "{kind:?}");
    }
}

#[tokio::test]
async fn every_fault_ends_in_an_answer_or_in_a_reason_and_then_all_is_well() {
    for fault in Fault::ALL {
        for times in [1, fault.burst()] {
            let house = House::new().await;
            house.put("a").await;
            house.put("gone").await;
            house.plan(fault, times);
            let tries = [
                house.store.put("b", BODY, PutMode::Once).await.err(),
                house.store.put("b", BODY, PutMode::Replace).await.err(),
                house.store.get("a").await.err(),
                house.store.get_range("a", 2..9).await.err(),
                house.store.head("a").await.err(),
                house.store.list("").await.err(),
                house.store.delete("gone").await.err(),
            ];
            for error in tries.iter().flatten() {
                assert!(error.code().contains('.'), "{fault:?}: {error:?}");
            }
            assert!(!house.proxy.hits().is_empty(), "{fault:?} never happens");
            assert!(house.proxy.hits().iter().all(|hit| *hit == fault));
            house.proxy.heal();
            // Whoever was refused finds the door open again.
            tokio::time::sleep(Duration::from_millis(u64::from(fault == Fault::Refused) * 400)).await;
            house.store.put("b", BODY, PutMode::Replace).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_eq!(house.store.get("a").await.expect("it is there"), BODY, "{fault:?}");
            assert_eq!(house.store.get_range("b", 2..9).await.expect("it is there"), BODY.slice(2..9), "{fault:?}");
            house.store.delete("gone").await.expect("it can be deleted");
            let listed: Vec<String> =
                house.store.list("").await.expect("a list").into_iter().map(|one| one.key).collect();
            assert_eq!(listed, ["a", "b"], "{fault:?}");
        }
    }
}

#[tokio::test]
async fn faults_come_when_they_are_due() {
    let house = House::new().await;
    house.put("a").await;
    let before = house.proxy.fitting(Fault::StaleList);
    house.proxy.plan(Plan { fault: Fault::Denied, after: 1, times: 2 });
    assert!(house.store.list("").await.is_ok());
    for _ in 0..2 {
        assert_eq!(house.store.list("").await.expect_err("denied").code(), "bucket.denied");
    }
    assert!(house.store.list("").await.is_ok());
    assert_eq!(house.proxy.hits(), [Fault::Denied; 2]);
    assert_eq!(house.proxy.fitting(Fault::StaleList) - before, 4);
}

#[tokio::test]
async fn writes_are_ignored_doubled_and_hidden() {
    let house = House::new().await;
    house.plan(Fault::IgnoredPut, 1);
    house.put("a").await;
    assert_eq!(house.server.object("bucket", "a").expect("sent once more"), BODY);
    house.plan(Fault::DoublePut, 1);
    let before = house.server.requests().iter().filter(|line| line.starts_with("PUT")).count();
    house.put("b").await;
    let after = house.server.requests().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(after - before, 2);
    house.plan(Fault::HiddenObject, 1);
    assert!(house.store.head("b").await.expect("an answer").is_none());
    assert!(house.store.head("b").await.expect("an answer").is_some());
    house.plan(Fault::IgnoredDelete, 1);
    house.store.delete("b").await.expect("it says so");
    assert!(house.server.object("bucket", "b").is_some());
    // It is looked for first.
    house.proxy.plan(Plan { fault: Fault::LostReply, after: 1, times: 1 });
    house.put("c").await;
    assert_eq!(house.proxy.hits().last(), Some(&Fault::LostReply));
    assert_eq!(house.server.object("bucket", "c").expect("it was carried out"), BODY);
    // Half a request is no request.
    house.plan(Fault::ResetInBody, 100);
    assert_eq!(house.store.put("d", BODY, PutMode::Once).await.expect_err("reset").code(), "bucket.unreachable");
    assert!(house.server.object("bucket", "d").is_none());
}

#[tokio::test]
async fn lists_and_ranges_lie() {
    let house = House::new().await;
    for key in ["a", "b", "c", "d"] {
        house.put(key).await;
    }
    let list = async || -> Vec<String> {
        house.store.list("").await.expect("a list").into_iter().map(|one| one.key).collect()
    };
    house.plan(Fault::StaleList, 1);
    assert_eq!(list().await.len(), 3);
    house.plan(Fault::PartialList, 1);
    assert_eq!(list().await, ["a", "b"]);
    house.plan(Fault::CircularList, 1);
    assert_eq!(house.store.list("").await.expect_err("a circle").code(), "bucket.listing");
    house.proxy.heal();
    assert_eq!(list().await.len(), 4);
    house.plan(Fault::IgnoredRange, 1);
    assert_eq!(house.store.get_range("a", 2..9).await.expect("the part"), BODY.slice(2..9));
    house.plan(Fault::OtherRange, 1);
    assert_eq!(house.store.get_range("a", 2..9).await.expect_err("another part").code(), "object.range");
}

#[tokio::test]
async fn broken_answers_are_asked_for_again() {
    let house = House::new().await;
    house.put("a").await;
    for fault in [Fault::CutBody, Fault::Trickle, Fault::FlippedBit, Fault::WrongChecksum] {
        house.plan(fault, 1);
        assert_eq!(house.store.get("a").await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}")), BODY);
    }
    assert_eq!(house.proxy.hits().len(), 4);
}

#[tokio::test]
async fn a_door_that_is_shut_is_shut_until_it_opens() {
    let house = House::new().await;
    house.put("a").await;
    house.proxy.shut();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.store.get("a").await.expect_err("nobody listens").code(), "bucket.unreachable");
    house.proxy.open();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.store.get("a").await.expect("it is there"), BODY);
    house.plan(Fault::Refused, 1);
    assert_eq!(house.store.get("a").await.expect_err("refused").code(), "bucket.unreachable");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(house.store.get("a").await.expect("it opens by itself"), BODY);
}

#[tokio::test]
async fn a_line_is_as_slow_and_as_bad_as_it_is_told() {
    let server = S3Mem::start(Quirks::default()).await;
    let shape = Shape { bytes_per_second: 64 << 10, delay: Duration::from_millis(50), breaks: 0 };
    let proxy = S3Proxy::shaped(Ipv4Addr::LOCALHOST.into(), &server.url, shape).await;
    let patient = Patience { silence: Duration::from_secs(30), idle: Duration::from_secs(30), ..Patience::default() };
    let store = S3Store::open_with(&by(&server, &proxy.url), patient).expect("a store");
    let large = Bytes::from(vec![7; 192 << 10]);
    let begun = Instant::now();
    store.put("a", large.clone(), PutMode::Once).await.expect("it arrives");
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert!(store.get("a").await.expect("it comes back") == large);
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(proxy.most_in_flight() >= large.len());
    let broken = Shape { breaks: 1000, ..Shape::default() };
    let proxy = S3Proxy::shaped(Ipv4Addr::LOCALHOST.into(), &server.url, broken).await;
    let store = S3Store::open_with(&by(&server, &proxy.url), hasty()).expect("a store");
    assert_eq!(store.list("").await.expect_err("it breaks").code(), "bucket.unreachable");
}
