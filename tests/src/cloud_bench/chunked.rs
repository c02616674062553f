//! What a store that keeps each chunk as an object of its own is asked to take, as Proxmox Backup Server does on S3: computed from what
//! changed, never run.
//!
//! Files travel as one stream that is cut by content every 4 MiB or so, the database as an image that is cut there exactly. A chunk is new if
//! anything in it is. Where the stream is really cut is not known, so its chunks are taken to lie on a grid: over many hours that is the same.

use super::states::{Change, PAGE, States};
use std::collections::BTreeSet;

/// Bytes of a chunk.
const CHUNK: u64 = 4 << 20;
/// What comes with each backup beside new chunks: the indexes of stream, names and image, and the manifest.
const LISTS: u64 = 4;
/// Bytes of a file's entry in the stream, beside its content.
const ENTRY: u64 = 128;

/// The folder in chunks.
pub(super) struct Chunked {
    /// Where each file begins in the stream.
    starts: Vec<u64>,
    stream: u64,
    image: u64,
}

impl Chunked {
    pub(super) fn of(states: &States) -> Chunked {
        let mut stream = 0;
        let mut place = |number| {
            let start = stream;
            stream += ENTRY + States::size_of(number);
            start
        };
        let starts = (0..states.files).map(&mut place).collect();
        Chunked { starts, stream, image: states.pages * PAGE }
    }

    /// Objects of the first backup.
    pub(super) fn first(&self) -> u64 {
        self.stream.div_ceil(CHUNK) + self.image.div_ceil(CHUNK) + LISTS
    }

    /// Objects of a backup after an hour.
    pub(super) fn after(&self, change: &Change) -> u64 {
        let chunks_of = |number: &u64| {
            let start = self.starts[*number as usize];
            start / CHUNK..=(start + ENTRY + States::size_of(*number) - 1) / CHUNK
        };
        let stream: BTreeSet<u64> = change.files.iter().flat_map(chunks_of).collect();
        let image: BTreeSet<u64> = change.pages.iter().map(|page| page * PAGE / CHUNK).collect();
        // The log's last chunk, and what it grows by.
        let log = 1 + change.log / CHUNK;
        stream.len() as u64 + image.len() as u64 + log + LISTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_chunk_is_new_if_anything_in_it_is() {
        let states = States::of(Path::new("/nowhere"), 0.1);
        let chunked = Chunked::of(&states);
        let all = chunked.stream + chunked.image;
        assert!((all.div_ceil(CHUNK) + LISTS..=all / CHUNK + 2 + LISTS).contains(&chunked.first()));
        let change = |files: &[u64], pages: &[u64]| Change {
            files: files.iter().copied().collect(),
            pages: pages.iter().copied().collect(),
            log: 100,
        };
        assert_eq!(chunked.after(&change(&[], &[])), 1 + LISTS);
        assert_eq!(chunked.after(&change(&[0, 1], &[])), 2 + LISTS, "neighbours share a chunk");
        assert_eq!(chunked.after(&change(&[0, states.files - 1], &[0, 1, 511, 512])), 5 + LISTS);
    }
}
