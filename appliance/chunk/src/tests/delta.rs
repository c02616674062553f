//! Chunks that lean on another one: small, exact, and bound to the one they lean on.

use super::*;
use crate::seal::{Base, Sealed};

/// Pages of a database, and the same after a few rows have changed.
fn pages() -> (Vec<u8>, Vec<u8>) {
    let old = noise(128 << 10);
    let mut new = old.clone();
    for at in (5000..new.len()).step_by(16 << 10) {
        new[at..at + 40].copy_from_slice(&[7; 40]);
    }
    (old, new)
}

struct Room {
    keys: Keys,
    sealer: Sealer,
    opener: Opener,
}

impl Room {
    fn new() -> Self {
        Room { keys: keys(), sealer: Sealer::new(3).unwrap(), opener: Opener::new().unwrap() }
    }
    fn id(&self, plain: &[u8]) -> ChunkId {
        self.keys.chunk_id(ChunkKind::Data, plain)
    }
    fn seal(&mut self, plain: &[u8], base: Option<&[u8]>) -> (Sealed, Vec<u8>) {
        let (id, base) = (self.id(plain), base.map(|plain| (self.id(plain), plain)));
        let base = base.as_ref().map(|(id, plain)| Base { id, plain });
        let mut out = vec![0xee; 3];
        let sealed = self.sealer.seal(&self.keys, (ChunkKind::Data, &id), plain, base, &mut out).unwrap();
        assert_eq!(out.len(), 3 + sealed.length);
        (sealed, out.split_off(3))
    }
    fn open(&mut self, plain: &[u8], base: Option<Base<'_>>, sealed: &[u8]) -> holdfast_model::Result<Vec<u8>> {
        let (id, length) = (self.id(plain), u32::try_from(plain.len()).unwrap());
        self.opener.open(&self.keys, (ChunkKind::Data, &id), length, base, sealed)
    }
    fn refuse(&mut self, plain: &[u8], base: Option<Base<'_>>, sealed: &[u8]) {
        let error = self.open(plain, base, sealed).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "chunk.corrupt"));
    }
}

#[test]
fn a_delta_is_small_and_comes_back() {
    let mut room = Room::new();
    let (old, new) = pages();
    let (sealed, bytes) = room.seal(&new, Some(&old));
    assert!(sealed.delta && sealed.length < 1000, "{sealed:?}");
    assert_eq!(bytes[1], 2);
    let id = room.id(&old);
    assert_eq!(room.open(&new, Some(Base { id: &id, plain: &old }), &bytes).unwrap(), new);
    // Lengths differ at the end of a growing file.
    let mut grown = new.clone();
    grown.extend_from_slice(b"one more row");
    let short = Base { id: &room.id(&old[..70_000]), plain: &old[..70_000] };
    let (sealed, bytes) = room.seal(&grown[..90_000], Some(&old[..70_000]));
    assert!(sealed.delta && sealed.length < 30_000, "{sealed:?}");
    assert_eq!(room.open(&grown[..90_000], Some(short), &bytes).unwrap(), &grown[..90_000]);
}

#[test]
fn a_delta_that_does_not_pay_is_none() {
    let mut room = Room::new();
    let (old, _) = pages();
    let mut other = noise(300 << 10).split_off(170 << 10);
    let (sealed, bytes) = room.seal(&other, Some(&old));
    assert!(!sealed.delta && bytes[1] == 0);
    assert_eq!(room.open(&other, None, &bytes).unwrap(), other);
    // Two thirds alike: not worth reading two chunks for one.
    let part = other.len() * 2 / 3;
    other[..part].copy_from_slice(&old[..part]);
    assert!(room.seal(&other, Some(&old)).0.delta);
    other[..part / 2].copy_from_slice(&noise(400 << 10)[300 << 10..][..part / 2]);
    assert!(!room.seal(&other, Some(&old)).0.delta);
    // What shrinks to nothing alone needs no base.
    let zeros = vec![0; 64 << 10];
    let mut nearly = zeros.clone();
    nearly[500] = 1;
    let (sealed, bytes) = room.seal(&nearly, Some(&zeros));
    let id = room.id(&zeros);
    let base = sealed.delta.then_some(Base { id: &id, plain: &zeros });
    assert_eq!(room.open(&nearly, base, &bytes).unwrap(), nearly);
}

