//! What could not be read or restored, by name: nothing is dropped in silence.

use crate::entry::shown;
use rustix::io::Errno;
use std::{fmt, io};

/// What went wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It could not be read: it and all below it is missing.
    Unreadable,
    /// It vanished between the walk and the reading.
    Vanished,
    /// It changed while it was read: the content may be of two moments.
    Changed,
    /// It became shorter while it was read: the rest is zeros.
    Short,
    /// The disk refused a part of it: the rest is zeros.
    Damaged,
    /// Its attributes could not be read.
    Attributes,
    /// Another file system is mounted there and was left out.
    Mount,
    /// Its path is longer or deeper than what is carried.
    TooLong,
    /// It claims more bytes than are carried, of one file or of all together.
    TooLarge,
    /// More files do; their number is the detail ([`Trouble::files`]).
    MoreTooLarge,
    /// It could not be made.
    NotMade,
    /// Something of that name is there already.
    Exists,
    /// Its content could not be written.
    NotWritten,
    /// Its owner could not be restored.
    Owner,
    /// Its permissions could not be restored.
    Mode,
    /// An extended attribute could not be restored.
    Xattr,
    /// Its times could not be restored.
    Times,
    /// Devices are not restored here.
    Device,
    /// The file system holds it fast: nobody can change or remove it.
    Fixed,
    /// Its name would lead out of the folder.
    Name,
}

/// One trouble with one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Path below the root.
    pub path: Box<[u8]>,
    /// What is wrong.
    pub what: What,
    /// What the system said, if it was asked.
    pub cause: Option<Errno>,
    /// Which attribute, which limit or how many, where that says more.
    pub detail: Box<[u8]>,
}

impl Trouble {
    /// A trouble without a cause.
    pub fn new(path: &[u8], what: What) -> Trouble {
        Trouble { path: path.into(), what, cause: None, detail: Box::default() }
    }

    /// A trouble that the system named.
    pub fn of(path: &[u8], what: What, cause: Errno) -> Trouble {
        Trouble { cause: Some(cause), ..Trouble::new(path, what) }
    }

    /// What there is to say of files that are too large and are not named.
    pub(crate) fn more_too_large(files: u64) -> Trouble {
        Trouble { detail: files.to_string().into_bytes().into(), ..Trouble::new(b"", What::MoreTooLarge) }
    }

    /// Of how many files it tells.
    pub fn files(&self) -> u64 {
        let told = std::str::from_utf8(&self.detail).ok().filter(|_| self.what == What::MoreTooLarge);
        told.and_then(|number| number.parse().ok()).unwrap_or(1)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Unreadable => "could not be read and is missing",
            What::Vanished => "vanished before it was read",
            What::Changed => "changed while it was read",
            What::Short => "became shorter while it was read; the rest is zeros",
            What::Damaged => "could not be read to its end; the rest is zeros",
            What::Attributes => "extended attributes could not be read and are missing",
            What::Mount => "another file system is mounted here and was left out",
            What::TooLong => "the path is too long or too deep and is missing",
            What::TooLarge => "is too large to be carried and is missing",
            What::MoreTooLarge => "more are too large to be carried and are missing",
            What::NotMade => "could not be made",
            What::Exists => "something of that name is there already",
            What::NotWritten => "content could not be written",
            What::Owner => "owner could not be restored",
            What::Mode => "permissions could not be restored",
            What::Xattr => "an extended attribute could not be restored",
            What::Times => "times could not be restored",
            What::Fixed => "is held fast (chattr)",
            What::Device => "devices are not restored here",
            What::Name => "the name leads out of the folder",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.what == What::MoreTooLarge {
            return write!(f, "and {} {}", self.files(), self.what);
        }
        write!(f, "{}: {}", shown(&self.path), self.what)?;
        if !self.detail.is_empty() {
            write!(f, " ({})", shown(&self.detail))?;
        }
        self.cause.map_or(Ok(()), |cause| write!(f, ": {}", io::Error::from(cause)))
    }
}
