//! Sizes that cost nothing: what claims more bytes than are carried is named, and the rest comes.
#![allow(clippy::unwrap_used)]

mod common;

use common::options;
use holdfast_mover::{
    Entry, FILE_MAX, Kind, Outcome, Piece, Reader, Root, TREE_MAX, Trouble, Walk, What, shown, write_archive,
};
use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

/// A size that every file system of Linux can claim: ext4 ends at 16 TiB.
const LARGE: u64 = 15 << 40;

/// A folder in memory, where files may claim any size.
fn roomy() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Makes a file that is nothing but a hole. `false`, with a word, where the file system has no such sizes.
fn hollow(place: &Path, size: u64) -> bool {
    match fs::File::options().create(true).append(true).open(place).unwrap().set_len(size) {
        Ok(()) => true,
        Err(error) => {
            println!("skipped: a file of {size} bytes cannot be made at {}: {error}", place.display());
            false
        }
    }
}

/// What a walk tells, and what it leaves out.
fn walked(root: &Arc<Root>) -> (Vec<Entry>, Vec<Trouble>) {
    let mut walk = Walk::new(Arc::clone(root), options(2));
    let entries = walk.by_ref().collect();
    (entries, walk.take_troubles())
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| shown(&entry.path)).collect()
}

/// The paths of troubles, which are all of this kind.
fn too_large(troubles: &[Trouble]) -> Vec<String> {
    assert!(troubles.iter().all(|trouble| trouble.what == What::TooLarge), "{troubles:?}");
    troubles.iter().map(|trouble| shown(&trouble.path)).collect()
}

#[test]
fn a_file_that_claims_too_much_is_named_under_all_its_names_and_its_neighbours_come() {
    let folder = roomy();
    let at = |name: &str| folder.path().join(name);
    for name in ["a", "z"] {
        fs::write(at(name), name).unwrap();
    }
    for (name, size) in [("limit", FILE_MAX), ("huge", FILE_MAX + 1), ("endless", i64::MAX as u64)] {
        if !hollow(&at(name), size) {
            return;
        }
    }
    fs::hard_link(at("huge"), at("other")).unwrap();
    let root = Arc::new(Root::open(folder.path()).unwrap());
    let (entries, troubles) = walked(&root);
    assert_eq!(names(&entries), [".", "a", "limit", "z"]);
    assert_eq!(too_large(&troubles), ["endless", "huge", "other"]);
    assert!(troubles[0].to_string().contains("64 TiB"), "{}", troubles[0]);
}

#[test]
fn what_goes_beyond_the_sum_is_named_and_what_still_fits_comes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let many = usize::try_from(TREE_MAX / LARGE).unwrap();
    for number in 0..many + 3 {
        if !hollow(&at(&format!("f{number:02}")), LARGE) {
            return;
        }
    }
    let (last, first_out) = (format!("f{:02}", many - 1), format!("f{many:02}"));
    fs::write(at("good"), "good").unwrap();
    fs::hard_link(at(&last), at("x")).unwrap();
    fs::hard_link(at(&first_out), at("y")).unwrap();
    let root = Arc::new(Root::open(folder.path()).unwrap());
    // Again: a walk does not pay for what an earlier one took.
    for _ in 0..2 {
        let (entries, troubles) = walked(&root);
        let mut expected: Vec<String> = (0..many).map(|number| format!("f{number:02}")).collect();
        expected.insert(0, ".".into());
        expected.push("good".into());
        expected.push("x".into());
        assert_eq!(names(&entries), expected);
        assert_eq!(entries.last().map(|entry| (entry.kind, &*entry.link)), Some((Kind::HardLink, last.as_bytes())));
        let mut left: Vec<String> = (many..many + 3).map(|number| format!("f{number:02}")).collect();
        left.push("y".into());
        assert_eq!(too_large(&troubles), left);
        assert!(troubles[0].to_string().contains("256 TiB"), "{}", troubles[0]);
    }
}

/// Reads an entry: how that went, and the bytes that it was said to have.
fn read(root: &Arc<Root>, entry: &Entry) -> (Outcome, u64) {
    let mut said = 0;
    let outcome = Reader::new(Arc::clone(root), b"").read(entry, &mut |piece| {
        match piece {
            Piece::Content(bytes) => said += bytes.len() as u64,
            Piece::Zeros(count) => said += count,
            Piece::Header(_) | Piece::Padding(_) => {}
        }
        Ok(())
    });
    (outcome.unwrap(), said)
}

