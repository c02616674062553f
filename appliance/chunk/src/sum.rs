//! Sums of stretches: do the bytes that come out equal those that went in?
//!
//! BLAKE3 without a key: sums lie inside sealed recipes, and at several times the speed of SHA-256 they cost a backup next to
//! nothing. Invariant: the hasher gets whole [`BLOCK`]s, since only those use all lanes of the machine.

/// Small pieces are gathered to this size, bytes.
const BLOCK: usize = 64 << 10;

/// Adds up bytes.
#[derive(Clone, Debug, Default)]
pub struct Summer {
    hasher: blake3::Hasher,
    /// Less than a block.
    waiting: Vec<u8>,
}

impl Summer {
    /// Over nothing.
    pub fn new() -> Summer {
        Summer::default()
    }

    /// Takes bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        if !self.waiting.is_empty() {
            let (first, rest) = bytes.split_at(bytes.len().min(BLOCK - self.waiting.len()));
            self.waiting.extend_from_slice(first);
            bytes = rest;
            if self.waiting.len() < BLOCK {
                return;
            }
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        let (blocks, rest) = bytes.split_at(bytes.len() - bytes.len() % BLOCK);
        self.hasher.update(blocks);
        self.waiting.extend_from_slice(rest);
    }

    /// The 32-byte sum of what came since the last one.
    pub fn sum(&mut self) -> [u8; 32] {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
        let sum = self.hasher.finalize().into();
        self.hasher.reset();
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_the_hash_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let whole: [u8; 32] = blake3::hash(&bytes).into();
        let mut summer = Summer::new();
        for size in [1, 511, 512, 65_535, 65_536, 65_537, 200_000, 300_000] {
            bytes.chunks(size).for_each(|part| summer.update(part));
            assert_eq!(summer.sum(), whole, "pieces of {size}");
        }
        assert_eq!(summer.sum(), <[u8; 32]>::from(blake3::hash(b"")));
    }
}
