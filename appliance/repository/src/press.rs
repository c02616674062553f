//! The press: chunks in, packs out. CPU threads compress and seal; writers bring full packs into the cache.
//!
//! Invariants: at most [`QUEUE`] bytes per worker wait, and one pack per writer; a chunk in flight is never stored twice;
//! a chunk becomes known only after the cache has its pack (law L2); a failed pack un-knows its chunks
//! and is told to every session that might lean on them. Writers wait where the cache has no room (`room`), and with them
//! everybody before them.

use crate::{
    find::Finder,
    layout::PackKind,
    pack::{Builder, Row},
    queue::{Pool, Queue},
    recipe::Placed,
    room::Room,
    segment::PackName,
    stages::{Stage, Stages, Timers},
    state::{PackInfo, PackNo, pack_kind},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use holdfast_chunk::{Base, ChunkKind, Envelope, Opener, Sealer};
use holdfast_model::{ChunkId, Error, Kind, Result};
use holdfast_storage::PutMode;
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, Weak},
    time::Instant,
};

/// Packs of file contents are closed at this size: 32 MiB keeps requests few and retries cheap.
pub(crate) const DATA_PACK: usize = 32 << 20;
/// Packs of metadata are closed at this size: they are fetched for browsing.
const META_PACK: usize = 8 << 20;
/// The size at which a pack is closed, bytes.
pub(crate) fn full_at(kind: PackKind) -> usize {
    match kind {
        PackKind::Data => DATA_PACK,
        PackKind::Meta => META_PACK,
    }
}
/// Plaintext that waits, bytes per worker: enough to keep it busy.
const QUEUE: usize = 6 << 20;
/// More workers than this gain nothing against one splitter thread.
const WORKERS_MAX: usize = 8;
/// Packs named and written at once: one is hashed while the other one is synced.
const WRITERS: usize = 2;
/// Zstd level. Against level 1 it costs a tenth of the whole way's time (nothing at all for pages of databases) and
/// saves a tenth of the space, a sixth with databases.
const LEVEL: i32 = 3;
/// Level of what is new since the parent, as long as the press keeps up: it saves another tenth of databases at six times the
/// work, and increments are small.
const LEVEL_OF_INCREMENTS: i32 = 6;

/// Who is told what became of a chunk. Called from CPU threads.
pub(crate) trait Tally: Send + Sync {
    fn stored(&self, sealed: u64);
    /// A chunk was found in a pack that lies there already.
    fn leans_on(&self, pack: PackNo);
}

impl dyn Tally {
    /// Pins a pack; the answer is whether it still counts. See [`crate::pins`] for the order.
    fn may_lean_on(&self, finder: &Finder, pack: PackNo) -> bool {
        self.leans_on(pack);
        finder.carries(pack)
    }
}

/// How much work a chunk is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Much of the like may come.
    Fast,
    /// It belongs to an increment.
    Small,
}

struct Job {
    ticket: u64,
    kind: ChunkKind,
    id: ChunkId,
    plain: Vec<u8>,
    /// A chunk that is much like this one, perhaps.
    base: Option<ChunkId>,
    care: Care,
    tally: Arc<dyn Tally>,
}

#[derive(Default)]
struct Flight {
    /// Chunks on their way into a stored pack.
    ids: HashSet<ChunkId>,
    /// Work that is not finished.
    tickets: BTreeSet<u64>,
    next: u64,
    failures: u64,
    failure: Option<Failure>,
}

/// The last reason why a pack could not be stored; errors do not clone.
#[derive(Clone)]
struct Failure {
    kind: Kind,
    code: String,
    text: String,
    advice: Option<String>,
}

/// What workers share.
pub(crate) struct Bench {
    finder: Arc<Finder>,
    room: Arc<Room>,
    flight: Mutex<Flight>,
    idle: Condvar,
    pool: Pool,
    timers: Timers,
    /// Full packs on their way to a writer.
    full: Sender<(u64, Builder)>,
    data: Mutex<Builder>,
    meta: Mutex<Builder>,
}

/// The press. Dropping it lets the workers go.
pub(crate) struct Press {
    bench: Arc<Bench>,
    jobs: Arc<Queue<Job>>,
}

impl Drop for Press {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

impl Press {
    /// Starts the workers. Must be called within the async runtime that the cache needs.
    pub(crate) fn start(finder: Arc<Finder>, room: Arc<Room>) -> Result<Press> {
        let workers = std::thread::available_parallelism().map_or(2, usize::from).min(WORKERS_MAX);
        let jobs = Arc::new(Queue::new(QUEUE * workers));
        let (full, packs) = bounded(0);
        let bench = Arc::new(Bench {
            finder,
            room,
            flight: Mutex::default(),
            idle: Condvar::new(),
            pool: Pool::new(QUEUE * workers),
            timers: Timers::default(),
            full,
            data: Mutex::new(Builder::new(PackKind::Data)),
            meta: Mutex::new(Builder::new(PackKind::Meta)),
        });
        for number in 0..workers {
            let (bench, jobs) = (Arc::clone(&bench), Arc::clone(&jobs));
            let (mut sealer, mut opener) = (Sealer::new(LEVEL)?, Opener::new()?);
            spawn(format!("press-{number}"), move || work(&bench, &jobs, &mut sealer, &mut opener))?;
        }
        for number in 0..WRITERS {
            // The workers hold the bench, and with it the way to the writers: they go when the workers have gone.
            let (bench, packs) = (Arc::downgrade(&bench), packs.clone());
            spawn(format!("packs-{number}"), move || write(&bench, &packs))?;
        }
        Ok(Press { bench, jobs })
    }

