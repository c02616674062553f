//! A whole tree as one tar: groups read side by side, given out in order.
//!
//! Invariant: the bytes are those that one thread alone would give; memory is bounded by a few pieces for each
//! group that is being read.

use crate::{
    entry::Entry,
    group::Groups,
    pax::TRAILER,
    read::{Outcome, Piece, Reader},
    root::Root,
    trouble::Trouble,
    walk::{Options, Walk},
};
use std::{
    collections::VecDeque,
    io::{self, Write},
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
    /// What is missing or flawed.
    pub troubles: Vec<Trouble>,
}

impl Report {
    fn add(&mut self, other: Report) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.troubles.extend(other.troubles);
    }
}

enum Part {
    Bytes(Vec<u8>),
    Done(Report),
}

/// Writes a whole tree to `out`, with the blocks that end a tar. Names begin with `prefix`, unless it is empty.
/// Only what `out` says is an error; what could not be read is in the report.
pub fn write_archive(root: &Arc<Root>, options: Options, prefix: &[u8], out: &mut dyn Write) -> io::Result<Report> {
    let mut groups = Groups::new(Walk::new(Arc::clone(root), options), [0; 32]);
    let mut report = Report::default();
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
            report.add(give_out(&parts, out)?);
        }
        report.troubles.extend(groups.take_troubles());
        out.write_all(&TRAILER)?;
        out.flush()
    })?;
    Ok(report)
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
            report.bytes += entry.size;
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
