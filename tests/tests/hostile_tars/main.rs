//! Every hostile tar through every reader of tars: no panic, no way out, ten seconds and a bounded memory for each; and what
//! each reader makes of it is written down in `outcomes.txt`, so that nothing changes unseen.

use holdfast_mover::{Archive, Broken, Rights, Writer};
use holdfast_tar::{Outline, Splitter, Walker};
use holdfast_tests::hostile::{Case, ESCAPE, corpus};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

/// Longest time for one case, all readers together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Memory that a case may cost above what is in use before it, KiB: readers hold a MiB of headers and some buffers each.
const MEMORY_KIB: u64 = 48 << 10;
/// Bytes that are handed to a reader at once.
const PIECE: usize = 64 << 10;

/// What the readers made of one case.
fn outcome(case: &Case) -> String {
    let split = split(case);
    format!("{} | {} | {} | {} | {}", split, walk(case), outline(case), read(case), write(case))
}

/// Feeds a case piece by piece until `take` has enough.
fn feed(case: &Case, mut take: impl FnMut(&[u8]) -> bool) {
    let (mut reader, mut piece) = (case.reader(), vec![0; PIECE]);
    loop {
        let have = reader.read(&mut piece).expect("memory can be read");
        if have == 0 || !take(&piece[..have]) {
            return;
        }
    }
}

/// The splitter gives back what it took, in order, whatever it is.
fn split(case: &Case) -> String {
    let mut splitter = Splitter::new();
    let mut original = case.reader();
    let mut expected = Vec::new();
    let mut check = |piece: holdfast_tar::Piece<'_>| {
        use holdfast_tar::Piece::{Data, Meta, Raw};
        let (Meta(bytes) | Data(bytes) | Raw(bytes)) = piece else { return Ok(()) };
        expected.resize(bytes.len(), 0);
        original.read_exact(&mut expected).expect("no more than was given");
        assert!(expected == bytes, "the pieces are not the stream");
        Ok(())
    };
    feed(case, |piece| {
        splitter.push(piece, &mut check).expect("the sink takes everything");
        true
    });
    let end = splitter.finish(&mut check).expect("the sink takes everything");
    assert_eq!(original.read(&mut [0]).expect("memory can be read"), 0, "something was kept back");
    match (end.fell_back, end.complete) {
        (Some(why), _) => format!("split: {} then raw, {why}", end.entries),
        (None, complete) => format!("split: {}{}", end.entries, if complete { "" } else { ", cut" }),
    }
}

fn walk(case: &Case) -> String {
    let mut walker = Walker::new();
    let mut failed = None;
    feed(case, |piece| {
        walker.feed(piece.to_vec().into());
        loop {
            match walker.step() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(error) => {
                    failed = Some(error);
                    return false;
                }
            }
        }
    });
    let told = match failed {
        Some(error) => Err(error),
        None => walker.finish(),
    };
    told.map_or_else(|error| format!("walk: {}", error.code()), |end| format!("walk: {}", end.entries))
}

fn outline(case: &Case) -> String {
    let mut outline = Outline::new();
    let mut found = 0_u64;
    let mut failed = None;
    feed(case, |piece| {
        match outline.bytes(piece, &mut |_| {
            found += 1;
            Ok(())
        }) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    });
    match failed {
        Some(error) => format!("list: {}", error.code()),
        None => outline.finish().map_or_else(|error| format!("list: {}", error.code()), |_| format!("list: {found}")),
    }
}

fn broken(broken: Broken) -> String {
    match broken {
        Broken::Cut => "cut".into(),
        Broken::Malformed(why) => why.into(),
        Broken::Source(error) => panic!("memory can be read: {error}"),
    }
}

/// The mover's reader.
fn read(case: &Case) -> String {
    let mut archive = Archive::new(case.reader());
    let mut members = 0;
    loop {
        match archive.next() {
            Ok(Some(_)) => members += 1,
            Ok(None) => return format!("mover: {members}"),
            Err(wrong) => return format!("mover: {members} then {}", broken(wrong)),
        }
    }
}

