//! What Docker says: descriptions, archives of volumes, image archives; and descriptions read back for a restore.

use crate::{
    engine::{Host, layer, twist},
    food::Food,
};
use async_trait::async_trait;
use futures::StreamExt;
use holdfast_capture::{Ask, Journal, Later, Sink, StreamKind};
use holdfast_docker::{
    ByteStream,
    archive::{self, Entry},
};
use holdfast_model::{
    Error, Kind, Moment, Problem, RepositoryId, Result, SnapshotId,
    policy::Consistency,
    snapshot::{
        BindSection, ContainerSection, EngineInfo, Fidelity, ImagePart, ImageSection, LayerChange, NetworkSection,
        RawJson, RunState, Snapshot, Stats, StreamRef, Trigger, VolumeSection,
    },
    view::Target,
};
use holdfast_mover::{
    Trouble, What,
    wire::{self, Answer},
};
use holdfast_runtime::{Clock, Stop};
use holdfast_tar::Walker;
use holdfast_tree::{Mark, Request, Tree};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// Keeps nothing; tells of each stream what the repository would.
struct Scale;

#[async_trait]
impl Sink for Scale {
    async fn known_image(&self, _: &str) -> Option<ImageSection> {
        None
    }
    async fn known_blob(&self, sha256: &str) -> Option<StreamRef> {
        sha256.starts_with("00").then(|| stream(b"known"))
    }
    async fn store(&self, _: &str, kind: StreamKind, mut bytes: ByteStream) -> Result<StreamRef> {
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await {
            all.extend_from_slice(&piece?);
        }
        if kind == StreamKind::Tar {
            let mut walker = Walker::new();
            walker.feed(all.clone().into());
            walker.finish().map_err(|error| Error::new(Kind::Corrupt, "stream.short", "cut").caused_by(error))?;
        }
        Ok(stream(&all))
    }
    async fn store_tree(&self, _: &str, tree: Box<dyn Tree>) -> Result<(StreamRef, Vec<Problem>)> {
        listen(tree, false).await
    }
    async fn take_tree(&self, _: &str, tree: Box<dyn Tree>, _: &StreamRef) -> Result<Later<(StreamRef, Vec<Problem>)>> {
        let heard = listen(tree, true).await?;
        Ok(Box::pin(async move { Ok(heard) }))
    }
    async fn settle(&self, stream: StreamRef) -> Result<StreamRef> {
        Ok(stream)
    }
    fn phase(&self, _: &str, _: u32, _: u32) {}
    fn item(&self, _: &str) {}
}

/// Asks a tree for everything.
async fn listen(mut tree: Box<dyn Tree>, may_keep: bool) -> Result<(StreamRef, Vec<Problem>)> {
    let groups: Vec<usize> = (0..tree.groups().await?.len()).collect();
    let marks = tree.marks(&groups).await?;
    let request = |(group, marks): (usize, &Vec<Mark>)| Request { group, wanted: vec![true; marks.len()] };
    let mut frames = tree.read(marks.iter().enumerate().map(request).collect(), may_keep).await?;
    let mut count = 0u64;
    while let Some(batch) = frames.next().await {
        count += batch?.len() as u64;
    }
    drop(frames);
    let problems = tree.finish().await?;
    Ok((stream(&count.to_le_bytes()), problems))
}

/// A reference to a stream of these bytes, without chunks.
fn stream(bytes: &[u8]) -> StreamRef {
    let sha256 = hex::encode(Sha256::digest(bytes));
    StreamRef { length: bytes.len() as u64, sha256, ..StreamRef::default() }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let builder = Builder::new_current_thread().enable_all().start_paused(true).build();
        builder.expect("a runtime starts")
    })
}

fn journal() -> Arc<Journal> {
    static JOURNAL: OnceLock<Arc<Journal>> = OnceLock::new();
    let open = || {
        // Nothing is ever held here, so nothing is written either.
        let folder = std::env::temp_dir().join(format!("holdfast-fuzz-journal-{}", std::process::id()));
        let journal = Journal::open(Path::new(&folder)).expect("an empty journal opens");
        std::fs::remove_dir(&folder).expect("an empty folder can be removed");
        Arc::new(journal)
    };
    Arc::clone(JOURNAL.get_or_init(open))
}

/// Captures every app that a host claims to have.
fn capture_all(host: &Host) {
    runtime().block_on(async {
        let engine = Arc::new(host.clone());
        let Ok(apps) = holdfast_capture::discover(&*engine).await else { return };
        for app in apps.into_iter().take(3) {
            let ask = Ask {
                host: "local".into(),
                app: app.name,
                consistency: Consistency::None,
                databases: Default::default(),
                hooks: holdfast_model::hooks::AppHooks::new(),
                hold_limit: Duration::from_secs(10),
                known_files: Vec::new(),
                owner: "fuzz".into(),
                key: [7; 32],
            };
            let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
            let (engine, sink) = (Arc::clone(&engine), Arc::new(Scale));
            let _ = holdfast_capture::capture(engine, ask, journal(), sink, &clock, &Stop::new()).await;
        }
    });
}

