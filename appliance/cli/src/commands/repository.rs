//! The repository as a whole: check, prune, recovery kit.

use super::Desk;
use crate::{
    files,
    outcome::{self, DONE, Outcome},
    watch::{Reach, until_one_ended},
    words,
};
use holdfast_model::{
    job::JobView,
    view::{CheckView, KitView, PruneView, StepUp},
};
use serde_json::json;
use std::path::Path;

/// `check [--read-data | --percent N]`: shows the findings; the job's end gives the exit code.
pub async fn check(desk: &Desk, read_data: bool, percent: Option<u8>) -> Outcome {
    let share = percent.map(|percent| format!("&percent={percent}")).unwrap_or_default();
    let job: JobView = desk.client.post(&format!("/check?read_data={read_data}{share}"), &json!({})).await?;
    let job = until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?;
    let code = outcome::of_jobs(std::slice::from_ref(&job))?;
    let report: Option<CheckView> = desk.client.get("/check").await?;
    desk.output.show(&report.unwrap_or_default(), words::check);
    Ok(code)
}

/// `prune [--dry-run]`.
pub async fn prune(desk: &Desk, dry_run: bool) -> Outcome {
    if dry_run {
        let plan: PruneView = desk.client.get("/prune").await?;
        desk.output.show(&plan, words::prune);
        return Ok(DONE);
    }
    let job: JobView = desk.client.post("/prune", &json!({})).await?;
    let job = until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?;
    desk.output.show(&job, |job| words::ended_jobs(std::slice::from_ref(job)));
    outcome::of_jobs(std::slice::from_ref(&job))
}

/// `key kit --output FILE`.
pub async fn kit(desk: &Desk, to: &Path) -> Outcome {
    let kit: KitView = desk.client.post("/kit", &StepUp::default()).await?;
    if to == Path::new("-") {
        desk.output.show(&kit, |kit| kit.text.clone());
        return Ok(DONE);
    }
    files::write_new(to, &kit.text)?;
    desk.output.show(&json!({ "file": to }), |_| {
        format!(
            "The recovery kit is in {}. Keep it away from this machine, then run holdfast key confirm.",
            to.display()
        )
    });
    Ok(DONE)
}

/// `key confirm`.
pub async fn kit_confirm(desk: &Desk) -> Outcome {
    let () = desk.client.post("/kit/confirm", &json!({})).await?;
    desk.output.show(&json!({ "confirmed": true }), |_| "noted: the recovery kit is stored in a safe place".into());
    Ok(DONE)
}
