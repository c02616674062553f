//! Random schedules of the real coordinator: backups, shipping, prunes, evictions and readers at once, crashes in between, two
//! appliances one after the other; what was promised is looked for after each.
//!
//! `HOLDFAST_SCHEDULES` sets how many; by default as many as fit into ten seconds. A failure names its seed.

use super::*;
use holdfast_model::{Error, Kind};
use holdfast_storage::ObjectInfo;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64},
    },
    time::{Duration, Instant},
};

/// A generator that tests can repeat.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % count
    }
}

/// A store that lets others go first at random, and dies at a given call.
#[derive(Debug)]
struct Shaky {
    inner: Arc<dyn Store>,
    dice: Mutex<Dice>,
    left: AtomicI64,
    dead: AtomicBool,
}

impl Shaky {
    fn new(inner: &Arc<dyn Store>, seed: u64, calls: i64) -> Arc<Shaky> {
        let dice = Mutex::new(Dice(seed | 1));
        Arc::new(Shaky { inner: Arc::clone(inner), dice, left: AtomicI64::new(calls), dead: AtomicBool::new(false) })
    }
    async fn step(&self) -> Result<()> {
        let pauses = self.dice.lock().unwrap().below(4);
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 || self.dead.load(Ordering::SeqCst) {
            self.dead.store(true, Ordering::SeqCst);
            return Err(Error::new(Kind::Unavailable, "test.crashed", "the process is gone"));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Store for Shaky {
    fn place(&self) -> String {
        self.inner.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.step().await?;
        self.inner.put(key, bytes, mode).await?;
        // A reply may be lost though the deed was done.
        self.step().await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.step().await?;
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.step().await?;
        self.inner.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.step().await?;
        self.inner.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.step().await?;
        self.inner.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.step().await?;
        self.inner.delete(key).await?;
        self.step().await
    }
}

/// What was promised: committed snapshots with what they hold, and those that somebody wanted to be forgotten.
#[derive(Default)]
struct Book {
    committed: BTreeMap<SnapshotId, (Snapshot, Vec<u64>)>,
    forgotten: BTreeSet<SnapshotId>,
}

type Promises = Arc<Mutex<Book>>;

fn promised(promises: &Promises) -> Vec<(Snapshot, Vec<u64>)> {
    let book = promises.lock().unwrap();
    book.committed.iter().filter(|(id, _)| !book.forgotten.contains(*id)).map(|(_, one)| one.clone()).collect()
}

/// Few pieces of data, so that snapshots share them.
fn content(number: u64) -> Vec<u8> {
    noise(7_000 + number, 2_000 + 300 * number as usize)
}

async fn backups(repository: Repository, promises: Promises, seed: u64) {
    let mut dice = Dice(seed | 1);
    for _ in 0..2 {
        let session = repository.session();
        let picked: Vec<u64> = (0..=dice.below(3)).map(|_| dice.below(6)).collect();
        let mut streams = Vec::new();
        for number in &picked {
            match put(&session, StreamKind::Bytes, &content(*number)).await {
                Ok(stream) => streams.push(stream),
                Err(_) => return,
            }
        }
        match session.commit(snapshot("a", streams)).await {
            Ok(written) => drop(promises.lock().unwrap().committed.insert(written.id.clone(), (written, picked))),
            // Told to begin anew: allowed, and nothing was promised.
            Err(error) if error.code() == "snapshot.stale" => {}
            Err(_) => return,
        }
    }
}

async fn shipping(repository: Repository, bucket: Arc<dyn Store>) {
    for _ in 0..3 {
        for item in repository.to_ship() {
            let Ok(bytes) = repository.ship_bytes(&item.key).await else { break };
            if bucket.put(&item.key, bytes, PutMode::Once).await.is_err() {
                break;
            }
            if repository.acknowledged(&item.key, item.size).await.is_err() {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn prunes(repository: Repository, promises: Promises, seed: u64, server: Clock) {
    let mut dice = Dice(seed | 1);
    for _ in 0..2 {
        let all: Vec<SnapshotId> = repository.snapshots().iter().map(|entry| entry.snapshot.id.clone()).collect();
        let forget: Vec<SnapshotId> = all.into_iter().filter(|_| dice.below(3) == 0).collect();
        promises.lock().unwrap().forgotten.extend(forget.iter().cloned());
        let Ok(mut plan) = repository.prune_plan(forget).await else { continue };
        // Never nothing: what is on its way must have the time to land.
        plan.grace_seconds = [1, 3600][dice.below(2) as usize];
        let _ = repository.prune(plan, &Stop::new()).await;
        server.advance(Duration::from_secs(dice.below(3) * 3600));
    }
}

async fn evictions(repository: Repository, seed: u64) {
    let mut dice = Dice(seed | 1);
    for _ in 0..4 {
        // What cannot leave stays; nobody was promised more.
        let _ = repository.evict(Some(dice.below(3) * 10_000), &Stop::new()).await;
        for _ in 0..dice.below(20) {
            tokio::task::yield_now().await;
        }
    }
}

async fn readers(repository: Repository, promises: Promises, alive: Arc<Shaky>) {
    for _ in 0..2 {
        let hold = repository.hold();
        // Chosen after the hold, so that nobody can take it away any more.
        let chosen = promised(&promises).pop();
        if let Some((written, picked)) = chosen {
            let there = repository.snapshot(written.id.as_str()).is_ok();
            for (section, number) in written.volumes.iter().zip(&picked) {
                let read = read_all(&repository, section.stream.as_ref().unwrap(), From::Auto).await;
                match read {
                    Ok(bytes) => assert_eq!(bytes, content(*number)),
                    Err(error) => {
                        assert!(!there || alive.dead.load(Ordering::SeqCst), "a reader was let down: {error:?}")
                    }
                }
            }
        }
        drop(hold);
        tokio::task::yield_now().await;
    }
}

/// One process from its start to its end.
async fn life(cache: &Arc<dyn Store>, bucket: &Arc<dyn Store>, promises: &Promises, dice: &mut Dice, server: &Clock) {
    let calls = [40, 120, 400, 100_000][dice.below(4) as usize];
    let (near, far) = (Shaky::new(cache, dice.below(1 << 40), calls), Shaky::new(bucket, dice.below(1 << 40), calls));
    let opened = Repository::open(parts(near.clone()), Unlock::Device(DEVICE)).await;
    let Ok(repository) = opened else { return };
    let attached = repository.attach_bucket(far.clone()).await;
    if attached.is_err() && !far.dead.load(Ordering::SeqCst) && !near.dead.load(Ordering::SeqCst) {
        panic!("the bucket could not be attached: {attached:?}");
    }
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(backups(repository.clone(), promises.clone(), dice.below(1 << 40)));
    tasks.spawn(backups(repository.clone(), promises.clone(), dice.below(1 << 40)));
    tasks.spawn(shipping(repository.clone(), far.clone()));
    tasks.spawn(prunes(repository.clone(), promises.clone(), dice.below(1 << 40), server.clone()));
    let alive = if calls > 1000 { near.clone() } else { Shaky::new(cache, 1, 0) };
    alive.dead.store(calls <= 1000, Ordering::SeqCst);
    tasks.spawn(readers(repository.clone(), promises.clone(), alive));
    tasks.spawn(evictions(repository.clone(), dice.below(1 << 40)));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

async fn schedule(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let server = Clock::manual(Moment::from_millis(1_000_000_000_000));
    let (cache, bucket): (_, Arc<dyn Store>) = (memory(), Arc::new(MemStore::with_clock(server.clone())));
    let first = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
    let kit = first.recovery_key();
    drop(first);
    let promises = Promises::default();
    for _ in 0..=dice.below(3) {
        life(&cache, &bucket, &promises, &mut dice, &server).await;
    }
    // All that was promised is there, and goes to the bucket.
    let repository = reopen(&cache).await;
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let promised = promised(&promises);
    for (written, picked) in &promised {
        assert!(repository.snapshot(written.id.as_str()).is_ok(), "{} is gone", written.id);
        for (section, number) in written.volumes.iter().zip(picked) {
            let bytes = read_all(&repository, section.stream.as_ref().unwrap(), From::Auto).await;
            assert_eq!(bytes.unwrap(), content(*number), "{}", written.id);
        }
    }
    shipping(repository.clone(), Arc::clone(&bucket)).await;
    for round in 0..4 {
        let mut plan = repository.prune_plan(Vec::new()).await.unwrap();
        plan.grace_seconds = 3600;
        let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
        assert!(outcome.problems.is_empty(), "round {round}: {:?}", outcome.problems);
        server.advance(Duration::from_secs(3601));
    }
    // Nothing unreachable survives a grace and two prunes.
    let plan = repository.prune_plan(Vec::new()).await.unwrap();
    assert!(plan.packs.is_empty(), "{} packs are left over", plan.packs.len());
    assert!(bucket.list("g/").await.unwrap().is_empty(), "condemn lists are left over");
    drop(repository);
    // What is visible in the bucket restores from the bucket alone.
    let heir = Repository::recover(parts(memory()), Arc::clone(&bucket), kit, [9; 32]).await.unwrap();
    // Some may be there though their commit was not answered any more: they are whole too.
    for entry in heir.snapshots() {
        for stream in entry.snapshot.streams() {
            read_all(&heir, stream, From::Bucket).await.unwrap();
        }
    }
    for (written, picked) in &promised {
        for (section, number) in written.volumes.iter().zip(picked) {
            let bytes = read_all(&heir, section.stream.as_ref().unwrap(), From::Bucket).await;
            assert_eq!(bytes.unwrap(), content(*number), "{} from the bucket", written.id);
        }
    }
}

#[test]
fn random_schedules_of_the_coordinator() {
    let wanted: Option<u64> = std::env::var("HOLDFAST_SCHEDULES").ok().and_then(|count| count.parse().ok());
    let first: u64 = std::env::var("HOLDFAST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut done = 0;
    while wanted.map_or(begun.elapsed() < Duration::from_secs(10), |wanted| done < wanted) {
        let seed = first + done;
        let ended = runtime.block_on(async move { tokio::spawn(schedule(seed)).await });
        if let Err(error) = ended {
            panic!("schedule {seed} failed: {error}");
        }
        done += 1;
    }
    println!("{done} schedules in {:.1} s", begun.elapsed().as_secs_f32());
}
