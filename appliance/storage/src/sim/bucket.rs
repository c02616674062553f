//! A bucket with moods: it refuses, loses answers, stores halves, is late, shows old listings, sends wrong bodies.
//!
//! Invariants: without moods it is an honest store; whatever it does follows from its seed; what takes effect is
//! written onto the tape.

use super::{BucketStep, Dice, Event, Tape};
use crate::{MemStore, ObjectInfo, PutMode, Store};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Error, Kind, Result};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Listings this many changes old may be shown.
const PAST: usize = 6;

/// How often, in a thousand calls, something goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moods {
    /// Any call: refused before it has an effect (5xx).
    pub refuse: u32,
    /// A change: done, but the answer is lost.
    pub lose_reply: u32,
    /// A put: half of the object is stored, and the answer is an error.
    pub half: u32,
    /// A put: answered with an error, and done some calls later.
    pub late: u32,
    /// A listing: how it was some changes ago.
    pub stale: u32,
    /// A body: its end is missing, and nobody says so.
    pub cut: u32,
    /// A body: bytes follow that are not the object's.
    pub pad: u32,
    /// A body: a bit is turned.
    pub turn: u32,
}

impl Moods {
    /// All of them, each this often.
    pub fn all(per_mille: u32) -> Moods {
        let n = per_mille;
        Moods { refuse: n, lose_reply: n, half: n, late: n, stale: n, cut: n, pad: n, turn: n }
    }
}

/// The bucket.
#[derive(Debug)]
pub struct SimBucket {
    inner: MemStore,
    tape: Option<Arc<Tape>>,
    temper: Mutex<Temper>,
}

#[derive(Debug)]
struct Temper {
    moods: Moods,
    dice: Dice,
    calls: u64,
    past: VecDeque<Vec<ObjectInfo>>,
    late: Vec<Late>,
}

/// A put that is still on its way.
#[derive(Debug)]
struct Late {
    due: u64,
    key: String,
    bytes: Bytes,
    mode: PutMode,
}

impl SimBucket {
    /// A bucket in a good mood.
    pub fn new(objects: BTreeMap<String, Bytes>) -> SimBucket {
        let temper =
            Temper { moods: Moods::default(), dice: Dice::new(0), calls: 0, past: VecDeque::new(), late: Vec::new() };
        SimBucket { inner: MemStore::from(objects), tape: None, temper: Mutex::new(temper) }
    }

    /// The same, writing onto a tape.
    pub fn recorded(objects: BTreeMap<String, Bytes>, tape: Arc<Tape>) -> SimBucket {
        SimBucket { tape: Some(tape), ..SimBucket::new(objects) }
    }

    /// From now on it has these moods.
    pub fn upset(&self, moods: Moods, seed: u64) {
        let mut temper = self.temper();
        temper.moods = moods;
        temper.dice = Dice::new(seed);
    }

    /// From now on it behaves; what is late arrives now.
    pub async fn calm(&self) {
        self.temper().moods = Moods::default();
        self.settle().await;
    }

    /// What is late arrives now.
    pub async fn settle(&self) {
        let late = std::mem::take(&mut self.temper().late);
        self.arrive(late).await;
    }

