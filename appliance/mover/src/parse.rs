//! Tar streams read strictly: what two readers could read in two ways is refused, and names are not trusted.
//!
//! Read are ustar, GNU (long names, base-256 numbers) and PAX, as far as engines and we ourselves write them. Not
//! read: GNU sparse files, multi-volume members, global headers that say more than a comment.
//!
//! Invariants: memory is bounded by [`META_MAX`]; a stream that does not end with two zero blocks is
//! [`Broken::Cut`].

use crate::{
    entry::{Entry, Hole, Kind, Time, Xattr},
    pax::{self, BLOCK, KEY_HOLES, KEY_KIND, KEY_XATTR, padding},
};
use std::{
    collections::HashSet,
    fmt,
    io::{self, Read},
};

/// Longest PAX body or long name that is read, bytes.
const META_MAX: u64 = 1 << 20;

/// Bytes that are asked of the source at once.
const PIECE: usize = 1 << 20;

/// Why a stream cannot be read on.
#[derive(Debug)]
pub enum Broken {
    /// It ends too early.
    Cut,
    /// It says something that cannot be.
    Malformed(&'static str),
    /// Its source failed.
    Source(io::Error),
}

/// Members of a tar, one after the other.
pub struct Archive<R> {
    source: R,
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    /// Bytes of content of the current member that were not given out, and the padding after them.
    content: u64,
    padding: u64,
    is_over: bool,
}

/// What was said ahead of a member.
#[derive(Debug, Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

impl<R: Read> Archive<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> Archive<R> {
        Archive { source, buffer: vec![0; PIECE].into(), begin: 0, end: 0, content: 0, padding: 0, is_over: false }
    }

    /// The next member; its content, if any, is read with [`Archive::content`], or passed over by the next call.
    /// The path is as it is written, but for slashes at its end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry>, Broken> {
        while !self.content()?.is_empty() {}
        self.skip(self.padding)?;
        let mut ahead = Ahead::default();
        while !self.is_over {
            let block = self.block()?;
            if block.iter().all(|&byte| byte == 0) {
                self.end_of_archive(&ahead)?;
                return Ok(None);
            }
            check_sum(&block)?;
            match block[156] {
                flag @ (b'L' | b'K' | b'x' | b'g') => self.read_ahead(flag, &block, &mut ahead)?,
                _ => return self.member(&block, ahead).map(Some),
            }
        }
        Ok(None)
    }

    /// The next bytes of the current member's content; none at its end.
    pub fn content(&mut self) -> Result<&[u8], Broken> {
        if self.content == 0 {
            return Ok(&[]);
        }
        if self.begin == self.end {
            self.fill()?;
        }
        let part = usize::try_from(self.content).map_or(self.end - self.begin, |left| left.min(self.end - self.begin));
        self.content -= part as u64;
        let begin = self.begin;
        self.begin += part;
        Ok(&self.buffer[begin..self.begin])
    }

    fn member(&mut self, block: &[u8; BLOCK], ahead: Ahead) -> Result<Entry, Broken> {
        let entry = member(block, ahead)?;
        self.content = entry.size;
        self.padding = padding(entry.size).len() as u64;
        Ok(entry)
    }

    fn read_ahead(&mut self, flag: u8, block: &[u8; BLOCK], ahead: &mut Ahead) -> Result<(), Broken> {
        let size = unsigned(&block[124..136])?;
        if size > META_MAX {
            return Err(Broken::Malformed("a long name or PAX body is longer than anything honest"));
        }
        let mut body = Vec::with_capacity(size as usize);
        self.content = size;
        loop {
            let part = self.content()?;
            if part.is_empty() {
                break;
            }
            body.extend_from_slice(part);
        }
        self.skip(padding(size).len() as u64)?;
        let text = |body: Vec<u8>| text(&body).to_vec();
        let earlier = match flag {
            b'L' => ahead.path.replace(text(body)),
            b'K' => ahead.link.replace(text(body)),
            b'x' => ahead.pax.replace(body),
            _ => return only_a_comment(&body),
        };
        match earlier {
            None => Ok(()),
            Some(_) => Err(Broken::Malformed("two headers of one kind for one member")),
        }
    }

    fn end_of_archive(&mut self, ahead: &Ahead) -> Result<(), Broken> {
        if ahead.path.is_some() || ahead.link.is_some() || ahead.pax.is_some() {
            return Err(Broken::Malformed("headers without a member"));
        }
        if self.block()?.iter().any(|&byte| byte != 0) {
            return Err(Broken::Malformed("a lone zero block is followed by more"));
        }
        self.is_over = true;
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Broken> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            if self.begin == self.end {
                self.fill()?;
            }
            let part = (self.end - self.begin).min(BLOCK - have);
            block[have..have + part].copy_from_slice(&self.buffer[self.begin..self.begin + part]);
            self.begin += part;
            have += part;
        }
        Ok(block)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Broken> {
        self.padding = 0;
        self.content = bytes;
        while !self.content()?.is_empty() {}
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Broken> {
        // Nothing, should that fail: whoever asks again must not get old bytes.
        (self.begin, self.end) = (0, 0);
        self.end = loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Err(Broken::Cut),
                Ok(got) => break got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Source(error)),
            }
        };
        Ok(())
    }
}

