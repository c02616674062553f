//! Safety backups: what is there as it is, before something of it is replaced; and what such a backup does not hold.
//!
//! Invariant (law L7): what is replaced lies in a snapshot first, or somebody agreed that it is lost. What the app mounts is in a backup of
//! the app; what no container of it mounts, or of an app that is not there, is in a snapshot of places alone.

use crate::{
    apps::{Facts, app_id},
    backup::{self, Wish},
    house::House,
    jobs::Desk,
};
use holdfast_capture::{Places, bind_label, discover, volume_label};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Problem, Result,
    policy::{Consistency, Databases},
    snapshot::{Snapshot, Trigger},
};
use holdfast_restore::Replaced;
use std::sync::Arc;

/// Problems of a container whose layer is not in the snapshot as it is.
const OF_LAYERS: [&str; 4] = ["layer.too_large", "layer.too_many", "layer.not_captured", "layer.name_unreadable"];
/// Those of a file that is not in the snapshot, or not all of it.
const OF_FILES: [&str; 2] = ["file.too_large", "file.unreadable"];

const FAILED: &str = "the safety backup failed, so nothing was replaced";

/// The app that something is replaced of.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    /// Its host.
    pub engine: &'a dyn Engine,
    /// Registered name of the host.
    pub host: &'a str,
    /// Its name.
    pub app: &'a str,
    /// Whether it is a compose project, as far as anybody knows.
    pub project: bool,
}

/// Saves what will be replaced: the app, if it is there, and the places that no container of it mounts. The answer is the first thing of
/// it that is in no snapshot, in words.
pub async fn save(house: &House, desk: &Arc<Desk>, of: Of<'_>, replaced: &Replaced) -> Result<Option<String>> {
    let app = take(house, desk, of).await?;
    let (mounted, apart) = parted(app.as_ref(), replaced);
    let places = match apart.volumes.is_empty() && apart.paths.is_empty() {
        true => None,
        false => Some(take_places(house, desk, of, &apart).await?),
    };
    let lost = alone(app.as_ref(), replaced).or_else(|| app.as_ref().and_then(|taken| left_out(taken, &mounted)));
    Ok(lost.or_else(|| places.as_ref().and_then(|taken| left_out(taken, &apart))))
}

/// Backs the app up as it is, if it is there. The answer is what was taken.
async fn take(house: &House, desk: &Arc<Desk>, of: Of<'_>) -> Result<Option<Snapshot>> {
    if !discover(of.engine).await?.iter().any(|app| app.name == of.app) {
        desk.log("the app is not on the host: what is left of it is looked for");
        return Ok(None);
    }
    let settled = backup::wish(&Facts::gather(house), app_id(of.host, of.app), (None, None), Trigger::Safety);
    let wish = Wish { policy: None, ..settled };
    desk.log("safety backup of what is there now");
    let taken = backup::take(house, desk, &wish).await.map_err(|error| error.while_doing(FAILED))?;
    desk.log(&format!("safety snapshot {}", taken.id));
    Ok(Some(taken))
}

/// Snapshots places that no container of the app mounts. What was taken is committed only if it holds something.
async fn take_places(house: &House, desk: &Arc<Desk>, of: Of<'_>, apart: &Replaced) -> Result<Snapshot> {
    let wish = Wish {
        app: app_id(of.host, of.app),
        consistency: Consistency::None,
        databases: Databases::default(),
        policy: None,
        trigger: Trigger::Safety,
    };
    let places = Places { project: of.project, volumes: apart.volumes.clone(), paths: apart.paths.clone() };
    desk.log("safety backup of places that no container of the app mounts");
    let taken = backup::take_places(house, desk, &wish, &places).await;
    let taken = taken.map_err(|error| error.while_doing(FAILED))?;
    desk.log(&match backup::has_data(&taken) {
        true => format!("safety snapshot {}", taken.id),
        false => "nothing of them is there to be saved".to_owned(),
    });
    Ok(taken)
}

