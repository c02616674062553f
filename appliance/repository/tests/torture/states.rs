//! States that a power cut may leave: the recording up to some place, with a choice of what survives.

use crate::{
    ground::Rows,
    scenario::{Trace, Word},
};
use bytes::Bytes;
use holdfast_model::SnapshotId;
use holdfast_storage::sim::{BucketStep, Dice, Event, Fate, Loose, World};
use std::collections::{BTreeMap, BTreeSet};

/// What was promised, and what may be.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Promises {
    /// The repository was called made (or recovered) on this disk.
    pub(crate) exists: bool,
    /// It was before, on a disk that is lost: the bucket must be enough.
    pub(crate) in_bucket: bool,
    pub(crate) attached: bool,
    /// The cache alone is not enough: something else than a crash hurt it.
    pub(crate) rotten: bool,
    /// Must read.
    pub(crate) kept: BTreeSet<SnapshotId>,
    /// Must read from the bucket alone.
    pub(crate) shipped: BTreeSet<SnapshotId>,
    /// May be there or not.
    pub(crate) going: BTreeSet<SnapshotId>,
    /// Must not be shown.
    pub(crate) gone: BTreeSet<SnapshotId>,
    /// The kit that was last called the one to print.
    pub(crate) kit: usize,
    /// The next kit is being made.
    pub(crate) rotating: bool,
    /// Whether the notary's key must open the bucket; `None`: it may.
    pub(crate) notary: Option<bool>,
    pub(crate) settings: u64,
    pub(crate) settings_shipped: u64,
}

impl Promises {
    fn hear(&mut self, word: &Word) {
        match word {
            Word::Created | Word::Recovered => self.exists = true,
            Word::Attached => self.attached = true,
            Word::Committed(id) => drop(self.kept.insert(id.clone())),
            Word::Shipped => {
                self.shipped = self.kept.clone();
                self.settings_shipped = self.settings;
            }
            Word::Rotting => self.rotten = true,
            Word::Mended => self.rotten = false,
            Word::Rotating => self.rotating = true,
            Word::Kit(number) => (self.kit, self.rotating) = (*number, false),
            Word::Notary => self.notary = Some(true),
            Word::Dismissing => self.notary = None,
            Word::Dismissed => self.notary = Some(false),
            Word::Settings(generation) => self.settings = *generation,
            Word::Forgetting(id) => {
                self.kept.remove(id);
                self.shipped.remove(id);
                self.going.insert(id.clone());
            }
            Word::Forgotten(id) => {
                self.going.remove(id);
                self.gone.insert(id.clone());
            }
            Word::Lost => {
                // What only the lost machine knew may be gone, and what it forgot last may be back.
                self.kept = self.shipped.clone();
                self.going.append(&mut self.gone);
                self.settings = self.settings_shipped;
                (self.exists, self.in_bucket) = (false, true);
            }
        }
    }
}

/// A state after a cut.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) label: String,
    pub(crate) world: World,
    pub(crate) bucket: BTreeMap<String, Bytes>,
    pub(crate) catalog: Rows,
    pub(crate) promises: Promises,
    /// A put that was on its way and lands after the restart.
    pub(crate) late: Option<(String, Bytes)>,
}

/// A place in the recording.
pub(crate) struct Place<'a> {
    trace: &'a Trace,
    pub(crate) at: usize,
    world: World,
    disk: u32,
    bucket: BTreeMap<String, Bytes>,
    catalog: Rows,
    promises: Promises,
}

