//! Groups of neighbouring entries: what is compared, skipped or read as one.
//!
//! # Invariants
//! - Where groups end is a function of paths and sizes alone, never of content, time or threads.
//! - It is local: an entry that comes, goes or grows moves the ends near it; further on they are where they were.
//! - A group has at most [`ENTRIES_MAX`] entries and [`BYTES_MAX`] bytes of content, but for a file of
//!   [`ALONE`] bytes or more, which is a group of its own.
//! - Two groups with the same witness hold the same entries in the same state (see [`Entry::identity`]).

use crate::{
    entry::{Entry, Identity},
    trouble::Trouble,
    walk::Walk,
};

/// Entries that a group has at least, unless its content is large.
pub const ENTRIES_MIN: usize = 128;
/// Entries that a group has at most.
pub const ENTRIES_MAX: usize = 1024;
/// Bytes of content that a group has at most.
pub const BYTES_MAX: u64 = 128 << 20;
/// Size from which a file is a group of its own, bytes.
pub const ALONE: u64 = 64 << 20;
/// Content from which a group may end before it has its entries, and over which, on average, the next end lies.
const BYTES_MIN: u64 = 32 << 20;
/// Entries over which, on average, the next end lies once a group may end.
const ENTRIES_STEP: u64 = 256;

/// Neighbouring entries of a tree.
#[derive(Clone, Debug)]
pub struct Group {
    /// The entries, in path order.
    pub entries: Vec<Entry>,
    /// Hash over the identities of all entries.
    pub witness: [u8; 32],
}

impl Group {
    /// Makes a group of these entries; the key is that of their identities.
    pub fn new(entries: Vec<Entry>, key: &[u8; 32]) -> Group {
        let mut hasher = blake3::Hasher::new();
        for entry in &entries {
            let Identity(bytes) = entry.identity(key);
            hasher.update(&bytes);
        }
        Group { entries, witness: *hasher.finalize().as_bytes() }
    }

    /// Bytes of content of all its files.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size))
    }
}

/// Says where groups end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grouper {
    entries: usize,
    bytes: u64,
}

impl Grouper {
    /// Whether the group must end before an entry of `size` bytes; if so, it is as if nothing had been taken yet.
    pub fn ends_before(&mut self, size: u64) -> bool {
        let ends = self.entries > 0 && (size >= ALONE || self.bytes.saturating_add(size) > BYTES_MAX);
        if ends {
            *self = Grouper::default();
        }
        ends
    }

    /// Takes an entry into the group: whether the group ends with it.
    pub fn ends_after(&mut self, path: &[u8], size: u64) -> bool {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        let may = self.entries >= ENTRIES_MIN || self.bytes >= BYTES_MIN;
        let ends = size >= ALONE || self.entries >= ENTRIES_MAX || (may && is_end(path, size));
        if ends {
            *self = Grouper::default();
        }
        ends
    }
}

/// Whether the hash of a path makes it an end: one in [`ENTRIES_STEP`] does, and more the larger the file is.
fn is_end(path: &[u8], size: u64) -> bool {
    let by_size = (u64::MAX / BYTES_MIN).saturating_mul(size.min(BYTES_MIN));
    hash(path) <= by_size.saturating_add(u64::MAX / ENTRIES_STEP)
}

/// FNV-1a with a last stir, so that the high bits are as good as the low ones.
fn hash(path: &[u8]) -> u64 {
    let fold = |state: u64, &byte: &u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = path.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    state = (state ^ state >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ state >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ state >> 33
}

/// Groups of a tree, in path order.
#[derive(Debug)]
pub struct Groups {
    walk: Walk,
    key: [u8; 32],
    grouper: Grouper,
    /// The entry before which the last group ended.
    next: Option<Entry>,
}

impl Groups {
    /// Groups what a walk finds. Identities are hashed under `key`; it must be the same at the next walk.
    pub fn new(walk: Walk, key: [u8; 32]) -> Groups {
        Groups { walk, key, grouper: Grouper::default(), next: None }
    }

    /// What could not be read since the last call; behind the last group, also of how many more that is true.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        self.walk.take_troubles()
    }
}

impl Iterator for Groups {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next.take().or_else(|| self.walk.next()) {
            if self.grouper.ends_before(entry.size) {
                self.next = Some(entry);
                break;
            }
            let ends = self.grouper.ends_after(&entry.path, entry.size);
            entries.push(entry);
            if ends {
                break;
            }
        }
        (!entries.is_empty()).then(|| Group::new(entries, &self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The paths with which groups end.
    fn ends(entries: &[(Vec<u8>, u64)]) -> BTreeSet<Vec<u8>> {
        let mut grouper = Grouper::default();
        let mut all = BTreeSet::new();
        for (place, (path, size)) in entries.iter().enumerate() {
            if grouper.ends_before(*size) {
                all.insert(entries[place - 1].0.clone());
            }
            if grouper.ends_after(path, *size) {
                all.insert(path.clone());
            }
        }
        all
    }

    fn names(count: usize, size: impl Fn(usize) -> u64) -> Vec<(Vec<u8>, u64)> {
        (0..count).map(|n| (format!("folder/{n:08}").into_bytes(), size(n))).collect()
    }

    #[test]
    fn groups_keep_their_bounds() {
        for size in [|_| 100, |n: usize| (n as u64 % 100) << 20, |_| 1 << 20, |n: usize| (n as u64 % 3) * ALONE] {
            let entries = names(50_000, size);
            let mut grouper = Grouper::default();
            let (mut count, mut bytes, mut groups) = (0, 0, 0);
            for (path, size) in &entries {
                if grouper.ends_before(*size) {
                    (count, bytes, groups) = (0, 0, groups + 1);
                }
                count += 1;
                bytes += size;
                assert!(count <= ENTRIES_MAX);
                assert!(bytes <= BYTES_MAX || (count == 1 && *size >= ALONE));
                if grouper.ends_after(path, *size) {
                    assert!(count >= ENTRIES_MIN || bytes >= BYTES_MIN);
                    (count, bytes, groups) = (0, 0, groups + 1);
                }
            }
            assert!(groups >= 20, "{groups}");
        }
    }

    #[test]
    fn the_average_lies_where_it_is_meant_to() {
        let small = ends(&names(1_000_000, |_| 1000)).len();
        assert!((2000..3600).contains(&small), "{small}");
        let medium = ends(&names(100_000, |_| 1 << 20)).len();
        assert!((1200..2400).contains(&medium), "{medium}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// One entry comes, goes or grows: beyond some groups all ends are where they were.
        #[test]
        fn a_change_moves_only_the_ends_near_it(
            place in 0usize..20_000, what in 0..3, scale in 0u32..23, grown in 0u64..100 << 20,
        ) {
            let old = names(60_000, |n| (n as u64 * 2_654_435_761 % 1000) << scale >> 10);
            let mut new = old.clone();
            match what {
                0 => new.insert(place, ([&*old[place].0, b"-new"].concat(), grown)),
                1 => drop(new.remove(place)),
                _ => new[place].1 = grown,
            }
            let (before, after) = (ends(&old), ends(&new));
            let moved: Vec<_> = before.symmetric_difference(&after).collect();
            prop_assert!(moved.len() <= 24, "{} of {} ends moved", moved.len(), before.len());
            let near = old[place].0.clone();
            let untouched = moved.iter().all(|end| **end >= old[place.saturating_sub(1)].0);
            prop_assert!(untouched, "an end before {} moved", crate::entry::shown(&near));
        }
    }
}
