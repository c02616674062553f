//! What the name of an object in a tenant's bucket says, to whoever has no key. Pure.
//!
//! The names are those of the repository's format. It is written down here once more, because this room knows no repository; a test of
//! the whole house holds the two together. Invariant: a name that no appliance writes is foreign, however near it comes.

use holdfast_model::{PackId, SnapshotId};
use std::str::FromStr;

/// What an object of a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    Format,
    Slot,
    Data,
    Meta,
    Segment,
    Reach,
    Snapshot,
    Settings,
    Tombstone,
    Condemned,
    Fence,
    /// What probes of the bucket left; no part of the repository.
    Probe,
}

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// An object that belongs into a bucket.
    Of(Class),
    /// One that an appliance keeps to itself.
    Private,
    /// Nobody of ours writes it.
    Foreign,
}

impl Class {
    /// All, in the order in which they are told.
    pub(crate) const ALL: [Class; 12] = [
        Class::Format,
        Class::Slot,
        Class::Data,
        Class::Meta,
        Class::Segment,
        Class::Reach,
        Class::Snapshot,
        Class::Settings,
        Class::Tombstone,
        Class::Condemned,
        Class::Fence,
        Class::Probe,
    ];

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Class::Format => "format",
            Class::Slot => "key slots",
            Class::Data => "data packs",
            Class::Meta => "metadata packs",
            Class::Segment => "index segments",
            Class::Reach => "reach lists",
            Class::Snapshot => "snapshots",
            Class::Settings => "settings",
            Class::Tombstone => "tombstones",
            Class::Condemned => "condemn lists",
            Class::Fence => "fences",
            Class::Probe => "left by probes",
        }
    }

    /// The kind in the head of a sealed object; `None` where the object is no such envelope.
    pub(crate) fn envelope(self) -> Option<u8> {
        match self {
            Class::Snapshot => Some(1),
            Class::Reach => Some(3),
            Class::Settings => Some(4),
            Class::Tombstone => Some(5),
            Class::Fence => Some(7),
            Class::Condemned => Some(8),
            Class::Format | Class::Slot | Class::Data | Class::Meta | Class::Segment | Class::Probe => None,
        }
    }

    /// The kind in the head of a pack; `None` where the object is none.
    pub(crate) fn pack(self) -> Option<u8> {
        match self {
            Class::Data => Some(1),
            Class::Meta => Some(2),
            _ => None,
        }
    }
}

/// What a name says.
pub(crate) fn parse(key: &str) -> Name {
    if key == "format" {
        return Name::Of(Class::Format);
    }
    let Some((class, rest)) = key.split_once('/') else { return Name::Foreign };
    let (class, is_named) = match class {
        "k" if rest == "device" => return Name::Private,
        "v" if is_number(rest, 16) => return Name::Private,
        "k" => (Class::Slot, is_slot(rest)),
        "p" => (Class::Data, is_pack(rest)),
        "m" => (Class::Meta, is_pack(rest)),
        "i" => (Class::Segment, is_hash(rest)),
        "r" => (Class::Reach, snapshot_of_reach(rest).is_some()),
        "s" => (Class::Snapshot, is_snapshot(rest)),
        "c" => (Class::Settings, is_number(rest, 16)),
        "d" => (Class::Tombstone, is_snapshot(rest)),
        "g" => (Class::Condemned, is_list(rest)),
        "w" => (Class::Fence, is_pair(rest, |number| is_number(number, 16), |dice| is_hex(dice, 16))),
        "probe" => (Class::Probe, true),
        _ => return Name::Foreign,
    };
    if is_named { Name::Of(class) } else { Name::Foreign }
}

/// The SHA-256 that a content-named object has to have, hex.
pub(crate) fn hash_of(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, hash)| hash)
}

/// The snapshot that a reach list is of, by its name behind `r/`: `SNAPSHOT`, or a later edition `SNAPSHOT.NNNN-XXXXXXXX`.
pub(crate) fn snapshot_of_reach(rest: &str) -> Option<&str> {
    let (id, edition) = rest.split_once('.').map_or((rest, None), |(id, edition)| (id, Some(edition)));
    let is_edition = |edition| is_pair(edition, |number| is_number(number, 4), |dice| is_hex(dice, 8));
    (is_snapshot(id) && edition.is_none_or(is_edition)).then_some(id)
}

fn is_slot(rest: &str) -> bool {
    let Some((way, name)) = rest.split_once('-') else { return false };
    match way {
        "recovery" => name.parse::<u32>().is_ok_and(|number| number.to_string() == name),
        "epoch" => name.parse::<u8>().is_ok_and(|number| number.to_string() == name),
        "passphrase" | "escrow" => is_hex(name, 8),
        _ => false,
    }
}

