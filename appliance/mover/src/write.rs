//! Writing: a tar becomes a folder again, with everything that it says.
//!
//! # Invariants
//! - Nothing is written over: what is there already stays, and is told. Only folders may be there. Of two members of
//!   one name one is made and the other told. Unless the writer may replace: then a member takes the place of
//!   whatever is there and no folder, and nothing is written into an old file.
//! - Nothing outside the folder is touched: names that lead out are refused, every step down is one name, never
//!   through a link, also through one that the stream itself made.
//! - Whatever is not restored as the stream says it is told by path; a file of which a part could not be written is
//!   taken away again.
//! - Small files are written by several threads; everything else in the order of the stream.

use crate::{
    entry::{Entry, Hole, Kind, Xattr},
    holes,
    parse::{Archive, Broken},
    place::{Folder, Last, Place, below},
    pool::Pool,
    restore::{Maker, Tell},
    root,
    trouble::{Trouble, What},
    xattr,
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, XattrFlags, fremovexattr, fsetxattr, ftruncate, linkat, makedev,
        mknodat, openat, symlinkat, unlinkat,
    },
    io::{Errno, pwrite},
};
use std::{
    ffi::{CStr, CString},
    io::Read,
    ops::Range,
    path::Path,
    sync::Arc,
};

/// Files up to this size are handed to the threads, bytes.
const SMALL: u64 = 256 << 10;
/// Content that is handed over at once, bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Files that are handed over at once.
const BATCH_FILES: usize = 64;
/// Batches that wait.
const WAITING: usize = 16;

/// What a writer may do.
#[derive(Clone, Debug)]
pub struct Rights {
    /// Whether owners are restored. Without, everything belongs to this process.
    pub owners: bool,
    /// Whether devices are made.
    pub devices: bool,
    /// Whether what is there, but for folders, gives way.
    pub replaces: bool,
    /// Threads that write small files besides the one that reads the stream; 0 to 16.
    pub threads: usize,
    /// Taken off the front of every name; members that do not begin with it are refused.
    pub strip: Box<[u8]>,
}

/// What was in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Members.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// Writes one folder.
pub struct Writer {
    maker: Arc<Maker>,
    root: Arc<Folder>,
    rights: Rights,
    /// The list that the folder handed on; put back unless the stream tells of the folder itself.
    handed_on: Option<Xattr>,
}

/// Small files on their way to a thread.
#[derive(Default)]
struct Batch {
    files: Vec<(Arc<Folder>, Entry, Range<usize>)>,
    data: Vec<u8>,
}

/// One stream being written.
struct Stream<'a> {
    maker: Arc<Maker>,
    strip: &'a [u8],
    place: Place,
    workers: Workers,
    tells_of_root: bool,
}

/// Threads, and the batch that is being filled for them.
struct Workers {
    pool: Pool<Batch>,
    batch: Batch,
}

impl Default for Rights {
    fn default() -> Rights {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        Rights { owners: true, devices: true, replaces: false, threads, strip: Box::default() }
    }
}

impl Writer {
    /// Opens a folder for writing; it must be there. Troubles are told to `tell`, from several threads.
    pub fn open(path: &Path, rights: Rights, tell: Arc<dyn Fn(Trouble) + Send + Sync>) -> Result<Writer, Errno> {
        let fd = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Writer::new(fd, rights, tell)
    }

    fn new(fd: OwnedFd, rights: Rights, tell: Tell) -> Result<Writer, Errno> {
        let has_proc = xattr::has_proc(&fd);
        let maker = Arc::new(Maker::new(&rights, has_proc, tell));
        // What a folder hands on to all that is made in it would get into the files.
        let handed_on = xattr::Reader::new().of(&fd)?.into_iter().find(|(name, _)| **name == *xattr::ACL_DEFAULT);
        if handed_on.is_some() {
            fremovexattr(&fd, xattr::ACL_DEFAULT)?;
        }
        let root = Folder::new(fd, Last::Nothing, Arc::clone(&maker), None);
        Ok(Writer { root, maker, rights, handed_on })
    }

