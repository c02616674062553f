//! Index segments under check: read whole, mended from the other tier, else written anew from the packs themselves.

use super::{Copy, Looks, Report};
use crate::{inner::Inner, layout, threads::blocking};
use bytes::Bytes;
use holdfast_model::{Kind, Problem, Result};
use holdfast_storage::Store;
use std::sync::Arc;

impl Inner {
    /// The bucket's copies are read with `read_all`, and where the cache's copy is bad.
    pub(super) async fn check_segments(self: &Arc<Self>, read_all: bool, report: &Report) -> Result<()> {
        let keys: Vec<String> = self.read().segments.keys().cloned().collect();
        for key in keys {
            let cached = self.segment_copy(&*self.cache, &key).await?;
            let wanted = read_all || !matches!(cached, Copy::Good(_));
            let acked = self.read().is_acked(&key);
            let in_bucket = match report.bucket.clone().filter(|_| wanted && acked) {
                Some(bucket) => self.segment_copy(&*bucket, &key).await?,
                None => Copy::Absent,
            };
            match (&cached, &in_bucket) {
                (Copy::Bad | Copy::Absent, Copy::Absent) if acked && report.bucket.is_none() => {
                    let text =
                        "an index segment of the cache is damaged; the bucket, which could mend it, was not asked";
                    report.problem(Problem::warning("object.corrupt", &key, text));
                }
                (Copy::Bad | Copy::Absent, Copy::Bad | Copy::Absent) => self.rebuild_segment(&key, report).await?,
                _ => self.reconcile_small(&key, cached, in_bucket, report).await?,
            }
        }
        self.finder.try_again();
        Ok(())
    }

    /// A segment's name is that of its bytes, so this sees every bit of it.
    async fn segment_copy(&self, store: &dyn Store, key: &str) -> Result<Copy> {
        let mut looks = Looks::default();
        loop {
            let copy = self.look_at_segment(store, key).await?;
            if looks.are_enough(&copy) {
                return Ok(copy);
            }
        }
    }

    async fn look_at_segment(&self, store: &dyn Store, key: &str) -> Result<Copy> {
        let bytes: Bytes = match store.get(key).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == Kind::NotFound => return Ok(Copy::Absent),
            Err(error) if error.kind() == Kind::Corrupt => return Ok(Copy::Bad),
            Err(error) => return Err(error),
        };
        let id = layout::parse_segment(key);
        blocking(move || {
            let good = id.is_some_and(|id| holdfast_chunk::sha256(&bytes) == *id.as_bytes());
            Ok(if good { Copy::Good(bytes) } else { Copy::Bad })
        })
        .await
    }

    /// Lists a segment's packs again, with the footers that they bear themselves. What is left of the old one is void.
    async fn rebuild_segment(self: &Arc<Self>, key: &str, report: &Report) -> Result<()> {
        let packs = {
            let state = self.read();
            let packs = state.segments.get(key).cloned().unwrap_or_default();
            packs.into_iter().filter(|pack| state.index.pack(*pack).present()).collect()
        };
        self.write_segments(packs, layout::parse_segment(key).into_iter().collect()).await?;
        self.write().drop_segment(key);
        let text = "an index segment was damaged in every tier and was written anew from the packs that it lists";
        report.healed("segment.rebuilt", key, text.into());
        Ok(())
    }
}
