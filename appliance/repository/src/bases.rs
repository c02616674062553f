//! Opening chunks that lean on others: first the bases, then what is stored as the difference to them.
//!
//! Invariants: a base is opened from its own whole form, never from a difference, so that one chunk costs at most
//! two; a base that cannot be had is named together with the chunk that wants it.

use crate::{
    inner::{Inner, is_damage},
    reader::Together,
    recipe::Placed,
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use holdfast_chunk::ChunkKind;
use holdfast_model::{Result, view::From};
use std::sync::Arc;

/// Plaintexts of bases, one for each chunk that is to be opened; `None` for those that stand alone.
pub(crate) type Bases = Vec<Option<Bytes>>;

impl Inner {
    /// Opens chunks of one pack, in order, with what they lean on. `chunks` lie close together.
    pub(crate) async fn open_chunks(
        self: &Arc<Self>,
        kind: ChunkKind,
        chunks: &[Placed],
        from: From,
    ) -> Result<Vec<Bytes>> {
        match self.open_bases(kind, chunks, from).await {
            Ok(bases) => self.open_on(kind, chunks, Some(&bases), from).await,
            Err(error) if is_damage(&error) => self.open_elsewhere(kind, chunks, (from, false), error).await,
            Err(error) => Err(error),
        }
    }

    /// Opens what chunks lean on. Bases of neighbours are neighbours mostly: those are read at once.
    pub(crate) fn open_bases<'a>(
        self: &'a Arc<Self>,
        kind: ChunkKind,
        chunks: &'a [Placed],
        from: From,
    ) -> BoxFuture<'a, Result<Bases>> {
        async move {
            let mut bases = vec![None; chunks.len()];
            let mut batch: Vec<(usize, Placed)> = Vec::new();
            let mut together: Option<Together> = None;
            for (number, chunk) in chunks.iter().enumerate() {
                let Some(base) = chunk.base else { continue };
                let base = base.placed();
                if !together.as_mut().is_some_and(|together| together.takes(&base)) {
                    self.open_batch(kind, std::mem::take(&mut batch), from, &mut bases).await?;
                    together = Some(Together::new(&base));
                }
                batch.push((number, base));
            }
            self.open_batch(kind, batch, from, &mut bases).await?;
            Ok(bases)
        }
        .boxed()
    }

    async fn open_batch(
        self: &Arc<Self>,
        kind: ChunkKind,
        batch: Vec<(usize, Placed)>,
        from: From,
        bases: &mut Bases,
    ) -> Result<()> {
        let (numbers, placed): (Vec<usize>, Vec<Placed>) = batch.into_iter().unzip();
        let Some(first) = placed.first() else { return Ok(()) };
        let opened = self.open_on(kind, &placed, None, from).await.map_err(|error| {
            error.while_doing(format!("chunk {}, which others are stored as differences to, is lost", first.id.short()))
        })?;
        for (number, plain) in numbers.into_iter().zip(opened) {
            bases[number] = Some(plain);
        }
        Ok(())
    }
}
