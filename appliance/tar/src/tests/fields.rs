//! Every field of a header, read and written, at the edges of what it can say.

use super::{BLOCK, Entry, add, checked, ended, file, files, patch, special};
use crate::write::{TRAILER, padding};
use crate::*;
use holdfast_model::Result;

/// All members of an archive that must be understood.
fn members(archive: &[u8]) -> Vec<Member> {
    let mut walker = Walker::default();
    let (half, rest) = archive.split_at(archive.len() / 2);
    // Two feeds before a step: the first waits, and nothing of it is lost.
    walker.feed(half.to_vec().into());
    walker.feed(rest.to_vec().into());
    let (mut seen, mut content) = (Vec::new(), 0);
    while let Some(step) = walker.step().unwrap() {
        match step {
            Step::Open(member) => seen.push(member),
            Step::Data(bytes) => content += bytes.len() as u64,
            Step::Close => {}
        }
    }
    let end = walker.finish().unwrap();
    assert_eq!((end.content, end.bytes), (content, archive.len() as u64));
    seen
}

fn only(entry: &Entry<'_>, content: &[u8]) -> Member {
    let mut archive = Vec::new();
    add(&mut archive, entry, content);
    members(&ended(&[&archive])).remove(0)
}

#[test]
fn what_is_written_is_read() {
    let entry = Entry::file(b"v/f", 3).mode(0o106_755).owner(0o7_777_777, 0o10_000_000).mtime(-7, 5);
    let expected = Member {
        path: b"v/f".into(),
        kind: MemberKind::File,
        size: 3,
        link: vec![],
        mode: 0o6755,
        uid: 0o7_777_777,
        gid: 0o10_000_000,
        mtime: -7,
        nanos: 5,
    };
    assert_eq!(only(&entry, b"abc"), expected);
    let link = only(&Entry::hard_link(b"b", b"a").mode(0o600).mtime(1 << 34, 0), b"");
    assert_eq!((link.kind, link.link, link.mode, link.mtime), (MemberKind::HardLink, b"a".to_vec(), 0o600, 1 << 34));
    let plain = only(&Entry::symlink(b"l", b"t"), b"");
    assert_eq!((plain.mode, plain.uid, plain.gid, plain.mtime, plain.size), (0o777, 0, 0, 0, 0));
    assert_eq!(only(&Entry::directory(b"d"), b"").mode, 0o755);
    assert_eq!(only(&Entry::directory(b"d/"), b"").path, b"d/");
    assert_eq!(only(&Entry::hard_link(b"b", b"a"), b"").mode, 0o644);
    assert_eq!(only(&Entry::file(b"f", 0), b"").mode, 0o644);
}

#[test]
fn a_field_is_used_as_long_as_it_is_enough() {
    let blocks = |entry: Entry<'_>| entry.header().unwrap().len() / BLOCK;
    let name = |length: usize| vec![b'n'; length];
    for (length, wanted) in [(100, 1), (101, 3)] {
        let (path, target) = (name(length), name(length));
        assert_eq!(blocks(Entry::file(&path, 0)), wanted, "{length}");
        assert_eq!(blocks(Entry::symlink(b"l", &target)), wanted, "{length}");
        assert_eq!(only(&Entry::file(&path, 0), b"").path, path);
        assert_eq!(only(&Entry::symlink(b"l", &target), b"").link, target);
    }
    // The slash of a directory counts.
    assert_eq!((blocks(Entry::directory(&name(99))), blocks(Entry::directory(&name(100)))), (1, 3));
    for (size, wanted) in [((1 << 33) - 1, 1), (1 << 33, 3)] {
        assert_eq!(blocks(Entry::file(b"f", size)), wanted, "{size}");
    }
    for (owner, wanted) in [((1 << 21) - 1, 1), (1 << 21, 3)] {
        assert_eq!(
            (blocks(Entry::file(b"f", 0).owner(owner, 0)), blocks(Entry::file(b"f", 0).owner(0, owner))),
            (wanted, wanted)
        );
    }
    for (seconds, nanos, wanted) in [((1 << 33) - 1, 0, 1), (1 << 33, 0, 3), (-1, 0, 3), (5, 1, 3)] {
        assert_eq!(blocks(Entry::file(b"f", 0).mtime(seconds, nanos)), wanted, "{seconds}.{nanos}");
    }
    let whole = Entry::file(b"f", 0).mtime(3, 2_000_000_000).header().unwrap();
    assert!(whole.windows(17).any(|text| text == b"mtime=3.999999999"), "parts of a second are less than one");
}

