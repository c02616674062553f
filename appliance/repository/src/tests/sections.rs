//! Whatever part of an app a stream belongs to: it is stored with its snapshot, and comes back.

use super::{fresh, put, read_all, snapshot};
use crate::{From, StreamKind};
use holdfast_model::snapshot::{
    BindSection, ContainerSection, DatabaseKind, DatabaseLog, DatabaseSection, Fidelity, ImagePart, ImageSection,
    LayerPart, RawJson, Readiness, RunState,
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
