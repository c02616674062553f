//! Names of objects: which key belongs to which thing, the same in both tiers.
//!
//! Invariant: everything with a content name can be verified by anybody, without a key.

use holdfast_model::{PackId, SegmentId, SnapshotId};

/// The format object.
pub(crate) const FORMAT: &str = "format";
/// The appliance's own slot: stays in the cache.
pub(crate) const DEVICE_SLOT: &str = "k/device";
/// Prefixes of the classes.
pub(crate) const SLOTS: &str = "k/";
/// Slots that are there once per epoch or number, and those that people make.
pub(crate) const EPOCH_SLOTS: &str = "k/epoch-";
pub(crate) const RECOVERY_SLOTS: &str = "k/recovery-";
pub(crate) const PASSPHRASE_SLOTS: &str = "k/passphrase-";
pub(crate) const ESCROW_SLOTS: &str = "k/escrow-";
pub(crate) const SEGMENTS: &str = "i/";
pub(crate) const SNAPSHOTS: &str = "s/";
pub(crate) const REACHES: &str = "r/";
pub(crate) const SETTINGS: &str = "c/";
pub(crate) const TOMBSTONES: &str = "d/";
pub(crate) const FENCES: &str = "w/";
/// Lives in the bucket alone, so it is none of the classes that travel.
pub(crate) const CONDEMNED: &str = "g/";
/// Own verdicts as the cache remembers them; they never leave it.
pub(crate) const VERDICTS: &str = "v/";

/// Packs of data: most of all bytes, and read by restores alone. Those of metadata lie elsewhere.
pub const DATA_PACKS: &str = "p/";

/// Data and metadata lie in packs apart: metadata is read often, data rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum PackKind {
    Data = 1,
    Meta = 2,
}

impl PackKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(PackKind::Data),
            2 => Some(PackKind::Meta),
            _ => None,
        }
    }
}

pub(crate) fn pack_key(kind: PackKind, id: &PackId) -> String {
    let name = id.to_hex();
    let class = match kind {
        PackKind::Data => 'p',
        PackKind::Meta => 'm',
    };
    format!("{class}/{}/{name}", &name[..2])
}

pub(crate) fn parse_pack(key: &str) -> Option<(PackKind, PackId)> {
    let kind = match key.get(..2)? {
        DATA_PACKS => PackKind::Data,
        "m/" => PackKind::Meta,
        _ => return None,
    };
    let id: PackId = key.get(5..)?.parse().ok()?;
    (pack_key(kind, &id) == key).then_some((kind, id))
}

pub(crate) fn segment_key(id: &SegmentId) -> String {
    format!("{SEGMENTS}{id}")
}

pub(crate) fn parse_segment(key: &str) -> Option<SegmentId> {
    key.strip_prefix(SEGMENTS)?.parse().ok()
}

pub(crate) fn snapshot_key(id: &SnapshotId) -> String {
    format!("{SNAPSHOTS}{id}")
}

pub(crate) fn reach_key(id: &SnapshotId) -> String {
    format!("{REACHES}{id}")
}

pub(crate) fn tombstone_key(id: &SnapshotId) -> String {
    format!("{TOMBSTONES}{id}")
}

pub(crate) fn settings_key(generation: u64) -> String {
    format!("{SETTINGS}{generation:016}")
}

/// The name of the edition of a reach list that comes after another one. Two that were written by nobody who knew of
/// the other differ in their random half.
pub(crate) fn next_edition(id: &SnapshotId, newest: Option<&String>) -> String {
    let edition = newest.and_then(|key| key.split_once('.')).and_then(|(_, name)| name.get(..4)?.parse().ok());
    let next = edition.unwrap_or(0u32) + 1;
    format!("{}.{next:04}-{}", reach_key(id), hex::encode(holdfast_runtime::random::<4>()))
}

/// Whether a key is that of a reach list's edition after the first.
pub(crate) fn is_later_edition(key: &str) -> bool {
    key.starts_with(REACHES) && key.contains('.')
}

/// The snapshot that a key of some class speaks of.
pub(crate) fn snapshot_of(key: &str) -> Option<SnapshotId> {
    let name = key.get(2..)?;
    let edition = name.split_once('.').filter(|_| key.starts_with(REACHES));
    edition.map_or(name, |(id, _)| id).parse().ok()
}

/// Whether an object is one of ours that travels to the bucket. What else lies there, a probe's canaries or somebody's
/// notes, is not ours to count, to miss or to fetch.
pub(crate) fn travels(key: &str) -> bool {
    const CLASSES: [&str; 9] = [DATA_PACKS, "m/", SLOTS, SEGMENTS, SNAPSHOTS, REACHES, SETTINGS, TOMBSTONES, FENCES];
    key != DEVICE_SLOT && (key == FORMAT || CLASSES.iter().any(|class| key.starts_with(class)))
}
