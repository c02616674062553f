//! Volumes written by a mover and read back by another: with nanoseconds, attributes, holes and sockets, all that a tree
//! was stored with. Where no mover may run, the engine's archive does it, and that is told.

use crate::{
    archive,
    carry::Hand,
    deed::LogDeed,
    helper::{Helper, MOUNT},
    probe::says_no_path,
    streams::{self, Cause, until_stopped},
    verify::{self, Compared, Tolerance},
};
use holdfast_docker::{
    ByteStream,
    mover::{Below, Mounted, Mover, NO_PLACE, Over, PLACE},
};
use holdfast_model::{Error, Kind, Problem, Result, snapshot::StreamRef};
use holdfast_runtime::random;
use holdfast_tar::MemberKind;
use std::sync::{Mutex, PoisonError};

/// The file that every data folder of PostgreSQL has: where it is not, a log has no files to lie over.
const CONTROL: &str = "global/pg_control";

/// Why the first volume had to do without a mover.
#[derive(Default)]
pub(crate) struct Reduced(Mutex<Option<String>>);

impl Reduced {
    fn note(&self, error: &Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.chain());
    }

    /// What to tell of it.
    pub(crate) fn problem(&self, host: &str) -> Option<Problem> {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let text = format!(
            "volumes were written through the engine's archive interface, which fills holes, leaves sockets out and \
             cuts times to seconds: {why}"
        );
        let advice = "Let the appliance run its helper containers on this host; it needs create, attach and start of containers.";
        Some(Problem::note("mover.unavailable", host, text).advice(advice))
    }
}

/// Writes a tree into an empty volume and reads it back. `None` if no mover may run here and nothing was done; else what
/// could not be put back as it was.
pub(crate) async fn fill(hand: &Hand, volume: &str, stream: &StreamRef) -> Result<Option<Vec<Problem>>> {
    let (engine, owner) = (&hand.engine, &hand.owner);
    let mounted = Mounted::Volume(volume);
    let (mover, line) = match Mover::writer(engine.clone(), &name(), owner, mounted, Over::Keep).await {
        Ok(begun) => begun,
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        Err(error) if !hand.true_archives => return Err(needed(error)),
        Err(error) => {
            hand.reduced.note(&error);
            return Ok(None);
        }
    };
    let cause = Cause::default();
    let stored = streams::open(&hand.source, stream, &hand.stop, &cause).await?;
    let complaints = cause.explain(until_stopped(&hand.stop, mover.fill(line, stored)).await);
    leave(mover).await;
    let complaints = complaints?;

    let (mover, present) = Mover::reader(engine.clone(), &name(), owner, mounted).await?;
    let tolerance = Tolerance { full: stream.tree && complaints.is_none(), ..Tolerance::default() };
    let stored = hand.source.open(stream).await?;
    let compared = verify::compare(stored, present, &tolerance, &hand.stop).await;
    leave(mover).await;
    compared?;
    Ok(Some(complaints.map(|told| reduced(volume, &told)).into_iter().collect()))
}

/// Lays logs of servers over their files, and over nothing else. What cannot be laid ends the restore: a server would start on
/// such files without a word.
pub(crate) async fn lay(hand: &Hand, mounted: Mounted<'_>, logs: &[LogDeed]) -> Result<()> {
    for log in logs {
        hand.source.log(&format!("Lays the log of {} in {} over its files", log.kind.title(), log.container));
        let doing = format!("the log of {} in {} could not be laid over its files", log.kind.title(), log.container);
        lay_one(hand, mounted, log).await.map_err(|error| error.while_doing(doing))?;
    }
    Ok(())
}

async fn lay_one(hand: &Hand, mounted: Mounted<'_>, log: &LogDeed) -> Result<()> {
    let cause = Cause::default();
    let tar = archive::of_log(streams::open(&hand.source, &log.stream, &hand.stop, &cause).await?);
    let below = Below { folder: &log.folder, mark: CONTROL };
    let begun = Mover::layer(hand.engine.clone(), &name(), &hand.owner, mounted, below).await;
    let (mover, line) = match begun {
        Ok(begun) => begun,
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        Err(error) if !hand.true_archives => return Err(needed(error)),
        Err(error) => {
            hand.reduced.note(&error);
            return lay_archive(hand, mounted, log, tar, &cause).await;
        }
    };
    let written = cause.explain(until_stopped(&hand.stop, mover.fill(line, tar)).await);
    leave(mover).await;
    match written {
        Ok(None) => Ok(()),
        Ok(Some(told)) => Err(Error::new(Kind::Refused, "mover.failed", told)),
        Err(error) if error.code() == NO_PLACE => Err(no_place(log)),
        Err(error) => Err(error),
    }
}

fn no_place(log: &LogDeed) -> Error {
    let (title, folder) = (log.kind.title(), &log.folder);
    let place = if folder.is_empty() { "here".to_owned() } else { format!("in {folder}") };
    let text =
        format!("the snapshot says that files of {title} lie {place}, but there is no {CONTROL}; no log was laid");
    Error::new(Kind::Conflict, "database.log_no_place", text)
        .advice("Look at what the snapshot has there (holdfast files ls), and restore another one.")
}

