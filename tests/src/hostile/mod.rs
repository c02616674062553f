//! Tars made to do harm, each with a name: paths that lead out, links, devices, numbers and records that lie, holes, ends
//! that do not come. Made by code alone.
//!
//! Invariant: a case is a function of its name; nothing is drawn, nothing is read.

mod headers;
mod links;
mod paths;
pub mod raw;
mod records;
mod shapes;

use std::io::{self, Read};

/// Where cases that lead out of their folder would write, if anybody followed them.
pub const ESCAPE: &str = "/tmp/holdfast-hostile-escape";

/// One archive: `head`, then `pattern` as often as `times` says, then `tail`.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it begins with.
    pub head: Vec<u8>,
    /// What is repeated.
    pub pattern: Vec<u8>,
    /// How often.
    pub times: u64,
    /// What it ends with.
    pub tail: Vec<u8>,
}

impl Case {
    /// One that is nothing but these bytes.
    pub fn plain(name: &str, head: Vec<u8>) -> Case {
        Case { name: name.into(), head, ..Case::default() }
    }
    /// All its bytes. Only for those that are small.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes).expect("memory can be read");
        bytes
    }
    /// How many bytes.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.pattern.len() as u64 * self.times + self.tail.len() as u64
    }
    /// Its bytes one after the other, without ever holding those that repeat.
    pub fn reader(&self) -> Reader<'_> {
        self.reader_at(0)
    }
    /// The same from a byte on.
    pub fn reader_at(&self, at: u64) -> Reader<'_> {
        Reader { case: self, at }
    }
}

/// Reads a case.
#[derive(Debug)]
pub struct Reader<'a> {
    case: &'a Case,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Case { head, pattern, tail, .. } = self.case;
        let middle = self.case.length() - tail.len() as u64;
        let mut done = 0;
        while done < into.len() && self.at < self.case.length() {
            let rest: &[u8] = if self.at < head.len() as u64 {
                &head[self.at as usize..]
            } else if self.at < middle {
                &pattern[((self.at - head.len() as u64) % pattern.len() as u64) as usize..]
            } else {
                &tail[(self.at - middle) as usize..]
            };
            let part = rest.len().min(into.len() - done);
            into[done..done + part].copy_from_slice(&rest[..part]);
            done += part;
            self.at += part as u64;
        }
        Ok(done)
    }
}

/// All of them, each name once.
pub fn corpus() -> Vec<Case> {
    let mut all = Vec::new();
    paths::add(&mut all);
    links::add(&mut all);
    headers::add(&mut all);
    records::add(&mut all);
    shapes::add(&mut all);
    all
}
