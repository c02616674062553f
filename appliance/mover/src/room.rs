//! Room for content: how much one file, and all files of a tree, may promise.
//!
//! A size is a claim that costs nothing: a file of eight exabytes takes no disk, and whoever counts on its bytes pays for
//! each of them. So what is too large is left out by name before anybody counts on it.
//!
//! # Invariants
//! - What a walk tells and what is read after it never promise more than [`TREE_MAX`] bytes of content together, and no file more than
//!   [`FILE_MAX`]; files that grow meanwhile count. Only where a whole tree is read to see what was written ([`Room::lift`]) there is no bound.

use crate::trouble::{Trouble, What};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of one file at most, 64 TiB: four times what ext4 can hold, far below what XFS and tmpfs let anybody claim.
pub const FILE_MAX: u64 = 64 << 40;

/// Bytes of content of one tree at most, 256 TiB: a quarter of what the appliance takes as one snapshot.
pub const TREE_MAX: u64 = 256 << 40;

/// What is left for the content of a tree; `None` if there is no bound.
#[derive(Debug)]
pub(crate) struct Room(Mutex<Option<u64>>);

impl Room {
    /// Nothing is taken.
    pub(crate) fn new() -> Room {
        Room(Mutex::new(Some(TREE_MAX)))
    }

    /// A new walk begins: what earlier ones took is free again.
    pub(crate) fn clear(&self) {
        *self.left() = Some(TREE_MAX);
    }

    /// Whatever files claim is theirs, until the next walk begins.
    pub(crate) fn lift(&self) {
        *self.left() = None;
    }

    /// Takes room for a file of `size` bytes that has room for `had` of them. A file that shrank gives nothing back. If it is too
    /// large, or there is not as much left, nothing is taken and that is what is wrong with it.
    pub(crate) fn take(&self, path: &[u8], size: u64, had: u64) -> Result<(), Trouble> {
        self.fits(path, size)?;
        let more = size.saturating_sub(had);
        if more == 0 {
            return Ok(());
        }
        if let Some(left) = &mut *self.left() {
            *left = left.checked_sub(more).ok_or_else(|| too_large(path, "all files together have at most 256 TiB"))?;
        }
        Ok(())
    }

    /// Whether a file by itself is not too large.
    pub(crate) fn fits(&self, path: &[u8], size: u64) -> Result<(), Trouble> {
        let is_too_large = size > FILE_MAX && self.left().is_some();
        if is_too_large { Err(too_large(path, "a file has at most 64 TiB")) } else { Ok(()) }
    }

    fn left(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_large(path: &[u8], why: &str) -> Trouble {
    Trouble { detail: why.as_bytes().into(), ..Trouble::new(path, What::TooLarge) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let room = Room::new();
        for _ in 0..3 {
            assert_eq!(room.take(b"f", FILE_MAX, 0), Ok(()));
        }
        for (size, had) in [(FILE_MAX + 1, 0), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
            let trouble = room.take(b"f", size, had).unwrap_err();
            assert_eq!((&*trouble.path, trouble.what), (&b"f"[..], What::TooLarge));
        }
        assert_eq!(room.take(b"f", FILE_MAX, 1), Ok(()));
        let trouble = room.take(b"g", 2, 0).unwrap_err();
        assert_eq!(
            trouble.to_string(),
            "g: is too large to be carried and is missing (all files together have at most 256 TiB)"
        );
        assert_eq!((room.take(b"g", 1, 0), room.take(b"h", 7, 7)), (Ok(()), Ok(())));
        assert!(room.take(b"i", 1, 0).is_err());
        room.clear();
        assert_eq!(room.take(b"i", 1, 0), Ok(()));
    }

    #[test]
    fn without_a_bound_everything_fits_until_the_next_walk() {
        let room = Room::new();
        room.lift();
        for _ in 0..2 {
            assert_eq!((room.fits(b"f", u64::MAX), room.take(b"f", u64::MAX, 0)), (Ok(()), Ok(())));
        }
        room.clear();
        assert!(room.fits(b"f", u64::MAX).is_err() && room.take(b"f", FILE_MAX + 1, 0).is_err());
    }
}
