//! Ways of a restore round what its host lacks. Each is taken only where the host lacks it, and what became different is told.

use clap::Args;
use holdfast_model::view::{PortChange, WayOut};

/// Arguments of `restore` for what the host lacks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ways round what the host lacks")]
pub struct WaysArgs {
    /// Publish another port of the host than the recorded one, also beside the original; may be given several times.
    #[arg(long = "port", value_name = "OLD=NEW", value_parser = port)]
    pub ports: Vec<PortChange>,
    /// Leave out devices and graphics cards that are missing.
    #[arg(long)]
    pub no_devices: bool,
    /// Use the engine's own driver for volumes, networks and logs, and its own runtime, where the recorded one is missing.
    #[arg(long)]
    pub own_drivers: bool,
    /// Leave out mounts of host paths that are neither there nor in the snapshot.
    #[arg(long)]
    pub no_paths: bool,
    /// Make such paths, as empty folders.
    #[arg(long, conflicts_with = "no_paths")]
    pub make_paths: bool,
    /// Leave out limits that the host cannot keep.
    #[arg(long)]
    pub no_limits: bool,
    /// Make networks that are missing and that the snapshot cannot bring, as plain ones.
    #[arg(long)]
    pub make_networks: bool,
}

impl WaysArgs {
    /// The same as the request says it.
    pub fn chosen(&self) -> Vec<WayOut> {
        let all = [
            (self.no_devices, WayOut::NoDevices),
            (self.own_drivers, WayOut::OwnDrivers),
            (self.no_paths, WayOut::NoPaths),
            (self.make_paths, WayOut::MakePaths),
            (self.no_limits, WayOut::NoLimits),
            (self.make_networks, WayOut::MakeNetworks),
        ];
        all.into_iter().filter(|(chosen, _)| *chosen).map(|(_, way)| way).collect()
    }
}

fn port(text: &str) -> Result<PortChange, String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let pair = text.split_once('=').and_then(|(from, to)| Some((number(from)?, number(to)?)));
    let (from, to) = pair.ok_or("it is written OLD=NEW, like 8080=18080")?;
    Ok(PortChange { from, to })
}
