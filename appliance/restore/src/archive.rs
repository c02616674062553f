//! Archives that are made while they flow: image archives out of stored parts, one file under a new name.

use crate::{
    Source,
    streams::{self, Cause},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_docker::ByteStream;
use holdfast_model::{Error, Kind, Result, snapshot::StreamRef};
use holdfast_runtime::Stop;
use holdfast_tar::{Member, MemberKind, Piece, Splitter, Step, Walker, write};
use std::{collections::VecDeque, sync::Arc};

/// A member of an archive to be made.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) content: Content,
}

/// What is in it.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Bytes at hand.
    Bytes(Bytes),
    /// A stored stream.
    Stored(StreamRef),
    /// A symbolic link to a target.
    Link(String),
}

/// An archive of `parts`, in order, with all times zero. Errors of stored streams end it.
pub(crate) fn tar(parts: Vec<Part>, source: &Arc<dyn Source>, stop: &Stop, cause: &Cause) -> ByteStream {
    let (source, stop, cause) = (Arc::clone(source), stop.clone(), cause.clone());
    let end = stream::iter([Ok(Bytes::from_static(&write::TRAILER))]);
    stream::iter(parts)
        .then(move |part| {
            let (source, stop, cause) = (Arc::clone(&source), stop.clone(), cause.clone());
            async move { member(part, &source, &stop, &cause).await }
        })
        .try_flatten()
        .chain(end)
        .boxed()
}

async fn member(part: Part, source: &Arc<dyn Source>, stop: &Stop, cause: &Cause) -> Result<ByteStream> {
    let path = part.path.as_bytes();
    let (header, size, content): (Vec<u8>, u64, ByteStream) = match part.content {
        Content::Bytes(bytes) => {
            let size = bytes.len() as u64;
            (write::Entry::file(path, size).header()?, size, stream::iter([Ok(bytes)]).boxed())
        }
        Content::Stored(stored) => {
            let header = write::Entry::file(path, stored.length).header()?;
            (header, stored.length, streams::open(source, &stored, stop, cause).await?)
        }
        Content::Link(target) => (write::Entry::symlink(path, target.as_bytes()).header()?, 0, stream::empty().boxed()),
    };
    let header = stream::iter([Ok(Bytes::from(header))]);
    let padding = stream::iter([Ok(Bytes::from_static(write::padding(size)))]);
    Ok(header.chain(content).chain(padding).boxed())
}

/// The stored archive of one file, with the file under another name; permissions, owner and time stay.
pub(crate) fn renamed(stored: ByteStream, name: String) -> ByteStream {
    Renaming::flow(stored, Names::One(name))
}

/// What a server gave as its log, as far as it may be: a label, a map, segments of a log, each of them a file that only its owner reads.
/// Anything else was not made by our script: `Corrupt` (`log.malformed`).
pub(crate) fn of_log(stored: ByteStream) -> ByteStream {
    Renaming::flow(stored, Names::OfLog)
}

/// Whether a server's log may have a file of that name.
fn is_of_log(path: &[u8]) -> bool {
    let segment = path.strip_prefix(b"pg_wal/").unwrap_or_default();
    let is_segment = segment.len() == 24 && segment.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    is_segment || path == b"backup_label" || path == b"tablespace_map"
}

/// The stored archive without its sockets: an engine would make empty files of them, in the way of programs that make
/// their sockets anew.
pub(crate) fn without_sockets(stored: ByteStream) -> ByteStream {
    let state = (stored, Some(Splitter::new()), Sieve::default());
    stream::try_unfold(state, |(mut stored, splitter, mut sieve)| async move {
        let Some(mut splitter) = splitter else { return Ok(None) };
        let splitter = match stored.next().await {
            Some(bytes) => {
                splitter.push(&bytes?, &mut |piece| sieve.take(piece))?;
                Some(splitter)
            }
            None => {
                let end = splitter.finish(&mut |piece| sieve.take(piece))?;
                if end.fell_back.is_some() || !end.complete {
                    return Err(Error::new(Kind::Corrupt, "stream.short", "a stored archive is not whole"));
                }
                // The end mark.
                sieve.ready.append(&mut sieve.headers);
                None
            }
        };
        let ready = Bytes::from(std::mem::take(&mut sieve.ready));
        Ok(Some((ready, (stored, splitter, sieve))))
    })
    .boxed()
}

