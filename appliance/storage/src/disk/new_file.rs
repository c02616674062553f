//! A new file, written past the system's cache of file contents where that can be done.
//!
//! A pack is written once and read by nobody who could not read it from the medium. Through the cache it would push out
//! what the protected apps have there, and writing it would cost several times the CPU: every page is fetched, zeroed
//! and copied into. Invariants: what is written is the same either way; whatever the file system does not let through is
//! written the common way.

use super::Writing;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What is shorter goes through the cache, bytes.
const DIRECT_MIN: usize = 1 << 20;
/// What is written at once, bytes.
const PIECE: usize = 4 << 20;
/// Places in file and memory are multiples of this; no medium asks for more, bytes.
const ALIGNMENT: usize = 4096;

/// A file that was made just now.
pub(super) struct NewFile {
    file: File,
    path: PathBuf,
    /// Bytes written.
    length: u64,
}

impl NewFile {
    /// Makes it for the owner only; `AlreadyExists` if something is there.
    pub(super) fn create(path: &Path) -> io::Result<NewFile> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(NewFile { file, path: path.to_path_buf(), length: 0 })
    }

    /// Writes as much as goes past the cache; the answer is how much that was.
    fn write_direct(&self, bytes: &[u8]) -> usize {
        if bytes.len() < DIRECT_MIN || !self.length.is_multiple_of(ALIGNMENT as u64) {
            return 0;
        }
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
        // Not all file systems know the flag.
        let Ok(direct) = OpenOptions::new().write(true).custom_flags(flags).open(&self.path) else { return 0 };
        let whole = bytes.len() - bytes.len() % ALIGNMENT;
        let mut room = vec![0; PIECE.min(whole) + ALIGNMENT];
        let start = room.as_ptr().align_offset(ALIGNMENT);
        let mut done = 0;
        while done < whole {
            let part = PIECE.min(whole - done);
            let Some(piece) = room.get_mut(start..start + part) else { break };
            piece.copy_from_slice(&bytes[done..done + part]);
            // A full disk is told by the common way, which comes next.
            if direct.write_all_at(piece, self.length + done as u64).is_err() {
                break;
            }
            done += part;
        }
        done
    }
}

impl Writing for NewFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let done = self.write_direct(bytes);
        self.file.write_all_at(&bytes[done..], self.length + done as u64)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_bytes_are_the_same_past_the_cache() {
        // Both a file system in memory, which may not know the flag, and a real one.
        for base in [std::env::temp_dir(), "/var/tmp".into(), "/dev/shm".into()] {
            let Ok(folder) = tempfile::tempdir_in(base) else { continue };
            for (number, sizes) in [
                &[0][..],
                &[5],
                &[ALIGNMENT],
                &[DIRECT_MIN],
                &[DIRECT_MIN + 1],
                &[PIECE * 2 + ALIGNMENT],
                &[PIECE + 4095, 3, DIRECT_MIN, 1],
                &[DIRECT_MIN, DIRECT_MIN + 7, DIRECT_MIN],
            ]
            .iter()
            .enumerate()
            {
                let path = folder.path().join(number.to_string());
                let all: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|n| (n * 31 / 7) as u8).collect();
                let mut file = NewFile::create(&path).unwrap();
                let mut rest = &all[..];
                for size in *sizes {
                    let (part, after) = rest.split_at(*size);
                    file.write_all(part).unwrap();
                    rest = after;
                }
                file.sync().unwrap();
                assert!(fs::read(&path).unwrap() == all, "{sizes:?}");
            }
            assert_eq!(NewFile::create(&folder.path().join("0")).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        }
    }
}
