//! Listings: which files a section of a snapshot has, without reading what is in them.
//!
//! A stored tree is outlined group by group, and only those groups that a question touches: the first folder of a
//! tree of a million files needs about twenty of a thousand. What was outlined lies on a shelf, by the hash of the
//! group's bytes, so that later snapshots share what did not change. Archives that are no trees are outlined whole.
//!
//! Invariants: memory is bounded by the shelves and one unit per question; contents are never read; paths come in the
//! order of [`path::order`], each once, or the question fails.

pub mod path;
mod shelf;
mod unit;

pub use shelf::Key;
pub use unit::{Naming, Row, Unit};

use crate::words::lock;
use futures::StreamExt;
use holdfast_model::{
    Error, Kind, Result,
    snapshot::StreamRef,
    view::{FileKind, FileView, From},
};
use holdfast_repository::{Part, Piece, Repository};
use holdfast_tar::{Found, Outline};
use sha2::{Digest, Sha256};
use shelf::Shelf;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::Semaphore;

/// Outlined units that are kept, bytes: those of a million files.
const UNITS: usize = 160 << 20;
/// Lists of groups that are kept, bytes: those of a hundred trees of a million files.
const LISTINGS: usize = 32 << 20;

/// What is remembered between questions.
#[derive(Debug)]
pub struct Shelves {
    units: Mutex<Shelf<Unit>>,
    listings: Mutex<Shelf<Listing>>,
}

impl Default for Shelves {
    fn default() -> Self {
        Shelves { units: Mutex::new(Shelf::new(UNITS)), listings: Mutex::new(Shelf::new(LISTINGS)) }
    }
}

/// Questions answered at one time.
const LOOKING: usize = 3;
/// Downloads at one time: each takes some ten MiB.
const SENDING: usize = 4;

/// What all looks into snapshots share.
#[derive(Debug)]
pub struct Looks {
    /// What is known already.
    pub shelves: Arc<Shelves>,
    /// Turns of questions.
    pub looking: Semaphore,
    /// Turns of downloads.
    pub sending: Arc<Semaphore>,
}

impl Default for Looks {
    fn default() -> Self {
        let (looking, sending) = (Semaphore::new(LOOKING), Arc::new(Semaphore::new(SENDING)));
        Looks { shelves: Arc::default(), looking, sending }
    }
}

/// Where listings are read from.
#[derive(Clone)]
pub struct Desk {
    /// The repository.
    pub repository: Repository,
    /// What is known already.
    pub shelves: Arc<Shelves>,
    /// The tier to read from.
    pub from: From,
}

/// The list of units of a section.
#[derive(Debug)]
pub struct Listing {
    slots: Vec<Slot>,
    /// First paths of units, as far as they were met.
    fences: Mutex<BTreeMap<usize, Box<[u8]>>>,
}

/// Where one unit comes from.
#[derive(Debug)]
pub struct Slot {
    /// Equal keys mean equal entries.
    pub key: Key,
    /// Where it begins in its stream, bytes.
    pub at: u64,
    pieces: Vec<(Part, Naming)>,
}

/// What lies at a path.
pub enum Lies {
    /// An entry, in this slot and unit, with this number.
    Entry(usize, Arc<Unit>, usize),
    /// Nothing but what lies below it.
    Implied,
}

/// A place in a listing.
pub struct Cursor<'a> {
    listing: &'a Listing,
    desk: &'a Desk,
    slot: usize,
    row: usize,
    unit: Option<Arc<Unit>>,
}

impl Listing {
    /// The listing of a section that these streams make up.
    pub async fn of(desk: &Desk, streams: &[(StreamRef, Naming)]) -> Result<Arc<Listing>> {
        let key = key_of(streams);
        if let Some(known) = lock(&desk.shelves.listings).get(&key) {
            return Ok(known);
        }
        let mut slots = Vec::new();
        if let [(stream, naming)] = streams {
            for part in desk.repository.parts(stream, desk.from).await? {
                let key = Sha256::new().chain_update(part.name).chain_update(tag(naming)).finalize().into();
                slots.push(Slot { key, at: part.at, pieces: vec![(part, naming.clone())] });
            }
        } else {
            let mut pieces = Vec::new();
            for (stream, naming) in streams {
                // Parts of a tree would lie at different places; a section of several streams has none.
                if stream.tree {
                    return Err(Error::bug("a section of several trees cannot be listed"));
                }
                let parts = desk.repository.parts(stream, desk.from).await?;
                pieces.extend(parts.into_iter().map(|part| (part, naming.clone())));
            }
            slots.push(Slot { key, at: 0, pieces });
        }
        let parts = slots.iter().flat_map(|slot| &slot.pieces);
        let weight = parts.map(|(part, _)| part.weight() + size_of::<Slot>() + 100).sum();
        let listing = Arc::new(Listing { slots, fences: Mutex::default() });
        lock(&desk.shelves.listings).put(key, Arc::clone(&listing), weight);
        Ok(listing)
    }

