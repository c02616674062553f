//! The tar room: splitter, walker, PAX records, and the writer against the walker.

use crate::food::{Food, stretch};
use holdfast_tar::{BLOCK, End, MemberKind, Piece, Splitter, Step, Walker, write};

/// What a splitter made of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    bytes: Vec<u8>,
    /// Pieces without their bytes; neighbours of one kind are one, for where they meet is the caller's cut.
    shape: Vec<Shape>,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Meta(usize),
    Member,
    Open(Vec<u8>, u64),
    Data(usize),
    Close,
    Raw(usize),
}

impl Taken {
    fn take(&mut self, piece: Piece<'_>) -> holdfast_model::Result<()> {
        let (bytes, shape): (&[u8], Shape) = match piece {
            Piece::Meta(bytes) => (bytes, Shape::Meta(bytes.len())),
            Piece::Data(bytes) => (bytes, Shape::Data(bytes.len())),
            Piece::Raw(bytes) => (bytes, Shape::Raw(bytes.len())),
            Piece::Member(_) => (&[], Shape::Member),
            Piece::Open { path, size } => (&[], Shape::Open(path.to_vec(), size)),
            Piece::Close => (&[], Shape::Close),
        };
        self.bytes.extend_from_slice(bytes);
        match (self.shape.last_mut(), &shape) {
            (Some(Shape::Meta(before)), Shape::Meta(more))
            | (Some(Shape::Data(before)), Shape::Data(more))
            | (Some(Shape::Raw(before)), Shape::Raw(more)) => *before += more,
            _ => self.shape.push(shape),
        }
        Ok(())
    }
}

fn taken(stream: &[u8], cut: usize) -> Taken {
    let mut taken = Taken { bytes: Vec::new(), shape: Vec::new(), end: End::default() };
    let mut splitter = Splitter::new();
    for part in stream.chunks(cut.max(1)) {
        splitter.push(part, &mut |piece| taken.take(piece)).expect("the sink takes everything");
    }
    taken.end = splitter.finish(&mut |piece| taken.take(piece)).expect("the sink takes everything");
    taken
}

/// Any stream, however cut, comes back bit by bit, in the same pieces; contents are as long as was said.
pub(super) fn split(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let whole = taken(stream, stream.len());
    assert!(whole.bytes == stream, "the pieces are not the stream");
    let parts = taken(stream, 1 + usize::from(*cut) * 5);
    assert!(parts.shape == whole.shape && parts.end == whole.end, "the cut shows");
    assert!(parts.bytes == stream, "the pieces of a cut stream are not the stream");
    assert_eq!(whole.end.bytes, stream.len() as u64);
    check_members(&whole);
}

fn check_members(whole: &Taken) {
    let (mut open, mut content, mut members) = (None, 0, 0);
    for (place, shape) in whole.shape.iter().enumerate() {
        match shape {
            Shape::Member => members += 1,
            Shape::Open(_, size) => assert!(open.replace(*size).is_none() && *size > 0, "a member within a member"),
            Shape::Data(length) => {
                let left = open.as_mut().expect("content belongs to a member");
                *left = left.checked_sub(*length as u64).expect("no more content than was promised");
                content += *length as u64;
            }
            Shape::Close => {
                let left = open.take().expect("what closes was open");
                assert!(left == 0 || place + 1 == whole.shape.len(), "a member in the middle is not whole");
            }
            Shape::Meta(_) | Shape::Raw(_) => assert!(open.is_none(), "headers within a member"),
        }
    }
    assert!(open.is_none(), "a member stays open");
    assert_eq!((members, content), (whole.end.entries, whole.end.content));
    let fell_back = whole.end.fell_back.is_some();
    assert!(!fell_back || matches!(whole.shape.last(), Some(Shape::Raw(_) | Shape::Meta(_))), "no rest was passed on");
}

/// The walker takes just those archives whose end the splitter saw, and sees the same members.
pub(super) fn walk(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let split = taken(stream, stream.len());
    let (mut entries, mut content) = (0, 0);
    let mut walker = Walker::new();
    let mut walked = Ok(());
    for part in stream.chunks(1 + usize::from(*cut) * 5) {
        walker.feed(part.to_vec().into());
        walked = steps(&mut walker, &mut entries, &mut content);
        if walked.is_err() {
            break;
        }
    }
    let end = walked.and_then(|()| walker.finish());
    assert_eq!(end.is_ok(), split.end.complete && split.end.fell_back.is_none(), "walker and splitter disagree");
    if let Ok(end) = end {
        assert_eq!((end, entries, content), (split.end, split.end.entries, split.end.content));
    }
}

fn steps(walker: &mut Walker, entries: &mut u64, content: &mut u64) -> holdfast_model::Result<()> {
    while let Some(step) = walker.step()? {
        match step {
            Step::Open(member) => {
                assert!(member.mode <= 0o7777, "more than permission bits");
                *entries += 1;
            }
            Step::Data(bytes) => *content += bytes.len() as u64,
            Step::Close => {}
        }
    }
    Ok(())
}

/// A PAX body under sound headers: an archive of one file, twice if the body is lawful.
pub(super) fn pax(input: &[u8]) {
    let Some((flag, body)) = input.split_first() else { return };
    let flag = if flag & 1 == 0 { b'x' } else { b'g' };
    let file = write::Entry::file(b"file", 0).header().expect("a plain name can be written");
    let archive = [&header(flag, body.len()), body, write::padding(body.len() as u64), &file, &write::TRAILER].concat();
    split(&[&[51], &archive[..]].concat());
    walk(&[&[0], &archive[..]].concat());
}

