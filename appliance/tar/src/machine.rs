//! The machine behind splitter and walker: one step, one thing told.
//!
//! Invariant: every input byte is told exactly once, as Meta, Data or Raw, in order; a header block is told
//! when its last byte has come. What is told never depends on how the input is cut, but for where
//! two tellings of the same kind meet.

use crate::{BLOCK, End, MAX_META, Member, MemberKind, header, pax, pax::Records};

/// What a step tells. The bytes of `Meta`, `Data` and `Raw` are the input bytes the step used,
/// those of the `…Block` ones are in [`Machine::block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All input was used; nothing to tell before more comes.
    More,
    Meta,
    MetaBlock,
    /// A member begins: see [`Machine::member`].
    Open,
    Data,
    Close,
    Raw,
    RawBlock,
}

/// Reads a tar stream step by step.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    block: [u8; BLOCK],
    have: usize,
    zero_blocks: u8,
    /// Body of the PAX or GNU header being read, at most [`MAX_META`] bytes.
    body: Vec<u8>,
    ahead: Ahead,
    global: Records,
    member: Member,
    end: End,
}

/// What was said ahead of the next member.
#[derive(Debug, Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Records>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// Inside the body of a header of type `flag`.
    Body {
        flag: u8,
        left: u64,
        pad: u64,
    },
    /// A member's headers are complete.
    Opening,
    Content {
        left: u64,
    },
    Closing,
    Padding {
        left: u64,
    },
    /// After the two zero blocks.
    After,
    /// Reading was given up.
    Lost,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine {
            state: State::Header,
            block: [0; BLOCK],
            have: 0,
            zero_blocks: 0,
            body: Vec::new(),
            ahead: Ahead::default(),
            global: Records::default(),
            member: Member {
                path: Vec::new(),
                kind: MemberKind::File,
                size: 0,
                link: Vec::new(),
                mode: 0,
                uid: 0,
                gid: 0,
                mtime: 0,
                nanos: 0,
            },
            end: End::default(),
        }
    }

    /// The block of the last `MetaBlock` or `RawBlock`.
    pub(crate) fn block(&self) -> &[u8; BLOCK] {
        &self.block
    }

    /// The member of the last `Open`.
    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    /// Bytes of an unfinished header block at the end of the input.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.block[..self.have]
    }

    /// Whether a member was opened and not closed.
    pub(crate) fn is_inside_member(&self) -> bool {
        matches!(self.state, State::Content { .. } | State::Closing)
    }

    /// Whether the next byte is content.
    pub(crate) fn is_in_content(&self) -> bool {
        matches!(self.state, State::Content { .. })
    }

    /// What was seen so far.
    pub(crate) fn end(&self) -> End {
        self.end
    }

    /// Whether a member could begin here: all before is whole.
    pub(crate) fn is_between_members(&self) -> bool {
        let Ahead { path, link, pax } = &self.ahead;
        let nothing_ahead = path.is_none() && link.is_none() && pax.is_none();
        matches!(self.state, State::Header | State::After) && self.have == 0 && nothing_ahead
    }

    /// Passes over zeros of the input at once where only their number matters; how many they were.
    pub(crate) fn pass(&mut self, zeros: u64) -> u64 {
        let passed = match self.state {
            State::Content { left } => {
                let passed = left.min(zeros);
                self.end.content += passed;
                self.state = if passed == left { State::Closing } else { State::Content { left: left - passed } };
                passed
            }
            State::After => zeros,
            _ => 0,
        };
        self.end.bytes += passed;
        passed
    }

    /// Does one step: how many input bytes it used and what it tells.
    pub(crate) fn step(&mut self, input: &[u8]) -> (usize, Told) {
        let (used, told) = match self.state {
            State::Opening => {
                self.state =
                    if self.member.size == 0 { State::Closing } else { State::Content { left: self.member.size } };
                (0, Told::Open)
            }
            State::Closing => {
                self.pad(padding(self.member.size));
                (0, Told::Close)
            }
            _ if input.is_empty() => (0, Told::More),
            State::Header => self.header(input),
            State::Body { flag, left, pad } => self.body(input, flag, left, pad),
            State::Content { left } => self.content(input, left),
            State::Padding { left } => {
                let used = take(input, left);
                self.pad(left - used as u64);
                (used, Told::Meta)
            }
            State::After => self.after(input),
            State::Lost => (input.len(), Told::Raw),
        };
        self.end.bytes += used as u64;
        (used, told)
    }

    fn header(&mut self, input: &[u8]) -> (usize, Told) {
        let used = input.len().min(BLOCK - self.have);
        self.block[self.have..self.have + used].copy_from_slice(&input[..used]);
        self.have += used;
        if self.have < BLOCK {
            return (used, Told::More);
        }
        self.have = 0;
        match self.read_block() {
            Ok(()) => (used, Told::MetaBlock),
            Err(reason) => {
                self.give_up(reason);
                (used, Told::RawBlock)
            }
        }
    }

    /// Understands the block and moves on; told why not.
    fn read_block(&mut self) -> Result<(), &'static str> {
        if self.block.iter().all(|&b| b == 0) {
            self.zero_blocks += 1;
            if self.zero_blocks == 2 {
                self.end.complete = true;
                self.state = State::After;
            }
            return Ok(());
        }
        if self.zero_blocks > 0 {
            return Err("a lone zero block is followed by more");
        }
        let block = self.block;
        let header = header::parse(&block)?;
        match header.flag {
            b'L' | b'K' | b'x' | b'g' => self.begin_body(header.flag, header.size),
            b'S' | b'M' => Err("an old GNU sparse or multi-volume member"),
            _ => self.begin_member(&header),
        }
    }

    fn begin_body(&mut self, flag: u8, size: u64) -> Result<(), &'static str> {
        let twice = match flag {
            b'L' => self.ahead.path.is_some(),
            b'K' => self.ahead.link.is_some(),
            b'x' => self.ahead.pax.is_some(),
            _ => false,
        };
        if twice {
            return Err("two headers of one kind for one member");
        }
        if size > MAX_META {
            return Err("a long name or PAX body is longer than anything honest");
        }
        self.body = Vec::new();
        self.state = State::Body { flag, left: size, pad: padding(size) };
        if size == 0 { self.end_body(flag, 0) } else { Ok(()) }
    }

    fn begin_member(&mut self, header: &header::Header<'_>) -> Result<(), &'static str> {
        let ahead = std::mem::take(&mut self.ahead);
        let pax = ahead.pax.unwrap_or_default().or(&self.global);
        let path = pax.path.or(ahead.path).unwrap_or_else(|| header.path());
        let size = if header.may_have_content() { pax.size.unwrap_or(header.size) } else { 0 };
        let kind = match header.kind(&path) {
            MemberKind::File if pax.is_socket && matches!(header.flag, b'0' | 0) => MemberKind::Socket,
            kind => kind,
        };
        // Some readers pass over what is said to follow, others read it as members.
        if size > 0 && matches!(kind, MemberKind::Directory | MemberKind::Socket) {
            return Err("a folder or a socket with content");
        }
        let link = match kind {
            MemberKind::HardLink | MemberKind::Symlink => pax.link.or(ahead.link).unwrap_or_else(|| header.link()),
            _ => Vec::new(),
        };
        let (uid, gid) = (pax.uid.unwrap_or(header.uid()), pax.gid.unwrap_or(header.gid()));
        let (mtime, nanos) = pax.mtime.unwrap_or((header.mtime(), 0));
        self.member = Member { path, kind, size, link, mode: header.mode(), uid, gid, mtime, nanos };
        self.end.entries += 1;
        self.state = State::Opening;
        Ok(())
    }

    fn body(&mut self, input: &[u8], flag: u8, left: u64, pad: u64) -> (usize, Told) {
        let used = take(input, left);
        self.body.extend_from_slice(&input[..used]);
        let left = left - used as u64;
        self.state = State::Body { flag, left, pad };
        if left == 0
            && let Err(reason) = self.end_body(flag, pad)
        {
            self.give_up(reason);
        }
        (used, Told::Meta)
    }

    fn end_body(&mut self, flag: u8, pad: u64) -> Result<(), &'static str> {
        let body = std::mem::take(&mut self.body);
        match flag {
            b'L' => self.ahead.path = Some(header::text(&body).to_vec()),
            b'K' => self.ahead.link = Some(header::text(&body).to_vec()),
            b'x' => self.ahead.pax = Some(pax::parse(&body)?),
            _ => self.global = pax::parse(&body)?.or(&self.global),
        }
        self.pad(pad);
        Ok(())
    }

    fn content(&mut self, input: &[u8], left: u64) -> (usize, Told) {
        let used = take(input, left);
        let left = left - used as u64;
        self.end.content += used as u64;
        self.state = if left == 0 { State::Closing } else { State::Content { left } };
        (used, Told::Data)
    }

    /// Zeros may follow the end for ever; anything else is not understood.
    fn after(&mut self, input: &[u8]) -> (usize, Told) {
        match input.iter().position(|&b| b != 0) {
            None => (input.len(), Told::Meta),
            Some(0) => {
                self.give_up("there is data after the end of the archive");
                (input.len(), Told::Raw)
            }
            Some(zeros) => (zeros, Told::Meta),
        }
    }

    fn pad(&mut self, left: u64) {
        self.state = if left == 0 { State::Header } else { State::Padding { left } };
    }

    fn give_up(&mut self, reason: &'static str) {
        self.end.fell_back = Some(reason);
        self.state = State::Lost;
    }
}

/// Bytes from `size` to the next block.
pub(crate) fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

/// How much of `input` belongs to the next `left` bytes.
fn take(input: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(input.len(), |left| input.len().min(left))
}
