//! Trees of files as the repository asks for them: groups first, marks where a group differs, contents last.
//!
//! Lives here: the trait [`Tree`] between a source of files and the repository, the rule of [`Grouper`] by which
//! sources group, a tree in memory ([`MemTree`]) for tests. Never here: files, sockets, Docker, how a source
//! sees its files.
//!
//! # What a source promises
//! - Entries come in path order: byte order of the components, parents before children.
//! - Groups follow from names and sizes alone, so that a change of a file moves no other group.
//! - The witness of a group covers everything on which headers and contents of its entries hang: path, type, mode,
//!   owner, size, mtime and ctime to the nanosecond, inode, link target, device numbers, extended attributes. While
//!   it stays the same the group is not looked at again. So does the identity of one entry.
//! - Headers are those of an uncompressed PAX tar, complete in themselves (no global headers); the headers of an
//!   entry follow from its metadata alone.
//! - An entry that was touched so recently that one more change could leave the same times has identity 0, and its
//!   group a witness that never comes again.
//! - A hard link comes after the entry that it points to; if that one was left out, so is the link.
//!
//! # What the repository does
//! It asks for groups once, for marks and contents of groups in rising order, but may ask for a group again (without
//! what failed the first time). It takes in each answer to its end before it asks anew, and calls
//! [`Tree::finish`] when it has all it needs: only then is a tree known to be whole. After that it asks again only for what it
//! had and lost.

mod group;
mod memory;

pub use group::Grouper;
pub use memory::{Fault, MemTree, Node};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use holdfast_model::{Problem, Result, Witness};

/// Neighbouring entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Stays the same while none of its entries changes; two groups of one tree never have the same.
    pub witness: Witness,
    /// How many they are, at least one.
    pub entries: u32,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// One entry of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Hash over what the witness covers, for this entry alone; 0 says that nothing is known of it. Should not be
    /// foreseeable by whoever can make files.
    pub identity: u64,
    /// Bytes of its headers, a multiple of 512.
    pub header: u32,
    /// Bytes of its content, without padding.
    pub content: u64,
}

/// Which entries of a group are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of the group.
    pub group: usize,
    /// For each of its entries; of those not wanted nothing is sent.
    pub wanted: Vec<bool>,
}

/// What comes for the wanted entries, in order: for each `Begin`, then content, then `End` or `Left`;
/// or `Left` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An entry begins: all of its headers. What they promise as its size is how much content follows.
    Begin(Bytes),
    /// Bytes of its content.
    Content(Bytes),
    /// Zeros in its content that need not be sent.
    Hole(u64),
    /// Content that is at this place what the source sent before: only if whoever asks may be told so.
    Kept {
        /// The identity or the name that the entry was sent under.
        name: u64,
        /// Bytes.
        count: u64,
    },
    /// The entry is whole and as its mark says, and its identity still held after the last byte was read.
    End,
    /// The entry is whole, made up with zeros if there was less content than promised, but changed in between: it is
    /// kept, named, and read again by the next backup.
    Flawed {
        /// What was sent may be told as kept under this name; 0 if it will not be. Nothing else ever has it.
        name: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// The entry could not be read (to its end): it is named and left out of the tree.
    Left(Problem),
}

/// Answers of a tree, in batches as they come: handing over a small file alone costs more than reading it. A batch may begin
/// and end anywhere, and should stay near [`BATCH`] bytes. An error ends them, and with them the backup of the tree.
pub type Frames<'a> = BoxStream<'a, Result<Vec<Frame>>>;

/// Bytes of headers and contents after which a batch of frames is full.
pub const BATCH: usize = 256 << 10;

/// A source of files. Nothing is asked before the last answer has ended.
#[async_trait]
pub trait Tree: Send {
    /// All groups, in path order. Called once, first.
    async fn groups(&mut self) -> Result<Vec<Group>>;
    /// Marks of some groups, in the order asked.
    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>>;
    /// Contents of some groups, one after the other. If `may_keep`, what this source sent before (it may live longer than one
    /// tree) need not be sent again ([`Frame::Kept`]).
    async fn read<'a>(&'a mut self, requests: Vec<Request>, may_keep: bool) -> Result<Frames<'a>>;
    /// Ends it: what the source could not look at, and its word that it has told everything.
    async fn finish(&mut self) -> Result<Vec<Problem>>;
}