    /// What it really holds.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.inner.objects_now()
    }

    fn temper(&self) -> MutexGuard<'_, Temper> {
        self.temper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call begins here: what is due arrives, and the call may be refused.
    async fn begin(&self) -> Result<()> {
        let (due, refused) = {
            let mut temper = self.temper();
            temper.calls += 1;
            let now = temper.calls;
            let (due, late) = std::mem::take(&mut temper.late).into_iter().partition(|put| put.due <= now);
            temper.late = late;
            let refuse = temper.moods.refuse;
            (due, temper.dice.happens(refuse))
        };
        self.arrive(due).await;
        if refused { Err(failed("sim.refused", "the bucket answered with an error")) } else { Ok(()) }
    }

    async fn arrive(&self, late: Vec<Late>) {
        for put in late {
            // One that meets another object in its place is refused, and nobody is there to be told.
            let _ = self.store(&put.key, put.bytes, put.mode).await;
        }
    }

    async fn store(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let before = self.inner.head(key).await?;
        self.remember().await?;
        self.inner.put(key, bytes.clone(), mode).await?;
        if mode == PutMode::Replace || before.is_none() {
            self.record(BucketStep::Put(key.to_owned(), bytes));
        }
        Ok(())
    }

    async fn remember(&self) -> Result<()> {
        if self.temper().moods.stale == 0 {
            return Ok(());
        }
        let now = self.inner.list("").await?;
        let mut temper = self.temper();
        temper.past.push_back(now);
        if temper.past.len() > PAST {
            temper.past.pop_front();
        }
        Ok(())
    }

    fn record(&self, step: BucketStep) {
        if let Some(tape) = &self.tape {
            tape.push(Event::Bucket(step));
        }
    }

    fn lost(&self) -> Result<()> {
        let mut temper = self.temper();
        let lose = temper.moods.lose_reply;
        if temper.dice.happens(lose) { Err(failed("sim.reply_lost", "the bucket's answer was lost")) } else { Ok(()) }
    }

    fn spoil(&self, bytes: Bytes) -> Bytes {
        let mut temper = self.temper();
        let Moods { cut, pad, turn, .. } = temper.moods;
        let dice = &mut temper.dice;
        let (cut, pad, turn) = (dice.happens(cut), dice.happens(pad), dice.happens(turn));
        if bytes.is_empty() || !(cut || pad || turn) {
            return bytes;
        }
        let place = dice.below(bytes.len() as u64) as usize;
        let mut spoilt = bytes.to_vec();
        if turn {
            spoilt[place] ^= 1 << dice.below(8);
        }
        if cut {
            spoilt.truncate(place);
        }
        if pad {
            spoilt.extend_from_slice(&[0x5a; 7]);
        }
        spoilt.into()
    }

    /// What happens to a put before it is an honest one: `Some` is the answer.
    async fn spoil_put(&self, key: &str, bytes: &Bytes, mode: PutMode) -> Option<Result<()>> {
        let (half, late) = {
            let mut temper = self.temper();
            let Moods { half, late, .. } = temper.moods;
            let wait = temper.calls + 1 + temper.dice.below(20);
            (temper.dice.happens(half), temper.dice.happens(late).then_some(wait))
        };
        if let Some(due) = late {
            self.temper().late.push(Late { due, key: key.to_owned(), bytes: bytes.clone(), mode });
            return Some(Err(failed("sim.late", "the bucket did not answer in time")));
        }
        if half {
            let stored = self.store(key, bytes.slice(..bytes.len() / 2), mode).await;
            return Some(stored.and(Err(failed("sim.half", "the connection broke off"))));
        }
        None
    }
}

fn failed(code: &'static str, text: &'static str) -> Error {
    Error::new(Kind::Unavailable, code, text)
}

#[async_trait]
impl Store for SimBucket {
    fn place(&self) -> String {
        "a simulated bucket".into()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.begin().await?;
        if let Some(answer) = self.spoil_put(key, &bytes, mode).await {
            return answer;
        }
        self.store(key, bytes, mode).await?;
        self.lost()
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.begin().await?;
        Ok(self.spoil(self.inner.get(key).await?))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.begin().await?;
        Ok(self.spoil(self.inner.get_range(key, range).await?))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.begin().await?;
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.begin().await?;
        let now = self.inner.list(prefix).await?;
        let mut temper = self.temper();
        let stale = temper.moods.stale;
        if temper.past.is_empty() || !temper.dice.happens(stale) {
            return Ok(now);
        }
        let count = temper.past.len() as u64;
        let past = temper.dice.below(count) as usize;
        Ok(temper.past[past].iter().filter(|object| object.key.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.begin().await?;
        self.remember().await?;
        let before = self.inner.head(key).await?;
        self.inner.delete(key).await?;
        if before.is_some() {
            self.record(BucketStep::Delete(key.to_owned()));
        }
        self.lost()
    }
}
