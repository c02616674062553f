//! Forgetting by hand: hidden at once, brought back for a while, removed by itself after that.

use super::{
    walk::{APP, Walk, clear},
    world::{ended, until},
};
use crate::{Appliance, scheduler, watch};
use holdfast_docker::fake::FakeDocker;
use holdfast_model::{
    Kind,
    job::{JobKind, JobState},
    verification::Verification,
    view::{AppState, RestoreRequest, Target},
};
use holdfast_runtime::Stop;
use std::{sync::Arc, time::Duration};

const DAY: u64 = 86_400;

async fn listed(appliance: &Appliance) -> Vec<String> {
    appliance.snapshots(Some(APP)).await.unwrap().into_iter().map(|one| one.id.to_string()).collect()
}

async fn hidden(appliance: &Appliance) -> Vec<String> {
    appliance.snapshots_forgotten(Some(APP)).await.unwrap().into_iter().map(|one| one.id.to_string()).collect()
}

async fn prunes(appliance: &Appliance) -> usize {
    appliance.jobs().await.iter().filter(|job| job.kind == JobKind::Prune).count()
}

#[tokio::test]
async fn it_is_hidden_stays_restorable_and_is_brought_back() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    let (first, second) = (walk.backup().await.id.to_string(), walk.backup().await.id.to_string());
    let at = walk.clock.now();
    appliance.snapshot_forget(&first, false).await.unwrap();
    assert_eq!((listed(appliance).await, hidden(appliance).await), (vec![second.clone()], vec![first.clone()]));
    assert_eq!((appliance.status().await.snapshots, appliance.app(APP).await.unwrap().snapshots), (1, 1));

    // A prune keeps it, says why, and counts it by no policy.
    let plan = appliance.prune_plan().await.unwrap();
    let line = plan.keep.iter().find(|line| line.id.as_str() == first).unwrap();
    assert!(plan.forget.is_empty() && line.reason.contains("can be brought back until"), "{line:?}");
    let job = ended(appliance, &appliance.prune().await.unwrap()).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");

    // Who forgets it once more does not put its end off.
    walk.clock.advance(Duration::from_secs(DAY));
    appliance.snapshot_forget(&first, false).await.unwrap();
    let view = appliance.snapshot(&first).await.unwrap().snapshot;
    assert_eq!(view.forgotten_until, Some(at.plus_seconds(7 * 86_400)));
    let request = RestoreRequest { snapshot: first.clone(), target: Target::Beside, ..RestoreRequest::default() };
    let plan = appliance.restore_plan(request).await.unwrap();
    assert!(plan.conflicts.is_empty(), "{plan:#?}");

    let view = appliance.snapshot_unforget(&first).await.unwrap();
    assert_eq!((view.id.as_str(), view.forgotten_until), (first.as_str(), None));
    assert_eq!((listed(appliance).await, hidden(appliance).await.len()), (vec![first.clone(), second], 0));
    let error = appliance.snapshot_unforget(&first).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "snapshot.not_forgotten"));
    walk.end().await;
}

#[tokio::test]
async fn it_goes_by_itself_when_its_time_is_over() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    appliance.verification_set(Verification { daily_percent: 0 }).await.unwrap();
    let (first, second) = (walk.backup().await.id.to_string(), walk.backup().await.id.to_string());
    appliance.snapshot_forget(&first, false).await.unwrap();
    walk.clock.advance(Duration::from_secs(7 * DAY - 60));
    scheduler::turn(&appliance.0);
    assert_eq!((hidden(appliance).await.len(), prunes(appliance).await), (1, 0), "not yet");

    walk.stop.cancel();
    appliance.finished().await;
    let (data, stop) = (walk.place.path().to_owned(), Stop::new());
    drop(walk.appliance);
    let again = walk.world.start(&data, None, walk.clock.clone(), &stop).await.unwrap();
    assert_eq!(hidden(&again).await, vec![first.clone()], "it is remembered");
    until("the bucket is attached", async || again.0.repository().has_bucket()).await;
    walk.clock.advance(Duration::from_secs(120));
    until("it is gone", async || {
        scheduler::turn(&again.0);
        again.snapshot(&first).await.is_err() && again.0.jobs.active().is_empty()
    })
    .await;
    assert_eq!((listed(&again).await, hidden(&again).await.len()), (vec![second], 0));
    assert!(again.0.settings().forgotten.is_empty(), "the mark went with it");
    let before = prunes(&again).await;
    walk.clock.advance(Duration::from_secs(2 * DAY));
    scheduler::turn(&again.0);
    assert_eq!(prunes(&again).await, before, "there is nothing more to let go");
    stop.cancel();
    again.finished().await;
}

#[tokio::test]
async fn for_good_means_at_once_also_for_one_that_is_hidden_already() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    let (first, second) = (walk.backup().await.id.to_string(), walk.backup().await.id.to_string());
    appliance.snapshot_forget(&first, false).await.unwrap();
    for id in [&first, &second] {
        appliance.snapshot_forget(id, true).await.unwrap();
        assert_eq!(appliance.snapshot(id).await.unwrap_err().kind(), Kind::NotFound);
    }
    assert!(appliance.0.settings().forgotten.is_empty());
    assert_eq!(appliance.snapshot_forget(&first, false).await.unwrap_err().kind(), Kind::NotFound);
    walk.end().await;
}

/// Otherwise nobody would find what can be brought back of it.
#[tokio::test]
async fn an_app_that_is_gone_is_shown_as_long_as_something_of_it_can_be_brought_back() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    let only = walk.backup().await.id.to_string();
    clear(walk.engine.as_ref()).await;
    until("the app is gone", async || {
        watch::refresh(&appliance.0).await;
        appliance.app(APP).await.unwrap().state == AppState::Gone
    })
    .await;
    appliance.snapshot_forget(&only, false).await.unwrap();
    let view = appliance.app(APP).await.unwrap();
    assert_eq!((view.state, view.snapshots), (AppState::Gone, 0));
    assert_eq!(appliance.snapshot(&format!("latest:{APP}")).await.unwrap_err().code(), "snapshot.none");
    appliance.snapshot_forget(&only, true).await.unwrap();
    assert_eq!(appliance.app(APP).await.unwrap_err().code(), "app.unknown");
    walk.end().await;
}
