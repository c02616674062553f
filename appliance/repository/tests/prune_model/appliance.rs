//! One appliance of the model: a writer and a collector that share what the process knows.
//!
//! A crash forgets everything but the cache, the committed snapshot and its acknowledgement.

use super::bucket::{Bucket, FIRST, ListId, Packs, Request, Verdict, WRITTEN};

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not started, or crashed.
    Off,
    /// The fence is on its way.
    Fencing,
    /// Condemn lists are read before packs.
    ReadLists,
    ReadPacks,
    /// The fence is read last: whoever took away what was missed has written it before.
    ReadFence,
    Running,
    /// It saw that another one has taken over.
    Stopped,
}

/// The backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writer {
    Idle,
    /// A chunk was found in a pack, or a new pack lies in the cache; the capture goes on for as long as it likes.
    Leaning(Packs),
    /// Committed in the cache; packs are to be shipped.
    Ship,
    SentPack(Packs),
    CheckBefore,
    SentReach,
    SentSnapshot,
    CheckAfter,
    Done,
    /// Names of the model are used up.
    Spent,
}

/// The prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collector {
    Idle,
    /// Replaces lists of others and of earlier lives by a list of this life.
    Absorb,
    SentAbsorb,
    /// Looks for the next list behind this one.
    Next(Option<ListId>),
    Remark(ListId),
    SentVerdict(ListId),
    CheckFence(ListId),
    /// Deletes what the verdict names; without verdicts (a mutant) what it remembers.
    Execute(ListId, Packs),
    SentDropPack(ListId, Packs, Packs),
    SentDropOther(ListId),
    SentDropList(ListId),
    Forget,
    SentForget,
    Mark,
    SentList,
    /// Repacks: living chunks of the first pack go into this one, for this snapshot.
    SentMove(usize, Packs),
    MoveFence(usize, Packs),
    SentEdition(usize, Packs),
}

/// Whom an acknowledgement goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Start,
    Writer,
    Collector,
}

/// How the protocol is crippled, to see that the checker notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Deletes what was condemned without looking again.
    NoRemark,
    /// Acknowledges a snapshot without looking at the condemn lists after it landed.
    NoCheck,
    /// Counts the grace by a clock that may be wrong.
    ClientClock,
    /// Deletes without having said so before.
    NoVerdict,
    /// Does not look for fences.
    NoFence,
    /// Reads packs before condemn lists when it starts.
    PacksFirst,
    /// The collector does not ask what this process itself needs.
    NoNeeds,
    /// A repack condemns the old pack first and then brings the later edition of the reach list to the bucket.
    EditionLater,
    /// The highest edition of a reach list counts, even if packs that it names are gone.
    HighestAlone,
}

/// What is fixed for a whole exploration.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub mutant: Mutant,
    /// The second one is the provider's collector: it writes no fence and executes its own lists only.
    pub provider: bool,
    /// The first appliance runs all the time and looks at condemn lists twice in each grace.
    pub watchful: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Appliance {
    pub me: u8,
    pub phase: Phase,
    pub writer: Writer,
    pub collector: Collector,
    pub cache: Packs,
    /// Packs it believes to be in the bucket.
    pub known: Packs,
    /// Condemned by its own lists, as far as it remembers.
    pub own: Packs,
    /// Will be deleted whatever comes.
    pub doomed: Packs,
    /// Packs that its committed snapshot needs.
    pub local: Packs,
    pub acknowledged: bool,
    pub lost: bool,
    /// It has looked at the lists since the last grace began.
    pub looked: bool,
    pub may_back_up: bool,
    pub crashes: u8,
    pub runs: u8,
    /// Repacks that it may begin.
    pub moves: u8,
    /// What the crippled one believes of its snapshot once it has repacked.
    pub believed: Packs,
    pub next_pack: u8,
    pub next_list: u8,
    /// Snapshots of which a reach list lay in the bucket when it started: only these may be buried as orphans. Another
    /// may belong to somebody who took over since.
    pub found: [bool; 3],
    /// The newest edition of the reach list, and what it says.
    pub edition: u8,
    pub told: Packs,
    /// Lists with a greater number were written in this life. Requests of an earlier one may still be on their way to
    /// its lists; to ours there are only our own.
    pub born: u8,
    /// Prunes in a row that met nothing else at work, a grace apart.
    pub calm: u8,
    pub ran_in_this_grace: bool,
    pub calm_run: bool,
}

