//! Stretches of files without data: found when reading, kept when writing.

use crate::entry::Hole;
use rustix::{
    fd::AsFd,
    fs::{SeekFrom, seek},
    io::Errno,
};

/// Holes that are looked for in one file; what lies beyond is read like data.
const FOUND_MAX: usize = 64 << 10;

/// The holes in the first `size` bytes of an open file, in order. None if the file system cannot tell.
pub(crate) fn find(file: impl AsFd, size: u64) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size && holes.len() < FOUND_MAX {
        let Ok(hole) = seek(&file, SeekFrom::Hole(at)) else { break };
        if hole >= size {
            break;
        }
        let data = match seek(&file, SeekFrom::Data(hole)) {
            Ok(data) => data.min(size),
            Err(Errno::NXIO) => size,
            Err(_) => break,
        };
        if data > hole {
            holes.push((hole, data - hole));
        }
        at = data.max(at + 1);
    }
    holes
}

/// Cuts a stretch of a file at its holes: each part's offset, length and whether it is a hole. `holes` are in
/// order and apart.
pub(crate) fn cut(holes: &[Hole], begin: u64, end: u64) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
    let mut at = begin;
    let mut next = holes.partition_point(|&(start, length)| start + length <= begin);
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (stop, is_hole) = match holes.get(next) {
            Some(&(start, length)) if start <= at => {
                next += 1;
                (start + length, true)
            }
            Some(&(start, _)) => (start, false),
            None => (end, false),
        };
        let part = (at, stop.min(end) - at, is_hole);
        at = stop;
        Some(part)
    })
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // By words: the compiler makes wide comparisons of it.
    let (head, words, tail) = (bytes.len() / 16 * 16, bytes.chunks_exact(16), bytes.len());
    words.fold(0u128, |all, word| all | u128::from_ne_bytes(word.try_into().unwrap_or([1; 16]))) == 0
        && bytes[head..tail].iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_cut_at_holes() {
        let holes = [(0, 10), (20, 5), (40, 10)];
        let all = |begin, end| cut(&holes, begin, end).collect::<Vec<_>>();
        assert_eq!(all(0, 50), [(0, 10, true), (10, 10, false), (20, 5, true), (25, 15, false), (40, 10, true)]);
        assert_eq!(all(5, 22), [(5, 5, true), (10, 10, false), (20, 2, true)]);
        assert_eq!(all(25, 30), [(25, 5, false)]);
        assert_eq!(all(45, 60), [(45, 5, true), (50, 10, false)]);
        assert_eq!(all(7, 7), []);
    }

    #[test]
    fn zeros_are_known() {
        for length in 0..70 {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes));
            for place in 0..length {
                bytes[place] = 1;
                assert!(!is_zero(&bytes));
                bytes[place] = 0;
            }
        }
    }
}
