//! What a request brings, read strictly: every refusal is a problem document in our words.

use crate::fault::Fault;
use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
};
use holdfast_model::Error;
use serde::de::DeserializeOwned;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// Names in the path.
pub(crate) struct Named<T>(pub(crate) T);

/// Parameters after the question mark.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Body(value)),
            Err(rejection) => Err(wrong_body(&rejection).into()),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let named = Path::<T>::from_request_parts(parts, state).await;
        named.map(|Path(value)| Named(value)).map_err(|rejection: PathRejection| {
            Error::invalid("request.path", format!("the address is not usable: {}", rejection.body_text())).into()
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        asked.map(|Query(value)| Asked(value)).map_err(|rejection: QueryRejection| {
            Error::invalid("request.query", format!("the parameters are not usable: {}", rejection.body_text())).into()
        })
    }
}

fn wrong_body(rejection: &JsonRejection) -> Error {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::invalid("request.too_large", "the request is larger than 1 MiB"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Error::invalid("request.media_type", "the request must be JSON (content type application/json)")
        }
        _ => Error::invalid("request.body", format!("the request is not usable: {}", rejection.body_text())),
    }
}
