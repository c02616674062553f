//! The splitter: headers verbatim, contents apart, for storing.

use crate::machine::{Machine, Told};
use crate::{BLOCK, End, Member};
use holdfast_model::Result;

/// A piece of a tar stream. The bytes of `Meta`, `Data` and `Raw` in their order are the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Headers, long names, PAX bodies, padding, the end: as they came.
    Meta(&'a [u8]),
    /// The headers of a member are complete: told once for every member, whatever it is.
    Member(&'a Member),
    /// Content of a member begins. Only for members that have any.
    Open {
        /// Name in the archive: raw bytes, not to be joined to a path.
        path: &'a [u8],
        /// How much content the headers promise, above zero; a cut stream may hold less.
        size: u64,
    },
    /// Content of the open member.
    Data(&'a [u8]),
    /// Content of the open member has ended (or the stream has).
    Close,
    /// What could not be understood, from there to the end.
    Raw(&'a [u8]),
}

/// Takes a tar stream apart.
#[derive(Debug)]
pub struct Splitter {
    machine: Machine,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter::new()
    }
}

impl Splitter {
    /// A splitter at the beginning of a stream.
    pub fn new() -> Splitter {
        Splitter { machine: Machine::new() }
    }

    /// Takes the next bytes, however they are cut. Fails only if `sink` does; the splitter is of no use then.
    pub fn push(&mut self, mut input: &[u8], sink: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        loop {
            let (used, told) = self.machine.step(input);
            let (bytes, rest) = input.split_at(used);
            input = rest;
            let member = self.machine.member();
            match told {
                Told::More => return Ok(()),
                Told::Meta => sink(Piece::Meta(bytes))?,
                Told::MetaBlock => sink(Piece::Meta(self.machine.block()))?,
                Told::Open => {
                    sink(Piece::Member(member))?;
                    if member.size > 0 {
                        sink(Piece::Open { path: &member.path, size: member.size })?;
                    }
                }
                Told::Close if member.size > 0 => sink(Piece::Close)?,
                Told::Close => {}
                Told::Data => sink(Piece::Data(bytes))?,
                Told::Raw => sink(Piece::Raw(bytes))?,
                Told::RawBlock => sink(Piece::Raw(self.machine.block()))?,
            }
        }
    }

    /// Passes over zeros of the open member's content: how many of `count` they were. They count as pushed, and the sink is told
    /// nothing of them; push something after it, if only nothing, so that the end of the content is told.
    pub fn pass(&mut self, count: u64) -> u64 {
        if self.machine.is_in_content() { self.machine.pass(count) } else { 0 }
    }

    /// The stream has ended: gives what was held back (less than a block) and says how it went.
    pub fn finish(self, sink: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<End> {
        if self.machine.is_inside_member() {
            sink(Piece::Close)?;
        }
        let rest = self.machine.unfinished();
        debug_assert!(rest.len() < BLOCK);
        if !rest.is_empty() {
            sink(Piece::Raw(rest))?;
        }
        Ok(self.machine.end())
    }
}