async fn lay_archive(hand: &Hand, mounted: Mounted<'_>, log: &LogDeed, tar: ByteStream, cause: &Cause) -> Result<()> {
    let (Mounted::Volume(source) | Mounted::HostPath(source)) = mounted else {
        return Err(Error::bug("a log was to be laid over files in memory"));
    };
    let at = if log.folder.is_empty() { MOUNT.to_owned() } else { format!("{MOUNT}/{}", log.folder) };
    let helper = Helper::make(&hand.engine, &hand.owner, source).await?;
    let put = async {
        match helper.kind(&format!("{at}/{CONTROL}")).await? {
            Some(MemberKind::File) => hand.engine.archive_put(helper.id(), &at, tar).await,
            _ => Err(no_place(log)),
        }
    };
    let put = put.await;
    helper.remove().await;
    cause.explain(put)
}

/// Where below a folder of the host the logs of servers lie.
pub(crate) fn log_folders(folder: &str, logs: &[LogDeed]) -> Vec<String> {
    let old = |log: &LogDeed| {
        let parts = [folder.trim_end_matches('/'), &log.folder, "pg_wal"].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("/")
    };
    logs.iter().map(old).collect()
}

/// Takes out a log that a server has written since, of which it would go on reading where the one that is laid ends. Whoever
/// calls has looked whether the folder leads elsewhere.
pub(crate) async fn clear_log(hand: &Hand, folder: &str) -> Result<()> {
    match Mover::clear(hand.engine.clone(), &name(), &hand.owner, Mounted::HostPath(folder)).await {
        Ok(()) => Ok(()),
        // There is none where nothing lies.
        Err(error) if says_no_path(&error) => Ok(()),
        Err(error) => Err(error.while_doing(format!("the old log in {folder} could not be taken out"))),
    }
}

/// A single file of the host as it is.
pub(crate) async fn file(hand: &Hand, path: &str) -> Result<ByteStream> {
    Mover::file(hand.engine.clone(), &name(), &hand.owner, Mounted::HostPath(path)).await
}

/// Takes everything out of a volume.
pub(crate) async fn clear(hand: &Hand, volume: &str) -> Result<()> {
    Mover::clear(hand.engine.clone(), &name(), &hand.owner, Mounted::Volume(volume)).await
}

/// What of a place nobody can replace. `None` also where no mover may look: whoever writes there tells it. A host that is gone
/// is an error.
pub(crate) async fn fixed(hand: &Hand, mounted: Mounted<'_>) -> Result<Option<String>> {
    match Mover::fixed(hand.engine.clone(), &name(), &hand.owner, mounted).await {
        Ok(told) => Ok(told.map(|told| {
            let lines: Vec<&str> = told.lines().map(|line| line.trim_start_matches("holdfast-mover: ")).collect();
            lines.join("; ")
        })),
        Err(error) if error.kind() == Kind::Unavailable && !error.code().starts_with("mover.") => Err(error),
        Err(error) => {
            tracing::warn!(error = error.chain(), "what is held fast could not be looked for");
            Ok(None)
        }
    }
}

/// Writes a stored tree over a folder of the host and reads it back; with `file`, one file under that name into its folder. The answer is what the
/// folder has besides, and what could not be put back as it was.
pub(crate) async fn overwrite(
    hand: &Hand,
    folder: &str,
    stream: &StreamRef,
    file: Option<&str>,
) -> Result<(Compared, Option<Problem>)> {
    let (engine, owner, mounted) = (&hand.engine, &hand.owner, Mounted::HostPath(folder));
    let (mover, line) = Mover::writer(engine.clone(), &name(), owner, mounted, Over::Replace).await.map_err(needed)?;
    let cause = Cause::default();
    let stored = streams::open(&hand.source, stream, &hand.stop, &cause).await?;
    let place = PLACE.trim_start_matches('/');
    let stored = match file {
        Some(file) => archive::renamed(stored, format!("{place}/{file}")),
        None => stored,
    };
    let complaints = cause.explain(until_stopped(&hand.stop, mover.fill(line, stored)).await);
    leave(mover).await;
    let problem = complaints?.map(|told| untold("bind.reduced", &format!("under {folder}"), &told));
    if file.is_some() {
        return Ok((Compared::default(), problem));
    }
    let (mover, present) = Mover::reader(engine.clone(), &name(), owner, mounted).await?;
    let tolerance = Tolerance { full: stream.tree && problem.is_none(), extra: true, ..Tolerance::default() };
    let compared = verify::compare(hand.source.open(stream).await?, present, &tolerance, &hand.stop).await;
    leave(mover).await;
    Ok((compared?, problem))
}

/// Without a mover the engine's archive would be all there is, and it loses data here.
fn needed(error: Error) -> Error {
    let text = "this engine's archive interface loses data or owners on the way, and no helper container may run";
    Error::new(Kind::Refused, "mover.needed", text)
        .advice("Let the appliance create, attach and start helper containers on this host, or restore to another one.")
        .caused_by(error)
}

/// A name for a helper container.
pub(crate) fn name() -> String {
    format!("holdfast-restore-{}", hex::encode(random::<6>()))
}

/// Removes a mover. The restore need not fail for a container that cannot be removed now.
pub(crate) async fn leave(mover: Mover) {
    if let Err(error) = mover.close().await {
        tracing::warn!(error = error.chain(), "a helper container could not be removed yet");
    }
}

fn reduced(volume: &str, told: &str) -> Problem {
    let problem = untold("volume.reduced", &format!("in volume {volume}"), told);
    Problem { subject: volume.to_owned(), ..problem }
}

fn untold(code: &str, place: &str, told: &str) -> Problem {
    let told: Vec<_> = told.lines().map(|line| line.trim_start_matches("holdfast-mover: ")).collect();
    let text = format!("not everything {place} could be put back as it was: {}", told.join("; "));
    Problem::warning(code, place, text)
        .advice("Names, contents, owners, permissions and times were read back and are right; look at what is named.")
}
