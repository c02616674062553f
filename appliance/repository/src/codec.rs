//! Small binary writing and bounded reading for sealed records.
//!
//! Invariant: reading never panics and never allocates more than the input could fill.

use holdfast_model::{Error, Kind, Result};

/// Appends an unsigned number in 7-bit groups, least first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what was written; every method fails with `record.malformed` beyond the end.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.rest.len() {
            return Err(malformed());
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }
    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| malformed())
    }
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or_else(malformed)?;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed())
    }
    pub(crate) fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.varint()?).map_err(|_| malformed())
    }
    /// A count of things of which each takes at least `least` bytes.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| malformed())?;
        if count > self.rest.len() / least.max(1) { Err(malformed()) } else { Ok(count) }
    }
    /// Bytes that were not read yet.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    pub(crate) fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

pub(crate) fn malformed() -> Error {
    Error::new(Kind::Corrupt, "record.malformed", "a stored record is not in the form of this release")
}
