//! Safety backups: an app as it is, before something of it is replaced; and what such a backup does not hold.
//!
//! Invariant (law L7): what is replaced of an app that is there lies in a snapshot first, or somebody agreed that it is lost. Of an app
//! that is not there, what is left of it is told.

use crate::{
    apps::{Facts, app_id},
    backup::{self, Wish},
    house::House,
    jobs::Desk,
};
use holdfast_capture::{bind_label, discover, volume_label};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{Snapshot, Trigger},
};
use holdfast_restore::Replaced;
use std::sync::Arc;

/// Problems of a container whose layer is not in the snapshot as it is.
const OF_LAYERS: [&str; 4] = ["layer.too_large", "layer.too_many", "layer.not_captured", "layer.name_unreadable"];

/// Backs an app up as it is, if it is there. The answer is what was taken.
pub async fn take(
    house: &House,
    desk: &Arc<Desk>,
    (engine, host, name): (&dyn Engine, &str, &str),
) -> Result<Option<Snapshot>> {
    if !discover(engine).await?.iter().any(|app| app.name == name) {
        desk.log("nothing of the app is on the host: no safety backup is needed");
        return Ok(None);
    }
    let settled = backup::wish(&Facts::gather(house), app_id(host, name), (None, None), Trigger::Safety);
    let wish = Wish { policy: None, ..settled };
    desk.log("safety backup of what is there now");
    let taken = backup::take(house, desk, &wish).await;
    let taken = taken.map_err(|error| error.while_doing("the safety backup failed, so nothing was replaced"))?;
    desk.log(&format!("safety snapshot {}", taken.id));
    Ok(Some(taken))
}

/// Volumes that are there without an app that they could be saved with, and lose what they hold.
pub fn unsaved(replaced: &Replaced) -> Vec<Problem> {
    let told = |volume: &String| {
        let words = format!(
            "{} was still there when the app was not: what it held was replaced, and no safety backup could be taken of it",
            volume_label(volume)
        );
        Problem::warning("restore.unsaved", volume, words)
    };
    replaced.volumes.iter().map(told).collect()
}

/// The first thing that would be replaced and is not in what was taken, in words.
pub fn left_out(taken: &Snapshot, replaced: &Replaced) -> Option<String> {
    let of_layers = |problem: &&Problem| {
        OF_LAYERS.contains(&problem.code.as_str()) && replaced.containers.contains(&problem.subject)
    };
    let layer = taken.problems.iter().find(of_layers).map(|problem| problem.message.clone());
    let volume = || replaced.volumes.iter().find_map(|volume| volume_left_out(taken, volume));
    let path = || replaced.paths.iter().find_map(|path| path_left_out(taken, path));
    layer.or_else(volume).or_else(path)
}

fn volume_left_out(taken: &Snapshot, volume: &str) -> Option<String> {
    let label = volume_label(volume);
    let is_kept = taken.volumes.iter().any(|section| section.name == volume && section.stream.is_some());
    if is_kept { file_left_out(taken, &label) } else { Some(not_in(taken, volume, &label)) }
}

/// A path that is not there has nothing to lose, and one that the app does not mount any more is not looked at.
fn path_left_out(taken: &Snapshot, path: &str) -> Option<String> {
    let label = bind_label(path);
    let section = taken.binds.iter().find(|section| section.source == path)?;
    let is_missing = |problem: &Problem| problem.code == "bind.missing" && problem.subject == path;
    match section.stream {
        Some(_) => file_left_out(taken, &label),
        None if taken.problems.iter().any(is_missing) => None,
        None => Some(not_in(taken, path, &label)),
    }
}

fn not_in(taken: &Snapshot, name: &str, label: &str) -> String {
    let why = taken.problems.iter().find(|problem| problem.subject == name).map(|problem| problem.message.clone());
    why.unwrap_or_else(|| format!("{label} is not in it"))
}

/// Files that were left out of a place are told with its label in front.
fn file_left_out(taken: &Snapshot, label: &str) -> Option<String> {
    let is_of_it = |problem: &&Problem| {
        let rest = problem.message.strip_prefix(label);
        problem.code == "file.too_large" && rest.is_some_and(|rest| rest.starts_with([',', ':']))
    };
    taken.problems.iter().find(is_of_it).map(|problem| problem.message.clone())
}

/// What is not in the safety backup cannot be had back once it is replaced.
pub fn incomplete(lost: &str) -> Error {
    let words = format!("no snapshot could keep all of what is there now, so nothing was replaced: {lost}");
    Error::new(Kind::Refused, "restore.safety_incomplete", words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::looks::empty;
    use holdfast_model::{
        Moment,
        snapshot::{BindSection, Fidelity, RawJson, StreamRef, VolumeSection},
    };

    fn taken(volume: bool, path: bool, problem: Problem) -> Snapshot {
        let stream = |is_there: bool| is_there.then(StreamRef::default);
        let fidelity = Fidelity::Full;
        Snapshot {
            volumes: vec![VolumeSection {
                name: "data".into(),
                anonymous: false,
                inspect: RawJson("{}".into()),
                stream: stream(volume),
                fidelity,
            }],
            binds: vec![BindSection { source: "/srv".into(), directory: true, stream: stream(path), fidelity }],
            problems: vec![problem],
            ..empty(Moment::from_millis(1_000))
        }
    }

    #[test]
    fn what_no_snapshot_holds_is_not_replaced_without_a_word() {
        let replaced = |containers: &[&str], volumes: &[&str], paths: &[&str]| {
            let [containers, volumes, paths] =
                [containers, volumes, paths].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            Replaced { containers, volumes, paths }
        };
        let all = replaced(&["web"], &["data"], &["/srv"]);
        let note = || Problem::note("x", "x", "x");
        assert_eq!(left_out(&taken(true, true, note()), &all), None);
        assert!(left_out(&taken(false, true, note()), &all).is_some());
        assert!(left_out(&taken(true, false, note()), &all).is_some());
        assert_eq!(left_out(&taken(false, false, note()), &replaced(&["web"], &[], &["/other"])), None);
        let missing = Problem::warning("bind.missing", "/srv", "it is not there");
        assert_eq!(left_out(&taken(true, false, missing), &all), None, "a path that is not there loses nothing");

        let large = |subject: &str| Problem::error("layer.too_large", subject, "/tmp/x is too large");
        assert!(left_out(&taken(true, true, large("web")), &all).is_some());
        assert_eq!(left_out(&taken(true, true, large("db")), &all), None, "that one stays");
        let file = |label: &str| Problem::error("file.too_large", "huge", format!("{label}, huge: too large"));
        assert!(left_out(&taken(true, true, file("volume data")), &all).is_some());
        assert!(left_out(&taken(true, true, file("host path /srv")), &all).is_some());
        assert_eq!(left_out(&taken(true, true, file("volume data2")), &all), None);

        let told = unsaved(&all);
        assert!(told.len() == 1 && told[0].subject == "data", "its containers are gone, its volume is not: {told:?}");
    }
}
