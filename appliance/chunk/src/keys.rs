//! One random root key per repository; every other key follows from it by a fixed context.
//!
//! Invariants: contexts never change meaning within a format version; a key has exactly one use;
//! keys are wiped from memory when dropped and never shown.

use holdfast_model::{ChunkId, FileKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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

/// The repository's root key: 256 random bits.
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
    /// The recovery key with this number: the same each time, so that the kit can be printed again.
    pub fn recovery(&self, number: u32) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 recovery key v1");
        hasher.update(&self.0);
        hasher.update(&number.to_le_bytes());
        Zeroizing::new(*hasher.finalize().as_bytes())
    }
}

/// Secret table of the rolling hash, so that cut points tell nothing to somebody without the key.
pub(crate) struct Gear {
    pub(crate) table: [u64; 256],
    /// The table shifted left by one, as the two-byte loop wants it.
    pub(crate) shifted: [u64; 256],
}

/// All working keys of a repository.
#[derive(ZeroizeOnDrop)]
pub struct Keys {
    id: [[u8; 32]; 3],
    data: [u8; 32],
    /// Snapshots.
    pub(crate) manifest: [u8; 32],
    /// Index segments and pack footers.
    pub(crate) index: [u8; 32],
    /// Settings documents.
    pub(crate) settings: [u8; 32],
    /// Reach lists, condemn lists and tombstones; may be handed to whoever collects garbage, opens nothing else.
    pub(crate) maintenance: [u8; 32],
    format: [u8; 32],
    names: [u8; 32],
    gear: [u64; 256],
}

impl Keys {
    /// Derives everything from the root.
    pub fn derive(root: &RootKey) -> Self {
        let key = |context: &str| blake3::derive_key(context, root.bytes());
        Keys {
            id: [
                key("holdfast 2026 chunk id data v1"),
                key("holdfast 2026 chunk id meta v1"),
                key("holdfast 2026 chunk id recipe v1"),
            ],
            data: key("holdfast 2026 data key epoch 0 v1"),
            manifest: key("holdfast 2026 manifest key v1"),
            index: key("holdfast 2026 index key v1"),
            settings: key("holdfast 2026 settings key v1"),
            maintenance: key("holdfast 2026 maintenance key v1"),
            format: key("holdfast 2026 format mac v1"),
            names: key("holdfast 2026 file name key v1"),
            gear: gear_table(root),
        }
    }

    /// Name of a plaintext: keyed BLAKE3, meaningless outside the repository.
    pub fn chunk_id(&self, kind: ChunkKind, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.id[kind as usize - 1], plain).as_bytes())
    }

    /// The key of one chunk: content with one id has one key, and no key sees two plaintexts.
    pub(crate) fn chunk_key(&self, id: &ChunkId) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*blake3::keyed_hash(&self.data, id.as_bytes()).as_bytes())
    }

    /// Stands for a file's path in its archive where only "the same file" is to be told.
    pub fn file_key(&self, path: &[u8]) -> FileKey {
        let hash = blake3::keyed_hash(&self.names, path);
        FileKey(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
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

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(•••)")
    }
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
