//! What people decide: hosts and policies.

use super::{
    Desk,
    daily::{consistency, databases},
};
use crate::{
    args::PolicyArgs,
    client::part,
    files,
    outcome::{DONE, Failure, Outcome},
    words,
};
use holdfast_model::{
    Error, Kind,
    policy::{Consistency, Databases, Policy, Retention, parse_duration},
    view::{AppView, AssignRequest, HostRequest, HostView, PolicyView},
};
use serde_json::json;
use std::path::PathBuf;

/// `host add NAME URL`; files are CA, certificate and key for TLS, key and known hosts for SSH.
pub async fn host_add(desk: &Desk, name: String, url: String, files: [Option<PathBuf>; 5]) -> Outcome {
    let [tls_ca, tls_cert, tls_key, ssh_key, ssh_known_hosts] = files;
    let request = HostRequest {
        name,
        url,
        tls_ca: files::read_named(tls_ca.as_ref())?,
        tls_cert: files::read_named(tls_cert.as_ref())?,
        tls_key: files::read_named(tls_key.as_ref())?,
        ssh_key: files::read_named(ssh_key.as_ref())?,
        ssh_known_hosts: files::read_named(ssh_known_hosts.as_ref())?,
    };
    let view: HostView = desk.client.post("/hosts", &request).await?;
    desk.output.show(&view, |view| words::hosts(std::slice::from_ref(view)));
    Ok(DONE)
}

/// `host ls`.
pub async fn hosts(desk: &Desk) -> Outcome {
    let views: Vec<HostView> = desk.client.get("/hosts").await?;
    desk.output.show(&views, |views| words::hosts(views));
    Ok(DONE)
}

/// `host rm NAME`.
pub async fn host_remove(desk: &Desk, name: &str) -> Outcome {
    desk.client.delete(&format!("/hosts/{}", part(name))).await?;
    desk.output.show(&json!({ "removed": name }), |_| format!("host {name} is forgotten; its snapshots remain"));
    Ok(DONE)
}

/// `policy ls`.
pub async fn policies(desk: &Desk) -> Outcome {
    let views: Vec<PolicyView> = desk.client.get("/policies").await?;
    desk.output.show(&views, |views| words::policies(views));
    Ok(DONE)
}

/// `policy set NAME`.
pub async fn policy_set(desk: &Desk, args: PolicyArgs) -> Outcome {
    let known: Vec<PolicyView> = desk.client.get("/policies").await?;
    let known = known.into_iter().map(|view| view.policy).find(|policy| policy.name == args.name);
    let policy = merged(known, &args)?;
    let view: PolicyView = desk.client.put(&format!("/policies/{}", part(&policy.name)), &policy).await?;
    desk.output.show(&view, |view| words::policies(std::slice::from_ref(view)));
    Ok(DONE)
}

/// `policy rm NAME`.
pub async fn policy_remove(desk: &Desk, name: &str) -> Outcome {
    desk.client.delete(&format!("/policies/{}", part(name))).await?;
    desk.output.show(&json!({ "removed": name }), |_| format!("policy {name} is removed"));
    Ok(DONE)
}

/// `policy assign APP POLICY` and `policy unassign APP`.
pub async fn assign(desk: &Desk, app: &str, policy: Option<String>) -> Outcome {
    let path = format!("{}/policy", app_path(desk, app).await?);
    let view: AppView = desk.client.put(&path, &AssignRequest { policy }).await?;
    desk.output.show(&view, |view| words::apps(std::slice::from_ref(view)));
    Ok(DONE)
}

/// Where the API has an app.
pub(super) async fn app_path(desk: &Desk, app: &str) -> Result<String, Failure> {
    let id = app_id(desk, app).await?;
    let (host, name) = id.split_once('/').unwrap_or(("", &id));
    Ok(format!("/apps/{}/{}", part(host), part(name)))
}

/// `host/name` of an app given so, or by a name that only one host has.
async fn app_id(desk: &Desk, app: &str) -> Result<String, Failure> {
    if app.contains('/') {
        return Ok(app.to_owned());
    }
    let apps: Vec<AppView> = desk.client.get("/apps").await?;
    let mut ids = apps.into_iter().filter(|known| known.name == app).map(|known| known.id);
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Error::not_found("app.none", format!("there is no app “{app}”"))
            .advice("holdfast apps lists what there is.")
            .into()),
        (Some(first), Some(second)) => {
            let what = format!("“{app}” is on several hosts: {first}, {second}");
            Err(Error::new(Kind::Invalid, "app.ambiguous", what).advice("Name it as HOST/NAME.").into())
        }
    }
}

/// The policy as it is, or a new one, with what was given.
fn merged(known: Option<Policy>, args: &PolicyArgs) -> Result<Policy, Error> {
    let every = args.every.as_deref().map(parse_duration).transpose()?;
    let mut policy = match (known, every) {
        (Some(known), every) => Policy { every_seconds: every.unwrap_or(known.every_seconds), ..known },
        (None, Some(every_seconds)) => Policy {
            name: args.name.clone(),
            every_seconds,
            consistency: Consistency::default(),
            databases: Databases::default(),
            keep: Retention::default(),
        },
        (None, None) => {
            let what = format!("policy {} is new and needs --every", args.name);
            return Err(Error::invalid("policy.every", what));
        }
    };
    if let Some(hold) = args.consistency {
        policy.consistency = consistency(hold);
    }
    if let Some(care) = args.databases {
        policy.databases = databases(care);
    }
    let keep = &mut policy.keep;
    for (place, given) in [
        (&mut keep.last, args.keep_last),
        (&mut keep.hourly, args.keep_hourly),
        (&mut keep.daily, args.keep_daily),
        (&mut keep.weekly, args.keep_weekly),
        (&mut keep.monthly, args.keep_monthly),
    ] {
        *place = given.unwrap_or(*place);
    }
    policy.validate()?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command, PolicyCommand};
    use clap::Parser;

    fn args(line: &str) -> PolicyArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Policy(PolicyCommand::Set(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_policy_needs_a_time_and_an_old_one_keeps_what_it_has() {
        let made = merged(None, &args("holdfast policy set nightly --every 1d --keep-daily 7")).unwrap();
        assert_eq!((made.every_seconds, made.keep.daily, made.keep.last), (86_400, 7, 0));
        let line = "holdfast policy set nightly --keep-last 2 --consistency stop";
        let changed = merged(Some(made), &args(line)).unwrap();
        assert_eq!((changed.every_seconds, changed.keep.daily, changed.keep.last), (86_400, 7, 2));
        assert_eq!(changed.consistency, Consistency::Stop);
        assert_eq!(merged(None, &args("holdfast policy set nightly")).unwrap_err().code(), "policy.every");
        assert!(merged(None, &args("holdfast policy set nightly --every 5s")).is_err());
    }
}
