//! Blocks of a tar, byte by byte, with nothing checked: every lie can be told.

/// One header block.
#[derive(Clone, Debug)]
pub struct Block(pub [u8; 512]);

/// The two zero blocks at the end of an archive.
pub const END: [u8; 1024] = [0; 1024];

impl Block {
    /// A header of a type, for content of a size; its name is cut at 100 bytes.
    pub fn new(flag: u8, name: &[u8], size: u64) -> Block {
        let block = Block([0; 512]);
        let octal = |value: u64, width: usize| format!("{value:0width$o}\0");
        block
            .set(0, &name[..name.len().min(100)])
            .set(100, octal(0o644, 7).as_bytes())
            .set(108, octal(0, 7).as_bytes())
            .set(116, octal(0, 7).as_bytes())
            .set(124, octal(size, 11).as_bytes())
            .set(136, octal(1_700_000_000, 11).as_bytes())
            .set(156, &[flag])
            .set(257, b"ustar\x0000")
            .set(329, octal(0, 7).as_bytes())
            .set(337, octal(0, 7).as_bytes())
    }
    /// Writes bytes at a place.
    #[must_use]
    pub fn set(mut self, at: usize, bytes: &[u8]) -> Block {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
    /// The target of a link.
    #[must_use]
    pub fn link(self, target: &[u8]) -> Block {
        self.set(157, &target[..target.len().min(100)])
    }
    /// The sum that everybody checks.
    pub fn sum(&self) -> u64 {
        let told = self.0[..148].iter().chain(&self.0[156..]).map(|byte| u64::from(*byte)).sum::<u64>();
        told + 8 * 32
    }
    /// With a true sum.
    pub fn bytes(self) -> Vec<u8> {
        let sum = format!("{:06o}\0 ", self.sum());
        self.set(148, sum.as_bytes()).0.to_vec()
    }
}

/// Content, filled up to whole blocks.
pub fn padded(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(content.len().next_multiple_of(512), 0);
    bytes
}

/// A file.
pub fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    [Block::new(b'0', name, content.len() as u64).bytes(), padded(content)].concat()
}

/// A folder.
pub fn folder(name: &[u8]) -> Vec<u8> {
    Block::new(b'5', name, 0).set(100, b"0000755\0").bytes()
}

/// A link: `1` hard, `2` symbolic.
pub fn link(flag: u8, name: &[u8], target: &[u8]) -> Vec<u8> {
    Block::new(flag, name, 0).link(target).bytes()
}

/// A header with a body ahead of a member: `x`, `g`, `L`, `K`.
pub fn ahead(flag: u8, body: &[u8]) -> Vec<u8> {
    [Block::new(flag, b"ahead", body.len() as u64).bytes(), padded(body)].concat()
}

/// A PAX record with a true length.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let bare = key.len() + value.len() + 3;
    let mut length = bare + 1;
    while bare + length.to_string().len() != length {
        length += 1;
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// A PAX header of one record, and the member that it speaks of.
pub fn said(key: &[u8], value: &[u8], member: &[u8]) -> Vec<u8> {
    [&ahead(b'x', &record(key, value)), member].concat()
}

/// Members, and a lawful end.
pub fn ended(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), END.to_vec()].concat()
}
