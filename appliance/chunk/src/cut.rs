//! Where a stream is cut: by content, or in fixed blocks for files that are written in pages.
//!
//! Invariants: sizes are powers of two; the cutter's version and parameters are format (golden
//! cut points in the tests); a cut never depends on how the bytes arrived.

use crate::{
    keys::{Gear, Keys},
    pages::Layout,
};
use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// Grain of zero runs, bytes; blocks of pages are multiples of it.
pub const BLOCK: usize = 64 * 1024;
/// Files below this many bytes travel in bundles.
pub const SMALL_FILE: u64 = 32 * 1024;
/// No chunk is larger than this, bytes: readers refuse more.
pub const CHUNK_MAX: usize = 16 * 1024 * 1024;

/// Smallest, wished and largest chunk, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// No cut before this many bytes.
    pub min: usize,
    /// Cuts are about this far apart.
    pub avg: usize,
    /// A cut at the latest here.
    pub max: usize,
}

impl Sizes {
    const fn about(avg: usize) -> Self {
        Sizes { min: avg / 4, avg, max: avg * 4 }
    }
    /// For a large file of `size` bytes, or a plain stream (0): the index of a hundred terabytes must stay small.
    pub fn of_file(size: u64) -> Self {
        LARGE[Self::class_of(size)]
    }
    /// Place of [`Sizes::of_file`] in [`LARGE`].
    fn class_of(size: u64) -> usize {
        GROWTH.iter().filter(|from| size >= **from).count()
    }
    /// Place in [`LARGE`] of a file of this layout and size.
    pub fn class_for(layout: Layout, size: u64) -> usize {
        let class = Self::class_of(size);
        if layout == Layout::Log { class.max(LOG_CLASS) } else { class }
    }
}

/// For large files and plain streams, by classes of size.
pub const LARGE: [Sizes; 4] =
    [Sizes::about(512 << 10), Sizes::about(1 << 20), Sizes::about(2 << 20), Sizes::about(4 << 20)];
/// File sizes at which the next class begins, bytes.
const GROWTH: [u64; 3] = [1 << 30, 64 << 30, 1 << 40];
/// Least class of logs of pages, which take a fortieth less in it than in the first: such pages profit from one
/// another. Larger ones would save as much again, and cost memory, and every backup more of the piece that is being written.
const LOG_CLASS: usize = 1;
/// For bundles of small files and for tar headers. Twice the size would save a tenth of a source tree once, and cost
/// every backup twice as much for each small file that has changed.
pub const FINE: Sizes = Sizes::about(64 << 10);

/// Block of a page-structured file of `size` bytes: larger ones compress better, and deltas make changes small.
pub fn page_block(size: u64) -> usize {
    match size {
        0..0x10_0000 => BLOCK,
        0x10_0000..0x400_0000 => 4 * BLOCK,
        _ => 8 * BLOCK,
    }
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<32>();
    words.iter().all(|word| *word == [0; 32]) && rest.iter().all(|byte| *byte == 0)
}

/// A content-defined cutter with the repository's secret table.
pub struct Cutter {
    gear: Gear,
    sizes: Sizes,
    strict: u64,
    relaxed: u64,
}

impl Cutter {
    /// A cutter for these sizes.
    pub fn new(keys: &Keys, sizes: Sizes) -> Self {
        let (strict, relaxed) = select_masks(sizes.avg, Normalization::Level1);
        Cutter { gear: keys.gear(), sizes, strict, relaxed }
    }

    /// Length of the next chunk of `data`, or `None` if more bytes are needed to tell.
    /// With `last` the data ends here and an answer always comes while there are bytes.
    pub fn next(&self, data: &[u8], last: bool) -> Option<usize> {
        if data.is_empty() || (data.len() < self.sizes.max && !last) {
            return None;
        }
        let Sizes { min, avg, max } = self.sizes;
        let (_, length) = cut_gear(
            data,
            min,
            avg,
            max,
            self.strict,
            self.relaxed,
            self.strict << 1,
            self.relaxed << 1,
            &self.gear.table,
            &self.gear.shifted,
        );
        Some(length)
    }

    /// The largest chunk it makes, bytes.
    pub fn max(&self) -> usize {
        self.sizes.max
    }
}
