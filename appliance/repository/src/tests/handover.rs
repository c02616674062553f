//! A new kit or key epoch that is cut off on its way: at each step the bucket alone opens with keys that people hold,
//! and what was begun is finished or does not exist.

use super::*;
use holdfast_chunk::escrow::PrivateKey;
use holdfast_model::{Error, Kind};
use holdfast_storage::{
    DirStore, Faulty, Op,
    sim::{Call, Fate, SimDisk, Trouble, World},
};

struct House {
    repository: Repository,
    cache: Arc<dyn Store>,
    bucket: Arc<dyn Store>,
    faults: Arc<Faulty>,
    written: Snapshot,
    notary: PrivateKey,
}

const PASSPHRASE: &str = "correct horse battery";

impl House {
    /// A snapshot in the bucket; kit and escrow key open it.
    async fn new() -> House {
        let (repository, cache) = fresh().await;
        let (inner, notary) = (memory(), PrivateKey::generate());
        let faults = Arc::new(Faulty::new(Arc::clone(&inner)));
        repository.attach_bucket(faults.clone()).await.unwrap();
        let written = back_up(&repository, "shop", &data()).await.unwrap();
        ship(&repository, &inner).await;
        repository.add_escrow("the notary", &notary.public()).await.unwrap();
        House { repository, cache, bucket: inner, faults, written, notary }
    }

    /// Recovers from a copy of the bucket and reads all; the answer is the code of what went wrong.
    async fn opens(&self, key: impl Into<Unlock>) -> std::result::Result<(), String> {
        let told = |error: Error| error.code().to_owned();
        let recovered =
            Repository::recover(parts(memory()), copy_of(&self.bucket).await, key, DEVICE).await.map_err(told)?;
        let read = read_all(&recovered, volume(&self.written), From::Auto).await.map_err(told)?;
        assert_eq!(read, data());
        Ok(())
    }

    fn notary(&self) -> Unlock {
        Unlock::Escrow(self.notary.clone())
    }

    async fn slots(&self) -> Vec<String> {
        self.bucket.list("k/").await.unwrap().into_iter().map(|object| object.key).collect()
    }
}

