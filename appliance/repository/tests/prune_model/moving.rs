//! The repack of the model: living chunks of the first pack move to a new one, for one committed snapshot.
//!
//! Order: the new pack, the fence, a later edition of the reach list; then the old pack is garbage like any other.

use super::{
    appliance::{Appliance, Collector, Mutant, Rules, Writer},
    bucket::{Bucket, DOOMED, FIRST, Packs, Request, WRITTEN},
};

impl Appliance {
    /// What reach lists name. The crippled one believes what it will write, not what is there.
    pub(super) fn live(&self, bucket: &Bucket) -> Packs {
        if self.believed != 0 {
            let others = (0..3).filter(|snapshot| !bucket.tombs[*snapshot] && *snapshot != self.snapshot());
            return others.fold(self.believed, |packs, snapshot| packs | bucket.reaches(snapshot));
        }
        bucket.live()
    }

    /// A committed snapshot that leans on the first pack, of which much is dead by now.
    pub(super) fn movable(&self, bucket: &Bucket, rules: &Rules) -> Option<usize> {
        let gone = bucket.condemned() | self.own | self.doomed | !bucket.packs;
        if self.moves == 0 || self.next_pack >= 3 || FIRST & gone != 0 || bucket.snapshots[DOOMED] {
            return None;
        }
        let may = |snapshot: &usize| match *snapshot == self.snapshot() {
            true => self.writer == Writer::Done && self.local & FIRST != 0,
            false => self.me == 1 && !rules.provider,
        };
        let leans = |snapshot: &usize| bucket.is_committed(*snapshot) && bucket.reaches(*snapshot) & FIRST != 0;
        (1..3).find(|snapshot| may(snapshot) && leans(snapshot))
    }

    /// The new pack goes first, like any other.
    pub(super) fn begin_move(&mut self, snapshot: usize) -> Option<Request> {
        self.moves -= 1;
        let pack = self.fresh()?;
        self.cache |= pack;
        self.collector = Collector::SentMove(snapshot, pack);
        Some(Request::PutPack(pack))
    }

    /// Then the edition that names it in the place of the old one.
    pub(super) fn send_edition(&mut self, snapshot: usize, pack: Packs, bucket: &Bucket) -> Request {
        self.collector = Collector::SentEdition(snapshot, pack);
        let packs = (bucket.reaches(snapshot) & !FIRST) | pack;
        Request::PutReach(snapshot, WRITTEN + usize::from(self.me), packs)
    }

    pub(super) fn takes_note_of_move(&mut self, snapshot: usize, pack: Packs) {
        if snapshot == self.snapshot() {
            self.local = (self.local & !FIRST) | pack;
            self.told = self.local;
        }
    }

    /// The new pack is there. The crippled one is content with that.
    pub(super) fn goes_on_moving(&mut self, snapshot: usize, pack: Packs, rules: &Rules) {
        self.known |= pack;
        self.collector = Collector::MoveFence(snapshot, pack);
        if rules.mutant == Mutant::EditionLater {
            self.takes_note_of_move(snapshot, pack);
            self.believed = if snapshot == self.snapshot() { self.local } else { 0 };
            self.collector = Collector::Mark;
        }
    }
}
