//! Disks in files, and what is left of one when the power goes.
//!
//! A disk is a file system on a loop device over an image file. The images lie on an XFS of their own, so that a cut is
//! a clone of the image: all at one instant, however much is being written, and without the cost of a copy. What a cut
//! holds is what the file system had handed to its device; what the device would have kept in a volatile cache is not
//! modelled (the simulated file system of the storage room does that).
//!
//! Needs root. Mounts are undone when dropped; run below `unshare --mount`, none outlives the process either.

use crate::house::sh;
use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Bytes of an image; XFS is not made below 300 MiB. Images are sparse.
const SIZE: u64 = 640 << 20;
/// Bytes of the shelf that all images and cuts share; sparse too.
const SHELF: u64 = 12 << 30;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4 with its journal of metadata, data ordered.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl FileSystem {
    /// All that the promise is made for.
    pub const ALL: [FileSystem; 3] = [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs];

    fn make(self, image: &Path) {
        let image = image.display();
        match self {
            FileSystem::Ext4 => sh(&format!("mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 {image}")),
            FileSystem::Xfs => sh(&format!("mkfs.xfs -q -f {image}")),
            FileSystem::Btrfs => sh(&format!("mkfs.btrfs -q -f {image}")),
        };
    }

    /// Options under which a clone may be mounted beside its original. (Btrfs does that by itself from Linux 6.7 on.)
    fn beside(self) -> &'static str {
        match self {
            FileSystem::Xfs => "loop,nouuid",
            FileSystem::Ext4 | FileSystem::Btrfs => "loop",
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        })
    }
}

/// Something mounted; unmounted when dropped.
#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, place: PathBuf, options: &str) -> Mount {
        std::fs::create_dir_all(&place).expect("a mount point can be made");
        sh(&format!("mount -o {options},noatime {} {}", image.display(), place.display()));
        Mount(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Somebody who was just ended may hold it for a moment.
        for _ in 0..100 {
            let said = Command::new("umount").arg(&self.0).output();
            if said.is_ok_and(|said| said.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{} could not be unmounted", self.0.display());
    }
}

/// Where images lie: an XFS whose files can be cloned.
#[derive(Debug)]
pub struct Shelf {
    mount: Mount,
}

impl Shelf {
    /// Makes one in `folder`.
    pub fn make(folder: &Path) -> Shelf {
        let image = folder.join("shelf.img");
        let file = std::fs::File::create(&image).expect("an image can be made");
        file.set_len(SHELF).expect("an image is sparse");
        sh(&format!("mkfs.xfs -q -f -m reflink=1 {}", image.display()));
        Shelf { mount: Mount::new(&image, folder.join("shelf"), "loop") }
    }
}

/// A disk that is in use.
#[derive(Debug)]
pub struct Disk {
    kind: FileSystem,
    image: PathBuf,
    mount: Option<Mount>,
    cuts: u32,
}

impl Disk {
    /// A fresh one.
    pub fn make(shelf: &Shelf, kind: FileSystem) -> Disk {
        let image = shelf.mount.0.join(format!("{kind}.img"));
        let file = std::fs::File::create(&image).expect("an image can be made");
        file.set_len(SIZE).expect("an image is sparse");
        kind.make(&image);
        let mount = Mount::new(&image, image.with_extension("disk"), "loop");
        Disk { kind, image, mount: Some(mount), cuts: 0 }
    }

    /// Where it is mounted.
    pub fn place(&self) -> &Path {
        &self.mount.as_ref().expect("a disk in use is mounted").0
    }

    /// The disk as it would be if the power went at this instant.
    pub fn cut(&mut self) -> Cut {
        self.cuts += 1;
        let image = self.image.with_extension(format!("cut{}", self.cuts));
        sh(&format!("cp --reflink=always {} {}", self.image.display(), image.display()));
        Cut { kind: self.kind, image, mount: None }
    }

    /// Goes on from a cut, as after the power has come back. Nobody may use the disk any more.
    pub fn go_on_from(&mut self, mut cut: Cut) {
        cut.mount = None;
        self.mount = None;
        std::fs::rename(&cut.image, &self.image).expect("an image can be renamed");
        self.mount = Some(Mount::new(&self.image, self.image.with_extension("disk"), "loop"));
    }
}

/// A disk after the power went.
#[derive(Debug)]
pub struct Cut {
    kind: FileSystem,
    image: PathBuf,
    mount: Option<Mount>,
}

impl Cut {
    /// Mounts it, which is when the file system mends itself.
    pub fn mount(&mut self) -> &Path {
        if self.mount.is_none() {
            let place = self.image.with_extension("after");
            self.mount = Some(Mount::new(&self.image, place, self.kind.beside()));
        }
        &self.mount.as_ref().expect("mounted above").0
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.mount = None;
        let _ = std::fs::remove_file(&self.image);
    }
}