/// What of it a backup of the app has to hold, and what no container of the app mounts.
fn parted(app: Option<&Snapshot>, replaced: &Replaced) -> (Replaced, Replaced) {
    let has_volume = |name: &String| app.is_some_and(|taken| taken.volumes.iter().any(|one| one.name == *name));
    let has_path = |path: &String| app.is_some_and(|taken| taken.binds.iter().any(|one| one.source == *path));
    let (volumes, other_volumes): (Vec<_>, Vec<_>) = replaced.volumes.iter().cloned().partition(has_volume);
    let (paths, other_paths): (Vec<_>, Vec<_>) = replaced.paths.iter().cloned().partition(has_path);
    let mounted = Replaced { containers: replaced.containers.clone(), volumes, paths };
    (mounted, Replaced { containers: Vec::new(), volumes: other_volumes, paths: other_paths })
}

/// A container that would be removed and is in no snapshot: a leftover of a command that was run once, one that was put aside, or one
/// that a label keeps out of backups.
fn alone(app: Option<&Snapshot>, replaced: &Replaced) -> Option<String> {
    let is_saved = |name: &String| app.is_some_and(|taken| taken.containers.iter().any(|one| one.name == *name));
    let container = replaced.containers.iter().find(|name| !is_saved(name));
    container.map(|name| format!("container {name} is in no backup of the app, with what it changed in its own files"))
}

/// The first thing that would be replaced and is not in what was taken of it, in words.
fn left_out(taken: &Snapshot, replaced: &Replaced) -> Option<String> {
    let of_layers = |problem: &&Problem| {
        let code = problem.code.as_str();
        OF_LAYERS.contains(&code) && replaced.containers.contains(&problem.subject)
    };
    let layer = taken.problems.iter().find(of_layers).map(|problem| problem.message.clone());
    let volume = || replaced.volumes.iter().find_map(|volume| volume_left_out(taken, volume));
    let path = || replaced.paths.iter().find_map(|path| path_left_out(taken, path));
    layer.or_else(volume).or_else(path).or_else(|| untold(taken))
}

/// Of what is only counted nobody knows what it is of.
fn untold(taken: &Snapshot) -> Option<String> {
    let is_loss = |problem: &&Problem| OF_FILES.iter().chain(&OF_LAYERS).any(|code| problem.code == *code);
    let counted = taken.problems.iter().filter(is_loss).find_map(|problem| Some((&problem.code, problem.count()?)));
    counted.map(|(code, count)| {
        format!("{count} problems ({code}) are not named in it, and may be of what would be replaced")
    })
}

fn volume_left_out(taken: &Snapshot, volume: &str) -> Option<String> {
    let label = volume_label(volume);
    let is_kept = taken.volumes.iter().any(|section| section.name == volume && section.stream.is_some());
    if is_kept { file_left_out(taken, &label) } else { Some(not_in(taken, volume, &label)) }
}

/// A path that is not there has nothing to lose.
fn path_left_out(taken: &Snapshot, path: &str) -> Option<String> {
    let label = bind_label(path);
    let is_missing = |problem: &Problem| problem.code == "bind.missing" && problem.subject == path;
    match taken.binds.iter().find(|section| section.source == path) {
        Some(section) if section.stream.is_some() => file_left_out(taken, &label),
        Some(_) if taken.problems.iter().any(is_missing) => None,
        Some(_) => Some(not_in(taken, path, &label)),
        // Nothing is there, unless it says why it was not read.
        None => taken.problems.iter().find(|problem| problem.subject == path).map(|problem| problem.message.clone()),
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
        OF_FILES.contains(&problem.code.as_str()) && rest.is_some_and(|rest| rest.starts_with([',', ':']))
    };
    taken.problems.iter().find(is_of_it).map(|problem| problem.message.clone())
}

/// What is not in the safety backup cannot be had back once it is replaced.
pub fn incomplete(lost: &str) -> Error {
    let words = format!("no snapshot could keep all of what is there now, so nothing was replaced: {lost}");
    Error::new(Kind::Refused, "restore.safety_incomplete", words)
}

