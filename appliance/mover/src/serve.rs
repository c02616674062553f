//! Answers the appliance, ask by ask, until it says no more: the mover's part of the conversation (see [`crate::wire`]).
//!
//! # Invariants
//! - Entries of the whole walk are kept packed; contents of a few groups are read ahead, each into a bounded queue, and
//!   are given out in order.
//! - What was sent once is remembered block by block ([`Memory`]); asked for again, only what differs need be sent.
//! - A hard link whose first name could not be given is left out by name. Only paths of files that have other names are remembered for
//!   that: of the others there may be any number.
//! - What a program writes through memory it has mapped changes a file's times only when the page was clean before. So dirty
//!   pages are written back before the first walk, and what has changed since then is trusted by no later conversation.
//! - An error of the input or the output ends everything: without the appliance there is nothing to do here.

use crate::{
    entry::{Entry, Kind, Time, shown},
    group::Groups,
    memory::{Differ, Memory, Told},
    packed::{pack, unpack},
    read::{Outcome, Piece, Reader},
    root::Root,
    trouble::{Trouble, What},
    walk::{Options, Walk},
    wire::{self, Answer, Ask},
};
use std::{
    collections::{HashSet, VecDeque},
    io::{self, BufWriter, Read, Write},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Groups that are read at the same time.
const GROUPS_AHEAD: usize = 3;
/// Batches that wait of each.
const BATCHES_AHEAD: usize = 4;
/// Bytes after which a batch is handed over.
const BATCH: usize = 256 << 10;
/// Longest silence while a walk finds something: whoever listens takes a long one for death.
const SILENCE: Duration = Duration::from_secs(1);
/// What changed this many seconds before a walk may change once more within the same tick of its file system's clock.
const UNSETTLED: i64 = 2;

/// Serves a folder until the input ends.
pub fn serve(folder: &Path, mut input: impl Read, output: impl Write) -> io::Result<()> {
    let mut out = Out { to: BufWriter::with_capacity(BATCH, output), frames: 0, buffer: Vec::new() };
    let Some((key, prefix)) = hello(&mut input, &mut out)? else { return Ok(()) };
    let root = match Root::open(folder) {
        Ok(root) => Arc::new(root),
        Err(error) => {
            let why = format!("{}: {}", folder.display(), io::Error::from(error));
            return out.last(&Answer::Failed(why));
        }
    };
    out.last(&Answer::Hello { version: wire::VERSION })?;
    let mut served = Served {
        root,
        key,
        prefix,
        clean_since: None,
        memory: Memory::new(&key, now()),
        groups: Vec::new(),
        troubles: Vec::new(),
        left: HashSet::new(),
    };
    while let Some(ask) = next(&mut input)? {
        served.answer(ask, &mut out)?;
    }
    Ok(())
}

/// The key and the prefix, if both sides speak the same.
fn hello(input: &mut impl Read, out: &mut Out<impl Write>) -> io::Result<Option<([u8; 32], Vec<u8>)>> {
    match next(input)? {
        Some(Ask::Hello { version: wire::VERSION, key, prefix }) => Ok(Some((key, prefix))),
        Some(Ask::Hello { version, .. }) => {
            let why = format!("this mover speaks version {}, not {version}", wire::VERSION);
            out.last(&Answer::Failed(why)).map(|()| None)
        }
        Some(_) => Err(wire::Malformed.into()),
        None => Ok(None),
    }
}

/// The next ask; `None` when the appliance has closed its end between two of them.
fn next(input: &mut impl Read) -> io::Result<Option<Ask>> {
    let mut head = [0; wire::HEAD];
    if input.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut head[1..])?;
    let (kind, length) = wire::head(&head)?.ok_or(wire::Malformed)?;
    let mut body = Vec::new();
    input.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Ask::read(kind, &body)?))
}

