//! Comparisons of archives that should and should not be equal.

use super::*;
use holdfast_tar::write::{Entry, TRAILER, padding};

fn file(name: &str, content: &str, mtime: i64) -> Vec<u8> {
    let header = Entry::file(name.as_bytes(), content.len() as u64).owner(999, 999).mtime(mtime, 0).header().unwrap();
    [header, content.as_bytes().to_vec(), padding(content.len() as u64).to_vec()].concat()
}

fn folder(name: &str) -> Vec<u8> {
    Entry::directory(name.as_bytes()).header().unwrap()
}

fn archive(members: &[Vec<u8>]) -> ByteStream {
    let all = [members.concat(), TRAILER.to_vec()].concat();
    let pieces: Vec<Result<Bytes>> = all.chunks(700).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(futures::stream::iter(pieces))
}

async fn check(stored: &[Vec<u8>], present: &[Vec<u8>], tolerance: Tolerance) -> Result<Compared> {
    compare(archive(stored), archive(present), &tolerance, &Stop::new()).await
}

#[tokio::test]
async fn order_and_spelling_do_not_matter() {
    let stored = [folder("v"), file("v/a", "1", 5), file("v/b", "2", 5)];
    let present = [folder("./v"), file("v/b", "2", 5), file("v/a", "1", 5)];
    assert_eq!(check(&stored, &present, Tolerance::default()).await.unwrap(), Compared::default());
}

#[tokio::test]
async fn a_difference_is_named() {
    let stored = [folder("v"), file("v/a", "1", 5)];
    for (present, words) in [
        (vec![folder("v"), file("v/a", "2", 5)], "v/a is not what was stored"),
        (vec![folder("v"), file("v/a", "1", 6)], "v/a is not what was stored"),
        (vec![folder("v")], "v/a is missing on the host"),
        (vec![folder("v"), file("v/a", "1", 5), file("v/c", "1", 5)], "v/c is on the host, but not in the snapshot"),
    ] {
        let error = check(&stored, &present, Tolerance::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "restore.mismatch"));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn more_is_counted_where_more_is_allowed() {
    let stored = [folder("v"), file("v/a", "1", 5)];
    let present = [folder("v"), file("v/0", "x", 5), file("v/a", "1", 5), file("v/z", "x", 5)];
    let tolerance = Tolerance { extra: true, ..Tolerance::default() };
    assert_eq!(check(&stored, &present, tolerance).await.unwrap().extra, 2);
}

#[tokio::test]
async fn a_file_may_have_another_name() {
    let tolerance = Tolerance { renamed: Some(("v".into(), "web.conf".into())), ..Tolerance::default() };
    check(&[file("v", "1", 5)], &[file("web.conf", "1", 5)], tolerance.clone()).await.unwrap();
    assert!(check(&[file("w", "1", 5)], &[file("web.conf", "1", 5)], tolerance).await.is_err());
}

#[tokio::test]
async fn a_cut_archive_is_no_proof() {
    let cut: ByteStream = Box::pin(futures::stream::iter([Ok(Bytes::from(folder("v")))]));
    let error = compare(archive(&[folder("v")]), cut, &Tolerance::default(), &Stop::new()).await.unwrap_err();
    assert_eq!(error.code(), "tar.short");
    let broken: ByteStream = Box::pin(futures::stream::iter([Err(Error::bug("gone"))]));
    let error = compare(broken, archive(&[folder("v")]), &Tolerance::default(), &Stop::new()).await.unwrap_err();
    assert_eq!(error.code(), "bug");
}

#[tokio::test]
async fn emptiness_is_seen() {
    assert!(is_empty_directory(archive(&[folder("v")])).await.unwrap());
    assert!(!is_empty_directory(archive(&[folder("v"), file("v/a", "", 0)])).await.unwrap());
    assert!(!is_empty_directory(archive(&[file("v", "", 0)])).await.unwrap());
    assert!(!is_empty_directory(archive(&[])).await.unwrap());
    assert_eq!(first_name(archive(&[folder("conf.d/"), file("conf.d/a", "1", 0)])).await.unwrap().unwrap(), b"conf.d");
}
