//! The chunk room: sealed chunks, envelopes, key slots, escrow keys, the recovery kit.
//!
//! Attackers without keys only reach what is tried with garbage; behind a right seal lies what a thief of the keys,
//! or a mistake of ours, could write.

use crate::food::{Food, stretch};
use holdfast_chunk::{
    Base, ChunkKind, Envelope, Keys, Kit, ObjectKind, Opener, Ring, RootKey, Sealer,
    escrow::{PrivateKey, PublicKey},
    fuzzing, kit,
    slot::{self, Label, Lock, Opening},
};
use holdfast_model::{ChunkId, Moment, RepositoryId};
use std::sync::OnceLock;

const ROOT: [u8; 32] = [0x42; 32];
const REPOSITORY: RepositoryId = RepositoryId([0x17; 16]);
const DEVICE: [u8; 32] = [7; 32];
const KINDS: [ChunkKind; 3] = [ChunkKind::Data, ChunkKind::Meta, ChunkKind::Recipe];
const OBJECTS: [ObjectKind; 8] = [
    ObjectKind::Snapshot,
    ObjectKind::Segment,
    ObjectKind::Reach,
    ObjectKind::Settings,
    ObjectKind::Tombstone,
    ObjectKind::Footer,
    ObjectKind::Fence,
    ObjectKind::Condemned,
];

/// Keys of one repository, derived once.
pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys::derive(&RootKey::from_bytes(ROOT)))
}

pub(super) fn envelope_of() -> Envelope<'static> {
    Envelope::new(keys(), REPOSITORY)
}

/// What deltas of the target lean on.
const BASE: [u8; 512] = [b'b'; 512];

/// Only what was sealed opens, and it has the promised length and name.
pub(super) fn open(input: &[u8]) {
    let mut food = Food::new(input);
    let mode = food.byte();
    let kind = KINDS[usize::from(mode >> 4) % 3];
    let mut opener = Opener::new().expect("there is memory for a decompressor");
    let base_id = keys().chunk_id(kind, &BASE);
    let base = Some(Base { id: &base_id, plain: &BASE });
    match mode % 4 {
        0 => {
            let id = ChunkId([food.byte(); 32]);
            let length = food.u64() as u32;
            let opened = opener.open(keys(), (kind, &id), length, base.filter(|_| mode & 4 > 0), food.rest());
            assert!(opened.is_err(), "garbage opens as a chunk");
        }
        1 => round_trip(&mut opener, kind, food.rest()),
        _ => {
            let (encoding, length) = (food.byte() % 4, food.u64() as u32 % (1 << 25));
            let body = food.rest();
            // Half of them have the name of a raw body, so that raw chunks open too.
            let id = if mode % 4 == 2 { keys().chunk_id(kind, body) } else { ChunkId([1; 32]) };
            let length = if mode & 8 == 0 { body.len() as u32 } else { length };
            // The format's longest chunk; nobody can seal a longer one, its opening is tried above.
            let length = length.min(16 << 20);
            let base = base.filter(|_| mode & 4 > 0);
            let on = base.filter(|_| encoding == 2).map(|base| base.id);
            let sealed = fuzzing::sealed_chunk(keys(), (kind, &id), (encoding, on), length, body);
            if let Ok(plain) = opener.open(keys(), (kind, &id), length, base, &sealed) {
                assert_eq!(base.is_some(), encoding == 2, "a base for what has none, or none for a delta");
                assert_eq!(plain.len(), length as usize, "another length than promised");
                assert!(keys().chunk_id(kind, &plain) == id, "another content than named");
            }
        }
    }
}

fn round_trip(opener: &mut Opener, kind: ChunkKind, plain: &[u8]) {
    let id = keys().chunk_id(kind, plain);
    let mut sealed = Vec::new();
    let mut sealer = Sealer::new(1).expect("there is memory for a compressor");
    sealer.seal(keys(), (kind, &id), plain, None, &mut sealed).expect("a short chunk can be sealed");
    let opened = opener.open(keys(), (kind, &id), plain.len() as u32, None, &sealed).expect("what was sealed opens");
    assert!(opened == plain, "another content than sealed");
    if let Some(place) = plain.first().map(|byte| usize::from(*byte) % sealed.len()) {
        sealed[place] ^= 1 << (plain.len() % 8);
        let opened = opener.open(keys(), (kind, &id), plain.len() as u32, None, &sealed);
        assert!(opened.is_err(), "a flipped bit passes");
    }
}

