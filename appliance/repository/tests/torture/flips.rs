//! Every byte of a small repository turned, every object cut short, swapped, replayed: each damage is harmless or
//! named, no wrong byte comes out, nothing panics.
//!
//! A damaged object is judged by opening it, reading all, attaching the (good) other tier and reading all again, and,
//! in the bucket, by a recovery from the bucket alone. Bytes of cached packs, which are most, are judged by a
//! repository that stays open and reads from its cache; one in some is judged in full.

use crate::{full, ground::*, scenario::settings};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result, snapshot::Snapshot, view::From};
use holdfast_repository::{RecoveryKey, Repository};
use holdfast_storage::{
    Faulty, MemStore, Op, PutMode, Store,
    sim::{BucketStep, Dice, Event, SimBucket, Tape},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

type Objects = BTreeMap<String, Bytes>;
type Verdict = std::result::Result<Outcome, String>;

/// Cases judged at once; many of them wait for a damaged pack to be asked for again.
const AT_ONCE: usize = 128;

/// How a damage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything reads.
    Harmless,
    /// Somebody was told.
    Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Cache,
    Bucket,
}

/// A repository with objects of all classes, and all that ever lay in its bucket.
struct Subject {
    cache: Objects,
    bucket: Objects,
    once_there: Objects,
    kept: Vec<(Snapshot, Bytes)>,
    kit: [u8; 32],
}

/// A damage: what the damaged tier holds.
struct Case {
    label: String,
    tier: Tier,
    objects: Objects,
}

fn data(seed: u64) -> Bytes {
    let mut files: Vec<(String, Vec<u8>)> =
        (0..5).map(|n| (format!("v/small-{n}"), text(seed + n, 100 + 300 * n as usize))).collect();
    files.push(("v/large".into(), text(seed + 50, 36_000)));
    let mut pages = text(7, 40_960);
    pages[..16].copy_from_slice(b"SQLite format 3\0");
    pages[20_000..20_100].copy_from_slice(&text(seed, 100));
    files.push(("v/pages".into(), pages));
    Bytes::from(tar(&files))
}

async fn take(repository: &Repository, seed: u64) -> (Snapshot, Bytes) {
    let bytes = data(seed);
    (back_up(repository, draft("shop"), &bytes).await.unwrap(), bytes)
}

/// A second machine, recovered from a bucket (so there is a fence), with a snapshot forgotten while the bucket forbade
/// deleting (so there is a tombstone).
async fn subject() -> Subject {
    let tape = Arc::new(Tape::default());
    let bucket = Arc::new(SimBucket::recorded(Objects::new(), Arc::clone(&tape)));
    let first = Repository::create(parts(Arc::new(MemStore::new()), fresh_catalog()), DEVICE).await.unwrap();
    first.attach_bucket(bucket.clone()).await.unwrap();
    first.save_settings(&settings(1)).await.unwrap();
    let mut kept = vec![take(&first, 100).await];
    let pruned = take(&first, 150).await.0;
    assert!(ship(&first, &*bucket, usize::MAX).await.unwrap());
    prune(&first, vec![pruned.id], true).await.unwrap();
    let kit = first.recovery_key();
    drop(first);
    let cache = Arc::new(MemStore::new());
    let faulty = Arc::new(Faulty::new(bucket.clone()));
    let parts = parts(cache.clone(), fresh_catalog());
    let second = Repository::recover(parts, faulty.clone(), kit.clone(), DEVICE).await.unwrap();
    // One that is condemned and waits out its grace: its list stays.
    let waiting = take(&second, 250).await.0;
    let forgotten = take(&second, 200).await.0;
    kept.push(take(&second, 300).await);
    second.save_settings(&settings(2)).await.unwrap();
    assert!(ship(&second, &*bucket, usize::MAX).await.unwrap());
    assert!(prune(&second, vec![waiting.id], false).await.unwrap().waiting > 0);
    faulty.heal();
    faulty.fail(Op::Delete, 0, Kind::Denied);
    prune(&second, vec![forgotten.id], false).await.unwrap();
    second.save_settings(&settings(3)).await.unwrap();
    kept.push(take(&second, 400).await);
    assert!(ship(&second, &*bucket, usize::MAX).await.unwrap());
    for (snapshot, bytes) in &kept {
        assert!(read_all(&second, snapshot, From::Auto).await.unwrap() == *bytes);
    }
    let mut once_there = Objects::new();
    for event in tape.take() {
        if let Event::Bucket(BucketStep::Put(key, bytes)) = event {
            once_there.insert(key, bytes);
        }
    }
    Subject { cache: cache.objects_now(), bucket: bucket.objects(), once_there, kept, kit: kit.0 }
}

