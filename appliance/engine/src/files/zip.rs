//! A tar on its way out as a zip, for people whose systems open nothing else.
//!
//! Invariants: bounded memory but for the directory at the zip's end, which is bounded by itself; sizes and places of any
//! number of bytes (zip64); a tar that breaks off makes a zip without its end, never one that looks whole. What a zip cannot hold
//! is left out and named in a file of the zip: devices, pipes, sockets. Names that are no text are written as they are shown.

use crate::listing::path;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use holdfast_repository::ByteStream;
use holdfast_tar::{Member, MemberKind, Step, Walker};
use std::fmt::Write;
use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::mpsc};

/// Pieces that wait for the one who reads.
const WAITING: usize = 4;
/// Bytes that are sent at once.
const PIECE: usize = 64 * 1024;
/// Bytes of the directory that are kept until the end: about a million entries.
const DIRECTORY_MAX: usize = 128 << 20;
/// What of files is named one by one; the rest is counted.
const NAMED: usize = 500;
/// From this size on a file's sizes take eight bytes; below it even what cannot be squeezed stays below four.
const LARGE: u64 = 0xff00_0000;
/// The number that says: look into the zip64 field.
const ELSEWHERE: u32 = u32::MAX;
/// Name of the file that tells what is missing.
const NOTE: &str = "NOT IN THIS ZIP.txt";
/// Flags: names are UTF-8; sizes follow the content.
const UTF8: u16 = 1 << 11;
const AFTER: u16 = 1 << 3;

/// Turns a tar into a zip. Work is done on a thread of its own.
pub(super) fn zipped(tar: ByteStream) -> ByteStream {
    zipped_within(tar, DIRECTORY_MAX)
}

fn zipped_within(mut tar: ByteStream, most: usize) -> ByteStream {
    let (out, mut pieces) = mpsc::channel(WAITING);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut zip = Zip::new(most, &out);
        let mut next = || handle.block_on(tar.next());
        if let Err(error) = zip.run(&mut next) {
            // Nobody listens any more: then nobody needs to know.
            let _ = out.blocking_send(Err(error));
        }
    });
    stream::poll_fn(move |context| pieces.poll_recv(context)).boxed()
}

struct Zip<'a> {
    out: &'a mpsc::Sender<Result<Bytes>>,
    ready: Vec<u8>,
    /// Bytes so far.
    at: u64,
    directory: Vec<u8>,
    most: usize,
    entries: u64,
    left: String,
    left_count: usize,
}

/// What the directory says of an entry.
struct Entry {
    name: Vec<u8>,
    /// With the kind, as Unix has it.
    mode: u32,
    method: u16,
    flags: u16,
    time: (u16, u16),
    owner: (u32, u32),
    mtime: i64,
    large: bool,
    at: u64,
    crc: u32,
    packed: u64,
    size: u64,
}

impl<'a> Zip<'a> {
    fn new(most: usize, out: &'a mpsc::Sender<Result<Bytes>>) -> Self {
        let (ready, directory) = (Vec::with_capacity(PIECE * 2), Vec::new());
        Zip { out, ready, at: 0, directory, most, entries: 0, left: String::new(), left_count: 0 }
    }

    fn run(&mut self, next: &mut dyn FnMut() -> Option<Result<Bytes>>) -> Result<()> {
        let mut walker = Walker::new();
        let mut open: Option<(Entry, Compress, Crc)> = None;
        while let Some(piece) = next() {
            // What is left out is read without a byte for anybody.
            if self.out.is_closed() {
                return Err(gone());
            }
            walker.feed(piece?);
            while let Some(step) = walker.step()? {
                match step {
                    Step::Open(member) => open = self.open(&member)?,
                    Step::Data(bytes) => {
                        if let Some((entry, squeeze, crc)) = &mut open {
                            crc.update(&bytes);
                            entry.size += bytes.len() as u64;
                            entry.packed += self.squeeze(squeeze, &bytes, FlushCompress::None)?;
                        }
                    }
                    Step::Close => {
                        if let Some((mut entry, mut squeeze, crc)) = open.take() {
                            entry.packed += self.squeeze(&mut squeeze, &[], FlushCompress::Finish)?;
                            entry.crc = crc.sum();
                            self.close(&entry)?;
                        }
                    }
                }
            }
        }
        walker.finish()?;
        self.note()?;
        self.end()
    }

