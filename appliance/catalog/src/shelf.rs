//! Where rows lie: sled on disk, or a map in memory. The only file that knows sled.
//!
//! sled reports damage as an error or by a panic, at opening or later. Both are caught at this door; damage
//! seen later leaves a mark, so that the next opening begins anew.

use crate::{Opened, Table};
use holdfast_model::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::io::ErrorKind as Io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, thread, time::Duration};

/// Memory that sled may use for pages.
const CACHE_BYTES: u64 = 32 << 20;
/// How often sled hands its rows to the kernel by itself.
const FLUSH_EVERY_MS: u64 = 1000;
/// sled's threads hold the lock a moment longer than its last handle: how often and how long we wait for it.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Left in the folder when damage was seen.
const MARK: &str = "damaged";

type Map = BTreeMap<String, Vec<u8>>;

#[derive(Debug)]
pub(crate) enum Shelf {
    Disk(Disk),
    Memory(Mutex<[Map; Table::ALL.len()]>),
}

#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// In the order of [`Table::ALL`].
    trees: Vec<sled::Tree>,
    /// After the trees: the last handle to go.
    db: sled::Db,
}

impl Shelf {
    pub(crate) fn in_memory() -> Shelf {
        Shelf::Memory(Mutex::default())
    }

    pub(crate) fn open(folder: &Path) -> Result<(Shelf, Opened)> {
        if !folder.join(MARK).exists() {
            match open_patiently(folder) {
                Ok(disk) => {
                    let opened = if disk.db.was_recovered() { Opened::Existing } else { Opened::Fresh };
                    return Ok((Shelf::Disk(disk), opened));
                }
                Err(Trouble::Outside(error)) => return Err(error),
                Err(Trouble::Damage(words)) => {
                    tracing::warn!(folder = %folder.display(), %words, "the catalog is damaged and begins anew");
                }
            }
        }
        move_aside(folder)?;
        match open_patiently(folder) {
            Ok(disk) => Ok((Shelf::Disk(disk), Opened::Renewed)),
            Err(Trouble::Outside(error)) => Err(error),
            Err(Trouble::Damage(words)) => Err(failed(words)),
        }
    }

    pub(crate) fn get(&self, table: Table, key: &str) -> Option<Vec<u8>> {
        match self {
            Shelf::Memory(maps) => map(&mut lock(maps), table).get(key).cloned(),
            Shelf::Disk(disk) => disk.guarded(|| disk.tree(table).get(key)).ok()?.map(|row| row.to_vec()),
        }
    }

    pub(crate) fn put(&self, table: Table, key: &str, row: Vec<u8>) -> Result<()> {
        match self {
            Shelf::Memory(maps) => {
                map(&mut lock(maps), table).insert(key.to_owned(), row);
                Ok(())
            }
            Shelf::Disk(disk) => disk.guarded(|| disk.tree(table).insert(key, row).map(drop)),
        }
    }

    pub(crate) fn remove(&self, table: Table, key: &str) -> Result<()> {
        match self {
            Shelf::Memory(maps) => {
                map(&mut lock(maps), table).remove(key);
                Ok(())
            }
            Shelf::Disk(disk) => disk.guarded(|| disk.tree(table).remove(key).map(drop)),
        }
    }

    /// Gives all rows that can be read; where reading fails, it ends.
    pub(crate) fn scan(&self, table: Table, prefix: &str, seen: &mut dyn FnMut(&[u8], &[u8])) {
        match self {
            Shelf::Memory(maps) => {
                let rows = map(&mut lock(maps), table).clone();
                let wanted = rows.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
                wanted.for_each(|(key, row)| seen(key.as_bytes(), row));
            }
            Shelf::Disk(disk) => {
                // Damage is marked by the guard; the rows seen so far are good.
                let _ = disk.guarded(|| {
                    for row in disk.tree(table).scan_prefix(prefix) {
                        let (key, row) = row?;
                        seen(&key, &row);
                    }
                    Ok(())
                });
            }
        }
    }

