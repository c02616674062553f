//! Ways to what is mounted: a mover beside it, or the engine's archive where no mover may run.
//!
//! # Invariants
//! - The mover is the way by default: it keeps all that a file system says and reads only what changed.
//! - Where it cannot be had, or breaks off, the archive is read, the section says so (`fidelity`), and why is told
//!   once for the host.

use crate::{
    Later, Sink, StreamKind,
    data::short,
    helper::{Helper, explain},
    peek::{Head, peek},
    remote::{RemoteTree, bounded},
    sqlite::{Finds, Watched},
    talk::Talk,
};
use futures::FutureExt;
use holdfast_docker::{Engine, mover::Mounted};
use holdfast_model::{
    Error, Kind, Problem, Result, Severity,
    snapshot::{Fidelity, StreamRef},
};
use holdfast_tree::Tree;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A file that shrinks while it is read cuts the archive: one more try settles most of them.
const TRIES: u32 = 2;

/// A way to what is mounted.
pub(crate) enum Reach {
    Mover(Arc<Mutex<Talk>>),
    Archive(Helper),
}

impl Reach {
    /// Removes what was made for it.
    pub(crate) async fn close(self) {
        match self {
            // Nobody else holds it when the reading is over; if somebody did, dropping it removes it too.
            Reach::Mover(talk) => {
                if let Some(talk) = Arc::into_inner(talk) {
                    let _ = talk.into_inner().close().await;
                }
            }
            Reach::Archive(helper) => {
                let _ = helper.close().await;
            }
        }
    }
}

/// What came of reading.
pub(crate) struct Taken {
    pub(crate) head: Head,
    pub(crate) stream: Option<StreamRef>,
    pub(crate) fidelity: Fidelity,
}

impl Taken {
    /// Nothing was read.
    pub(crate) fn nothing() -> Taken {
        Taken { head: Head::Empty, stream: None, fidelity: Fidelity::Full }
    }

    /// Nothing was read of a folder.
    pub(crate) fn no_folder() -> Taken {
        Taken { head: Head::Directory, ..Taken::nothing() }
    }
}

/// What was read: stored, or to be stored when the app goes on.
pub(crate) enum Came {
    Now(Taken, Vec<Problem>),
    /// Of a folder.
    Later(Later<(Taken, Vec<Problem>)>),
}

impl Came {
    /// Stores what is left to store.
    pub(crate) async fn taken(self) -> Result<(Taken, Vec<Problem>)> {
        match self {
            Came::Now(taken, problems) => Ok((taken, problems)),
            Came::Later(later) => later.await,
        }
    }
}

/// Where reading happens.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) owner: String,
    /// Key of the identities of files.
    pub(crate) key: [u8; 32],
    /// Whether the app goes on writing while it is read.
    pub(crate) is_live: bool,
    /// Whether the engine's archives tell owners as they are.
    pub(crate) true_archives: bool,
    /// Whether they lose files too: Podman's leave out what follows a file that grows, and say that volumes of some drivers are empty.
    pub(crate) needs_mover: bool,
    /// Why the first of them had to do without a mover.
    pub(crate) reduced: Arc<SyncMutex<Option<String>>>,
    /// Databases among the files.
    pub(crate) finds: Arc<Finds>,
}

impl Reader {
    /// A way to something. A host path that is not there is `bind.missing`.
    pub(crate) async fn reach(&self, mounted: Mounted<'_>) -> Result<Reach> {
        match Talk::open(self.engine.clone(), &self.owner, mounted, self.key).await {
            Ok(talk) => return Ok(Reach::Mover(Arc::new(Mutex::new(talk)))),
            Err(error) if error.kind() == Kind::Unavailable && error.code().starts_with("host.unreachable") => {
                return Err(error);
            }
            // A single file is a matter of the archive, where that is true.
            Err(error) if error.code() == "mover.not_a_folder" => {
                if let (false, Mounted::HostPath(path)) = (self.true_archives, mounted) {
                    return Ok(Reach::Archive(Helper::file(self.engine.clone(), &self.owner, path)));
                }
            }
            Err(error) => {
                let error = explain(error, mounted);
                if error.code() == "bind.missing" {
                    return Err(error);
                }
                self.reduce(&error)?;
            }
        }
        Ok(Reach::Archive(Helper::open(self.engine.clone(), &self.owner, mounted).await?))
    }

