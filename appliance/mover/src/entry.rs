//! What a tree holds: one entry with everything a file system says of it, and its identity.
//!
//! Invariant: two entries with the same identity are the same file in the same state, as far as the file
//! system tells; the identity does not depend on the machine, the mount or the time of the walk.

use std::fmt;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an entry that came earlier.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket. Tar has no word for it: a vendor record says so.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// A moment of a file: seconds since 1970 (below zero before) and nanoseconds after those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanos: u32,
}

impl Time {
    /// Before everything.
    pub const MIN: Time = Time { seconds: i64::MIN, nanos: 0 };
}

/// An extended attribute: name and value, raw.
pub type Xattr = (Box<[u8]>, Box<[u8]>);

/// A stretch of a file without data: where it begins and how long it is, in bytes.
pub type Hole = (u64, u64);

/// One entry of a tree. Names are raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, components separated by `/`; empty for the root itself.
    pub path: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content; 0 for everything but files.
    pub size: u64,
    /// Whether it has to be opened to know its holes; if not, it has none.
    pub may_have_holes: bool,
    /// Set if it changed so shortly before the walk that a further change might not show in its times: a moment that is
    /// the walk's own. It makes the identity one that no other walk gives.
    pub unsettled: Option<Time>,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of the content or of what is known of it.
    pub ctime: Time,
    /// Number of the inode.
    pub inode: u64,
    /// Names of the inode.
    pub links: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Target of a symbolic link; the first name of a hard link.
    pub link: Box<[u8]>,
    /// Stretches of the content without data, in order, as far as they were looked for
    /// ([`Reader::find_holes`](crate::Reader::find_holes)).
    pub holes: Vec<Hole>,
    /// Extended attributes by name; none for hard links, the first name has them.
    pub xattrs: Vec<Xattr>,
}

/// Hash of all that identifies an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

impl Entry {
    /// An entry without attributes: mode 0644 or 0755 for directories, owned by 0:0, of 1970.
    pub fn new(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            may_have_holes: false,
            unsettled: None,
            mtime: Time::default(),
            ctime: Time::default(),
            inode: 0,
            links: 1,
            device: (0, 0),
            link: Box::default(),
            holes: Vec::new(),
            xattrs: Vec::new(),
        }
    }

    /// Keyed hash over path, type, mode, owner, size, times, inode, device numbers, link target and attributes.
    /// Under a secret key nobody can make a file that is taken for another.
    /// The number of names is not part of it (a new name elsewhere changes ctime anyway), nor is the file
    /// system's own number, which a reboot may change.
    pub fn identity(&self, key: &[u8; 32]) -> Identity {
        let mut text = Vec::with_capacity(self.path.len() + self.link.len() + 96);
        let mut bytes = |part: &[u8]| {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        };
        bytes(&self.path);
        bytes(&self.link);
        for (name, value) in &self.xattrs {
            bytes(name);
            bytes(value);
        }
        let numbers = [
            self.kind as u64,
            u64::from(self.mode),
            u64::from(self.uid),
            u64::from(self.gid),
            self.size,
            self.unsettled.map_or(0, |since| since.seconds.cast_unsigned()),
            self.unsettled.map_or(0, |since| u64::from(since.nanos) + 1),
            self.mtime.seconds.cast_unsigned(),
            u64::from(self.mtime.nanos),
            self.ctime.seconds.cast_unsigned(),
            u64::from(self.ctime.nanos),
            self.inode,
            u64::from(self.device.0),
            u64::from(self.device.1),
        ];
        for number in numbers {
            text.extend_from_slice(&number.to_le_bytes());
        }
        Identity(*blake3::keyed_hash(key, &text).as_bytes())
    }

    /// Whether content follows the header.
    pub fn has_content(&self) -> bool {
        self.kind == Kind::File && self.size > 0
    }
}

impl Identity {
    /// The first eight bytes, as a mark of an entry inside its group; never 0.
    pub fn mark(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.mark().swap_bytes())
    }
}

/// A name for people: raw bytes with everything unprintable escaped.
pub fn shown(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { path.escape_ascii().to_string().replace("\\\\", "\\") }
}
