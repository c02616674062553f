//! One random root key per epoch; every other key follows from a root by a fixed context.
//!
//! Invariants: contexts never change meaning within a format version; a key has exactly one use; what identifies
//! (chunk ids, cut points, the format's MAC, maintenance) hangs on the first root and never changes, what hides
//! contents hangs on the root of its epoch; keys are wiped from memory when dropped and never shown.

use holdfast_model::{ChunkId, Error, FileKey, Kind, Result};
use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// An epoch's number is one byte in every sealed thing.
const EPOCHS: usize = 256;

/// What a chunk holds. Each kind has its own id key, so that a chunk of one kind never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChunkKind {
    /// File contents and plain streams.
    Data = 1,
    /// Verbatim tar headers, padding and trailers.
    Meta = 2,
    /// A recipe segment.
    Recipe = 3,
}

/// The root key of one epoch: 256 random bits.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        RootKey(crate::random())
    }
    /// From bytes that a slot gave back.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        RootKey(bytes)
    }
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// Authenticates key slots of this epoch, so that none is wrapped anew that somebody else has put there.
    pub(crate) fn slot_mac(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("holdfast 2026 slot mac v1", &self.0))
    }
    /// Opens the slot of the epoch before.
    pub(crate) fn earlier(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("holdfast 2026 earlier epoch v1", &self.0))
    }
    /// What a passphrase slot remembers of the first root, and what tells nothing about it.
    pub(crate) fn pin(&self) -> [u8; 32] {
        blake3::derive_key("holdfast 2026 root pin v1", &self.0)
    }
    /// The recovery key with this number: the same each time, so that the kit can be printed again.
    pub fn recovery(&self, number: u32) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 recovery key v1");
        hasher.update(&self.0);
        hasher.update(&number.to_le_bytes());
        Zeroizing::new(*hasher.finalize().as_bytes())
    }
}

/// The roots of all epochs, oldest first. Who has the newest gets the older ones; never the other way round.
#[derive(Clone)]
pub struct Ring(Vec<RootKey>);

impl Ring {
    /// Of a new repository.
    pub fn new(first: RootKey) -> Self {
        Ring(vec![first])
    }
    /// From all roots, oldest first. `None` if there are none or too many.
    pub fn from_roots(roots: Vec<RootKey>) -> Option<Self> {
        (1..=EPOCHS).contains(&roots.len()).then_some(Ring(roots))
    }
    /// This ring and one epoch more. `Refused` (`key.epochs`) if the format has no number left.
    pub fn with(&self, newest: RootKey) -> Result<Self> {
        let mut roots = self.0.clone();
        roots.push(newest);
        Ring::from_roots(roots).ok_or_else(no_more_epochs)
    }
    /// The first root: what identifies the repository.
    pub fn first(&self) -> &RootKey {
        &self.0[0]
    }
    /// The newest root: what new data is sealed under.
    pub fn newest(&self) -> &RootKey {
        &self.0[self.0.len() - 1]
    }
    /// Number of the newest epoch.
    pub fn epoch(&self) -> u8 {
        u8::try_from(self.0.len() - 1).expect("a ring has at most 256 roots")
    }
    /// The ring as it was in an epoch.
    pub fn up_to(&self, epoch: u8) -> Option<Self> {
        Some(Ring(self.0.get(..=usize::from(epoch))?.to_vec()))
    }
    /// The root of an epoch.
    pub fn root(&self, epoch: u8) -> Option<&RootKey> {
        self.0.get(usize::from(epoch))
    }
}

/// Secret table of the rolling hash, so that cut points tell nothing to somebody without the key.
pub(crate) struct Gear {
    pub(crate) table: [u64; 256],
    /// The table shifted left by one, as the two-byte loop wants it.
    pub(crate) shifted: [u64; 256],
}

/// Keys that hide what was written in one epoch.
#[derive(ZeroizeOnDrop)]
struct Epoch {
    data: [u8; 32],
    nonce: [u8; 32],
    manifest: [u8; 32],
    index: [u8; 32],
    settings: [u8; 32],
}

impl Epoch {
    fn derive(root: &RootKey) -> Self {
        let key = |context: &str| blake3::derive_key(context, root.bytes());
        Epoch {
            data: key("holdfast 2026 data key v1"),
            nonce: key("holdfast 2026 nonce key v1"),
            manifest: key("holdfast 2026 manifest key v1"),
            index: key("holdfast 2026 index key v1"),
            settings: key("holdfast 2026 settings key v1"),
        }
    }
}

/// All working keys of a repository. A new epoch may begin while others read and write.
#[derive(ZeroizeOnDrop)]
pub struct Keys {
    id: [[u8; 32]; 3],
    /// Reach lists, condemn lists and tombstones; may be handed to whoever collects garbage, opens nothing else.
    maintenance: [u8; 32],
    format: [u8; 32],
    names: [u8; 32],
    trees: [u8; 32],
    gear: [u64; 256],
    /// Filled from the first on, never changed; each wipes itself.
    #[zeroize(skip)]
    epochs: Box<[OnceLock<Epoch>]>,
    #[zeroize(skip)]
    newest: AtomicU8,
}

/// The epoch that an object or a chunk says it was sealed in is not one of ours.
pub(crate) const STRANGE_EPOCH: &str = "it was sealed under a key of an epoch that is not known here";