/// A host with twisted descriptions and any bytes for the content of its volumes.
pub(super) fn capture(input: &[u8]) {
    let mut food = Food::new(input);
    let mut host = Host::honest().twisted(&mut food);
    host.saved = saved();
    host.archive = food.rest().to_vec();
    capture_all(&host);
}

/// An honest host whose movers say anything, whatever they are asked: nothing of it is taken for a whole tree that is not.
pub(super) fn mover(input: &[u8]) {
    let mut host = Host::honest();
    host.saved = saved();
    host.archive = volume();
    host.said = Some(input.to_vec());
    capture_all(&host);
}

/// A conversation about a tree of one folder and one file.
pub(super) fn conversations() -> Vec<Vec<u8>> {
    let trouble = Trouble::new(b"a", What::Changed);
    let answers = [
        Answer::Hello { version: wire::VERSION },
        Answer::Group { witness: [7; 32], entries: 2, bytes: 7 },
        Answer::Done(1),
        Answer::Marks(vec![(1, 512, 0), (2, 512, 7)]),
        Answer::Done(1),
        Answer::Begin(vec![0; 512]),
        Answer::End,
        Answer::Begin(vec![1; 512]),
        Answer::Content(b"con".to_vec()),
        Answer::Zeros(4),
        Answer::Kept { name: 2, count: 3 },
        Answer::Flawed { name: 9, trouble: trouble.clone() },
        Answer::Left(trouble.clone()),
        Answer::Done(7),
        Answer::Trouble(trouble),
        Answer::Done(1),
    ];
    let mut whole = Vec::new();
    answers.iter().for_each(|answer| answer.put(&mut whole));
    let mut failed = Vec::new();
    Answer::Failed("no such folder (os error 20)".into()).put(&mut failed);
    vec![whole.clone(), whole[..whole.len() / 2].to_vec(), failed]
}

/// An honest host whose image comes as any bytes: raw, or as members with any names and contents.
pub(super) fn image(input: &[u8]) {
    let mut food = Food::new(input);
    let mut host = Host::honest();
    host.archive = volume();
    host.saved = match food.byte() % 3 {
        0 => food.rest().to_vec(),
        1 => members(food),
        _ => manifest(food),
    };
    capture_all(&host);
}

fn members(mut food: Food<'_>) -> Vec<u8> {
    let mut entries = Vec::new();
    while !food.is_empty() && entries.len() < 64 {
        let kind = food.byte();
        let name = match kind >> 4 {
            0 => "manifest.json".to_owned(),
            1 => "layer.tar".to_owned(),
            2 => format!("blobs/sha256/{}", String::from_utf8_lossy(food.stretch())),
            _ => String::from_utf8_lossy(food.stretch()).replace('\0', ""),
        };
        let content = food.stretch();
        entries.push(match kind % 4 {
            0 | 1 => Entry::file(name, content),
            2 => Entry::symlink(name, String::from_utf8_lossy(content).replace('\0', "")),
            _ => Entry::directory(name),
        });
    }
    archive::tar(&entries)
}

/// A sound archive but for its list of layers.
fn manifest(mut food: Food<'_>) -> Vec<u8> {
    let mut list = json!([{"Config": "11.json", "RepoTags": ["busybox:1"], "Layers": ["layer.tar", "link.tar"]}]);
    twist(&mut list, &mut food);
    archive::tar(&[
        Entry::file("layer.tar", layer()),
        Entry::symlink("link.tar", String::from_utf8_lossy(food.rest()).replace('\0', "")),
        Entry::file("11.json", "{}"),
        Entry::file("manifest.json", list.to_string()),
    ])
}

fn saved() -> Vec<u8> {
    manifest(Food::new(&[]))
}

fn volume() -> Vec<u8> {
    archive::tar(&[Entry::directory("v"), Entry::file("v/a", "content")])
}

