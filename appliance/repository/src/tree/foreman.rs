//! Work on groups, a few at a time, begun in the order in which it came.
//!
//! Invariants: whoever brings work never waits for it; work begins in order, so that what holds room never waits for room that
//! later work holds; with the foreman all work ends.

use holdfast_model::{Error, Result};
use std::sync::Arc;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

type Job<T> = futures::future::BoxFuture<'static, Result<T>>;

/// Takes work.
pub(super) struct Foreman<T> {
    jobs: mpsc::UnboundedSender<Job<T>>,
    done: mpsc::UnboundedReceiver<Result<T>>,
    /// Brought and not told as done yet.
    open: usize,
    go: watch::Sender<bool>,
    places: Arc<Semaphore>,
    /// Ends with it.
    _task: JoinSet<()>,
}

impl<T: Send + 'static> Foreman<T> {
    /// Begins one by one when `ready` is, else when told to [`hurry`](Foreman::hurry).
    pub(super) fn new(ready: impl Future<Output = ()> + Send + 'static) -> Foreman<T> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (out, done) = mpsc::unbounded_channel();
        let (go, mut going) = watch::channel(false);
        let places = Arc::new(Semaphore::new(1));
        let mut task = JoinSet::new();
        let own = Arc::clone(&places);
        task.spawn(async move {
            tokio::select! {
                () = ready => {}
                _ = going.wait_for(|go| *go) => {}
            }
            work(queue, own, out).await;
        });
        Foreman { jobs, done, open: 0, go, places, _task: task }
    }

    /// Work on `places` groups at a time from now on.
    pub(super) fn hurry(&self, places: usize) {
        if !self.go.send_replace(true) {
            self.places.add_permits(places.saturating_sub(1));
        }
    }

    /// Brings work.
    pub(super) fn bring(&mut self, job: impl Future<Output = Result<T>> + Send + 'static) {
        // Without a receiver the work is lost, and `next` says so.
        let _ = self.jobs.send(Box::pin(job));
        self.open += 1;
    }

    /// The next that is done, if any is by now.
    pub(super) fn at_hand(&mut self) -> Option<Result<T>> {
        let done = self.done.try_recv().ok()?;
        self.open -= 1;
        Some(done)
    }

    /// The next that is done; `None` if all is told.
    pub(super) async fn next(&mut self) -> Option<Result<T>> {
        if self.open == 0 {
            return None;
        }
        self.open -= 1;
        Some(self.done.recv().await.unwrap_or_else(|| Err(Error::bug("nobody works on groups any more"))))
    }
}

async fn work<T: Send + 'static>(
    mut queue: mpsc::UnboundedReceiver<Job<T>>,
    places: Arc<Semaphore>,
    out: mpsc::UnboundedSender<Result<T>>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            queue.recv().await.map(|job| (job, place))
        };
        tokio::select! {
            next = next => match next {
                Some((job, place)) => drop(tasks.spawn(async move {
                    let done = job.await;
                    drop(place);
                    done
                })),
                None => break,
            },
            Some(done) = tasks.join_next() => tell(done, &out),
        }
    }
    while let Some(done) = tasks.join_next().await {
        tell(done, &out);
    }
}

fn tell<T>(done: Result<Result<T>, tokio::task::JoinError>, out: &mpsc::UnboundedSender<Result<T>>) {
    let done = done.unwrap_or_else(|error| Err(Error::bug("storing a group broke off").caused_by(error)));
    // Whoever brought it may have given up.
    let _ = out.send(done);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    #[tokio::test]
    async fn work_waits_for_its_beginning_and_is_done_a_few_at_a_time() {
        let mut foreman = Foreman::new(std::future::pending());
        let at_once = Arc::new(AtomicUsize::new(0));
        for number in 0..20 {
            let at_once = Arc::clone(&at_once);
            foreman.bring(async move {
                let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                if number == 7 { Err(Error::bug("seven")) } else { Ok(now) }
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(foreman.at_hand().is_none());
        foreman.hurry(3);
        let (mut most, mut failed) = (0, 0);
        while let Some(done) = foreman.next().await {
            match done {
                Ok(now) => most = most.max(now),
                Err(_) => failed += 1,
            }
        }
        assert_eq!((most, failed), (3, 1));
    }
}
