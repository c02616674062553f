//! Looks into snapshots, against a tree of which everything is known.

use super::world::{World, start_of_time};
use crate::{Appliance, Asked, Content};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{
    Error, Moment, RepositoryId, Result, SnapshotId,
    policy::Consistency,
    snapshot::{
        BindSection, ContainerSection, DatabaseKind, DatabaseSection, EngineInfo, FORMAT, Fidelity, LayerPart, RawJson,
        Readiness, RunState, Snapshot, Stats, StreamRef, Trigger, VolumeSection,
    },
    view::{FileKind, From},
};
use holdfast_repository::{ByteStream, Meter, Repository, StreamKind};
use holdfast_runtime::{Clock, Stop};
use holdfast_tar::{Step, Walker, write::Entry};
use holdfast_tree::{Fault, MemTree, Node};
use std::{collections::BTreeMap, sync::Arc};

/// Files by path in the volume, in the order of a source: `/` before everything else.
pub type Files = BTreeMap<Vec<u8>, Node>;

pub struct Silent;

impl Meter for Silent {
    fn moved(&self, _: u64) {}
    fn stored(&self, _: u64) {}
    fn known(&self, _: u64) {}
}

/// An appliance that knows no host; snapshots are put into its repository directly.
pub struct Shelf {
    pub appliance: Appliance,
    pub place: tempfile::TempDir,
    stop: Stop,
    taken: u64,
}

impl Shelf {
    pub async fn new() -> Shelf {
        let (place, stop) = (tempfile::tempdir().unwrap(), Stop::new());
        let clock = Clock::manual(start_of_time());
        let appliance = World::default().start(place.path(), None, clock, &stop).await.unwrap();
        Shelf { appliance, place, stop, taken: 0 }
    }

    pub fn repository(&self) -> Repository {
        self.appliance.0.repository()
    }

    /// Keeps a snapshot of the app `local/shop` with these files in its volume `data`.
    pub async fn keep(&mut self, files: &Files, parent: Option<&Snapshot>) -> Snapshot {
        let session = self.repository().session();
        let parent = parent.and_then(|parent| parent.volumes[0].stream.as_ref());
        let tree = Box::new(MemTree::new(files.clone()));
        let (stream, problems) = session.store_tree(parent, tree, Arc::new(Silent)).await.unwrap();
        assert!(problems.is_empty());
        let layer = [Entry::file(b"conf", 4).header().unwrap(), b"conf".to_vec(), vec![0; 508], vec![0; 1024]].concat();
        let layer = session.store(StreamKind::Tar, once(layer), Arc::new(Silent)).await.unwrap();
        let single = [Entry::file(b"v", 5).header().unwrap(), b"alone".to_vec(), vec![0; 507], vec![0; 1024]].concat();
        let single = session.store(StreamKind::Tar, once(single), Arc::new(Silent)).await.unwrap();
        self.taken += 1;
        let dump = session.store(StreamKind::Bytes, once(b"create table t".to_vec()), Arc::new(Silent)).await.unwrap();
        let mut snapshot = self.snapshot(stream, layer, single);
        snapshot.databases = vec![DatabaseSection {
            container: "shop-1".into(),
            kind: DatabaseKind::Postgres,
            version: None,
            readiness: Readiness::Prepared,
            dump: Some(dump),
            log: None,
            file: None,
        }];
        session.commit(snapshot).await.unwrap()
    }

    fn snapshot(&self, stream: StreamRef, layer: StreamRef, single: StreamRef) -> Snapshot {
        let at = start_of_time().plus_seconds(3600 * self.taken as i64);
        let raw = || RawJson("{}".into());
        let mut snapshot = empty(at);
        let fidelity = Fidelity::Full;
        let volume = |name: &str, stream| VolumeSection {
            name: name.into(),
            anonymous: false,
            inspect: raw(),
            stream,
            fidelity,
        };
        snapshot.volumes = vec![volume("data", Some(stream)), volume("lost", None)];
        snapshot.binds =
            vec![BindSection { source: "/etc/app.conf".into(), directory: false, stream: Some(single), fidelity }];
        let layer = vec![
            LayerPart { into: "/etc/app".into(), stream: layer.clone() },
            LayerPart { into: "/".into(), stream: layer },
        ];
        let name = "shop-1".to_owned();
        let (image, state) = (String::new(), RunState::Running);
        snapshot.containers = vec![ContainerSection {
            name,
            service: None,
            inspect: raw(),
            image,
            state,
            changes: Vec::new(),
            changed: 0,
            layer,
            depends_on: Vec::new(),
        }];
        snapshot
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.appliance.finished().await;
    }
}

