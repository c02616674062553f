//! The whole room on a real repository: doubles stand in for hosts and buckets alone.

mod control;
mod hooks;
pub(crate) mod looks;
mod trouble;
mod walk;
mod world;