/// A snapshot with twisted descriptions is planned against a twisted host, in every way; and what is compared after
/// a restore is compared.
pub(super) fn plan(input: &[u8]) {
    let mut food = Food::new(input);
    let mode = food.byte();
    let mut snapshot = snapshot_seed();
    snapshot.engine.free_bytes = Some(food.u64());
    let length = food.u64();
    snapshot.volumes[0].stream.as_mut().expect("the seed has one").length = length;
    for text in [
        &mut snapshot.containers[0].inspect,
        &mut snapshot.images[0].inspect,
        &mut snapshot.volumes[0].inspect,
        &mut snapshot.networks[0].inspect,
    ] {
        let mut value = text.parse().expect("a seed is JSON");
        twist(&mut value, &mut food);
        let (was, is) = (holdfast_restore::normalise(&value), holdfast_restore::normalise(&json!({})));
        assert!(holdfast_restore::differences(&was, &was).is_empty(), "a description differs from itself");
        holdfast_restore::differences(&was, &is);
        text.0 = value.to_string();
    }
    snapshot.app = if mode & 64 == 0 { "app".into() } else { String::from_utf8_lossy(food.stretch()).into_owned() };
    if snapshot.validate().is_err() {
        return;
    }
    let mut host = Host::honest().twisted(&mut food);
    host.info.free_bytes = Some(food.u64());
    let ask = holdfast_restore::Ask {
        target: [Target::Beside, Target::InPlace, Target::Host { host: "other".into() }][usize::from(mode % 3)].clone(),
        name: (mode & 128 != 0).then(|| String::from_utf8_lossy(food.stretch()).into_owned()),
        volume: (mode & 32 != 0).then(|| snapshot.volumes[0].name.clone()),
        ..Default::default()
    };
    let host: std::sync::Arc<dyn holdfast_docker::Engine> = std::sync::Arc::new(host);
    runtime().block_on(async {
        let _ = holdfast_restore::plan(&host, &snapshot, &ask).await;
    });
}

/// A snapshot of the honest host.
pub(super) fn snapshot_seed() -> Snapshot {
    let host = Host::honest();
    let text = |value: &Value| RawJson(value.to_string());
    let (data, at) = (stream(&volume()), Moment::from_millis(1_795_000_000_000));
    Snapshot {
        format: holdfast_model::snapshot::FORMAT,
        id: SnapshotId::new(at, [7; 10]),
        repository: RepositoryId([0x17; 16]),
        sequence: 1,
        parent: None,
        app: "app".into(),
        project: true,
        host: "local".into(),
        engine: EngineInfo { platform: "linux/amd64".into(), ..EngineInfo::default() },
        time: at,
        policy: Some("gold".into()),
        trigger: Trigger::Manual,
        consistency: Consistency::Pause,
        fidelity: Fidelity::Api,
        containers: vec![ContainerSection {
            name: "app-db-1".into(),
            service: Some("db".into()),
            inspect: text(&host.container),
            image: "sha256:11".into(),
            state: RunState::Running,
            changes: vec![LayerChange { path: "/etc/added".into(), kind: 1 }],
            changed: 0,
            layer: Vec::new(),
            depends_on: vec!["web".into()],
        }],
        images: vec![ImageSection {
            id: "sha256:11".into(),
            tags: vec!["busybox:1".into()],
            inspect: text(&host.image),
            diff_ids: vec![format!("sha256:{}", data.sha256)],
            parts: vec![ImagePart {
                path: "layer.tar".into(),
                sha256: data.sha256.clone(),
                stream: data.clone(),
                diff_id: Some(format!("sha256:{}", data.sha256)),
                link: None,
            }],
            bytes: 1000,
        }],
        volumes: vec![VolumeSection {
            name: "app_data".into(),
            anonymous: false,
            inspect: text(&host.volume),
            stream: Some(data.clone()),
            fidelity: Fidelity::Api,
        }],
        binds: vec![BindSection {
            source: "/srv/x".into(),
            directory: true,
            stream: Some(data),
            fidelity: Fidelity::Api,
        }],
        networks: vec![NetworkSection { name: "app_default".into(), inspect: text(&host.network) }],
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    }
}

pub(super) fn hosts() -> Vec<Vec<u8>> {
    // No twists, one twist in each description, and the content of a volume.
    let straight = [&[0; 6][..], &volume()].concat();
    let bent = (0..16u8).map(|kind| [&[1, 200, kind, 3][..], &[1, 7, kind, 5, 0, 0].repeat(5), &volume()].concat());
    std::iter::once(straight).chain(bent).collect()
}

pub(super) fn images() -> Vec<Vec<u8>> {
    vec![
        [&[0], &saved()[..]].concat(),
        vec![1, 0x00, 2, 0, b'[', b']', 0x10, 3, 0, 1, 2, 3, 0x32, 1, 0, b'l', 1, 0, b'l'],
        vec![2, 0],
        [&[2, 1, 0, 3, 8][..], b"../layer.tar"].concat(),
    ]
}

pub(super) fn plans() -> Vec<Vec<u8>> {
    let numbers = [&u64::MAX.to_le_bytes()[..], &1000u64.to_le_bytes()].concat();
    let bent = (0..16u8).map(|kind| [&[kind * 16], &numbers[..], &[1, 3, kind, 5, 1, 2].repeat(9)].concat());
    std::iter::once(vec![0]).chain(bent).collect()
}
