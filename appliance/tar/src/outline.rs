//! The outline reader: which members an archive has and where they lie, contents passed over.
//!
//! Made for archives of which only headers are at hand and everything else is told as zeros. Strict as the walker:
//! an archive that is not understood to its end is an error. Invariant: zeros that are told and zeros that are given
//! as bytes lead to the same places.

use crate::{
    BLOCK, End, Member,
    machine::{Machine, Told, padding},
    walk::{malformed, short},
};
use holdfast_model::Result;

/// A member and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its headers say.
    pub member: Member,
    /// Where the first of its headers begins, bytes from where reading began.
    pub head: u64,
    /// Where its content begins.
    pub body: u64,
}

/// Reads the outline of an archive, or of a stretch of one that begins and ends between members.
#[derive(Debug)]
pub struct Outline {
    machine: Machine,
    head: u64,
}

impl Default for Outline {
    fn default() -> Self {
        Outline::new()
    }
}

impl Outline {
    /// Before the first byte.
    pub fn new() -> Outline {
        Outline { machine: Machine::new(), head: 0 }
    }

    /// Takes the next bytes in and tells each member that begins. `Invalid` (`tar.malformed`).
    pub fn bytes(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Found) -> Result<()>) -> Result<()> {
        loop {
            let (used, told) = self.machine.step(bytes);
            bytes = &bytes[used..];
            match told {
                Told::More => return Ok(()),
                Told::Open => {
                    let (member, body) = (self.machine.member().clone(), self.machine.end().bytes);
                    tell(Found { member, head: self.head, body })?;
                }
                Told::Close => self.head = self.machine.end().bytes + padding(self.machine.member().size),
                Told::Meta | Told::MetaBlock | Told::Data => {}
                Told::Raw | Told::RawBlock => return Err(malformed(self.machine.end())),
            }
        }
    }

    /// Takes so many zeros in, however many they are.
    pub fn zeros(&mut self, mut count: u64, tell: &mut impl FnMut(Found) -> Result<()>) -> Result<()> {
        while count > 0 {
            let passed = self.machine.pass(count);
            count -= passed;
            if passed == 0 {
                let part = count.min(BLOCK as u64);
                self.bytes(&[0; BLOCK][..part as usize], tell)?;
                count -= part;
            }
        }
        Ok(())
    }

    /// The archive has ended. `Unavailable` (`tar.short`) without its two zero blocks.
    pub fn finish(mut self) -> Result<End> {
        self.settle()?;
        let end = self.machine.end();
        if end.complete { Ok(end) } else { Err(short(end)) }
    }

    /// A stretch has ended. `Unavailable` (`tar.short`) in the middle of a member.
    pub fn finish_stretch(mut self) -> Result<End> {
        self.settle()?;
        let end = self.machine.end();
        if self.machine.is_between_members() { Ok(end) } else { Err(short(end)) }
    }

    /// Tells what needs no more bytes to be told.
    fn settle(&mut self) -> Result<()> {
        self.bytes(&[], &mut |_| Ok(()))
    }
}
