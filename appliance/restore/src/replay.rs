//! Replays dumps into databases whose files were read while they wrote, and only into those: all others' files are newer
//! than their dumps.
//!
//! A replay drops what its dump does not hold. So none is meant for a server that may find files which the restore leaves as the host has
//! them; the plan says so.
//!
//! It is done as soon as the server answers, before whatever depends on it is started. A server that does not come up on
//! such files, or does not take its dump, is an error of the restore: the app stands, its data must not be trusted.

use crate::{
    carry::Hand,
    deed::{Replay, Way},
    json::{list, text, texts, truth},
    plan::Draft,
    start::inspect,
    streams::{Cause, go_on, open, stopped, until_stopped},
    survey::Survey,
    volumes::{Ground, called, ground},
};
use holdfast_database::Adapter;
use holdfast_docker::{Exec, command};
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{ContainerSection, DatabaseKind, DatabaseSection, Snapshot},
};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// Longest wait until a server that was just started answers: it may have to recover first.
const WAIT_LIMIT: Duration = Duration::from_secs(300);
/// Between two questions.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time of one question, seconds.
const ASK_SECONDS: u64 = 15;

/// What is to be replayed in a container, once all volumes and host paths are planned; and what is not, as warnings.
pub(crate) fn of(
    draft: &Draft,
    snapshot: &Snapshot,
    (container, inspect): (&ContainerSection, &Value),
    survey: &Survey,
) -> (Vec<Replay>, Vec<Problem>) {
    let (mut replays, mut told) = (Vec::new(), Vec::new());
    let here = |database: &&DatabaseSection| database.container == container.name && database.replays();
    for database in snapshot.databases.iter().filter(here) {
        let Some(dump) = database.dump.clone() else { continue };
        let left = left(draft, survey, database.kind, inspect);
        if left.is_empty() {
            replays.push(Replay { kind: database.kind, dump });
        } else {
            told.push(not_meant(snapshot, database, &left));
        }
    }
    (replays, told)
}

/// Places that the restore leaves as the host has them, and that a server has its files in. Where it has them is told by its command and by
/// custom alone: if no place there is one that the restore writes, they may be in any that it leaves.
fn left(draft: &Draft, survey: &Survey, kind: DatabaseKind, inspect: &Value) -> Vec<String> {
    if draft.deed.way == Way::Beside {
        return Vec::new();
    }
    // A server has no files where it may only read.
    let is_writable = |mount: &&Value| mount.get("RW").and_then(Value::as_bool) != Some(false);
    let mounts: Vec<&Value> = list(inspect, "/Mounts").iter().filter(is_writable).collect();
    let left: Vec<&Value> =
        mounts.iter().copied().filter(|mount| ground(draft, survey, mount) == Ground::Left).collect();
    let folders = Adapter::of(kind).map(|adapter| adapter.folders(&words_of(inspect))).unwrap_or_default();
    let holders: Vec<&Value> = folders.iter().filter_map(|folder| around(&mounts, folder)).collect();
    let is_below = |mount: &Value| folders.iter().any(|folder| Path::new(place_in(mount)).starts_with(folder));
    let is_of_it = |mount: &Value| is_below(mount) || holders.iter().any(|one| place_in(one) == place_in(mount));
    let of_it: Vec<String> = left.iter().copied().filter(|mount| is_of_it(mount)).map(place).collect();
    let is_told = !of_it.is_empty() || holders.iter().any(|mount| ground(draft, survey, mount) == Ground::Written);
    if is_told { of_it } else { left.into_iter().map(place).collect() }
}

/// The innermost mount that a folder of the container is in.
fn around<'a>(mounts: &[&'a Value], folder: &str) -> Option<&'a Value> {
    let over = mounts.iter().copied().filter(|mount| Path::new(folder).starts_with(place_in(mount)));
    over.max_by_key(|mount| place_in(mount).len())
}

/// Where in the container it is.
fn place_in(mount: &Value) -> &str {
    text(mount, "/Destination")
}

/// What people call it.
fn place(mount: &Value) -> String {
    match text(mount, "/Type") {
        "volume" => format!("volume {}", called(text(mount, "/Name"))),
        _ => text(mount, "/Source").to_owned(),
    }
}

/// Words of a container's command, those of a line for a shell apart, and its variables.
fn words_of(inspect: &Value) -> Vec<String> {
    let lines = ["/Args", "/Config/Entrypoint", "/Config/Cmd"].into_iter().flat_map(|told| texts(inspect, told));
    let mut words = Vec::new();
    for line in lines {
        words.extend(line.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()));
    }
    words.extend(texts(inspect, "/Config/Env"));
    words
}

fn not_meant(snapshot: &Snapshot, database: &DatabaseSection, left: &[String]) -> Problem {
    let name = &database.container;
    let text = format!(
        "the dump of {} is not replayed in {name}: as far as can be told its files are in {}, of which the snapshot has \
         no content; that stays as it is on the host, and a replay would drop what the dump does not hold",
        database.kind.title(),
        left.join(", ")
    );
    // As files of a snapshot are called.
    let file = match database.kind {
        DatabaseKind::Postgres => "postgres.sql",
        DatabaseKind::Mysql => "mysql.sql",
        _ => "mongodb.archive",
    };
    Problem::warning("database.not_replayed", name, text).advice(format!(
        "The dump is in the snapshot: take it out (holdfast files get {}:dump:{name}.{file}), and replay it by hand if it \
         shall take the place of what is there.",
        snapshot.id
    ))
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
