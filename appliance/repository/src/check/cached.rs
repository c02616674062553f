//! Packs of the cache under check: what leaves it while it is looked at is neither lost nor bad, and nothing comes back beyond its room.

use super::Report;
use crate::{Meter, inner::Inner, looks::Copy, state::PackNo};
use bytes::Bytes;
use holdfast_model::Result;
use holdfast_storage::PutMode;

impl Inner {
    /// Whether a pack does not lie in the cache as it should; then it counts as absent there. A listing may be older than what left since,
    /// or came.
    pub(super) async fn is_missed(&self, pack: PackNo) -> Result<bool> {
        let _open = self.room.door().await;
        let info = self.read().index.pack(pack).clone();
        if !info.cached() || self.cache.head(&info.key()).await?.is_some_and(|found| found.size == info.name.size) {
            return Ok(false);
        }
        self.write().index.set_cached(pack, false);
        Ok(true)
    }

    /// The cache's copy of a pack. One that was not found because it has left meanwhile is not bad.
    pub(super) async fn cached_copy(&self, pack: PackNo, report: &Report, meter: Option<&dyn Meter>) -> Result<Copy> {
        let copy = self.pack_copy(&*self.cache, pack, report, meter).await?;
        let has_left = !self.read().index.pack(pack).cached();
        Ok(if matches!(copy, Copy::Bad) && has_left { Copy::Absent } else { copy })
    }

    /// Puts a good copy in the place of a bad one, which takes as much, or back into the cache if there is room. The answer is whether
    /// it is there.
    pub(super) async fn put_back(&self, pack: PackNo, bytes: Bytes) -> Result<bool> {
        {
            let _open = self.room.door().await;
            let info = self.read().index.pack(pack).clone();
            if info.cached() {
                self.cache.put(&info.key(), bytes, PutMode::Replace).await?;
                return Ok(true);
            }
        }
        self.admit(pack, bytes).await
    }
}
