//! One file, or a folder as a tar, as a stream of bytes out of a snapshot.
//!
//! Only the chunks that are needed are read, each proved by its seal; what cannot be proved ends the stream with an
//! error, never early. A folder's archive keeps owners, times, attributes and links as they were stored; a further name
//! of a file that is not in the archive before it comes with the content.

use super::{Place, absent, zip};
use crate::listing::{Lies, Listing, Unit, path};
use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Moment, Result, view::FileKind};
use holdfast_repository::ByteStream;
use holdfast_tar::{retitled, write};
use std::{cmp::Ordering, collections::HashMap, ops::Range, sync::Arc};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};

/// Entries that are put into an archive with one look at their stream.
const BATCH: usize = 1024;
/// Pieces of an archive that wait for the one who reads.
const WAITING: usize = 4;
/// Bytes of names of files outside of a folder that are remembered, each with its first name in the archive.
const COPIES: usize = 32 << 20;
/// What one of them takes besides its names, about, bytes.
const COPY: usize = 100;

/// A file or folder that can be read.
pub struct OpenFile {
    /// Its name: raw bytes from outside.
    pub name: Vec<u8>,
    /// Last change, if it is told.
    pub mtime: Option<Moment>,
    /// What it is.
    pub content: Content,
    place: Place,
    listing: Arc<Listing>,
    sending: Arc<Semaphore>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of so many bytes, which begin here in the section's stream.
    File {
        /// Bytes.
        size: u64,
        /// Which stream, and where in it.
        at: (usize, u64),
    },
    /// A folder; how large its archive will be is not known before.
    Folder,
}

/// Finds out what lies at a place: a file or a folder.
pub(super) async fn open(place: Place, sending: Arc<Semaphore>) -> Result<OpenFile> {
    look(place, sending, false).await
}

/// The same for whatever a tar can carry, links, pipes and devices too.
pub(super) async fn open_any(place: Place, sending: Arc<Semaphore>) -> Result<OpenFile> {
    look(place, sending, true).await
}

async fn look(place: Place, sending: Arc<Semaphore>, any: bool) -> Result<OpenFile> {
    let listing = Listing::of(&place.desk, &place.section.streams).await?;
    if let Some(plain) = &place.section.plain {
        if !place.path.is_empty() {
            return Err(absent(&place.section, &place.path));
        }
        let content = Content::File { size: plain.length, at: (0, 0) };
        return Ok(OpenFile { name: place.section.root.clone(), mtime: None, content, place, listing, sending });
    }
    let root = || place.section.root.clone();
    let name = if place.path.is_empty() { root() } else { path::last(&place.path).to_vec() };
    let Some(lies) = listing.lies_at(&place.desk, &place.path).await? else {
        return Err(absent(&place.section, &place.path));
    };
    let (content, mtime) = match lies {
        Lies::Implied => (Content::Folder, None),
        Lies::Entry(slot, unit, row) => {
            let view = unit.view(&unit.rows()[row]);
            let content = match view.kind {
                FileKind::Folder => Content::Folder,
                FileKind::File => file(&listing, slot, &unit, row),
                FileKind::HardLink => {
                    let target = unit.link(&unit.rows()[row]);
                    match listing.lies_at(&place.desk, target).await? {
                        Some(Lies::Entry(slot, unit, row)) if unit.rows()[row].kind == FileKind::File => {
                            file(&listing, slot, &unit, row)
                        }
                        _ => return Err(lost(&place.path)),
                    }
                }
                // It has no bytes of its own; a tar can carry it.
                _ if any => Content::Folder,
                _ => {
                    let what = format!("“{}” is neither a file nor a folder", path::show(&place.path));
                    return Err(Error::invalid("files.not_file", what));
                }
            };
            (content, view.mtime)
        }
    };
    Ok(OpenFile { name, mtime, content, place, listing, sending })
}

fn file(listing: &Listing, slot: usize, unit: &Unit, row: usize) -> Content {
    let row = &unit.rows()[row];
    let at = listing.slots()[slot].at.saturating_add(row.body);
    Content::File { size: row.size, at: (row.stream as usize, at) }
}

fn lost(link: &[u8]) -> Error {
    let what = format!("the file that “{}” is a further name of is not in the snapshot", path::show(link));
    Error::new(Kind::Corrupt, "files.link_lost", what)
}

impl OpenFile {
    /// A name under which it may be saved.
    pub fn save_as(&self) -> String {
        match self.content {
            Content::File { .. } => path::save_as(&self.name),
            Content::Folder => path::save_as(&self.name) + ".tar",
        }
    }

    /// The file's bytes from one place to another. Waits for its turn, and for the first bytes: what cannot be read
    /// at all is an error here.
    pub async fn read(&self, range: Range<u64>) -> Result<ByteStream> {
        let Content::File { size, at: (stream, at) } = self.content else {
            return Err(Error::invalid("files.not_file", "a folder has no bytes of its own"));
        };
        if range.start > range.end || range.end > size {
            return Err(Error::invalid("files.range", format!("the file has {size} bytes")));
        }
        let section = &self.place.section;
        let stream = section.plain.as_ref().unwrap_or_else(|| &section.streams[stream].0);
        let inside = at.saturating_add(range.start)..at.saturating_add(range.end);
        let bytes = self.place.desk.repository.read_range(stream, inside, self.place.desk.from);
        self.begun(bytes).await
    }