/// The mover's writer, into a folder whose neighbour must stay as it is.
fn write(case: &Case) -> String {
    let ground = tempfile::tempdir().expect("a folder");
    let (inside, outside) = (ground.path().join("inside"), ground.path().join("outside"));
    for folder in [&inside, &outside] {
        fs::create_dir(folder).expect("a folder");
    }
    fs::write(outside.join("treasure"), b"mine").expect("a file");
    let before = neighbours(ground.path());
    let told = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let tell = {
        let told = Arc::clone(&told);
        Arc::new(move |trouble: holdfast_mover::Trouble| {
            *told.lock().expect("nobody panics").entry(format!("{:?}", trouble.what)).or_default() += 1;
        })
    };
    let rights = Rights { threads: 2, ..Rights::default() };
    let writer = Writer::open(&inside, rights, tell).expect("the folder is there");
    let written = writer.write(&mut Archive::new(case.reader()));
    assert_eq!(before, neighbours(ground.path()), "something outside the folder changed");
    assert!(fs::symlink_metadata(ESCAPE).is_err(), "{ESCAPE} was made");
    let told = told.lock().expect("nobody panics");
    let told: Vec<String> = told.iter().map(|(what, times)| format!("{what} {times}")).collect();
    let made = written.map_or_else(broken, |written| written.entries.to_string());
    format!("write: {made}{}{}", if told.is_empty() { "" } else { ", told " }, told.join(", "))
}

/// Everything beside the folder that is written, and that folder's own place.
fn neighbours(ground: &Path) -> Vec<(String, u64, Vec<u8>, i64)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for folder in [ground.to_owned(), ground.join("outside")] {
        for entry in fs::read_dir(&folder).expect("it is there") {
            let entry = entry.expect("it can be read");
            let facts = fs::symlink_metadata(entry.path()).expect("it is there");
            let content = if facts.is_file() { fs::read(entry.path()).expect("a file") } else { Vec::new() };
            let links = facts.nlink() * u64::from(facts.is_file());
            let changed = if facts.is_file() { facts.ctime() } else { 0 };
            found.push((entry.file_name().to_string_lossy().into_owned(), links, content, changed));
        }
    }
    found.sort();
    found
}

/// The most memory that this process had since the mark was set, KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// Forgets the most; false where that is not allowed.
fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[test]
fn no_tar_does_harm() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_tars/outcomes.txt");
    let cases = corpus();
    assert!(cases.len() >= 150, "{}", cases.len());
    let mut lines = Vec::new();
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    let measured = forget_peak();
    for case in cases {
        let name = case.name.clone();
        forget_peak();
        let before = peak();
        let (give, take) = mpsc::channel();
        let begun = Instant::now();
        let work = std::thread::spawn(move || {
            let said = outcome(&case);
            drop(give.send(said));
        });
        let said = match take.recv_timeout(PATIENCE) {
            Ok(said) => said,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name}: not over after {PATIENCE:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{name}: a reader panicked: {:?}", work.join().err()),
        };
        work.join().expect("it has said what it had to say");
        slowest = slowest.max(begun.elapsed());
        let cost = peak().saturating_sub(before);
        largest = largest.max(cost);
        assert!(!measured || cost <= MEMORY_KIB, "{name}: {cost} KiB");
        lines.push(format!("{name} | {said}"));
    }
    println!("{} tars, 0 ways out, 0 panics, slowest {slowest:?}, most memory {largest} KiB", lines.len());
    let now = lines.join("\n") + "\n";
    if std::env::var_os("HOLDFAST_WRITE_OUTCOMES").is_some() {
        fs::write(&file, &now).expect("the outcomes can be written");
    }
    let was = fs::read_to_string(&file).unwrap_or_default();
    let known: Vec<&str> = was.lines().collect();
    let other: Vec<&String> = lines.iter().filter(|line| !known.contains(&line.as_str())).collect();
    assert!(other.is_empty(), "not as written down in {}: {other:#?}", file.display());
    assert_eq!(known.len(), lines.len(), "cases are gone, or there twice");
}
