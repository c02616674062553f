//! What was sent, block by block: so that of a file that is asked for again only what differs has to be sent.
//!
//! # Invariants
//! - Only keyed hashes are kept, of bytes as they were sent, never bytes; at most [`BLOCKS_MAX`] of them.
//! - A block is told as kept only if the entry of the same path was sent before with the same hash at the same place, and
//!   under the name that it was given then.
//! - What cannot be remembered is sent whole, always.

use crate::entry::Time;
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes of one block.
pub(crate) const BLOCK: usize = 32 << 10;
/// Blocks that are remembered in all: 64 MiB of hashes, 128 GiB of content.
const BLOCKS_MAX: u64 = 4 << 20;

/// 128 bits under a secret key: nobody can make two contents that are taken for one.
type Hash = [u8; 16];

/// An entry that was sent.
struct Sent {
    name: u64,
    blocks: Box<[Hash]>,
}

/// All that was sent.
pub(crate) struct Memory {
    key: [u8; 32],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sent: HashMap<Box<[u8]>, Arc<Sent>>,
    blocks: u64,
    names: u64,
}

/// What is told of content.
pub(crate) enum Told<'a> {
    /// Bytes.
    Content(&'a [u8]),
    /// That many zeros.
    Zeros(u64),
    /// That many bytes as they were sent under this name, at the same place.
    Kept(u64, u64),
}

/// Where it goes.
pub(crate) type Teller<'a> = dyn FnMut(Told<'_>) -> io::Result<()> + 'a;

