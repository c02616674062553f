//! The law in every state that small lists can reach.

use super::*;
use holdfast_model::Moment;
use std::collections::BTreeSet;

/// An object of a model: stage, owner (0: none), and the names of what it really needs.
struct Model {
    items: Vec<ShipItem>,
    needs: Vec<Vec<usize>>,
}

fn snapshot(number: u8) -> SnapshotId {
    SnapshotId::new(Moment::from_millis(i64::from(number)), [number; 10])
}

fn model(order: &[(&str, Stage, u8, &[&str])]) -> Model {
    let place = |name: &str| order.iter().position(|(other, ..)| *other == name).unwrap();
    Model {
        items: order
            .iter()
            .map(|(name, stage, owner, _)| ShipItem {
                key: (*name).into(),
                size: 1,
                stage: *stage,
                snapshot: (*owner > 0).then(|| snapshot(*owner)),
            })
            .collect(),
        needs: order.iter().map(|(.., needs)| needs.iter().map(|name| place(name)).collect()).collect(),
    }
}

/// Two snapshots, the younger one needs a pack and a segment that are shipped for the older one.
fn two_snapshots() -> Model {
    use Stage::*;
    model(&[
        ("format", Setup, 0, &[]),
        ("slot", Setup, 0, &["format"]),
        ("p1", Pack, 1, &["slot"]),
        ("p2", Pack, 1, &["slot"]),
        ("i1", Segment, 1, &["p1", "p2", "slot"]),
        ("r1", Reach, 1, &["p1", "p2", "i1"]),
        ("s1", Snapshot, 1, &["r1", "i1", "p1", "p2"]),
        ("p3", Pack, 2, &["slot"]),
        ("i2", Segment, 2, &["p3"]),
        ("r2", Reach, 2, &["p3", "p1", "i2"]),
        ("s2", Snapshot, 2, &["r2", "i2", "i1", "p3", "p1"]),
        ("c1", Settings, 0, &["slot"]),
    ])
}

/// Done, or how it stands.
type Place = Option<Standing>;

/// Visits every reachable state; gives how many there are.
fn explore(model: &Model, with_failures: bool) -> usize {
    let mut seen: BTreeSet<Vec<Place>> = BTreeSet::new();
    let mut todo = vec![vec![Some(Standing::Waiting); model.items.len()]];
    while let Some(state) = todo.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        let open: Vec<usize> = (0..state.len()).filter(|i| state[*i].is_some()).collect();
        let list: Vec<_> = open.iter().map(|i| (model.items[*i].clone(), state[*i].unwrap())).collect();
        let starts: Vec<usize> = startable(&list).into_iter().map(|i| open[i]).collect();
        for start in &starts {
            for need in &model.needs[*start] {
                assert_eq!(state[*need], None, "{} before {}", model.items[*start].key, model.items[*need].key);
            }
        }
        let idle = open.iter().all(|i| state[*i] == Some(Standing::Waiting));
        assert!(!idle || open.is_empty() || !starts.is_empty(), "stuck with {list:?}");
        let with = |index: usize, place: Place| {
            let mut next = state.clone();
            next[index] = place;
            next
        };
        todo.extend(starts.iter().map(|i| with(*i, Some(Standing::Flying))));
        for flying in open.iter().filter(|i| state[**i] == Some(Standing::Flying)) {
            todo.push(with(*flying, None));
            if with_failures {
                todo.push(with(*flying, Some(Standing::Failed)));
            }
        }
    }
    seen.len()
}

#[test]
fn no_state_breaks_the_law_and_none_is_stuck() {
    assert!(explore(&two_snapshots(), false) > 100);
    assert!(explore(&two_snapshots(), true) > 500);
}

#[test]
fn the_law_holds_when_stages_are_listed_together() {
    use Stage::*;
    let by_stage = model(&[
        ("c1", Settings, 0, &["format"]),
        ("p3", Pack, 2, &["format"]),
        ("p1", Pack, 1, &["format"]),
        ("i1", Segment, 1, &["p1"]),
        ("i2", Segment, 2, &["p3"]),
        ("r1", Reach, 1, &["p1", "i1"]),
        ("r2", Reach, 2, &["p3", "i2"]),
        ("s1", Snapshot, 1, &["r1", "i1", "p1"]),
        ("s2", Snapshot, 2, &["r2", "i2", "p3", "i1"]),
        ("format", Setup, 0, &[]),
    ]);
    explore(&by_stage, true);
}

#[test]
fn a_snapshots_own_objects_may_be_listed_in_any_order() {
    use Stage::*;
    let backwards = model(&[
        ("s1", Snapshot, 1, &["r1", "i1", "p1", "format"]),
        ("r1", Reach, 1, &["i1", "p1", "format"]),
        ("i1", Segment, 1, &["p1", "format"]),
        ("p1", Pack, 1, &["format"]),
        ("format", Setup, 0, &[]),
    ]);
    explore(&backwards, true);
}

#[test]
fn packs_of_a_younger_snapshot_fly_while_the_older_one_is_finished() {
    let model = two_snapshots();
    // Setup and the packs of the first are done, its segment is on its way.
    let list: Vec<_> = model.items[4..]
        .iter()
        .map(|item| (item.clone(), if item.key == "i1" { Standing::Flying } else { Standing::Waiting }))
        .collect();
    let keys: Vec<_> = startable(&list).into_iter().map(|i| list[i].0.key.as_str()).collect();
    assert_eq!(keys, ["p3", "c1"]);
}

#[test]
fn a_pack_for_no_snapshot_that_is_listed_last_holds_up_nobody() {
    let mut model = two_snapshots();
    model.items.push(ShipItem { key: "p9".into(), size: 1, stage: Stage::Pack, snapshot: None });
    model.needs.push(vec![1]);
    explore(&model, false);
    let last = model.items.len() - 1;
    for standing in [Standing::Waiting, Standing::Flying, Standing::Failed] {
        let list = [(model.items[10].clone(), Standing::Waiting), (model.items[last].clone(), standing)];
        assert_eq!(startable(&list)[0], 0, "{standing:?}");
    }
    assert_eq!(startable(&[(model.items[last].clone(), Standing::Waiting)]), [0]);
}

#[test]
fn a_failed_snapshot_object_does_not_hold_the_next_one_up() {
    let model = two_snapshots();
    let list = [(model.items[6].clone(), Standing::Failed), (model.items[10].clone(), Standing::Waiting)];
    assert_eq!(startable(&list), [1]);
    // A failed pack does: the younger snapshot may need it.
    let list = [(model.items[2].clone(), Standing::Failed), (model.items[10].clone(), Standing::Waiting)];
    assert!(startable(&list).is_empty());
}
