//! Entries in few bytes: what is kept of a walk until it is asked for again, and what goes over a wire.
//!
//! Names share their beginnings with the one before, numbers take as many bytes as they need: some 60 bytes for an
//! entry, so that a million of them stays under 100 MB.
//!
//! Invariant: unpacking what was packed gives the same entries; unpacking anything else gives `None`, never a
//! panic, and takes no more memory than some times the bytes given.

use crate::entry::{Entry, Hole, Kind, Time, Xattr};

const KINDS: [Kind; 8] =
    [Kind::File, Kind::HardLink, Kind::Symlink, Kind::Directory, Kind::Fifo, Kind::Socket, Kind::Char, Kind::Block];

/// Bits of the first byte above the kind.
const MAY_HAVE_HOLES: u8 = 0x10;
const UNSETTLED: u8 = 0x20;
const EXTRAS: u8 = 0x40;

/// Packs neighbouring entries.
pub fn pack(entries: &[Entry]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(entries.len() * 64);
    let mut before: &[u8] = b"";
    for entry in entries {
        put_entry(&mut out, entry, before);
        before = &entry.path;
    }
    out.into()
}

/// Unpacks what [`pack`] gave.
pub fn unpack(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    while !bytes.is_empty() {
        let before = entries.last().map_or(&b""[..], |entry| &entry.path);
        let entry = get_entry(&mut bytes, before)?;
        entries.push(entry);
    }
    Some(entries)
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry, before: &[u8]) {
    let kind = KINDS.iter().position(|kind| *kind == entry.kind).unwrap_or(0) as u8;
    let has_extras = entry.links != 1
        || entry.device != (0, 0)
        || !(entry.link.is_empty() && entry.holes.is_empty() && entry.xattrs.is_empty());
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    out.push(
        kind | flag(entry.may_have_holes, MAY_HAVE_HOLES)
            | flag(entry.unsettled.is_some(), UNSETTLED)
            | flag(has_extras, EXTRAS),
    );
    let shared = entry.path.iter().zip(before).take_while(|(a, b)| a == b).count();
    put(out, shared as u64);
    put_bytes(out, &entry.path[shared..]);
    for number in [entry.mode, entry.uid, entry.gid] {
        put(out, u64::from(number));
    }
    put(out, entry.size);
    put(out, entry.inode);
    put_time(out, entry.mtime);
    put_time(out, entry.ctime);
    if let Some(since) = entry.unsettled {
        put_time(out, since);
    }
    if has_extras {
        put_extras(out, entry);
    }
}

fn put_extras(out: &mut Vec<u8>, entry: &Entry) {
    for number in [entry.links, entry.device.0, entry.device.1] {
        put(out, u64::from(number));
    }
    put_bytes(out, &entry.link);
    put(out, entry.holes.len() as u64);
    for &(at, length) in &entry.holes {
        put(out, at);
        put(out, length);
    }
    put(out, entry.xattrs.len() as u64);
    for (name, value) in &entry.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
}

fn get_entry(bytes: &mut &[u8], before: &[u8]) -> Option<Entry> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    let kind = *KINDS.get(usize::from(first & 0x0f))?;
    let shared = before.get(..usize::try_from(get(bytes)?).ok()?)?;
    let path = [shared, get_bytes(bytes)?].concat();
    let mut entry = Entry::new(&path, kind);
    entry.may_have_holes = first & MAY_HAVE_HOLES != 0;
    (entry.mode, entry.uid, entry.gid) = (get_u32(bytes)?, get_u32(bytes)?, get_u32(bytes)?);
    (entry.size, entry.inode) = (get(bytes)?, get(bytes)?);
    (entry.mtime, entry.ctime) = (get_time(bytes)?, get_time(bytes)?);
    if first & UNSETTLED != 0 {
        entry.unsettled = Some(get_time(bytes)?);
    }
    if first & EXTRAS != 0 {
        entry.links = get_u32(bytes)?;
        entry.device = (get_u32(bytes)?, get_u32(bytes)?);
        entry.link = get_bytes(bytes)?.into();
        for _ in 0..get(bytes)? {
            let hole: Hole = (get(bytes)?, get(bytes)?);
            entry.holes.push(hole);
        }
        for _ in 0..get(bytes)? {
            let xattr: Xattr = (get_bytes(bytes)?.into(), get_bytes(bytes)?.into());
            entry.xattrs.push(xattr);
        }
    }
    Some(entry)
}

/// Seven bits a byte, the low ones first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn get(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part.leading_zeros() < 7 * place {
            return None;
        }
        number |= part << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn get_u32(bytes: &mut &[u8]) -> Option<u32> {
    get(bytes)?.try_into().ok()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn get_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(get(bytes)?).ok()?;
    let (this, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(this)
}

/// Seconds with the sign in the lowest bit, then nanoseconds.
fn put_time(out: &mut Vec<u8>, time: Time) {
    put(out, ((time.seconds << 1) ^ (time.seconds >> 63)).cast_unsigned());
    put(out, u64::from(time.nanos));
}

fn get_time(bytes: &mut &[u8]) -> Option<Time> {
    let folded = get(bytes)?;
    let seconds = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
    let nanos = get_u32(bytes).filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Time { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = Time> {
        (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Time { seconds, nanos })
    }

    fn bytes(most: usize) -> impl Strategy<Value = Box<[u8]>> {
        proptest::collection::vec(any::<u8>(), 0..most).prop_map(Vec::into)
    }

    prop_compose! {
        fn entry()(
            path in "[a-c/]{0,9}",
            kind in 0..KINDS.len(),
            numbers in any::<(u32, u32, u32, u64, u64, bool)>(),
            times in (time(), time(), proptest::option::of(time())),
            extras in proptest::option::of((any::<(u32, u32, u32)>(), bytes(9))),
            holes in proptest::collection::vec(any::<(u64, u64)>(), 0..3),
            xattrs in proptest::collection::vec((bytes(9), bytes(300)), 0..3),
        ) -> Entry {
            let (mode, uid, gid, size, inode, may_have_holes) = numbers;
            let (mtime, ctime, unsettled) = times;
            let base = Entry::new(path.as_bytes(), KINDS[kind]);
            let entry = Entry { mode, uid, gid, size, inode, may_have_holes, mtime, ctime, unsettled, ..base };
            match extras {
                None => entry,
                Some(((links, major, minor), link)) => {
                    Entry { links, device: (major, minor), link, holes, xattrs, ..entry }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(entries in proptest::collection::vec(entry(), 0..20)) {
            prop_assert_eq!(unpack(&pack(&entries)), Some(entries));
        }

        #[test]
        fn anything_else_is_refused_or_is_entries(noise in bytes(400)) {
            if let Some(entries) = unpack(&noise) {
                prop_assert!(entries.len() <= noise.len());
            }
        }
    }

    #[test]
    fn a_plain_file_takes_few_bytes() {
        let mut entry = Entry::new(b"some/folder/with/file-00001.txt", Kind::File);
        entry.mtime = Time { seconds: 1_700_000_000, nanos: 999_999_999 };
        entry.ctime = entry.mtime;
        (entry.size, entry.inode, entry.uid, entry.gid) = (123_456, 12_345_678, 1000, 1000);
        let mut next = entry.clone();
        next.path = b"some/folder/with/file-00002.txt"[..].into();
        assert!(pack(&[entry.clone(), next]).len() - pack(&[entry]).len() < 48);
    }
}
