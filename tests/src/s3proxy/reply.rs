//! What the client is told: the server's answer, one that is made up, and what a fault makes of either. Written by hand, so that it
//! may be wrong in every way.

use super::{
    fault::Fault,
    seen::{Kind, Seen},
    spoil,
    wire::Answer,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Bytes that come behind what was promised, or behind what there is.
const MORE: &[u8] = b"more than there is";
/// Headers of a flood. Clients take a hundred at most.
const FLOOD: usize = 400;
/// A web page that answers in the place of a server.
const PAGE: &str = "<html><head><title>Welcome</title></head><body>Please log in to use this network.</body></html>";

/// How the length of a body is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// As this.
    Length(usize),
    /// As the server said for a body that is not sent.
    Header(HeaderValue),
    /// By chunks.
    Chunks,
    /// Not at all.
    Nothing,
}

/// What comes after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request.
    Next,
    /// The end of the connection.
    End,
    /// Nothing: even the bytes before come one by one, and not all of them.
    Silence,
}

/// What the client is told.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: HeaderMap,
    told: Told,
    pub(super) body: Bytes,
    pub(super) after: After,
}

impl Reply {
    /// The server's answer as it is.
    pub(super) fn of(asked: &Seen, answer: Answer) -> Reply {
        let Answer { status, headers, body } = answer;
        let told = match headers.get(header::CONTENT_LENGTH) {
            Some(length) if asked.kind == Kind::Head => Told::Header(length.clone()),
            _ if asked.kind == Kind::Head || matches!(status, 204 | 304) => Told::Nothing,
            _ => Told::Length(body.len()),
        };
        Reply { status, headers, told, body, after: After::Next }
    }

    /// What is answered without asking the server, if the fault is of that kind.
    pub(super) fn made_up(asked: &Seen, fault: Fault) -> Option<Reply> {
        let refuse = |status, code| Some(Reply::document(asked, status, "application/xml", &refusal(code)));
        match fault {
            Fault::BadRequest => refuse(400, "InvalidRequest"),
            Fault::ClockSkew => refuse(403, "RequestTimeTooSkewed"),
            Fault::Denied => refuse(403, "AccessDenied"),
            Fault::Expired => refuse(400, "ExpiredToken"),
            Fault::NoBucket => refuse(404, "NoSuchBucket"),
            Fault::HiddenObject => refuse(404, "NoSuchKey"),
            Fault::Aborted => refuse(409, "OperationAborted"),
            Fault::FalseCondition => refuse(412, "PreconditionFailed"),
            Fault::TooMany => refuse(429, "TooManyRequests"),
            Fault::Failing => refuse(500, "InternalError"),
            Fault::SlowDown => refuse(503, "SlowDown"),
            Fault::ErrorInSuccess => refuse(200, "InternalError"),
            Fault::SlowDownAfter => refuse(503, "SlowDown").map(|reply| reply.with("retry-after", "1")),
            Fault::Redirect => {
                refuse(301, "PermanentRedirect").map(|reply| reply.with("x-amz-bucket-region", "eu-nowhere-1"))
            }
            Fault::Garbage => Some(Reply::document(asked, 200, "text/html", PAGE)),
            Fault::IgnoredPut => {
                let done = Reply::document(asked, 200, "application/xml", "");
                Some(done.with("etag", "\"d41d8cd98f00b204e9800998ecf8427e\""))
            }
            Fault::IgnoredDelete => {
                Some(Reply { told: Told::Nothing, ..Reply::document(asked, 204, "application/xml", "") })
            }
            _ => None,
        }
    }

