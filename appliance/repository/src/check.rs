//! stub
use crate::{Meter, inner::Inner};
use holdfast_model::{Result, view::CheckView};
use holdfast_runtime::Stop;
use std::sync::Arc;
impl Inner {
    pub(crate) async fn check(&self, _r: bool, _m: Option<Arc<dyn Meter>>, _s: &Stop) -> Result<CheckView> { Ok(CheckView::default()) }
}