fn is_pack(rest: &str) -> bool {
    rest.split_once('/').is_some_and(|(folder, hash)| is_hash(hash) && hash.starts_with(folder) && folder.len() == 2)
}

fn is_hash(text: &str) -> bool {
    PackId::from_str(text).is_ok_and(|id| id.to_hex() == text)
}

fn is_snapshot(text: &str) -> bool {
    SnapshotId::from_str(text).is_ok()
}

/// `LIFE-NUMBER`, or `LIFE-NUMBER.LIFE-NUMBER`.
fn is_list(rest: &str) -> bool {
    let is_one = |part: &str| is_pair(part, |life| is_hex(life, 16), |number| is_number(number, 6));
    rest.split_once('.').map_or_else(|| is_one(rest), |(list, verdict)| is_one(list) && is_one(verdict))
}

fn is_pair(text: &str, left: impl Fn(&str) -> bool, right: impl Fn(&str) -> bool) -> bool {
    text.split_once('-').is_some_and(|(first, second)| left(first) && right(second))
}

/// Digits, filled up with zeros to so many: more of them only where the number needs them.
fn is_number(text: &str, digits: usize) -> bool {
    let is_long_enough = text.len() == digits || (text.len() > digits && !text.starts_with('0'));
    is_long_enough && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01kapcjr00000000000000000a";

    fn hash() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn names_of_an_appliance_are_known() {
        let hash = hash();
        let named = [
            ("format".to_owned(), Class::Format),
            ("k/recovery-0".into(), Class::Slot),
            ("k/epoch-255".into(), Class::Slot),
            ("k/passphrase-00ff00ff".into(), Class::Slot),
            ("k/escrow-00ff00ff".into(), Class::Slot),
            (format!("p/ab/{hash}"), Class::Data),
            (format!("m/ab/{hash}"), Class::Meta),
            (format!("i/{hash}"), Class::Segment),
            (format!("r/{ID}"), Class::Reach),
            (format!("r/{ID}.0002-00ff00ff"), Class::Reach),
            (format!("s/{ID}"), Class::Snapshot),
            ("c/0000000000000007".into(), Class::Settings),
            (format!("d/{ID}"), Class::Tombstone),
            ("g/00ff00ff00ff00ff-000001".into(), Class::Condemned),
            ("g/00ff00ff00ff00ff-000001.11ff00ff00ff00ff-1000000".into(), Class::Condemned),
            ("w/0000000000000001-00ff00ff00ff00ff".into(), Class::Fence),
            ("probe/wall".into(), Class::Probe),
        ];
        for (key, class) in named {
            assert_eq!(parse(&key), Name::Of(class), "{key}");
        }
        assert_eq!([parse("k/device"), parse("v/0000000000000001")], [Name::Private; 2]);
        assert_eq!(snapshot_of_reach(&format!("{ID}.0002-00ff00ff")), Some(ID));
        assert_eq!(hash_of(&format!("p/ab/{hash}")), hash);
    }

    #[test]
    fn what_comes_near_is_foreign() {
        let (hash, loud) = (hash(), "AB".repeat(32));
        for key in [
            String::new(),
            "Format".into(),
            "format/".into(),
            "notes.txt".into(),
            "k/recovery-".into(),
            "k/recovery-00".into(),
            "k/epoch-256".into(),
            "k/escrow-00FF00FF".into(),
            "k/escrow-00ff00f".into(),
            format!("p/{hash}"),
            format!("p/cd/{hash}"),
            format!("p/a/{hash}"),
            format!("p//{hash}"),
            format!("p/ab/{hash}.bak"),
            format!("p/AB/{loud}"),
            format!("i/{loud}"),
            format!("s/{ID}.0001-00ff00ff"),
            format!("s/{ID}0"),
            format!("r/{ID}.2-00ff00ff"),
            format!("r/{ID}.0002"),
            format!("r/{ID}."),
            "c/7".into(),
            "c/00000000000000070".into(),
            "g/00ff00ff00ff00ff-1".into(),
            "w/0000000000000001-00ff".into(),
            "v/1".into(),
            format!("x/{hash}"),
        ] {
            assert_eq!(parse(&key), Name::Foreign, "{key}");
        }
    }

    #[test]
    fn every_class_is_told_once() {
        let mut titles: Vec<&str> = Class::ALL.iter().map(|class| class.title()).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), Class::ALL.len());
    }
}
