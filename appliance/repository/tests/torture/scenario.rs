//! The reference scenario, run once and recorded: every cut is made later, in the recording.

use crate::ground::*;
use bytes::Bytes;
use holdfast_catalog::Catalog;
use holdfast_chunk::escrow::PrivateKey;
use holdfast_model::{Severity, SnapshotId, settings::Settings, snapshot::Snapshot, view::CheckView};
use holdfast_repository::{Repository, SlotChange};
use holdfast_runtime::Stop;
use holdfast_storage::{
    PutMode, Store,
    sim::{Event, SimBucket, SimDisk, Tape, World},
};
use std::{collections::BTreeMap, sync::Arc};

/// What the appliance told its people, at some place of the recording.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// The repository exists.
    Created,
    /// A bucket is attached from now on.
    Attached,
    /// This snapshot is local.
    Committed(SnapshotId),
    /// Everything up to here is in the bucket.
    Shipped,
    /// These settings are saved.
    Settings(u64),
    /// Somebody wants a new kit: from now on the one before may be void.
    Rotating,
    /// This kit, by its number, is the one to print; those before it are void.
    Kit(usize),
    /// The notary's key opens the bucket.
    Notary,
    /// Somebody wants the notary to be shut out.
    Dismissing,
    /// The notary's key opens nothing any more.
    Dismissed,
    /// Somebody wants this snapshot to go: from now on it may.
    Forgetting(SnapshotId),
    /// It is gone.
    Forgotten(SnapshotId),
    /// Objects of the cache rot and vanish, which the bucket holds.
    Rotting,
    /// They are mended.
    Mended,
    /// The machine is lost; recovery on the next disk begins.
    Lost,
    /// It is back.
    Recovered,
}

/// A recording.
pub(crate) struct Trace {
    pub(crate) events: Vec<Event>,
    /// By the number of a mark: the word, and what the catalog remembered then.
    pub(crate) words: Vec<(Word, Rows)>,
    /// What each snapshot must read, committed or not.
    pub(crate) known: BTreeMap<SnapshotId, Bytes>,
    /// All kits that were ever printed.
    pub(crate) kits: Vec<[u8; 32]>,
    pub(crate) notary: PrivateKey,
}

/// An appliance that is being recorded.
struct Stage {
    tape: Arc<Tape>,
    words: Vec<(Word, Rows)>,
    known: BTreeMap<SnapshotId, Bytes>,
    bucket: Arc<SimBucket>,
    catalog: Arc<Catalog>,
    kits: Vec<[u8; 32]>,
    notary: PrivateKey,
}

impl Stage {
    fn say(&mut self, word: Word) {
        self.tape.push(Event::Mark(self.words.len()));
        self.words.push((word, rows_of(&self.catalog)));
    }

    async fn back_up(&mut self, repository: &Repository, app: &str, data: &Data) -> Snapshot {
        let (draft, bytes) = (draft(app), Bytes::from(data.tar()));
        self.known.insert(draft.id.clone(), bytes.clone());
        let written = back_up(repository, draft, &bytes).await.unwrap();
        self.say(Word::Committed(written.id.clone()));
        written
    }

    async fn ship_all(&mut self, repository: &Repository) {
        assert!(ship(repository, &*self.bucket, usize::MAX).await.unwrap());
        self.say(Word::Shipped);
    }

    async fn settings(&mut self, repository: &Repository, generation: u64) {
        repository.save_settings(&settings(generation)).await.unwrap();
        self.say(Word::Settings(generation));
    }

    async fn forget(&mut self, repository: &Repository, id: &SnapshotId) {
        self.say(Word::Forgetting(id.clone()));
        // Condemned first; gone when the grace is over.
        for (forget, at_once) in [(vec![id.clone()], false), (Vec::new(), true)] {
            let outcome = prune(repository, forget, at_once).await.unwrap();
            assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        }
        self.say(Word::Forgotten(id.clone()));
    }

    async fn new_kit(&mut self, repository: &Repository, whole_epoch: bool) {
        self.say(Word::Rotating);
        let change = match whole_epoch {
            true => repository.rotate_epoch(&DEVICE).await.unwrap(),
            false => repository.rotate_recovery().await.unwrap(),
        };
        assert!(change.problems.is_empty(), "{:?}", change.problems);
        self.print_kit(repository);
    }