pub(super) fn sealed() -> Vec<Vec<u8>> {
    let mut zstd = Vec::new();
    let plain = [b'a'; 3000];
    let id = keys().chunk_id(ChunkKind::Data, &plain);
    let mut sealer = Sealer::new(3).expect("there is memory for a compressor");
    sealer.seal(keys(), (ChunkKind::Data, &id), &plain, None, &mut zstd).expect("a short chunk can be sealed");
    vec![
        [&[0, 0, 100, 0, 0, 0, 0, 0, 0, 0], &zstd[..]].concat(),
        [&[1], &b"plain text plain text plain text"[..]].concat(),
        [&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0], &b"raw body"[..]].concat(),
        // A zstd frame that says 3000 bytes of one letter.
        [&[0x0b, 1, 0xb8, 0x0b, 0, 0, 0, 0, 0, 0], &FRAME[..]].concat(),
        [&[0x0b, 2, 0xb8, 0x0b, 0, 0, 0, 0, 0, 0], &FRAME[..]].concat(),
        // The same as a delta.
        [&[0x0f, 2, 0xb8, 0x0b, 0, 0, 0, 0, 0, 0], &FRAME[..]].concat(),
    ]
}

/// `zstd` of 3000 times `a`: magic, single segment, an RLE block.
const FRAME: [u8; 11] = [0x28, 0xb5, 0x2f, 0xfd, 0x60, 0xb8, 0x0a, 0xc3, 0x5d, 0x00, b'a'];

/// Only what was sealed opens, as what it is, under its name.
pub(super) fn envelope(input: &[u8]) {
    let mut food = Food::new(input);
    let mode = food.byte();
    let kind = OBJECTS[usize::from(mode >> 4) % OBJECTS.len()];
    let envelope = envelope_of();
    match mode % 4 {
        // The seed is genuine, under another name.
        0 => assert!(envelope.open(kind, "garbage", food.rest()).is_err(), "garbage opens as an object"),
        1 => {
            let body = food.rest();
            let mut sealed = envelope.seal(kind, "name", body).expect("a short object can be sealed");
            assert!(envelope.open(kind, "name", &sealed).expect("what was sealed opens") == body);
            assert!(envelope.open(kind, "other", &sealed).is_err(), "a renamed object opens");
            let place = body.first().map_or(0, |byte| usize::from(*byte) * 7 % sealed.len());
            // Two bytes of the header mean nothing yet and are bound by the seal all the same.
            sealed[place] ^= 1 << (body.len() % 8);
            assert!(envelope.open(kind, "name", &sealed).is_err(), "a flipped bit passes at {place}");
        }
        _ => {
            let length = food.u64() as u32 % (1 << 26);
            let sealed = fuzzing::sealed_object(envelope, kind, "name", length, food.rest());
            if let Ok(plain) = envelope.open(kind, "name", &sealed) {
                assert_eq!(plain.len(), length as usize, "another length than promised");
            }
        }
    }
}

pub(super) fn envelopes() -> Vec<Vec<u8>> {
    let sealed =
        envelope_of().seal(ObjectKind::Snapshot, "name", b"{\"body\":1}").expect("a short object can be sealed");
    vec![
        [&[0], &sealed[..]].concat(),
        [&[1], &b"some body some body"[..]].concat(),
        [&[0x13, 0xb8, 0x0b, 0, 0, 0, 0, 0, 0], &FRAME[..]].concat(),
    ]
}

/// Slots and kits: JSON and text that people and stores hand in.
pub(super) fn slot_and_kit(input: &[u8]) {
    let mut food = Food::new(input);
    match food.byte() % 4 {
        0 => open_slot(food.rest()),
        1 => wrap_slot(food),
        2 => {
            let text = String::from_utf8_lossy(food.rest());
            read_kit(&text);
            read_key(&text);
        }
        _ => print_kit(food),
    }
}

/// Without the cost of a passphrase, which is the attacker's to pay as well.
fn open_slot(bytes: &[u8]) {
    let (root, private) = (RootKey::from_bytes(ROOT), escrow());
    if slot::genuine(bytes, REPOSITORY, "k/device", &root).is_ok() {
        assert!(slot::read(bytes).is_ok_and(|clear| clear.id == "k/device"), "a slot passes under another name");
    }
    let ways = [
        (Lock::Device(&DEVICE), Opening::Device(&DEVICE)),
        (Lock::Recovery(&DEVICE), Opening::Recovery(&DEVICE)),
        (Lock::Escrow(&private.public()), Opening::Escrow(&private)),
        (Lock::Later(&root), Opening::Later(&root)),
    ];
    for (lock, opening) in &ways {
        if slot::unwrap(bytes, REPOSITORY, opening).is_ok() {
            let genuine = seed_slot(lock);
            let meaning = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
            let (one, other) = (meaning(bytes), meaning(&genuine));
            let differ = |field: &str| one.as_ref().map(|v| &v[field]) != other.as_ref().map(|v| &v[field]);
            assert!(!differ("repository") && !differ("way"), "a foreign slot opens");
        }
    }
}

