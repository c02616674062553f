//! Reading: the header, content and padding of one entry after the other, into whatever takes bytes.
//!
//! # Invariants
//! - What is given out is always well formed: a header, then exactly as much content as
//!   it promises, however the file changes meanwhile; what could not be read is zeros, and the outcome says so.
//! - A file that is not what the walk saw, before or after it was read, is told as changed. Its header says what it
//!   was when it was opened, so that a file that was replaced meanwhile is not torn. Nothing is given out for a
//!   file that cannot be opened or is no file any more.
//! - Holes are not read; they are told as zeros.
//! - A file that has grown beyond what there is room for is left out by name.

use crate::{
    entry::{Entry, Hole, Kind},
    holes, pax,
    root::{self, Folders, Root},
    trouble::{Trouble, What},
    xattr,
};
use rustix::{
    fd::OwnedFd,
    fs::{Advice, fadvise},
    io::{Errno, pread},
};
use std::{io, num::NonZeroU64, sync::Arc};

/// Bytes that are asked of the system at once.
const PIECE: usize = 1 << 20;

/// Size from which the system is told that a file will be read from end to end.
const LONG: u64 = 256 << 10;

/// A part of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// All headers of an entry.
    Header(&'a [u8]),
    /// Bytes of its content.
    Content(&'a [u8]),
    /// That many zeros of its content.
    Zeros(u64),
    /// The zeros after its content.
    Padding(&'a [u8]),
}

/// Where pieces go. An error ends the reading.
pub type Sink<'a> = dyn FnMut(Piece<'_>) -> io::Result<()> + 'a;

/// How the reading of one entry went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was given out as the walk saw it.
    Whole,
    /// It was given out, but was not what the walk saw, or changed meanwhile, or is in part zeros.
    Flawed(Trouble),
    /// Nothing of it was given out.
    Missing(Trouble),
}

/// Reads entries of one tree. Each thread has its own.
#[derive(Debug)]
pub struct Reader {
    root: Arc<Root>,
    prefix: Box<[u8]>,
    folders: Folders,
    xattrs: xattr::Reader,
    buffer: Box<[u8]>,
}

impl Reader {
    /// Reads below `root`; names in headers begin with `prefix` and a slash, unless it is empty.
    pub fn new(root: Arc<Root>, prefix: &[u8]) -> Reader {
        Reader {
            root,
            prefix: prefix.into(),
            folders: Folders::default(),
            xattrs: xattr::Reader::new(),
            buffer: vec![0; PIECE].into(),
        }
    }

    /// Looks for the holes of a file, so that its header names them. What cannot be opened has none.
    pub fn find_holes(&mut self, entry: &mut Entry) {
        if entry.may_have_holes
            && entry.has_content()
            && let Ok(file) = self.open(entry)
            && let Ok(now) = now(&file)
        {
            entry.holes = holes::find(file, entry.size.min(now.size));
        }
    }

    /// The headers of an entry.
    pub fn header(&self, entry: &Entry) -> Vec<u8> {
        pax::header(&self.prefix, entry)
    }

    /// Reads one entry into `sink`: header, content, padding. Only the sink's errors are errors.
    pub fn read(&mut self, entry: &Entry, sink: &mut Sink<'_>) -> io::Result<Outcome> {
        if !entry.has_content() {
            sink(Piece::Header(&self.header(entry)))?;
            return Ok(Outcome::Whole);
        }
        if let Err(trouble) = self.root.room().fits(&entry.path, entry.size) {
            return Ok(Outcome::Missing(trouble));
        }
        let file = match self.open(entry) {
            Ok(file) => file,
            Err(error) => return Ok(missing(entry, error)),
        };
        if entry.size <= PIECE as u64 && !entry.may_have_holes {
            self.read_small(entry, &file, sink)
        } else {
            self.read_large(entry, &file, sink)
        }
    }

    /// Reads a file in one go; the system is asked once what it is, after that. If it is not what the walk saw, all
    /// begins anew.
    fn read_small(&mut self, entry: &Entry, file: &OwnedFd, sink: &mut Sink<'_>) -> io::Result<Outcome> {
        let (got, flaw) = self.fill(entry, file);
        let after = match now(file) {
            Ok(after) => after,
            Err(error) => return Ok(missing(entry, error)),
        };
        if !is_same_state(entry, &after) {
            return self.read_large(entry, file, sink);
        }
        sink(Piece::Header(&self.header(entry)))?;
        sink(Piece::Content(&self.buffer[..got]))?;
        if got as u64 != entry.size {
            sink(Piece::Zeros(entry.size - got as u64))?;
        }
        sink(Piece::Padding(pax::padding(entry.size)))?;
        Ok(outcome(entry, flaw, true))
    }

