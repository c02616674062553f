//! Storing the members of an image archive one after the other, in bounded memory.
//!
//! Invariant: nothing is stored under a name, and no link is kept, that leads out of the archive; no name comes twice, for then it would be the engine that
//! loads it who chooses which of them counts. What is looked at here is what a restore sends.

use super::archive::Archive;
use crate::{Sink, StreamKind};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_docker::archive::sha256;
use holdfast_model::{
    Error, Result,
    snapshot::{IMAGE_BLOBS, IMAGE_LIST_LIMIT, IMAGE_LISTS, ImagePart, StreamRef, is_within},
};
use holdfast_tar::{MemberKind, Step};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Images have at most 127 layers and a few files each; more members than this is no image.
const MEMBER_LIMIT: usize = 10_000;
/// Pieces on their way to the repository: engines send 32 KiB each, so half a megabyte.
const PIECES: usize = 16;
const BLOCK: usize = 512;
/// Bytes after which a list of contents is longer than any.
const LIST_END: usize = IMAGE_LIST_LIMIT as usize + 1;

/// Whether layers are stored as tars (the rule) or as plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SplitLayers {
    Yes,
    No,
}

/// All of an archive.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) parts: Vec<ImagePart>,
    /// `manifest.json`: the list of its layers.
    pub(crate) manifest: Value,
    /// Paths of members and whether they are compressed.
    pub(crate) packed: BTreeMap<String, bool>,
}

/// Stores every member; folders have nothing to store.
pub(crate) async fn store_all(
    mut archive: Archive,
    sink: &dyn Sink,
    shown: &str,
    split: SplitLayers,
) -> Result<Members> {
    let mut members = Members::default();
    let (mut names, mut count) = (BTreeSet::new(), 0);
    while let Some(step) = archive.next().await? {
        let Step::Open(member) = step else { continue };
        count += 1;
        if count > MEMBER_LIMIT {
            return Err(odd("it has more than 10 000 members"));
        }
        if member.kind == MemberKind::Directory {
            continue;
        }
        let path = text(&member.path)?;
        let link = if member.kind == MemberKind::Symlink { Some(text(&member.link)?) } else { None };
        if !is_within(&path, link.as_deref()) {
            return Err(odd(&format!("{path:?} leads out of it")));
        }
        if !names.insert(path.clone()) {
            return Err(odd(&format!("{path:?} is in it twice")));
        }
        match member.kind {
            MemberKind::Symlink => members.parts.push(linked(path, link.unwrap_or_default())),
            MemberKind::HardLink => {
                let target = text(&member.link)?;
                let same = members.parts.iter().find(|part| part.path == target).cloned();
                let same = same.ok_or_else(|| odd("a link in it leads nowhere"))?;
                members.parts.push(ImagePart { path, ..same });
            }
            MemberKind::File => file(&mut archive, sink, &mut members, &Named { path, shown }, split).await?,
            _ => return Err(odd("it holds devices")),
        }
    }
    Ok(members)
}

struct Named<'a> {
    path: String,
    shown: &'a str,
}

async fn file(
    archive: &mut Archive,
    sink: &dyn Sink,
    members: &mut Members,
    named: &Named<'_>,
    split: SplitLayers,
) -> Result<()> {
    let path = &named.path;
    let is_list = IMAGE_LISTS.contains(&path.as_str());
    let (pieces, whole) = archive.begin(if is_list { LIST_END } else { BLOCK }).await?;
    let head = pieces.concat();
    if is_list {
        let list = if whole { serde_json::from_slice(&head).ok() } else { None };
        let list: Value = list.ok_or_else(|| odd(&format!("its list {path} is no JSON, or too long")))?;
        if path == IMAGE_LISTS[0] {
            members.manifest = list;
        }
    }
    members.packed.insert(path.clone(), is_packed(&head));
    let blob = path.strip_prefix(IMAGE_BLOBS);
    let known = match blob {
        Some(digest) => sink.known_blob(digest).await,
        None => None,
    };
    let stream = match known {
        Some(stream) => {
            skip(archive, &head, whole, path, &stream).await?;
            stream
        }
        None => {
            sink.item(&format!("image {} · {path}", named.shown));
            let kind = if split == SplitLayers::Yes && is_tar(&head) { StreamKind::Tar } else { StreamKind::Bytes };
            store(archive, sink, &format!("image {} {path}", named.shown), kind, Begun { pieces, whole }).await?
        }
    };
    members.parts.push(ImagePart {
        path: path.clone(),
        sha256: stream.sha256.clone(),
        stream,
        diff_id: None,
        link: None,
    });
    Ok(())
}

