//! Chunks: compressed if it pays, sealed under a key of their own, opened with every check.
//!
//! A chunk may lean on another one, its base: then it is stored as the difference to the base's plaintext.
//! Invariants: a sealed chunk may be copied anywhere and stays valid; what comes out of
//! [`Opener::open`] has exactly the promised length and the promised id, or an error comes out and the buffers are wiped;
//! decompression never writes more than the promised length; which chunk a delta leans on is authenticated; under the
//! key of a chunk no nonce seals two different bodies, not even if the generator of randomness repeats itself.

use crate::{
    aead::{self, NONCE, TAG},
    cut::CHUNK_MAX,
    keys::{ChunkKind, Keys, STRANGE_EPOCH},
    random,
};
use holdfast_model::{ChunkId, Error, Kind, Result};
use zeroize::{Zeroize, Zeroizing};
use zstd::zstd_safe::{CCtx, DCtx, compress_bound};

/// Bytes that sealing adds to the (compressed) plaintext: epoch, encoding, nonce, tag.
pub const OVERHEAD: usize = HEAD + NONCE + TAG;
const HEAD: usize = 1 + 1;
const RAW: u8 = 0;
const ZSTD: u8 = 1;
const DELTA: u8 = 2;
/// Place of the epoch in the bound data.
const EPOCH_AT: usize = 5;
const AAD: usize = 4 + 1 + 1 + 1 + 32 + 4;
/// How zstd marks dictionaries with tables of their own. No base begins so: its bytes would be taken for such tables.
const DICTIONARY: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];
/// Pieces of a large chunk that tell whether trying hard to compress it is worth while, and their size, bytes.
const SAMPLES: usize = 3;
const SAMPLE: usize = 4096;
/// A delta of at most this share of the plaintext is kept without trying what it would be alone.
const SURELY: usize = 16;

/// A chunk that another one leans on.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// Its id.
    pub id: &'a ChunkId,
    /// Its plaintext: what was opened under that id, whole.
    pub plain: &'a [u8],
}

impl Base<'_> {
    fn fits(&self) -> bool {
        !self.plain.is_empty() && self.plain.len() <= CHUNK_MAX && !self.plain.starts_with(&DICTIONARY)
    }
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Sealed bytes.
    pub length: usize,
    /// Whether it leans on the base that was offered, and cannot be opened without.
    pub delta: bool,
}

/// Compresses and seals; keep one per thread, its buffers are reused.
pub struct Sealer {
    context: CCtx<'static>,
    level: i32,
    packed: Vec<u8>,
    delta: Vec<u8>,
}

impl Sealer {
    /// Zstd level 1 (fast) to 9 (small); others are clamped. `Bug` if there is no memory for its tables.
    pub fn new(level: i32) -> Result<Self> {
        let context = CCtx::try_create().ok_or_else(|| Error::bug("there is no memory for a compressor"))?;
        let mut sealer = Sealer { context, level, packed: Vec::new(), delta: Vec::new() };
        sealer.set_level(level);
        Ok(sealer)
    }

    /// Another level for the chunks that follow; the format does not depend on it.
    pub fn set_level(&mut self, level: i32) {
        self.level = level.clamp(1, 9);
    }

