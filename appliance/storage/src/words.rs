//! The errors every store gives, in the same words: codes here are what callers match on.

use holdfast_model::{Error, Kind, Moment};
use std::ops::Range;

/// Code of the error of a store that keeps no versions and no locks.
pub const NO_LOCK: &str = "store.no_lock";
/// Code of the error of a store that took an object and does not show its lock.
pub const NOT_KEPT: &str = "lock.not_kept";

/// The object is not there (`object.missing`).
pub fn missing(key: &str) -> Error {
    Error::not_found("object.missing", format!("object {key} is not in the store"))
}

/// Another object with this name but another size is there (`object.differs`).
pub fn differs(key: &str, there: u64, ours: u64) -> Error {
    Error::new(
        Kind::Conflict,
        "object.differs",
        format!("object {key} exists already with {there} bytes, ours has {ours}; the stored one was left alone"),
    )
    .advice("something else writes to this store, or the stored object was cut short: run a check")
}

/// The object ends before the range does (`object.short`).
pub fn short(key: &str, range: &Range<u64>, size: u64) -> Error {
    Error::new(
        Kind::Corrupt,
        "object.short",
        format!("object {key} has {size} bytes, but bytes {} to {} were promised", range.start, range.end),
    )
}

/// A range that ends before it begins (`object.range`).
pub fn bad_range(key: &str, range: &Range<u64>) -> Error {
    Error::invalid("object.range", format!("bytes {} to {} of {key} are no range", range.start, range.end))
}

/// The store keeps no versions of objects and locks none (`store.no_lock`); nothing was done.
pub fn no_lock(place: &str) -> Error {
    Error::new(Kind::Refused, NO_LOCK, format!("{place} keeps no old versions of objects and locks none"))
        .advice("Object lock is decided when a bucket is made: make one with it, or do without locks.")
}

/// The store took the object and does not show the lock that was asked for (`lock.not_kept`).
pub fn not_kept(place: &str, key: &str) -> Error {
    Error::new(Kind::Refused, NOT_KEPT, format!("{place} took {key} and does not show that it is locked"))
        .advice("Probe the bucket; some stores take the request for a lock and do nothing.")
}

/// The version is locked (`object.locked`).
pub fn locked(key: &str, until: Moment) -> Error {
    Error::new(Kind::Refused, "object.locked", format!("object {key} is locked until {until}"))
}
