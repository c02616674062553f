//! Trees that change while they are read: every change is told, nothing from outside comes in, the stream is well formed.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dice, options, pack};
use holdfast_mover::{Archive, Entry, Kind, Options, Outcome, Piece, Reader, Root, Time, Walk, What, write_archive};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

fn walked(folder: &Path) -> (Arc<Root>, Vec<Entry>) {
    let root = Arc::new(Root::open(folder).unwrap());
    let entries = Walk::new(Arc::clone(&root), options(2)).collect();
    (root, entries)
}

/// Reads the entry `file`; `at_header` happens when its header was given out.
fn read(root: &Arc<Root>, entries: &[Entry], mut at_header: impl FnMut()) -> (Outcome, Vec<u8>) {
    let entry = entries.iter().find(|entry| entry.path.ends_with(b"file")).unwrap();
    let (mut content, mut promised) = (Vec::new(), 0);
    let mut after = 0;
    let outcome = Reader::new(Arc::clone(root), b"").read(entry, &mut |piece| {
        match piece {
            Piece::Header(header) => {
                promised = Archive::new(header).next().unwrap().unwrap().size;
                at_header();
            }
            Piece::Content(bytes) => content.extend_from_slice(bytes),
            Piece::Zeros(count) => content.resize(content.len() + count as usize, 0),
            Piece::Padding(zeros) => after = zeros.len(),
        }
        Ok(())
    });
    let outcome = outcome.unwrap();
    if !matches!(outcome, Outcome::Missing(_)) {
        assert_eq!(content.len() as u64, promised, "exactly what was promised");
        assert_eq!((content.len() + after) % 512, 0);
    }
    (outcome, content)
}

fn what(outcome: &Outcome) -> Option<What> {
    match outcome {
        Outcome::Whole => None,
        Outcome::Flawed(trouble) | Outcome::Missing(trouble) => Some(trouble.what),
    }
}

fn folder_with_file(size: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), vec![7; size]).unwrap();
    folder
}

#[test]
fn an_untouched_file_is_whole() {
    let folder = folder_with_file(3_000_001);
    let (root, entries) = walked(folder.path());
    assert_eq!(read(&root, &entries, || {}), (Outcome::Whole, vec![7; 3_000_001]));
}

#[test]
fn a_file_that_grows_is_cut_and_told() {
    let folder = folder_with_file(100_000);
    let (root, entries) = walked(folder.path());
    let grow = || fs::write(folder.path().join("file"), vec![8; 500_000]).unwrap();
    let (outcome, content) = read(&root, &entries, grow);
    assert!((what(&outcome), content) == (Some(What::Changed), vec![8; 100_000]));
    // Before it is opened: it is read as it is then.
    let (outcome, content) = read(&root, &entries, || {});
    assert!((what(&outcome), content) == (Some(What::Changed), vec![8; 500_000]));
}

#[test]
fn a_small_file_that_is_replaced_is_not_torn() {
    let folder = folder_with_file(1000);
    let (root, entries) = walked(folder.path());
    fs::write(folder.path().join("other"), vec![9; 1777]).unwrap();
    fs::rename(folder.path().join("other"), folder.path().join("file")).unwrap();
    assert!(matches!(read(&root, &entries, || {}), (Outcome::Flawed(_), content) if content == vec![9; 1777]));
}

