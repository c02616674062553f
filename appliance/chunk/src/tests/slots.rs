//! Key slots and epochs: every way opens with its own key alone, a slot that was touched does not open, and a later
//! root opens earlier ones, never the other way round.

use super::*;
use crate::{
    aead::OPENED,
    escrow::{PrivateKey, PublicKey},
    slot::{self, Cost, Label, Lock, Opening},
};
use serde_json::Value;

const CHEAP: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

fn label(id: &str, epoch: u8) -> Label<'_> {
    Label { repository: REPOSITORY, id, epoch, name: "a name", made: Moment::from_millis(1_795_411_200_000) }
}

fn code(opened: holdfast_model::Result<slot::Opened>) -> String {
    opened.err().map_or_else(|| "opened".to_owned(), |error| error.code().to_owned())
}

fn ring(roots: &[&RootKey]) -> Ring {
    Ring::from_roots(roots.iter().map(|root| (*root).clone()).collect()).unwrap()
}

fn changed(slot: &[u8], field: &str, value: Value) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(slot).unwrap();
    assert!(json.get(field).is_some(), "{field}");
    json[field] = value;
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn slots_open_with_their_key_alone() {
    let passphrase = Secret::new("correct horse");
    let private = PrivateKey::from_bytes(Zeroizing::new([1; 32]));
    let later = RootKey::from_bytes([1; 32]);
    let root = root();
    let ways = [
        (Lock::Device(&[1; 32]), Opening::Device(&[1; 32])),
        (Lock::Recovery(&[1; 32]), Opening::Recovery(&[1; 32])),
        (Lock::Passphrase(&passphrase, CHEAP, &root), Opening::Passphrase(&passphrase)),
        (Lock::Escrow(&private.public()), Opening::Escrow(&private)),
        (Lock::Later(&later), Opening::Later(&later)),
    ];
    for (number, (lock, opening)) in ways.iter().enumerate() {
        let slot = slot::wrap(&ring(&[&root]), label("k/a", 0), lock).unwrap();
        for (other, (_, wrong)) in ways.iter().enumerate() {
            let said = code(slot::unwrap(&slot, REPOSITORY, wrong));
            assert_eq!(said, if other == number { "opened" } else { "key.wrong" });
        }
        let opened = slot::unwrap(&slot, REPOSITORY, opening).unwrap();
        assert_eq!((opened.root.bytes(), opened.epoch), (root.bytes(), 0));
        opened.confirm(&root).unwrap();
        slot::genuine(&slot, REPOSITORY, "k/a", &root).unwrap();
        assert_eq!(code(slot::unwrap(&slot, RepositoryId([0; 16]), opening)), "key.wrong");
        let elsewhere = slot::genuine(&slot, REPOSITORY, "k/b", &root).unwrap_err();
        assert_eq!(elsewhere.code(), "slot.forged", "a copy under another name");
        let clear = slot::read(&slot).unwrap();
        assert_eq!((clear.id.as_str(), clear.name.as_str(), clear.epoch), ("k/a", "a name", 0));
    }
}

#[test]
fn a_slot_that_was_touched_does_not_open_and_no_cipher_is_asked() {
    let private = PrivateKey::generate();
    let slot = slot::wrap(&ring(&[&root()]), label("k/a", 0), &Lock::Escrow(&private.public())).unwrap();
    let zeros = |bytes: usize| Value::from("00".repeat(bytes));
    let touched = [
        ("id", Value::from("k/b")),
        ("epoch", Value::from(1)),
        ("name", Value::from("another")),
        ("made", Value::from("2020-01-01T00:00:00Z")),
        ("public", zeros(32)),
        ("ephemeral", Value::from(hex::encode(PrivateKey::generate().public().0))),
        ("salt", zeros(32)),
        ("commit", zeros(32)),
    ];
    let before = OPENED.get();
    for (field, value) in touched {
        let bad = changed(&slot, field, value);
        assert_eq!(code(slot::unwrap(&bad, REPOSITORY, &Opening::Escrow(&private))), "key.wrong", "{field}");
        assert_eq!(slot::genuine(&bad, REPOSITORY, "k/a", &root()).unwrap_err().code(), "slot.forged", "{field}");
    }
    assert_eq!(code(slot::unwrap(&slot, REPOSITORY, &Opening::Escrow(&PrivateKey::generate()))), "key.wrong");
    assert_eq!(OPENED.get(), before, "the commitment comes before the cipher");
    for (field, value) in [("sealed", zeros(48)), ("sealed", zeros(47)), ("ephemeral", zeros(32)), ("commit", zeros(1))]
    {
        let bad = changed(&slot, field, value);
        assert_eq!(code(slot::unwrap(&bad, REPOSITORY, &Opening::Escrow(&private))), "slot.corrupt", "{field}");
    }
    let bad = changed(&slot, "mac", zeros(32));
    assert_eq!(slot::genuine(&bad, REPOSITORY, "k/a", &root()).unwrap_err().code(), "slot.forged");
    let newer = changed(&slot, "version", Value::from(2));
    assert_eq!(code(slot::unwrap(&newer, REPOSITORY, &Opening::Escrow(&private))), "format.unsupported");
    let named = changed(&slot, "name", Value::from("x".repeat(65)));
    assert_eq!(slot::read(&named).unwrap_err().code(), "slot.corrupt");
    assert_eq!(slot::read(&[b' '; 40_000]).unwrap_err().code(), "slot.corrupt");
}

