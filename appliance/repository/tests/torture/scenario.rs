//! The reference scenario, run once and recorded: every cut is made later, in the recording.

use crate::ground::*;
use bytes::Bytes;
use holdfast_catalog::Catalog;
use holdfast_model::{SnapshotId, settings::Settings, snapshot::Snapshot};
use holdfast_repository::Repository;
use holdfast_storage::{
    Store,
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
    /// This kit, by its number, is the one to print; those before it are void.
    Kit(usize),
    /// Somebody wants this snapshot to go: from now on it may.
    Forgetting(SnapshotId),
    /// It is gone.
    Forgotten(SnapshotId),
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
}

/// An appliance that is being recorded.
struct Stage {
    tape: Arc<Tape>,
    words: Vec<(Word, Rows)>,
    known: BTreeMap<SnapshotId, Bytes>,
    bucket: Arc<SimBucket>,
    catalog: Arc<Catalog>,
    kits: Vec<[u8; 32]>,
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
        let change = match whole_epoch {
            true => repository.rotate_epoch(&DEVICE).await.unwrap(),
            false => repository.rotate_recovery().await.unwrap(),
        };
        assert!(change.problems.is_empty(), "{:?}", change.problems);
        self.print_kit(repository);
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
    };
    let first = SimDisk::recorded(World::default(), Arc::clone(&tape), 0);
    home(&mut stage, &first, seed).await;
    stage.catalog = fresh_catalog();
    stage.say(Word::Lost);
    let second = SimDisk::recorded(World::default(), Arc::clone(&tape), 1);
    away(&mut stage, &second, seed).await;
    Trace { events: tape.take(), words: stage.words, known: stage.known, kits: stage.kits }
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
    stage.settings(&repository, 9).await;
    stage.ship_all(&repository).await;
}
