//! Locks in the bucket: a snapshot cannot be taken out of it, nor anything that it needs, before its time.
//!
//! Time is cut into generations. What is written is locked until the end of the generation that it is written in, and the days of the
//! rule behind that, so that all of a generation share a date; an old pack that a new snapshot leans on is locked anew once per
//! generation, not once per snapshot. Invariants: what a snapshot needs is asked to be locked for as long as the snapshot before the
//! snapshot is put; a snapshot is called locked until the first of all those dates, and only by what the bucket acknowledged; no lock
//! is made longer than the rule and a generation, whatever time a snapshot claims; what cannot be locked is shipped all the same,
//! and told.

mod layers;
mod proof;

use crate::{
    Repository,
    inner::{Inner, is_absent},
    layout::{self, FORMAT},
    state::{Held, PackNo, State},
    vault::{Vault, cannot_tell},
};
use futures::{StreamExt, stream};
use holdfast_catalog::Table;
use holdfast_model::{
    Error, Kind, Moment, Problem, Result, SnapshotId,
    lock::{LockMode, LockRule},
};
use holdfast_storage::{Keep, PutMode, Store, words};
pub use proof::LockProof;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Prefix of the catalog's rows about locks: until when the bucket showed objects to be locked, by the ends of their names, so that
/// rows are few.
const ROWS: &str = "l/";
/// The row that says of which bucket those are.
const PLACE: &str = "lock-place";
/// Letters at the end of a name that tell its row.
const TAIL: usize = 3;
const DAY: i64 = 86_400_000;
/// A generation is this part of the rule's days, and a day at least.
const PART: i64 = 4;
/// Objects locked at once.
const AT_ONCE: usize = 8;
/// Locks that are written down together.
const TOGETHER: usize = 256;
/// Of those that are read whole before: packs are large.
const WHOLE_AT_ONCE: usize = 2;
/// Objects in a row that the bucket does not let us lock, until no more are tried: our key may not lock at all.
const DENIED: usize = 3;

/// What is known of locks beside what the state knows of each object.
#[derive(Default)]
pub(crate) struct Locks {
    rule: RwLock<Option<LockRule>>,
    /// The bucket answers questions about locks.
    answers: AtomicBool,
    /// It was told already that the bucket does not lock what it is asked to.
    told: AtomicBool,
    /// Rows of the catalog change one after the other.
    rows: Mutex<()>,
}

impl Locks {
    pub(crate) fn rule(&self) -> Option<LockRule> {
        *self.rule.read().expect("no holder panics")
    }
    pub(crate) fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }
}

/// What becomes of a snapshot that could not be locked.
const TRIED_AGAIN: &str = "the snapshot is shipped without its lock; it is tried again every hour";
/// Code of the error of an object that a rule of governance cannot lock for longer.
const STRICTER: &str = "lock.stricter";

/// Objects that are to be locked, each with the moment that it has to be locked until at least.
type Wanted = BTreeMap<String, Moment>;

/// Until when what is written now is locked.
fn until(rule: &LockRule, now: Moment) -> Moment {
    let days = i64::from(rule.days) * DAY;
    let length = (days / PART).max(DAY);
    let end = now.millis().div_euclid(length).saturating_add(1).saturating_mul(length);
    Moment::from_millis(end.saturating_add(days))
}

/// Until when a snapshot is to be locked. One that claims to be of the future is of now.
fn own_end(rule: &LockRule, held: &Held, now: Moment) -> Moment {
    let taken = held.snapshot.time.min(now);
    Moment::from_millis(taken.millis().saturating_add(i64::from(rule.days) * DAY))
}

/// Tombstones and fences say something for a while only; what snapshots need stays.
fn is_lockable(key: &str) -> bool {
    layout::travels(key) && !key.starts_with(layout::TOMBSTONES) && !key.starts_with(layout::FENCES)
}

