//! The cloud tier: attach it, try it, show it, or have a provider name it.

use super::Desk;
use crate::{
    files::{self, environment},
    outcome::{DONE, Outcome},
    words,
};
use holdfast_model::view::{BucketView, EnrolmentView};
use holdfast_provider::bundle;
use serde_json::json;
use std::path::Path;

/// `bucket set URL`.
pub async fn set(desk: &Desk, url: &str) -> Outcome {
    let request = files::bucket_request(&environment, url)?;
    let view: BucketView = desk.client.put("/bucket", &request).await?;
    desk.output.show(&view, words::capabilities);
    Ok(DONE)
}

/// `bucket probe`.
pub async fn probe(desk: &Desk) -> Outcome {
    let view: BucketView = desk.client.post("/bucket/probe", &json!({})).await?;
    desk.output.show(&view, words::capabilities);
    Ok(DONE)
}

/// `bucket show`.
pub async fn show(desk: &Desk) -> Outcome {
    let view: BucketView = desk.client.get("/bucket").await?;
    desk.output.show(&view, words::capabilities);
    Ok(DONE)
}

/// `enrol BUNDLE`.
pub async fn enrol(desk: &Desk, file: &Path) -> Outcome {
    let bundle = bundle::parse(&files::read(file)?)?;
    let view: EnrolmentView = desk.client.post("/enrol", &bundle).await?;
    let key = bundle::fingerprint(&bundle.key);
    desk.output.show(&view, |view| {
        format!("enrolled with {} as {}\ncompare by telephone; the provider's key is {key}", view.provider, view.tenant)
    });
    Ok(DONE)
}