    /// Kit and epoch change while the bucket is away, and reach it afterwards.
    async fn new_kits_offline(&mut self, repository: &Repository) {
        self.say(Word::Rotating);
        repository.detach_bucket();
        let changes = [repository.rotate_recovery().await.unwrap(), repository.rotate_epoch(&DEVICE).await.unwrap()];
        let told = |change: &SlotChange| change.problems.iter().any(|problem| problem.code == "slot.not_sent");
        assert!(changes.iter().all(told), "the old kit is still the one to keep: {changes:?}");
        self.attach(repository).await;
        self.ship_all(repository).await;
        self.check(repository).await;
        self.print_kit(repository);
    }

    async fn welcome_notary(&mut self, repository: &Repository) {
        for public in [self.notary.public(), PrivateKey::generate().public()] {
            let change = repository.add_escrow("notary", &public).await.unwrap();
            assert!(change.problems.is_empty(), "{:?}", change.problems);
        }
        self.say(Word::Notary);
    }

    async fn dismiss_notary(&mut self, repository: &Repository) {
        self.say(Word::Dismissing);
        let print = self.notary.public().fingerprint();
        let slots = repository.keys().await.unwrap().slots;
        let slot = slots.iter().find(|slot| slot.fingerprint.as_ref() == Some(&print)).unwrap();
        assert!(repository.remove_slot(&slot.id).await.unwrap().problems.is_empty());
        self.say(Word::Dismissed);
    }

    async fn check(&mut self, repository: &Repository) -> CheckView {
        let view = repository.check(true, None, &Stop::new()).await.unwrap();
        let bad = view.problems.iter().find(|problem| problem.severity == Severity::Error);
        assert!(bad.is_none(), "{bad:?}");
        view
    }

    /// Data that the bucket holds leaves the cache of a running appliance.
    async fn let_go(&self, repository: &Repository) {
        let gone = repository.evict(Some(0), &Stop::new()).await.unwrap();
        assert!(gone.packs > 0, "{gone:?}");
    }

    /// Packs that the bucket holds leave the cache; the appliance learns of it at its next start.
    async fn evict(&self, disk: &SimDisk) {
        let cache = folder_on(disk).unwrap();
        let there = self.bucket.objects();
        let packs = cache.list("").await.unwrap().into_iter().filter(|object| is_pack(&object.key));
        for object in packs.filter(|object| there.contains_key(&object.key)).step_by(2) {
            cache.delete(&object.key).await.unwrap();
        }
    }

    /// Objects of the cache rot and vanish; a check mends them from the bucket.
    async fn rot_and_repair(&mut self, repository: &Repository, disk: &SimDisk) {
        self.say(Word::Rotting);
        let cache = folder_on(disk).unwrap();
        let there = self.bucket.objects();
        let listed = cache.list("").await.unwrap().into_iter().map(|object| object.key);
        let both: Vec<String> = listed.filter(|key| there.contains_key(key)).collect();
        let rotten = |class: &str| both.iter().find(|key| key.starts_with(class)).unwrap();
        for class in ["m/", "i/", "r/", "k/recovery"] {
            let mut bytes = cache.get(rotten(class)).await.unwrap().to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 8;
            cache.put(rotten(class), bytes.into(), PutMode::Replace).await.unwrap();
        }
        for class in ["p/", "s/"] {
            cache.delete(rotten(class)).await.unwrap();
        }
        let view = self.check(repository).await;
        assert!(view.healed >= 5, "{view:?}");
        self.say(Word::Mended);
    }

    fn print_kit(&mut self, repository: &Repository) {
        self.kits.push(repository.recovery_key().0);
        self.say(Word::Kit(self.kits.len() - 1));
    }

    async fn attach(&mut self, repository: &Repository) {
        repository.attach_bucket(self.bucket.clone()).await.unwrap();
    }
}

pub(crate) fn settings(generation: u64) -> Settings {
    Settings { generation, appliance: format!("name-{generation}"), ..Settings::default() }
}

