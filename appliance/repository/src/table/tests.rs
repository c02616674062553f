//! The table against a plain map, with as many collisions as one likes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What is done to table and model.
#[derive(Clone, Debug)]
enum Deed {
    Insert(u64, u32),
    Batch(Vec<(u64, u32)>),
    Forget(u32),
    Reserve(usize),
    Look(u64),
}

fn fingers() -> impl Strategy<Value = u64> {
    // Few shards and few bits, so that clusters grow long; the ends of the range, where clusters run over.
    prop_oneof![
        4 => (0u64..2, 0u64..64).prop_map(|(shard, bits)| shard << 54 | bits << 48),
        2 => (0u64..64).prop_map(|bits| u64::MAX << 54 | bits << 18),
        2 => (0u64..16).prop_map(|bits| u64::MAX - (bits << 18)),
        1 => any::<u64>(),
    ]
}

fn deeds() -> impl Strategy<Value = Deed> {
    let pack = 0u32..12;
    prop_oneof![
        12 => (fingers(), pack.clone()).prop_map(|(finger, pack)| Deed::Insert(finger, pack)),
        3 => prop::collection::vec((fingers(), pack.clone()), 0..60).prop_map(Deed::Batch),
        1 => pack.prop_map(Deed::Forget),
        1 => (0usize..100_000).prop_map(Deed::Reserve),
        6 => fingers().prop_map(Deed::Look),
    ]
}

/// The bits that a table of this width sees, for the model.
fn seen(finger: u64, width: u32) -> u64 {
    finger >> (64 - SHARD_BITS - width)
}

fn assert_sound(table: &Table) {
    for shard in &table.shards {
        let taken: Vec<u64> = shard.slots.iter().copied().filter(|slot| *slot != 0).collect();
        assert_eq!(taken.len(), shard.used);
        assert!(taken.windows(2).all(|pair| pair[0] < pair[1]), "slots rise");
        for (at, slot) in shard.slots.iter().enumerate().filter(|(_, slot)| **slot != 0) {
            let home = shard.home(*slot);
            assert!(home <= at, "no slot lies before its home");
            assert!(shard.slots[home..at].iter().all(|slot| *slot != 0), "no gap between a slot and its home");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_a_set_of_places(
        width in prop_oneof![Just(1u32), Just(3), Just(8), Just(FINGER_BITS)],
        deeds in prop::collection::vec(deeds(), 1..150),
    ) {
        let mut table = Table::with_width(width);
        let mut model: BTreeSet<(u64, u32)> = BTreeSet::new();
        for deed in deeds {
            match deed {
                Deed::Insert(finger, pack) => {
                    table.insert(Finger(finger), pack);
                    model.insert((seen(finger, width), pack));
                }
                Deed::Batch(places) => {
                    let packs: Vec<u32> = places.iter().map(|(_, pack)| *pack).collect();
                    let mut batch = Batch::default();
                    for (local, (finger, pack)) in places.iter().enumerate() {
                        batch.push(Finger(*finger), local);
                        model.insert((seen(*finger, width), *pack));
                    }
                    batch.sort();
                    table.insert_all(&batch, &packs);
                }
                Deed::Forget(gone) => {
                    table.retain(|pack| pack != gone);
                    model.retain(|(_, pack)| *pack != gone);
                }
                Deed::Reserve(more) => table.reserve(more),
                Deed::Look(finger) => {
                    let told: Vec<u32> = table.candidates(Finger(finger)).collect();
                    let bits = seen(finger, width);
                    let known: Vec<u32> = model.range((bits, 0)..=(bits, u32::MAX)).map(|(_, pack)| *pack).collect();
                    prop_assert_eq!(told, known);
                }
            }
        }
        assert_sound(&table);
        prop_assert_eq!(table.len(), model.len());
        for (bits, pack) in &model {
            let finger = Finger(bits << (64 - SHARD_BITS - width));
            prop_assert!(table.candidates(finger).any(|told| told == *pack));
        }
    }
}

#[test]
fn memory_stays_near_eight_bytes_for_each_place() {
    let mut table = Table::default();
    let mut finger = 1u64;
    for number in 0..2_000_000u32 {
        // Well mixed, as keyed hashes are.
        finger = finger.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        table.insert(Finger(finger ^ finger >> 33), number / 64);
        if number % 500_000 == 499_999 {
            let each = table.size() as f64 / table.len() as f64;
            assert!(each < 8.0 / 0.7, "{each} bytes for each of {}", table.len());
        }
    }
    let one = table.shards.iter().map(|shard| shard.slots.len() * 8).max().unwrap();
    assert!(one * 500 < table.size(), "growing copies a small part at once: {one}");
    let mut reserved = Table::default();
    reserved.reserve(2_000_000);
    assert!(reserved.size() < 2_000_000 * 10);
}

#[test]
fn a_cluster_may_run_over_the_end() {
    let mut table = Table::default();
    for pack in 0..2_000 {
        table.insert(Finger(u64::MAX), pack);
    }
    assert_eq!(table.candidates(Finger(u64::MAX)).count(), 2_000);
    assert_sound(&table);
}

#[test]
fn the_largest_pack_number_comes_back() {
    let mut table = Table::default();
    table.insert(Finger(u64::MAX), PACKS_MAX);
    table.insert(Finger(0), PACKS_MAX);
    table.insert(Finger(0), 0);
    assert_eq!(table.candidates(Finger(u64::MAX)).collect::<Vec<_>>(), [PACKS_MAX]);
    assert_eq!(table.candidates(Finger(0)).collect::<Vec<_>>(), [0, PACKS_MAX]);
}
