//! Outlines and new names, against the walker.

use super::{BLOCK, Entry, add, ended, file, patch, special};
use crate::write::{TRAILER, padding};
use crate::*;
use holdfast_model::Result;
use proptest::prelude::*;

/// Reads an outline of which content (and what else is told so) comes as zeros by number.
fn outline(archive: &[u8], told: &[(usize, usize)], whole: bool) -> Result<(Vec<Found>, End)> {
    let mut outline = Outline::new();
    let mut found = Vec::new();
    let mut tell = |one: Found| {
        found.push(one);
        Ok(())
    };
    let mut at = 0;
    for (from, to) in told {
        outline.bytes(&archive[at..*from], &mut tell)?;
        outline.zeros((*to - *from) as u64, &mut tell)?;
        at = *to;
    }
    outline.bytes(&archive[at..], &mut tell)?;
    let end = if whole { outline.finish()? } else { outline.finish_stretch()? };
    Ok((found, end))
}

fn sample() -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut archive = Vec::new();
    let mut zeros = Vec::new();
    let long = vec![b'n'; 300];
    add(&mut archive, &Entry::directory(b"v").mode(0o700).owner(5, 6).mtime(77, 8), b"");
    for (path, size) in [(&b"v/a"[..], 1000), (b"v/b", 0), (&long, 5000), (b"v/z", 512)] {
        let head = Entry::file(path, size as u64).mtime(3, 4).xattr("user.k", b"v=\n1").header().unwrap();
        archive.extend_from_slice(&head);
        // Zeros of the content, its padding, and with the last one the end of the archive.
        let from = archive.len();
        archive.extend(vec![0; size]);
        archive.extend_from_slice(padding(size as u64));
        zeros.push((from, archive.len()));
    }
    archive.extend_from_slice(&TRAILER);
    zeros.last_mut().unwrap().1 = archive.len();
    (archive, zeros)
}

#[test]
fn places_are_those_of_the_bytes() {
    let (archive, zeros) = sample();
    let (found, end) = outline(&archive, &zeros, true).unwrap();
    assert_eq!((found.len(), end.entries, end.content), (5, 5, 6512));
    assert_eq!((found[0].head, found[0].body), (0, 3 * 512));
    assert_eq!((found[0].member.mtime, found[0].member.nanos), (77, 8));
    for one in &found {
        assert!(archive[..one.head as usize].len().is_multiple_of(BLOCK));
        let member = &one.member;
        // Read from its head on, it is the same member.
        let mut walker = Walker::new();
        walker.feed(archive[one.head as usize..].to_vec().into());
        let Some(Step::Open(same)) = walker.step().unwrap() else { panic!("no member at {}", one.head) };
        assert_eq!(same, *member);
        let next = one.body + member.size + padding(member.size).len() as u64;
        let follows = found.iter().find(|other| other.head == next);
        assert!(follows.is_some() || next == archive.len() as u64 - 1024);
    }
}

#[test]
fn stretches_and_cut_archives() {
    let (archive, _) = sample();
    let whole = archive.len() - 1024;
    assert_eq!(outline(&archive[..whole], &[], false).unwrap().0.len(), 5);
    assert_eq!(outline(&archive[..whole], &[], true).unwrap_err().code(), "tar.short");
    assert_eq!(outline(&archive[..whole - 1], &[], false).unwrap_err().code(), "tar.short");
    assert_eq!(outline(&archive[..512], &[], false).unwrap_err().code(), "tar.short", "records without their member");
    let first = archive.windows(3).position(|at| at == b"v/a").unwrap();
    assert_eq!(outline(&archive[..first + 100], &[], false).unwrap_err().code(), "tar.short", "half a header");
    for alone in [special(b'L', b"long name\0"), special(b'K', b"long link\0"), special(b'x', b"9 path=a\n")] {
        let after = [&archive[..whole], &alone[..]].concat();
        assert_eq!(outline(&after, &[], false).unwrap_err().code(), "tar.short", "said of a member that does not come");
    }
    assert_eq!(outline(b"no tar at all".repeat(50).as_slice(), &[], true).unwrap_err().code(), "tar.malformed");
    assert!(outline(&[], &[], false).unwrap().0.is_empty());
}

