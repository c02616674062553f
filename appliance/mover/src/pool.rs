//! Threads that work off a bounded queue.
//!
//! Invariant: `push` waits while more than the limit is queued, so the one who feeds cannot run ahead; after
//! `drain` all that was pushed is done and dropped.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

pub(crate) struct Pool<J> {
    shared: Arc<Shared<J>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<J> {
    work: Box<dyn Fn(J) + Send + Sync>,
    queue: Mutex<Queue<J>>,
    more: Condvar,
    less: Condvar,
}

struct Queue<J> {
    jobs: VecDeque<J>,
    limit: usize,
    running: usize,
    over: bool,
}

impl<J: Send + 'static> Pool<J> {
    /// Starts threads; with none, `push` does the work itself.
    pub(crate) fn new(threads: usize, limit: usize, work: impl Fn(J) + Send + Sync + 'static) -> Pool<J> {
        let queue = Queue { jobs: VecDeque::new(), limit, running: 0, over: false };
        let shared = Arc::new(Shared {
            work: Box::new(work),
            queue: Mutex::new(queue),
            more: Condvar::new(),
            less: Condvar::new(),
        });
        let start = |_| {
            let shared = Arc::clone(&shared);
            // Folders below each other are finished one inside the other.
            let thread = thread::Builder::new().name("write".to_owned()).stack_size(16 << 20);
            thread.spawn(move || shared.run()).ok()
        };
        let threads = (0..threads).filter_map(start).collect();
        Pool { shared, threads }
    }

    pub(crate) fn push(&self, job: J) {
        if self.threads.is_empty() {
            return (self.shared.work)(job);
        }
        let mut queue = self.shared.lock();
        while queue.jobs.len() >= queue.limit {
            queue = self.shared.wait(&self.shared.less, queue);
        }
        queue.jobs.push_back(job);
        self.shared.more.notify_one();
    }

    pub(crate) fn drain(&self) {
        let mut queue = self.shared.lock();
        while !queue.jobs.is_empty() || queue.running > 0 {
            queue = self.shared.wait(&self.shared.less, queue);
        }
    }
}

impl<J> Drop for Pool<J> {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.more.notify_all();
        for thread in self.threads.drain(..) {
            // What a thread that panicked has not done is told by whoever reads the folder back.
            let _ = thread.join();
        }
    }
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, what: &Condvar, queue: MutexGuard<'a, Queue<J>>) -> MutexGuard<'a, Queue<J>> {
        what.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut queue = self.lock();
            let job = loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.over {
                    return;
                }
                queue = self.wait(&self.more, queue);
            };
            queue.running += 1;
            drop(queue);
            let running = Running(self);
            self.less.notify_all();
            (self.work)(job);
            drop(running);
        }
    }
}

/// A job that is being done, also if it panics.
struct Running<'a, J>(&'a Shared<J>);

impl<J> Drop for Running<'_, J> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.less.notify_all();
    }
}