    /// A name under which it may be saved as a zip.
    pub fn save_as_zip(&self) -> String {
        path::save_as(&self.name) + ".zip"
    }

    /// The folder as a zip whose entries lie under its own name. Every further name of a file is a file of its own in it; what
    /// else a zip cannot hold is named in a file of the zip.
    pub async fn zip(self) -> Result<ByteStream> {
        let name = self.name.clone();
        Ok(zip::zipped(self.packed(name, false).await?))
    }

    /// The folder as a tar whose entries lie under its own name.
    pub async fn tar(self) -> Result<ByteStream> {
        let name = self.name.clone();
        self.tar_as(name).await
    }

    /// The file or folder as a tar, under another name.
    pub(super) async fn tar_as(self, name: Vec<u8>) -> Result<ByteStream> {
        self.packed(name, true).await
    }

    /// With `links`, a further name of a file is a link; without, it has the content again.
    async fn packed(self, name: Vec<u8>, links: bool) -> Result<ByteStream> {
        let sending = Arc::clone(&self.sending);
        let (out, mut pieces) = mpsc::channel(WAITING);
        let OpenFile { place, listing, .. } = self;
        let handle = Handle::current();
        let work = move || {
            let hold = place.desk.repository.hold();
            let mut packer = Packer {
                name: &name,
                place: &place,
                listing: &listing,
                out: &out,
                links,
                copies: HashMap::new(),
                copied: 0,
                before: None,
            };
            if let Err(error) = handle.block_on(packer.run()) {
                // Nobody listens any more: then nobody needs to know.
                let _ = out.blocking_send(Err(error));
            }
            drop(hold);
        };
        let permit = permit(sending).await?;
        tokio::task::spawn_blocking(work);
        let bytes = stream::poll_fn(move |context| pieces.poll_recv(context)).boxed();
        first(bytes, permit).await
    }

    async fn begun(&self, bytes: ByteStream) -> Result<ByteStream> {
        first(bytes, permit(Arc::clone(&self.sending)).await?).await
    }
}

async fn permit(sending: Arc<Semaphore>) -> Result<tokio::sync::OwnedSemaphorePermit> {
    let closed = |_| Error::new(Kind::Stopped, "appliance.stopping", "the appliance is ending");
    sending.acquire_owned().await.map_err(closed)
}

/// Waits for the first bytes; `kept` goes with the last ones.
async fn first<K: Send + 'static>(mut bytes: ByteStream, kept: K) -> Result<ByteStream> {
    let first = bytes.next().await.transpose()?;
    let rest = stream::unfold((bytes, kept), |(mut bytes, kept)| async move {
        let next = bytes.next().await?;
        Some((next, (bytes, kept)))
    });
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

/// An entry on its way into an archive.
struct Job {
    path: Vec<u8>,
    link: Vec<u8>,
    kind: FileKind,
    stream: usize,
    /// Places in the stream.
    head: u64,
    body: u64,
    end: u64,
}

/// Packs a folder.
struct Packer<'a> {
    name: &'a [u8],
    place: &'a Place,
    listing: &'a Listing,
    out: &'a mpsc::Sender<Result<Bytes>>,
    /// Whether further names of files are links.
    links: bool,
    /// Names in the archive of files from outside of the folder.
    copies: HashMap<Vec<u8>, Vec<u8>>,
    /// Bytes that they take.
    copied: usize,
    /// The last path of the batches before.
    before: Option<Vec<u8>>,
}

