//! The repository as a whole: check, prune, recovery kit, recovery.

use super::Accepted;
use crate::{
    extract::{Asked, Body},
    fault::{Answer, Fault},
    listen::Peer,
    shared::{App, Caller},
};
use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use holdfast_model::{
    Error, Kind, Secret,
    job::JobView,
    verification::{Verification, VerificationView},
    view::{CheckView, KitView, PruneView, RecoverRequest, StepUp},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// How deep to check.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckDepth {
    /// Read and verify every byte in both tiers; else presence and sizes.
    #[serde(default)]
    read_data: bool,
    /// Read and verify this share of all bytes (1 to 100), what was verified longest ago first.
    #[serde(default)]
    percent: Option<u8>,
}

/// Findings of the last finished check; `null` before the first.
#[utoipa::path(get, path = "/check", tag = "repository",
    responses((status = 200, description = "Findings", body = Option<CheckView>)))]
pub(super) async fn check_get(State(app): State<App>) -> Json<Option<CheckView>> {
    Json(app.appliance.check_report().await)
}

/// Starts a check.
#[utoipa::path(post, path = "/check", tag = "repository", params(CheckDepth),
    responses((status = 202, description = "The job", body = JobView)))]
pub(super) async fn check_start(
    State(app): State<App>,
    Asked(depth): Asked<CheckDepth>,
) -> Result<Accepted<JobView>, Fault> {
    let job = match depth.percent.filter(|_| !depth.read_data) {
        Some(percent) => app.appliance.check_share(percent).await?,
        None => app.appliance.check(depth.read_data).await?,
    };
    Ok(Accepted(job))
}

/// How much of what is stored is read and verified each day without anybody asking, when, and what that reads.
#[utoipa::path(get, path = "/check/daily", tag = "repository",
    responses((status = 200, description = "The daily verification", body = VerificationView)))]
pub(super) async fn check_daily(State(app): State<App>) -> Json<VerificationView> {
    Json(app.appliance.verification().await)
}

/// Decides how much is read and verified each day; 0 for nothing.
#[utoipa::path(put, path = "/check/daily", tag = "repository", request_body = Verification,
    responses((status = 200, description = "The daily verification", body = VerificationView)))]
pub(super) async fn check_daily_set(
    State(app): State<App>,
    Body(rule): Body<Verification>,
) -> Answer<VerificationView> {
    Ok(Json(app.appliance.verification_set(rule).await?))
}

/// What prune would do.
#[utoipa::path(get, path = "/prune", tag = "repository", responses((status = 200, description = "The plan", body = PruneView)))]
pub(super) async fn prune_plan(State(app): State<App>) -> Answer<PruneView> {
    Ok(Json(app.appliance.prune_plan().await?))
}

/// Starts a prune.
#[utoipa::path(post, path = "/prune", tag = "repository", responses((status = 202, description = "The job", body = JobView)))]
pub(super) async fn prune_start(State(app): State<App>) -> Result<Accepted<JobView>, Fault> {
    Ok(Accepted(app.appliance.prune().await?))
}

/// The recovery kit. Asks for the password again: who has the kit and the bucket has the data.
#[utoipa::path(post, path = "/kit", tag = "repository", request_body = StepUp,
    responses((status = 200, description = "The kit", body = KitView)))]
pub(super) async fn kit_make(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Body(proof): Body<StepUp>,
) -> Answer<KitView> {
    step_up(&app, peer, &caller, proof).await?;
    Ok(Json(app.appliance.kit().await?))
}

/// Says that the kit is stored in a safe place.
#[utoipa::path(post, path = "/kit/confirm", tag = "repository", responses((status = 204, description = "Noted")))]
pub(super) async fn kit_confirm(State(app): State<App>) -> Result<StatusCode, Fault> {
    app.appliance.kit_confirm().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rebuilds the appliance from a bucket and a kit, a passphrase or an escrow key. Only on an appliance without snapshots.
#[utoipa::path(post, path = "/recover", tag = "repository", request_body = RecoverRequest,
    responses((status = 202, description = "The job", body = JobView)))]
pub(super) async fn recover_start(
    State(app): State<App>,
    Body(request): Body<RecoverRequest>,
) -> Result<Accepted<JobView>, Fault> {
    Ok(Accepted(app.appliance.recover(request).await?))
}

/// Asks for the password again, but on the unix socket.
pub(super) async fn step_up(app: &App, peer: Peer, caller: &Caller, proof: StepUp) -> Result<(), Fault> {
    if caller.is_local() {
        return Ok(());
    }
    let Some(password) = proof.password.map(Secret::new) else {
        return Err(Error::new(Kind::Denied, "login.step_up", "this needs your password again").into());
    };
    app.attempt(peer, app.appliance.user_verify(&caller.name, &password)).await
}