/// What was read of a member already.
struct Begun {
    pieces: Vec<Bytes>,
    whole: bool,
}

/// Reads and stores at once; the channel between is the only memory.
async fn store(
    archive: &mut Archive,
    sink: &dyn Sink,
    label: &str,
    kind: StreamKind,
    begun: Begun,
) -> Result<StreamRef> {
    let (pieces, taken) = mpsc::channel::<Result<Bytes>>(PIECES);
    let bytes = stream::unfold(taken, |mut taken| async { taken.recv().await.map(|piece| (piece, taken)) }).boxed();
    let feed = async move {
        let mut whole = begun.whole;
        for piece in begun.pieces {
            if pieces.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
        while !whole {
            let piece = match archive.next().await {
                Ok(Some(Step::Data(bytes))) => bytes,
                Ok(_) => {
                    whole = true;
                    continue;
                }
                Err(error) => {
                    // Half a member must not look like a whole one.
                    let _ = pieces.send(Err(odd("it ended within a member"))).await;
                    return Err(error);
                }
            };
            if pieces.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    let (stored, fed) = futures::future::join(sink.store(label, kind, bytes), feed).await;
    fed?;
    stored
}

/// Reads a known blob without storing it; it must be what its name says.
async fn skip(archive: &mut Archive, head: &[u8], mut whole: bool, path: &str, known: &StreamRef) -> Result<()> {
    let mut digest = Sha256::new();
    digest.update(head);
    while !whole {
        match archive.next().await? {
            Some(Step::Data(bytes)) => digest.update(&bytes),
            _ => whole = true,
        }
    }
    if hex::encode(digest.finalize()) != known.sha256 {
        return Err(odd(&format!("the bytes of {path} have another digest than their name")));
    }
    Ok(())
}

fn linked(path: String, target: String) -> ImagePart {
    let sha256 = sha256(b"");
    let stream = StreamRef { sha256: sha256.clone(), ..StreamRef::default() };
    ImagePart { path, sha256, stream, diff_id: None, link: Some(target) }
}

/// Where a symbolic link within the archive leads.
pub(crate) fn follow(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { path.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// A block whose checksum is right: layers are tars under many names.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..BLOCK) else { return false };
    let told = std::str::from_utf8(&block[148..156]).ok().map(|sum| sum.trim_matches(['\0', ' ']));
    let told = told.and_then(|sum| u32::from_str_radix(sum, 8).ok());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    told == Some(sum - field + 8 * 32)
}

fn is_packed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

fn text(name: &[u8]) -> Result<String> {
    let name = String::from_utf8(name.to_vec()).map_err(|_| odd("a name in it is not text"))?;
    Ok(name.trim_start_matches("./").trim_end_matches('/').to_owned())
}

fn odd(why: &str) -> Error {
    Error::invalid("image.malformed", format!("the image archive is not understood: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_archive() {
        assert_eq!(follow("a/layer.tar", "../b.tar"), "b.tar");
        assert_eq!(follow("a/layer.tar", "../../../../etc/passwd"), "etc/passwd");
        assert_eq!(follow("a/b", "/c"), "c");
        assert_eq!(follow("a/b", "./c"), "a/c");
    }

    #[test]
    fn tars_are_told_by_their_checksum() {
        assert!(is_tar(&holdfast_docker::archive::tar(&[holdfast_docker::archive::Entry::directory("x")])));
        assert!(!is_tar(&[0; 1024]));
        assert!(!is_tar(b"{}"));
        assert!(is_packed(&[0x1f, 0x8b, 8]) && !is_packed(b"{}"));
    }
}
