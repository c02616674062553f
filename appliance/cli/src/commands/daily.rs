//! What people ask every day: status, apps, snapshots, backups, jobs, doctor.

use super::{Desk, waiting};
use crate::{
    args::{BackupArgs, Care, Hold},
    client::part,
    outcome::{self, DONE, Outcome, PROBLEMS},
    watch::{Reach, until_ended},
    words,
};
use holdfast_model::{
    job::JobView,
    policy::{Consistency, Databases, parse_duration},
    view::{AppView, BackupRequest, CoverageView, DoctorLine, SnapshotView, StatusView},
};
use serde_json::{Value, json};
use std::time::Duration;

/// `status`.
pub async fn status(desk: &Desk) -> Outcome {
    let view: StatusView = desk.client.get("/status").await?;
    desk.output.show(&view, words::status);
    Ok(DONE)
}

/// `apps`.
pub async fn apps(desk: &Desk) -> Outcome {
    let views: Vec<AppView> = desk.client.get("/apps").await?;
    desk.output.show(&views, |views| words::apps(views));
    Ok(DONE)
}

/// `snapshots [APP] [--forgotten]`.
pub async fn snapshots(desk: &Desk, app: Option<&str>, forgotten: bool) -> Outcome {
    let filter = app.map(|app| format!("&app={}", part(app))).unwrap_or_default();
    let views: Vec<SnapshotView> = desk.client.get(&format!("/snapshots?forgotten={forgotten}{filter}")).await?;
    desk.output.show(&views, |views| if forgotten { words::forgotten(views) } else { words::snapshots(views) });
    Ok(DONE)
}

/// `backup APP…`.
pub async fn backup(desk: &Desk, args: BackupArgs) -> Outcome {
    let timeout = args.timeout.as_deref().map(parse_duration).transpose()?.map(Duration::from_secs);
    let (consistency, databases) = (args.consistency.map(consistency), args.databases.map(databases));
    let request = BackupRequest { apps: args.apps, consistency, databases };
    let mut jobs: Vec<JobView> = desk.client.post("/backups", &request).await?;
    if args.wait || args.wait_cloud {
        jobs = until_ended(&Reach::Socket(&desk.client), desk.output, jobs).await?;
    }
    let shipped = if args.wait_cloud { waiting::until_in_bucket(desk, &jobs, timeout).await } else { Ok(()) };
    desk.output.show(&jobs, |jobs| words::ended_jobs(jobs));
    shipped?;
    outcome::of_jobs(&jobs)
}

/// `jobs`.
pub async fn jobs(desk: &Desk) -> Outcome {
    let views: Vec<JobView> = desk.client.get("/jobs").await?;
    desk.output.show(&views, |views| words::jobs(views));
    Ok(DONE)
}

/// `jobs ID`.
pub async fn job(desk: &Desk, id: &str) -> Outcome {
    let view: JobView = desk.client.get(&format!("/jobs/{}", part(id))).await?;
    desk.output.show(&view, words::job);
    Ok(DONE)
}

/// `job cancel ID`.
pub async fn job_cancel(desk: &Desk, id: &str) -> Outcome {
    let view: JobView = desk.client.post(&format!("/jobs/{}/cancel", part(id)), &json!({})).await?;
    desk.output.show(&view, |view| words::jobs(std::slice::from_ref(view)));
    Ok(DONE)
}

/// `coverage`.
pub async fn coverage(desk: &Desk) -> Outcome {
    let view: CoverageView = desk.client.get("/coverage").await?;
    desk.output.show(&view, words::coverage);
    Ok(if view.is_whole() { DONE } else { PROBLEMS })
}

/// `doctor`.
pub async fn doctor(desk: &Desk) -> Outcome {
    let lines: Vec<DoctorLine> = desk.client.get("/doctor").await?;
    desk.output.show(&lines, |lines| words::doctor(lines));
    Ok(if lines.iter().all(|line| line.ok) { DONE } else { PROBLEMS })
}

/// `setup-link`.
pub async fn setup_link(desk: &Desk) -> Outcome {
    let link: Value = desk.client.post("/setup-link", &json!({})).await?;
    desk.output.show(&link, |link| link["url"].as_str().unwrap_or_default().to_owned());
    Ok(DONE)
}

/// `healthcheck`.
pub async fn healthcheck(desk: &Desk) -> Outcome {
    // Says more than /readyz, which knows nothing of the appliance's own state.
    let _: Value = desk.client.get("/setup").await?;
    desk.output.show(&json!({ "healthy": true }), |_| "healthy".into());
    Ok(DONE)
}

/// The model's word for a flag's.
pub fn databases(care: Care) -> Databases {
    match care {
        Care::Auto => Databases::Auto,
        Care::Dump => Databases::Dump,
        Care::Off => Databases::Off,
    }
}

/// The model's word for a flag's.
pub fn consistency(hold: Hold) -> Consistency {
    match hold {
        Hold::Pause => Consistency::Pause,
        Hold::Stop => Consistency::Stop,
        Hold::None => Consistency::None,
    }
}
