//! The bucket of the model, and requests on their way to it.
//!
//! Reads are single instants; every write is a request that lands at any later time, in any order, once or, if its
//! sender died, perhaps never. Time is counted in ticks since a list landed.

use std::collections::{BTreeMap, BTreeSet};

/// A set of packs, one bit each.
pub type Packs = u8;
/// The pack that lies in the bucket at the beginning.
pub const FIRST: Packs = 1;
/// The snapshot that is to be forgotten; the appliances' own are 1 and 2.
pub const DOOMED: usize = 0;

/// Editions of a reach list that its writer has names for.
pub const WRITTEN: usize = 3;
/// And with those that repacks write: one of each appliance, in this order behind them.
pub const EDITIONS: usize = WRITTEN + 2;

/// Name of a condemn list: author and number; never used twice.
pub type ListId = (u8, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct List {
    pub packs: Packs,
    /// Ticks since it landed, up to the grace.
    pub age: u8,
}

/// One edition of a reach list. Editions are separate objects: one that was overtaken on its way must not replace a
/// later one. The highest counts of which everything is there; those above it count too, for it may yet come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reach {
    pub packs: Packs,
    pub old: bool,
}

/// The word that packs of a list will be deleted whatever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Verdict {
    pub base: ListId,
    pub by: u8,
    pub packs: Packs,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub packs: Packs,
    pub reach: [[Option<Reach>; EDITIONS]; 3],
    pub snapshots: [bool; 3],
    /// Buried snapshots: gone whatever still lands.
    pub tombs: [bool; 3],
    pub lists: BTreeMap<ListId, List>,
    pub verdicts: BTreeSet<Verdict>,
    /// Somebody has taken over.
    pub fence: bool,
    /// Ticks after which a list is old; never changes.
    pub grace: u8,
    /// A crippled reading: the highest edition counts whatever has become of its packs; never changes.
    pub highest_alone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    PutPack(Packs),
    PutReach(usize, usize, Packs),
    PutSnapshot(usize),
    PutTomb(usize),
    /// A list; whether it inherits the age of those that it replaces.
    PutList(ListId, Packs, bool),
    PutVerdict(Verdict),
    PutFence,
    DropPack(Packs),
    DropReach(usize, usize),
    DropSnapshot(usize),
    DropVerdict(Verdict),
    DropList(ListId),
}

impl Bucket {
    /// One snapshot that needs one pack.
    pub fn new(grace: u8, highest_alone: bool) -> Bucket {
        let mut bucket = Bucket {
            packs: FIRST,
            reach: [[None; EDITIONS]; 3],
            snapshots: [false; 3],
            tombs: [true, false, false],
            lists: BTreeMap::new(),
            verdicts: BTreeSet::new(),
            fence: false,
            grace,
            highest_alone,
        };
        bucket.reach[DOOMED][0] = Some(Reach { packs: FIRST, old: true });
        bucket.snapshots[DOOMED] = true;
        bucket
    }

    pub fn land(&mut self, request: Request) {
        match request {
            Request::PutPack(pack) => self.packs |= pack,
            Request::PutReach(snapshot, edition, packs) => {
                self.reach[snapshot][edition] = Some(Reach { packs, old: false });
            }
            Request::PutSnapshot(snapshot) => self.snapshots[snapshot] = true,
            Request::PutTomb(snapshot) => self.tombs[snapshot] = true,
            Request::PutList(id, packs, old) => {
                let age = if old { self.grace } else { 0 };
                self.lists.insert(id, List { packs, age });
            }
            Request::PutVerdict(verdict) => drop(self.verdicts.insert(verdict)),
            Request::PutFence => self.fence = true,
            Request::DropPack(pack) => self.packs &= !pack,
            Request::DropReach(snapshot, edition) => self.reach[snapshot][edition] = None,
            Request::DropSnapshot(snapshot) => self.snapshots[snapshot] = false,
            Request::DropVerdict(verdict) => drop(self.verdicts.remove(&verdict)),
            Request::DropList(id) => drop(self.lists.remove(&id)),
        }
    }

