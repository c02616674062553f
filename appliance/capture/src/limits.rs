//! What an engine cannot do or tell, in words: no silent loss on engines that are not like the others.

use crate::{Ask, Captured};
use holdfast_model::{Problem, policy::Consistency};

/// An engine without control groups cannot pause: the app was read while it ran, which is less than was asked for.
pub(crate) fn not_paused(ask: &Ask, asked: Consistency) -> Option<Problem> {
    let text = format!(
        "the engine of host {} cannot pause containers (it has no control groups): {} was read while it ran, so its files may be from \
         different instants",
        ask.host, ask.app
    );
    let advice = "Let the app be stopped for backups (--consistency stop, or its policy), or give the engine control groups: version 2 for one without root.";
    (asked != ask.consistency).then(|| Problem::warning("hold.impossible", &ask.app, text).advice(advice))
}

/// Podman's archives tell root for every file: what came through them has lost its owners.
pub(crate) fn owners_untold(captured: &Captured) -> Vec<Problem> {
    if captured.engine.product != "podman" {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for container in captured.containers.iter().filter(|container| !container.layer.is_empty()) {
        let text = format!(
            "Podman's archive interface does not tell owners of files: what {} changed in its own file system is captured as root's",
            container.name
        );
        let problem = Problem::warning("layer.owners", &container.name, text);
        problems.push(problem.advice("Keep data in volumes or host paths: there owners are captured."));
    }
    problems
}
