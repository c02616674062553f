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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_nothing_may_be_left_over() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put_varint(&mut bytes, *number));
        let mut reader = Reader::new(&bytes);
        for number in numbers {
            assert_eq!(reader.varint().unwrap(), number);
        }
        assert!(reader.end().is_ok() && reader.is_empty());
        let reader = Reader::new(b"ab");
        assert_eq!(reader.left(), 2);
        assert_eq!(reader.end().unwrap_err().code(), "record.malformed");
        assert!(Reader::new(&[0xff; 10]).varint().is_err(), "more than fits into a number");
    }

    #[test]
    fn counts_promise_no_more_than_there_is_room_for() {
        // Ten bytes follow: five things of two bytes, or three of three.
        for (count, least, fits) in
            [(5, 2, true), (6, 2, false), (3, 3, true), (4, 3, false), (10, 0, true), (11, 0, false)]
        {
            let mut bytes = vec![count];
            bytes.extend([0; 10]);
            assert_eq!(Reader::new(&bytes).count(least).is_ok(), fits, "{count} of {least}");
        }
    }
}
