//! A dump on its way: what a command says, stored while it says it, and worth nothing if the command fails.

use crate::{
    Sink, StreamKind,
    hooks::{self, Hook},
};
use futures::{StreamExt, stream};
use holdfast_docker::{
    ByteStream, Engine, Exec, Running, Said,
    command::{Complaints, ended_well},
};
use holdfast_model::{Error, Kind, Result, snapshot::StreamRef};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// Stores what a command says. The outer error is the repository's, the inner one the command's.
pub(super) async fn take(
    engine: &Arc<dyn Engine>,
    sink: &dyn Sink,
    label: &str,
    hook: &Hook,
) -> Result<Result<StreamRef>> {
    let running = match start(&**engine, hook).await {
        Ok(running) => running,
        Err(error) => return Ok(Err(error)),
    };
    store(engine, sink, (label, StreamKind::Bytes), running, Duration::from_secs(hook.seconds)).await
}

/// Stores what a command that runs says from now on. Errors as [`take`].
pub(super) async fn store(
    engine: &Arc<dyn Engine>,
    sink: &dyn Sink,
    (label, kind): (&str, StreamKind),
    running: Running,
    limit: Duration,
) -> Result<Result<StreamRef>> {
    let is_its_fault = Arc::new(AtomicBool::new(false));
    let store = sink.store(label, kind, words(engine.clone(), running, is_its_fault.clone()));
    match tokio::time::timeout(limit, store).await {
        // What is no whole archive, or none that can be taken apart again, is nothing of the repository's either.
        Ok(Err(error)) if error.code() == "stream.short" => Ok(Err(error)),
        Ok(Ok(stream)) if kind == StreamKind::Tar && (stream.unsplit || stream.entries == 0) => {
            Ok(Err(Error::new(Kind::Corrupt, "stream.short", "what it gave is no archive of files")))
        }
        Ok(Err(error)) if !is_its_fault.load(Ordering::SeqCst) => Err(error.while_doing(format!("store the {label}"))),
        Ok(outcome) => Ok(outcome),
        Err(_) => {
            let text = format!("it took more than {} s", limit.as_secs());
            Ok(Err(Error::new(Kind::Refused, "command.timeout", text)))
        }
    }
}

async fn start(engine: &dyn Engine, hook: &Hook) -> Result<Running> {
    let command = hooks::words(hook);
    let exec = Exec { command: &command, user: hook.user.as_deref(), input: hook.secret.is_some() };
    let mut running = engine.exec_start(&hook.container, exec).await?;
    if let (Some(mut pipe), Some(mut line)) = (running.input.take(), hooks::input(hook)) {
        let broken = |error| Error::io("write to a command in a container", error);
        while let Some(piece) = line.next().await {
            pipe.write_all(&piece?).await.map_err(broken)?;
        }
        pipe.shutdown().await.map_err(broken)?;
    }
    Ok(running)
}

struct State {
    engine: Arc<dyn Engine>,
    running: Running,
    complaints: Complaints,
    is_empty: bool,
    is_its_fault: Arc<AtomicBool>,
}

/// What a command says, as a stream that fails if the command does, or says nothing at all.
fn words(engine: Arc<dyn Engine>, running: Running, is_its_fault: Arc<AtomicBool>) -> ByteStream {
    let state = State { engine, running, complaints: Complaints::default(), is_empty: true, is_its_fault };
    let flow = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        loop {
            let outcome = match state.running.output.next().await {
                Some(Ok(Said::Out(bytes))) => {
                    state.is_empty = false;
                    return Some((Ok(bytes), Some(state)));
                }
                Some(Ok(Said::Err(bytes))) => {
                    state.complaints.hear(&bytes);
                    continue;
                }
                Some(Err(error)) => Err(error),
                None => ended_well(&*state.engine, &state.running.id, &state.complaints).await,
            };
            let outcome = match outcome {
                Ok(()) if state.is_empty => Err(Error::new(Kind::Corrupt, "stream.short", "it said nothing")),
                other => other,
            };
            return outcome.err().map(|error| {
                state.is_its_fault.store(true, Ordering::SeqCst);
                (Err(error), None)
            });
        }
    });
    flow.boxed()
}
