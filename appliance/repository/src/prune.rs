//! stub
use crate::{PruneOutcome, PrunePlan, inner::Inner};
use holdfast_model::{Result, SnapshotId};
use holdfast_runtime::Stop;
impl Inner {
    pub(crate) fn prune_plan(&self, _f: Vec<SnapshotId>) -> Result<PrunePlan> { Ok(PrunePlan::default()) }
    pub(crate) async fn prune(&self, _p: PrunePlan, _s: &Stop) -> Result<PruneOutcome> { Ok(PruneOutcome::default()) }
}