impl Subject {
    fn objects(&self, tier: Tier) -> &Objects {
        match tier {
            Tier::Cache => &self.cache,
            Tier::Bucket => &self.bucket,
        }
    }

    fn case(&self, tier: Tier, label: String, changes: impl IntoIterator<Item = (String, Bytes)>) -> Case {
        let mut objects = self.objects(tier).clone();
        objects.extend(changes);
        Case { label: format!("{tier:?}: {label}"), tier, objects }
    }

    fn flip(&self, tier: Tier, key: &str, at: usize) -> Case {
        let turned = turned(&self.objects(tier)[key], at);
        self.case(tier, format!("byte {at} of {key}"), [(key.to_owned(), turned)])
    }

    /// Reads all that is shown; what is shown is what was written, what reads is right.
    async fn read(&self, repository: &Repository, from: From) -> Verdict {
        let mut outcome = Outcome::Harmless;
        let shown: BTreeMap<_, _> =
            repository.snapshots().into_iter().map(|entry| (entry.snapshot.id.clone(), entry.snapshot)).collect();
        for (written, bytes) in &self.kept {
            match shown.get(&written.id) {
                None => outcome = Outcome::Named,
                Some(shown) if **shown != *written => return Err(format!("WRONG: {} is shown changed", written.id)),
                Some(_) => match read_all(repository, written, from).await {
                    Ok(read) if read == *bytes => {}
                    Ok(_) => return Err(format!("WRONG BYTES in {}", written.id)),
                    Err(error) => outcome = named(error)?,
                },
            }
        }
        match repository.settings().await {
            Ok(Some(found)) if found.appliance == settings(3).appliance => Ok(outcome),
            Ok(Some(found)) if (1..3).any(|old| found.appliance == settings(old).appliance) => Ok(Outcome::Named),
            Ok(found) => Err(format!("WRONG: settings are {found:?}")),
            Err(error) => named(error),
        }
    }

    async fn judge(&self, case: Case) -> Verdict {
        let label = case.label.clone();
        // Many are looked at together, on machines that do other things besides.
        match tokio::time::timeout(Duration::from_secs(900), self.look(case)).await {
            Ok(verdict) => verdict.map_err(|error| format!("{error} [event: {label}]")),
            Err(_) => Err(format!("does not come to an end [event: {label}]")),
        }
    }

    async fn look(&self, case: Case) -> Verdict {
        let (cache, bucket) = match case.tier {
            Tier::Cache => (case.objects, self.bucket.clone()),
            Tier::Bucket => (self.cache.clone(), case.objects),
        };
        let store: Arc<dyn Store> = Arc::new(MemStore::from(cache));
        let repository = match open(Arc::clone(&store), fresh_catalog()).await {
            Ok(repository) => repository,
            Err(error) if case.tier == Tier::Cache => return named(error),
            Err(error) => return Err(format!("a good cache does not open: {}", error.chain())),
        };
        let alone = self.read(&repository, From::Auto).await?;
        let told = repository.take_healed();
        if repository.snapshots().len() < self.kept.len() && told.is_empty() {
            return Err("a snapshot is not shown, and nobody was told".into());
        }
        let remote: Arc<dyn Store> = Arc::new(MemStore::from(bucket.clone()));
        let attached = repository.attach_bucket(remote).await;
        let outcome = match (case.tier, attached) {
            (Tier::Cache, Err(error)) => return Err(format!("a good bucket is not taken: {}", error.chain())),
            (Tier::Bucket, Err(error)) => named(error)?,
            (_, Ok(())) => alone,
        };
        // The other tier is good: everything comes back, settings perhaps one step older.
        match self.read(&repository, From::Auto).await? {
            Outcome::Named if self.unreadable(&repository).await => {
                return Err("does not read although the other tier is good".into());
            }
            _ => {}
        }
        if case.tier == Tier::Cache {
            return Ok(outcome);
        }
        Ok(outcome.max(self.recover(bucket).await?))
    }

