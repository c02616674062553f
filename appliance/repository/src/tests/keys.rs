//! Ways in: made, removed, retired; epochs; what somebody else puts into the bucket; crashes in between.

use super::*;
use holdfast_chunk::escrow::PrivateKey;
use holdfast_model::{Kind, view::SlotWay};
use holdfast_storage::{Faulty, Op};

/// An appliance with one snapshot in its bucket.
async fn shipped(seed: u64) -> (Repository, Arc<dyn Store>, Arc<dyn Store>, Snapshot) {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let written = back_up(&repository, "shop", &some_tar(seed)).await.unwrap();
    ship(&repository, &bucket).await;
    (repository, cache, bucket, written)
}

async fn recover(bucket: &Arc<dyn Store>, key: impl Into<Unlock>) -> Result<Repository> {
    Repository::recover(parts(memory()), Arc::clone(bucket), key, [9; 32]).await
}

async fn code(bucket: &Arc<dyn Store>, key: impl Into<Unlock>) -> String {
    recover(bucket, key).await.err().map_or_else(|| "opened".to_owned(), |error| error.code().to_owned())
}

async fn names(store: &Arc<dyn Store>) -> Vec<String> {
    store.list("k/").await.unwrap().into_iter().map(|object| object.key).collect()
}

fn passphrase() -> Unlock {
    Unlock::Passphrase(Secret::new("correct horse battery"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_opens_the_bucket_until_it_is_removed() {
    let (repository, cache, bucket, written) = shipped(61).await;
    let private = PrivateKey::generate();
    assert_eq!(code(&bucket, passphrase()).await, "key.wrong");
    let people = repository.add_passphrase(" Ada ", Secret::new("correct horse battery")).await.unwrap();
    let other = repository.add_escrow("the notary", &private.public()).await.unwrap();
    assert!(people.problems.is_empty() && other.problems.is_empty());
    let view = repository.keys().await.unwrap();
    let shown: Vec<_> =
        view.slots.iter().map(|slot| (slot.way, slot.name.as_str(), slot.in_bucket, slot.ours)).collect();
    let expected = [
        (SlotWay::Device, "", false, true),
        (SlotWay::Recovery, "", true, true),
        (SlotWay::Passphrase, "Ada", true, true),
        (SlotWay::Escrow, "the notary", true, true),
    ];
    assert_eq!(shown, expected);
    assert_eq!(view.slots[3].fingerprint, Some(private.public().fingerprint()));
    for unlock in [passphrase(), Unlock::Escrow(private.clone()), repository.recovery_key().into()] {
        let recovered = recover(&bucket, unlock).await.unwrap();
        assert_eq!(read_all(&recovered, volume(&written), From::Auto).await.unwrap(), some_tar(61));
    }
    assert_eq!(code(&bucket, Unlock::Escrow(PrivateKey::generate())).await, "key.wrong");
    // Whoever recovered last writes the bucket: this appliance may change nothing there any more.
    assert_eq!(repository.remove_slot(&people.id).await.unwrap_err().code(), "repository.fenced");
    let again = recover(&bucket, repository.recovery_key()).await.unwrap();
    for id in [&people.id, &other.id] {
        assert!(again.remove_slot(id).await.unwrap().problems.is_empty());
        assert_eq!(again.remove_slot(id).await.unwrap_err().code(), "slot.unknown");
    }
    assert_eq!(names(&bucket).await, ["k/recovery-0"]);
    assert_eq!(code(&bucket, passphrase()).await, "key.wrong");
    assert_eq!(code(&bucket, Unlock::Escrow(private)).await, "key.wrong");
    for id in ["device", "recovery-0", "epoch-1"] {
        let error = again.remove_slot(id).await.unwrap_err();
        assert!(matches!(error.code(), "slot.fixed" | "slot.unknown"), "{id}: {}", error.code());
    }
    assert_eq!(again.add_passphrase("two\nlines", Secret::new("x")).await.unwrap_err().code(), "slot.name");
    assert!(names(&cache).await.contains(&"k/device".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_kit_retires_the_old_one_in_both_tiers() {
    let (repository, cache, bucket, _) = shipped(62).await;
    let old = repository.recovery_key();
    let change = repository.rotate_recovery().await.unwrap();
    assert!(change.problems.is_empty(), "{:?}", change.problems);
    assert_eq!(change.id, "recovery-1");
    assert_ne!(repository.recovery_key().0, old.0);
    assert_eq!(names(&bucket).await, ["k/recovery-1"]);
    assert_eq!(names(&cache).await, ["k/device", "k/recovery-1"]);
    assert_eq!(code(&bucket, old).await, "kit.wrong");
    let kit = reopen(&cache).await.recovery_key();
    assert_eq!(kit.0, repository.recovery_key().0, "the number is found again");
    assert_eq!(code(&bucket, kit).await, "opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_hides_new_data_from_old_keys_and_keeps_the_old_data() {
    let (repository, cache, bucket, first) = shipped(63).await;
    let private = PrivateKey::generate();
    repository.add_passphrase("Ada", Secret::new("correct horse battery")).await.unwrap();
    repository.add_escrow("the notary", &private.public()).await.unwrap();
    let old = repository.recovery_key();
    let before: Vec<_> = names(&bucket).await;
    // Somebody who once held the old keys keeps a copy of all that was in the bucket.
    let theirs = memory();
    for object in bucket.list("").await.unwrap() {
        theirs.put(&object.key, bucket.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    let change = repository.rotate_epoch(&DEVICE).await.unwrap();
    assert!(change.problems.is_empty(), "{:?}", change.problems);
    let after = names(&bucket).await;
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(before.iter().all(|key| !after.contains(key)), "an old slot is still there");
    let view = repository.keys().await.unwrap();
    assert_eq!((view.epoch, view.slots.len()), (1, 4));
    assert!(view.slots.iter().all(|slot| slot.epoch == 1 && slot.ours && !slot.retired));
    assert!(view.epoch_since.is_some());

    // Dedup goes on across the epochs.
    let same = back_up(&repository, "shop", &some_tar(63)).await.unwrap();
    assert!(same.stats.bytes_new < 3000, "{}", same.stats.bytes_new);
    let second = back_up(&repository, "shop", &some_tar(64)).await.unwrap();
    ship(&repository, &bucket).await;
    assert_eq!(code(&bucket, old.clone()).await, "kit.wrong");
    for unlock in [passphrase(), Unlock::Escrow(private), repository.recovery_key().into()] {
        let recovered = recover(&bucket, unlock).await.unwrap();
        for (snapshot, seed) in [(&first, 63), (&same, 63), (&second, 64)] {
            assert_eq!(read_all(&recovered, volume(snapshot), From::Auto).await.unwrap(), some_tar(seed));
        }
    }
    let again = reopen(&cache).await;
    assert_eq!(again.keys().await.unwrap().epoch, 1);
    assert_eq!(read_all(&again, volume(&first), From::Cache).await.unwrap(), some_tar(63));

    // With the old copy they read what was old then, and nothing of what is new, though they see all of the bucket.
    for object in bucket.list("").await.unwrap().into_iter().filter(|object| !object.key.starts_with("k/")) {
        theirs.put(&object.key, bucket.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    let spy = recover(&theirs, old).await.unwrap();
    assert_eq!(read_all(&spy, volume(&first), From::Auto).await.unwrap(), some_tar(63));
    assert!(spy.snapshot(second.id.as_str()).is_err(), "not even the manifest opens");
    assert!(read_all(&spy, volume(&second), From::Auto).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_chain_and_a_lost_link_is_named() {
    let (repository, cache, bucket, first) = shipped(65).await;
    for epoch in 1..=3 {
        repository.rotate_epoch(&DEVICE).await.unwrap();
        assert_eq!(repository.keys().await.unwrap().epoch, epoch);
        back_up(&repository, "shop", &some_tar(65 + u64::from(epoch))).await.unwrap();
    }
    ship(&repository, &bucket).await;
    let again = reopen(&cache).await;
    assert_eq!(read_all(&again, volume(&first), From::Cache).await.unwrap(), some_tar(65));
    assert_eq!(again.recovery_key().0, repository.recovery_key().0);
    // A kit of an earlier release bears no roots but its own: it needs every link.
    let mut slot: serde_json::Value = serde_json::from_slice(&bucket.get("k/recovery-3").await.unwrap()).unwrap();
    assert!(slot.as_object_mut().unwrap().remove("earlier").is_some());
    let slot = Bytes::from(serde_json::to_vec(&slot).unwrap());
    let older = memory();
    for object in bucket.list("").await.unwrap() {
        let bytes = if object.key == "k/recovery-3" { slot.clone() } else { bucket.get(&object.key).await.unwrap() };
        older.put(&object.key, bytes, PutMode::Replace).await.unwrap();
    }
    older.put("k/epoch-2", Bytes::from_static(b"{}"), PutMode::Replace).await.unwrap();
    assert_eq!(code(&older, repository.recovery_key()).await, "key.epoch_lost");
    older.put("k/epoch-2", bucket.get("k/epoch-2").await.unwrap(), PutMode::Replace).await.unwrap();
    assert_eq!(code(&older, repository.recovery_key()).await, "opened");
    // A damaged link in the bucket is seen and mended by a check.
    bucket.put("k/epoch-2", Bytes::from_static(b"{}"), PutMode::Replace).await.unwrap();
    let report = repository.check(false, None, &Stop::new()).await.unwrap();
    assert!(report.healed > 0, "{:?}", report.problems);
    assert_eq!(code(&bucket, repository.recovery_key()).await, "opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_was_never_committed_does_not_exist() {
    let (repository, cache, bucket, first) = shipped(66).await;
    let device = cache.get("k/device").await.unwrap();
    repository.add_passphrase("Ada", Secret::new("correct horse battery")).await.unwrap();
    repository.detach_bucket();
    let kit = repository.recovery_key();
    let before = names(&cache).await;
    repository.rotate_epoch(&DEVICE).await.unwrap();
    drop(repository);
    // The power went before the device's slot was written: only that write makes the epoch.
    cache.put("k/device", device, PutMode::Replace).await.unwrap();
    let again = reopen(&cache).await;
    assert_eq!(again.keys().await.unwrap().epoch, 0);
    assert_eq!(names(&cache).await, before, "what was begun is swept away, what was there stays");
    assert_eq!(again.recovery_key().0, kit.0);
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert!(again.to_ship().iter().all(|item| !item.key.starts_with("k/epoch")));
    again.rotate_epoch(&DEVICE).await.unwrap();
    let second = back_up(&again, "shop", &some_tar(67)).await.unwrap();
    ship(&again, &bucket).await;
    let recovered = recover(&bucket, passphrase()).await.unwrap();
    for (snapshot, seed) in [(&first, 66), (&second, 67)] {
        assert_eq!(read_all(&recovered, volume(snapshot), From::Auto).await.unwrap(), some_tar(seed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_bucket_old_keys_go_later_and_never_before_new_ones_are_there() {
    let (repository, _, bucket, _) = shipped(68).await;
    let old = repository.recovery_key();
    repository.detach_bucket();
    let id = repository.add_passphrase("Ada", Secret::new("correct horse battery")).await.unwrap().id;
    repository.remove_slot(&id).await.unwrap();
    repository.rotate_epoch(&DEVICE).await.unwrap();
    assert_eq!(names(&bucket).await, ["k/recovery-0"]);
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(names(&bucket).await, ["k/recovery-0"], "the new kit is not there yet");
    let retired: Vec<_> = repository.keys().await.unwrap().slots.into_iter().filter(|slot| slot.retired).collect();
    assert_eq!(retired.len(), 1, "and the old one is shown");
    let forged = bucket.get("k/recovery-0").await.unwrap();
    bucket.put("k/epoch-1", forged, PutMode::Replace).await.unwrap();
    let copy = memory();
    for object in bucket.list("").await.unwrap() {
        copy.put(&object.key, bucket.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    assert_eq!(code(&copy, old.clone()).await, "opened", "a forged link keeps nobody out");
    bucket.delete("k/epoch-1").await.unwrap();
    ship(&repository, &bucket).await;
    assert_eq!(code(&bucket, old.clone()).await, "key.retired", "it would open the past alone");
    let report = repository.check(false, None, &Stop::new()).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(names(&bucket).await, ["k/epoch-1", "k/recovery-1"]);
    assert_eq!(code(&bucket, old).await, "kit.wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_does_not_delete_is_named() {
    let (repository, cache) = fresh().await;
    let faulty = Arc::new(Faulty::new(memory()));
    let bucket: Arc<dyn Store> = faulty.clone();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&repository, &bucket).await;
    let id = repository.add_escrow("the notary", &PrivateKey::generate().public()).await.unwrap().id;
    let next = faulty.calls(Op::Delete);
    faulty.fail(Op::Delete, next, Kind::Denied);
    faulty.fail(Op::Delete, next + 1, Kind::Denied);
    let change = repository.remove_slot(&id).await.unwrap();
    assert_eq!(change.problems[0].code, "slot.kept");
    assert!(!names(&cache).await.contains(&format!("k/{id}")));
    let slot = repository.keys().await.unwrap().slots.into_iter().find(|slot| slot.id == id).unwrap();
    assert!(slot.in_bucket && !slot.in_cache);
    let change = repository.rotate_recovery().await.unwrap();
    assert_eq!(change.problems[0].code, "slot.kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_puts_among_the_slots_is_named_and_given_nothing() {
    let (repository, cache, bucket, _) = shipped(69).await;
    let honest = repository.add_escrow("the notary", &PrivateKey::generate().public()).await.unwrap().id;
    let thief = PrivateKey::generate();
    // A slot of a repository of his own, and ours with his key in it.
    let (other, other_cache) = fresh().await;
    let foreign = other.add_escrow("thief", &thief.public()).await.unwrap().id;
    let foreign = other_cache.get(&format!("k/{foreign}")).await.unwrap();
    bucket.put("k/escrow-00000000", foreign, PutMode::Replace).await.unwrap();
    let ours = bucket.get(&format!("k/{honest}")).await.unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&ours).unwrap();
    json["id"] = "k/escrow-11111111".into();
    bucket.put("k/escrow-11111111", Bytes::from(serde_json::to_vec(&json).unwrap()), PutMode::Replace).await.unwrap();
    bucket.put("k/recovery-4000000000", Bytes::from_static(b"{}"), PutMode::Replace).await.unwrap();

    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let notes = again.take_healed();
    assert_eq!(notes.iter().filter(|note| note.code == "slot.forged").count(), 3, "{notes:?}");
    assert_eq!(again.recovery_key().0, repository.recovery_key().0, "his number does not count");
    let strange = again.keys().await.unwrap().slots.into_iter().filter(|slot| !slot.ours).count();
    assert_eq!(strange, 3);
    let change = again.rotate_epoch(&DEVICE).await.unwrap();
    let left: Vec<_> = change.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(left, ["slot.left_behind", "slot.left_behind"]);
    assert!(matches!(code(&bucket, Unlock::Escrow(thief)).await.as_str(), "key.wrong" | "key.retired"));
    for id in ["escrow-00000000", "escrow-11111111", "recovery-4000000000"] {
        again.remove_slot(id).await.unwrap();
    }
    assert_eq!(names(&bucket).await.len(), 3, "link, kit, notary");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_no_more_than_sixteen() {
    let (repository, _) = fresh().await;
    let public = PrivateKey::generate().public();
    for _ in 2..16 {
        repository.add_escrow("somebody", &public).await.unwrap();
    }
    assert_eq!(repository.add_escrow("somebody", &public).await.unwrap_err().code(), "slot.full");
    let change = repository.rotate_epoch(&DEVICE).await.unwrap();
    assert!(change.problems.is_empty(), "all of them are carried over");
    assert_eq!(repository.keys().await.unwrap().slots.len(), 16);
    assert_eq!(repository.add_escrow("somebody", &public).await.unwrap_err().code(), "slot.full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shipper_at_work_brings_no_retired_slot_back() {
    let slow = |store: Arc<dyn Store>| {
        let slow = Faulty::new(store);
        slow.delay(std::time::Duration::from_millis(1));
        Arc::new(slow) as Arc<dyn Store>
    };
    let (cache, bucket) = (slow(memory()), slow(memory()));
    let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&repository, &bucket).await;
    let stop = Stop::new();
    let shipper = tokio::spawn({
        let (repository, bucket, stop) = (repository.clone(), Arc::clone(&bucket), stop.clone());
        async move {
            while !stop.is_cancelled() {
                for item in repository.to_ship() {
                    // What goes while it is on its way is nobody's mistake.
                    let Ok(bytes) = repository.ship_bytes(&item.key).await else { continue };
                    bucket.put(&item.key, bytes, PutMode::Once).await.unwrap();
                    repository.acknowledged(&item.key, item.size).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let public = PrivateKey::generate().public();
    for _ in 0..8 {
        let id = repository.add_escrow("notary", &public).await.unwrap().id;
        repository.rotate_recovery().await.unwrap();
        assert!(repository.remove_slot(&id).await.unwrap().problems.is_empty());
        let change = repository.rotate_epoch(&DEVICE).await.unwrap();
        assert!(change.problems.is_empty(), "{:?}", change.problems);
    }
    stop.cancel();
    shipper.await.unwrap();
    ship(&repository, &bucket).await;
    let there = names(&bucket).await;
    let (links, ways): (Vec<_>, Vec<_>) = there.iter().partition(|key| key.starts_with("k/epoch-"));
    assert_eq!((links.len(), ways.len()), (8, 1), "{there:?}");
    assert_eq!(code(&bucket, repository.recovery_key()).await, "opened");
}