    /// Appends the sealed chunk to `out`. `id` must be [`Keys::chunk_id`] of `plain`. With a base it becomes a delta
    /// if that takes at most half of what it takes alone. `Bug` if the chunk is larger than [`CHUNK_MAX`].
    pub fn seal(
        &mut self,
        keys: &Keys,
        (kind, id): (ChunkKind, &ChunkId),
        plain: &[u8],
        base: Option<Base<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<Sealed> {
        self.seal_with(keys, (kind, id, random()), plain, base, out)
    }

    /// Sealing with given randomness; public to this crate for golden vectors only.
    pub(crate) fn seal_with(
        &mut self,
        keys: &Keys,
        (kind, id, dice): (ChunkKind, &ChunkId, [u8; 16]),
        plain: &[u8],
        base: Option<Base<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<Sealed> {
        if plain.len() > CHUNK_MAX {
            return Err(Error::bug("a chunk is larger than the format allows"));
        }
        let base = base.filter(Base::fits);
        let encoding = self.encode(plain, base)?;
        let body = match encoding {
            RAW => plain,
            ZSTD => &self.packed,
            _ => &self.delta,
        };
        let epoch = keys.epoch();
        let base = base.filter(|_| encoding == DELTA);
        let aad = Aad::new(kind, (epoch, encoding), id, plain.len(), base.map(|base| base.id));
        let nonce = nonce(keys, &dice, &aad, if encoding == RAW { &[] } else { body })?;
        let key = keys.chunk_key(epoch, id).ok_or_else(no_epoch)?;
        let start = out.len();
        out.reserve(body.len() + OVERHEAD);
        out.extend_from_slice(&[epoch, encoding]);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(body);
        let tag = aead::seal(&key, &nonce, aad.bytes(), &mut out[start + HEAD + NONCE..])
            .map_err(|_| Error::bug("a chunk could not be sealed"))?;
        out.extend_from_slice(&tag);
        Ok(Sealed { length: out.len() - start, delta: encoding == DELTA })
    }

    /// Whether samples of a large chunk do not shrink at all: then the fastest level finds what there is to find, at
    /// half the time. Nothing is given up: the whole chunk is tried all the same.
    fn is_noise(&mut self, plain: &[u8]) -> Result<bool> {
        if self.level == 1 || plain.len() < 16 * SAMPLES * SAMPLE {
            return Ok(false);
        }
        let between = (plain.len() - SAMPLE) / (SAMPLES - 1);
        for sample in 0..SAMPLES {
            make_room(&mut self.packed, SAMPLE);
            let piece = &plain[sample * between..][..SAMPLE];
            self.context.compress(&mut self.packed, piece, 1).map_err(|_| no_codec())?;
            if self.packed.len() < SAMPLE - SAMPLE / 32 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Chooses an encoding; what is not raw lies in the buffer of its name afterwards.
    fn encode(&mut self, plain: &[u8], base: Option<Base<'_>>) -> Result<u8> {
        if let Some(base) = base {
            make_room(&mut self.delta, plain.len());
            self.context.compress_using_dict(&mut self.delta, plain, base.plain, self.level).map_err(|_| no_codec())?;
            if self.delta.len() <= plain.len() / SURELY {
                return Ok(DELTA);
            }
        }
        let level = if self.is_noise(plain)? { 1 } else { self.level };
        make_room(&mut self.packed, plain.len());
        self.context.compress(&mut self.packed, plain, level).map_err(|_| no_codec())?;
        // Less than 1/32 saved does not pay for decompressing at each restore.
        let pays = self.packed.len() < plain.len() - plain.len() / 32;
        let alone = if pays { self.packed.len() } else { plain.len() };
        Ok(match base {
            // Reading a delta costs its base too: it must be worth that.
            Some(_) if self.delta.len() <= alone / 2 => DELTA,
            _ if pays => ZSTD,
            _ => RAW,
        })
    }
}

fn make_room(buffer: &mut Vec<u8>, length: usize) {
    buffer.clear();
    buffer.reserve(compress_bound(length));
}

/// Opens sealed chunks; keep one per thread, its buffers are reused.
pub struct Opener {
    context: DCtx<'static>,
    body: Vec<u8>,
}

impl Opener {
    /// A fresh one. `Bug` if there is no memory for it.
    pub fn new() -> Result<Self> {
        let context = DCtx::try_create().ok_or_else(|| Error::bug("there is no memory for a decompressor"))?;
        Ok(Opener { context, body: Vec::new() })
    }

    /// Opens a sealed chunk that must have `id` and `length` plaintext bytes. `base` is given exactly if the chunk is a
    /// delta. `Corrupt` (`chunk.corrupt`) if anything differs.
    pub fn open(
        &mut self,
        keys: &Keys,
        (kind, id): (ChunkKind, &ChunkId),
        length: u32,
        base: Option<Base<'_>>,
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        let length = length as usize;
        if sealed.len() < OVERHEAD || length > CHUNK_MAX {
            return Err(corrupt(id, "its size is impossible"));
        }
        let (epoch, encoding, rest) = (sealed[0], sealed[1], &sealed[HEAD..]);
        let (nonce, rest) = rest.split_at(NONCE);
        let (body, tag) = rest.split_at(rest.len() - TAG);
        match (encoding, base) {
            (RAW | ZSTD, None) => {}
            (RAW | ZSTD, Some(_)) => return Err(corrupt(id, "it leans on no other chunk, and was said to")),
            (DELTA, None) => return Err(corrupt(id, "it leans on a chunk that was not named")),
            (DELTA, Some(base)) if base.fits() => {}
            (DELTA, Some(_)) => return Err(corrupt(id, "it cannot lean on the chunk that was named")),
            _ => return Err(corrupt(id, "its encoding is unknown")),
        }
        let aad = Aad::new(kind, (epoch, encoding), id, length, base.map(|base| base.id));
        let key = keys.chunk_key(epoch, id).ok_or_else(|| corrupt(id, STRANGE_EPOCH))?;
        let decrypt = |bytes: &mut [u8]| {
            let nonce: [u8; NONCE] = nonce.try_into().expect("split at the nonce's length");
            let tag: [u8; TAG] = tag.try_into().expect("split at the tag's length");
            aead::open(&key, &nonce, aad.bytes(), bytes, &tag).map_err(|_| corrupt(id, "its seal is broken"))
        };
        let plain = if encoding == RAW {
            let mut plain = body.to_vec();
            decrypt(&mut plain)?;
            plain
        } else {
            self.body.clear();
            self.body.extend_from_slice(body);
            decrypt(&mut self.body)?;
            self.unpack(id, length, base)?
        };
        if plain.len() == length && keys.chunk_id(kind, &plain) == *id {
            return Ok(plain);
        }
        // Its writer held the key and still sealed something else: nobody gets to see what.
        let short = plain.len() != length;
        self.body.zeroize();
        drop(Zeroizing::new(plain));
        Err(corrupt(id, if short { "its length is wrong" } else { "its content is not what its name says" }))
    }

    /// What the buffer holds now.
    #[cfg(test)]
    pub(crate) fn leftover(&self) -> &[u8] {
        &self.body
    }

    fn unpack(&mut self, id: &ChunkId, length: usize, base: Option<Base<'_>>) -> Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(length);
        let unpacked = match base {
            Some(base) => self.context.decompress_using_dict(&mut plain, &self.body, base.plain),
            None => self.context.decompress(&mut plain, &self.body),
        };
        unpacked.map_err(|_| corrupt(id, "it does not decompress"))?;
        Ok(plain)
    }
}

/// What a chunk's seal binds besides its bytes.
pub(crate) struct Aad {
    bytes: [u8; AAD + 32],
    length: usize,
}

impl Aad {
    pub(crate) fn new(
        kind: ChunkKind,
        (epoch, encoding): (u8, u8),
        id: &ChunkId,
        length: usize,
        base: Option<&ChunkId>,
    ) -> Self {
        let mut bytes = [0u8; AAD + 32];
        bytes[..4].copy_from_slice(b"HFC1");
        bytes[4] = kind as u8;
        bytes[EPOCH_AT] = epoch;
        bytes[6] = encoding;
        bytes[7..39].copy_from_slice(id.as_bytes());
        let length = u32::try_from(length).expect("chunks are at most 16 MiB");
        bytes[39..AAD].copy_from_slice(&length.to_le_bytes());
        let Some(base) = base else { return Aad { bytes, length: AAD } };
        bytes[AAD..].copy_from_slice(base.as_bytes());
        Aad { bytes, length: AAD + 32 }
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A raw body follows from the id; any other is counted in, for it also hangs on the compressor.
pub(crate) fn nonce(keys: &Keys, dice: &[u8; 16], aad: &Aad, packed: &[u8]) -> Result<[u8; NONCE]> {
    let mut hasher = keys.nonces(aad.bytes[EPOCH_AT]).ok_or_else(no_epoch)?;
    hasher.update(dice);
    hasher.update(aad.bytes());
    hasher.update(packed);
    let mut nonce = [0u8; NONCE];
    hasher.finalize_xof().fill(&mut nonce);
    Ok(nonce)
}

fn corrupt(id: &ChunkId, why: &str) -> Error {
    Error::new(Kind::Corrupt, "chunk.corrupt", format!("stored chunk {} is damaged: {why}", id.short()))
}

fn no_epoch() -> Error {
    Error::bug("the newest epoch has no keys")
}

fn no_codec() -> Error {
    Error::bug("the compressor failed")
}
