//! Putting a stream together from steps and opened chunks, on a thread of its own.
//!
//! Invariant: the length and SHA-256 of the whole stream (of a tree: of each segment, and of all their sums) are
//! checked before its end is told, and a difference is an error.

use crate::{Piece, excerpt::Step, inner::unlike, recipe::Row, weave::sum_of};
use bytes::{Bytes, BytesMut};
use holdfast_chunk::Summer;
use holdfast_model::{Error, Result, SegmentSum, snapshot::StreamRef};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Small pieces are gathered to this size, bytes.
pub(crate) const PIECE: usize = 256 << 10;

pub(crate) static ZEROS: [u8; PIECE] = [0; PIECE];

/// What the assembling thread is fed with.
pub(crate) enum Feed {
    Begin(Vec<Step>, Proof),
    Chunks(Row, Vec<Bytes>),
    Fail(Error),
}

/// What a segment has to come out as.
pub(crate) enum Proof {
    /// Chunks prove themselves; the stream is proved as a whole, or it is read in part.
    None,
    /// A sum, over the bytes taken and then these, which are its operations.
    Sum(SegmentSum, Vec<u8>),
}

/// What the stream has to come out as.
pub(crate) enum Whole {
    /// So many bytes; a part of it was asked for.
    Part(u64),
    Bytes(StreamRef),
    Tree(StreamRef),
}

/// Puts the stream together. Blocks; ends when the reader goes away.
pub(crate) fn assemble(fed: mpsc::Receiver<Feed>, out: &mpsc::Sender<Result<Piece>>, whole: Whole) {
    let mut assembly = Assembly {
        fed,
        out,
        rows: Default::default(),
        piece: BytesMut::with_capacity(PIECE),
        hash: match &whole {
            Whole::Part(_) => Proving::Nothing,
            Whole::Bytes(_) => Proving::Stream(Sha256::new()),
            Whole::Tree(_) => Proving::Segments(Box::default()),
        },
        length: 0,
    };
    match assembly.run(&whole) {
        Ok(()) | Err(Halt::Gone) => {}
        Err(Halt::Failed(error)) => drop(out.blocking_send(Err(error))),
    }
}

enum Halt {
    /// The reader went away.
    Gone,
    Failed(Error),
}

struct Assembly<'a> {
    fed: mpsc::Receiver<Feed>,
    out: &'a mpsc::Sender<Result<Piece>>,
    rows: [VecDeque<Bytes>; 3],
    piece: BytesMut,
    hash: Proving,
    length: u64,
}

/// What is hashed on the way.
enum Proving {
    Nothing,
    /// All bytes of the stream.
    Stream(Sha256),
    /// What a segment of a tree takes.
    Segments(Box<Summer>),
}

impl Assembly<'_> {
    fn run(&mut self, whole: &Whole) -> Result<(), Halt> {
        let mut sums = Sha256::new();
        while let Some(feed) = self.fed.blocking_recv() {
            match feed {
                Feed::Begin(steps, proof) => {
                    for step in steps {
                        self.carry_out(step)?;
                    }
                    if matches!(self.hash, Proving::Segments(_)) {
                        sums.update(self.prove(&proof)?.as_bytes());
                    }
                }
                Feed::Fail(error) => return Err(Halt::Failed(error)),
                Feed::Chunks(..) => return Err(Halt::Failed(Error::bug("chunks came without a recipe"))),
            }
        }
        let (stream, hash) = match whole {
            Whole::Part(length) if self.length == *length => return self.flush(),
            Whole::Part(_) => return Err(Halt::Failed(unlike())),
            Whole::Bytes(stream) => match std::mem::replace(&mut self.hash, Proving::Nothing) {
                Proving::Stream(hash) => (stream, hash),
                _ => return Err(Halt::Failed(Error::bug("a stream was read without being hashed"))),
            },
            Whole::Tree(stream) => (stream, sums),
        };
        if self.length != stream.length || hex::encode(hash.finalize()) != stream.sha256 {
            return Err(Halt::Failed(unlike()));
        }
        self.flush()
    }

    /// A segment of a tree is whole.
    fn prove(&mut self, proof: &Proof) -> Result<SegmentSum, Halt> {
        let (Proof::Sum(sum, ops), Proving::Segments(hash)) = (proof, &mut self.hash) else {
            return Err(Halt::Failed(unlike()));
        };
        if sum_of(hash, ops) == *sum { Ok(*sum) } else { Err(Halt::Failed(unlike())) }
    }

    fn carry_out(&mut self, step: Step) -> Result<(), Halt> {
        match step {
            Step::Zeros(count) => {
                if let Proving::Stream(hash) = &mut self.hash {
                    let mut left = count;
                    while left > 0 {
                        let part = left.min(PIECE as u64);
                        hash.update(&ZEROS[..part as usize]);
                        left -= part;
                    }
                }
                self.length += count;
                if count < PIECE as u64 / 4 {
                    self.piece.resize(self.piece.len() + count as usize, 0);
                    return if self.piece.len() >= PIECE { self.flush() } else { Ok(()) };
                }
                self.flush()?;
                self.out.blocking_send(Ok(Piece::Zeros(count))).map_err(|_| Halt::Gone)
            }
            Step::Take(row, count) => self.go_through(row, count, true),
            Step::Skip(row, count) => self.go_through(row, count, false),
        }
    }

    fn go_through(&mut self, row: Row, mut count: u64, wanted: bool) -> Result<(), Halt> {
        while count > 0 {
            let mut chunk = self.chunk(row)?;
            let part = chunk.split_to(usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len()));
            if !chunk.is_empty() {
                self.rows[row as usize].push_front(chunk);
            }
            count -= part.len() as u64;
            if wanted {
                self.give(part)?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, row: Row) -> Result<Bytes, Halt> {
        loop {
            if let Some(chunk) = self.rows[row as usize].pop_front() {
                return Ok(chunk);
            }
            match self.fed.blocking_recv() {
                Some(Feed::Chunks(row, chunks)) => self.rows[row as usize].extend(chunks),
                Some(Feed::Fail(error)) => return Err(Halt::Failed(error)),
                Some(Feed::Begin(..)) | None => {
                    return Err(Halt::Failed(Error::bug("a recipe needs more than was fed")));
                }
            }
        }
    }

    fn give(&mut self, bytes: Bytes) -> Result<(), Halt> {
        match &mut self.hash {
            Proving::Nothing => {}
            Proving::Stream(hash) => hash.update(&bytes),
            Proving::Segments(hash) => hash.update(&bytes),
        }
        self.length += bytes.len() as u64;
        if bytes.len() >= PIECE / 4 {
            self.flush()?;
            return self.out.blocking_send(Ok(Piece::Bytes(bytes))).map_err(|_| Halt::Gone);
        }
        self.piece.extend_from_slice(&bytes);
        if self.piece.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Halt> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE));
        self.out.blocking_send(Ok(Piece::Bytes(piece.freeze()))).map_err(|_| Halt::Gone)
    }
}
