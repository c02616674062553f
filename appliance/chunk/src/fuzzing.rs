//! Doors for the fuzz targets: right seals around wrong contents, as nobody without the keys can make them.
//!
//! Never used by the product.

use crate::{
    aead,
    envelope::{Envelope, ObjectKind},
    keys::{ChunkKind, Keys},
    seal,
};
use holdfast_model::ChunkId;

/// A chunk whose seal is right, around any body of any encoding, on any base and for any promised length.
pub fn sealed_chunk(
    keys: &Keys,
    (kind, id): (ChunkKind, &ChunkId),
    (encoding, base): (u8, Option<&ChunkId>),
    length: u32,
    body: &[u8],
) -> Vec<u8> {
    let epoch = keys.epoch();
    let aad = seal::Aad::new(kind, (epoch, encoding), id, length as usize, base);
    let nonce = seal::nonce(keys, &[0; 16], &aad, body).expect("the newest epoch has keys");
    let key = keys.chunk_key(epoch, id).expect("the newest epoch has keys");
    let mut out = [&[epoch, encoding], &nonce[..], body].concat();
    let start = out.len() - body.len();
    let tag = aead::seal(&key, &nonce, aad.bytes(), &mut out[start..]).expect("short inputs can be sealed");
    out.extend_from_slice(&tag);
    out
}

/// An object whose seal is right, around bytes that may be no zstd frame, for any promised length.
pub fn sealed_object(envelope: Envelope<'_>, kind: ObjectKind, name: &str, length: u32, packed: &[u8]) -> Vec<u8> {
    envelope.seal_packed(kind, name, length as usize, packed, [0; 32]).expect("short inputs can be sealed")
}
