//! Who is at work, so that prune takes nothing away under anybody, and waits for nobody.
//!
//! Why no grace is needed in the cache: this process is the only one that may use it, so it knows all who do.
//! - A running backup is safe: each pack that it leans on is pinned before the answer "known" is given, and whether the
//!   pack still counts is asked after that. Prune condemns first and looks at pins after that. So either the backup sees
//!   the condemnation and stores the chunk anew, or prune sees the pin and leaves the pack.
//! - Packs stored while any backup runs are young: a chunk in flight may be leaned on before it has a pack to pin.
//! - A running reader or restore is safe: it holds back every pack condemned after it began, until it ends. One that
//!   begins later was told that the snapshot is gone.
//! - A commit rescues what was condemned meanwhile; what was deleted meanwhile makes it `snapshot.stale`.
//!
//! Lock order: the state's lock may be held while these are asked, never the other way round.

use crate::state::PackNo;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

/// Sessions and readers of a repository.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    /// Counts beginnings and condemnations: a time without a clock.
    now: u64,
    /// Sessions by their beginning, with the packs they lean on.
    sessions: BTreeMap<u64, HashSet<PackNo>>,
    /// Readers by their beginning, with the packs that stay in the cache for them.
    readers: BTreeMap<u64, HashSet<PackNo>>,
}

/// What prune has to respect at one moment.
#[derive(Debug)]
pub(crate) struct View {
    /// Packs that sessions lean on.
    pub(crate) pinned: HashSet<PackNo>,
    /// Packs stored since then are young.
    pub(crate) oldest_session: u64,
    /// What was condemned since then is held back.
    pub(crate) oldest_reader: u64,
    /// Packs that stay in the cache, because somebody reads who has nothing else.
    pub(crate) held: HashSet<PackNo>,
}

/// A session or reader at work; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Ticket {
    pins: Arc<Pins>,
    at: u64,
}

impl Pins {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("no holder panics")
    }
    /// A session begins.
    pub(crate) fn session(self: &Arc<Self>) -> Ticket {
        let mut inside = self.inside();
        inside.now += 1;
        let at = inside.now;
        inside.sessions.insert(at, HashSet::new());
        Ticket { pins: Arc::clone(self), at }
    }
    /// A reader begins.
    pub(crate) fn reader(self: &Arc<Self>) -> Ticket {
        self.reader_of(Vec::new())
    }
    /// A reader begins that has nothing but the cache; these packs stay there for it.
    pub(crate) fn reader_of(self: &Arc<Self>, packs: Vec<PackNo>) -> Ticket {
        let mut inside = self.inside();
        inside.now += 1;
        let at = inside.now;
        inside.readers.insert(at, packs.into_iter().collect());
        Ticket { pins: Arc::clone(self), at }
    }
    /// Whether a pack stays in the cache for a reader.
    pub(crate) fn holds(&self, pack: PackNo) -> bool {
        self.inside().readers.values().any(|packs| packs.contains(&pack))
    }
    /// The time of a condemnation.
    pub(crate) fn strike(&self) -> u64 {
        let mut inside = self.inside();
        inside.now += 1;
        inside.now
    }
    /// The time at which a pack is stored.
    pub(crate) fn now(&self) -> u64 {
        self.inside().now
    }
    /// What is to be respected now.
    pub(crate) fn view(&self) -> View {
        let inside = self.inside();
        View {
            pinned: inside.sessions.values().flatten().copied().collect(),
            oldest_session: inside.sessions.keys().next().copied().unwrap_or(u64::MAX),
            oldest_reader: inside.readers.keys().next().copied().unwrap_or(u64::MAX),
            held: inside.readers.values().flatten().copied().collect(),
        }
    }
}

impl Ticket {
    /// The session leans on a pack from now on.
    pub(crate) fn lean_on(&self, pack: PackNo) {
        if let Some(packs) = self.pins.inside().sessions.get_mut(&self.at) {
            packs.insert(pack);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Beginnings are unique: only one of the two has it.
        let mut inside = self.pins.inside();
        inside.sessions.remove(&self.at);
        inside.readers.remove(&self.at);
    }
}

/// Keeps what is there readable while it lives, snapshots that are forgotten meanwhile included. For whoever reads
/// several streams of one snapshot.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code, reason = "lives until it is dropped")] pub(crate) Ticket);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_seen_until_they_are_dropped() {
        let pins = Arc::new(Pins::default());
        let first = pins.session();
        first.lean_on(7);
        let second = pins.session();
        second.lean_on(8);
        let reader = pins.reader();
        let struck = pins.strike();
        let view = pins.view();
        assert_eq!(view.pinned, HashSet::from([7, 8]));
        assert!(view.oldest_session <= pins.now() && view.oldest_reader < struck);
        drop((first, reader));
        let view = pins.view();
        assert_eq!(view.pinned, HashSet::from([8]));
        assert_eq!(view.oldest_reader, u64::MAX, "no reader is left");
        drop(second);
        assert_eq!(pins.view().oldest_session, u64::MAX);
    }

    #[test]
    fn packs_of_a_reader_stay_until_it_is_dropped() {
        let pins = Arc::new(Pins::default());
        let (first, second) = (pins.reader_of(vec![3, 4]), pins.reader_of(vec![4, 5]));
        assert_eq!(pins.view().held, HashSet::from([3, 4, 5]));
        drop(first);
        assert!(pins.holds(4) && pins.holds(5) && !pins.holds(3));
        assert!(pins.view().pinned.is_empty(), "no backup leans on them");
        drop(second);
        assert!(pins.view().held.is_empty() && !pins.holds(4));
    }
}
