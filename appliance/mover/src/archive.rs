//! A whole tree as one tar: groups read side by side, given out in order.
//!
//! Invariant: the bytes are those that one thread alone would give; memory is bounded by a few pieces for each
//! group that is being read.

use crate::{
    entry::{Entry, Kind},
    group::Groups,
    pax::TRAILER,
    read::{Outcome, Piece, Reader},
    root::{Root, entry_of, stat_of},
    trouble::{Trouble, Troubles},
    walk::{Options, Walk},
    xattr,
};
use rustix::fs::FileType;
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, Scope},
};

/// Bytes that are handed over at once.
const PIECE: usize = 1 << 20;

/// Pieces that wait for each group.
const WAITING: usize = 4;

/// What was given out, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries in the tar.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// What is missing or flawed: of each kind the first, and how many more.
    pub troubles: Vec<Trouble>,
}

enum Part {
    Bytes(Vec<u8>),
    Done(Report),
}

/// Writes a whole tree to `out`, with the blocks that end a tar. Names begin with `prefix`, unless it is empty.
/// Only what `out` says is an error; what could not be read is in the report. Nothing is left out for its size: what a restore wrote is read
/// back, whatever else lies beside it.
pub fn write_archive(root: &Arc<Root>, options: Options, prefix: &[u8], out: &mut dyn Write) -> io::Result<Report> {
    let walk = Walk::new(Arc::clone(root), options);
    root.room().lift();
    let mut groups = Groups::new(walk, [0; 32]);
    let (mut report, mut troubles) = (Report::default(), Troubles::default());
    thread::scope(|scope| {
        let mut reading = VecDeque::new();
        loop {
            while reading.len() < options.threads.clamp(1, 16)
                && let Some(group) = groups.next()
            {
                let reader = Reader::new(Arc::clone(root), prefix);
                reading.push_back(begin(scope, reader, group.entries));
            }
            let Some(parts) = reading.pop_front() else { break };
            let group = give_out(&parts, out)?;
            report.entries += group.entries;
            report.bytes = report.bytes.saturating_add(group.bytes);
            group.troubles.into_iter().for_each(|trouble| troubles.add(trouble));
        }
        groups.take_troubles().into_iter().for_each(|trouble| troubles.add(trouble));
        out.write_all(&TRAILER)?;
        out.flush()
    })?;
    troubles.end();
    report.troubles = troubles.take();
    Ok(report)
}

/// Writes one file to `out` as a tar of its own, under its own name. A file that changed while it was read is an error, and the archive
/// has no end then.
pub fn write_file(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.as_bytes();
    let root = Arc::new(Root::open(path.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new(".")))?);
    let file = root.open_file(root.fd(), name)?;
    let stat = stat_of(&file)?;
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut entry = Entry { xattrs: xattr::Reader::new().of(&file)?, ..entry_of(name, Kind::File, &stat) };
    let mut reader = Reader::new(root, b"");
    reader.find_holes(&mut entry);
    let outcome = reader.read(&entry, &mut |part| match part {
        Piece::Header(bytes) | Piece::Content(bytes) | Piece::Padding(bytes) => out.write_all(bytes),
        Piece::Zeros(length) => io::copy(&mut io::repeat(0).take(length), out).map(drop),
    })?;
    if let Outcome::Flawed(trouble) | Outcome::Missing(trouble) = outcome {
        return Err(io::Error::other(trouble.to_string()));
    }
    out.write_all(&TRAILER)?;
    out.flush()
}

/// Reads a group in a thread of its own.
fn begin<'scope>(scope: &'scope Scope<'scope, '_>, mut reader: Reader, entries: Vec<Entry>) -> Receiver<Part> {
    let (sender, receiver) = sync_channel(WAITING);
    scope.spawn(move || {
        // A receiver that is gone has ended with an error of its own.
        let _ = read_group(&mut reader, entries, &sender);
    });
    receiver
}

fn read_group(reader: &mut Reader, entries: Vec<Entry>, sender: &SyncSender<Part>) -> io::Result<()> {
    let mut report = Report::default();
    let mut piece = Vec::with_capacity(PIECE);
    for mut entry in entries {
        reader.find_holes(&mut entry);
        let outcome = reader.read(&entry, &mut |part| match part {
            Piece::Header(bytes) | Piece::Content(bytes) | Piece::Padding(bytes) => {
                hand_over(&mut piece, bytes, sender)
            }
            Piece::Zeros(length) => hand_over_zeros(&mut piece, length, sender),
        })?;
        if !matches!(outcome, Outcome::Missing(_)) {
            report.entries += 1;
            report.bytes = report.bytes.saturating_add(entry.size);
        }
        if let Outcome::Flawed(trouble) | Outcome::Missing(trouble) = outcome {
            report.troubles.push(trouble);
        }
    }
    send(sender, Part::Bytes(piece))?;
    send(sender, Part::Done(report))
}

fn hand_over(piece: &mut Vec<u8>, mut bytes: &[u8], sender: &SyncSender<Part>) -> io::Result<()> {
    while !bytes.is_empty() {
        let part = bytes.len().min(PIECE - piece.len());
        piece.extend_from_slice(&bytes[..part]);
        bytes = &bytes[part..];
        send_if_full(piece, sender)?;
    }
    Ok(())
}

fn hand_over_zeros(piece: &mut Vec<u8>, mut length: u64, sender: &SyncSender<Part>) -> io::Result<()> {
    while length > 0 {
        let room = PIECE - piece.len();
        let part = usize::try_from(length).map_or(room, |length| length.min(room));
        piece.resize(piece.len() + part, 0);
        length -= part as u64;
        send_if_full(piece, sender)?;
    }
    Ok(())
}

fn send_if_full(piece: &mut Vec<u8>, sender: &SyncSender<Part>) -> io::Result<()> {
    if piece.len() < PIECE {
        return Ok(());
    }
    send(sender, Part::Bytes(std::mem::replace(piece, Vec::with_capacity(PIECE))))
}

fn send(sender: &SyncSender<Part>, part: Part) -> io::Result<()> {
    sender.send(part).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn give_out(parts: &Receiver<Part>, out: &mut dyn Write) -> io::Result<Report> {
    for part in parts {
        match part {
            Part::Bytes(bytes) => out.write_all(&bytes)?,
            Part::Done(report) => return Ok(report),
        }
    }
    Err(io::Error::other("the thread that read a group is gone"))
}
