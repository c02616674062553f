//! Between the threads of the press: a queue bounded in bytes, and buffers that are used again.
//!
//! Invariants: what waits is at most the limit, or one item; what the pool keeps is at most its limit.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// A queue; many push, many pop.
pub(crate) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    changed: [Condvar; 2],
    limit: usize,
}

struct Waiting<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    closed: bool,
}

/// Which side of the queue waits.
const PUSHERS: usize = 0;
const POPPERS: usize = 1;

impl<T> Queue<T> {
    /// A queue of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let waiting = Waiting { items: VecDeque::new(), bytes: 0, closed: false };
        Queue { waiting: Mutex::new(waiting), changed: Default::default(), limit }
    }
    /// Puts an item in, when there is room; one larger than the limit goes alone. The answer is how long that took, or
    /// `None` if the queue was closed.
    pub(crate) fn push(&self, bytes: usize, item: T) -> Option<Duration> {
        let full = |waiting: &mut Waiting<T>| {
            !waiting.closed && !waiting.items.is_empty() && waiting.bytes + bytes > self.limit
        };
        let mut waiting = self.waiting();
        let mut waited = Duration::ZERO;
        if full(&mut waiting) {
            let start = Instant::now();
            waiting = self.changed[PUSHERS].wait_while(waiting, full).expect("no holder panics");
            waited = start.elapsed();
        }
        if waiting.closed {
            return None;
        }
        waiting.bytes += bytes;
        waiting.items.push_back((bytes, item));
        drop(waiting);
        self.changed[POPPERS].notify_one();
        Some(waited)
    }
    /// Takes the oldest item, when there is one, with how long that took. `None` if the queue was closed and is empty.
    pub(crate) fn pop(&self) -> Option<(T, Duration)> {
        let empty = |waiting: &mut Waiting<T>| !waiting.closed && waiting.items.is_empty();
        let mut waiting = self.waiting();
        let mut waited = Duration::ZERO;
        if empty(&mut waiting) {
            let start = Instant::now();
            waiting = self.changed[POPPERS].wait_while(waiting, empty).expect("no holder panics");
            waited = start.elapsed();
        }
        let (bytes, item) = waiting.items.pop_front()?;
        waiting.bytes -= bytes;
        drop(waiting);
        self.changed[PUSHERS].notify_all();
        Some((item, waited))
    }
    /// Whether less than half of what may wait does.
    pub(crate) fn is_slack(&self) -> bool {
        self.waiting().bytes < self.limit / 2
    }
    /// Ends it: what waits is still given out, nothing more is taken.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.changed.iter().for_each(Condvar::notify_all);
    }
    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().expect("no holder panics")
    }
}

/// Buffers that are used again: fresh memory costs a page fault every 4 KiB.
pub(crate) struct Pool {
    free: Mutex<Vec<Vec<u8>>>,
    limit: usize,
}

impl Pool {
    /// A pool that keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Pool { free: Mutex::default(), limit }
    }
    /// A buffer that holds a copy of these bytes.
    pub(crate) fn copy(&self, bytes: &[u8]) -> Vec<u8> {
        let mut free = self.free();
        let fits = free.iter().rposition(|buffer| buffer.capacity() >= bytes.len());
        let mut buffer = fits.map(|place| free.swap_remove(place)).unwrap_or_default();
        drop(free);
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }
    /// Gives a buffer back.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        let mut free = self.free();
        let kept: usize = free.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= self.limit {
            free.push(buffer);
        } else if let Some(smallest) = free.iter_mut().min_by_key(|other| other.capacity())
            && smallest.capacity() < buffer.capacity()
            && kept - smallest.capacity() + buffer.capacity() <= self.limit
        {
            *smallest = buffer;
        }
    }
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn a_full_queue_waits_and_a_closed_one_ends() {
        let queue = Arc::new(Queue::new(100));
        assert!(queue.push(500, 0).is_some(), "one always goes");
        let pushed = Arc::new(AtomicUsize::new(0));
        let pusher = std::thread::spawn({
            let (queue, pushed) = (Arc::clone(&queue), Arc::clone(&pushed));
            move || {
                for item in 1..=50 {
                    assert!(queue.push(40, item).is_some());
                    pushed.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(pushed.load(Ordering::SeqCst), 0);
        assert_eq!(queue.pop().unwrap().0, 0);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(pushed.load(Ordering::SeqCst), 2, "two of forty fit into a hundred");
        let rest: Vec<i32> = (0..50).map(|_| queue.pop().unwrap().0).collect();
        assert_eq!(rest, (1..=50).collect::<Vec<_>>());
        pusher.join().unwrap();
        let popper = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop().is_none()
        });
        queue.close();
        assert!(popper.join().unwrap());
        assert!(queue.push(1, 0).is_none());
    }

    #[test]
    fn the_pool_keeps_large_buffers_and_its_limit() {
        let pool = Pool::new(1000);
        for size in [100, 300, 500, 700, 2000] {
            pool.give(Vec::with_capacity(size));
        }
        let kept: usize = pool.free().iter().map(Vec::capacity).sum();
        assert!((800..=1000).contains(&kept), "{kept}");
        let large = pool.copy(&[1; 450]);
        assert_eq!((large.len(), large.capacity() >= 500), (450, true));
        assert_eq!(pool.copy(b"abc"), b"abc");
    }
}