#[test]
fn zeros_beyond_measure_cost_nothing() {
    let mut archive = Entry::file(b"f", 1 << 50).header().unwrap();
    let body = archive.len() as u64;
    let mut reader = Outline::new();
    let mut count = 0;
    let mut tell = |_: Found| {
        count += 1;
        Ok(())
    };
    reader.bytes(&archive, &mut tell).unwrap();
    reader.zeros((1 << 50) + 1024 + (1 << 60), &mut tell).unwrap();
    assert_eq!(reader.finish().unwrap().bytes, body + (1 << 50) + 1024 + (1 << 60));
    assert_eq!(count, 1);
    archive.truncate(100);
    assert!(outline(&archive, &[], false).is_err());
}

proptest! {
    #[test]
    fn it_hangs_on_nothing_how_zeros_are_told(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let (archive, zeros) = sample();
        let places: Vec<usize> = zeros.iter().flat_map(|(from, to)| *from..*to).collect();
        let mut told: Vec<(usize, usize)> = cuts.iter().map(|cut| *cut.get(&places)).map(|at| (at, at + 1)).collect();
        told.sort_unstable();
        told.dedup();
        prop_assert_eq!(outline(&archive, &told, true).unwrap(), outline(&archive, &zeros, true).unwrap());
    }
}

/// The only member of these headers.
fn read(headers: &[u8]) -> Member {
    let mut walker = Walker::new();
    walker.feed(headers.to_vec().into());
    match walker.step().unwrap() {
        Some(Step::Open(member)) => member,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_name_changes_nothing_else() {
    let (short, long) = (b"a/b".to_vec(), vec![b'l'; 150]);
    for was in [&short, &long] {
        for (path, target) in [(&short, &long), (&long, &short)] {
            let kept = Entry::symlink(was, was).owner(1 << 40, 7).mtime(-3, 9).xattr("user.note", b"path=\n\0");
            let headers = kept.header().unwrap();
            let (before, after) = (read(&headers), read(&retitled(&headers, path, Some(target)).unwrap()));
            assert_eq!(after, Member { path: path.clone(), link: target.clone(), ..before });
            let text = retitled(&headers, path, None).unwrap();
            assert_eq!(read(&text).link, *was);
            assert!(text.windows(7).any(|window| window == b"path=\n\0"), "the attribute is kept");
        }
    }
    let folder = retitled(&Entry::directory(b"v").header().unwrap(), b"name", None).unwrap();
    assert_eq!(read(&folder).path, b"name/");
    let old = [special(b'L', b"some long name\0"), Entry::file(b"x", 0).header().unwrap()].concat();
    assert_eq!(read(&retitled(&old, b"y", None).unwrap()).path, b"y");
}

#[test]
fn what_is_not_one_member_gets_no_new_name() {
    let two = [file("a", b""), file("b", b"")].concat();
    let mut broken = file("a", b"");
    broken[0] ^= 1;
    let mut prefixed = file("a", b"");
    patch(&mut prefixed, 0, 345, b"deep/in/there");
    assert_eq!(read(&prefixed).path, b"deep/in/there/a");
    assert_eq!(read(&retitled(&prefixed, b"b", None).unwrap()).path, b"b");
    let global = ended(&[&special(b'g', b"9 path=a\n"), &file("a", b"")]);
    for headers in [&two, &broken, &Vec::new(), &two[..511].to_vec(), &global] {
        assert_eq!(retitled(headers, b"c", None).unwrap_err().code(), "tar.malformed");
    }
    for name in [&b""[..], b"a\0b"] {
        assert_eq!(retitled(&file("a", b""), name, None).unwrap_err().code(), "tar.name");
    }
}