    async fn unreadable(&self, repository: &Repository) -> bool {
        for (snapshot, _) in &self.kept {
            if read_all(repository, snapshot, From::Auto).await.is_err() {
                return true;
            }
        }
        repository.snapshots().len() < self.kept.len()
    }

    /// From the bucket alone.
    async fn recover(&self, bucket: Objects) -> Verdict {
        let parts = parts(Arc::new(MemStore::new()), fresh_catalog());
        let bucket: Arc<dyn Store> = Arc::new(MemStore::from(bucket));
        match Repository::recover(parts, bucket, RecoveryKey(self.kit), DEVICE).await {
            Ok(recovered) => self.read(&recovered, From::Bucket).await,
            Err(error) => named(error),
        }
    }
}

fn named(error: Error) -> Verdict {
    match error.kind() {
        Kind::Bug => Err(format!("a bug: {}", error.chain())),
        _ => Ok(Outcome::Named),
    }
}

fn turned(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes.into()
}

fn is_pack(key: &str) -> bool {
    key.starts_with("p/") || key.starts_with("m/")
}

async fn judge_all(subject: &Arc<Subject>, cases: impl Iterator<Item = Case>, what: &str, failures: &mut Failures) {
    let start = Instant::now();
    let mut verdicts = stream::iter(cases)
        .map(|case| {
            let subject = Arc::clone(subject);
            async move { tokio::spawn(async move { subject.judge(case).await }).await.unwrap() }
        })
        .buffer_unordered(AT_ONCE);
    let mut counts: BTreeMap<Outcome, u64> = BTreeMap::new();
    while let Some(verdict) = verdicts.next().await {
        match verdict {
            Ok(outcome) => *counts.entry(outcome).or_default() += 1,
            Err(error) => failures.add(error),
        }
        let done: u64 = counts.values().sum();
        if done.is_multiple_of(20_000) {
            println!("{what} so far: {counts:?} in {:?}", start.elapsed());
        }
    }
    println!("{what}: {counts:?} in {:?}", start.elapsed());
}

/// Every byte of every cached pack, read by a repository that stays open.
async fn warm_flips(subject: &Arc<Subject>, stride: usize, first: usize, failures: &mut Failures) {
    const WORKERS: usize = 3;
    let (start, count) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let workers = (0..WORKERS).map(|worker| {
        let (subject, count) = (Arc::clone(subject), Arc::clone(&count));
        tokio::spawn(async move { warm_worker(&subject, stride, first, (worker, WORKERS), &count).await })
    });
    for worker in workers.collect::<Vec<_>>() {
        for failure in worker.await.unwrap() {
            failures.add(failure);
        }
    }
    println!("bytes of cached packs, read warm: {} in {:?}", count.load(Ordering::Relaxed), start.elapsed());
}

async fn warm_worker(
    subject: &Subject,
    stride: usize,
    first: usize,
    (worker, workers): (usize, usize),
    count: &AtomicU64,
) -> Vec<String> {
    let mut failures = Vec::new();
    let store = Arc::new(MemStore::from(subject.cache.clone()));
    let repository = open(store.clone(), fresh_catalog()).await.unwrap();
    for (key, good) in subject.cache.iter().filter(|(key, _)| is_pack(key)) {
        for at in (first..good.len()).step_by(stride).filter(|at| at / stride % workers == worker) {
            store.put(key, turned(good, at), PutMode::Replace).await.unwrap();
            if let Err(error) = subject.read(&repository, From::Cache).await {
                failures.push(format!("{error} [event: warm byte {at} of {key}]"));
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
        store.put(key, good.clone(), PutMode::Replace).await.unwrap();
        let healthy = subject.read(&repository, From::Cache).await;
        assert_eq!(healthy, Ok(Outcome::Harmless), "a damage that went leaves no trace");
    }
    failures
}

/// Offsets to be turned, in full: all of small objects, every `sparse`-th of packs.
fn flips<'a>(
    subject: &'a Subject,
    tier: Tier,
    (small, packs): (usize, usize),
    dice: &mut Dice,
) -> impl Iterator<Item = Case> + 'a {
    let starts = (dice.below(small as u64) as usize, dice.below(packs as u64) as usize);
    let all = subject.objects(tier).iter().flat_map(move |(key, bytes)| {
        let (stride, start) = if is_pack(key) { (packs, starts.1) } else { (small, starts.0) };
        (start..bytes.len()).step_by(stride).map(move |at| (key.as_str(), at))
    });
    all.map(move |(key, at)| subject.flip(tier, key, at))
}