    /// A document; of a HEAD its length alone is told.
    pub(super) fn document(asked: &Seen, status: u16, kind: &'static str, text: &str) -> Reply {
        let body = if asked.kind == Kind::Head { Bytes::new() } else { Bytes::copy_from_slice(text.as_bytes()) };
        let reply =
            Reply { status, headers: HeaderMap::new(), told: Told::Length(text.len()), body, after: After::Next };
        reply.with("content-type", kind)
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Reply {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Lets the fault happen to an answer; the others leave it as it is.
    pub(super) fn spoiled(mut self, fault: Fault) -> Reply {
        let length = self.body.len();
        match fault {
            Fault::Trickle => self.after = After::Silence,
            Fault::CutBody => self.cut(Told::Length(length)),
            Fault::CutChunks => self.cut(Told::Chunks),
            // The length that was told stays.
            Fault::ExtraBytes => self.body = spoil::longer(&self.body, MORE),
            Fault::LongerBody => self.replace(spoil::longer(&self.body, MORE)),
            Fault::FlippedBit => self.replace(spoil::flipped(&self.body)),
            Fault::StaleList => self.replace(spoil::without_newest(&self.body)),
            Fault::PartialList => self.replace(spoil::first_half(&self.body)),
            Fault::CircularList => self.replace(spoil::without_end(&self.body)),
            Fault::WrongTag => return self.with("etag", "\"00000000000000000000000000000000\""),
            Fault::WrongChecksum => {
                return self.with("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
            }
            Fault::HeaderFlood => self.flood(),
            Fault::IgnoredRange => self.widen(),
            Fault::OtherRange => self.shift(),
            _ => {}
        }
        self
    }

    fn replace(&mut self, body: Bytes) {
        self.told = Told::Length(body.len());
        self.body = body;
    }

    fn cut(&mut self, told: Told) {
        self.told = told;
        self.body = self.body.slice(..self.body.len() / 2);
        self.after = After::End;
    }

    fn flood(&mut self) {
        for number in 0..FLOOD {
            let name = HeaderName::from_bytes(format!("x-flood-{number}").as_bytes());
            self.headers.append(name.expect("a plain name"), HeaderValue::from_static("one of too many headers"));
        }
    }

    /// The whole object in the place of a part: what is not known of it are zeros, as nobody looks there.
    fn widen(&mut self) {
        let Some((first, size)) = self.part() else { return };
        let mut all = vec![0; first];
        all.extend_from_slice(&self.body);
        all.resize(size.max(all.len()), 0);
        self.status = 200;
        self.headers.remove(header::CONTENT_RANGE);
        self.replace(all.into());
    }

    /// The part that comes behind it, and it says so.
    fn shift(&mut self) {
        let Some((first, size)) = self.part() else { return };
        let range = format!("bytes {}-{}/{size}", first + 1, first + self.body.len());
        self.headers.insert(header::CONTENT_RANGE, range.parse().expect("plain text"));
    }

    /// Where a part begins, and how large the whole is.
    fn part(&self) -> Option<(usize, usize)> {
        let told = self.headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
        let (range, size) = told.split_once('/')?;
        Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
    }

    /// The head, as it goes over the line.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} Said\r\n", self.status).into_bytes();
        let mut line = |name: &[u8], value: &[u8]| {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        };
        let ours = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
        for (name, value) in self.headers.iter().filter(|(name, _)| !ours.contains(name)) {
            line(name.as_str().as_bytes(), value.as_bytes());
        }
        match &self.told {
            Told::Length(length) => line(b"content-length", length.to_string().as_bytes()),
            Told::Header(value) => line(b"content-length", value.as_bytes()),
            Told::Chunks => line(b"transfer-encoding", b"chunked"),
            Told::Nothing => {}
        }
        if self.told == Told::Chunks {
            out.extend_from_slice(format!("\r\n{:x}\r\n", self.body.len()).as_bytes());
        } else {
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

fn refusal(code: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>on order</Message></Error>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: Kind) -> Seen {
        Seen { kind, line: String::new(), conditional: true, written: true }
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Answer {
        let pairs =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Answer { status, headers: pairs.collect(), body: Bytes::from_static(body) }
    }

    fn text(reply: &Reply) -> String {
        String::from_utf8(reply.head()).expect("plain text")
    }

    #[test]
    fn the_length_of_a_body_that_is_not_sent_is_the_servers() {
        let reply = Reply::of(&seen(Kind::Head), answer(200, &[("content-length", "77")], b""));
        assert!(text(&reply).contains("content-length: 77\r\n"));
        let reply = Reply::of(&seen(Kind::Delete), answer(204, &[], b""));
        assert!(!text(&reply).contains("content-length"));
        let reply = Reply::of(&seen(Kind::Get), answer(200, &[("transfer-encoding", "chunked")], b"abc"));
        assert_eq!(text(&reply), "HTTP/1.1 200 Said\r\ncontent-length: 3\r\n\r\n");
    }

    #[test]
    fn bodies_end_where_the_fault_says() {
        let whole = Reply::of(&seen(Kind::Get), answer(200, &[], b"01234567"));
        let cut = whole.clone().spoiled(Fault::CutBody);
        assert!(text(&cut).contains("content-length: 8\r\n") && &cut.body[..] == b"0123" && cut.after == After::End);
        let chunks = whole.clone().spoiled(Fault::CutChunks);
        assert!(text(&chunks).ends_with("transfer-encoding: chunked\r\n\r\n4\r\n") && chunks.after == After::End);
        let extra = whole.clone().spoiled(Fault::ExtraBytes);
        assert!(text(&extra).contains("content-length: 8\r\n") && extra.body.len() > 8);
        let longer = whole.spoiled(Fault::LongerBody);
        assert!(text(&longer).contains(&format!("content-length: {}\r\n", longer.body.len())));
    }

    #[test]
    fn parts_become_the_whole_or_others() {
        let part = Reply::of(&seen(Kind::Range), answer(206, &[("content-range", "bytes 2-4/8")], b"234"));
        let wide = part.clone().spoiled(Fault::IgnoredRange);
        assert_eq!((wide.status, &wide.body[..]), (200, &b"\0\x00234\0\0\0"[..]));
        assert!(!text(&wide).contains("content-range"));
        let other = part.spoiled(Fault::OtherRange);
        assert!(text(&other).contains("content-range: bytes 3-5/8\r\n"));
    }

    #[test]
    fn every_fault_that_is_made_up_answers_by_itself() {
        let made_up = |fault: &&Fault| Reply::made_up(&seen(Kind::Get), **fault).is_some();
        assert_eq!(Fault::ALL.iter().filter(made_up).count(), 17);
        let reply = Reply::made_up(&seen(Kind::Head), Fault::NoBucket).expect("made up");
        assert!(reply.body.is_empty() && !text(&reply).contains("content-length: 0\r\n"));
    }
}
