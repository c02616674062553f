//! The data folder: its layout, its lock, the device key, the swap of a recovered cache.
//!
//! Layout: `cache/` (the local tier), `catalog/` (disposable, law L4), `device.key` (0600, 32 bytes),
//! `journal/` (law L6), `lanes/` (where movers meet us; empty at each start), `lock`. Invariants: one process per folder; the key is fsynced, folder included,
//! before anything is sealed with it; a cache is replaced only by a complete one.

use holdfast_model::{Error, Kind, Result};
use holdfast_runtime::random;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const CACHE: &str = "cache";
const CACHE_NEW: &str = "cache.recovering";
const CACHE_OLD: &str = "cache.replaced";
const CATALOG: &str = "catalog";
/// Where movers of this machine meet the appliance: sockets, nothing that outlives it.
pub const LANES: &str = "lanes";
const CATALOG_NEW: &str = "catalog.recovering";

/// A data folder that this process owns until it is dropped.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    device_key: [u8; 32],
    _lock: File,
}

/// Space on the folder's disk, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Free for us.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl Folder {
    /// Makes or opens the folder and takes its lock. `Conflict` (`appliance.running`) if another process has it.
    pub fn open(root: &Path) -> Result<Folder> {
        make_folder(root)?;
        let lock = take_lock(&root.join("lock"))?;
        for name in [CATALOG, "journal"] {
            make_folder(&root.join(name))?;
        }
        finish_swap(root)?;
        remove_folder(&root.join(LANES))?;
        make_folder(&root.join(CACHE))?;
        let device_key = device_key(root)?;
        Ok(Folder { root: root.to_owned(), device_key, _lock: lock })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The local tier.
    pub fn cache(&self) -> PathBuf {
        self.root.join(CACHE)
    }
    /// What the appliance remembers.
    pub fn catalog(&self) -> PathBuf {
        self.root.join(CATALOG)
    }
    /// Members that are held.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }
    /// What restores under way have put aside.
    pub fn restores(&self) -> PathBuf {
        self.journal().join("restores")
    }
    /// The key that opens the repository without a person.
    pub fn device_key(&self) -> [u8; 32] {
        self.device_key
    }

    /// Empty folders for a recovery: (cache, catalog).
    pub fn recovering(&self) -> Result<(PathBuf, PathBuf)> {
        let (cache, catalog) = (self.root.join(CACHE_NEW), self.root.join(CATALOG_NEW));
        for folder in [&cache, &catalog] {
            remove_folder(folder)?;
            make_folder(folder)?;
        }
        Ok((cache, catalog))
    }

    /// Throws an unfinished recovery away.
    pub fn recovery_failed(&self) -> Result<()> {
        remove_folder(&self.root.join(CACHE_NEW))?;
        remove_folder(&self.root.join(CATALOG_NEW))
    }

    /// Puts the recovered cache into place. A crash in between is finished by the next [`Folder::open`].
    pub fn recovery_done(&self) -> Result<()> {
        let (cache, new, old) = (self.cache(), self.root.join(CACHE_NEW), self.root.join(CACHE_OLD));
        remove_folder(&old)?;
        sync_folder(&new)?;
        rename(&cache, &old)?;
        sync_folder(&self.root)?;
        rename(&new, &cache)?;
        sync_folder(&self.root)?;
        remove_folder(&old)?;
        remove_folder(&self.root.join(CATALOG_NEW))
    }

    /// Space on the disk that holds the folder.
    pub fn space(&self) -> Result<Space> {
        space_at(&self.root)
    }
    /// Tells free and total bytes of that disk whenever it is asked. Whoever keeps it keeps neither the folder nor its lock.
    pub fn space_teller(&self) -> Arc<dyn Fn() -> Option<(u64, u64)> + Send + Sync> {
        let root = self.root.clone();
        Arc::new(move || space_at(&root).ok().map(|space| (space.free, space.total)))
    }

    /// Whether only the owner may read the device key.
    pub fn key_is_private(&self) -> Result<bool> {
        let meta = fs::metadata(self.root.join("device.key"))
            .map_err(|error| Error::io("the appliance's own key file cannot be looked at", error))?;
        Ok(meta.permissions().mode() & 0o077 == 0)
    }

    /// Writes, syncs and removes a small file: proves that the folder takes data.
    pub fn try_writing(&self) -> Result<()> {
        let path = self.root.join(".writable");
        let written =
            File::create(&path).and_then(|mut file| file.write_all(b"holdfast").and_then(|()| file.sync_all()));
        let removed = fs::remove_file(&path);
        written.and(removed).map_err(|error| Error::io("the data folder does not take data", error))
    }
}

fn space_at(root: &Path) -> Result<Space> {
    let stat = rustix::fs::statvfs(root).map_err(|error| {
        Error::io("the free space of the data folder could not be read", std::io::Error::from(error))
    })?;
    let unit = stat.f_frsize;
    Ok(Space { free: stat.f_bavail.saturating_mul(unit), total: stat.f_blocks.saturating_mul(unit) })
}