#[test]
fn a_file_that_shrinks_is_made_up_with_zeros_and_told() {
    let folder = folder_with_file(5_000_000);
    let (root, entries) = walked(folder.path());
    let shrink = || fs::File::options().write(true).open(folder.path().join("file")).unwrap().set_len(100).unwrap();
    let (outcome, content) = read(&root, &entries, shrink);
    assert_eq!(what(&outcome), Some(What::Short));
    assert!(content[..100].iter().all(|&byte| byte == 7) && content[100..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_file_that_changes_in_place_is_told() {
    let folder = folder_with_file(100_000);
    let (root, entries) = walked(folder.path());
    std::thread::sleep(Duration::from_millis(20));
    let change = || fs::write(folder.path().join("file"), vec![9; 100_000]).unwrap();
    assert_eq!(what(&read(&root, &entries, change).0), Some(What::Changed));
}

#[test]
fn data_that_comes_into_a_hole_is_read_not_taken_for_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("file");
    fs::File::create(&place).unwrap().set_len(1 << 20).unwrap();
    let (root, mut entries) = walked(folder.path());
    Reader::new(Arc::clone(&root), b"").find_holes(&mut entries[1]);
    assert_eq!(entries[1].holes, [(0, 1 << 20)]);
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&place, vec![5; 1 << 20]).unwrap();
    let (outcome, content) = read(&root, &entries, || {});
    assert_eq!(what(&outcome), Some(What::Changed));
    assert!(content == vec![5; 1 << 20]);
}

#[test]
fn what_takes_the_place_of_a_file_is_not_read() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), vec![b'!'; 1000]).unwrap();
    type Swap = fn(&Path, &Path);
    let swaps: [(&str, Swap); 5] = [
        ("gone", |_, _| {}),
        ("link", |place, secret| symlink(secret, place).unwrap()),
        ("folder", |place, _| fs::create_dir(place).unwrap()),
        ("pipe", |place, _| {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, place, kind, rustix::fs::Mode::from_raw_mode(0o666), 0).unwrap();
        }),
        ("socket", |place, _| drop(std::os::unix::net::UnixListener::bind(place).unwrap())),
    ];
    for (name, swap) in swaps {
        let folder = folder_with_file(1000);
        let place = folder.path().join("file");
        let (root, entries) = walked(folder.path());
        fs::remove_file(&place).unwrap();
        swap(&place, secret.path());
        let (outcome, content) = read(&root, &entries, || {});
        assert!(matches!(outcome, Outcome::Missing(_)), "{name}: {outcome:?}");
        assert_eq!(content, [], "{name}");
    }
}

#[test]
fn a_folder_that_becomes_a_link_leads_nowhere() {
    let outside = folder_with_file(1000);
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("file"), vec![7; 1000]).unwrap();
    let (root, entries) = walked(folder.path());
    fs::rename(folder.path().join("a"), folder.path().join("away")).unwrap();
    symlink(outside.path(), folder.path().join("a")).unwrap();
    fs::create_dir(outside.path().join("b")).unwrap();
    fs::write(outside.path().join("b/file"), vec![b'!'; 1000]).unwrap();
    let (outcome, content) = read(&root, &entries, || {});
    assert!(matches!(outcome, Outcome::Missing(_)), "{outcome:?}");
    assert_eq!(content, []);
}

#[test]
fn files_that_changed_just_now_are_not_trusted_twice() {
    let folder = folder_with_file(10);
    let root = Arc::new(Root::open(folder.path()).unwrap());
    let walk = |since: Option<i64>| {
        let unsettled_since = since.map(|seconds| Time { seconds, nanos: 0 });
        let entries = Walk::new(Arc::clone(&root), Options { unsettled_since, ..options(1) });
        entries.last().unwrap().identity(&[1; 32])
    };
    let now = fs::metadata(folder.path().join("file")).unwrap().ctime();
    assert_eq!(walk(Some(now + 2)), walk(None), "an old file is trusted");
    assert_ne!(walk(Some(now - 2)), walk(None), "a young one is not");
    assert_ne!(walk(Some(now - 2)), walk(Some(now - 1)), "not even by the next walk");
}

#[test]
fn what_may_not_be_read_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("locked")).unwrap();
    fs::write(folder.path().join("locked/file"), b"x").unwrap();
    fs::write(folder.path().join("open"), b"x").unwrap();
    fs::create_dir(folder.path().join("mounted")).unwrap();
    if common::is_root() {
        // Root may read all; another file system stands for what is left out.
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder.path().join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let (_, report) = pack(folder.path(), 2);
    assert_eq!(report.troubles.len(), 1);
    assert_eq!(&*report.troubles[0].path, b"locked");
}