impl Packer<'_> {
    async fn run(&mut self) -> Result<()> {
        let folder = &self.place.path;
        let mut cursor = self.listing.seek(&self.place.desk, folder).await?;
        let mut batch: Vec<Job> = Vec::new();
        while let Some((unit, row)) = cursor.here().await? {
            let job = job(&unit, row, self.listing.slots()[cursor.slot()].at);
            if job.path != *folder && !path::is_below(&job.path, folder) {
                break;
            }
            batch.push(job);
            cursor.step();
            if batch.len() == BATCH {
                self.pack(std::mem::take(&mut batch)).await?;
            }
        }
        self.pack(batch).await?;
        self.give(Bytes::from_static(&write::TRAILER)).await
    }

    /// Packs some entries, in the order in which they are stored.
    async fn pack(&mut self, mut batch: Vec<Job>) -> Result<()> {
        let last = batch.last().map(|job| job.path.clone());
        batch.sort_by_key(|job| (job.stream, job.head));
        let linked: Vec<bool> = batch.iter().map(|job| self.is_packed(job, &batch)).collect();
        let is_plain = |place: usize| batch[place].kind != FileKind::HardLink || linked[place];
        let mut begin = 0;
        while begin < batch.len() {
            let stream = batch[begin].stream;
            let end = begin + batch[begin..].iter().take_while(|job| job.stream == stream).count();
            let plain = (begin..end).filter(|place| is_plain(*place));
            let ranges = plain.map(|place| batch[place].head..batch[place].end).collect();
            let mut source = self.source(stream, ranges);
            for (place, job) in batch.iter().enumerate().take(end).skip(begin) {
                if is_plain(place) {
                    let link = (job.kind == FileKind::HardLink).then(|| self.title(&job.link));
                    self.member(&mut source, job, &job.path, link.as_deref()).await?;
                } else {
                    self.copy(job).await?;
                }
            }
            begin = end;
        }
        self.before = last.or(self.before.take());
        Ok(())
    }

    /// Whether the file that a hard link names is in the archive before it.
    fn is_packed(&self, job: &Job, batch: &[Job]) -> bool {
        let folder = &self.place.path;
        if !self.links || job.kind != FileKind::HardLink || (job.link != *folder && !path::is_below(&job.link, folder))
        {
            return false;
        }
        if self.before.as_ref().is_some_and(|before| path::order(&job.link, before) != Ordering::Greater) {
            return true;
        }
        batch.iter().any(|other| other.path == job.link && (other.stream, other.head) < (job.stream, job.head))
    }

    /// Packs a further name of a file: with the content, the first time.
    async fn copy(&mut self, job: &Job) -> Result<()> {
        let headers = |job: &Job| self.source(job.stream, one(job.head..job.body));
        if let Some(first) = self.copies.get(&job.link).cloned() {
            return self.member(&mut headers(job), job, &job.path, Some(&self.title(&first))).await;
        }
        let Some(Lies::Entry(slot, unit, row)) = self.listing.lies_at(&self.place.desk, &job.link).await? else {
            return Err(lost(&job.path));
        };
        let target = self::job(&unit, row, self.listing.slots()[slot].at);
        if target.kind != FileKind::File {
            return Err(lost(&job.path));
        }
        let mut source = self.source(target.stream, one(target.head..target.end));
        self.member(&mut source, &target, &job.path, None).await?;
        let weight = job.link.len() + job.path.len() + COPY;
        if self.links && self.copied + weight <= COPIES {
            self.copied += weight;
            self.copies.insert(job.link.clone(), job.path.clone());
        }
        Ok(())
    }

    /// Packs what comes next from `source` under a new name.
    async fn member(&self, source: &mut Source, job: &Job, path: &[u8], link: Option<&[u8]>) -> Result<()> {
        let headers = source.take(job.body - job.head).await?;
        let mut title = self.title(path);
        if job.kind == FileKind::Folder {
            title.push(b'/');
        }
        self.give(retitled(&headers, &title, link)?.into()).await?;
        let size = job.end - job.body;
        let mut left = size;
        while left > 0 {
            let bytes = source.next(left).await?;
            left -= bytes.len() as u64;
            self.give(bytes).await?;
        }
        self.give(Bytes::from_static(write::padding(size))).await
    }

    /// Name in the archive.
    fn title(&self, path: &[u8]) -> Vec<u8> {
        match path::rest_below(path, &self.place.path) {
            Some(rest) => path::join(self.name, rest),
            None => self.name.to_vec(),
        }
    }

    fn source(&self, stream: usize, ranges: Vec<Range<u64>>) -> Source {
        let Place { desk, section, .. } = self.place;
        let bytes = desk.repository.read_ranges(&section.streams[stream].0, ranges, desk.from);
        Source { bytes, rest: Bytes::new() }
    }

    async fn give(&self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let gone = |_| Error::new(Kind::Stopped, "files.gone", "nobody reads the archive any more");
        self.out.send(Ok(bytes)).await.map_err(gone)
    }
}

fn job(unit: &Unit, row: usize, at: u64) -> Job {
    let row = &unit.rows()[row];
    let (head, body) = (at.saturating_add(row.head), at.saturating_add(row.body));
    let (path, link) = (unit.path(row).to_vec(), unit.link(row).to_vec());
    Job { path, link, kind: row.kind, stream: row.stream as usize, head, body, end: body.saturating_add(row.size) }
}

/// A list of one stretch.
fn one(stretch: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(stretch).collect()
}

/// Bytes of a stream that are taken by number.
struct Source {
    bytes: ByteStream,
    rest: Bytes,
}

impl Source {
    /// At least one byte, at most so many.
    async fn next(&mut self, most: u64) -> Result<Bytes> {
        while self.rest.is_empty() {
            self.rest = match self.bytes.next().await {
                Some(bytes) => bytes?,
                None => return Err(Error::bug("a stretch of a snapshot ended early")),
            };
        }
        let part = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len());
        Ok(self.rest.split_to(part))
    }

    /// Exactly so many.
    async fn take(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while (out.len() as u64) < count {
            let bytes = self.next(count - out.len() as u64).await?;
            out.extend_from_slice(bytes.chunk());
        }
        Ok(out)
    }
}