fn row_of(key: &str) -> String {
    format!("{ROWS}{}", key.get(key.len().saturating_sub(TAIL)..).unwrap_or(key))
}

impl Repository {
    /// From now on what is written into the bucket is locked there like this, and snapshots until the end of these days; `None` locks
    /// nothing any more. Locks that are there stay.
    pub fn set_lock(&self, rule: Option<LockRule>) {
        self.inner.set_lock(rule);
    }
    /// Locks what snapshots in the bucket need and what lacks its lock, because it was shipped before the rule or because it failed.
    /// The answer is how many objects.
    pub async fn renew_locks(&self) -> Result<u64> {
        self.inner.renew_locks().await
    }
    /// Until when each snapshot is locked in the bucket, with all that it needs; those that are not are left out.
    pub fn locked(&self) -> BTreeMap<SnapshotId, Moment> {
        self.inner.locked()
    }
    /// The same of one.
    pub fn locked_until(&self, id: &SnapshotId) -> Option<Moment> {
        self.inner.locked_until(id)
    }
    /// Tries to delete something of ours that is locked in the bucket, and to shorten its lock. Of the bucket's refusals nothing
    /// remains; what goes through is mended.
    pub async fn prove_lock(&self) -> Result<LockProof> {
        self.inner.prove_lock().await
    }
    /// A bucket as objects have to be shipped to it: with their locks, and a snapshot after all that it needs is locked.
    pub fn guard(&self, bucket: Arc<dyn Store>) -> Arc<dyn Store> {
        Vault::over(&self.inner, bucket)
    }
}

impl Inner {
    /// What counts from now on. Locks that are there stay.
    pub(crate) fn set_lock(&self, rule: Option<LockRule>) {
        let before = std::mem::replace(&mut *self.locks.rule.write().expect("no holder panics"), rule);
        if before != rule {
            self.locks.told.store(false, Ordering::Relaxed);
        }
    }

    /// The lock that an object gets when it is written.
    pub(crate) fn keep_for(&self, key: &str) -> Option<Keep> {
        let rule = self.locks.rule().filter(|_| is_lockable(key))?;
        Some(Keep { mode: rule.mode, until: until(&rule, self.clock.now()) })
    }

    /// Reads what earlier lives wrote down.
    pub(crate) fn enter_locks(&self) {
        let rows: Vec<(String, Wanted)> = self.catalog.list(Table::Packs, ROWS);
        let mut state = self.write();
        // What stands in another row than its own is of an appliance that cut rows otherwise, and is not kept up.
        let own = |(row, known): (String, Wanted)| known.into_iter().filter(move |(key, _)| row_of(key) == row);
        for (key, until) in rows.into_iter().flat_map(own) {
            state.set_kept(&key, Some(until));
        }
    }

