//! Room for what was read from a source and is not stored yet.
//!
//! Invariants: what waits takes no more than the room, whoever shares it; once it was too small for all at a time it is said to be
//! full, and whoever holds some of it gives it back without waiting for anything but room that comes before.

use holdfast_model::{Error, Result};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Room of a tree that is stored while it is read.
const FLOWING: usize = 16 << 20;
/// Room of all trees of a session that are read first and stored later: 1 % of 25 GB. In tests it is full at times.
const WAITING: usize = if cfg!(test) { 1 << 20 } else { 256 << 20 };
/// No single thing counts as more than this part of the room: several sources, each with two things in hand, always get on.
const SHARES: usize = 32;

/// Room, bytes.
pub(crate) struct Spool {
    room: Arc<Semaphore>,
    total: usize,
    full: watch::Sender<bool>,
}

/// Some of it, until it is dropped.
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Spool {
    /// For one tree; nothing waits in it.
    pub(crate) fn flowing() -> Spool {
        let spool = Spool::of(FLOWING);
        spool.full.send_replace(true);
        spool
    }

    /// For trees that wait in it.
    pub(crate) fn waiting() -> Spool {
        Spool::of(WAITING)
    }

    fn of(total: usize) -> Spool {
        Spool { room: Arc::new(Semaphore::new(total)), total, full: watch::Sender::new(false) }
    }

    /// Takes some room, waiting for it if there is none.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room> {
        let bytes = u32::try_from(bytes.clamp(1, self.total / SHARES)).unwrap_or(u32::MAX);
        let permit = match Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(_) => {
                self.full.send_replace(true);
                let permit = Arc::clone(&self.room).acquire_many_owned(bytes).await;
                permit.map_err(|error| Error::bug("the room for what was read is gone").caused_by(error))?
            }
        };
        Ok(Room { _permit: permit })
    }

    /// Waits until it was too small.
    pub(super) fn filled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut full = self.full.subscribe();
        async move {
            // Without a sender nobody fills it any more.
            let _ = full.wait_for(|full| *full).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn what_is_too_much_is_said_and_waits() {
        let spool = Spool::of(SHARES * 10);
        let mut rooms = Vec::new();
        for _ in 0..SHARES {
            rooms.push(spool.room(1000).await.unwrap());
        }
        assert!(spool.filled().now_or_never().is_none());
        assert!(spool.room(1).now_or_never().is_none());
        assert!(spool.filled().now_or_never().is_some());
        rooms.pop();
        assert!(spool.room(10).now_or_never().is_some());
        assert!(Spool::flowing().filled().now_or_never().is_some());
    }
}
