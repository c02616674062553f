//! Whole sealed objects: snapshots, index segments, reach lists, settings, tombstones, pack footers.
//!
//! ```text
//! 0     4     5     6      7    8              40            72       76
//! | HFEN| ver | kind| epoch| 0 | salt 32      | commit 32   | length | zstd(body) sealed … tag 16 |
//! ```
//! Invariants: each object has a key of its own, because its salt is a keyed hash of randomness and of all that is sealed: even a
//! machine set back to an earlier state, whose generator repeats, never seals two objects under one key; the
//! commitment ties the object to that key before anything is decrypted; kind, epoch, repository and name are bound,
//! so an object moved, renamed or swapped does not open.

use crate::{
    aead::{self, ONCE, TAG},
    keys::{Keys, STRANGE_EPOCH},
    random,
};
use holdfast_model::{Error, Kind, RepositoryId, Result};
use std::{cell::RefCell, io};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"HFEN";
const VERSION: u8 = 1;
const HEADER: usize = 72;
/// Largest body that is opened, bytes: hostile lengths end here.
pub const BODY_MAX: usize = 512 * 1024 * 1024;

/// What a sealed object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectKind {
    /// A snapshot manifest.
    Snapshot = 1,
    /// An index segment.
    Segment = 2,
    /// A list of packs that a snapshot needs.
    Reach = 3,
    /// The settings document.
    Settings = 4,
    /// The word that a snapshot is to be forgotten.
    Tombstone = 5,
    /// The table of contents at a pack's end.
    Footer = 6,
    /// The word that a writer has taken over.
    Fence = 7,
    /// Packs that count as absent, or that will be deleted.
    Condemned = 8,
}

impl ObjectKind {
    /// The base key of this kind in an epoch; `None` if the epoch is not known.
    fn key(self, keys: &Keys, epoch: u8) -> Option<&[u8; 32]> {
        match self {
            ObjectKind::Snapshot => keys.manifest(epoch),
            ObjectKind::Segment | ObjectKind::Footer => keys.index(epoch),
            ObjectKind::Settings => keys.settings(epoch),
            ObjectKind::Reach | ObjectKind::Tombstone | ObjectKind::Fence | ObjectKind::Condemned => {
                (epoch == 0).then_some(keys.maintenance())
            }
        }
    }
    /// The epoch that new objects of this kind are sealed in: what garbage collectors read has none.
    fn epoch(self, keys: &Keys) -> u8 {
        match self {
            ObjectKind::Reach | ObjectKind::Tombstone | ObjectKind::Fence | ObjectKind::Condemned => 0,
            ObjectKind::Snapshot | ObjectKind::Segment | ObjectKind::Settings | ObjectKind::Footer => keys.epoch(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            ObjectKind::Snapshot => "snapshot",
            ObjectKind::Segment => "index segment",
            ObjectKind::Reach => "reach list",
            ObjectKind::Settings => "settings document",
            ObjectKind::Tombstone => "tombstone",
            ObjectKind::Footer => "pack footer",
            ObjectKind::Fence => "fence",
            ObjectKind::Condemned => "condemn list",
        }
    }
}

/// Seals and opens objects of one repository.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    keys: &'a Keys,
    repository: RepositoryId,
}

impl<'a> Envelope<'a> {
    /// For this repository.
    pub fn new(keys: &'a Keys, repository: RepositoryId) -> Self {
        Envelope { keys, repository }
    }

    /// Seals `body`. `name` is the object's key, or empty where the name follows from the sealed bytes.
    pub fn seal(&self, kind: ObjectKind, name: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.seal_with(kind, name, body, random())
    }

    /// Sealing with given randomness; public to this crate for golden vectors only.
    pub(crate) fn seal_with(&self, kind: ObjectKind, name: &str, body: &[u8], dice: [u8; 32]) -> Result<Vec<u8>> {
        if body.len() > BODY_MAX {
            return Err(Error::bug("an object is larger than the format allows"));
        }
        let packed =
            zstd::bulk::compress(body, 3).map_err(|error| Error::bug("the compressor failed").caused_by(error))?;
        self.seal_packed(kind, name, body.len(), &packed, dice)
    }