#[test]
fn the_cost_of_a_passphrase_is_bounded_before_it_is_paid() {
    let passphrase = Secret::new("correct horse");
    let root = root();
    let slot = slot::wrap(&ring(&[&root]), label("k/a", 0), &Lock::Passphrase(&passphrase, CHEAP, &root)).unwrap();
    let cost = |memory_kib: u64, passes: u64, lanes: u64| serde_json::json!({ "memory_kib": memory_kib, "passes": passes, "lanes": lanes });
    let impossible = [
        cost(4_294_967_295, 3, 4),
        cost(8 * 1024 * 1024, 1, 4),
        cost(4 * 1024 * 1024, 16, 4),
        cost(64 * 1024, 2, 4),
        cost(32 * 1024, 16, 4),
        cost(64 * 1024, 17, 4),
        cost(64 * 1024, 3, 0),
        cost(64 * 1024, 3, 17),
    ];
    let begun = std::time::Instant::now();
    for cost in impossible {
        let bad = changed(&slot, "argon2id", cost.clone());
        assert_eq!(code(slot::unwrap(&bad, REPOSITORY, &Opening::Passphrase(&passphrase))), "slot.corrupt", "{cost}");
    }
    assert!(begun.elapsed().as_millis() < 1000, "something was stretched");
    let other = changed(&slot, "argon2id", cost(128 * 1024, 3, 4));
    assert_eq!(code(slot::unwrap(&other, REPOSITORY, &Opening::Passphrase(&passphrase))), "key.wrong");
}

#[test]
fn a_new_epoch_reaches_passphrase_and_escrow_without_them() {
    let passphrase = Secret::new("correct horse");
    let private = PrivateKey::generate();
    let (first, second) = (root(), RootKey::from_bytes([2; 32]));
    let slots = [
        (Lock::Passphrase(&passphrase, CHEAP, &first), Opening::Passphrase(&passphrase)),
        (Lock::Escrow(&private.public()), Opening::Escrow(&private)),
    ];
    for (lock, opening) in slots {
        let old = slot::wrap(&ring(&[&first]), label("k/a", 0), &lock).unwrap();
        let new = slot::rewrap(&old, &first, &ring(&[&first, &second]), "k/b").unwrap();
        let opened = slot::unwrap(&new, REPOSITORY, &opening).unwrap();
        assert_eq!((opened.root.bytes(), opened.epoch), (second.bytes(), 1));
        assert_eq!(opened.ring().unwrap().first().bytes(), first.bytes());
        opened.confirm(&first).unwrap();
        slot::genuine(&new, REPOSITORY, "k/b", &second).unwrap();
        assert_eq!(slot::genuine(&new, REPOSITORY, "k/b", &first).unwrap_err().code(), "slot.forged");
        let clear = slot::read(&new).unwrap();
        assert_eq!((clear.id.as_str(), clear.name.as_str()), ("k/b", "a name"));
        // Somebody puts his own public key into a slot and waits for the next epoch.
        let bad = changed(&old, "public", Value::from(hex::encode(PrivateKey::generate().public().0)));
        assert_eq!(slot::rewrap(&bad, &first, &ring(&[&first, &second]), "k/b").unwrap_err().code(), "slot.forged");
    }
}

#[test]
fn a_passphrase_does_not_open_somebody_elses_repository() {
    let passphrase = Secret::new("correct horse");
    let (first, theirs) = (root(), RootKey::from_bytes([6; 32]));
    let slot = slot::wrap(&ring(&[&first]), label("k/a", 0), &Lock::Passphrase(&passphrase, CHEAP, &first)).unwrap();
    // Who does not know the passphrase still knows its public key, and can seal and sign a root of his own.
    let mine = slot::rewrap(&slot, &first, &ring(&[&theirs]), "k/a").unwrap();
    let opened = slot::unwrap(&mine, REPOSITORY, &Opening::Passphrase(&passphrase)).unwrap();
    assert_eq!(opened.confirm(&theirs).unwrap_err().code(), "key.foreign");
    opened.confirm(&first).unwrap();
}

