//! Looks at the first entry of a tar stream without losing a byte of it.
//!
//! Only enough of the format is read to tell a directory from a file; the bytes go on as they came.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use holdfast_docker::ByteStream;
use holdfast_model::Result;

const BLOCK: usize = 512;
/// Extended headers of one entry are small; what is larger is passed on unseen.
const LOOK_LIMIT: usize = 256 << 10;

/// What the first entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// No entry at all: Docker leaves sockets out.
    Empty,
    Directory,
    /// A file, link, fifo or device.
    Other,
    /// The stream ended or is no tar; whoever reads it will say so.
    Unclear,
}

/// A stream with its first entry looked at.
pub(crate) struct Peeked {
    pub(crate) head: Head,
    /// All bytes, from the first on.
    pub(crate) stream: ByteStream,
    /// Bytes of the first entry's headers.
    pub(crate) headers: Bytes,
}

/// Reads until the first entry is known.
pub(crate) async fn peek(mut inner: ByteStream) -> Result<Peeked> {
    let mut seen = BytesMut::new();
    let (head, length) = loop {
        if let Some(found) = look(&seen) {
            break found;
        }
        match inner.next().await {
            Some(bytes) => seen.extend_from_slice(&bytes?),
            None => break (Head::Unclear, 0),
        }
    };
    let seen = seen.freeze();
    let headers = seen.slice(..length);
    Ok(Peeked { head, headers, stream: stream::iter([Ok(seen)]).chain(inner).boxed() })
}

/// A tar of nothing but the given headers: a directory without what is in it.
pub(crate) fn alone(headers: Bytes) -> ByteStream {
    stream::iter([Ok(headers), Ok(Bytes::from_static(&[0; 2 * BLOCK]))]).boxed()
}

/// `None` asks for more bytes; else the kind and where its headers end.
fn look(seen: &[u8]) -> Option<(Head, usize)> {
    let mut at = 0;
    loop {
        let header = seen.get(at..at + BLOCK)?;
        if header.iter().all(|byte| *byte == 0) {
            return Some((Head::Empty, 0));
        }
        match header[156] {
            b'x' | b'g' | b'L' | b'K' => {
                let Some(size) = octal(&header[124..136]) else { return Some((Head::Unclear, 0)) };
                at += BLOCK + size.next_multiple_of(BLOCK);
                if at > LOOK_LIMIT {
                    return Some((Head::Unclear, 0));
                }
            }
            b'5' => return Some((Head::Directory, at + BLOCK)),
            _ => return Some((Head::Other, at + BLOCK)),
        }
    }
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    let size = usize::from_str_radix(text, 8).ok()?;
    (size <= LOOK_LIMIT).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_docker::archive::{Entry, tar};

    async fn peeked(bytes: Vec<u8>) -> (Head, Vec<u8>, usize) {
        // One byte at a time is the worst that a network can do.
        let pieces: Vec<_> = bytes.iter().map(|byte| Ok(Bytes::copy_from_slice(&[*byte]))).collect();
        let mut peeked = peek(stream::iter(pieces).boxed()).await.unwrap();
        let mut all = Vec::new();
        while let Some(bytes) = peeked.stream.next().await {
            all.extend_from_slice(&bytes.unwrap());
        }
        (peeked.head, all, peeked.headers.len())
    }

    #[tokio::test]
    async fn the_first_entry_is_told_and_nothing_is_lost() {
        let long = "d".repeat(150);
        for (entries, head, headers) in [
            (vec![], Head::Empty, 0),
            (vec![Entry::directory("v"), Entry::file("v/a", "x")], Head::Directory, 512),
            (vec![Entry::directory(long)], Head::Directory, 3 * 512),
            (vec![Entry::file("v", "x")], Head::Other, 512),
        ] {
            let bytes = tar(&entries);
            assert_eq!(peeked(bytes.clone()).await, (head, bytes, headers));
        }
        assert_eq!(peeked(vec![7; 100]).await.0, Head::Unclear);
    }
}
