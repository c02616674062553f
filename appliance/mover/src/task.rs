//! A piece of work that is done once, by whoever comes first: a helper ahead of time, or the one who needs it.
//!
//! Invariant: nobody ever waits for work that nobody has begun, so no order of helpers can stall a walk.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Work on `I` that gives `O`.
#[derive(Debug)]
pub(crate) struct Task<I, O> {
    state: Mutex<State<I, O>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<I, O> {
    Waiting(I),
    Begun,
    Done(O),
    Taken,
}

/// Who did the work that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Helper,
    Oneself,
}

impl<I, O> Task<I, O> {
    pub(crate) fn new(input: I) -> Task<I, O> {
        Task { state: Mutex::new(State::Waiting(input)), changed: Condvar::new() }
    }

    /// Whether nobody has begun.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(*self.lock(), State::Waiting(_))
    }

    /// Does the work ahead of time, if nobody has begun. Should it panic, the one who needs it is told.
    pub(crate) fn help(&self, work: impl FnOnce(I) -> O) {
        let Some(input) = self.begin() else { return };
        let undone = Undone(self);
        let output = work(input);
        std::mem::forget(undone);
        *self.lock() = State::Done(output);
        self.changed.notify_all();
    }

    fn begin(&self) -> Option<I> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Begun) {
            State::Waiting(input) => Some(input),
            other => {
                *state = other;
                None
            }
        }
    }

    /// The result: does the work itself if nobody has begun, else waits. `None` if it was taken before, or if the one
    /// who did it died.
    pub(crate) fn take(&self, work: impl FnOnce(I) -> O) -> Option<(O, By)> {
        if let Some(input) = self.begin() {
            let output = work(input);
            *self.lock() = State::Taken;
            return Some((output, By::Oneself));
        }
        let mut state = self.lock();
        while matches!(*state, State::Begun) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(output) => Some((output, By::Helper)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<I, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets nobody wait for a helper that died.
struct Undone<'a, I, O>(&'a Task<I, O>);

impl<I, O> Drop for Undone<'_, I, O> {
    fn drop(&mut self) {
        *self.0.lock() = State::Taken;
        self.0.changed.notify_all();
    }
}