impl Keys {
    /// Derives everything from the root of a repository that has one epoch.
    pub fn derive(root: &RootKey) -> Self {
        Keys::of(&Ring::new(root.clone()))
    }

    /// Derives everything from the roots of all epochs.
    pub fn of(ring: &Ring) -> Self {
        let key = |context: &str| blake3::derive_key(context, ring.first().bytes());
        let mut epochs: Box<[OnceLock<Epoch>]> = std::iter::repeat_with(OnceLock::new).take(EPOCHS).collect();
        for (place, root) in epochs.iter_mut().zip(&ring.0) {
            *place = OnceLock::from(Epoch::derive(root));
        }
        Keys {
            id: [
                key("holdfast 2026 chunk id data v1"),
                key("holdfast 2026 chunk id meta v1"),
                key("holdfast 2026 chunk id recipe v1"),
            ],
            maintenance: key("holdfast 2026 maintenance key v1"),
            format: key("holdfast 2026 format mac v1"),
            names: key("holdfast 2026 file name key v1"),
            trees: key("holdfast 2026 tree identity key v1"),
            gear: gear_table(ring.first()),
            epochs,
            newest: AtomicU8::new(ring.epoch()),
        }
    }

    /// The epoch that new things are sealed in.
    pub fn epoch(&self) -> u8 {
        self.newest.load(Ordering::Acquire)
    }

    /// From now on everything is sealed under the newest root of this ring, which must be this one's ring and
    /// one epoch more.
    pub fn begin_epoch(&self, ring: &Ring) -> Result<()> {
        let next = ring.epoch();
        if next.checked_sub(1) != Some(self.epoch()) {
            return Err(Error::bug("an epoch was begun out of its turn"));
        }
        if self.epochs[usize::from(next)].set(Epoch::derive(ring.newest())).is_err() {
            return Err(Error::bug("an epoch was begun twice"));
        }
        self.newest.store(next, Ordering::Release);
        Ok(())
    }

    fn of_epoch(&self, epoch: u8) -> Option<&Epoch> {
        self.epochs[usize::from(epoch)].get()
    }

    /// Snapshots.
    pub(crate) fn manifest(&self, epoch: u8) -> Option<&[u8; 32]> {
        Some(&self.of_epoch(epoch)?.manifest)
    }
    /// Index segments and pack footers.
    pub(crate) fn index(&self, epoch: u8) -> Option<&[u8; 32]> {
        Some(&self.of_epoch(epoch)?.index)
    }
    /// Settings documents.
    pub(crate) fn settings(&self, epoch: u8) -> Option<&[u8; 32]> {
        Some(&self.of_epoch(epoch)?.settings)
    }
    /// Reach lists, tombstones, fences: the same in all epochs.
    pub(crate) fn maintenance(&self) -> &[u8; 32] {
        &self.maintenance
    }

    /// Name of a plaintext: keyed BLAKE3, meaningless outside the repository.
    pub fn chunk_id(&self, kind: ChunkKind, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.id[kind as usize - 1], plain).as_bytes())
    }

    /// The key of one chunk: content with one id has one key in an epoch, and no key sees two contents.
    pub(crate) fn chunk_key(&self, epoch: u8, id: &ChunkId) -> Option<Zeroizing<[u8; 32]>> {
        let epoch = self.of_epoch(epoch)?;
        Some(Zeroizing::new(*blake3::keyed_hash(&epoch.data, id.as_bytes()).as_bytes()))
    }

    /// Where nonces of chunks come from.
    pub(crate) fn nonces(&self, epoch: u8) -> Option<blake3::Hasher> {
        Some(blake3::Hasher::new_keyed(&self.of_epoch(epoch)?.nonce))
    }

    /// Stands for a file's path in its archive where only "the same file" is to be told.
    pub fn file_key(&self, path: &[u8]) -> FileKey {
        let hash = blake3::keyed_hash(&self.names, path);
        FileKey(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }

    /// Under it sources of trees hash what a file system says of a file: nobody without it can make a file that passes for
    /// another. Handed to the program that reads beside the data; opens nothing.
    pub fn tree_key(&self) -> [u8; 32] {
        self.trees
    }

    /// Authenticates the clear-text format object.
    pub fn format_mac(&self, text: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.format, text).as_bytes()
    }

    /// Compares in constant time.
    pub fn format_mac_fits(&self, text: &[u8], mac: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.format_mac(text).ct_eq(mac).into()
    }

    pub(crate) fn gear(&self) -> Gear {
        Gear { table: self.gear, shifted: self.gear.map(|word| word << 1) }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(•••)")
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} epochs, •••)", self.0.len())
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(•••)")
    }
}

fn no_more_epochs() -> Error {
    Error::new(
        Kind::Refused,
        "key.epochs",
        "this repository has had 256 key epochs, and the format has no number for another",
    )
    .advice("begin a new repository")
}

fn gear_table(root: &RootKey) -> [u64; 256] {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 gear table v1");
    hasher.update(root.bytes());
    let mut bytes = Zeroizing::new([0u8; 2048]);
    hasher.finalize_xof().fill(&mut *bytes);
    let mut table = [0u64; 256];
    for (word, raw) in table.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*raw);
    }
    table
}
