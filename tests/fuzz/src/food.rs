//! Takes an input apart into the values that a target needs.
//!
//! Values come from the front and run out into zeros and emptiness, so that every input is a case.

/// What is left of an input.
pub(crate) struct Food<'a>(&'a [u8]);

impl<'a> Food<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Food<'a> {
        Food(input)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let given = self.bytes(8);
        bytes[..given.len()].copy_from_slice(given);
        u64::from_le_bytes(bytes)
    }

    /// At most `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (given, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        given
    }

    /// A stretch whose length the input itself says, below 64 KiB.
    pub(crate) fn stretch(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        self.bytes(length)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A stretch as [`Food::stretch`] reads it, for seeds.
pub(crate) fn stretch(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are short").to_le_bytes();
    [&length, bytes].concat()
}
