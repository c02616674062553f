//! The shipper: one loop that owns the desk, and the board where others read how it goes.
//!
//! Two patiences: when the bucket fails, nothing starts until its back-off has passed; when an object
//! fails for its own reasons, only that one (and what needs it) waits.

use crate::deed::{self, Failure};
use crate::desk::{Desk, LISTED};
use crate::line::Line;
use crate::meter::Meter;
use crate::source::Source;
use holdfast_model::{Error, Moment};
use holdfast_repository::{Repository, ShipItem};
use holdfast_runtime::{Backoff, Clock, Stop};
use holdfast_storage::Store;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// The repository is asked again this often, should a nudge be missed.
const IDLE: Duration = Duration::from_secs(30);
/// Back-off after failures.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Objects that fail for their own reasons, one after the other, before nothing is begun for a while.
const TOO_MANY_OWN: u32 = 8;

/// An error as the board shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Stable dotted code.
    pub code: String,
    /// The whole story, for people.
    pub words: String,
    /// What they can do about it.
    pub advice: Option<String>,
}

/// How shipping goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What keeps objects from arriving now: the bucket's trouble, else that of an object.
    pub error: Option<Trouble>,
    /// Objects the bucket has not acknowledged.
    pub queued_objects: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Bytes per second over the last half minute.
    pub rate: u64,
    /// Bytes acknowledged since start.
    pub sent_bytes: u64,
    /// When the bucket last acknowledged something.
    pub last_acknowledged: Option<Moment>,
    /// Bytes per second that are allowed now; 0 for none, absent for as many as go.
    pub allowed: Option<u64>,
}

/// A shipper at work.
#[derive(Debug)]
pub struct Shipper {
    clock: Clock,
    nudge: Notify,
    board: Mutex<Board>,
    changes: watch::Sender<u64>,
    ended: Stop,
}

#[derive(Debug, Default)]
struct Board {
    queued: (u64, u64),
    meter: Meter,
    last_acknowledged: Option<Moment>,
    allowed: Option<u64>,
    bucket: Option<Trouble>,
    /// By key; only objects that are still listed.
    own: BTreeMap<String, Trouble>,
}

/// Starts shipping from the repository to the bucket over the line, until `stop`. Must be called within a tokio runtime.
pub fn start(repository: Repository, bucket: Arc<dyn Store>, line: Line, clock: Clock, stop: Stop) -> Arc<Shipper> {
    // What it takes is locked, and a snapshot comes after the locks of all that it needs.
    let bucket = repository.guard(bucket);
    begin(Arc::new(repository), bucket, line, clock, stop)
}

pub(crate) fn begin(
    source: Arc<dyn Source>,
    bucket: Arc<dyn Store>,
    line: Line,
    clock: Clock,
    stop: Stop,
) -> Arc<Shipper> {
    let board = Board { last_acknowledged: source.last_acknowledged(), ..Board::default() };
    let shipper = Arc::new(Shipper {
        clock,
        nudge: Notify::new(),
        board: Mutex::new(board),
        changes: watch::Sender::new(0),
        ended: Stop::new(),
    });
    let ended = shipper.ended.clone().drop_guard();
    let work = Work {
        shipper: shipper.clone(),
        source,
        bucket,
        line,
        desk: Desk::new(),
        flights: JoinSet::new(),
        aboard: HashMap::new(),
        bucket_patience: Patience::new(),
        own_patience: Patience::new(),
        own_in_a_row: 0,
    };
    tokio::spawn(async move {
        let _ended = ended;
        work.run(stop).await;
    });
    shipper
}