/// Runs the scenario with data of a seed.
pub(crate) async fn record(seed: u64) -> Trace {
    let tape = Arc::new(Tape::default());
    let bucket = Arc::new(SimBucket::recorded(BTreeMap::new(), Arc::clone(&tape)));
    let mut stage = Stage {
        tape: Arc::clone(&tape),
        words: Vec::new(),
        known: BTreeMap::new(),
        bucket: Arc::clone(&bucket),
        catalog: fresh_catalog(),
        kits: Vec::new(),
        notary: PrivateKey::generate(),
    };
    let first = SimDisk::recorded(World::default(), Arc::clone(&tape), 0);
    home(&mut stage, &first, seed).await;
    stage.catalog = fresh_catalog();
    stage.say(Word::Lost);
    let second = SimDisk::recorded(World::default(), Arc::clone(&tape), 1);
    away(&mut stage, &second, seed).await;
    Trace { events: tape.take(), words: stage.words, known: stage.known, kits: stage.kits, notary: stage.notary }
}

/// The first machine, from its first start on.
async fn home(stage: &mut Stage, disk: &SimDisk, seed: u64) {
    let seed = seed * 1000;
    let mut data = Data { small: seed, large: seed, paged: seed };
    let cache = folder_on(disk).unwrap();
    let repository = Repository::create(parts(cache, stage.catalog.clone()), DEVICE).await.unwrap();
    stage.say(Word::Created);
    stage.print_kit(&repository);
    stage.settings(&repository, 1).await;
    let old = stage.back_up(&repository, "shop", &data).await;
    stage.back_up(&repository, "shop", &data).await;
    stage.say(Word::Attached);
    stage.attach(&repository).await;
    let some = repository.to_ship().len() * 6 / 10;
    assert!(!ship(&repository, &*stage.bucket, some).await.unwrap());
    data.small += 1;
    data.paged += 1;
    stage.back_up(&repository, "shop", &data).await;
    stage.ship_all(&repository).await;
    stage.new_kit(&repository, false).await;
    stage.welcome_notary(&repository).await;
    for generation in 2..=4 {
        stage.settings(&repository, generation).await;
    }
    data.large += 1;
    let short_lived = stage.back_up(&repository, "wiki", &data).await;
    stage.forget(&repository, &old.id).await;
    stage.ship_all(&repository).await;
    drop(repository);
    // A restart without any trouble.
    let repository = open(folder_on(disk).unwrap(), stage.catalog.clone()).await.unwrap();
    stage.attach(&repository).await;
    stage.new_kit(&repository, true).await;
    data.paged += 1;
    stage.back_up(&repository, "wiki", &data).await;
    stage.forget(&repository, &short_lived.id).await;
    stage.new_kits_offline(&repository).await;
    data.large += 1;
    stage.back_up(&repository, "wiki", &data).await;
    ship(&repository, &*stage.bucket, 3).await.unwrap();
}

/// Another machine, with nothing but bucket and kit.
async fn away(stage: &mut Stage, disk: &SimDisk, seed: u64) {
    let data = Data { small: seed, large: seed * 1000 + 1, paged: seed };
    let cache = folder_on(disk).unwrap();
    let bucket: Arc<dyn Store> = stage.bucket.clone();
    let kit = &stage.kits[stage.kits.len() - 1..];
    let repository = recover(cache, stage.catalog.clone(), bucket, kit).await.unwrap();
    stage.say(Word::Recovered);
    for entry in repository.snapshots() {
        let bytes = read_all(&repository, &entry.snapshot, holdfast_model::view::From::Auto).await.unwrap();
        assert!(stage.known[&entry.snapshot.id] == bytes);
    }
    stage.back_up(&repository, "shop", &data).await;
    stage.ship_all(&repository).await;
    let oldest = repository.snapshots()[0].snapshot.id.clone();
    stage.forget(&repository, &oldest).await;
    stage.let_go(&repository).await;
    stage.settings(&repository, 9).await;
    stage.ship_all(&repository).await;
    drop(repository);
    stage.evict(disk).await;
    let repository = open(folder_on(disk).unwrap(), stage.catalog.clone()).await.unwrap();
    stage.attach(&repository).await;
    stage.new_kit(&repository, true).await;
    let data = Data { small: seed + 2, ..data };
    stage.back_up(&repository, "shop", &data).await;
    stage.dismiss_notary(&repository).await;
    stage.ship_all(&repository).await;
    stage.rot_and_repair(&repository, disk).await;
    let oldest = repository.snapshots()[0].snapshot.id.clone();
    stage.forget(&repository, &oldest).await;
    stage.new_kit(&repository, false).await;
}

fn is_pack(key: &str) -> bool {
    key.starts_with("p/") || key.starts_with("m/")
}