    /// Whether a list has waited out its grace.
    pub fn is_old(&self, list: &List) -> bool {
        list.age >= self.grace
    }

    /// Time passes.
    pub fn grow_old(&mut self) {
        let grace = self.grace;
        self.lists.values_mut().for_each(|list| list.age = grace.min(list.age + 1));
        self.reach.iter_mut().flatten().flatten().for_each(|reach| reach.old = true);
    }

    /// What is left of a buried snapshot, in the order of its going.
    pub fn remains(&self) -> Option<Request> {
        let buried = || (0..3).filter(|snapshot| self.tombs[*snapshot]);
        let snapshot = buried().find(|snapshot| self.snapshots[*snapshot]).map(Request::DropSnapshot);
        let edition = |snapshot: usize| self.reach[snapshot].iter().position(Option::is_some);
        snapshot.or_else(|| buried().find_map(|snapshot| Some(Request::DropReach(snapshot, edition(snapshot)?))))
    }

    /// What a collector must spare: what reach lists name of everything that is not buried, visible or still on its way.
    pub fn live(&self) -> Packs {
        (0..3).filter(|snapshot| !self.tombs[*snapshot]).fold(0, |packs, snapshot| packs | self.reaches(snapshot))
    }

    /// All that the editions of a snapshot name that count.
    pub fn reaches(&self, snapshot: usize) -> Packs {
        let mut packs = 0;
        for reach in self.reach[snapshot].iter().rev().flatten() {
            packs |= reach.packs;
            if self.highest_alone || self.is_sound(*reach) {
                break;
            }
        }
        packs
    }

    /// Whether everything that an edition names is there and not condemned.
    fn is_sound(&self, reach: Reach) -> bool {
        reach.packs & !self.packs == 0 && reach.packs & self.condemned() == 0
    }

    /// The reach list of a snapshot that counts.
    pub fn newest(&self, snapshot: usize) -> Option<Reach> {
        self.reach[snapshot].iter().rev().flatten().next().copied()
    }

    /// An edition that a later one replaced, of which everything is there.
    pub fn stale_edition(&self) -> Option<(usize, usize)> {
        (0..3).find_map(|snapshot| {
            let mut there = self.reach[snapshot].iter().enumerate().filter_map(|(at, reach)| Some((at, (*reach)?)));
            let (lowest, _) = there.next()?;
            there.any(|(_, reach)| self.highest_alone || self.is_sound(reach)).then_some((snapshot, lowest))
        })
    }

    /// Packs of the lists that pass.
    pub fn condemned_where(&self, passes: impl Fn(&ListId) -> bool) -> Packs {
        self.lists.iter().filter(|(id, _)| passes(id)).fold(0, |packs, (_, list)| packs | list.packs)
    }

    /// What verdicts on a list say; without its list a verdict is void.
    pub fn doomed(&self, base: ListId) -> Packs {
        if !self.lists.contains_key(&base) {
            return 0;
        }
        self.verdicts.iter().filter(|verdict| verdict.base == base).fold(0, |packs, verdict| packs | verdict.packs)
    }

    /// Packs of all lists.
    pub fn condemned(&self) -> Packs {
        self.condemned_where(|_| true)
    }

    /// Whether somebody who opens the bucket takes this snapshot for restorable: it and its reach list are there, and
    /// all its packs, none of them condemned.
    pub fn is_committed(&self, snapshot: usize) -> bool {
        let editions = self.reach[snapshot].iter().flatten();
        self.snapshots[snapshot] && !self.tombs[snapshot] && editions.into_iter().any(|reach| self.is_sound(*reach))
    }

    /// Whether its data is there.
    pub fn restores(&self, snapshot: usize) -> bool {
        let mut editions = self.reach[snapshot].iter().flatten();
        self.snapshots[snapshot] && editions.any(|reach| reach.packs & !self.packs == 0)
    }
}
