//! What a folder store asks of a file system, as a trait: the real one here, a simulated one in `sim`.
//!
//! Invariants: one call is one step that a power cut can come before or after; no call retries, and none
//! is cleverer than the system call it is named for. Paths are absolute.

mod new_file;

use holdfast_model::Moment;
use new_file::NewFile;
use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Anything else: links, sockets.
    Other,
}

/// Sort, size and time of what lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub sort: Sort,
    /// Bytes, of a file.
    pub size: u64,
    /// When it was last written, by the clock of the machine that holds it; `None` where that is not told.
    pub modified: Option<Moment>,
}

/// An entry of a folder.
#[derive(Debug)]
pub struct Found {
    /// Its name in the folder.
    pub name: OsString,
    /// What it is; the error if it was removed since the folder was read.
    pub facts: io::Result<Facts>,
}

/// A new file being written.
pub trait Writing: Send {
    /// Appends all bytes.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Brings contents and size onto the medium. After a failure the file must be given up: the kernel may have
    /// dropped the pages, and the next call would succeed.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read.
pub trait Reading: Send {
    /// Of the open file.
    fn facts(&self) -> io::Result<Facts>;
    /// Fills `bytes` from `offset` on; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Keeps a lock until it is dropped.
pub type Lock = Box<dyn Send + Sync>;

/// A file system. All calls block.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder for the owner only; `AlreadyExists` if something is there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and those above it that are missing.
    fn make_folders(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Brings a folder's entries onto the medium.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file for the owner only; `AlreadyExists` if something is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Writing>>;
    /// Gives a file another name, replacing the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// What lies there; links are not followed.
    fn look(&self, path: &Path) -> io::Result<Facts>;
    /// Opens a file, or whatever is there, for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Reading>>;
    /// The entries of a folder, in any order.
    fn entries(&self, path: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<Found>>>>;
    /// The lock of a file, which is made if it is missing; `None` if somebody else holds it. A file system
    /// without locks gives it to everybody.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl From<Metadata> for Facts {
    fn from(facts: Metadata) -> Facts {
        let sort = match facts.file_type() {
            sort if sort.is_file() => Sort::File,
            sort if sort.is_dir() => Sort::Folder,
            _ => Sort::Other,
        };
        let since = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = since.and_then(|since| i64::try_from(since.as_millis()).ok()).map(Moment::from_millis);
        Facts { sort, size: facts.len(), modified }
    }
}

impl Disk for RealDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Writing>> {
        Ok(Box::new(NewFile::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn look(&self, path: &Path) -> io::Result<Facts> {
        Ok(fs::symlink_metadata(path)?.into())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Reading>> {
        Ok(Box::new(File::open(path)?))
    }

    fn entries(&self, path: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<Found>>>> {
        let entries = fs::read_dir(path)?;
        Ok(Box::new(entries.map(|entry| {
            let entry = entry?;
            Ok(Found { name: entry.file_name(), facts: entry.metadata().map(Facts::from) })
        })))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(_)) | Ok(()) => Ok(Some(Box::new(file))),
        }
    }
}

impl Reading for File {
    fn facts(&self) -> io::Result<Facts> {
        Ok(self.metadata()?.into())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }
}
