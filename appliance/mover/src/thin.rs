//! Bytes on a line, with long runs of zeros as numbers: a hole of terabytes is a tar of terabytes, and no line should carry it.
//!
//! Records follow one another until the line ends: a number of four bytes, the lowest first. Without its highest bit so
//! many bytes follow; with it the other bits say how many zeros stand there. Any bytes can be said in more than one way.
//!
//! Invariants: what comes out is what went in; a line that ends within a record is an error.

pub use crate::holes::is_zero;
use std::io::{self, Read, Write};

/// The bit that says: zeros, and nothing follows.
pub const RUN: u32 = 1 << 31;
/// Bytes or zeros in one record at most.
pub const RECORD_MAX: u32 = RUN - 1;
/// Shorter runs of zeros go as bytes.
pub const RUN_MIN: usize = 4096;
/// Bytes that are gathered for one record.
const PIECE: usize = 64 << 10;

/// Says what is written to it. [`Write::flush`] it at the end: what was not said is lost.
pub struct Thinner<W: Write> {
    line: W,
    bytes: Vec<u8>,
    zeros: u64,
}

impl<W: Write> Thinner<W> {
    /// Says it on this line.
    pub fn new(line: W) -> Thinner<W> {
        Thinner { line, bytes: Vec::with_capacity(PIECE + 4), zeros: 0 }
    }

    fn say_bytes(&mut self) -> io::Result<()> {
        say(&mut self.line, &self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    fn say_zeros(&mut self) -> io::Result<()> {
        while self.zeros > 0 {
            let count = self.zeros.min(u64::from(RECORD_MAX)) as u32;
            self.line.write_all(&(RUN | count).to_le_bytes())?;
            self.zeros -= u64::from(count);
        }
        Ok(())
    }
}

impl<W: Write> Write for Thinner<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= RUN_MIN && is_zero(bytes) {
            self.say_bytes()?;
            self.zeros += bytes.len() as u64;
            return Ok(bytes.len());
        }
        self.say_zeros()?;
        if bytes.len() >= PIECE {
            self.say_bytes()?;
            say(&mut self.line, bytes)?;
            return Ok(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE {
            self.say_bytes()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Of the two at most one waits.
        self.say_bytes()?;
        self.say_zeros()?;
        self.line.flush()
    }
}

fn say(line: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(RECORD_MAX as usize) {
        line.write_all(&(part.len() as u32).to_le_bytes())?;
        line.write_all(part)?;
    }
    Ok(())
}

/// Reads what was said.
pub struct Thickener<R: Read> {
    line: R,
    bytes: u32,
    zeros: u32,
}

impl<R: Read> Thickener<R> {
    /// Reads it from this line.
    pub fn new(line: R) -> Thickener<R> {
        Thickener { line, bytes: 0, zeros: 0 }
    }

    /// Reads the head of the next record; false at the end of the line.
    fn next(&mut self) -> io::Result<bool> {
        let mut head = [0; 4];
        if self.line.read(&mut head[..1])? == 0 {
            return Ok(false);
        }
        self.line.read_exact(&mut head[1..])?;
        let head = u32::from_le_bytes(head);
        match head & RUN {
            0 => self.bytes = head,
            _ => self.zeros = head & RECORD_MAX,
        }
        Ok(true)
    }
}

impl<R: Read> Read for Thickener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.bytes == 0 && self.zeros == 0 {
            if out.is_empty() || !self.next()? {
                return Ok(0);
            }
        }
        let room = u32::try_from(out.len()).unwrap_or(u32::MAX);
        if self.zeros > 0 {
            let count = self.zeros.min(room);
            out[..count as usize].fill(0);
            self.zeros -= count;
            return Ok(count as usize);
        }
        let count = self.line.read(&mut out[..self.bytes.min(room) as usize])?;
        if count == 0 && !out.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.bytes -= count as u32;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut line = Vec::new();
        let mut thinner = Thinner::new(&mut line);
        parts.iter().for_each(|part| thinner.write_all(part).unwrap());
        thinner.flush().unwrap();
        line
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(
            parts in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..6000),
                    (0..200_000usize).prop_map(|count| vec![0; count]),
                ],
                0..9,
            ),
            step in 1..5000usize,
        ) {
            let line = said(&parts);
            let mut read = Vec::new();
            let mut thickener = Thickener::new(line.as_slice());
            let mut piece = vec![7; step];
            loop {
                match thickener.read(&mut piece).unwrap() {
                    0 => break,
                    count => read.extend_from_slice(&piece[..count]),
                }
            }
            prop_assert_eq!(read, parts.concat());
        }

        #[test]
        fn noise_ends_or_is_an_error(noise in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = io::copy(&mut Thickener::new(noise.as_slice()).take(1 << 20), &mut io::sink());
        }
    }

    #[test]
    fn terabytes_of_zeros_are_few_bytes() {
        let mut line = Vec::new();
        let mut thinner = Thinner::new(&mut line);
        thinner.write_all(b"before").unwrap();
        thinner.write_all(&[0; RUN_MIN]).unwrap();
        thinner.zeros += 1 << 42;
        thinner.write_all(b"after").unwrap();
        thinner.flush().unwrap();
        assert!(line.len() < 10_000, "{}", line.len());
        let mut thickener = Thickener::new(line.as_slice());
        let mut first = [0; 6];
        thickener.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"before");
    }

    #[test]
    fn a_line_that_breaks_off_is_an_error() {
        let line = said(&[b"some bytes".to_vec()]);
        for end in 1..line.len() {
            let error = io::copy(&mut Thickener::new(&line[..end]), &mut io::sink()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
    }
}
