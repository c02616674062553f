//! Tars on the line to a mover and back: long runs of zeros go as numbers, see [`holdfast_mover::thin`].

use crate::ByteStream;
use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind};
use holdfast_mover::thin::{RECORD_MAX, RUN, RUN_MIN, is_zero};
use std::collections::VecDeque;

/// Zeros that are given out at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What is said of some bytes. Zeros gather, and are said before the next bytes.
pub(crate) fn thin(tar: ByteStream) -> ByteStream {
    let state = (tar, 0u64, VecDeque::<Bytes>::new(), false);
    stream::unfold(state, |(mut tar, mut zeros, mut ready, mut is_over)| async move {
        loop {
            if let Some(bytes) = ready.pop_front() {
                return Some((Ok(bytes), (tar, zeros, ready, is_over)));
            }
            if is_over {
                return None;
            }
            match tar.next().await {
                Some(Ok(bytes)) if bytes.len() >= RUN_MIN && is_zero(&bytes) => zeros += bytes.len() as u64,
                Some(Ok(bytes)) => {
                    say_zeros(&mut zeros, &mut ready);
                    say(bytes, &mut ready);
                }
                Some(Err(error)) => return Some((Err(error), (tar, 0, ready, true))),
                None => {
                    say_zeros(&mut zeros, &mut ready);
                    is_over = true;
                }
            }
        }
    })
    .boxed()
}

fn say_zeros(zeros: &mut u64, ready: &mut VecDeque<Bytes>) {
    while *zeros > 0 {
        let count = u32::try_from(*zeros).unwrap_or(RECORD_MAX).min(RECORD_MAX);
        ready.push_back(Bytes::copy_from_slice(&(RUN | count).to_le_bytes()));
        *zeros -= u64::from(count);
    }
}

fn say(mut bytes: Bytes, ready: &mut VecDeque<Bytes>) {
    while !bytes.is_empty() {
        let part = bytes.split_to(bytes.len().min(RECORD_MAX as usize));
        ready.push_back(Bytes::copy_from_slice(&(part.len() as u32).to_le_bytes()));
        ready.push_back(part);
    }
}

/// The bytes that were said. A line that ends within a record is an error.
pub(crate) fn thick(line: ByteStream) -> ByteStream {
    stream::unfold(Some(Thick { line, come: Bytes::new(), bytes: 0, zeros: 0 }), |thick| async move {
        let mut thick = thick?;
        match thick.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(thick))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Thick {
    line: ByteStream,
    /// Came, and was not looked at.
    come: Bytes,
    bytes: u32,
    zeros: u32,
}

impl Thick {
    async fn next(&mut self) -> holdfast_model::Result<Option<Bytes>> {
        loop {
            if self.zeros > 0 {
                let count = self.zeros.min(ZEROS.len() as u32);
                self.zeros -= count;
                return Ok(Some(Bytes::from_static(&ZEROS[..count as usize])));
            }
            if self.bytes > 0 && !self.come.is_empty() {
                let part = self.come.split_to(self.come.len().min(self.bytes as usize));
                self.bytes -= part.len() as u32;
                return Ok(Some(part));
            }
            if self.bytes == 0 && self.come.len() >= 4 {
                let head = self.come.get_u32_le();
                (self.bytes, self.zeros) = if head & RUN == 0 { (head, 0) } else { (0, head & RECORD_MAX) };
                continue;
            }
            match self.line.next().await {
                Some(more) if self.come.is_empty() => self.come = more?,
                // A part of a record's head is left, at most three bytes.
                Some(more) => self.come = [&self.come[..], &more?].concat().into(),
                None if self.bytes == 0 && self.come.is_empty() => return Ok(None),
                None => return Err(Error::new(Kind::Unavailable, "mover.short", "the mover broke off in the middle")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_mover::thin::{Thickener, Thinner};
    use std::io::{Read, Write};

    fn of(parts: &[&[u8]]) -> ByteStream {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        stream::iter(parts).boxed()
    }

    async fn all(mut stream: ByteStream) -> holdfast_model::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = stream.next().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn both_ends_understand_each_other() {
        let zeros = vec![0; 100_000];
        let parts: [&[u8]; 6] = [b"head", &zeros, &zeros, b"", b"body", &zeros];
        let line = all(thin(of(&parts))).await.unwrap();
        assert!(line.len() < 40, "{}", line.len());
        let mut read = Vec::new();
        Thickener::new(line.as_slice()).read_to_end(&mut read).unwrap();
        assert!(read == parts.concat());

        let mut line = Vec::new();
        let mut thinner = Thinner::new(&mut line);
        parts.iter().for_each(|part| thinner.write_all(part).unwrap());
        thinner.flush().unwrap();
        for step in [1, 3, 4, 7, 1000] {
            let cut: Vec<&[u8]> = line.chunks(step).collect();
            assert!(all(thick(of(&cut))).await.unwrap() == parts.concat(), "{step}");
        }
        // Zeros are one record each, four bytes long; the bytes before them are one of eight.
        let ends = [8, 12, 20];
        assert_eq!(line.len(), 24);
        for end in 1..line.len() {
            let broken = all(thick(of(&[&line[..end]]))).await;
            match ends.contains(&end) {
                true => assert!(broken.unwrap().len() < parts.concat().len(), "the tar in it tells"),
                false => assert_eq!(broken.unwrap_err().code(), "mover.short", "{end}"),
            }
        }
    }

    #[tokio::test]
    async fn an_error_of_the_tar_is_handed_on() {
        let broken = of(&[b"head"]).chain(stream::iter([Err(Error::bug("broken"))])).boxed();
        assert!(all(thin(broken)).await.is_err());
    }
}
