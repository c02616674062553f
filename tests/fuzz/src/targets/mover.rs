//! The mover: its strict reader against the walker of the tar room, its writer of folders, and headers there and back.

use crate::food::{Food, stretch};
use holdfast_mover::{Archive, Entry, Kind, Rights, Time, Writer, header, padding};
use holdfast_tar::{MemberKind, Step, Walker, write::TRAILER};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// Reads any stream; what both readers take they take for the same.
pub(super) fn read(input: &[u8]) {
    let mut archive = Archive::new(input);
    let mut members = Vec::new();
    loop {
        match archive.next() {
            Ok(Some(entry)) => {
                check(&entry);
                let mut content = 0;
                while let Ok(part @ [_, ..]) = archive.content() {
                    content += part.len() as u64;
                }
                assert!(content <= entry.size, "more content than was promised");
                members.push(entry);
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    compare(input, &members);
}

fn check(entry: &Entry) {
    assert!(entry.mode <= 0o7777 && !entry.path.contains(&0) && !entry.link.contains(&0), "an entry that cannot be");
    assert!(entry.kind == Kind::File || entry.size == 0, "content of what has none");
    let apart = entry.holes.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0);
    let end = entry.holes.last().map_or(0, |(at, length)| at + length);
    assert!(apart && end <= entry.size, "holes that cannot be");
    let names: std::collections::BTreeSet<_> = entry.xattrs.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), entry.xattrs.len(), "an attribute has two values");
}

/// A preview by one reader must show what the other restores.
fn compare(input: &[u8], members: &[Entry]) {
    let mut walker = Walker::new();
    walker.feed(input.to_vec().into());
    let mut seen = Vec::new();
    loop {
        match walker.step() {
            Ok(Some(Step::Open(member))) => seen.push(member),
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return,
        }
    }
    if walker.finish().is_err() {
        return;
    }
    assert_eq!(seen.len(), members.len(), "the readers see other members");
    for (member, entry) in seen.iter().zip(members) {
        let trimmed = |path: &[u8]| {
            let end = path.iter().rposition(|byte| *byte != b'/').map_or(path.len().min(1), |last| last + 1);
            path[..end].to_vec()
        };
        assert_eq!(trimmed(&member.path), trimmed(&entry.path), "the readers see other names");
        assert_eq!(member.mtime, entry.mtime.seconds.max(if member.mtime == 0 { 0 } else { i64::MIN }));
        let kind = match member.kind {
            MemberKind::Socket => Kind::Socket,
            MemberKind::File => Kind::File,
            MemberKind::HardLink => Kind::HardLink,
            MemberKind::Symlink => Kind::Symlink,
            MemberKind::Directory => Kind::Directory,
            MemberKind::Other(_) => continue,
        };
        assert_eq!(kind, entry.kind, "the readers see other kinds");
        if kind == Kind::File {
            assert_eq!(member.size, entry.size);
        }
        if matches!(kind, Kind::Symlink | Kind::HardLink) {
            assert_eq!(&*member.link, &*entry.link);
        }
    }
}

/// A header says all that an entry is.
pub(super) fn there_and_back(input: &[u8]) {
    let mut food = Food::new(input);
    let kinds =
        [Kind::File, Kind::HardLink, Kind::Symlink, Kind::Directory, Kind::Fifo, Kind::Socket, Kind::Char, Kind::Block];
    let kind = kinds[usize::from(food.byte()) % kinds.len()];
    let path = named(food.stretch());
    let mut entry = Entry::new(&path, kind);
    entry.mode = food.u64() as u32 & 0o7777;
    // The largest number means nobody.
    (entry.uid, entry.gid) = ((food.u64() as u32).min(u32::MAX - 1), (food.u64() as u32).min(u32::MAX - 1));
    entry.mtime = Time { seconds: food.u64().cast_signed(), nanos: (food.u64() % 1_000_000_000) as u32 };
    if matches!(kind, Kind::Symlink | Kind::HardLink) {
        entry.link = named(food.stretch()).into();
    }
    if matches!(kind, Kind::Char | Kind::Block) {
        entry.device = (u32::from(food.byte()) * 16, u32::from(food.byte()) * 1000);
    }
    if kind == Kind::File {
        entry.size = food.u64() % (1 << 62);
        let mut at = 0u64;
        for _ in 0..food.byte() % 5 {
            let (gap, length) = (1 + food.u64() % (1 << 59), 1 + food.u64() % (1 << 59));
            if at + gap + length > entry.size {
                break;
            }
            entry.holes.push((at + gap, length));
            at += gap + length;
        }
    }
    while !food.is_empty() && entry.xattrs.len() < 8 {
        let name = [b"user.", &named(food.stretch())[..]].concat();
        if entry.xattrs.iter().all(|(earlier, _)| **earlier != *name) {
            entry.xattrs.push((name.into(), food.stretch().into()));
        }
    }
    let written = [&header(b"v", &entry)[..], &TRAILER].concat();
    let mut archive = Archive::new(&written[..]);
    let read = archive.next().unwrap_or_else(|broken| panic!("our own header is not read: {broken}"));
    let mut read = read.expect("our own header is a member");
    let prefixed = |path: &[u8]| [b"v/", path].concat();
    assert_eq!(*read.path, prefixed(&entry.path), "another name");
    if kind == Kind::HardLink {
        assert_eq!(*read.link, prefixed(&entry.link), "another link");
        read.link.clone_from(&entry.link);
    }
    read.path.clone_from(&entry.path);
    assert_eq!(read, entry, "another entry");
}

