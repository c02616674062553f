//! Asks Docker: an app becomes sections and streams, at one point in time (laws L6, L8).
//!
//! Read [`capture`] first (its course is in `run`), then `hold` (how an app is held still and
//! always let go). Never here: the repository (streams go into a [`Sink`]), or when to do it.

mod data;
mod database;
mod found;
mod frozen;
mod gaps;
mod helper;
mod hold;
mod hooks;
mod image;
mod journal;
mod layer;
mod limits;
mod member;
mod network;
mod peek;
mod places;
mod reach;
mod remote;
mod run;
mod sqlite;
mod talk;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use futures::future::BoxFuture;
use holdfast_docker::ByteStream;
use holdfast_model::{
    Problem, Result,
    snapshot::{ImageSection, StreamRef},
};
use holdfast_tree::Tree;

pub use data::{bind_label, volume_label};
pub use database::{dump_label, log_label};
pub use found::{FoundApp, FoundContainer, discover};
pub use gaps::{Gaps, gaps};
pub use helper::sweep_helpers;
pub use hooks::Hook;
pub use journal::{Held, Journal};
pub use places::{Places, capture_places};
pub use remote::problem_of;
pub use run::{Ask, Captured, capture};
pub use talk::try_mover;

/// How a stream should be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A tar: headers apart from contents. Its end must be proved by the two zero blocks
    /// (`stream.short` otherwise).
    Tar,
    /// Plain bytes.
    Bytes,
}

/// What is left to do of something when the app need not be held for it any more.
pub type Later<T> = BoxFuture<'static, Result<T>>;

/// Where captured streams go. The engine room stands behind it with the repository.
#[async_trait]
pub trait Sink: Send + Sync {
    /// An image that the repository holds whole already, so that not a byte of it is read again.
    async fn known_image(&self, id: &str) -> Option<ImageSection>;
    /// A blob that the repository holds already, by SHA-256 hex of its bytes.
    async fn known_blob(&self, sha256: &str) -> Option<StreamRef>;
    /// Stores a stream; returns when all of it is in the repository's hands. `label` is for people.
    async fn store(&self, label: &str, kind: StreamKind, bytes: ByteStream) -> Result<StreamRef>;
    /// Stores a tree of files, asking it only for what the last snapshot does not prove unchanged. The answer names what
    /// could not be read or changed meanwhile.
    async fn store_tree(&self, label: &str, tree: Box<dyn Tree>) -> Result<(StreamRef, Vec<Problem>)>;
    /// Reads from a tree all that has to be read, and stores it only when the answer is waited for: the app may go on before.
    /// `ahead` is what this capture has stored of it already.
    async fn take_tree(
        &self,
        label: &str,
        tree: Box<dyn Tree>,
        ahead: &StreamRef,
    ) -> Result<Later<(StreamRef, Vec<Problem>)>>;
    /// Makes what `store_tree` answered good as a later call's `ahead`.
    async fn settle(&self, stream: StreamRef) -> Result<StreamRef>;
    /// Tells the phase at work, for progress: name, number, of how many.
    fn phase(&self, name: &str, number: u32, of: u32);
    /// Tells the item at work.
    fn item(&self, name: &str);
}