#[test]
fn what_is_too_long_is_refused_and_what_is_just_not_is_written() {
    let quarter = MAX_META as usize / 4;
    for (length, fits) in [(quarter, true), (quarter + 1, false)] {
        let name = vec![b'n'; length];
        assert_eq!(Entry::file(&name, 0).header().is_ok(), fits);
        assert_eq!(Entry::symlink(b"l", &name).header().is_ok(), fits);
    }
    assert_eq!(Entry::symlink(b"l", b"a\0b").header().unwrap_err().code(), "tar.name");
    // `1048576 SCHILY.xattr.user.x=…\n` is the longest body.
    let around = "1048576 SCHILY.xattr.user.x=\n".len();
    for (length, fits) in [(MAX_META as usize - around, true), (MAX_META as usize - around + 1, false)] {
        let value = vec![b'v'; length];
        let header = Entry::file(b"f", 0).xattr("user.x", &value).header();
        assert_eq!(header.is_ok(), fits, "{length}");
        match header {
            Ok(header) => assert_eq!(checked(&ended(&[&header])).1.fell_back, None),
            Err(error) => assert_eq!(error.code(), "tar.attributes"),
        }
    }
}

#[test]
fn bodies_are_read_up_to_their_limit() {
    let path = "a".repeat(300);
    for (size, understood) in [(MAX_META, true), (MAX_META + 1, false)] {
        let mut body = path.clone().into_bytes();
        body.resize(size as usize, 0);
        let (pieces, end) = checked(&ended(&[&special(b'L', &body), &file("f", b"x")]));
        assert_eq!(end.fell_back.is_none(), understood, "{size}");
        assert_eq!(files(&pieces), if understood { vec![(path.clone(), 1)] } else { vec![] });
    }
}

#[test]
fn prefixes_by_dialect() {
    let with = |magic: &[u8], tail: &[u8]| {
        let mut block = file("name", b"");
        patch(&mut block, 0, 345, &[b'p'; 155]);
        patch(&mut block, 0, 257, magic);
        patch(&mut block, 0, 508, tail);
        members(&ended(&[&block])).remove(0).path
    };
    let prefixed = |length: usize| [&vec![b'p'; length][..], b"/name"].concat();
    assert_eq!(with(b"ustar\x0000", b"\0\0\0\0"), prefixed(155));
    assert_eq!(with(b"ustar\x0000", b"tar\0"), prefixed(131));
    assert_eq!(with(b"ustar  \0", b"\0\0\0\0"), b"name", "GNU keeps other things there");
    assert_eq!(with(b"\0\0\0\0\0\0\0\0", b"\0\0\0\0"), b"name");
}

#[test]
fn types_and_whether_content_follows() {
    let expected = [
        (b'0', MemberKind::File, true),
        (0, MemberKind::File, true),
        (b'7', MemberKind::File, true),
        (b'1', MemberKind::HardLink, false),
        (b'2', MemberKind::Symlink, false),
        (b'3', MemberKind::Other(b'3'), false),
        (b'4', MemberKind::Other(b'4'), false),
        (b'5', MemberKind::Directory, false),
        (b'6', MemberKind::Other(b'6'), false),
        (b'V', MemberKind::Other(b'V'), true),
    ];
    for (flag, kind, content) in expected {
        let mut block = file("name", &[9; 600]);
        patch(&mut block, 0, 156, &[flag]);
        if !content {
            block.truncate(BLOCK);
        }
        let archive = ended(&[&block, &file("next", b"")]);
        let member = members(&archive).remove(0);
        assert_eq!((member.kind, member.size), (kind, if content { 600 } else { 0 }), "{}", flag.escape_ascii());
        assert_eq!(checked(&archive).1.entries, 2);
    }
    for flag in [b'0', 0] {
        let mut old = file("folder/", b"");
        patch(&mut old, 0, 156, &[flag]);
        assert_eq!(members(&ended(&[&old])).remove(0).kind, MemberKind::Directory);
    }
    let mut contiguous = file("folder/", b"");
    patch(&mut contiguous, 0, 156, b"7");
    assert_eq!(members(&ended(&[&contiguous])).remove(0).kind, MemberKind::File);
}

