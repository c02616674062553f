//! Tests of the whole room: golden vectors, refusals, round trips.

mod nonces;
mod slots;
mod vectors;

use crate::{
    cut::{FINE, Sizes},
    envelope::Envelope,
    seal::OVERHEAD,
    *,
};
use holdfast_model::{ChunkId, Kind, Moment, RepositoryId, Secret};
use zeroize::Zeroizing;

mod delta;
mod pages;

const ROOT: [u8; 32] = [0x42; 32];
const REPOSITORY: RepositoryId = RepositoryId([0x17; 16]);

thread_local! {
    /// Set, this thread's generator of randomness gives the same again and again: a machine set back in time.
    pub(crate) static REPLAY: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn root() -> RootKey {
    RootKey::from_bytes(ROOT)
}

fn keys() -> Keys {
    Keys::derive(&root())
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn cuts(data: &[u8], sizes: cut::Sizes) -> Vec<usize> {
    let cutter = Cutter::new(&keys(), sizes);
    let mut start = 0;
    let mut ends = Vec::new();
    while let Some(length) = cutter.next(&data[start..], true) {
        start += length;
        ends.push(start);
    }
    ends
}

fn short_hash(bytes: &[u8]) -> String {
    hex::encode(&sha256(bytes)[..8])
}

#[test]
fn golden_ids_and_keys() {
    let keys = keys();
    let words =
        [ChunkKind::Data, ChunkKind::Meta, ChunkKind::Recipe].map(|kind| keys.chunk_id(kind, b"holdfast").short());
    assert_eq!(words, GOLDEN_IDS);
    assert_eq!(hex::encode(&keys.format_mac(b"holdfast")[..4]), GOLDEN_MAC);
    assert_eq!(hex::encode(&root().recovery(0)[..4]), GOLDEN_RECOVERY);
    assert_ne!(*root().recovery(0), *root().recovery(1));
}

#[test]
fn golden_cut_points() {
    let data = noise(8 << 20);
    assert_eq!(cuts(&data, Sizes::of_file(0)), GOLDEN_LARGE);
    assert_eq!(cuts(&data[..1 << 20], FINE), GOLDEN_FINE);
    for (size, golden) in [(1 << 30, GOLDEN_1G), (64 << 30, GOLDEN_64G), (1 << 40, GOLDEN_1T)] {
        assert_eq!(Sizes::of_file(size - 1).avg * 2, Sizes::of_file(size).avg);
        assert_eq!(cuts(&data, Sizes::of_file(size)), golden);
    }
    assert_eq!(Sizes::of_file(u64::MAX).max, cut::CHUNK_MAX);
}

/// Bytes that come in pieces are cut where they would be cut had they come at once.
#[test]
fn cuts_do_not_depend_on_how_bytes_arrive() {
    let data = noise(3 << 20);
    let cutter = Cutter::new(&keys(), FINE);
    let max = cutter.max();
    assert_eq!(max, FINE.max);
    assert_eq!(cutter.next(&[], true), None);
    assert_eq!(cutter.next(&data[..max - 1], false), None, "a later byte could still tell");
    let whole = cutter.next(&data, true);
    assert!(whole.is_some_and(|length| length <= max));
    assert_eq!(cutter.next(&data[..max], false), whole, "no later byte can matter");
    for step in [1000, max / 2, max, max + 1] {
        let (mut start, mut ends) = (0, Vec::new());
        for come in (step..data.len()).step_by(step).chain([data.len()]) {
            while let Some(length) = cutter.next(&data[start..come], come == data.len()) {
                start += length;
                ends.push(start);
            }
        }
        assert_eq!(ends, cuts(&data, FINE), "{step}");
    }
}

#[test]
fn golden_sealed_bytes() {
    let keys = keys();
    let mut sealer = Sealer::new(1).unwrap();
    let plain = noise(1000);
    let id = keys.chunk_id(ChunkKind::Data, &plain);
    let mut out = Vec::new();
    sealer.seal_with(&keys, (ChunkKind::Data, &id, [5; 16]), &plain, None, &mut out).unwrap();
    assert_eq!(out.len(), 1000 + OVERHEAD);
    assert_eq!(out[..2], [0, 0], "epoch, encoding");
    let envelope = Envelope::new(&keys, REPOSITORY);
    // The compressed form may change with the library; header and commitment of given bytes may not.
    let sealed = envelope.seal_packed(ObjectKind::Snapshot, "s/x", 4, b"packed", [6; 32]).unwrap();
    assert_eq!(hex::encode(&sealed[..8]), "4846454e01010000");
    assert_eq!((short_hash(&out).as_str(), hex::encode(&sealed[40..48]).as_str()), (GOLDEN_SEALED, GOLDEN_COMMIT));
    let sealed = envelope.seal_with(ObjectKind::Snapshot, "s/x", b"body", [6; 32]).unwrap();
    assert_eq!(envelope.open(ObjectKind::Snapshot, "s/x", &sealed).unwrap(), b"body");
}

#[test]
fn chunks_come_back_and_every_turned_bit_is_found() {
    let keys = keys();
    let (mut sealer, mut opener) = (Sealer::new(3).unwrap(), Opener::new().unwrap());
    for plain in [Vec::new(), vec![0; 5000], noise(3000), b"abc".repeat(50)] {
        let id = keys.chunk_id(ChunkKind::Meta, &plain);
        let length = u32::try_from(plain.len()).unwrap();
        let mut sealed = Vec::new();
        sealer.seal(&keys, (ChunkKind::Meta, &id), &plain, None, &mut sealed).unwrap();
        assert_eq!(opener.open(&keys, (ChunkKind::Meta, &id), length, None, &sealed).unwrap(), plain);
        let mut refuse = |kind, id: &ChunkId, length, sealed: &[u8]| {
            let error = opener.open(&keys, (kind, id), length, None, sealed).unwrap_err();
            assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "chunk.corrupt"));
        };
        for at in 0..sealed.len() {
            sealed[at] ^= 1 << (at % 8);
            refuse(ChunkKind::Meta, &id, length, &sealed);
            sealed[at] ^= 1 << (at % 8);
        }
        for end in 0..sealed.len().min(60) {
            refuse(ChunkKind::Meta, &id, length, &sealed[..end]);
        }
        refuse(ChunkKind::Data, &id, length, &sealed);
        refuse(ChunkKind::Meta, &id, length + 1, &sealed);
        refuse(ChunkKind::Meta, &ChunkId([1; 32]), length, &sealed);
        refuse(ChunkKind::Meta, &id, u32::MAX, &sealed);
    }
}

