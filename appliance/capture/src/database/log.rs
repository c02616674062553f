//! A server in its backup mode: begun by a command that says so, until a line tells it that all was read; what it says then is
//! a tar of what has to lie over files that were read meanwhile.
//!
//! Invariants: whoever drops it, or dies, says that line never, and the server leaves the mode without a log; it also leaves the mode
//! when it has heard nothing for minutes. So a tar proves that the mode lasted as long as the reading.

use super::dump;
use crate::{
    Sink, StreamKind,
    hooks::{self, Hook},
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use holdfast_database::{DONE, LOGS};
use holdfast_docker::{
    Engine, Exec, Running, Said,
    command::{Complaints, ended_well},
};
use holdfast_model::{Error, Kind, Result, snapshot::StreamRef};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::oneshot,
};

/// Longest wait for the beginning: the server writes down what is in its memory first.
const BEGINNING: Duration = Duration::from_secs(600);
/// How often a server is told that somebody is there.
const BEAT: Duration = Duration::from_secs(30);
/// Bytes of the line that says it.
const LINE: usize = 8 << 10;

/// A server that is in its backup mode.
pub(super) struct Session {
    running: Running,
    /// To tell it that all was read; dropped, it never hears that.
    done: oneshot::Sender<()>,
    /// The folder of its files, as it says.
    pub(super) folder: String,
}

/// Puts a server into its backup mode. `Refused` or `Invalid` if it cannot be.
pub(super) async fn begin(engine: &dyn Engine, hook: &Hook) -> Result<Session> {
    let late = |_| Error::new(Kind::Refused, "command.timeout", "it did not begin in time");
    tokio::time::timeout(BEGINNING, begun(engine, hook)).await.map_err(late)?
}

async fn begun(engine: &dyn Engine, hook: &Hook) -> Result<Session> {
    let command = hooks::words(hook);
    let exec = Exec { command: &command, user: hook.user.as_deref(), input: true };
    let mut running = engine.exec_start(&hook.container, exec).await?;
    let (mut said, mut complaints) = (BytesMut::new(), Complaints::default());
    let end = loop {
        match running.output.next().await {
            Some(Ok(Said::Out(bytes))) => said.extend_from_slice(&bytes),
            Some(Ok(Said::Err(bytes))) => complaints.hear(&bytes),
            Some(Err(error)) => return Err(error),
            None => {
                ended_well(engine, &running.id, &complaints).await?;
                return Err(Error::new(Kind::Refused, "command.silent", "it ended before it began"));
            }
        }
        match said.iter().position(|byte| *byte == b'\n') {
            Some(end) => break end,
            None if said.len() > LINE => return Err(unclear()),
            None => {}
        }
    };
    let line = said.split_to(end + 1);
    let folder = std::str::from_utf8(&line).ok().and_then(|line| line.trim_end_matches('\n').strip_prefix(LOGS));
    let folder = folder.filter(|folder| folder.starts_with('/')).ok_or_else(unclear)?.to_owned();
    let rest: Bytes = said.freeze();
    running.output = stream::iter([Ok(Said::Out(rest))]).chain(running.output).boxed();
    let input = running.input.take().ok_or_else(|| Error::bug("a command that hears has no input"))?;
    let (done, is_done) = oneshot::channel();
    tokio::spawn(beat(input, is_done));
    Ok(Session { running, done, folder })
}

/// Tells a server that somebody is there, until all was read or nobody is.
async fn beat(mut input: Pin<Box<dyn AsyncWrite + Send>>, is_done: oneshot::Receiver<()>) {
    let mut is_done = std::pin::pin!(is_done);
    loop {
        let line = tokio::select! {
            biased;
            done = &mut is_done => match done {
                Ok(()) => format!("{DONE}\n"),
                Err(_) => return,
            },
            () = tokio::time::sleep(BEAT) => "still there\n".to_owned(),
        };
        let is_over = line.starts_with(DONE);
        // One that does not hear any more has ended, and says so.
        if input.write_all(line.as_bytes()).await.and(input.flush().await).is_err() || is_over {
            let _ = input.shutdown().await;
            return;
        }
    }
}

fn unclear() -> Error {
    Error::invalid("command.unclear", "its answer cannot be understood")
}

impl Session {
    /// Ends the mode and stores what has to lie over the files. The outer error is the repository's, the inner one the server's.
    pub(super) async fn end(
        self,
        engine: &Arc<dyn Engine>,
        sink: &dyn Sink,
        label: &str,
        limit: Duration,
    ) -> Result<Result<StreamRef>> {
        // Nobody listens if the server is gone, which its output tells.
        let _ = self.done.send(());
        dump::store(engine, sink, (label, StreamKind::Tar), self.running, limit).await
    }
}
