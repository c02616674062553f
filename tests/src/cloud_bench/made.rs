//! A large folder that is on no disk: files of 1 MiB that nobody can compress, made while they are read.

use super::noise;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Problem, Result, Witness};
use holdfast_tar::write::Entry;
use holdfast_tree::{BATCH, Frame, Frames, Group, Grouper, Mark, Request, Tree};
use sha2::{Digest, Sha256};
use std::iter;

/// Bytes of a file.
pub(super) const SIZE: u64 = 1 << 20;

/// The name of a file in it.
pub(super) fn path(number: u64) -> String {
    format!("files/{number:08}")
}

/// What is in it.
pub(super) fn content(number: u64) -> Bytes {
    let mut bytes = vec![0; SIZE as usize];
    noise::fill(number, &mut bytes);
    bytes.into()
}

fn header(number: u64) -> Result<Bytes> {
    Ok(Entry::file(path(number).as_bytes(), SIZE).header()?.into())
}

/// The folder.
pub(super) struct MadeTree {
    files: u64,
    groups: Vec<Vec<u64>>,
}

impl MadeTree {
    pub(super) fn new(files: u64) -> MadeTree {
        MadeTree { files, groups: Vec::new() }
    }

    fn group(&self, number: usize) -> Result<&[u64]> {
        let group = self.groups.get(number).map(Vec::as_slice);
        group.ok_or_else(|| Error::bug("a group that there is not was asked for"))
    }
}

fn told(files: &[u64]) -> Group {
    let mut witness = Sha256::new();
    files.iter().for_each(|number| witness.update(number.to_le_bytes()));
    Group {
        witness: Witness(witness.finalize().into()),
        entries: u32::try_from(files.len()).unwrap_or(u32::MAX),
        bytes: files.len() as u64 * SIZE,
    }
}

fn mark(number: u64) -> Result<Mark> {
    let header = u32::try_from(header(number)?.len()).unwrap_or(u32::MAX);
    // None has identity 0, which says that nothing is known.
    Ok(Mark { identity: noise::mix(number) | 1, header, content: SIZE })
}

fn marks_of(files: &[u64]) -> Result<Vec<Mark>> {
    files.iter().map(|number| mark(*number)).collect()
}

/// One file in pieces.
fn frames(number: u64) -> Vec<Result<Vec<Frame>>> {
    let header = match header(number) {
        Ok(header) => header,
        Err(error) => return vec![Err(error)],
    };
    let content = content(number);
    let piece = |at: usize| Frame::Content(content.slice(at..content.len().min(at + BATCH)));
    let pieces = (0..content.len()).step_by(BATCH).map(piece);
    let all = iter::once(Frame::Begin(header)).chain(pieces).chain(iter::once(Frame::End));
    all.map(|frame| Ok(vec![frame])).collect()
}

#[async_trait]
impl Tree for MadeTree {
    async fn groups(&mut self) -> Result<Vec<Group>> {
        let mut grouper = Grouper::new();
        self.groups.clear();
        for number in 0..self.files {
            if grouper.begins(path(number).as_bytes(), SIZE) {
                self.groups.push(Vec::new());
            }
            self.groups.last_mut().ok_or_else(|| Error::bug("the first entry begins no group"))?.push(number);
        }
        Ok(self.groups.iter().map(|files| told(files)).collect())
    }

    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>> {
        groups.iter().map(|group| marks_of(self.group(*group)?)).collect()
    }

    async fn read<'a>(&'a mut self, requests: Vec<Request>, _may_keep: bool) -> Result<Frames<'a>> {
        let mut numbers = Vec::new();
        for Request { group, wanted } in &requests {
            let files = self.group(*group)?.iter().zip(wanted);
            numbers.extend(files.filter(|(_, wanted)| **wanted).map(|(number, _)| *number));
        }
        Ok(stream::iter(numbers).flat_map(|number| stream::iter(frames(number))).boxed())
    }

    async fn finish(&mut self) -> Result<Vec<Problem>> {
        Ok(Vec::new())
    }
}
