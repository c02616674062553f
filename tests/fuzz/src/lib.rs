//! Every reader of bytes from outside, as a function of bytes alone: the targets of fuzzing.
//!
//! A target takes any input and must neither panic, nor overflow, nor hang, nor take memory without bound; beyond
//! that it asserts what the reader promises (the same bytes back, the same answer twice, nothing opened that was not
//! sealed). Plain tests replay all seeds, damaged seeds and the inputs of mended findings (`regressions/TARGET/`);
//! `run` searches with libFuzzer, guided by coverage.
//!
//! Here: [`TARGETS`], their seeds, a hostile Docker engine. Never here: parsers; a private one has a door in the
//! module `fuzzing` of its crate.

mod engine;
mod food;
mod targets;

/// One reader under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line, and of its folders.
    pub name: &'static str,
    /// Tries one input; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs that get deep into the reader: where a search begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them, by name.
pub const TARGETS: &[Target] = targets::ALL;

/// Longest input that is worth trying, bytes.
pub const LONGEST: usize = 64 * 1024;

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
