//! Where a group of entries ends: by names and sizes, never by what was there before.
//!
//! Invariant: whether a group ends after an entry depends on the entries since the last end alone, and between
//! the bounds on one name alone: after a file more or less, groups soon end where they ended before.

/// A group has at least so many entries (but for the last one, and around large files), at most so many.
const LEAST: u32 = 128;
const MOST: u32 = 1024;
/// Content of a group, bytes.
const BYTES: u64 = 128 << 20;
/// A file of this size is a group of its own, bytes.
const ALONE: u64 = 64 << 20;
/// One name in so many may end a group.
const ENDS: u64 = 256;

/// Groups entries as they come.
#[derive(Clone, Debug, Default)]
pub struct Grouper {
    entries: u32,
    bytes: u64,
    alone: bool,
}

impl Grouper {
    /// Before the first entry.
    pub fn new() -> Grouper {
        Grouper::default()
    }

    /// Takes the next entry: its path and the bytes of its content. Whether a new group begins with it.
    pub fn begins(&mut self, path: &[u8], content: u64) -> bool {
        let alone = content >= ALONE;
        let word = name_word(path);
        let full = self.entries >= MOST || self.bytes.saturating_add(content) > BYTES;
        let begins =
            self.entries == 0 || alone || self.alone || full || (self.entries >= LEAST && word.is_multiple_of(ENDS));
        if begins {
            *self = Grouper { entries: 0, bytes: 0, alone };
        }
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(content);
        begins
    }
}

/// Some well-mixed bits of a name: FNV-1a, and a multiplication that carries its last bytes upwards; nothing
/// secret hangs on them.
fn name_word(path: &[u8]) -> u64 {
    let hash =
        path.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(paths: &[(String, u64)]) -> Vec<String> {
        let mut grouper = Grouper::new();
        paths
            .iter()
            .filter(|(path, size)| grouper.begins(path.as_bytes(), *size))
            .map(|(path, _)| path.clone())
            .collect()
    }

    #[test]
    fn a_file_more_moves_few_ends() {
        let mut paths: Vec<(String, u64)> = (0..50_000).map(|n| (format!("v/{n:06}"), 100)).collect();
        let before = starts(&paths);
        paths.insert(20_000, ("v/019999a".into(), 100));
        let after = starts(&paths);
        let same = after.iter().filter(|path| before.contains(path)).count();
        assert!(before.len() > 12 && same + 4 >= after.len(), "{} of {}", same, after.len());
    }

    #[test]
    fn large_files_stand_alone_and_content_is_bounded() {
        let sizes = [10, 64 << 20, 10, 100 << 20, 70 << 20, 5, 60 << 20, 60 << 20, 60 << 20];
        let paths: Vec<(String, u64)> = sizes.iter().zip(0..).map(|(size, n)| (format!("{n}"), *size)).collect();
        assert_eq!(starts(&paths), ["0", "1", "2", "3", "4", "5", "8"]);
    }
}
