//! What every request passes before a handler sees it: the right host name, the same origin, a login.
//!
//! Closed by default: a route is open only if it stands in the open router. The unix socket passes
//! all three: who may open it owns the appliance.

use crate::{
    fault::Fault,
    listen::Peer,
    shared::{App, Caller},
};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use holdfast_model::{Error, Kind, Result};
use std::{net::IpAddr, panic::AssertUnwindSafe};

/// Sent with every answer. Style tags are needed by the UI's components; scripts come from files only.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Answers that load balancers ask for under whatever name they know.
const ANY_HOST: [&str; 2] = ["/livez", "/readyz"];

/// Outermost: refuses foreign names and origins, adds the security headers to every answer.
pub(crate) async fn doorway(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = if peer == Peer::Local { Ok(()) } else { admit(&app, &request) };
    let mut response = match admitted {
        Ok(()) => answered(next.run(request)).await,
        Err(error) => Fault::from(error).into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// On every route that is not open: lets only known callers through, and says who they are.
pub(crate) async fn login(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    match app.caller(peer, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert::<Caller>(caller);
            next.run(request).await
        }
        Err(error) => Fault::from(error).into_response(),
    }
}

/// A handler that panics is our mistake; the client hears so instead of a broken connection.
async fn answered(answering: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answering)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Fault::from(Error::bug("the appliance stumbled while answering this")).into_response())
}

fn admit(app: &App, request: &Request) -> Result<()> {
    if ANY_HOST.contains(&request.uri().path()) {
        return Ok(());
    }
    let host = asked_host(request.uri(), request.headers()).unwrap_or_default();
    if !app.settings.answers_to(&host) {
        return Err(Error::new(Kind::Denied, "request.host", format!("this appliance is not called “{host}”"))
            .advice("Start it with --allow-host NAME to reach it under that name."));
    }
    if !is_same_origin(request.method(), request.headers(), &host) {
        return Err(Error::new(Kind::Denied, "request.origin", "another web site asked for this; it was not done"));
    }
    Ok(())
}

/// The `host[:port]` that the client believes to talk to.
fn asked_host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = uri.authority().map(ToString::to_string);
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok().map(str::to_owned))
}

/// Whether a request that changes something comes from our own pages.
///
/// Browsers say so in `Sec-Fetch-Site` (on trustworthy addresses) or `Origin` (always on such
/// requests). A request with neither is no browser's, so there is no session to be abused.
fn is_same_origin(method: &Method, headers: &HeaderMap, host: &str) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, place)| place.eq_ignore_ascii_case(host)),
    }
}

/// Splits `name:port`, `1.2.3.4:port`, `[::1]:port` into the name without brackets.
pub(crate) fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

/// Whether an appliance that listens on `listen` answers to this `Host`.
///
/// A page that was rebound to our address still carries its own *name* here; plain addresses are
/// therefore safe exactly where we listen.
pub(crate) fn answers_to(listen: IpAddr, allowed: &[String], host: &str) -> bool {
    let name = host_name(host);
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.is_loopback() || listen.is_unspecified() || address == listen;
    }
    name.eq_ignore_ascii_case("localhost") || allowed.iter().any(|known| host_name(known).eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let answer = answered(async { panic!("a test panics") }).await;
        assert_eq!(answer.status(), 500);
    }

    #[test]
    fn rebound_names_are_refused() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let anywhere: IpAddr = "0.0.0.0".parse().unwrap();
        let known = vec!["backup.example".to_owned()];
        for good in ["localhost:8440", "127.0.0.1:8440", "[::1]:8440", "LOCALHOST", "backup.example:8440"] {
            assert!(answers_to(loopback, &known, good), "{good}");
        }
        for bad in ["", "evil.example", "evil.example:8440", "192.0.2.9", "localhost.evil.example", "[::2]"] {
            assert!(!answers_to(loopback, &known, bad), "{bad}");
        }
        assert!(answers_to(anywhere, &[], "192.0.2.9:8440"));
        assert!(!answers_to(anywhere, &[], "evil.example:8440"));
    }

    #[test]
    fn only_our_own_pages_change_things() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
        };
        let same = |pairs: &[_]| is_same_origin(&Method::POST, &headers(pairs), "localhost:8440");
        assert!(same(&[("sec-fetch-site", "same-origin")]));
        assert!(same(&[("origin", "http://localhost:8440")]));
        assert!(same(&[]));
        assert!(!same(&[("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8440")]));
        assert!(!same(&[("sec-fetch-site", "same-site")]));
        assert!(!same(&[("origin", "http://localhost:9999")]));
        assert!(!same(&[("origin", "https://evil.example")]));
        assert!(!same(&[("origin", "null")]));
        let foreign: HeaderMap = headers(&[("sec-fetch-site", "cross-site")]);
        assert!(is_same_origin(&Method::GET, &foreign, "localhost:8440"), "reading is guarded by SameSite cookies");
    }
}