    /// Seals what is compressed already; `length` is what it promises to give.
    pub(crate) fn seal_packed(
        &self,
        kind: ObjectKind,
        name: &str,
        length: usize,
        packed: &[u8],
        dice: [u8; 32],
    ) -> Result<Vec<u8>> {
        let epoch = kind.epoch(self.keys);
        let base = kind.key(self.keys, epoch).ok_or_else(|| Error::bug("the newest epoch has no keys"))?;
        let salt = salt(base, kind, (name, length), packed, &dice);
        let (key, commit) = object_key(base, kind, &salt);
        let mut out = Vec::with_capacity(HEADER + packed.len() + TAG + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, kind as u8, epoch, 0]);
        out.extend_from_slice(&salt);
        out.extend_from_slice(&commit);
        let aad = self.aad(&out, name, length);
        out.extend_from_slice(&u32::try_from(length).expect("bounded by the callers").to_le_bytes());
        let start = out.len();
        out.extend_from_slice(packed);
        let tag = aead::seal(&key, &ONCE, &aad, &mut out[start..])
            .map_err(|_| Error::bug("an object could not be sealed"))?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Opens an object that must be of this kind and have this name.
    /// `Corrupt` (`object.corrupt`) if anything differs; `Invalid` (`format.unsupported`) for a later version.
    pub fn open(&self, kind: ObjectKind, name: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        if sealed.len() < HEADER + 4 + TAG || &sealed[..4] != MAGIC {
            return Err(corrupt(kind, name, "it is cut short or something else"));
        }
        if sealed[4] != VERSION {
            return Err(Error::invalid(
                "format.unsupported",
                format!("a {} is written in envelope version {}, this release reads {VERSION}", kind.word(), sealed[4]),
            )
            .advice("use a later release of holdfast"));
        }
        if sealed[5] != kind as u8 {
            return Err(corrupt(kind, name, "it holds something of another kind"));
        }
        let base = kind.key(self.keys, sealed[6]).ok_or_else(|| corrupt(kind, name, STRANGE_EPOCH))?;
        let salt: [u8; 32] = sealed[8..40].try_into().expect("length checked");
        let (key, commit) = object_key(base, kind, &salt);
        if !bool::from(commit[..].ct_eq(&sealed[40..72])) {
            return Err(corrupt(kind, name, "it was sealed with another key"));
        }
        let length = u32::from_le_bytes(sealed[72..76].try_into().expect("length checked")) as usize;
        let (body, tag) = sealed[76..].split_at(sealed.len() - 76 - TAG);
        let tag: [u8; TAG] = tag.try_into().expect("split at the tag's length");
        let mut packed = body.to_vec();
        aead::open(&key, &ONCE, &self.aad(&sealed[..HEADER], name, length), &mut packed, &tag)
            .map_err(|_| corrupt(kind, name, "its seal is broken"))?;
        if length > BODY_MAX {
            return Err(corrupt(kind, name, "its size is impossible"));
        }
        let plain = decompress(&packed, length).map_err(|_| corrupt(kind, name, "it does not decompress"))?;
        if plain.len() == length { Ok(plain) } else { Err(corrupt(kind, name, "its length is wrong")) }
    }

    fn aad(&self, header: &[u8], name: &str, length: usize) -> Vec<u8> {
        let mut aad = Vec::with_capacity(header.len() + 24 + name.len());
        aad.extend_from_slice(header);
        aad.extend_from_slice(self.repository.as_bytes());
        aad.extend_from_slice(&(length as u64).to_le_bytes());
        aad.extend_from_slice(name.as_bytes());
        aad
    }
}

thread_local! {
    /// Opening a repository opens a footer for each pack: setting up a decompressor takes longer than using it.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(packed: &[u8], length: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let ready = match slot.take() {
            Some(ready) => ready,
            None => zstd::bulk::Decompressor::new()?,
        };
        slot.insert(ready).decompress(packed, length)
    })
}

/// The salt of a new object: no two different ones share it, whatever the dice say.
fn salt(base: &[u8; 32], kind: ObjectKind, (name, length): (&str, usize), packed: &[u8], dice: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(base);
    hasher.update(b"holdfast envelope salt v1");
    hasher.update(dice);
    hasher.update(&[kind as u8]);
    hasher.update(&(length as u64).to_le_bytes());
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(packed);
    *hasher.finalize().as_bytes()
}

/// Key and commitment of one object.
fn object_key(base: &[u8; 32], kind: ObjectKind, salt: &[u8; 32]) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let mut hasher = blake3::Hasher::new_keyed(base);
    hasher.update(b"holdfast envelope v1");
    hasher.update(&[kind as u8]);
    hasher.update(salt);
    let mut both = Zeroizing::new([0u8; 64]);
    hasher.finalize_xof().fill(&mut *both);
    let mut key = Zeroizing::new([0u8; 32]);
    let mut commit = [0u8; 32];
    key.copy_from_slice(&both[..32]);
    commit.copy_from_slice(&both[32..]);
    (key, commit)
}

fn corrupt(kind: ObjectKind, name: &str, why: &str) -> Error {
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    Error::new(Kind::Corrupt, "object.corrupt", format!("the stored {}{name} is damaged: {why}", kind.word()))
}
