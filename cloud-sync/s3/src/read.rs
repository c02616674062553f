//! Bodies on their way back: bounded, timed, counted; and the ranges that answers claim to hold.

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use std::{error::Error as StdError, ops::Range, time::Duration};
use tokio::time::Instant;

/// Largest object that is read whole. Packs stay below 128 MiB; the rest is room for old formats.
pub(crate) const LARGEST_OBJECT: u64 = 1 << 30;
/// Largest answer that is no object: an IAM or error document.
const LARGEST_ANSWER: u64 = 1 << 20;
/// Memory taken before bytes have arrived; a hostile length costs no more than this.
const FIRST_ROOM: u64 = 4 << 20;

/// Less than this in the time that may pass in silence is silence too: a byte now and then would keep a restore waiting for ever.
const TRICKLE: u64 = 4 << 10;

/// Which bytes of a body are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Bytes to pass over first.
    pub(crate) skip: u64,
    /// Bytes to keep; `None` keeps all there are.
    pub(crate) keep: Option<u64>,
}

/// How a body ended too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection ended.
    Cut,
    /// Nothing came for too long.
    Silent,
    /// The bytes are not those of the checksum that the store keeps.
    Checksum,
    /// It is not the object any more that its beginning is of.
    Changed,
    /// More than [`LARGEST_OBJECT`].
    TooLarge,
}

/// Reads the wanted bytes of a body to the end of `kept`. What has come stays there, also of a body that ends too early.
pub(crate) async fn body(
    stream: ByteStream,
    window: Window,
    idle: Duration,
    kept: &mut BytesMut,
) -> Result<(), Broken> {
    bounded(stream, window, LARGEST_OBJECT, idle, kept).await
}

/// Reads a whole answer that can only be small.
pub(crate) async fn small(stream: ByteStream, idle: Duration) -> Result<Bytes, Broken> {
    let mut kept = BytesMut::new();
    bounded(stream, Window { skip: 0, keep: None }, LARGEST_ANSWER, idle, &mut kept).await?;
    Ok(kept.freeze())
}

async fn bounded(
    mut stream: ByteStream,
    window: Window,
    limit: u64,
    idle: Duration,
    kept: &mut BytesMut,
) -> Result<(), Broken> {
    let most = window.keep.unwrap_or(limit);
    let before = kept.len() as u64;
    kept.reserve(usize::try_from(most.min(FIRST_ROOM)).unwrap_or(0));
    let (mut passed, mut total) = (0u64, 0u64);
    // Since when, and the bytes up to then.
    let mut pace = (Instant::now(), 0u64);
    loop {
        if pace.0.elapsed() >= idle {
            if total - pace.1 < TRICKLE {
                return Err(Broken::Silent);
            }
            pace = (Instant::now(), total);
        }
        let piece = match tokio::time::timeout(idle, stream.try_next()).await {
            Err(_) => return Err(Broken::Silent),
            Ok(Err(error)) if is_checksum(&error) => return Err(Broken::Checksum),
            Ok(Err(_)) => return Err(Broken::Cut),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(piece))) => piece,
        };
        total += piece.len() as u64;
        let over = (window.skip - passed).min(piece.len() as u64);
        passed += over;
        let fresh = &piece[usize::try_from(over).unwrap_or(piece.len())..];
        let room = most - (kept.len() as u64 - before);
        if fresh.len() as u64 > room {
            if window.keep.is_none() {
                return Err(Broken::TooLarge);
            }
            kept.extend_from_slice(&fresh[..usize::try_from(room).unwrap_or(fresh.len())]);
            break;
        }
        kept.extend_from_slice(fresh);
    }
    match window.keep {
        Some(want) if kept.len() as u64 - before < want => Err(Broken::Cut),
        _ => Ok(()),
    }
}

fn is_checksum(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.to_string().contains("checksum mismatch") {
            return true;
        }
        next = cause.source();
    }
    false
}

/// The bytes a `Content-Range: bytes A-B/T` claims, as `A..B+1`.
pub(crate) fn content_range(header: &str) -> Option<Range<u64>> {
    let (span, _) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    (first <= last).then_some(first..last.checked_add(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn windows_are_exact() {
        let read = |skip, keep| async move {
            let mut kept = BytesMut::from("before ");
            let stream = ByteStream::from_static(b"0123456789");
            let ended = body(stream, Window { skip, keep }, IDLE, &mut kept).await;
            (ended, kept.freeze())
        };
        assert_eq!(read(0, None).await, (Ok(()), Bytes::from_static(b"before 0123456789")));
        assert_eq!(read(3, Some(4)).await, (Ok(()), Bytes::from_static(b"before 3456")));
        assert_eq!(read(8, Some(2)).await, (Ok(()), Bytes::from_static(b"before 89")));
        assert_eq!(read(8, Some(3)).await, (Err(Broken::Cut), Bytes::from_static(b"before 89")));
        assert_eq!(read(20, Some(1)).await, (Err(Broken::Cut), Bytes::from_static(b"before ")));
    }

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 2-5/10"), Some(2..6));
        assert_eq!(content_range("bytes 2-5/*"), Some(2..6));
        for bad in ["", "bytes */10", "bytes 5-2/10", "2-5/10", "bytes 0-18446744073709551615/1", "bytes a-b/c"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