impl Appliance {
    pub fn snapshot(&self) -> usize {
        usize::from(self.me) + 1
    }
    /// What the process needs: its snapshot, and what a running backup leans on.
    pub fn needs(&self) -> Packs {
        let pinned = if let Writer::Leaning(pack) = self.writer { pack } else { 0 };
        self.local | pinned
    }
    fn is_mine(&self, id: &ListId) -> bool {
        id.0 == self.me && id.1 > self.born
    }
    /// Packs that others or earlier lives condemned; what becomes of them is not in this process's hands alone.
    fn condemned_elsewhere(&self, bucket: &Bucket) -> Packs {
        bucket.condemned_where(|id| !self.is_mine(id))
    }
    fn condemned_here(&self, bucket: &Bucket) -> Packs {
        bucket.condemned_where(|id| self.is_mine(id))
    }
    /// Whether this process takes over a list that is not its own.
    fn inherits(&self, id: &ListId, rules: &Rules) -> bool {
        !self.is_mine(id) && (id.0 == self.me || (self.me == 1 && !rules.provider))
    }
    fn overtaken(&self, bucket: &Bucket, rules: &Rules) -> bool {
        self.me == 0 && bucket.fence && !rules.provider && rules.mutant != Mutant::NoFence
    }
    pub(super) fn fresh(&mut self) -> Option<Packs> {
        let number = self.next_pack;
        self.next_pack += 1;
        (number < 3).then(|| FIRST << (1 + 3 * self.me + number))
    }
    /// Learns what others condemned: it counts as absent from then on, for good.
    fn look(&mut self, bucket: &Bucket) {
        if !self.looked {
            // A whole list may have come and gone since the last look: the packs themselves are looked for.
            self.doomed |= self.known & !bucket.packs;
        }
        self.looked = true;
        self.doomed |= self.condemned_elsewhere(bucket);
        self.known &= !self.doomed;
    }

    /// The process ends at any point.
    pub fn crash(&mut self) {
        self.crashes -= 1;
        self.phase = Phase::Off;
        self.collector = Collector::Idle;
        self.writer = match self.writer {
            Writer::Idle | Writer::Leaning(_) => Writer::Idle,
            Writer::Done => Writer::Done,
            Writer::Spent => Writer::Spent,
            _ => Writer::Ship,
        };
        self.born = self.next_list;
        (self.known, self.own, self.doomed, self.calm, self.calm_run) = (0, 0, 0, 0, false);
    }

    /// The next step of starting. The answer is a request to send.
    pub fn start(&mut self, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        let packs_first = rules.mutant == Mutant::PacksFirst;
        match self.phase {
            Phase::Off if self.me == 1 && !bucket.fence && !rules.provider => {
                self.phase = Phase::Fencing;
                return Some(Request::PutFence);
            }
            Phase::Off if packs_first => self.phase = Phase::ReadPacks,
            Phase::Off => self.phase = Phase::ReadLists,
            Phase::ReadLists => {
                // A verdict of an earlier life may still be on its way: lists found at the start are final for us.
                self.doomed = bucket.condemned();
                self.looked = true;
                self.phase = if packs_first { Phase::ReadFence } else { Phase::ReadPacks };
                self.known &= !self.doomed;
            }
            Phase::ReadPacks => {
                self.known = bucket.packs & !self.doomed;
                self.found = [0, 1, 2].map(|snapshot| bucket.newest(snapshot).is_some());
                self.phase = if packs_first { Phase::ReadLists } else { Phase::ReadFence };
            }
            Phase::ReadFence if self.overtaken(bucket, rules) => self.phase = Phase::Stopped,
            Phase::ReadFence => self.phase = Phase::Running,
            Phase::Fencing | Phase::Running | Phase::Stopped => {}
        }
        None
    }

