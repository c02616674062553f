//! A door for tests of the whole house: any signed request, as somebody would send it who stole the keys. Never used by the product.

use crate::{
    probe::bucket_url,
    signed::{Call, Caller},
    wire::{Patience, Reach},
};
use bytes::Bytes;
use holdfast_model::{Result, settings::BucketSettings};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// HTTP method.
    pub method: &'static str,
    /// What follows the bucket's name in the URL: `/KEY?query`, or `?query`.
    pub rest: String,
    /// Headers, all of them signed.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
}

/// Sends it to the bucket of `settings`, with its keys. The answer is the status and the body.
pub async fn send(settings: &BucketSettings, request: Request) -> Result<(u16, String)> {
    let (reach, place) = Reach::of(settings)?;
    let url = bucket_url(&reach, &place.bucket, &request.rest);
    let caller = Caller::new(&reach, format!("the bucket {}", place.bucket), Patience::default())?;
    let mut headers = request.headers;
    if request.body.is_empty() && matches!(request.method, "PUT" | "POST") {
        // Some servers refuse a body of which they are told nothing.
        headers.push(("content-length", "0".to_owned()));
    }
    let call =
        Call { service: "s3", method: request.method, url: &url, headers, body: request.body, claimed_hash: None };
    let answer = caller.send(call).await?;
    Ok((answer.said.status, answer.text))
}
