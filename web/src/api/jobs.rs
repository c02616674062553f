//! Work under way and done.

use crate::{extract::Named, fault::Answer, shared::App};
use axum::{Json, extract::State};
use holdfast_model::{JobId, Result, job::JobView};

/// Jobs, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses((status = 200, description = "Jobs", body = Vec<JobView>)))]
pub(super) async fn job_list(State(app): State<App>) -> Json<Vec<JobView>> {
    Json(app.appliance.jobs().await)
}

/// One job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "Job id")),
    responses((status = 200, description = "The job", body = JobView)))]
pub(super) async fn job_get(State(app): State<App>, Named(id): Named<String>) -> Answer<JobView> {
    Ok(Json(app.appliance.job(&parse(&id)?).await?))
}

/// Asks a job to stop.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "Job id")),
    responses((status = 200, description = "The job as it is now", body = JobView)))]
pub(super) async fn job_cancel(State(app): State<App>, Named(id): Named<String>) -> Answer<JobView> {
    let id = parse(&id)?;
    Ok(Json(app.appliance.job_cancel(&id).await?))
}

fn parse(id: &str) -> Result<JobId> {
    id.parse()
}