    /// Finds out whether the bucket knows locks. What was known of another one counts for nothing. That the object that is asked about
    /// is gone, or that our key may not ask, says nothing against locks: somebody may want us to believe so.
    pub(crate) async fn know_locks_of(&self, bucket: &dyn Store) -> Result<()> {
        let place = bucket.place();
        if self.catalog.get::<String>(Table::Packs, PLACE).is_none_or(|known| known != place) {
            let _alone = self.locks.rows.lock().expect("no holder panics");
            for (row, _) in self.catalog.list::<Wanted>(Table::Packs, ROWS) {
                self.drop_row(&row);
            }
            self.write().forget_locks();
            self.put_row(PLACE, &place);
        }
        let answers = match bucket.kept_until(FORMAT, self.under.get(FORMAT).as_ref()).await {
            Ok(_) => true,
            Err(error) if error.kind().is_transient() => return Err(error),
            Err(error) if error.kind() == Kind::Denied => self.locks.rule().is_some(),
            Err(error) => is_absent(&error),
        };
        self.locks.answers.store(answers, Ordering::Relaxed);
        self.locks.told.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The bucket acknowledged locks.
    pub(crate) fn note_kept(&self, kept: &[(String, Moment)]) {
        self.locks.answers.store(true, Ordering::Relaxed);
        let mut rows: BTreeMap<String, Vec<(String, Moment)>> = BTreeMap::new();
        {
            let mut state = self.write();
            for (key, until) in kept {
                state.set_kept(key, Some(*until));
                rows.entry(row_of(key)).or_default().push((key.clone(), *until));
            }
        }
        let _alone = self.locks.rows.lock().expect("no holder panics");
        for (row, fresh) in rows {
            let mut known: Wanted = self.catalog.get(Table::Packs, &row).unwrap_or_default();
            known.extend(fresh);
            self.put_row(&row, &known);
        }
    }

    /// An object left the bucket's listings.
    pub(crate) fn forget_kept(&self, key: &str) {
        let _alone = self.locks.rows.lock().expect("no holder panics");
        self.write().set_kept(key, None);
        let row = row_of(key);
        let Some(mut known) = self.catalog.get::<Wanted>(Table::Packs, &row) else { return };
        if known.remove(key).is_some() {
            self.put_row(&row, &known);
        }
    }

    fn put_row<V: serde::Serialize>(&self, row: &str, value: &V) {
        if let Err(error) = self.catalog.put(Table::Packs, row, value) {
            tracing::warn!(row, error = %error.chain(), "the catalog did not take what is known of locks");
        }
    }

    fn drop_row(&self, row: &str) {
        if let Err(error) = self.catalog.remove(Table::Packs, row) {
            tracing::warn!(row, error = %error.chain(), "the catalog did not drop what was known of locks");
        }
    }

    /// Told once: an object lies in the bucket without the lock that was asked for.
    pub(crate) fn tell_unlocked(&self, error: &Error) {
        if self.locks.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let place = self.bucket().map_or_else(String::new, |bucket| bucket.place());
        let text = format!("what is shipped is not locked: {}", error.chain());
        let problem = Problem::warning("lock.not_kept", place, text);
        self.write()
            .note(problem.advice("probe the bucket, and give the appliance a key that may lock (PutObjectRetention)"));
    }

    /// Locks what a snapshot needs for as long as the snapshot, before the snapshot itself is put. What fails is told; the snapshot is
    /// shipped all the same, and shows no lock.
    pub(crate) async fn hold_for(self: &Arc<Self>, bucket: &dyn Store, id: &SnapshotId) {
        let Some(rule) = self.locks.rule() else { return };
        let now = self.clock.now();
        let wanted = {
            let state = self.read();
            let held: Vec<&Held> = state.snapshots.get(id).into_iter().collect();
            lacking(&state, &rule, &held, now)
        };
        if let Err(error) = self.lock_all(bucket, &rule, wanted).await {
            let text = format!("not all that snapshot {id} needs could be locked as long as it: {}", error.chain());
            let advice = error.advice_text().filter(|_| error.code() == STRICTER).unwrap_or(TRIED_AGAIN);
            let problem = Problem::warning("lock.not_extended", id.as_str(), text).advice(advice);
            let mut state = self.write();
            // A bucket that is away is asked many times.
            if !state.notes.iter().any(|known| known.code == problem.code && known.subject == problem.subject) {
                state.note(problem);
            }
        }
    }

    /// Locks what lacks it: of snapshots that were shipped before the rule, and where it failed. The answer is how many objects.
    pub(crate) async fn renew_locks(self: &Arc<Self>) -> Result<u64> {
        let (Some(rule), Some(bucket)) = (self.locks.rule(), self.bucket()) else { return Ok(0) };
        let wanted = {
            let state = self.read();
            let is_committed = |held: &&Held| state.is_acked(&layout::snapshot_key(&held.snapshot.id));
            let committed: Vec<&Held> = state.snapshots.values().filter(is_committed).collect();
            lacking(&state, &rule, &committed, self.clock.now())
        };
        if wanted.is_empty() {
            return Ok(0);
        }
        self.not_fenced(&*bucket).await?;
        self.lock_all(&*bucket, &rule, wanted).await
    }

    /// Locks all of these until the date of this generation. Goes on where one fails, unless all would; the error is the first.
    async fn lock_all(self: &Arc<Self>, bucket: &dyn Store, rule: &LockRule, wanted: Wanted) -> Result<u64> {
        if wanted.is_empty() {
            return Ok(0);
        }
        let keep = Keep { mode: rule.mode, until: until(rule, self.clock.now()) };
        let layered = layers::layered(bucket, &wanted).await?;
        let (layered, plain): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(key, _)| layered.contains(key));
        let mut tally = Tally::default();
        self.lock_these(bucket, plain, (keep, false), &mut tally).await;
        self.lock_these(bucket, layered, (keep, true), &mut tally).await;
        tally.failed.map_or(Ok(tally.count), Err)
    }