impl<'a> Place<'a> {
    pub(crate) fn start(trace: &'a Trace) -> Place<'a> {
        Place {
            trace,
            at: 0,
            world: World::default(),
            disk: 0,
            bucket: BTreeMap::new(),
            catalog: Rows::new(),
            promises: Promises::default(),
        }
    }

    /// One event further; `false` at the end.
    pub(crate) fn step(&mut self) -> bool {
        let Some(event) = self.trace.events.get(self.at) else { return false };
        self.at += 1;
        match event {
            // The old disk may still be written to by tasks that end; nobody looks at it any more.
            Event::Disk(number, step) if *number == self.disk => self.world.apply(step),
            Event::Disk(..) => {}
            Event::Bucket(BucketStep::Put(key, bytes)) => drop(self.bucket.insert(key.clone(), bytes.clone())),
            Event::Bucket(BucketStep::Delete(key)) => drop(self.bucket.remove(key)),
            Event::Mark(number) => {
                let (word, rows) = &self.trace.words[*number];
                if matches!(word, Word::Lost) {
                    self.disk += 1;
                    self.world = World::default();
                }
                self.catalog = rows.clone();
                self.promises.hear(word);
            }
        }
        true
    }

    /// Whether the next event is a put into the bucket: it may also land later.
    fn late(&self) -> Option<(String, Bytes)> {
        match self.trace.events.get(self.at) {
            Some(Event::Bucket(BucketStep::Put(key, bytes))) => Some((key.clone(), bytes.clone())),
            _ => None,
        }
    }

    /// The last words and steps before this place.
    fn around(&self) -> String {
        let before = &self.trace.events[..self.at];
        let word = before.iter().rev().find_map(|event| match event {
            Event::Mark(number) => Some(&self.trace.words[*number].0),
            _ => None,
        });
        let told = before.iter().rev().take(4).map(|event| match event {
            Event::Disk(_, step) => format!("{step:?}").chars().take(60).collect(),
            Event::Bucket(BucketStep::Put(key, _)) => format!("put {key}"),
            Event::Bucket(BucketStep::Delete(key)) => format!("delete {key}"),
            Event::Mark(_) => "mark".to_owned(),
        });
        format!("{word:?} and {:?}", told.collect::<Vec<String>>())
    }

    pub(crate) fn state(&self, what: &str, fates: &[(Loose, Fate)], remembered: bool) -> State {
        State {
            label: format!("event {} of {}, after {}; {what}", self.at, self.trace.events.len(), self.around()),
            world: self.world.after_cut(fates),
            bucket: self.bucket.clone(),
            catalog: if remembered { self.catalog.clone() } else { Rows::new() },
            promises: self.promises.clone(),
            late: None,
        }
    }

    /// Every state of this place that is worth telling apart.
    pub(crate) fn all_states(&self) -> Vec<State> {
        let loose = self.world.loose();
        let mut states: Vec<State> =
            choices(&loose).iter().map(|fates| self.state(&format!("{fates:?}"), fates, false)).collect();
        let nothing: Vec<_> = loose.iter().map(|loose| (*loose, Fate::Lost)).collect();
        states.push(self.state("all kept, catalog kept", &[], true));
        states.push(self.state("all lost, catalog kept", &nothing, true));
        if let Some(late) = self.late() {
            let what = format!("{} lands late", late.0);
            states.push(State { late: Some(late), ..self.state(&what, &[], true) });
        }
        states
    }

    pub(crate) fn random_state(&self, dice: &mut Dice) -> State {
        let fates: Vec<_> = self.world.loose().into_iter().map(|loose| (loose, Fate::random(loose, dice))).collect();
        let late = self.late().filter(|_| dice.below(2) == 0);
        let what = format!("{}, late: {}", told(&fates), late.is_some());
        State { late, ..self.state(&what, &fates, dice.below(2) == 0) }
    }
}

/// A choice in a few words.
fn told(fates: &[(Loose, Fate)]) -> String {
    let not_kept = fates.iter().filter(|(_, fate)| *fate != Fate::Kept);
    format!("not kept: {:?}", not_kept.take(12).collect::<Vec<_>>())
}

/// Changes of one folder that are told apart; older ones stand and fall together. Only the folder of drafts is never
/// fsynced, and what lies there is swept.
const LATEST: usize = 4;

/// Loose things that are decided alone, and those that are decided as one.
fn split(loose: &[Loose]) -> (Vec<Loose>, Vec<Loose>) {
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    for one in loose {
        if let Loose::Entry(folder, number) = one {
            last.insert(*folder, *number);
        }
    }
    loose.iter().copied().partition(|one| match one {
        Loose::Entry(folder, number) => number + LATEST > last[folder],
        Loose::Data(..) => true,
    })
}

/// All subsets of a few loose things, single ones of many; data torn and holed at every sector.
fn choices(loose: &[Loose]) -> Vec<Vec<(Loose, Fate)>> {
    const ALL_SUBSETS: usize = 7;
    let (loose, old) = split(loose);
    let lost = |some: &mut dyn Iterator<Item = &Loose>| some.map(|one| (*one, Fate::Lost)).collect::<Vec<_>>();
    let mut choices = Vec::new();
    if loose.len() <= ALL_SUBSETS {
        for mask in 0..1u32 << loose.len() {
            let some = loose.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, one)| one);
            choices.push(lost(&mut some.chain(&old)));
        }
    } else {
        choices.push(Vec::new());
        choices.push(lost(&mut loose.iter()));
        for one in &loose {
            choices.push(lost(&mut [*one].iter()));
            choices.push(lost(&mut loose.iter().filter(|other| *other != one).chain(&old)));
        }
    }
    if !old.is_empty() {
        choices.push(lost(&mut old.iter()));
    }
    for one in &loose {
        let Loose::Data(_, size) = one else { continue };
        for at in (0..*size).step_by(512) {
            choices.push(vec![(*one, Fate::Torn(at))]);
            choices.push(vec![(*one, Fate::Hole(at, at + 512))]);
        }
        for at in (0..*size).step_by(4096) {
            choices.push(vec![(*one, Fate::Hole(at, at + 4096))]);
            choices.push(vec![(*one, Fate::Hole(0, at))]);
        }
    }
    choices
}
