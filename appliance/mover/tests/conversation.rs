//! The conversation with the appliance: what is told of a tree is the tar of that tree, and no half of it passes for whole.
#![allow(clippy::unwrap_used)]

mod common;

use common::grow::{Kinds, grow};
use holdfast_mover::{
    FILE_MAX, Options, Root, What, padding, serve,
    wire::{self, Answer, Ask},
    write_archive,
};
use std::{
    fs, io,
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

const ALL: Kinds = Kinds { sockets: true, holes: true, acls: true };

/// One side of a conversation whose other side serves a folder.
struct Talk {
    line: UnixStream,
    served: Option<JoinHandle<io::Result<()>>>,
}

impl Talk {
    fn with(folder: &Path) -> Talk {
        let (line, far) = UnixStream::pair().unwrap();
        let folder = PathBuf::from(folder);
        let served = thread::spawn(move || serve(&folder, far.try_clone().unwrap(), far));
        Talk { line, served: Some(served) }
    }

    fn greeted(folder: &Path) -> Talk {
        let mut talk = Talk::with(folder);
        let hello = Ask::Hello { version: wire::VERSION, key: [7; 32], prefix: b"v".to_vec() };
        assert_eq!(talk.say(&hello), Answer::Hello { version: wire::VERSION });
        talk
    }

    fn say(&mut self, ask: &Ask) -> Answer {
        self.put(ask);
        self.hear()
    }

    fn put(&mut self, ask: &Ask) {
        use io::Write;
        let mut out = Vec::new();
        ask.put(&mut out);
        self.line.write_all(&out).unwrap();
    }

    fn hear(&mut self) -> Answer {
        use io::Read;
        let mut head = [0; wire::HEAD];
        self.line.read_exact(&mut head).unwrap();
        let (kind, length) = wire::head(&head).unwrap().unwrap();
        let mut body = vec![0; length];
        self.line.read_exact(&mut body).unwrap();
        Answer::read(kind, &body).unwrap()
    }

    /// All answers up to the last, which has to count them.
    fn ask(&mut self, ask: &Ask) -> Vec<Answer> {
        self.put(ask);
        let mut all = Vec::new();
        loop {
            match self.hear() {
                Answer::Done(frames) => {
                    assert_eq!(frames, all.len() as u64);
                    return all;
                }
                answer => all.push(answer),
            }
        }
    }

    /// Groups by witness, and entries of each.
    fn groups(&mut self) -> Vec<([u8; 32], u32)> {
        let group = |answer| match answer {
            Answer::Group { witness, entries, .. } => (witness, entries),
            other => panic!("{other:?}"),
        };
        self.ask(&Ask::Groups).into_iter().map(group).collect()
    }

    fn end(mut self) -> io::Result<()> {
        drop(self.line);
        self.served.take().unwrap().join().unwrap()
    }
}

/// The tar that frames make.
fn tar(frames: &[Answer]) -> Vec<u8> {
    let (mut out, mut content) = (Vec::new(), 0);
    for frame in frames {
        match frame {
            Answer::Begin(headers) => out.extend_from_slice(headers),
            Answer::Content(bytes) => {
                out.extend_from_slice(bytes);
                content += bytes.len() as u64;
            }
            Answer::Zeros(count) => {
                out.resize(out.len() + usize::try_from(*count).unwrap(), 0);
                content += count;
            }
            Answer::End => out.extend_from_slice(padding(std::mem::take(&mut content))),
            other => panic!("{other:?}"),
        }
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn what_is_told_of_a_tree_is_its_tar() {
    for seed in 0..20 {
        let from = tempfile::tempdir().unwrap();
        grow(from.path(), seed, ALL);
        let mut expected = Vec::new();
        let root = Arc::new(Root::open(from.path()).unwrap());
        write_archive(&root, Options::default(), b"v", &mut expected).unwrap();

        let mut talk = Talk::greeted(from.path());
        let groups = talk.groups();
        let numbers: Vec<u32> = (0..u32::try_from(groups.len()).unwrap()).collect();
        let marks = talk.ask(&Ask::Marks(numbers.clone()));
        assert_eq!(marks.len(), groups.len());
        for (mark, (_, entries)) in marks.iter().zip(&groups) {
            assert!(matches!(mark, Answer::Marks(marks) if marks.len() == *entries as usize));
        }
        let all = numbers.iter().map(|group| (*group, vec![true; groups[*group as usize].1 as usize])).collect();
        let frames = talk.ask(&Ask::Read { groups: all, may_keep: false });
        assert!(tar(&frames) == expected, "seed {seed}");
        assert_eq!(talk.ask(&Ask::Finish), []);
        talk.end().unwrap();
    }
}

#[test]
fn a_second_walk_sees_what_changed_and_only_what_is_wanted_comes() {
    let from = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(from.path().join(name), name).unwrap();
        // Long ago, so that the walks trust it.
        common::set_mtime(&from.path().join(name), 1_000_000, 0);
    }
    let mut talk = Talk::greeted(from.path());
    let first = talk.groups();
    fs::write(from.path().join("b"), "changed").unwrap();
    let second = talk.groups();
    assert_eq!(first.len(), second.len());
    assert_ne!(first, second);
    let frames = talk.ask(&Ask::Read { groups: vec![(0, vec![false, false, true, false])], may_keep: false });
    let [Answer::Begin(_), Answer::Content(content), Answer::End] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(content, b"changed");
    talk.end().unwrap();
}

/// What a program writes through mapped memory may not show in the times of a file whose page was dirty already.
#[test]
fn what_changed_since_the_first_walk_began_is_not_trusted_later() {
    let from = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(from.path().join(name), name).unwrap();
    }
    let mut early = Talk::greeted(from.path());
    assert_ne!(early.groups(), early.groups(), "two walks within one tick");
    // Long enough for the times alone to be trusted.
    std::thread::sleep(std::time::Duration::from_millis(2300));
    let in_memory = rustix::fs::statfs(from.path()).unwrap().f_type as u32 == 0x0102_1994;
    let mut talk = Talk::greeted(from.path());
    let first = talk.groups();
    assert_eq!(talk.groups() == first, !in_memory, "on a disk nothing has changed; in memory nobody knows");
    fs::write(from.path().join("b"), "changed").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2300));
    let second = talk.groups();
    assert_ne!(first, second);
    let mut next = Talk::greeted(from.path());
    assert_ne!(next.groups(), second, "the next conversation reads it again");
    assert_eq!(next.groups() == next.groups(), !in_memory);
    talk.end().unwrap();
    next.end().unwrap();
    early.end().unwrap();
}

