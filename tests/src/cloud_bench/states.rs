//! A folder as an application keeps it, and what happens to it each hour: one file in a thousand is written anew, a log grows, and one page
//! in a hundred of a database changes. The same hours lead to the same bytes, for whoever backs them up.

use super::noise;
use holdfast_model::{Error, Result};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// One file in so many changes in an hour, and one page of the database.
const FILES_PER_CHANGE: u64 = 1000;
const PAGES_PER_CHANGE: u64 = 100;
/// The database's share of all bytes.
const DATABASE_SHARE: u64 = 8;
/// Bytes of a page, and how many of them change with it.
pub(super) const PAGE: u64 = 8192;
const ROW: u64 = 200;
/// Files have from [`SMALLEST`] bytes on up to [`SPREAD`] more, evenly: 64 KiB each.
const SMALLEST: u64 = 16 << 10;
const SPREAD: u64 = 96 << 10;
const MEAN: u64 = SMALLEST + SPREAD / 2;
/// Files of one folder.
const PER_FOLDER: u64 = 100;
/// Lines of the log in an hour.
const LINES: u64 = 1000;

/// The folder.
#[derive(Clone, Debug)]
pub struct States {
    folder: PathBuf,
    pub(super) files: u64,
    pub(super) pages: u64,
}

/// What an hour changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Numbers of the files that were written anew.
    pub(super) files: BTreeSet<u64>,
    /// Numbers of the database's pages that have changed.
    pub(super) pages: BTreeSet<u64>,
    /// Bytes that the log has grown by.
    pub(super) log: u64,
}

impl States {
    /// A folder of about so many GiB.
    pub fn of(folder: &Path, gib: f64) -> States {
        let bytes = (gib * (1u64 << 30) as f64) as u64;
        let database = bytes / DATABASE_SHARE;
        let (files, pages) = ((bytes - database) / MEAN, database / PAGE);
        States { folder: folder.to_owned(), files: files.max(1), pages: pages.max(1) }
    }

    /// Makes it as it is before the first hour.
    pub fn make(&self) -> Result<()> {
        self.write_all().map_err(|error| Error::io("make the folder", error))
    }

    /// Lets these hours pass, one after the other.
    pub fn pass(&self, hours: RangeInclusive<u64>) -> Result<()> {
        for hour in hours {
            self.change(hour)?;
        }
        Ok(())
    }

    /// Lets an hour pass.
    pub(super) fn change(&self, hour: u64) -> Result<Change> {
        self.write_changes(hour).map_err(|error| Error::io("change the folder", error))
    }

    /// Bytes of a file.
    pub(super) fn size_of(number: u64) -> u64 {
        SMALLEST + noise::mix(number) % SPREAD
    }

    fn folder_of(&self, number: u64) -> PathBuf {
        self.folder.join(format!("files/{:05}", number / PER_FOLDER))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder_of(number).join(format!("{number:07}"))
    }

    fn database(&self) -> PathBuf {
        self.folder.join("base/16384")
    }

    fn write_all(&self) -> io::Result<()> {
        for number in 0..self.files {
            if number.is_multiple_of(PER_FOLDER) {
                fs::create_dir_all(self.folder_of(number))?;
            }
            self.write_file(number, 0)?;
        }
        fs::create_dir_all(self.folder.join("base"))?;
        let mut database = BufWriter::new(File::create(self.database())?);
        for number in 0..self.pages {
            database.write_all(&page(number))?;
        }
        database.flush()?;
        File::create(self.folder.join("app.log")).map(drop)
    }

    fn write_file(&self, number: u64, hour: u64) -> io::Result<()> {
        let mut bytes = vec![0; Self::size_of(number) as usize];
        noise::fill(noise::mix(number) ^ hour, &mut bytes);
        fs::write(self.path(number), bytes)
    }

    fn write_changes(&self, hour: u64) -> io::Result<Change> {
        let change = Change {
            files: some_of(self.files, FILES_PER_CHANGE, hour),
            pages: some_of(self.pages, PAGES_PER_CHANGE, !hour),
            log: self.write_log(hour)?,
        };
        for number in &change.files {
            self.write_file(*number, hour)?;
        }
        let database = OpenOptions::new().write(true).open(self.database())?;
        for number in &change.pages {
            write_row(&database, *number, hour)?;
        }
        Ok(change)
    }

    fn write_log(&self, hour: u64) -> io::Result<u64> {
        let line = |number: u64| {
            let item = noise::mix((hour << 32) | number);
            format!("hour {hour:04} request {number:04} GET /items/{item:016x} 200 in {} ms\n", item % 90 + 10)
        };
        let text: String = (0..LINES).map(line).collect();
        OpenOptions::new().append(true).open(self.folder.join("app.log"))?.write_all(text.as_bytes())?;
        Ok(text.len() as u64)
    }
}

/// One number in so many, at least one, others each hour.
fn some_of(all: u64, per: u64, hour: u64) -> BTreeSet<u64> {
    let count = (all / per).max(1);
    (0..count).map(|turn| noise::mix(noise::mix(hour) ^ turn) % all).collect()
}

/// A page of a table as PostgreSQL lays it out; what its rows say nobody can compress.
fn page(number: u64) -> Vec<u8> {
    let mut page = vec![0; PAGE as usize];
    noise::fill(!number, &mut page);
    page[12..20].copy_from_slice(&[0x64, 0, 0xc8, 0, 0, 0x20, 0x04, 0x20]);
    page
}

/// A row of a page changes, and with it the mark in the page's head that it has.
fn write_row(database: &File, number: u64, hour: u64) -> io::Result<()> {
    let word = noise::mix(number ^ (hour << 40));
    let mut row = [0; ROW as usize];
    noise::fill(word, &mut row);
    let start = number * PAGE;
    database.write_all_at(&word.to_le_bytes(), start)?;
    database.write_all_at(&row, start + 256 + word % (PAGE - 256 - ROW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(states: &States) -> Vec<Vec<u8>> {
        let paths = (0..states.files).map(|number| states.path(number));
        let paths = paths.chain([states.database(), states.folder.join("app.log")]);
        paths.map(|path| fs::read(path).unwrap()).collect()
    }

    #[test]
    fn the_same_hours_lead_to_the_same_bytes_and_change_little() {
        let home = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| States::of(&home.path().join(name), 0.01));
        one.make().unwrap();
        other.make().unwrap();
        let before = read(&one);
        let bytes: usize = before.iter().map(Vec::len).sum();
        assert!((9 << 20..12 << 20).contains(&bytes), "{bytes}");
        let change = one.change(1).unwrap();
        one.pass(2..=3).unwrap();
        other.pass(1..=3).unwrap();
        assert!(read(&one) == read(&other));
        let differ = before.iter().zip(read(&one)).filter(|(before, after)| *before != after).count();
        assert!((3..=5).contains(&differ), "three hours, a file each, the database and the log: {differ}");
        assert_eq!((change.files.len() as u64, change.pages.len() as u64), (1, one.pages / PAGES_PER_CHANGE));
    }

    #[test]
    fn the_database_is_taken_for_one() {
        let head: Vec<u8> = (0..8).flat_map(page).collect();
        let layout = holdfast_chunk::Layout::of(&head, 0, 100 * PAGE);
        assert_eq!(layout, holdfast_chunk::Layout::Paged);
    }
}
