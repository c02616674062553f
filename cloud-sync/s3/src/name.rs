//! Names in the bucket: how the URL's prefix is put before our keys and taken off again.

use holdfast_storage::key;

/// The name in the bucket.
pub(crate) fn full(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
}

/// The key of a name in the bucket, if it lies under our prefix and has the form of our keys.
/// Anything else was put there by somebody else: never touched, never believed.
pub(crate) fn ours<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    let rest = if prefix.is_empty() { name } else { name.strip_prefix(prefix)?.strip_prefix('/')? };
    key::check(rest).is_ok().then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_off_as_they_went_on() {
        assert_eq!(ours("site", &full("site", "packs/a")), Some("packs/a"));
        assert_eq!(ours("", "packs/a"), Some("packs/a"));
        for foreign in ["sites/packs/a", "other/a", "site", "site/", "site/../a", "site/a b"] {
            assert_eq!(ours("site", foreign), None, "{foreign}");
        }
    }
}
