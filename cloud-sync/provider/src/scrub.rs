//! Scrubbing a tenant's bucket without any of its keys: what is there, what is damaged, what is missing, what does not belong there.
//!
//! Packs and index segments are named by the SHA-256 of their bytes, so that whoever can read the bucket can prove them; of what is sealed
//! only the head can be looked at. Never here: any write, any key of the tenant's. Invariants: an object counts as damaged only if it was
//! read twice; what disappears meanwhile was pruned, and is nothing to tell; at most four packs are in memory.

mod judge;
mod survey;

use crate::names::{self, Class, Name};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Problem, Result, Severity};
use holdfast_runtime::{Backoff, Throttle};
use holdfast_storage::{ObjectInfo, Store};
use judge::Facts;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, time::Duration};

/// Objects read at once.
const AT_ONCE: usize = 4;
/// How often an object is asked for that does not come.
const TRIES: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LIMIT: Duration = Duration::from_secs(20);
/// So many objects that did not come: the bucket is not to be read now.
const UNREAD_MAX: u64 = 10;
/// Problems that are listed; how many more there are is told.
const LISTED_MAX: usize = 10_000;
/// Bytes of a sealed object that are read: its head in clear.
const HEAD: u64 = 8;
/// What nobody can tell without keys.
const UNKNOWABLE: &str = "Which packs a snapshot needs stands in reach lists and index segments that only the tenant can open: a pack that is \
     gone as a whole is not missed here, but by the appliance's own check. Of what is sealed (snapshots, reach lists, settings, \
     tombstones, condemn lists, fences) names, sizes and heads were looked at, not contents.";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubRequest {
    /// Share of the objects that are read, percent; the format and key slots are always read.
    pub percent: u8,
    /// The day, counted from any day: another share each day, so that `100 / percent` days read everything.
    pub day: u64,
    /// Bytes read per second at most.
    pub bytes_per_second: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScrubView {
    /// The bucket, without credentials.
    pub place: String,
    /// The repository in it, as its format says.
    pub repository: Option<String>,
    /// Share of the objects that were read, percent.
    pub percent: u8,
    /// Totals by class, of those that are there.
    pub classes: Vec<ScrubClass>,
    /// Objects that belong to nobody of ours.
    pub foreign: u64,
    /// Their bytes.
    pub foreign_bytes: u64,
    /// What is wrong, by name.
    pub problems: Vec<Problem>,
    /// How many more problems there are than are listed.
    pub more_problems: u64,
    /// What nobody can tell without keys.
    pub unknowable: String,
}

impl ScrubView {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Note)
    }
}

/// The objects of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScrubClass {
    /// What they are.
    pub class: String,
    /// How many there are.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, objects that were read and found good.
    pub verified: u64,
    /// Bytes that were read of them.
    pub verified_bytes: u64,
    /// Of these, objects that are damaged or of a wrong size.
    pub wrong: u64,
}

/// An object of ours.
type Owned = (Class, ObjectInfo);

/// Scrubs a bucket. `told` hears now and then how many of how many bytes are done.
///
/// Errors: those of the store; `Invalid` (`format.unsupported`) for a repository of a later release.
pub async fn scrub(store: &dyn Store, request: ScrubRequest, told: impl Fn(u64, u64)) -> Result<ScrubView> {
    if !(1..=100).contains(&request.percent) {
        return Err(Error::invalid("scrub.percent", "a share is a percentage from 1 to 100"));
    }
    let throttle = Throttle::default();
    throttle.limit(request.bytes_per_second);
    let mut book = Book::new(store.place(), request.percent);
    let mut owned = book.sort(store.list("").await?);
    let facts = judge::facts(store).await?;
    book.view.repository = facts.as_ref().and_then(|facts| facts.repository.clone());
    for problem in survey::missing(store, &owned).await? {
        book.problem(problem);
    }
    owned.retain(|(class, info)| is_chosen(*class, &info.key, request));
    let facts = facts.unwrap_or_default();
    book.read(store, owned, &facts, &throttle, told).await?;
    Ok(book.close())
}

/// Whether it is among those that this day reads.
fn is_chosen(class: Class, key: &str, request: ScrubRequest) -> bool {
    match class {
        Class::Format | Class::Slot => true,
        Class::Probe => false,
        _ => {
            let percent = u64::from(request.percent);
            let first = request.day.wrapping_mul(percent) % 100;
            (place_of(key) + 100 - first) % 100 < percent
        }
    }
}

/// A number from 0 to 99 that hangs on nothing but the name, and is as likely as any other.
fn place_of(key: &str) -> u64 {
    let hash = Sha256::digest(key.as_bytes());
    let first = u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    (first * 100) >> 32
}

/// How a look at an object ended.
#[derive(Debug)]
enum Look {
    Good(u64),
    Wrong(String),
    /// It was there when the bucket was listed.
    Gone,
    Unread(Error),
}

/// What is written down on the way.
struct Book {
    view: ScrubView,
    classes: BTreeMap<Class, ScrubClass>,
    unread: u64,
}

impl Book {
    fn new(place: String, percent: u8) -> Book {
        let view = ScrubView {
            place,
            repository: None,
            percent,
            classes: Vec::new(),
            foreign: 0,
            foreign_bytes: 0,
            problems: Vec::new(),
            more_problems: 0,
            unknowable: UNKNOWABLE.to_owned(),
        };
        Book { view, classes: BTreeMap::new(), unread: 0 }
    }

    fn problem(&mut self, problem: Problem) {
        // However many strange objects lie about: what is wrong with ours finds room.
        let room = if problem.severity < Severity::Error { LISTED_MAX / 2 } else { LISTED_MAX };
        match self.view.problems.len() < room {
            true => self.view.problems.push(problem),
            false => self.view.more_problems += 1,
        }
    }

