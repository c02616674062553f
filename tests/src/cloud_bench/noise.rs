//! Bytes and numbers without a pattern, the same for the same seed.

/// A number that has nothing to do with its neighbours' (the finish of SplitMix64).
pub(super) fn mix(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Fills with bytes that nobody can compress.
pub(super) fn fill(seed: u64, bytes: &mut [u8]) {
    let mut state = mix(seed) | 1;
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}
