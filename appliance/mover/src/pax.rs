//! Tar headers for entries: ustar where it says everything, PAX in front where it does not.
//!
//! # Format notes
//! - Names are `prefix/path`, directories end with a slash, the root without a prefix is `./`.
//! - PAX only for: names over 100 bytes, numbers beyond the octal fields, times with parts of seconds or before
//!   1970, attributes (`SCHILY.xattr.NAME`, raw values; `%` and `=` in names as `%25` and `%3D`, as GNU tar does), and
//!   the vendor records below.
//! - `HOLDFAST.holes=OFFSET:LENGTH,…` names the holes of a file; its content is in the stream all the same,
//!   as zeros, so that every tar reader gets the right bytes. Holes beyond [`HOLES_MAX`] are left out, the largest
//!   stay.
//! - `HOLDFAST.kind=socket` marks a socket; other readers see an empty file.
//!
//! Invariant: the same entry gives the same bytes.

use crate::entry::{Entry, Hole, Kind, Time};
use std::borrow::Cow;

/// Size of a tar block in bytes.
pub const BLOCK: usize = 512;

/// The end of an archive: two zero blocks.
pub const TRAILER: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Most holes that one header names.
pub const HOLES_MAX: usize = 4096;

/// A vendor record: holes of a file.
pub(crate) const KEY_HOLES: &[u8] = b"HOLDFAST.holes";
/// A vendor record: a type that tar lacks.
pub(crate) const KEY_KIND: &[u8] = b"HOLDFAST.kind";
/// Prefix of attributes.
pub(crate) const KEY_XATTR: &[u8] = b"SCHILY.xattr.";

/// The zeros that follow content of `size` bytes.
pub fn padding(size: u64) -> &'static [u8] {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { &[] } else { &TRAILER[..BLOCK - over] }
}

/// The header blocks of an entry, under `prefix` (without a slash at its end; may be empty).
pub fn header(prefix: &[u8], entry: &Entry) -> Vec<u8> {
    let path = full_name(prefix, &entry.path, entry.kind == Kind::Directory);
    let link = match entry.kind {
        Kind::HardLink => full_name(prefix, &entry.link, false),
        _ => entry.link.to_vec(),
    };
    let records = records(entry, &path, &link);
    let mut header = Vec::with_capacity(3 * BLOCK);
    if !records.is_empty() {
        let mut ahead = Entry::new(b"", Kind::File);
        ahead.size = records.len() as u64;
        header.extend_from_slice(&block(&ahead, b'x', b"PaxHeaders.0/next", b""));
        header.extend_from_slice(&records);
        header.extend_from_slice(padding(records.len() as u64));
    }
    header.extend_from_slice(&block(entry, flag(entry.kind), &path, &link));
    header
}

fn full_name(prefix: &[u8], path: &[u8], is_directory: bool) -> Vec<u8> {
    let mut name = Vec::with_capacity(prefix.len() + path.len() + 2);
    name.extend_from_slice(prefix);
    if !prefix.is_empty() && !path.is_empty() {
        name.push(b'/');
    }
    name.extend_from_slice(path);
    if name.is_empty() {
        name.push(b'.');
    }
    if is_directory {
        name.push(b'/');
    }
    name
}

fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::File | Kind::Socket => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// The PAX body: what the block cannot say.
fn records(entry: &Entry, path: &[u8], link: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if path.len() > 100 {
        record(&mut body, &[b"path"], path);
    }
    if link.len() > 100 {
        record(&mut body, &[b"linkpath"], link);
    }
    if !fits(entry.size, 11) {
        record(&mut body, &[b"size"], entry.size.to_string().as_bytes());
    }
    for (key, value) in [(&b"uid"[..], entry.uid), (&b"gid"[..], entry.gid)] {
        if !fits(u64::from(value), 7) {
            record(&mut body, &[key], value.to_string().as_bytes());
        }
    }
    if entry.mtime.nanos != 0 || !u64::try_from(entry.mtime.seconds).is_ok_and(|seconds| fits(seconds, 11)) {
        record(&mut body, &[b"mtime"], decimal(entry.mtime).as_bytes());
    }
    if entry.kind == Kind::Socket {
        record(&mut body, &[KEY_KIND], b"socket");
    }
    if !entry.holes.is_empty() {
        record(&mut body, &[KEY_HOLES], holes_text(&entry.holes).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut body, &[KEY_XATTR, &encode_key(name)], value);
    }
    body
}

/// The name of an attribute as a key: a key ends at the first `=`.
fn encode_key(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.iter().any(|byte| matches!(byte, b'%' | b'=')) {
        return Cow::Borrowed(name);
    }
    let parts = name.iter().map(|byte| match byte {
        b'%' => &b"%25"[..],
        b'=' => b"%3D",
        other => std::slice::from_ref(other),
    });
    Cow::Owned(parts.collect::<Vec<_>>().concat())
}

