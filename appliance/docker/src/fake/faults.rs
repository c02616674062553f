//! What goes wrong on purpose: failing calls, cut streams, a host that goes away, things that happen meanwhile.

use super::FakeDocker;
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

type Deed = Box<dyn FnOnce(&FakeDocker) + Send>;

/// One thing planned for a call.
enum Plan {
    Fail { kind: Kind, code: String },
    Cut(usize),
    Do(Deed),
}

struct Planned {
    call: String,
    /// Calls of that name that pass before.
    pass: u32,
    plan: Plan,
}

/// The plans, the log of calls, and whether the host is there.
#[derive(Default)]
pub(crate) struct Faults {
    planned: Vec<Planned>,
    calls: VecDeque<String>,
    away: bool,
}

/// Calls that are remembered; enough for any test, bounded for long ones.
const CALL_LIMIT: usize = 100_000;

impl FakeDocker {
    /// Lets the `n`th call from now (1 is the next) of a trait method fail.
    pub fn fail(&self, call: &str, n: u32, kind: Kind, code: &str) {
        self.plan(call, n, Plan::Fail { kind, code: code.to_owned() });
    }

    /// Ends the stream of the `n`th call from now cleanly after `bytes`: a 200 with half an archive.
    pub fn cut(&self, call: &str, n: u32, bytes: usize) {
        self.plan(call, n, Plan::Cut(bytes));
    }

    /// Does something just before the `n`th call from now is answered.
    pub fn meanwhile(&self, call: &str, n: u32, deed: impl FnOnce(&FakeDocker) + Send + 'static) {
        self.plan(call, n, Plan::Do(Box::new(deed)));
    }

    /// The host goes away (every call and every open stream fails) or comes back.
    pub fn go_away(&self, away: bool) {
        self.faults().away = away;
    }

    /// All calls so far, as `method subject`.
    pub fn calls(&self) -> Vec<String> {
        self.faults().calls.iter().cloned().collect()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.faults().calls.clear();
    }

    fn plan(&self, call: &str, n: u32, plan: Plan) {
        self.faults().planned.push(Planned { call: call.to_owned(), pass: n.saturating_sub(1), plan });
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every method begins here. Returns where its stream is to be cut.
    pub(crate) fn enter(&self, call: &str, subject: &str) -> Result<Option<usize>> {
        let mut due = Vec::new();
        {
            let mut faults = self.faults();
            faults.calls.push_back(format!("{call} {subject}").trim_end().to_owned());
            if faults.calls.len() > CALL_LIMIT {
                faults.calls.pop_front();
            }
            if faults.away {
                return Err(away());
            }
            let planned = std::mem::take(&mut faults.planned);
            for mut one in planned {
                if one.call == call && one.pass == 0 {
                    due.push(one.plan);
                } else {
                    one.pass -= u32::from(one.call == call);
                    faults.planned.push(one);
                }
            }
        }
        let mut cut = None;
        for plan in due {
            match plan {
                Plan::Fail { kind, code } => {
                    return Err(Error::new(kind, code, format!("host fake failed {call} {subject} on purpose")));
                }
                Plan::Cut(bytes) => cut = Some(bytes),
                Plan::Do(deed) => deed(self),
            }
        }
        if self.faults().away { Err(away()) } else { Ok(cut) }
    }

    /// A stream in the pieces that a network makes.
    pub(crate) fn flow(&self, mut bytes: Vec<u8>, cut: Option<usize>) -> crate::ByteStream {
        const PIECE: usize = 8192;
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        let bytes = Bytes::from(bytes);
        let faults: Arc<Mutex<Faults>> = self.faults.clone();
        let pieces = (0..bytes.len().div_ceil(PIECE)).map(move |n| {
            if faults.lock().unwrap_or_else(PoisonError::into_inner).away {
                return Err(away());
            }
            Ok(bytes.slice(n * PIECE..((n + 1) * PIECE).min(bytes.len())))
        });
        stream::iter(pieces).boxed()
    }
}

fn away() -> Error {
    Error::new(Kind::Unavailable, "host.unreachable", "the Docker host fake cannot be reached")
}
