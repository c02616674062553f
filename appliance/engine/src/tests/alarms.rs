//! Alarms at work: told by the backup, in the snapshot and on the first page, and stopping nothing.

use super::{
    walk::{APP, Walk},
    world::{ended, until},
};
use crate::Appliance;
use holdfast_docker::{archive::Entry, fake::FakeDocker};
use holdfast_model::{
    Problem,
    job::{JobState, JobView},
    policy::{Policy, Retention},
    verification::Verification,
    view::{AppState, BackupRequest},
};
use std::{sync::Arc, time::Duration};

const DAY: u64 = 86_400;

/// What the first page says of this sort.
async fn told(appliance: &Appliance, code: &str) -> Vec<Problem> {
    appliance.status().await.problems.into_iter().filter(|problem| problem.code == code).collect()
}

async fn back_up(walk: &Walk) -> JobView {
    let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
    let job = walk.appliance.backup(request).await.unwrap().remove(0);
    let job = ended(&walk.appliance, &job).await;
    walk.clock.advance(Duration::from_secs(61));
    job
}

#[tokio::test]
async fn a_volume_that_shrank_is_told_everywhere_and_the_backup_counts() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    walk.appliance.verification_set(Verification { daily_percent: 0 }).await.unwrap();
    docker.volume_put("engineroom_data", Entry::file("ledger", vec![0u8; 70 << 20]));
    for _ in 0..3 {
        walk.backup().await;
    }
    assert!(told(&walk.appliance, "snapshot.shrunk").await.is_empty());
    docker.volume_put("engineroom_data", Entry::file("ledger", "x"));
    let job = back_up(&walk).await;
    assert_eq!(job.state, JobState::DoneWithProblems, "{job:#?}");
    let in_job = job.problems.iter().find(|problem| problem.code == "snapshot.shrunk").unwrap();
    assert_eq!(in_job.subject, "volume engineroom_data");
    let id = job.snapshot.unwrap().to_string();
    let snapshot = walk.appliance.snapshot(&id).await.unwrap().snapshot;
    assert!(snapshot.problems.contains(in_job), "{:?}", snapshot.problems);
    let page = told(&walk.appliance, "snapshot.shrunk").await;
    assert!(page.len() == 1 && page[0].advice.is_some(), "{page:?}");
    assert_eq!(page[0].subject, format!("local/{APP}: volume engineroom_data"));
    let app = walk.appliance.app(APP).await.unwrap();
    assert!(app.last_backup == Some(snapshot.time) && app.state != AppState::Failed, "{app:?}");

    walk.clock.advance(Duration::from_secs(7 * DAY));
    assert!(told(&walk.appliance, "snapshot.shrunk").await.is_empty(), "a week is enough");
    walk.end().await;
}

#[tokio::test]
async fn snapshots_that_are_forgotten_in_numbers_are_told_for_a_week() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    appliance.verification_set(Verification { daily_percent: 0 }).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(walk.backup().await.id.to_string());
    }
    // The same one again is no further one.
    for id in [&ids[0], &ids[0], &ids[1]] {
        appliance.snapshot_forget(id, false).await.unwrap();
    }
    assert!(told(appliance, "forget.mass").await.is_empty(), "tidying up");
    appliance.snapshot_forget(&ids[2], true).await.unwrap();
    let problems = told(appliance, "forget.mass").await;
    assert!(problems.len() == 1 && problems[0].message.contains("3 snapshots of local/engineroom"), "{problems:?}");
    walk.clock.advance(Duration::from_secs(6 * DAY));
    assert_eq!(told(appliance, "forget.mass").await.len(), 1);
    appliance.snapshot_forget(&ids[3], false).await.unwrap();
    walk.clock.advance(Duration::from_secs(DAY));
    assert!(told(appliance, "forget.mass").await.is_empty(), "one after days is none of them");
    walk.end().await;
}

#[tokio::test]
async fn a_policy_that_lets_most_snapshots_go_is_told_before_the_prune() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    for _ in 0..4 {
        walk.backup().await;
    }
    let policy = |last: u32| Policy {
        name: "last".into(),
        every_seconds: 90 * DAY,
        consistency: Default::default(),
        databases: Default::default(),
        keep: Retention { last, ..Retention::default() },
    };
    appliance.policy_put(policy(10)).await.unwrap();
    appliance.app_assign(APP, Some("last")).await.unwrap();
    assert!(told(appliance, "forget.mass").await.is_empty(), "nothing goes by that");
    appliance.policy_put(policy(1)).await.unwrap();
    let problems = told(appliance, "forget.mass").await;
    assert!(problems.len() == 1 && problems[0].message.contains("lets 3 of 4 snapshots"), "{problems:?}");
    until("nothing runs", async || appliance.0.jobs.active().is_empty()).await;
    assert_eq!(appliance.snapshots(Some(APP)).await.unwrap().len(), 4, "it is only told");
    walk.end().await;
}
