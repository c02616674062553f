//! A conversation with a mover: frames in, frames out, and why it broke off.
//!
//! Invariants: what a mover says is hostile (L8): every frame is bounded and understood or refused; what is left of an
//! answer that nobody wanted to hear to its end is passed over before the next ask; after nonsense nothing is asked.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use holdfast_docker::{
    Engine, helper_name,
    mover::{Line, Mounted, Mover, PLACE},
};
use holdfast_model::{Error, Kind, Result};
use holdfast_mover::wire::{self, Answer, Ask};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// A frame as it came; contents are not copied.
#[derive(Debug)]
pub(crate) enum Heard {
    Begin(Bytes),
    Content(Bytes),
    Other(Answer),
}

/// A mover and the line to it.
pub(crate) struct Talk {
    mover: Mover,
    line: Line,
    buffer: BytesMut,
    /// Frames of the answer under way.
    heard: u64,
    /// Whether the last answer was heard to its end.
    in_step: bool,
    /// Something was said that makes no sense, or the line is dead.
    broken: bool,
}

impl Talk {
    /// Starts a mover for what is mounted and greets it. Names in headers lie under the mount's own name, as in the
    /// engine's archives. `mover.not_a_folder` if a single file is mounted.
    pub(crate) async fn open(
        engine: Arc<dyn Engine>,
        owner: &str,
        mounted: Mounted<'_>,
        key: [u8; 32],
    ) -> Result<Talk> {
        let name = helper_name("read");
        let (mover, line) = Mover::start(engine, &name, owner, mounted).await?;
        let mut talk = Talk { mover, line, buffer: BytesMut::new(), heard: 0, in_step: true, broken: false };
        let prefix = PLACE.trim_start_matches('/').as_bytes().to_vec();
        talk.ask(&Ask::Hello { version: wire::VERSION, key, prefix }).await?;
        match talk.next().await? {
            Heard::Other(Answer::Hello { version: wire::VERSION }) => {
                talk.in_step = true;
                Ok(talk)
            }
            _ => Err(malformed()),
        }
    }

    /// Says something to which an answer has to be heard.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<()> {
        // Whoever asked may have had enough before the closing word.
        while !self.in_step {
            self.next().await?;
        }
        self.in_step = false;
        self.heard = 0;
        let mut out = Vec::new();
        ask.put(&mut out);
        let said = async {
            self.line.input.write_all(&out).await?;
            self.line.input.flush().await
        };
        if said.await.is_err() {
            return Err(self.mover.post_mortem().await);
        }
        Ok(())
    }

    /// The next frame of the answer.
    pub(crate) async fn next(&mut self) -> Result<Heard> {
        if self.broken {
            return Err(Error::new(
                Kind::Unavailable,
                "mover.failed",
                "the conversation with the mover broke off before",
            ));
        }
        let heard = self.hear().await;
        self.broken = heard.is_err();
        heard
    }

    async fn hear(&mut self) -> Result<Heard> {
        loop {
            if let Some(heard) = self.at_hand()? {
                return Ok(heard);
            }
            match self.line.output.next().await {
                Some(bytes) => self.buffer.extend_from_slice(&bytes?),
                None => return Err(self.mover.post_mortem().await),
            }
        }
    }

    /// The next frame, if all of it has come already.
    pub(crate) fn at_hand(&mut self) -> Result<Option<Heard>> {
        let heard = self.understood();
        self.broken |= heard.is_err();
        heard
    }

    fn understood(&mut self) -> Result<Option<Heard>> {
        let Some((kind, length)) = wire::head(&self.buffer).map_err(|_| malformed())? else { return Ok(None) };
        if self.buffer.len() < wire::HEAD + length {
            return Ok(None);
        }
        let body = self.buffer.split_to(wire::HEAD + length).freeze().slice(wire::HEAD..);
        let heard = match kind {
            b'b' => Heard::Begin(body),
            b'c' => Heard::Content(body),
            _ => Heard::Other(Answer::read(kind, &body).map_err(|_| malformed())?),
        };
        match heard {
            Heard::Other(Answer::Done(frames)) if frames == self.heard => self.in_step = true,
            Heard::Other(Answer::Done(_)) => return Err(malformed()),
            Heard::Other(Answer::Failed(why)) => return Err(failed(&why)),
            _ => self.heard += 1,
        }
        Ok(Some(heard))
    }

    /// Ends it, wherever it is. The line goes first: an engine removes no container whose last words somebody is connected to hear
    /// and does not take.
    pub(crate) async fn close(self) -> Result<()> {
        let Talk { mover, line, .. } = self;
        drop(line);
        mover.close().await
    }
}

/// Whether a mover may run on a host and can be talked to: one is started beside nothing, asked once and removed.
pub async fn try_mover(engine: Arc<dyn Engine>, owner: &str) -> Result<()> {
    let mut talk = Talk::open(engine, owner, Mounted::Memory, [0; 32]).await?;
    let asked = async {
        talk.ask(&Ask::Groups).await?;
        while !matches!(talk.next().await?, Heard::Other(Answer::Done(_))) {}
        Ok(())
    };
    let outcome = asked.await;
    talk.close().await?;
    outcome
}

/// What is said does not fit.
pub(crate) fn malformed() -> Error {
    Error::new(Kind::Corrupt, "mover.malformed", "what the mover says makes no sense")
}

fn failed(why: &str) -> Error {
    // The system's number for "not a directory" is the same on all of Linux.
    let code = if why.contains("os error 20") { "mover.not_a_folder" } else { "mover.failed" };
    Error::new(Kind::Unavailable, code, format!("the mover cannot read what is mounted: {why}"))
}