fn member(block: &[u8; BLOCK], ahead: Ahead) -> Result<Entry, Broken> {
    let mut path = ahead.path.unwrap_or_else(|| name_in(block));
    let mut entry = Entry::new(b"", Kind::File);
    entry.mode = (unsigned(&block[100..108])? & 0o7777) as u32;
    entry.uid = owner(unsigned(&block[108..116])?)?;
    entry.gid = owner(unsigned(&block[116..124])?)?;
    entry.size = unsigned(&block[124..136])?;
    entry.mtime.seconds = number(&block[136..148])?;
    entry.link = ahead.link.unwrap_or_else(|| text(&block[157..257]).to_vec()).into();
    for_each_record(&ahead.pax.unwrap_or_default(), |key, value| match key {
        b"path" => said(value, &mut path),
        b"linkpath" => {
            entry.link = value.into();
            no_nul(value)
        }
        b"size" => decimal(value).map(|size| entry.size = size),
        b"uid" => decimal(value).and_then(owner).map(|uid| entry.uid = uid),
        b"gid" => decimal(value).and_then(owner).map(|gid| entry.gid = gid),
        b"mtime" => time(value).map(|mtime| entry.mtime = mtime),
        KEY_HOLES => holes(value).map(|holes| entry.holes = holes),
        KEY_KIND if value == b"socket" => {
            entry.kind = Kind::Socket;
            Ok(())
        }
        KEY_KIND => Err(Broken::Malformed("an entry of a kind that this version does not know")),
        _ if key.starts_with(b"GNU.sparse") => Err(Broken::Malformed("a sparse file in the way of GNU")),
        _ => {
            if let Some(name) = key.strip_prefix(KEY_XATTR) {
                entry.xattrs.push((pax::decode_key(name), value.into()));
            }
            Ok(())
        }
    })?;
    keep_last(&mut entry.xattrs);
    entry.kind = kind(block[156], entry.kind, &path)?;
    finish(entry, path, block)
}

/// Of values for one attribute the last counts. A hostile body may name thousands: each is looked at once.
fn keep_last(xattrs: &mut Vec<Xattr>) {
    let mut names = HashSet::new();
    let last: Vec<bool> = xattrs.iter().rev().map(|(name, _)| names.insert(name.clone())).collect();
    let mut last = last.into_iter().rev();
    xattrs.retain(|_| last.next().unwrap_or(true));
}

