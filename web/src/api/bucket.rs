//! The cloud tier: where it is, what it really does, who runs it.

use crate::{
    extract::{Asked, Body},
    fault::Answer,
    shared::App,
};
use axum::{Json, extract::State};
use holdfast_model::{
    bundle::SignedBundle,
    lock::LockRequest,
    uploads::UploadsRequest,
    view::{BucketRequest, BucketView, EnrolmentView},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// What may be lost by another bucket.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaving {
    /// Whether data that only the bucket of before holds may stay behind there.
    #[serde(default)]
    leave_behind: bool,
}

/// The bucket and how it does.
#[utoipa::path(get, path = "/bucket", tag = "bucket", responses((status = 200, description = "The bucket", body = BucketView)))]
pub(super) async fn bucket_get(State(app): State<App>) -> Json<BucketView> {
    Json(app.appliance.status().await.bucket)
}

/// Attaches a bucket, after trying it.
#[utoipa::path(put, path = "/bucket", tag = "bucket", request_body = BucketRequest,
    responses((status = 200, description = "The bucket", body = BucketView)))]
pub(super) async fn bucket_set(State(app): State<App>, Body(request): Body<BucketRequest>) -> Answer<BucketView> {
    Ok(Json(app.appliance.bucket_set(request).await?))
}

/// Finds out what the bucket really does.
#[utoipa::path(post, path = "/bucket/probe", tag = "bucket", responses((status = 200, description = "The bucket", body = BucketView)))]
pub(super) async fn bucket_probe(State(app): State<App>) -> Answer<BucketView> {
    Ok(Json(app.appliance.bucket_probe().await?))
}

/// Decides what uploads may take of the line: a pause, limits, hours of the day. All of it is replaced.
#[utoipa::path(put, path = "/bucket/uploads", tag = "bucket", request_body = UploadsRequest,
    responses((status = 200, description = "The bucket", body = BucketView)))]
pub(super) async fn uploads_set(State(app): State<App>, Body(request): Body<UploadsRequest>) -> Answer<BucketView> {
    Ok(Json(app.appliance.uploads_set(request).await?))
}

/// Decides how long the bucket keeps what is written into it, whoever asks for it to be deleted. What is locked stays locked.
#[utoipa::path(put, path = "/bucket/lock", tag = "bucket", request_body = LockRequest,
    responses((status = 200, description = "The bucket", body = BucketView)))]
pub(super) async fn lock_set(State(app): State<App>, Body(request): Body<LockRequest>) -> Answer<BucketView> {
    Ok(Json(app.appliance.lock_set(request).await?))
}

/// Binds the appliance to a provider by an enrolment bundle.
#[utoipa::path(post, path = "/enrol", tag = "bucket", params(Leaving), request_body = SignedBundle,
    responses((status = 200, description = "The provider", body = EnrolmentView)))]
pub(super) async fn enrol(
    State(app): State<App>,
    Asked(leaving): Asked<Leaving>,
    Body(bundle): Body<SignedBundle>,
) -> Answer<EnrolmentView> {
    Ok(Json(app.appliance.enrol(bundle, leaving.leave_behind).await?))
}