/// A name that a file system could hold: not empty, without NUL, without slashes at its end.
fn named(bytes: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, 0 | b'/')).take(4000).collect();
    if name.is_empty() { b"n".to_vec() } else { name }
}

/// Writes any stream into a folder: whatever it says, nothing beside the folder changes.
pub(super) fn restore(input: &[u8]) {
    let (place, time) = place();
    let out = place.join("out");
    fs::create_dir(&out).expect("a folder can be made");
    let Some((mode, stream)) = input.split_first() else { return clear(&out) };
    let rights = Rights {
        owners: false,
        devices: false,
        replaces: false,
        threads: usize::from(mode & 1),
        strip: if mode & 2 == 0 { "v" } else { "" }.as_bytes().into(),
    };
    let writer = Writer::open(&out, rights, Arc::new(|_| ())).expect("the folder opens");
    let _ = writer.write(&mut Archive::new(stream));
    let mut beside: Vec<_> =
        fs::read_dir(place).expect("the place is there").flatten().map(|e| e.file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["bystander", "out"], "something was made beside the folder");
    let bystander = place.join("bystander");
    let facts = fs::symlink_metadata(&bystander).expect("the bystander is there");
    assert_eq!((facts.mode() & 0o7777, facts.nlink(), facts.mtime()), (0o640, 1, *time), "the bystander changed");
    assert_eq!(fs::read(&bystander).expect("the bystander can be read"), BYSTANDER);
    clear(&out);
}

const BYSTANDER: &[u8] = b"untouched";

/// A folder of this process with a file that nobody may touch, and that file's time.
fn place() -> &'static (PathBuf, i64) {
    static PLACE: OnceLock<(PathBuf, i64)> = OnceLock::new();
    PLACE.get_or_init(make_place)
}

fn make_place() -> (PathBuf, i64) {
    let shm = Path::new("/dev/shm");
    let above = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let place = above.join(format!("holdfast-fuzz-{}", std::process::id()));
    fs::create_dir_all(&place).expect("a folder can be made");
    let bystander = place.join("bystander");
    fs::write(&bystander, BYSTANDER).expect("a file can be written");
    fs::set_permissions(&bystander, fs::Permissions::from_mode(0o640)).expect("our own file");
    let time = fs::symlink_metadata(&bystander).expect("our own file").mtime();
    (place, time)
}

/// Takes away what a stream made, folders without rights included.
fn clear(folder: &Path) {
    if fs::remove_dir_all(folder).is_ok() {
        return;
    }
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(below.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    fs::remove_dir_all(folder).expect("what was made can be taken away");
}

pub(super) fn trees() -> Vec<Vec<u8>> {
    let member =
        |entry: &Entry, content: &[u8]| [&header(b"v", entry)[..], content, padding(content.len() as u64)].concat();
    let mut file = Entry::new(b"d/file", Kind::File);
    (file.size, file.mtime.nanos) = (5, 7);
    let mut holed = Entry::new(b"holed", Kind::File);
    (holed.size, holed.holes) = (9000, vec![(0, 4096), (4100, 4900)]);
    holed.xattrs.push((b"user.x".to_vec().into(), b"=%".to_vec().into()));
    let link = |path: &[u8], target: &[u8], kind| {
        let mut link = Entry::new(path, kind);
        link.link = target.into();
        link
    };
    let whole = [
        member(&Entry::new(b"", Kind::Directory), b""),
        member(&Entry::new(b"d", Kind::Directory), b""),
        member(&file, b"hello"),
        member(&holed, &[0; 9000]),
        member(&link(b"away", b"../bystander", Kind::Symlink), b""),
        member(&link(b"again", b"d/file", Kind::HardLink), b""),
        member(&link(b"out", b"..", Kind::Symlink), b""),
        member(&Entry::new(b"out/evil", Kind::Fifo), b""),
        member(&link(b"hard", b"out/bystander", Kind::HardLink), b""),
        member(&Entry::new(b"socket", Kind::Socket), b""),
    ]
    .concat();
    let escapes = [
        member(&Entry::new(b"../evil", Kind::File), b""),
        member(&link(b"h", b"../../bystander", Kind::HardLink), b""),
        member(&Entry::new(b"a/../../evil", Kind::Directory), b""),
    ]
    .concat();
    vec![
        [&whole[..], &TRAILER].concat(),
        [&[0], &whole[..], &TRAILER].concat(),
        [&[1], &whole[..], &TRAILER].concat(),
        [&[2], &escapes[..], &TRAILER].concat(),
    ]
}

pub(super) fn entries() -> Vec<Vec<u8>> {
    let numbers = [0o644u64, 1000, 1 << 31, (-5i64).cast_unsigned(), 250_000_000].map(u64::to_le_bytes).concat();
    let holes = [&1_000_000u64.to_le_bytes()[..], &[2], &100u64.to_le_bytes(), &50u64.to_le_bytes()].concat();
    let xattr = [stretch(b"a=b%3D"), stretch(b"value")].concat();
    (0..8u8)
        .map(|kind| [&[kind][..], &stretch(&[b'p'; 120]), &numbers, &stretch(b"target"), &holes, &xattr].concat())
        .collect()
}
