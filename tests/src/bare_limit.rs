//! What the machine gives at best: the bytes of a folder read, cut, hashed, compressed and sealed on all CPUs, and nothing
//! else: no index, no packs, no disk to write to.

use holdfast_chunk::{ChunkKind, Cutter, Keys, RootKey, Sealer, cut::Sizes};
use holdfast_model::{Error, Result};
use holdfast_mover::{Options, Piece, Reader, Root, Walk};
use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

/// Chunks that wait.
const WAITING: usize = 16;
/// What the repository uses.
const LEVEL: i32 = 3;

/// Sealed bytes of the folder's contents.
pub fn run(folder: &Path) -> Result<u64> {
    let root = Root::open(folder).map_err(|error| Error::io("open the folder", error.into()))?;
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    let sealed = AtomicU64::new(0);
    let keys = Keys::derive(&RootKey::from_bytes([7; 32]));
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let sealing: Vec<_> = (0..threads).map(|_| scope.spawn(|| seal(&receiver, &keys, &sealed))).collect();
        let root = Arc::new(root);
        let mut reader = Reader::new(Arc::clone(&root), b"");
        let cutter = Cutter::new(&keys, Sizes::of_file(0));
        let mut waiting = Vec::with_capacity(2 * cutter.max());
        for entry in Walk::new(root, Options::default()) {
            let mut take = |piece: Piece<'_>| {
                let Piece::Content(bytes) = piece else { return Ok(()) };
                waiting.extend_from_slice(bytes);
                let mut start = 0;
                while let Some(length) = cutter.next(&waiting[start..], false) {
                    sender.send(waiting[start..start + length].to_vec()).map_err(io::Error::other)?;
                    start += length;
                }
                waiting.drain(..start);
                Ok(())
            };
            reader.read(&entry, &mut take).map_err(|error| Error::io("read the folder", error))?;
        }
        sender.send(waiting).map_err(|_| Error::bug("nobody seals"))?;
        drop(sender);
        sealing.into_iter().try_for_each(|thread| thread.join().map_err(|_| Error::bug("a sealing thread died"))?)
    })?;
    Ok(sealed.into_inner())
}

fn seal(chunks: &Mutex<Receiver<Vec<u8>>>, keys: &Keys, sealed: &AtomicU64) -> Result<()> {
    let mut sealer = Sealer::new(LEVEL)?;
    let mut out = Vec::new();
    loop {
        let next = chunks.lock().expect("no holder panics").recv();
        let Ok(chunk) = next else { return Ok(()) };
        out.clear();
        let id = keys.chunk_id(ChunkKind::Data, &chunk);
        sealer.seal(keys, (ChunkKind::Data, &id), &chunk, None, &mut out)?;
        sealed.fetch_add(out.len() as u64, Ordering::Relaxed);
    }
}

/// Seconds of CPU that this process has used.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // Fields 14 and 15, in ticks of a hundredth of a second.
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
