//! A new kit or key epoch that is cut off on its way: at each step the bucket alone opens with keys that people hold,
//! and what was begun is finished or does not exist.

use super::*;
use holdfast_chunk::escrow::PrivateKey;
use holdfast_model::{Error, Kind};
use holdfast_storage::{Faulty, Op};

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
        let recovered = Repository::recover(parts(memory()), self.copy().await, key, DEVICE).await.map_err(told)?;
        let read = read_all(&recovered, volume(&self.written), From::Auto).await.map_err(told)?;
        assert_eq!(read, data());
        Ok(())
    }

    async fn copy(&self) -> Arc<dyn Store> {
        let copy = memory();
        for object in self.bucket.list("").await.unwrap() {
            copy.put(&object.key, self.bucket.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
        }
        copy
    }

    fn notary(&self) -> Unlock {
        Unlock::Escrow(self.notary.clone())
    }

    async fn slots(&self) -> Vec<String> {
        self.bucket.list("k/").await.unwrap().into_iter().map(|object| object.key).collect()
    }
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
        assert!(old.is_ok() || new.is_ok(), "put {nth} failed: {old:?}, {new:?}");
        assert_eq!(change.problems.is_empty(), new.is_ok(), "what was told: {:?}", change.problems);
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
