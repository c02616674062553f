//! Cut, name, compress, seal, and back: the pure arithmetic under the repository.
//!
//! Lives here: keys, their epochs and derivation, content-defined cutting, sealing of chunks and whole
//! objects, key slots, escrow keys, the recovery kit, password hashes. Never here: files, sockets, clocks,
//! packs or indexes. Formats are described byte by byte in `FORMAT.md`.
//!
//! Read next: [`keys`] (one root, many uses), [`seal`] (chunks), [`envelope`] (whole objects).

mod aead;
mod base32;
pub mod cut;
pub mod envelope;
pub mod escrow;
#[doc(hidden)]
pub mod fuzzing;
pub mod keys;
pub mod kit;
mod pages;
pub mod password;
pub mod seal;
pub mod slot;
mod sum;

pub use cut::Cutter;
pub use envelope::{Envelope, ObjectKind};
pub use keys::{ChunkKind, Keys, Ring, RootKey};
pub use kit::Kit;
pub use pages::Layout;
pub use seal::{Base, Opener, Sealed, Sealer};
pub use sum::Summer;

/// SHA-256 of some bytes: the name under which sealed objects are stored and verified without a key.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// `N` random bytes of the operating system; nothing safe can be done without them.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    #[cfg(test)]
    if tests::REPLAY.get() {
        return bytes;
    }
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

#[cfg(test)]
mod tests;
