//! The coverage-guided run of one target, named by `HOLDFAST_FUZZ_TARGET`; all arguments are libFuzzer's.
#![no_main]

use std::sync::OnceLock;

/// Asked once: the environment is slow to read.
fn target() -> &'static holdfast_fuzz::Target {
    static TARGET: OnceLock<&holdfast_fuzz::Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("HOLDFAST_FUZZ_TARGET").unwrap_or_default();
        holdfast_fuzz::target(&name).unwrap_or_else(|| panic!("HOLDFAST_FUZZ_TARGET “{name}” is no target"))
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| (target().run)(data));
