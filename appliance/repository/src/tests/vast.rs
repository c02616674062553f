//! Sizes that cost nothing: what no later opening would read is not committed, and what promises it is refused.

use super::*;
use async_trait::async_trait;
use holdfast_model::{
    Kind, Problem, Witness,
    snapshot::{FILE_MAX, LENGTH_MAX, TREE_MAX},
};
use holdfast_tree::{Frame, Frames, Group, Mark, Request, Tree};

/// Files of these sizes that are nothing but holes, each a group of its own.
struct Holes(Vec<u64>);

impl Holes {
    fn header(&self, group: usize) -> Vec<u8> {
        TarEntry::file(format!("v/{group:04}").as_bytes(), self.0[group]).header().unwrap()
    }
}

#[async_trait]
impl Tree for Holes {
    async fn groups(&mut self) -> Result<Vec<Group>> {
        let group = |(place, bytes): (usize, &u64)| {
            let mut witness = [0; 32];
            witness[..8].copy_from_slice(&(place as u64 + 1).to_le_bytes());
            Group { witness: Witness(witness), entries: 1, bytes: *bytes }
        };
        Ok(self.0.iter().enumerate().map(group).collect())
    }

    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>> {
        let mark = |group: &usize| Mark {
            identity: *group as u64 + 1,
            header: self.header(*group).len() as u32,
            content: self.0[*group],
        };
        Ok(groups.iter().map(|group| vec![mark(group)]).collect())
    }

    async fn read<'a>(&'a mut self, requests: Vec<Request>, _may_keep: bool) -> Result<Frames<'a>> {
        let frames = |request: &Request| {
            let begin = Frame::Begin(self.header(request.group).into());
            Ok(vec![begin, Frame::Hole(self.0[request.group]), Frame::End])
        };
        let all: Vec<Result<Vec<Frame>>> = requests.iter().map(frames).collect();
        Ok(stream::iter(all).boxed())
    }

    async fn finish(&mut self) -> Result<Vec<Problem>> {
        Ok(Vec::new())
    }
}

async fn store(session: &Session, sizes: Vec<u64>) -> Result<StreamRef> {
    let (stream, problems) = session.store_tree(None, Box::new(Holes(sizes)), Arc::new(Numbers::default())).await?;
    assert_eq!(problems, []);
    Ok(stream)
}

/// Keys of what would make a snapshot.
async fn commits(cache: &Arc<dyn Store>) -> Vec<String> {
    let mut keys = Vec::new();
    for prefix in ["s/", "r/", "i/"] {
        keys.extend(cache.list(prefix).await.unwrap().into_iter().map(|object| object.key));
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_no_opening_would_read_is_not_committed() {
    let (repository, cache) = fresh().await;
    let bytes = some_tar(5);
    let whole = back_up(&repository, "shop", &bytes).await.unwrap();
    let before = commits(&cache).await;
    let session = repository.session();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(store(&session, vec![FILE_MAX; 4]).await.unwrap());
    }
    assert!(streams.iter().all(|stream| stream.length > TREE_MAX));
    let error = session.commit(snapshot("vast", streams)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "snapshot.malformed"));
    assert!(error.advice_text().is_some());
    assert_eq!((commits(&cache).await, repository.snapshots().len()), (before, 1));
    drop(repository);
    let again = reopen(&cache).await;
    assert!(again.unreadable().is_empty() && again.take_healed().is_empty());
    assert!(read_all(&again, volume(&whole), From::Auto).await.unwrap() == bytes);
    let plan = again.prune_plan(Vec::new()).await.unwrap();
    again.prune(plan, &Stop::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whole_tree_of_holes_is_committed_and_read_again() {
    let (repository, cache) = fresh().await;
    let session = repository.session();
    let stream = store(&session, vec![FILE_MAX; 4]).await.unwrap();
    let written = session.commit(snapshot("vast", vec![stream])).await.unwrap();
    assert!(written.stats.bytes_new < 16 << 20, "{}", written.stats.bytes_new);
    drop(repository);
    let again = reopen(&cache).await;
    assert_eq!(*again.snapshot(written.id.as_str()).unwrap().snapshot, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_promises_too_much_is_refused() {
    let (repository, _) = fresh().await;
    let session = repository.session();
    for sizes in [vec![10, FILE_MAX + 1], vec![FILE_MAX; usize::try_from(LENGTH_MAX / FILE_MAX).unwrap()]] {
        let error = store(&session, sizes).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, "stream.too_large"));
    }
    // An archive is refused at its header: its zeros would come for days.
    let header = TarEntry::file(b"v/huge", FILE_MAX + 1).header().unwrap();
    let error = put(&session, StreamKind::Tar, &header).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "stream.too_large"));
    assert!(error.to_string().contains("v/huge"), "{error}");
    // The session is none the worse for it.
    let stream = put(&session, StreamKind::Tar, &some_tar(6)).await.unwrap();
    session.commit(snapshot("shop", vec![stream])).await.unwrap();
}
