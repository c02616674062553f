//! What was acknowledged and what was told to be forgotten: a text file that the driver appends to, one write a line.
//!
//! It lies outside the disk whose power goes.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Snapshots by id, each with the number its content is made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    path: PathBuf,
    acknowledged: BTreeMap<String, u64>,
    forgotten: Vec<String>,
}

impl Ledger {
    /// Opens the file as it is.
    pub(crate) fn open(path: &Path) -> Ledger {
        Ledger { path: path.to_owned(), ..Ledger::default() }.read()
    }

    /// Writes this ledger into a file that begins with it.
    pub(crate) fn begin(&self, path: &Path) -> Ledger {
        let lines: Vec<_> = self.acknowledged.iter().map(|(id, number)| format!("ack {id} {number}\n")).collect();
        fs::write(path, lines.concat()).expect("the ledger can be written");
        Ledger::open(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// As the file says now. A line that is being written is not there yet.
    pub(crate) fn read(&self) -> Ledger {
        let text = fs::read_to_string(&self.path).expect("the ledger can be read");
        let mut ledger = Ledger { path: self.path.clone(), ..Ledger::default() };
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["ack", id, number] => {
                    let number = number.parse().expect("a number was written");
                    ledger.acknowledged.insert(id.to_owned(), number);
                }
                ["forget", id] => ledger.forgotten.push(id.to_owned()),
                _ => panic!("the ledger holds {line:?}"),
            }
        }
        ledger
    }

    /// What must be there after a cut: acknowledged before it, and not told to be forgotten until after it.
    pub(crate) fn owed_after(&self, later: &Ledger) -> Ledger {
        let mut owed = Ledger { acknowledged: self.acknowledged.clone(), ..Ledger::default() };
        owed.acknowledged.retain(|id, _| !later.forgotten.contains(id));
        owed
    }

    /// Snapshots acknowledged and not forgotten, oldest first.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = (&String, u64)> {
        let held = self.acknowledged.iter().filter(|(id, _)| !self.forgotten.contains(id));
        held.map(|(id, number)| (id, *number))
    }

    /// Acknowledgements so far.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Appends a line: one write, so that a reader sees it whole or not at all.
    pub(crate) fn append(&self, line: &str) {
        let file = fs::OpenOptions::new().append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.expect("the ledger can be written");
    }
}
