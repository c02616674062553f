//! One 512-byte header block: checksum, numbers, names.
//!
//! Strict: a field that two readers could read in two ways is an error, told as a fixed sentence.

use crate::BLOCK;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// Another name of an earlier member.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A socket: a file without content that a vendor record of ours calls one.
    Socket,
    /// Anything else, by its type byte: devices, fifos, what vendors thought of.
    Other(u8),
}

/// What a header block says.
pub(crate) struct Header<'a> {
    block: &'a [u8; BLOCK],
    /// The type byte.
    pub(crate) flag: u8,
    /// The size field.
    pub(crate) size: u64,
}

/// Reads a block that is not all zeros.
pub(crate) fn parse(block: &[u8; BLOCK]) -> Result<Header<'_>, &'static str> {
    let told = number(&block[148..156])?;
    let (unsigned, signed) = sums(block);
    // Some old writers summed signed bytes.
    if told != unsigned && i64::try_from(told) != Ok(signed) {
        return Err("a header has a wrong checksum");
    }
    Ok(Header { block, flag: block[156], size: number(&block[124..136])? })
}

impl Header<'_> {
    /// The name in the block itself.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        // Star keeps times at the end of the prefix, GNU keeps other things in all of it.
        let prefix: &[u8] = match (&self.block[257..263], &self.block[508..512]) {
            (b"ustar\0", b"tar\0") => text(&self.block[345..476]),
            (b"ustar\0", _) => text(&self.block[345..500]),
            _ => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// The link target in the block itself.
    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    /// What the member is, given its full name: old writers mark directories by a slash only.
    pub(crate) fn kind(&self, path: &[u8]) -> MemberKind {
        match self.flag {
            b'0' | 0 if path.ends_with(b"/") => MemberKind::Directory,
            b'0' | 0 | b'7' => MemberKind::File,
            b'1' => MemberKind::HardLink,
            b'2' => MemberKind::Symlink,
            b'5' => MemberKind::Directory,
            other => MemberKind::Other(other),
        }
    }

    // What does not say where things lie is read patiently: a writer's odd owner is no reason to give up.

    /// Permission bits.
    pub(crate) fn mode(&self) -> u32 {
        number(&self.block[100..108]).map_or(0, |mode| (mode & 0o7777) as u32)
    }

    /// Owner.
    pub(crate) fn uid(&self) -> u64 {
        number(&self.block[108..116]).unwrap_or(0)
    }

    /// Group.
    pub(crate) fn gid(&self) -> u64 {
        number(&self.block[116..124]).unwrap_or(0)
    }

    /// Last change, seconds.
    pub(crate) fn mtime(&self) -> i64 {
        number(&self.block[136..148]).ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0)
    }

    /// Whether content can follow.
    pub(crate) fn may_have_content(&self) -> bool {
        !matches!(self.flag, b'1'..=b'6')
    }
}

/// Both checksums, with the checksum field read as spaces.
fn sums(block: &[u8; BLOCK]) -> (u64, i64) {
    let of =
        |bytes: &[u8]| bytes.iter().fold((0u64, 0i64), |(u, s), &b| (u + u64::from(b), s + i64::from(b.cast_signed())));
    let (before, after) = (of(&block[..148]), of(&block[156..]));
    let spaces = 8 * 32;
    (before.0 + after.0 + spaces, before.1 + after.1 + spaces.cast_signed())
}

/// A numeric field: octal text, or base-256 if the first bit is set. Below 2^63.
fn number(field: &[u8]) -> Result<u64, &'static str> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

fn base256(field: &[u8]) -> Result<u64, &'static str> {
    const WRONG: &str = "a header has a negative or oversized number";
    let (first, rest) = field.split_first().ok_or(WRONG)?;
    // The second bit is the sign.
    if first & 0x40 != 0 {
        return Err(WRONG);
    }
    let mut value = u64::from(first & 0x3f);
    for &byte in rest {
        if value >> 55 != 0 {
            return Err(WRONG);
        }
        value = value << 8 | u64::from(byte);
    }
    Ok(value)
}

fn octal(field: &[u8]) -> Result<u64, &'static str> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let end = field.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    // At most 12 octal digits fit a field: 36 bits, no overflow.
    field[start..end].iter().try_fold(0u64, |value, &byte| match byte {
        b'0'..=b'7' => Ok(value << 3 | u64::from(byte - b'0')),
        _ => Err("a header has a malformed number"),
    })
}

/// The bytes before the first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_spellings() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"777777777777"), Ok((1 << 36) - 1));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Ok(1 << 33));
        assert_eq!(number(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Ok(i64::MAX as u64));
        for wrong in [
            &b"64x\0"[..],
            b"-1\0\0",
            b"6 4\0",
            b"8\0",
            b"\xff\xff\xff\xff",
            b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
            b"\x81\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert!(number(wrong).is_err(), "{wrong:?}");
        }
    }
}
