//! Whatever part of an app a stream belongs to: it is stored with its snapshot, and comes back.

use super::{fresh, put, read_all, snapshot};
use crate::{From, Repository, StreamKind};
use holdfast_model::{
    Problem,
    snapshot::{
        BindSection, ContainerSection, DatabaseKind, DatabaseLog, DatabaseSection, Fidelity, IMAGE_DAMAGED, ImagePart,
        ImageSection, LayerPart, RawJson, Readiness, RunState, Snapshot, StreamRef,
    },
};

#[tokio::test]
async fn streams_of_every_section_come_back() {
    let (repository, _cache) = fresh().await;
    let session = repository.session();
    let bytes: Vec<Vec<u8>> = (0..6u8).map(|part| vec![part; 30_000]).collect();
    let mut streams = Vec::new();
    for bytes in &bytes {
        streams.push(put(&session, StreamKind::Bytes, bytes).await.unwrap());
    }
    let mut whole = snapshot("shop", vec![streams[2].clone()]);
    whole.containers.push(ContainerSection {
        name: "db".into(),
        service: None,
        inspect: RawJson("{}".into()),
        image: "sha256:1".into(),
        state: RunState::Running,
        changes: Vec::new(),
        changed: 0,
        layer: vec![LayerPart { into: "/".into(), stream: streams[0].clone() }],
        depends_on: Vec::new(),
    });
    let part =
        ImagePart { path: "layer".into(), sha256: "1".into(), stream: streams[1].clone(), diff_id: None, link: None };
    whole.images.push(ImageSection {
        id: "sha256:1".into(),
        tags: Vec::new(),
        inspect: RawJson("{}".into()),
        diff_ids: Vec::new(),
        parts: vec![part],
        bytes: 1,
    });
    let stream = Some(streams[3].clone());
    whole.binds.push(BindSection { source: "/srv".into(), directory: true, stream, fidelity: Fidelity::Full });
    whole.databases.push(DatabaseSection {
        container: "db".into(),
        kind: DatabaseKind::Postgres,
        version: None,
        readiness: Readiness::Live,
        dump: Some(streams[4].clone()),
        log: Some(DatabaseLog { place: "pg".into(), folder: String::new(), stream: streams[5].clone() }),
        file: None,
    });
    let kept = session.commit(whole).await.unwrap();
    let found: Vec<_> = kept.streams().collect();
    assert_eq!(found.len(), bytes.len());
    for (stream, bytes) in found.into_iter().zip(&bytes) {
        assert_eq!(&read_all(&repository, stream, From::Cache).await.unwrap(), bytes);
    }
}

/// Commits a snapshot with an image of one layer, changed before.
async fn with_image(repository: &Repository, change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let session = repository.session();
    let list = put(&session, StreamKind::Bytes, b"[]").await.unwrap();
    let layer = put(&session, StreamKind::Bytes, &[7; 30_000]).await.unwrap();
    let diff_id = format!("sha256:{}", layer.sha256);
    let part = |path: &str, stream: StreamRef, diff_id: Option<String>| {
        let sha256 = stream.sha256.clone();
        ImagePart { path: path.into(), sha256, stream, diff_id, link: None }
    };
    let mut made = snapshot("shop", Vec::new());
    made.images.push(ImageSection {
        id: "sha256:1".into(),
        tags: vec!["shop:1".into()],
        inspect: RawJson("{}".into()),
        diff_ids: vec![diff_id.clone()],
        parts: vec![part("manifest.json", list, None), part("1/layer.tar", layer, Some(diff_id))],
        bytes: 1,
    });
    change(&mut made);
    session.commit(made).await.unwrap()
}

#[tokio::test]
async fn an_image_that_came_damaged_is_not_known_until_it_came_whole() {
    let (repository, _cache) = fresh().await;
    let told = |of: &str| Problem::error(IMAGE_DAMAGED, of, "it is not what it promises");
    with_image(&repository, |made| made.images[0].parts.clear()).await;
    assert_eq!(repository.known_image("sha256:1"), None, "a description is no image");
    with_image(&repository, |made| made.problems.push(told("shop:1"))).await;
    assert_eq!(repository.known_image("sha256:1"), None, "the capture had something to tell");
    let damaged = with_image(&repository, |made| made.images[0].parts[1].diff_id = None).await;
    assert_eq!(repository.known_image("sha256:1"), None, "a layer has another digest");
    let layer = &damaged.images[0].parts[1].sha256;
    assert_eq!(repository.known_blob(layer).map(|known| known.sha256).as_ref(), Some(layer), "bytes are what they are");
    let whole = with_image(&repository, |made| made.problems.push(told("other:1"))).await;
    assert_eq!(repository.known_image("sha256:1").as_ref(), whole.images.first());
    // One that has less takes nothing away.
    with_image(&repository, |made| drop(made.images[0].parts.pop())).await;
    assert_eq!(repository.known_image("sha256:1").as_ref(), whole.images.first());
}
