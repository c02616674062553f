//! The errors every store gives, in the same words: codes here are what callers match on.

use holdfast_model::{Error, Kind};
use std::ops::Range;

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
