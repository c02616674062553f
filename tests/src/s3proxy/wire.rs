//! Requests and answers as bytes: read from the client by hand, so that a fault may break off anywhere; asked of the server by a
//! client of HTTP/1.1.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, io, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Longest head of a request.
const HEAD_MAX: usize = 64 << 10;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    /// Path and query, as they came.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// Bytes of the body.
    pub(super) length: usize,
}

impl Head {
    /// The next request of a connection; `None` if it has ended. What came behind the head stays in `inbox`.
    pub(super) async fn read(client: &mut TcpStream, inbox: &mut BytesMut) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                let bytes = inbox.split_to(end + 4);
                return Head::parse(&bytes[..end]).map(Some);
            }
            if inbox.len() > HEAD_MAX {
                return Err(io::Error::other("a head without an end"));
            }
            inbox.reserve(16 << 10);
            if client.read_buf(inbox).await? == 0 {
                return if inbox.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads a head without the empty line at its end.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Head> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        let (first, fields) = text.split_once("\r\n").unwrap_or((text, ""));
        let mut words = first.split(' ');
        let method = Method::from_bytes(words.next().unwrap_or_default().as_bytes()).map_err(io::Error::other)?;
        let target = words.next().unwrap_or_default().to_owned();
        let mut headers = HeaderMap::new();
        for (name, value) in fields.lines().filter_map(|field| field.split_once(':')) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            headers.append(name, HeaderValue::from_str(value.trim()).map_err(io::Error::other)?);
        }
        if headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(io::Error::other("a request in chunks; the bucket's client sends none"));
        }
        let length = match headers.get(header::CONTENT_LENGTH) {
            Some(length) => length.to_str().map_err(io::Error::other)?.parse::<usize>().map_err(io::Error::other)?,
            None => 0,
        };
        Ok(Head { method, target, headers, length })
    }

    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// A body on its way to the server.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// All of a body.
pub(super) fn whole(bytes: Bytes) -> Outgoing {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The beginning of a body, after which the connection breaks.
pub(super) fn broken(beginning: Bytes) -> Outgoing {
    let pieces = stream::iter([Ok(Frame::data(beginning)), Err(io::Error::other("cut"))]);
    // The beginning must be on its way before the end, or the server would not see it.
    let slowly = pieces.then(|piece| async {
        tokio::time::sleep(Duration::from_millis(u64::from(piece.is_err()) * 20)).await;
        piece
    });
    StreamBody::new(slowly).boxed_unsync()
}

/// What the server said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The way to the server: one connection, made anew when it has ended.
pub(super) struct Upstream {
    server: String,
    sender: Option<SendRequest<Outgoing>>,
}

impl Upstream {
    pub(super) fn new(server: &str) -> Upstream {
        Upstream { server: server.to_owned(), sender: None }
    }

    /// Asks the server what the client asked, with every header as it came: the signature is over them, `Host` among them.
    pub(super) async fn ask(&mut self, head: &Head, body: Outgoing) -> io::Result<Answer> {
        let mut sender = self.sender().await?;
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.target.parse().map_err(io::Error::other)?;
        *request.headers_mut() = head.headers.clone();
        request.headers_mut().remove(header::CONNECTION);
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    async fn sender(&mut self) -> io::Result<SendRequest<Outgoing>> {
        if let Some(mut kept) = self.sender.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let stream = TcpStream::connect(&self.server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // How it ends is seen by whoever asks over it.
        tokio::spawn(connection);
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_came() {
        let head = Head::parse(b"PUT /b/a%2Fb?x-id=PutObject HTTP/1.1\r\nHost: 127.0.0.1:9\r\ncontent-length: 12")
            .expect("a request");
        assert_eq!((head.method.as_str(), head.target.as_str(), head.length), ("PUT", "/b/a%2Fb?x-id=PutObject", 12));
        assert_eq!(head.path(), "/b/a%2Fb");
        assert_eq!(head.headers["host"], "127.0.0.1:9");
        for wrong in ["PUT /b HTTP/1.1\r\ntransfer-encoding: chunked", "PUT /b HTTP/1.1\r\ncontent-length: many"] {
            assert!(Head::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