    /// Offers a chunk: known ones and ones in flight are answered at once with `false`, new ones are
    /// queued. Blocks while the queue is full.
    pub(crate) fn offer(&self, kind: ChunkKind, id: ChunkId, plain: &[u8], tally: &Arc<dyn Tally>) -> Result<bool> {
        self.offer_on(|| None, (kind, id), plain, (tally, Care::Fast))
    }

    /// The same for a chunk that may be like another one, which is asked for only if this one is new.
    pub(crate) fn offer_on(
        &self,
        base: impl FnOnce() -> Option<ChunkId>,
        (kind, id): (ChunkKind, ChunkId),
        plain: &[u8],
        (tally, care): (&Arc<dyn Tally>, Care),
    ) -> Result<bool> {
        // Claimed before the index is asked, which may read rows from the disk: nobody else stores it meanwhile.
        let ticket = {
            let mut flight = self.bench.flight();
            if !flight.ids.insert(id) {
                return Ok(false);
            }
            flight.ticket()
        };
        if let Some(found) = self.bench.finder.find(&id)
            && tally.may_lean_on(&self.bench.finder, found.pack)
            && found.base_pack.is_none_or(|pack| tally.may_lean_on(&self.bench.finder, pack))
        {
            self.bench.flight().ids.remove(&id);
            self.bench.close(ticket);
            return Ok(false);
        }
        let (base, plain) = (base(), self.bench.pool.copy(plain));
        let length = plain.len();
        let job = Job { ticket, kind, id, plain, base, care, tally: Arc::clone(tally) };
        let waited = self.jobs.push(length, job).ok_or_else(|| Error::bug("the press has stopped"))?;
        self.bench.timers.add(Stage::QueueFull, waited);
        Ok(true)
    }

    /// What the stages did so far.
    pub(crate) fn stages(&self) -> Stages {
        self.bench.timers.read()
    }
    pub(crate) fn timers(&self) -> &Timers {
        &self.bench.timers
    }

    /// Waits until everything offered before lies in stored packs, closing open ones. Blocks.
    pub(crate) fn settle(&self) {
        let before = self.bench.flight().next;
        self.bench.wait(before);
        for kind in [PackKind::Data, PackKind::Meta] {
            if let Some((ticket, full)) = self.bench.take(kind, 1) {
                self.bench.store(full);
                self.bench.close(ticket);
            }
        }
        // Somebody else may have taken a pack with our chunks a moment before us.
        let before = self.bench.flight().next;
        self.bench.wait(before);
    }

    /// Failures so far; a session compares it with the number at its start.
    pub(crate) fn failures(&self) -> u64 {
        self.bench.flight().failures
    }

    /// The last failure as an error.
    pub(crate) fn failure(&self) -> Error {
        let failure = self.bench.flight().failure.clone();
        let Some(failure) = failure else { return Error::bug("a chunk was lost on its way into a pack") };
        let error = Error::new(failure.kind, failure.code, failure.text);
        match failure.advice {
            Some(advice) => error.advice(advice),
            None => error,
        }
    }
}

impl Flight {
    fn ticket(&mut self) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.tickets.insert(ticket);
        ticket
    }
}