    /// Begins an entry; the answer is what takes its content, if it has some.
    fn open(&mut self, member: &Member) -> Result<Option<(Entry, Compress, Crc)>> {
        let raw = member.path.strip_suffix(b"/").unwrap_or(&member.path);
        let mut name = path::show(raw);
        if std::str::from_utf8(raw) != Ok(name.as_str()) {
            self.leave(&format!("{name}: written like this, since its name is no plain text"));
        }
        let kind = match member.kind {
            MemberKind::File => 0o100_000,
            MemberKind::Directory => 0o040_000,
            MemberKind::Symlink => 0o120_000,
            MemberKind::HardLink => return self.missing(&name, "another name of a file"),
            MemberKind::Socket => return self.missing(&name, "a socket"),
            MemberKind::Other(_) => return self.missing(&name, "a device or a pipe"),
        };
        if !path::is_plain(raw) || name.len() >= usize::from(u16::MAX) {
            return self.missing(&name, "its name is none that can be unpacked");
        }
        if kind == 0o040_000 {
            name.push('/');
        }
        let has_content = kind == 0o100_000 && member.size > 0;
        let id = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let mut entry = Entry {
            name: name.into_bytes(),
            mode: kind | (member.mode & 0o7777),
            method: if has_content { 8 } else { 0 },
            flags: if has_content { UTF8 | AFTER } else { UTF8 },
            time: dos(member.mtime),
            owner: (id(member.uid), id(member.gid)),
            mtime: member.mtime,
            large: member.size >= LARGE,
            at: self.at,
            crc: 0,
            packed: 0,
            size: 0,
        };
        if has_content {
            self.header(&entry)?;
            return Ok(Some((entry, Compress::new(Compression::fast(), false), Crc::new())));
        }
        let content: &[u8] = if kind == 0o120_000 { &member.link } else { b"" };
        self.whole(&mut entry, content)?;
        Ok(None)
    }

    /// A small entry whose content is known.
    fn whole(&mut self, entry: &mut Entry, content: &[u8]) -> Result<()> {
        let mut crc = Crc::new();
        crc.update(content);
        (entry.crc, entry.size, entry.packed) = (crc.sum(), content.len() as u64, content.len() as u64);
        self.header(entry)?;
        self.give(content)?;
        self.list(entry)
    }

    fn close(&mut self, entry: &Entry) -> Result<()> {
        let mut after = Vec::with_capacity(24);
        after.extend(0x0807_4b50u32.to_le_bytes());
        after.extend(entry.crc.to_le_bytes());
        for size in [entry.packed, entry.size] {
            if entry.large { after.extend(size.to_le_bytes()) } else { after.extend((size as u32).to_le_bytes()) }
        }
        self.give(&after)?;
        self.list(entry)
    }

    /// The fields that stand before content and in the directory.
    fn common(entry: &Entry, sizes: (u32, u32), extra: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend(if entry.large { 45u16 } else { 20 }.to_le_bytes());
        for field in [entry.flags, entry.method, entry.time.1, entry.time.0] {
            out.extend(field.to_le_bytes());
        }
        for field in [entry.crc, sizes.0, sizes.1] {
            out.extend(field.to_le_bytes());
        }
        out.extend((entry.name.len() as u16).to_le_bytes());
        out.extend((extra as u16).to_le_bytes());
        out
    }

    fn header(&mut self, entry: &Entry) -> Result<()> {
        let mut extra = entry.unix();
        let sizes = if entry.large {
            extra.extend(field(1, &[0; 16]));
            (ELSEWHERE, ELSEWHERE)
        } else {
            (entry.packed as u32, entry.size as u32)
        };
        let fields = Self::common(entry, sizes, extra.len());
        self.give(&[&0x0403_4b50u32.to_le_bytes()[..], &fields, &entry.name, &extra].concat())
    }

    /// Remembers an entry for the directory.
    fn list(&mut self, entry: &Entry) -> Result<()> {
        let mut far = Vec::new();
        let mut put = |is_far: bool, number: u64| {
            if !is_far {
                return number as u32;
            }
            far.extend(number.to_le_bytes());
            ELSEWHERE
        };
        let size = put(entry.large, entry.size);
        let packed = put(entry.large, entry.packed);
        let at = put(entry.at >= u64::from(ELSEWHERE), entry.at);
        let mut extra = entry.unix();
        if !far.is_empty() {
            extra.extend(field(1, &far));
        }
        let kind = if entry.mode & 0o170_000 == 0o040_000 { 0x10 } else { 0 };
        let line = [
            &0x0201_4b50u32.to_le_bytes()[..],
            // Made on Unix.
            &(3u16 << 8 | 45).to_le_bytes(),
            &Self::common(entry, (packed, size), extra.len()),
            // No remark, the first disk, no attributes of its own.
            &[0; 6],
            &(entry.mode << 16 | kind).to_le_bytes(),
            &at.to_le_bytes(),
            &entry.name,
            &extra,
        ];
        if self.directory.len() + line.iter().map(|part| part.len()).sum::<usize>() > self.most {
            let text = format!("a folder of more than {} entries does not fit into a zip of ours", self.entries);
            return Err(Error::invalid("files.zip_large", text).advice("Take it as a tar, or a smaller folder."));
        }
        line.iter().for_each(|part| self.directory.extend_from_slice(part));
        self.entries += 1;
        Ok(())
    }

    fn missing(&mut self, name: &str, what: &str) -> Result<Option<(Entry, Compress, Crc)>> {
        self.leave(&format!("{name}: left out, {what}"));
        Ok(None)
    }

