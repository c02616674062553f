//! The cloud tier: attach it, try it, show it, or have a provider name it.

use super::Desk;
use crate::{
    args::{LimitArgs, LockArgs},
    files::{self, environment},
    outcome::{DONE, Failure, Outcome},
    words,
};
use holdfast_model::{
    Result,
    lock::{LockRequest, LockRule},
    policy::parse_size,
    uploads::{UploadWindow, Uploads, UploadsRequest},
    view::{BucketRequest, BucketView, EnrolmentView},
};
use holdfast_provider::bundle;
use serde_json::json;
use std::path::Path;

/// Times a change is made to what somebody else has just decided.
const TRIES: u32 = 3;

/// `bucket set URL`.
pub async fn set(desk: &Desk, url: &str, leave_behind: bool) -> Outcome {
    let request = BucketRequest { leave_behind, ..files::bucket_request(&environment, url)? };
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

/// `bucket pause` and `bucket resume`.
pub async fn pause(desk: &Desk, paused: bool) -> Outcome {
    decide(desk, |uploads| Ok(Uploads { paused, ..uploads })).await
}

/// `bucket limit`.
pub async fn limit(desk: &Desk, asked: &LimitArgs) -> Outcome {
    decide(desk, |uploads| limits(uploads, asked)).await
}

/// `bucket lock`.
pub async fn lock(desk: &Desk, asked: &LockArgs) -> Outcome {
    let view: BucketView = match lock_asked(asked) {
        Some(request) => desk.client.put("/bucket/lock", &request).await?,
        None => desk.client.get("/bucket").await?,
    };
    desk.output.show(&view, words::lock);
    Ok(DONE)
}

/// What is decided; `None` if it is only to be shown.
fn lock_asked(asked: &LockArgs) -> Option<LockRequest> {
    match (asked.off, asked.mode, asked.days) {
        (true, ..) => Some(LockRequest { rule: None }),
        (false, Some(mode), Some(days)) => Some(LockRequest { rule: Some(LockRule { mode, days }) }),
        _ => None,
    }
}

/// Changes a part of what was decided. If somebody else decides meanwhile, it is that decision of which a part is changed.
async fn decide(desk: &Desk, change: impl Fn(Uploads) -> Result<Uploads>) -> Outcome {
    let mut tries = 0;
    loop {
        let view: BucketView = desk.client.get("/bucket").await?;
        let decided = change(view.uploads.clone())?;
        if decided == view.uploads {
            desk.output.show(&view, words::uploads);
            return Ok(DONE);
        }
        tries += 1;
        let request = UploadsRequest::after(view.uploads, decided);
        match desk.client.put::<_, BucketView>("/bucket/uploads", &request).await {
            Err(Failure(error)) if error.code == "uploads.changed" && tries < TRIES => {}
            answer => {
                desk.output.show(&answer?, words::uploads);
                return Ok(DONE);
            }
        }
    }
}

/// Limits as they are with what was asked for.
fn limits(mut uploads: Uploads, asked: &LimitArgs) -> Result<Uploads> {
    match asked.upload.as_deref() {
        None => {}
        Some("full") => uploads.bytes_per_second = None,
        Some(size) => uploads.bytes_per_second = Some(parse_size(size)?),
    }
    match asked.requests {
        None => {}
        Some(0) => uploads.requests_per_second = None,
        requests => uploads.requests_per_second = requests,
    }
    if asked.no_windows || !asked.window.is_empty() {
        uploads.windows = asked.window.iter().map(|text| UploadWindow::parse(text)).collect::<Result<_>>()?;
    }
    uploads.validate()?;
    Ok(uploads)
}

/// `enrol BUNDLE`.
pub async fn enrol(desk: &Desk, file: &Path, leave_behind: bool) -> Outcome {
    let bundle = bundle::parse(&files::read(file)?)?;
    let path = if leave_behind { "/enrol?leave_behind=true" } else { "/enrol" };
    let view: EnrolmentView = desk.client.post(path, &bundle).await?;
    let key = bundle::fingerprint(&bundle.key);
    desk.output.show(&view, |view| {
        format!("enrolled with {} as {}\ncompare by telephone; the provider's key is {key}", view.provider, view.tenant)
    });
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::lock::LockMode;

    #[test]
    fn a_lock_is_decided_ended_or_only_shown() {
        let ask = |mode, days, off| lock_asked(&LockArgs { mode, days, off });
        let rule = LockRule { mode: LockMode::Governance, days: 30 };
        assert_eq!(ask(Some(rule.mode), Some(30), false), Some(LockRequest { rule: Some(rule) }));
        assert_eq!(ask(None, None, true), Some(LockRequest { rule: None }));
        assert_eq!(ask(None, None, false), None);
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let ask = |upload: Option<&str>, requests, window: &[&str], no_windows| LimitArgs {
            upload: upload.map(str::to_owned),
            requests,
            window: window.iter().map(|text| (*text).to_owned()).collect(),
            no_windows,
        };
        let paused = Uploads { paused: true, ..Uploads::default() };
        let first = limits(paused, &ask(Some("5MB"), Some(9), &["22:00-06:00=full"], false)).unwrap();
        assert!(first.paused && first.windows.len() == 1);
        assert_eq!((first.bytes_per_second, first.requests_per_second), (Some(5_000_000), Some(9)));
        assert_eq!(limits(first.clone(), &ask(None, None, &[], false)).unwrap(), first);
        let none = limits(first, &ask(Some("full"), Some(0), &[], true)).unwrap();
        assert_eq!(none, Uploads { paused: true, ..Uploads::default() });
        for (upload, window) in [(Some("fast"), vec![]), (Some("1kB"), vec![]), (None, vec!["noon=full"])] {
            limits(Uploads::default(), &ask(upload, None, &window, false)).unwrap_err();
        }
    }
}
