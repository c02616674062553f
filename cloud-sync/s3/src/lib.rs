//! The bucket: everything that speaks S3, and the only home of the AWS crates.
//!
//! Lives here: [`S3Store`] (objects by name in a bucket), [`probe`] (what a bucket really does),
//! [`Admin`] and [`Iam`] (what a provider does to buckets and users). Never here: what objects mean,
//! shipping order, retries over minutes; those belong to the floors above.
//!
//! Invariants: an upload travels with its SHA-256 twice, as checksum and in the signature, because
//! stores differ in which one they check; nothing that comes back is trusted in length, range or
//! number; no error, log line or `Debug` output holds a secret.

mod admin;
mod body;
mod fault;
#[doc(hidden)]
pub mod fuzzing;
mod iam;
mod name;
mod probe;
mod proxy;
#[doc(hidden)]
pub mod raw;
mod read;
mod signed;
mod store;
mod upload;
mod wire;

pub use admin::Admin;
pub use iam::{AccessKey, Iam};
pub use probe::{probe, probe_store};
pub use proxy::Proxy;
pub use store::S3Store;
pub use wire::{Patience, Reach};
