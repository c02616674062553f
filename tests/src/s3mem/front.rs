//! What happens to a request before and after the protocol: faults, clock, region, hashes, IAM.

use super::{
    Fault, Shared,
    backend::{Backend, Doorkeeper, Keyring},
    iam,
    state::Version,
    tls,
};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Frame, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{
    Body,
    service::{S3Service, S3ServiceBuilder},
};
use sha2::{Digest, Sha256};
use std::{
    convert::Infallible,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};

/// Accepts connections until it is aborted; then the connections end with it.
pub(super) async fn serve(listener: TcpListener, tls: Option<tls::Acceptor>, shared: Arc<Shared>) {
    let mut builder = S3ServiceBuilder::new(Backend(shared.clone()));
    builder.set_auth(Keyring(shared.clone()));
    builder.set_access(Doorkeeper(shared.clone()));
    let protocol = builder.build();
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (shared, protocol, tls) = (shared.clone(), protocol.clone(), tls.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| handle(shared.clone(), protocol.clone(), request));
            let http = hyper::server::conn::http1::Builder::new();
            // A connection that a fault or the client breaks is no concern of the server.
            match tls {
                None => drop(http.serve_connection(TokioIo::new(socket), service).await),
                Some(tls) => {
                    let Ok(socket) = tls.accept(socket).await else { return };
                    drop(http.serve_connection(TokioIo::new(socket), service).await);
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

type Reply = Result<Response<http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>>, io::Error>;

async fn handle(shared: Arc<Shared>, protocol: S3Service, request: Request<hyper::body::Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let fault = spring(&shared, &parts.method, &target);
    let body = take(body, fault).await?;
    shared.log.lock().expect("log").push(format!("{} {target}", parts.method));
    match fault {
        Some(Fault::Pretend) => return finish(&shared, xml_answer(200, String::new()), None),
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::Status(status, code)) => return finish(&shared, refusal(status, code), None),
        _ => {}
    }
    let answer = match aside(&shared, &parts.method, &parts.headers, &target, &body) {
        Some(answer) => answer,
        None => {
            let answer = protocol.call(Request::from_parts(parts, Body::from(body))).await;
            let (head, body) = answer.map_err(|_| io::Error::other("the protocol gave up"))?.into_parts();
            let body = BodyExt::collect(body).await.map_err(|_| io::Error::other("a broken answer"))?.to_bytes();
            Response::from_parts(head, body)
        }
    };
    finish(&shared, answer, fault)
}

/// Takes the body of a request, as fast as the fault lets it.
async fn take(mut body: hyper::body::Incoming, fault: Option<Fault>) -> io::Result<Bytes> {
    let mut taken = Vec::new();
    while let Some(frame) = body.frame().await {
        let piece = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        match fault {
            Some(Fault::Sip(rate)) => {
                tokio::time::sleep(Duration::from_micros((piece.len() * 1_000_000 / rate.max(1)) as u64)).await;
            }
            Some(Fault::Choke(most)) if taken.len() >= most => std::future::pending().await,
            _ => {}
        }
        taken.extend_from_slice(&piece);
    }
    Ok(taken.into())
}

/// The fault that is due for this request, if any.
fn spring(shared: &Shared, method: &Method, target: &str) -> Option<Fault> {
    let mut traps = shared.traps.lock().expect("traps");
    let trap = traps.iter_mut().find(|trap| {
        trap.times > 0 && (trap.method == "*" || trap.method == method.as_str()) && target.contains(&trap.part)
    })?;
    if trap.after > 0 {
        trap.after -= 1;
        return None;
    }
    trap.times -= 1;
    Some(trap.fault)
}

/// What is answered without asking the protocol.
fn aside(shared: &Shared, method: &Method, headers: &HeaderMap, target: &str, body: &Bytes) -> Option<Response<Bytes>> {
    if shared.quirks.clock_ahead_seconds.abs() > 900 {
        return Some(refusal(403, "RequestTimeTooSkewed"));
    }
    let scope = Scope::of(headers)?;
    let token = headers.get("x-amz-security-token").map_or(&b""[..], |token| token.as_bytes());
    if !shared.quirks.session_token.is_empty() && token != shared.quirks.session_token.as_bytes() {
        return Some(refusal(400, "ExpiredToken"));
    }
    if !shared.quirks.region.is_empty() && scope.region != shared.quirks.region {
        let mut answer = refusal(400, "AuthorizationHeaderMalformed");
        let region = shared.quirks.region.parse().expect("a region is plain text");
        answer.headers_mut().insert("x-amz-bucket-region", region);
        return Some(answer);
    }
    if scope.service == "iam" {
        let (status, xml) = iam::act(shared, &scope.access_key, body);
        return Some(xml_answer(status, xml));
    }
    let claimed = headers.get("x-amz-content-sha256").and_then(|claimed| claimed.to_str().ok())?;
    if *method != Method::PUT || claimed.len() != 64 || claimed == hex::encode(Sha256::digest(body)) {
        return None;
    }
    if !shared.quirks.ignores_signed_hash {
        return Some(refusal(400, "XAmzContentSHA256Mismatch"));
    }
    let (bucket, key) = target.trim_start_matches('/').split_once('/')?;
    let version = Version { body: body.clone(), ..Version::default() };
    shared.state().write(bucket, key, version);
    Some(xml_answer(200, String::new()))
}

struct Scope {
    access_key: String,
    region: String,
    service: String,
}

impl Scope {
    /// Reads `Credential=KEY/DATE/REGION/SERVICE/aws4_request` from the signature.
    fn of(headers: &HeaderMap) -> Option<Scope> {
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let credential = text.split_once("Credential=")?.1.split(',').next()?;
        let mut parts = credential.split('/');
        let (access_key, _date) = (parts.next()?.to_owned(), parts.next()?);
        Some(Scope { access_key, region: parts.next()?.to_owned(), service: parts.next()?.to_owned() })
    }
}

fn refusal(status: u16, code: &str) -> Response<Bytes> {
    xml_answer(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on order</Message></Error>"))
}

fn xml_answer(status: u16, xml: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(xml));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer.headers_mut().insert(header::CONTENT_TYPE, "application/xml".parse().expect("plain text"));
    answer
}

/// Sets the server's date, lets the fault happen to the answer, and sends it.
fn finish(shared: &Shared, answer: Response<Bytes>, fault: Option<Fault>) -> Reply {
    let (mut head, mut body) = answer.into_parts();
    let date = holdfast_model::Moment::from_millis(shared.now() * 1000);
    head.headers.insert(header::DATE, http_date(date).parse().expect("plain text"));
    let cut = match fault {
        Some(Fault::LoseReply) => return Err(io::Error::other("the answer is lost")),
        Some(Fault::Flip(offset)) if offset < body.len() => {
            let mut bytes = body.to_vec();
            bytes[offset] ^= 1;
            body = Bytes::from(bytes);
            None
        }
        Some(Fault::Cut(length)) if length < body.len() => Some(length),
        _ => None,
    };
    shared.sent.fetch_add(cut.unwrap_or(body.len()) as u64, Ordering::Relaxed);
    let Some(length) = cut else {
        let whole = http_body_util::Full::new(body).map_err(|never: Infallible| match never {});
        return Ok(Response::from_parts(head, whole.boxed_unsync()));
    };
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let pieces = futures::stream::iter([Ok(Frame::data(body.slice(..length))), Err(io::Error::other("cut"))]);
    // The first piece must be on its way before the end, or the client would not see it.
    let slowly = pieces.then(|piece| async {
        tokio::time::sleep(Duration::from_millis(u64::from(piece.is_err()) * 20)).await;
        piece
    });
    Ok(Response::from_parts(head, StreamBody::new(slowly).boxed_unsync()))
}

fn http_date(at: holdfast_model::Moment) -> String {
    let civil = at.civil();
    let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][usize::from(civil.weekday().number_days_from_monday())];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[usize::from(u8::from(civil.month())) - 1];
    let (hour, minute, second) = civil.to_hms();
    format!("{day}, {:02} {month} {} {hour:02}:{minute:02}:{second:02} GMT", civil.day(), civil.year())
}