async fn copy_of(bucket: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = memory();
    for object in bucket.list("").await.unwrap() {
        copy.put(&object.key, bucket.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    copy
}

fn data() -> Vec<u8> {
    tar(&[("v/file", noise(81, 3000))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_cut_off_anywhere_leaves_a_bucket_that_opens() {
    for nth in 0.. {
        let house = House::new().await;
        // Each costs a second.
        let with_passphrase = nth == 3;
        if with_passphrase {
            house.repository.add_passphrase("Ada", Secret::new(PASSPHRASE)).await.unwrap();
        }
        let old = house.repository.recovery_key();
        house.faults.heal();
        house.faults.fail(Op::Put, nth, Kind::Unavailable);
        let change = house.repository.rotate_epoch(&DEVICE).await.unwrap();
        let (old, new) = (house.opens(old).await, house.opens(house.repository.recovery_key()).await);
        // What opened before goes only when nothing is left to do; the new kit needs no link, only its own slot.
        assert_eq!(change.problems.is_empty(), old.is_err(), "put {nth} failed, and was told: {:?}", change.problems);
        let sent = house.slots().await.contains(&format!("k/{}", change.id));
        assert_eq!(sent, new.is_ok(), "put {nth} failed: {new:?}");
        assert_eq!(house.opens(house.notary()).await, Ok(()), "put {nth} failed");
        if with_passphrase {
            assert_eq!(house.opens(Unlock::Passphrase(Secret::new(PASSPHRASE))).await, Ok(()), "put {nth} failed");
        }
        if change.problems.is_empty() {
            assert_eq!(nth, 4, "four puts in all: escrow, passphrase, kit, link");
            break;
        }
        // What is left to do is done by the shipper, and the next attaching.
        ship(&house.repository, &house.bucket).await;
        let again = reopen(&house.cache).await;
        again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
        assert_eq!(house.opens(again.recovery_key()).await, Ok(()));
        assert_eq!(house.slots().await.len(), 3 + usize::from(with_passphrase), "{:?}", house.slots().await);
    }
}

/// Epochs that began without the bucket: all of their slots travel at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_epochs_on_their_way_leave_a_bucket_that_opens() {
    let house = House::new().await;
    let old = house.repository.recovery_key();
    house.repository.detach_bucket();
    for _ in 0..12 {
        house.repository.rotate_epoch(&DEVICE).await.unwrap();
    }
    house.repository.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    let items = house.repository.to_ship();
    assert_eq!(items.last().unwrap().key, "k/epoch-1", "the one that shuts out whom the bucket knows");
    for item in items {
        assert_eq!(house.opens(old.clone()).await, Ok(()), "before {}", item.key);
        assert_eq!(house.opens(house.notary()).await, Ok(()), "before {}", item.key);
        let bytes = house.repository.ship_bytes(&item.key).await.unwrap();
        house.bucket.put(&item.key, bytes, PutMode::Once).await.unwrap();
        house.repository.acknowledged(&item.key, item.size).await.unwrap();
    }
    assert_eq!(house.opens(house.repository.recovery_key()).await, Ok(()));
    assert_eq!(house.opens(house.notary()).await, Ok(()));
    assert_eq!(house.opens(old).await.unwrap_err(), "key.retired");
}

/// A machine was lost while it sent a new epoch. The next one gives its kit the same name, and a listing cannot tell the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_a_lost_machine_left_behind_does_not_pass_for_the_new_one() {
    let house = House::new().await;
    let old = house.repository.recovery_key();
    house.faults.heal();
    house.faults.fail(Op::Put, 1, Kind::Unavailable);
    house.repository.rotate_epoch(&DEVICE).await.unwrap();
    let orphans = house.slots().await.len();
    assert!(orphans > 2, "one slot of the new epoch is there, its link is not");

    let cache = memory();
    let again = Repository::recover(parts(Arc::clone(&cache)), Arc::clone(&house.bucket), old.clone(), DEVICE).await;
    let again = again.unwrap();
    again.detach_bucket();
    again.rotate_epoch(&DEVICE).await.unwrap();
    drop(again);
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    assert!(house.opens(old.clone()).await.is_ok() || house.opens(again.recovery_key()).await.is_ok());
    ship(&again, &house.bucket).await;
    assert!(house.opens(old).await.is_ok() || house.opens(again.recovery_key()).await.is_ok());
    again.check(false, None, &Stop::new()).await.unwrap();
    assert_eq!(house.opens(again.recovery_key()).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_new_kit_retires_no_old_one() {
    let house = House::new().await;
    let old = house.repository.recovery_key();
    house.repository.detach_bucket();
    house.repository.rotate_recovery().await.unwrap();
    let slot = house.cache.get("k/recovery-1").await.unwrap();
    house.cache.put("k/recovery-1", slot.slice(1..), PutMode::Replace).await.unwrap();
    let again = reopen(&house.cache).await;
    again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    again.check(false, None, &Stop::new()).await.unwrap();
    assert_eq!(house.opens(old).await, Ok(()));
}

/// A put broke off, and the kit became void before it was tried again: the half stays, and says nothing of our data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_a_void_kit_in_the_bucket_is_named_and_alarms_nobody() {
    let house = House::new().await;
    house.repository.rotate_recovery().await.unwrap();
    let slot = house.bucket.get("k/recovery-1").await.unwrap();
    house.bucket.put("k/recovery-0", slot.slice(..slot.len() / 2), PutMode::Replace).await.unwrap();
    let again = reopen(&house.cache).await;
    again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    again.take_healed();
    let report = again.check(false, None, &Stop::new()).await.unwrap();
    let told: Vec<_> = report.problems.iter().map(|problem| (problem.severity, problem.code.as_str())).collect();
    assert_eq!(told, [(holdfast_model::Severity::Warning, "slot.forged")]);
    // What is ours and lost in both tiers stays an alarm.
    for store in [&house.cache, &house.bucket] {
        store.put("k/recovery-1", slot.slice(1..), PutMode::Replace).await.unwrap();
    }
    let report = again.check(false, None, &Stop::new()).await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.severity == holdfast_model::Severity::Error), "{report:?}");
}

fn errors(report: &holdfast_model::view::CheckView) -> Vec<&holdfast_model::Problem> {
    report.problems.iter().filter(|problem| problem.severity == holdfast_model::Severity::Error).collect()
}

/// A machine began two epochs while the bucket was away, and was lost before the last link had come there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_of_a_lost_machine_in_the_bucket_alarm_nobody_and_can_be_removed() {
    let house = House::new().await;
    let old = house.repository.recovery_key();
    house.repository.detach_bucket();
    for _ in 0..2 {
        house.repository.rotate_epoch(&DEVICE).await.unwrap();
    }
    house.repository.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    for item in house.repository.to_ship().into_iter().filter(|item| item.key != "k/epoch-1") {
        let bytes = house.repository.ship_bytes(&item.key).await.unwrap();
        house.bucket.put(&item.key, bytes, PutMode::Replace).await.unwrap();
    }
    let again = Repository::recover(parts(memory()), Arc::clone(&house.bucket), old, DEVICE).await.unwrap();
    let report = again.check(false, None, &Stop::new()).await.unwrap();
    assert!(errors(&report).is_empty(), "{report:?}");
    let told: Vec<_> = report.problems.iter().filter(|problem| problem.code == "slot.forged").collect();
    let named = |key: &str| told.iter().any(|problem| problem.subject == key);
    assert!(named("k/epoch-2") && named("k/recovery-2"), "{report:?}");
    assert!(!named("k/recovery-0"), "ours");
    // As advised; one by the appliance, one by hand.
    again.remove_slot("epoch-2").await.unwrap();
    house.bucket.delete("k/recovery-2").await.unwrap();
    let report = again.check(false, None, &Stop::new()).await.unwrap();
    assert!(report.problems.iter().all(|problem| !["k/epoch-2", "k/recovery-2"].contains(&problem.subject.as_str())));
    assert!(errors(&report).is_empty(), "{report:?}");
    for _ in 0..2 {
        again.rotate_epoch(&DEVICE).await.unwrap();
    }
    assert_eq!(again.remove_slot("epoch-2").await.unwrap_err().code(), "slot.fixed", "this one is ours");
    assert_eq!(house.opens(again.recovery_key()).await, Ok(()));
}

/// An appliance whose disk breaks on command, with a bucket.
async fn on_a_bad_disk() -> (Repository, Arc<Faulty>, Arc<dyn Store>, Arc<dyn Store>) {
    let (inner, bucket) = (memory(), memory());
    let disk = Arc::new(Faulty::new(Arc::clone(&inner)));
    let repository = Repository::create(parts(disk.clone()), DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&repository, &bucket).await;
    disk.heal();
    (repository, disk, inner, bucket)
}

async fn opens(bucket: &Arc<dyn Store>, key: impl Into<Unlock>) -> std::result::Result<(), String> {
    let recovered = Repository::recover(parts(memory()), copy_of(bucket).await, key, DEVICE).await;
    recovered.map(drop).map_err(|error| error.code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_kit_that_the_disk_did_not_let_go_is_sent_nowhere_and_goes_later() {
    for (whole_epoch, gone) in [(false, false), (false, true), (true, false), (true, true)] {
        let (repository, disk, inner, bucket) = on_a_bad_disk().await;
        // A new kit removes what an epoch that failed may have left in its place first.
        let nth = u64::from(!whole_epoch);
        match gone {
            true => disk.lose_reply(Op::Delete, nth),
            false => disk.fail(Op::Delete, nth, Kind::Unavailable),
        }
        let change = match whole_epoch {
            true => repository.rotate_epoch(&DEVICE).await.unwrap(),
            false => repository.rotate_recovery().await.unwrap(),
        };
        assert_eq!(change.problems.len(), 1, "{:?}", change.problems);
        assert!(change.problems[0].message.contains("in the cache"), "{:?}", change.problems);
        assert_eq!(inner.head("k/recovery-0").await.unwrap().is_none(), gone);
        let items = repository.to_ship();
        assert!(items.is_empty(), "the void kit would be let in again: {items:?}");
        let report = repository.check(false, None, &Stop::new()).await.unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        assert!(inner.head("k/recovery-0").await.unwrap().is_none(), "a check tries again");
        assert!(repository.keys().await.unwrap().slots.iter().all(|slot| slot.id != "recovery-0"));
        assert!(bucket.head("k/recovery-0").await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_the_disk_did_not_confirm_can_be_asked_for_again() {
    let (repository, disk, inner, bucket) = on_a_bad_disk().await;
    let id = repository.add_escrow("notary", &PrivateKey::generate().public()).await.unwrap().id;
    let key = format!("k/{id}");
    disk.heal();
    disk.lose_reply(Op::Delete, 0);
    assert_eq!(repository.remove_slot(&id).await.unwrap_err().code(), "fault.reply_lost");
    assert!(repository.to_ship().is_empty(), "nothing is there to be sent");
    assert!(repository.remove_slot(&id).await.unwrap().problems.is_empty());
    for store in [inner, bucket] {
        assert!(store.head(&key).await.unwrap().is_none());
    }
}

/// Puts of an epoch are: link, kit, device; a fourth puts the device's slot back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_fails_on_a_bad_disk_voids_no_kit_that_is_made_after_it() {
    for (nth, done) in [(0, true), (1, false), (1, true), (2, false), (2, true)] {
        let (repository, disk, inner, bucket) = on_a_bad_disk().await;
        match done {
            true => disk.lose_reply(Op::Put, nth),
            false => disk.fail(Op::Put, nth, Kind::Unavailable),
        }
        repository.rotate_epoch(&DEVICE).await.unwrap_err();
        repository.add_escrow("notary", &PrivateKey::generate().public()).await.unwrap();
        repository.rotate_recovery().await.unwrap();
        let kit = repository.recovery_key();
        assert_eq!(opens(&bucket, kit.clone()).await, Ok(()), "put {nth}, done: {done}");
        drop(repository);
        let again = reopen(&inner).await;
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        assert_eq!(again.recovery_key().0, kit.0, "put {nth}, done: {done}");
        let keys = again.keys().await.unwrap();
        assert_eq!(keys.epoch, 0);
        assert!(keys.slots.iter().all(|slot| !slot.retired && slot.ours), "{keys:?}");
        let report = again.check(false, None, &Stop::new()).await.unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        again.rotate_epoch(&DEVICE).await.unwrap();
        assert_eq!(opens(&bucket, again.recovery_key()).await, Ok(()));
    }
}

/// Nobody knows which device's slot the next start will find: nothing that either of the two leads to is touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_device_slot_is_in_doubt_no_way_in_changes() {
    for restart in [false, true] {
        let (repository, disk, inner, bucket) = on_a_bad_disk().await;
        disk.lose_reply(Op::Put, 2);
        for nth in 3..7 {
            disk.fail(Op::Put, nth, Kind::Unavailable);
        }
        let old = repository.recovery_key();
        repository.rotate_epoch(&DEVICE).await.unwrap_err();
        let public = PrivateKey::generate().public();
        assert!(repository.rotate_recovery().await.is_err());
        assert!(repository.rotate_epoch(&DEVICE).await.is_err());
        assert!(repository.add_escrow("notary", &public).await.is_err());
        assert_eq!(opens(&bucket, old.clone()).await, Ok(()));
        let repository = if restart { reopen(&inner).await } else { repository };
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        assert_eq!(repository.keys().await.unwrap().epoch, u32::from(restart) as u8, "the new one was written");
        repository.add_escrow("notary", &public).await.unwrap();
        ship(&repository, &bucket).await;
        let report = repository.check(false, None, &Stop::new()).await.unwrap();
        assert!(errors(&report).is_empty(), "{report:?}");
        assert_eq!(opens(&bucket, repository.recovery_key()).await, Ok(()));
        let again = reopen(&inner).await;
        assert_eq!(again.recovery_key().0, repository.recovery_key().0);
        assert_eq!(restart, opens(&bucket, old).await.is_err(), "void only if the new epoch began");
    }
}

/// The disk fails at some call, and at all after it; the appliance starts again and works; then the power goes. What the
/// second start took for a new epoch must still be one, for what it sealed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_the_disk_did_not_confirm_is_confirmed_before_anything_is_sealed_in_it() {
    let mut epochs = std::collections::BTreeSet::new();
    for nth in 0..40 {
        let (disk, bucket) = (SimDisk::new(World::default()), memory());
        let repository = Repository::create(parts(folder_on(&disk)), DEVICE).await.unwrap();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        ship(&repository, &bucket).await;
        disk.heal();
        disk.trouble(Call::Any, nth, Trouble::FailOn(5));
        let rotated = repository.rotate_epoch(&DEVICE).await;
        disk.heal();
        let again = reopen(&folder_on(&disk)).await;
        let epoch = again.keys().await.unwrap().epoch;
        epochs.insert((rotated.is_ok_and(|change| change.problems.is_empty()), epoch));
        let written = back_up(&again, "shop", &data()).await.unwrap();

        let world = disk.world();
        let lost: Vec<_> = world.loose().into_iter().map(|loose| (loose, Fate::Lost)).collect();
        let last = reopen(&folder_on(&SimDisk::new(world.after_cut(&lost)))).await;
        assert_eq!(last.keys().await.unwrap().epoch, epoch, "call {nth} failed");
        assert_eq!(read_all(&last, volume(&written), From::Auto).await.unwrap(), data(), "call {nth} failed");
        last.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        ship(&last, &bucket).await;
        let report = last.check(true, None, &Stop::new()).await.unwrap();
        assert!(errors(&report).is_empty(), "call {nth} failed: {report:?}");
        assert_eq!(opens(&bucket, last.recovery_key()).await, Ok(()), "call {nth} failed");
    }
    assert_eq!(epochs, [(false, 0), (false, 1), (true, 1)].into(), "no, in doubt, yes");
}

fn folder_on(disk: &SimDisk) -> Arc<dyn Store> {
    let disk: Arc<dyn holdfast_storage::disk::Disk> = Arc::new(disk.clone());
    Arc::new(DirStore::open_on(disk, std::path::Path::new("/data/cache")).unwrap())
}