fn seed_slot(lock: &Lock<'_>) -> Vec<u8> {
    slot::wrap(&Ring::new(RootKey::from_bytes(ROOT)), label("k/device"), lock).expect("a slot is made")
}

fn label(id: &str) -> Label<'_> {
    let made = Moment::from_millis(1_795_000_000_000);
    Label { repository: REPOSITORY, id, epoch: 0, name: "somebody", made }
}

/// The pair of RFC 7748, section 6.1.
fn escrow() -> PrivateKey {
    PrivateKey::from_pem(PRIVATE).expect("a good key file is read")
}

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n-----END PRIVATE KEY-----\n";

fn wrap_slot(mut food: Food<'_>) {
    let mut key = [0; 32];
    let given = food.bytes(32);
    key[..given.len()].copy_from_slice(given);
    let name = String::from_utf8_lossy(food.rest()).into_owned();
    let root = RootKey::from_bytes(ROOT);
    let Ok(bytes) = slot::wrap(&Ring::new(root.clone()), label(&name), &Lock::Recovery(&key)) else { return };
    // A very long name makes a slot that is refused as too long: never a wrong key.
    if let Ok(back) = slot::unwrap(&bytes, REPOSITORY, &Opening::Recovery(&key)) {
        assert!(*back.root.recovery(0) == *root.recovery(0), "another root key than wrapped");
        assert!(slot::genuine(&bytes, REPOSITORY, &name, &root).is_ok(), "a slot of ours is taken for a strange one");
    } else {
        assert!(bytes.len() > slot::SLOT_MAX, "a slot of ours does not open");
    }
    key[0] ^= 1;
    assert!(slot::unwrap(&bytes, REPOSITORY, &Opening::Recovery(&key)).is_err(), "a wrong key opens a slot");
}

fn read_kit(text: &str) {
    let Ok(kit) = kit::Kit::parse(text) else { return };
    let again = Kit::parse(&kit.render()).expect("a printed kit is read");
    assert!(again.repository == kit.repository && *again.key == *kit.key, "another kit than printed");
}

/// A key file that is read is written again as the same key; a private one never passes for a public one.
fn read_key(text: &str) {
    if let Ok(public) = PublicKey::from_pem(text) {
        assert!(PublicKey::from_pem(&public.to_pem()).is_ok_and(|again| again == public), "another key than read");
        assert!(!text.contains("-----BEGIN PRIVATE KEY-----"), "a private key was taken for a public one");
    }
    if let Ok(private) = PrivateKey::from_pem(text) {
        let again = PrivateKey::from_pem(&private.to_pem()).expect("what was written is read");
        assert!(again.public() == private.public(), "another key than read");
    }
}

fn print_kit(mut food: Food<'_>) {
    let mut key = [0; 32];
    let given = food.bytes(32);
    key[..given.len()].copy_from_slice(given);
    let made = Some(Moment::from_millis(food.u64().cast_signed()));
    let bucket = String::from_utf8_lossy(food.stretch()).into_owned();
    let kit = Kit {
        repository: REPOSITORY,
        bucket: (!bucket.is_empty()).then_some(bucket),
        key: key.into(),
        appliance: String::from_utf8_lossy(food.rest()).into_owned(),
        made,
    };
    let again = Kit::parse(&kit.render()).expect("a printed kit is read");
    assert!(again.repository == kit.repository && *again.key == key, "another kit than printed");
}

pub(super) fn slots_and_kits() -> Vec<Vec<u8>> {
    let kit = Kit {
        repository: REPOSITORY,
        bucket: Some("s3://acme/holdfast?endpoint=https://s3.example".into()),
        key: [5; 32].into(),
        appliance: "office".into(),
        made: Some(Moment::from_millis(1_795_000_000_000)),
    };
    vec![
        [&[0], &seed_slot(&Lock::Device(&DEVICE))[..]].concat(),
        [&[0], &seed_slot(&Lock::Recovery(&DEVICE))[..]].concat(),
        [&[0], &seed_slot(&Lock::Escrow(&escrow().public()))[..]].concat(),
        [&[2], PRIVATE.as_bytes()].concat(),
        [&[2], escrow().public().to_pem().as_bytes()].concat(),
        [&[1], &[9; 32][..], b"k/recovery-0"].concat(),
        [&[2], kit.render().to_lowercase().as_bytes()].concat(),
        [&[3], &[9; 32][..], &[1; 8], &stretch(b"s3://bucket"), b"name"].concat(),
    ]
}
