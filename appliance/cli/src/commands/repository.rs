//! The repository as a whole: check, prune, recovery kit.

use super::Desk;
use crate::{
    args::CheckArgs,
    files,
    outcome::{self, DONE, Outcome},
    watch::{Reach, until_one_ended},
    words,
};
use holdfast_model::{
    job::JobView,
    verification::{Verification, VerificationView},
    view::{CheckView, KitView, PruneView, StepUp},
};
use serde_json::json;
use std::path::Path;

/// `check [--read-data | --percent N]`: shows the findings; the job's end gives the exit code.
pub async fn check(desk: &Desk, args: &CheckArgs) -> Outcome {
    if let Some(daily) = args.daily {
        return check_daily(desk, daily).await;
    }
    let share = args.percent.map(|percent| format!("&percent={percent}")).unwrap_or_default();
    let job: JobView = desk.client.post(&format!("/check?read_data={}{share}", args.read_data), &json!({})).await?;
    let job = until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?;
    let code = outcome::of_jobs(std::slice::from_ref(&job))?;
    let report: Option<CheckView> = desk.client.get("/check").await?;
    desk.output.show(&report.unwrap_or_default(), words::check);
    Ok(code)
}

/// `check --daily [PERCENT]`.
async fn check_daily(desk: &Desk, percent: Option<u8>) -> Outcome {
    let view: VerificationView = match percent {
        Some(daily_percent) => desk.client.put("/check/daily", &Verification { daily_percent }).await?,
        None => desk.client.get("/check/daily").await?,
    };
    desk.output.show(&view, words::verification);
    Ok(DONE)
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
