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
use holdfast_tar::{Member, MemberKind, Step, Walker, write};
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
    let state =
        Renaming { stored, walker: Walker::new(), name, ready: VecDeque::new(), size: 0, files: 0, is_over: false };
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

struct Renaming {
    stored: ByteStream,
    walker: Walker,
    name: String,
    ready: VecDeque<Bytes>,
    /// Size of the open file.
    size: u64,
    files: u32,
    is_over: bool,
}

impl Renaming {
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
                    let header = header(&member, &self.name, self.files)?;
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
