//! The mover: reads a folder into a PAX tar with all that the file system says of it, and writes it back.
//!
//! Lives here: the walk in path order ([`Walk`]), groups and what tells them apart ([`Groups`]), contents
//! ([`Reader`]), the whole tar ([`write_archive`]), the strict reader of tars ([`Archive`]) and the writer of
//! folders ([`Writer`]), the conversation with the appliance ([`wire`], [`serve()`]). Never here: repositories, sockets, async, what is kept or sent.
//!
//! It leans on nothing of the house, for it becomes a small static binary that runs inside a container next to
//! the data. Its whole surface is hostile: names, links, sizes and times are made by whoever owns the volume, and may
//! change at any moment.
//!
//! # Invariants
//! - Nothing outside the folder is ever opened: each step is one name, never through a link.
//! - Whatever is left out, changed meanwhile or not restored is told by name ([`Trouble`]).
//! - Memory is bounded whatever the tree looks like, and so is what it may promise to whoever stores it: sizes cost nothing ([`FILE_MAX`],
//!   [`TREE_MAX`]).

mod archive;
mod entry;
mod fixed;
mod group;
mod holes;
mod memory;
mod packed;
mod parse;
mod pax;
mod place;
mod pool;
mod read;
mod restore;
mod room;
mod root;
mod scan;
mod serve;
mod task;
pub mod thin;
mod trouble;
mod walk;
pub mod wire;
mod write;
mod xattr;

pub use archive::{Report, write_archive, write_file};
pub use entry::{Entry, Hole, Identity, Kind, Time, Xattr, shown};
pub use fixed::fixed;
pub use group::{Group, Grouper, Groups};
pub use packed::{pack, unpack};
pub use parse::{Archive, Broken};
pub use pax::{BLOCK, TRAILER, header, padding};
pub use read::{Outcome, Piece, Reader, Sink};
pub use room::{FILE_MAX, TREE_MAX};
pub use root::{DEPTH_MAX, PATH_MAX, Root};
pub use serve::serve;
pub use trouble::{Trouble, What};
pub use walk::{Options, Walk};
pub use write::{Rights, Writer, Written};