#[test]
fn what_vanished_is_named_and_so_are_its_other_names() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("a"), "content").unwrap();
    fs::hard_link(from.path().join("a"), from.path().join("b")).unwrap();
    symlink("a", from.path().join("c")).unwrap();
    let mut talk = Talk::greeted(from.path());
    talk.groups();
    fs::remove_file(from.path().join("a")).unwrap();
    let frames = talk.ask(&Ask::Read { groups: vec![(0, vec![true; 4])], may_keep: false });
    let left: Vec<&[u8]> = frames
        .iter()
        .filter_map(|frame| if let Answer::Left(trouble) = frame { Some(&*trouble.path) } else { None })
        .collect();
    assert_eq!(left, [b"a", b"b"]);
    assert_eq!(frames.iter().filter(|frame| matches!(frame, Answer::Begin(_))).count(), 2, "the root and the link");
    talk.end().unwrap();
}

#[test]
fn what_claims_too_many_bytes_is_told_by_name_and_what_grew_to_that_is_left_out() {
    let from = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for name in ["good", "grows"] {
        fs::write(from.path().join(name), name).unwrap();
    }
    let claim = |name: &str| {
        let file = fs::File::options().create(true).append(true).open(from.path().join(name)).unwrap();
        file.set_len(FILE_MAX + 1).is_ok()
    };
    if !claim("huge") {
        println!("skipped: the file system takes no files of that size");
        return;
    }
    let mut talk = Talk::greeted(from.path());
    assert_eq!(talk.groups().iter().map(|(_, entries)| entries).sum::<u32>(), 3, "the folder and two files");
    assert!(claim("grows"));
    let frames = talk.ask(&Ask::Read { groups: vec![(0, vec![true; 3])], may_keep: false });
    let told = |answer: &Answer| match answer {
        Answer::Left(trouble) | Answer::Trouble(trouble) => Some((trouble.path.to_vec(), trouble.what)),
        _ => None,
    };
    assert_eq!(frames.iter().filter_map(told).collect::<Vec<_>>(), [(b"grows".to_vec(), What::TooLarge)]);
    assert!(frames.contains(&Answer::Content(b"good".to_vec())));
    let left = talk.ask(&Ask::Finish);
    assert_eq!(left.iter().filter_map(told).collect::<Vec<_>>(), [(b"huge".to_vec(), What::TooLarge)]);
    talk.end().unwrap();
}

