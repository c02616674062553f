//! No key and nonce ever seal two different things, not even on a machine that was set back in time; and nothing
//! that was not proved is ever seen.

use super::*;
use crate::{
    aead::{self, NONCE, OPENED, TAG},
    slot::{self, Label, Lock},
};
use std::collections::HashSet;

/// Runs `act` with a generator that gives the same bytes at every call.
fn replayed<T>(act: impl FnOnce() -> T) -> T {
    REPLAY.set(true);
    let done = act();
    REPLAY.set(false);
    done
}

#[test]
#[should_panic(expected = "two different things")]
fn the_ledger_would_notice() {
    let key = [0x77; 32];
    aead::seal(&key, &[0; NONCE], b"", &mut b"one".to_vec()).unwrap();
    aead::seal(&key, &[0; NONCE], b"", &mut b"one".to_vec()).unwrap();
    aead::seal(&key, &[0; NONCE], b"", &mut b"two".to_vec()).unwrap();
}

#[test]
#[should_panic(expected = "two different things")]
fn the_ledger_counts_bound_data_too() {
    let key = [0x78; 32];
    aead::seal(&key, &[0; NONCE], b"a", &mut b"one".to_vec()).unwrap();
    aead::seal(&key, &[0; NONCE], b"b", &mut b"one".to_vec()).unwrap();
}

#[test]
fn chunks_of_a_machine_set_back_share_no_nonce() {
    let keys = keys();
    // Two levels of zstd pack the same content differently: same chunk, same key, other bytes.
    let plain: Vec<u8> = (0..60_000u32).flat_map(|n| (n / 7).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let id = keys.chunk_id(ChunkKind::Data, &plain);
    let (mut fast, mut small) = (Sealer::new(1).unwrap(), Sealer::new(3).unwrap());
    let (mut one, mut two, mut again) = (Vec::new(), Vec::new(), Vec::new());
    replayed(|| {
        fast.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut one).unwrap();
        small.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut two).unwrap();
        fast.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut again).unwrap();
    });
    assert_ne!(one.len(), two.len(), "the levels differ, or this proves nothing");
    // One content against two others: again the same key, and other bytes.
    let new = noise(40_000);
    let new_id = keys.chunk_id(ChunkKind::Data, &new);
    let deltas = [100, 20_000].map(|at| {
        let mut base = new.clone();
        base[at..at + 50].fill(7);
        let base_id = keys.chunk_id(ChunkKind::Data, &base);
        let mut out = Vec::new();
        let base = Base { id: &base_id, plain: &base };
        let sealed = replayed(|| fast.seal(&keys, (ChunkKind::Data, &new_id), &new, Some(base), &mut out)).unwrap();
        assert!(sealed.delta);
        out
    });
    assert_ne!(deltas[0][2..14], deltas[1][2..14]);
    assert_ne!(one[2..14], two[2..14]);
    assert_eq!(one, again, "the same once more is harmless");
    let mut opener = Opener::new().unwrap();
    for sealed in [one, two] {
        let length = u32::try_from(plain.len()).unwrap();
        assert_eq!(opener.open(&keys, (ChunkKind::Data, &id), length, None, &sealed).unwrap(), plain);
    }
}

#[test]
fn objects_of_a_machine_set_back_share_no_key() {
    let keys = keys();
    let envelope = Envelope::new(&keys, REPOSITORY);
    let other = Envelope::new(&keys, RepositoryId([9; 16]));
    let mut seen = HashSet::new();
    replayed(|| {
        for kind in
            [ObjectKind::Snapshot, ObjectKind::Reach, ObjectKind::Tombstone, ObjectKind::Segment, ObjectKind::Footer]
        {
            for (name, body) in [("s/x", "one"), ("s/x", "two"), ("s/xo", "ne"), ("s/", "xone"), ("", "s/xone")] {
                let sealed = envelope.seal(kind, name, body.as_bytes()).unwrap();
                assert!(seen.insert(sealed[8..40].to_vec()), "{kind:?} {name} {body}: a salt came twice");
                assert_eq!(envelope.open(kind, name, &sealed).unwrap(), body.as_bytes());
            }
        }
        // Two repositories have two roots; even under one root the ledger would speak up.
        let sealed = other.seal(ObjectKind::Snapshot, "s/z", b"one").unwrap();
        assert_eq!(other.open(ObjectKind::Snapshot, "s/z", &sealed).unwrap(), b"one");
    });
}