/// Holds the headers of a member back until it is known what it is.
#[derive(Default)]
struct Sieve {
    headers: Vec<u8>,
    /// Bytes to come that belong to the member before.
    padding: usize,
    ready: Vec<u8>,
}

impl Sieve {
    fn take(&mut self, piece: Piece<'_>) -> Result<()> {
        match piece {
            Piece::Meta(bytes) => {
                let (padding, headers) = bytes.split_at(self.padding.min(bytes.len()));
                self.padding -= padding.len();
                self.ready.extend_from_slice(padding);
                self.headers.extend_from_slice(headers);
            }
            Piece::Member(member) if member.kind == MemberKind::Socket => self.headers.clear(),
            Piece::Member(member) => {
                self.ready.append(&mut self.headers);
                self.padding = write::padding(member.size).len();
            }
            Piece::Data(bytes) | Piece::Raw(bytes) => self.ready.extend_from_slice(bytes),
            Piece::Open { .. } | Piece::Close => {}
        }
        Ok(())
    }
}

/// Which members there may be, and what they are called.
enum Names {
    /// One file, and its name.
    One(String),
    /// Files of a server's log, under their own.
    OfLog,
}

struct Renaming {
    stored: ByteStream,
    walker: Walker,
    names: Names,
    ready: VecDeque<Bytes>,
    /// Size of the open file.
    size: u64,
    files: u32,
    is_over: bool,
}

