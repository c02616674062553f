//! What every store must do, as one suite that every store's tests run.
//!
//! Panics on the first difference. Works under the prefix `conformance/` and leaves nothing behind; [`locks`], which is for stores
//! that lock, leaves under `conformance-locks/` what nobody can delete yet.

use crate::{Keep, ObjectInfo, PutMode, Store, Version, words};
use bytes::Bytes;
use holdfast_model::{Error, Kind, Moment, lock::LockMode};
use std::sync::Arc;

const BASE: &str = "conformance";
/// How long the suite locks what it makes, seconds: long enough for a slow store, short enough to be swept soon.
const LOCKED: i64 = 60;

/// Runs the suite.
///
/// # Panics
/// When the store does not keep its promises; the message names the promise.
pub async fn run(store: Arc<dyn Store>) {
    sweep(store.as_ref()).await;
    reads_back_whole_and_by_range(store.as_ref()).await;
    misses_are_named(store.as_ref()).await;
    once_keeps_and_replace_replaces(store.as_ref()).await;
    lists_in_key_order(store.as_ref()).await;
    deletes_are_idempotent(store.as_ref()).await;
    unlawful_keys_are_refused(store.as_ref()).await;
    many_at_once(&store).await;
    sweep(store.as_ref()).await;
    let left = store.list(&format!("{BASE}/")).await.expect("list after the sweep");
    assert!(left.is_empty(), "objects left after deleting all: {left:?}");
}

fn name(rest: &str) -> String {
    format!("{BASE}/{rest}")
}

fn body(seed: u8, len: usize) -> Bytes {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Vec<u8>>().into()
}

async fn sweep(store: &dyn Store) {
    for info in store.list(&format!("{BASE}/")).await.expect("list for the sweep") {
        store.delete(&info.key).await.expect("delete for the sweep");
    }
}

async fn put(store: &dyn Store, key: &str, bytes: &Bytes, mode: PutMode) {
    store.put(key, bytes.clone(), mode).await.unwrap_or_else(|e| panic!("put {key} {mode:?}: {e:?}"));
}

async fn reads_back_whole_and_by_range(store: &dyn Store) {
    for len in [0usize, 1, 4096, 1_000_003] {
        let (key, bytes) = (name(&format!("read/{len}")), body(7, len));
        put(store, &key, &bytes, PutMode::Once).await;
        assert!(store.get(&key).await.expect("get what was put") == bytes, "{len} bytes read back differ");
        let info = store.head(&key).await.expect("head what was put");
        let info = info.expect("what was put is there");
        assert_eq!((&info.key, info.size), (&key, len as u64), "head tells the truth");
        let listed = store.list(&key).await.expect("list what was put");
        let listed = listed.into_iter().find(|other| other.key == key).expect("what was put is listed");
        let second = |info: &ObjectInfo| info.modified.map(|time| time.seconds());
        assert_eq!(second(&listed), second(&info), "head and list tell one time, to the second");
        if len > 0 {
            let (from, to) = (len / 3, len.min(len / 3 + 1000));
            let part = store.get_range(&key, from as u64..to as u64).await.expect("get a range");
            assert!(part == bytes.slice(from..to), "range {from}..{to} of {len} differs");
            let tail = store.get_range(&key, len as u64 - 1..len as u64).await.expect("get the last byte");
            assert!(tail == bytes.slice(len - 1..), "last byte of {len} differs");
        }
        let end = len as u64;
        assert!(store.get_range(&key, end..end).await.expect("empty range at the end").is_empty());
        let short = store.get_range(&key, 0..end + 1).await.expect_err("a range past the end");
        assert_eq!((short.kind(), short.code()), (Kind::Corrupt, "object.short"), "a range past the end");
        let beyond = store.get_range(&key, end + 5..end + 9).await.expect_err("a range beyond the end");
        assert_eq!(beyond.code(), "object.short", "a range beyond the end");
    }
}

async fn misses_are_named(store: &dyn Store) {
    let key = name("not/there");
    assert_eq!(store.head(&key).await.expect("head of nothing"), None);
    for error in [
        store.get(&key).await.expect_err("get of nothing"),
        store.get_range(&key, 0..1).await.expect_err("range of nothing"),
    ] {
        assert_eq!((error.kind(), error.code()), (Kind::NotFound, "object.missing"));
    }
    // A part of a key that does exist is no object.
    put(store, &name("folder/object"), &body(1, 3), PutMode::Once).await;
    assert_eq!(store.head(&name("folder")).await.expect("head of a folder"), None);
    assert_eq!(store.get(&name("folder")).await.expect_err("get of a folder").code(), "object.missing");
}