    pub(crate) fn clear(&self, table: Table) -> Result<()> {
        match self {
            Shelf::Memory(maps) => {
                map(&mut lock(maps), table).clear();
                Ok(())
            }
            Shelf::Disk(disk) => disk.guarded(|| disk.tree(table).clear()),
        }
    }

    pub(crate) fn flush(&self) -> Result<()> {
        match self {
            Shelf::Memory(_) => Ok(()),
            Shelf::Disk(disk) => disk.guarded(|| disk.db.flush().map(drop)),
        }
    }
}

impl Disk {
    fn tree(&self, table: Table) -> &sled::Tree {
        &self.trees[table as usize]
    }

    /// Runs sled, turns what goes wrong into an error, and marks the folder if it is damaged.
    fn guarded<T>(&self, work: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        match attempt(work) {
            Ok(value) => Ok(value),
            Err(Trouble::Outside(error)) => Err(error),
            Err(Trouble::Damage(words)) => {
                tracing::warn!(folder = %self.folder.display(), %words, "the catalog is damaged and begins anew at the next start");
                // If even this fails, the next opening meets the damage itself.
                let _ = fs::write(self.folder.join(MARK), b"");
                Err(failed(words))
            }
        }
    }
}

/// Why sled failed.
enum Trouble {
    /// The folder holds what sled cannot read.
    Damage(String),
    /// Something that a new folder would not cure.
    Outside(Error),
}

fn open_patiently(folder: &Path) -> Result<Disk, Trouble> {
    let mut tries = 0;
    loop {
        match attempt(|| open_once(folder)) {
            Err(Trouble::Outside(error)) if error.kind() == Kind::Conflict && tries < LOCK_TRIES => {
                tries += 1;
                thread::sleep(LOCK_WAIT);
            }
            end => return end,
        }
    }
}

fn open_once(folder: &Path) -> sled::Result<Disk> {
    let db = sled::Config::new()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .mode(sled::Mode::LowSpace)
        .open()?;
    let trees = Table::ALL.iter().map(|table| db.open_tree(table.name())).collect::<sled::Result<_>>()?;
    Ok(Disk { folder: folder.to_owned(), trees, db })
}

/// Runs sled behind a wall.
fn attempt<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Trouble> {
    // After a panic nothing is read from sled again without another wall around it.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(classify(error)),
        Err(_) => Err(Trouble::Damage("the key-value store gave up".into())),
    }
}

fn classify(error: sled::Error) -> Trouble {
    let sled::Error::Io(io) = &error else { return Trouble::Damage(error.to_string()) };
    // sled has no kind of its own for this.
    if io.to_string().contains("could not acquire lock") {
        let error = Error::new(Kind::Conflict, "catalog.locked", "the catalog is in use by another process")
            .advice("stop the other appliance that works in this data folder");
        return Trouble::Outside(error);
    }
    match io.kind() {
        Io::PermissionDenied | Io::StorageFull | Io::QuotaExceeded | Io::ReadOnlyFilesystem => {
            Trouble::Outside(Error::io("the catalog cannot be written", std::io::Error::new(io.kind(), io.to_string())))
        }
        _ => Trouble::Damage(error.to_string()),
    }
}

/// Moves a folder away, for somebody to look into. Only the last damage is kept.
fn move_aside(folder: &Path) -> Result<()> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".damaged");
    let aside = folder.with_file_name(name);
    let moving = |e| Error::io(format!("move the damaged catalog {} aside", folder.display()), e);
    match fs::remove_dir_all(&aside) {
        Err(e) if e.kind() != Io::NotFound => fs::remove_file(&aside).map_err(moving)?,
        _ => {}
    }
    match fs::rename(folder, &aside) {
        Err(e) if e.kind() != Io::NotFound => Err(moving(e)),
        _ => Ok(()),
    }
}

fn failed(words: String) -> Error {
    Error::new(
        Kind::Unavailable,
        "catalog.failed",
        format!("the catalog failed ({words}); no backup is touched by that"),
    )
    .advice("it is rebuilt from the stored backups at the next start")
}

fn map(maps: &mut [Map; Table::ALL.len()], table: Table) -> &mut Map {
    &mut maps[table as usize]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Single map operations only: a poisoned map is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