impl Bench {
    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().expect("no holder panics")
    }
    fn builder(&self, kind: PackKind) -> MutexGuard<'_, Builder> {
        let builder = match kind {
            PackKind::Data => &self.data,
            PackKind::Meta => &self.meta,
        };
        builder.lock().expect("no holder panics")
    }
    fn wait(&self, before: u64) {
        let flight = self.flight();
        let busy = |flight: &mut Flight| flight.tickets.first().is_some_and(|ticket| *ticket < before);
        drop(self.idle.wait_while(flight, busy).expect("no holder panics"));
    }
    fn close(&self, ticket: u64) {
        self.flight().tickets.remove(&ticket);
        self.idle.notify_all();
    }
    /// Takes the open pack if it has at least `least` bytes of chunks, with a ticket for storing it.
    fn take(&self, kind: PackKind, least: usize) -> Option<(u64, Builder)> {
        let mut builder = self.builder(kind);
        if builder.is_empty() || builder.len() < least {
            return None;
        }
        let ticket = self.flight().ticket();
        Some((ticket, std::mem::replace(&mut *builder, Builder::new(kind))))
    }

    /// Plaintext of the chunk that a job's is like, if the cache has it, stored whole.
    fn base(&self, opener: &mut Opener, job: &Job) -> Option<(ChunkId, Vec<u8>)> {
        let found = self.finder.find_whole(&job.base?)?;
        if !job.tally.may_lean_on(&self.finder, found.pack) {
            return None;
        }
        let key = {
            let state = self.finder.state.read().expect("no holder panics");
            Some(state.index.pack(found.pack)).filter(|info| info.cached()).map(PackInfo::key)
        };
        let Placed { id, length, offset, sealed, .. } = found.placed;
        let range = u64::from(offset)..u64::from(offset) + u64::from(sealed);
        let read = self.finder.runtime.block_on(self.finder.cache.get_range(&key?, range));
        let opened = read.and_then(|bytes| opener.open(&self.finder.keys, (job.kind, &id), length, None, &bytes));
        match opened {
            Ok(plain) => Some((id, plain)),
            // A check finds and mends it; this chunk is stored whole.
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a chunk of the cache that another one was to lean on cannot be read");
                None
            }
        }
    }

    fn press(&self, (sealer, opener): (&mut Sealer, &mut Opener), job: &Job, sealed: &mut Vec<u8>) -> Result<()> {
        sealed.clear();
        let start = Instant::now();
        let base = self.base(opener, job);
        let on = base.as_ref().map(|(id, plain)| Base { id, plain });
        let done = sealer.seal(&self.finder.keys, (job.kind, &job.id), &job.plain, on, sealed)?;
        let base = base.filter(|_| done.delta).map(|(id, _)| id);
        self.timers.add(Stage::Press, start.elapsed());
        let kind = pack_kind(job.kind);
        let length = u32::try_from(job.plain.len()).expect("chunks are at most 16 MiB");
        let size = u32::try_from(sealed.len()).expect("chunks are at most 16 MiB");
        let full = full_at(kind);
        self.builder(kind).push(Row { kind: job.kind, id: job.id, length, sealed: size, base }, sealed, full);
        job.tally.stored(u64::from(size));
        if let Some(full) = self.take(kind, full) {
            // Writers outlive workers; should they be gone all the same, nothing is lost.
            if let Err(back) = self.timers.time(Stage::PackWait, || self.full.send(full)) {
                let (ticket, full) = back.into_inner();
                self.store(full);
                self.close(ticket);
            }
        }
        Ok(())
    }

    /// Brings a pack into the cache and makes its chunks known.
    fn store(&self, builder: Builder) {
        let ids: Vec<ChunkId> = builder.rows().iter().map(|row| row.id).collect();
        let kind = builder.kind();
        let stored = self.timers.time(Stage::PackWrite, || self.try_store(builder));
        let mut flight = self.flight();
        if let Err(error) = stored {
            tracing::warn!(?kind, error = %error.chain(), "a pack could not be stored");
            flight.fail(&error);
        }
        for id in ids {
            flight.ids.remove(&id);
        }
    }

    fn try_store(&self, builder: Builder) -> Result<()> {
        let pack = builder.finish(Envelope::new(&self.finder.keys, self.finder.repository))?;
        let name = PackName { kind: pack.kind, id: pack.id, size: pack.bytes.len() as u64 };
        let key = crate::layout::pack_key(pack.kind, &pack.id);
        let runtime = &self.finder.runtime;
        // Until the state counts it.
        let _place = runtime.block_on(self.room.enter(pack.kind, name.size))?;
        runtime
            .block_on(self.finder.cache.put(&key, pack.bytes, PutMode::Once))
            .map_err(|error| error.while_doing("new data could not be written into the cache"))?;
        let mut state = self.finder.state.write().expect("no holder panics");
        state.enter_stored(name, &pack.rows, pack.footer, self.finder.pins.now());
        Ok(())
    }
}

impl Flight {
    fn fail(&mut self, error: &Error) {
        self.failures += 1;
        self.failure = Some(Failure {
            kind: error.kind(),
            code: error.code().to_owned(),
            text: error.chain(),
            advice: error.advice_text().map(str::to_owned),
        });
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name)
        .spawn(work)
        .map(drop)
        .map_err(|error| Error::io("a thread for compressing could not be started", error))
}

fn work(bench: &Bench, jobs: &Queue<Job>, sealer: &mut Sealer, opener: &mut Opener) {
    let mut sealed = Vec::new();
    while let Some((job, waited)) = jobs.pop() {
        bench.timers.idled(waited);
        let care = job.care == Care::Small && jobs.is_slack();
        sealer.set_level(if care { LEVEL_OF_INCREMENTS } else { LEVEL });
        if let Err(error) = bench.press((sealer, opener), &job, &mut sealed) {
            let mut flight = bench.flight();
            flight.fail(&error);
            flight.ids.remove(&job.id);
        }
        let Job { ticket, plain, tally, .. } = job;
        bench.pool.give(plain);
        // Before anybody who waits goes on: with the tally the session's pins live, and a prune would spare its packs.
        drop(tally);
        bench.close(ticket);
    }
}

fn write(bench: &Weak<Bench>, packs: &Receiver<(u64, Builder)>) {
    for (ticket, full) in packs {
        let Some(bench) = bench.upgrade() else { return };
        bench.store(full);
        bench.close(ticket);
    }
}