#[test]
fn two_sealings_differ_and_zeros_shrink() {
    let keys = keys();
    let mut sealer = Sealer::new(1).unwrap();
    let plain = vec![7; 100_000];
    let id = keys.chunk_id(ChunkKind::Data, &plain);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    sealer.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut one).unwrap();
    sealer.seal(&keys, (ChunkKind::Data, &id), &plain, None, &mut two).unwrap();
    assert!(one.len() < 200 && one != two);
}

#[test]
fn objects_are_bound_to_kind_name_repository_and_key() {
    let keys = keys();
    let envelope = Envelope::new(&keys, REPOSITORY);
    let sealed = envelope.seal(ObjectKind::Settings, "c/1", b"the settings").unwrap();
    assert_eq!(envelope.open(ObjectKind::Settings, "c/1", &sealed).unwrap(), b"the settings");
    let refused = |envelope: Envelope<'_>, kind, name: &str, sealed: &[u8]| {
        assert_eq!(envelope.open(kind, name, sealed).unwrap_err().kind(), Kind::Corrupt);
    };
    refused(envelope, ObjectKind::Settings, "c/2", &sealed);
    refused(envelope, ObjectKind::Reach, "c/1", &sealed);
    refused(Envelope::new(&keys, RepositoryId([0; 16])), ObjectKind::Settings, "c/1", &sealed);
    let other = Keys::derive(&RootKey::from_bytes([1; 32]));
    refused(Envelope::new(&other, REPOSITORY), ObjectKind::Settings, "c/1", &sealed);
    for at in (0..sealed.len()).filter(|at| *at != 4) {
        let mut bad = sealed.clone();
        bad[at] ^= 0x10;
        refused(envelope, ObjectKind::Settings, "c/1", &bad);
    }
    for end in 0..sealed.len() {
        refused(envelope, ObjectKind::Settings, "c/1", &sealed[..end]);
    }
    let mut later = sealed;
    later[4] = 2;
    assert_eq!(envelope.open(ObjectKind::Settings, "c/1", &later).unwrap_err().code(), "format.unsupported");
}

