//! Text that must never be shown: it prints as `•••` and is only readable on purpose.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A password, key or token. `Debug` and `Display` never show it; serde does, because sealed
/// documents must hold it: never put it in an API answer.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }
    /// The text itself. Each call is a place to look at.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}
