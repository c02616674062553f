//! The whole room on a real repository: doubles stand in for hosts and buckets alone.

mod alarms;
mod cache;
mod control;
mod forgotten;
mod hooks;
mod locks;
pub(crate) mod looks;
mod safety;
mod trouble;
mod verify;
mod walk;
mod world;
