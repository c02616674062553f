//! Reading: the header, content and padding of one entry after the other, into whatever takes bytes.
//!
//! # Invariants
//! - What is given out is always well formed: the header that follows from the entry, then exactly as much content as
//!   it promises, however the file changes meanwhile; what could not be read is zeros, and the outcome says so.
//! - A file that is not what the walk saw, before or after it was read, is told as changed. Nothing is given
//!   out for a file that cannot be opened or is no file any more.
//! - Holes are not read; they are told as zeros.

use crate::{
    entry::{Entry, Hole, Kind},
    holes, pax,
    root::{self, Folders, Root},
    trouble::{Trouble, What},
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
    buffer: Box<[u8]>,
}

impl Reader {
    /// Reads below `root`; names in headers begin with `prefix` and a slash, unless it is empty.
    pub fn new(root: Arc<Root>, prefix: &[u8]) -> Reader {
        Reader { root, prefix: prefix.into(), folders: Folders::default(), buffer: vec![0; PIECE].into() }
    }

    /// Looks for the holes of a file, so that its header names them. What cannot be opened has none.
    pub fn find_holes(&mut self, entry: &mut Entry) {
        if entry.may_have_holes
            && entry.has_content()
            && let Ok((file, now)) = self.open(entry)
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
        let (file, before) = match self.open(entry) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Outcome::Missing(Trouble::new(&entry.path, What::Vanished))),
            Err(error) => return Ok(Outcome::Missing(Trouble::of(&entry.path, What::Unreadable, error))),
        };
        // Data may have come into what was a hole when the header was made.
        let may_have = entry.may_have_holes || before.may_have_holes;
        let holes = if may_have { holes::find(&file, entry.size.min(before.size)) } else { Vec::new() };
        sink(Piece::Header(&self.header(entry)))?;
        let flaw = self.content(entry, &file, &holes, sink)?;
        sink(Piece::Padding(pax::padding(entry.size)))?;
        let is_same = is_same_state(entry, &before) && now(&file).is_ok_and(|after| is_same_state(entry, &after));
        let flaw = flaw.or_else(|| (!is_same).then(|| Trouble::new(&entry.path, What::Changed)));
        Ok(flaw.map_or(Outcome::Whole, Outcome::Flawed))
    }

    /// Opens a file, and says what it is now.
    fn open(&mut self, entry: &Entry) -> Result<(OwnedFd, Entry), Errno> {
        let (folder, name) = root::split(&entry.path);
        let folder = self.folders.enter(&self.root, folder)?;
        let file = match self.root.open_file(folder, name) {
            // A link has its name now; the file itself is gone.
            Err(Errno::LOOP) => return Err(Errno::NOENT),
            other => other?,
        };
        let now = now(&file)?;
        if now.kind != Kind::File {
            return Err(Errno::NOENT);
        }
        if entry.size >= LONG {
            // Advice: it is no matter if it is not taken.
            let _ = fadvise(&file, 0, NonZeroU64::new(entry.size), Advice::Sequential);
        }
        Ok((file, now))
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

/// What an open file is now.
fn now(file: &OwnedFd) -> Result<Entry, Errno> {
    let stat = root::stat_of(file)?;
    let kind = root::kind_of(&stat).ok_or(Errno::NOENT)?;
    Ok(root::entry_of(b"", kind, &stat))
}

/// Whether the system would have told of a change of content or attributes.
fn is_same_state(one: &Entry, other: &Entry) -> bool {
    (one.inode, one.size, one.mtime, one.ctime) == (other.inode, other.size, other.mtime, other.ctime)
}
