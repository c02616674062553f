//! The folder store: conformance, leftovers, foreign files, durability of names, a full disk.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

fn fresh() -> (TempDir, DirStore) {
    let folder = TempDir::new().unwrap();
    let store = DirStore::open(folder.path().join("deep/cache")).unwrap();
    (folder, store)
}

async fn put(store: &DirStore, key: &str, bytes: &'static [u8]) -> Result<()> {
    store.put(key, Bytes::from_static(bytes), PutMode::Once).await
}

#[tokio::test]
async fn conforms() {
    let (_folder, store) = fresh();
    crate::conformance::no_locks(&store).await;
    crate::conformance::run(Arc::new(store)).await;
}

#[tokio::test]
async fn objects_survive_a_reopening_and_leftovers_do_not() {
    let (_folder, store) = fresh();
    let root = store.folder.root.clone();
    put(&store, "packs/ab/abcd", b"hello").await.unwrap();
    for leftover in ["0.17", "5.3", "older"] {
        fs::write(root.join(draft::FOLDER).join(leftover), b"half").unwrap();
    }
    drop(store);
    let store = DirStore::open(&root).unwrap();
    assert_eq!(drafts(&root), 0);
    assert_eq!(store.get("packs/ab/abcd").await.unwrap(), "hello");
    put(&store, "packs/ab/abcd", b"hello").await.unwrap();
    assert_eq!(put(&store, "packs/ab/abcd", b"other!").await.unwrap_err().code(), "object.differs");
    assert_eq!(drafts(&root), 0, "no draft stays behind");
}

fn drafts(root: &Path) -> usize {
    let entries = fs::read_dir(root.join(draft::FOLDER)).unwrap();
    entries.filter(|entry| !entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".lock")).count()
}

#[tokio::test]
async fn a_second_opening_leaves_the_drafts_of_the_first_alone() {
    let (_folder, first) = fresh();
    let draft = first.folder.drafts.write(b"on its way").unwrap();
    let second = DirStore::open(&first.folder.root).unwrap();
    assert!(draft.path().exists());
    put(&second, "a", b"x").await.unwrap();
    let theirs = second.folder.drafts.write(b"x").unwrap();
    assert_ne!(draft.path(), theirs.path());
    drop((draft, theirs));
    assert_eq!(drafts(&first.folder.root), 0);
}

#[tokio::test]
async fn only_the_owner_may_read() {
    let (_folder, store) = fresh();
    put(&store, "a/b", b"x").await.unwrap();
    let mode = |path: &str| fs::metadata(store.folder.root.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("a/b"), mode("")), (0o700, 0o600, 0o700));
}

#[tokio::test]
async fn foreign_files_are_not_objects() {
    let (folder, store) = fresh();
    let root = &store.folder.root;
    fs::create_dir(root.join("lost+found")).unwrap();
    fs::write(root.join("lost+found/x"), b"x").unwrap();
    fs::write(folder.path().join("secret"), b"x").unwrap();
    symlink(folder.path().join("secret"), root.join("link")).unwrap();
    assert!(store.list("").await.unwrap().is_empty());
    assert_eq!(store.head("link").await.unwrap(), None);
}

#[tokio::test]
async fn an_object_whose_entry_was_not_synced_is_written_anew() {
    let (_folder, store) = fresh();
    put(&store, "a", b"hello").await.unwrap();
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(store.folder.root.join("a")).unwrap());
    let first = inode();
    put(&store, "a", b"hello").await.unwrap();
    assert_eq!(inode(), first, "a trusted object is kept");
    store.folder.shelf().doubtful.insert("a".into());
    put(&store, "a", b"hello").await.unwrap();
    assert_ne!(inode(), first, "a doubtful one is not");
    assert!(store.folder.shelf().doubtful.is_empty());
}

#[tokio::test]
async fn a_file_in_the_way_is_a_named_conflict() {
    let (_folder, store) = fresh();
    put(&store, "a", b"x").await.unwrap();
    let error = put(&store, "a/b", b"x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
    put(&store, "c/d", b"x").await.unwrap();
    assert!(put(&store, "c", b"x").await.is_err());
    assert_eq!(store.get("a").await.unwrap(), "x");
}

#[test]
fn a_full_disk_says_that_nothing_is_hurt() {
    for errno in [28, 122, 27] {
        let error = failure("store packs/ab", io::Error::from_raw_os_error(errno));
        assert_eq!((error.kind(), error.code()), (Kind::Full, "disk.full"));
        assert!(error.to_string().contains("nothing that was stored before is hurt"));
    }
    assert_eq!(failure("x", io::Error::from_raw_os_error(5)).code(), "disk.failed");
    assert_eq!(failure("x", io::Error::from_raw_os_error(30)).code(), "disk.read_only");
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    assert!(DirStore::open(folder.path().join("file/cache")).is_err());
}

/// A real full disk, where the test may mount one (root); elsewhere there is nothing to see.
#[tokio::test]
async fn a_really_full_disk_keeps_what_it_has() {
    let folder = TempDir::new().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "holdfast-storage-test"])
        .arg(folder.path())
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return;
    }
    let store = DirStore::open(folder.path().join("cache")).unwrap();
    put(&store, "small", b"kept").await.unwrap();
    let big = store.put("big", Bytes::from(vec![7; 1 << 20]), PutMode::Once).await;
    let (small, again) = (store.get("small").await, put(&store, "after", b"fits").await);
    let left = store.list("").await;
    drop(store);
    assert!(std::process::Command::new("umount").arg(folder.path()).status().unwrap().success());
    assert_eq!(big.unwrap_err().code(), "disk.full");
    assert_eq!(small.unwrap(), "kept");
    again.unwrap();
    assert_eq!(left.unwrap().iter().map(|i| i.key.as_str()).collect::<Vec<_>>(), ["after", "small"]);
}
