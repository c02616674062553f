//! Which keys and prefixes are lawful. Everything else is refused before any store is touched.
//!
//! Invariant: a lawful key cannot leave the folder it is joined to, on any file system: no empty
//! part, no part that begins with a dot, only `[A-Za-z0-9._-]`.

use holdfast_model::{Error, Result};

/// Longest key in bytes; every S3 dialect takes 1024, some gateways add a prefix of their own.
pub const MAX_KEY: usize = 512;
/// Longest part in bytes; file systems stop at 255.
pub const MAX_PART: usize = 200;

/// Accepts a lawful key. `Invalid` (`object.key`) otherwise.
pub fn check(key: &str) -> Result<()> {
    let lawful = key.len() <= MAX_KEY && key.split('/').all(|part| !part.is_empty() && is_part(part));
    if lawful { Ok(()) } else { Err(refusal("object name", key)) }
}

/// Accepts the beginning of a lawful key; the empty prefix names everything. `Invalid` (`object.key`) otherwise.
pub fn check_prefix(prefix: &str) -> Result<()> {
    let (folder, rest) = split_prefix(prefix);
    let lawful = prefix.len() <= MAX_KEY
        && (folder.is_empty() || folder.split('/').all(|part| !part.is_empty() && is_part(part)))
        && (is_part(rest))
        && !prefix.starts_with('/');
    if lawful { Ok(()) } else { Err(refusal("name prefix", prefix)) }
}

/// Cuts a prefix into the folder it names fully and the beginning of the next part.
pub fn split_prefix(prefix: &str) -> (&str, &str) {
    prefix.rsplit_once('/').unwrap_or(("", prefix))
}

/// Whether `name` could be a part of a key (the empty beginning of a part included).
pub(crate) fn is_part(name: &str) -> bool {
    name.len() <= MAX_PART
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn refusal(what: &str, text: &str) -> Error {
    let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
    Error::invalid("object.key", format!("'{shown}' is not a lawful {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lawful_keys_pass() {
        for key in ["a", "packs/ab/abcdef", "snapshots/2026-11.x_y", "a/b/c/d/e", "a..b"] {
            check(key).unwrap();
            check_prefix(key).unwrap();
        }
    }

    #[test]
    fn every_way_out_of_the_folder_is_refused() {
        let long = "a".repeat(MAX_PART + 1);
        let many = "a/".repeat(MAX_KEY) + "b";
        for key in [
            "", "/", "/a", "a/", "a//b", "..", ".", "a/../b", "../a", ".tmp/x", "a\0b", "ä", "a b", "a\\b", &long,
            &many,
        ] {
            assert_eq!(check(key).unwrap_err().code(), "object.key", "{key:?}");
        }
    }

    #[test]
    fn prefixes_may_end_anywhere() {
        for prefix in ["", "a", "a/", "packs/a"] {
            check_prefix(prefix).unwrap();
        }
        for prefix in ["/", "//", "..", "a/..", "a//", "../", ".t"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
    }
}
