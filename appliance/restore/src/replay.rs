//! Replays dumps into databases whose files were read while they wrote, and only into those: all others' files are newer
//! than their dumps.
//!
//! It is done as soon as the server answers, before whatever depends on it is started. A server that does not come up on
//! such files, or does not take its dump, is an error of the restore: the app stands, its data must not be trusted.

use crate::{
    carry::Hand,
    deed::Replay,
    json::truth,
    start::inspect,
    streams::{Cause, go_on, open, stopped, until_stopped},
};
use holdfast_database::Adapter;
use holdfast_docker::{Exec, command};
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{ContainerSection, DatabaseSection, Snapshot},
};
use std::time::Duration;

/// Longest wait until a server that was just started answers: it may have to recover first.
const WAIT_LIMIT: Duration = Duration::from_secs(300);
/// Between two questions.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time of one question, seconds.
const ASK_SECONDS: u64 = 15;

/// What is to be replayed in a container.
pub(crate) fn of(snapshot: &Snapshot, container: &ContainerSection) -> Vec<Replay> {
    let here = |database: &&DatabaseSection| database.container == container.name && database.replays();
    let replay = |database: &DatabaseSection| Some(Replay { kind: database.kind, dump: database.dump.clone()? });
    snapshot.databases.iter().filter(here).filter_map(replay).collect()
}

/// Replays a dump into a container that was started. A failure of the server's is told; one of the repository's or a wish
/// to stop ends the restore.
pub(crate) async fn replay(hand: &Hand, name: &str, id: &str, replay: &Replay) -> Result<Option<Problem>> {
    let Some(adapter) = Adapter::of(replay.kind).filter(|adapter| adapter.replays) else {
        let error = Error::new(Kind::Refused, "database.unknown", "this release cannot replay it");
        return Ok(Some(problem(name, replay, &error)));
    };
    let user = match answering(hand, id, adapter).await? {
        Ok(user) => user,
        Err(error) => return Ok(Some(problem(name, replay, &error))),
    };
    hand.source.log(&format!("Replays the dump of {} in {name}", replay.kind.title()));
    let cause = Cause::default();
    let dump = open(&hand.source, &replay.dump, &hand.stop, &cause).await?;
    let words = shell(adapter, "replay");
    let exec = Exec { command: &words, user, input: true };
    match until_stopped(&hand.stop, command::run(hand.engine.as_ref(), id, exec, Some(dump))).await {
        Ok(_) => Ok(None),
        Err(error) => match cause.explain(Err(error)) {
            Ok(()) => Ok(None),
            Err(error) if error.code() == "command.failed" => Ok(Some(problem(name, replay, &error))),
            Err(error) => Err(error.while_doing(format!("replay the dump of {name}"))),
        },
    }
}

fn problem(name: &str, replay: &Replay, error: &Error) -> Problem {
    let text = format!(
        "the dump of {} could not be replayed in {name}, whose files were read while it wrote; its data must not be \
         trusted: {}",
        replay.kind.title(),
        error.chain()
    );
    Problem::error("database.not_replayed", name, text)
        .advice("Look at the container's log, then restore again, or replay the dump by hand.")
}

fn shell(adapter: &Adapter, wanted: &str) -> Vec<String> {
    let mut words = ["/bin/sh", "-c", adapter.script()].map(str::to_owned).to_vec();
    words.extend(adapter.words(wanted, ASK_SECONDS, false, "", false));
    words
}

/// Waits until a server answers; tells as whom it was asked.
async fn answering(hand: &Hand, id: &str, adapter: &Adapter) -> Result<Result<Option<&'static str>>> {
    let deadline = tokio::time::Instant::now() + WAIT_LIMIT;
    let words = shell(adapter, "facts");
    let mut last = Error::new(Kind::Refused, "database.no_answer", "its server did not start");
    loop {
        go_on(&hand.stop)?;
        match hand.engine.container_top(id).await {
            Ok(processes) if adapter.is_up(&processes) => match ask(hand, id, adapter, &words).await? {
                Ok(user) => return Ok(Ok(user)),
                Err(error) => last = error,
            },
            Ok(_) => {}
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            Err(error) => last = error,
        }
        let has_ended = !stands(hand, id).await?;
        if has_ended || tokio::time::Instant::now() >= deadline {
            let words = match has_ended {
                true => "its container has ended".to_owned(),
                false => format!("it did not answer within {} s", WAIT_LIMIT.as_secs()),
            };
            return Ok(Err(last.while_doing(words)));
        }
        tokio::select! {
            () = hand.stop.cancelled() => return Err(stopped()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn ask(hand: &Hand, id: &str, adapter: &Adapter, words: &[String]) -> Result<Result<Option<&'static str>>> {
    let mut last = Error::new(Kind::Refused, "database.no_answer", "it did not answer");
    for user in [None, Some(adapter.user)] {
        let exec = Exec { command: words, user, input: false };
        let asked = command::run(hand.engine.as_ref(), id, exec, None);
        match tokio::time::timeout(Duration::from_secs(ASK_SECONDS), asked).await {
            Ok(Ok(_)) => return Ok(Ok(user)),
            Ok(Err(error)) if error.kind() == Kind::Unavailable => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
    Ok(Err(last))
}

/// Whether a container runs, or will again by itself.
async fn stands(hand: &Hand, id: &str) -> Result<bool> {
    let state = inspect(hand, id).await?;
    Ok(truth(&state, "/State/Running") || truth(&state, "/State/Restarting"))
}
