//! Commands that apps run around their backups.

use super::{Desk, keep::app_path};
use crate::{
    args::HooksArgs,
    client::part,
    outcome::{DONE, Outcome},
    words,
};
use holdfast_model::{hooks::ServiceHooks, policy::parse_duration, view::HooksView};

/// `hooks ls APP`.
pub async fn list(desk: &Desk, app: &str) -> Outcome {
    let view: HooksView = desk.client.get(&format!("{}/hooks", app_path(desk, app).await?)).await?;
    desk.output.show(&view, words::hooks);
    Ok(DONE)
}

/// `hooks set APP SERVICE`.
pub async fn set(desk: &Desk, args: HooksArgs) -> Outcome {
    let path = format!("{}/hooks", app_path(desk, &args.app).await?);
    let known: HooksView = desk.client.get(&path).await?;
    let known = known.services.into_iter().find(|known| known.service == args.service).map(|known| known.set);
    let ServiceHooks { dump, pre, post, user, timeout_seconds } = known.unwrap_or_default();
    let given = args.timeout.as_deref().map(parse_duration).transpose()?;
    let set = ServiceHooks {
        dump: args.dump.or(dump),
        pre: args.pre.or(pre),
        post: args.post.or(post),
        user: args.user.or(user),
        timeout_seconds: given.or(timeout_seconds),
    };
    let view: HooksView = desk.client.put(&format!("{path}/{}", part(&args.service)), &set).await?;
    desk.output.show(&view, words::hooks);
    Ok(DONE)
}

/// `hooks unset APP SERVICE`.
pub async fn unset(desk: &Desk, app: &str, service: &str) -> Outcome {
    let path = format!("{}/hooks/{}", app_path(desk, app).await?, part(service));
    let view: HooksView = desk.client.delete_for(&path).await?;
    desk.output.show(&view, words::hooks);
    Ok(DONE)
}
