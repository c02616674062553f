//! Hostile tars as the content of a volume in a snapshot, restored on a real engine: through the mover, and through the
//! engine's archive.

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use holdfast_docker::{ByteStream, Engine};
use holdfast_model::{
    Moment, RepositoryId, Result, SnapshotId,
    policy::Consistency,
    settings::Host,
    snapshot::{FORMAT, Fidelity, RawJson, Snapshot, Stats, StreamRef, Trigger, VolumeSection},
    view::Target,
};
use holdfast_restore::{Ask, Source, carry_out, plan};
use holdfast_runtime::Stop;
use holdfast_tests::{engine_api, hostile::Case};
use std::{io::Read, sync::Arc, time::Duration};

/// Bytes that are handed on at once.
const PIECE: usize = 256 << 10;
/// Longest time for one restore.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 10 });

/// Gives a case for every stream.
struct Served(Case);

#[async_trait]
impl Source for Served {
    async fn open(&self, _: &StreamRef) -> Result<ByteStream> {
        let (case, mut at) = (self.0.clone(), 0_u64);
        let pieces = std::iter::from_fn(move || {
            let mut piece = vec![0; PIECE];
            let mut reader = case.reader_at(at);
            let have = reader.read(&mut piece).ok().filter(|have| *have > 0)?;
            at += have as u64;
            piece.truncate(have);
            Some(Ok(Bytes::from(piece)))
        });
        Ok(futures::stream::iter(pieces).boxed())
    }
    fn phase(&self, _: &str, _: u32, _: u32) {}
    fn item(&self, _: &str) {}
    fn wrote(&self, _: u64) {}
    fn log(&self, _: &str) {}
}

pub async fn engine() -> Arc<dyn Engine> {
    let host = Host { name: "local".into(), url: format!("unix://{}", engine_api::SOCKET), tls: None, ssh: None };
    holdfast_docker::connect(&host).await.expect("a Docker engine is there")
}

/// Restores a case beside; says how that went. `tree`: as a mover would have told it.
pub async fn restore(engine: &Arc<dyn Engine>, case: &Case, tree: bool, name: &str) -> String {
    let stream = StreamRef { length: case.length(), entries: 2, tree, ..StreamRef::default() };
    let volume = VolumeSection {
        name: "hostile".into(),
        anonymous: false,
        inspect: RawJson(r#"{"Name":"hostile","Driver":"local","Labels":null,"Options":null}"#.into()),
        stream: Some(stream),
        fidelity: if tree { Fidelity::Full } else { Fidelity::Api },
    };
    let snapshot = snapshot(engine.as_ref(), volume).await;
    let ask = Ask {
        target: Target::Beside,
        name: Some(name.into()),
        volume: Some("hostile".into()),
        owner: "hfhostile".into(),
        ..Ask::default()
    };
    let plan = plan(engine, &snapshot, &ask).await.expect("it can be planned");
    assert!(plan.conflicts.is_empty(), "{:?}", plan.conflicts);
    let source: Arc<dyn Source> = Arc::new(Served(case.clone()));
    let stop = Stop::new();
    let work = carry_out(engine.clone(), &snapshot, &plan, source, &stop);
    match tokio::time::timeout(PATIENCE, work).await {
        Err(_) => panic!("{}: not over after {PATIENCE:?}", case.name),
        Ok(Ok(done)) => {
            let told: Vec<&str> = done.problems.iter().map(|problem| problem.code.as_str()).collect();
            format!("restored{}{}", if told.is_empty() { "" } else { ", told " }, told.join(", "))
        }
        Ok(Err(error)) => format!("refused, {}", error.code()),
    }
}

async fn snapshot(engine: &dyn Engine, volume: VolumeSection) -> Snapshot {
    Snapshot {
        format: FORMAT,
        id: SnapshotId::new(Moment::from_millis(1_000), [7; 10]),
        repository: RepositoryId([1; 16]),
        sequence: 1,
        parent: None,
        app: "hfhostile".into(),
        project: true,
        host: "local".into(),
        engine: engine.info().await.expect("it says what it is"),
        time: Moment::from_millis(1_000),
        policy: None,
        trigger: Trigger::Manual,
        consistency: Consistency::None,
        fidelity: Fidelity::Api,
        containers: Vec::new(),
        images: Vec::new(),
        volumes: vec![volume],
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    }
}
