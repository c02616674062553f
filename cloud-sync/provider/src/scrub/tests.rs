//! Scrubs of buckets in memory, of which everything is known.

use super::*;
use holdfast_storage::{Faulty, MemStore, Op, PutMode};
use std::sync::{Arc, Mutex};

const REPOSITORY: &str = "5f2a9c0e7d1b4a3f8e6c2d1a0b9f8e7d";
const ID: &str = "01kapcjr00000000000000000a";

fn all() -> ScrubRequest {
    ScrubRequest { percent: 100, day: 0, bytes_per_second: None }
}

fn named(class: &str, bytes: Vec<u8>) -> (String, Vec<u8>) {
    let hash = hex::encode(Sha256::digest(&bytes));
    let key = if class == "i" { format!("i/{hash}") } else { format!("{class}/{}/{hash}", &hash[..2]) };
    (key, bytes)
}

fn pack(class: &str, kind: u8, body: u8) -> (String, Vec<u8>) {
    named(class, [&b"HFPK"[..], &[1, kind, 0, 0], &[body; 1000], b"HFPE"].concat())
}

fn sealed(key: String, kind: u8) -> (String, Vec<u8>) {
    (key, [&b"HFEN"[..], &[1, kind, 0, 0], &[7; 100]].concat())
}

fn format(version: u32) -> (String, Vec<u8>) {
    let said = serde_json::json!({"holdfast": "repository", "version": version, "repository": REPOSITORY, "mac": "00"});
    ("format".into(), said.to_string().into_bytes())
}

fn slot(key: &str, repository: &str) -> (String, Vec<u8>) {
    let said = serde_json::json!({"version": 1, "repository": repository, "id": key, "sealed": "00", "mac": "00"});
    (key.into(), said.to_string().into_bytes())
}

/// A bucket with one object of each class at least.
fn objects() -> Vec<(String, Vec<u8>)> {
    vec![
        format(1),
        slot("k/recovery-0", REPOSITORY),
        slot("k/passphrase-00ff00ff", REPOSITORY),
        pack("p", 1, 1),
        pack("p", 1, 2),
        pack("m", 2, 3),
        named("i", [&[5; 200][..], b"HFIE"].concat()),
        sealed(format!("r/{ID}.0001-00ff00ff"), 3),
        sealed(format!("s/{ID}"), 1),
        sealed("c/0000000000000001".into(), 4),
        sealed("w/0000000000000001-00ff00ff00ff00ff".into(), 7),
        sealed("g/00ff00ff00ff00ff-000001".into(), 8),
        ("probe/bait".into(), b"canary".to_vec()),
    ]
}

async fn bucket(objects: Vec<(String, Vec<u8>)>) -> Arc<MemStore> {
    let store = Arc::new(MemStore::new());
    for (key, bytes) in objects {
        store.put(&key, bytes.into(), PutMode::Replace).await.unwrap();
    }
    store
}

async fn scrubbed(store: &dyn Store, request: ScrubRequest) -> ScrubView {
    scrub(store, request, |_, _| {}).await.unwrap()
}

fn found(view: &ScrubView) -> Vec<(&str, &str)> {
    view.problems.iter().map(|problem| (problem.code.as_str(), problem.subject.as_str())).collect()
}

fn line(view: &ScrubView, class: Class) -> &ScrubClass {
    view.classes.iter().find(|line| line.class == class.title()).unwrap()
}

#[tokio::test]
async fn a_bucket_that_is_well_is_counted_by_class() {
    let store = bucket(objects()).await;
    let told = Mutex::new(Vec::new());
    let view = scrub(&*store, all(), |done, total| told.lock().unwrap().push((done, total))).await.unwrap();
    assert!(view.is_clean() && view.problems.is_empty(), "{:?}", view.problems);
    assert_eq!((view.repository.as_deref(), view.foreign), (Some(REPOSITORY), 0));
    let packs = line(&view, Class::Data);
    assert_eq!((packs.objects, packs.verified, packs.bytes, packs.verified_bytes), (2, 2, 2024, 2024));
    let snapshots = line(&view, Class::Snapshot);
    assert_eq!((snapshots.verified, snapshots.verified_bytes), (1, 8), "its head alone");
    assert_eq!((line(&view, Class::Probe).objects, line(&view, Class::Probe).verified), (1, 0));
    let told = told.into_inner().unwrap();
    assert!(told.last().is_some_and(|(done, total)| done == total && *total > 3000), "{told:?}");
    assert!(view.unknowable.contains("only the tenant can open"));
}

