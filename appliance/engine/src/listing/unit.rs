//! A unit of a listing: the entries of one group of a tree, or of all archives of a section, in the order of paths.
//!
//! Names come from outside (law L8): they are compared, counted and shown, never used. Invariant: rows rise strictly;
//! of several entries of one path the last one counts, as it does when an archive is unpacked.

use super::path;
use holdfast_model::{
    Error, Kind, Moment, Result,
    view::{FileKind, FileView},
};
use holdfast_tar::{Found, MemberKind};

/// A unit takes at most so much memory, bytes: three million files in one archive.
const WEIGHT_MAX: usize = 384 << 20;

/// Where in a unit's text something stands.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    at: u32,
    length: u32,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    path: Span,
    link: Span,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Bytes of content.
    pub size: u64,
    /// Last change: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Which member of the unit it is.
    pub number: u32,
    /// Which of the section's streams it lies in.
    pub stream: u32,
    /// Where its headers and its content begin, bytes from where the unit begins in that stream.
    pub head: u64,
    /// See `head`.
    pub body: u64,
}

/// How names in an archive become paths in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// All lie under one name, which is left out.
    Under(&'static [u8]),
    /// They lie in this folder.
    Into(Vec<u8>),
}

impl Naming {
    /// The path of a name; `None` if it is none that a file can have.
    pub fn path(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut name = name;
        while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
            name = rest;
        }
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let path = match self {
            Naming::Under(root) if name == *root => return Some(Vec::new()),
            Naming::Under(root) => path::rest_below(name, root)?.to_vec(),
            Naming::Into(folder) if name.is_empty() || name == b"." => folder.clone(),
            Naming::Into(folder) => path::join(folder, name),
        };
        (path.is_empty() || path::is_plain(&path)).then_some(path)
    }
}

/// Entries in the order of their paths.
#[derive(Debug, Default)]
pub struct Unit {
    rows: Vec<Row>,
    text: Vec<u8>,
    /// Entries whose names are none.
    pub left_out: u64,
    members: u32,
}

impl Unit {
    /// Its entries.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
    /// Path of an entry.
    pub fn path(&self, row: &Row) -> &[u8] {
        self.text_at(row.path)
    }
    /// Target of a link.
    pub fn link(&self, row: &Row) -> &[u8] {
        self.text_at(row.link)
    }
    /// The first entry that does not lie before `target`.
    pub fn seek(&self, target: &[u8]) -> usize {
        self.rows.partition_point(|row| path::order(self.path(row), target).is_lt())
    }
    /// Memory it takes, bytes.
    pub fn weight(&self) -> usize {
        size_of::<Unit>() + self.rows.capacity() * size_of::<Row>() + self.text.capacity()
    }

    /// An entry for people.
    pub fn view(&self, row: &Row) -> FileView {
        let full = self.path(row);
        let link = self.link(row);
        let millis = row.mtime.0.saturating_mul(1000).saturating_add(i64::from(row.mtime.1 / 1_000_000));
        FileView {
            name: path::show(path::last(full)),
            path: path::show(full),
            kind: row.kind,
            size: matches!(row.kind, FileKind::File | FileKind::Other).then_some(row.size),
            mode: Some(row.mode),
            uid: Some(row.owner.0),
            gid: Some(row.owner.1),
            mtime: Some(Moment::from_millis(millis)),
            link: (!link.is_empty()).then(|| path::show(link)),
        }
    }

    /// Takes an entry in; those that have no path are counted.
    pub fn take(&mut self, found: Found, naming: &Naming, stream: u32) -> Result<()> {
        let Found { member, head, body } = found;
        let number = self.members;
        self.members = self.members.saturating_add(1);
        let Some(path) = naming.path(&member.path) else {
            self.left_out += 1;
            return Ok(());
        };
        let kind = kind_of(member.kind);
        let link = match kind {
            FileKind::HardLink => naming.path(&member.link).unwrap_or_default(),
            _ => member.link,
        };
        let row = Row {
            path: self.write(&path)?,
            link: self.write(&link)?,
            kind,
            mode: member.mode,
            owner: (member.uid, member.gid),
            size: member.size,
            mtime: (member.mtime, member.nanos),
            number,
            stream,
            head,
            body,
        };
        self.rows.push(row);
        if self.weight() > WEIGHT_MAX {
            return Err(Error::new(Kind::Refused, "files.too_many", "this holds more files than can be listed")
                .advice("It was read through the engine's archive API. Restore the volume beside the original, or let the helper container run there: what it reads is listed however large it is."));
        }
        Ok(())
    }

