//! Identity on everything, independence of cuts, and agreement with archives made by GNU tar.

mod fields;
mod outline;

use crate::write::{Entry, TRAILER, padding};
use crate::*;
use holdfast_model::Result;
use proptest::prelude::*;
use std::process::Command;

/// A piece that owns its bytes; neighbours of one kind are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Meta(Vec<u8>),
    Member,
    Open(Vec<u8>, u64),
    Data(Vec<u8>),
    Close,
    Raw(Vec<u8>),
}

fn keep(pieces: &mut Vec<Owned>, piece: Piece<'_>) {
    match (pieces.last_mut(), piece) {
        (Some(Owned::Meta(last)), Piece::Meta(more))
        | (Some(Owned::Data(last)), Piece::Data(more))
        | (Some(Owned::Raw(last)), Piece::Raw(more)) => last.extend_from_slice(more),
        (_, Piece::Meta(bytes)) => pieces.push(Owned::Meta(bytes.into())),
        (_, Piece::Member(_)) => pieces.push(Owned::Member),
        (_, Piece::Open { path, size }) => pieces.push(Owned::Open(path.into(), size)),
        (_, Piece::Data(bytes)) => pieces.push(Owned::Data(bytes.into())),
        (_, Piece::Close) => pieces.push(Owned::Close),
        (_, Piece::Raw(bytes)) => pieces.push(Owned::Raw(bytes.into())),
    }
}

fn split(input: &[u8], cuts: &[usize]) -> (Vec<Owned>, End) {
    let mut pieces = Vec::new();
    let mut sink = |piece: Piece<'_>| -> Result<()> {
        keep(&mut pieces, piece);
        Ok(())
    };
    let (mut splitter, mut rest) = (Splitter::new(), input);
    for cut in cuts.iter().cycle().take(if cuts.is_empty() { 0 } else { usize::MAX }) {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*cut).clamp(1, rest.len()));
        splitter.push(now, &mut sink).unwrap();
        rest = later;
    }
    splitter.push(rest, &mut sink).unwrap();
    let end = splitter.finish(&mut sink).unwrap();
    (pieces, end)
}

/// Splits whole, checks identity and nesting.
fn checked(input: &[u8]) -> (Vec<Owned>, End) {
    let (pieces, end) = split(input, &[]);
    let (mut bytes, mut open) = (Vec::new(), false);
    let members = pieces.iter().filter(|piece| **piece == Owned::Member).count();
    assert_eq!(members as u64, end.entries);
    for piece in &pieces {
        match piece {
            Owned::Member => assert!(!open),
            Owned::Open(_, size) => assert!(!std::mem::replace(&mut open, true) && *size > 0),
            Owned::Close => assert!(std::mem::replace(&mut open, false)),
            Owned::Data(data) => {
                assert!(open);
                bytes.extend_from_slice(data);
            }
            Owned::Meta(meta) | Owned::Raw(meta) => {
                assert!(!open);
                bytes.extend_from_slice(meta);
            }
        }
    }
    assert!(!open);
    assert!(bytes == input, "the pieces are not the stream");
    assert_eq!(end.bytes, input.len() as u64);
    (pieces, end)
}

/// Name, kind and target of a member.
type Seen = (String, MemberKind, String);

fn files(pieces: &[Owned]) -> Vec<(String, u64)> {
    let name = |piece: &Owned| match piece {
        Owned::Open(path, size) => Some((String::from_utf8_lossy(path).into_owned(), *size)),
        _ => None,
    };
    pieces.iter().filter_map(name).collect()
}

fn add(archive: &mut Vec<u8>, entry: &Entry<'_>, content: &[u8]) {
    archive.extend(entry.header().unwrap());
    archive.extend_from_slice(content);
    archive.extend_from_slice(padding(content.len() as u64));
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    add(&mut archive, &Entry::file(path.as_bytes(), content.len() as u64), content);
    archive
}

