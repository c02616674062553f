//! A tree in memory: for tests of whoever asks trees, with faults on request.

use crate::{Frame, Frames, Group, Grouper, Mark, Request, Tree};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_model::{Error, Kind, Problem, Result, Witness};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// What goes wrong with an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It changes while it is read.
    Changes,
    /// It cannot be opened.
    Unreadable,
    /// It breaks off in the middle of its content.
    BreaksOff,
    /// The source itself breaks off there.
    SourceGone,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its headers, a multiple of 512 bytes.
    pub header: Bytes,
    /// Its content.
    pub content: Bytes,
    /// Counts up with each change of content or metadata; the path and this make its identity.
    pub version: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// Names and contents under which entries were sent, by path.
pub type Told = BTreeMap<Vec<u8>, (u64, Bytes)>;

/// A tree in memory. Its entries may be changed between two backups.
#[derive(Debug, Default)]
pub struct MemTree {
    /// Entries by path; `/` sorts before everything else in a real tree, here names of tests must see to it.
    pub nodes: BTreeMap<Vec<u8>, Node>,
    /// Bytes of headers and contents that were sent.
    pub sent: Arc<AtomicU64>,
    /// Paths that were asked for.
    pub asked: Arc<Mutex<Vec<Vec<u8>>>>,
    /// What was sent of each path, and under which name: trees that share it are told apart by nobody.
    pub told: Arc<Mutex<Told>>,
    groups: Vec<Vec<Vec<u8>>>,
}

impl MemTree {
    /// A tree of these entries.
    pub fn new(nodes: BTreeMap<Vec<u8>, Node>) -> MemTree {
        MemTree { nodes, ..MemTree::default() }
    }

    fn identity(&self, path: &[u8]) -> u64 {
        let word = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let version = self.nodes[path].version.to_le_bytes();
        path.iter().chain(&version).fold(0xcbf2_9ce4_8422_2325, |hash, byte| word(hash, *byte)).max(1)
    }

    fn mark(&self, path: &[u8]) -> Mark {
        let node = &self.nodes[path];
        let header = u32::try_from(node.header.len()).unwrap_or(u32::MAX);
        Mark { identity: self.identity(path), header, content: node.content.len() as u64 }
    }

    /// What is told of content: pieces, holes, and what is kept of what was sent before.
    fn content(&self, path: &[u8], may_keep: bool) -> Vec<Result<Frame>> {
        const PIECE: usize = 100_000;
        let content = &self.nodes[path].content;
        let before = self.told.lock().expect("no holder panics").get(path).cloned().filter(|_| may_keep);
        let told = |at: usize| {
            let piece = content.slice(at..content.len().min(at + PIECE));
            let is_kept = |(_, old): &&(u64, Bytes)| old.get(at..at + piece.len()) == Some(&piece[..]);
            let count = piece.len() as u64;
            match before.as_ref().filter(is_kept) {
                Some((name, _)) => Frame::Kept { name: *name, count },
                None if piece.iter().all(|byte| *byte == 0) => Frame::Hole(count),
                None => Frame::Content(piece),
            }
        };
        (0..content.len()).step_by(PIECE).map(|at| Ok(told(at))).collect()
    }

    /// What was sent gets a name.
    fn named(&self, path: &[u8], name: u64) -> u64 {
        let content = self.nodes[path].content.clone();
        self.told.lock().expect("no holder panics").insert(path.to_vec(), (name, content));
        name
    }

    fn frames(&self, path: &[u8], may_keep: bool) -> Vec<Result<Frame>> {
        let node = &self.nodes[path];
        let name = String::from_utf8_lossy(path).into_owned();
        let unreadable = || Problem::warning("file.unreadable", &name, "the file could not be read and is not stored");
        if node.fault == Fault::Unreadable {
            return vec![Ok(Frame::Left(unreadable()))];
        }
        let mut frames = vec![Ok(Frame::Begin(node.header.clone()))];
        frames.extend(self.content(path, may_keep));
        match node.fault {
            Fault::BreaksOff => {
                frames.truncate(2);
                frames.push(Ok(Frame::Left(unreadable())));
            }
            Fault::SourceGone => {
                frames.truncate(2);
                frames.push(Err(Error::new(Kind::Unavailable, "host.gone", "the source went away")));
            }
            Fault::Changes => {
                let problem = Problem::warning("file.changed", &name, "the file changed while it was read");
                // A name of its own: the identity stands for the file as it should have been.
                let name = self.named(path, !self.identity(path));
                frames.push(Ok(Frame::Flawed { name, problem }));
            }
            Fault::None => {
                self.named(path, self.identity(path));
                frames.push(Ok(Frame::End));
            }
            Fault::Unreadable => {}
        }
        frames
    }
}

#[async_trait]
impl Tree for MemTree {
    async fn groups(&mut self) -> Result<Vec<Group>> {
        let mut grouper = Grouper::new();
        self.groups.clear();
        for (path, node) in &self.nodes {
            if grouper.begins(path, node.content.len() as u64) {
                self.groups.push(Vec::new());
            }
            self.groups.last_mut().ok_or_else(|| Error::bug("the first entry begins no group"))?.push(path.clone());
        }
        let told = |paths: &Vec<Vec<u8>>| {
            let mut witness = [0u8; 32];
            for path in paths {
                let identity = self.identity(path).to_le_bytes();
                for (at, byte) in witness.iter_mut().enumerate() {
                    *byte = byte.rotate_left(1).wrapping_mul(31).wrapping_add(identity[at % 8] ^ at as u8);
                }
            }
            let bytes = paths.iter().map(|path| self.nodes[path].content.len() as u64).sum();
            Group { witness: Witness(witness), entries: u32::try_from(paths.len()).unwrap_or(u32::MAX), bytes }
        };
        Ok(self.groups.iter().map(told).collect())
    }

    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>> {
        Ok(groups.iter().map(|group| self.groups[*group].iter().map(|path| self.mark(path)).collect()).collect())
    }

    async fn read<'a>(&'a mut self, requests: Vec<Request>, may_keep: bool) -> Result<Frames<'a>> {
        let mut paths = Vec::new();
        for Request { group, wanted } in &requests {
            let entries = self.groups[*group].iter().zip(wanted);
            paths.extend(entries.filter(|(_, wanted)| **wanted).map(|(path, _)| path.clone()));
        }
        self.asked.lock().expect("no holder panics").extend(paths.iter().cloned());
        let this = &*self;
        let frames =
            stream::iter(paths).flat_map(move |path| stream::iter(this.frames(&path, may_keep))).inspect(|frame| {
                if let Ok(Frame::Begin(bytes) | Frame::Content(bytes)) = frame {
                    this.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            });
        // Batches of an odd number: they begin and end anywhere.
        Ok(frames.try_ready_chunks(7).map_err(|broken| broken.1).boxed())
    }

    async fn finish(&mut self) -> Result<Vec<Problem>> {
        Ok(Vec::new())
    }
}