    /// Its units, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// A unit, outlined now if it is not known.
    pub async fn unit(&self, desk: &Desk, slot: usize) -> Result<Arc<Unit>> {
        let Slot { key, pieces, .. } = &self.slots[slot];
        let known = lock(&desk.shelves.units).get(key);
        let unit = match known {
            Some(unit) => unit,
            None => {
                let unit = Arc::new(outlined(desk, pieces).await?);
                lock(&desk.shelves.units).put(*key, Arc::clone(&unit), unit.weight());
                unit
            }
        };
        self.fence(slot, &unit)?;
        Ok(unit)
    }

    /// What the source said of the members of a unit: see [`Repository::identities`].
    pub async fn identities(&self, desk: &Desk, slot: usize) -> Result<Vec<u64>> {
        match &self.slots[slot].pieces[..] {
            [(part, _)] => desk.repository.identities(part, desk.from).await,
            _ => Ok(Vec::new()),
        }
    }

    /// The first entry that does not lie before `target`.
    pub async fn seek<'a>(&'a self, desk: &'a Desk, target: &[u8]) -> Result<Cursor<'a>> {
        self.seek_from(desk, 0, target).await
    }

    /// What lies at a path.
    pub async fn lies_at(&self, desk: &Desk, wanted: &[u8]) -> Result<Option<Lies>> {
        let mut cursor = self.seek(desk, wanted).await?;
        let Some((unit, row)) = cursor.here().await? else {
            return Ok(wanted.is_empty().then_some(Lies::Implied));
        };
        let found = unit.path(&unit.rows()[row]);
        Ok(if found == wanted {
            Some(Lies::Entry(cursor.slot, Arc::clone(&unit), row))
        } else if wanted.is_empty() || path::is_below(found, wanted) {
            Some(Lies::Implied)
        } else {
            None
        })
    }

    /// What lies in a folder, behind the name `after`: at most `limit`, and whether there is more. Entries without a
    /// usable name that were met are counted.
    pub async fn children(
        &self,
        desk: &Desk,
        folder: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<FileView>, bool, u64)> {
        let begin = match after {
            Some(name) => path::behind(&path::join(folder, name)),
            // Nothing lies between a folder and the first entry in it.
            None => [folder, b"/"].concat(),
        };
        let begin = if folder.is_empty() && after.is_none() { vec![1] } else { begin };
        let mut cursor = self.seek(desk, &begin).await?;
        let (mut files, mut left_out, mut counted) = (Vec::new(), 0, None);
        while let Some((unit, row)) = cursor.here().await? {
            if counted != Some(cursor.slot) {
                left_out += unit.left_out;
                counted = Some(cursor.slot);
            }
            let row = &unit.rows()[row];
            let found = unit.path(row);
            let Some(rest) = path::rest_below(found, folder) else { break };
            if files.len() == limit {
                return Ok((files, true, left_out));
            }
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or(rest);
            let child = path::join(folder, name);
            files.push(if child == found { unit.view(row) } else { implied(&child) });
            cursor.jump(&path::behind(&child)).await?;
        }
        Ok((files, false, left_out))
    }

