//! The cloud tier: where it is, what it really does, who runs it.

use crate::{extract::Body, fault::Answer, shared::App};
use axum::{Json, extract::State};
use holdfast_model::{
    bundle::SignedBundle,
    uploads::Uploads,
    view::{BucketRequest, BucketView, EnrolmentView},
};

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
#[utoipa::path(put, path = "/bucket/uploads", tag = "bucket", request_body = Uploads,
    responses((status = 200, description = "The bucket", body = BucketView)))]
pub(super) async fn uploads_set(State(app): State<App>, Body(uploads): Body<Uploads>) -> Answer<BucketView> {
    Ok(Json(app.appliance.uploads_set(uploads).await?))
}

/// Binds the appliance to a provider by an enrolment bundle.
#[utoipa::path(post, path = "/enrol", tag = "bucket", request_body = SignedBundle,
    responses((status = 200, description = "The provider", body = EnrolmentView)))]
pub(super) async fn enrol(State(app): State<App>, Body(bundle): Body<SignedBundle>) -> Answer<EnrolmentView> {
    Ok(Json(app.appliance.enrol(bundle).await?))
}