impl Renaming {
    fn flow(stored: ByteStream, names: Names) -> ByteStream {
        let state = Renaming {
            stored,
            walker: Walker::new(),
            names,
            ready: VecDeque::new(),
            size: 0,
            files: 0,
            is_over: false,
        };
        stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(state))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if self.is_over {
                return Ok(None);
            }
            match self.stored.next().await {
                Some(bytes) => self.take(bytes?)?,
                None => self.end()?,
            }
        }
    }

    fn take(&mut self, bytes: Bytes) -> Result<()> {
        self.walker.feed(bytes);
        while let Some(step) = self.walker.step()? {
            match step {
                Step::Open(member) => {
                    self.size = member.size;
                    self.files += 1;
                    let header = match &self.names {
                        Names::One(name) => header(&member, name, self.files)?,
                        Names::OfLog => header_of_log(&member)?,
                    };
                    self.ready.push_back(header.into());
                }
                Step::Data(bytes) => self.ready.push_back(bytes),
                Step::Close => self.ready.push_back(Bytes::from_static(write::padding(self.size))),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        std::mem::take(&mut self.walker).finish()?;
        self.is_over = true;
        self.ready.push_back(Bytes::from_static(&write::TRAILER));
        Ok(())
    }
}

fn header(member: &Member, name: &str, number: u32) -> Result<Vec<u8>> {
    if member.kind != MemberKind::File || number != 1 {
        let text = format!("the snapshot holds something else than one file for {name}");
        return Err(Error::new(Kind::Corrupt, "restore.unexpected", text));
    }
    write::Entry::file(name.as_bytes(), member.size)
        .mode(member.mode)
        .owner(member.uid, member.gid)
        .mtime(member.mtime, 0)
        .header()
}

fn header_of_log(member: &Member) -> Result<Vec<u8>> {
    if member.kind != MemberKind::File || !is_of_log(&member.path) {
        let text = "the log of a server holds something else than its label and its segments";
        return Err(Error::new(Kind::Corrupt, "log.malformed", text));
    }
    write::Entry::file(&member.path, member.size)
        .mode(0o600)
        .owner(member.uid, member.gid)
        .mtime(member.mtime, 0)
        .header()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn member(header: &write::Entry<'_>, content: &[u8]) -> Vec<u8> {
        [&header.header().unwrap()[..], content, write::padding(content.len() as u64)].concat()
    }

    /// An empty file under a vendor record that calls it a socket, with the checksum of its own header.
    fn socket(path: &[u8]) -> Vec<u8> {
        let record = b"24 HOLDFAST.kind=socket\n";
        let mut pax = write::Entry::file(b"PaxHeaders.0/next", record.len() as u64).header().unwrap();
        pax[156] = b'x';
        pax[148..156].copy_from_slice(b"        ");
        let sum: u32 = pax.iter().map(|byte| u32::from(*byte)).sum();
        pax[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        [&pax[..], record, write::padding(record.len() as u64), &member(&write::Entry::file(path, 0), b"")].concat()
    }

    fn flow(bytes: &[u8], piece: usize) -> ByteStream {
        let pieces: Vec<Result<Bytes>> = bytes.chunks(piece).map(|piece| Ok(piece.to_vec().into())).collect();
        stream::iter(pieces).boxed()
    }

    #[test]
    fn sockets_are_taken_out_and_nothing_else() {
        let before = member(&write::Entry::file(b"v/a", 3), b"abc");
        let after = member(&write::Entry::file(b"v/c", 600), &[7; 600]);
        let parts: [&[u8]; 5] = [&socket(b"v/0"), &before, &socket(b"v/b"), &after, &socket(b"v/d")];
        let whole = [&parts.concat()[..], &write::TRAILER].concat();
        let expected = [&before[..], &after, &write::TRAILER].concat();
        for piece in [1, 100, 512, 700, 100_000] {
            let out = without_sockets(flow(&whole, piece)).try_collect::<Vec<_>>().now_or_never().unwrap().unwrap();
            assert!(out.concat() == expected, "{piece}");
        }
        let cut =
            without_sockets(flow(&whole[..whole.len() - 700], 512)).try_collect::<Vec<_>>().now_or_never().unwrap();
        assert_eq!(cut.unwrap_err().code(), "stream.short");
    }

    #[test]
    fn a_servers_log_is_label_map_and_segments_and_nothing_else() {
        let file = |path: &'static [u8]| write::Entry::file(path, 2).mode(0o4777).owner(70, 70);
        let segment: &[u8] = b"pg_wal/00000001000000000000001D";
        let whole = |members: &[Vec<u8>]| [&members.concat()[..], &write::TRAILER].concat();
        let through = |bytes: &[u8]| of_log(flow(bytes, 700)).try_collect::<Vec<_>>().now_or_never().unwrap();
        let good = [member(&file(b"backup_label"), b"ab"), member(&file(segment), b"cd")];
        let quiet = |path: &'static [u8]| write::Entry::file(path, 2).mode(0o600).owner(70, 70);
        let expected = [member(&quiet(b"backup_label"), b"ab"), member(&quiet(segment), b"cd")];
        assert!(through(&whole(&good)).unwrap().concat() == whole(&expected), "rights are taken off");
        let bad: [Vec<u8>; 5] = [
            member(&file(b"pg_hba.conf"), b"ab"),
            member(&file(b"pg_wal/../global/pg_control"), b"ab"),
            member(&file(b"/backup_label"), b"ab"),
            write::Entry::symlink(b"backup_label", b"/etc/shadow").header().unwrap(),
            write::Entry::directory(b"pg_wal").header().unwrap(),
        ];
        for member in bad {
            let error = through(&whole(&[good[0].clone(), member])).unwrap_err();
            assert!(["log.malformed", "tar.name"].contains(&error.code()), "{error}");
        }
    }
}
