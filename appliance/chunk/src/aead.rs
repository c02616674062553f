//! The one place where anything is encrypted or decrypted: AES-256-GCM with a tag of 16 bytes.
//!
//! Invariants: a buffer whose tag does not fit is wiped before the error is told, so nothing unproven is ever seen;
//! a key and nonce never seal two different things. Debug builds, and with them all tests, keep a ledger of that and
//! end in a panic when it is broken.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use zeroize::Zeroize;

pub(crate) const NONCE: usize = 12;
pub(crate) const TAG: usize = 16;
/// The nonce of keys that seal one thing only.
pub(crate) const ONCE: [u8; NONCE] = [0; NONCE];

/// The tag does not fit, or the input is longer than the cipher allows. Says nothing more on purpose.
#[derive(Debug)]
pub(crate) struct Broken;

/// Encrypts in place. The answer is the tag. The caller sees to it that key and nonce are fresh together.
pub(crate) fn seal(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], buffer: &mut [u8]) -> Result<[u8; TAG], Broken> {
    #[cfg(debug_assertions)]
    ledger::note(key, nonce, aad, buffer);
    let tag =
        Aes256Gcm::new(key.into()).encrypt_inout_detached(nonce.into(), aad, buffer.into()).map_err(|_| Broken)?;
    Ok(tag.into())
}

/// Decrypts in place, or wipes the buffer and fails.
pub(crate) fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    aad: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Broken> {
    #[cfg(test)]
    OPENED.with(|count| count.set(count.get() + 1));
    let opened =
        Aes256Gcm::new(key.into()).decrypt_inout_detached(nonce.into(), aad, (&mut *buffer).into(), tag.into());
    opened.map_err(|_| {
        buffer.zeroize();
        Broken
    })
}

#[cfg(test)]
thread_local! {
    /// Decryptions tried by this thread: tests see that a wrong key never gets that far.
    pub(crate) static OPENED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// What each key and nonce has sealed, in debug builds.
#[cfg(debug_assertions)]
pub(crate) mod ledger {
    use super::NONCE;
    use std::{
        collections::HashMap,
        sync::{LazyLock, Mutex, PoisonError},
    };

    /// Entries kept, about 64 bytes each; then the ledger begins anew, so that a long run stays bounded.
    const MOST: usize = 1 << 19;
    type Print = [u8; 16];
    static SEEN: LazyLock<Mutex<HashMap<Print, Print>>> = LazyLock::new(Mutex::default);

    /// Panics if this key and nonce have sealed something else before. The bound data count: two tags under one nonce
    /// give the authentication key away.
    pub(crate) fn note(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], plain: &[u8]) {
        let place = print("holdfast ledger place", &[key, nonce]);
        let content = print("holdfast ledger content", &[&(aad.len() as u64).to_le_bytes(), aad, plain]);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.clear();
        }
        let known = *seen.entry(place).or_insert(content);
        drop(seen);
        assert!(known == content, "one key and nonce were about to seal two different things");
    }

    fn print(context: &str, parts: &[&[u8]]) -> Print {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in parts {
            hasher.update(part);
        }
        let mut print = Print::default();
        hasher.finalize_xof().fill(&mut print);
        print
    }
}