#[test]
fn what_cannot_be_served_is_said_and_nonsense_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let hello = |version| Ask::Hello { version, key: [0; 32], prefix: Vec::new() };
    let mut talk = Talk::with(&folder.path().join("missing"));
    assert!(matches!(talk.say(&hello(wire::VERSION)), Answer::Failed(why) if why.contains("missing")));
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(Talk::with(&file).say(&hello(wire::VERSION)), Answer::Failed(_)));
    assert!(matches!(Talk::with(folder.path()).say(&hello(99)), Answer::Failed(why) if why.contains("99")));

    let mut talk = Talk::with(folder.path());
    talk.put(&Ask::Groups);
    assert!(talk.end().is_err(), "no greeting");
    let mut talk = Talk::greeted(folder.path());
    talk.put(&Ask::Marks(vec![0]));
    assert!(talk.end().is_err(), "a group that there is not");
    let mut talk = Talk::greeted(folder.path());
    io::Write::write_all(&mut talk.line, b"G\0\0").unwrap();
    assert!(talk.end().is_err(), "half an ask");
}

#[test]
fn of_what_was_sent_before_only_what_differs_is_sent_again() {
    let from = tempfile::tempdir().unwrap();
    let path = from.path().join("pages");
    let mut content: Vec<u8> = (0..4_000_000u32).map(|at| (at / 3) as u8 | 1).collect();
    std::fs::write(&path, &content).unwrap();
    let mut talk = Talk::greeted(from.path());
    talk.groups();
    let read = |may_keep| Ask::Read { groups: vec![(0, vec![false, true])], may_keep };
    talk.ask(&read(true));
    let Answer::Marks(before) = &talk.ask(&Ask::Marks(vec![0]))[0] else { panic!() };
    let name_before = before[1].0;
    content[2_000_000] ^= 8;
    std::fs::write(&path, &content).unwrap();
    // Read by the old walk it is flawed, and gets a name.
    let frames = talk.ask(&read(true));
    let sent =
        |frames: &[Answer]| frames.iter().map(|f| if let Answer::Content(c) = f { c.len() } else { 0 }).sum::<usize>();
    let names = |frames: &[Answer]| -> Vec<u64> {
        frames.iter().filter_map(|f| if let Answer::Kept { name, .. } = f { Some(*name) } else { None }).collect()
    };
    let Some(Answer::Flawed { name, .. }) = frames.last() else { panic!("{:?}", frames.last()) };
    assert_eq!((sent(&frames), names(&frames)), (32 << 10, vec![name_before; 2]));
    talk.groups();
    let frames = talk.ask(&read(true));
    assert_eq!((sent(&frames), names(&frames)), (0, vec![*name]));
    assert_eq!(frames.last(), Some(&Answer::End));
    assert_eq!(sent(&talk.ask(&read(false))), content.len());
    talk.end().unwrap();
}
