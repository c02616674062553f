//! A shelf that keeps what was used last, up to so many bytes.
//!
//! Invariant: the weights of what lies there never add up to more than the shelf bears; what alone is heavier is
//! not kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Names of things on a shelf.
pub type Key = [u8; 32];

/// Keeps what was used last.
#[derive(Debug)]
pub struct Shelf<T> {
    bears: usize,
    carries: usize,
    turn: u64,
    things: HashMap<Key, Thing<T>>,
    /// Turn of the last use, and of what.
    used: BTreeMap<u64, Key>,
}

#[derive(Debug)]
struct Thing<T> {
    value: Arc<T>,
    weight: usize,
    turn: u64,
}

impl<T> Shelf<T> {
    /// An empty one that bears so many bytes.
    pub fn new(bears: usize) -> Shelf<T> {
        Shelf { bears, carries: 0, turn: 0, things: HashMap::new(), used: BTreeMap::new() }
    }

    /// Takes a copy of what lies there.
    pub fn get(&mut self, key: &Key) -> Option<Arc<T>> {
        let thing = self.things.get_mut(key)?;
        self.turn += 1;
        self.used.remove(&thing.turn);
        self.used.insert(self.turn, *key);
        thing.turn = self.turn;
        Some(Arc::clone(&thing.value))
    }

    /// Puts something there that weighs so many bytes; what was not used for longest makes room.
    pub fn put(&mut self, key: Key, value: Arc<T>, weight: usize) {
        self.take(&key);
        if weight > self.bears {
            return;
        }
        while self.carries + weight > self.bears {
            let Some((_, oldest)) = self.used.first_key_value() else { break };
            let oldest = *oldest;
            self.take(&oldest);
        }
        self.turn += 1;
        self.carries += weight;
        self.used.insert(self.turn, key);
        self.things.insert(key, Thing { value, weight, turn: self.turn });
    }

    fn take(&mut self, key: &Key) {
        if let Some(thing) = self.things.remove(key) {
            self.used.remove(&thing.turn);
            self.carries -= thing.weight;
        }
    }

    /// Bytes that lie there.
    #[cfg(test)]
    pub fn carries(&self) -> usize {
        self.carries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_makes_room() {
        let mut shelf = Shelf::new(100);
        for (key, weight) in [(1, 40), (2, 40), (3, 20)] {
            shelf.put([key; 32], Arc::new(key), weight);
        }
        assert_eq!(shelf.get(&[1; 32]).as_deref(), Some(&1));
        shelf.put([4; 32], Arc::new(4), 30);
        let left: Vec<u8> = (1..=4).filter(|key| shelf.get(&[*key; 32]).is_some()).collect();
        assert_eq!((left, shelf.carries()), (vec![1, 3, 4], 90));
        shelf.put([4; 32], Arc::new(5), 10);
        assert_eq!((shelf.get(&[4; 32]).as_deref(), shelf.carries()), (Some(&5), 70));
        shelf.put([5; 32], Arc::new(9), 101);
        assert!(shelf.get(&[5; 32]).is_none() && shelf.get(&[3; 32]).is_some());
        assert_eq!((shelf.things.len(), shelf.used.len()), (3, 3));
    }
}