#[test]
fn objects_are_large_but_not_beyond_the_format() {
    let keys = keys();
    let envelope = Envelope::new(&keys, REPOSITORY);
    let large = vec![0; 3 << 20];
    let sealed = envelope.seal(ObjectKind::Segment, "i/1", &large).unwrap();
    assert!(envelope.open(ObjectKind::Segment, "i/1", &sealed).unwrap() == large);
    let beyond = vec![0; envelope::BODY_MAX + 1];
    assert_eq!(envelope.seal(ObjectKind::Segment, "i/1", &beyond).unwrap_err().kind(), Kind::Bug);
    let promised = envelope.seal_packed(ObjectKind::Segment, "i/1", beyond.len(), b"", [7; 32]).unwrap();
    let refused = envelope.open(ObjectKind::Segment, "i/1", &promised).unwrap_err();
    assert!(refused.to_string().contains("impossible"), "{refused}");
}

fn kit() -> Kit {
    Kit {
        repository: REPOSITORY,
        bucket: Some("s3://backups/shop?endpoint=https%3A%2F%2Fs3.example&region=eu".into()),
        key: Zeroizing::new([0xa5; 32]),
        appliance: "cellar".into(),
        made: Some(Moment::from_millis(1_795_411_200_000)),
    }
}

#[test]
fn the_kit_survives_people() {
    let kit = kit();
    let page = kit.render();
    assert!(page.contains("holdfast recover --bucket 's3://backups/shop?") && page.contains("--kit kit.txt"));
    assert_eq!(Kit::parse(&page).unwrap(), kit);
    let typed = page.to_lowercase().replace(": ", ":\t ").replace('-', " ").replace('\n', "\r\n");
    assert_eq!(*Kit::parse(&typed).unwrap().key, [0xa5; 32]);
    let grouped = kit.grouped();
    let broken = page.replace(&grouped, &format!("\n    {}\n    {}", &grouped[..30], &grouped[30..]));
    assert_eq!(Kit::parse(&broken).unwrap().key, kit.key);
    let bare = Kit { bucket: None, made: None, ..kit };
    assert_eq!(Kit::parse(&bare.render()).unwrap(), bare);
}

#[test]
fn a_slip_in_the_kit_is_found() {
    let page = kit().render();
    let grouped = kit().grouped();
    let code = |text: &str| Kit::parse(text).unwrap_err().code().to_owned();
    let swapped = grouped.replacen('M', "N", 1);
    assert_ne!(swapped, grouped);
    assert_eq!(code(&page.replace(&grouped, &swapped)), "kit.checksum");
    assert_eq!(code(&page.replace(&"17".repeat(16), &"18".repeat(16))), "kit.checksum");
    assert_eq!(code(&page.replace(&grouped, &grouped[..40])), "kit.malformed");
    assert_eq!(code(""), "kit.malformed");
    assert_eq!(code("Repository: 17"), "kit.malformed");
    assert_eq!(code(&"x".repeat(100_000)), "kit.malformed");
}

#[test]
fn passwords_verify() {
    let password = Secret::new("a long password");
    let hash = password::hash(&password).unwrap();
    assert!(hash.starts_with("$argon2id$"));
    assert!(password::verify(&password, &hash));
    assert!(!password::verify(&Secret::new("another"), &hash));
    assert!(!password::verify(&password, "nonsense"));
    assert!(!password::verify(&password, &hash.replace("m=19456", "m=4000000")));
}

#[test]
fn nothing_secret_is_printed() {
    let shown = format!("{:?} {:?} {:?}", keys(), root(), kit());
    assert!(!shown.contains("a5a5") && !shown.contains("4242") && shown.contains("•••"));
}

const GOLDEN_IDS: [&str; 3] = ["0c935f27", "d7758b9b", "e7c8e45a"];
const GOLDEN_MAC: &str = "5337e953";
const GOLDEN_RECOVERY: &str = "721c4c75";
const GOLDEN_SEALED: &str = "1005dc55223db852";
const GOLDEN_COMMIT: &str = "94d78ffb0f68e74c";
const GOLDEN_LARGE: &[usize] =
    &[868430, 1590699, 2397076, 3151645, 4388010, 5122621, 5285759, 6181034, 7044121, 7578000, 8265400, 8388608];
const GOLDEN_FINE: &[usize] = &[81040, 150826, 264235, 453262, 494389, 748071, 821064, 868430, 1018693, 1048576];
const GOLDEN_1G: &[usize] = &[868430, 2464357, 3629088, 4388010, 5285759, 7578000, 8311085, 8388608];
const GOLDEN_64G: &[usize] = &[2464357, 4388010, 7578000, 8388608];
const GOLDEN_1T: &[usize] = &[2464357, 4388010, 8388608];
