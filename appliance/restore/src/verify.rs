//! Reads back what was written: a 200 is no proof (law L7).
//!
//! Where the engine gives the very bytes that were stored, their SHA-256 decides. Otherwise both
//! archives are compared member by member: name, kind, size, content, permissions, owner, whole-second
//! time, link target. Members flow; only those that came at different places are remembered.

mod full;

use crate::streams::stopped;
use bytes::Bytes;
use futures::StreamExt;
use holdfast_docker::ByteStream;
use holdfast_model::{Error, Kind, Result};
use holdfast_runtime::Stop;
use holdfast_tar::{Member, MemberKind, Step, Walker};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use tokio::{sync::mpsc, task::JoinHandle};

/// Chunks between a stream and the thread that digests it: enough to keep both busy.
const CHUNKS: usize = 8;
/// Members between the thread that digests and the comparison.
const MEMBERS: usize = 1024;
/// Members remembered because the other side has not shown them yet; 64 bytes each and their names. Where the host may have more, so
/// many more of what was stored.
const APART_LIMIT: usize = 1_000_000;
const STORED_LIMIT: usize = 3 * APART_LIMIT;

/// How two archives of the same thing may differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tolerance {
    /// First component of the stored names, and what it is called on the host.
    pub(crate) renamed: Option<(String, String)>,
    /// The host may have more than was stored.
    pub(crate) extra: bool,
    /// Both were told by a mover, so everything is compared: nanoseconds, attributes, devices, sockets.
    pub(crate) full: bool,
    /// The engine tells root for every file.
    pub(crate) owners_untold: bool,
}

/// What a comparison found besides equality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Members on the host that the snapshot does not have.
    pub(crate) extra: u64,
}

/// SHA-256 of a stream, hex.
pub(crate) async fn sha256(mut stream: ByteStream, stop: &Stop) -> Result<String> {
    let (give, mut take) = mpsc::channel::<Bytes>(CHUNKS);
    let digest = tokio::task::spawn_blocking(move || {
        let mut digest = Sha256::new();
        while let Some(bytes) = take.blocking_recv() {
            digest.update(&bytes);
        }
        hex::encode(digest.finalize())
    });
    while let Some(bytes) = next(&mut stream, stop).await? {
        if give.send(bytes).await.is_err() {
            break;
        }
    }
    drop(give);
    digest.await.map_err(|_| Error::bug("the digest of a volume was not computed"))
}

/// Compares what was stored with what the host has now. `Corrupt` (`restore.mismatch`) names the
/// first path that differs.
pub(crate) async fn compare(
    stored: ByteStream,
    present: ByteStream,
    tolerance: &Tolerance,
    stop: &Stop,
) -> Result<Compared> {
    compare_within(stored, present, tolerance, stop, (APART_LIMIT, STORED_LIMIT)).await
}

async fn compare_within(
    stored: ByteStream,
    present: ByteStream,
    tolerance: &Tolerance,
    stop: &Stop,
    (limit, stored_limit): (usize, usize),
) -> Result<Compared> {
    let mut stored = Prints::of(stored, tolerance.clone(), stop);
    let mut present = Prints::of(present, Tolerance { renamed: None, ..tolerance.clone() }, stop);
    let mut apart = Apart::default();
    loop {
        // What the host has besides cannot be told from what is still to come before all that was stored is known.
        let waits = tolerance.extra && !apart.knows_all && apart.held() >= limit;
        let (left, right) = match waits {
            true => (stored.next().await, Ok(None)),
            false => tokio::join!(stored.next(), present.next()),
        };
        let (left, right) = (left?, right?);
        if left.is_none() && right.is_none() && !waits {
            break;
        }
        if left.is_none() && tolerance.extra {
            apart.know_all();
        }
        apart.meet(left, right)?;
        let is_too_much = if tolerance.extra { apart.held() > stored_limit } else { apart.held() > limit };
        if is_too_much {
            return Err(apart.far_apart());
        }
    }
    apart.settle(tolerance.extra)
}

