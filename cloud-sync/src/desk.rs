//! The desk: what is to be shipped, how each object stands, and what starts next. Pure.
//!
//! Invariants: an object flies at most once at a time; what flies stays within [`FLYING_BYTES`] (a larger
//! object flies alone) and [`FLYING_OBJECTS`]; order is the law's.

use crate::law::{self, Standing};
use holdfast_repository::ShipItem;
use std::collections::HashMap;

/// Most bytes in flight: two packs of the largest size.
pub const FLYING_BYTES: u64 = 128 << 20;
/// Most objects in flight: enough to fill a line with latency, few enough for any bucket.
pub const FLYING_OBJECTS: usize = 4;

/// What is to be shipped.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    list: Vec<(ShipItem, Standing)>,
    flying: HashMap<String, u64>,
}

impl Desk {
    /// Takes over a new list; what flies and what failed is remembered.
    pub(crate) fn renew(&mut self, list: Vec<ShipItem>) {
        let known: HashMap<String, Standing> =
            self.list.drain(..).map(|(item, standing)| (item.key, standing)).collect();
        self.list = list
            .into_iter()
            .map(|item| {
                let flies = self.flying.contains_key(&item.key);
                let standing = match known.get(&item.key) {
                    _ if flies => Standing::Flying,
                    Some(Standing::Failed) => Standing::Failed,
                    _ => Standing::Waiting,
                };
                (item, standing)
            })
            .collect();
    }

    /// Gives the objects that start now and marks them as flying.
    pub(crate) fn start(&mut self) -> Vec<ShipItem> {
        let mut started = Vec::new();
        let mut bytes: u64 = self.flying.values().sum();
        if self.flying.len() >= FLYING_OBJECTS || bytes >= FLYING_BYTES {
            return started;
        }
        for index in law::startable(&self.list) {
            let (item, standing) = &mut self.list[index];
            let fits = self.flying.is_empty() || bytes.saturating_add(item.size) <= FLYING_BYTES;
            // The first that does not fit waits for room: small ones must not overtake it for ever.
            if self.flying.len() >= FLYING_OBJECTS || !fits {
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

    /// The bucket and the repository both know it.
    pub(crate) fn arrived(&mut self, key: &str) {
        self.flying.remove(key);
        self.list.retain(|(item, _)| item.key != key);
    }

    /// It did not arrive; it waits for [`Desk::try_again`].
    pub(crate) fn failed(&mut self, key: &str) {
        self.flying.remove(key);
        for (item, standing) in &mut self.list {
            if item.key == key {
                *standing = Standing::Failed;
            }
        }
    }

    /// What failed may start again.
    pub(crate) fn try_again(&mut self) {
        for (_, standing) in &mut self.list {
            if *standing == Standing::Failed {
                *standing = Standing::Waiting;
            }
        }
    }

    /// Whether an object is still to be shipped.
    pub(crate) fn lists(&self, key: &str) -> bool {
        self.list.iter().any(|(item, _)| item.key == key)
    }

    /// Objects and bytes that the bucket has not acknowledged.
    pub(crate) fn queued(&self) -> (u64, u64) {
        (self.list.len() as u64, self.list.iter().map(|(item, _)| item.size).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_repository::Stage;

    fn pack(key: &str, size: u64) -> ShipItem {
        ShipItem { key: key.into(), size, stage: Stage::Pack, snapshot: None }
    }

    fn started(desk: &mut Desk) -> Vec<String> {
        desk.start().into_iter().map(|item| item.key).collect()
    }

    #[test]
    fn flights_stay_within_the_budget() {
        let mut desk = Desk::default();
        desk.renew(vec![pack("huge", FLYING_BYTES * 2), pack("a", 1), pack("b", 1)]);
        assert_eq!(started(&mut desk), ["huge"], "a huge object flies alone");
        assert!(started(&mut desk).is_empty());
        desk.arrived("huge");
        assert_eq!(started(&mut desk), ["a", "b"]);
        desk.renew(["a", "b", "c", "d", "e"].map(|key| pack(key, 1)).into());
        assert_eq!(started(&mut desk), ["c", "d"], "four at most, none twice");
        desk.failed("a");
        assert_eq!(started(&mut desk), ["e"]);
        desk.arrived("b");
        assert!(started(&mut desk).is_empty(), "what failed waits for the next turn");
        desk.renew(vec![pack("a", 1)]);
        assert!(started(&mut desk).is_empty(), "also across a new list");
        desk.try_again();
        assert_eq!(started(&mut desk), ["a"]);
        assert_eq!(desk.queued(), (1, 1));
    }

    #[test]
    fn large_objects_are_not_overtaken_for_ever() {
        let mut desk = Desk::default();
        desk.renew(vec![pack("a", FLYING_BYTES / 2), pack("large", FLYING_BYTES), pack("small", 1)]);
        assert_eq!(started(&mut desk), ["a"]);
        desk.arrived("a");
        assert_eq!(started(&mut desk), ["large"]);
    }

    #[test]
    fn the_same_name_twice_flies_once() {
        let mut desk = Desk::default();
        desk.renew(vec![pack("a", 1), pack("a", 1)]);
        assert_eq!(started(&mut desk), ["a"]);
        desk.arrived("a");
        assert_eq!(desk.queued(), (0, 0));
    }
}
