//! Where a stream is cut: by content, or in fixed blocks for files that are written in pages.
//!
//! Invariants: sizes are powers of two; the cutter's version and parameters are format (golden
//! cut points in the tests); a cut never depends on how the bytes arrived.

use crate::keys::{Gear, Keys};
use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// Block of page-structured files and grain of zero runs, bytes.
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

/// For large files and plain streams.
pub const LARGE: Sizes = Sizes { min: 128 * 1024, avg: 512 * 1024, max: 2 * 1024 * 1024 };
/// For bundles of small files and for tar headers.
pub const FINE: Sizes = Sizes { min: 16 * 1024, avg: 64 * 1024, max: 256 * 1024 };

/// How a file's contents are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By content.
    Flowing,
    /// In blocks of [`BLOCK`] bytes: the file is written in place, page by page.
    Paged,
}

impl Layout {
    /// Decides by a file's first bytes (64 or more if it has them) and its size.
    pub fn of(head: &[u8], size: u64) -> Layout {
        let paged = is_sqlite(head) || is_postgres(head, size) || is_innodb(head, size) || is_disk_image(head);
        if paged { Layout::Paged } else { Layout::Flowing }
    }
}

fn is_sqlite(head: &[u8]) -> bool {
    head.starts_with(b"SQLite format 3\0")
}

/// A heap or index page: page size 8192 and layout version 4 in one little-endian word.
fn is_postgres(head: &[u8], size: u64) -> bool {
    size > 0 && size.is_multiple_of(8192) && head.get(18..20) == Some(&[0x04, 0x20])
}

/// First page of a tablespace: page number 0, page type FSP_HDR.
fn is_innodb(head: &[u8], size: u64) -> bool {
    size > 0 && size.is_multiple_of(16384) && head.get(4..8) == Some(&[0; 4]) && head.get(24..26) == Some(&[0, 8])
}

fn is_disk_image(head: &[u8]) -> bool {
    head.starts_with(b"QFI\xfb") || head.starts_with(b"KDMV") || head.starts_with(b"vhdxfile")
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
