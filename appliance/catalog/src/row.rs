//! Rows: version, checksum, JSON.
//!
//! The checksum binds table, key and value, so that a row that strayed to another place is damaged too.

use crate::Table;
use holdfast_model::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The way rows are written. Rows of another version read as absent: the catalog is rebuilt.
const VERSION: u8 = 1;
/// Bytes of SHA-256 that are kept: one in 2^64 damages goes unseen.
const SUM: usize = 8;

/// Makes a row.
pub(crate) fn seal<V: Serialize>(table: Table, key: &str, value: &V) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value)
        .map_err(|e| Error::bug(format!("a row of table {} cannot be written", table.name())).caused_by(e))?;
    let mut row = Vec::with_capacity(1 + SUM + json.len());
    row.push(VERSION);
    row.extend_from_slice(&sum(table, key, &json));
    row.extend_from_slice(&json);
    Ok(row)
}

/// Reads a row, if it is whole.
pub(crate) fn open<V: DeserializeOwned>(table: Table, key: &str, row: &[u8]) -> Option<V> {
    let (&version, rest) = row.split_first()?;
    let (told, json) = rest.split_at_checked(SUM)?;
    if version != VERSION || told != sum(table, key, json) {
        tracing::warn!(table = table.name(), key, "a damaged row of the catalog is taken as absent");
        return None;
    }
    // A whole row of another shape was written by another release: absent as well.
    serde_json::from_slice(json).ok()
}

fn sum(table: Table, key: &str, json: &[u8]) -> [u8; SUM] {
    let mut hash = Sha256::new();
    for part in [table.name().as_bytes(), key.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(json);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hash.finalize()[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_every_stray_is_seen() {
        let row = seal(Table::Packs, "ab", &vec![1u32, 2, 3]).unwrap();
        assert_eq!(open::<Vec<u32>>(Table::Packs, "ab", &row), Some(vec![1, 2, 3]));
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open::<Vec<u32>>(Table::Packs, "ab", &bad), None);
        }
        for end in 0..row.len() {
            assert_eq!(open::<Vec<u32>>(Table::Packs, "ab", &row[..end]), None);
        }
        assert_eq!(open::<Vec<u32>>(Table::Jobs, "ab", &row), None);
        assert_eq!(open::<Vec<u32>>(Table::Packs, "ac", &row), None);
        assert_eq!(open::<String>(Table::Packs, "ab", &row), None);
    }
}
