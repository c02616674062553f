//! JSON lines from an engine: events and the report of a load. Lines are bounded, unknown fields stay.

use super::{body::SILENCE_LIMIT, refusal::About, socket::unreachable};
use bytes::BytesMut;
use futures::{Stream, StreamExt};
use holdfast_model::{Error, Result};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::timeout;

/// A line longer than this is not one of Docker's.
const LINE_LIMIT: usize = 1 << 20;

/// Splits a body into JSON values. Lines that are not JSON are an error.
pub(crate) fn values(
    host: Arc<str>,
    body: Incoming,
    about: About<'static>,
) -> impl Stream<Item = Result<Value>> + Send + 'static {
    let state = (BodyDataStream::new(body), BytesMut::new(), false);
    futures::stream::unfold(state, move |(mut body, mut buffer, mut ended)| {
        let host = host.clone();
        async move {
            loop {
                if let Some(line) = take_line(&mut buffer, ended) {
                    if line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    let value = serde_json::from_slice(&line).map_err(|error| odd(&host).caused_by(error));
                    ended |= value.is_err();
                    return Some((value, (body, buffer, ended)));
                }
                if ended {
                    return None;
                }
                match body.next().await {
                    Some(Ok(_)) if buffer.len() > LINE_LIMIT => {
                        buffer.clear();
                        return Some((Err(odd(&host)), (body, buffer, true)));
                    }
                    Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                    Some(Err(error)) => {
                        buffer.clear();
                        return Some((Err(about.broken(&host, error)), (body, buffer, true)));
                    }
                    None => ended = true,
                }
            }
        }
    })
}

/// Reads the report of a load to its end: a 200 may carry an error (measured on every engine).
pub(crate) async fn loaded(host: Arc<str>, body: Incoming) -> Result<()> {
    let about = About { what: "image", name: "" };
    let mut report = std::pin::pin!(values(host.clone(), body, about));
    loop {
        let next = timeout(SILENCE_LIMIT, report.next())
            .await
            .map_err(|_| unreachable(&host, "its report about loaded images never ended".to_owned()))?;
        let Some(line) = next else { return Ok(()) };
        let line = line?;
        let detail = line.get("errorDetail").and_then(|detail| detail.get("message")).or_else(|| line.get("error"));
        if line.get("errorDetail").is_some() || detail.is_some() {
            let message = detail.and_then(Value::as_str).unwrap_or("no reason given");
            return Err(about.refused(&host, 400, message));
        }
    }
}

fn take_line(buffer: &mut BytesMut, ended: bool) -> Option<BytesMut> {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(buffer.split_to(end + 1)),
        None if ended && !buffer.is_empty() => Some(buffer.split()),
        None => None,
    }
}

fn odd(host: &str) -> Error {
    Error::invalid("host.answer_malformed", format!("host {host} sent a line that is not JSON"))
}