async fn once_keeps_and_replace_replaces(store: &dyn Store) {
    let (key, first) = (name("once"), body(1, 100));
    put(store, &key, &first, PutMode::Once).await;
    put(store, &key, &first, PutMode::Once).await;
    let other = store.put(&key, body(2, 101), PutMode::Once).await.expect_err("once with another size");
    assert_eq!(other.kind(), Kind::Conflict, "once with another size");
    assert!(store.get(&key).await.expect("get") == first, "a refused put must leave the object alone");
    for len in [50, 200] {
        let bytes = body(3, len);
        put(store, &key, &bytes, PutMode::Replace).await;
        assert!(store.get(&key).await.expect("get replaced") == bytes, "replace must replace");
    }
    put(store, &name("replace-new"), &first, PutMode::Replace).await;
    assert!(store.get(&name("replace-new")).await.expect("get") == first, "replace may also begin");
}

async fn lists_in_key_order(store: &dyn Store) {
    let keys = ["list/a", "list/a-b", "list/a.b/c", "list/a/b", "list/b/1", "list/b/10", "list/b/2", "list/c"];
    // `list/a` and `list/a/b` cannot both live in a directory: the former is left out.
    let keys: Vec<String> = keys.iter().filter(|key| **key != "list/a").map(|key| name(key)).collect();
    for key in keys.iter().rev() {
        put(store, key, &body(0, key.len()), PutMode::Once).await;
    }
    let cases = [
        ("list/", 7),
        ("list", 7),
        ("list/a", 3),
        ("list/b/", 3),
        ("list/b/1", 2),
        ("list/zz", 0),
        ("nothing/here/", 0),
    ];
    for (prefix, count) in cases {
        let prefix = name(prefix);
        let found = store.list(&prefix).await.expect("list");
        let mut expected: Vec<&String> = keys.iter().filter(|key| key.starts_with(&prefix)).collect();
        expected.sort();
        assert_eq!(expected.len(), count, "the suite's own count for {prefix}");
        assert_eq!(found.iter().map(|info| &info.key).collect::<Vec<_>>(), expected, "list {prefix}");
        assert!(found.iter().all(|info| info.size == info.key.len() as u64), "sizes in list {prefix}");
    }
    let all = store.list("").await.expect("list everything");
    assert!(keys.iter().all(|key| all.iter().any(|info| &info.key == key)), "the empty prefix names everything");
    assert!(all.is_sorted_by(|a, b| a.key < b.key), "everything in key order");
}

async fn deletes_are_idempotent(store: &dyn Store) {
    let key = name("gone");
    put(store, &key, &body(1, 10), PutMode::Once).await;
    for _ in 0..2 {
        store.delete(&key).await.expect("delete");
        assert_eq!(store.head(&key).await.expect("head after delete"), None);
    }
    put(store, &key, &body(1, 20), PutMode::Once).await;
    assert_eq!(store.get(&key).await.expect("get after delete and put").len(), 20);
}

async fn unlawful_keys_are_refused(store: &dyn Store) {
    for key in ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/", "sp ace", "nul\0"] {
        let tries = [
            store.put(key, Bytes::new(), PutMode::Replace).await.expect_err("put"),
            store.get(key).await.expect_err("get"),
            store.get_range(key, 0..0).await.expect_err("range"),
            store.head(key).await.expect_err("head"),
            store.delete(key).await.expect_err("delete"),
        ];
        assert!(tries.iter().all(|e| e.kind() == Kind::Invalid), "key {key:?} must be refused as invalid: {tries:?}");
    }
    assert_eq!(store.list("../").await.expect_err("list").kind(), Kind::Invalid);
}

async fn many_at_once(store: &Arc<dyn Store>) {
    let tasks: Vec<_> = (0..16u8)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                // Half of the writers share a key, the others have their own.
                let key = name(&if i % 2 == 0 { "many/shared".into() } else { format!("many/{i}") });
                put(store.as_ref(), &key, &body(9, 10_000), PutMode::Once).await;
                assert!(store.get(&key).await.expect("get") == body(9, 10_000), "a reader sees all or nothing");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer among many");
    }
    assert_eq!(store.list(&name("many/")).await.expect("list").len(), 9);
}

