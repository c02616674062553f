//! Streams on their way to the host: counted, stoppable, and honest about why they broke.

use crate::Source;
use futures::{StreamExt, stream};
use holdfast_docker::ByteStream;
use holdfast_model::{Error, Kind, Result, snapshot::StreamRef};
use holdfast_runtime::Stop;
use std::sync::{Arc, Mutex};

/// The error of a restore that was asked to stop.
pub(crate) fn stopped() -> Error {
    Error::new(Kind::Stopped, "restore.stopped", "the restore was stopped before the app stood")
}

/// Fails if the restore was asked to stop.
pub(crate) fn go_on(stop: &Stop) -> Result<()> {
    if stop.is_cancelled() { Err(stopped()) } else { Ok(()) }
}

/// Work that a wish to stop ends, whoever it waits for.
pub(crate) async fn until_stopped<T>(stop: &Stop, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(stopped()),
        outcome = work => outcome,
    }
}

/// Why a stream broke: kept apart, because the call that carries it only sees a broken connection.
#[derive(Clone, Default)]
pub(crate) struct Cause(Arc<Mutex<Option<Error>>>);

impl Cause {
    /// The stream's own error if it broke, else the call's.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.take().unwrap_or(error))
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Keeps the error and returns words of it for the call that carries the stream.
    fn keep(&self, error: Error) -> Error {
        let words = Error::new(error.kind(), error.code().to_owned(), error.chain());
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
        words
    }
}

/// A stream of the snapshot for the host: ends with an error on `stop`, counts what flows.
pub(crate) fn guarded(inner: ByteStream, source: &Arc<dyn Source>, stop: &Stop, cause: &Cause) -> ByteStream {
    let source = Arc::clone(source);
    watched(inner, move |bytes| source.wrote(bytes), stop, cause)
}

/// The same; `wrote` counts.
pub(crate) fn watched(
    inner: ByteStream,
    wrote: impl Fn(u64) + Send + 'static,
    stop: &Stop,
    cause: &Cause,
) -> ByteStream {
    let state = (Some(inner), wrote, stop.clone(), cause.clone());
    stream::unfold(state, |(inner, wrote, stop, cause)| async move {
        let mut inner = inner?;
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => Some(Err(stopped())),
            next = inner.next() => next,
        };
        match next? {
            Ok(bytes) => {
                wrote(bytes.len() as u64);
                Some((Ok(bytes), (Some(inner), wrote, stop, cause)))
            }
            Err(error) => {
                let words = cause.keep(error);
                Some((Err(words), (None, wrote, stop, cause)))
            }
        }
    })
    .boxed()
}

/// Opens a stream of the snapshot for the host.
pub(crate) async fn open(
    source: &Arc<dyn Source>,
    stream: &StreamRef,
    stop: &Stop,
    cause: &Cause,
) -> Result<ByteStream> {
    Ok(guarded(source.open(stream).await?, source, stop, cause))
}

/// Reads a stream to its end: proves that the repository can give all of it.
pub(crate) async fn drain(source: &Arc<dyn Source>, stream: &StreamRef, stop: &Stop) -> Result<()> {
    let mut inner = source.open(stream).await?;
    let mut length = 0u64;
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(stopped()),
            next = inner.next() => next,
        };
        match next {
            Some(bytes) => length += bytes?.len() as u64,
            None => break,
        }
    }
    if length == stream.length {
        return Ok(());
    }
    let text = format!("a stored stream has {length} bytes instead of {}", stream.length);
    Err(Error::new(Kind::Corrupt, "stream.short", text))
}
