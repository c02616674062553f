//! What the chunks of a group were in the parent: a small change in a bundle, in headers or at the end of a log is stored as the
//! difference to what stood in the same place.
//!
//! Invariants: only a hint: what is wrong here costs space, never bytes; recipes come from the cache alone; memory is
//! bounded by [`CHUNKS_MAX`].

use crate::{
    inner::Inner,
    recipe::{Placed, Row},
};
use holdfast_model::{ChunkId, snapshot::SegmentRef, view::From};
use std::{collections::HashMap, sync::Arc};

/// Chunks of a group that are remembered.
const CHUNKS_MAX: usize = 64 * 1024;

/// The rows of chunks of a group of the parent.
#[derive(Default)]
pub(crate) struct Likely {
    rows: [Before; 3],
}

/// One row, and how far the new one has come beside it.
#[derive(Default)]
struct Before {
    /// Where each chunk ends in the row, rising, and the chunk that stands whole behind it.
    chunks: Vec<(u64, ChunkId)>,
    ends: HashMap<ChunkId, u64>,
    /// Bytes of the new row so far, and how much further the old one was at the last chunk that both have.
    now: u64,
    shift: i64,
}

impl Likely {
    /// Reads the recipes of a group. What cannot be read is left out.
    pub(crate) async fn of(inner: &Arc<Inner>, segments: &[SegmentRef]) -> Likely {
        let mut likely = Likely::default();
        for segment in segments {
            match inner.open_recipe(segment, From::Cache).await {
                Ok(recipe) => recipe.chunks.iter().zip(&mut likely.rows).for_each(|(chunks, row)| row.extend(chunks)),
                Err(error) => {
                    tracing::debug!(error = %error.chain(), "a recipe of the parent is not at hand; its chunks are stored whole");
                    break;
                }
            }
            if likely.rows.iter().map(|row| row.chunks.len()).sum::<usize>() > CHUNKS_MAX {
                break;
            }
        }
        likely
    }

    /// What the next chunk of a row, of `length` bytes, is to lean on if it is new.
    pub(crate) fn base(&self, row: Row, length: usize) -> Option<ChunkId> {
        let row = &self.rows[row as usize];
        let middle = row.now.checked_add(length as u64 / 2)?.checked_add_signed(row.shift)?;
        let at = row.chunks.partition_point(|(end, _)| *end <= middle);
        row.chunks.get(at).map(|(_, base)| *base)
    }

    /// The next chunk of a row is this one.
    pub(crate) fn passed(&mut self, row: Row, id: &ChunkId, length: usize) {
        let row = &mut self.rows[row as usize];
        row.now += length as u64;
        if let Some(end) = row.ends.get(id) {
            row.shift = end.wrapping_sub(row.now).cast_signed();
        }
    }
}

impl Before {
    fn extend(&mut self, chunks: &[Placed]) {
        let mut end = self.chunks.last().map_or(0, |(end, _)| *end);
        for chunk in chunks {
            end += u64::from(chunk.length);
            self.chunks.push((end, chunk.base.map_or(chunk.id, |base| base.id)));
            self.ends.insert(chunk.id, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::PackId;

    fn chunk(number: u8, length: u32) -> Placed {
        Placed { id: ChunkId([number; 32]), length, pack: PackId([0; 32]), offset: 0, sealed: 0, base: None }
    }

    #[test]
    fn a_new_chunk_leans_on_what_stood_in_its_place() {
        let mut likely = Likely::default();
        let old: Vec<Placed> = (0..10).map(|number| chunk(number, 100)).collect();
        likely.rows[Row::Bundle as usize].extend(&old);
        let base = |likely: &Likely, length| likely.base(Row::Bundle, length).map(|id| id.0[0]);
        let pass = |likely: &mut Likely, number: u8, length| {
            likely.passed(Row::Bundle, &ChunkId([number; 32]), length);
        };
        pass(&mut likely, 0, 100);
        assert_eq!(base(&likely, 130), Some(1), "longer than it was");
        pass(&mut likely, 77, 130);
        pass(&mut likely, 2, 100);
        assert_eq!(base(&likely, 40), Some(3), "in two parts");
        pass(&mut likely, 78, 40);
        assert_eq!(base(&likely, 40), Some(3));
        pass(&mut likely, 79, 40);
        // Some are gone.
        pass(&mut likely, 8, 100);
        assert_eq!(base(&likely, 100), Some(9));
        pass(&mut likely, 80, 100);
        assert_eq!(base(&likely, 100), None, "more than there was");
        assert_eq!(likely.base(Row::Meta, 100), None);
    }
}