pub fn empty(at: Moment) -> Snapshot {
    let text = serde_json::json!({
        "format": FORMAT, "id": SnapshotId::new(at, holdfast_runtime::random()), "repository": RepositoryId([0; 16]),
        "sequence": 0, "app": "shop", "project": true, "host": "local", "engine": EngineInfo::default(), "time": at,
        "trigger": Trigger::Manual, "consistency": Consistency::None, "fidelity": Fidelity::Full, "containers": [],
        "images": [], "volumes": [], "binds": [], "networks": [], "problems": [], "stats": Stats::default(),
    });
    serde_json::from_value(text).unwrap()
}

fn once(bytes: Vec<u8>) -> ByteStream {
    stream::iter([Ok(Bytes::from(bytes))]).boxed()
}

/// Noise, so that nothing is known by chance.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Adds an entry; the trees of tests in memory sort `/` as a byte, so names here see to it that this is the same.
pub fn add(files: &mut Files, path: &[u8], entry: Entry<'_>, content: Vec<u8>) {
    let version = files.get(path).map_or(1, |node| node.version + 1);
    let header = entry.header().unwrap().into();
    files.insert(path.to_vec(), Node { header, content: content.into(), version, fault: Fault::None });
}

pub fn file(files: &mut Files, path: &str, content: Vec<u8>, mtime: i64) {
    let full = format!("v/{path}");
    let entry = Entry::file(full.as_bytes(), content.len() as u64).mode(0o640).owner(7, 8).mtime(mtime, 5);
    add(files, full.as_bytes(), entry.xattr("user.note", b"kept"), content);
}

pub fn folder(files: &mut Files, path: &str) {
    let full = if path.is_empty() { "v".to_owned() } else { format!("v/{path}") };
    add(files, full.as_bytes(), Entry::directory(full.as_bytes()).mode(0o750).mtime(9, 0), Vec::new());
}

/// Some thousand files in folders, links, a hole, hostile names.
pub fn sample() -> Files {
    let mut files = Files::new();
    folder(&mut files, "");
    for outer in 0..30 {
        folder(&mut files, &format!("many{outer:02}"));
        for inner in 0..100 {
            file(&mut files, &format!("many{outer:02}/{inner:03}.txt"), noise(outer * 100 + inner, 300), 1_700_000_000);
        }
    }
    folder(&mut files, "big");
    let mut holed = noise(1, 3_000_000);
    holed.extend(vec![0; 70 << 20]);
    holed.extend(noise(2, 1_000_000));
    file(&mut files, "big/holed", holed, 5);
    file(&mut files, "big/pages", noise(3, 2_500_000), 6);
    folder(&mut files, "links");
    let link = Entry::hard_link(b"v/links/again", b"v/big/pages").mode(0o640).owner(7, 8);
    add(&mut files, b"v/links/again", link.clone(), Vec::new());
    add(&mut files, b"v/links/once", Entry::hard_link(b"v/links/once", b"v/big/pages"), Vec::new());
    file(&mut files, "links/real", b"inside".to_vec(), 7);
    add(&mut files, b"v/links/same", Entry::hard_link(b"v/links/same", b"v/links/real"), Vec::new());
    add(&mut files, b"v/links/soft", Entry::symlink(b"v/links/soft", b"../../etc/passwd"), Vec::new());
    folder(&mut files, "odd");
    for name in [&b"v/odd/\xff\xfe"[..], b"v/odd/<script>", b"v/odd/a\nb", "v/odd/z\u{202e}gpj.exe".as_bytes()] {
        add(&mut files, name, Entry::file(name, 3), b"odd".to_vec());
    }
    files
}

