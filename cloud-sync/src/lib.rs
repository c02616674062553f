//! Brings the repository to the bucket, behind everybody's back and in lawful order.
//!
//! Lives here: the shipper ([`start`], [`Shipper`]) and the law of its order (`law`). Never here: S3,
//! keys of any cipher, what objects mean, when to back up.
//!
//! # Invariants
//! - Law L1: at every moment every snapshot that is visible in the bucket has all its packs, segments and its
//!   reach list there. `law` decides what may fly, from the list the repository gives.
//! - Law L2: the repository hears of an acknowledgement only after the store took the object by size and
//!   checksum; objects that are not named by their content are read back and compared.
//! - What the repository holds as acknowledged is never sent again; what it does not is sent until it is.
//!   A reply lost on the way, a crash and a restart are the same: the object is sent once more and found.
//! - Memory: at most [`FLYING_BYTES`] of objects in flight, and never more than 16 of
//!   them; of what waits, the next few thousand are in memory.
//! - The bucket being away is a state, not an end: the shipper waits, tells why, and goes on for ever.

mod deed;
mod desk;
mod law;
mod line;
mod meter;
mod pace;
mod shipper;
mod source;

pub use desk::FLYING_BYTES;
pub use line::Line;
pub use shipper::{Shipper, Status, Trouble, start};

#[cfg(test)]
mod tests;
