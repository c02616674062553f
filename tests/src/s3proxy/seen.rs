//! What a request asks for.

use super::wire::Head;
use http::{Method, header};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To write an object.
    Put,
    /// A whole object.
    Get,
    /// A part of an object.
    Range,
    /// What there is to say of an object.
    Head,
    /// A listing.
    List,
    /// To remove an object.
    Delete,
    /// Something else: versions, locks, buckets.
    Other,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it asks for.
    pub kind: Kind,
    /// `METHOD /path?query`.
    pub line: String,
    /// It writes only where nothing is.
    pub conditional: bool,
    /// The object was written by way of this proxy.
    pub written: bool,
}

impl Seen {
    /// Reads a request; `written` tells whether the object of a path was written before.
    pub(super) fn of(head: &Head, written: impl Fn(&str) -> bool) -> Seen {
        Seen {
            kind: kind_of(head),
            line: format!("{} {}", head.method, head.target),
            conditional: head.headers.contains_key(header::IF_NONE_MATCH),
            written: written(head.path()),
        }
    }
}

fn kind_of(head: &Head) -> Kind {
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    // The client names its operation; that asks for nothing.
    let mut asked = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("x-id="));
    if head.method == Method::GET && asked.clone().any(|part| part == "list-type=2") {
        return Kind::List;
    }
    let plain = asked.next().is_none();
    match head.method {
        Method::PUT if plain => Kind::Put,
        Method::GET if plain && head.headers.contains_key(header::RANGE) => Kind::Range,
        Method::GET if plain => Kind::Get,
        Method::HEAD if plain => Kind::Head,
        Method::DELETE if plain => Kind::Delete,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(request: &str) -> Kind {
        let head = Head::parse(request.as_bytes()).expect("a request");
        Seen::of(&head, |path| path == "/b/known").kind
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(kind("GET /b?list-type=2&prefix=p%2F HTTP/1.1\r\nHost: x"), Kind::List);
        assert_eq!(kind("GET /b/k?x-id=GetObject HTTP/1.1\r\nHost: x"), Kind::Get);
        assert_eq!(kind("GET /b/k?x-id=GetObject HTTP/1.1\r\nRange: bytes=0-1"), Kind::Range);
        assert_eq!(kind("PUT /b/k?x-id=PutObject HTTP/1.1\r\nHost: x"), Kind::Put);
        assert_eq!(kind("HEAD /b/k HTTP/1.1\r\nHost: x"), Kind::Head);
        assert_eq!(kind("DELETE /b/k?x-id=DeleteObject HTTP/1.1\r\nHost: x"), Kind::Delete);
        for other in ["GET /b?versions HTTP/1.1", "GET /b/k?versionId=1 HTTP/1.1", "PUT /b/k?retention HTTP/1.1"] {
            assert_eq!(kind(other), Kind::Other, "{other}");
        }
    }

    #[test]
    fn conditions_and_known_objects_are_seen() {
        let head = Head::parse(b"PUT /b/known?x-id=PutObject HTTP/1.1\r\nif-none-match: *").expect("a request");
        let seen = Seen::of(&head, |path| path == "/b/known");
        assert!(seen.conditional && seen.written);
        let head = Head::parse(b"PUT /b/other HTTP/1.1\r\nHost: x").expect("a request");
        let seen = Seen::of(&head, |path| path == "/b/known");
        assert!(!seen.conditional && !seen.written);
    }
}
