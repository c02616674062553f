//! The capture against the fake engine, and against a real one when HOLDFAST_REAL_DOCKER is set.

pub(crate) mod bench;
mod content;
mod database;
mod holding;
mod hooks;
mod images;
mod labels;
mod layers;
mod places;
mod real;
mod sink;
mod sqlite;
