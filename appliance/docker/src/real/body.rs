//! Bodies in both directions: downloads that may not fall silent, uploads whose own error survives.
//!
//! An HTTP client sees only “the body failed”; here the reason is kept and handed back.

use super::socket::unreachable;
use crate::ByteStream;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use holdfast_model::{Error, Result};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// The body type that bollard speaks; our own calls use the same client and so the same type.
pub(crate) type Body =
    Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static>>>>;

/// Longest silence within a stream. A busy engine pauses for seconds (it stages, walks, compresses);
/// a host that is gone without a word stays silent for ever.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(300);

/// Longest wait for the answer after the last byte of an upload: the engine unpacks layers then.
const SETTLE_LIMIT: Duration = Duration::from_secs(3600);

/// A whole body.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// Ends a stream with an error when it falls silent. Time in which nobody asks does not count.
pub(crate) fn watched<T: Send + 'static>(
    host: Arc<str>,
    inner: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    heard(host, inner, || futures::future::ready(Ok(false)).boxed())
}

/// Whether whoever falls silent is at work; asked each time that a stream was silent for long.
pub(crate) type Works = BoxFuture<'static, Result<bool>>;

/// Ends a stream with an error when it falls silent and nobody works at the other end any more: what writes a volume, or takes in
/// a dump, says nothing for hours.
pub(crate) fn heard<T: Send + 'static>(
    host: Arc<str>,
    inner: BoxStream<'static, Result<T>>,
    works: impl Fn() -> Works + Send + Sync + 'static,
) -> BoxStream<'static, Result<T>> {
    let works = Arc::new(works);
    futures::stream::unfold(Some(inner), move |state| {
        let (host, works) = (host.clone(), works.clone());
        async move {
            let mut inner = state?;
            loop {
                let error = match timeout(SILENCE_LIMIT, inner.next()).await {
                    Ok(Some(Ok(item))) => return Some((Ok(item), Some(inner))),
                    Ok(Some(Err(error))) => error,
                    Ok(None) => return None,
                    Err(_) => match works().await {
                        Ok(true) => continue,
                        Ok(false) => unreachable(&host, "a stream fell silent for five minutes".into()),
                        Err(error) => error,
                    },
                };
                return Some((Err(error), None));
            }
        }
    })
    .boxed()
}

/// What is known about a running upload.
#[derive(Default)]
struct Course {
    /// Set while the engine holds a piece of ours and has not asked for the next.
    given: Option<Instant>,
    ended: bool,
    error: Option<Error>,
}

/// Watches an upload from the side of its caller.
#[derive(Clone, Default)]
pub(crate) struct UploadWatch(Arc<Mutex<Course>>);

impl UploadWatch {
    /// Makes a request body of the stream.
    pub(crate) fn body(&self, stream: ByteStream) -> Body {
        let source = Source { inner: stream, watch: self.clone() };
        Either::Right(StreamBody::new(Box::pin(source)))
    }

    /// Runs the request; ends it when the engine stops taking bytes. The stream's own error wins over
    /// what the transport made of it.
    pub(crate) async fn run<T>(&self, host: &str, request: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = tokio::select! {
            outcome = request => outcome,
            () = self.stalled() => Err(unreachable(host, "it stopped taking the bytes sent to it".to_owned())),
        };
        match self.course().error.take() {
            Some(error) => Err(error),
            None => outcome,
        }
    }

    async fn stalled(&self) {
        loop {
            sleep(Duration::from_secs(5)).await;
            let course = self.course();
            let limit = if course.ended { SETTLE_LIMIT } else { SILENCE_LIMIT };
            if course.given.is_some_and(|given| given.elapsed() > limit) {
                return;
            }
        }
    }

    fn course(&self) -> std::sync::MutexGuard<'_, Course> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Source {
    inner: ByteStream,
    watch: UploadWatch,
}

impl Stream for Source {
    type Item = io::Result<Frame<Bytes>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.watch.course().given = None;
        let next = std::task::ready!(self.inner.poll_next_unpin(cx));
        let mut course = self.watch.course();
        course.given = Some(Instant::now());
        Poll::Ready(match next {
            Some(Ok(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Err(error)) => {
                course.error = Some(error);
                Some(Err(io::Error::other("the data to be sent could not be read")))
            }
            None => {
                course.ended = true;
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    /// Says one thing after a silence of so many seconds.
    fn late(seconds: u64) -> BoxStream<'static, Result<u8>> {
        stream::once(async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok(7)
        })
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_error_unless_somebody_works_at_the_other_end() {
        let host: Arc<str> = "local".into();
        let ended = watched(host.clone(), late(301)).next().await.unwrap().unwrap_err();
        assert_eq!(ended.code(), "host.unreachable");
        let always = || futures::future::ready(Ok(true)).boxed();
        assert_eq!(heard(host.clone(), late(36_000), always).next().await.unwrap().unwrap(), 7);
        let gone = || futures::future::ready(Err(unreachable("local", "cut".into()))).boxed();
        let mut cut = heard(host, late(36_000), gone);
        assert!(cut.next().await.unwrap().unwrap_err().chain().contains("cut"));
        assert!(cut.next().await.is_none());
    }
}