/// A recovery that had already taken the old cache away is complete: put it into place. Any other is thrown away.
fn finish_swap(root: &Path) -> Result<()> {
    let (cache, new, old) = (root.join(CACHE), root.join(CACHE_NEW), root.join(CACHE_OLD));
    if !cache.exists() && new.exists() && old.exists() {
        rename(&new, &cache)?;
        sync_folder(root)?;
    }
    remove_folder(&new)?;
    if cache.exists() {
        remove_folder(&old)?;
    }
    remove_folder(&root.join(CATALOG_NEW))
}

fn take_lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Error::io("the data folder cannot be locked", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Kind::Conflict, "appliance.running", "another holdfast serve uses this data folder")
                .advice("Stop the other one, or give this one a data folder of its own."))
        }
        Err(TryLockError::Error(error)) => Err(Error::io("the data folder cannot be locked", error)),
    }
}

/// Reads the device key or makes it. A short or long file is a damaged key, never a reason for a new one.
fn device_key(root: &Path) -> Result<[u8; 32]> {
    let path = root.join("device.key");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return make_device_key(root, &path),
        Err(error) => return Err(Error::io("the appliance's own key file cannot be read", error)),
    };
    let mut bytes = Vec::with_capacity(32);
    // One byte more than a key, so that a file that is too long is seen and not read whole.
    file.take(33)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("the appliance's own key file cannot be read", error))?;
    bytes.try_into().map_err(|_| {
        Error::new(
            Kind::Corrupt,
            "key.malformed",
            "the appliance's own key file is damaged; the cache cannot be opened",
        )
        .advice("Put device.key back from a copy, or recover from the bucket with the recovery kit.")
    })
}

fn make_device_key(root: &Path, path: &Path) -> Result<[u8; 32]> {
    let key: [u8; 32] = random();
    let fresh = path.with_extension("key.new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|error| Error::io("the appliance's own key file cannot be written", error))?;
    sync_folder(root)?;
    Ok(key)
}

fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(format!("the folder {} cannot be made", path.display()), error))
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("the folder {} cannot be removed", path.display()), error))
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::io(format!("the folder {} cannot be renamed", from.display()), error))
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(format!("the folder {} cannot be synced", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_private() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap();
        let key = first.device_key();
        assert!(first.key_is_private().unwrap());
        assert!(first.space().unwrap().total > 0);
        first.try_writing().unwrap();
        drop(first);
        assert_eq!(Folder::open(place.path()).unwrap().device_key(), key);
    }

    #[test]
    fn a_second_process_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let _first = Folder::open(place.path()).unwrap();
        let error = Folder::open(place.path()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Conflict, "appliance.running"));
    }

    #[test]
    fn who_tells_the_space_does_not_keep_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap();
        let tell = first.space_teller();
        drop(first);
        assert!(Folder::open(place.path()).is_ok(), "the lock is free");
        let (free, total) = tell().unwrap();
        assert!(total > 0 && free <= total);
        drop(place);
        assert_eq!(tell(), None, "nothing is known of a folder that is gone");
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        drop(Folder::open(place.path()).unwrap());
        fs::write(place.path().join("device.key"), b"short").unwrap();
        assert_eq!(Folder::open(place.path()).unwrap_err().code(), "key.malformed");
        assert_eq!(fs::read(place.path().join("device.key")).unwrap(), b"short");
    }

    /// Every place where a crash can leave the swap: the folder has one whole cache afterwards.
    #[test]
    fn a_swap_cut_anywhere_ends_with_one_whole_cache() {
        for (cut, survivor) in [("building", "old"), ("old gone", "new"), ("new in place", "new")] {
            let place = tempfile::tempdir().unwrap();
            let folder = Folder::open(place.path()).unwrap();
            fs::write(folder.cache().join("mark"), "old").unwrap();
            let (new, _) = folder.recovering().unwrap();
            fs::write(new.join("mark"), "new").unwrap();
            if cut != "building" {
                fs::rename(folder.cache(), place.path().join(CACHE_OLD)).unwrap();
            }
            if cut == "new in place" {
                fs::rename(&new, folder.cache()).unwrap();
            }
            drop(folder);
            let again = Folder::open(place.path()).unwrap();
            assert_eq!(fs::read_to_string(again.cache().join("mark")).unwrap(), survivor, "{cut}");
            for gone in [CACHE_NEW, CACHE_OLD, CATALOG_NEW] {
                assert!(!place.path().join(gone).exists(), "{cut}: {gone}");
            }
        }
    }

    #[test]
    fn a_finished_swap_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let (new, _) = folder.recovering().unwrap();
        fs::write(new.join("mark"), "new").unwrap();
        folder.recovery_done().unwrap();
        assert_eq!(fs::read_to_string(folder.cache().join("mark")).unwrap(), "new");
        assert!(!place.path().join(CACHE_OLD).exists());
    }
}
