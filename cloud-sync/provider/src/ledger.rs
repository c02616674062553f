//! The provider's folder: the signing key and one JSON file per tenant. Files appear whole or not at all and
//! are on the disk when a call returns; one process at a time changes the folder.

use crate::tenant::Record;
use ed25519_dalek::SigningKey;
use holdfast_model::{Error, Kind, Result};
use holdfast_runtime::random;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The folder.
#[derive(Debug)]
pub(crate) struct Ledger {
    dir: PathBuf,
}

/// Held while the folder is changed; the lock goes with it.
#[derive(Debug)]
pub(crate) struct Pen {
    _lock: File,
}

fn failed(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let what = format!("{doing} {}", path.display());
    move |error| Error::io(what, error)
}

impl Ledger {
    /// Opens or makes the folder.
    pub(crate) fn open(dir: &Path) -> Result<Ledger> {
        let tenants = dir.join("tenants");
        DirBuilder::new().recursive(true).mode(0o700).create(&tenants).map_err(failed("make the folder", &tenants))?;
        Ok(Ledger { dir: dir.to_owned() })
    }

    /// Takes the right to change the folder. `provider.busy` if another process has it.
    pub(crate) fn pen(&self) -> Result<Pen> {
        let path = self.dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        lock.try_lock().map_err(|_| {
            let what = format!("another process is at work in {}", self.dir.display());
            Error::new(Kind::Conflict, "provider.busy", what).advice("Wait until it is done.")
        })?;
        Ok(Pen { _lock: lock })
    }

    /// The signing key, made at first use and readable by the owner alone.
    pub(crate) fn signing_key(&self) -> Result<SigningKey> {
        let path = self.dir.join("signing.key");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.write(&path, hex::encode(random::<32>()).as_bytes(), true)?;
                // Whoever was first has won; all sign with what lies there.
                fs::read_to_string(&path).map_err(failed("read", &path))?
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let mut seed = [0u8; 32];
        hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| {
            Error::new(Kind::Corrupt, "provider.key", format!("the signing key in {} is damaged", path.display()))
                .advice("Bring it back from your own backup; tenants know the provider by this key.")
        })?;
        Ok(SigningKey::from_bytes(&seed))
    }

    /// A tenant's record.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Record>> {
        let path = self.path(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::new(Kind::Corrupt, "tenant.damaged", format!("the record of tenant {name} is damaged"))
                .caused_by(error)
                .advice("Bring the provider's folder back from your own backup.")
        })
    }

    /// All records, by name.
    pub(crate) fn all(&self) -> Result<Vec<Record>> {
        let dir = self.dir.join("tenants");
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed("read", &dir))? {
            let entry = entry.map_err(failed("read", &dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".json").map(str::to_owned));
        }
        names.sort();
        names.iter().filter_map(|name| self.read(name).transpose()).collect()
    }

    /// Writes a record.
    pub(crate) fn keep(&self, _pen: &Pen, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record).map_err(|_| Error::bug("a tenant's record cannot be written"))?;
        self.write(&self.path(&record.name), &text, false)
    }

    /// Removes a record.
    pub(crate) fn forget(&self, _pen: &Pen, name: &str) -> Result<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        sync(&self.dir.join("tenants"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join("tenants").join(format!("{name}.json"))
    }

    /// Writes beside, syncs, then renames, or links if what is there must stay.
    fn write(&self, path: &Path, bytes: &[u8], keep_old: bool) -> Result<()> {
        let fresh = self.dir.join(format!(".new-{}", hex::encode(random::<8>())));
        let written = (|| {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            if keep_old {
                match fs::hard_link(&fresh, path) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                    _ => fs::remove_file(&fresh),
                }
            } else {
                fs::rename(&fresh, path)
            }
        })();
        if let Err(error) = written {
            // The error that counts is the first one.
            drop(fs::remove_file(&fresh));
            return Err(failed("write", path)(error));
        }
        sync(path.parent().unwrap_or(&self.dir))
    }
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_signing_key_stays_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&home.path().join("provider")).unwrap();
        let first = ledger.signing_key().unwrap();
        let again = Ledger::open(&home.path().join("provider")).unwrap().signing_key().unwrap();
        assert_eq!(first.to_bytes(), again.to_bytes());
        let mode = |path: &str| fs::metadata(home.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("provider"), mode("provider/signing.key")), (0o700, 0o600));
        fs::write(home.path().join("provider/signing.key"), "damaged").unwrap();
        assert_eq!(ledger.signing_key().unwrap_err().code(), "provider.key");
    }

    #[test]
    fn one_pen_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(home.path()).unwrap();
        let pen = ledger.pen().unwrap();
        assert_eq!(ledger.pen().unwrap_err().code(), "provider.busy");
        drop(pen);
        ledger.pen().unwrap();
    }
}
