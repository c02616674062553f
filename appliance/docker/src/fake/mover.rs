//! The mover of the fake engine: the conversation of the real one, held about files in memory.
//!
//! Invariant: entries, groups and headers are those that the real mover would make of the same files; a file whose
//! content changed has another inode number, since nothing here keeps times.

use super::programs::Run;
use crate::archive::{Entry as File, What, sha256};
use holdfast_mover::{
    Entry, Group, Grouper, Kind, Time, header,
    thin::{Thickener, Thinner},
    wire::{self, Answer, Ask},
};
use std::io::{self, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of content in one frame.
const PIECE: usize = 256 << 10;

/// Does what its first argument says.
pub(crate) async fn work(run: Run) -> io::Result<()> {
    let arguments = run.arguments.clone();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["thin", "tar", ..] => give(run).await,
        // Files in memory can all be replaced.
        ["fixed", ..] => Ok(()),
        ["thin", "untar" | "overlay", _, _] => take(run, "/").await,
        ["thin", "lay", folder, mark] if !has(&run, &format!("{folder}/{mark}")) => {
            Err(io::Error::new(io::ErrorKind::NotFound, "there is no such file"))
        }
        ["thin", "lay", folder, _] => take(run, folder).await,
        _ => serve(run).await,
    }
}

/// Whether a file lies at a path of the container, in what is mounted.
fn has(run: &Run, path: &str) -> bool {
    (run.mounts)().into_iter().any(|(place, files)| {
        let path = path.strip_prefix(&place).map(|path| path.trim_start_matches('/'));
        files.iter().any(|file| Some(&*file.path) == path && matches!(file.what, What::File(_)))
    })
}

async fn give(mut run: Run) -> io::Result<()> {
    let files = (run.mounts)().pop().map(|(_, files)| files).unwrap_or_default();
    let mut out = Vec::new();
    for entry in grouped(&files, &[0; 32]).iter().flat_map(|group| &group.entries) {
        out.extend(header(b"v", entry));
        let file = files.iter().find(|file| file.path.as_bytes() == &*entry.path);
        out.extend(file.map(content_of).unwrap_or_default());
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    let mut line = Vec::new();
    let mut thinner = Thinner::new(&mut line);
    thinner.write_all(&out).and_then(|()| thinner.flush())?;
    run.output.write_all(&line).await
}

async fn take(mut run: Run, path: &str) -> io::Result<()> {
    let (mut line, mut tar) = (Vec::new(), Vec::new());
    run.input.read_to_end(&mut line).await?;
    Thickener::new(line.as_slice()).read_to_end(&mut tar)?;
    (run.unpack)(path, &tar).map_err(io::Error::other)
}

/// Talks until the input ends.
async fn serve(mut run: Run) -> io::Result<()> {
    let now = || (run.mounts)().pop().map(|(_, files)| files).unwrap_or_default();
    let mut files = now();
    let Some(Ask::Hello { key, prefix, .. }) = next(&mut run.input).await? else { return Ok(()) };
    if files.first().is_none_or(|root| !root.path.is_empty() || root.what != What::Directory) {
        return say(&mut run.output, &[Answer::Failed("/v: Not a directory (os error 20)".into())]).await;
    }
    say(&mut run.output, &[Answer::Hello { version: wire::VERSION }]).await?;
    let mut groups: Vec<Group> = Vec::new();
    while let Some(ask) = next(&mut run.input).await? {
        let mut answers = Vec::new();
        match ask {
            Ask::Groups => {
                files = now();
                groups = grouped(&files, &key);
                answers.extend(groups.iter().map(told));
            }
            Ask::Marks(wanted) => {
                for group in wanted {
                    let entries = &groups.get(group as usize).ok_or(wire::Malformed)?.entries;
                    let mark =
                        |entry: &Entry| (entry.identity(&key).mark(), header(&prefix, entry).len() as u32, entry.size);
                    answers.push(Answer::Marks(entries.iter().map(mark).collect()));
                }
            }
            Ask::Read { groups: requests, .. } => {
                for (group, wanted) in requests {
                    let entries = &groups.get(group as usize).ok_or(wire::Malformed)?.entries;
                    for (entry, _) in entries.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
                        answers.push(Answer::Begin(header(&prefix, entry)));
                        let file = files.iter().find(|file| file.path.as_bytes() == &*entry.path);
                        let content = file.map(content_of).unwrap_or_default();
                        answers.extend(content.chunks(PIECE).map(|piece| Answer::Content(piece.to_vec())));
                        answers.push(Answer::End);
                    }
                }
            }
            Ask::Finish => {}
            Ask::Hello { .. } => return Err(wire::Malformed.into()),
        }
        answers.push(Answer::Done(answers.len() as u64));
        say(&mut run.output, &answers).await?;
    }
    Ok(())
}

async fn say(output: &mut (impl AsyncWrite + Unpin), answers: &[Answer]) -> io::Result<()> {
    let mut out = Vec::new();
    answers.iter().for_each(|answer| answer.put(&mut out));
    output.write_all(&out).await?;
    output.flush().await
}

async fn next(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ask>> {
    let mut head = [0; wire::HEAD];
    if input.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut head[1..]).await?;
    let (kind, length) = wire::head(&head)?.ok_or(wire::Malformed)?;
    let mut body = vec![0; length];
    input.read_exact(&mut body).await?;
    Ok(Some(Ask::read(kind, &body)?))
}

fn told(group: &Group) -> Answer {
    let entries = u32::try_from(group.entries.len()).unwrap_or(u32::MAX);
    Answer::Group { witness: group.witness, entries, bytes: group.bytes() }
}

fn content_of(file: &File) -> Vec<u8> {
    if let What::File(content) = &file.what { content.clone() } else { Vec::new() }
}

fn grouped(files: &[File], key: &[u8; 32]) -> Vec<Group> {
    let mut entries: Vec<Entry> = files.iter().map(entry).collect();
    entries.sort_by(|one, other| one.path.split(|byte| *byte == b'/').cmp(other.path.split(|byte| *byte == b'/')));
    let (mut grouper, mut open, mut groups) = (Grouper::default(), Vec::new(), Vec::new());
    for entry in entries {
        if grouper.ends_before(entry.size) {
            groups.push(Group::new(std::mem::take(&mut open), key));
        }
        let ends = grouper.ends_after(&entry.path, entry.size);
        open.push(entry);
        if ends {
            groups.push(Group::new(std::mem::take(&mut open), key));
        }
    }
    if !open.is_empty() {
        groups.push(Group::new(open, key));
    }
    groups
}

fn entry(file: &File) -> Entry {
    let (kind, link) = match &file.what {
        What::File(_) => (Kind::File, ""),
        What::Directory => (Kind::Directory, ""),
        What::Symlink(target) => (Kind::Symlink, target.as_str()),
        What::Special(_) => (Kind::Fifo, ""),
    };
    let content = content_of(file);
    let inode = u64::from_str_radix(&sha256(&content)[..15], 16).unwrap_or_default();
    let seconds = i64::try_from(file.mtime).unwrap_or(i64::MAX);
    Entry {
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        size: content.len() as u64,
        mtime: Time { seconds, nanos: 0 },
        inode,
        link: link.as_bytes().into(),
        ..Entry::new(file.path.as_bytes(), kind)
    }
}