    /// Notes why there is no mover. `Refused` (`mover.needed`) where the archive would lose data without a word.
    fn reduce(&self, error: &Error) -> Result<()> {
        if self.needs_mover {
            let text = format!(
                "Podman's archive interface leaves out files, and no helper container may read them: {}",
                error.chain()
            );
            return Err(Error::new(Kind::Refused, "mover.needed", text)
                .advice("Let the appliance create, attach and start helper containers on this host."));
        }
        tracing::debug!(error = %error.chain(), "no mover: the engine's archive is read");
        self.reduced.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.chain());
        Ok(())
    }

    /// What to tell of the host, if a mover could not be had or broke off.
    pub(crate) fn reduction(&self, host: &str) -> Option<Problem> {
        let why = self.reduced.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let text = format!(
            "data was read through the engine's archive interface, which leaves out extended attributes, access control \
             lists, sockets and holes, cuts times to whole seconds since 1970, and reads all of it each time: {why}"
        );
        Some(Problem::note("mover.unavailable", host, text).advice(
            "Let the appliance run its helper containers on this host; it needs create, attach and start of containers.",
        ))
    }

    /// Stores a tree while the app still runs, so that little is left to read while it is held. `None` where there is no
    /// mover; one that breaks off is found broken, and told, when it is needed.
    pub(crate) async fn ahead(&self, reach: &Reach, label: &str) -> Result<Option<StreamRef>> {
        let Reach::Mover(talk) = reach else { return Ok(None) };
        let tree = self.watched(Arc::clone(talk).lock_owned().await, label);
        match self.sink.store_tree(label, tree).await {
            // What is wrong with files now is not yet what is wrong with the snapshot.
            Ok((stream, _)) => self.sink.settle(stream).await.map(Some),
            Err(error) if error.code().starts_with("mover.") => {
                self.reduce(&error)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what is mounted; `ahead` is what was stored of it while the app still ran.
    pub(crate) async fn take(
        &self,
        reach: &Reach,
        mounted: Mounted<'_>,
        label: &str,
        ahead: Option<&StreamRef>,
    ) -> Result<Came> {
        match reach {
            Reach::Mover(talk) => match self.walk(talk, label, ahead).await {
                Err(error) if error.code().starts_with("mover.") => {
                    self.reduce(&error)?;
                    let helper = Helper::open(self.engine.clone(), &self.owner, mounted).await?;
                    let outcome = self.archive(&helper, label).await;
                    let _ = helper.close().await;
                    Ok(Came::Now(outcome?, Vec::new()))
                }
                outcome => outcome,
            },
            Reach::Archive(helper) => Ok(Came::Now(self.archive(helper, label).await?, Vec::new())),
        }
    }

    /// Reads a tree through its mover.
    async fn walk(&self, talk: &Arc<Mutex<Talk>>, label: &str, ahead: Option<&StreamRef>) -> Result<Came> {
        let tree = self.watched(Arc::clone(talk).lock_owned().await, label);
        let Some(ahead) = ahead else {
            let (taken, problems) = self.taken(label, self.sink.store_tree(label, tree).await?);
            return Ok(Came::Now(taken, problems));
        };
        let later = self.sink.take_tree(label, tree, ahead).await?;
        let (this, label) = (self.clone(), label.to_owned());
        Ok(Came::Later(async move { Ok(this.taken(&label, later.await?)) }.boxed()))
    }

    fn watched(&self, talk: OwnedMutexGuard<Talk>, label: &str) -> Box<dyn Tree> {
        Box::new(Watched::new(RemoteTree::new(talk, label), label, self.finds.clone()))
    }

    fn taken(&self, label: &str, (stream, problems): (StreamRef, Vec<Problem>)) -> (Taken, Vec<Problem>) {
        let taken = Taken { head: Head::Directory, stream: Some(stream), fidelity: Fidelity::Full };
        (taken, bounded(label, problems.into_iter().map(|problem| self.weigh(problem)).collect()))
    }

    /// That files come, go and change while a live app is read is what was asked for.
    fn weigh(&self, problem: Problem) -> Problem {
        let is_expected = self.is_live && matches!(problem.code.as_str(), "file.changed" | "file.vanished");
        if is_expected { Problem { severity: Severity::Note, ..problem } } else { problem }
    }

    /// Stores what the helper mounts; an archive that was cut is read once more.
    async fn archive(&self, helper: &Helper, label: &str) -> Result<Taken> {
        let taken = |head, stream| Taken { head, stream, fidelity: Fidelity::Api };
        let mut tries = 0;
        loop {
            tries += 1;
            let peeked = peek(helper.read().await?).await?;
            match peeked.head {
                Head::Empty => return Ok(taken(Head::Empty, None)),
                Head::Unclear => return Err(short("what the engine sent is not an archive")),
                head => match self.sink.store(label, StreamKind::Tar, peeked.stream).await {
                    Err(error) if error.code() == "stream.short" && tries < TRIES => {}
                    outcome => return Ok(taken(head, Some(outcome?))),
                },
            }
        }
    }
}