    async fn lock_these(
        self: &Arc<Self>,
        bucket: &dyn Store,
        jobs: Vec<(String, Moment)>,
        (keep, layered): (Keep, bool),
        tally: &mut Tally,
    ) {
        if tally.is_over {
            return;
        }
        let mut locked = stream::iter(jobs)
            .map(|(key, need)| async move {
                let done = self.lock_one(bucket, &key, (need, keep), layered).await;
                (key, done)
            })
            .buffer_unordered(if layered { WHOLE_AT_ONCE } else { AT_ONCE });
        let mut kept = Vec::new();
        while let Some((key, done)) = locked.next().await {
            kept.extend(tally.take(key, done));
            if kept.len() >= TOGETHER {
                self.note_kept(&std::mem::take(&mut kept));
            }
            if tally.is_over {
                break;
            }
        }
        if !kept.is_empty() {
            self.note_kept(&kept);
        }
    }

    /// Locks one object; the answer is until when. One whose newest version is not ours is put there once more. No lock is made longer
    /// than it has to be only because nobody remembers it: in compliance mode nobody could take that back.
    async fn lock_one(
        self: &Arc<Self>,
        bucket: &dyn Store,
        key: &str,
        (need, keep): (Moment, Keep),
        layered: bool,
    ) -> Result<Moment> {
        if layered && let Some(bytes) = self.good_if_bad_on_top(bucket, key).await? {
            bucket.put_kept(key, bytes, PutMode::Replace, keep).await?;
            self.under.forget(key);
            return Ok(keep.until);
        }
        let is_known = self.read().kept_of(key).is_some();
        if !is_known && let Some(until) = shown(bucket, key).await?.filter(|until| *until >= need) {
            return Ok(until);
        }
        let error = match bucket.extend(key, keep).await {
            Ok(()) => return Ok(keep.until),
            Err(error) => error,
        };
        // It may be locked for longer than we know, and then is not made shorter.
        match bucket.kept_until(key, None).await {
            Ok(Some(until)) if until >= need => Ok(until),
            Ok(Some(until)) if until > self.clock.now() && may_be_stricter(&error, keep) => {
                Err(stricter(key, until).caused_by(error))
            }
            _ => Err(error),
        }
    }

    /// Until when each snapshot is locked in the bucket; those that are not, or not as far as is known, are left out.
    pub(crate) fn locked(&self) -> BTreeMap<SnapshotId, Moment> {
        let (state, now) = (self.read(), self.clock.now());
        let Some(common) = common_until(&state).filter(|until| *until > now) else { return BTreeMap::new() };
        let until = |held: &Held| locked_until(&state, held, common).filter(|until| *until > now);
        state.snapshots.iter().filter_map(|(id, held)| Some((id.clone(), until(held)?))).collect()
    }