#[tokio::test]
async fn what_is_damaged_cut_short_or_something_else_is_named() {
    let store = bucket(objects()).await;
    let mut bad = Vec::new();
    // A turned byte, a cut, and a whole pack of the other class.
    for (at, (key, bytes)) in [pack("p", 1, 1), pack("p", 1, 2)].into_iter().enumerate() {
        let mut bytes = bytes;
        if at == 0 {
            bytes[500] ^= 1
        } else {
            bytes.truncate(600)
        }
        store.put(&key, bytes.into(), PutMode::Replace).await.unwrap();
        bad.push(key);
    }
    let (key, bytes) = pack("p", 2, 9);
    store.put(&key, bytes.into(), PutMode::Replace).await.unwrap();
    bad.push(key);
    let strange = slot("k/passphrase-00ff00ff", &"0".repeat(32));
    store.put(&strange.0, strange.1.into(), PutMode::Replace).await.unwrap();
    bad.push(strange.0);
    let swapped = sealed(format!("s/{ID}"), 3);
    store.put(&swapped.0, swapped.1.into(), PutMode::Replace).await.unwrap();
    bad.push(swapped.0);
    let view = scrubbed(&*store, all()).await;
    let mut expected: Vec<(&str, &str)> = bad.iter().map(|key| ("scrub.damaged", key.as_str())).collect();
    let mut seen = found(&view);
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    assert_eq!((line(&view, Class::Data).wrong, line(&view, Class::Data).verified), (3, 0));
    assert!(!view.is_clean() && view.problems.iter().all(|problem| problem.advice.is_some()));
}

#[tokio::test]
async fn sizes_that_cannot_be_are_told_without_reading() {
    let store = bucket(objects()).await;
    let (key, _) = pack("p", 1, 1);
    for (key, size) in [(key.as_str(), 0), ("c/0000000000000001", 91)] {
        store.put(key, vec![0; size].into(), PutMode::Replace).await.unwrap();
    }
    let view = scrubbed(&*store, ScrubRequest { percent: 1, ..all() }).await;
    assert_eq!(found(&view), [("scrub.size", "c/0000000000000001"), ("scrub.size", &*key)]);
    assert_eq!(judge::wrong_size(Class::Data, judge::PACK_MAX), None);
    assert!(judge::wrong_size(Class::Data, judge::PACK_MAX + 1).is_some());
}

#[tokio::test]
async fn strangers_and_what_an_appliance_keeps_to_itself_are_named() {
    let store = bucket(objects()).await;
    for key in ["notes.txt", "p/zz/odd", "k/device"] {
        store.put(key, Bytes::from_static(b"x"), PutMode::Replace).await.unwrap();
    }
    let view = scrubbed(&*store, all()).await;
    assert_eq!(
        found(&view),
        [("scrub.private", "k/device"), ("scrub.foreign", "notes.txt"), ("scrub.foreign", "p/zz/odd")]
    );
    assert_eq!((view.foreign, view.foreign_bytes, view.is_clean()), (2, 2, false));
}

#[tokio::test]
async fn what_names_show_to_be_missing_is_told() {
    for (gone, subject) in [
        ("format", "format"),
        ("k/recovery-0", "k/"),
        ("c/0000000000000001", "c/"),
        (&*format!("r/{ID}.0001-00ff00ff"), &*format!("r/{ID}")),
        (&*named("i", [&[5; 200][..], b"HFIE"].concat()).0, "i/"),
    ] {
        let store = bucket(objects()).await;
        store.delete(gone).await.unwrap();
        let view = scrubbed(&*store, all()).await;
        assert_eq!(found(&view), [("scrub.missing", subject)], "{gone}");
    }
    let empty = scrubbed(&*bucket(Vec::new()).await, all()).await;
    assert_eq!(found(&empty), [("scrub.missing", "format"), ("scrub.missing", "k/")]);
}

