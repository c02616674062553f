//! A server in its backup mode: begun by a command that says so, for as long as its standard input is open; what it says then is
//! a tar of what has to lie over files that were read meanwhile.
//!
//! Invariant: whoever drops it, or dies, closes that input, and the server leaves the mode.

use super::dump;
use crate::{
    Sink, StreamKind,
    hooks::{self, Hook},
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use holdfast_database::LOGS;
use holdfast_docker::{
    Engine, Exec, Running, Said,
    command::{Complaints, ended_well},
};
use holdfast_model::{Error, Kind, Result, snapshot::StreamRef};
use std::{sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;

/// Longest wait for the beginning: the server writes down what is in its memory first.
const BEGINNING: Duration = Duration::from_secs(600);
/// Bytes of the line that says it.
const LINE: usize = 8 << 10;

/// A server that is in its backup mode.
pub(super) struct Session {
    running: Running,
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
    Ok(Session { running, folder })
}

fn unclear() -> Error {
    Error::invalid("command.unclear", "its answer cannot be understood")
}

impl Session {
    /// Ends the mode and stores what has to lie over the files. The outer error is the repository's, the inner one the server's.
    pub(super) async fn end(
        mut self,
        engine: &Arc<dyn Engine>,
        sink: &dyn Sink,
        label: &str,
        limit: Duration,
    ) -> Result<Result<StreamRef>> {
        if let Some(mut input) = self.running.input.take() {
            // One that is gone has ended, and says so.
            let _ = input.shutdown().await;
        }
        dump::store(engine, sink, (label, StreamKind::Tar), self.running, limit).await
    }
}
