//! The desk: what is to be shipped, how each object stands, and what starts next. Pure.
//!
//! Invariants: an object flies at most once at a time; what flies stays within [`FLYING_BYTES`] (a larger
//! object flies alone) and within the pace; order is the law's; the list is the beginning of all that waits. What fails for reasons of
//! its own is listed last from then on, and few of it are tried at a time: it holds up neither others nor its own kind.

use crate::{
    law::{self, Standing},
    pace::Pace,
};
use holdfast_repository::{ShipItem, ShipList};
use std::collections::{HashMap, HashSet, VecDeque};

/// Most bytes in flight: four packs of the usual size, which are a little more than 32 MiB each.
pub const FLYING_BYTES: u64 = 160 << 20;
/// Objects of the list that are in memory at once.
pub(crate) const LISTED: usize = 4096;
/// Objects that failed for reasons of their own and are tried again in one turn.
const AGAIN: usize = 4;

/// What is to be shipped.
#[derive(Debug)]
pub(crate) struct Desk {
    list: Vec<(ShipItem, Standing)>,
    flying: HashMap<String, u64>,
    /// What failed for reasons of its own and has not arrived since; what waits longest for another try comes first.
    stuck: VecDeque<String>,
    /// Objects and bytes that wait behind the list.
    behind: (u64, u64),
    pace: Pace,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk { list: Vec::new(), flying: HashMap::new(), stuck: VecDeque::new(), behind: (0, 0), pace: Pace::new() }
    }

    /// Takes over a new list; what flies and what failed is remembered.
    pub(crate) fn renew(&mut self, new: ShipList) {
        let ShipList { items: list, objects, bytes } = new;
        let listed: u64 = list.iter().map(|item| item.size).sum();
        self.behind = (objects.saturating_sub(list.len() as u64), bytes.saturating_sub(listed));
        let known: HashMap<String, Standing> =
            self.list.drain(..).map(|(item, standing)| (item.key, standing)).collect();
        let stuck = self.stuck();
        self.list = list
            .into_iter()
            .map(|item| {
                let flies = self.flying.contains_key(&item.key);
                let standing = match known.get(&item.key) {
                    _ if flies => Standing::Flying,
                    Some(Standing::Failed) => Standing::Failed,
                    // There was no room for it meanwhile; its turn comes.
                    None if stuck.contains(&item.key) => Standing::Failed,
                    _ => Standing::Waiting,
                };
                (item, standing)
            })
            .collect();
        // What a whole list does not name is not to be shipped any more.
        if self.behind.0 == 0 {
            let listed: HashSet<&str> = self.list.iter().map(|(item, _)| item.key.as_str()).collect();
            self.stuck.retain(|key| listed.contains(key.as_str()));
        }
    }

    /// What failed for reasons of its own and has not arrived since.
    pub(crate) fn stuck(&self) -> HashSet<String> {
        self.stuck.iter().cloned().collect()
    }

    /// Whether something that failed for reasons of its own waits to be tried again.
    pub(crate) fn waits_for_a_turn(&self) -> bool {
        if self.stuck.is_empty() {
            return false;
        }
        let stuck = self.stuck();
        self.list.iter().any(|(item, standing)| *standing == Standing::Failed && stuck.contains(&item.key))
    }

    /// Gives the objects that start now and marks them as flying.
    pub(crate) fn start(&mut self) -> Vec<ShipItem> {
        let mut started = Vec::new();
        let mut bytes: u64 = self.flying.values().sum();
        if self.flying.len() >= self.pace.limit() || bytes >= FLYING_BYTES {
            return started;
        }
        for index in law::startable(&self.list) {
            let (item, standing) = &mut self.list[index];
            let fits = self.flying.is_empty() || bytes.saturating_add(item.size) <= FLYING_BYTES;
            // The first that does not fit waits for room: small ones must not overtake it for ever.
            if self.flying.len() >= self.pace.limit() || !fits {
                break;
            }
            // The same name twice in a list is one object.
            if self.flying.contains_key(&item.key) {
                continue;
            }
            bytes = bytes.saturating_add(item.size);
            *standing = Standing::Flying;
            self.flying.insert(item.key.clone(), item.size);
            started.push(item.clone());
        }
        started
    }

    /// The bucket and the repository both know it, since `now` (milliseconds).
    pub(crate) fn arrived(&mut self, key: &str, now: i64) {
        let full = self.list.len() > self.flying.len();
        if let Some(bytes) = self.flying.remove(key) {
            self.pace.arrived(bytes, now, full);
        }
        self.list.retain(|(item, _)| item.key != key);
        self.stuck.retain(|stuck| stuck != key);
    }

    /// The bucket failed.
    pub(crate) fn slow_down(&mut self) {
        self.pace.failed();
    }

    /// Nothing flies any more; what did waits.
    pub(crate) fn grounded(&mut self) {
        self.flying.clear();
        for (_, standing) in &mut self.list {
            if *standing == Standing::Flying {
                *standing = Standing::Waiting;
            }
        }
    }

    /// Whether the list is nearly done and there is more behind it.
    pub(crate) fn wants_more(&self) -> bool {
        self.behind.0 > 0 && self.list.len() < LISTED / 4
    }

    /// It did not arrive, for reasons of its `own` or the bucket's; it waits for [`Desk::try_again`].
    pub(crate) fn failed(&mut self, key: &str, own: bool) {
        self.flying.remove(key);
        if own {
            self.stuck.retain(|stuck| stuck != key);
            self.stuck.push_back(key.to_owned());
        }
        for (item, standing) in &mut self.list {
            if item.key == key {
                *standing = Standing::Failed;
            }
        }
    }

    /// What failed may start again: all that the bucket was the reason of, and a few of what failed for reasons of its own, in turn.
    pub(crate) fn try_again(&mut self) {
        let listed = self.listed();
        let turn: HashSet<String> =
            self.stuck.iter().filter(|key| listed.contains(key.as_str())).take(AGAIN).cloned().collect();
        self.may_start(&turn);
        let (now, later): (VecDeque<_>, VecDeque<_>) = self.stuck.drain(..).partition(|key| turn.contains(key));
        self.stuck = later.into_iter().chain(now).collect();
    }

    /// Everything that failed may start again: somebody says that it is worth it.
    pub(crate) fn try_all_again(&mut self) {
        self.may_start(&self.stuck());
    }

    fn may_start(&mut self, turn: &HashSet<String>) {
        let stuck = self.stuck();
        for (item, standing) in &mut self.list {
            if *standing == Standing::Failed && (turn.contains(&item.key) || !stuck.contains(&item.key)) {
                *standing = Standing::Waiting;
            }
        }
    }

    /// What is still to be shipped and listed.
    pub(crate) fn listed(&self) -> HashSet<&str> {
        self.list.iter().map(|(item, _)| item.key.as_str()).collect()
    }

    /// Objects and bytes that the bucket has not acknowledged.
    pub(crate) fn queued(&self) -> (u64, u64) {
        let listed: u64 = self.list.iter().map(|(item, _)| item.size).sum();
        (self.list.len() as u64 + self.behind.0, listed + self.behind.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_repository::Stage;

    fn pack(key: &str, size: u64) -> ShipItem {
        ShipItem { key: key.into(), size, stage: Stage::Pack, snapshot: None }
    }

    fn list(items: Vec<ShipItem>) -> ShipList {
        let bytes = items.iter().map(|item| item.size).sum();
        ShipList { objects: items.len() as u64, bytes, items }
    }

    fn started(desk: &mut Desk) -> Vec<String> {
        desk.start().into_iter().map(|item| item.key).collect()
    }

    #[test]
    fn flights_stay_within_the_budget() {
        let mut desk = Desk::new();
        desk.renew(list(vec![pack("huge", FLYING_BYTES * 2), pack("a", 1), pack("b", 1)]));
        assert_eq!(started(&mut desk), ["huge"], "a huge object flies alone");
        assert!(started(&mut desk).is_empty());
        desk.arrived("huge", 0);
        assert_eq!(started(&mut desk), ["a", "b"]);
        desk.renew(list(["a", "b", "c", "d", "e"].map(|key| pack(key, 1)).into()));
        assert_eq!(started(&mut desk), ["c", "d"], "four at most at first, none twice");
        desk.failed("a", true);
        assert_eq!(started(&mut desk), ["e"]);
        desk.arrived("b", 0);
        assert!(started(&mut desk).is_empty(), "what failed waits for the next turn");
        desk.renew(list(vec![pack("a", 1)]));
        assert!(started(&mut desk).is_empty(), "also across a new list");
        desk.try_again();
        assert_eq!(started(&mut desk), ["a"]);
        assert_eq!(desk.queued(), (1, 1));
    }

    #[test]
    fn four_packs_of_the_usual_size_fly_at_once() {
        let mut desk = Desk::new();
        desk.renew(list((0..6).map(|number| pack(&number.to_string(), 33 << 20)).collect()));
        assert_eq!(started(&mut desk).len(), 4);
    }

    #[test]
    fn large_objects_are_not_overtaken_for_ever() {
        let mut desk = Desk::new();
        desk.renew(list(vec![pack("a", FLYING_BYTES / 2), pack("large", FLYING_BYTES), pack("small", 1)]));
        assert_eq!(started(&mut desk), ["a"]);
        desk.arrived("a", 0);
        assert_eq!(started(&mut desk), ["large"]);
    }

    #[test]
    fn the_same_name_twice_flies_once() {
        let mut desk = Desk::new();
        desk.renew(list(vec![pack("a", 1), pack("a", 1)]));
        assert_eq!(started(&mut desk), ["a"]);
        desk.arrived("a", 0);
        assert_eq!(desk.queued(), (0, 0));
    }

    #[test]
    fn what_lies_behind_the_list_counts_and_is_asked_for_in_time() {
        let mut desk = Desk::new();
        desk.renew(ShipList { items: vec![pack("a", 1), pack("b", 2)], objects: 10, bytes: 100 });
        assert_eq!(desk.queued(), (10, 100));
        assert!(desk.wants_more());
        desk.renew(list(vec![pack("b", 2)]));
        assert!(!desk.wants_more());
    }

    #[test]
    fn what_is_called_back_waits_again() {
        let mut desk = Desk::new();
        desk.renew(list(vec![pack("a", 1), pack("b", 1)]));
        assert_eq!(started(&mut desk), ["a", "b"]);
        desk.grounded();
        assert_eq!(started(&mut desk), ["a", "b"]);
    }

    #[test]
    fn what_the_bucket_failed_at_is_tried_all_at_once() {
        let mut desk = Desk::new();
        let keys: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        desk.renew(list(keys.iter().map(|key| pack(key, 1)).collect()));
        keys.iter().for_each(|key| desk.failed(key, false));
        assert!(desk.stuck().is_empty() && law::startable(&desk.list).is_empty());
        desk.try_again();
        assert_eq!(law::startable(&desk.list).len(), 10);
    }

    #[test]
    fn what_fails_for_its_own_reasons_is_tried_in_turn() {
        let mut desk = Desk::new();
        let keys: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        let all = || list(keys.iter().map(|key| pack(key, 1)).collect());
        desk.renew(all());
        for key in &keys {
            desk.failed(key, true);
        }
        assert_eq!(desk.stuck().len(), 10);
        let mut tried = Vec::new();
        for _ in 0..5 {
            desk.try_again();
            let turn = started(&mut desk);
            assert!(turn.len() <= AGAIN, "{turn:?}");
            turn.iter().for_each(|key| desk.failed(key, true));
            tried.extend(turn);
            desk.renew(all());
        }
        assert!(keys.iter().all(|key| tried.contains(key)), "none waits for ever: {tried:?}");
        desk.try_all_again();
        assert_eq!(law::startable(&desk.list).len(), 10);
        desk.arrived("3", 0);
        desk.renew(list(vec![pack("5", 1)]));
        assert_eq!(
            desk.stuck(),
            HashSet::from(["5".to_owned()]),
            "what arrived, and what nobody wants any more, is not stuck"
        );
    }
}
