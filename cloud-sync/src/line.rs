//! What uploads may take of the line: what people decided, as the time of day has it now.

use holdfast_model::{
    Moment,
    uploads::{Allowed, Uploads},
};
use holdfast_runtime::Throttle;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by the shipper, who keeps it true, and the store, whose uploads keep to it. Clones are the same line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    uploads: Arc<Mutex<Uploads>>,
    /// Bytes of uploads per second.
    pub bytes: Arc<Throttle>,
    /// Requests of uploads per second.
    pub requests: Arc<Throttle>,
}

impl Line {
    /// What people decided from now on.
    pub fn decide(&self, uploads: Uploads) {
        *self.uploads.lock().unwrap_or_else(PoisonError::into_inner) = uploads;
    }

    /// Brings the limits up to date with the time of day. The answer is what counts now.
    pub(crate) fn keep(&self, now: Moment) -> Allowed {
        let allowed = self.uploads.lock().unwrap_or_else(PoisonError::into_inner).at(now);
        // Uploads stop because the shipper starts none; what else is written (a prune, a check) is little and goes on.
        self.bytes.limit(allowed.bytes.filter(|bytes| *bytes > 0));
        self.requests.limit(allowed.requests.map(u64::from));
        allowed
    }
}