/// What a store that locks must do beside [`run`]; `now` is its own time.
///
/// # Panics
/// As [`run`].
pub async fn locks(store: &dyn Store, now: Moment) {
    let key = format!("conformance-locks/{}-{}", now.millis(), std::process::id());
    let keep = |seconds: i64| Keep { mode: LockMode::Compliance, until: now.plus_seconds(seconds) };
    let (first, other) = (body(5, 1000), body(6, 700));
    store.put_kept(&key, first.clone(), PutMode::Once, keep(LOCKED)).await.expect("put locked");
    let original = is_alone(store, &key, first.len() as u64).await;
    is_kept(store, &key, &original, keep(LOCKED)).await;

    store.put_kept(&key, first.clone(), PutMode::Once, keep(LOCKED * 2)).await.expect("put what is there already");
    is_alone(store, &key, first.len() as u64).await;
    is_kept(store, &key, &original, keep(LOCKED * 2)).await;
    store.extend(&key, keep(LOCKED * 3)).await.expect("extend");
    is_kept(store, &key, &original, keep(LOCKED * 3)).await;
    is_refused("a shorter lock", store.extend(&key, keep(LOCKED)).await);
    is_refused("to delete a locked version", store.delete_version(&key, &original).await);
    is_kept(store, &key, &original, keep(LOCKED * 3)).await;

    store.put(&key, other.clone(), PutMode::Replace).await.expect("write over what is locked");
    assert!(store.get(&key).await.expect("get the newest") == other, "the newest version is told");
    assert!(store.get_version(&key, &original).await.expect("get the first version") == first, "it survives");
    store.delete(&key).await.expect("delete what is locked");
    assert_eq!(store.head(&key).await.expect("head what is hidden"), None);
    assert!(store.list(&key).await.expect("list what is hidden").is_empty(), "what is deleted is not listed");
    assert!(store.get_version(&key, &original).await.expect("get it by its version") == first, "nor is it gone");
    is_uncovered(store, &key, &original, &first).await;
}

/// An object that is locked in its one version.
async fn is_alone(store: &dyn Store, key: &str, size: u64) -> Version {
    let mut versions = store.versions(key).await.expect("list versions");
    assert_eq!(versions.len(), 1, "one version: {versions:?}");
    let one = versions.remove(0);
    assert_eq!((one.size, one.is_marker), (size, false), "{one:?}");
    one
}

async fn is_kept(store: &dyn Store, key: &str, version: &Version, keep: Keep) {
    for until in [store.kept_until(key, None).await, store.kept_until(key, Some(version)).await] {
        let until = until.expect("ask for the lock").expect("it is locked");
        assert!((0..2000).contains(&until.since(keep.until)), "locked until {until}, asked for {}", keep.until);
    }
}

fn is_refused(what: &str, result: Result<(), Error>) {
    let error = result.err().unwrap_or_else(|| panic!("the store allowed {what}"));
    assert!(!error.kind().is_transient(), "{what}: {error:?}");
}

/// Takes away what lies on top of a locked version: two newer ones.
async fn is_uncovered(store: &dyn Store, key: &str, original: &Version, bytes: &Bytes) {
    let all = store.list_versions(key).await.expect("list all versions");
    let (named, versions) = all.first().expect("hidden objects are listed with their versions");
    assert_eq!((named.as_str(), all.len()), (key, 1), "and nothing else is");
    assert_eq!(*versions, store.versions(key).await.expect("list versions"), "both tell the same");
    let newest_first: Vec<_> = versions.iter().map(|version| (version.is_marker, version.id == original.id)).collect();
    assert_eq!(newest_first, [(true, false), (false, false), (false, true)], "{versions:?}");
    for version in &versions[..2] {
        store.delete_version(key, version).await.expect("what is not locked goes");
    }
    assert!(store.get(key).await.expect("get what was hidden") == *bytes, "it is the newest again");
    assert!(store.versions("conformance-locks/none").await.expect("versions of nothing").is_empty());
}

/// What a store without versions and locks must do: say so, and leave everything as it is.
///
/// # Panics
/// As [`run`].
pub async fn no_locks(store: &dyn Store) {
    let key = name("unlocked");
    let keep = Keep { mode: LockMode::Governance, until: Moment::from_millis(4_000_000_000_000) };
    let version = Version { id: "1".into(), size: 1, is_marker: false, modified: None };
    let refused = [
        store.put_kept(&key, body(1, 1), PutMode::Once, keep).await.err(),
        store.extend(&key, keep).await.err(),
        store.kept_until(&key, None).await.err(),
        store.versions(&key).await.err(),
        store.list_versions(&key).await.err(),
        store.get_version(&key, &version).await.err(),
        store.delete_version(&key, &version).await.err(),
    ];
    for error in refused {
        let error = error.expect("a store without locks says so");
        assert_eq!((error.kind(), error.code()), (Kind::Refused, words::NO_LOCK));
    }
    assert_eq!(store.head(&key).await.expect("head"), None, "nothing was written");
}
