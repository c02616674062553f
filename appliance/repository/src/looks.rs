//! Looking at a stored object before it is judged: damage where it lies, and damage on its way to us, are not the same.
//!
//! Invariants: an object counts as bad only if its store gave the same bad bytes twice, as many as it says that it holds;
//! nothing that was not looked at like that is written over, for a put may break off and leave half of what was good.

use crate::{
    format::Format,
    inner::{Inner, is_absent},
    layout,
    layout::FORMAT,
    threads::blocking,
};
use bytes::Bytes;
use holdfast_chunk::ObjectKind;
use holdfast_model::{Kind, Problem, Result};
use holdfast_storage::Store;

/// How often something is read before it is left undecided.
pub(crate) const LOOKS: usize = 4;

/// How a copy of an object was found.
#[derive(Debug)]
pub(crate) enum Copy {
    Good(Bytes),
    /// Damaged where it lies.
    Bad,
    Absent,
    /// Never good and never twice the same: nobody knows what lies there.
    Unsure,
}

/// What was seen of one copy so far.
#[derive(Default)]
pub(crate) struct Looks {
    count: usize,
    before: Option<[u8; 32]>,
}

impl Looks {
    /// Judges one reading, whose bytes come with whether they are good. `None`: look again.
    pub(crate) async fn judge(
        &mut self,
        store: &dyn Store,
        key: &str,
        read: Result<(Bytes, bool)>,
    ) -> Result<Option<Copy>> {
        self.count += 1;
        let bad = match read {
            Ok((bytes, true)) => return Ok(Some(Copy::Good(bytes))),
            Ok((bytes, false)) => {
                let size = bytes.len() as u64;
                let print = blocking(move || Ok(holdfast_chunk::sha256(&bytes))).await?;
                let seen_before = self.before.replace(print) == Some(print);
                seen_before && store.head(key).await?.is_some_and(|info| info.size == size)
            }
            Err(error) if is_absent(&error) => return Ok(Some(Copy::Absent)),
            // The store itself says so.
            Err(error) if error.kind() == Kind::Corrupt => self.count >= LOOKS,
            Err(error) => return Err(error),
        };
        Ok(match (bad, self.count >= LOOKS) {
            (true, _) => Some(Copy::Bad),
            (false, true) => Some(Copy::Unsure),
            (false, false) => None,
        })
    }
}

/// An object that came differently each time.
pub(crate) fn unsteady(key: &str) -> Problem {
    let text = "each time this object was asked for, other bytes came: nobody can tell what is stored there";
    Problem::warning("object.unsteady", key, text).advice("look after the way to the store, and check again")
}

impl Inner {
    /// Looks at a small object in a store.
    pub(crate) async fn look_at(&self, store: &dyn Store, key: &str) -> Result<Copy> {
        let mut looks = Looks::default();
        loop {
            let read = match store.get(key).await {
                Ok(bytes) => self.judged(key, bytes).await,
                Err(error) => Err(error),
            };
            if let Some(copy) = looks.judge(store, key, read).await? {
                return Ok(copy);
            }
        }
    }

    /// Index segments are large: hashing one runs off the async threads.
    pub(crate) async fn judged(&self, key: &str, bytes: Bytes) -> Result<(Bytes, bool)> {
        let Some(id) = layout::parse_segment(key) else {
            let good = self.is_genuine(key, &bytes);
            return Ok((bytes, good));
        };
        blocking(move || {
            let good = holdfast_chunk::sha256(&bytes) == *id.as_bytes();
            Ok((bytes, good))
        })
        .await
    }

    /// Whether one who holds our keys wrote these bytes, all of them, under this name.
    pub(crate) fn is_genuine(&self, key: &str, bytes: &Bytes) -> bool {
        const SEALED: [(&str, ObjectKind); 5] = [
            (layout::SNAPSHOTS, ObjectKind::Snapshot),
            (layout::REACHES, ObjectKind::Reach),
            (layout::TOMBSTONES, ObjectKind::Tombstone),
            (layout::SETTINGS, ObjectKind::Settings),
            (layout::FENCES, ObjectKind::Fence),
        ];
        if key == FORMAT {
            return Format::decode(bytes).is_ok_and(|format| format.verify(&self.keys).is_ok());
        }
        if key.starts_with(layout::SLOTS) {
            return self.is_our_slot(key, bytes);
        }
        let sealed = SEALED.iter().find(|(class, _)| key.starts_with(class));
        sealed.is_some_and(|(_, kind)| self.envelope().open(*kind, key, bytes).is_ok())
    }
}
