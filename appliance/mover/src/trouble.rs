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

/// Troubles of one kind that are named.
pub(crate) const NAMED_MAX: usize = 1000;

/// One trouble with one path, or how many more there are of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Path below the root.
    pub path: Box<[u8]>,
    /// What is wrong.
    pub what: What,
    /// What the system said, if it was asked.
    pub cause: Option<Errno>,
    /// Which attribute or which limit, where that says more.
    pub detail: Box<[u8]>,
    /// How many more paths this is wrong with, which are not named; 0 if it is about this path.
    pub more: u64,
}

/// Troubles as they come. Names cost nothing, and whoever makes files makes as many as they like: of each kind the first
/// [`NAMED_MAX`] are named, of the rest there is a number.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    named: Vec<Trouble>,
    kinds: Vec<Many>,
}

/// How many there were of a kind.
#[derive(Debug)]
struct Many {
    what: What,
    named: usize,
    more: u64,
}

impl Troubles {
    /// Takes one more.
    pub(crate) fn add(&mut self, trouble: Trouble) {
        let known = self.kinds.iter().position(|kind| kind.what == trouble.what);
        let place = known.unwrap_or_else(|| {
            self.kinds.push(Many { what: trouble.what, named: 0, more: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[place];
        if trouble.more > 0 || kind.named == NAMED_MAX {
            kind.more = kind.more.saturating_add(trouble.more.max(1));
        } else {
            kind.named += 1;
            self.named.push(trouble);
        }
    }

    /// No more will come: those that were not named are told as numbers, once.
    pub(crate) fn end(&mut self) {
        for kind in &mut self.kinds {
            let more = std::mem::take(&mut kind.more);
            if more > 0 {
                self.named.push(Trouble { more, ..Trouble::new(b"", kind.what) });
            }
        }
    }

    /// What there is to tell since the last call.
    pub(crate) fn take(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.named)
    }
}

impl Trouble {
    /// A trouble without a cause.
    pub fn new(path: &[u8], what: What) -> Trouble {
        Trouble { path: path.into(), what, cause: None, detail: Box::default(), more: 0 }
    }

    /// A trouble that the system named.
    pub fn of(path: &[u8], what: What, cause: Errno) -> Trouble {
        Trouble { cause: Some(cause), ..Trouble::new(path, what) }
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
        if self.more > 0 {
            return write!(f, "and {} more like it ({})", self.more, self.what);
        }
        write!(f, "{}: {}", shown(&self.path), self.what)?;
        if !self.detail.is_empty() {
            write!(f, " ({})", shown(&self.detail))?;
        }
        self.cause.map_or(Ok(()), |cause| write!(f, ": {}", io::Error::from(cause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_kind_a_thousand_are_named_and_the_rest_is_counted_once() {
        let mut troubles = Troubles::default();
        for number in 0..NAMED_MAX + 7 {
            troubles.add(Trouble::of(number.to_string().as_bytes(), What::Unreadable, Errno::ACCESS));
        }
        let mount = Trouble::new(b"proc", What::Mount);
        troubles.add(mount.clone());
        let named = troubles.take();
        assert_eq!((named.len(), named.last()), (NAMED_MAX + 1, Some(&mount)), "another kind has its own");
        // What was counted before counts on, and taking what was named does not begin anew.
        troubles.add(Trouble { more: 5, ..Trouble::new(b"", What::Unreadable) });
        troubles.add(Trouble::new(b"late", What::Unreadable));
        assert!(troubles.take().is_empty());
        troubles.end();
        let rest = troubles.take();
        assert_eq!(rest, [Trouble { more: 13, ..Trouble::new(b"", What::Unreadable) }]);
        assert_eq!(rest[0].to_string(), "and 13 more like it (could not be read and is missing)");
        troubles.end();
        assert!(troubles.take().is_empty());
    }
}