/// What somebody agreed to lose.
pub fn unsaved(app: &str, lost: &str) -> Problem {
    let words = format!("not all of what was replaced lies in a safety backup, as you agreed: {lost}");
    Problem::note("restore.unsaved", app, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::looks::empty;
    use holdfast_model::{
        Moment, Severity,
        snapshot::{BindSection, ContainerSection, Fidelity, RawJson, RunState, StreamRef, VolumeSection},
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

    fn replaced(containers: &[&str], volumes: &[&str], paths: &[&str]) -> Replaced {
        let [containers, volumes, paths] =
            [containers, volumes, paths].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Replaced { containers, volumes, paths }
    }

    fn note() -> Problem {
        Problem::note("x", "x", "x")
    }

    #[test]
    fn what_no_snapshot_holds_is_not_replaced_without_a_word() {
        let all = replaced(&["web"], &["data"], &["/srv"]);
        assert_eq!(left_out(&taken(true, true, note()), &all), None);
        assert!(left_out(&taken(false, true, note()), &all).is_some());
        assert!(left_out(&taken(true, false, note()), &all).is_some());
        assert_eq!(left_out(&taken(false, false, note()), &replaced(&["web"], &[], &["/other"])), None);
        let missing = Problem::warning("bind.missing", "/srv", "it is not there");
        assert_eq!(left_out(&taken(true, false, missing), &all), None, "a path that is not there loses nothing");
        let unread = Problem::warning("bind.not_captured", "/etc", "/etc is the host's own");
        let lost = left_out(&taken(true, true, unread), &replaced(&[], &[], &["/etc"]));
        assert_eq!(lost.as_deref(), Some("/etc is the host's own"), "what is there and was not read does");

        let large = |subject: &str| Problem::error("layer.too_large", subject, "/tmp/x is too large");
        assert!(left_out(&taken(true, true, large("web")), &all).is_some());
        assert_eq!(left_out(&taken(true, true, large("db")), &all), None, "that one stays");
        for code in OF_FILES {
            let file = |label: &str| Problem::error(code, "huge", format!("{label}, huge: it is not there"));
            assert!(left_out(&taken(true, true, file("volume data")), &all).is_some());
            assert!(left_out(&taken(true, true, file("host path /srv")), &all).is_some());
            assert_eq!(left_out(&taken(true, true, file("volume data2")), &all), None);
        }
        let counted = |code: &str| left_out(&taken(true, true, Problem::more(code, Severity::Error, 7)), &all);
        assert!(counted("layer.too_large").is_some_and(|lost| lost.starts_with("7 problems")));
        assert!(OF_FILES.iter().all(|code| counted(code).is_some()) && counted("file.changed").is_none());
    }

    #[test]
    fn a_container_that_no_backup_holds_is_not_removed_without_a_word() {
        let all = replaced(&["web"], &[], &[]);
        let mut app = taken(true, true, note());
        assert!(alone(Some(&app), &all).is_some_and(|lost| lost.starts_with("container web")));
        app.containers.push(ContainerSection {
            name: "web".into(),
            service: None,
            inspect: RawJson("{}".into()),
            image: String::new(),
            state: RunState::Running,
            changes: Vec::new(),
            changed: 0,
            layer: Vec::new(),
            depends_on: Vec::new(),
        });
        assert_eq!(alone(Some(&app), &all), None);
        assert!(alone(None, &all).is_some(), "nothing of the app was found, and still a container of it goes");
        assert_eq!(alone(None, &replaced(&[], &["data"], &[])), None);
    }

    #[test]
    fn what_the_app_does_not_mount_is_saved_apart() {
        let all = replaced(&["web"], &["data", "old"], &["/srv", "/adopted"]);
        let (mounted, apart) = parted(Some(&taken(true, false, note())), &all);
        assert_eq!(mounted, replaced(&["web"], &["data"], &["/srv"]), "also what could not be read of it");
        assert_eq!(apart, replaced(&[], &["old"], &["/adopted"]));
        let (mounted, apart) = parted(None, &all);
        assert_eq!(mounted, replaced(&["web"], &[], &[]));
        assert_eq!(apart, replaced(&[], &["data", "old"], &["/srv", "/adopted"]), "without an app all of it");
    }
}
