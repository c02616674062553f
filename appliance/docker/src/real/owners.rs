//! Owners in archives of engines that give users of containers other numbers on the host (`userns-remap`): read as the host's, told as the
//! container's.
//!
//! Only owners and check sums of headers change, in place and in the same length; contents pass as they are. An archive that is
//! not understood breaks off with `stream.malformed`: a wrong owner would be silent.

use crate::ByteStream;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use serde_json::Value;

const BLOCK: usize = 512;
/// Longest extended header that is read.
const EXTENDED_LIMIT: u64 = 4 << 20;
/// Ids of one remapped range at most: larger ones are not handed out by any distribution.
const RANGE: u64 = 1 << 16;

/// Where the users and groups of containers begin on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remap {
    user: u64,
    group: u64,
}

/// Whether the engine names a security option.
pub(super) fn has_option(info: &Value, name: &str) -> bool {
    let options = info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    options.flat_map(|option| option.split(',')).any(|part| part.strip_prefix("name=") == Some(name))
}

impl Remap {
    /// An engine that remaps keeps its data in a folder that is called by the first user and group.
    pub(super) fn of(info: &Value) -> Option<Remap> {
        if !has_option(info, "userns") {
            return None;
        }
        let (user, group) = info["DockerRootDir"].as_str()?.rsplit('/').next()?.split_once('.')?;
        Some(Remap { user: user.parse().ok()?, group: group.parse().ok()? })
    }

    /// Whoever has no number in a container keeps the host's.
    fn inside(id: u64, first: u64) -> u64 {
        if (first..first + RANGE).contains(&id) { id - first } else { id }
    }
}

/// An archive of the host's users as one of the container's.
pub(super) fn as_in_the_container(told: ByteStream, remap: Remap) -> ByteStream {
    let state = (told, Shift { remap, buffer: BytesMut::new(), pass: 0, extended: 0, size: None });
    stream::try_unfold(state, |(mut told, mut shift)| async move {
        loop {
            let out = shift.take()?;
            if !out.is_empty() {
                return Ok(Some((out, (told, shift))));
            }
            match told.next().await {
                Some(bytes) => shift.buffer.extend_from_slice(&bytes?),
                // What is left of an archive that broke off; whoever reads it sees that the end is missing.
                None if shift.buffer.is_empty() => return Ok(None),
                None => return Ok(Some((shift.buffer.split().freeze(), (told, shift)))),
            }
        }
    })
    .boxed()
}

struct Shift {
    remap: Remap,
    buffer: BytesMut,
    /// Bytes of content to pass on.
    pass: u64,
    /// Bytes of an extended header that comes.
    extended: u64,
    /// Size that an extended header told of the next member.
    size: Option<u64>,
}

impl Shift {
    /// What can be passed on now; nothing if more has to come first.
    fn take(&mut self) -> Result<Bytes> {
        let mut out = BytesMut::new();
        loop {
            if self.pass > 0 {
                let now = usize::try_from(self.pass).unwrap_or(usize::MAX).min(self.buffer.len());
                self.pass -= now as u64;
                out.unsplit(self.buffer.split_to(now));
                if self.pass > 0 {
                    return Ok(out.freeze());
                }
            }
            if self.extended > 0 {
                let whole = usize::try_from(padded(self.extended)).unwrap_or(usize::MAX);
                if self.buffer.len() < whole {
                    return Ok(out.freeze());
                }
                let mut records = self.buffer.split_to(whole);
                let length = usize::try_from(self.extended).unwrap_or(usize::MAX);
                self.size = self.records(&mut records[..length])?.or(self.size);
                self.extended = 0;
                out.unsplit(records);
            }
            if self.buffer.len() < BLOCK {
                return Ok(out.freeze());
            }
            let mut header = self.buffer.split_to(BLOCK);
            self.header(&mut header)?;
            out.unsplit(header);
        }
    }