#[test]
fn a_slot_opens_all_epochs_by_itself() {
    let roots: Vec<RootKey> = (1..=255).map(|byte| RootKey::from_bytes([byte; 32])).collect();
    let all: Vec<&RootKey> = roots.iter().collect();
    for epochs in [1, 2, 3, 255] {
        let newest = all[epochs - 1];
        let slot = slot::wrap(&ring(&all[..epochs]), label("k/a", epochs as u8 - 1), &Lock::Device(&[9; 32])).unwrap();
        assert!(slot.len() <= slot::SLOT_MAX, "{}", slot.len());
        let opened = slot::unwrap(&slot, REPOSITORY, &Opening::Device(&[9; 32])).unwrap();
        let found = opened.ring().unwrap();
        assert_eq!(usize::from(found.epoch()) + 1, epochs);
        for (epoch, root) in all[..epochs].iter().enumerate() {
            assert_eq!(found.root(epoch as u8).unwrap().bytes(), root.bytes());
        }
        slot::genuine(&slot, REPOSITORY, "k/a", newest).unwrap();
        if epochs == 1 {
            continue;
        }
        // Of an earlier release, or damaged: the root is there all the same, and that one of us wrote it all is not said.
        let json: Value = serde_json::from_slice(&slot).unwrap();
        let earlier = json["earlier"].as_str().unwrap();
        let last = if earlier.ends_with('0') { "1" } else { "0" };
        let turned = format!("{}{last}", &earlier[..earlier.len() - 1]);
        for bad in [Value::Null, Value::from(turned), Value::from(""), Value::from("zz"), Value::from(&earlier[64..])] {
            let bad = changed(&slot, "earlier", bad);
            let opened = slot::unwrap(&bad, REPOSITORY, &Opening::Device(&[9; 32])).unwrap();
            assert!(opened.ring().is_none() && opened.root.bytes() == newest.bytes());
            assert_eq!(slot::genuine(&bad, REPOSITORY, "k/a", newest).unwrap_err().code(), "slot.forged");
        }
        // Nor can bytes move between the fields under the MAC.
        let sealed = json["sealed"].as_str().unwrap();
        let moved = changed(&slot, "sealed", Value::from(format!("{sealed}{}", &earlier[..2])));
        let moved = changed(&moved, "earlier", Value::from(&earlier[2..]));
        assert_eq!(slot::genuine(&moved, REPOSITORY, "k/a", newest).unwrap_err().code(), "slot.corrupt");
    }
}

#[test]
fn later_epochs_open_earlier_ones_alone() {
    let (first, second) = (root(), RootKey::from_bytes([2; 32]));
    let slot = slot::wrap(&ring(&[&first]), label("k/epoch-1", 0), &Lock::Later(&second)).unwrap();
    assert_eq!(slot::unwrap(&slot, REPOSITORY, &Opening::Later(&second)).unwrap().root.bytes(), first.bytes());
    assert_eq!(code(slot::unwrap(&slot, REPOSITORY, &Opening::Later(&first))), "key.wrong");

    let old = Keys::derive(&first);
    let ring = Ring::new(first.clone()).with(second.clone()).unwrap();
    let (keys, both) = (Keys::derive(&first), Keys::of(&ring));
    let plain = noise(5000);
    let id = keys.chunk_id(ChunkKind::Data, &plain);
    assert_eq!(id, both.chunk_id(ChunkKind::Data, &plain), "dedup goes on");
    let sizes = Sizes::of_file(0);
    let ends = |keys: &Keys| {
        let cutter = Cutter::new(keys, sizes);
        let (data, mut start, mut ends) = (noise(3 << 20), 0, Vec::new());
        while let Some(length) = cutter.next(&data[start..], true) {
            start += length;
            ends.push(start);
        }
        ends
    };
    assert_eq!(ends(&old), ends(&both), "cut points stay");
    let (mut sealer, mut opener) = (Sealer::new(1).unwrap(), Opener::new().unwrap());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    sealer.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut before).unwrap();
    keys.begin_epoch(&ring).unwrap();
    assert_eq!(keys.begin_epoch(&ring).unwrap_err().kind(), Kind::Bug, "once");
    sealer.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut after).unwrap();
    assert_eq!((before[0], after[0]), (0, 1));
    for sealed in [&before, &after] {
        assert_eq!(opener.open(&both, (ChunkKind::Data, &id), 5000, None, sealed).unwrap(), plain);
    }
    assert_eq!(opener.open(&old, (ChunkKind::Data, &id), 5000, None, &before).unwrap(), plain);
    assert!(
        opener.open(&old, (ChunkKind::Data, &id), 5000, None, &after).is_err(),
        "an old key does not read new data"
    );
    let mut relabelled = after.clone();
    relabelled[0] = 0;
    assert!(opener.open(&both, (ChunkKind::Data, &id), 5000, None, &relabelled).is_err(), "the epoch is bound");

    let (new_envelope, old_envelope) = (Envelope::new(&keys, REPOSITORY), Envelope::new(&old, REPOSITORY));
    for kind in [ObjectKind::Snapshot, ObjectKind::Segment, ObjectKind::Footer, ObjectKind::Settings] {
        let sealed = new_envelope.seal(kind, "x", b"body").unwrap();
        assert_eq!(sealed[6], 1);
        assert_eq!(new_envelope.open(kind, "x", &sealed).unwrap(), b"body");
        assert_eq!(old_envelope.open(kind, "x", &sealed).unwrap_err().kind(), Kind::Corrupt);
        let earlier = old_envelope.seal(kind, "x", b"body").unwrap();
        assert_eq!(new_envelope.open(kind, "x", &earlier).unwrap(), b"body");
    }
    let reach = new_envelope.seal(ObjectKind::Reach, "x", b"body").unwrap();
    assert_eq!(old_envelope.open(ObjectKind::Reach, "x", &reach).unwrap(), b"body", "garbage collection goes on");
}

