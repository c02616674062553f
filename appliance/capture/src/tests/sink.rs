//! A sink that keeps everything in memory and proves the end of each tar, as the repository does.

use crate::{Later, Sink, StreamKind};
use async_trait::async_trait;
use futures::StreamExt;
use holdfast_docker::{ByteStream, archive::sha256};
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{ImageSection, StreamRef},
};
use holdfast_tar::{Step, Walker};
use holdfast_tree::{Frame, Mark, Request, Tree};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

#[derive(Default)]
pub(super) struct Recorder {
    pub(super) images: Mutex<BTreeMap<String, ImageSection>>,
    pub(super) blobs: Mutex<BTreeMap<String, (StreamRef, Vec<u8>)>>,
    pub(super) labels: Mutex<Vec<(String, StreamKind)>>,
    pub(super) phases: Mutex<Vec<String>>,
    /// Trees that came, and what they were before within the same capture.
    pub(super) ahead: Mutex<Vec<(String, Option<String>)>>,
    pub(super) knows_blobs: bool,
    /// Waits this long within each store, once the app is held (or would be).
    pub(super) slow: Option<Duration>,
    pub(super) stored: AtomicU64,
    /// Whether nothing but tars and images can be stored any more.
    pub(super) full: bool,
}

impl Recorder {
    /// Bytes that came to be stored.
    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }
    /// Whether the last phase has begun: data is read, the app is held if it is to be.
    pub(super) fn is_reading(&self) -> bool {
        self.phases.lock().unwrap().iter().any(|phase| phase == "data")
    }
    /// Bytes of a stored stream.
    pub(super) fn bytes(&self, stream: &StreamRef) -> Vec<u8> {
        self.blobs.lock().unwrap()[&stream.sha256].1.clone()
    }
    /// Paths and contents of a stored tar.
    pub(super) fn tar(&self, stream: &StreamRef) -> BTreeMap<String, Vec<u8>> {
        members(&self.bytes(stream)).unwrap()
    }
}

pub(super) fn members(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut walker = Walker::new();
    walker.feed(bytes.to_vec().into());
    let (mut found, mut open) = (BTreeMap::new(), None);
    while let Some(step) = walker.step()? {
        match step {
            Step::Open(member) => open = Some((String::from_utf8(member.path).unwrap(), Vec::new())),
            Step::Data(bytes) => open.as_mut().unwrap().1.extend_from_slice(&bytes),
            Step::Close => {
                let (path, content) = open.take().unwrap();
                found.insert(path.trim_end_matches('/').to_owned(), content);
            }
        }
    }
    walker.finish()?;
    Ok(found)
}

#[async_trait]
impl Sink for Recorder {
    async fn known_image(&self, id: &str) -> Option<ImageSection> {
        self.images.lock().unwrap().get(id).cloned()
    }
    async fn known_blob(&self, sha256: &str) -> Option<StreamRef> {
        let blobs = self.blobs.lock().unwrap();
        blobs.get(sha256).filter(|_| self.knows_blobs).map(|(stream, _)| stream.clone())
    }
    async fn store(&self, label: &str, kind: StreamKind, mut bytes: ByteStream) -> Result<StreamRef> {
        self.labels.lock().unwrap().push((label.to_owned(), kind));
        if self.full && kind == StreamKind::Bytes && label.starts_with("dump") {
            return Err(Error::new(Kind::Full, "cache.full", "the disk is full"));
        }
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await {
            all.extend_from_slice(&piece?);
            if let Some(slow) = self.slow.filter(|_| self.is_reading()) {
                tokio::time::sleep(slow).await;
            }
        }
        let entries = match kind {
            StreamKind::Tar => members(&all)
                .map_err(|error| {
                    Error::new(Kind::Corrupt, "stream.short", format!("{label} was cut")).caused_by(error)
                })?
                .len() as u64,
            StreamKind::Bytes => 0,
        };
        self.stored.fetch_add(all.len() as u64, Ordering::SeqCst);
        let stream = StreamRef { length: all.len() as u64, sha256: sha256(&all), entries, ..StreamRef::default() };
        self.blobs.lock().unwrap().insert(stream.sha256.clone(), (stream.clone(), all));
        Ok(stream)
    }
    async fn settle(&self, stream: StreamRef) -> Result<StreamRef> {
        Ok(stream)
    }
    async fn store_tree(&self, label: &str, tree: Box<dyn Tree>) -> Result<(StreamRef, Vec<Problem>)> {
        self.ahead.lock().unwrap().push((label.to_owned(), None));
        self.read_tree(label, tree).await
    }
    async fn take_tree(
        &self,
        label: &str,
        tree: Box<dyn Tree>,
        ahead: &StreamRef,
    ) -> Result<Later<(StreamRef, Vec<Problem>)>> {
        self.ahead.lock().unwrap().push((label.to_owned(), Some(ahead.sha256.clone())));
        let taken = self.read_tree(label, tree).await?;
        Ok(Box::pin(futures::future::ready(Ok(taken))))
    }
    fn phase(&self, name: &str, _: u32, _: u32) {
        self.phases.lock().unwrap().push(name.to_owned());
    }
    fn item(&self, _: &str) {}
}

impl Recorder {
    async fn read_tree(&self, label: &str, mut tree: Box<dyn Tree>) -> Result<(StreamRef, Vec<Problem>)> {
        let groups = tree.groups().await?;
        let numbers: Vec<usize> = (0..groups.len()).collect();
        let marks = tree.marks(&numbers).await?;
        let request = |(group, marks): (usize, &Vec<Mark>)| Request { group, wanted: vec![true; marks.len()] };
        let (mut tar, mut problems) = (Vec::new(), Vec::new());
        let (mut told, entries) = (0, marks.iter().map(Vec::len).sum::<usize>());
        let mut frames = tree.read(marks.iter().enumerate().map(request).collect(), false).await?;
        while let Some(batch) = frames.next().await {
            for frame in batch? {
                match frame {
                    Frame::Begin(headers) => tar.extend_from_slice(&headers),
                    Frame::Content(bytes) => tar.extend_from_slice(&bytes),
                    Frame::Hole(count) => tar.resize(tar.len() + usize::try_from(count).unwrap(), 0),
                    Frame::Kept { .. } => panic!("nothing may be kept"),
                    Frame::End => {
                        told += 1;
                        tar.resize(tar.len().next_multiple_of(512), 0);
                    }
                    Frame::Flawed { problem, .. } => {
                        told += 1;
                        problems.push(problem);
                        tar.resize(tar.len().next_multiple_of(512), 0);
                    }
                    Frame::Left(problem) => {
                        told += 1;
                        problems.push(problem);
                    }
                }
            }
            // As the repository does: what comes after the last entry is not waited for.
            if told == entries {
                break;
            }
        }
        drop(frames);
        problems.extend(tree.finish().await?);
        tar.resize(tar.len() + 1024, 0);
        let bytes = futures::stream::iter([Ok(tar.into())]).boxed();
        Ok((self.store(label, StreamKind::Tar, bytes).await?, problems))
    }
}