    /// The next step of the backup.
    pub fn write(&mut self, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        match self.writer {
            Writer::Idle => {
                let usable = (self.known | self.cache) & !(self.own | self.doomed);
                self.lean_on(usable);
            }
            Writer::Leaning(pack) => self.commit(pack, bucket),
            // Never again under its old name: a deletion may be on its way to it.
            Writer::Ship if self.local & self.doomed != 0 => self.rescue(self.local & self.doomed, bucket),
            Writer::Ship => match lowest(self.local & !self.known) {
                0 => self.writer = Writer::CheckBefore,
                pack if pack & self.cache == 0 => self.rescue(pack, bucket),
                pack => {
                    self.writer = Writer::SentPack(pack);
                    return Some(Request::PutPack(pack));
                }
            },
            Writer::CheckBefore => {
                if self.passes(bucket, rules) {
                    return self.send_reach();
                }
            }
            Writer::CheckAfter => {
                if rules.mutant == Mutant::NoCheck || self.passes(bucket, rules) {
                    self.acknowledged = true;
                    self.writer = Writer::Done;
                }
            }
            Writer::SentPack(_) | Writer::SentReach | Writer::SentSnapshot | Writer::Done | Writer::Spent => {}
        }
        None
    }

    /// What the snapshot needs now; another set than before is another edition.
    fn send_reach(&mut self) -> Option<Request> {
        if self.told != 0 && self.told != self.local {
            self.edition += 1;
        }
        self.told = self.local;
        if usize::from(self.edition) >= WRITTEN {
            self.writer = Writer::Spent;
            return None;
        }
        self.writer = Writer::SentReach;
        Some(Request::PutReach(self.snapshot(), usize::from(self.edition), self.local))
    }

    fn lean_on(&mut self, usable: Packs) {
        let pack = match lowest(usable) {
            0 => self.fresh(),
            pack => Some(pack),
        };
        match pack {
            Some(pack) => {
                if usable == 0 {
                    self.cache |= pack;
                }
                self.writer = Writer::Leaning(pack);
            }
            None => self.writer = Writer::Spent,
        }
    }

    /// A stream is taken over from an earlier snapshot: what this process itself has condemned may come back so.
    pub fn reuse(&mut self) -> bool {
        let there = (self.known | self.cache) & FIRST & !self.doomed;
        if self.writer == Writer::Idle && there != 0 {
            self.writer = Writer::Leaning(there);
            return true;
        }
        false
    }

    fn commit(&mut self, pack: Packs, bucket: &Bucket) {
        self.look(bucket);
        // Gone in the meantime: the backup is told so and begins anew. Nothing was promised yet.
        if pack & !(self.known | self.cache) != 0 || pack & self.doomed != 0 {
            self.writer = Writer::Idle;
            return;
        }
        self.local = pack;
        self.writer = Writer::Ship;
        self.rescue(pack & self.condemned_elsewhere(bucket), bucket);
    }

    /// Whether the snapshot may go on; what was condemned meanwhile is stored anew.
    fn passes(&mut self, bucket: &Bucket, rules: &Rules) -> bool {
        if self.overtaken(bucket, rules) {
            self.phase = Phase::Stopped;
            return false;
        }
        self.look(bucket);
        let bad = self.local & (self.condemned_elsewhere(bucket) | self.doomed);
        if bad == 0 {
            return true;
        }
        self.writer = Writer::Ship;
        self.rescue(bad, bucket);
        false
    }

    /// Stores the chunks of condemned packs again, in a pack with another name.
    pub fn rescue(&mut self, bad: Packs, bucket: &Bucket) {
        if bad == 0 {
            return;
        }
        if bad & (bucket.packs | self.cache) == 0 {
            self.lost = true;
            self.writer = Writer::Spent;
            return;
        }
        match self.fresh() {
            Some(pack) => {
                self.cache |= pack;
                self.local = (self.local & !bad) | pack;
            }
            None => self.writer = Writer::Spent,
        }
    }

    /// Looks at the lists while a slow line keeps the snapshot from leaving.
    pub fn watch(&mut self, bucket: &Bucket, rules: &Rules) {
        self.look(bucket);
        if self.writer == Writer::Ship && !self.overtaken(bucket, rules) {
            self.rescue(self.local & self.condemned_elsewhere(bucket), bucket);
        }
    }