/// Settles what hangs on the type.
fn finish(mut entry: Entry, mut path: Vec<u8>, block: &[u8; BLOCK]) -> Result<Entry, Broken> {
    while path.last() == Some(&b'/') && path.len() > 1 {
        path.pop();
    }
    entry.path = path.into();
    if entry.kind != Kind::File {
        // Some readers pass over what is said to follow, others read it as members.
        if entry.size > 0 && matches!(block[156], b'0' | 0) {
            return Err(Broken::Malformed("a folder or a socket with content"));
        }
        entry.size = 0;
        entry.holes = Vec::new();
    }
    if !matches!(entry.kind, Kind::HardLink | Kind::Symlink) {
        entry.link = Box::default();
    }
    if matches!(entry.kind, Kind::Char | Kind::Block) {
        let part = |field: &[u8]| unsigned(field).map(|part| u32::try_from(part).ok());
        let (Some(major), Some(minor)) = (part(&block[329..337])?, part(&block[337..345])?) else {
            return Err(Broken::Malformed("the number of a device is beyond all measure"));
        };
        entry.device = (major, minor);
    }
    let end = entry.holes.last().map_or(0, |&(at, length)| at.saturating_add(length));
    if end > entry.size || entry.size > i64::MAX as u64 {
        return Err(Broken::Malformed("a size that cannot be"));
    }
    Ok(entry)
}

fn kind(flag: u8, said: Kind, path: &[u8]) -> Result<Kind, Broken> {
    Ok(match flag {
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 if said == Kind::Socket => Kind::Socket,
        b'0' | 0 | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return Err(Broken::Malformed("an entry of unknown type")),
    })
}

