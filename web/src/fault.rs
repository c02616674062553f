//! Errors on the wire: the only place that knows which HTTP status belongs to which error.
//!
//! Bodies are `application/problem+json` ([`ErrorView`]). Never here: decisions about what is an error.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use holdfast_model::{Error, Kind, Result, view::ErrorView};

/// What a handler answers: a view, or the error as a problem document.
pub(crate) type Answer<T> = Result<Json<T>, Fault>;

/// Media type of error bodies (RFC 9457).
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Codes whose status says more than their kind.
const STATUS_BY_CODE: [(&str, u16); 6] = [
    ("login.needed", 401),
    ("login.throttled", 429),
    ("files.range", 416),
    ("request.method", 405),
    ("request.too_large", 413),
    ("request.media_type", 415),
];

/// Seconds that a client waits before it asks again, where the error does not say.
const RETRY_SECONDS: u64 = 5;

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct Fault {
    error: Error,
    retry_seconds: u64,
}

impl Fault {
    /// Tells the client how long to wait.
    pub(crate) fn retry_after(error: Error, seconds: u64) -> Self {
        Fault { error, retry_seconds: seconds.max(1) }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { error, retry_seconds: RETRY_SECONDS }
    }
}

/// The error as the API shows it, also used by the CLI for errors of its own.
pub fn error_view(error: &Error) -> ErrorView {
    ErrorView {
        status: status_of(error),
        kind: error.kind().as_str().to_owned(),
        code: error.code().to_owned(),
        title: error.to_string(),
        detail: error.chain(),
        hint: error.advice_text().map(str::to_owned),
    }
}

fn status_of(error: &Error) -> u16 {
    if let Some((_, status)) = STATUS_BY_CODE.iter().find(|(code, _)| *code == error.code()) {
        return *status;
    }
    match error.kind() {
        Kind::Invalid => 422,
        Kind::NotFound => 404,
        Kind::Conflict | Kind::Refused | Kind::Stopped => 409,
        Kind::Denied => 403,
        Kind::Unavailable => 503,
        Kind::Full => 507,
        Kind::Corrupt | Kind::Bug => 500,
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let view = error_view(&self.error);
        let status = StatusCode::from_u16(view.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = view.code, "a request failed: {}", view.detail);
        }
        let mut response = (status, Json(view)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        for (kind, status) in [
            (Kind::Invalid, 422),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Denied, 403),
            (Kind::Refused, 409),
            (Kind::Unavailable, 503),
            (Kind::Full, 507),
            (Kind::Corrupt, 500),
            (Kind::Stopped, 409),
            (Kind::Bug, 500),
        ] {
            assert_eq!(status_of(&Error::new(kind, "some.code", "words")), status, "{kind:?}");
        }
        assert_eq!(status_of(&Error::new(Kind::Denied, "login.needed", "log in")), 401);
    }

    #[test]
    fn a_problem_tells_the_whole_story() {
        let error = Error::new(Kind::Unavailable, "host.unreachable", "no answer")
            .while_doing("list the containers of local")
            .advice("Start Docker.");
        let response = Fault::from(error).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }
}