#[test]
fn bases_that_would_pass_for_dictionaries_are_refused() {
    let mut room = Room::new();
    let (mut old, mut new) = pages();
    for plain in [&mut old, &mut new] {
        plain[..4].copy_from_slice(&[0x37, 0xa4, 0x30, 0xec]);
    }
    assert!(!room.seal(&new, Some(&old)).0.delta);
    assert!(!room.seal(&new, Some(&[])).0.delta);
    // The chunk itself may begin so.
    let (sealed, bytes) = room.seal(&new, Some(&old[4..]));
    assert!(sealed.delta);
    let id = room.id(&old[4..]);
    assert_eq!(room.open(&new, Some(Base { id: &id, plain: &old[4..] }), &bytes).unwrap(), new);
    room.refuse(&new, Some(Base { id: &id, plain: &old }), &bytes);
    room.refuse(&new, Some(Base { id: &id, plain: &[] }), &bytes);
}

#[test]
fn a_delta_opens_with_its_own_base_alone() {
    let mut room = Room::new();
    let (old, new) = pages();
    let (_, bytes) = room.seal(&new, Some(&old));
    let id = room.id(&old);
    room.refuse(&new, None, &bytes);
    // Another chunk under its own name, under the base's name, the base under another name, a damaged base.
    let other_id = room.id(&new);
    room.refuse(&new, Some(Base { id: &other_id, plain: &new }), &bytes);
    room.refuse(&new, Some(Base { id: &other_id, plain: &old }), &bytes);
    room.refuse(&new, Some(Base { id: &id, plain: &new[..100] }), &bytes);
    let mut bent = old.clone();
    bent[70_000] ^= 1;
    room.refuse(&new, Some(Base { id: &id, plain: &bent }), &bytes);
    // A chunk that stands alone names no base.
    let (sealed, alone) = room.seal(&old, None);
    assert!(!sealed.delta);
    room.refuse(&old, Some(Base { id: &other_id, plain: &new }), &alone);
    // Turned bits, the encoding among them.
    let base = Base { id: &id, plain: &old };
    let mut bytes = bytes;
    for at in (0..bytes.len()).step_by(3) {
        bytes[at] ^= 1 << (at % 8);
        room.refuse(&new, Some(base), &bytes);
        bytes[at] ^= 1 << (at % 8);
    }
    for encoding in [0, 1, 3, 255] {
        bytes[1] = encoding;
        room.refuse(&new, Some(base), &bytes);
        room.refuse(&new, None, &bytes);
    }
    bytes[1] = 2;
    for end in 0..bytes.len() {
        room.refuse(&new, Some(base), &bytes[..end]);
    }
    assert_eq!(room.open(&new, Some(base), &bytes).unwrap(), new, "the opener is good for more after failures");
}

/// Sealed by an earlier build with the dice 05…05: every later one opens it. Compressed forms may change, what
/// they mean may not.
#[test]
fn golden_delta() {
    let mut room = Room::new();
    let old = noise(4096);
    let mut new = old.clone();
    new[1000..1010].copy_from_slice(b"0123456789");
    let (id, new_id) = (room.id(&old), room.id(&new));
    let mut out = Vec::new();
    let base = Base { id: &id, plain: &old };
    let sealed =
        room.sealer.seal_with(&room.keys, (ChunkKind::Data, &new_id, [5; 16]), &new, Some(base), &mut out).unwrap();
    assert!(sealed.delta);
    assert_eq!(out[..2], [0, 2], "epoch, encoding");
    let golden = hex::decode(GOLDEN_DELTA).unwrap();
    assert_eq!(room.open(&new, Some(base), &golden).unwrap(), new);
}

const GOLDEN_DELTA: &str = "0002d6efe16f39ef115c3f93f521112f44a6bb7236ef4d039d781e136cac79fa9eddf39ddf271d2e5d57bbbdb28ee7fbcea44e8483e1f40a08046f1c09c0";