    /// The same of one.
    pub(crate) fn locked_until(&self, id: &SnapshotId) -> Option<Moment> {
        let (state, now) = (self.read(), self.clock.now());
        locked_until(&state, state.snapshots.get(id)?, common_until(&state)?).filter(|until| *until > now)
    }

    /// Asks the bucket for the locks of these packs that are not known.
    pub(crate) async fn learn_locks(&self, packs: &[PackNo]) {
        let Some(bucket) = self.bucket().filter(|_| self.locks.answers()) else { return };
        let unknown: Vec<String> = {
            let state = self.read();
            let infos = packs.iter().map(|pack| state.index.pack(*pack));
            infos.filter(|info| info.acked && info.kept.is_none()).map(|info| info.key()).collect()
        };
        let bucket = &*bucket;
        let mut told = stream::iter(unknown)
            .map(|key| async move {
                let until = bucket.kept_until(&key, None).await;
                (key, until)
            })
            .buffer_unordered(AT_ONCE);
        let mut kept = Vec::new();
        while let Some((key, until)) = told.next().await {
            match until {
                Ok(until) => kept.extend(until.map(|until| (key, until))),
                Err(error) if cannot_tell(&error) => {}
                Err(_) => break,
            }
        }
        if !kept.is_empty() {
            self.note_kept(&kept);
        }
    }

    /// Packs of a list that nobody can take out of the bucket yet, and their bytes.
    pub(crate) fn locked_among(&self, packs: &[PackNo]) -> (HashSet<PackNo>, u64) {
        let (state, now) = (self.read(), self.clock.now());
        let locked: HashSet<PackNo> =
            packs.iter().copied().filter(|pack| state.index.pack(*pack).is_locked(now)).collect();
        let bytes = locked.iter().map(|pack| state.index.pack(*pack).name.size).sum();
        (locked, bytes)
    }
}

/// What became of many objects that were to be locked.
#[derive(Default)]
struct Tally {
    count: u64,
    /// In a row, up to now.
    denied: usize,
    /// No more are tried: each would fail like the last.
    is_over: bool,
    failed: Option<Error>,
}

impl Tally {
    /// The answer is what is to be noted down.
    fn take(&mut self, key: String, done: Result<Moment>) -> Option<(String, Moment)> {
        let error = match done {
            Ok(until) => {
                self.denied = 0;
                self.count += 1;
                return Some((key, until));
            }
            Err(error) => error,
        };
        self.denied = if error.kind() == Kind::Denied { self.denied + 1 } else { 0 };
        let locks_nothing = error.code() == words::NO_LOCK || self.denied >= DENIED;
        self.is_over |= locks_nothing || error.kind().is_transient();
        self.failed.get_or_insert(error.while_doing(format!("lock {key}")));
        None
    }
}

/// The lock that the bucket shows; none where it does not tell.
async fn shown(bucket: &dyn Store, key: &str) -> Result<Option<Moment>> {
    match bucket.kept_until(key, None).await {
        Err(error) if cannot_tell(&error) => Ok(None),
        told => told,
    }
}

/// Whether this is what a store says that is to make a lock of compliance longer in mode governance. Nobody shows us the mode of a
/// lock, so it is not tried in the other one: that would make a lock of governance one that nobody can take away.
fn may_be_stricter(error: &Error, keep: Keep) -> bool {
    keep.mode == LockMode::Governance && (error.kind() == Kind::Denied || error.code() == "object.locked")
}

fn stricter(key: &str, until: Moment) -> Error {
    let text = format!("{key} is locked until {until}, and the bucket does not lock it for longer in mode governance");
    Error::new(Kind::Refused, STRICTER, text).advice(
        "what was locked in mode compliance can be locked for longer in that mode alone: go back to it, or wait until those locks \
         have ended; else look whether the appliance's key may still lock (PutObjectRetention)",
    )
}