#[test]
fn odd_owners_and_times_are_read_patiently() {
    for (field, length) in [(100, 8), (108, 8), (116, 8), (136, 12)] {
        let mut block = Entry::file(b"f", 0).mode(0o600).owner(7, 8).mtime(9, 0).header().unwrap();
        patch(&mut block, 0, field, &vec![b'x'; length]);
        let member = members(&ended(&[&block])).remove(0);
        let expected = [(100, 0o600), (108, 7), (116, 8), (136, 9)].map(|(at, was)| if at == field { 0 } else { was });
        let found = [u64::from(member.mode), member.uid, member.gid, member.mtime.cast_unsigned()];
        assert_eq!(found, expected, "field {field}");
    }
    let mut loud = file("f", b"");
    patch(&mut loud, 0, 100, b"0177777\0");
    assert_eq!(members(&ended(&[&loud])).remove(0).mode, 0o7777);
}

/// Some old writers summed signed bytes; the sum of unsigned ones is right as well, any other is not.
#[test]
fn both_checksums_are_right() {
    let mut block = file("f\u{e4}\u{f6}", b"");
    let sum = |of: fn(u8) -> i64, block: &[u8]| -> i64 {
        block[..BLOCK].iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { of(*b) }).sum()
    };
    let (unsigned, signed) = (sum(i64::from, &block), sum(|b| i64::from(b.cast_signed()), &block));
    assert_ne!(unsigned, signed);
    for (sum, right) in [(unsigned, true), (signed, true), (unsigned + 1, false), (signed - 1, false)] {
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(checked(&ended(&[&block])).1.fell_back.is_none(), right, "{sum}");
    }
}

/// A PAX body of these records.
fn records(all: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (key, value) in all {
        let around = key.len() + value.len() + 3;
        let length = (around + 1..).find(|length| around + length.to_string().len() == *length).unwrap();
        body.push_str(&format!("{length} {key}={value}\n"));
    }
    body.into_bytes()
}

#[test]
fn pax_says_what_the_block_cannot() {
    let said =
        [("uid", "3000000000"), ("gid", "3000000001"), ("mtime", "7.9"), ("linkpath", "t"), ("GNU.sparse.name", "s")];
    let global = special(b'g', &records(&[("gid", "77777")]));
    let plain = Entry::symlink(b"l", b"short").mtime(5, 0).owner(1, 2).header().unwrap();
    let archive = ended(&[&global, &special(b'x', &records(&said)), &plain, &plain]);
    let [first, second] = members(&archive).try_into().unwrap();
    assert_eq!((first.uid, first.gid, first.mtime), (3_000_000_000, 3_000_000_001, 7));
    assert_eq!((first.path, first.link), (b"s".to_vec(), b"t".to_vec()));
    // What was said of one member is not said of the next; what is global is.
    assert_eq!((second.uid, second.gid, second.mtime, second.link), (1, 77777, 5, b"short".to_vec()));
    let long = special(b'K', &[b't'; 300]);
    assert_eq!(members(&ended(&[&long, &plain])).remove(0).link, [b't'; 300]);
    assert!(checked(&ended(&[&long, &long, &plain])).1.fell_back.unwrap().contains("two headers"));
}

