//! Torture: nothing acknowledged is ever lost, and no wrong byte ever comes out.
//!
//! A plain run, a minute long, takes a share of each part, another one each time; `HOLDFAST_TORTURE=full`
//! (`tests/torture/run`) takes all of it. Both print the counts.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::too_many_lines)]

mod cuts;
mod flips;
mod ground;
mod model;
mod scenario;
mod space;
mod states;
mod verify;

/// Whether everything is wanted, not a slice.
fn full() -> bool {
    std::env::var("HOLDFAST_TORTURE").is_ok_and(|word| word == "full")
}
