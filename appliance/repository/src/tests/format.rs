//! The format object goes missing: nothing may be written over what is still there.

use super::*;
use holdfast_model::Kind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_format_is_made_anew_and_nothing_else() {
    let (repository, cache) = fresh().await;
    let written = back_up(&repository, "shop", &some_tar(41)).await.unwrap();
    let (id, kit, format) = (repository.id(), repository.recovery_key(), cache.get("format").await.unwrap());
    drop(repository);
    cache.delete("format").await.unwrap();
    let before = cache.list("").await.unwrap();
    let refused = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.err().unwrap();
    assert_eq!((refused.kind(), refused.code()), (Kind::Corrupt, "repository.format_lost"));
    let refused = Repository::open(parts(Arc::clone(&cache)), Unlock::Device([8; 32])).await.err().unwrap();
    assert_eq!(refused.kind(), Kind::Denied);
    assert_eq!(cache.list("").await.unwrap(), before, "nothing was touched");

    let again = reopen(&cache).await;
    assert_eq!((again.id(), again.recovery_key().0), (id, kit.0));
    assert_eq!(cache.get("format").await.unwrap(), format);
    assert!(again.take_healed().iter().any(|problem| problem.code == "format.mended"), "it is told");
    assert_eq!(read_all(&again, volume(&written), From::Auto).await.unwrap(), some_tar(41));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_devices_slot_nobody_guesses() {
    let (repository, cache) = fresh().await;
    back_up(&repository, "shop", &some_tar(42)).await.unwrap();
    drop(repository);
    for key in ["format", "k/device"] {
        cache.delete(key).await.unwrap();
    }
    for error in [
        Repository::open(parts(Arc::clone(&cache)), Unlock::Device(DEVICE)).await.err().unwrap(),
        Repository::create(parts(Arc::clone(&cache)), DEVICE).await.err().unwrap(),
    ] {
        assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "repository.format_lost"));
        assert!(error.advice_text().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_was_cut_off_begins_anew() {
    let (repository, cache) = fresh().await;
    drop(repository);
    let slots = [cache.get("k/device").await.unwrap(), cache.get("k/recovery-0").await.unwrap()];
    for (key, slot) in [("k/device", &slots[0]), ("k/recovery-0", &slots[1])] {
        for object in cache.list("").await.unwrap() {
            cache.delete(&object.key).await.unwrap();
        }
        cache.put(key, slot.clone(), PutMode::Replace).await.unwrap();
        let error = Repository::open(parts(Arc::clone(&cache)), Unlock::Device(DEVICE)).await.err().unwrap();
        assert_eq!((error.kind(), error.code()), (Kind::NotFound, "repository.none"), "{key} alone");
    }
    let error = Repository::open(parts(Arc::clone(&cache)), Unlock::Device(DEVICE)).await.err().unwrap();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "repository.none"));
    Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
}
