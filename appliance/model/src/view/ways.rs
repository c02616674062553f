//! Ways round what stands in a restore's way: words of the request, never guesses of the plan.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A way round something that a host lacks. It is taken only where the host lacks it, and the plan's notes tell what became different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WayOut {
    /// Leave out devices and graphics cards.
    NoDevices,
    /// Use the engine's own driver for volumes, networks and logs, and its own runtime.
    OwnDrivers,
    /// Leave out mounts of host paths of which the snapshot has no content.
    NoPaths,
    /// Make such paths, as empty folders.
    MakePaths,
    /// Leave out limits that the host cannot keep.
    NoLimits,
    /// Make networks that the snapshot does not describe, or that an app cannot bring, as plain ones.
    MakeNetworks,
}

/// Another port of the host than the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortChange {
    /// The recorded port of the host, of any protocol and address.
    pub from: u16,
    /// The one to publish instead.
    pub to: u16,
}
