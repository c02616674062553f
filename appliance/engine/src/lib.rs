//! Decides when and whether: jobs, schedule, policy, retention. The API behind all faces.
//!
//! Lives here: what is done when, what is refused, what people are told. Never here: bytes of the
//! repository (`holdfast-repository`), the Docker API (`holdfast-docker`), HTTP. The parts that touch
//! the world come in through [`Outside`].
//!
//! Read next: `appliance` (everything that can be asked), `house` (what all acts share), `jobs` (how work
//! runs), `apps` (how states are decided), `retention` and `schedule` (pure rules).

mod alarms;
mod appliance;
mod apps;
mod backup;
mod bucket;
mod cache;
mod coverage;
mod doctor;
mod events;
mod files;
mod findings;
mod folder;
mod forgotten;
mod hooks;
mod hostbook;
mod hosts;
mod house;
mod jobs;
mod judging;
mod keyring;
mod kit;
mod listing;
mod locks;
mod memory;
mod outside;
mod policies;
mod recover;
mod restore;
mod retention;
mod safety;
mod schedule;
mod scheduler;
mod ship;
mod snapshots;
mod start;
mod status;
mod tier;
mod upkeep;
mod users;
mod verify;
mod watch;
mod words;

pub use appliance::Appliance;
pub use files::{Asked, Content, OpenFile};
pub use folder::LANES;
pub use outside::{Outside, ShipStatus, Shipping};
pub use start::Start;

#[cfg(test)]
mod tests;