/// Where answers go.
struct Out<W: Write> {
    to: BufWriter<W>,
    frames: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Out<W> {
    fn put(&mut self, answer: &Answer) -> io::Result<()> {
        self.frames += 1;
        self.buffer.clear();
        answer.put(&mut self.buffer);
        self.to.write_all(&self.buffer)
    }

    /// Frames that are bytes already.
    fn raw(&mut self, bytes: &[u8], frames: u64) -> io::Result<()> {
        self.frames += frames;
        self.to.write_all(bytes)
    }

    fn last(&mut self, answer: &Answer) -> io::Result<()> {
        self.put(answer)?;
        self.frames = 0;
        self.to.flush()
    }

    fn done(&mut self) -> io::Result<()> {
        self.last(&Answer::Done(self.frames))
    }
}

struct Served {
    root: Arc<Root>,
    key: [u8; 32],
    prefix: Vec<u8>,
    /// When the pages that were dirty began to be written back.
    clean_since: Option<Time>,
    memory: Memory,
    groups: Vec<Box<[u8]>>,
    /// What the walk could not look at.
    troubles: Vec<Trouble>,
    /// Paths of entries that have other names and could not be given.
    left: HashSet<Box<[u8]>>,
}

/// What a reading thread tells.
enum Part {
    /// Frames, and how many.
    Frames(Vec<u8>, u64),
    /// Another name of an entry.
    Link(Entry),
    /// Nothing of an entry, or not all of it, and whether it has other names.
    Left(Trouble, bool),
}

impl Served {
    fn answer(&mut self, ask: Ask, out: &mut Out<impl Write>) -> io::Result<()> {
        match ask {
            Ask::Hello { .. } => return Err(wire::Malformed.into()),
            Ask::Groups => self.walk(out)?,
            Ask::Marks(groups) => {
                for group in groups {
                    let marks = self.marks(group)?;
                    out.put(&Answer::Marks(marks))?;
                }
            }
            Ask::Read { groups, may_keep } => self.read(&groups, may_keep, out)?,
            Ask::Finish => {
                for trouble in std::mem::take(&mut self.troubles) {
                    out.put(&Answer::Trouble(trouble))?;
                }
            }
        }
        out.done()
    }

    fn walk(&mut self, out: &mut Out<impl Write>) -> io::Result<()> {
        let (since, stamp) = (self.clean_since(), now());
        // What the app sees below its mount is the app's data, on whatever disk it lies.
        let options =
            Options { unsettled_since: Some(since), stamp: Some(stamp), cross_mounts: true, ..Options::default() };
        let mut groups = Groups::new(Walk::new(Arc::clone(&self.root), options), self.key);
        self.groups.clear();
        self.left.clear();
        let mut spoke = Instant::now();
        for group in groups.by_ref() {
            let entries = u32::try_from(group.entries.len()).unwrap_or(u32::MAX);
            out.put(&Answer::Group { witness: group.witness, entries, bytes: group.bytes() })?;
            self.groups.push(pack(&group.entries));
            if spoke.elapsed() > SILENCE {
                out.to.flush()?;
                spoke = Instant::now();
            }
        }
        self.troubles = groups.take_troubles();
        Ok(())
    }

    /// From which moment on changes may not have shown in the times of files.
    fn clean_since(&mut self) -> Time {
        let root = &self.root;
        *self.clean_since.get_or_insert_with(|| {
            let now = now();
            let begun = Time { seconds: now.seconds - UNSETTLED, ..now };
            // In memory no page is ever written back, and so none is clean: nothing is trusted.
            if root.is_in_memory() || root.write_back().is_err() { Time::MIN } else { begun }
        })
    }

    fn entries(&self, group: u32) -> io::Result<Vec<Entry>> {
        let packed = self.groups.get(group as usize).ok_or(wire::Malformed)?;
        unpack(packed).ok_or_else(|| io::Error::other("a packed group does not unpack"))
    }

    fn marks(&mut self, group: u32) -> io::Result<Vec<(u64, u32, u64)>> {
        let mut reader = Reader::new(Arc::clone(&self.root), &self.prefix);
        let mut entries = self.entries(group)?;
        entries.iter_mut().for_each(|entry| reader.find_holes(entry));
        let mark = |entry: &Entry| {
            let header = u32::try_from(reader.header(entry).len()).unwrap_or(u32::MAX);
            (entry.identity(&self.key).mark(), header, entry.size)
        };
        let marks = entries.iter().map(mark).collect();
        // The headers to come name these holes.
        self.groups[group as usize] = pack(&entries);
        Ok(marks)
    }

    fn read(&mut self, requests: &[(u32, Vec<bool>)], may_keep: bool, out: &mut Out<impl Write>) -> io::Result<()> {
        let mut left = std::mem::take(&mut self.left);
        let this = &*self;
        let outcome = thread::scope(|scope| {
            let mut requests = requests.iter();
            let mut under_way: VecDeque<Receiver<io::Result<Part>>> = VecDeque::new();
            loop {
                while under_way.len() < GROUPS_AHEAD
                    && let Some((group, wanted)) = requests.next()
                {
                    let (to, from) = sync_channel(BATCHES_AHEAD);
                    scope.spawn(move || this.read_group((*group, wanted), may_keep, to));
                    under_way.push_back(from);
                }
                let Some(from) = under_way.pop_front() else { return Ok(()) };
                for part in from {
                    self.tell(part?, &mut left, out)?;
                }
            }
        });
        self.left = left;
        outcome
    }

