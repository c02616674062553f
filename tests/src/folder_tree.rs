//! A folder of this machine as a tree for the repository: the mover without a container around it.
//!
//! Invariants: entries of the whole walk are kept packed; contents of a few groups are read ahead, each in a bounded
//! queue, and come in order.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_capture::problem_of;
use holdfast_model::{Error, Problem, Result, Witness};
use holdfast_mover::{
    Entry, Groups, Kind, Options, Outcome, Piece, Reader, Root, Trouble, Walk, What, pack, shown, unpack,
};
use holdfast_tree::{BATCH, Frame, Frames, Group, Mark, Request, Tree};
use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Groups that are read at the same time.
const GROUPS_AHEAD: usize = 3;
/// Batches of parts that wait of each.
const BATCHES_AHEAD: usize = 4;
/// Parts in one batch at most.
const PARTS: usize = 512;

/// A folder as a tree.
pub struct FolderTree {
    shared: Arc<Shared>,
    options: Options,
}

struct Shared {
    root: Arc<Root>,
    prefix: Vec<u8>,
    key: [u8; 32],
    groups: Mutex<Vec<Box<[u8]>>>,
    troubles: Mutex<Vec<Trouble>>,
}

/// What a reading thread tells.
enum Part {
    Frame(Frame),
    /// Another name of an entry.
    Link {
        entry: Entry,
        header: Bytes,
    },
    /// Nothing of an entry, or not all of it.
    Left {
        path: Box<[u8]>,
        problem: Problem,
    },
    Failed(Error),
}

impl FolderTree {
    /// Opens a folder. Identities are hashed under `key`, which must be the same for the next backup.
    pub fn open(folder: &Path, prefix: &[u8], key: [u8; 32], options: Options) -> Result<FolderTree> {
        let root = Root::open(folder).map_err(|error| Error::io("open the folder", error.into()))?;
        let shared = Shared {
            root: Arc::new(root),
            prefix: prefix.to_vec(),
            key,
            groups: Mutex::default(),
            troubles: Mutex::default(),
        };
        Ok(FolderTree { shared: Arc::new(shared), options })
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.map_err(|error| Error::bug(error.to_string()))?
    }
}

impl Shared {
    fn walk(&self, options: Options) -> Vec<Group> {
        let mut groups = Groups::new(Walk::new(Arc::clone(&self.root), options), self.key);
        let (mut told, mut packed) = (Vec::new(), Vec::new());
        for group in groups.by_ref() {
            told.push(Group {
                witness: Witness(group.witness),
                entries: u32::try_from(group.entries.len()).unwrap_or(u32::MAX),
                bytes: group.bytes(),
            });
            packed.push(pack(&group.entries));
        }
        *self.groups.lock().expect("no holder panics") = packed;
        *self.troubles.lock().expect("no holder panics") = groups.take_troubles();
        told
    }

    fn entries(&self, group: usize) -> Result<Vec<Entry>> {
        let groups = self.groups.lock().expect("no holder panics");
        let packed = groups.get(group).ok_or_else(|| Error::bug("a group that there is not was asked for"))?;
        unpack(packed).ok_or_else(|| Error::bug("a packed group does not unpack"))
    }

    fn marks(&self, group: usize) -> Result<Vec<Mark>> {
        let mut reader = Reader::new(Arc::clone(&self.root), &self.prefix);
        let mut entries = self.entries(group)?;
        entries.iter_mut().for_each(|entry| reader.find_holes(entry));
        let mark = |entry: &Entry| Mark {
            identity: entry.identity(&self.key).mark(),
            header: u32::try_from(reader.header(entry).len()).unwrap_or(u32::MAX),
            content: entry.size,
        };
        let marks = entries.iter().map(mark).collect();
        // The headers to come name these holes.
        self.groups.lock().expect("no holder panics")[group] = pack(&entries);
        Ok(marks)
    }

    fn read(&self, request: &Request, parts: &mut Batches) -> Result<()> {
        let mut reader = Reader::new(Arc::clone(&self.root), &self.prefix);
        let entries = self.entries(request.group)?;
        for (entry, _) in entries.into_iter().zip(&request.wanted).filter(|(_, wanted)| **wanted) {
            if read_entry(&mut reader, entry, parts).is_err() {
                // Whoever asked does not listen any more.
                return Ok(());
            }
        }
        // The same.
        let _ = parts.hand_over();
        Ok(())
    }
}

/// Gathers parts and hands them over together.
struct Batches {
    to: Sender<Vec<Part>>,
    waiting: Vec<Part>,
    weight: usize,
}