    /// Reads a file piece by piece, passing over its holes.
    fn read_large(&mut self, entry: &Entry, file: &OwnedFd, sink: &mut Sink<'_>) -> io::Result<Outcome> {
        let before = match now(file) {
            Ok(before) => before,
            Err(error) => return Ok(missing(entry, error)),
        };
        // The walk has taken room for what it saw: what came since needs its own.
        if let Err(trouble) = self.root.room().take(&entry.path, before.size, entry.size) {
            return Ok(Outcome::Missing(trouble));
        }
        let walked = entry;
        let refreshed = (!is_same_state(entry, &before)).then(|| self.refreshed(entry, &before, file));
        let entry = refreshed.as_ref().unwrap_or(entry);
        if entry.size >= LONG {
            // Advice: it is no matter if it is not taken.
            let _ = fadvise(file, 0, NonZeroU64::new(entry.size), Advice::Sequential);
        }
        // Data may have come into what was a hole when the header was made.
        let holes = holes::find(file, entry.size.min(before.size));
        sink(Piece::Header(&self.header(entry)))?;
        let flaw = self.content(entry, file, &holes, sink)?;
        sink(Piece::Padding(pax::padding(entry.size)))?;
        let is_same = now(file).is_ok_and(|after| is_same_state(walked, &after));
        Ok(outcome(entry, flaw, is_same))
    }

    /// The entry as the file is now.
    fn refreshed(&mut self, entry: &Entry, now: &Entry, file: &OwnedFd) -> Entry {
        let xattrs = self.xattrs.of(file).unwrap_or_else(|_| entry.xattrs.clone());
        let holes = if now.may_have_holes { holes::find(file, now.size) } else { Vec::new() };
        Entry { path: entry.path.clone(), xattrs, holes, ..now.clone() }
    }

    fn open(&mut self, entry: &Entry) -> Result<OwnedFd, Errno> {
        let (folder, name) = root::split(&entry.path);
        let folder = self.folders.enter(&self.root, folder)?;
        match self.root.open_file(folder, name) {
            // A link has its name now; the file itself is gone.
            Err(Errno::LOOP) => Err(Errno::NOENT),
            other => other,
        }
    }

    /// Reads the beginning of a file into the buffer, as much of it as there is: how much that is, and what is wrong.
    fn fill(&mut self, entry: &Entry, file: &OwnedFd) -> (usize, Option<Trouble>) {
        let want = usize::try_from(entry.size).map_or(PIECE, |size| size.min(PIECE));
        let mut got = 0;
        while got < want {
            match read_at(file, &mut self.buffer[got..want], got as u64) {
                Ok(0) => return (got, Some(Trouble::new(&entry.path, What::Short))),
                Ok(part) => got += part,
                Err(error) => return (got, Some(Trouble::of(&entry.path, What::Damaged, error))),
            }
        }
        (got, None)
    }

    /// Gives out exactly the promised bytes of content.
    fn content(
        &mut self,
        entry: &Entry,
        file: &OwnedFd,
        holes: &[Hole],
        sink: &mut Sink<'_>,
    ) -> io::Result<Option<Trouble>> {
        for (at, length, is_hole) in holes::cut(holes, 0, entry.size) {
            if is_hole {
                sink(Piece::Zeros(length))?;
            } else if let Some(flaw) = self.data(entry, file, at, length, sink)? {
                return Ok(Some(flaw));
            }
        }
        Ok(None)
    }

    /// Gives out a stretch of data. If it cannot be read, zeros to the end of the file.
    fn data(
        &mut self,
        entry: &Entry,
        file: &OwnedFd,
        begin: u64,
        length: u64,
        sink: &mut Sink<'_>,
    ) -> io::Result<Option<Trouble>> {
        let (mut at, end) = (begin, begin + length);
        while at < end {
            let want = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
            let flaw = match read_at(file, &mut self.buffer[..want], at) {
                Ok(0) => Trouble::new(&entry.path, What::Short),
                Ok(got) => {
                    sink(Piece::Content(&self.buffer[..got]))?;
                    at += got as u64;
                    continue;
                }
                Err(error) => Trouble::of(&entry.path, What::Damaged, error),
            };
            sink(Piece::Zeros(entry.size - at))?;
            return Ok(Some(flaw));
        }
        Ok(None)
    }
}

fn read_at(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    loop {
        match pread(file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What an open file is now; `NOENT` if it is no file.
fn now(file: &OwnedFd) -> Result<Entry, Errno> {
    let stat = root::stat_of(file)?;
    match root::kind_of(&stat) {
        Some(Kind::File) => Ok(root::entry_of(b"", Kind::File, &stat)),
        _ => Err(Errno::NOENT),
    }
}

fn missing(entry: &Entry, error: Errno) -> Outcome {
    Outcome::Missing(match error {
        // Gone, or something else has its name now.
        Errno::NOENT | Errno::NOTDIR | Errno::NXIO => Trouble::new(&entry.path, What::Vanished),
        error => Trouble::of(&entry.path, What::Unreadable, error),
    })
}

fn outcome(entry: &Entry, flaw: Option<Trouble>, is_same: bool) -> Outcome {
    let flaw = flaw.or_else(|| (!is_same).then(|| Trouble::new(&entry.path, What::Changed)));
    flaw.map_or(Outcome::Whole, Outcome::Flawed)
}

/// Whether the system would have told of a change of content or attributes.
fn is_same_state(one: &Entry, other: &Entry) -> bool {
    (one.inode, one.size, one.mtime, one.ctime) == (other.inode, other.size, other.mtime, other.ctime)
}
