//! Making archives: headers that every engine reads the same way, the end, nothing else.
//!
//! ustar where it fits, PAX where it does not (long names, large numbers, parts of seconds, attributes).
//! The same input gives the same bytes. Content and padding are the caller's to write.

use crate::{BLOCK, MAX_META, machine};
use holdfast_model::{Error, Result};

/// The end of an archive: two zero blocks.
pub const TRAILER: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The zeros that follow content of `size` bytes.
pub fn padding(size: u64) -> &'static [u8] {
    // Less than a block.
    &TRAILER[..machine::padding(size) as usize]
}

/// A member to be written.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    path: &'a [u8],
    flag: u8,
    size: u64,
    link: &'a [u8],
    mode: u32,
    owner: (u64, u64),
    mtime: (i64, u32),
    extra: Vec<(Vec<u8>, &'a [u8])>,
}

impl<'a> Entry<'a> {
    /// A regular file with `size` bytes of content, mode 0644, owned by 0:0, of 1970.
    pub fn file(path: &'a [u8], size: u64) -> Entry<'a> {
        Entry { size, ..Entry::new(path, b'0', 0o644) }
    }

    /// A directory, mode 0755.
    pub fn directory(path: &'a [u8]) -> Entry<'a> {
        Entry::new(path, b'5', 0o755)
    }

    /// A symbolic link.
    pub fn symlink(path: &'a [u8], target: &'a [u8]) -> Entry<'a> {
        Entry { link: target, ..Entry::new(path, b'2', 0o777) }
    }

    /// Another name of the member `target`.
    pub fn hard_link(path: &'a [u8], target: &'a [u8]) -> Entry<'a> {
        Entry { link: target, ..Entry::new(path, b'1', 0o644) }
    }

    /// Permission bits, with set-id and sticky bits.
    #[must_use]
    pub fn mode(self, mode: u32) -> Entry<'a> {
        Entry { mode: mode & 0o7777, ..self }
    }

    /// Numeric owner and group.
    #[must_use]
    pub fn owner(self, uid: u64, gid: u64) -> Entry<'a> {
        Entry { owner: (uid, gid), ..self }
    }

    /// Time of the last change: seconds since 1970 and nanoseconds after those.
    #[must_use]
    pub fn mtime(self, seconds: i64, nanos: u32) -> Entry<'a> {
        Entry { mtime: (seconds, nanos.min(999_999_999)), ..self }
    }

    /// An extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &'a [u8]) -> Entry<'a> {
        self.extra.push((format!("SCHILY.xattr.{name}").into_bytes(), value));
        self
    }

    /// The header blocks. `Invalid` (`tar.name`) if a name is empty, holds a NUL or is beyond all measure, or is a folder's and
    /// content follows.
    pub fn header(&self) -> Result<Vec<u8>> {
        for name in [self.path, self.link] {
            if name.contains(&0) || name.len() as u64 > MAX_META / 4 {
                return Err(Error::invalid("tar.name", "a file name cannot be written to an archive"));
            }
        }
        let mut path = self.path.to_vec();
        if self.flag == b'5' && !path.ends_with(b"/") {
            path.push(b'/');
        }
        if self.path.is_empty() {
            return Err(Error::invalid("tar.name", "an archive member without a name cannot be written"));
        }
        // By its slash everybody reads a folder, which has no content.
        if self.flag != b'5' && self.size > 0 && self.path.ends_with(b"/") {
            return Err(Error::invalid("tar.name", "a file with the name of a folder cannot be written to an archive"));
        }
        let records = self.records(&path);
        let mut header = Vec::with_capacity(3 * BLOCK);
        put_records(&mut header, &records)?;
        header.extend_from_slice(&self.block(&path));
        Ok(header)
    }

    fn new(path: &'a [u8], flag: u8, mode: u32) -> Entry<'a> {
        Entry { path, flag, size: 0, link: b"", mode, owner: (0, 0), mtime: (0, 0), extra: Vec::new() }
    }

    /// The PAX body: what the block cannot say.
    fn records(&self, path: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        if path.len() > 100 {
            record(&mut body, b"path", path);
        }
        if self.link.len() > 100 {
            record(&mut body, b"linkpath", self.link);
        }
        for (key, value, digits) in [("size", self.size, 11), ("uid", self.owner.0, 7), ("gid", self.owner.1, 7)] {
            if !fits(value, digits) {
                record(&mut body, key.as_bytes(), value.to_string().as_bytes());
            }
        }
        if self.mtime.1 != 0 || !u64::try_from(self.mtime.0).is_ok_and(|seconds| fits(seconds, 11)) {
            record(&mut body, b"mtime", time(self.mtime).as_bytes());
        }
        for (key, value) in &self.extra {
            record(&mut body, key, value);
        }
        body
    }

    fn block(&self, path: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block, 0, &path[..path.len().min(100)]);
        put_octal(&mut block, 100, 7, u64::from(self.mode));
        put_octal(&mut block, 108, 7, self.owner.0);
        put_octal(&mut block, 116, 7, self.owner.1);
        put_octal(&mut block, 124, 11, self.size);
        put_octal(&mut block, 136, 11, u64::try_from(self.mtime.0).unwrap_or(0));
        block[156] = self.flag;
        put(&mut block, 157, &self.link[..self.link.len().min(100)]);
        put(&mut block, 257, b"ustar\x0000");
        seal(&mut block);
        block
    }
}