fn name_in(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix: &[u8] = if &block[257..263] == b"ustar\0" { text(&block[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn said(value: &[u8], into: &mut Vec<u8>) -> Result<(), Broken> {
    *into = value.to_vec();
    no_nul(value)
}

fn no_nul(name: &[u8]) -> Result<(), Broken> {
    if name.contains(&0) { Err(Broken::Malformed("a name holds a NUL")) } else { Ok(()) }
}

fn owner(id: u64) -> Result<u32, Broken> {
    // The largest number means nobody and "leave it as it is".
    u32::try_from(id).ok().filter(|&id| id != u32::MAX).ok_or(Broken::Malformed("an owner that cannot be"))
}

fn only_a_comment(body: &[u8]) -> Result<(), Broken> {
    for_each_record(body, |key, _| match key {
        b"comment" => Ok(()),
        _ => Err(Broken::Malformed("a global header")),
    })
}

/// Walks the records `length key=value\n` of a PAX body.
fn for_each_record(mut body: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Broken>) -> Result<(), Broken> {
    const WRONG: Broken = Broken::Malformed("a PAX record is malformed");
    while !body.is_empty() {
        let space = body.iter().take(8).position(|&byte| byte == b' ').ok_or(WRONG)?;
        let length = usize::try_from(decimal(&body[..space])?).map_err(|_| WRONG)?;
        if length > body.len() || length < space + 4 {
            return Err(WRONG);
        }
        let (this, rest) = body.split_at(length);
        let this = this[space + 1..].strip_suffix(b"\n").ok_or(WRONG)?;
        let equals = this.iter().position(|&byte| byte == b'=').ok_or(WRONG)?;
        if equals == 0 || this[..equals].contains(&0) {
            return Err(WRONG);
        }
        each(&this[..equals], &this[equals + 1..])?;
        body = rest;
    }
    Ok(())
}

fn check_sum(block: &[u8; BLOCK]) -> Result<(), Broken> {
    let told = unsigned(&block[148..156])?;
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    if told == sum(&block[..148]) + sum(&block[156..]) + 8 * u64::from(b' ') {
        Ok(())
    } else {
        Err(Broken::Malformed("a header has a wrong checksum"))
    }
}

fn unsigned(field: &[u8]) -> Result<u64, Broken> {
    u64::try_from(number(field)?).map_err(|_| Broken::Malformed("a header has a negative number"))
}

/// A numeric field: octal text, or base-256 with sign if the first bit is set.
fn number(field: &[u8]) -> Result<i64, Broken> {
    const WRONG: Broken = Broken::Malformed("a header has a malformed number");
    if field[0] & 0x80 != 0 {
        let is_negative = field[0] & 0x40 != 0;
        let first = i128::from(field[0] & 0x3f) - if is_negative { 0x40 } else { 0 };
        let value = field[1..].iter().fold(first, |value, &byte| (value << 8) | i128::from(byte));
        return i64::try_from(value).map_err(|_| WRONG);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    field[start..end].iter().try_fold(0, |value, &byte| match byte {
        b'0'..=b'7' => Ok(value << 3 | i64::from(byte - b'0')),
        _ => Err(WRONG),
    })
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

/// Decimal digits only: no sign, no blank.
fn decimal(digits: &[u8]) -> Result<u64, Broken> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_digits);
    text.and_then(|text| text.parse().ok()).ok_or(Broken::Malformed("a PAX number is none"))
}

/// A decimal fraction of seconds, to the nanosecond.
fn time(value: &[u8]) -> Result<Time, Broken> {
    const WRONG: Broken = Broken::Malformed("a PAX time is none");
    let (is_negative, digits) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let whole = i128::from(decimal(parts.next().unwrap_or_default())?);
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let digit = |place: usize| fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
    let nanos = (0..9).fold(0, |nanos, place| nanos * 10 + digit(place));
    let (seconds, nanos) = match (is_negative, nanos) {
        (false, _) => (whole, nanos),
        (true, 0) => (-whole, nanos),
        (true, _) => (-whole - 1, 1_000_000_000 - nanos),
    };
    Ok(Time { seconds: i64::try_from(seconds).map_err(|_| WRONG)?, nanos })
}

/// Holes: in order and apart.
fn holes(value: &[u8]) -> Result<Vec<Hole>, Broken> {
    const WRONG: Broken = Broken::Malformed("holes that cannot be");
    let mut holes = Vec::new();
    let mut last = None;
    for part in value.split(|&byte| byte == b',') {
        let colon = part.iter().position(|&byte| byte == b':').ok_or(WRONG)?;
        let (at, length) = (decimal(&part[..colon])?, decimal(&part[colon + 1..])?);
        let end = at.checked_add(length).ok_or(WRONG)?;
        if length == 0 || last.is_some_and(|last| at <= last) {
            return Err(WRONG);
        }
        last = Some(end);
        holes.push((at, length));
    }
    Ok(holes)
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Cut => f.write_str("the archive ends too early"),
            Broken::Malformed(what) => write!(f, "the archive is not well formed: {what}"),
            Broken::Source(_) => f.write_str("the archive cannot be read on"),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Broken::Source(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_the_nanosecond() {
        for (text, seconds, nanos) in [
            ("0", 0, 0),
            ("1.5", 1, 500_000_000),
            ("-1", -1, 0),
            ("-1.5", -2, 500_000_000),
            ("-0.000000001", -1, 999_999_999),
            ("7.0000000019", 7, 1),
            ("-9223372036854775808", i64::MIN, 0),
            ("-9223372036854775807.5", i64::MIN, 500_000_000),
        ] {
            assert_eq!(time(text.as_bytes()).unwrap(), Time { seconds, nanos }, "{text}");
        }
        for wrong in ["", "-", ".5", "1.x", "1e3", "+1", "--1", "9223372036854775808", "-9223372036854775808.1"] {
            assert!(time(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_in_both_spellings() {
        assert_eq!(number(b"0000644\0").unwrap(), 0o644);
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0").unwrap(), 1 << 33);
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe").unwrap(), -2);
        assert_eq!(number(b"\xc0\0\0\0\0\0\0\0").ok(), Some(i64::MIN / 2));
        for wrong in [&b"64x\0"[..], b"-1\0\0", b"6 4\0", b"\x81\0\0\0\0\0\0\0\0\0\0\0"] {
            assert!(number(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn holes_are_in_order_and_apart() {
        assert_eq!(holes(b"0:5,10:20").unwrap(), [(0, 5), (10, 20)]);
        for wrong in ["", "1", "1:", "1:0", "5:5,10:1", "5:5,3:1", "18446744073709551615:1", "1:1,"] {
            assert!(holes(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