/// Key slots that we have put into the bucket.
fn slots(state: &State) -> impl Iterator<Item = &String> {
    let all = state.small.range(layout::SLOTS.to_owned()..).take_while(|(key, _)| key.starts_with(layout::SLOTS));
    all.filter(|(key, small)| small.cached && small.acked && layout::travels(key)).map(|(key, _)| key)
}

/// Numbers of the index segments that name these packs.
fn segments(state: &State, held: &Held) -> BTreeSet<u32> {
    held.reach.iter().filter_map(|pack| state.index.pack(*pack).span).map(|span| span.segment).collect()
}

/// What these snapshots need in the bucket and is locked for a shorter time than they are to be.
fn lacking(state: &State, rule: &LockRule, snapshots: &[&Held], now: Moment) -> Wanted {
    let (mut wanted, mut by_segment) = (Wanted::new(), BTreeMap::new());
    let mut longest: Option<Moment> = None;
    for held in snapshots {
        let need = own_end(rule, held, now);
        if need <= now {
            continue;
        }
        longest = longest.max(Some(need));
        for pack in &held.reach {
            let info = state.index.pack(*pack);
            if info.acked && info.kept.is_none_or(|until| until < need) {
                let known = wanted.entry(info.key()).or_insert(need);
                *known = need.max(*known);
            }
        }
        for segment in segments(state, held) {
            let known = by_segment.entry(segment).or_insert(need);
            *known = need.max(*known);
        }
        let id = &held.snapshot.id;
        want(state, &mut wanted, layout::snapshot_key(id), need);
        want(state, &mut wanted, state.reach_key(id), need);
    }
    for (segment, need) in by_segment {
        want(state, &mut wanted, layout::segment_key(&state.index.segment(segment)), need);
    }
    if let Some(need) = longest {
        want(state, &mut wanted, FORMAT.to_owned(), need);
        for slot in slots(state) {
            want(state, &mut wanted, slot.clone(), need);
        }
    }
    wanted
}

fn want(state: &State, wanted: &mut Wanted, key: String, need: Moment) {
    if state.is_acked(&key) && state.kept_of(&key).is_none_or(|until| until < need) {
        wanted.insert(key, need);
    }
}

/// The first end of the locks of what every snapshot needs, if all are known.
fn common_until(state: &State) -> Option<Moment> {
    slots(state).try_fold(state.kept_of(FORMAT)?, |until, key| Some(until.min(state.kept_of(key)?)))
}

/// The first end of all locks of what a snapshot needs, if all are known; with that of what all need.
fn locked_until(state: &State, held: &Held, common: Moment) -> Option<Moment> {
    let id = &held.snapshot.id;
    let mut until = common;
    for key in [layout::snapshot_key(id), state.reach_key(id)] {
        until = until.min(state.kept_of(&key)?);
    }
    for pack in &held.reach {
        let info = state.index.pack(*pack);
        until = until.min(info.kept.filter(|_| info.acked && info.span.is_some())?);
    }
    for segment in segments(state, held) {
        until = until.min(state.kept_of(&layout::segment_key(&state.index.segment(segment)))?);
    }
    Some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_generation_share_a_date_and_none_ends_early() {
        let rule = LockRule { mode: LockMode::Compliance, days: 30 };
        let length = 30 * DAY / PART;
        let begin = Moment::from_millis(1_795_000_000_000 / length * length);
        let at = |millis: i64| until(&rule, Moment::from_millis(begin.millis() + millis));
        assert_eq!(at(0), at(length - 1));
        assert_eq!(at(length).since(at(0)), length);
        for millis in [0, 1, length / 2, length - 1] {
            let lasts = at(millis).since(begin) - millis;
            assert!((30 * DAY..=30 * DAY + length).contains(&lasts), "{lasts}");
        }
        let short = LockRule { days: 1, ..rule };
        assert!((DAY..=2 * DAY).contains(&until(&short, begin).since(begin)));
        assert!(until(&short, Moment::from_millis(i64::MAX)).millis() > 0, "no time is too far");
    }
}