/// A header block of a type, with a right checksum.
fn header(flag: u8, size: usize) -> Vec<u8> {
    let mut block = write::Entry::file(b"PaxHeaders.0/x", size as u64).header().expect("a plain name can be written");
    block[156] = flag;
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// What the writer writes, the walker reads: names, numbers, times, contents.
pub(super) fn write(input: &[u8]) {
    let mut food = Food::new(input);
    let kind = food.byte();
    let (path, link) = (food.stretch(), food.stretch());
    let (mode, uid, gid) = (food.u64() as u32, food.u64(), food.u64());
    let (seconds, nanos) = (food.u64().cast_signed(), food.u64() as u32);
    let content = food.stretch();
    let entry = match kind % 4 {
        0 => write::Entry::file(path, content.len() as u64),
        1 => write::Entry::directory(path),
        2 => write::Entry::symlink(path, link),
        _ => write::Entry::hard_link(path, link),
    };
    let mut entry = entry.mode(mode).owner(uid, gid).mtime(seconds, nanos);
    let value = food.stretch();
    if kind >= 128 {
        entry = entry.xattr("user.fuzz", value);
    }
    let Ok(header) = entry.header() else { return };
    assert_eq!(header.len() % BLOCK, 0);
    let content: &[u8] = if kind.is_multiple_of(4) { content } else { &[] };
    let archive = [&header, content, write::padding(content.len() as u64), &write::TRAILER].concat();
    let mut walker = Walker::new();
    walker.feed(archive.into());
    let Ok(Some(Step::Open(member))) = walker.step() else { panic!("our own archive is not understood") };
    let expected = match kind % 4 {
        0 if path.ends_with(b"/") => MemberKind::Directory,
        0 => MemberKind::File,
        1 => MemberKind::Directory,
        2 => MemberKind::Symlink,
        _ => MemberKind::HardLink,
    };
    let slash: &[u8] = if kind % 4 == 1 && !path.ends_with(b"/") { b"/" } else { b"" };
    assert_eq!((member.kind, member.path), (expected, [path, slash].concat()));
    assert_eq!((member.size, member.mode), (content.len() as u64, mode & 0o7777));
    assert_eq!((member.uid, member.gid, member.mtime), (uid, gid, seconds));
    if kind % 4 >= 2 {
        assert_eq!(member.link, link);
    }
    let mut rest = 0;
    while let Some(step) = walker.step().expect("our own archive is understood") {
        if let Step::Data(bytes) = step {
            rest += bytes.len();
        }
    }
    assert_eq!(rest, content.len());
    assert_eq!(walker.finish().expect("our own archive ends").entries, 1);
}

fn archive(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![100];
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(&write::TRAILER);
    out
}

pub(super) fn archives() -> Vec<Vec<u8>> {
    let made = |entry: write::Entry<'_>| entry.header().expect("a seed's name can be written");
    let long = vec![b'n'; 300];
    let small = made(write::Entry::file(b"v/a", 3));
    let padded = [b"abc".to_vec(), vec![0; BLOCK - 3]].concat();
    let gnu = [header(b'L', 300), long.clone(), vec![0; BLOCK - 300]].concat();
    let mut sparse = header(b'S', 0);
    sparse.truncate(BLOCK);
    vec![
        archive(&[]),
        archive(&[&made(write::Entry::directory(b"v")), &small, &padded]),
        archive(&[&made(write::Entry::symlink(b"v/l", b"a")), &made(write::Entry::hard_link(b"v/h", b"v/a"))]),
        archive(&[&made(write::Entry::file(&long, 3).mtime(-1, 5).owner(1 << 40, 0).xattr("user.x", b"y")), &padded]),
        archive(&[&gnu, &small, &padded]),
        archive(&[&header(b'g', 9), b"9 path=a\n", &[0; BLOCK - 9], &small, &padded]),
        archive(&[&sparse]),
        archive(&[&small, &padded[..200]]),
        [archive(&[&small, &padded]), b"more".to_vec()].concat(),
        [vec![7], small.clone(), padded.clone(), vec![0; BLOCK], small, padded].concat(),
    ]
}

pub(super) fn pax_bodies() -> Vec<Vec<u8>> {
    let bodies: [&[u8]; 8] = [
        b"",
        b"9 path=a\n9 path=b\n11 size=17\n8 size=\n14 linkpath=x\n",
        b"18 uid=3000000000\n9 gid=-1\n15 mtime=-1.25\n",
        b"22 GNU.sparse.name=abc\n",
        b"30 SCHILY.xattr.user.name=\0\xff\n",
        b"28 size=9223372036854775807\n",
        b"9 path=a",
        b"99999999999999999999 path=a\n",
    ];
    bodies.iter().enumerate().map(|(number, body)| [&[number as u8], *body].concat()).collect()
}

pub(super) fn members() -> Vec<Vec<u8>> {
    let seed = |kind: u8, path: &[u8], link: &[u8], content: &[u8]| {
        let numbers = [0o644u64, 1000, 1 << 33, (-5i64).cast_unsigned(), 250_000_000].map(u64::to_le_bytes).concat();
        [&[kind], &stretch(path)[..], &stretch(link), &numbers, &stretch(content), &stretch(b"value")].concat()
    };
    vec![
        seed(0, b"v/a", b"", b"content"),
        seed(1, b"v", b"", b""),
        seed(2, b"v/l", b"../target", b""),
        seed(131, b"v/h", &[b't'; 200], b""),
        seed(128, &[b'p'; 400], b"", &[9; 1000]),
    ]
}