    /// Brings the entries into order.
    pub fn finish(mut self) -> Unit {
        let text = std::mem::take(&mut self.text);
        let of = |row: &Row| &text[row.path.at as usize..][..row.path.length as usize];
        if !self.rows.is_sorted_by(|a, b| path::order(of(a), of(b)).is_lt()) {
            self.rows.sort_by(|a, b| path::order(of(a), of(b)));
            // Of equal ones the last stays: the sort is stable.
            self.rows.reverse();
            self.rows.dedup_by(|a, b| of(a) == of(b));
            self.rows.reverse();
        }
        self.text = text;
        self.rows.shrink_to_fit();
        self.text.shrink_to_fit();
        self
    }

    fn text_at(&self, span: Span) -> &[u8] {
        &self.text[span.at as usize..][..span.length as usize]
    }

    fn write(&mut self, text: &[u8]) -> Result<Span> {
        // The weight is bounded far below what 32 bits count.
        let narrow = |number: usize| u32::try_from(number).map_err(|_| Error::bug("a listing grew out of its bounds"));
        let span = Span { at: narrow(self.text.len())?, length: narrow(text.len())? };
        self.text.extend_from_slice(text);
        Ok(span)
    }
}

fn kind_of(kind: MemberKind) -> FileKind {
    match kind {
        MemberKind::File | MemberKind::Other(b'7') => FileKind::File,
        MemberKind::HardLink => FileKind::HardLink,
        MemberKind::Symlink => FileKind::Symlink,
        MemberKind::Directory => FileKind::Folder,
        MemberKind::Socket => FileKind::Socket,
        MemberKind::Other(b'3') => FileKind::CharDevice,
        MemberKind::Other(b'4') => FileKind::BlockDevice,
        MemberKind::Other(b'6') => FileKind::Pipe,
        MemberKind::Other(_) => FileKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_tar::{Outline, write::Entry};

    fn unit(names: &[&str], naming: &Naming) -> Unit {
        let (mut outline, mut unit) = (Outline::new(), Unit::default());
        for (number, name) in names.iter().enumerate() {
            let header = Entry::file(name.as_bytes(), number as u64).header().unwrap();
            outline.bytes(&header, &mut |found| unit.take(found, naming, 0)).unwrap();
            let whole = number.next_multiple_of(512) as u64;
            outline.zeros(whole, &mut |found| unit.take(found, naming, 0)).unwrap();
        }
        unit.finish()
    }

    #[test]
    fn entries_come_into_order_and_the_last_of_equals_counts() {
        let unit = unit(&["v/b", "v/a-", "v/a/x", "v", "v/b", "v/../x", "w", "v//y", "v/a"], &Naming::Under(b"v"));
        let paths: Vec<_> = unit.rows().iter().map(|row| (unit.view(row).path, row.size)).collect();
        let expected = [("", 3), ("a", 8), ("a/x", 2), ("a-", 1), ("b", 4)];
        assert_eq!(paths, expected.map(|(path, size)| (path.to_owned(), size)));
        assert_eq!(unit.left_out, 3);
        assert_eq!((unit.seek(b"a/x"), unit.seek(b"a/y"), unit.seek(b"zz")), (2, 3, 5));
    }

    #[test]
    fn layers_lie_in_their_folders() {
        let into = Naming::Into(b"etc/app".to_vec());
        for (name, path) in [("conf", Some("etc/app/conf")), ("./x/", Some("etc/app/x")), ("a/../../b", None)] {
            assert_eq!(into.path(name.as_bytes()).as_deref(), path.map(str::as_bytes), "{name}");
        }
        assert_eq!(Naming::Into(Vec::new()).path(b"etc").unwrap(), b"etc");
    }
}
