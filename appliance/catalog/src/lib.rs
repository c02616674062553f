//! What the appliance remembers, all of it rebuildable (law L4). Hides sled.
//!
//! Never here: anything whose loss would hurt. Delete the folder at any time: nothing is lost.
//!
//! # Invariants
//! - A row that reads at all reads as it was written: each carries a version and a checksum over its table, its
//!   key and its value. Anything else reads as absent.
//! - A folder that does not open, or that showed damage while it was used, is moved aside at the next opening
//!   (`<folder>.damaged`, one is kept) and begun anew. Nothing that sled does, panics included, passes the door.
//! - Few, large rows: sled 0.34 costs about 1.6 kB of memory per row, so one row per pack is the finest grain.
//! - No durability is promised. [`Catalog::flush`] hands rows to the kernel; sled 0.34 does not fsync, and a
//!   power cut takes the last rows back. That is why nothing here is the truth.

mod row;
mod shelf;

use holdfast_model::Result;
use serde::{Serialize, de::DeserializeOwned};
use shelf::Shelf;
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

impl Table {
    const ALL: [Table; 3] = [Table::Packs, Table::Jobs, Table::Facts];

    fn name(self) -> &'static str {
        match self {
            Table::Packs => "packs",
            Table::Jobs => "jobs",
            Table::Facts => "facts",
        }
    }
}

/// How the folder was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There was none.
    Fresh,
    /// With what it held.
    Existing,
    /// It was damaged: moved aside, begun anew.
    Renewed,
}

/// A small checked key-value memory. Calls are short and may block on the disk for milliseconds.
#[derive(Debug)]
pub struct Catalog {
    shelf: Shelf,
}

impl Catalog {
    /// Opens a folder or begins a new one; a damaged one is moved aside first.
    ///
    /// `Conflict` (`catalog.locked`) if another process has it open; `Denied` or `Full` if the disk does not
    /// let us; `Unavailable` (`catalog.failed`) if not even an empty folder opens.
    pub fn open(folder: &Path) -> Result<(Catalog, Opened)> {
        let (shelf, opened) = Shelf::open(folder)?;
        Ok((Catalog { shelf }, opened))
    }

    /// For tests: lives in memory.
    pub fn in_memory() -> Catalog {
        Catalog { shelf: Shelf::in_memory() }
    }

    /// One row. A damaged or unreadable row reads as absent.
    pub fn get<V: DeserializeOwned>(&self, table: Table, key: &str) -> Option<V> {
        row::open(table, key, &self.shelf.get(table, key)?)
    }

    /// Writes a row. `Unavailable` (`catalog.failed`), `Full` (`disk.full`): the caller may go on without.
    pub fn put<V: Serialize>(&self, table: Table, key: &str, value: &V) -> Result<()> {
        self.shelf.put(table, key, row::seal(table, key, value)?)
    }

    /// Removes a row; one that is not there is fine.
    pub fn remove(&self, table: Table, key: &str) -> Result<()> {
        self.shelf.remove(table, key)
    }

    /// Rows whose key begins with `prefix`, in key order.
    pub fn list<V: DeserializeOwned>(&self, table: Table, prefix: &str) -> Vec<(String, V)> {
        let mut rows = Vec::new();
        self.shelf.scan(table, prefix, &mut |key, sealed| {
            let Ok(key) = std::str::from_utf8(key) else { return };
            if let Some(value) = row::open(table, key, sealed) {
                rows.push((key.to_owned(), value));
            }
        });
        rows
    }

    /// Removes all rows of a table.
    pub fn clear(&self, table: Table) -> Result<()> {
        self.shelf.clear(table)
    }

    /// Hands all rows to the kernel, so that they survive the end of the process. Not an fsync: see above.
    pub fn flush(&self) -> Result<()> {
        self.shelf.flush()
    }
}

#[cfg(test)]
mod tests;
