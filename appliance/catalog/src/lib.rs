//! What the appliance remembers, all of it rebuildable (law L4). Hides sled.
//!
//! STUB of the public face.
#![allow(missing_docs, unused_variables, clippy::todo)]

use holdfast_model::Result;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// The tables there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Pack rows and acknowledgements of the bucket.
    Packs,
    /// Job history.
    Jobs,
    /// Facts of the schedule, hosts last seen, hourly activity.
    Facts,
}

/// How the folder was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    Fresh,
    Existing,
    /// It was damaged: moved aside, begun anew.
    Renewed,
}

/// A small checked key-value memory.
#[derive(Debug)]
pub struct Catalog {}

impl Catalog {
    pub fn open(folder: &Path) -> Result<(Catalog, Opened)> {
        todo!()
    }
    /// For tests: lives in memory.
    pub fn in_memory() -> Catalog {
        todo!()
    }
    /// A damaged or unreadable row reads as absent.
    pub fn get<V: DeserializeOwned>(&self, table: Table, key: &str) -> Option<V> {
        todo!()
    }
    pub fn put<V: Serialize>(&self, table: Table, key: &str, value: &V) -> Result<()> {
        todo!()
    }
    pub fn remove(&self, table: Table, key: &str) -> Result<()> {
        todo!()
    }
    /// Rows whose key begins with `prefix`, in key order.
    pub fn list<V: DeserializeOwned>(&self, table: Table, prefix: &str) -> Vec<(String, V)> {
        todo!()
    }
    pub fn clear(&self, table: Table) -> Result<()> {
        todo!()
    }
    pub fn flush(&self) -> Result<()> {
        todo!()
    }
}
