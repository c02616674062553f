//! The walker: the members of an archive one after the other, for looking inside.
//!
//! Strict where the splitter is patient: an archive that is not understood to its end is an error.

use crate::machine::{Machine, Told};
use crate::{End, Member};
use bytes::{Buf, Bytes};
use holdfast_model::{Error, Kind, Result};

/// What the walker met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member begins; exactly `size` bytes of content follow before its `Close`.
    Open(Member),
    /// Content of the open member.
    Data(Bytes),
    /// The open member is whole.
    Close,
}

/// Walks through an archive: feed bytes, take steps until there are none, feed again.
///
/// ```
/// # use holdfast_tar::{Step, Walker, write};
/// # let archive = [write::Entry::file(b"a", 2).header().unwrap(), vec![b'x'; 2], write::padding(2).to_vec(), write::TRAILER.to_vec()].concat();
/// let mut walker = Walker::new();
/// let mut content = 0;
/// for piece in archive.chunks(100) {
///     walker.feed(piece.to_vec().into());
///     while let Some(step) = walker.step()? {
///         if let Step::Data(bytes) = step {
///             content += bytes.len();
///         }
///     }
/// }
/// assert_eq!(walker.finish()?.entries, 1);
/// assert_eq!(content, 2);
/// # Ok::<(), holdfast_model::Error>(())
/// ```
#[derive(Debug)]
pub struct Walker {
    machine: Machine,
    input: Bytes,
}

impl Default for Walker {
    fn default() -> Self {
        Walker::new()
    }
}

impl Walker {
    /// A walker at the beginning of an archive.
    pub fn new() -> Walker {
        Walker { machine: Machine::new(), input: Bytes::new() }
    }

    /// Gives the next bytes of the archive. Call it when [`Walker::step`] said `None`; bytes fed earlier
    /// and not stepped through yet come first (they are copied then).
    pub fn feed(&mut self, bytes: Bytes) {
        self.input = if self.input.is_empty() { bytes } else { [self.input.as_ref(), &bytes].concat().into() };
    }

    /// The next step, or `None` if more bytes are needed. `Invalid` (`tar.malformed`) if the archive
    /// cannot be understood.
    pub fn step(&mut self) -> Result<Option<Step>> {
        loop {
            let (used, told) = self.machine.step(&self.input);
            match told {
                Told::More => {
                    self.input.advance(used);
                    return Ok(None);
                }
                Told::Meta | Told::MetaBlock => self.input.advance(used),
                Told::Open => return Ok(Some(Step::Open(self.machine.member().clone()))),
                Told::Close => return Ok(Some(Step::Close)),
                Told::Data => return Ok(Some(Step::Data(self.input.split_to(used)))),
                Told::Raw | Told::RawBlock => return Err(malformed(self.machine.end())),
            }
        }
    }

    /// The archive has ended. `Unavailable` (`tar.short`) if it was cut: without its two zero blocks at the end
    /// nothing proves that all of it came.
    pub fn finish(mut self) -> Result<End> {
        while self.step()?.is_some() {}
        let end = self.machine.end();
        if end.fell_back.is_some() {
            return Err(malformed(end));
        }
        if !end.complete {
            return Err(short(end));
        }
        Ok(end)
    }
}

pub(crate) fn short(end: End) -> Error {
    let text = format!("the archive was cut short after {} bytes and {} members", end.bytes, end.entries);
    Error::new(Kind::Unavailable, "tar.short", text)
}

pub(crate) fn malformed(end: End) -> Error {
    let reason = end.fell_back.unwrap_or("it is no tar archive");
    Error::invalid(
        "tar.malformed",
        format!("the archive cannot be understood after member {} near byte {}: {reason}", end.entries, end.bytes),
    )
}