impl Batches {
    fn push(&mut self, part: Part) -> io::Result<()> {
        if let Part::Frame(Frame::Begin(bytes) | Frame::Content(bytes)) = &part {
            self.weight += bytes.len();
        }
        self.waiting.push(part);
        if self.weight < BATCH && self.waiting.len() < PARTS { Ok(()) } else { self.hand_over() }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.weight = 0;
        let parts = std::mem::take(&mut self.waiting);
        self.to.blocking_send(parts).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

fn read_entry(reader: &mut Reader, entry: Entry, parts: &mut Batches) -> io::Result<()> {
    let mut send = |part| parts.push(part);
    if entry.kind == Kind::HardLink {
        let header = reader.header(&entry).into();
        return send(Part::Link { entry, header });
    }
    let outcome = reader.read(&entry, &mut |piece| match piece {
        Piece::Header(bytes) => send(Part::Frame(Frame::Begin(Bytes::copy_from_slice(bytes)))),
        Piece::Content(bytes) => send(Part::Frame(Frame::Content(Bytes::copy_from_slice(bytes)))),
        Piece::Zeros(count) => send(Part::Frame(Frame::Hole(count))),
        Piece::Padding(_) => Ok(()),
    })?;
    send(match outcome {
        Outcome::Whole => Part::Frame(Frame::End),
        Outcome::Flawed(trouble) if trouble.what != What::Damaged => {
            Part::Frame(Frame::Flawed { name: 0, problem: problem(&trouble) })
        }
        Outcome::Flawed(trouble) | Outcome::Missing(trouble) => {
            Part::Left { path: entry.path.clone(), problem: problem(&trouble) }
        }
    })
}

/// A trouble with a file of the folder.
pub fn problem(trouble: &Trouble) -> Problem {
    problem_of("folder", trouble)
}

#[async_trait]
impl Tree for FolderTree {
    async fn groups(&mut self) -> Result<Vec<Group>> {
        let options = self.options;
        self.blocking(move |shared| Ok(shared.walk(options))).await
    }

    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>> {
        let groups = groups.to_vec();
        self.blocking(move |shared| groups.into_iter().map(|group| shared.marks(group)).collect()).await
    }

    async fn read<'a>(&'a mut self, requests: Vec<Request>, _may_keep: bool) -> Result<Frames<'a>> {
        let shared = Arc::clone(&self.shared);
        let start = move |request: Request| {
            let (to, receiver) = channel(BATCHES_AHEAD);
            let shared = Arc::clone(&shared);
            let mut parts = Batches { to, waiting: Vec::new(), weight: 0 };
            tokio::task::spawn_blocking(move || {
                if let Err(error) = shared.read(&request, &mut parts) {
                    // Whoever asked may not listen any more.
                    let _ = parts.push(Part::Failed(error)).and_then(|()| parts.hand_over());
                }
            });
            futures::future::ready(receiver)
        };
        let parts = stream::iter(requests).map(start).buffered(GROUPS_AHEAD).flat_map(listen);
        let mut left = HashSet::new();
        let told = move |parts: Vec<Part>| {
            let mut frames = Vec::with_capacity(parts.len());
            parts.into_iter().try_for_each(|part| tell(part, &mut left, &mut frames)).map(|()| frames)
        };
        Ok(parts.map(told).boxed())
    }

    async fn finish(&mut self) -> Result<Vec<Problem>> {
        let troubles = self.shared.troubles.lock().expect("no holder panics");
        Ok(troubles.iter().map(problem).collect())
    }
}

fn listen(receiver: Receiver<Vec<Part>>) -> impl stream::Stream<Item = Vec<Part>> {
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|parts| (parts, receiver)) })
}

/// Takes the frames of a part. A link to what was left out is left out too.
fn tell(part: Part, left: &mut HashSet<Box<[u8]>>, frames: &mut Vec<Frame>) -> Result<()> {
    match part {
        Part::Frame(frame) => frames.push(frame),
        Part::Link { entry, .. } if left.contains(&entry.link) => {
            let what = format!("it is another name of {}, which could not be read", shown(&entry.link));
            frames.push(Frame::Left(Problem::warning("file.unreadable", shown(&entry.path), what)));
        }
        Part::Link { header, .. } => frames.extend([Frame::Begin(header), Frame::End]),
        Part::Left { path, problem } => {
            left.insert(path);
            frames.push(Frame::Left(problem));
        }
        Part::Failed(error) => return Err(error),
    }
    Ok(())
}
