//! Index segments under check: read whole, mended from the other tier, else written anew from the packs themselves.

use super::Report;
use crate::{inner::Inner, layout, looks::Copy};
use holdfast_model::{Problem, Result};
use std::sync::Arc;

impl Inner {
    /// The bucket's copies are read with `read_all`, and where the cache's copy is bad.
    pub(super) async fn check_segments(self: &Arc<Self>, read_all: bool, report: &Report) -> Result<()> {
        let keys: Vec<String> = self.read().segments.keys().cloned().collect();
        for key in keys {
            let cached = self.look_at(&*self.cache, &key).await?;
            let wanted = read_all || !matches!(cached, Copy::Good(_));
            let acked = self.read().is_acked(&key);
            let in_bucket = match report.bucket.clone().filter(|_| wanted && acked) {
                Some(bucket) if matches!(cached, Copy::Good(_)) => self.look_at(&*bucket, &key).await?,
                Some(bucket) => self.look_deep(&*bucket, &key).await?,
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
