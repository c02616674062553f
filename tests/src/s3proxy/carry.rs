//! One connection of a client: its requests, one after the other, each with the fault that is due.

use super::{
    Shared,
    fault::Fault,
    reply::{After, Reply},
    seen::Seen,
    wire::{Answer, Head, Upstream, broken, whole},
};
use bytes::{Bytes, BytesMut};
use http::Method;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Bytes that move at once over a line with limits.
const PIECE: usize = 16 << 10;
/// How long nobody listens.
const REFUSED: Duration = Duration::from_millis(300);
/// Bytes that still come of an answer that falls silent.
const LAST_BYTES: usize = 3;
/// How long a silent connection is kept open.
const SILENCE: Duration = Duration::from_secs(60);

/// Carries a connection to its end. One that breaks is no concern of the proxy.
pub(super) async fn carry(client: TcpStream, shared: Arc<Shared>) {
    client.set_nodelay(true).ok();
    let upstream = Upstream::new(&shared.server);
    let mut carrier = Carrier { client, inbox: BytesMut::new(), upstream, shared };
    while matches!(carrier.turn().await, Ok(true)) {}
}

struct Carrier {
    client: TcpStream,
    /// What has come from the client and belongs to no request yet.
    inbox: BytesMut,
    upstream: Upstream,
    shared: Arc<Shared>,
}

impl Carrier {
    /// One request. The answer is whether the connection goes on.
    async fn turn(&mut self) -> io::Result<bool> {
        let Some(head) = Head::read(&mut self.client, &mut self.inbox).await? else { return Ok(false) };
        let (seen, fault) = self.shared.meets(&head);
        let _in_flight = self.shared.in_flight(head.length);
        match fault {
            Some(Fault::Refused) => {
                self.shared.shut_for(REFUSED);
                return self.reset();
            }
            Some(Fault::ResetBefore) => return self.reset(),
            Some(Fault::ResetInBody) => return self.break_off(&head).await,
            _ => {}
        }
        match self.shared.line_breaks() {
            Some(Break::Request) => return self.break_off(&head).await,
            Some(Break::Answer) => {
                self.pass_on(&head, &seen, None).await?;
                return self.reset();
            }
            None => {}
        }
        self.shared.travel().await;
        let reply = self.pass_on(&head, &seen, fault).await?;
        match fault {
            Some(Fault::LostReply) => return self.reset(),
            Some(Fault::LateReply) => tokio::time::sleep(self.shared.late).await,
            _ => {}
        }
        self.shared.travel().await;
        self.tell(&reply).await
    }

    /// Asks the server, or makes the answer up; the body of the request is taken in any case.
    async fn pass_on(&mut self, head: &Head, seen: &Seen, fault: Option<Fault>) -> io::Result<Reply> {
        let body = self.take(head.length).await?;
        if let Some(reply) = fault.and_then(|fault| Reply::made_up(seen, fault)) {
            return Ok(reply);
        }
        if let Some(page) = self.shared.circle(&head.target) {
            return Ok(page);
        }
        let answer = self.upstream.ask(head, whole(body.clone())).await?;
        if fault == Some(Fault::DoublePut) {
            // What the second one is told, nobody hears.
            self.upstream.ask(head, whole(body)).await.ok();
        }
        self.note(head, &answer);
        let reply = Reply::of(seen, answer);
        let Some(fault) = fault else { return Ok(reply) };
        let reply = reply.spoiled(fault);
        if fault == Fault::CircularList {
            self.shared.begin_circle(&reply);
        }
        Ok(reply)
    }

    fn note(&self, head: &Head, answer: &Answer) {
        if head.method == Method::PUT && (200..300).contains(&answer.status) {
            self.shared.was_written(head.path());
        }
    }

    /// The server sees the first half of the request, and both connections break.
    async fn break_off(&mut self, head: &Head) -> io::Result<bool> {
        let half = self.take(head.length / 2).await?;
        if head.length > 0 {
            self.upstream.ask(head, broken(half)).await.ok();
        }
        self.reset()
    }

    /// The next bytes of the client, no faster than the line.
    async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        while self.inbox.len() < length {
            let before = self.inbox.len();
            self.inbox.reserve(PIECE);
            if (&mut self.client).take(PIECE as u64).read_buf(&mut self.inbox).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.shared.up.take((self.inbox.len() - before) as u64).await;
        }
        Ok(self.inbox.split_to(length).freeze())
    }

    /// Sends a reply, no faster than the line.
    async fn tell(&mut self, reply: &Reply) -> io::Result<bool> {
        let head = reply.head();
        if reply.after == After::Silence {
            // Of what has no body the head is what falls silent.
            if reply.body.is_empty() {
                return self.fall_silent(&head).await;
            }
            self.client.write_all(&head).await?;
            return self.fall_silent(&reply.body).await;
        }
        self.client.write_all(&head).await?;
        for piece in reply.body.chunks(PIECE) {
            self.shared.down.take(piece.len() as u64).await;
            self.client.write_all(piece).await?;
        }
        self.client.flush().await?;
        if reply.after == After::End {
            self.client.shutdown().await?;
        }
        Ok(reply.after == After::Next)
    }

    async fn fall_silent(&mut self, bytes: &[u8]) -> io::Result<bool> {
        for byte in bytes.iter().take(LAST_BYTES) {
            self.client.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut nothing = [0; 1];
        tokio::time::timeout(SILENCE, self.client.read(&mut nothing)).await.ok();
        Ok(false)
    }

    /// Ends the connection at once, as a machine does that has forgotten it.
    fn reset(&self) -> io::Result<bool> {
        self.client.set_zero_linger()?;
        Ok(false)
    }
}

/// Where a bad line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// In the middle of a request.
    Request,
    /// In the place of an answer.
    Answer,
}