/// The name of an attribute from its key.
pub(crate) fn decode_key(mut key: &[u8]) -> Box<[u8]> {
    let mut name = Vec::with_capacity(key.len());
    while let Some((&byte, rest)) = key.split_first() {
        let (byte, rest) = match (byte, rest) {
            (b'%', [b'2', b'5', rest @ ..]) => (b'%', rest),
            (b'%', [b'3', b'D', rest @ ..]) => (b'=', rest),
            other => other,
        };
        name.push(byte);
        key = rest;
    }
    name.into()
}

fn holes_text(holes: &[Hole]) -> String {
    let mut named = holes.to_vec();
    if named.len() > HOLES_MAX {
        named.sort_by_key(|&(at, length)| (std::cmp::Reverse(length), at));
        named.truncate(HOLES_MAX);
        named.sort_unstable();
    }
    let parts: Vec<_> = named.iter().map(|(at, length)| format!("{at}:{length}")).collect();
    parts.join(",")
}

fn block(entry: &Entry, flag: u8, path: &[u8], link: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, &path[..path.len().min(100)]);
    put_octal(&mut block, 100, 7, u64::from(entry.mode & 0o7777));
    put_octal(&mut block, 108, 7, u64::from(entry.uid));
    put_octal(&mut block, 116, 7, u64::from(entry.gid));
    put_octal(&mut block, 124, 11, if flag == b'0' || flag == b'x' { entry.size } else { 0 });
    put_octal(&mut block, 136, 11, u64::try_from(entry.mtime.seconds).unwrap_or(0));
    put(&mut block, 148, b"        ");
    block[156] = flag;
    put(&mut block, 157, &link[..link.len().min(100)]);
    put(&mut block, 257, b"ustar\x0000");
    if matches!(entry.kind, Kind::Char | Kind::Block) {
        put_octal(&mut block, 329, 7, u64::from(entry.device.0));
        put_octal(&mut block, 337, 7, u64::from(entry.device.1));
    }
    let sum = block.iter().map(|&byte| u64::from(byte)).sum();
    put_octal(&mut block, 148, 6, sum);
    block[154] = 0;
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes octal digits; a number that does not fit is written as 0, PAX says it.
fn put_octal(block: &mut [u8; BLOCK], at: usize, digits: usize, value: u64) {
    let mut rest = if fits(value, digits) { value } else { 0 };
    for place in (at..at + digits).rev() {
        block[place] = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
}

fn fits(value: u64, digits: usize) -> bool {
    value >> (3 * digits) == 0
}

/// Appends `length key=value\n`; the length counts its own digits.
fn record(body: &mut Vec<u8>, key: &[&[u8]], value: &[u8]) {
    let rest = key.iter().map(|part| part.len()).sum::<usize>() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    body.extend_from_slice(length.to_string().as_bytes());
    body.push(b' ');
    for part in key {
        body.extend_from_slice(part);
    }
    body.push(b'=');
    body.extend_from_slice(value);
    body.push(b'\n');
}

/// Seconds as a decimal fraction, with no more digits than it needs.
fn decimal(time: Time) -> String {
    const SECOND: i128 = 1_000_000_000;
    let total = i128::from(time.seconds) * SECOND + i128::from(time.nanos);
    let (sign, size) = (if total < 0 { "-" } else { "" }, total.abs());
    let (whole, fraction) = (size / SECOND, size % SECOND);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_fractions() {
        for ((seconds, nanos), text) in [
            ((0, 0), "0"),
            ((1, 500_000_000), "1.5"),
            ((-1, 0), "-1"),
            ((-2, 500_000_000), "-1.5"),
            ((7, 1), "7.000000001"),
            ((10, 0), "10"),
            ((0, 100), "0.0000001"),
        ] {
            assert_eq!(decimal(Time { seconds, nanos }), text);
        }
    }

    #[test]
    fn a_plain_old_file_needs_one_block() {
        let mut entry = Entry::new(b"a/b", Kind::File);
        entry.mtime.seconds = 1_700_000_000;
        assert_eq!(header(b"", &entry).len(), BLOCK);
        entry.mtime.nanos = 1;
        assert_eq!(header(b"", &entry).len(), 3 * BLOCK);
    }

    #[test]
    fn record_lengths_count_themselves() {
        for length in 0..300 {
            let mut body = Vec::new();
            record(&mut body, &[b"pa", b"th"], &vec![b'x'; length]);
            let told: usize = String::from_utf8(body.clone()).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, body.len());
        }
    }

    #[test]
    fn keys_of_attributes_come_back() {
        for name in [&b"user.a"[..], b"user.a=b", b"user.%3D", b"user.%", b"user.=%25=", b"user.%%25"] {
            assert_eq!(*decode_key(&encode_key(name)), *name);
            assert!(!encode_key(name).contains(&b'='));
        }
    }

    #[test]
    fn only_the_largest_of_too_many_holes_are_named() {
        let holes: Vec<Hole> = (0..HOLES_MAX as u64 + 10).map(|n| (n * 10_000, 4096 + u64::from(n >= 10))).collect();
        let text = holes_text(&holes);
        assert_eq!(text.split(',').count(), HOLES_MAX);
        assert!(text.starts_with("100000:4097,"));
    }
}