/// Whether an archive holds one directory and nothing in it. Reads no further than the second member.
pub(crate) async fn is_empty_directory(mut stream: ByteStream) -> Result<bool> {
    let mut walker = Walker::new();
    let mut members = 0;
    while let Some(bytes) = stream.next().await {
        walker.feed(bytes?);
        while let Some(step) = walker.step()? {
            if let Step::Open(member) = step {
                members += 1;
                if members > 1 || member.kind != MemberKind::Directory {
                    return Ok(false);
                }
            }
        }
    }
    walker.finish().map(|_| members == 1)
}

/// First component of the first member's name, decoration taken off.
pub(crate) async fn first_name(mut stream: ByteStream) -> Result<Option<Vec<u8>>> {
    let mut walker = Walker::new();
    while let Some(bytes) = stream.next().await {
        walker.feed(bytes?);
        while let Some(step) = walker.step()? {
            if let Step::Open(member) = step {
                let name = called(&member.path, None);
                return Ok(name.split(|&byte| byte == b'/').next().map(<[u8]>::to_vec));
            }
        }
    }
    Ok(None)
}

/// Members seen on one side only, so far.
#[derive(Default)]
struct Apart {
    stored: HashMap<Vec<u8>, [u8; 32]>,
    present: HashMap<Vec<u8>, [u8; 32]>,
    /// All that was stored was seen, and the host may have more: that is counted and not remembered.
    knows_all: bool,
    extra: u64,
}

