//! Small archives made in memory: image archives for helpers and tests, tars of the fake engine.
//!
//! All times are zero, so that the same content always has the same bytes and the same image id.
//! Never here: archives of people's data, which flow and are never held in memory.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BLOCK: usize = 512;
/// Largest owner that fits the header's field.
const OCTAL_LIMIT: u32 = 0o7_777_777;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A regular file with its content.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link to a target.
    Symlink(String),
    /// Anything without content, by its type byte (`6` is a fifo).
    Special(u8),
}

/// One entry of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path as in the archive; directories without a slash at the end.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since the epoch.
    pub mtime: u64,
    /// Kind and content.
    pub what: What,
}

impl Entry {
    /// A file of root's with mode 0644.
    pub fn file(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Entry {
        Entry { path: path.into(), mode: 0o644, uid: 0, gid: 0, mtime: 0, what: What::File(content.into()) }
    }
    /// A directory of root's with mode 0755.
    pub fn directory(path: impl Into<String>) -> Entry {
        Entry { path: path.into(), mode: 0o755, uid: 0, gid: 0, mtime: 0, what: What::Directory }
    }
    /// A symbolic link.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Entry {
        Entry { path: path.into(), mode: 0o777, uid: 0, gid: 0, mtime: 0, what: What::Symlink(target.into()) }
    }
    /// The same with other permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Entry {
        self.mode = mode;
        self
    }
    /// The same with another owner and group.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Entry {
        (self.uid, self.gid) = (uid, gid);
        self
    }
}

/// A whole tar with its two closing zero blocks.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        write_entry(&mut out, entry);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

/// An image archive as `docker load` takes it: `config` is completed with the layers' diff ids.
/// Returns the archive; without layers the image is empty, which every engine accepts.
pub fn image(tag: &str, config: &Value, layers: &[Vec<u8>]) -> Vec<u8> {
    let mut config = config.clone();
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = config.to_string();
    let name = format!("{}.json", sha256(config.as_bytes()));
    let paths: Vec<String> = layers.iter().map(|layer| format!("{}/layer.tar", sha256(layer))).collect();
    let manifest = json!([{ "Config": name, "RepoTags": [tag], "Layers": paths }]).to_string();
    let mut entries = vec![Entry::file(name, config)];
    entries.extend(paths.iter().zip(layers).map(|(path, layer)| Entry::file(path.clone(), layer.clone())));
    entries.push(Entry::file("manifest.json", manifest));
    tar(&entries)
}

/// SHA-256 as hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    let (kind, link, content): (u8, &str, &[u8]) = match &entry.what {
        What::File(content) => (b'0', "", content),
        What::Directory => (b'5', "", &[]),
        What::Symlink(target) => (b'2', target, &[]),
        What::Special(kind) => (*kind, "", &[]),
    };
    let path = if kind == b'5' { format!("{}/", entry.path) } else { entry.path.clone() };
    let mut records = Vec::new();
    if path.len() > 100 {
        pax_record(&mut records, "path", &path);
    }
    if link.len() > 100 {
        pax_record(&mut records, "linkpath", link);
    }
    let large = [("uid", entry.uid), ("gid", entry.gid)];
    for (key, id) in large.into_iter().filter(|(_, id)| *id > OCTAL_LIMIT) {
        pax_record(&mut records, key, &id.to_string());
    }
    if !records.is_empty() {
        write_header(out, "pax", b'x', "", records.len(), &Entry::file("", ""));
        write_content(out, &records);
    }
    write_header(out, &path, kind, link, content.len(), entry);
    write_content(out, content);
}

fn write_header(out: &mut Vec<u8>, path: &str, kind: u8, link: &str, size: usize, entry: &Entry) {
    let mut header = [0u8; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        let length = bytes.len().min(room);
        header[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, 100, path.as_bytes());
    put(100, 8, format!("{:07o}\0", entry.mode).as_bytes());
    put(108, 8, format!("{:07o}\0", entry.uid.min(OCTAL_LIMIT)).as_bytes());
    put(116, 8, format!("{:07o}\0", entry.gid.min(OCTAL_LIMIT)).as_bytes());
    put(124, 12, format!("{size:011o}\0").as_bytes());
    put(136, 12, format!("{:011o}\0", entry.mtime).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, link.as_bytes());
    put(257, 8, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&header);
}

fn write_content(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn pax_record(out: &mut Vec<u8>, key: &str, value: &str) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    length = rest + length.to_string().len();
    out.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}