    async fn seek_from<'a>(&'a self, desk: &'a Desk, least: usize, target: &[u8]) -> Result<Cursor<'a>> {
        // The last unit that begins at or before the target; the one before it may be passed over unseen.
        let (mut low, mut high) = (least, self.slots.len());
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if self.begins_behind(desk, middle, target).await? { high = middle } else { low = middle }
        }
        let mut cursor = Cursor { listing: self, desk, slot: low, row: 0, unit: None };
        if low < self.slots.len() {
            let unit = self.unit(desk, low).await?;
            cursor.row = unit.seek(target);
            cursor.unit = Some(unit);
        }
        Ok(cursor)
    }

    /// Whether a unit begins behind the target; one without entries begins where the one before it does.
    async fn begins_behind(&self, desk: &Desk, mut slot: usize, target: &[u8]) -> Result<bool> {
        loop {
            let known = lock(&self.fences).get(&slot).map(|first| path::order(first, target).is_gt());
            if let Some(behind) = known {
                return Ok(behind);
            }
            let unit = self.unit(desk, slot).await?;
            match (unit.rows().first(), slot) {
                (Some(row), _) => return Ok(path::order(unit.path(row), target).is_gt()),
                (None, 0) => return Ok(false),
                (None, _) => slot -= 1,
            }
        }
    }

    /// Remembers where a unit begins. `Corrupt` (`files.disorder`) if units do not follow one another.
    fn fence(&self, slot: usize, unit: &Unit) -> Result<()> {
        let (Some(first), Some(last)) = (unit.rows().first(), unit.rows().last()) else { return Ok(()) };
        let (first, last) = (unit.path(first), unit.path(last));
        let mut fences = lock(&self.fences);
        if fences.contains_key(&slot) {
            return Ok(());
        }
        let before = fences.range(..slot).next_back().is_some_and(|(_, fence)| path::order(fence, first).is_ge());
        let behind = fences.range(slot..).next().is_some_and(|(_, fence)| path::order(fence, last).is_le());
        if before || behind {
            return Err(Error::new(
                Kind::Corrupt,
                "files.disorder",
                "the files are not stored in the order of their names",
            )
            .advice("Restoring them works all the same. Report it: no release has written such a snapshot."));
        }
        fences.insert(slot, first.into());
        Ok(())
    }
}

impl Cursor<'_> {
    /// The entry here, or `None` behind the last one.
    pub async fn here(&mut self) -> Result<Option<(Arc<Unit>, usize)>> {
        while self.slot < self.listing.slots.len() {
            let unit = match &self.unit {
                Some(unit) => Arc::clone(unit),
                None => self.listing.unit(self.desk, self.slot).await?,
            };
            if self.row < unit.rows().len() {
                self.unit = Some(Arc::clone(&unit));
                return Ok(Some((unit, self.row)));
            }
            (self.slot, self.row, self.unit) = (self.slot + 1, 0, None);
        }
        Ok(None)
    }

    /// The slot of the entry here.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Goes on to the next entry.
    pub fn step(&mut self) {
        self.row += 1;
    }

    /// Goes on to the first entry that does not lie before `target`.
    pub async fn jump(&mut self, target: &[u8]) -> Result<()> {
        if let Some(unit) = &self.unit {
            let is_here = |row: &Row| path::order(unit.path(row), target).is_ge();
            if unit.rows().get(self.row + 1).is_some_and(is_here) {
                self.row += 1;
                return Ok(());
            }
            if unit.rows().last().is_some_and(is_here) {
                self.row = unit.seek(target);
                return Ok(());
            }
        }
        if self.slot + 1 >= self.listing.slots.len() {
            (self.slot, self.row, self.unit) = (self.slot + 1, 0, None);
        } else {
            *self = self.listing.seek_from(self.desk, self.slot + 1, target).await?;
        }
        Ok(())
    }
}

/// A folder of which only what lies in it was stored.
pub fn implied(full: &[u8]) -> FileView {
    let (name, path) = (path::show(path::last(full)), path::show(full));
    let kind = FileKind::Folder;
    FileView { name, path, kind, size: None, mode: None, uid: None, gid: None, mtime: None, link: None }
}

async fn outlined(desk: &Desk, pieces: &[(Part, Naming)]) -> Result<Unit> {
    let mut unit = Unit::default();
    for (stream, (part, naming)) in pieces.iter().enumerate() {
        let stream =
            u32::try_from(stream).map_err(|_| Error::bug("a section has more archives than can be counted"))?;
        let mut outline = Outline::new();
        let mut tell = |found: Found| unit.take(found, naming, stream);
        let mut coming = desk.repository.read_outline_of(part, desk.from);
        while let Some(piece) = coming.next().await {
            match piece? {
                Piece::Bytes(bytes) => outline.bytes(&bytes, &mut tell)?,
                Piece::Zeros(count) => outline.zeros(count, &mut tell)?,
            }
        }
        if part.is_whole() {
            outline.finish()?
        } else {
            outline.finish_stretch()?
        };
    }
    Ok(unit.finish())
}

fn key_of(streams: &[(StreamRef, Naming)]) -> Key {
    let mut hash = Sha256::new();
    for (stream, naming) in streams {
        let tag = tag(naming);
        hash.update(&stream.sha256);
        hash.update(stream.length.to_le_bytes());
        hash.update((tag.len() as u64).to_le_bytes());
        hash.update(tag);
    }
    hash.finalize().into()
}

fn tag(naming: &Naming) -> Vec<u8> {
    match naming {
        Naming::Under(root) => [b"u", *root].concat(),
        Naming::Into(folder) => [&b"i"[..], folder].concat(),
    }
}
