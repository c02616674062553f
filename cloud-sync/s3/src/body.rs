//! A body on its way out, piece by piece: seen to move, and no faster than it may.
//!
//! Given to the client whole, an upload looks finished when it begins: nobody could tell a slow line, on which a pack may take
//! half an hour, from a dead one. In pieces the client takes the next one only when the line has taken those before. The
//! bytes and the headers on the wire stay the same.

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::{box_error::BoxError, client::interceptors::context::BeforeTransmitInterceptorContextMut};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use holdfast_runtime::Throttle;
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Bytes of one piece.
const PIECE: usize = 64 * 1024;

/// When an upload last moved.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    /// Milliseconds after `begun`.
    last: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Arc<Progress> {
        Arc::new(Progress { begun: Instant::now(), last: AtomicU64::new(0) })
    }

    fn moved(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Ends when nothing has moved for so long.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            let last = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed));
            if last.elapsed() >= limit {
                return;
            }
            tokio::time::sleep_until(last + limit).await;
        }
    }
}

/// Puts the bytes into each attempt's request in pieces, after it was signed.
pub(crate) struct InPieces {
    pub(crate) bytes: Bytes,
    pub(crate) progress: Arc<Progress>,
    pub(crate) throttle: Arc<Throttle>,
}

impl fmt::Debug for InPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InPieces({} bytes)", self.bytes.len())
    }
}

impl Intercept for InPieces {
    fn name(&self) -> &'static str {
        "InPieces"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.progress.moved();
        let pieces = Pieces {
            left: self.bytes.clone(),
            progress: Arc::clone(&self.progress),
            throttle: Arc::clone(&self.throttle),
            turn: None,
            size: 0,
        };
        *context.request_mut().body_mut() = SdkBody::from_body_1_x(pieces);
        Ok(())
    }
}

struct Pieces {
    left: Bytes,
    progress: Arc<Progress>,
    throttle: Arc<Throttle>,
    /// When the next piece may go, and how large it is; 0 if none is waited for.
    turn: Option<Pin<Box<Sleep>>>,
    size: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        // Whoever is asked for more has got rid of what it had.
        this.progress.moved();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        if this.size == 0 {
            this.size = this.left.len().min(this.throttle.portion(PIECE));
            let wait = this.throttle.reserve(this.size as u64);
            // A timer takes a millisecond even for no time at all.
            this.turn = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
        }
        if let Some(turn) = &mut this.turn {
            ready!(turn.as_mut().poll(context));
        }
        this.turn = None;
        this.progress.moved();
        let size = std::mem::take(&mut this.size);
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn pieces(bytes: Bytes, rate: Option<u64>) -> Pieces {
        let throttle = Throttle::default();
        throttle.limit(rate);
        Pieces { left: bytes, progress: Progress::new(), throttle: Arc::new(throttle), turn: None, size: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_in_pieces_whole_and_at_its_speed() {
        let bytes: Bytes = (0..200_000u32).map(|n| n as u8).collect::<Vec<_>>().into();
        for (rate, seconds) in [(None, 0), (Some(65_536), 3)] {
            let mut body = pieces(bytes.clone(), rate);
            let (begun, mut got) = (Instant::now(), Vec::new());
            assert_eq!(body.size_hint().exact(), Some(200_000));
            while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                got.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            assert!(body.is_end_stream() && got == bytes);
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_from_slowness() {
        let progress = Progress::new();
        let begun = Instant::now();
        let moving = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                progress.moved();
            }
        };
        tokio::join!(moving, progress.silence(Duration::from_secs(60)));
        assert_eq!(begun.elapsed().as_secs(), 560);
    }
}