    /// Takes out all that is in the folder, which stays. What was taken out before an error is gone; very deep trees (more
    /// steps than files may be open) end in one.
    pub fn clear(path: &Path) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |above: BorrowedFd<'_>, name: &CStr| openat(above, name, flags, Mode::empty());
        let root = openat(CWD, path, flags, Mode::empty())?;
        // Each with the name under which it is removed once it is empty.
        let mut way: Vec<(OwnedFd, CString)> = vec![(root, CString::default())];
        while let Some((folder, _)) = way.last() {
            let mut below = None;
            for entry in Dir::read_from(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                match unlinkat(folder, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(Errno::ISDIR | Errno::PERM) => {
                        below = Some((open(folder.as_fd(), name)?, name.to_owned()));
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if let Some(below) = below {
                way.push(below);
            } else if let Some((_, name)) = way.pop()
                && let Some((above, _)) = way.last()
            {
                unlinkat(above, &*name, AtFlags::REMOVEDIR)?;
            }
        }
        Ok(())
    }

    /// Writes a stream to its end. Troubles with single paths are told; only a stream that cannot be read on
    /// is an error, what came before it is written.
    pub fn write<R: Read>(self, archive: &mut Archive<R>) -> Result<Written, Broken> {
        let maker = Arc::clone(&self.maker);
        let work = move |batch: Batch| write_batch(&maker, batch);
        let workers = Workers { pool: Pool::new(self.rights.threads.min(16), WAITING, work), batch: Batch::default() };
        let mut stream = Stream {
            place: Place::new(Arc::clone(&self.root), Arc::clone(&self.maker)),
            maker: Arc::clone(&self.maker),
            strip: &self.rights.strip,
            workers,
            tells_of_root: false,
        };
        let result = stream.write_all(archive);
        // Folders are finished here, the root last, when `self` goes.
        stream.workers.drain();
        stream.place.leave();
        if let Some((name, value)) = &self.handed_on
            && !stream.tells_of_root
        {
            let put_back = fsetxattr(self.root.fd(), &**name, value, XattrFlags::empty());
            self.maker.check(b"", What::Xattr, put_back);
        }
        result
    }
}

impl Stream<'_> {
    fn write_all<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<Written, Broken> {
        let mut written = Written::default();
        while let Some(mut entry) = archive.next()? {
            written.entries += 1;
            written.bytes += entry.size;
            match below(&entry.path, self.strip) {
                Ok(path) => entry.path = path.into(),
                Err(trouble) => {
                    self.maker.tell(trouble);
                    continue;
                }
            }
            if entry.kind == Kind::File {
                self.file(entry, archive)?;
            } else if let Err(trouble) = self.other(entry) {
                self.maker.tell(trouble);
            }
        }
        Ok(written)
    }

    /// Makes everything but files.
    fn other(&mut self, entry: Entry) -> Result<(), Trouble> {
        let path = entry.path.clone();
        let not_made = |error| trouble(&path, error);
        if entry.kind == Kind::Directory {
            self.tells_of_root |= path.is_empty();
            return self.place.make(entry, &mut self.workers.settle()).map_err(not_made);
        }
        if matches!(entry.kind, Kind::Char | Kind::Block) && !self.maker.allows_devices {
            return Err(Trouble::new(&path, What::Device));
        }
        let (above, name) = root::split(&path);
        if name.is_empty() {
            return Err(Trouble::new(&path, What::Exists));
        }
        let folder = self.place.enter(above, &mut self.workers.settle()).map_err(not_made)?;
        let make = |kind| {
            let device = makedev(entry.device.0, entry.device.1);
            self.maker.anew(&folder, name, || mknodat(folder.fd(), name, kind, Mode::from_raw_mode(0o600), device))
        };
        match entry.kind {
            Kind::HardLink => return self.hard_link(&entry, &folder, name),
            Kind::Symlink => self.maker.anew(&folder, name, || symlinkat(&*entry.link, folder.fd(), name)),
            Kind::Fifo => make(FileType::Fifo),
            Kind::Socket => make(FileType::Socket),
            Kind::Char => make(FileType::CharacterDevice),
            _ => make(FileType::BlockDevice),
        }
        .map_err(not_made)?;
        self.maker.finish_at(folder.fd(), name, &entry);
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, folder: &Folder, name: &[u8]) -> Result<(), Trouble> {
        let first = below(&entry.link, self.strip).map_err(|wrong| Trouble::new(&entry.path, wrong.what))?;
        // The first name may still wait to be written.
        self.workers.drain();
        let (above, first_name) = root::split(&first);
        // Not through the place where the stream is: that would finish folders too early.
        let first_folder = open_below(&self.place, above).map_err(|error| trouble(&entry.path, error))?;
        self.maker
            .anew(folder, name, || linkat(&first_folder, first_name, folder.fd(), name, AtFlags::empty()))
            .map_err(|error| trouble(&entry.path, error))
    }

    fn file<R: Read>(&mut self, entry: Entry, archive: &mut Archive<R>) -> Result<(), Broken> {
        let (above, _) = root::split(&entry.path);
        let folder = self.place.enter(above, &mut self.workers.settle());
        let folder = match folder {
            Ok(_) if entry.path.is_empty() => return self.pass(Trouble::new(b"", What::Exists)),
            Ok(folder) => folder,
            Err(error) => return self.pass(trouble(&entry.path, error)),
        };
        if entry.size <= SMALL {
            self.workers.take(folder, entry, archive)
        } else {
            self.large(&folder, &entry, archive)
        }
    }

    /// Goes on without a member; its content is passed over.
    fn pass(&self, trouble: Trouble) -> Result<(), Broken> {
        self.maker.tell(trouble);
        Ok(())
    }

    /// Writes a large file as it comes.
    fn large<R: Read>(&mut self, folder: &Folder, entry: &Entry, archive: &mut Archive<R>) -> Result<(), Broken> {
        let name = root::split(&entry.path).1;
        let file = match create(&self.maker, folder, name) {
            Ok(file) => file,
            Err(error) => return self.pass(trouble(&entry.path, error)),
        };
        let (mut at, mut result) = (0, Ok(()));
        let ending = loop {
            match archive.content() {
                Ok([]) => break Ok(()),
                Ok(part) => {
                    result = result.and_then(|()| put(&file, &entry.holes, at, part));
                    at += part.len() as u64;
                }
                Err(broken) => break Err(broken),
            }
        };
        if ending.is_err() {
            // The stream broke off inside of it.
            result = Err(Errno::IO);
        }
        settle_file(&self.maker, folder, &file, entry, result);
        ending
    }
}

impl Workers {
    /// Takes a small file; its batch goes when it is full.
    fn take<R: Read>(&mut self, folder: Arc<Folder>, entry: Entry, archive: &mut Archive<R>) -> Result<(), Broken> {
        let begin = self.batch.data.len();
        loop {
            match archive.content() {
                Ok([]) => break,
                Ok(part) => self.batch.data.extend_from_slice(part),
                Err(broken) => {
                    self.batch.data.truncate(begin);
                    return Err(broken);
                }
            }
        }
        self.batch.files.push((folder, entry, begin..self.batch.data.len()));
        if self.batch.files.len() >= BATCH_FILES || self.batch.data.len() >= BATCH_BYTES {
            self.send();
        }
        Ok(())
    }

    fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.batch.data.reserve(batch.data.len());
        self.pool.push(batch);
    }

    /// Waits until all that was taken is written.
    fn drain(&mut self) {
        self.send();
        self.pool.drain();
    }

    fn settle(&mut self) -> impl FnMut() + '_ {
        || self.drain()
    }
}

fn write_batch(maker: &Maker, batch: Batch) {
    for (folder, entry, range) in batch.files {
        let name = root::split(&entry.path).1;
        match create(maker, &folder, name) {
            Ok(file) => {
                let result = put(&file, &entry.holes, 0, &batch.data[range]);
                settle_file(maker, &folder, &file, &entry, result);
            }
            Err(error) => maker.tell(trouble(&entry.path, error)),
        }
    }
}

fn create(maker: &Maker, folder: &Folder, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    maker.anew(folder, name, || openat(folder.fd(), name, flags, Mode::from_raw_mode(0o600)))
}

/// Writes a part of a file, leaving holes where they were, if they are zeros indeed.
fn put(file: &OwnedFd, holes: &[Hole], at: u64, part: &[u8]) -> Result<(), Errno> {
    if holes.is_empty() {
        return put_all(file, at, part);
    }
    for (begin, length, is_hole) in holes::cut(holes, at, at + part.len() as u64) {
        let from = (begin - at) as usize;
        let stretch = &part[from..from + length as usize];
        if !(is_hole && holes::is_zero(stretch)) {
            put_all(file, begin, stretch)?;
        }
    }
    Ok(())
}

fn put_all(file: &OwnedFd, mut at: u64, mut part: &[u8]) -> Result<(), Errno> {
    while !part.is_empty() {
        match pwrite(file, part, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(done) => {
                at += done as u64;
                part = &part[done..];
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Finishes a file, or takes away what is not whole.
fn settle_file(maker: &Maker, folder: &Folder, file: &OwnedFd, entry: &Entry, written: Result<(), Errno>) {
    let whole = written.and_then(|()| if entry.holes.is_empty() { Ok(()) } else { ftruncate(file, entry.size) });
    match whole {
        Ok(()) => maker.finish(file, entry, true),
        Err(error) => {
            maker.tell(Trouble::of(&entry.path, What::NotWritten, error));
            let name = root::split(&entry.path).1;
            maker.check(&entry.path, What::NotWritten, unlinkat(folder.fd(), name, AtFlags::empty()));
        }
    }
}

/// Opens a folder on its own way down from the root.
fn open_below(place: &Place, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(place.root_fd(), ".", flags, Mode::empty())?;
    for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        folder = openat(&folder, part, flags, Mode::empty())?;
    }
    Ok(folder)
}

fn trouble(path: &[u8], error: Errno) -> Trouble {
    match error {
        Errno::EXIST => Trouble::new(path, What::Exists),
        error => Trouble::of(path, What::NotMade, error),
    }
}