pub fn at(snapshot: &Snapshot, section: &str, path: &str) -> Asked {
    let (section, path) = (section.to_owned(), path.to_owned());
    Asked { snapshot: snapshot.id.to_string(), section, path, from: From::Auto }
}

async fn names(shelf: &Shelf, snapshot: &Snapshot, path: &str) -> Vec<String> {
    let view = shelf.appliance.files_list(at(snapshot, "volume:data", path), None, 2000).await.unwrap();
    assert_eq!((view.next, view.left_out), (None, 0));
    view.files.into_iter().map(|file| file.name).collect()
}

async fn code<T>(answer: impl Future<Output = Result<T>>) -> String {
    answer.await.err().map_or("none".into(), |error| error.code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_listed_without_their_contents() {
    let mut shelf = Shelf::new().await;
    let snapshot = shelf.keep(&sample(), None).await;
    // Contents are gone; listings need none.
    std::fs::remove_dir_all(shelf.place.path().join("cache/p")).unwrap();
    let appliance = &shelf.appliance;
    let mut expected: Vec<String> = (0..30).map(|n| format!("many{n:02}")).collect();
    expected.splice(0..0, ["big", "links"].map(String::from));
    expected.push("odd".into());
    assert_eq!(names(&shelf, &snapshot, "").await, expected);
    let files: Vec<String> = (0..100).map(|n| format!("{n:03}.txt")).collect();
    assert_eq!(names(&shelf, &snapshot, "many17").await, files);
    let odd = ["<script>", "a\\x0Ab", "z\\xE2\\x80\\xAEgpj.exe", "\\xFF\\xFE"];
    assert_eq!(names(&shelf, &snapshot, "odd").await, odd);

    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = appliance.files_list(at(&snapshot, "volume:data", "/many29/"), after.as_deref(), 7).await.unwrap();
        assert!(page.files.len() <= 7);
        seen.extend(page.files.into_iter().map(|file| file.name));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, files);
    let view = appliance.files_list(at(&snapshot, "volume:data", "many03"), Some("098.txt"), 5).await.unwrap();
    let one = &view.files[0];
    assert_eq!(
        (one.path.as_str(), one.kind, one.size, one.mode),
        ("many03/099.txt", FileKind::File, Some(300), Some(0o640))
    );
    assert_eq!((one.uid, one.gid, one.mtime), (Some(7), Some(8), Moment::parse("2023-11-14T22:13:20Z")));
    let links = appliance.files_list(at(&snapshot, "volume:data", "links"), None, 100).await.unwrap().files;
    let told: Vec<_> = links.iter().map(|one| (one.kind, one.link.as_deref())).collect();
    assert_eq!(told[0], (FileKind::HardLink, Some("big/pages")));
    assert_eq!(told[4], (FileKind::Symlink, Some("../../etc/passwd")));

    let layer = appliance.files_list(at(&snapshot, "container:shop-1", ""), None, 9).await.unwrap().files;
    assert_eq!(
        layer.iter().map(|one| (one.name.as_str(), one.mode.is_some())).collect::<Vec<_>>(),
        [("conf", true), ("etc", false)]
    );
    let layer = appliance.files_list(at(&snapshot, "container:shop-1", "etc/app"), None, 9).await.unwrap().files;
    assert_eq!(layer[0].path, "etc/app/conf");
    let sections = appliance.files_sections(snapshot.id.as_str()).await.unwrap();
    let readable: Vec<_> = sections.iter().map(|one| (one.section.as_str(), one.readable)).collect();
    let expected = [
        ("volume:data", true),
        ("volume:lost", false),
        ("bind:/etc/app.conf", true),
        ("container:shop-1", true),
        ("dump:shop-1.postgres.sql", true),
    ];
    assert_eq!(readable, expected);
    shelf.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_questions_have_clear_answers() {
    let mut shelf = Shelf::new().await;
    let snapshot = shelf.keep(&sample(), None).await;
    let appliance = &shelf.appliance;
    for (section, path, expected) in [
        ("volume:data", "nothing", "files.absent"),
        ("volume:data", "many00/100.txt/deeper", "files.absent"),
        ("volume:data", "many00/100.tx", "files.absent"),
        ("volume:data", "many0", "files.absent"),
        ("volume:data", "../etc", "files.path"),
        ("volume:data", "many00/./x", "files.path"),
        ("volume:data", "a\\q", "files.path"),
        ("volume:data", "many00/000.txt", "files.not_folder"),
        ("volume:data", "links/soft", "files.not_folder"),
        ("bind:/etc/app.conf", "", "files.not_folder"),
        ("dump:shop-1.postgres.sql", "", "files.not_folder"),
        ("volume:dat", "", "files.section"),
        ("volume:lost", "", "files.unreadable"),
    ] {
        assert_eq!(
            code(appliance.files_list(at(&snapshot, section, path), None, 10)).await,
            expected,
            "{section} {path}"
        );
    }
    assert_eq!(code(appliance.files_list(at(&snapshot, "volume:data", ""), Some("a/b"), 10)).await, "files.path");
    let unknown = Asked { snapshot: "0123456789".into(), ..at(&snapshot, "volume:data", "") };
    assert_eq!(code(appliance.files_list(unknown, None, 10)).await, "snapshot.missing");
    for (path, expected) in [("links/soft", "files.not_file"), ("nothing", "files.absent"), ("..", "files.path")] {
        assert_eq!(code(appliance.files_open(at(&snapshot, "volume:data", path))).await, expected, "{path}");
    }
    shelf.end().await;
}

async fn all(mut bytes: ByteStream) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(piece) = bytes.next().await {
        out.extend_from_slice(&piece?);
    }
    Ok(out)
}

async fn whole(shelf: &Shelf, asked: Asked) -> Result<Vec<u8>> {
    let opened = shelf.appliance.files_open(asked).await?;
    let Content::File { size, .. } = opened.content else { return Err(Error::bug("no file")) };
    all(opened.read(0..size).await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_out_as_they_went_in() {
    let mut shelf = Shelf::new().await;
    let files = sample();
    let snapshot = shelf.keep(&files, None).await;
    let content = |path: &str| files[format!("v/{path}").as_bytes()].content.to_vec();
    for path in ["big/holed", "big/pages", "many11/042.txt", "links/real"] {
        assert!(whole(&shelf, at(&snapshot, "volume:data", path)).await.unwrap() == content(path), "{path}");
    }
    assert!(whole(&shelf, at(&snapshot, "volume:data", "links/again")).await.unwrap() == content("big/pages"));
    assert_eq!(whole(&shelf, at(&snapshot, "volume:data", "odd/\\xFF\\xFE")).await.unwrap(), b"odd");
    assert_eq!(whole(&shelf, at(&snapshot, "bind:/etc/app.conf", "")).await.unwrap(), b"alone");
    let dump = at(&snapshot, "dump:shop-1.postgres.sql", "");
    assert_eq!(shelf.appliance.files_open(dump.clone()).await.unwrap().save_as(), "shop-1.postgres.sql");
    assert_eq!(whole(&shelf, dump).await.unwrap(), b"create table t");
    let holed = shelf.appliance.files_open(at(&snapshot, "volume:data", "big/holed")).await.unwrap();
    for (from, to) in [(0, 1), (2_999_990, 3_000_010), (73_000_000, 74_400_000), (5, 5)] {
        let part = all(holed.read(from..to).await.unwrap()).await.unwrap();
        assert!(part == content("big/holed")[from as usize..to as usize], "{from}..{to}");
    }
    assert_eq!(code(holed.read(5..1 << 40)).await, "files.range");
    assert_eq!(holed.save_as(), "holed");
    let odd = shelf.appliance.files_open(at(&snapshot, "volume:data", "odd/z\\xE2\\x80\\xAEgpj.exe")).await.unwrap();
    assert_eq!(odd.save_as(), "z_gpj.exe");
    shelf.end().await;
}

/// Members of a tar: name, link, content.
fn members(archive: Vec<u8>) -> Vec<(String, String, Vec<u8>)> {
    let (mut walker, mut members) = (Walker::new(), Vec::new());
    walker.feed(archive.into());
    while let Some(step) = walker.step().unwrap() {
        match step {
            Step::Open(one) => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                members.push((text(one.path), text(one.link), Vec::new()));
            }
            Step::Data(bytes) => members.last_mut().unwrap().2.extend_from_slice(&bytes),
            Step::Close => {}
        }
    }
    walker.finish().unwrap();
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_come_out_as_archives_that_stand_alone() {
    let mut shelf = Shelf::new().await;
    let files = sample();
    let snapshot = shelf.keep(&files, None).await;
    let tar = async |section: &str, path: &str| {
        let opened = shelf.appliance.files_open(at(&snapshot, section, path)).await.unwrap();
        let name = opened.save_as();
        (name, all(opened.tar().await.unwrap()).await.unwrap())
    };
    let (name, archive) = tar("volume:data", "many05").await;
    assert_eq!(name, "many05.tar");
    assert!(archive.windows(9).any(|window| window == b"note=kept"), "attributes are kept");
    let found = members(archive);
    assert_eq!((found.len(), found[0].0.as_str(), found[1].0.as_str()), (101, "many05/", "many05/000.txt"));
    assert!(found[100].2 == noise(599, 300));

    let pages = files[&b"v/big/pages"[..]].content.to_vec();
    let found = members(tar("volume:data", "links").await.1);
    let told: Vec<_> =
        found.iter().map(|(name, link, content)| (name.as_str(), link.as_str(), content.len())).collect();
    assert_eq!(
        told,
        [
            ("links/", "", 0),
            ("links/again", "", pages.len()),
            ("links/once", "links/again", 0),
            ("links/real", "", 6),
            ("links/same", "links/real", 0),
            ("links/soft", "../../etc/passwd", 0),
        ]
    );
    assert!(found[1].2 == pages, "the content of a file outside of the folder comes with its first name");

    let (name, archive) = tar("volume:data", "").await;
    let found = members(archive);
    assert_eq!((name.as_str(), found.len()), ("data.tar", files.len()));
    let again = found.iter().find(|one| one.0 == "data/links/again").unwrap();
    assert_eq!((again.1.as_str(), again.2.len()), ("data/big/pages", 0));
    let (_, archive) = tar("container:shop-1", "").await;
    let names: Vec<_> = members(archive).into_iter().map(|one| one.0).collect();
    assert_eq!(names, ["shop-1/etc/app/conf", "shop-1/conf"], "in the order in which they are stored");
    shelf.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_proved_never_passes_for_whole() {
    let mut shelf = Shelf::new().await;
    let files = sample();
    let snapshot = shelf.keep(&files, None).await;
    // A byte of each page of the largest pack turns, as what lies where in it differs from run to run; the appliance
    // has it in no other tier.
    let packs = std::fs::read_dir(shelf.place.path().join("cache/p")).unwrap();
    let packs =
        packs.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).map(|pack| pack.unwrap().path());
    let largest = packs.max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes.iter_mut().step_by(4096).for_each(|byte| *byte ^= 1);
    std::fs::remove_file(&largest).unwrap();
    std::fs::write(&largest, bytes).unwrap();
    let mut broken = Vec::new();
    for path in ["big/holed", "big/pages"] {
        match whole(&shelf, at(&snapshot, "volume:data", path)).await {
            Ok(content) => assert!(content == files[format!("v/{path}").as_bytes()].content.to_vec(), "{path}"),
            Err(error) => broken.push(error.kind()),
        }
    }
    assert!(!broken.is_empty(), "nothing else is large enough for the largest pack");
    assert!(broken.iter().all(|kind| *kind == holdfast_model::Kind::Corrupt), "{broken:?}");
    let opened = shelf.appliance.files_open(at(&snapshot, "volume:data", "big")).await.unwrap();
    let ended = match opened.tar().await {
        Ok(bytes) => all(bytes).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert_eq!(ended.unwrap_err().kind(), holdfast_model::Kind::Corrupt);
    assert_eq!(names(&shelf, &snapshot, "big").await, ["holed", "pages"], "listings need no contents");
    shelf.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_found_in_all_snapshots() {
    let mut shelf = Shelf::new().await;
    let mut files = sample();
    let first = shelf.keep(&files, None).await;
    file(&mut files, "many04/050.txt", b"new".to_vec(), 1_800_000_000);
    let second = shelf.keep(&files, Some(&first)).await;
    files.remove(&b"v/many04/050.txt"[..]);
    let third = shelf.keep(&files, Some(&second)).await;
    let appliance = &shelf.appliance;
    let view = appliance.files_find("shop", "04/050", 10).await.unwrap();
    assert_eq!((view.found.len(), view.snapshots), (1, 3));
    let versions: Vec<_> =
        view.found[0].versions.iter().map(|one| (one.file.size, one.snapshots[0].id.clone(), one.count)).collect();
    assert_eq!(versions, [(Some(3), second.id.clone(), 1), (Some(300), first.id.clone(), 1)]);
    assert!(!view.complete && view.missing.iter().all(|what| what.contains("volume:lost")), "{:?}", view.missing);
    let view = appliance.files_find("local/shop", "*.TXT", 5).await.unwrap();
    assert_eq!(view.found.len(), 5);
    assert_eq!((view.found[0].versions[0].count, view.found[0].versions[0].snapshots[0].id.clone()), (3, third.id));
    assert!(view.missing.iter().any(|what| what.contains("more than 5")), "{:?}", view.missing);
    assert_eq!(view.found.iter().filter(|one| one.section == "volume:data").count(), 5);
    let conf = appliance.files_find("shop", "conf", 50).await.unwrap();
    let places: Vec<_> = conf.found.iter().map(|one| format!("{}/{}", one.section, one.path)).collect();
    assert_eq!(places, ["container:shop-1/conf", "container:shop-1/etc/app/conf"]);
    assert_eq!(code(appliance.files_find("shop", "", 5)).await, "files.pattern");
    assert_eq!(code(appliance.files_find("nobody", "x", 5)).await, "app.unknown");
    shelf.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_are_told_and_unchanged_trees_cost_nothing() {
    let mut shelf = Shelf::new().await;
    let mut files = sample();
    let first = shelf.keep(&files, None).await;
    let same = shelf.keep(&files, Some(&first)).await;
    file(&mut files, "many02/050.txt", noise(9, 300), 1_700_000_000);
    file(&mut files, "many02/051.txt", noise(9, 301), 1_700_000_000);
    file(&mut files, "many02/new.txt", Vec::new(), 1);
    files.remove(&b"v/many20/000.txt"[..]);
    let full = b"v/many21/000.txt";
    let content = files[&full[..]].content.to_vec();
    add(
        &mut files,
        full,
        Entry::file(full, 300).mode(0o600).owner(7, 9).mtime(1_700_000_000, 5).xattr("user.note", b"kept"),
        content,
    );
    let full = b"v/many22/000.txt";
    let content = files[&full[..]].content.to_vec();
    add(
        &mut files,
        full,
        Entry::file(full, 300).mode(0o640).owner(7, 8).mtime(1_700_000_000, 5).xattr("user.note", b"else"),
        content,
    );
    let mut large = files[&b"v/big/pages"[..]].content.to_vec();
    large[1_000_000] ^= 1;
    file(&mut files, "big/pages", large, 6);
    // Touched and otherwise the same: only the source noticed.
    let touched = files.get_mut(&b"v/many23/000.txt"[..]).unwrap();
    touched.version += 1;
    let last = shelf.keep(&files, Some(&same)).await;
    let appliance = &shelf.appliance;
    let (old, new) = (first.id.as_str(), last.id.as_str());
    assert!(appliance.files_diff(old, same.id.as_str(), None, 100).await.unwrap().changes.is_empty());

    let told =
        |one: &holdfast_model::view::ChangeView| format!("{} {:?} {}", one.path, one.change, one.differs.join(","));
    let expected = [
        "big/pages Changed content",
        "many02/050.txt Changed content",
        "many02/051.txt Changed size",
        "many02/new.txt Added ",
        "many20/000.txt Removed ",
        "many21/000.txt Changed mode,owner",
        "many22/000.txt Changed attributes",
    ];
    let view = appliance.files_diff(old, new, None, 100).await.unwrap();
    assert_eq!(view.changes.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!((view.next, view.missing.len()), (None, 1), "{:?}", view.missing);
    let (mut pages, mut page) = (Vec::new(), None);
    loop {
        let view = appliance.files_diff(old, new, page.as_deref(), 2).await.unwrap();
        assert!(view.changes.len() <= 2);
        pages.extend(view.changes.iter().map(told));
        page = view.next;
        if page.is_none() {
            break;
        }
    }
    assert_eq!(pages, expected);
    let back = appliance.files_diff(new, old, None, 100).await.unwrap();
    assert!(back.changes.iter().any(|one| told(one) == "many02/new.txt Removed "));
    assert_eq!(code(appliance.files_diff(old, new, Some("nonsense"), 2)).await, "files.after");
    assert_eq!(code(appliance.files_diff(old, "0123456789", None, 2)).await, "snapshot.missing");
    shelf.end().await;
}

/// Memory that this process takes, MiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096 / (1 << 20)
}

/// A snapshot of a million entries: first and later listings, search, diff. Run by hand, optimised:
/// `HOLDFAST_BENCH=1 cargo test -p holdfast-engine --release a_million -- --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_entries_measured() {
    if std::env::var_os("HOLDFAST_BENCH").is_none() {
        return;
    }
    let mut shelf = Shelf::new().await;
    let mut files = Files::new();
    folder(&mut files, "");
    for outer in 0..100 {
        folder(&mut files, &format!("folder-{outer:02}"));
        for middle in 0..100 {
            folder(&mut files, &format!("folder-{outer:02}/sub-{middle:02}"));
            for inner in 0..99 {
                let path = format!("folder-{outer:02}/sub-{middle:02}/document-{inner:04}.txt");
                file(&mut files, &path, Vec::new(), 1_700_000_000);
            }
        }
    }
    let first = shelf.keep(&files, None).await;
    file(&mut files, "folder-50/sub-50/document-0050.txt", b"new".to_vec(), 1_800_000_000);
    let second = shelf.keep(&files, Some(&first)).await;
    println!("{} entries in {} snapshots", files.len(), shelf.taken);
    drop(files);
    let before = resident();
    let deep = "folder-77/sub-42";
    for (what, snapshot, path) in [
        ("first listing: the root", &first, ""),
        ("again", &first, ""),
        ("a folder deep inside", &first, deep),
        ("again", &first, deep),
        ("the later snapshot's root", &second, ""),
        ("a folder deep inside it", &second, deep),
    ] {
        let start = std::time::Instant::now();
        let view = shelf.appliance.files_list(at(snapshot, "volume:data", path), None, 500).await.unwrap();
        println!(
            "{what}: {} entries in {:?}, {} MiB more",
            view.files.len(),
            start.elapsed(),
            resident().saturating_sub(before)
        );
    }
    let newer = second.id.as_str();
    for what in ["differences", "again"] {
        let start = std::time::Instant::now();
        let view = shelf.appliance.files_diff(first.id.as_str(), newer, None, 500).await.unwrap();
        println!(
            "{what}: {} in {:?}, {} MiB more",
            view.changes.len(),
            start.elapsed(),
            resident().saturating_sub(before)
        );
    }
    for what in ["a search in both", "again"] {
        let start = std::time::Instant::now();
        let view = shelf.appliance.files_find("shop", "*77/sub-42/*0007*", 100).await.unwrap();
        assert_eq!(view.found.len(), 1);
        println!("{what}: {:?}, {} MiB more", start.elapsed(), resident().saturating_sub(before));
    }
    let start = std::time::Instant::now();
    let opened = shelf.appliance.files_open(at(&first, "volume:data", "folder-33")).await.unwrap();
    let archive = all(opened.tar().await.unwrap()).await.unwrap();
    println!("a folder of 9 901 entries as a tar: {} bytes in {:?}", archive.len(), start.elapsed());
    shelf.end().await;
}