/// Cut short at every 512 bytes and by one byte; made longer; swapped within a class; emptied.
fn rough_cases(subject: &Subject, tier: Tier) -> Vec<Case> {
    let objects = subject.objects(tier);
    let mut cases = Vec::new();
    for (key, bytes) in objects {
        for end in (0..bytes.len()).step_by(512).chain([bytes.len() - 1]) {
            cases.push(subject.case(tier, format!("{key} cut at {end}"), [(key.clone(), bytes.slice(..end))]));
        }
        let longer = [bytes.as_ref(), &[0; 7]].concat();
        cases.push(subject.case(tier, format!("{key} made longer"), [(key.clone(), longer.into())]));
        for (other, theirs) in objects.range(key.clone()..).skip(1).filter(|(other, _)| other[..1] == key[..1]) {
            let swap = [(key.clone(), theirs.clone()), (other.clone(), bytes.clone())];
            cases.push(subject.case(tier, format!("{key} and {other} swapped"), swap));
        }
    }
    cases
}

/// Objects that were removed are back; older ones lie under newer names.
fn replays(subject: &Subject) -> Vec<Case> {
    let gone = |(key, _): &(&String, &Bytes)| !subject.bucket.contains_key(*key);
    let gone: Vec<(String, Bytes)> =
        subject.once_there.iter().filter(gone).map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
    assert!(gone.len() > 4, "something was pruned: {gone:?}");
    let one = gone.iter().map(|old| subject.case(Tier::Bucket, format!("{} is back", old.0), [old.clone()]));
    let mut cases: Vec<Case> = one.collect();
    cases.push(subject.case(Tier::Bucket, "everything removed is back".into(), gone.clone()));
    for tier in [Tier::Cache, Tier::Bucket] {
        for key in subject.objects(tier).keys() {
            let old = subject.once_there.iter().filter(|(old, _)| old[..1] == key[..1] && *old != key);
            cases.extend(old.map(|(old, bytes)| {
                subject.case(tier, format!("{old} lies under {key}"), [(key.clone(), bytes.clone())])
            }));
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_turned_byte_is_harmless_or_named() -> Result<()> {
    panics();
    let subject = Arc::new(subject().await);
    let sizes = [&subject.cache, &subject.bucket].map(|tier| tier.values().map(Bytes::len).sum::<usize>());
    let classes: BTreeSet<&str> = subject.bucket.keys().map(|key| &key[..1]).collect();
    println!("cache {} bytes, bucket {} bytes, classes {classes:?}", sizes[0], sizes[1]);
    assert!(classes.len() >= 11, "objects of all classes: {classes:?}");
    let mut dice = Dice::new(u64::from_le_bytes(holdfast_runtime::random()));
    let mut failures = Failures::default();
    let (warm, deep, bucket) = if full() { (1, (1, 16), (1, 1)) } else { (97, (97, 1999), (197, 3989)) };
    let first = dice.below(warm as u64) as usize;
    warm_flips(&subject, warm, first, &mut failures).await;
    judge_all(&subject, flips(&subject, Tier::Cache, deep, &mut dice), "bytes of the cache", &mut failures).await;
    judge_all(&subject, flips(&subject, Tier::Bucket, bucket, &mut dice), "bytes of the bucket", &mut failures).await;
    failures.assert_none();
    assert_eq!(panics(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cut_swap_and_replay_is_harmless_or_named() {
    panics();
    let subject = Arc::new(subject().await);
    let mut dice = Dice::new(u64::from_le_bytes(holdfast_runtime::random()));
    let mut failures = Failures::default();
    let mut slice = |cases: Vec<Case>, of: u64| -> Vec<Case> {
        let of = if full() { 1 } else { of };
        cases.into_iter().filter(|_| dice.below(of) == 0).collect()
    };
    let cuts = [Tier::Cache, Tier::Bucket].into_iter().flat_map(|tier| rough_cases(&subject, tier)).collect();
    let (cuts, replays) = (slice(cuts, 8), slice(replays(&subject), 4));
    judge_all(&subject, cuts.into_iter(), "cut, longer, swapped", &mut failures).await;
    judge_all(&subject, replays.into_iter(), "replayed", &mut failures).await;
    failures.assert_none();
    assert_eq!(panics(), 0);
}