    fn leave(&mut self, line: &str) {
        self.left_count += 1;
        if self.left_count <= NAMED {
            // Writing into a text does not fail.
            let _ = writeln!(self.left, "{line}");
        }
    }

    /// Tells in a file what the zip does not hold.
    fn note(&mut self) -> Result<()> {
        if self.left_count == 0 {
            return Ok(());
        }
        let more = self.left_count.saturating_sub(NAMED);
        let more = if more > 0 { format!("and {more} more\n") } else { String::new() };
        let text = format!(
            "A zip cannot hold all that was backed up. Extended attributes, access lists and parts of seconds are never in it, and\n\
             each further name of a file is a file of its own. Also:\n\n{}{more}\nA tar of the same folder holds all of it.\n",
            self.left
        );
        let mut entry = Entry {
            name: NOTE.into(),
            mode: 0o100_644,
            method: 0,
            flags: UTF8,
            time: dos(0),
            owner: (0, 0),
            mtime: 0,
            large: false,
            at: self.at,
            crc: 0,
            packed: 0,
            size: 0,
        };
        self.whole(&mut entry, text.as_bytes())
    }

    fn end(&mut self) -> Result<()> {
        let (begins, length) = (self.at, self.directory.len() as u64);
        let directory = std::mem::take(&mut self.directory);
        for piece in directory.chunks(PIECE) {
            self.give(piece)?;
        }
        let far = begins >= u64::from(ELSEWHERE) || self.entries >= u64::from(u16::MAX);
        if far {
            let mut record = Vec::with_capacity(76);
            let at = self.at;
            record.extend(0x0606_4b50u32.to_le_bytes());
            record.extend(44u64.to_le_bytes());
            record.extend((3u16 << 8 | 45).to_le_bytes());
            record.extend(45u16.to_le_bytes());
            record.extend([0; 8]);
            for number in [self.entries, self.entries, length, begins] {
                record.extend(number.to_le_bytes());
            }
            record.extend(0x0706_4b50u32.to_le_bytes());
            record.extend([0; 4]);
            record.extend(at.to_le_bytes());
            record.extend(1u32.to_le_bytes());
            self.give(&record)?;
        }
        let mut record = Vec::with_capacity(22);
        record.extend(0x0605_4b50u32.to_le_bytes());
        record.extend([0; 4]);
        let count = if far { u16::MAX } else { self.entries as u16 };
        record.extend(count.to_le_bytes());
        record.extend(count.to_le_bytes());
        for number in [length, begins] {
            record.extend(if far { ELSEWHERE } else { number as u32 }.to_le_bytes());
        }
        record.extend([0; 2]);
        self.give(&record)?;
        self.flush()
    }

    /// Squeezes bytes into the zip; how many came out.
    fn squeeze(&mut self, squeeze: &mut Compress, mut bytes: &[u8], flush: FlushCompress) -> Result<u64> {
        let before = squeeze.total_out();
        let mut out = [0u8; 16 * 1024];
        loop {
            let (taken, given) = (squeeze.total_in(), squeeze.total_out());
            let status = squeeze.compress(bytes, &mut out, flush);
            let status = status.map_err(|error| Error::bug("a zip could not be squeezed").caused_by(error))?;
            bytes = &bytes[(squeeze.total_in() - taken) as usize..];
            let made = (squeeze.total_out() - given) as usize;
            self.give(&out[..made])?;
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => bytes.is_empty() && made < out.len(),
            };
            if is_done {
                return Ok(squeeze.total_out() - before);
            }
        }
    }

    fn give(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.ready.extend_from_slice(bytes);
        if self.ready.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let ready = std::mem::replace(&mut self.ready, Vec::with_capacity(PIECE * 2));
        self.out.blocking_send(Ok(ready.into())).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::new(Kind::Stopped, "files.gone", "nobody reads the archive any more")
}

impl Entry {
    /// Time and owner as Unix has them.
    fn unix(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Ok(mtime) = i32::try_from(self.mtime) {
            let mut time = vec![1];
            time.extend(mtime.to_le_bytes());
            out.extend(field(0x5455, &time));
        }
        let mut owner = vec![1, 4];
        owner.extend(self.owner.0.to_le_bytes());
        owner.push(4);
        owner.extend(self.owner.1.to_le_bytes());
        out.extend(field(0x7875, &owner));
        out
    }
}

fn field(id: u16, content: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &(content.len() as u16).to_le_bytes(), content].concat()
}

/// Day and time as DOS wrote them, in UTC, between 1980 and 2107.
fn dos(mtime: i64) -> (u16, u16) {
    let Ok(when) = OffsetDateTime::from_unix_timestamp(mtime) else { return (0x21, 0) };
    let year = when.year();
    if !(1980..=2107).contains(&year) {
        return (0x21, 0);
    }
    let day = ((year - 1980) as u16) << 9 | u16::from(u8::from(when.month())) << 5 | u16::from(when.day());
    let time = u16::from(when.hour()) << 11 | u16::from(when.minute()) << 5 | u16::from(when.second() / 2);
    (day, time)
}

#[cfg(test)]
mod tests;
