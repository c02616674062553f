//! Files in memory: trees to and from tars.
//!
//! Paths are relative, without slashes at their ends; the empty path is the tree's own root.

use crate::archive::{Entry, What, tar};
use holdfast_model::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

const BLOCK: usize = 512;

/// A file tree. The entry's own path field is kept equal to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Entry>);

/// A tree of an empty root directory.
impl Default for Tree {
    fn default() -> Tree {
        Tree(BTreeMap::from([(String::new(), Entry::directory(""))]))
    }
}

impl Tree {
    /// Puts an entry; missing directories above it are made.
    pub(crate) fn put(&mut self, entry: Entry) {
        let entry = Entry { path: clean(&entry.path), ..entry };
        for (at, _) in entry.path.match_indices('/') {
            let above = &entry.path[..at];
            self.0.entry(above.to_owned()).or_insert_with(|| Entry::directory(above));
        }
        if entry.what != What::Directory {
            self.remove(&entry.path.clone());
        }
        self.0.insert(entry.path.clone(), entry);
    }

    /// Removes a path with all below it.
    pub(crate) fn remove(&mut self, path: &str) {
        self.0.retain(|key, _| key != path && !is_below(key, path));
    }

    /// Removes all but the root itself.
    pub(crate) fn clear(&mut self) {
        self.0.retain(|key, _| key.is_empty());
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// The tar of a path as engines send it: entries under the path's last name.
    pub(crate) fn tar(&self, path: &str, name: &str) -> Option<Vec<u8>> {
        let root = self.0.get(path)?;
        let mut entries = vec![Entry { path: name.to_owned(), ..root.clone() }];
        for (key, entry) in self.0.iter().filter(|(key, _)| is_below(key, path)) {
            let rest = if path.is_empty() { key } else { &key[path.len() + 1..] };
            entries.push(Entry { path: format!("{name}/{rest}"), ..entry.clone() });
        }
        Some(tar(&entries))
    }

    /// All of another tree, in place of equal paths of this one; whiteouts delete.
    pub(crate) fn lay(&mut self, over: &[Entry]) {
        for entry in over {
            let path = clean(&entry.path);
            let name = path.rsplit('/').next().unwrap_or_default();
            match name.strip_prefix(".wh.") {
                Some(gone) => self.remove(&format!("{}{gone}", &path[..path.len() - name.len()])),
                None => self.put(entry.clone()),
            }
        }
    }
}

/// Whether a path lies below another; everything but the root lies below the root.
pub(crate) fn is_below(path: &str, parent: &str) -> bool {
    match parent {
        "" => !path.is_empty(),
        parent => path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')),
    }
}

/// Without slashes at the ends, dots and ways up.
pub(crate) fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    parts.join("/")
}

/// Reads a tar as an engine does: one that stops in the middle is refused.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut at, mut next) = (0, BTreeMap::new());
    loop {
        let header = bytes.get(at..at + BLOCK).ok_or_else(|| malformed("unexpected EOF"))?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(entries);
        }
        let number = |range: std::ops::Range<usize>| {
            let text = String::from_utf8_lossy(&header[range]).trim_matches(['\0', ' ']).to_owned();
            u64::from_str_radix(&text, 8).map_err(|_| malformed("invalid tar header"))
        };
        let records: BTreeMap<String, String> = std::mem::take(&mut next);
        let or = |key: &str, range| match records.get(key).and_then(|value| value.split('.').next()?.parse().ok()) {
            Some(value) => Ok(value),
            None => number(range),
        };
        let size = usize::try_from(or("size", 124..136)?).map_err(|_| malformed("invalid tar header"))?;
        let kind = header[156];
        let size = if matches!(kind, b'1'..=b'6') { 0 } else { size };
        let content = bytes.get(at + BLOCK..at + BLOCK + size).ok_or_else(|| malformed("unexpected EOF"))?;
        at += BLOCK + size.next_multiple_of(BLOCK);
        match kind {
            b'x' => next = pax(content),
            b'g' => {}
            b'L' => drop(next.insert("path".into(), text(content))),
            b'K' => drop(next.insert("linkpath".into(), text(content))),
            _ => {
                let link = records.get("linkpath").cloned().unwrap_or_else(|| text(&header[157..257]));
                let what = what(kind, content, link, &entries)?;
                let id = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
                entries.push(Entry {
                    path: clean(&records.get("path").cloned().unwrap_or_else(|| name(header))),
                    mode: id(number(100..108)? & 0o7777),
                    uid: id(or("uid", 108..116)?),
                    gid: id(or("gid", 116..124)?),
                    mtime: or("mtime", 136..148)?,
                    what,
                });
            }
        }
    }
}

fn what(kind: u8, content: &[u8], link: String, before: &[Entry]) -> Result<What> {
    Ok(match kind {
        b'0' | 0 => What::File(content.to_vec()),
        b'5' => What::Directory,
        b'2' => What::Symlink(link),
        b'1' => {
            let target = clean(&link);
            let found = before.iter().find(|entry| entry.path == target);
            found.map(|entry| entry.what.clone()).ok_or_else(|| malformed("invalid hard link"))?
        }
        other => What::Special(other),
    })
}

fn name(header: &[u8]) -> String {
    let prefix = if &header[257..262] == b"ustar" { text(&header[345..500]) } else { String::new() };
    let name = text(&header[..100]);
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn pax(mut body: &[u8]) -> BTreeMap<String, String> {
    let mut records = BTreeMap::new();
    while let Some(space) = body.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&body[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| body.get(space + 1..length)) else { break };
        let record = String::from_utf8_lossy(record);
        if let Some((key, value)) = record.trim_end_matches('\n').split_once('=') {
            records.insert(key.to_owned(), value.to_owned());
        }
        body = &body[length.unwrap_or(body.len())..];
    }
    records
}

fn malformed(why: &str) -> Error {
    Error::invalid("host.refused", format!("host fake refused the archive: {why} (status 400)"))
}

/// Paths of a set of entries with all directories above them.
pub(crate) fn with_parents(path: &str) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect();
    all.insert(path.to_owned());
    all
}