#[test]
fn epochs_end_before_their_number_does() {
    let mut ring = Ring::new(root());
    for number in 1..=255u8 {
        ring = ring.with(RootKey::from_bytes([number; 32])).unwrap();
    }
    assert_eq!((ring.epoch(), Keys::of(&ring).epoch()), (255, 255));
    assert_eq!(ring.with(root()).unwrap_err().code(), "key.epochs");
}

#[test]
fn escrow_keys_are_files_that_openssl_knows() {
    // Made with: openssl genpkey -algorithm X25519; openssl pkey -pubout
    let private = PrivateKey::from_pem(OPENSSL_PRIVATE).unwrap();
    assert_eq!(private.public().to_pem(), OPENSSL_PUBLIC);
    assert_eq!(*private.to_pem(), OPENSSL_PRIVATE);
    let public = PublicKey::from_pem(&OPENSSL_PUBLIC.replace('\n', "\r\n")).unwrap();
    assert_eq!(public, private.public());
    assert_eq!(public.fingerprint().len(), 19);
    assert_eq!(PublicKey::from_pem(OPENSSL_PRIVATE).unwrap_err().code(), "escrow.private");
    for bad in [
        "",
        "-----BEGIN PUBLIC KEY-----",
        &OPENSSL_PUBLIC.replace("31Vp", "31V!"),
        &OPENSSL_PUBLIC[..60],
        &"x".repeat(99_999),
    ] {
        assert_eq!(PublicKey::from_pem(bad).unwrap_err().code(), "escrow.malformed", "{bad:.80}");
    }
    let nothing = PublicKey([0; 32]).to_pem();
    assert_eq!(PublicKey::from_pem(&nothing).unwrap_err().code(), "escrow.malformed", "a point that keeps no secret");
    let shown = format!("{:?} {:?}", private, Ring::new(root()));
    assert!(shown.contains("•••") && !shown.contains("4242"), "{shown}");
}

#[test]
fn golden_slots() {
    let slot = slot::wrap_with(&ring(&[&root()]), label("k/device", 0), &Lock::Device(&[9; 32]), [8; 32]).unwrap();
    let mut seen = vec![short_hash(&slot)];
    let public = PublicKey::from_pem(OPENSSL_PUBLIC).unwrap();
    let slot = slot::wrap_with(&ring(&[&root()]), label("k/escrow-1", 3), &Lock::Escrow(&public), [8; 32]).unwrap();
    seen.push(short_hash(&slot));
    let passphrase = Secret::new("correct horse");
    let lock = Lock::Passphrase(&passphrase, CHEAP, &root());
    let slot = slot::wrap_with(&ring(&[&root()]), label("k/passphrase-1", 0), &lock, [8; 32]).unwrap();
    seen.push(short_hash(&slot));
    let both = ring(&[&RootKey::from_bytes([2; 32]), &root()]);
    let slot = slot::wrap_with(&both, label("k/recovery-1", 1), &Lock::Recovery(&[9; 32]), [8; 32]).unwrap();
    seen.push(short_hash(&slot));
    assert_eq!(seen, GOLDEN_SLOTS);
}

const OPENSSL_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEINjbBKFvbWe2GCMOvmkAbwVZzyzraBCbxsdbulyFBb1H\n-----END PRIVATE KEY-----\n";
const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEADfAf31VpcSZAE7SnxLERljzc/w59LffwbSuVKgmJ2Fo=\n-----END PUBLIC KEY-----\n";
const GOLDEN_SLOTS: [&str; 4] = ["694470c2c7841580", "c1264f3b8a32f1bb", "d0e77fba577b94e5", "a39fd049d905f957"];
