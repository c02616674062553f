//! Typed ids. Content ids are 32 bytes shown as lowercase hex; event ids sort by time.

use crate::{Error, Moment};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The id's raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
            /// Lowercase hex, the form used in names and texts.
            pub fn to_hex(self) -> String {
                hex::encode(self.0)
            }
            /// The first eight hex digits, for people.
            pub fn short(self) -> String {
                hex::encode(&self.0[..4])
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                let mut bytes = [0u8; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| {
                    Error::invalid("id.malformed", format!("“{}” is not a {} ({} hex digits)", text, stringify!($name), $len * 2))
                })?;
                Ok($name(bytes))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(|_| de::Error::custom(concat!("malformed ", stringify!($name))))
            }
        }
    };
}

hex_id!(
    /// Keyed BLAKE3 of a chunk's plaintext; meaningless outside its repository.
    ChunkId, 32
);
hex_id!(
    /// SHA-256 of a pack's sealed bytes: anyone can verify it without a key.
    PackId, 32
);
hex_id!(
    /// SHA-256 of an index segment's sealed bytes.
    SegmentId, 32
);
hex_id!(
    /// SHA-256 that proves one segment of a tree: over what it takes from chunks, then over its operations.
    SegmentSum, 32
);
hex_id!(
    /// What a source says of a group of entries: while it stays the same, none of them has changed.
    Witness, 32
);
hex_id!(
    /// Keyed hash of a file's path in its archive; meaningless outside its repository.
    FileKey, 16
);
hex_id!(
    /// Random id of a repository.
    RepositoryId, 16
);

/// Crockford base 32 in lowercase: no i, l, o, u, so that it survives a phone call.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters: 48 bits of milliseconds, then 80 random bits. Sorts by time.
fn timed_id(at: Moment, random: [u8; 10]) -> String {
    let millis = u64::try_from(at.millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    let mut bits = u128::from(millis) << 80;
    for (place, byte) in random.iter().enumerate() {
        bits |= u128::from(*byte) << (72 - 8 * place);
    }
    (0..26).rev().map(|place| BASE32[((bits >> (5 * place)) & 31) as usize] as char).collect()
}

fn is_timed_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| BASE32.contains(&byte))
}

macro_rules! timed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new id for something that happens at `at`, from ten random bytes.
            pub fn new(at: Moment, random: [u8; 10]) -> Self {
                $name(timed_id(at, random))
            }
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                if is_timed_id(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(Error::invalid("id.malformed", format!("“{text}” is not a {}", stringify!($name))))
                }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|_| de::Error::custom(concat!("malformed ", stringify!($name))))
            }
        }
    };
}

timed_id!(
    /// Names one restore point.
    SnapshotId
);
timed_id!(
    /// Names one piece of work.
    JobId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_ids_sort_by_time() {
        let early = SnapshotId::new(Moment::from_millis(1_000), [255; 10]);
        let late = SnapshotId::new(Moment::from_millis(1_001), [0; 10]);
        assert!(early < late);
        assert_eq!(early.as_str().len(), 26);
        assert_eq!(early.to_string().parse::<SnapshotId>().unwrap(), early);
    }

    #[test]
    fn hex_ids_refuse_what_they_are_not() {
        assert!("zz".parse::<PackId>().is_err());
        assert!("../../etc/passwd".parse::<SnapshotId>().is_err());
        let id: PackId = "ab".repeat(32).parse().unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
    }
}