impl Shipper {
    /// There is something new, or something was mended: look now.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        let board = self.board();
        Status {
            error: board.bucket.clone().or_else(|| board.own.values().next().cloned()),
            queued_objects: board.queued.0,
            queued_bytes: board.queued.1,
            rate: board.meter.rate(self.clock.now().millis()),
            sent_bytes: board.meter.total(),
            last_acknowledged: board.last_acknowledged,
            allowed: board.allowed,
        }
    }

    /// Counts acknowledgements and changes of health.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until the shipper has ended after its `stop`.
    pub async fn finished(&self) {
        self.ended.cancelled().await;
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // The board is for showing only: after a panic it may be old, never harmful.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the board and tells subscribers if its health is another afterwards.
    fn post(&self, change: impl FnOnce(&mut Board) -> bool) {
        let tell = {
            let mut board = self.board();
            let before = board.health();
            change(&mut board) || board.health() != before
        };
        if tell {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

impl Board {
    /// What counts as a change of health: the code, not the words, which may differ from try to try.
    fn health(&self) -> (Option<String>, Option<String>) {
        let code = |trouble: &Trouble| trouble.code.clone();
        (self.bucket.as_ref().map(code), self.own.values().next().map(code))
    }
}

/// A back-off and when it ends.
struct Patience {
    backoff: Backoff,
    until: Option<Instant>,
}

impl Patience {
    fn new() -> Patience {
        Patience { backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT), until: None }
    }

    /// Failures that come while we wait already belong to the same trouble.
    fn failed(&mut self) {
        if self.until.is_none() {
            self.until = Some(Instant::now() + self.backoff.failed());
        }
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
    }

    /// Whether waiting is over; asked again it is not.
    fn is_over(&mut self) -> bool {
        self.until.take_if(|until| *until <= Instant::now()).is_some()
    }
}

/// What a flight was for, and when it began.
struct Aboard {
    item: ShipItem,
    since: Moment,
}

struct Work {
    shipper: Arc<Shipper>,
    source: Arc<dyn Source>,
    bucket: Arc<dyn Store>,
    line: Line,
    desk: Desk,
    flights: JoinSet<Result<(), Failure>>,
    aboard: HashMap<Id, Aboard>,
    bucket_patience: Patience,
    own_patience: Patience,
    own_in_a_row: u32,
}

impl Work {
    async fn run(mut self, stop: Stop) {
        let mut tick = Instant::now();
        self.look();
        while !stop.is_cancelled() {
            if tick <= Instant::now() {
                tick = Instant::now() + IDLE;
            }
            if self.keep_to_the_line().await {
                self.start_flights();
            }
            if self.desk.waits_for_a_turn() {
                // Others arrived meanwhile, or nothing of the last turn could start: there is a next one all the same.
                self.own_patience.failed();
            }
            let wake =
                [self.bucket_patience.until, self.own_patience.until].into_iter().flatten().fold(tick, Instant::min);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(landed) = self.flights.join_next_with_id() => self.landed(landed),
                () = self.shipper.nudge.notified() => {
                    self.forgive();
                    self.look();
                }
                () = tokio::time::sleep_until(wake) => {
                    if self.bucket_patience.is_over() | self.own_patience.is_over() {
                        self.desk.try_again();
                    }
                    self.look();
                }
            }
        }
        // What is in flight is given up: it will be sent again, or found to be there.
        self.flights.shutdown().await;
    }

    /// Whether anything may fly now. What does when that ends is called back: whoever stops uploads wants the line at once.
    async fn keep_to_the_line(&mut self) -> bool {
        let allowed = self.line.keep(self.shipper.clock.now());
        self.shipper.post(|board| std::mem::replace(&mut board.allowed, allowed.bytes) != allowed.bytes);
        if allowed.is_nothing() && !self.flights.is_empty() {
            self.flights.shutdown().await;
            self.aboard.clear();
            self.desk.grounded();
        }
        !allowed.is_nothing()
    }

    /// Somebody says that it is worth trying now.
    fn forgive(&mut self) {
        self.bucket_patience.until = None;
        self.own_patience.until = None;
        self.desk.try_all_again();
    }

    /// Asks the repository what is to be shipped.
    fn look(&mut self) {
        self.desk.renew(self.source.to_ship(LISTED, &self.desk.stuck()));
        let (listed, queued) = (self.desk.listed(), self.desk.queued());
        self.shipper.post(|board| {
            board.own.retain(|key, _| listed.contains(key.as_str()));
            std::mem::replace(&mut board.queued, queued) != queued
        });
    }

    fn start_flights(&mut self) {
        if self.bucket_patience.until.is_some() {
            return;
        }
        for item in self.desk.start() {
            let (source, bucket, ours) = (self.source.clone(), self.bucket.clone(), item.clone());
            let flight = async move { deed::ship(source.as_ref(), bucket.as_ref(), &ours).await };
            let id = self.flights.spawn(flight).id();
            self.aboard.insert(id, Aboard { item, since: self.shipper.clock.now() });
        }
    }

    fn landed(&mut self, landed: Result<(Id, Result<(), Failure>), JoinError>) {
        let (id, result) = match landed {
            Ok(landed) => landed,
            Err(e) => {
                let id = e.id();
                (id, Err(Failure::Own(Error::bug("shipping an object did not end properly").caused_by(e))))
            }
        };
        let Some(aboard) = self.aboard.remove(&id) else { return };
        match result {
            Ok(()) => self.arrived(&aboard),
            Err(failure) => self.failed(&aboard.item, failure),
        }
    }

    fn arrived(&mut self, aboard: &Aboard) {
        let key = &aboard.item.key;
        let now = self.shipper.clock.now();
        self.desk.arrived(key, now.millis());
        self.bucket_patience.succeeded();
        self.own_in_a_row = 0;
        let queued = self.desk.queued();
        self.shipper.post(|board| {
            if board.bucket.take().is_some() {
                tracing::info!(queued = queued.0, "the bucket takes objects again");
            }
            if board.own.remove(key).is_some() && board.own.is_empty() {
                self.own_patience.succeeded();
            }
            board.queued = queued;
            board.meter.moved(aboard.since.millis(), now.millis(), aboard.item.size);
            board.last_acknowledged = Some(now);
            true
        });
        if self.desk.wants_more() {
            self.look();
        }
    }

    fn failed(&mut self, item: &ShipItem, failure: Failure) {
        let own = !matches!(failure, Failure::Bucket(_));
        let in_the_cache = matches!(failure, Failure::Cache(_));
        self.desk.failed(&item.key, own);
        let (Failure::Own(error) | Failure::Cache(error) | Failure::Bucket(error)) = failure;
        let trouble = Trouble {
            code: error.code().to_owned(),
            words: error.chain(),
            advice: error.advice_text().map(str::to_owned),
        };
        self.own_in_a_row = match own {
            // Damage is found by reading, once for each: it says nothing of the next one.
            true if in_the_cache => self.own_in_a_row,
            true => self.own_in_a_row + 1,
            false => 0,
        };
        if own {
            self.own_patience.failed();
        }
        // So many, one after the other, are no accident of single objects: nothing is begun for a while.
        if !own || (!in_the_cache && self.own_in_a_row >= TOO_MANY_OWN) {
            self.desk.slow_down();
            self.bucket_patience.failed();
        }
        self.shipper.post(|board| {
            let known = if own { board.own.get(&item.key) } else { board.bucket.as_ref() };
            if known.is_none_or(|known| known.code != trouble.code) {
                tracing::warn!(code = %trouble.code, words = %trouble.words, "an object did not reach the bucket");
            }
            if own {
                board.own.insert(item.key.clone(), trouble);
            } else {
                board.bucket = Some(trouble);
            }
            false
        });
    }
}
