//! Chunks: compressed if it pays, sealed under a key of their own, opened with every check.
//!
//! Invariants: a sealed chunk may be copied anywhere and stays valid; what comes out of
//! [`Opener::open`] has exactly the promised length and the promised id, or an error comes out;
//! decompression never writes more than the promised length.

use crate::{
    cut::CHUNK_MAX,
    keys::{ChunkKind, Keys},
    random,
};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use holdfast_model::{ChunkId, Error, Kind, Result};
use zstd::bulk::{Compressor, Decompressor};

/// Bytes that sealing adds to the (compressed) plaintext: encoding, nonce, tag.
pub const OVERHEAD: usize = 1 + NONCE + TAG;
const NONCE: usize = 12;
const TAG: usize = 16;
const RAW: u8 = 0;
const ZSTD: u8 = 1;
const AAD: usize = 4 + 1 + 1 + 32 + 4;

/// Compresses and seals; keep one per thread, its buffers are reused.
pub struct Sealer {
    compressor: Compressor<'static>,
    packed: Vec<u8>,
}

impl Sealer {
    /// Zstd level 1 (fast) to 3 (small); others are clamped.
    pub fn new(level: i32) -> Result<Self> {
        let compressor = Compressor::new(level.clamp(1, 3)).map_err(no_codec)?;
        Ok(Sealer { compressor, packed: Vec::new() })
    }

    /// Appends the sealed chunk to `out` and returns its length in bytes.
    /// `id` must be [`Keys::chunk_id`] of `plain`. `Bug` if the chunk is larger than [`CHUNK_MAX`].
    pub fn seal(
        &mut self,
        keys: &Keys,
        kind: ChunkKind,
        id: &ChunkId,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        self.seal_with(keys, (kind, id), plain, random(), out)
    }

    /// Sealing with a given nonce; public to this crate for golden vectors only.
    pub(crate) fn seal_with(
        &mut self,
        keys: &Keys,
        (kind, id): (ChunkKind, &ChunkId),
        plain: &[u8],
        nonce: [u8; NONCE],
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        if plain.len() > CHUNK_MAX {
            return Err(Error::bug("a chunk is larger than the format allows"));
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        let packed = self.compressor.compress_to_buffer(plain, &mut self.packed).map_err(no_codec)?;
        // Less than 1/32 saved does not pay for decompressing at each restore.
        let (encoding, body) =
            if packed < plain.len() - plain.len() / 32 { (ZSTD, &self.packed[..packed]) } else { (RAW, plain) };
        let start = out.len();
        out.push(encoding);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(body);
        let aad = aad(kind, encoding, id, plain.len());
        let cipher = Aes256Gcm::new(&(*keys.chunk_key(id)).into());
        let tag = cipher
            .encrypt_inout_detached(&nonce.into(), &aad, (&mut out[start + 1 + NONCE..]).into())
            .map_err(|_| Error::bug("a chunk could not be sealed"))?;
        out.extend_from_slice(&tag);
        Ok(out.len() - start)
    }
}

/// Opens sealed chunks; keep one per thread, its buffers are reused.
pub struct Opener {
    decompressor: Decompressor<'static>,
    body: Vec<u8>,
}

impl Opener {
    /// A fresh one.
    pub fn new() -> Result<Self> {
        Ok(Opener { decompressor: Decompressor::new().map_err(no_codec)?, body: Vec::new() })
    }

    /// Opens a sealed chunk that must have `id` and `length` plaintext bytes.
    /// `Corrupt` (`chunk.corrupt`) if anything differs.
    pub fn open(&mut self, keys: &Keys, kind: ChunkKind, id: &ChunkId, length: u32, sealed: &[u8]) -> Result<Vec<u8>> {
        let length = length as usize;
        if sealed.len() < OVERHEAD || length > CHUNK_MAX {
            return Err(corrupt(id, "its size is impossible"));
        }
        let (encoding, rest) = (sealed[0], &sealed[1..]);
        let (nonce, rest) = rest.split_at(NONCE);
        let (body, tag) = rest.split_at(rest.len() - TAG);
        let nonce: [u8; NONCE] = nonce.try_into().expect("split at the nonce's length");
        let tag: [u8; TAG] = tag.try_into().expect("split at the tag's length");
        self.body.clear();
        self.body.extend_from_slice(body);
        let cipher = Aes256Gcm::new(&(*keys.chunk_key(id)).into());
        cipher
            .decrypt_inout_detached(
                &nonce.into(),
                &aad(kind, encoding, id, length),
                self.body.as_mut_slice().into(),
                &tag.into(),
            )
            .map_err(|_| corrupt(id, "its seal is broken"))?;
        let plain = match encoding {
            RAW => self.body.clone(),
            ZSTD => self.unpack(id, length)?,
            _ => return Err(corrupt(id, "its encoding is unknown")),
        };
        if plain.len() != length {
            return Err(corrupt(id, "its length is wrong"));
        }
        if keys.chunk_id(kind, &plain) != *id {
            return Err(corrupt(id, "its content is not what its name says"));
        }
        Ok(plain)
    }

    fn unpack(&mut self, id: &ChunkId, length: usize) -> Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(length);
        self.decompressor
            .decompress_to_buffer(&self.body, &mut plain)
            .map_err(|_| corrupt(id, "it does not decompress"))?;
        Ok(plain)
    }
}

pub(crate) fn aad(kind: ChunkKind, encoding: u8, id: &ChunkId, length: usize) -> [u8; AAD] {
    let mut aad = [0u8; AAD];
    aad[..4].copy_from_slice(b"HFC1");
    aad[4] = kind as u8;
    aad[5] = encoding;
    aad[6..38].copy_from_slice(id.as_bytes());
    let length = u32::try_from(length).expect("chunks are at most 16 MiB");
    aad[38..].copy_from_slice(&length.to_le_bytes());
    aad
}

fn corrupt(id: &ChunkId, why: &str) -> Error {
    Error::new(Kind::Corrupt, "chunk.corrupt", format!("stored chunk {} is damaged: {why}", id.short()))
}

fn no_codec(error: std::io::Error) -> Error {
    Error::bug("the compressor failed").caused_by(error)
}
