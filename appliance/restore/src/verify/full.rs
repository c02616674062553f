//! Prints of archives that a mover told: everything counts but holes, which file systems place as they can.

use super::{Print, called};
use bytes::{Buf, Bytes};
use holdfast_model::{Error, Kind as ErrorKind, Result};
use holdfast_mover::{Archive, Broken, Entry, Kind};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use tokio::sync::mpsc;

/// Digests each entry of an archive, to its proven end.
pub(super) fn digest_entries(
    input: mpsc::Receiver<Bytes>,
    told: &mpsc::Sender<Print>,
    renamed: Option<&(String, String)>,
) -> Result<()> {
    let mut archive = Archive::new(Flow { input, open: Bytes::new() });
    while let Some(entry) = archive.next().map_err(broken)? {
        let mut content = Sha256::new();
        loop {
            match archive.content().map_err(broken)? {
                [] => break,
                part => content.update(part),
            }
        }
        if told.blocking_send(print(&entry, &content.finalize(), renamed)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whatever stopped the flow is told by whoever pumps it.
fn broken(broken: Broken) -> Error {
    Error::new(ErrorKind::Corrupt, "stream.short", format!("an archive cannot be read to its end: {broken}"))
}

/// What comes through a channel, as a reader wants it.
struct Flow {
    input: mpsc::Receiver<Bytes>,
    open: Bytes,
}

impl Read for Flow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.open.is_empty() {
            match self.input.blocking_recv() {
                Some(bytes) => self.open = bytes,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.open.len());
        self.open.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

fn print(entry: &Entry, content: &[u8], renamed: Option<&(String, String)>) -> Print {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(&[entry.kind as u8]);
    // A further name of a file is that and nothing else.
    if entry.kind == Kind::HardLink {
        add(&called(&entry.link, renamed));
    } else {
        add(&entry.link);
        add(&entry.uid.to_be_bytes());
        add(&entry.gid.to_be_bytes());
        add(&entry.mtime.seconds.to_be_bytes());
        add(&entry.mtime.nanos.to_be_bytes());
        add(&entry.device.0.to_be_bytes());
        add(&entry.device.1.to_be_bytes());
        if entry.kind != Kind::Symlink {
            add(&entry.mode.to_be_bytes());
        }
        let mut xattrs: Vec<_> = entry.xattrs.iter().collect();
        xattrs.sort();
        for (name, value) in xattrs {
            add(name);
            add(value);
        }
    }
    add(content);
    Print { path: called(&entry.path, renamed), digest: digest.finalize().into() }
}
