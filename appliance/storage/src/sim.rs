//! Simulated tiers: a file system that forgets what was not fsynced, and a bucket with moods.
//!
//! Both write what takes effect onto a [`Tape`], so that one run of a scenario can be cut at every step and the
//! states that a power cut may leave there be built from it, without running it again. For tests only.
//!
//! Honest semantics, as harsh as POSIX allows: before a file's fsync any part of what was written may be on the
//! medium, in any order; before a folder's fsync each new, changed or removed entry may be there or not, the two
//! halves of a rename apart; a failed fsync leaves all that it was for in doubt for ever.

mod bucket;
mod crash;
mod disk;
mod world;

pub use bucket::{Moods, SimBucket};
pub use crash::{Fate, Loose};
pub use disk::{Call, SimDisk, Trouble};
pub use world::World;

use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// A step that took effect.
#[derive(Clone, Debug)]
pub enum Event {
    /// On the disk of this number.
    Disk(u32, DiskStep),
    /// In the bucket.
    Bucket(BucketStep),
    /// Something the test wants to know the place of.
    Mark(usize),
}

/// Number of a file or folder.
pub(crate) type Inode = u64;

/// A step on a disk.
#[derive(Clone, Debug)]
pub enum DiskStep {
    /// A new, empty file.
    NewFile(Spot, u64),
    /// A new folder.
    NewFolder(Spot, u64),
    /// Bytes at the end of a file.
    Append(u64, Bytes),
    /// A file's fsync, and whether it succeeded.
    SyncFile(u64, bool),
    /// A folder's fsync, and whether it succeeded.
    SyncFolder(u64, bool),
    /// Another name.
    Rename(Spot, Spot),
    /// A name less.
    Remove(Spot),
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub(crate) folder: Inode,
    pub(crate) name: String,
}

/// A step in the bucket.
#[derive(Clone, Debug)]
pub enum BucketStep {
    /// An object is there, as a whole.
    Put(String, Bytes),
    /// An object is gone.
    Delete(String),
}

/// What happened, in order, on all that records onto it.
#[derive(Debug, Default)]
pub struct Tape(Mutex<Vec<Event>>);

impl Tape {
    /// Adds an event.
    pub fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Takes all events so far.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A small generator of repeatable dice (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same throws.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    /// Whether a thing of this many in a thousand happens.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }
}

#[cfg(test)]
mod tests;