#[test]
fn globals_pile_up_and_the_later_counts() {
    let earlier = special(b'g', &records(&[("uid", "11"), ("gid", "12"), ("path", "p")]));
    let later = special(b'g', &records(&[("uid", "21"), ("mtime", "5"), ("linkpath", "x")]));
    let link = Entry::symlink(b"l", b"t").header().unwrap();
    let member = members(&ended(&[&earlier, &later, &link])).remove(0);
    assert_eq!((member.uid, member.gid, member.mtime), (21, 12, 5));
    assert_eq!((member.path, member.link), (b"p".to_vec(), b"x".to_vec()));
}

#[test]
fn records_at_the_edges() {
    let understood = |body: &[u8]| checked(&ended(&[&special(b'x', body), &file("f", b"")])).1.fell_back.is_none();
    for good in [&b"5 a=\n"[..], b"6 a=b\n", b"007 a=\n", b"0000011 a=\n", b"28 size=9223372036854775807\n"] {
        // A size without content after it is not what is tried here.
        let body = String::from_utf8_lossy(good).replace("size", "sizf");
        assert!(understood(body.as_bytes()), "{body:?}");
    }
    for bad in [&b"4 a=\n"[..], b"3 =\n", b"00000012 a=\n", b"5 a=", b"7 a=\n", b"5 a\0\n", b"6 \0=b\n", b" a=\n"] {
        assert!(!understood(bad), "{:?}", bad.escape_ascii().to_string());
    }
    let mut huge = file("f", b"");
    patch(&mut huge, 0, 124, b"00000000000\0");
    let (pieces, end) = checked(&ended(&[&special(b'x', &records(&[("size", "9223372036854775807")])), &huge]));
    assert_eq!((end.fell_back, end.complete), (None, false));
    assert_eq!(files(&pieces), [("f".into(), i64::MAX as u64)]);
}

#[test]
fn padding_fills_blocks() {
    for (size, zeros) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (u64::MAX, 1)] {
        assert_eq!(padding(size), vec![0; zeros], "{size}");
    }
    assert_eq!(TRAILER, [0; 1024]);
}

/// The sink's own error ends the work, and nothing is told after it.
#[test]
fn an_error_of_the_sink_is_handed_on() {
    let archive = ended(&[&file("a", b"x"), &file("b", b"y")]);
    for stop in 0..8 {
        let mut told = 0;
        let mut sink = |_: Piece<'_>| -> Result<()> {
            told += 1;
            if told > stop { Err(holdfast_model::Error::bug("full")) } else { Ok(()) }
        };
        assert!(Splitter::default().push(&archive, &mut sink).is_err());
        assert_eq!(told, stop + 1);
    }
}

#[test]
fn a_record_of_ours_tells_sockets_from_empty_files() {
    let kind = |records: &[u8], content: &[u8]| {
        let archive = ended(&[&special(b'x', records), &file("s", content), &file("next", b"")]);
        members(&archive).into_iter().map(|member| member.kind).collect::<Vec<_>>()
    };
    let socket = b"24 HOLDFAST.kind=socket\n";
    assert_eq!(kind(socket, b""), [MemberKind::Socket, MemberKind::File]);
    assert_eq!(kind(b"22 HOLDFAST.kind=door\n", b""), [MemberKind::File, MemberKind::File]);
}

/// A folder by its slash, or a socket by our record, of which a header says that content follows: readers that pass over it and
/// readers that do not would see other members after it.
#[test]
fn folders_and_sockets_with_content_are_not_understood() {
    let socket = b"24 HOLDFAST.kind=socket\n";
    // Our own writer refuses this name.
    let mut folder = file("folder+", b"content");
    folder[6] = b'/';
    folder[148..156].fill(b' ');
    let sum: u32 = folder[..512].iter().map(|byte| u32::from(*byte)).sum();
    folder[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for archive in [ended(&[&special(b'x', socket), &file("s", b"content")]), ended(&[&folder])] {
        let mut walker = Walker::default();
        walker.feed(archive.clone().into());
        let error = std::iter::repeat_with(|| walker.step()).find_map(Result::err).unwrap();
        assert!(error.to_string().contains("with content"), "{error}");
        let (_, end) = checked(&archive);
        assert!(end.fell_back.is_some());
    }
}
