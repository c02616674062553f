//! Shapes for looking into snapshots: what is in them, what is called so, what differs.
//!
//! Names and paths are text that stands for raw bytes: `\\` is a backslash, `\xHH` a byte that is not part of readable
//! text (not UTF-8, a control character, one that turns text around). Written back so, they name the same file.

use crate::{Moment, SnapshotId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A further name of a file, see `link`.
    HardLink,
    /// A socket.
    Socket,
    /// A named pipe.
    Pipe,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// Something that only its archive knows.
    Other,
}

/// A part of a snapshot that holds files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SectionView {
    /// How it is asked for: `volume:NAME`, `bind:/PATH`, `container:NAME`, `dump:NAME`.
    pub section: String,
    /// `volume`, `bind`, `container` (what was changed in its own file system) or `dump` (of a database).
    pub kind: String,
    /// Name, or path on the host.
    pub name: String,
    /// A folder, not a single file.
    pub folder: bool,
    /// Files, folders and all else in it.
    pub entries: u64,
    /// Bytes it takes as an archive.
    pub bytes: u64,
    /// Whether it can be looked into.
    pub readable: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Folders in it whose files are whole only with a server's log.
    #[serde(default)]
    pub logged: Vec<LoggedFolder>,
}

/// A folder with files of a server that wrote while they were read: only with its log are they whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedFolder {
    /// Its path in the section; empty for the section's own root.
    pub path: String,
    /// The server in words, `PostgreSQL in container NAME`.
    pub server: String,
}

/// A file, a folder, or what else lies in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// Last part of its path.
    pub name: String,
    /// Path in its section, without a slash at either end.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Bytes, of files.
    pub size: Option<u64>,
    /// Permission bits; absent, as the owner and the time, of folders of which only what lies in them was stored.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u64>,
    /// Group.
    pub gid: Option<u64>,
    /// Last change.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub mtime: Option<Moment>,
    /// Where a link points to; of a hard link a path in the same section.
    pub link: Option<String>,
}

/// One page of what lies in a folder, ordered by the bytes of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderView {
    /// The snapshot.
    #[schema(value_type = String)]
    pub snapshot: SnapshotId,
    /// The section.
    pub section: String,
    /// The folder; empty for the section's own root.
    pub path: String,
    /// What lies in it.
    pub files: Vec<FileView>,
    /// Name to ask the next page with (`after`), if there is one.
    pub next: Option<String>,
    /// Entries that were met and are not shown, because their names are none that a file can have.
    pub left_out: u64,
}

/// A snapshot in which something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundIn {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SnapshotId,
    /// Start of the capture.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundVersion {
    /// As it was then.
    pub file: FileView,
    /// How many snapshots hold it so.
    pub count: u64,
    /// The newest of them, newest first, at most 20.
    pub snapshots: Vec<FoundIn>,
}

/// A path that was found, with all its versions, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundView {
    /// Section that it lies in.
    pub section: String,
    /// Its path there.
    pub path: String,
    /// Versions.
    pub versions: Vec<FoundVersion>,
}

/// What a search by name found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindView {
    /// Paths, those of the newest snapshots first.
    pub found: Vec<FoundView>,
    /// Snapshots that were looked through, newest first.
    pub snapshots: u64,
    /// Whether everything was looked through and everything found is told.
    pub complete: bool,
    /// What is missing, in words.
    pub missing: Vec<String>,
}

/// What became of a file between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is only in the later one.
    Added,
    /// It is only in the earlier one.
    Removed,
    /// It is in both, and differs.
    Changed,
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// Section that it lies in.
    pub section: String,
    /// Its path there; empty if it is the section as a whole.
    pub path: String,
    /// What became of it.
    pub change: ChangeKind,
    /// What differs: `kind`, `size`, `mode`, `owner`, `mtime`, `link`, `content`, `attributes`.
    pub differs: Vec<String>,
    /// As it was.
    pub before: Option<FileView>,
    /// As it is.
    pub after: Option<FileView>,
}

/// One page of what differs between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// The one compared with.
    #[schema(value_type = String)]
    pub before: SnapshotId,
    /// The one that is looked at.
    #[schema(value_type = String)]
    pub after: SnapshotId,
    /// What differs, by section and path.
    pub changes: Vec<ChangeView>,
    /// What to ask the next page with (`after`), if there is one.
    pub next: Option<String>,
    /// Sections that could not be compared, and why.
    pub missing: Vec<String>,
}
