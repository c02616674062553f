//! Tar streams taken apart and put back bit-exact: headers verbatim, contents apart.
//!
//! Lives here: [`Splitter`] (for storing), [`Walker`] (for looking inside), [`Outline`] (for listing without the
//! contents), [`retitled`] (the same member under another name), [`write`] (for making).
//! All without I/O and without waiting. Never here: unpacking, files, Docker, compression.
//!
//! # Format notes
//! Read are v7, ustar, star, GNU (`L`, `K`, base-256 numbers) and PAX (`x`, `g`), with Docker's (Go's)
//! reading where readers differ: links, devices, directories and fifos have no content whatever their
//! size says; unknown types have the content their size says; of two equal PAX keys the last counts;
//! names that GNU and PAX both give are PAX's. Numbers are octal or base-256, below 2^63.
//! Where honest readers disagree on what follows, the rest of the stream is passed on unread ([`Piece::Raw`])
//! and the reason given: wrong checksum, malformed number or PAX record, old GNU sparse and
//! multi-volume members, two headers of one kind for one member, a lone zero block, names or PAX bodies above
//! [`MAX_META`], bytes that are not zero after the end.
//!
//! # Invariants
//! - `Meta + Data + Raw`, in order, is the input, for every input and every way of cutting it into pushes.
//! - Which bytes are which does not depend on how the input is cut.
//! - Memory is bounded by [`MAX_META`] whatever the headers say; nothing panics.

mod header;
mod machine;
mod outline;
mod pax;
mod retitle;
mod split;
mod walk;
pub mod write;

pub use header::MemberKind;
pub use outline::{Found, Outline};
pub use retitle::retitled;
pub use split::{Piece, Splitter};
pub use walk::{Step, Walker};

/// Longest PAX body or GNU long name that is read, in bytes: four times what any file system can name,
/// with room for large attributes; above it the stream is passed on unread.
pub const MAX_META: u64 = 1 << 20;

/// Size of a tar block in bytes.
pub const BLOCK: usize = 512;

/// One member of an archive, as its headers describe it. Names are raw bytes from outside: never join
/// them to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Bytes of content that follow in the archive.
    pub size: u64,
    /// Target of a link; empty for everything else.
    pub link: Vec<u8>,
    /// Permission bits, with set-id and sticky bits; 0 if the field cannot be read.
    pub mode: u32,
    /// Numeric owner; 0 if it cannot be read.
    pub uid: u64,
    /// Numeric group; 0 if it cannot be read.
    pub gid: u64,
    /// Last change in whole seconds since 1970, rounded down; 0 if it cannot be read.
    pub mtime: i64,
    /// Nanoseconds after those; 0 where only whole seconds are told.
    pub nanos: u32,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Members seen.
    pub entries: u64,
    /// Bytes of member content seen.
    pub content: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Whether the two zero blocks that end an archive were seen. Without them the stream was cut.
    pub complete: bool,
    /// Why a part of the stream was passed on unread, if it was.
    pub fell_back: Option<&'static str>,
}

#[cfg(test)]
mod tests;
