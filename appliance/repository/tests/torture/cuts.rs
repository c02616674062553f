//! The power goes at every step of the reference scenario, with everything that may survive it.

use crate::{
    full,
    ground::{Failures, panics},
    scenario::record,
    states::{Place, State},
    verify::Judge,
};
use futures::{StreamExt, stream};
use holdfast_storage::sim::Dice;
use std::{sync::Arc, time::Instant};

/// States judged at once.
const AT_ONCE: usize = 4;
/// A slice takes every n-th place of the recording, beginning anywhere: so many runs see all of it.
const STRIDE: usize = 5;
/// And so many states at random.
const AT_RANDOM: u64 = 400;

/// Judges states; failures of the same kind are counted once each.
async fn judge_all(judge: &Arc<Judge>, states: Vec<State>, failures: &mut Failures) {
    let mut verdicts = stream::iter(states)
        .map(|state| {
            let judge = Arc::clone(judge);
            async move { tokio::spawn(async move { judge.judge(state).await }).await.unwrap() }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(verdict) = verdicts.next().await {
        if let Err(error) = verdict {
            failures.add(error);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_cut_at_any_step() {
    panics();
    let trace = record(1).await;
    let (start, judge) = (Instant::now(), Arc::new(Judge::of(&trace)));
    let stride = if full() { 1 } else { STRIDE };
    let first = if full() { 0 } else { holdfast_runtime::random::<1>()[0] as usize % stride };
    let (mut states, mut places, mut failures) = (0, 0, Failures::default());
    let mut place = Place::start(&trace);
    loop {
        if place.at % stride == first {
            let all = place.all_states();
            states += all.len();
            places += 1;
            judge_all(&judge, all, &mut failures).await;
        }
        if !place.step() {
            break;
        }
    }
    println!(
        "cuts: {} events, {places} places, {states} states, {} of them different after opening, {:?}",
        trace.events.len(),
        judge.different(),
        start.elapsed()
    );
    failures.assert_none();
    assert_eq!(panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_cuts_at_random() {
    panics();
    let wanted = if full() { 100_000 } else { AT_RANDOM };
    let seed = u64::from_le_bytes(holdfast_runtime::random());
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let (start, traces) = (Instant::now(), if full() { 25 } else { 1 });
    let (mut states, mut different, mut failures) = (0, 0, Failures::default());
    for number in 0..traces {
        let trace = record(2 + number).await;
        let judge = Arc::new(Judge::of(&trace));
        // In thousandths of a state for each place.
        let share = wanted * 1000 / traces / trace.events.len() as u64 + 1;
        let mut place = Place::start(&trace);
        loop {
            let count = share / 1000 + u64::from(dice.below(1000) < share % 1000);
            let some: Vec<State> = (0..count).map(|_| place.random_state(&mut dice)).collect();
            states += some.len();
            judge_all(&judge, some, &mut failures).await;
            if !place.step() {
                break;
            }
        }
        different += judge.different();
        println!("random cuts so far: {states} states, {different} different, {:?}", start.elapsed());
    }
    println!("random cuts: {states} states, {different} of them different after opening, {:?}", start.elapsed());
    failures.assert_none();
    assert_eq!(panics(), 0);
}