    /// Gives out a part. A link to what was left out is left out too.
    fn tell(&self, part: Part, left: &mut HashSet<Box<[u8]>>, out: &mut Out<impl Write>) -> io::Result<()> {
        match part {
            Part::Frames(bytes, frames) => out.raw(&bytes, frames),
            Part::Link(entry) if left.contains(&entry.link) => {
                let detail = format!("another name of {}", shown(&entry.link)).into_bytes().into();
                out.put(&Answer::Left(Trouble { detail, ..Trouble::new(&entry.path, What::Unreadable) }))
            }
            Part::Link(entry) => {
                out.put(&Answer::Begin(crate::pax::header(&self.prefix, &entry)))?;
                out.put(&Answer::End)
            }
            Part::Left(trouble, has_others) => {
                if has_others {
                    left.insert(trouble.path.clone());
                }
                out.put(&Answer::Left(trouble))
            }
        }
    }

    fn read_group(&self, (group, wanted): (u32, &[bool]), may_keep: bool, to: SyncSender<io::Result<Part>>) {
        let mut reader = Reader::new(Arc::clone(&self.root), &self.prefix);
        let mut batch = Batch { to, bytes: Vec::new(), frames: 0 };
        let how = How { memory: &self.memory, may_keep, key: &self.key };
        let outcome = self.entries(group).and_then(|entries| {
            let wanted = entries.into_iter().zip(wanted).filter(|(_, wanted)| **wanted);
            wanted.map(|(entry, _)| entry).try_for_each(|entry| batch.entry(&mut reader, &how, entry))?;
            batch.hand_over()
        });
        if let Err(error) = outcome {
            // Whoever asked may not listen any more.
            let _ = batch.to.send(Err(error));
        }
    }
}

/// Gathers frames of one group and hands them over together.
struct Batch {
    to: SyncSender<io::Result<Part>>,
    bytes: Vec<u8>,
    frames: u64,
}

/// How entries are told.
struct How<'a> {
    memory: &'a Memory,
    may_keep: bool,
    key: &'a [u8; 32],
}

impl Batch {
    fn entry(&mut self, reader: &mut Reader, how: &How<'_>, entry: Entry) -> io::Result<()> {
        if entry.kind == Kind::HardLink {
            return self.apart(Part::Link(entry));
        }
        let mut differ = how.memory.begin(&entry.path, entry.size, how.may_keep);
        let outcome = reader.read(&entry, &mut |piece| match piece {
            Piece::Header(bytes) => self.frame(b'b', bytes),
            Piece::Content(bytes) => differ.content(bytes, &mut |told| self.told(&told)),
            Piece::Zeros(count) => differ.zeros(count, &mut |told| self.told(&told)),
            Piece::Padding(_) => Ok(()),
        })?;
        match outcome {
            Outcome::Whole => {
                self.end(differ, &entry, Some(entry.identity(how.key).mark()))?;
                self.put(&Answer::End)
            }
            Outcome::Flawed(trouble) if trouble.what != What::Damaged => {
                let name = self.end(differ, &entry, None)?;
                self.put(&Answer::Flawed { name, trouble })
            }
            Outcome::Flawed(trouble) | Outcome::Missing(trouble) => self.apart(Part::Left(trouble, entry.links > 1)),
        }
    }

    fn end(&mut self, differ: Differ<'_>, entry: &Entry, whole: Option<u64>) -> io::Result<u64> {
        differ.end(&entry.path, whole, &mut |told| self.told(&told))
    }

    fn told(&mut self, told: &Told<'_>) -> io::Result<()> {
        match *told {
            Told::Content(bytes) => self.frame(b'c', bytes),
            Told::Zeros(count) => self.frame(b'z', &count.to_le_bytes()),
            Told::Kept(name, count) => self.put(&Answer::Kept { name, count }),
        }
    }

    fn frame(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        wire::put_frame(&mut self.bytes, kind, &[body]);
        self.counted()
    }

    fn put(&mut self, answer: &Answer) -> io::Result<()> {
        answer.put(&mut self.bytes);
        self.counted()
    }

    fn counted(&mut self) -> io::Result<()> {
        self.frames += 1;
        if self.bytes.len() < BATCH { Ok(()) } else { self.hand_over() }
    }

    /// Something between frames that has to be looked at in the order of the tree.
    fn apart(&mut self, part: Part) -> io::Result<()> {
        self.hand_over()?;
        self.send(part)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let frames = std::mem::take(&mut self.frames);
        if frames == 0 {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.send(Part::Frames(bytes, frames))
    }

    fn send(&self, part: Part) -> io::Result<()> {
        self.to.send(Ok(part)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The clock that is asked is that of the machine whose file system gives the times.
fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nanos: now.subsec_nanos() }
}