/// Appends the header that says these records of the member that follows; nothing if there are none.
pub(crate) fn put_records(out: &mut Vec<u8>, records: &[u8]) -> Result<()> {
    let size = records.len() as u64;
    if size > MAX_META {
        return Err(Error::invalid("tar.attributes", "the attributes of a file are too large for an archive"));
    }
    if size > 0 {
        let name = b"PaxHeaders.0/next";
        out.extend_from_slice(&Entry { size, ..Entry::new(name, b'x', 0o644) }.block(name));
        out.extend_from_slice(records);
        out.extend_from_slice(padding(size));
    }
    Ok(())
}

/// Writes the checksum of a header block.
pub(crate) fn seal(block: &mut [u8; BLOCK]) {
    put(block, 148, b"        ");
    let sum = block.iter().map(|&b| u64::from(b)).sum();
    put_octal(block, 148, 6, sum);
    block[154] = 0;
}

pub(crate) fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes octal digits; a number that does not fit is written as 0, PAX says it.
fn put_octal(block: &mut [u8; BLOCK], at: usize, digits: u32, value: u64) {
    let value = if fits(value, digits) { value } else { 0 };
    put(block, at, format!("{value:0width$o}", width = digits as usize).as_bytes());
}

fn fits(value: u64, digits: u32) -> bool {
    value >> (3 * digits) == 0
}

/// Appends `length key=value\n`; the length counts its own digits.
pub(crate) fn record(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    body.extend_from_slice(format!("{length} ").as_bytes());
    body.extend_from_slice(key);
    body.push(b'=');
    body.extend_from_slice(value);
    body.push(b'\n');
}

/// Seconds as a decimal fraction.
fn time((seconds, nanos): (i64, u32)) -> String {
    const SECOND: i128 = 1_000_000_000;
    let total = i128::from(seconds) * SECOND + i128::from(nanos);
    let (sign, size) = (if total < 0 { "-" } else { "" }, total.abs());
    let fraction = format!("{:09}", size % SECOND);
    let text = format!("{sign}{}.{}", size / SECOND, fraction.trim_end_matches('0'));
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_fractions() {
        for (given, text) in [
            ((0, 0), "0"),
            ((1, 500_000_000), "1.5"),
            ((-1, 0), "-1"),
            ((-2, 500_000_000), "-1.5"),
            ((7, 1), "7.000000001"),
            ((10, 0), "10"),
        ] {
            assert_eq!(time(given), text);
        }
    }

    #[test]
    fn record_lengths_count_themselves() {
        for length in 0..200 {
            let mut body = Vec::new();
            record(&mut body, b"path", &vec![b'x'; length]);
            let told: usize = String::from_utf8(body.clone()).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, body.len());
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        assert!(Entry::file(b"", 0).header().is_err());
        assert!(Entry::file(b"a\0b", 0).header().is_err());
        assert!(Entry::file(b"a/", 1).header().is_err() && Entry::file(b"a/", 0).header().is_ok());
        assert!(Entry::file(&vec![b'a'; MAX_META as usize], 0).header().is_err());
    }
}