#[test]
fn a_file_that_grew_too_large_since_the_walk_is_left_out_by_name() {
    let folder = roomy();
    fs::write(folder.path().join("file"), "x").unwrap();
    let root = Arc::new(Root::open(folder.path()).unwrap());
    let (entries, _) = walked(&root);
    if !hollow(&folder.path().join("file"), FILE_MAX + 1) {
        return;
    }
    let (outcome, said) = read(&root, &entries[1]);
    assert!(matches!(&outcome, Outcome::Missing(trouble) if trouble.what == What::TooLarge), "{outcome:?}");
    assert_eq!(said, 0);
    let claimed = Entry { size: FILE_MAX + 1, ..entries[1].clone() };
    assert!(matches!(read(&root, &claimed), (Outcome::Missing(trouble), 0) if trouble.what == What::TooLarge));
}

#[test]
fn files_that_grow_together_since_the_walk_do_not_outgrow_the_sum() {
    let folder = roomy();
    let at = |number: u64| folder.path().join(number.to_string());
    (0..5).for_each(|number| fs::write(at(number), "x").unwrap());
    let root = Arc::new(Root::open(folder.path()).unwrap());
    let (entries, _) = walked(&root);
    if (0..5).any(|number| !hollow(&at(number), FILE_MAX)) {
        return;
    }
    let came: Vec<(Outcome, u64)> = entries[1..].iter().map(|entry| read(&root, entry)).collect();
    let all: u64 = came.iter().map(|(_, said)| said).sum();
    assert_eq!(all, 3 * FILE_MAX, "what the five had at first stays theirs: a fourth does not fit");
    for (place, (outcome, _)) in came.iter().enumerate() {
        let expected = if place < 3 { What::Changed } else { What::TooLarge };
        let told = match outcome {
            Outcome::Whole => None,
            Outcome::Flawed(trouble) | Outcome::Missing(trouble) => Some(trouble.what),
        };
        assert_eq!(told, Some(expected), "{place}");
    }
}

#[test]
fn of_many_files_without_room_a_thousand_are_named_and_the_others_counted() {
    let folder = roomy();
    let at = |name: &str| folder.path().join(name);
    if (0..TREE_MAX / FILE_MAX).any(|number| !hollow(&at(&format!("a{number}")), FILE_MAX)) {
        return;
    }
    (0..1003).for_each(|number| fs::write(at(&format!("f{number:04}")), "x").unwrap());
    fs::write(at("z"), "").unwrap();
    let root = Arc::new(Root::open(folder.path()).unwrap());
    // Again: each walk counts anew.
    for _ in 0..2 {
        let (entries, troubles) = walked(&root);
        assert_eq!(names(&entries), [".", "a0", "a1", "a2", "a3", "z"], "what has no content needs no room");
        let (last, named) = troubles.split_last().unwrap();
        assert_eq!(too_large(named), (0..1000).map(|number| format!("f{number:04}")).collect::<Vec<_>>());
        assert_eq!((last.what, last.more), (What::TooLarge, 3));
    }
}

/// A line that takes so many bytes and breaks.
struct Short(Vec<u8>);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > 8 << 20 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_whole_tar_leaves_out_nothing_for_its_size() {
    let folder = roomy();
    fs::write(folder.path().join("good"), "good").unwrap();
    if !hollow(&folder.path().join("huge"), FILE_MAX + 1) {
        return;
    }
    let root = Arc::new(Root::open(folder.path()).unwrap());
    let mut line = Short(Vec::new());
    let error = write_archive(&root, options(1), b"", &mut line).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "it would go on for days");
    let size = format!(" size={}\n", FILE_MAX + 1);
    assert!(line.0.windows(size.len()).any(|place| place == size.as_bytes()), "the file has begun");
    let (entries, troubles) = walked(&root);
    assert_eq!(names(&entries), [".", "good"], "the next walk has bounds again");
    assert_eq!(too_large(&troubles), ["huge"]);
}
