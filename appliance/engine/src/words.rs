//! Small words for people: sizes, durations, near names, locks that outlive a panic. Pure.

use holdfast_model::Moment;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks; a panic of an earlier holder does not spread, because every holder leaves whole values behind.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, as [`lock`].
pub fn read<T>(cell: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    cell.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, as [`lock`].
pub fn write<T>(cell: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    cell.write().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes as people read them: `1.4 GB`, decimal units as on disks' boxes.
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// Seconds as people read them, two units at most: `2 h 5 min`.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", seconds % 60),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

/// Time from `earlier` to `now` in words; nothing negative.
pub fn ago(earlier: Moment, now: Moment) -> String {
    span(u64::try_from(now.since(earlier) / 1000).unwrap_or(0))
}

/// `1 snapshot`, `2 snapshots`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Up to three of `names` that somebody may have meant, nearest first.
pub fn near<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // Longer texts are nobody's typing; the bound keeps the table small.
    let asked: Vec<char> = asked.to_lowercase().chars().take(100).collect();
    let mut scored: Vec<(usize, &str)> = names
        .map(|name| {
            let low: Vec<char> = name.to_lowercase().chars().take(100).collect();
            let tail: Vec<char> = low.iter().skip_while(|c| **c != '/').skip(1).copied().collect();
            (distance(&asked, &low).min(if tail.is_empty() { usize::MAX } else { distance(&asked, &tail) }), name)
        })
        .filter(|(far, _)| *far <= 2.max(asked.len() / 3))
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// What to say to somebody who asked for a name that is not there: names that are near, else `all` that there are.
pub fn meant<'a>(asked: &str, all: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    match near(asked, names.clone()) {
        near if near.is_empty() => format!("{all} {}.", names.collect::<Vec<_>>().join(", ")),
        near => format!("Did you mean {}?", near.join(" or ")),
    }
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = corner + usize::from(left != right);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_well() {
        let sizes =
            [(0, "0 bytes"), (999, "999 bytes"), (1400, "1.4 kB"), (999_960, "1.0 MB"), (u64::MAX, "18446.7 PB")];
        for (bytes, words) in sizes {
            assert_eq!(size(bytes), words);
        }
        let spans = [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7500, "2 h 5 min"), (7200, "2 h"), (90_000, "1 d 1 h")];
        for (seconds, words) in spans {
            assert_eq!(span(seconds), words);
        }
        assert_eq!(count(1, "snapshot"), "1 snapshot");
    }

    #[test]
    fn near_names_are_found() {
        let names = ["local/shop", "local/blog", "attic/shop-restore"];
        assert_eq!(near("shpo", names.into_iter()), ["local/shop"]);
        assert_eq!(near("local/blgo", names.into_iter()), ["local/blog"]);
        assert!(near("zzzzzz", names.into_iter()).is_empty());
    }
}