#[test]
fn slots_of_a_machine_set_back_share_no_key() {
    let label = Label { repository: REPOSITORY, id: "k/a", epoch: 0, name: "", made: Moment::from_millis(0) };
    let private = crate::escrow::PrivateKey::generate();
    replayed(|| {
        for byte in 1..5 {
            let root = RootKey::from_bytes([byte; 32]);
            let later = RootKey::from_bytes([99; 32]);
            for lock in
                [Lock::Device(&[1; 32]), Lock::Recovery(&[1; 32]), Lock::Escrow(&private.public()), Lock::Later(&later)]
            {
                slot::wrap(&crate::Ring::new(root.clone()), label, &lock).unwrap();
            }
        }
    });
}

#[test]
fn a_buffer_whose_tag_fails_is_wiped() {
    let mut buffer = b"these words were sealed".to_vec();
    let key = [0x79; 32];
    let tag = aead::seal(&key, &[1; NONCE], b"bound", &mut buffer).unwrap();
    let sealed = buffer.clone();
    let mut refused = |key: &[u8; 32], nonce: u8, aad: &[u8], tag: &[u8; TAG]| {
        buffer.clone_from(&sealed);
        aead::open(key, &[nonce; NONCE], aad, &mut buffer, tag).unwrap_err();
        assert!(buffer.iter().all(|byte| *byte == 0), "something is left");
    };
    refused(&[0; 32], 1, b"bound", &tag);
    refused(&key, 2, b"bound", &tag);
    refused(&key, 1, b"other", &tag);
    refused(&key, 1, b"bound", &[0; TAG]);
    buffer.clone_from(&sealed);
    aead::open(&key, &[1; NONCE], b"bound", &mut buffer, &tag).unwrap();
    assert_eq!(buffer, b"these words were sealed");
}

#[test]
fn a_wrong_key_or_a_strange_epoch_never_reaches_the_cipher() {
    let keys = keys();
    let other = Keys::derive(&RootKey::from_bytes([1; 32]));
    let sealed = Envelope::new(&keys, REPOSITORY).seal(ObjectKind::Settings, "c/1", b"the settings").unwrap();
    let plain = noise(100);
    let id = keys.chunk_id(ChunkKind::Data, &plain);
    let mut chunk = Vec::new();
    Sealer::new(1).unwrap().seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut chunk).unwrap();
    let before = OPENED.get();
    Envelope::new(&other, REPOSITORY).open(ObjectKind::Settings, "c/1", &sealed).unwrap_err();
    for epoch in 1..=255 {
        let mut strange = sealed.clone();
        strange[6] = epoch;
        let error = Envelope::new(&keys, REPOSITORY).open(ObjectKind::Settings, "c/1", &strange).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        chunk[0] = epoch;
        let error = Opener::new().unwrap().open(&keys, (ChunkKind::Data, &id), 100, None, &chunk).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
    }
    assert_eq!(OPENED.get(), before);
}

#[test]
fn a_chunk_that_lies_about_its_name_is_not_shown() {
    // Sealed by somebody who holds the key, under the name of another content.
    let keys = keys();
    let (plain, other) = (noise(1000), vec![7; 1000]);
    let id = keys.chunk_id(ChunkKind::Data, &other);
    let mut sealed = Vec::new();
    Sealer::new(1).unwrap().seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut sealed).unwrap();
    let mut opener = Opener::new().unwrap();
    let error = opener.open(&keys, (ChunkKind::Data, &id), 1000, None, &sealed).unwrap_err();
    assert_eq!(error.code(), "chunk.corrupt");
    assert!(opener.leftover().iter().all(|byte| *byte == 0), "the content stayed in the buffer");
    let honest = keys.chunk_id(ChunkKind::Data, &plain);
    sealed.clear();
    Sealer::new(1).unwrap().seal(&keys, (ChunkKind::Data, &honest), &plain, None, &mut sealed).unwrap();
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    opener.open(&keys, (ChunkKind::Data, &honest), 1000, None, &sealed).unwrap_err();
    assert!(opener.leftover().iter().all(|byte| *byte == 0), "ciphertext or plaintext stayed in the buffer");
}
