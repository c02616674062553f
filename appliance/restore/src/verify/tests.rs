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

/// As under a folder of the host in which another app keeps more files than can be remembered.
#[tokio::test]
async fn more_than_can_be_remembered_is_counted_too() {
    let tolerance = Tolerance { extra: true, ..Tolerance::default() };
    let theirs: Vec<_> = (0..100).map(|number| file(&format!("v/a{number:03}"), "x", 5)).collect();
    let ours = |count: u32| (0..count).map(|number| file(&format!("v/b{number:03}"), "1", 5)).collect::<Vec<_>>();
    let within = async |stored: &[Vec<u8>], present: &[Vec<u8>], tolerance: &Tolerance| {
        let stop = Stop::new();
        compare_within(archive(stored), archive(present), tolerance, &stop, (10, 30)).await
    };
    for count in [0, 3, 20] {
        let stored = [vec![folder("v")], ours(count)].concat();
        for present in [[stored.clone(), theirs.clone()].concat(), [theirs.clone(), stored.clone()].concat()] {
            assert_eq!(within(&stored, &present, &tolerance).await.unwrap().extra, 100, "{count}");
            let told = within(&stored, &present, &Tolerance::default()).await.unwrap_err();
            assert_eq!(told.code(), "restore.mismatch", "{count}");
        }
        let mut other = [theirs.clone(), stored.clone()].concat();
        other.pop();
        let told = within(&stored, &other, &tolerance).await.unwrap_err();
        assert!(told.to_string().contains("is missing on the host"), "{count}: {told}");
    }
    let (stored, other) = (ours(40), [theirs, ours(40)].concat());
    let told = within(&stored, &other, &tolerance).await.unwrap_err();
    assert!(told.to_string().contains("far too much else"), "{told}");
    assert_eq!(within(&stored, &stored, &tolerance).await.unwrap().extra, 0, "what comes in step is held by nobody");
}

/// A folder that was captured whole for the sake of a name that is no text.
#[tokio::test]
async fn names_that_are_no_text_are_compared_as_they_are() {
    let odd = |content: &[u8]| {
        let header = Entry::file(b"root/\xff", content.len() as u64).header().unwrap();
        [&header[..], content, padding(content.len() as u64)].concat()
    };
    let tolerance = Tolerance { extra: true, ..Tolerance::default() };
    let stored = [folder("root"), odd(b"odd")];
    let present = [folder("root"), file("root/.profile", "x", 5), odd(b"odd")];
    assert_eq!(check(&stored, &present, tolerance.clone()).await.unwrap().extra, 1);
    for other in [vec![folder("root")], vec![folder("root"), odd(b"odder")]] {
        assert_eq!(check(&stored, &other, tolerance.clone()).await.unwrap_err().code(), "restore.mismatch");
    }
    assert_eq!(first_name(archive(&stored)).await.unwrap().unwrap(), b"root");
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
