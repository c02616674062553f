//! Doors for the fuzz targets: right seals around wrong contents, as nobody without the keys can make them.
//!
//! Never used by the product.

use crate::{
    envelope::{Envelope, ObjectKind},
    keys::{ChunkKind, Keys},
    seal,
};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use holdfast_model::ChunkId;

/// A chunk whose seal is right, around any body of any encoding, on any base and for any promised length.
pub fn sealed_chunk(
    keys: &Keys,
    (kind, id): (ChunkKind, &ChunkId),
    (encoding, base): (u8, Option<&ChunkId>),
    length: u32,
    body: &[u8],
) -> Vec<u8> {
    let nonce = [0; 12];
    let mut out = [&[encoding], &nonce[..], body].concat();
    let aad = seal::Aad::new(kind, encoding, id, length as usize, base);
    let tag = Aes256Gcm::new(&(*keys.chunk_key(id)).into())
        .encrypt_inout_detached(&nonce.into(), aad.bytes(), (&mut out[13..]).into())
        .expect("short inputs can be sealed");
    out.extend_from_slice(&tag);
    out
}

/// An object whose seal is right, around bytes that may be no zstd frame, for any promised length.
pub fn sealed_object(envelope: Envelope<'_>, kind: ObjectKind, name: &str, length: u32, packed: &[u8]) -> Vec<u8> {
    envelope.seal_packed(kind, name, length as usize, packed, [0; 32]).expect("short inputs can be sealed")
}
