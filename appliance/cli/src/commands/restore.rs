//! Restores: the plan first, then the deed; and forgetting snapshots.

use super::Desk;
use crate::{
    args::{RestoreArgs, Tier},
    client::part,
    outcome::{self, DONE, Failure, Outcome},
    watch::{Reach, until_one_ended},
    words,
};
use holdfast_model::{
    Error, Kind, Problem,
    job::JobView,
    settings::FORGOTTEN_DAYS,
    view::{From, PlanView, RestoreRequest, SnapshotView, Target},
};
use serde_json::json;

/// Exit code of a plan that cannot be carried out.
const REFUSED: i32 = 5;

/// `restore SNAPSHOT`.
pub async fn restore(desk: &Desk, args: RestoreArgs) -> Outcome {
    let mut request = request(&args);
    let plan: PlanView = desk.client.post("/restores/plan", &request).await?;
    if args.dry_run {
        desk.output.show(&plan, words::plan);
        return Ok(if plan.conflicts.is_empty() { DONE } else { REFUSED });
    }
    if let Some(conflict) = plan.conflicts.first() {
        desk.output.talk(&words::plan(&plan));
        return Err(in_the_way(conflict, plan.conflicts.len()));
    }
    if !agreed(desk, &args, &plan) {
        desk.output.show(&plan, words::plan);
        return Err(not_agreed().into());
    }
    request.confirmed = true;
    let mut job: JobView = desk.client.post("/restores", &request).await?;
    if args.wait {
        job = until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?;
    }
    desk.output.show(&job, |job| words::ended_jobs(std::slice::from_ref(job)));
    outcome::of_jobs(std::slice::from_ref(&job))
}

/// `forget SNAPSHOT [--now]`.
pub async fn forget(desk: &Desk, snapshot: &str, now: bool, yes: bool) -> Outcome {
    let question = match now {
        true => format!("Forget snapshot {snapshot} for ever?"),
        false => format!("Forget snapshot {snapshot}? It can be brought back for {FORGOTTEN_DAYS} days."),
    };
    if !yes && !desk.output.agrees(&question) {
        let what = format!("snapshot {snapshot} was not forgotten: nobody agreed");
        return Err(Error::new(Kind::Refused, "forget.unconfirmed", what).advice("Say --yes to agree.").into());
    }
    desk.client.delete(&format!("/snapshots/{}?now={now}", part(snapshot))).await?;
    desk.output.show(&json!({ "forgotten": snapshot, "now": now }), |_| match now {
        true => format!("{snapshot} is forgotten"),
        false => format!("{snapshot} is forgotten; holdfast unforget brings it back within {FORGOTTEN_DAYS} days"),
    });
    Ok(DONE)
}

/// `unforget SNAPSHOT`.
pub async fn unforget(desk: &Desk, snapshot: &str) -> Outcome {
    let view: SnapshotView = desk.client.post(&format!("/snapshots/{}/unforget", part(snapshot)), &json!({})).await?;
    desk.output.show(&view, |view| words::snapshots(std::slice::from_ref(view)));
    Ok(DONE)
}

fn request(args: &RestoreArgs) -> RestoreRequest {
    let target = match (&args.to, args.in_place) {
        (Some(host), _) => Target::Host { host: host.clone() },
        (None, true) => Target::InPlace,
        (None, false) => Target::Beside,
    };
    let from = match args.from {
        Tier::Auto => From::Auto,
        Tier::Cache => From::Cache,
        Tier::Bucket => From::Bucket,
    };
    RestoreRequest {
        snapshot: args.snapshot.clone(),
        target,
        name: args.name.clone(),
        volume: args.volume.clone(),
        services: args.services.clone(),
        no_ports: args.no_ports,
        no_addresses: args.no_addresses,
        ports: args.ways.ports.clone(),
        ways: args.ways.chosen(),
        from,
        confirmed: args.yes,
        lose_uncaptured: args.lose_uncaptured,
    }
}

/// Whether the person agrees to what the plan destroys; what destroys nothing needs no word.
fn agreed(desk: &Desk, args: &RestoreArgs, plan: &PlanView) -> bool {
    if args.yes || !(plan.destructive || args.in_place) {
        return true;
    }
    if !desk.output.is_interactive() {
        return false;
    }
    desk.output.talk(&words::plan(plan));
    desk.output.agrees("Go on?")
}

fn not_agreed() -> Error {
    Error::new(Kind::Refused, "restore.unconfirmed", "nothing was restored: the plan replaces things and nobody agreed")
        .advice("Read the plan, then say --yes to agree.")
}

/// The first conflict as the error; the plan shows all.
fn in_the_way(conflict: &Problem, count: usize) -> Failure {
    let more = if count > 1 { format!(" (and {} more conflicts)", count - 1) } else { String::new() };
    let what = format!("nothing was restored: {}: {}{more}", conflict.subject, conflict.message);
    let error = Error::new(Kind::Conflict, conflict.code.clone(), what);
    match &conflict.advice {
        Some(advice) => error.advice(advice.clone()).into(),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use holdfast_model::view::{PortChange, WayOut};

    fn asked(line: &str) -> RestoreRequest {
        let Command::Restore(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
        request(&args)
    }

    #[test]
    fn flags_become_a_request() {
        let beside = asked("holdfast restore latest:shop --as copy --volume v --from cache");
        assert_eq!((beside.target, beside.name.as_deref(), beside.from), (Target::Beside, Some("copy"), From::Cache));
        assert_eq!(beside.volume.as_deref(), Some("v"));
        let place =
            asked("holdfast restore 01ab --in-place --yes --service web --service db --no-ports --no-addresses");
        assert_eq!((place.target, place.confirmed), (Target::InPlace, true));
        assert_eq!(
            (&place.services[..], place.no_ports, place.no_addresses),
            (&["web".to_owned(), "db".into()][..], true, true)
        );
        let round = asked("holdfast restore 01ab --to edge --port 80=8080 --no-devices --own-drivers --make-paths");
        assert_eq!(round.ports, [PortChange { from: 80, to: 8080 }]);
        assert_eq!(round.ways, [WayOut::NoDevices, WayOut::OwnDrivers, WayOut::MakePaths]);
        for wrong in ["80", "80=", "0=1", "80=99999"] {
            assert!(Cli::try_parse_from(["holdfast", "restore", "x", "--port", wrong]).is_err(), "{wrong}");
        }
        let away = asked("holdfast restore 01ab --to edge");
        assert_eq!((away.target, away.confirmed), (Target::Host { host: "edge".into() }, false));
    }

    #[test]
    fn a_conflict_is_refused_in_its_own_words() {
        let taken = Problem::error("port.taken", "8080/tcp", "the port is in use").advice("Stop what uses it.");
        let failure = in_the_way(&taken, 2);
        assert_eq!((failure.exit_code(), failure.0.code.as_str()), (5, "port.taken"));
        assert!(failure.0.title.contains("8080/tcp: the port is in use (and 1 more conflicts)"));
        assert_eq!(failure.0.hint.as_deref(), Some("Stop what uses it."));
    }
}