/// Rewrites a field of the block at `at` and mends its checksum.
fn patch(archive: &mut [u8], at: usize, field: usize, bytes: &[u8]) {
    let block = &mut archive[at..at + BLOCK];
    block[field..field + bytes.len()].copy_from_slice(bytes);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A header of any type with a body.
fn special(flag: u8, body: &[u8]) -> Vec<u8> {
    let mut blocks = file("special", body);
    patch(&mut blocks, 0, 156, &[flag]);
    blocks
}

fn ended(parts: &[&[u8]]) -> Vec<u8> {
    [&parts.concat()[..], &TRAILER].concat()
}

#[test]
fn a_plain_archive() {
    let mut archive = file("a.txt", b"hello");
    add(&mut archive, &Entry::directory(b"dir"), b"");
    add(&mut archive, &Entry::symlink(b"dir/link", b"../a.txt"), b"");
    archive.extend(file("empty", b""));
    archive.extend(file("dir/block", &[7; 512]));
    archive.extend_from_slice(&TRAILER);
    archive.extend_from_slice(&[0; 7000]);
    let (pieces, end) = checked(&archive);
    assert_eq!(files(&pieces), [("a.txt".into(), 5), ("dir/block".into(), 512)]);
    assert_eq!(end, End { entries: 5, content: 517, bytes: archive.len() as u64, complete: true, fell_back: None });
}

#[test]
fn a_cut_stream_is_not_complete() {
    let archive = ended(&[&file("a", &[1; 1000]), &file("b", b"x")]);
    for cut in 0..archive.len() {
        let (_, end) = checked(&archive[..cut]);
        assert!(!end.complete, "cut at {cut}");
        assert_eq!(end.fell_back, None);
    }
    assert!(checked(&archive).1.complete);
}

#[test]
fn long_names_of_both_kinds() {
    let long = "d/".repeat(300) + "file";
    let gnu = ended(&[&special(b'L', format!("{long}\0").as_bytes()), &file("short", b"x"), &file("next", b"y")]);
    let (pieces, end) = checked(&gnu);
    assert_eq!(files(&pieces), [(long.clone(), 1), ("next".into(), 1)]);
    assert_eq!(end.entries, 2);
    let (pieces, _) = checked(&ended(&[&file(&long, b"x"), &file("next", b"y")]));
    assert_eq!(files(&pieces), [(long.clone(), 1), ("next".into(), 1)]);
    // PAX wins over GNU; local PAX over global; global lasts.
    let both = ended(&[
        &special(b'g', b"15 path=global\n"),
        &special(b'L', b"gnu\0"),
        &special(b'x', b"14 path=local\n"),
        &file("block", b"x"),
        &file("block", b"y"),
    ]);
    let (pieces, end) = checked(&both);
    assert_eq!(end.fell_back, None);
    assert_eq!(files(&pieces), [("local".into(), 1), ("global".into(), 1)]);
}

#[test]
fn sizes_by_pax_and_base_256() {
    let mut large = file("large", &[5; 700]);
    patch(&mut large, 0, 124, b"\x80\0\0\0\0\0\0\0\0\0\x02\xbc");
    let mut lying = file("lying", &[5; 700]);
    patch(&mut lying, 0, 124, b"00000000000\0");
    let (pieces, end) = checked(&ended(&[&large, &special(b'x', b"12 size=700\n"), &lying]));
    assert_eq!((files(&pieces).len(), end.fell_back, end.complete), (2, None, true));
    assert_eq!(end.content, 1400);
}

#[test]
fn a_hard_link_with_a_size_has_no_content() {
    let mut link = Entry::hard_link(b"b", b"a").header().unwrap();
    patch(&mut link, 0, 124, b"00000000012\0");
    let (pieces, end) = checked(&ended(&[&link, &file("c", b"x")]));
    assert_eq!(files(&pieces), [("c".into(), 1)]);
    assert_eq!((end.entries, end.complete, end.fell_back), (2, true, None));
}

#[test]
fn what_cannot_be_trusted_is_passed_on() {
    let good = file("good", b"x");
    let mut checksum = good.clone();
    checksum[0] ^= 1;
    let mut negative = good.clone();
    patch(&mut negative, 0, 124, &[0xff; 12]);
    let mut huge = good.clone();
    patch(&mut huge, 0, 124, b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    let mut monstrous_pax = special(b'x', b"");
    patch(&mut monstrous_pax, 0, 124, b"77777777777\0");
    let cases: [(&[u8], &str); 11] = [
        (&checksum, "checksum"),
        (&negative, "negative"),
        (&huge, "oversized"),
        (&monstrous_pax, "longer than"),
        (&special(b'x', b"11 size=-1\n"), "PAX size"),
        (&special(b'x', b"99 path=a\n"), "malformed"),
        (&special(b'g', b"nonsense"), "malformed"),
        (&special(b'S', b""), "sparse"),
        (&[special(b'x', b"9 path=a\n"), special(b'x', b"9 path=a\n")].concat(), "two headers"),
        (&[special(b'L', b"a"), special(b'L', b"a")].concat(), "two headers"),
        (&[0; BLOCK], "lone zero"),
    ];
    for (bad, words) in cases {
        let archive = ended(&[&good, bad, &good]);
        let (pieces, end) = checked(&archive);
        let reason = end.fell_back.unwrap_or("none");
        assert!(reason.contains(words), "{words}: {reason}");
        assert!(!end.complete && matches!(pieces.last(), Some(Owned::Raw(_))), "{words}");
        assert_eq!(files(&pieces), [("good".into(), 1)]);
    }
    let trailing = [&ended(&[&good])[..], b"more"].concat();
    let (pieces, end) = checked(&trailing);
    assert!(end.complete && end.fell_back.is_some());
    assert_eq!(pieces.last(), Some(&Owned::Raw(b"more".into())));
}

#[test]
fn a_monstrous_size_costs_nothing() {
    let mut archive = file("huge", b"x");
    patch(&mut archive, 0, 124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    let (pieces, end) = checked(&archive);
    assert_eq!(files(&pieces), [("huge".into(), i64::MAX as u64)]);
    assert!(!end.complete);
}

#[test]
fn zeros_are_passed_over_in_contents_alone() {
    let head = Entry::file(b"hole", 1 << 50).header().unwrap();
    let mut told = Vec::new();
    let mut sink = |piece: Piece<'_>| -> Result<()> {
        keep(&mut told, piece);
        Ok(())
    };
    let mut splitter = Splitter::new();
    assert_eq!(splitter.pass(5), 0, "before a header");
    splitter.push(&head, &mut sink).unwrap();
    assert_eq!(splitter.pass(3), 3);
    splitter.push(b"data", &mut sink).unwrap();
    assert_eq!(splitter.pass(u64::MAX), (1 << 50) - 7, "the content's and no more");
    assert_eq!(splitter.pass(5), 0, "after its end");
    splitter.push(&TRAILER, &mut sink).unwrap();
    // The archive is over: what follows is kept byte by byte.
    assert_eq!(splitter.pass(5), 0, "after the archive");
    splitter.push(&[0; 5], &mut sink).unwrap();
    let end = splitter.finish(&mut sink).unwrap();
    assert_eq!((end.entries, end.content, end.complete), (1, 1 << 50, true));
    assert_eq!(end.bytes, head.len() as u64 + (1 << 50) + TRAILER.len() as u64 + 5);
    let Some(Owned::Meta(tail)) = told.last() else { panic!("the end of the archive is kept") };
    assert!(*tail == vec![0; TRAILER.len() + 5]);
}

#[test]
fn the_walker_sees_members_and_refuses_cut_or_broken_archives() {
    let mut archive = file("manifest.json", b"[]");
    add(&mut archive, &Entry::symlink(b"x/layer.tar", b"../y.tar"), b"");
    add(&mut archive, &Entry::directory(b"x"), b"");
    let archive = ended(&[&archive]);
    let walk = |archive: &[u8]| -> Result<(Vec<Seen>, End)> {
        let (mut walker, mut seen) = (Walker::new(), Vec::new());
        for piece in archive.chunks(77) {
            walker.feed(piece.to_vec().into());
            while let Some(step) = walker.step()? {
                if let Step::Open(m) = step {
                    seen.push((String::from_utf8(m.path).unwrap(), m.kind, String::from_utf8(m.link).unwrap()));
                }
            }
        }
        Ok((seen, walker.finish()?))
    };
    let (seen, end) = walk(&archive).unwrap();
    assert_eq!(seen[0], ("manifest.json".into(), MemberKind::File, String::new()));
    assert_eq!(seen[1], ("x/layer.tar".into(), MemberKind::Symlink, "../y.tar".into()));
    assert_eq!(seen[2], ("x/".into(), MemberKind::Directory, String::new()));
    assert_eq!(end.entries, 3);
    for cut in [0, 100, 513, archive.len() - 1] {
        assert_eq!(walk(&archive[..cut]).unwrap_err().code(), "tar.short");
    }
    assert_eq!(walk(b"not a tar archive".repeat(100).as_slice()).unwrap_err().code(), "tar.malformed");
    assert_eq!(walk(&[&archive[..], b"!"].concat()).unwrap_err().code(), "tar.malformed");
}

/// Archives of GNU tar in every format it writes, over a tree with everything that files can be.
#[test]
fn gnu_tar_archives_are_understood() {
    let folder = tempfile::TempDir::new().unwrap();
    let deep = folder.path().join("d".repeat(90)).join("e".repeat(90)).join("f".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("g".repeat(120)), b"long").unwrap();
    std::fs::write(folder.path().join("plain"), vec![3; 100_000]).unwrap();
    std::fs::hard_link(folder.path().join("plain"), folder.path().join("zz-again")).unwrap();
    std::os::unix::fs::symlink("x".repeat(150), folder.path().join("link")).unwrap();
    std::fs::File::create(folder.path().join("holes")).unwrap().set_len(10_000_000).unwrap();
    for (format, sparse) in [
        ("v7", false),
        ("oldgnu", false),
        ("gnu", false),
        ("ustar", false),
        ("posix", false),
        ("posix", true),
        ("gnu", true),
    ] {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder.path()).arg(format!("--format={format}"));
        if sparse {
            tar.arg("--sparse");
        }
        let Ok(output) = tar.args(["-c", "."]).output() else { return };
        let (pieces, end) = checked(&output.stdout);
        if (format, sparse) == ("gnu", true) {
            assert!(end.fell_back.is_some(), "old sparse members are not understood");
            continue;
        }
        assert_eq!((end.complete, end.fell_back), (true, None), "{format} {sparse}");
        let mut names = files(&pieces);
        names.retain(|(_, size)| *size == 100_000 || *size == 4);
        let long = names.iter().any(|(name, _)| name.ends_with(&"g".repeat(120)));
        assert_eq!(long, !matches!(format, "v7" | "ustar"), "{format}");
        assert!(
            names.iter().any(|(name, size)| name.ends_with("plain") && *size == 100_000 || name.ends_with("zz-again"))
        );
    }
}

/// What we write, GNU tar reads the same way.
#[test]
fn gnu_tar_reads_what_is_written() {
    let long = "n".repeat(180);
    let mut archive = Vec::new();
    add(&mut archive, &Entry::directory(b"v").mode(0o1777).owner(70, 70).mtime(1_700_000_000, 123_456_789), b"");
    add(&mut archive, &Entry::file(long.as_bytes(), 3).owner(3_000_000, 1), b"abc");
    add(&mut archive, &Entry::symlink(b"l", long.as_bytes()), b"");
    let archive = ended(&[&archive]);
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.tar");
    std::fs::write(&path, &archive).unwrap();
    let Ok(output) = Command::new("tar").args(["--numeric-owner", "--full-time", "--utc", "-tvf"]).arg(&path).output()
    else {
        return;
    };
    let listing = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{listing}");
    assert!(listing.contains("drwxrwxrwt 70/70"), "{listing}");
    assert!(listing.contains("22:13:20.123456789 v/"), "{listing}");
    assert!(listing.contains("3000000/1") && listing.contains(&long), "{listing}");
}

fn entries() -> impl Strategy<Value = Vec<u8>> {
    let content = proptest::collection::vec(any::<u8>(), 0..1500);
    // No slash at the end: that is a folder, which has no content.
    let name = prop_oneof!["[a-z]{1,20}", "[a-z/]{90,110}[a-z]", "[a-zä/]{240,300}[a-z]"];
    let one =
        (name, content, 0..5u8, any::<i64>(), 0..1_000_000_000u32).prop_map(|(name, content, kind, secs, nanos)| {
            let (path, mut archive) = (name.as_bytes(), Vec::new());
            match kind {
                0 => add(&mut archive, &Entry::directory(path), b""),
                1 => add(&mut archive, &Entry::symlink(path, path), b""),
                2 => archive.extend([special(b'L', path), file("x", &content)].concat()),
                _ => {
                    let entry =
                        Entry::file(path, content.len() as u64).mtime(secs >> 20, nanos).xattr("user.x", &content);
                    add(&mut archive, &entry, &content);
                }
            }
            archive
        });
    proptest::collection::vec(one, 0..8).prop_map(|all| ended(&[&all.concat()]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn archives_split_the_same_however_cut(archive in entries(), cuts in proptest::collection::vec(1..2000usize, 1..20)) {
        let (pieces, end) = checked(&archive);
        prop_assert!(end.complete && end.fell_back.is_none());
        prop_assert_eq!(split(&archive, &cuts), (pieces, end));
    }

    #[test]
    fn damaged_archives_keep_every_byte(
        mut archive in entries(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cuts in proptest::collection::vec(1..2000usize, 1..10),
    ) {
        for (at, byte) in hits {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        let whole = checked(&archive);
        prop_assert_eq!(split(&archive, &cuts), whole);
    }

    #[test]
    fn mended_headers_with_any_field_keep_every_byte(
        mut archive in entries(),
        (at, field, bytes) in (any::<prop::sample::Index>(), 0..500usize, proptest::collection::vec(any::<u8>(), 1..12)),
        cuts in proptest::collection::vec(1..2000usize, 1..10),
    ) {
        let block = at.index(archive.len() / BLOCK) * BLOCK;
        patch(&mut archive, block, field, &bytes);
        let whole = checked(&archive);
        prop_assert_eq!(split(&archive, &cuts), whole);
    }

    #[test]
    fn garbage_keeps_every_byte(garbage in proptest::collection::vec(any::<u8>(), 0..3000), cuts in proptest::collection::vec(1..600usize, 1..10)) {
        let whole = checked(&garbage);
        prop_assert_eq!(split(&garbage, &cuts), whole);
    }
}