impl Apart {
    fn meet(&mut self, left: Option<Print>, right: Option<Print>) -> Result<()> {
        if let Some(print) = left {
            match self.present.remove(&print.path) {
                Some(digest) if digest == print.digest => {}
                Some(_) => return Err(mismatch(&print.path, "is not what was stored")),
                None => drop(self.stored.insert(print.path, print.digest)),
            }
        }
        if let Some(print) = right {
            match self.stored.remove(&print.path) {
                Some(digest) if digest == print.digest => {}
                Some(_) => return Err(mismatch(&print.path, "is not what was stored")),
                None if self.knows_all => self.extra += 1,
                None => drop(self.present.insert(print.path, print.digest)),
            }
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.stored.len() + self.present.len()
    }

    /// Nothing more was stored: what is left of the host's is its own.
    fn know_all(&mut self) {
        self.knows_all = true;
        self.extra += std::mem::take(&mut self.present).len() as u64;
    }

    fn far_apart(&self) -> Error {
        let path = self.stored.keys().min().cloned().unwrap_or_default();
        mismatch(&path, "was not found, and far too much else was")
    }

    fn settle(self, may_have_more: bool) -> Result<Compared> {
        if let Some(path) = self.stored.keys().min() {
            return Err(mismatch(path, "is missing on the host"));
        }
        match self.present.keys().min() {
            Some(path) if !may_have_more => Err(mismatch(path, "is on the host, but not in the snapshot")),
            _ => Ok(Compared { extra: self.extra + self.present.len() as u64 }),
        }
    }
}

fn mismatch(path: &[u8], what: &str) -> Error {
    let path = String::from_utf8_lossy(path);
    Error::new(Kind::Corrupt, "restore.mismatch", format!("read back after writing, {path} {what}"))
        .advice("Nothing is lost: the snapshot is whole. Look at the host's disk and file system, then restore again.")
}

/// One member, reduced to its name and a digest of all that has to be equal.
struct Print {
    path: Vec<u8>,
    digest: [u8; 32],
}

/// An archive as a flow of prints, digested on a thread of its own.
struct Prints {
    prints: mpsc::Receiver<Print>,
    work: Option<JoinHandle<Result<()>>>,
    pump: JoinHandle<Result<()>>,
}

impl Drop for Prints {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Prints {
    fn of(mut stream: ByteStream, tolerance: Tolerance, stop: &Stop) -> Prints {
        let (give, take) = mpsc::channel::<Bytes>(CHUNKS);
        let (told, prints) = mpsc::channel::<Print>(MEMBERS);
        let work = tokio::task::spawn_blocking(move || {
            if tolerance.full {
                full::digest_entries(take, &told, tolerance.renamed.as_ref())
            } else {
                digest_members(take, &told, &tolerance)
            }
        });
        let stop = stop.clone();
        let pump = tokio::spawn(async move {
            while let Some(bytes) = next(&mut stream, &stop).await? {
                if give.send(bytes).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Prints { prints, work: Some(work), pump }
    }

    /// The next member, or `None` at the proven end.
    async fn next(&mut self) -> Result<Option<Print>> {
        if let Some(print) = self.prints.recv().await {
            return Ok(Some(print));
        }
        let Some(work) = self.work.take() else { return Ok(None) };
        let failed = |_| Error::bug("an archive was not compared to its end");
        let walked = work.await.map_err(failed)?;
        // A stream that broke explains an archive that ends early.
        (&mut self.pump).await.map_err(failed)??;
        walked.map(|()| None)
    }
}

async fn next(stream: &mut ByteStream, stop: &Stop) -> Result<Option<Bytes>> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(stopped()),
        next = stream.next() => next.transpose(),
    }
}

fn digest_members(mut input: mpsc::Receiver<Bytes>, told: &mpsc::Sender<Print>, tolerance: &Tolerance) -> Result<()> {
    let mut walker = Walker::new();
    let mut open: Option<(Member, Sha256)> = None;
    while let Some(bytes) = input.blocking_recv() {
        walker.feed(bytes);
        while let Some(step) = walker.step()? {
            match step {
                Step::Open(member) => open = Some((member, Sha256::new())),
                Step::Data(bytes) => open.iter_mut().for_each(|(_, digest)| digest.update(&bytes)),
                Step::Close => {
                    let Some((member, content)) = open.take() else { continue };
                    // No archive of an engine has sockets, and none was written.
                    if member.kind == MemberKind::Socket {
                        continue;
                    }
                    if told.blocking_send(print(&member, &content.finalize(), tolerance)).is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
    walker.finish().map(drop)
}

fn print(member: &Member, content: &[u8], tolerance: &Tolerance) -> Print {
    let renamed = tolerance.renamed.as_ref();
    let path = called(&member.path, renamed);
    let mut digest = Sha256::new();
    let (tag, is_link) = match member.kind {
        MemberKind::File => (b'0', false),
        MemberKind::HardLink => (b'1', true),
        MemberKind::Symlink => (b'2', true),
        MemberKind::Directory => (b'5', false),
        MemberKind::Socket => (b's', false),
        MemberKind::Other(other) => (other, false),
    };
    digest.update([tag]);
    // A hard link is its target's name and nothing else; a symbolic link has no permissions.
    if member.kind != MemberKind::HardLink {
        if !tolerance.owners_untold {
            digest.update(member.uid.to_be_bytes());
            digest.update(member.gid.to_be_bytes());
        }
        // Docker cannot set times before 1970.
        digest.update(member.mtime.max(0).to_be_bytes());
        if !is_link {
            digest.update((member.mode & 0o7777).to_be_bytes());
        }
    }
    let link = if member.kind == MemberKind::HardLink { called(&member.link, renamed) } else { member.link.clone() };
    digest.update((link.len() as u64).to_be_bytes());
    digest.update(&link);
    digest.update(content);
    Print { path, digest: digest.finalize().into() }
}

/// The name without decoration, and with its first component renamed.
fn called(path: &[u8], renamed: Option<&(String, String)>) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let Some((from, to)) = renamed else { return path.to_vec() };
    match path.strip_prefix(from.as_bytes()) {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => [to.as_bytes(), rest].concat(),
        _ => path.to_vec(),
    }
}

#[cfg(test)]
mod tests;
