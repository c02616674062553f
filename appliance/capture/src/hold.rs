//! Holding an app still, and letting it go whatever happens (law L6).
//!
//! A keeper task owns every hold: it writes the journal, freezes, waits for the release, the deadline
//! or the disappearance of whoever asked, and then lets all members go. So a cancelled or panicking
//! capture can never leave an app frozen while the process lives; the journal covers its death.

use crate::{
    frozen,
    journal::{Held, Journal},
};
use futures::future::join_all;
use holdfast_docker::Engine;
use holdfast_model::{Error, Kind, Moment, Result};
use holdfast_runtime::Backoff;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::JoinHandle};

/// Tries to let a member go before the hold is handed to the journal as left over: about half a minute.
const LET_GO_TRIES: u32 = 8;

/// Docker's own default when a container names no stop timeout.
const STOP_SECONDS: u32 = 10;

/// How members are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Pause,
    Stop,
}

/// One member to hold.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Seconds it may take to stop.
    pub(crate) stop_seconds: Option<u32>,
}

/// What to hold, in start order, and for how long.
pub(crate) struct Order {
    pub(crate) host: String,
    pub(crate) app: String,
    pub(crate) way: Way,
    pub(crate) members: Vec<Member>,
    pub(crate) now: Moment,
    pub(crate) limit: Duration,
}

/// A hold in force. Dropping it lets the members go too, only without telling how it went.
pub(crate) struct Hold {
    release: oneshot::Sender<()>,
    keeper: JoinHandle<Ending>,
    expired: Arc<AtomicBool>,
    /// Members that run and could not be held (they restart all the time).
    pub(crate) not_held: Vec<String>,
}

/// How a hold ended.
pub(crate) struct Ending {
    /// The limit was reached before the release.
    pub(crate) expired: bool,
    /// From the first touch until all members ran again.
    pub(crate) lasted: Duration,
    /// Set when a member could not be brought back.
    pub(crate) error: Option<Error>,
}

impl Hold {
    /// Holds all members; on an error nothing is held any more.
    pub(crate) async fn take(engine: Arc<dyn Engine>, journal: Arc<Journal>, order: Order) -> Result<Hold> {
        let (release, released) = oneshot::channel();
        let (ready, begun) = oneshot::channel();
        let expired = Arc::new(AtomicBool::new(false));
        let keeper = Keeper { engine, journal, order, expired: expired.clone() };
        let keeper = tokio::spawn(keeper.run(ready, released));
        match begun.await {
            Ok(Ok(not_held)) => Ok(Hold { release, keeper, expired, not_held }),
            Ok(Err(error)) => {
                // Everything must be let go before the caller hears of it.
                let ending = keeper.await.ok().and_then(|ending| ending.error);
                Err(ending.map_or(error, |worse| worse.while_doing("let the app go after it could not be held")))
            }
            Err(_) => Err(Error::bug("the keeper of a hold ended early")),
        }
    }

    /// Whether the limit was reached, so that members run while they are read.
    pub(crate) fn expired(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }

    /// Lets all members go; returns when they run as before.
    pub(crate) async fn end(self) -> Ending {
        // A keeper that let go by itself at the deadline does not listen any more.
        let _ = self.release.send(());
        self.keeper.await.unwrap_or_else(|error| Ending {
            expired: false,
            lasted: Duration::ZERO,
            error: Some(Error::bug("the keeper of a hold died").caused_by(error)),
        })
    }
}

struct Keeper {
    engine: Arc<dyn Engine>,
    journal: Arc<Journal>,
    order: Order,
    expired: Arc<AtomicBool>,
}