    /// Counts what the bucket lists. Returns what is ours and of a size that it can have.
    fn sort(&mut self, listed: Vec<ObjectInfo>) -> Vec<Owned> {
        let mut owned = Vec::new();
        for info in listed {
            match names::parse(&info.key) {
                Name::Of(class) => {
                    let line = self.classes.entry(class).or_default();
                    line.objects += 1;
                    line.bytes = line.bytes.saturating_add(info.size);
                    match judge::wrong_size(class, info.size) {
                        None => owned.push((class, info)),
                        Some(why) => {
                            line.wrong += 1;
                            self.problem(wrong("scrub.size", class, &info.key, &why));
                        }
                    }
                }
                Name::Private => self.problem(private(&info)),
                Name::Foreign => {
                    self.view.foreign += 1;
                    self.view.foreign_bytes = self.view.foreign_bytes.saturating_add(info.size);
                    self.problem(foreign(&info));
                }
            }
        }
        owned
    }

    async fn read(
        &mut self,
        store: &dyn Store,
        owned: Vec<Owned>,
        facts: &Facts,
        throttle: &Throttle,
        told: impl Fn(u64, u64),
    ) -> Result<()> {
        let total: u64 = owned.iter().map(|(class, info)| to_read(*class, info)).sum();
        let mut done = 0u64;
        let mut looks = stream::iter(owned)
            .map(|(class, info)| async move {
                let look = look(store, class, &info, facts, throttle).await;
                (class, info, look)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((class, info, look)) = looks.next().await {
            done = done.saturating_add(to_read(class, &info));
            told(done, total);
            self.note(class, &info.key, look)?;
        }
        Ok(())
    }

    fn note(&mut self, class: Class, key: &str, look: Look) -> Result<()> {
        let line = self.classes.entry(class).or_default();
        match look {
            Look::Good(bytes) => {
                line.verified += 1;
                line.verified_bytes = line.verified_bytes.saturating_add(bytes);
            }
            Look::Gone => {}
            Look::Wrong(why) => {
                line.wrong += 1;
                self.problem(wrong("scrub.damaged", class, key, &why));
            }
            Look::Unread(error) => {
                self.unread += 1;
                if self.unread >= UNREAD_MAX || error.kind() == Kind::Denied {
                    return Err(error.while_doing("the bucket cannot be read"));
                }
                let words = format!("it could not be read, and nothing is known of it: {}", error.chain());
                self.problem(
                    Problem::warning("scrub.unread", key, words).advice("Scrub again when the store is well."),
                );
            }
        }
        Ok(())
    }

    fn close(mut self) -> ScrubView {
        let in_order = Class::ALL.into_iter().filter_map(|class| {
            let line = self.classes.remove(&class)?;
            Some(ScrubClass { class: class.title().to_owned(), ..line })
        });
        self.view.classes = in_order.collect();
        self.view.problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        self.view
    }
}

/// Bytes that are read of an object.
fn to_read(class: Class, info: &ObjectInfo) -> u64 {
    if class.envelope().is_some() { HEAD } else { info.size }
}

/// Looks at one object until it is known how it is.
async fn look(store: &dyn Store, class: Class, info: &ObjectInfo, facts: &Facts, throttle: &Throttle) -> Look {
    let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LIMIT);
    let mut bad = false;
    loop {
        throttle.take(to_read(class, info)).await;
        let why = match read(store, class, info).await {
            Ok(bytes) => {
                let size = bytes.len() as u64;
                match judge::wrong_bytes(class, &info.key, bytes, facts).await {
                    None => return Look::Good(size),
                    Some(why) => why,
                }
            }
            Err(error) if error.kind() == Kind::NotFound => return Look::Gone,
            Err(error) if error.kind() == Kind::Corrupt => error.chain(),
            Err(error) if error.kind() == Kind::Denied || backoff.failures() + 1 >= TRIES => {
                return Look::Unread(error);
            }
            Err(_) => {
                tokio::time::sleep(backoff.failed()).await;
                continue;
            }
        };
        // Bytes may turn on their way: one reading proves nothing.
        if std::mem::replace(&mut bad, true) {
            return Look::Wrong(why);
        }
    }
}

async fn read(store: &dyn Store, class: Class, info: &ObjectInfo) -> Result<Bytes> {
    match class.envelope() {
        Some(_) => store.get_range(&info.key, 0..HEAD).await,
        None => store.get(&info.key).await,
    }
}

fn wrong(code: &str, class: Class, key: &str, why: &str) -> Problem {
    let advice = match class {
        Class::Data | Class::Meta | Class::Segment => {
            "Put it back from a copy of the bucket; or have the tenant run holdfast check --read-data, which sends it again if the \
             appliance's cache still holds it."
        }
        _ => "Put it back from a copy of the bucket; or have the tenant run holdfast check, which sends it again.",
    };
    Problem::error(code, key, format!("{why} ({})", class.title())).advice(advice)
}

fn private(info: &ObjectInfo) -> Problem {
    let words = "an appliance keeps such an object to itself; somebody copied it here";
    Problem::warning("scrub.private", &info.key, words).advice("Ask the tenant who copied a cache into the bucket.")
}

fn foreign(info: &ObjectInfo) -> Problem {
    let words = format!("no appliance writes an object of this name ({} bytes)", info.size);
    Problem::warning("scrub.foreign", &info.key, words)
        .advice("Ask the tenant; it is in no backup's way, and part of none.")
}

#[cfg(test)]
mod tests;