    /// The next step of the prune.
    pub fn collect(&mut self, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        match self.collector {
            Collector::Idle => self.begin_run(bucket, rules),
            Collector::Absorb => return self.absorb(bucket, rules),
            Collector::Next(after) => self.next_list(after, bucket, rules),
            Collector::Remark(id) => return self.remark(id, bucket, rules),
            Collector::CheckFence(id) => {
                if self.overtaken(bucket, rules) {
                    self.phase = Phase::Stopped;
                } else {
                    self.collector = Collector::Execute(id, 0);
                }
            }
            Collector::Execute(id, remembered) => return Some(self.execute(id, remembered, bucket, rules)),
            Collector::Forget => return self.forget(bucket, rules),
            Collector::MoveFence(snapshot, pack) => {
                if self.overtaken(bucket, rules) {
                    self.phase = Phase::Stopped;
                    return None;
                }
                return Some(self.send_edition(snapshot, pack, bucket));
            }
            Collector::Mark => {
                if let Some(snapshot) = self.movable(bucket, rules) {
                    return self.begin_move(snapshot);
                }
                let listed = bucket.condemned();
                let dead = bucket.packs & !(self.live(bucket) | self.needs_for(rules) | listed);
                if dead == 0 || self.next_list > 3 {
                    self.collector = Collector::Idle;
                    return None;
                }
                self.own |= dead;
                self.collector = Collector::SentList;
                self.next_list += 1;
                return Some(Request::PutList((self.me, self.next_list), dead, false));
            }
            _ => {}
        }
        None
    }

    fn needs_for(&self, rules: &Rules) -> Packs {
        if rules.mutant == Mutant::NoNeeds { 0 } else { self.needs() }
    }

    fn begin_run(&mut self, bucket: &Bucket, rules: &Rules) {
        self.runs -= 1;
        self.look(bucket);
        if self.overtaken(bucket, rules) {
            self.phase = Phase::Stopped;
        } else {
            self.collector = Collector::Absorb;
        }
    }

    /// What an earlier life or an appliance before us condemned is condemned anew by us, with its age.
    fn absorb(&mut self, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        let (mut packs, mut old) = (0, true);
        for (id, list) in bucket.lists.iter().filter(|(id, _)| self.inherits(id, rules)) {
            packs |= list.packs;
            old &= bucket.is_old(list) || bucket.doomed(*id) != 0;
        }
        packs &= bucket.packs & !self.condemned_here(bucket);
        if packs != 0 && self.next_list < 5 {
            self.own |= packs;
            self.next_list += 1;
            self.collector = Collector::SentAbsorb;
            return Some(Request::PutList((self.me, self.next_list), packs, old));
        }
        let settled = self.settled(bucket, rules);
        self.collector = if settled.is_some() { Collector::SentAbsorb } else { Collector::Next(None) };
        settled
    }

    /// Removes an inherited list whose packs are gone or stand in a list of ours. A verdict on it is binding for ever:
    /// its sender may have sent a deletion before it died.
    fn settled(&self, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        let mut inherited = bucket.lists.iter().filter(|(id, _)| self.inherits(id, rules));
        let ours = self.condemned_here(bucket);
        let (id, _) = inherited
            .find(|(id, list)| bucket.doomed(**id) & bucket.packs == 0 && list.packs & bucket.packs & !ours == 0)?;
        let verdict = bucket.verdicts.iter().find(|verdict| verdict.base == *id);
        Some(verdict.map_or(Request::DropList(*id), |verdict| Request::DropVerdict(*verdict)))
    }

    fn next_list(&mut self, after: Option<ListId>, bucket: &Bucket, rules: &Rules) {
        let next = bucket.lists.iter().find(|(id, _)| Some(**id) > after && self.is_mine(id));
        self.collector = match next {
            None => Collector::Forget,
            Some((id, _)) if bucket.doomed(*id) != 0 => {
                self.doomed |= bucket.doomed(*id);
                Collector::Execute(*id, 0)
            }
            Some((id, list)) if bucket.is_old(list) || rules.mutant == Mutant::ClientClock => Collector::Remark(*id),
            Some((id, _)) => Collector::Next(Some(*id)),
        };
    }

    fn remark(&mut self, id: ListId, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        if self.overtaken(bucket, rules) {
            self.phase = Phase::Stopped;
            return None;
        }
        let Some(list) = bucket.lists.get(&id) else {
            self.collector = Collector::Next(Some(id));
            return None;
        };
        let live = if rules.mutant == Mutant::NoRemark { 0 } else { self.live(bucket) };
        let inherited = bucket.lists.keys().filter(|id| self.inherits(id, rules));
        let bound = inherited.fold(0, |packs, id| packs | bucket.doomed(*id));
        let doomed = list.packs & (bound | !(live | self.needs_for(rules)));
        if doomed == 0 {
            self.collector = Collector::SentDropList(id);
            return Some(Request::DropList(id));
        }
        self.doomed |= doomed;
        if rules.mutant == Mutant::NoVerdict {
            self.collector = Collector::Execute(id, doomed);
            return None;
        }
        self.collector = Collector::SentVerdict(id);
        Some(Request::PutVerdict(Verdict { base: id, by: self.me, packs: doomed }))
    }