impl Memory {
    /// Remembers nothing yet. `moment` is this conversation's: no other gives the same names.
    pub(crate) fn new(key: &[u8; 32], moment: Time) -> Memory {
        let moment = [moment.seconds.to_le_bytes().as_slice(), &moment.nanos.to_le_bytes()].concat();
        let key = blake3::derive_key("holdfast mover 2026 blocks sent", &[key.as_slice(), &moment].concat());
        Memory { key, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to send the content of an entry: `size` bytes, as far as is known. If `may_keep`, blocks that were sent before
    /// are told as kept.
    pub(crate) fn begin(&self, path: &[u8], size: u64, may_keep: bool) -> Differ<'_> {
        let state = self.lock();
        let before = state.sent.get(path).cloned();
        let freed = before.as_ref().map_or(0, |sent| sent.blocks.len() as u64);
        let room = (BLOCKS_MAX + freed).saturating_sub(state.blocks);
        let is_worth_it = size >= BLOCK as u64 && size.div_ceil(BLOCK as u64) <= room;
        Differ {
            memory: self,
            before: before.filter(|_| may_keep),
            hashes: is_worth_it.then(Vec::new),
            room: usize::try_from(room).unwrap_or(usize::MAX),
            buffer: Vec::new(),
            at: 0,
            kept: 0,
        }
    }

    /// Forgets what was sent of an entry.
    fn forget(&self, path: &[u8]) {
        let mut state = self.lock();
        if let Some(old) = state.sent.remove(path) {
            state.blocks -= old.blocks.len() as u64;
        }
    }

    fn keep(&self, path: &[u8], name: u64, blocks: Vec<Hash>) {
        let mut state = self.lock();
        state.blocks += blocks.len() as u64;
        if let Some(old) = state.sent.insert(path.into(), Arc::new(Sent { name, blocks: blocks.into() })) {
            state.blocks -= old.blocks.len() as u64;
        }
    }

    /// A name that nothing else has.
    fn fresh_name(&self, path: &[u8]) -> u64 {
        let mut state = self.lock();
        state.names += 1;
        let text = [path, &state.names.to_le_bytes()].concat();
        let [a, b, c, d, e, f, g, h, ..] = *blake3::keyed_hash(&self.key, &text).as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }

    fn hash(&self, block: &[u8]) -> Hash {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *blake3::keyed_hash(&self.key, block).as_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

/// The content of one entry on its way.
pub(crate) struct Differ<'a> {
    memory: &'a Memory,
    before: Option<Arc<Sent>>,
    /// Of the blocks so far; none if they are not to be remembered.
    hashes: Option<Vec<Hash>>,
    /// How many there may be.
    room: usize,
    /// The beginning of a block.
    buffer: Vec<u8>,
    /// Number of the block at hand.
    at: usize,
    /// Bytes that are kept and were not told yet.
    kept: u64,
}

impl Differ<'_> {
    /// Whether content can pass as it is: nothing of it is remembered, nothing was before.
    fn is_idle(&self) -> bool {
        self.hashes.is_none() && self.before.is_none()
    }

    /// Bytes of content.
    pub(crate) fn content(&mut self, mut bytes: &[u8], tell: &mut Teller<'_>) -> io::Result<()> {
        if self.is_idle() {
            return tell(Told::Content(bytes));
        }
        if !self.buffer.is_empty() {
            let part = bytes.len().min(BLOCK - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            if self.buffer.len() < BLOCK {
                return Ok(());
            }
            self.buffered(tell)?;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        let mut begin = 0;
        for (place, block) in blocks.iter().enumerate() {
            if self.is_kept(block) {
                self.differing(&bytes[begin * BLOCK..place * BLOCK], tell)?;
                begin = place + 1;
                self.kept += BLOCK as u64;
            } else if begin == place {
                self.tell_kept(tell)?;
            }
        }
        self.differing(&bytes[begin * BLOCK..blocks.len() * BLOCK], tell)?;
        self.buffer.extend_from_slice(rest);
        Ok(())
    }

    /// Zeros of content.
    pub(crate) fn zeros(&mut self, mut count: u64, tell: &mut Teller<'_>) -> io::Result<()> {
        if self.is_idle() {
            return tell(Told::Zeros(count));
        }
        while count > 0 && (!self.buffer.is_empty() || count < BLOCK as u64) {
            let part = (BLOCK - self.buffer.len()).min(usize::try_from(count).unwrap_or(BLOCK));
            self.buffer.resize(self.buffer.len() + part, 0);
            count -= part as u64;
            if self.buffer.len() < BLOCK {
                return Ok(());
            }
            self.buffered(tell)?;
        }
        // Zeros cost nothing to tell: they are not compared.
        let whole = count - count % BLOCK as u64;
        if whole > 0 {
            self.tell_kept(tell)?;
            tell(Told::Zeros(whole))?;
            self.pass_zeros(whole / BLOCK as u64);
        }
        self.buffer.resize(usize::try_from(count - whole).unwrap_or(0), 0);
        Ok(())
    }

    fn pass_zeros(&mut self, blocks: u64) {
        let zeros = self.memory.hash(&[0; BLOCK]);
        for _ in 0..blocks {
            if self.hashes.is_none() {
                break;
            }
            self.remember(zeros);
        }
        self.at = self.at.saturating_add(usize::try_from(blocks).unwrap_or(usize::MAX));
    }

    /// The entry has ended. `whole` is its mark, if it is what the walk saw: then that is its name. The answer is the name of
    /// what was sent, 0 if it is not remembered.
    pub(crate) fn end(mut self, path: &[u8], whole: Option<u64>, tell: &mut Teller<'_>) -> io::Result<u64> {
        if !self.buffer.is_empty() {
            self.buffered(tell)?;
        }
        self.tell_kept(tell)?;
        let Some(hashes) = self.hashes.take() else {
            self.memory.forget(path);
            return Ok(0);
        };
        let name = whole.unwrap_or_else(|| self.memory.fresh_name(path));
        self.memory.keep(path, name, hashes);
        Ok(name)
    }

    /// The block in the buffer is as long as it gets.
    fn buffered(&mut self, tell: &mut Teller<'_>) -> io::Result<()> {
        let block = std::mem::take(&mut self.buffer);
        if self.is_kept(&block) {
            self.kept += block.len() as u64;
            return Ok(());
        }
        self.tell_kept(tell)?;
        tell(Told::Content(&block))
    }

    /// Looks at the next block.
    fn is_kept(&mut self, block: &[u8]) -> bool {
        let hash = self.memory.hash(block);
        let is_kept = self.before.as_ref().is_some_and(|before| before.blocks.get(self.at) == Some(&hash));
        self.at += 1;
        self.remember(hash);
        is_kept
    }

    fn remember(&mut self, hash: Hash) {
        if let Some(hashes) = self.hashes.as_mut() {
            hashes.push(hash);
            if hashes.len() > self.room {
                // It has grown since it was looked at.
                self.hashes = None;
            }
        }
    }

    fn differing(&mut self, bytes: &[u8], tell: &mut Teller<'_>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        tell(Told::Content(bytes))
    }

    fn tell_kept(&mut self, tell: &mut Teller<'_>) -> io::Result<()> {
        let (kept, name) = (std::mem::take(&mut self.kept), self.before.as_ref().map_or(0, |before| before.name));
        if kept == 0 { Ok(()) } else { tell(Told::Kept(name, kept)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATH: &[u8] = b"a";

    fn memory() -> Memory {
        Memory::new(&[7; 32], Time::default())
    }

    /// Sends content in pieces of some lengths; zeros as such where a piece is nothing else. What was told, put together from
    /// `before`, the name, and how much was kept.
    fn send(memory: &Memory, content: &[u8], pieces: &[usize], before: &[u8], may_keep: bool) -> (Vec<u8>, u64, u64) {
        let (mut out, mut kept) = (Vec::new(), 0);
        let mut tell = |told: Told<'_>| {
            match told {
                Told::Content(bytes) => out.extend_from_slice(bytes),
                Told::Zeros(count) => out.resize(out.len() + count as usize, 0),
                Told::Kept(name, count) => {
                    assert!(may_keep && name != 0 && count != 0);
                    kept += count;
                    let begin = out.len();
                    out.extend_from_slice(&before[begin..begin + count as usize]);
                }
            }
            Ok(())
        };
        let mut differ = memory.begin(PATH, content.len() as u64, may_keep);
        let (mut at, mut lengths) = (0, pieces.iter().cycle());
        while at < content.len() {
            let part = &content[at..content.len().min(at + lengths.next().unwrap())];
            match part.iter().all(|byte| *byte == 0) {
                true => differ.zeros(part.len() as u64, &mut tell).unwrap(),
                false => differ.content(part, &mut tell).unwrap(),
            }
            at += part.len();
        }
        let name = differ.end(PATH, None, &mut tell).unwrap();
        (out, name, kept)
    }

    fn noise(seed: u8, length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 7) as u8 ^ (at >> 12) as u8 ^ seed | 1).collect()
    }

    #[test]
    fn only_blocks_that_differ_are_sent_again() {
        let memory = memory();
        let mut content = noise(1, 10 * BLOCK + 100);
        let first = send(&memory, &content, &[1 << 20], &[], false);
        let before = content.clone();
        assert!(first.0 == content && first.2 == 0 && first.1 != 0);
        content[3 * BLOCK + 17] ^= 2;
        let second = send(&memory, &content, &[1 << 20], &before, true);
        assert!(second.0 == content && second.1 != first.1);
        assert_eq!(second.2, 9 * BLOCK as u64 + 100);
        // Whoever may not is sent all of it.
        assert_eq!(send(&memory, &content, &[1000], &[], false).2, 0);
        assert_eq!(memory.lock().blocks, 11);
        memory.forget(PATH);
        assert_eq!(memory.lock().blocks, 0);
        assert_eq!(send(&memory, &content, &[1000], &[], true).2, 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_not_remembered() {
        let memory = memory();
        memory.lock().blocks = BLOCKS_MAX - 2;
        let content = noise(3, 3 * BLOCK);
        assert_eq!(send(&memory, &content, &[BLOCK], &[], true).1, 0);
        assert_ne!(send(&memory, &content[..2 * BLOCK], &[BLOCK], &[], true).1, 0);
        // It has grown between the look and the reading.
        let mut differ = memory.begin(b"b", 0, true);
        differ.hashes = Some(Vec::new());
        differ.content(&content, &mut |_| Ok(())).unwrap();
        assert_eq!(differ.end(b"b", None, &mut |_| Ok(())).unwrap(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn what_is_told_is_the_content(
            length in 0usize..6 * BLOCK,
            pieces in prop::collection::vec(1usize..2 * BLOCK, 1..6),
            edits in prop::collection::vec((0usize..6 * BLOCK, 1usize..BLOCK, any::<u8>()), 0..5),
            shift in -40_000isize..40_000,
        ) {
            let memory = memory();
            let mut content = noise(9, length);
            let first = send(&memory, &content, &pieces, &[], true);
            prop_assert!(first.0 == content);
            let before = content.clone();
            content.resize(length.saturating_add_signed(shift), 5);
            for (at, count, byte) in edits {
                let end = content.len().min(at + count);
                if at < end {
                    content[at..end].fill(byte);
                }
            }
            let second = send(&memory, &content, &pieces, &before, true);
            prop_assert!(second.0 == content);
            // Once more, as it is now.
            let third = send(&memory, &content, &[1 << 20], &content, true);
            prop_assert!(third.0 == content);
        }
    }
}