impl Keeper {
    async fn run(self, ready: oneshot::Sender<Result<Vec<String>>>, released: oneshot::Receiver<()>) -> Ending {
        let begun = Instant::now();
        let entry = match self.journal.begin(self.entry()).await {
            Ok(entry) => entry,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Ending { expired: false, lasted: Duration::ZERO, error: None };
            }
        };
        let deadline = tokio::time::Instant::now() + self.order.limit;
        let mut expired = false;
        let mut touched = Touched::default();
        // A request in flight is never broken off: it could freeze a member after it was let go.
        let outcome = match self.touch(&mut touched, &ready, deadline).await {
            // What somebody else paused is not ours to let go, also not after a crash.
            Ok(()) => self.journal.narrow(&entry, &touched.ours).await,
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) => drop(ready.send(Err(error))),
            Ok(()) => {
                if ready.send(Ok(touched.not_held)).is_ok() {
                    tokio::select! {
                        biased;
                        _ = released => {}
                        () = tokio::time::sleep_until(deadline) => {
                            expired = true;
                            self.expired.store(true, Ordering::SeqCst);
                        }
                    }
                }
            }
        }
        let error = self.untouch(entry, touched.ours).await.err();
        Ending { expired, lasted: begun.elapsed(), error }
    }

    fn entry(&self) -> Held {
        let order = &self.order;
        Held {
            host: order.host.clone(),
            app: order.app.clone(),
            since: order.now,
            deadline: order.now.plus_seconds(i64::try_from(order.limit.as_secs()).unwrap_or(i64::MAX)),
            containers: self.pairs(),
            paused: order.way == Way::Pause,
            after: Vec::new(),
        }
    }

    fn pairs(&self) -> Vec<(String, String)> {
        self.order.members.iter().map(|member| (member.id.clone(), member.name.clone())).collect()
    }

    /// Freezes all at once, or stops one after another against the start order, until the deadline.
    async fn touch(
        &self,
        touched: &mut Touched,
        ready: &oneshot::Sender<Result<Vec<String>>>,
        deadline: tokio::time::Instant,
    ) -> Result<()> {
        match self.order.way {
            Way::Pause => {
                // Also those whose request failed: it may have come through.
                touched.ours = self.pairs();
                let outcomes = join_all(self.order.members.iter().map(|member| self.pause(member))).await;
                for (member, outcome) in self.order.members.iter().zip(outcomes) {
                    match outcome? {
                        Paused::ByUs => {}
                        Paused::ByOthers => touched.ours.retain(|(id, _)| *id != member.id),
                        Paused::Not => touched.not_held.push(member.name.clone()),
                    }
                }
            }
            Way::Stop => {
                for member in self.order.members.iter().rev() {
                    // Each may take its time to stop; those that are down already wait meanwhile.
                    if ready.is_closed() || tokio::time::Instant::now() >= deadline {
                        break;
                    }
                    touched.ours.insert(0, (member.id.clone(), member.name.clone()));
                    let seconds = member.stop_seconds.unwrap_or(STOP_SECONDS);
                    self.engine.container_stop(&member.id, seconds).await.map_err(|error| {
                        gone(&member.name, error).while_doing(format!("stop container {}", member.name))
                    })?;
                }
            }
        }
        Ok(())
    }

    async fn pause(&self, member: &Member) -> Result<Paused> {
        let doing = || format!("pause container {}", member.name);
        match self.engine.container_pause(&member.id).await {
            Ok(()) => Ok(Paused::ByUs),
            Err(error) if error.kind() == Kind::Conflict => match state(&*self.engine, &member.id).await? {
                Some(state) if state.paused => Ok(Paused::ByOthers),
                Some(state) if state.running => Ok(Paused::Not),
                Some(_) => Ok(Paused::ByUs),
                None => Err(gone(&member.name, error).while_doing(doing())),
            },
            Err(error) => Err(gone(&member.name, error).while_doing(doing())),
        }
    }

    async fn untouch(&self, entry: String, mut members: Vec<(String, String)>) -> Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        loop {
            let error = match let_go(&*self.engine, self.order.way, &mut members).await {
                Ok(()) => return self.journal.close(&entry).await,
                Err(error) => error,
            };
            // Whoever runs again may be paused or stopped by its owner from now on.
            if let Err(error) = self.journal.narrow(&entry, &members).await {
                tracing::warn!(app = %self.order.app, error = %error.chain(), "the journal of held containers is behind");
            }
            if backoff.failures() >= LET_GO_TRIES {
                self.journal.disown(&entry);
                return Err(error);
            }
            tracing::warn!(app = %self.order.app, error = %error.chain(), "a held app could not be let go yet");
            tokio::time::sleep(backoff.failed()).await;
        }
    }
}

/// Members that the keeper laid hands on.
#[derive(Default)]
struct Touched {
    /// To be let go, in start order.
    ours: Vec<(String, String)>,
    /// They run and cannot be paused.
    not_held: Vec<String>,
}

/// What became of a pause.
enum Paused {
    /// It is paused by us, or ended.
    ByUs,
    /// Somebody was faster: it stays paused.
    ByOthers,
    /// It runs.
    Not,
}

/// Brings members back to running: unpaused, or started in order. One that is gone is fine; one that
/// died while paused is somebody else's doing. All are tried, the first error is told; `members` keeps
/// those that still have to be let go.
pub(crate) async fn let_go(engine: &dyn Engine, way: Way, members: &mut Vec<(String, String)>) -> Result<()> {
    let outcomes = match way {
        Way::Pause => join_all(members.iter().map(|(id, name)| unpause(engine, id, name))).await,
        Way::Stop => {
            let mut outcomes = Vec::new();
            for (id, name) in members.iter() {
                outcomes.push(start(engine, id, name).await);
            }
            outcomes
        }
    };
    let mut failed = outcomes.iter().map(Result::is_err);
    members.retain(|_| failed.next().unwrap_or(true));
    outcomes.into_iter().collect()
}

async fn unpause(engine: &dyn Engine, id: &str, name: &str) -> Result<()> {
    let first = match engine.container_unpause(id).await {
        Err(error) if !matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {
            return Err(error.while_doing(format!("unpause container {name}")));
        }
        other => other,
    };
    match state(engine, id).await? {
        Some(state) if state.paused => {
            let cause =
                first.err().unwrap_or_else(|| Error::new(Kind::Conflict, "container.state", "it is paused again"));
            Err(cause.while_doing(format!("container {name} is still paused")))
        }
        // The engine says that it was not paused; an engine that was killed meanwhile may have forgotten.
        Some(state) if state.running && first.is_err() && frozen::is_frozen(engine, id).await? => {
            frozen::free(engine, id, name).await
        }
        _ => Ok(()),
    }
}

async fn start(engine: &dyn Engine, id: &str, name: &str) -> Result<()> {
    match engine.container_start(id).await {
        Err(error) if error.kind() == Kind::NotFound && state(engine, id).await?.is_none() => Ok(()),
        outcome => outcome.map_err(|error| error.while_doing(format!("start container {name} again"))),
    }
}

struct State {
    running: bool,
    paused: bool,
}

async fn state(engine: &dyn Engine, id: &str) -> Result<Option<State>> {
    let text = match engine.container_inspect(id).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        Error::invalid("inspect.malformed", "a container's description is not JSON").caused_by(error)
    })?;
    let flag = |name: &str| value["State"][name].as_bool().unwrap_or(false);
    Ok(Some(State { running: flag("Running"), paused: flag("Paused") }))
}

/// A container that vanished under our hands gets its name into the error.
pub(crate) fn gone(name: &str, error: Error) -> Error {
    if error.code() != "container.not_found" {
        return error;
    }
    Error::not_found("container.gone", format!("container {name} was removed while the app was being captured"))
        .advice("Back the app up again when it has settled.")
        .caused_by(error)
}
