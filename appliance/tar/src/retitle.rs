//! A member's headers under another name: owner, times, attributes and all else stay as they are.
//!
//! Invariant: what a reader finds in the answer differs from what it finds in the input by name and link target
//! alone.

use crate::{
    BLOCK, MemberKind, header,
    machine::padding,
    pax,
    write::{put, put_records, record, seal},
};
use holdfast_model::{Error, Result};

/// The headers of one member, which say that it is called `path` and (a link) points to `link`. `Invalid`
/// (`tar.malformed`) if they are not those of one member, or depend on headers that lie far before (global ones).
pub fn retitled(headers: &[u8], path: &[u8], link: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut rest = headers;
    let mut records = Vec::new();
    let mut long_link = None;
    loop {
        let block: &[u8; BLOCK] = rest.first_chunk().ok_or_else(malformed)?;
        rest = &rest[BLOCK..];
        let told = header::parse(block).map_err(|_| malformed())?;
        let length = usize::try_from(told.size).map_err(|_| malformed())?;
        match told.flag {
            b'x' => keep(rest.get(..length).ok_or_else(malformed)?, &mut records, link.is_some())?,
            b'L' => {}
            b'K' => long_link = Some(header::text(rest.get(..length).ok_or_else(malformed)?)),
            b'g' => return Err(malformed()),
            _ if rest.is_empty() => return named(block, records, path, link.or(long_link)),
            _ => return Err(malformed()),
        }
        // A body is at most as long as what is there.
        let whole = length + padding(told.size) as usize;
        rest = rest.get(whole..).ok_or_else(malformed)?;
    }
}

/// Copies the records that do not speak of what is told anew.
fn keep(body: &[u8], records: &mut Vec<u8>, link_is_new: bool) -> Result<()> {
    for one in pax::raw(body) {
        let (key, whole) = one.map_err(|_| malformed())?;
        let is_told_anew = matches!(key, b"path" | b"GNU.sparse.name") || (link_is_new && key == b"linkpath");
        if !is_told_anew {
            records.extend_from_slice(whole);
        }
    }
    Ok(())
}

fn named(block: &[u8; BLOCK], mut records: Vec<u8>, path: &[u8], link: Option<&[u8]>) -> Result<Vec<u8>> {
    let told = header::parse(block).map_err(|_| malformed())?;
    if path.is_empty() || path.contains(&0) || link.is_some_and(|link| link.contains(&0)) {
        return Err(Error::invalid("tar.name", "a file name cannot be written to an archive"));
    }
    let mut name = path.to_vec();
    if told.kind(&told.path()) == MemberKind::Directory && !name.ends_with(b"/") {
        name.push(b'/');
    }
    let mut block = *block;
    block[..100].fill(0);
    put(&mut block, 0, &name[..name.len().min(100)]);
    if block[257..263] == *b"ustar\0" {
        // Star keeps times behind its shorter prefix.
        let end = if block[508..512] == *b"tar\0" { 476 } else { 500 };
        block[345..end].fill(0);
    }
    if name.len() > 100 {
        record(&mut records, b"path", &name);
    }
    let target = link.map_or_else(|| told.link(), <[u8]>::to_vec);
    block[157..257].fill(0);
    put(&mut block, 157, &target[..target.len().min(100)]);
    if target.len() > 100 {
        record(&mut records, b"linkpath", &target);
    }
    seal(&mut block);
    let mut out = Vec::with_capacity(2 * BLOCK + records.len());
    put_records(&mut out, &records)?;
    out.extend_from_slice(&block);
    Ok(out)
}

fn malformed() -> Error {
    Error::invalid("tar.malformed", "the headers of an archive member cannot be written under another name")
}