    fn execute(&mut self, id: ListId, remembered: Packs, bucket: &Bucket, rules: &Rules) -> Request {
        let packs = (bucket.doomed(id) | remembered) & bucket.packs;
        self.doomed |= packs;
        if packs != 0 {
            let pack = lowest(packs);
            self.collector = Collector::SentDropPack(id, remembered, pack);
            return Request::DropPack(pack);
        }
        let own = bucket.verdicts.iter().find(|verdict| verdict.base == id);
        let other = self.settled(bucket, rules).or(own.map(|verdict| Request::DropVerdict(*verdict)));
        if let Some(other) = other {
            self.collector = Collector::SentDropOther(id);
            return other;
        }
        self.collector = Collector::SentDropList(id);
        Request::DropList(id)
    }

    /// Takes forgotten snapshots away, and reach lists of others whose snapshot never came.
    fn forget(&mut self, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        self.collector = Collector::SentForget;
        if let Some(drop) = bucket.remains() {
            return Some(drop);
        }
        let mine = |snapshot: usize| !rules.provider || snapshot == self.snapshot();
        if let Some((snapshot, edition)) = bucket.stale_edition().filter(|(snapshot, _)| mine(*snapshot)) {
            return Some(Request::DropReach(snapshot, edition));
        }
        // Verdicts without their list are void.
        if let Some(void) = bucket.verdicts.iter().find(|verdict| !bucket.lists.contains_key(&verdict.base)) {
            return Some(Request::DropVerdict(*void));
        }
        let orphan = (1..3).find(|snapshot| {
            let old = bucket.newest(*snapshot).is_some_and(|reach| reach.old);
            old && !bucket.snapshots[*snapshot]
                && !bucket.tombs[*snapshot]
                && self.found[*snapshot]
                && *snapshot != self.snapshot()
        });
        if let Some(orphan) = orphan.filter(|_| !rules.provider) {
            return Some(Request::PutTomb(orphan));
        }
        self.collector = Collector::Mark;
        None
    }

    /// The bucket acknowledged what was sent. The answer is the request that follows at once.
    pub fn acknowledge(&mut self, role: Role, bucket: &Bucket, rules: &Rules) -> Option<Request> {
        match role {
            Role::Start if rules.mutant == Mutant::PacksFirst => self.phase = Phase::ReadPacks,
            Role::Start => self.phase = Phase::ReadLists,
            Role::Writer => match self.writer {
                Writer::SentPack(pack) => {
                    self.known |= pack;
                    self.writer = Writer::Ship;
                }
                Writer::SentReach => {
                    self.writer = Writer::SentSnapshot;
                    return Some(Request::PutSnapshot(self.snapshot()));
                }
                Writer::SentSnapshot => self.writer = Writer::CheckAfter,
                _ => {}
            },
            Role::Collector => match self.collector {
                Collector::SentVerdict(id) => self.collector = Collector::CheckFence(id),
                Collector::SentDropPack(id, remembered, pack) => {
                    self.known &= !pack;
                    self.cache &= !pack;
                    self.collector = Collector::Execute(id, remembered & !pack);
                }
                Collector::SentAbsorb => self.collector = Collector::Absorb,
                Collector::SentDropOther(id) => self.collector = Collector::Execute(id, 0),
                Collector::SentDropList(id) => {
                    self.own = self.condemned_here(bucket);
                    self.collector = Collector::Next(Some(id));
                }
                Collector::SentForget => self.collector = Collector::Forget,
                Collector::SentList => {
                    self.collector = Collector::Idle;
                    if self.believed != 0 && bucket.reaches(self.snapshot()) & FIRST != 0 {
                        return Some(self.send_edition(self.snapshot(), self.local, bucket));
                    }
                }
                Collector::SentMove(snapshot, pack) => self.goes_on_moving(snapshot, pack, rules),
                Collector::SentEdition(snapshot, pack) => {
                    self.takes_note_of_move(snapshot, pack);
                    self.collector = Collector::Forget;
                }
                _ => {}
            },
        }
        None
    }
}

fn lowest(packs: Packs) -> Packs {
    packs & packs.wrapping_neg()
}