#[tokio::test]
async fn a_later_release_is_not_judged() {
    let store = bucket(vec![format(2)]).await;
    let error = scrub(&*store, all(), |_, _| {}).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Invalid, "format.unsupported"));
    let error = scrub(&*store, ScrubRequest { percent: 0, ..all() }, |_, _| {}).await.unwrap_err();
    assert_eq!(error.code(), "scrub.percent");
}

#[test]
fn a_share_a_day_comes_to_everything_once() {
    let keys: Vec<String> = (0..500u32).map(|n| pack("p", 1, 0).0 + &n.to_string()).collect();
    let days = |key: &str, percent, count: u64| {
        let on = |day| is_chosen(Class::Data, key, ScrubRequest { percent, day, bytes_per_second: None });
        (20_000..20_000_u64 + count).filter(|day| on(*day)).count()
    };
    assert!(keys.iter().all(|key| days(key, 4, 25) == 1), "4 % in 25 days");
    assert!(keys.iter().all(|key| days(key, 30, 4) >= 1), "30 % in 4 days");
    assert!(keys.iter().all(|key| days(key, 100, 1) == 1));
    let share = keys.iter().filter(|key| days(key, 10, 1) == 1).count();
    assert!((20..=90).contains(&share), "{share} of 500 are a tenth or so");
    assert!(is_chosen(Class::Slot, "k/recovery-0", ScrubRequest { percent: 1, ..all() }), "always");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_come_is_asked_for_again_and_then_told() {
    let faulty = Faulty::new(bucket(objects()).await);
    faulty.fail(Op::Get, 1, Kind::Unavailable);
    assert!(scrubbed(&faulty, all()).await.problems.is_empty(), "a hiccup");

    let faulty = Faulty::new(bucket(vec![format(1), slot("k/recovery-0", REPOSITORY), pack("p", 1, 1)]).await);
    // The format's first reading comes, whatever is asked for later does not.
    (1..100).for_each(|call| faulty.fail(Op::Get, call, Kind::Unavailable));
    let view = scrubbed(&faulty, all()).await;
    assert_eq!(view.problems.iter().filter(|problem| problem.code == "scrub.unread").count(), 3);

    let many = (0..40).map(|n| pack("p", 1, n)).chain([format(1), slot("k/recovery-0", REPOSITORY)]).collect();
    let faulty = Faulty::new(bucket(many).await);
    (1..1000).for_each(|call| faulty.fail(Op::Get, call, Kind::Unavailable));
    let error = scrub(&faulty, all(), |_, _| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "a bucket that is away is no bucket full of damage");
}

#[tokio::test]
async fn bytes_that_turn_are_looked_at_twice() {
    let (key, _) = pack("p", 1, 1);
    let faulty = Faulty::new(bucket(objects()).await);
    faulty.flip(&key, 500);
    let view = scrubbed(&faulty, all()).await;
    assert_eq!(found(&view), [("scrub.damaged", &*key)]);
}

#[tokio::test(start_paused = true)]
async fn it_reads_no_faster_than_it_may() {
    let packs: Vec<_> = (0..20).map(|n| pack("p", 1, n)).chain([format(1), slot("k/recovery-0", REPOSITORY)]).collect();
    let store = bucket(packs).await;
    let begun = tokio::time::Instant::now();
    let view = scrubbed(&*store, ScrubRequest { bytes_per_second: Some(1000), ..all() }).await;
    assert!(view.problems.is_empty(), "{:?}", view.problems);
    let took = begun.elapsed().as_secs();
    assert!((18..=24).contains(&took), "20 packs of 1,012 bytes: {took} s");
}