    fn header(&mut self, header: &mut [u8]) -> Result<()> {
        if header.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        let size = number(&header[124..136])?;
        match header[156] {
            b'x' if size > EXTENDED_LIMIT => return Err(malformed("an extended header is too long")),
            b'x' => self.extended = size,
            kind => {
                let size = self.size.take().unwrap_or(size);
                // Links, devices and folders have no content, whatever their header says.
                self.pass = if (b'1'..=b'6').contains(&kind) { 0 } else { padded(size) };
            }
        }
        for (field, first) in [(108..116, self.remap.user), (116..124, self.remap.group)] {
            let id = number(&header[field.clone()])?;
            let inside = Remap::inside(id, first);
            if inside != id {
                header[field].copy_from_slice(format!("{inside:07o}\0").as_bytes());
            }
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        Ok(())
    }

    /// Changes owners among the records; tells the size, if it is among them.
    fn records(&self, mut records: &mut [u8]) -> Result<Option<u64>> {
        let mut size = None;
        while !records.is_empty() {
            let space = records.iter().position(|&byte| byte == b' ');
            let length = space.and_then(|space| std::str::from_utf8(&records[..space]).ok()?.parse::<usize>().ok());
            let (Some(space), Some(length)) = (space, length) else { return Err(malformed("an extended header")) };
            if length <= space + 1 || length > records.len() {
                return Err(malformed("an extended header"));
            }
            let (record, rest) = records.split_at_mut(length);
            let record = &mut record[space + 1..length - 1];
            let value = |record: &[u8], key: &str| {
                let text = record.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
                std::str::from_utf8(text).ok()?.parse::<u64>().ok()
            };
            size = value(record, "size").or(size);
            for (key, first) in [("uid", self.remap.user), ("gid", self.remap.group)] {
                if let Some(id) = value(record, key) {
                    let width = record.len() - key.len() - 1;
                    // Never longer than it was: only zeros in front are added.
                    let inside = format!("{:0width$}", Remap::inside(id, first));
                    record[key.len() + 1..].copy_from_slice(inside.as_bytes());
                }
            }
            records = rest;
        }
        Ok(size)
    }
}

fn padded(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64)
}

/// A number of a header: octal, or in base 256.
fn number(field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 != 0 {
        let high = u64::from(field[0] & 0x7f);
        let value = field[1..].iter().try_fold(high, |all, &byte| all.checked_mul(256)?.checked_add(u64::from(byte)));
        return value.filter(|value| *value < 1 << 60).ok_or_else(|| malformed("a number"));
    }
    let text = std::str::from_utf8(field).map_err(|_| malformed("a number"))?;
    let text = text.trim_matches(['\0', ' ']);
    if text.is_empty() { Ok(0) } else { u64::from_str_radix(text, 8).map_err(|_| malformed("a number")) }
}

fn malformed(what: &str) -> Error {
    Error::new(Kind::Corrupt, "stream.malformed", format!("the engine's archive is not understood: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::{Entry, tar},
        fake::tree_of,
    };
    use serde_json::json;

    fn info(options: &[&str], root: &str) -> Value {
        json!({ "SecurityOptions": options, "DockerRootDir": root })
    }

    #[test]
    fn remapping_is_known_by_the_option_and_the_folder() {
        let remap = Remap::of(&info(&["name=seccomp,profile=builtin", "name=userns"], "/var/lib/docker/300000.300001"));
        assert_eq!(remap, Some(Remap { user: 300_000, group: 300_001 }));
        assert_eq!(Remap::of(&info(&["name=seccomp"], "/var/lib/docker/300000.300000")), None);
    }

    #[tokio::test]
    async fn owners_are_told_as_in_the_container_however_the_bytes_are_cut() {
        let entries = [
            Entry::directory("v").owner(300_999, 300_998),
            Entry::file(format!("v/{}", "n".repeat(180)), vec![b'x'; 5000]).owner(300_070, 0),
            Entry::file("v/host", "y").owner(70, 365_536),
            Entry::file("v/far", "z").owner(3_300_000, 300_000),
        ];
        let (bytes, remap) = (tar(&entries), Remap { user: 300_000, group: 300_000 });
        for size in [1, 511, 512, 513, 100_000] {
            let pieces: Vec<_> = bytes.chunks(size).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            let mut told = as_in_the_container(stream::iter(pieces).boxed(), remap);
            let mut all = Vec::new();
            while let Some(part) = told.next().await {
                all.extend_from_slice(&part.unwrap());
            }
            assert_eq!(all.len(), bytes.len());
            let owners: Vec<_> = tree_of(&all).unwrap().iter().map(|entry| (entry.uid, entry.gid)).collect();
            assert_eq!(owners, [(999, 998), (70, 0), (70, 365_536), (3_300_000, 0)], "{size}");
        }
    }

    #[test]
    fn owners_in_extended_headers_keep_their_length() {
        let shift = |user| Shift {
            remap: Remap { user, group: user },
            buffer: BytesMut::new(),
            pass: 0,
            extended: 0,
            size: None,
        };
        let mut records = *b"15 uid=4000070\n19 size=9999999999\n";
        assert_eq!(shift(4_000_000).records(&mut records).unwrap(), Some(9_999_999_999));
        assert_eq!(&records, b"15 uid=0000070\n19 size=9999999999\n");
        for broken in [&b"15 uid=1"[..], b"x", b"0 a=b\n", b"2 \n"] {
            assert!(shift(1).records(&mut broken.to_vec()).is_err(), "{broken:?}");
        }
    }
}