#[test]
fn another_file_system_below_is_left_out_and_told() {
    let root = Arc::new(Root::open(Path::new("/")).unwrap());
    let mut walk = Walk::new(root, options(1));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    if !mounts.lines().any(|line| line.split(' ').nth(1) == Some("/proc")) {
        return;
    }
    // `/proc` comes before anything of it could come.
    let mut below = 0;
    for entry in walk.by_ref().take_while(|entry| *entry.path < b"root"[..]) {
        below += usize::from(entry.path.starts_with(b"proc/"));
    }
    assert_eq!(below, 0);
    assert!(walk.take_troubles().iter().any(|trouble| &*trouble.path == b"proc" && trouble.what == What::Mount));
}

#[test]
fn other_file_systems_are_entered_if_wished_but_for_those_without_data() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is_mounted = |place: &str| mounts.lines().any(|line| line.split(' ').nth(1) == Some(place));
    if !is_mounted("/proc") || !is_mounted("/dev") {
        return;
    }
    let root = Arc::new(Root::open(Path::new("/")).unwrap());
    let mut walk = Walk::new(root, Options { cross_mounts: true, ..options(2) });
    let (mut devices, mut below_proc) = (0, 0);
    for entry in walk.by_ref().take_while(|entry| *entry.path < b"root"[..]) {
        devices += usize::from(entry.path.starts_with(b"dev/"));
        below_proc += usize::from(entry.path.starts_with(b"proc/"));
    }
    assert!(devices > 0, "/dev is another file system and was not entered");
    assert_eq!(below_proc, 0);
    assert!(walk.take_troubles().iter().any(|trouble| &*trouble.path == b"proc" && trouble.what == What::Mount));
}

/// Somebody writes, cuts, renames, links and removes as fast as possible while the tree is read again and again.
#[test]
fn a_tree_in_turmoil_gives_well_formed_streams() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"SECRET".repeat(500)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        fs::create_dir_all(folder.path().join(format!("{}/{}", number % 7, number % 3))).unwrap();
        fs::write(folder.path().join(format!("{}/{}/{number}", number % 7, number % 3)), vec![1; number * 20]).unwrap();
    }
    let over = AtomicBool::new(false);
    let (mut rounds, mut told) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| churn(folder.path(), outside.path(), &over));
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            let root = Arc::new(Root::open(folder.path()).unwrap());
            let mut tar = Vec::new();
            let report = write_archive(&root, options(3), b"", &mut tar).unwrap();
            assert!(!String::from_utf8_lossy(&tar).contains("SECRET"), "something from outside came in");
            let mut archive = Archive::new(&tar[..]);
            let mut entries = 0;
            while let Some(entry) = archive.next().unwrap() {
                entries += 1;
                assert!(entry.kind != Kind::File || entry.size < 1 << 20);
            }
            assert_eq!(entries, report.entries);
            rounds += 1;
            told += report.troubles.len();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(rounds > 1 && told > 0, "{rounds} rounds, {told} troubles told: the test does not test");
}

fn churn(folder: &Path, outside: &Path, over: &AtomicBool) {
    let mut dice = Dice(5);
    while !over.load(Ordering::Relaxed) {
        let place = folder.join(format!("{}/{}", dice.below(7), dice.below(3)));
        let file = place.join(dice.below(200).to_string());
        // Most of it fails because something else is there: so be it.
        let _: io::Result<()> = match dice.below(8) {
            0 => fs::write(&file, vec![2; dice.below(20_000) as usize]),
            1 => fs::File::options().append(true).open(&file).and_then(|file| file.set_len(dice.below(3000))),
            2 => fs::remove_file(&file),
            3 => fs::remove_file(&file).and_then(|()| symlink(outside.join("secret"), &file)),
            4 => fs::rename(&file, place.join(dice.below(200).to_string())),
            5 => fs::hard_link(&file, place.join(dice.below(200).to_string())),
            6 => fs::rename(&place, folder.join("away"))
                .and_then(|()| symlink(outside, &place))
                .and_then(|()| fs::remove_file(&place))
                .and_then(|()| fs::rename(folder.join("away"), &place)),
            _ => fs::create_dir_all(&file),
        };
    }
}
